//! Removes one thing. Who may use it by now is asked again where the engine does not refuse by
//! itself.

use std::future::ready;
use std::path::Path;

use hoist_model::gc::Item;

use crate::backend::BackendErrorKind as Kind;
use crate::labels;
use crate::release::{LOCK_WAIT, Lock, Place, proxy_of};

use super::Scope;
use super::find::{half_gone, is_superseded, runs_elsewhere};

/// Why something is left that nothing held a moment ago.
const BEGAN: &str = "a run has begun that may use it";

/// What the folder of a run is called while it goes: no reader takes that for a run's, and a folder
/// that was left half gone is known by it.
pub(super) const GOING: &str = "going-";

/// Removes the folder of a run, and those that were left half gone.
pub(super) async fn run(root: &Path, id: &str) -> Result<(), String> {
    let (root, id) = (root.to_owned(), id.to_owned());
    let removing = tokio::task::spawn_blocking(move || {
        let runs = root.join(".hoist").join("runs");
        let renamed = std::fs::rename(runs.join(&id), runs.join(format!("{GOING}{id}")));
        match renamed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        half_gone(&root)
            .iter()
            .try_for_each(std::fs::remove_dir_all)
    });
    match removing.await {
        Ok(removed) => removed.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Removes an image with its names.
pub(super) async fn image(scope: &Scope<'_>, image: &Item) -> Result<(), String> {
    let (backend, id) = (scope.backend.as_ref(), &image.id);
    // Its names go first, so that it is asked before what the engine refuses only then.
    let containers = backend
        .list_containers(&[])
        .await
        .map_err(|e| e.to_string())?;
    if let Some(user) = containers.iter().find(|container| container.image == *id) {
        return Err(format!("the container {} uses it now", user.name));
    }
    if runs_elsewhere(scope, &containers, &image.group) {
        return Err(BEGAN.to_owned());
    }
    match backend.delete_image(id).await {
        Err(error) if error.kind == Kind::Conflict => Err("another image needs it".to_owned()),
        removed => removed.map_err(|error| error.to_string()),
    }
}

/// Removes a cache.
pub(super) async fn cache(scope: &Scope<'_>, cache: &Item) -> Result<(), String> {
    let project = cache.group.split('/').next().unwrap_or_default();
    let runs = [(labels::PROJECT, Some(project)), (labels::RUN, None)];
    let containers = scope.backend.list_containers(&runs).await;
    let containers = containers.map_err(|error| error.to_string())?;
    if runs_elsewhere(scope, &containers, project) {
        return Err(BEGAN.to_owned());
    }
    match scope.backend.remove_volume(&cache.id).await {
        Err(error) if error.kind == Kind::Conflict => Err("a container uses it".to_owned()),
        removed => removed.map_err(|error| error.to_string()),
    }
}

/// Removes a stopped container of a release and the secrets that were its own, under the lock of
/// its environment.
pub(super) async fn release(scope: &Scope<'_>, id: &str) -> Result<(), String> {
    let backend = scope.backend;
    let found = backend.inspect_container(id).await;
    let Some(found) = found.map_err(|error| error.to_string())? else {
        return Ok(());
    };
    let environment = found.labels.get(labels::ENVIRONMENT);
    let place = Place::new(&scope.plan.name, environment.map_or("", String::as_str));
    let now = backend.info().await.map_or(0, |info| info.time);
    let asking = labels::of_command(&scope.plan.name, now);
    let proxy = proxy_of(backend.as_ref(), &place).await;
    let image = proxy
        .map_err(|error| error.to_string())?
        .unwrap_or(found.image);
    let lock = Lock::take(backend, &place, &image, &asking, LOCK_WAIT, ready(())).await;
    let lock = lock.map_err(|trouble| trouble.what)?;
    let removed = under_lock(scope, id).await;
    lock.release().await.map_err(|error| error.to_string())?;
    removed
}

async fn under_lock(scope: &Scope<'_>, id: &str) -> Result<(), String> {
    let backend = scope.backend.as_ref();
    let filter = [
        (labels::PROJECT, Some(scope.plan.name.as_str())),
        (labels::ENVIRONMENT, None),
    ];
    let all = backend
        .list_containers(&filter)
        .await
        .map_err(|e| e.to_string())?;
    let all: Vec<_> = all.iter().collect();
    let Some(found) = all.iter().find(|found| found.id == id) else {
        return Ok(());
    };
    if !is_superseded(found, &all) {
        return Err("it may be what is to serve".to_owned());
    }
    let mounts = backend.inspect_container(id).await.ok().flatten();
    let mounts = mounts.map(|info| info.mounts).unwrap_or_default();
    backend
        .remove_container(id)
        .await
        .map_err(|e| e.to_string())?;
    for mount in mounts
        .iter()
        .filter(|mount| mount.target == crate::vault::FOLDER)
    {
        // A newer release may have the same.
        match backend.remove_volume(&mount.volume).await {
            Err(error) if error.kind != Kind::Conflict => return Err(error.to_string()),
            _ => {}
        }
    }
    Ok(())
}
