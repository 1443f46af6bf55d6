//! Takes away what hoist deployed in an environment, and nothing else. Data goes only when asked.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::reason::Trouble;

use super::gate::Gate;
use super::journal::{self, Known};
use super::lock::{LOCK_WAIT, Lock};
use super::names::{ALL_SHARED, HOOK, NETWORK, PROXY, Place, SECRETS};
use super::read::read;
use super::shared::Shared;
use super::state::{Deployed, Generation, Life, dependents_first};
use crate::backend::{Backend, BackendError, Labels};
use crate::labels;

/// What was taken away, by the engine's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Containers of services, of what leads to them, and of what held the history.
    pub containers: Vec<String>,
    /// Networks.
    pub networks: Vec<String>,
    /// Volumes with data, and the one with the history.
    pub volumes: Vec<String>,
    /// Those of them that were left.
    pub kept: Vec<String>,
}

/// Removes what is deployed in an environment: services, each before those that it needs and with
/// its own grace, their secrets, and networks; with `volumes` its data and its history too. `labels` are
/// those of whoever asks, for the lock; `proxy` is an image that has the proxy, for the lock where no
/// history is held. Where nothing is deployed there is nothing to do.
///
/// # Errors
/// When another deploy is under way, or the engine would not; what is left can be removed by calling
/// again.
pub async fn down(
    backend: &Arc<dyn Backend>,
    project: &str,
    environment: &str,
    volumes: bool,
    proxy: &str,
    labels: &Labels,
) -> Result<Removed, Trouble> {
    let place = Place::new(project, environment);
    let reading = |error: BackendError| error.trouble("what is deployed cannot be read");
    let deployed = read(backend.as_ref(), &place, &Known::default()).await;
    let deployed = deployed.map_err(reading)?;
    let image = journal::image(backend.as_ref(), &place).await;
    let image = image.map_err(reading)?;
    let lock = match image.as_deref() {
        // There is no service to protect.
        None if deployed.generations.is_empty() => None,
        image => {
            let image = image.unwrap_or(proxy);
            let stopped = pending::<()>();
            Some(Lock::take(backend, &place, image, labels, LOCK_WAIT, stopped).await?)
        }
    };
    let result = async {
        let history = Known::default();
        let deployed = read(backend.as_ref(), &place, &history)
            .await
            .map_err(reading)?;
        remove(backend, &place, &deployed, volumes, labels).await
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
    backend: &Arc<dyn Backend>,
    place: &Place,
    deployed: &Deployed,
    volumes: bool,
    labels: &Labels,
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
    for role in [PROXY, HOOK] {
        let found = backend.list_containers(&place.filter(role)).await;
        for other in found.map_err(|error| error.trouble("containers cannot be listed"))? {
            let gone = backend.remove_container(&other.id).await;
            gone.map_err(|error| error.trouble(what("container", &other.name)))?;
            removed.containers.push(other.name);
        }
    }
    let gone = leave_shared(backend, place, labels).await?;
    removed.containers.extend(gone);
    let backend = backend.as_ref();
    for role in [SECRETS, PROXY, HOOK] {
        let found = backend.list_volumes(&place.filter(role)).await;
        for volume in found.map_err(|error| error.trouble("volumes cannot be listed"))? {
            let gone = backend.remove_volume(&volume.name).await;
            gone.map_err(|error| error.trouble(what("volume", &volume.name)))?;
        }
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
    remove_history(backend, place, volumes, &mut removed).await?;
    Ok(removed)
}

/// Takes the environment's part of each proxy away that is the host's. Gives those that went with it.
async fn leave_shared(
    backend: &Arc<dyn Backend>,
    place: &Place,
    labels: &Labels,
) -> Result<Vec<String>, Trouble> {
    let found = backend.list_containers(&ALL_SHARED).await;
    let found = found.map_err(|error| error.trouble("containers cannot be listed"))?;
    let mut gone = Vec::new();
    for container in found {
        let gate = container.labels.get(labels::GATE);
        let Some(gate) = gate.and_then(|gate| Gate::read(gate)) else {
            continue;
        };
        let shared = Shared {
            backend,
            gate: &gate,
            image: &container.image,
            labels,
        };
        let left = async {
            match shared.concerns(&container.id, place).await? {
                true => shared.withdraw(place, Duration::ZERO).await,
                false => Ok(false),
            }
        };
        let left = left.await;
        let what = format!("the part of {place} in {gate:#} cannot be removed");
        if left.map_err(|error| error.trouble(what))? {
            gone.push(container.name);
        }
    }
    Ok(gone)
}

async fn remove_history(
    backend: &dyn Backend,
    place: &Place,
    volumes: bool,
    removed: &mut Removed,
) -> Result<(), Trouble> {
    let failed = |error: BackendError| {
        error.trouble(format!(
            "the history of {} cannot be removed",
            place.environment
        ))
    };
    let held = journal::remove(backend, place, volumes).await;
    let held = held.map_err(failed)?;
    removed.containers.extend(held.container);
    match volumes {
        true => removed.volumes.extend(held.volume),
        false => removed.kept.extend(held.volume),
    }
    Ok(())
}
