//! Which steps of a plan are not run, and why: by their own `when`, since the command line leaves
//! them out, or since what they need is not run.

use super::{Edge, Need, Plan, PlannedStep};
use crate::ids::StepIx;
use crate::reason::SkipReason;

/// Marks the steps that are not run: those that `left_out` names, those whose `when` does not
/// hold, and what needs either of them. What the command line leaves out need not have come
/// before, though; only what a step uses of it, and a gate, are missing then.
pub fn skip(plan: &mut Plan, left_out: impl Fn(&PlannedStep) -> bool) {
    // Needs come before what needs them, so that one way through reaches all.
    for at in 0..plan.steps.len() {
        let Some(step) = plan.steps.get(at) else {
            return;
        };
        let own = match &step.when {
            _ if left_out(step) => Some(SkipReason::LeftOut),
            Some(when) if !when.holds => Some(SkipReason::When {
                reason: when.reason.clone(),
            }),
            _ => None,
        };
        let skip = own.or_else(|| step.needs.iter().find_map(|need| missing(plan, step, need)));
        let done = |need: &Need| !(need.why == Edge::Needs && is_left_out(plan, need.step));
        let needs = step
            .needs
            .iter()
            .filter(|need| done(need))
            .cloned()
            .collect();
        if let Some(step) = plan.steps.get_mut(at) {
            step.skip = skip;
            step.needs = needs;
        }
    }
}

fn is_left_out(plan: &Plan, step: StepIx) -> bool {
    let step = plan.steps.get(step);
    step.is_some_and(|step| step.skip == Some(SkipReason::LeftOut))
}

/// Why a step cannot be run without another one that it needs.
fn missing(plan: &Plan, step: &PlannedStep, need: &Need) -> Option<SkipReason> {
    let first = plan.steps.get(need.step)?;
    let only_after = need.why == Edge::Needs;
    let step = match first.skip.as_ref()? {
        _ if only_after && step.always => return None,
        SkipReason::LeftOut if only_after => return None,
        SkipReason::NeedSkipped { step } | SkipReason::NeedFailed { step } => step.clone(),
        SkipReason::When { .. } | SkipReason::LeftOut => first.id.clone(),
    };
    Some(SkipReason::NeedSkipped { step })
}
