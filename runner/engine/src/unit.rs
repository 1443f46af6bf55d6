//! Does the work of one step: an async function a unit. What follows from how it ends is the
//! dispatcher's; a unit refuses to know of other steps' ends.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hoist_model::plan::PlannedStep;
use hoist_model::reason::Ending;
use hoist_model::unit::Unit;

use crate::context::UnitContext;
use crate::images;

pub(crate) mod attempt;
pub mod build;
pub mod container;
pub(crate) mod halt;
mod memory;
mod names;
pub(crate) mod progress;
pub mod push;
pub(crate) mod tags;
#[cfg(test)]
pub(crate) mod testing;

/// Executes the step's unit to its end and leaves nothing on the engine but what it made.
pub async fn execute(context: UnitContext) -> Ending {
    let Some(step) = context.step().cloned() else {
        return Ending::Passed;
    };
    let ending = perform(&context, &step).await;
    if let Unit::Container(unit) = &step.unit
        && ending.is_good()
        && let Some(looked_at) = images::known(&context, unit.subject()).await
    {
        context.made.passed_on(&step.id, looked_at.image);
    }
    ending
}

async fn perform(context: &UnitContext, step: &PlannedStep) -> Ending {
    if let Some(rerun) = context.made.rerun.clone()
        && let Some(ending) = rerun.take(context).await
    {
        return ending;
    }
    // Boxed, so that the compiler proves each of them to be `Send` by itself.
    let work: BoxFuture<'_, Ending> = match &step.unit {
        Unit::Container(unit) => container::execute(context, step, unit).boxed(),
        Unit::Build(unit) => build::execute(context, step, unit).boxed(),
        Unit::Push(unit) => push::execute(context, step, unit).boxed(),
        Unit::Release(unit) => crate::release::execute(context, step, unit).boxed(),
    };
    work.await
}
