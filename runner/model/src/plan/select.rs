//! A part of a plan.

use std::collections::HashMap;

use super::{Need, Plan};
use crate::diag::near;
use crate::ids::{StepId, StepIx};

/// A step was asked for that is not in the plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no step `{step}`")]
pub struct UnknownStep {
    /// What was asked for.
    pub step: StepId,
    /// A step of the plan with a name like it.
    pub near: Option<StepId>,
}

/// The part of a plan that the given steps need: they themselves, what comes before them, and the
/// gates of what they push or deploy. No step means all of them.
///
/// # Errors
/// One of the steps is not in the plan.
pub fn select(plan: &Plan, steps: &[StepId]) -> Result<Plan, UnknownStep> {
    let mut part = plan.clone();
    if steps.is_empty() {
        return Ok(part);
    }
    let places: HashMap<&StepId, StepIx> = plan
        .steps
        .iter()
        .enumerate()
        .map(|(at, step)| (&step.id, at))
        .collect();
    let mut wanted = vec![false; plan.steps.len()];
    for step in steps {
        let place = places.get(step).and_then(|at| wanted.get_mut(*at));
        *place.ok_or_else(|| unknown(plan, step))? = true;
    }
    // Needs come before what needs them, so that one way back reaches all.
    for (at, step) in plan.steps.iter().enumerate().rev() {
        if wanted.get(at) == Some(&true) {
            for need in &step.needs {
                if let Some(wanted) = wanted.get_mut(need.step) {
                    *wanted = true;
                }
            }
        }
    }
    let mut new_place: Vec<StepIx> = Vec::with_capacity(wanted.len());
    let mut count = 0;
    for wanted in &wanted {
        new_place.push(count);
        count += usize::from(*wanted);
    }
    let mut keep = wanted.iter();
    part.steps.retain(|_| keep.next() == Some(&true));
    for step in &mut part.steps {
        let moved = |need: Need| {
            Some(Need {
                step: *new_place.get(need.step)?,
                ..need
            })
        };
        step.needs = std::mem::take(&mut step.needs)
            .into_iter()
            .filter_map(moved)
            .collect();
    }
    Ok(part)
}

fn unknown(plan: &Plan, step: &StepId) -> UnknownStep {
    let names = plan.steps.iter().map(|step| step.id.as_str());
    UnknownStep {
        step: step.clone(),
        near: near(step.as_str(), names).map(StepId::from),
    }
}
