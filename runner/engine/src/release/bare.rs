//! A container that is made for what it holds and never started: a lock's name, a volume to be
//! filled.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::unit::{Limits, Restart, Security};
use tokio::time::sleep;

use crate::backend::{Attachment, Backend, BackendError, ContainerSpec, Labels, Logs};

/// How often a removal is tried, and the pause between.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// The least that a container can be.
pub(crate) fn bare(name: &str, image: &str, labels: Labels) -> ContainerSpec {
    ContainerSpec {
        name: name.to_owned(),
        image: image.to_owned(),
        entrypoint: None,
        // The engine makes no container of an image that has no command unless one is given.
        command: Some(vec!["hoist".to_owned()]),
        environment: BTreeMap::new(),
        working_dir: None,
        user: None,
        labels,
        network: Attachment::None,
        local_names: false,
        security: Security::default(),
        limits: Limits::SEALED,
        tmpfs: Vec::new(),
        mounts: Vec::new(),
        ports: Vec::new(),
        healthcheck: None,
        restart: Restart::No,
        logs: Logs::Discard,
        stop_grace_period: None,
        stop_signal: None,
        terminal: false,
    }
}

/// Removes such a container, and insists: what it holds could not be removed otherwise.
pub(crate) async fn discard(backend: &dyn Backend, container: &str) -> Result<(), BackendError> {
    let mut tries = 1;
    loop {
        match backend.remove_container(container).await {
            Err(_) if tries < TRIES => tries += 1,
            result => return result,
        }
        sleep(PAUSE).await;
    }
}
