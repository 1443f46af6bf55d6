//! What stands in the way of a release, looked for before its first side effect: ports, networks,
//! volumes, memory and disk of the engine. All of it is told at once, and nothing is touched. What
//! another process on the engine's host holds is not seen from here, and is met later.

use std::collections::BTreeSet;

use hoist_model::quantity::show_size;
use hoist_model::reason::{FailureReason, Trouble};
use hoist_model::unit::{NetworkPlan, Protocol, ReleaseUnit, Restart, ServiceUnit};
use ipnet::Ipv4Net;

use super::diagnose::free_disk;
use super::gate::Gate;
use super::names::Place;
use super::ports::HostPort;
use super::proxy::{BOTH, Claim, Shares, Unreadable};
use super::settings::hash_network;
use super::shared;
use super::state::Deployed;
use super::subnet::Layout;
use crate::backend::{Backend, BackendError, ContainerInfo, EngineInfo, NetworkInfo, VolumeInfo};
use crate::bounds::unenforced;
use crate::labels;

/// With less free space nothing can be made, bytes.
const LEAST_DISK: u64 = 64 << 20;
/// With less free space a release may well fail in its middle, bytes.
const LITTLE_DISK: u64 = 512 << 20;

/// What a look at an engine came to.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What stands in the way.
    pub(crate) problems: Vec<FailureReason>,
    /// What people should know besides, each with what to try.
    pub(crate) warnings: Vec<(String, Option<String>)>,
}

impl Findings {
    fn file(&mut self, trouble: Trouble) {
        self.problems.push(FailureReason::Configuration(trouble));
    }

    fn engine(&mut self, trouble: Trouble) {
        self.problems.push(FailureReason::Surroundings(trouble));
    }
}

/// Looks at an engine. It reads and touches nothing.
pub(crate) async fn look(
    backend: &dyn Backend,
    place: &Place,
    deployed: &Deployed,
    unit: &ReleaseUnit,
) -> Result<Findings, BackendError> {
    let (info, containers, networks, volumes) = tokio::try_join!(
        backend.info(),
        backend.list_containers(&[]),
        backend.list_networks(&[]),
        backend.list_volumes(&[]),
    )?;
    let shared = shared::among(backend, &containers).await?;
    let mut findings = Findings::default();
    for trouble in own_networks(place, deployed, unit) {
        findings.file(trouble);
    }
    other_networks(&mut findings, place, deployed, unit, &networks);
    ports(&mut findings, place, unit, &containers);
    shares(&mut findings, place, unit, &shared);
    data(&mut findings, place, deployed, unit, &volumes);
    memory(&mut findings, place, unit, &info);
    profiles(&mut findings, unit, &info);
    in_memory(&mut findings, place, unit);
    if let Some(free) = free_disk(&info) {
        disk(&mut findings, free, &info.data_root);
    }
    let limits: Vec<_> = containers_of(unit).map(|one| &one.limits).collect();
    for what in unenforced(&limits, &info.enforces) {
        let environment = &place.environment;
        let message = format!("the engine of {environment} cannot bound {what}");
        findings.warnings.push((message, None));
    }
    Ok(findings)
}

/// One failure of all that stands in the way, if anything does.
pub(crate) fn failure(place: &Place, problems: Vec<FailureReason>) -> Option<FailureReason> {
    let mut lines = Vec::new();
    let mut is_file = true;
    for problem in &problems {
        let trouble = match problem {
            FailureReason::Configuration(trouble) => trouble,
            FailureReason::Surroundings(trouble) => {
                is_file = false;
                trouble
            }
            FailureReason::Exit { .. }
            | FailureReason::OutOfMemory { .. }
            | FailureReason::TimedOut { .. }
            | FailureReason::CannotStart { .. }
            | FailureReason::Build { .. }
            | FailureReason::Gate { .. }
            | FailureReason::Deploy { .. }
            | FailureReason::Service { .. }
            | FailureReason::NotApproved { .. }
            | FailureReason::Unverified { .. } => return Some(problem.clone()),
        };
        let cause = trouble.cause.iter().map(|cause| format!(": {cause}"));
        let hint = trouble.hint.iter().map(|hint| format!("; {hint}"));
        let said: String = cause.chain(hint).collect();
        lines.push(format!("{}{said}", trouble.what));
    }
    if problems.len() < 2 {
        return problems.into_iter().next();
    }
    let (count, environment) = (problems.len(), &place.environment);
    let what = format!(
        "{count} things stand in the way of the release to {environment}, and nothing was touched"
    );
    let trouble = Trouble::new(what).cause(lines.join("\n"));
    Some(match is_file {
        true => FailureReason::Configuration(trouble),
        false => FailureReason::Surroundings(trouble),
    })
}

/// All containers that a release makes.
fn containers_of(unit: &ReleaseUnit) -> impl Iterator<Item = &ServiceUnit> {
    let hooks = unit.pre_deploy.iter().chain(&unit.post_deploy);
    let hooks = hooks.map(|hook| &hook.container);
    unit.services.iter().chain(hooks)
}

/// What is wrong with the networks of the file, beside those that are deployed.
pub(crate) fn own_networks(place: &Place, deployed: &Deployed, unit: &ReleaseUnit) -> Vec<Trouble> {
    let networks = unit.environment.networks.iter();
    let troubles = networks.filter_map(|(name, plan)| own_network(place, deployed, name, plan));
    troubles.collect()
}

fn own_network(
    place: &Place,
    deployed: &Deployed,
    name: &str,
    plan: &NetworkPlan,
) -> Option<Trouble> {
    let environment = &place.environment;
    if let Some(network) = deployed.networks.get(name)
        && network.config_hash != hash_network(plan)
    {
        let what = format!("the network {name} of {environment} has other settings than the file");
        let subnet = network
            .subnet
            .map_or("unknown".to_owned(), |subnet| subnet.to_string());
        let hint = format!(
            "`hoist down {environment}` takes it away, volumes stay, and the next deploy makes it anew"
        );
        let trouble = Trouble::new(what).cause(format!("its subnet is {subnet}"));
        return Some(trouble.hint(hint));
    }
    let gateway = plan.gateway.as_ref().map(|text| {
        let gateway = text.parse();
        gateway.map_err(|_| format!("{text} is no address for a gateway"))
    });
    let subnet = plan.subnet.as_ref()?;
    let divided = gateway.transpose().and_then(|gateway| {
        let parsed = subnet.parse();
        let subnet: Ipv4Net = parsed.map_err(|_| format!("{subnet} is no subnet of IPv4"))?;
        Layout::new(subnet, gateway)
    });
    let why = divided.err()?;
    let what = format!("the network {name} of {environment} cannot be made");
    Some(Trouble::new(what).cause(why))
}

/// No subnet of the file overlaps one of another network on the engine.
fn other_networks(
    findings: &mut Findings,
    place: &Place,
    deployed: &Deployed,
    unit: &ReleaseUnit,
    others: &[NetworkInfo],
) {
    for (name, plan) in &unit.environment.networks {
        let subnet = plan.subnet.as_ref().and_then(|text| text.parse().ok());
        let Some(subnet) = subnet.filter(|_: &Ipv4Net| !deployed.networks.contains_key(name))
        else {
            continue;
        };
        let overlaps = |text: &&String| {
            let other = text.parse::<Ipv4Net>();
            other.is_ok_and(|other| other.contains(&subnet) || subnet.contains(&other))
        };
        for other in others {
            let Some(taken) = other.subnets.iter().find(overlaps) else {
                continue;
            };
            let what = format!(
                "the network {name} of {} ({subnet}) overlaps the network {} ({taken})",
                place.environment, other.name
            );
            let hint =
                "choose another subnet, or name none: then one that is free is chosen".to_owned();
            findings.engine(Trouble::new(what).hint(hint));
        }
    }
}

/// No port that the release wants is held by a container of someone else. What containers of this
/// environment hold is the release's own to move.
fn ports(findings: &mut Findings, place: &Place, unit: &ReleaseUnit, running: &[ContainerInfo]) {
    let is_ours = |container: &ContainerInfo| {
        let is = |label: &str, value: &String| container.labels.get(label) == Some(value);
        is(labels::PROJECT, &place.project) && is(labels::ENVIRONMENT, &place.environment)
    };
    for service in &unit.services {
        for wanted in service.ports.iter().filter_map(HostPort::wanted) {
            let is_shared = |container: &ContainerInfo| {
                let gate = container.labels.get(labels::GATE);
                let gate = gate.filter(|_| container.labels.contains_key(labels::SHARED));
                gate.and_then(|gate| Gate::read(gate)).is_some_and(|gate| {
                    let (address, port, protocol) = wanted.parts();
                    let address = address.map(str::to_owned);
                    protocol == Protocol::Tcp && gate == Gate::Shared { address, port }
                })
            };
            let holds = |container: &&ContainerInfo| {
                let held = container.ports.iter();
                let mut held = held.filter_map(|text| HostPort::read(text));
                container.is_running()
                    && !is_ours(container)
                    && !is_shared(container)
                    && held.any(|held| held.clashes(&wanted))
            };
            if let Some(holder) = running.iter().find(holds) {
                let what = format!("the port {wanted} of {} is taken", service.name);
                let (cause, hint) = held(holder);
                findings.engine(Trouble::new(what).cause(cause).hint(hint));
            }
        }
    }
}

/// Who holds a port, and what to do.
fn held(holder: &ContainerInfo) -> (String, &'static str) {
    let label = |key: &str| holder.labels.get(key).cloned();
    let place = label(labels::PROJECT).zip(label(labels::ENVIRONMENT));
    let is_gate = label(labels::GATE).and_then(|gate| Gate::read(&gate)?.as_shared());
    match place.filter(|_| is_gate.is_some()) {
        Some((project, environment)) => {
            let place = Place::new(&project, &environment);
            (format!("{place} has it for itself"), BOTH)
        }
        None => (
            format!("the container {} holds it", holder.name),
            "stop that container, or publish another port",
        ),
    }
}

/// No other environment has what the release wants of a port that they share.
fn shares(
    findings: &mut Findings,
    place: &Place,
    unit: &ReleaseUnit,
    shared: &[(Gate, Result<Shares, Unreadable>)],
) {
    for (gate, shares) in shared {
        let claims = Claim::of(unit, gate);
        let trouble = match shares {
            _ if claims.is_empty() => None,
            Ok(shares) => shares.clash(place, gate, &claims),
            Err(Unreadable) => Some(shared::unreadable(gate)),
        };
        if let Some(trouble) = trouble {
            findings.engine(trouble);
        }
    }
}

/// No volume that the release would make is there already and someone else's.
fn data(
    findings: &mut Findings,
    place: &Place,
    deployed: &Deployed,
    unit: &ReleaseUnit,
    there: &[VolumeInfo],
) {
    let volumes = containers_of(unit).flat_map(|one| &one.volumes);
    let names: BTreeSet<&String> = volumes.map(|volume| &volume.name).collect();
    for name in names {
        let object = place.object(name);
        if !deployed.volumes.contains_key(name) && there.iter().any(|volume| volume.name == object)
        {
            let environment = &place.environment;
            let what = format!("the volume {name} of {environment} cannot be made");
            let cause = format!(
                "a volume called {object} is there already, and this environment did not make it"
            );
            let hint = "copy its data to a volume of another name and remove it, or name another volume in pipeline.toml";
            findings.engine(Trouble::new(what).cause(cause).hint(hint));
        }
    }
}

/// The services can have at once what they reserve.
fn memory(findings: &mut Findings, place: &Place, unit: &ReleaseUnit, info: &EngineInfo) {
    if info.memory == 0 {
        return;
    }
    let there = show_size(info.memory >> 20 << 20);
    let mut sum = 0_u64;
    let mut shown = Vec::new();
    for service in &unit.services {
        if let Some(bytes) = service.limits.memory_reservation {
            let all = bytes.saturating_mul(u64::from(service.replicas.max(1)));
            sum = sum.saturating_add(all);
            shown.push(format!("{} {}", service.name, show_size(all)));
        }
        if let Some(most) = service.limits.memory.filter(|most| *most > info.memory) {
            let (name, most) = (&service.name, show_size(most));
            let message =
                format!("{name} may take {most} of memory, and the engine's host has {there}");
            let hint = "lower `resources.limits.memory`: more than there is bounds nothing";
            findings.warnings.push((message, Some(hint.to_owned())));
        }
    }
    if sum > info.memory {
        let what = format!(
            "the services of {} reserve {} of memory, and the engine's host has {there}",
            place.environment,
            show_size(sum)
        );
        let hint = "lower `resources.reservations.memory`, or deploy to a larger host";
        let trouble = Trouble::new(what).cause(shown.join(", "));
        findings.engine(trouble.hint(hint));
    }
}

/// The profiles that services name have an effect there.
fn profiles(findings: &mut Findings, unit: &ReleaseUnit, info: &EngineInfo) {
    let has = |option: &str| {
        let mut options = info.security_options.iter();
        options.any(|has| has.split(',').any(|part| part == option))
    };
    let (apparmor, seccomp) = (has("name=apparmor"), has("name=seccomp"));
    for service in containers_of(unit) {
        let name = &service.name;
        if let (Some(profile), false) = (&service.security.apparmor, apparmor) {
            let message = format!(
                "the AppArmor profile {profile} of {name} has no effect: the engine's host has no AppArmor"
            );
            findings.warnings.push((message, None));
        }
        if service.security.seccomp.is_some() && !seccomp {
            let what = format!("{name} has a seccomp profile, and the engine has no seccomp");
            findings.engine(Trouble::new(what).hint("leave the profile out, or deploy elsewhere"));
        }
    }
}

/// An engine that starts a service again knows no secrets.
fn in_memory(findings: &mut Findings, place: &Place, unit: &ReleaseUnit) {
    for service in unit.services.iter().filter(|one| one.secrets_in_memory) {
        let name = &service.name;
        let again = match service.restart {
            Restart::No => "",
            Restart::Always | Restart::OnFailure | Restart::UnlessStopped => {
                ", and the engine starts it again without them"
            }
        };
        let message =
            format!("the secrets of {name} are in memory: they are gone when it ends{again}");
        let hint = format!(
            "`hoist restart {} {name}` writes them again",
            place.environment
        );
        findings.warnings.push((message, Some(hint)));
    }
}

fn disk(findings: &mut Findings, free: u64, root: &str) {
    let said = format!(
        "the engine's disk has {} free at {root}",
        show_size(free >> 20 << 20)
    );
    let hint = "`docker system df` shows what takes it, and `hoist gc` removes what runs left";
    if free < LEAST_DISK {
        findings.engine(Trouble::new(said).hint(hint));
    } else if free < LITTLE_DISK {
        findings.warnings.push((said, Some(hint.to_owned())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_a_problem_and_little_room_a_warning() {
        let look = |free| {
            let mut findings = Findings::default();
            disk(&mut findings, free, "/var/lib/docker");
            (findings.problems.len(), findings.warnings.len())
        };
        assert_eq!(look(LEAST_DISK - 1), (1, 0));
        assert_eq!(look(LEAST_DISK), (0, 1));
        assert_eq!(look(LITTLE_DISK), (0, 0));
    }

    #[test]
    fn only_the_disk_of_an_engine_on_this_host_is_looked_at() {
        let at = |address: &str, data_root: &str| {
            free_disk(&EngineInfo {
                address: address.to_owned(),
                data_root: data_root.to_owned(),
                ..EngineInfo::default()
            })
        };
        assert!(at("unix:///run/docker.sock", "/").is_some());
        assert_eq!(at("unix:///run/docker.sock", "/not/there"), None);
        assert_eq!(at("unix:///run/docker.sock", ""), None);
        assert_eq!(at("ssh://host", "/"), None);
    }
}
