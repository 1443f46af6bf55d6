//! Why a step of a run ran, or did not: put together from the run folders and the lists of contexts,
//! and from nothing else.

use std::path::Path;

use hoist_model::event::EventKind;
use hoist_model::ids::StepId;
use hoist_model::inputs::{
    Changed, Decision, Explained, Explanation, FileChanges, Part, PartChange, StepInputs,
};
use hoist_model::reason::Trouble;
use hoist_model::state::{RunState, StepState};

use super::manifest;
use crate::store::{Store, StoredRun};

/// The most files that are named of one context.
const NAMED: usize = 20;

/// Why there is no explanation.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExplainError {
    /// The run has no such step.
    #[error("{0}")]
    NoStep(Trouble),
    /// Its folder cannot be read.
    #[error("{0}")]
    Unreadable(Trouble),
}

/// A run as far as one step goes.
struct Told {
    state: RunState,
    looks: Vec<Look>,
}

/// What a run says of one build, or of the step's container.
struct Look {
    platform: Option<String>,
    inputs: StepInputs,
    decision: Decision,
    first_executed: Option<String>,
    made: bool,
}

/// Explains a step of a run.
///
/// # Errors
/// When the run has no such step, or cannot be read.
pub fn explain(root: &Path, run: &StoredRun, step: &StepId) -> Result<Explanation, ExplainError> {
    let told = read(run, step).map_err(ExplainError::Unreadable)?;
    let Some(found) = told.state.step(step) else {
        let known = told.state.steps.iter().map(|step| step.id().as_str());
        let known: Vec<&str> = known.collect();
        return Err(ExplainError::NoStep(
            Trouble::new(format!("run {} has no step `{step}`", run.id.short()))
                .hint(format!("its steps are: {}", known.join(", "))),
        ));
    };
    let (kind, ending) = (found.outline.kind.clone(), found.ending().cloned());
    let earlier = earlier(root, run, step).map_err(ExplainError::Unreadable)?;
    let decisions = told.looks.into_iter().map(|look| {
        let before = earlier.iter().find_map(|(run, told)| {
            let known = |other: &&Look| other.made && !other.inputs.parts.is_empty();
            let mut made = told.looks.iter().rev().filter(known);
            let before = made.find(|other| other.platform == look.platform);
            before.map(|before| (run, told, before))
        });
        let looked_at = !look.inputs.parts.is_empty();
        let changed = before.filter(|_| looked_at).map(|(run, told, before)| {
            let parts = look.inputs.changes_since(&before.inputs);
            Changed {
                since: run.id,
                started_at: told.state.started_at,
                files: parts.iter().filter_map(|part| files(root, part)).collect(),
                parts,
            }
        });
        Explained {
            platform: look.platform,
            decision: look.decision,
            first_executed: look.first_executed,
            made: look.made,
            changed,
        }
    });
    Ok(Explanation {
        run: run.id,
        started_at: told.state.started_at,
        step: step.clone(),
        kind,
        ending,
        decisions: decisions.collect(),
    })
}

fn read(run: &StoredRun, wanted: &StepId) -> Result<Told, Trouble> {
    let (mut state, mut looks) = (RunState::default(), Vec::<Look>::new());
    for event in run.events()? {
        state.apply(&event);
        match event.kind {
            // Another attempt looks again.
            EventKind::StepStarted { step, .. } if step == *wanted => looks.clear(),
            EventKind::StepInputs {
                step,
                platform,
                inputs,
                decision,
            } if step == *wanted => looks.push(Look {
                platform,
                inputs,
                decision,
                first_executed: None,
                made: false,
            }),
            EventKind::ImageBuilt {
                step,
                platform,
                first_executed,
                ..
            } if step == *wanted => {
                let mut of_it = looks.iter_mut().filter(|look| look.platform == platform);
                if let Some(look) = of_it.next_back() {
                    look.first_executed = first_executed;
                    look.made = true;
                }
            }
            EventKind::StepEnded { step, ending, .. } if step == *wanted => {
                let good = ending.is_good();
                looks.iter_mut().for_each(|look| look.made |= good);
            }
            _ => {}
        }
    }
    Ok(Told { state, looks })
}

/// The newest run before this one in which the step did well. A run that cannot be read is
/// passed over: it is not the one that was asked for.
fn earlier(
    root: &Path,
    run: &StoredRun,
    step: &StepId,
) -> Result<Option<(StoredRun, Told)>, Trouble> {
    let older = Store::new(root).list()?.into_iter();
    let older = older.filter(|other| other.id < run.id);
    let mut told = older.filter_map(|other| {
        let told = read(&other, step).ok()?;
        let made = told.looks.iter().any(|look| look.made);
        let good = told.state.step(step).and_then(StepState::ending);
        (made && good.is_some_and(|ending| ending.is_good())).then_some((other, told))
    });
    Ok(told.next())
}

fn files(root: &Path, change: &PartChange) -> Option<FileChanges> {
    let context = match &change.part {
        Part::Context | Part::Source => None,
        Part::NamedContext(name) => Some(name.clone()),
        _ => return None,
    };
    let (before, now) = (change.before.as_ref()?, change.now.as_ref()?);
    let (mut count, mut first) = (0, Vec::new());
    let compared = manifest::compare(root, &before.digest, &now.digest, |path, change| {
        count += 1;
        if first.len() < NAMED {
            first.push((path, change));
        }
    });
    Some(FileChanges {
        context,
        count: compared.is_ok().then_some(count),
        first,
    })
}
