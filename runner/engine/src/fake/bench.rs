//! What a unit is given in tests, and what it said.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use hoist_model::ids::{RunId, StepIx};
use hoist_model::plan::Plan;
use hoist_model::redact::Redactor;
use tokio::sync::watch;
use uuid::Uuid;

use super::FakeBackend;
use crate::backend::Labels;
use crate::context::{Made, Stop, UnitContext};
use crate::labels;
use crate::output::OutputWriter;
use crate::reaper::UndoList;
use crate::recorder::{Message, queue};
use crate::secrets::Secrets;

/// A unit's surroundings in a test.
pub(crate) struct Bench {
    /// What the unit is given.
    pub(crate) context: UnitContext,
    /// Tells the unit to stop.
    pub(crate) stop: watch::Sender<Stop>,
    /// Holds the project's root, which goes with it.
    _root: tempfile::TempDir,
    inbox: Receiver<Message>,
}

impl Bench {
    /// The surroundings of a step of a plan on an engine.
    pub(crate) fn new(engine: &FakeBackend, plan: Plan, ix: StepIx) -> Self {
        let (events, lane, inbox) = queue();
        let (stop, stopped) = watch::channel(Stop::No);
        let root = tempfile::tempdir().unwrap();
        let run = RunId(Uuid::nil());
        let run_folder = root.path().join(".hoist/runs").join(run.to_string());
        std::fs::create_dir_all(&run_folder).unwrap();
        let step = plan.steps[ix].id.clone();
        let log = std::fs::File::create(run_folder.join("log")).unwrap();
        let context = UnitContext {
            attempt: 1,
            backend: Arc::new(engine.clone()),
            connector: engine.connector(),
            ix,
            run,
            approver: Arc::new(crate::approval::Nobody),
            shared: None,
            root: root.path().to_owned(),
            artifacts: run_folder.join("artifacts").join(step.slug()),
            run_folder,
            output: OutputWriter::new(step.clone(), log, &Redactor::default(), lane),
            made: Arc::new(Made::default()),
            secrets: Arc::new(Secrets::default()),
            logins: Arc::new(Vec::new()),
            lock_wait: crate::release::LOCK_WAIT,
            force_unverified: false,
            allow_host_network: false,
            undo: UndoList::over(None, events.clone()),
            events,
            labels: Labels::from([
                (labels::RUN.to_owned(), run.to_string()),
                (labels::PROJECT.to_owned(), plan.name.clone()),
                (labels::STEP.to_owned(), step.to_string()),
            ]),
            plan: Arc::new(plan),
            shells: None,
            stop: stopped,
            ahead: None,
        };
        Self {
            context,
            stop,
            _root: root,
            inbox,
        }
    }

    /// What reporters were shown since this was asked last.
    pub(crate) fn shown(&self) -> String {
        let outputs = self.inbox.try_iter().filter_map(|message| match message {
            Message::Output(output, _) => Some(output.bytes),
            Message::Event { .. } | Message::End(_) => None,
        });
        String::from_utf8(outputs.flatten().collect()).unwrap()
    }

    /// What the unit has printed.
    pub(crate) async fn log(&self) -> String {
        self.context.output.close().await.unwrap();
        std::fs::read_to_string(self.context.run_folder.join("log")).unwrap()
    }
}
