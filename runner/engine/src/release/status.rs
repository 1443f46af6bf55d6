//! What is deployed, for people: read from the engine, no run folder needed.

use hoist_model::reason::Trouble;
use jiff::Timestamp;

use super::names::{PROXY, SERVICE};
use crate::backend::{Backend, ContainerInfo, HealthStatus};
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
    /// As the engine says: `running`, `exited`, `restarting`, ...
    pub state: String,
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
    /// When it started last, where it has.
    pub since: Option<Timestamp>,
}

/// What is deployed of a project, in one environment or in all that are on this engine, sorted by
/// environment, service, release and replica.
///
/// # Errors
/// When the engine does not say.
pub async fn ps(
    backend: &dyn Backend,
    project: &str,
    environment: Option<&str>,
) -> Result<Vec<DeployedService>, Trouble> {
    let filter = [
        (labels::PROJECT, Some(project)),
        (labels::ROLE, Some(SERVICE)),
        (labels::ENVIRONMENT, environment),
    ];
    let failed =
        |error: crate::backend::BackendError| error.trouble("what is deployed cannot be read");
    let gates = [
        (labels::PROJECT, Some(project)),
        (labels::ROLE, Some(PROXY)),
        (labels::ENVIRONMENT, environment),
    ];
    let gates = backend.list_containers(&gates).await.map_err(failed)?;
    let mut services = Vec::new();
    for found in backend.list_containers(&filter).await.map_err(failed)? {
        let Some(info) = backend.inspect_container(&found.id).await.map_err(failed)? else {
            continue;
        };
        let label = |key: &str| info.labels.get(key).cloned().unwrap_or_default();
        services.push(DeployedService {
            environment: label(labels::ENVIRONMENT),
            service: label(labels::SERVICE),
            replica: label(labels::REPLICA).parse().unwrap_or(1),
            state: info.status.clone(),
            health: info.health.as_ref().map(|health| health.status),
            image: label(labels::IMAGE),
            release: label(labels::SEQUENCE).parse().unwrap_or(0),
            ports: match info.is_running() {
                true => ports(&info, &gates),
                false => Vec::new(),
            },
            // An engine says year 1 of one that never started.
            since: info
                .started_at
                .parse()
                .ok()
                .filter(|since| *since > Timestamp::UNIX_EPOCH),
            image_id: info.image,
            container: info.name,
        });
    }
    services.sort_by(|a, b| order(a).cmp(&order(b)));
    Ok(services)
}

/// The ports of a container and those of the proxies in front of its service.
fn ports(of: &ContainerInfo, gates: &[ContainerInfo]) -> Vec<String> {
    let same = |gate: &&ContainerInfo| {
        [labels::ENVIRONMENT, labels::SERVICE]
            .iter()
            .all(|key| gate.labels.get(*key) == of.labels.get(*key))
    };
    let running = gates.iter().filter(|gate| gate.is_running());
    let all = running.filter(same).chain([of]);
    all.flat_map(|one| &one.ports)
        .map(|port| published(port))
        .collect()
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
