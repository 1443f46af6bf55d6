//! What is deployed, for people: read from the engine, no run folder needed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hoist_model::reason::Trouble;
use jiff::Timestamp;

use super::drift::{self, Drift};
use super::journal::{Journal, Known};
use super::names::{NETWORK, Place, SERVICE};
use super::plan::Slot;
use super::proxy::Front;
use super::state::{Deployed, DeployedGate, Life};
use super::{lock, read};
use crate::backend::{Backend, BackendError, ContainerInfo, HealthStatus};
use crate::labels;

/// A service that is deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployedService {
    /// Its environment's name.
    pub environment: String,
    /// Its name.
    pub service: String,
    /// Which of its replicas, from 1.
    pub replica: u32,
    /// The container's name.
    pub container: String,
    /// As the engine says: `running`, `exited`, `restarting`, ...; `missing` where it is not there.
    pub state: String,
    /// It is of the release that serves; else it is kept to go back to.
    pub serving: bool,
    /// What of it is not as it was meant.
    pub drift: Vec<Drift>,
    /// `None` without a health check.
    pub health: Option<HealthStatus>,
    /// The image's name as the file or its step had it.
    pub image: String,
    /// The engine's ID of the image.
    pub image_id: String,
    /// The sequence number of the release that made it, 0 where its label cannot be read.
    pub release: u64,
    /// Published ports as `address:port`, those of the proxies that lead to it among them.
    pub ports: Vec<String>,
    /// It has the host's network, so its ports are the host's.
    pub host_network: bool,
    /// Of the ports those that other projects or environments share, with their names.
    pub shared_with: BTreeMap<String, Vec<String>>,
    /// Until when the certificate is valid by which TLS ends at its proxies.
    pub certificate_expires: Option<Timestamp>,
    /// When it started last, where it has.
    pub since: Option<Timestamp>,
}

/// What is deployed of a project in these environments, as far as they are on this engine, sorted by
/// environment, service, release and replica. What a release put in place and is not there any more
/// is among it.
///
/// # Errors
/// When the engine does not say.
pub async fn ps(
    backend: &Arc<dyn Backend>,
    project: &str,
    environments: &BTreeSet<String>,
) -> Result<Vec<DeployedService>, Trouble> {
    let mut services = Vec::new();
    for environment in environments {
        let place = Place::new(project, environment);
        let found = of_environment(backend, &place).await;
        services.extend(found.map_err(|error| error.trouble("what is deployed cannot be read"))?);
    }
    services.sort_by(|a, b| order(a).cmp(&order(b)));
    Ok(services)
}

async fn of_environment(
    backend: &Arc<dyn Backend>,
    place: &Place,
) -> Result<Vec<DeployedService>, BackendError> {
    let services = place.filter(SERVICE);
    let found = backend.list_containers(&services).await?;
    let networks = backend.list_networks(&place.filter(NETWORK)).await?;
    if found.is_empty() && networks.is_empty() {
        // It was taken down; what its history says is over.
        return Ok(Vec::new());
    }
    // What runs is told although what should cannot be read.
    let read = Journal::read(backend, place).await;
    let history = read.map(|(_, known)| known).unwrap_or_default();
    let deployed = read::read(backend.as_ref(), place, &history).await?;
    let locked = lock::is_held(backend.as_ref(), place).await?;
    let mut services = Vec::new();
    for found in found {
        let Some(info) = backend.inspect_container(&found.id).await? else {
            continue;
        };
        let mut service = of_container(&info, &deployed.gates);
        service.serving = deployed.current_sequence(&service.service) == Some(service.release);
        // What is under way is not as it is to be yet.
        if !locked && service.release <= deployed.ended {
            service.drift = drifted(&info, &service, &deployed, &history);
        }
        services.push(service);
    }
    if !locked {
        let missing = missing(place, &deployed, &history, &services);
        services.extend(missing);
    }
    Ok(services)
}

fn of_container(info: &ContainerInfo, gates: &[DeployedGate]) -> DeployedService {
    let label = |key: &str| info.labels.get(key).cloned().unwrap_or_default();
    let since = info.started_at.parse().ok();
    DeployedService {
        environment: label(labels::ENVIRONMENT),
        service: label(labels::SERVICE),
        replica: label(labels::REPLICA).parse().unwrap_or(1),
        state: info.status.clone(),
        serving: false,
        drift: Vec::new(),
        health: info.health.as_ref().map(|health| health.status),
        image: label(labels::IMAGE),
        release: label(labels::SEQUENCE).parse().unwrap_or(0),
        ports: match info.is_running() {
            true => ports(info, gates),
            false => Vec::new(),
        },
        host_network: is_on_host_network(info),
        shared_with: match info.is_running() {
            true => shared_with(info, gates),
            false => BTreeMap::new(),
        },
        certificate_expires: expires(info, gates),
        // An engine says year 1 of one that never started.
        since: since.filter(|since| *since > Timestamp::UNIX_EPOCH),
        image_id: info.image.clone(),
        container: info.name.clone(),
    }
}

/// What of a container is not as it was meant.
fn drifted(
    info: &ContainerInfo,
    service: &DeployedService,
    deployed: &Deployed,
    history: &Known,
) -> Vec<Drift> {
    let old = deployed.generation(&info.id);
    let mut drift = old.map(|old| old.drift.clone()).unwrap_or_default();
    let record = drift::record(history, &service.service, service.release);
    let left_out = history.left_out();
    let left_out = left_out.get(&service.service);
    if service.serving && left_out.is_some_and(|all| all.contains(&service.replica)) {
        drift.push(Drift::Failed);
    } else if let Some(record) = record.filter(|_| service.serving) {
        if info.status == "exited" {
            drift.insert(0, Drift::Stopped);
        }
        if info.restart != record.unit.restart {
            drift.push(Drift::Restart {
                is: info.restart,
                wanted: record.unit.restart,
            });
        }
    }
    drift
}

/// What a release put in place and is not there.
fn missing(
    place: &Place,
    deployed: &Deployed,
    history: &Known,
    there: &[DeployedService],
) -> Vec<DeployedService> {
    let Some((last, _)) = history.last_passed() else {
        return Vec::new();
    };
    let mut missing = Vec::new();
    for (name, sequence) in &deployed.serving {
        let mut records = last.services.iter();
        let Some(record) = records.find(|record| record.unit.name == *name) else {
            continue;
        };
        let is_there = |replica: &u32| {
            let mut there = there.iter();
            there.any(|it| it.service == *name && it.release == *sequence && it.replica == *replica)
        };
        let gone = (1..=record.unit.replicas).filter(|replica| !is_there(replica));
        missing.extend(gone.map(|replica| DeployedService {
            environment: place.environment.clone(),
            service: name.clone(),
            replica,
            container: place.container(&Slot {
                service: name.clone(),
                sequence: *sequence,
                replica,
            }),
            state: "missing".to_owned(),
            serving: true,
            drift: vec![Drift::Missing],
            health: None,
            image: record.shown.clone(),
            image_id: record.image.clone(),
            release: *sequence,
            ports: Vec::new(),
            host_network: record.unit.host_network,
            shared_with: BTreeMap::new(),
            certificate_expires: None,
            since: None,
        }));
    }
    missing
}

/// What the proxies that lead to a container's service do for it.
fn leading<'g>(
    of: &'g ContainerInfo,
    gates: &'g [DeployedGate],
) -> impl Iterator<Item = (&'g DeployedGate, &'g Front)> {
    let service = of.labels.get(labels::SERVICE);
    gates
        .iter()
        .filter_map(move |gate| Some((gate, gate.fronts.get(service?)?)))
}

/// Until when the certificates of a container's service are valid.
fn expires(of: &ContainerInfo, gates: &[DeployedGate]) -> Option<Timestamp> {
    let certificates = leading(of, gates).filter_map(|(_, front)| front.tls.as_ref());
    certificates.map(|certificate| certificate.expires).min()
}

/// The ports of a container and those of the proxies in front of its service.
fn ports(of: &ContainerInfo, gates: &[DeployedGate]) -> Vec<String> {
    let running = leading(of, gates).filter(|(gate, _)| gate.life == Life::Running);
    let ports = running.flat_map(|(gate, _)| &gate.ports).chain(&of.ports);
    ports.map(|port| published(port)).collect()
}

/// A container was made with the host's network.
pub(super) fn is_on_host_network(info: &ContainerInfo) -> bool {
    info.labels.contains_key(labels::NETWORK_MODE)
}

/// Who else has a part of the ports of the proxies in front of a container's service.
fn shared_with(of: &ContainerInfo, gates: &[DeployedGate]) -> BTreeMap<String, Vec<String>> {
    let shared = leading(of, gates).filter(|(gate, _)| !gate.others.is_empty());
    let named = shared.flat_map(|(gate, _)| {
        let others: Vec<String> = gate.others.iter().map(Place::to_string).collect();
        let ports = gate.ports.iter();
        ports.map(move |port| (published(port), others.clone()))
    });
    named.collect()
}

fn order(service: &DeployedService) -> (&str, &str, u64, u32) {
    let DeployedService {
        environment,
        service,
        release,
        replica,
        ..
    } = service;
    (environment, service, *release, *replica)
}

/// The host's side of a port as the engine writes it.
pub(crate) fn published(port: &str) -> String {
    port.split_once("->")
        .map_or(port, |(host, _)| host)
        .to_owned()
}
