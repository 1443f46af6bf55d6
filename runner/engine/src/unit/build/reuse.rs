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
use hoist_model::survey::Hint;
use hoist_model::unit::BuildUnit;

use crate::backend::BuildRequest;
use crate::context::UnitContext;
use crate::inputs::{Cache, Examined, Glance, Record};
use crate::unit::halt::{Halt, unless_stopped};

/// What earlier builds of the project are known by.
pub(super) struct Memory {
    cache: Result<Arc<Cache>, Trouble>,
    /// The engine's ID and the project's name: an image has the labels of one project.
    place: String,
}

/// What a look at a build came to.
pub(super) enum Looked {
    /// Its image is there already.
    There(ImageIdentity, EarlierBuild),
    /// It is to be built.
    Build(Outlook),
}

/// What is known of the inputs of a build that begins.
pub(super) enum Outlook {
    /// All that can be; it was told.
    Told(Option<Examined>),
    /// No build of them is known, whatever the files hold, which can be read meanwhile.
    Reading(Glance),
}

impl Memory {
    pub(super) async fn open(context: &UnitContext) -> Result<Self, Halt> {
        let info = context.backend.info().await;
        let info = info.map_err(|error| Halt::surroundings("the engine is not known", &error))?;
        let cache = Cache::open(&context.root, context.shared.as_deref());
        Ok(Self {
            cache: cache.map(Arc::new),
            place: format!("{} {}", info.id, context.plan.name),
        })
    }

    /// Looks at a build's inputs and says what they are, unless that can wait. In the request's
    /// arguments images of steps stand by their IDs.
    pub(super) async fn look(
        &self,
        context: &UnitContext,
        step: &PlannedStep,
        unit: &BuildUnit,
        request: &BuildRequest,
    ) -> Result<Looked, Halt> {
        let cache = match &self.cache {
            Ok(cache) => cache,
            Err(trouble) => {
                let unsettled = vec![Unsettled::Trouble(trouble.clone())];
                let (inputs, decision) = (BuildInputs::default(), Decision::Unsettled(unsettled));
                tell(context, step, request, inputs, decision);
                return Ok(Looked::Build(Outlook::Told(None)));
            }
        };
        let glance = Glance::take(context, cache, request, &unit.added_labels);
        let glance = unless_stopped(context, async { Ok::<_, Halt>(glance.await) }).await?;
        let hints = glance.hints(request, unit);
        let wanted = forced(request).is_empty() && glance.may_be_known(&self.place);
        if !wanted && !glance.is_whole() {
            warn(context, hints);
            return Ok(Looked::Build(Outlook::Reading(glance)));
        }
        let examined = glance.read();
        let examined = unless_stopped(context, async { Ok::<_, Halt>(examined.await) }).await?;
        let record = examined.inputs.digest.as_ref().filter(|_| wanted);
        let record = record.and_then(|digest| Record::find(cache, digest, &self.place));
        let (decision, image) = match &record {
            None => (unknown(request, &examined), None),
            Some(record) => match find(context, record).await? {
                None => (Decision::ImageGone(record.earlier()), None),
                Some(image) => (Decision::Reused(record.earlier()), Some(image)),
            },
        };
        tell(context, step, request, examined.inputs.clone(), decision);
        Ok(match (image, record) {
            (Some(image), Some(record)) => Looked::There(image, record.earlier()),
            _ => {
                warn(context, hints);
                Looked::Build(Outlook::Told(Some(examined)))
            }
        })
    }

    /// Remembers what was built, if its inputs still are what they were when they were looked at.
    pub(super) async fn keep(
        &self,
        context: &UnitContext,
        step: &PlannedStep,
        request: &BuildRequest,
        examined: Examined,
        image: &ImageIdentity,
    ) {
        let (Ok(cache), Some(digest)) = (&self.cache, examined.inputs.digest.clone()) else {
            return;
        };
        // Which bases a registry had is not known.
        if request.pull {
            return;
        }
        if !examined.hold().await {
            let line = "the context was written to during the build, which is not remembered";
            context.output.line(line).await;
            return;
        }
        let (run, step) = (context.run, step.id.clone());
        let record = Record::new(&digest, &self.place, image.clone(), run, step);
        if let Err(error) = record.keep(cache) {
            let message = format!("the build cannot be remembered: {error}");
            let hint = "free space on the project's disk; the next run builds again";
            context.warn(message, Some(hint.to_owned()));
        }
    }
}

impl Outlook {
    /// Finds out what is not known yet, and tells it.
    pub(super) async fn settle(
        self,
        context: &UnitContext,
        step: &PlannedStep,
        request: &BuildRequest,
    ) -> Option<Examined> {
        let glance = match self {
            Self::Told(examined) => return examined,
            Self::Reading(glance) => glance,
        };
        let examined = glance.read().await;
        let decision = unknown(request, &examined);
        tell(context, step, request, examined.inputs.clone(), decision);
        Some(examined)
    }
}

/// Says what of the contexts is worth a hint, once for all builds that share one.
fn warn(context: &UnitContext, hints: Vec<Hint>) {
    for Hint { message, hint } in hints {
        if context.made.tell_once(&message) {
            context.warn(message, Some(hint));
        }
    }
}

/// Why there is a build where none of the same inputs is known.
fn unknown(request: &BuildRequest, examined: &Examined) -> Decision {
    let forced = forced(request);
    if !forced.is_empty() {
        Decision::Forced(forced)
    } else if examined.unsettled.is_empty() {
        Decision::New
    } else {
        Decision::Unsettled(examined.unsettled.clone())
    }
}

/// The image of an earlier build, if the engine still has it.
async fn find(context: &UnitContext, record: &Record) -> Result<Option<ImageIdentity>, Halt> {
    let found = unless_stopped(context, async {
        let found = context.backend.inspect_image(&record.image.id).await;
        let what = "the image of an earlier run could not be looked up";
        found.map_err(|error| Halt::surroundings(what, &error))
    });
    let found = found.await?.filter(|found| found.id == record.image.id);
    Ok(found.map(|found| ImageIdentity {
        // Some engines tell the config's digest only to who builds.
        config_digest: found.config_digest.or(record.image.config_digest.clone()),
        ..found
    }))
}

fn tell(
    context: &UnitContext,
    step: &PlannedStep,
    request: &BuildRequest,
    inputs: BuildInputs,
    decision: Decision,
) {
    context.events.send(EventKind::BuildInputs {
        step: step.id.clone(),
        platform: request.platform.clone(),
        inputs,
        decision,
    });
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
