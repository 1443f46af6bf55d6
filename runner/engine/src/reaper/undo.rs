//! Undoes one entry of the list. Each can be undone again: what is gone, done or taken already is
//! fine.

use std::time::Duration;

use crate::backend::{Backend, BackendError, BackendErrorKind};
use crate::reaper::Undo;

/// What is left of the grace of a container that was being stopped: an outage is worse than an
/// abrupt end.
const GRACE: Duration = Duration::from_secs(2);

/// Undoes an entry on its engine.
///
/// # Errors
/// The engine's.
pub(crate) async fn undo(backend: &dyn Backend, entry: &Undo) -> Result<(), BackendError> {
    let done = match entry {
        Undo::Untag { tag, .. } => backend.untag_image(tag).await,
        Undo::RemoveContainer { container, .. } => backend.remove_container(container).await,
        Undo::Restore {
            container, name, ..
        } => restore(backend, container, name).await,
        Undo::RemoveVolume { volume, .. } => backend.remove_volume(volume).await,
        Undo::RemoveNetwork { network, .. } => backend.remove_network(network).await,
    };
    match done {
        Err(error) if error.kind == BackendErrorKind::NotFound => Ok(()),
        done => done,
    }
}

async fn restore(backend: &dyn Backend, container: &str, name: &str) -> Result<(), BackendError> {
    let Some(found) = backend.inspect_container(container).await? else {
        return Ok(());
    };
    if found.name != name {
        backend.rename_container(container, name).await?;
    }
    if found.is_running() {
        // Its owner died while it was being stopped. An engine goes on with that alone, and would
        // end what is started now.
        backend.stop_container(container, GRACE).await?;
    }
    backend.start_container(container).await
}
