//! Undoes one entry of the list. Each can be undone again: what is gone, done or taken already is
//! fine.

use crate::backend::{Backend, BackendError, BackendErrorKind};
use crate::reaper::Undo;

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
    backend.start_container(container).await
}
