//! What runs in an environment, as the engine's objects tell. Pure: reading them is `read`'s part.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use hoist_model::unit::Restart;
use ipnet::Ipv4Net;

use super::drift::Drift;
use super::gate::{Gate, Opening};
use super::memory::Memory;
use super::names::Place;
use super::ports::HostPort;
use super::proxy::Front;
use crate::backend::{ContainerInfo, HealthStatus, NetworkInfo};
use crate::labels;
use crate::vault;

/// The grace of a container that does not say its own: Docker's.
const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// What is deployed in an environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deployed {
    /// All containers of services, whatever their state.
    pub(crate) generations: Vec<Generation>,
    /// Networks by the name that the file has for them.
    pub(crate) networks: BTreeMap<String, DeployedNetwork>,
    /// Data volumes by the name that the file has for them, with the engine's name.
    pub(crate) volumes: BTreeMap<String, String>,
    /// The engine's names of volumes with secrets.
    pub(crate) secrets: Vec<String>,
    /// The proxies in front of services.
    pub(crate) gates: Vec<DeployedGate>,
    /// The generation of each service that the last release left serving, as the environment's
    /// journal has it.
    pub(crate) serving: BTreeMap<String, u64>,
    /// The number of the last release that came to an end.
    pub(crate) ended: u64,
}

/// The container of a gate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DeployedGate {
    pub(crate) gate: Gate,
    pub(crate) id: String,
    /// The engine's ID of its image.
    pub(crate) image: String,
    pub(crate) life: Life,
    /// Fixed addresses by network name of the file.
    pub(crate) addresses: BTreeMap<String, Ipv4Addr>,
    /// Published ports as the engine has them.
    pub(crate) ports: Vec<String>,
    /// What it does with what comes in for each service, where its configuration says so.
    pub(crate) fronts: BTreeMap<String, Front>,
    /// Services of which it leads around a container, for a restart that did not live to its end, or
    /// goes on.
    pub(crate) aside: BTreeSet<String>,
    /// The port in its container that it listens on; of a name's gate, one of them.
    pub(crate) inner: Option<u16>,
    /// Who else has a part of it.
    pub(crate) others: Vec<Place>,
}

/// One container of a service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Generation {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) service: String,
    /// The number of the release that made it.
    pub(crate) sequence: u64,
    /// From 1.
    pub(crate) replica: u32,
    pub(crate) image: String,
    pub(crate) config_digest: Option<String>,
    pub(crate) config_hash: String,
    /// The volume that holds its secrets.
    pub(crate) secrets: Option<String>,
    /// Those secrets, where they are in memory.
    pub(crate) memory: Option<Memory>,
    /// Fixed addresses by network name of the file.
    pub(crate) addresses: BTreeMap<String, Ipv4Addr>,
    pub(crate) life: Life,
    /// `None` without a health check.
    pub(crate) health: Option<HealthStatus>,
    pub(crate) restart: Restart,
    /// What it holds on the host; empty unless it runs.
    pub(crate) ports: Vec<HostPort>,
    pub(crate) grace: Duration,
    /// It is told its clients by the PROXY protocol.
    pub(crate) proxy_protocol: bool,
    /// It has the host's network, and takes its ports there.
    pub(crate) host_network: bool,
    pub(crate) depends_on: Vec<String>,
    /// What was changed by hand and cannot be put right in this container.
    pub(crate) drift: Vec<Drift>,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Never started.
    Created,
    /// Running, or about to be started again by the engine.
    Running,
    /// Stopped.
    Exited,
    /// Paused, dead or being removed: hoist has no use for it.
    Other,
}

/// A network of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeployedNetwork {
    pub(crate) id: String,
    pub(crate) subnet: Option<Ipv4Net>,
    pub(crate) config_hash: String,
}

impl Deployed {
    pub(crate) fn generation(&self, id: &str) -> Option<&Generation> {
        self.generations
            .iter()
            .find(|generation| generation.id == id)
    }

    /// The containers of a generation, in the order of replicas.
    pub(crate) fn of(&self, service: &str, sequence: u64) -> Vec<&Generation> {
        let all = self.generations.iter();
        let of_it = all.filter(|old| old.service == service && old.sequence == sequence);
        let mut found: Vec<&Generation> = of_it.collect();
        found.sort_by_key(|old| old.replica);
        found
    }

    /// The containers of the generation that serves, in the order of replicas.
    pub(crate) fn current(&self, service: &str) -> Vec<&Generation> {
        match self.current_sequence(service) {
            Some(sequence) => self.of(service, sequence),
            None => Vec::new(),
        }
    }

    /// The generation that serves: the one that the last release left, if there is anything of it;
    /// else the newest that runs; else the newest.
    pub(crate) fn current_sequence(&self, service: &str) -> Option<u64> {
        let of_service = || self.generations.iter().filter(|old| old.service == service);
        let left = self.serving.get(service).copied();
        let left = left.filter(|left| of_service().any(|old| old.sequence == *left));
        let running = of_service().filter(|old| old.life == Life::Running);
        left.or_else(|| running.map(|old| old.sequence).max())
            .or_else(|| of_service().map(|old| old.sequence).max())
    }

    /// The number of the newest generation that serves, 0 where none does.
    pub(crate) fn newest_serving(&self) -> u64 {
        let services = self.generations.iter().map(|old| &old.service);
        let serving = services.filter_map(|service| self.current_sequence(service));
        serving.max().unwrap_or(0)
    }

    /// The container of a gate: the one that runs, where one that took its place was cut off.
    pub(crate) fn gate(&self, gate: &Gate) -> Option<&DeployedGate> {
        let all = || self.gates.iter().filter(|found| found.gate == *gate);
        let running = all().find(|found| found.life == Life::Running);
        running.or_else(|| all().next())
    }

    /// Openings with the gates that are there: one that is the environment's own stays that until it is
    /// shared by an action of its own, and one that is the host's stays that.
    pub(crate) fn settled(&self, openings: Vec<Opening>) -> Vec<Opening> {
        let settled = |opening: Opening| {
            let of_port = |found: &&DeployedGate| {
                found.gate == opening.gate
                    || found.gate.is_shared() != opening.gate.is_shared()
                        && found.gate.as_shared().is_some()
                        && found.gate.as_shared() == opening.gate.as_shared()
            };
            let all = || self.gates.iter().filter(of_port);
            let is_same = |found: &&DeployedGate| found.gate == opening.gate;
            let mut running = all().filter(|found| found.life == Life::Running);
            let found = running.clone().find(is_same).or_else(|| running.next());
            let found = found.or_else(|| all().find(is_same).or_else(|| all().next()));
            Opening {
                gate: found.map_or_else(|| opening.gate.clone(), |found| found.gate.clone()),
                ..opening
            }
        };
        openings.into_iter().map(settled).collect()
    }

    pub(crate) fn gates_that_run(&self) -> impl Iterator<Item = &Gate> {
        let running = self.gates.iter().filter(|gate| gate.life == Life::Running);
        running.map(|gate| &gate.gate)
    }

    /// The number of the newest release, 0 where there is none.
    pub(crate) fn sequence(&self) -> u64 {
        self.generations
            .iter()
            .map(|generation| generation.sequence)
            .max()
            .unwrap_or(0)
            .max(self.ended)
    }
}

impl DeployedGate {
    /// What a container's labels and state say; `None` where it is no gate. What it does is not among
    /// them.
    pub(crate) fn read(info: &ContainerInfo) -> Option<Self> {
        let addresses = info.labels.get(labels::ADDRESS);
        Some(Self {
            gate: Gate::read(info.labels.get(labels::GATE)?)?,
            id: info.id.clone(),
            image: info.image.clone(),
            life: Life::read(&info.status),
            addresses: addresses
                .map(|text| read_addresses(text))
                .unwrap_or_default(),
            ports: info.ports.clone(),
            fronts: BTreeMap::new(),
            aside: BTreeSet::new(),
            inner: None,
            others: Vec::new(),
        })
    }
}

impl Generation {
    /// What a container's labels and state say.
    pub(crate) fn read(info: &ContainerInfo) -> Self {
        let label = |key: &str| info.labels.get(key).map(String::as_str);
        let number = |key| label(key).and_then(|text| text.parse().ok());
        Self {
            id: info.id.clone(),
            name: info.name.clone(),
            service: label(labels::SERVICE).unwrap_or_default().to_owned(),
            sequence: number(labels::SEQUENCE).unwrap_or(0),
            replica: label(labels::REPLICA)
                .and_then(|text| text.parse().ok())
                .unwrap_or(1),
            image: info.image.clone(),
            config_digest: label(labels::CONFIG_DIGEST).map(str::to_owned),
            config_hash: label(labels::CONFIG_HASH).unwrap_or_default().to_owned(),
            secrets: info
                .mounts
                .iter()
                .find(|mount| mount.target == vault::FOLDER)
                .map(|mount| mount.volume.clone()),
            memory: Memory::read(info),
            addresses: label(labels::ADDRESS)
                .map(read_addresses)
                .unwrap_or_default(),
            life: Life::read(&info.status),
            health: info.health.as_ref().map(|health| health.status),
            restart: info.restart,
            // Some engines name ports of stopped containers too, which hold none.
            ports: info
                .ports
                .iter()
                .filter(|_| Life::read(&info.status) == Life::Running)
                .filter_map(|text| HostPort::read(text))
                .collect(),
            grace: number(labels::STOP_GRACE_PERIOD).map_or(DEFAULT_GRACE, Duration::from_millis),
            proxy_protocol: label(labels::PROXY_PROTOCOL).is_some(),
            host_network: label(labels::NETWORK_MODE).is_some(),
            depends_on: label(labels::DEPENDS_ON)
                .unwrap_or_default()
                .split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            drift: Vec::new(),
        }
    }

    /// It serves: it runs and its health check, where it has one, does not say otherwise.
    pub(crate) fn serves(&self) -> bool {
        self.life == Life::Running && self.health != Some(HealthStatus::Unhealthy)
    }
}

impl Life {
    fn read(status: &str) -> Self {
        match status {
            "created" => Self::Created,
            "running" | "restarting" => Self::Running,
            "exited" => Self::Exited,
            _ => Self::Other,
        }
    }
}

impl DeployedNetwork {
    pub(crate) fn read(info: &NetworkInfo) -> Self {
        Self {
            id: info.id.clone(),
            subnet: info.subnets.iter().find_map(|subnet| subnet.parse().ok()),
            config_hash: info
                .labels
                .get(labels::CONFIG_HASH)
                .cloned()
                .unwrap_or_default(),
        }
    }
}

/// The form of the label [`labels::ADDRESS`]: `network=address`, with commas between them.
pub(crate) fn write_addresses(addresses: &BTreeMap<String, Ipv4Addr>) -> String {
    let parts: Vec<String> = addresses
        .iter()
        .map(|(network, address)| format!("{network}={address}"))
        .collect();
    parts.join(",")
}

fn read_addresses(text: &str) -> BTreeMap<String, Ipv4Addr> {
    text.split(',')
        .filter_map(|part| part.split_once('='))
        .filter_map(|(network, address)| Some((network.to_owned(), address.parse().ok()?)))
        .collect()
}

/// Containers in the order in which they are to be stopped: each before those that it needs.
pub(crate) fn dependents_first<'a>(generations: &[&'a Generation]) -> Vec<&'a Generation> {
    let mut left = generations.to_vec();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let free = left.iter().position(|candidate| {
            left.iter().all(|other| {
                other.service == candidate.service || !other.depends_on.contains(&candidate.service)
            })
        });
        // Labels of different releases may make a circle; any order is right then.
        ordered.push(left.remove(free.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::tests::fixtures::generation;

    #[test]
    fn labels_say_what_a_container_is() {
        let info = ContainerInfo {
            id: "abc".into(),
            status: "running".into(),
            labels: [
                (labels::SERVICE, "web"),
                (labels::SEQUENCE, "7"),
                (labels::ADDRESS, "default=172.30.0.2,back=172.30.1.9"),
                (labels::DEPENDS_ON, "db,cache"),
                (labels::STOP_GRACE_PERIOD, "2500"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
            ..ContainerInfo::default()
        };
        let read = Generation::read(&info);
        assert_eq!(
            (read.service.as_str(), read.sequence, read.life),
            ("web", 7, Life::Running)
        );
        assert_eq!(
            read.addresses.get("back"),
            Some(&Ipv4Addr::new(172, 30, 1, 9))
        );
        assert_eq!(
            write_addresses(&read.addresses),
            "back=172.30.1.9,default=172.30.0.2"
        );
        assert_eq!(read.depends_on, ["db", "cache"]);
        assert_eq!(read.grace, Duration::from_millis(2500));
    }

    #[test]
    fn labels_that_make_no_sense_are_no_panic() {
        let labels = [
            (labels::SEQUENCE, "-1"),
            (labels::ADDRESS, "=,x=1.2.3,,default"),
            (labels::STOP_GRACE_PERIOD, "soon"),
        ];
        let info = ContainerInfo {
            labels: labels
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..ContainerInfo::default()
        };
        let read = Generation::read(&info);
        assert_eq!(
            (read.sequence, read.life, read.grace),
            (0, Life::Other, DEFAULT_GRACE)
        );
        assert!(read.addresses.is_empty() && read.depends_on.is_empty());
    }

    #[test]
    fn a_service_stops_before_what_it_needs() {
        let needing = |service: &str, needs: &[&str]| Generation {
            depends_on: needs.iter().map(|&need| need.to_owned()).collect(),
            ..generation(service, 1)
        };
        let (web, db, proxy) = (
            needing("web", &["db"]),
            needing("db", &[]),
            needing("proxy", &["web"]),
        );
        let order: Vec<&str> = dependents_first(&[&db, &web, &proxy])
            .iter()
            .map(|g| g.service.as_str())
            .collect();
        assert_eq!(order, ["proxy", "web", "db"]);
        let (a, b) = (needing("a", &["b"]), needing("b", &["a"]));
        assert_eq!(dependents_first(&[&a, &b]).len(), 2, "a circle ends");
    }
}
