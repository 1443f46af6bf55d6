//! An image from a Dockerfile: what the builder is asked for, and what it made of it. It refuses to
//! begin with files that are not in the project.

mod request;

pub(crate) use request::folders;

use std::collections::BTreeMap;

use hoist_model::event::EventKind;
use hoist_model::ids::StepId;
use hoist_model::plan::PlannedStep;
use hoist_model::reason::{Ending, FailureReason};
use hoist_model::unit::BuildUnit;

use super::halt::{self, Halt, unless_stopped};
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
    borrow(context, step, unit, bases).await?;
    let args = request::args(context, unit, |base| {
        let name = name_of(context, step, base);
        bases.contains_key(base).then_some(name)
    })?;
    for (number, mut request) in requests.into_iter().enumerate() {
        request.args.clone_from(&args);
        let platform = request.platform.clone();
        // The names are those of the step's own image.
        if number > 0 {
            request.tags.clear();
        }
        let built = build(context, request).await?;
        made(context, step, built, platform, number == 0);
    }
    Ok(Ending::Passed)
}

async fn build(context: &UnitContext, request: BuildRequest) -> Result<Built, Halt> {
    context.phase(match &request.platform {
        Some(platform) => format!("building for {platform}"),
        None => "building".to_owned(),
    });
    let build = progress::forward(context, |progress| {
        context.backend.build_image(request, progress)
    });
    // Dropping a build stops it on the engine.
    unless_stopped(context, async { build.await.map_err(failed) }).await
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

fn made(
    context: &UnitContext,
    step: &PlannedStep,
    built: Built,
    platform: Option<String>,
    own: bool,
) {
    let image = built.image;
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
        first_executed: built.first_executed,
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
    unit: &BuildUnit,
    bases: &mut BTreeMap<StepId, Borrowed>,
) -> Result<(), Halt> {
    for base in request::bases(unit)? {
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
