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

use std::sync::Arc;

use hoist_model::inputs::{BuildInputs, Unsettled};
use hoist_model::reason::Trouble;

use crate::backend::{BuildRequest, ContextFolder};
use crate::context::UnitContext;
pub use explain::{ExplainError, explain};
pub(crate) use folder::Cache;
use parts::Contexts;
pub(crate) use records::Record;
use survey::Survey;

/// What a build is made of, as it was when it was looked at.
pub(crate) struct Examined {
    /// The parts. There is a digest only if nothing is unsettled.
    pub(crate) inputs: BuildInputs,
    /// What could not be told.
    pub(crate) unsettled: Vec<Unsettled>,
    contexts: Contexts,
}

/// Looks at everything that a build is made of. In the request's arguments an image of a step
/// stands by its ID.
pub(crate) async fn examine(
    context: &UnitContext,
    cache: &Arc<Cache>,
    request: &BuildRequest,
    added_labels: &std::collections::BTreeSet<String>,
) -> Examined {
    let (contexts, bases) = tokio::join!(contexts(cache, request), bases::find(context, request));
    let (contexts, mut unsettled) = match contexts {
        Ok(contexts) => (contexts, Vec::new()),
        Err(trouble) => (Contexts::default(), vec![Unsettled::Trouble(trouble)]),
    };
    unsettled.extend(bases.unsettled);
    let parts = parts::Parts {
        key: cache.key(),
        request,
        added_labels,
        contexts: &contexts,
        bases: &bases.images,
    };
    let mut inputs = BuildInputs {
        digest: None,
        parts: parts.all(),
    };
    if unsettled.is_empty() {
        inputs.digest = Some(parts::digest(&inputs.parts));
    }
    Examined {
        inputs,
        unsettled,
        contexts,
    }
}

impl Examined {
    /// Whether the contexts still are what they were.
    pub(crate) async fn holds(&self, cache: &Arc<Cache>, request: &BuildRequest) -> bool {
        let again = contexts(cache, request).await;
        again.is_ok_and(|again| again == self.contexts)
    }
}

/// The digests of all contexts, each looked at on a thread of its own.
async fn contexts(cache: &Arc<Cache>, request: &BuildRequest) -> Result<Contexts, Trouble> {
    let named = request
        .contexts
        .iter()
        .map(|(name, folder)| (Some(name.clone()), folder));
    let all = std::iter::once((None, &request.context)).chain(named);
    let all = all.map(|(name, folder)| async move { Ok((name, look(cache, folder).await?)) });
    futures_util::future::try_join_all(all)
        .await
        .map(|all| Contexts(all.into_iter().collect()))
}

async fn look(cache: &Arc<Cache>, folder: &ContextFolder) -> Result<String, Trouble> {
    let (cache, folder) = (Arc::clone(cache), folder.clone());
    let stop = survey::Stop::default();
    // A folder may be large: whoever is stopped meanwhile does not wait for it.
    let _guard = stop.clone().guard();
    let looked = tokio::task::spawn_blocking(move || {
        let survey = Survey::take(&cache, &folder, &stop)?;
        let digest = survey.digest.clone();
        // Without it the next look takes longer, and nothing else.
        let _ = survey.keep(&cache);
        Ok(digest)
    });
    looked.await.unwrap_or_else(|error| {
        Err(Trouble::new("a folder could not be read").cause(error.to_string()))
    })
}
