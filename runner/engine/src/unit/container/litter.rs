//! What a step puts on the engine for its own time, and its removal. Names are noted before an
//! object is made, so that one whose making was never answered goes, too.

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

/// What is to be removed: containers by name or ID, volumes by name.
#[derive(Debug, Default)]
pub(crate) struct Litter {
    containers: Vec<String>,
    volumes: Vec<String>,
}

impl Litter {
    /// Notes a container.
    pub(crate) fn container(&mut self, name: &str) {
        self.containers.push(name.to_owned());
    }

    /// Notes a volume.
    pub(crate) fn volume(&mut self, name: &str) {
        self.volumes.push(name.to_owned());
    }

    /// Takes a note back.
    pub(crate) fn forget_container(&mut self, name: &str) {
        self.containers.retain(|noted| noted != name);
    }

    /// Removes one container now.
    pub(crate) async fn remove_container(&mut self, backend: &dyn Backend, name: &str) {
        if backend.remove_container(name).await.is_ok() {
            self.containers.retain(|noted| noted != name);
        }
    }

    /// Removes everything. What cannot be removed is said; the end of the run takes it by its label.
    pub(crate) async fn clear(self, context: &UnitContext) {
        let backend = context.backend.as_ref();
        let containers = self
            .containers
            .iter()
            .map(|name| async move { (name, persist(|| backend.remove_container(name)).await) });
        let containers = join_all(containers).await;
        let volumes = self
            .volumes
            .iter()
            .map(|name| async move { (name, persist(|| backend.remove_volume(name)).await) });
        let volumes = join_all(volumes).await;
        for (name, result) in containers.into_iter().chain(volumes) {
            if let Err(error) = result {
                let message = format!("{name} could not be removed yet: {error}");
                context.output.line(&message).await;
            }
        }
    }
}

async fn persist<F: Future<Output = Result<(), BackendError>>>(
    remove: impl Fn() -> F,
) -> Result<(), BackendError> {
    for pause in PAUSES {
        if remove().await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
    }
    remove().await
}
