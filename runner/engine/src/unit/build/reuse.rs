//! Whether a build is to run at all: its inputs are looked at first, and the image that an earlier
//! run made of the same ones is taken instead. What was built is remembered only if its inputs held
//! still meanwhile. It refuses to skip what the file or the user wants done anew.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use hoist_model::event::EventKind;
use hoist_model::image::ImageIdentity;
use hoist_model::inputs::{BuildInputs, Decision, EarlierBuild, Force, Unsettled};
use hoist_model::plan::PlannedStep;
use hoist_model::reason::Trouble;
use hoist_model::unit::BuildUnit;

use crate::backend::BuildRequest;
use crate::context::UnitContext;
use crate::inputs::{Cache, Examined, Record, examine};
use crate::unit::halt::{Halt, unless_stopped};

/// What earlier builds of the project are known by.
pub(super) struct Memory {
    cache: Result<Arc<Cache>, Trouble>,
    /// The engine's ID.
    engine: String,
}

/// A build that was looked at.
pub(super) struct Looked {
    /// The image that is there already, and where it comes from.
    pub(super) image: Option<(ImageIdentity, EarlierBuild)>,
    /// Of the inputs, while they are settled.
    digest: Option<String>,
    examined: Option<Examined>,
}

impl Memory {
    pub(super) async fn open(context: &UnitContext) -> Result<Self, Halt> {
        let info = context.backend.info().await;
        let info = info.map_err(|error| Halt::surroundings("the engine is not known", &error))?;
        let cache = Cache::open(&context.root);
        Ok(Self {
            cache: cache.map(Arc::new),
            engine: info.id,
        })
    }

    /// Looks at a build's inputs and says what they are. In the request's arguments images of steps
    /// stand by their IDs.
    pub(super) async fn look(
        &self,
        context: &UnitContext,
        step: &PlannedStep,
        unit: &BuildUnit,
        request: &BuildRequest,
    ) -> Result<Looked, Halt> {
        let mut examined = None;
        if let Ok(cache) = &self.cache {
            let examine = examine(context, cache, request, &unit.added_labels);
            examined = Some(unless_stopped(context, async { Ok::<_, Halt>(examine.await) }).await?);
        }
        let (decision, image) = self.decide(context, request, examined.as_ref()).await?;
        let inputs = match &examined {
            Some(examined) => examined.inputs.clone(),
            None => BuildInputs::default(),
        };
        let digest = inputs.digest.clone();
        context.events.send(EventKind::BuildInputs {
            step: step.id.clone(),
            platform: request.platform.clone(),
            inputs,
            decision,
        });
        Ok(Looked {
            image,
            digest,
            examined,
        })
    }

    async fn decide(
        &self,
        context: &UnitContext,
        request: &BuildRequest,
        examined: Option<&Examined>,
    ) -> Result<(Decision, Option<(ImageIdentity, EarlierBuild)>), Halt> {
        let forced = forced(request);
        if !forced.is_empty() {
            return Ok((Decision::Forced(forced), None));
        }
        let unsettled = match (&self.cache, examined) {
            (Err(trouble), _) => vec![Unsettled::Trouble(trouble.clone())],
            (Ok(_), examined) => examined.map(|e| e.unsettled.clone()).unwrap_or_default(),
        };
        let digest = examined.and_then(|examined| examined.inputs.digest.as_ref());
        let (Ok(cache), Some(digest)) = (&self.cache, digest) else {
            return Ok((Decision::Unsettled(unsettled), None));
        };
        let Some(record) = Record::find(cache, digest, &self.engine) else {
            return Ok((Decision::New, None));
        };
        let found = context.backend.inspect_image(&record.image.id);
        let found = unless_stopped(context, async {
            let lost = "the image of an earlier run could not be looked up";
            found
                .await
                .map_err(|error| Halt::surroundings(lost, &error))
        });
        let earlier = record.earlier();
        match found.await?.filter(|found| found.id == record.image.id) {
            None => Ok((Decision::ImageGone(earlier), None)),
            Some(found) => {
                // Some engines tell the config's digest only to who builds.
                let config_digest = found.config_digest.or(record.image.config_digest);
                let image = ImageIdentity {
                    config_digest,
                    ..found
                };
                Ok((Decision::Reused(earlier.clone()), Some((image, earlier))))
            }
        }
    }

    /// Remembers what was built, if its inputs are still what they were when they were looked at.
    pub(super) async fn keep(
        &self,
        context: &UnitContext,
        step: &PlannedStep,
        request: &BuildRequest,
        looked: Looked,
        image: &ImageIdentity,
    ) {
        let (Ok(cache), Some(digest), Some(examined)) =
            (&self.cache, looked.digest, looked.examined)
        else {
            return;
        };
        // Which bases a registry had is not known.
        if request.pull {
            return;
        }
        if !examined.holds(cache, request).await {
            let line = "files of the context changed during the build: it will not be reused";
            context.output.line(line).await;
            return;
        }
        let (run, step) = (context.run, step.id.clone());
        let record = Record::new(&digest, &self.engine, image.clone(), run, step);
        if let Err(error) = record.keep(cache) {
            let message = format!("the build cannot be remembered: {error}");
            let hint = "free space on the project's disk; the next run builds again";
            context.warn(message, Some(hint.to_owned()));
        }
    }
}

/// Gives an image that is there already the names that the build would have given it.
pub(super) async fn name(
    context: &UnitContext,
    image: &mut ImageIdentity,
    tags: &[String],
) -> Result<(), Halt> {
    for tag in tags.iter().filter(|tag| !image.tags.contains(tag)) {
        let named = context.backend.tag_image(&image.id, tag).await;
        named.map_err(|error| {
            Halt::surroundings(format!("the image could not be named {tag}"), &error)
        })?;
    }
    if !tags.is_empty() {
        image.tags = tags.to_vec();
    }
    Ok(())
}

fn forced(request: &BuildRequest) -> Vec<Force> {
    let all = [
        (request.pull, Force::Pull),
        (request.no_cache, Force::NoCache),
        (!request.no_cache_filter.is_empty(), Force::NoCacheFilter),
    ];
    let forced = all.into_iter().filter(|(is, _)| *is);
    forced.map(|(_, force)| force).collect()
}
