//! Runs for the tests of renderers: events in, state folded. Compiled for tests only.

use std::time::Duration;

use hoist_model::event::{EventKind, Output, RunEvent, StepOutline, Stream};
use hoist_model::ids::{RunId, StepId};
use hoist_model::reporter::Reporter;
use hoist_model::state::RunState;

/// A run in the making.
#[derive(Default)]
pub(crate) struct Sample {
    pub(crate) state: RunState,
    seq: u64,
}

impl Sample {
    /// A run of these steps.
    pub(crate) fn of(steps: &[&str]) -> (Self, EventKind) {
        let steps = steps.iter().map(|id| StepOutline {
            id: StepId::from(*id),
            kind: "run".into(),
            needs: Vec::new(),
            relaxations: Vec::new(),
        });
        let started = EventKind::RunStarted {
            project: "sample".into(),
            version: "0".into(),
            steps: steps.collect(),
            jobs: 4,
            commit: None,
            rerun_of: None,
        };
        (Self::default(), started)
    }

    /// Folds an event that came so many milliseconds after the start.
    pub(crate) fn apply(&mut self, millis: u64, kind: EventKind) -> RunEvent {
        let event = RunEvent {
            run: RunId(uuid::Uuid::nil()),
            seq: self.seq,
            at: jiff::Timestamp::UNIX_EPOCH,
            elapsed: Duration::from_millis(millis),
            kind,
        };
        self.seq += 1;
        self.state.apply(&event);
        event
    }

    /// Folds an event and tells a reporter.
    pub(crate) fn tell(&mut self, reporter: &mut dyn Reporter, millis: u64, kind: EventKind) {
        let event = self.apply(millis, kind);
        reporter.on_event(&self.state, &event).unwrap();
    }

    /// Tells a reporter of output.
    pub(crate) fn print(&self, reporter: &mut dyn Reporter, step: &str, text: &str) {
        let output = Output {
            step: StepId::from(step),
            stream: Stream::Stdout,
            bytes: text.as_bytes().to_vec(),
        };
        reporter.on_output(&self.state, &output).unwrap();
    }
}
