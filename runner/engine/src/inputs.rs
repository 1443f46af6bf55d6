//! What a build is made of, told before anything is sent: the contexts by their contents, and all
//! else that could make another image. The same inputs on the same engine make the same image, so a
//! build whose inputs are known is not done again.
//!
//! Times of files are no input, as they are none to builders' own caches. What cannot be told for
//! certain is said to be unsettled; nothing is skipped then. It refuses to ask a registry.

mod bases;
mod entry;
mod explain;
mod folder;
mod hashing;
mod key;
mod list;
mod manifest;
mod parts;
mod records;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};
use hoist_model::inputs::{BuildInputs, Input, Unsettled};
use hoist_model::reason::Trouble;
use hoist_model::survey::Hint;
use hoist_model::unit::BuildUnit;

use crate::backend::{BuildRequest, ContextFolder};
use crate::context::UnitContext;
pub use explain::{ExplainError, explain};
pub(crate) use folder::Cache;
pub(crate) use records::Record;
use survey::{Stop, Survey, Walked};

/// The build's own context has no name.
type Named<T> = Vec<(Option<String>, T)>;

/// What a build is made of, as far as that can be told without reading files.
pub(crate) struct Glance {
    cache: Arc<Cache>,
    /// All parts but the contexts.
    rest: Vec<Input>,
    unsettled: Vec<Unsettled>,
    contexts: Named<Walked>,
}

/// What a build is made of, as it was when the contexts were walked.
pub(crate) struct Examined {
    /// The parts. There is a digest only if nothing is unsettled.
    pub(crate) inputs: BuildInputs,
    /// What could not be told.
    pub(crate) unsettled: Vec<Unsettled>,
    contexts: Named<Survey>,
}

impl Glance {
    /// Walks the contexts and looks the base images up. In the request's arguments an image of a
    /// step stands by its ID.
    pub(crate) async fn take(
        context: &UnitContext,
        cache: &Arc<Cache>,
        request: &BuildRequest,
        added_labels: &BTreeSet<String>,
    ) -> Self {
        let (contexts, bases) = tokio::join!(walk(cache, request), bases::find(context, request));
        let mut unsettled = bases.unsettled;
        let contexts = contexts.unwrap_or_else(|trouble| {
            unsettled.push(Unsettled::Trouble(trouble));
            Vec::new()
        });
        let rest = parts::Parts {
            key: cache.key(),
            request,
            added_labels,
            bases: &bases.images,
        };
        Self {
            cache: Arc::clone(cache),
            rest: rest.all(),
            unsettled,
            contexts,
        }
    }

    /// Whether it must be known before the build begins what the files hold: else no build of the
    /// same inputs can be known, whatever they hold.
    pub(crate) fn may_be_known(&self, place: &str) -> bool {
        self.unsettled.is_empty() && Record::any(&self.cache, &parts::digest(&self.rest), place)
    }

    /// No file has to be read.
    pub(crate) fn is_whole(&self) -> bool {
        !self.contexts.iter().any(|(_, walked)| walked.is_unread())
    }

    /// What people should know of the contexts of this request, which is the unit's.
    pub(crate) fn hints(&self, request: &BuildRequest, unit: &BuildUnit) -> Vec<Hint> {
        let hints = self.contexts.iter().flat_map(|(name, walked)| {
            let (folder, shown) = match name {
                None => (Some(&request.context), &unit.context),
                Some(name) => (request.contexts.get(name), name),
            };
            let ignorefile = folder.and_then(|folder| folder.ignore.name());
            let what = format!("the context `{shown}`");
            walked.signs.hints(&what, ignorefile)
        });
        hints.collect()
    }

    /// Reads the files that have to be read.
    pub(crate) async fn read(self) -> Examined {
        let (mut unsettled, cache) = (self.unsettled, self.cache);
        let contexts = self.contexts.into_iter().map(|(name, walked)| {
            let cache = Arc::clone(&cache);
            async move { (name, blocking(move |stop| walked.read(&cache, stop)).await) }
        });
        let (mut parts, mut surveys) = (Vec::new(), Vec::new());
        for (name, survey) in join_all(contexts).await {
            match survey {
                Ok(survey) => {
                    parts.push(parts::context(name.clone(), &survey.digest));
                    surveys.push((name, survey));
                }
                Err(trouble) => unsettled.push(Unsettled::Trouble(trouble)),
            }
        }
        let digest = unsettled.is_empty().then(|| records::Digest {
            rest: parts::digest(&self.rest),
            contexts: parts::digest(&parts),
        });
        parts.extend(self.rest);
        parts.sort_by(|left, right| left.part.cmp(&right.part));
        Examined {
            inputs: BuildInputs {
                digest: digest.as_ref().map(ToString::to_string),
                parts,
            },
            unsettled,
            contexts: surveys,
        }
    }
}

impl Examined {
    /// Whether nothing in the contexts was touched since they were walked.
    pub(crate) async fn hold(self) -> bool {
        let contexts = self.contexts.into_iter();
        let held = contexts.map(|(_, survey)| blocking(move |_| Ok(survey.holds())));
        join_all(held)
            .await
            .into_iter()
            .all(|held| held == Ok(true))
    }
}

/// All contexts, each walked by a thread of its own.
async fn walk(cache: &Arc<Cache>, request: &BuildRequest) -> Result<Named<Walked>, Trouble> {
    let named = request.contexts.iter();
    let named = named.map(|(name, folder)| (Some(name.clone()), folder));
    let all = std::iter::once((None, &request.context)).chain(named);
    let all = all.map(|(name, folder): (_, &ContextFolder)| {
        let (cache, folder) = (Arc::clone(cache), folder.clone());
        async move {
            let walked = blocking(move |stop| Walked::walk(&cache, &folder, stop)).await?;
            Ok((name, walked))
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
