//! Whether a container is to run at all: what an earlier run of the same came to stands for it, if
//! that passed at the first attempt. One that passed after a failure is not remembered: it may well
//! fail the next time, and what is known of that would be lost. It refuses to skip what has a way
//! out, unless the file says that it may.

#[cfg(test)]
mod tests;

use hoist_model::event::EventKind;
use hoist_model::inputs::{Decision, Force, StepInputs};
use hoist_model::plan::PlannedStep;
use hoist_model::reason::Ending;
use hoist_model::unit::ContainerUnit;

use super::kept::Kept;
use crate::context::UnitContext;
use crate::inputs::Glance;
use crate::recorder::{Tap, mask};
use crate::unit::halt::{Halt, unless_stopped};
use crate::unit::memory::{Looked, Memory, Outlook, Subject};

/// What is to be remembered if it passes.
#[derive(Default)]
pub(super) struct Pending(Option<Remembering>);

struct Remembering {
    memory: Memory,
    subject: Subject,
    outlook: Option<Outlook>,
    /// Once it is known that they held still until the container had its copy of them.
    inputs: Option<StepInputs>,
}

/// Looks at a container's inputs, and gives what an earlier run left if they are the same. `None` if
/// it is as if the step had run; else what is to be remembered once it has.
pub(super) async fn look(
    context: &UnitContext,
    step: &PlannedStep,
    unit: &ContainerUnit,
) -> Result<Option<Pending>, Halt> {
    let subject = Subject {
        step: step.id.clone(),
        platform: None,
        forced: unit.always_runs.into_iter().collect(),
    };
    if let Some(Force::Network | Force::Volume | Force::Off) = unit.always_runs {
        let decision = Decision::Forced(subject.forced.clone());
        subject.tell(context, StepInputs::default(), decision);
        return Ok(Some(Pending(None)));
    }
    let memory = Memory::open(context).await?;
    let Some(cache) = memory.cache(context, &subject) else {
        return Ok(Some(Pending(None)));
    };
    let glance = Glance::of_container(context, cache, step, unit);
    let glance = unless_stopped(context, glance).await?;
    let outlook = match memory.look::<Kept>(context, &subject, glance).await? {
        Looked::New(outlook) => outlook,
        Looked::Known(mut record, examined) => {
            let (inputs, earlier) = (examined.inputs.clone(), record.earlier());
            if let Some(kept) = record.outcome.clone().give(context).await {
                subject.tell(context, inputs, Decision::Reused(earlier));
                record.outcome = kept;
                memory.put(context, &record);
                return Ok(None);
            }
            subject.tell(context, inputs, Decision::Gone(earlier));
            Outlook::Told(Some(examined))
        }
    };
    Ok(Some(Pending(Some(Remembering {
        memory,
        subject,
        outlook: Some(outlook),
        inputs: None,
    }))))
}

impl Pending {
    /// Looks whether the inputs are still what they were, now that the container has them. What
    /// happens to them later is nothing to it.
    pub(super) async fn settle(&mut self, context: &UnitContext) {
        let Some(remembering) = &mut self.0 else {
            return;
        };
        let Some(outlook) = remembering.outlook.take() else {
            return;
        };
        let settled = async {
            let examined = outlook.settle(context, &remembering.subject).await?;
            let inputs = examined.inputs.clone();
            let held = inputs.digest.is_some() && examined.hold().await;
            held.then_some(inputs)
        };
        let settled = unless_stopped(context, async { Ok::<_, Halt>(settled.await) });
        remembering.inputs = settled.await.unwrap_or_default();
    }

    /// Remembers what the step came to.
    pub(super) async fn keep(self, context: &UnitContext, ending: &Ending, tap: &Tap) {
        let first = context.attempt <= 1;
        let Some(Remembering {
            memory,
            inputs: Some(inputs),
            ..
        }) = self.0.filter(|_| first && *ending == Ending::Passed)
        else {
            return;
        };
        let Some(digest) = &inputs.digest else { return };
        // The log has to be whole; whether it is, is told when the attempt ends.
        if context.output.close().await.is_err() {
            return;
        }
        match Kept::of(context, told(context, tap)).await {
            Ok(kept) => memory.keep(context, digest, kept),
            Err(error) => {
                let message = format!("the step cannot be remembered: {error}");
                context.warn(message, None);
            }
        }
    }
}

/// What a later run is to tell as well.
fn told(context: &UnitContext, tap: &Tap) -> Vec<EventKind> {
    let mut tap = tap
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let redactor = context.output.redactor();
    let lasting = tap.drain(..).filter(|event| {
        matches!(
            event,
            EventKind::TestsFound { .. }
                | EventKind::FindingsFound { .. }
                | EventKind::ArtifactKept { .. }
                | EventKind::InputGiven { .. }
                | EventKind::OutputsFound { .. }
                | EventKind::Warning { .. }
        )
    });
    lasting.map(|event| mask::mask(event, redactor)).collect()
}
