//! Takes away what hoist deployed in an environment, and nothing else. Data goes only when asked.

use std::future::pending;
use std::sync::Arc;

use hoist_model::reason::Trouble;

use super::lock::Lock;
use super::names::{NETWORK, Place};
use super::read::read;
use super::state::{Deployed, Generation, Life, dependents_first};
use crate::backend::{Backend, BackendError, Labels};

/// What was taken away, by the engine's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Containers of services.
    pub containers: Vec<String>,
    /// Networks.
    pub networks: Vec<String>,
    /// Volumes with data.
    pub volumes: Vec<String>,
    /// Volumes with data that were left.
    pub kept: Vec<String>,
}

/// Removes what is deployed in an environment: services, each before those that it needs and with
/// its own grace, their secrets, and networks; with `volumes` its data too. `labels` are those of
/// whoever asks, for the lock. Where nothing is deployed there is nothing to do.
///
/// # Errors
/// When another deploy is under way, or the engine would not; what is left can be removed by calling
/// again.
pub async fn down(
    backend: &Arc<dyn Backend>,
    project: &str,
    environment: &str,
    volumes: bool,
    labels: &Labels,
) -> Result<Removed, Trouble> {
    let place = Place::new(project, environment);
    let reading = |error: BackendError| error.trouble("what is deployed cannot be read");
    let deployed = read(backend.as_ref(), &place).await.map_err(reading)?;
    // A lock needs some image; without a container there is none at hand, nor a service to protect.
    let lock = match deployed.generations.first() {
        Some(any) => Some(Lock::take(backend, &place, &any.image, labels, pending::<()>()).await?),
        None => None,
    };
    let result = async {
        // Read again: a deploy may have ended between.
        let deployed = read(backend.as_ref(), &place).await.map_err(reading)?;
        remove(backend.as_ref(), &place, &deployed, volumes).await
    }
    .await;
    if let Some(lock) = lock {
        let released = lock.release().await;
        released
            .map_err(|error| error.trouble(format!("the lock of {environment} is left over")))?;
    }
    result
}

async fn remove(
    backend: &dyn Backend,
    place: &Place,
    deployed: &Deployed,
    volumes: bool,
) -> Result<Removed, Trouble> {
    let mut removed = Removed::default();
    let what = |what: &str, name: &str| format!("the {what} {name} cannot be removed");
    for old in dependents_first(&deployed.generations.iter().collect::<Vec<&Generation>>()) {
        let failed = |error: BackendError| error.trouble(what("container", &old.name));
        if old.life == Life::Running {
            backend
                .stop_container(&old.id, old.grace)
                .await
                .map_err(failed)?;
        }
        backend.remove_container(&old.id).await.map_err(failed)?;
        removed.containers.push(old.name.clone());
    }
    for secrets in &deployed.secrets {
        let gone = backend.remove_volume(secrets).await;
        gone.map_err(|error| error.trouble(what("volume", secrets)))?;
    }
    let networks = backend.list_networks(&place.filter(NETWORK)).await;
    for network in networks.map_err(|error| error.trouble("networks cannot be listed"))? {
        let gone = backend.remove_network(&network.id).await;
        gone.map_err(|error| {
            let trouble = error.trouble(what("network", &network.name));
            trouble.hint("disconnect the containers of others that are still on it")
        })?;
        removed.networks.push(network.name);
    }
    for volume in deployed.volumes.values() {
        if volumes {
            let gone = backend.remove_volume(volume).await;
            gone.map_err(|error| error.trouble(what("volume", volume)))?;
            removed.volumes.push(volume.clone());
        } else {
            removed.kept.push(volume.clone());
        }
    }
    Ok(removed)
}
