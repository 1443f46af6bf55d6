//! What a step puts on the engine for its own time, and its removal. Names are noted before an
//! object is made, so that one whose making was never answered goes, too.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;

use crate::backend::{Backend, BackendError};
use crate::context::UnitContext;

/// Before each further try to remove something.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
];

/// What is to be removed. Shared by all that is made at once.
#[derive(Debug, Default)]
pub(crate) struct Litter(Mutex<Noted>);

/// Containers and networks by name or ID, volumes by name.
#[derive(Debug, Default)]
struct Noted {
    containers: Vec<String>,
    volumes: Vec<String>,
    networks: Vec<String>,
}

impl Litter {
    /// Notes a container.
    pub(crate) fn container(&self, name: &str) {
        self.lock().containers.push(name.to_owned());
    }

    /// Notes a volume.
    pub(crate) fn volume(&self, name: &str) {
        self.lock().volumes.push(name.to_owned());
    }

    /// Notes a network.
    pub(crate) fn network(&self, name: &str) {
        self.lock().networks.push(name.to_owned());
    }

    /// Takes a note back.
    pub(crate) fn forget_container(&self, name: &str) {
        self.lock().containers.retain(|noted| noted != name);
    }

    /// Takes a note back, now that the network's ID is known.
    pub(crate) fn network_is(&self, name: &str, id: &str) {
        let mut noted = self.lock();
        noted.networks.retain(|noted| noted != name);
        noted.networks.push(id.to_owned());
    }

    /// Removes one container now.
    pub(crate) async fn remove_container(&self, backend: &dyn Backend, name: &str) {
        if backend.remove_container(name).await.is_ok() {
            self.forget_container(name);
        }
    }

    /// Removes everything: containers first, then what only they used. What cannot be removed is
    /// said; the end of the run takes it by its label.
    pub(crate) async fn clear(&self, context: &UnitContext) {
        for (name, result) in self.all(context.backend.as_ref()).await {
            if let Err(error) = result {
                let message = format!("{name} could not be removed yet: {error}");
                context.output.line(&message).await;
            }
        }
    }

    /// The same when there is no step any more to which it could be said.
    pub(crate) async fn remove(&self, backend: &dyn Backend) {
        self.all(backend).await;
    }

    async fn all(&self, backend: &dyn Backend) -> Vec<(String, Result<(), BackendError>)> {
        let noted = std::mem::take(&mut *self.lock());
        let mut results = each(backend, Kind::Container, noted.containers).await;
        let (volumes, networks) = tokio::join!(
            each(backend, Kind::Volume, noted.volumes),
            each(backend, Kind::Network, noted.networks),
        );
        results.extend(volumes.into_iter().chain(networks));
        results
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Container,
    Volume,
    Network,
}

/// Removes all of these at once; gives what became of each.
async fn each(
    backend: &dyn Backend,
    kind: Kind,
    names: Vec<String>,
) -> Vec<(String, Result<(), BackendError>)> {
    let all = names.into_iter().map(|name| async move {
        let result = persist(backend, kind, &name).await;
        (name, result)
    });
    join_all(all).await
}

async fn persist(backend: &dyn Backend, kind: Kind, name: &str) -> Result<(), BackendError> {
    for pause in PAUSES {
        if remove(backend, kind, name).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
    }
    remove(backend, kind, name).await
}

async fn remove(backend: &dyn Backend, kind: Kind, name: &str) -> Result<(), BackendError> {
    match kind {
        Kind::Container => backend.remove_container(name).await,
        Kind::Volume => backend.remove_volume(name).await,
        Kind::Network => backend.remove_network(name).await,
    }
}
