//! The runs that this process goes on with: how they are started, seen, waited for and stopped.
//! Runs of other processes are seen in their folders; here is only what the folder cannot tell in
//! time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hoist_engine::run::RunRequest;
use hoist_model::event::{EventKind, Question, RunEvent};
use hoist_model::ids::RunId;
use hoist_model::reason::{Signal, Trouble};
use hoist_model::reporter::{ReportError, Reporter};
use hoist_model::state::{RunState, StepStatus};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::approval::Desk;

/// How many runs may go on at once.
const MOST: usize = 4;
/// The longest message about a run that goes on, characters: some clients cut there.
const MESSAGE: usize = 200;

/// A run at a glance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Glance {
    /// Its ID, once it has begun.
    pub(crate) run: Option<RunId>,
    /// Steps that have ended.
    pub(crate) ended: usize,
    /// All steps.
    pub(crate) steps: usize,
    /// What its deploys wait for.
    pub(crate) awaits: Vec<Question>,
    /// What it does now.
    pub(crate) message: String,
    /// Set at its end; holds why it could not begin, if so.
    over: Option<Result<(), Trouble>>,
}

/// A run of this process.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    signals: mpsc::Sender<Signal>,
    /// What it does.
    pub(crate) seen: watch::Receiver<Glance>,
    /// Where its deploys are approved of.
    pub(crate) desk: Desk,
}

/// The runs of this process.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    all: Mutex<Vec<Live>>,
    keys: Mutex<BTreeMap<String, RunId>>,
    /// Set when no run may begin any more.
    closed: CancellationToken,
}

impl Runs {
    /// The channel by which a run is stopped; its other end belongs into the request.
    pub(crate) fn signals() -> (mpsc::Sender<Signal>, mpsc::Receiver<Signal>) {
        mpsc::channel(8)
    }

    /// Starts a run, and waits until it has begun.
    ///
    /// # Errors
    /// When too many go on, when it cannot begin, or when `cancelled` comes first.
    pub(crate) async fn start(
        &self,
        mut request: RunRequest,
        signals: mpsc::Sender<Signal>,
        desk: Desk,
        cancelled: &CancellationToken,
    ) -> Result<(RunId, Live), Trouble> {
        let (see, mut seen) = watch::channel(Glance::default());
        let see = Arc::new(see);
        request.reporters.insert(0, Box::new(Eye(Arc::clone(&see))));
        request.approver = Arc::new(desk.clone());
        let live = Live {
            signals,
            seen: seen.clone(),
            desk,
        };
        self.admit(live.clone())?;
        let runtime = Handle::current();
        // A thread of its own: the engine's future is made for one, as the command line has it.
        tokio::task::spawn_blocking(move || {
            let result = runtime.block_on(hoist_engine::run::run(request));
            see.send_modify(|glance| {
                glance.over = Some(result.map(drop).map_err(|error| error.trouble()));
            });
        });
        let begun = |glance: &Glance| glance.run.is_some() || glance.over.is_some();
        tokio::select! {
            _ = seen.wait_for(begun) => {}
            () = cancelled.cancelled() => {
                live.stop();
                return Err(Trouble::new("the call was cancelled before the run began"));
            }
        }
        let glance = seen.borrow().clone();
        match (glance.run, glance.over) {
            (Some(run), _) => Ok((run, live)),
            (None, Some(Err(trouble))) => Err(trouble),
            (None, _) => Err(Trouble::new("the run broke off before it began")),
        }
    }

    /// The run of that ID, if this process has it.
    pub(crate) fn get(&self, run: RunId) -> Option<Live> {
        let all = locked(&self.all);
        all.iter()
            .find(|live| live.seen.borrow().run == Some(run))
            .cloned()
    }

    /// The run that was started with that key.
    pub(crate) fn of_key(&self, key: &str) -> Option<RunId> {
        locked(&self.keys).get(key).copied()
    }

    /// Remembers the key of a run.
    pub(crate) fn remember(&self, key: &str, run: RunId) {
        locked(&self.keys).insert(key.to_owned(), run);
    }

    /// Kills all runs and waits until they are cleaned up, at most so long. What is not done by
    /// then is done by their reapers.
    pub(crate) async fn end_all(&self, patience: Duration) {
        self.closed.cancel();
        let all = locked(&self.all).clone();
        for live in &all {
            // The first asks, the second kills: whoever ends the server does not wait for a grace.
            live.stop();
            live.stop();
        }
        let ends = async {
            for live in all {
                live.ended().await;
            }
        };
        let _ = timeout(patience, ends).await;
    }

    /// Cancels all runs and waits until they are cleaned up; with another signal they are killed.
    pub(crate) async fn end_as_asked(&self, signals: &mut mpsc::Receiver<Signal>) {
        self.closed.cancel();
        let all = locked(&self.all).clone();
        all.iter().for_each(Live::stop);
        for live in &all {
            loop {
                tokio::select! {
                    () = live.ended() => break,
                    Some(_) = signals.recv() => all.iter().for_each(Live::stop),
                }
            }
        }
    }

    fn admit(&self, live: Live) -> Result<(), Trouble> {
        let mut all = locked(&self.all);
        if self.closed.is_cancelled() {
            return Err(Trouble::new("the server is ending and starts no runs"));
        }
        all.retain(|live| !live.is_over());
        if all.len() >= MOST {
            return Err(
                Trouble::new(format!("{MOST} runs of this server go on already"))
                    .hint("wait for one with get_run, or cancel one with cancel_run"),
            );
        }
        all.push(live);
        Ok(())
    }
}

impl Live {
    /// Sends the run a signal; the second one kills.
    fn stop(&self) {
        let _ = self.signals.try_send(Signal::Terminate);
    }

    /// It has ended and everything is cleaned up.
    pub(crate) fn is_over(&self) -> bool {
        // A sender that is gone belongs to a task that broke off.
        self.seen.borrow().over.is_some() || self.seen.has_changed().is_err()
    }

    /// Waits until it has ended, or goes on only when someone approves.
    pub(crate) async fn settled(&self) {
        let settled = |glance: &Glance| glance.over.is_some() || !glance.awaits.is_empty();
        let _ = self.seen.clone().wait_for(settled).await;
    }

    /// Waits until it asks that no more.
    pub(crate) async fn heard(&self, question: &Question) {
        let heard = |glance: &Glance| glance.over.is_some() || !glance.awaits.contains(question);
        let _ = self.seen.clone().wait_for(heard).await;
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) {
        let _ = self
            .seen
            .clone()
            .wait_for(|glance| glance.over.is_some())
            .await;
    }
}

/// A lock whose holder panicked guards data that is whole all the same.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sees a run for those who wait for it.
struct Eye(Arc<watch::Sender<Glance>>);

impl Reporter for Eye {
    fn name(&self) -> &'static str {
        "the MCP server"
    }

    fn on_event(&mut self, state: &RunState, event: &RunEvent) -> Result<(), ReportError> {
        self.0.send_modify(|glance| {
            glance.run = Some(event.run);
            glance.steps = state.steps.len();
            let awaits = state.steps.iter().filter_map(|step| step.awaits.clone());
            glance.awaits = awaits.collect();
            glance.ended = state
                .steps
                .iter()
                .filter(|step| step.ending().is_some())
                .count();
            if !matches!(event.kind, EventKind::RunEnded { .. }) {
                glance.message = message(state, glance.ended);
            }
        });
        Ok(())
    }
}

/// `1 of 3 steps ended; running: unit, image (pulling redis:7)`.
fn message(state: &RunState, ended: usize) -> String {
    let running = state
        .steps
        .iter()
        .filter(|step| matches!(step.status, StepStatus::Running { .. }));
    let running: Vec<String> = running
        .map(|step| match &step.phase {
            Some(phase) => format!("{} ({phase})", step.id()),
            None => step.id().to_string(),
        })
        .collect();
    let mut text = format!("{ended} of {} steps ended", state.steps.len());
    if state.stopping.is_some() {
        text.push_str("; stopping");
    }
    if !running.is_empty() {
        text.push_str("; running: ");
        text.push_str(&running.join(", "));
    }
    // Room for what says that it was cut.
    crate::text::short(&crate::text::line(&text), MESSAGE - 30)
}
