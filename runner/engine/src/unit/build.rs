//! An image from a Dockerfile: what the builder is asked for, and what it made of it. It refuses to
//! begin with files that are not in the project.

mod request;
mod reuse;

pub(crate) use request::folders;

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::event::EventKind;
use hoist_model::ids::StepId;
use hoist_model::image::ImageIdentity;
use hoist_model::inputs::EarlierRun;
use hoist_model::plan::PlannedStep;
use hoist_model::reason::{Ending, FailureReason};
use hoist_model::unit::BuildUnit;

use reuse::Looked;

use super::halt::{self, Halt, unless_stopped};
use super::memory::Memory;
use super::progress;
use super::tags::{Borrowed, base_name};
use crate::backend::{BuildError, BuildRequest, Built};
use crate::context::UnitContext;

/// Executes the unit.
pub async fn execute(context: &UnitContext, step: &PlannedStep, unit: &BuildUnit) -> Ending {
    let mut bases = BTreeMap::new();
    let result = attempt(context, step, unit, &mut bases).await;
    for (_, base) in bases {
        base.give_back(context).await;
    }
    halt::ending(result)
}

/// The image of an earlier run that the step would take instead of building one, if there is one.
/// Nothing is built, and no name is given.
pub(crate) async fn known(context: &UnitContext, unit: &BuildUnit) -> Option<ImageIdentity> {
    let platform = platforms(context, unit).await.ok()?.into_iter().next()?;
    let mut request = request::request(context, unit, platform.as_deref()).ok()?;
    let image = |base: &StepId| Some(context.made.get(base)?.image?.id);
    request.args = request::args(context, unit, image).ok()?;
    let memory = Memory::open(context).await.ok()?;
    let subject = reuse::subject(context, &request);
    let looked = reuse::look(&memory, context, &subject, unit, &request).await;
    match looked.ok()? {
        Looked::There(mut image, _) => {
            if !request.tags.is_empty() {
                image.tags = request.tags;
            }
            Some(image)
        }
        Looked::Build(_) => None,
    }
}

async fn attempt(
    context: &UnitContext,
    step: &PlannedStep,
    unit: &BuildUnit,
    bases: &mut BTreeMap<StepId, Borrowed>,
) -> Result<Ending, Halt> {
    let platforms = platforms(context, unit).await?;
    let mut requests = Vec::new();
    for platform in &platforms {
        requests.push(request::request(context, unit, platform.as_deref())?);
    }
    let stands_on = request::bases(unit)?;
    let args = request::args(context, unit, |base| {
        context.made.get(base)?.image.map(|image| image.id)
    })?;
    let memory = Memory::open(context).await?;
    let mut ending = Ending::Cached;
    for (number, mut request) in requests.into_iter().enumerate() {
        let own = number == 0;
        request.args.clone_from(&args);
        // The names are those of the step's own image.
        if !own {
            request.tags.clear();
        }
        let subject = reuse::subject(context, &request);
        let made = match reuse::look(&memory, context, &subject, unit, &request).await? {
            Looked::There(mut image, earlier) => {
                reuse::name(context, &mut image, &request.tags).await?;
                Made::earlier(image, earlier)
            }
            Looked::Build(outlook) => {
                ending = Ending::Passed;
                borrow(context, step, &stands_on, bases).await?;
                let mut named = request.clone();
                reuse::lend(&outlook, &mut named);
                named.args = request::args(context, unit, |base| {
                    let name = name_of(context, step, base);
                    bases.contains_key(base).then_some(name)
                })?;
                let watch = async {
                    let examined = outlook.settle(context, &subject).await;
                    Ok::<_, Halt>(reuse::watch(examined, &request).await)
                };
                let watch = unless_stopped(context, watch);
                let (built, watched) = tokio::join!(build(context, named), watch);
                let built = built?;
                if let Some(watched) = watched? {
                    reuse::keep(&memory, context, watched, &built.image).await;
                }
                Made::now(built)
            }
        };
        tell(context, step, made, request.platform, own);
    }
    Ok(ending)
}

/// An image that a build came to.
struct Made {
    image: ImageIdentity,
    earlier: Option<EarlierRun>,
    first_executed: Option<String>,
}

impl Made {
    fn earlier(image: ImageIdentity, earlier: EarlierRun) -> Self {
        Self {
            image,
            earlier: Some(earlier),
            first_executed: None,
        }
    }

    fn now(built: Built) -> Self {
        Self {
            image: built.image,
            earlier: None,
            first_executed: built.first_executed,
        }
    }
}

async fn build(context: &UnitContext, request: BuildRequest) -> Result<Built, Halt> {
    context.phase(match &request.platform {
        Some(platform) => format!("building for {platform}"),
        None => "building".to_owned(),
    });
    let uploads = request.uploads.clone();
    let build = progress::forward(context, |progress| {
        context.backend.build_image(request, progress)
    });
    // Dropping a build stops it on the engine.
    let built = unless_stopped(context, async { build.await.map_err(failed) }).await;
    uploads.close();
    built
}

/// What is to be built for, the step's own image first: that of the engine's platform, if it is
/// among them.
async fn platforms(context: &UnitContext, unit: &BuildUnit) -> Result<Vec<Option<String>>, Halt> {
    if unit.platforms.len() < 2 {
        return Ok(vec![unit.platforms.first().cloned()]);
    }
    let info = context.backend.info().await;
    let own = info
        .map_err(|error| Halt::surroundings("the engine's platform is not known", &error))?
        .platform;
    let mut platforms: Vec<_> = unit.platforms.iter().cloned().map(Some).collect();
    platforms.sort_by_key(|platform| platform.as_ref() != Some(&own));
    Ok(platforms)
}

fn tell(
    context: &UnitContext,
    step: &PlannedStep,
    made: Made,
    platform: Option<String>,
    own: bool,
) {
    let image = made.image;
    if let Some(platform) = &platform {
        let platform = platform.clone();
        context
            .made
            .platform_image(&step.id, platform, image.clone());
    }
    if own {
        context.made.image(&step.id, image.clone());
    }
    context.events.send(EventKind::ImageBuilt {
        step: step.id.clone(),
        image,
        platform,
        earlier: made.earlier,
        first_executed: made.first_executed,
    });
}

fn failed(error: BuildError) -> Halt {
    match error {
        BuildError::Failed {
            message,
            instruction,
        } => FailureReason::Build {
            message,
            instruction,
        }
        .into(),
        BuildError::Context(trouble) => Halt::configuration(trouble),
        BuildError::Backend(error) => Halt::surroundings("the image could not be built", &error),
    }
}

/// Gives the images of steps on which the build stands the names by which the builder finds them.
async fn borrow(
    context: &UnitContext,
    step: &PlannedStep,
    stands_on: &BTreeSet<&StepId>,
    bases: &mut BTreeMap<StepId, Borrowed>,
) -> Result<(), Halt> {
    for base in stands_on.iter().copied() {
        if bases.contains_key(base) {
            continue;
        }
        let Some(image) = context.made.get(base).and_then(|made| made.image) else {
            continue;
        };
        let name = name_of(context, step, base);
        let borrowed = Borrowed::borrow(context, &image.id, &name).await;
        let borrowed = borrowed.map_err(|error| {
            Halt::surroundings(
                format!("the image of {base} could not be given a name"),
                &error,
            )
        })?;
        bases.insert(base.clone(), borrowed);
    }
    Ok(())
}

fn name_of(context: &UnitContext, step: &PlannedStep, base: &StepId) -> String {
    base_name(
        &context.plan.name,
        context.run,
        base.as_str(),
        step.id.as_str(),
    )
}

#[cfg(test)]
mod tests;
