//! Removes what runs leave behind, as [`hoist_model::gc`] decides: run folders, images that hoist
//! built, caches, and stopped containers of earlier releases.
//!
//! It refuses to touch what lacks hoist's labels, what is in use, and anything of a run or a deploy
//! that goes on. What others remove at the same time is fine.

mod find;
mod remove;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hoist_model::gc::{Collection, Item, Kind, Policy, collect};
use hoist_model::ids::RunId;
use hoist_model::plan::Plan;
use hoist_model::reason::Trouble;
use jiff::Timestamp;

use crate::backend::Backend;

/// The file whose time is that of the last collection by a run.
const STAMP: &str = "gc";

/// What is looked at.
pub struct Scope<'a> {
    /// The engine.
    pub backend: &'a Arc<dyn Backend>,
    /// The project's root.
    pub root: &'a Path,
    /// The project's plan: its name, and the names that it gives to images.
    pub plan: &'a Plan,
    /// Other projects' images and caches on the engine, too.
    pub all_projects: bool,
    /// The run in whose close phase this happens, if it is one.
    pub own: Option<RunId>,
}

/// Something that was to go.
#[derive(Clone, Debug)]
pub struct Gone {
    /// What.
    pub item: Item,
    /// Why it is still there, if it is.
    pub failure: Option<String>,
}

/// Finds all that may go and decides what does. Changes nothing.
///
/// # Errors
/// When the run folders or the engine's objects cannot be listed.
pub async fn plan(scope: &Scope<'_>, policy: &Policy) -> Result<Collection, Trouble> {
    let items = find::items(scope).await?;
    Ok(collect(items, policy, Timestamp::now()))
}

/// Removes what is to go, runs before what they refer to. One thing that cannot be removed does not
/// keep the others.
pub async fn remove(scope: &Scope<'_>, collection: &Collection) -> Vec<Gone> {
    let mut gone = Vec::new();
    for (item, _) in collection.going() {
        let removed = match item.kind {
            Kind::Run => remove::run(scope.root, &item.id).await,
            Kind::Image => remove::image(scope, item).await,
            Kind::Cache => remove::cache(scope, item).await,
            Kind::Release => remove::release(scope, &item.id).await,
        };
        gone.push(Gone {
            item: item.clone(),
            failure: removed.err(),
        });
    }
    gone
}

/// Whether so much time has passed since the last collection by a run; notes one that begins now.
pub(crate) fn is_due(root: &Path, every: Duration) -> bool {
    let path = root.join(".hoist").join("cache").join(STAMP);
    let last = std::fs::metadata(&path).and_then(|data| data.modified());
    let now = SystemTime::now();
    if last.is_ok_and(|last| now.duration_since(last).unwrap_or_default() < every) {
        return false;
    }
    let folder = path.parent().map(std::fs::create_dir_all);
    // Where it cannot be noted it would be done in each run.
    folder.is_some_and(|made| made.is_ok()) && std::fs::write(&path, []).is_ok()
}
