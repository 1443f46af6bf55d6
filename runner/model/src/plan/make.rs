//! Making a plan.

use super::{Plan, Surroundings};
use crate::diag::Diagnostic;
use crate::ids::StepId;
use crate::spec::PipelineSpec;

/// A plan, and what people should know of it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// Warnings, in the order of their places.
    pub warnings: Vec<Diagnostic>,
}

/// A step was asked for that is not in the plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no step `{step}`")]
pub struct UnknownStep {
    /// What was asked for.
    pub step: StepId,
    /// A step of the plan with a name like it.
    pub near: Option<StepId>,
}

/// Makes the plan of a file: checks all of it, resolves names, finds the edges and lowers each
/// step. It touches nothing but `surroundings`.
///
/// # Errors
/// All that is wrong with the file, in the order of its places; warnings among them.
pub fn make(
    spec: &PipelineSpec,
    surroundings: &Surroundings<'_>,
) -> Result<Planned, Vec<Diagnostic>> {
    let _ = (spec, surroundings);
    Err(vec![Diagnostic::error_without_place(
        "plans cannot be made yet",
    )])
}

/// The part of a plan that the given steps need: they themselves, what comes before them, and the
/// gates of what they push or deploy. No step means all of them.
///
/// # Errors
/// One of the steps is not in the plan.
pub fn select(plan: &Plan, steps: &[StepId]) -> Result<Plan, UnknownStep> {
    let _ = steps;
    Ok(plan.clone())
}
