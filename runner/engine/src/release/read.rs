//! Reads what is deployed in an environment from the labels of its objects.

use futures_util::future::{join_all, try_join_all};

use super::aside;
use super::drift;
use super::journal::Known;
use super::names::{DATA, NETWORK, PROXY, Place, SECRETS, SERVICE};
use super::perform::lead;
use super::proxy::{Front, listened};
use super::shared;
use super::state::{Deployed, DeployedGate, DeployedNetwork, Generation};
use crate::backend::{
    Backend, BackendError, ContainerInfo, EngineInfo, Labels, NetworkInfo, VolumeInfo,
};
use crate::labels;

/// What is deployed, beside the history of it. Objects without the environment's labels are not seen.
pub(crate) async fn read(
    backend: &dyn Backend,
    place: &Place,
    history: &Known,
) -> Result<Deployed, BackendError> {
    Ok(objects(backend, place).await?.beside(history))
}

/// What the engine has of an environment.
pub(crate) struct Objects {
    services: Vec<ContainerInfo>,
    gates: Vec<DeployedGate>,
    networks: Vec<NetworkInfo>,
    data: Vec<VolumeInfo>,
    secrets: Vec<VolumeInfo>,
    info: EngineInfo,
}

/// Reads all but the history.
pub(crate) async fn objects(backend: &dyn Backend, place: &Place) -> Result<Objects, BackendError> {
    let (services, data) = (place.filter(SERVICE), place.filter(DATA));
    let (networks, secrets) = (place.filter(NETWORK), place.filter(SECRETS));
    let (services, gates, networks, data, secrets, info) = tokio::try_join!(
        backend.list_containers(&services),
        gates(backend, place),
        backend.list_networks(&networks),
        backend.list_volumes(&data),
        backend.list_volumes(&secrets),
        backend.info(),
    )?;
    // A list tells neither health nor restart policy.
    let found = services.iter();
    let found = try_join_all(found.map(|found| backend.inspect_container(&found.id))).await?;
    Ok(Objects {
        services: found.into_iter().flatten().collect(),
        gates,
        networks,
        data,
        secrets,
        info,
    })
}

impl Objects {
    /// What they tell, beside what the history does.
    pub(crate) fn beside(self, history: &Known) -> Deployed {
        let generation = |found: &ContainerInfo| {
            let read = Generation::read(found);
            let record = drift::record(history, &read.service, read.sequence);
            Generation {
                drift: drift::of(found, record, &self.info.enforces),
                ..read
            }
        };
        let label = |labels: &Labels| labels.get(labels::NAME).cloned().unwrap_or_default();
        Deployed {
            generations: self.services.iter().map(generation).collect(),
            networks: self
                .networks
                .iter()
                .map(|info| (label(&info.labels), DeployedNetwork::read(info)))
                .collect(),
            volumes: self
                .data
                .into_iter()
                .map(|info| (label(&info.labels), info.name))
                .collect(),
            secrets: self.secrets.into_iter().map(|info| info.name).collect(),
            gates: self.gates,
            serving: history.serving(),
            ended: history.ended(),
        }
    }
}

/// The gates of an environment: those that are its own, and those of the host that it has a part of.
pub(super) async fn gates(
    backend: &dyn Backend,
    place: &Place,
) -> Result<Vec<DeployedGate>, BackendError> {
    let own = place.filter(PROXY);
    let (own, shared) = tokio::try_join!(backend.list_containers(&own), shared::all(backend))?;
    let mut gates: Vec<DeployedGate> = own.iter().filter_map(DeployedGate::read).collect();
    let configs = gates.iter().map(|gate| lead::get(backend, &gate.id));
    let configs = join_all(configs).await;
    for (gate, config) in gates.iter_mut().zip(configs) {
        let config = config.unwrap_or_default();
        gate.fronts = Front::read(&config);
        gate.aside = aside::services(&config);
        gate.inner = listened(&config);
    }
    for (container, shares, text) in shared {
        let Some(known) = DeployedGate::read(&container) else {
            continue;
        };
        let others = shares.others(place).map(|share| share.place.clone());
        if let Some(share) = shares.of(place) {
            let services = share.services.iter();
            gates.push(DeployedGate {
                addresses: share.addresses.clone(),
                fronts: services
                    .map(|(name, listen)| (name.clone(), listen.front.clone()))
                    .collect(),
                aside: aside::services_of(&text, place),
                others: others.collect(),
                ..known
            });
        }
    }
    Ok(gates)
}
