//! The volume of a history, and the container that holds it: one that runs, so that a prune spares
//! both. A history whose holder is gone is read through a container that is never started. It
//! refuses what bears the name and not the labels.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hoist_model::unit::Restart;
use uuid::Uuid;

use crate::archive::{self, ArchiveError, Bounds};
use crate::backend::{Backend, BackendError, BackendErrorKind, ByteStream, Input, Labels, Mount};
use crate::labels;
use crate::release::bare::{bare, discard, waiting};
use crate::release::names::{HOLDER, Place, STATE};

/// Where the volume is in its holder.
pub(super) const FOLDER: &str = "/state";
/// More than ten thousand releases.
const BOUNDS: Bounds = Bounds {
    bytes: 256 << 20,
    entries: 200_000,
};

/// What the engine has of a history.
#[derive(Default)]
pub(super) struct Found {
    /// What its holder runs on.
    pub(super) image: Option<String>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

/// Reads all that is in the volume, if there is one.
pub(super) async fn read(backend: &dyn Backend, place: &Place) -> Result<Found, BackendError> {
    let name = place.state();
    if let Some(holder) = backend.inspect_container(&name).await? {
        require(place, &holder.labels, HOLDER, &name)?;
        let files = unpack(place, backend.download(&holder.id, FOLDER).await?).await?;
        let image = Some(holder.image);
        return Ok(Found { image, files });
    }
    let Some(volume) = backend.inspect_volume(&name).await? else {
        return Ok(Found::default());
    };
    require(place, &volume.labels, STATE, &name)?;
    let image = None;
    let files = read_unheld(backend, place).await?;
    Ok(Found { image, files })
}

/// Reads a volume that no container has.
async fn read_unheld(
    backend: &dyn Backend,
    place: &Place,
) -> Result<BTreeMap<String, Vec<u8>>, BackendError> {
    let images = backend.list_images(&[]).await?;
    let Some(any) = images.first() else {
        let message = "there is no image on the engine through which the history could be read";
        return Err(BackendError::new(BackendErrorKind::NotFound, message));
    };
    let name = format!("{}-{}", place.state(), Uuid::now_v7().simple());
    let now = backend.info().await.map_or(0, |info| info.time);
    let mut spec = bare(&name, &any.id, labels::of_command(&place.project, now));
    spec.mounts = vec![mount(place, true)];
    let id = backend.create_container(&spec).await?;
    let files = async { unpack(place, backend.download(&id, FOLDER).await?).await }.await;
    let removed = discard(backend, &id).await;
    let files = files?;
    removed.map(|()| files)
}

async fn unpack(
    place: &Place,
    archive: ByteStream,
) -> Result<BTreeMap<String, Vec<u8>>, BackendError> {
    let files = archive::files(archive, BOUNDS).await;
    let files = files.map_err(|error| match error {
        ArchiveError::Backend(error) => error,
        error => BackendError::new(BackendErrorKind::Engine, error.to_string()),
    })?;
    let files = files.ok_or_else(|| {
        let most = BOUNDS.bytes >> 20;
        let message = format!("the volume {} holds more than {most} MiB", place.state());
        BackendError::new(BackendErrorKind::Engine, message)
    })?;
    let named = |(path, bytes): (PathBuf, _)| Some((path.to_str()?.to_owned(), bytes));
    Ok(files.into_iter().filter_map(named).collect())
}

/// Sees to it that the volume is there and its holder runs; gives the holder's ID.
pub(super) async fn ensure(
    backend: &dyn Backend,
    place: &Place,
    image: Option<&str>,
) -> Result<String, BackendError> {
    let name = place.state();
    if let Some(holder) = backend.inspect_container(&name).await? {
        require(place, &holder.labels, HOLDER, &name)?;
        if holder.is_running() || backend.start_container(&holder.id).await.is_ok() {
            return Ok(holder.id);
        }
        discard(backend, &holder.id).await?;
    }
    let image = image.ok_or_else(|| {
        let message = format!("the container {name}, which holds the history, is gone");
        BackendError::new(BackendErrorKind::NotFound, message)
    })?;
    backend.create_volume(&name, &place.labels(STATE)).await?;
    let volume = backend.inspect_volume(&name).await?.unwrap_or_default();
    require(place, &volume.labels, STATE, &name)?;
    let mut spec = waiting(&name, image, place.labels(HOLDER), Input::Open);
    spec.mounts = vec![mount(place, false)];
    spec.restart = Restart::Always;
    let id = backend.create_container(&spec).await?;
    match backend.start_container(&id).await {
        Ok(()) => Ok(id),
        Err(error) => {
            let _ = discard(backend, &id).await;
            Err(error)
        }
    }
}

/// The image that the holder of an environment's history runs on, if there is one.
pub(crate) async fn image(
    backend: &dyn Backend,
    place: &Place,
) -> Result<Option<String>, BackendError> {
    let holder = backend.inspect_container(&place.state()).await?;
    let holder = holder.filter(|holder| place.owns(&holder.labels, HOLDER));
    Ok(holder.map(|holder| holder.image))
}

/// What holds a history, by the engine's names.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) container: Option<String>,
    pub(crate) volume: Option<String>,
}

/// Takes away the holder of an environment's history, and the history with it if that is wanted.
/// Gives what there was.
pub(crate) async fn remove(
    backend: &dyn Backend,
    place: &Place,
    history: bool,
) -> Result<Held, BackendError> {
    let name = place.state();
    let holder = backend.inspect_container(&name).await?;
    let holder = holder.filter(|holder| place.owns(&holder.labels, HOLDER));
    if let Some(holder) = &holder {
        discard(backend, &holder.id).await?;
    }
    let volume = backend.inspect_volume(&name).await?;
    let volume = volume.filter(|volume| place.owns(&volume.labels, STATE));
    if volume.is_some() && history {
        backend.remove_volume(&name).await?;
    }
    Ok(Held {
        container: holder.map(|holder| holder.name),
        volume: volume.map(|volume| volume.name),
    })
}

fn mount(place: &Place, read_only: bool) -> Mount {
    Mount {
        volume: place.state(),
        target: FOLDER.to_owned(),
        read_only,
        populate: false,
    }
}

/// What is there is this environment's.
fn require(place: &Place, found: &Labels, role: &str, name: &str) -> Result<(), BackendError> {
    if place.owns(found, role) {
        return Ok(());
    }
    let message = format!(
        "something else is called {name}, the name of what holds the history of {}",
        place.environment
    );
    Err(BackendError::new(BackendErrorKind::Conflict, message))
}
