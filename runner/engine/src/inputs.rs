//! What a step is made of, told before anything is sent or started: the folders by their contents,
//! and all else that could make another image or another result. The same inputs on the same engine
//! come to the same, so a step whose inputs are known is not done again.
//!
//! Times of files are no input, as they are none to builders' own caches. What cannot be told for
//! certain is said to be unsettled; nothing is skipped then. It refuses to ask a registry.

mod bases;
mod container;
mod entry;
mod explain;
mod folder;
mod hashing;
mod key;
mod list;
mod manifest;
mod narrow;
mod parts;
mod records;
mod snapshot;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};
use hoist_model::inputs::{Input, Part, StepInputs, Unsettled};
use hoist_model::plan::PlannedStep;
use hoist_model::reason::Trouble;
use hoist_model::survey::Hint;
use hoist_model::unit::{BuildUnit, ContainerUnit};

use crate::backend::{BuildRequest, ContextFolder};
use crate::chores::Chores;
use crate::context::UnitContext;
use crate::unit::halt::Halt;
use crate::uploads::Uploads;
pub use explain::{ExplainError, explain};
pub(crate) use folder::{Cache, Shelf};
pub(crate) use narrow::Gaze;
pub(crate) use records::{Outcome, Record};
pub use snapshot::Snapshot;
use survey::{Stop, Survey, Walked};

/// What a step is made of, as far as that can be told without reading files.
pub(crate) struct Glance {
    cache: Arc<Cache>,
    /// Where steps of its kind are remembered.
    shelf: Shelf,
    /// All parts but the folders.
    rest: Vec<Input>,
    unsettled: Vec<Unsettled>,
    folders: Vec<(Part, Walked)>,
    chores: Chores,
}

/// What a step is made of, as it was when the folders were walked.
pub(crate) struct Examined {
    /// The parts. There is a digest only if nothing is unsettled.
    pub(crate) inputs: StepInputs,
    /// What could not be told.
    pub(crate) unsettled: Vec<Unsettled>,
    /// The digest of all parts but the folders.
    rest: String,
    folders: Vec<(Part, Arc<Survey>)>,
}

impl Glance {
    /// Walks the contexts of a build and looks the base images up. In the request's arguments an
    /// image of a step stands by its ID.
    pub(crate) async fn of_build(
        context: &UnitContext,
        cache: &Arc<Cache>,
        request: &BuildRequest,
        added_labels: &BTreeSet<String>,
    ) -> Self {
        let named = request.contexts.iter();
        let named = named.map(|(name, folder)| (Part::NamedContext(name.clone()), folder.clone()));
        let own = (Part::Context, request.context.clone());
        let folders = std::iter::once(own).chain(named).collect();
        let (folders, bases) = tokio::join!(walk(cache, folders), bases::find(context, request));
        let rest = parts::Parts {
            key: cache.key(),
            request,
            added_labels,
            bases: &bases.images,
        };
        let told = (rest.all(), bases.unsettled);
        Self::new(context, cache, Shelf::Builds, told, folders)
    }

    /// Resolves the images of a container and walks what it gets.
    pub(crate) async fn of_container(
        context: &UnitContext,
        cache: &Arc<Cache>,
        step: &PlannedStep,
        unit: &ContainerUnit,
    ) -> Result<Self, Halt> {
        let told = container::parts(context, cache.key(), step, unit).await?;
        let folders = walk(cache, told.folders).await;
        let told = (told.rest, told.unsettled);
        Ok(Self::new(context, cache, Shelf::Steps, told, folders))
    }

    fn new(
        context: &UnitContext,
        cache: &Arc<Cache>,
        shelf: Shelf,
        (rest, mut unsettled): (Vec<Input>, Vec<Unsettled>),
        folders: Result<Vec<(Part, Walked)>, Trouble>,
    ) -> Self {
        let folders = folders.unwrap_or_else(|trouble| {
            unsettled.push(Unsettled::Trouble(trouble));
            Vec::new()
        });
        Self {
            cache: Arc::clone(cache),
            shelf,
            rest,
            unsettled,
            folders,
            chores: context.made.chores.clone(),
        }
    }

    /// Whether it must be known before the step begins what the files hold: else nothing of the same
    /// inputs can be known, whatever they hold.
    pub(crate) fn may_be_known(&self, place: &str) -> bool {
        let rest = parts::digest(&self.rest);
        self.unsettled.is_empty() && records::any(&self.cache, self.shelf, &rest, place)
    }

    /// No file has to be read.
    pub(crate) fn is_whole(&self) -> bool {
        !self.folders.iter().any(|(_, walked)| walked.is_unread())
    }

    /// What people should know of the contexts of this request, which is the unit's.
    pub(crate) fn hints(&self, request: &BuildRequest, unit: &BuildUnit) -> Vec<Hint> {
        let hints = self.folders.iter().flat_map(|(part, walked)| {
            let (folder, shown) = match part {
                Part::NamedContext(name) => (request.contexts.get(name), name),
                _ => (Some(&request.context), &unit.context),
            };
            let ignorefile = folder.and_then(|folder| folder.ignore.name());
            let what = format!("the context `{shown}`");
            walked.signs.hints(&what, ignorefile)
        });
        hints.collect()
    }

    /// What the walks saw.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = (&Part, Snapshot)> {
        let folders = self.folders.iter();
        folders.map(|(part, walked)| (part, walked.snapshot()))
    }

    /// Reads the files that have to be read.
    pub(crate) async fn read(self) -> Examined {
        let (mut unsettled, cache) = (self.unsettled, self.cache);
        let folders = self.folders.into_iter().map(|(part, walked)| {
            let cache = Arc::clone(&cache);
            async move { (part, blocking(move |stop| walked.read(&cache, stop)).await) }
        });
        let (mut parts, mut surveys, mut keeping) = (Vec::new(), Vec::new(), Vec::new());
        for (part, survey) in join_all(folders).await {
            match survey {
                Ok(mut survey) => {
                    parts.push(parts::folder(part.clone(), &survey.digest));
                    keeping.extend(survey.unkept());
                    surveys.push((part, Arc::new(survey)));
                }
                Err(trouble) => unsettled.push(Unsettled::Trouble(trouble)),
            }
        }
        // Whoever asked what the step is made of need not wait for that.
        self.chores.begin(async move {
            let keep = move || keeping.into_iter().for_each(|it| it.keep(&cache));
            let _ = tokio::task::spawn_blocking(keep).await;
        });
        let rest = parts::digest(&self.rest);
        let digest = unsettled.is_empty().then(|| records::Digest {
            rest: rest.clone(),
            folders: parts::digest(&parts),
        });
        parts.extend(self.rest);
        parts.sort_by(|left, right| left.part.cmp(&right.part));
        Examined {
            inputs: StepInputs {
                digest: digest.as_ref().map(ToString::to_string),
                parts,
            },
            unsettled,
            rest,
            folders: surveys,
        }
    }
}

impl Examined {
    /// What the walks saw.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = (&Part, Snapshot)> {
        let folders = self.folders.iter();
        folders.map(|(part, survey)| (part, survey.snapshot()))
    }

    /// Under which it is kept what a builder looks at of the folders, whatever they hold.
    pub(crate) fn gaze_digest(&self) -> String {
        records::Digest::whatever_folders(&self.rest)
    }

    /// The digest of these inputs where only that counts of the folders.
    pub(crate) async fn narrow_digest(&self, gaze: Gaze) -> Option<String> {
        let (rest, folders) = (self.rest.clone(), self.folders.clone());
        let digest = blocking(move |_| {
            let folders = folders.iter().map(|(part, survey)| (part, &**survey));
            gaze.digest(rest, folders).map_err(|error| {
                Trouble::new("what was seen of a folder is gone").cause(error.to_string())
            })
        });
        // Then the step is done, as without it.
        digest.await.ok().map(|digest| digest.to_string())
    }

    /// What a builder looks at of the folders, once it has read them, and the digest of these inputs
    /// where only that counts. `None` where it looks at all or does not say.
    pub(crate) async fn narrowed(&self, uploads: &Uploads) -> Option<(Gaze, String)> {
        uploads.quiet().await;
        let gaze = Gaze::new(&uploads.wanted())?;
        let digest = self.narrow_digest(gaze.clone()).await?;
        Some((gaze, digest))
    }

    /// Whether nothing in the folders was touched since they were walked.
    pub(crate) async fn hold(&self) -> bool {
        let folders = self.folders.iter().map(|(_, survey)| Arc::clone(survey));
        let held = folders.map(|survey| blocking(move |_| Ok(survey.holds())));
        join_all(held)
            .await
            .into_iter()
            .all(|held| held == Ok(true))
    }

    /// Whether nothing in the folders was touched until a builder had read them. Looked at while
    /// the build goes on: what is written once all is read is in no image.
    pub(crate) async fn hold_until_read(&self, uploads: &Uploads) -> bool {
        let read = uploads.quiet().await;
        self.hold().await && (uploads.all().await == read || self.hold().await)
    }
}

/// All folders, each walked by a thread of its own.
async fn walk(
    cache: &Arc<Cache>,
    folders: Vec<(Part, ContextFolder)>,
) -> Result<Vec<(Part, Walked)>, Trouble> {
    let all = folders.into_iter().map(|(part, folder)| {
        let cache = Arc::clone(cache);
        async move {
            let walked = blocking(move |stop| Walked::walk(&cache, &folder, stop)).await?;
            Ok((part, walked))
        }
    });
    try_join_all(all).await
}

/// Does it on a thread that may block. A folder may be large: where nobody waits any more, it ends.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&Stop) -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    let stop = Stop::default();
    let _guard = stop.clone().guard();
    let done = tokio::task::spawn_blocking(move || work(&stop)).await;
    done.unwrap_or_else(|error| {
        Err(Trouble::new("a folder could not be read").cause(error.to_string()))
    })
}
