//! Reads what is deployed in an environment from the labels of its objects.

use super::names::{DATA, NETWORK, Place, SECRETS, SERVICE};
use super::state::{Deployed, DeployedNetwork, Generation};
use crate::backend::{Backend, BackendError};
use crate::labels;

/// What is deployed. Objects without the environment's labels are not seen.
pub(crate) async fn read(backend: &dyn Backend, place: &Place) -> Result<Deployed, BackendError> {
    let mut deployed = Deployed::default();
    for found in backend.list_containers(&place.filter(SERVICE)).await? {
        // A list tells neither health nor restart policy.
        if let Some(info) = backend.inspect_container(&found.id).await? {
            deployed.generations.push(Generation::read(&info));
        }
    }
    for info in backend.list_networks(&place.filter(NETWORK)).await? {
        let name = info.labels.get(labels::NAME).cloned().unwrap_or_default();
        deployed.networks.insert(name, DeployedNetwork::read(&info));
    }
    for info in backend.list_volumes(&place.filter(DATA)).await? {
        let name = info.labels.get(labels::NAME).cloned().unwrap_or_default();
        deployed.volumes.insert(name, info.name);
    }
    let secrets = backend.list_volumes(&place.filter(SECRETS)).await?;
    deployed.secrets = secrets.into_iter().map(|info| info.name).collect();
    Ok(deployed)
}
