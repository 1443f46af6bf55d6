//! Doing a run: waits for what happens, hands it to the dispatcher, and does what comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::future::{pending, ready};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::event::EventKind;
use hoist_model::ids::{RunId, StepIx};
use hoist_model::plan::PlannedStep;
use hoist_model::reason::{Ending, FailureReason, Signal, Trouble};
use hoist_model::unit::Unit;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Flow, RunRequest, warning};
use crate::backend::{Backend, Labels, Login};
use crate::context::{Made, Stop, UnitContext};
use crate::countdown::Countdown;
use crate::dispatcher::{Dispatcher, Effect, Input};
use crate::labels;
use crate::output::OutputWriter;
use crate::owner::Owner;
use crate::reaper::UndoList;
use crate::recorder::{EventSender, Recorder};
use crate::store::RunFolder;
use crate::sweep::sweep;
use crate::unit::attempt;
use crate::unit::container::Ahead;

/// Between two looks for a request to cancel.
const LOOK: Duration = Duration::from_millis(250);

/// A run that goes on.
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) request: RunRequest,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) owner: Owner,
    /// The engine's clock when the run was opened.
    pub(super) now: i64,
    pub(super) folder: RunFolder,
    pub(super) recorder: Recorder,
    pub(super) events: EventSender,
    pub(super) undo: UndoList,
    pub(super) dispatcher: Dispatcher,
    pub(super) labels: Labels,
    pub(super) logins: Arc<Vec<Login>>,
    pub(super) made: Arc<Made>,
    pub(super) running: BTreeMap<StepIx, Running>,
    /// Containers that are made before their steps' turn.
    pub(super) ahead: BTreeMap<StepIx, Arc<Ahead>>,
    pub(super) tasks: JoinSet<Ending>,
    /// Something was stopped or went wrong, so that the engine may still be at work.
    pub(super) disturbed: bool,
    pub(super) deadline: Option<Countdown>,
    /// Engines besides the one in use on which a step was begun.
    pub(super) engines: BTreeSet<String>,
    /// The last signal.
    pub(super) interrupted: Option<Signal>,
}

/// A step that goes on.
pub(super) struct Running {
    task: Id,
    stop: watch::Sender<Stop>,
    started: Instant,
}

impl Run {
    /// Sweeps, then does the plan, until every step has ended or the third signal came.
    pub(super) async fn perform(&mut self) -> Flow {
        let (backend, owner, now) = (Arc::clone(&self.backend), self.owner.clone(), self.now);
        let mut sweeping = pin!(async move { sweep(&*backend, &owner, now).await });
        let (mut swept, mut timed_out, mut cancelled) = (false, false, false);
        let mut looks = interval(LOOK);
        let shells = self.request.shells.as_ref().map(|shells| shells.watch());
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let held = shells.as_ref().is_some_and(|open| *open.borrow() > 0);
            let input = tokio::select! {
                biased;
                Some(signal) = self.request.signals.recv() => Input::Interrupt(signal),
                Some(ended) = self.tasks.join_next_with_id() => match self.ended(ended) {
                    Some(input) => input,
                    None => continue,
                },
                result = &mut sweeping, if !swept => {
                    swept = true;
                    if let Err(error) = result {
                        let message = format!("what earlier runs left could not be swept: {error}");
                        self.events.send(warning(message, None));
                    }
                    Input::Start
                }
                () = over(&mut self.deadline), if !timed_out && !held => {
                    timed_out = true;
                    Input::RunTimedOut
                }
                _ = looks.tick(), if !cancelled => {
                    if !self.folder.cancel_requested() {
                        continue;
                    }
                    cancelled = true;
                    Input::CancelRequested
                }
            };
            if let Some(flow) = self.handle(input) {
                return flow;
            }
        }
    }

    /// Hands over what happened and does what comes back; gives how the phase ends, if it does.
    pub(super) fn handle(&mut self, input: Input) -> Option<Flow> {
        if let Input::Interrupt(signal) = input {
            self.interrupted = Some(signal);
        }
        let mut flow = None;
        for effect in self.dispatcher.handle(input).0 {
            match effect {
                Effect::Start { ix } => self.start(ix, 1, Duration::ZERO),
                Effect::Retry {
                    ix,
                    attempt,
                    after,
                    failure,
                } => {
                    self.attempt_failed(ix, attempt, after, failure);
                    self.start(ix, attempt, after);
                }
                Effect::Stop { ix, stop } => {
                    self.disturbed = true;
                    if let Some(running) = self.running.get(&ix) {
                        running.stop.send_replace(stop);
                    }
                }
                Effect::End { ix, ending } => self.end(ix, ending),
                Effect::Stopping { reason } => self.events.send(EventKind::Stopping { reason }),
                Effect::Close => flow = Some(Flow::Next),
                Effect::ExitNow => flow = Some(Flow::Leave),
            }
        }
        for ix in self.dispatcher.next_up() {
            self.make_ahead(ix);
        }
        if self.dispatcher.has_begun_all() {
            self.made.chores.nothing_follows();
        }
        flow
    }

    fn attempt_failed(
        &mut self,
        ix: StepIx,
        next: u32,
        next_after: Duration,
        reason: FailureReason,
    ) {
        self.disturbed |= disturbs(&reason);
        if let Some(step) = self.request.plan.steps.get(ix) {
            self.events.send(EventKind::AttemptFailed {
                step: step.id.clone(),
                attempt: next.saturating_sub(1),
                reason,
                next_after,
            });
        }
    }

    fn start(&mut self, ix: StepIx, attempt: u32, after: Duration) {
        let Some(step) = self.request.plan.steps.get(ix).cloned() else {
            return;
        };
        if let Unit::Release(release) = &step.unit {
            self.engines.extend(release.environment.engine.clone());
        }
        let (stop, stopped) = watch::channel(Stop::No);
        let task = match self.context(ix, &step, attempt, stopped) {
            Ok(context) => self.tasks.spawn(attempt::attempt(context, after)),
            Err(trouble) => self.tasks.spawn(ready(surroundings(trouble))),
        };
        // A step's time is that of all its attempts.
        let before = self.running.get(&ix).map(|running| running.started);
        self.running.insert(
            ix,
            Running {
                task: task.id(),
                stop,
                started: before.unwrap_or_else(Instant::now),
            },
        );
    }

    /// Makes a step's container before its turn, where that can be.
    fn make_ahead(&mut self, ix: StepIx) {
        let plan = Arc::clone(&self.request.plan);
        let Some(step) = plan.steps.get(ix) else {
            return;
        };
        let before = step
            .needs
            .iter()
            .filter(|need| self.running.contains_key(&need.step));
        let before = before.filter_map(|need| Some(plan.steps.get(need.step)?.id.clone()));
        let before = before.collect();
        // Nothing is to be told or written down of a step that has not begun.
        let Ok(nowhere) = File::options().write(true).open("/dev/null") else {
            return;
        };
        let (_, stop) = watch::channel(Stop::No);
        let context = self.context_with(ix, step, 1, stop, nowhere);
        if let Some(ahead) = Ahead::begin(context, before) {
            self.ahead.insert(ix, Arc::new(ahead));
        }
    }

    fn context(
        &self,
        ix: StepIx,
        step: &PlannedStep,
        attempt: u32,
        stop: watch::Receiver<Stop>,
    ) -> Result<UnitContext, Trouble> {
        let log = self.folder.log(ix, attempt)?;
        let ahead = self.ahead.get(&ix).filter(|_| attempt == 1);
        Ok(UnitContext {
            ahead: ahead.cloned(),
            ..self.context_with(ix, step, attempt, stop, log)
        })
    }

    fn context_with(
        &self,
        ix: StepIx,
        step: &PlannedStep,
        attempt: u32,
        stop: watch::Receiver<Stop>,
        log: File,
    ) -> UnitContext {
        let (id, request) = (step.id.clone(), &self.request);
        let mut labels = self.labels.clone();
        labels.insert(labels::STEP.to_owned(), id.to_string());
        UnitContext {
            backend: Arc::clone(&self.backend),
            connector: Arc::clone(&request.connector),
            approver: Arc::clone(&request.approver),
            plan: Arc::clone(&request.plan),
            ix,
            run: self.id,
            root: request.root.clone(),
            shared: request.shared.clone(),
            attempt,
            artifacts: self.folder.artifacts(ix, attempt),
            run_folder: self.folder.path().to_owned(),
            events: self.events.clone(),
            output: OutputWriter::new(id, log, &request.redactor, self.recorder.lane()),
            made: Arc::clone(&self.made),
            secrets: Arc::clone(&request.secrets),
            logins: Arc::clone(&self.logins),
            lock_wait: request.lock_wait,
            force_unverified: request.force_unverified,
            allow_host_network: request.allow_host_network,
            undo: self.undo.clone(),
            labels,
            shells: request.shells.clone(),
            stop,
            ahead: None,
        }
    }

    /// The work of a step is over, one way or another.
    fn ended(&mut self, ended: Result<(Id, Ending), JoinError>) -> Option<Input> {
        let (task, ending) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                let trouble = Trouble::new("a step broke off").cause(error.to_string());
                (error.id(), surroundings(trouble))
            }
        };
        let (ix, _) = self
            .running
            .iter()
            .find(|(_, running)| running.task == task)?;
        Some(Input::StepEnded { ix: *ix, ending })
    }

    fn end(&mut self, ix: StepIx, ending: Ending) {
        if let Some(ahead) = self.ahead.remove(&ix) {
            // It was not needed, if it is still there.
            let backend = Arc::clone(&self.backend);
            let chore = async move { ahead.discard(backend.as_ref()).await };
            self.made.chores.begin(chore);
        }
        let Some(step) = self.request.plan.steps.get(ix) else {
            return;
        };
        let allowed = step.allow_failure.covers(&ending);
        let (step, running) = (step.id.clone(), self.running.remove(&ix));
        self.disturbed |= matches!(&ending, Ending::Failed(reason) if disturbs(reason));
        let took = running.map_or(Duration::ZERO, |running| running.started.elapsed());
        // As exact as it is written down.
        let duration = Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        self.events.send(EventKind::StepEnded {
            step,
            ending,
            duration,
            allowed,
        });
    }
}

/// After such a failure the engine may still be at work.
fn disturbs(reason: &FailureReason) -> bool {
    matches!(
        reason,
        FailureReason::Service { .. }
            | FailureReason::Surroundings(_)
            | FailureReason::TimedOut { .. }
    )
}

fn surroundings(trouble: Trouble) -> Ending {
    Ending::Failed(FailureReason::Surroundings(trouble))
}

async fn over(deadline: &mut Option<Countdown>) {
    match deadline {
        Some(deadline) => deadline.over().await,
        None => pending().await,
    }
}
