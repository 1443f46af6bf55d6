//! Does the work of one step: an async function a unit. What follows from how it ends is the
//! dispatcher's; a unit refuses to know of other steps' ends.

use hoist_model::reason::Ending;
use hoist_model::unit::Unit;

use crate::context::UnitContext;

pub mod build;
pub mod container;
pub(crate) mod progress;
pub mod push;

/// Executes the step's unit to its end and leaves nothing on the engine but what it made.
pub async fn execute(context: UnitContext) -> Ending {
    let Some(step) = context.step().cloned() else {
        return Ending::Passed;
    };
    match &step.unit {
        Unit::Container(unit) => container::execute(&context, &step, unit).await,
        Unit::Build(unit) => build::execute(&context, &step, unit).await,
        Unit::Push(unit) => push::execute(&context, &step, unit).await,
        Unit::Release(unit) => crate::release::execute(&context, &step, unit).await,
    }
}
