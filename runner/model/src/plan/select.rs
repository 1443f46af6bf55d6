//! A part of a plan.

use std::collections::BTreeSet;

use super::{Edge, Need, Plan, PlannedStep, skip};
use crate::diag::near;
use crate::glob;
use crate::ids::{StepId, StepIx};

/// A step was asked for that is not in the plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownStep {
    /// By its name.
    #[error("there is no step `{step}`")]
    Name {
        /// What was asked for.
        step: StepId,
        /// A step of the plan with a name like it.
        near: Option<StepId>,
    },
    /// By a pattern.
    #[error("no step is like `{0}`")]
    Pattern(String),
}

/// What of a plan is asked for. Nothing means all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// These steps and what they need. They count only where `from` and `only` are empty.
    pub steps: Vec<StepId>,
    /// The steps like these patterns, and what needs them.
    pub from: Vec<String>,
    /// The steps like these patterns.
    pub only: Vec<String>,
    /// Not the steps like these patterns.
    pub skip: Vec<String>,
    /// What is pushed or deployed goes on without the gates that `skip` names.
    pub unverified: bool,
}

/// The part of a plan that is asked for. A step gets what it needs, but for [`Selection::from`] and
/// [`Selection::only`]: there it gets only the makers of what it uses and the gates of what it
/// pushes or deploys, and all else that it needs counts as done. What [`Selection::skip`] names
/// stays in the plan, marked.
///
/// # Errors
/// A name or a pattern that stands for no step.
pub fn choose(plan: &Plan, selection: &Selection) -> Result<Plan, UnknownStep> {
    let Selection {
        steps,
        from,
        only,
        skip: left_out,
        unverified,
    } = selection;
    let mut part = match (from.as_slice(), only.as_slice()) {
        ([], []) => select(plan, steps)?,
        _ => {
            let mut wanted = matching(plan, only)?;
            // Needs come before what needs them, so that one way through reaches all.
            let mut reached = matching(plan, from)?;
            for (at, step) in plan.steps.iter().enumerate() {
                let hangs = |need: &Need| reached.get(need.step) == Some(&true);
                if step.needs.iter().any(hangs) {
                    set(&mut reached, at);
                }
            }
            for (wanted, reached) in wanted.iter_mut().zip(reached) {
                *wanted |= reached;
            }
            with_needs(plan, wanted, |why| why != Edge::Needs)
        }
    };
    let left_out = matching(&part, left_out)?;
    let named = part.steps.iter().zip(left_out);
    let left_out: BTreeSet<StepId> = named
        .filter(|(_, left_out)| *left_out)
        .map(|(step, _)| step.id.clone())
        .collect();
    if *unverified {
        forgo_gates(&mut part, &left_out);
    }
    skip(&mut part, |step| left_out.contains(&step.id));
    Ok(part)
}

/// Gates that are left out count as done, as all else does that is only to come before.
fn forgo_gates(plan: &mut Plan, left_out: &BTreeSet<StepId>) {
    let steps = plan.steps.iter().map(|step| left_out.contains(&step.id));
    let left_out: Vec<bool> = steps.collect();
    let needs = plan.steps.iter_mut().flat_map(|step| &mut step.needs);
    for need in needs.filter(|need| left_out.get(need.step) == Some(&true)) {
        if need.why == Edge::Gate {
            need.why = Edge::Needs;
        }
    }
}

/// The part of a plan that the given steps need: they themselves, what comes before them, and the
/// gates of what they push or deploy. No step means all of them.
///
/// # Errors
/// One of the steps is not in the plan.
pub fn select(plan: &Plan, steps: &[StepId]) -> Result<Plan, UnknownStep> {
    if steps.is_empty() {
        return Ok(plan.clone());
    }
    let mut wanted = vec![false; plan.steps.len()];
    for step in steps {
        let is_it = |planned: &PlannedStep| names(planned).any(|name| name == step);
        if !plan.steps.iter().any(is_it) {
            return Err(unknown(plan, step));
        }
        mark(&mut wanted, plan, is_it);
    }
    Ok(with_needs(plan, wanted, |_| true))
}

/// The steps that are like one of the patterns.
fn matching(plan: &Plan, patterns: &[String]) -> Result<Vec<bool>, UnknownStep> {
    let mut matching = vec![false; plan.steps.len()];
    for pattern in patterns {
        let none = || match pattern.contains(['*', '?']) {
            true => UnknownStep::Pattern(pattern.clone()),
            false => unknown(plan, &StepId::from(pattern.as_str())),
        };
        let like =
            |step: &PlannedStep| names(step).any(|name| glob::matches(pattern, name.as_str()));
        if !plan.steps.iter().any(like) {
            return Err(none());
        }
        mark(&mut matching, plan, like);
    }
    Ok(matching)
}

/// The names by which a step can be asked for: a cell's own, and that of all cells.
fn names(step: &PlannedStep) -> impl Iterator<Item = &StepId> {
    std::iter::once(&step.id).chain(step.cell.as_ref().map(|cell| &cell.of))
}

fn mark(marks: &mut [bool], plan: &Plan, is_it: impl Fn(&PlannedStep) -> bool) {
    for (mark, step) in marks.iter_mut().zip(&plan.steps) {
        *mark |= is_it(step);
    }
}

fn set(marks: &mut [bool], at: StepIx) {
    if let Some(mark) = marks.get_mut(at) {
        *mark = true;
    }
}

/// The wanted steps and what they need by edges of the kinds that count.
fn with_needs(plan: &Plan, mut wanted: Vec<bool>, counts: impl Fn(Edge) -> bool) -> Plan {
    let mut part = plan.clone();
    // Needs come before what needs them, so that one way back reaches all.
    for (at, step) in plan.steps.iter().enumerate().rev() {
        if wanted.get(at) == Some(&true) {
            for need in step.needs.iter().filter(|need| counts(need.why)) {
                set(&mut wanted, need.step);
            }
        }
    }
    let mut new_place: Vec<Option<StepIx>> = Vec::with_capacity(wanted.len());
    let mut count = 0;
    for wanted in &wanted {
        new_place.push(wanted.then_some(count));
        count += usize::from(*wanted);
    }
    let mut keep = wanted.iter();
    part.steps.retain(|_| keep.next() == Some(&true));
    for step in &mut part.steps {
        let moved = |need: Need| {
            let step = (*new_place.get(need.step)?)?;
            Some(Need { step, ..need })
        };
        step.needs = std::mem::take(&mut step.needs)
            .into_iter()
            .filter_map(moved)
            .collect();
    }
    part
}

fn unknown(plan: &Plan, step: &StepId) -> UnknownStep {
    let names = plan.steps.iter().flat_map(names).map(StepId::as_str);
    UnknownStep::Name {
        step: step.clone(),
        near: near(step.as_str(), names).map(StepId::from),
    }
}
