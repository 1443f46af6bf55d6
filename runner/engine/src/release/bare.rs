//! Containers that do no work: one that is made for what it holds and never started, such as a
//! volume to be filled, and one that only waits for its input's end.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::unit::{Limits, Restart, Security};
use tokio::time::sleep;

use crate::backend::{Attachment, Backend, BackendError, ContainerSpec, Input, Labels, Logs};

/// How often what must not fail is tried, and the pause between.
pub(crate) const TRIES: usize = 3;
pub(crate) const PAUSE: Duration = Duration::from_millis(500);

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
        network: Attachment::Nothing,
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
        input: Input::None,
    }
}

/// A container that runs until its input ends. An image of the proxy surely has nothing else but the
/// proxy, which reads a file to its end before it says a word of it.
pub(crate) fn waiting(name: &str, image: &str, labels: Labels, input: Input) -> ContainerSpec {
    let command = ["haproxy", "-c", "-f", "/dev/stdin"];
    ContainerSpec {
        entrypoint: Some(Vec::new()),
        command: Some(command.map(str::to_owned).to_vec()),
        // Whose the input is.
        user: Some("0:0".to_owned()),
        security: Security {
            read_only: true,
            ..Security::default()
        },
        // It holds nothing that a grace would save.
        stop_signal: Some("SIGKILL".to_owned()),
        input,
        ..bare(name, image, labels)
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
