//! What a release says of itself: what is about to happen, the downtime included, and what is in
//! place. It decides nothing.

use hoist_model::event::{EventKind, ReleasedService};
use hoist_model::unit::Strategy;

use super::gate::Gate;
use super::names::Place;
use super::perform::Performer;
use super::plan::{Action, Change, Goal, Member, Program, Wanted, Which};
use super::state::Deployed;
use super::status;

/// What is about to happen.
pub(super) fn changes(deployed: &Deployed, program: &Program, goal: &Goal) -> Vec<String> {
    let known = goal.services.iter().filter_map(|want| {
        let change = program.changes.get(&want.name)?;
        Some(line(deployed, want, change, goal.sequence) + &fronts(program, want))
    });
    let hooks = program.forward.iter().filter_map(|action| match action {
        Action::RunHook(name) => Some(format!("{name} runs once")),
        _ => None,
    });
    let gone = program.afterwards.iter().filter_map(|action| match action {
        Action::Remove(Which::Old(id)) => {
            let old = deployed.generation(id)?;
            let wanted = program.changes.contains_key(&old.service);
            let once = old.replica == 1 || deployed.of(&old.service, old.sequence).len() == 1;
            (!wanted && once).then(|| format!("{} is no longer wanted and removed", old.service))
        }
        _ => None,
    });
    let gates = program.forward.iter().filter_map(|action| match action {
        Action::ReplaceGate { gate, .. } => Some(format!(
            "{gate:#} is replaced by the image that is configured now: for a moment, about a \
             second, nobody gets through it{}",
            shared_with(deployed, gate)
        )),
        _ => None,
    });
    let shares = program.afterwards.iter().filter_map(|action| match action {
        Action::ShareGate { gate, .. } => Some(format!(
            "{gate:#} becomes one that other projects can share: for a moment, about a second, \
             nobody gets through it"
        )),
        _ => None,
    });
    let gates = gates.chain(shares);
    let unverified = goal.unverified.iter().cloned();
    let all = known.chain(hooks).chain(gone).chain(gates);
    let all = all.chain(unverified);
    let mut all: Vec<String> = all.collect();
    if goal.proxy.is_some() && program.is_in_place() {
        all.push("all proxies have the image that is configured already".to_owned());
    }
    all
}

/// Who else has a part of a gate.
fn shared_with(deployed: &Deployed, gate: &Gate) -> String {
    let others = deployed.gate(gate).map(|known| &known.others);
    let others: Vec<String> = others.into_iter().flatten().map(Place::to_string).collect();
    match others.as_slice() {
        [] => String::new(),
        others => format!(", to {} neither", others.join(", ")),
    }
}

/// What is about to happen to a service.
pub(super) fn line(deployed: &Deployed, want: &Wanted, change: &Change, sequence: u64) -> String {
    let name = &want.name;
    if change.is_nothing() {
        return format!("{name} did not change and is left running");
    }
    if change.is_new {
        return format!(
            "{name} is new in release {sequence}{}{}",
            times(want.replicas),
            on_host_network(want)
        );
    }
    let Some(why) = change.why else {
        let starts = change.starting().len();
        let stopped = change
            .members
            .values()
            .filter(|member| matches!(member, Member::Stopped(_)));
        return match (starts, change.leaving.len()) {
            (starts, _) if starts > 0 && stopped.count() == starts => {
                format!("{name} did not change and is started again")
            }
            (0, leaving) => format!("{name} goes down to {} ({leaving} fewer)", want.replicas),
            (starts, _) => format!("{name} goes up to {} ({starts} more)", want.replicas),
        };
    };
    let before = deployed.current_sequence(name).unwrap_or(0);
    let (release, how) = match (want.restored, want.update.strategy) {
        (Some(restored), _) if restored != sequence => (restored, "comes back"),
        _ => (sequence, "comes"),
    };
    let meanwhile = match want.update.strategy {
        Strategy::BlueGreen => "blue-green, without an outage",
        Strategy::Canary => "as a canary, without an outage",
        Strategy::Rolling if !want.update.has_downtime(want.replicas) => {
            "a few at a time, without an outage"
        }
        Strategy::Recreate | Strategy::Rolling => "it is down meanwhile",
    };
    let where_to = on_host_network(want);
    format!(
        "{name} is replaced, {why}: release {release} {how} after {before}; {meanwhile}{where_to}"
    )
}

fn on_host_network(want: &Wanted) -> &'static str {
    match want.host_network {
        true => "; it has the host's network",
        false => "",
    }
}

/// What becomes other about what comes in to a service.
pub(super) fn fronts(program: &Program, want: &Wanted) -> String {
    let refront = program.refronts.get(&want.name).copied();
    let refront = refront.unwrap_or_default();
    let maintenance = match refront.maintenance {
        Some(true) => "; a maintenance page takes its place from now on",
        Some(false) => "; it takes the place of the maintenance page again",
        None => "",
    };
    let other = match refront.other {
        true => "; its proxy does other things with what comes in",
        false => "",
    };
    let mut fronts = want.gates.values();
    let tls = fronts.find_map(|front| front.tls.as_ref());
    let renewed = match tls.filter(|_| refront.renewed) {
        Some(tls) => format!(
            "; its proxy gets the renewed certificate, valid until {}",
            tls.day()
        ),
        None => String::new(),
    };
    let back = match refront.back {
        true => "; its proxy leads to all of its containers again",
        false => "",
    };
    format!("{maintenance}{renewed}{other}{back}")
}

fn times(replicas: u32) -> String {
    match replicas {
        1 => String::new(),
        more => format!(", {more} containers"),
    }
}

/// Tells what is in place now.
pub(super) async fn announce(performer: &Performer<'_>, program: &Program) {
    let serving = program.serving(performer.deployed);
    for (service, change) in &program.changes {
        let Some(member) = change.members.values().next() else {
            continue;
        };
        let Some(id) = performer.id(&member.which()) else {
            continue;
        };
        // The release is in place whether the engine still answers or not.
        let found = performer.target.backend.inspect_container(&id).await;
        let found = found.ok().flatten();
        let unchanged = change.is_nothing();
        if !unchanged && found.as_ref().is_some_and(|info| info.health.is_none()) {
            performer.context.warn(
                format!("{service} has no health check: it counts as healthy because it runs"),
                Some("give it a `healthcheck` in pipeline.toml".to_owned()),
            );
        }
        let own = found.iter().flat_map(|info| info.ports.clone());
        let mut ports: Vec<String> = own.map(|port| status::published(&port)).collect();
        ports.extend(performer.published(service).await);
        performer.context.events.send(EventKind::ServiceReleased {
            step: performer.context.id(),
            service: ReleasedService {
                environment: performer.place.environment.clone(),
                service: service.clone(),
                release: serving.get(service).copied().unwrap_or(performer.sequence),
                unchanged,
                ports,
                host_network: found.is_some_and(|info| status::is_on_host_network(&info)),
            },
        });
    }
}
