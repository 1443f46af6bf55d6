//! The recorder: one thread that numbers events, masks them, folds them, writes them down and tells
//! the reporters. Nothing reaches a reporter or the disk by another way but the steps' logs.
//!
//! There are two lanes into one queue. Facts are never held back and never dropped. Output needs
//! room first, so that a slow reporter slows the steps that print and not the memory down. Since
//! both end in the same queue, a step's output comes before its end.
//!
//! A thread and not a task: reporters write to terminals and files, and one that hangs must not
//! keep the run from stopping its containers. The recorder refuses to decide anything: a reporter
//! that fails or panics is said once and left out, and the run goes on.

pub(crate) mod mask;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use hoist_model::event::{EventKind, Output, RunEvent};
use hoist_model::ids::RunId;
use hoist_model::reason::{Trouble, Verdict};
use hoist_model::redact::Redactor;
use hoist_model::reporter::{ReportError, Reporter};
use hoist_model::state::RunState;
use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::store::{RunFolder, RunRecord};

/// Between two ticks of the reporters.
const TICK: Duration = Duration::from_millis(100);
/// Pieces of output that may wait for the reporters at once; each is at most
/// [`crate::output::PIECE`] bytes.
const WAITING: usize = 16;

/// Where facts go. Never blocks.
#[derive(Clone)]
pub struct EventSender {
    to: mpsc::Sender<Message>,
    start: tokio::time::Instant,
    /// Who else is told.
    tap: Option<Tap>,
}

/// The facts that came by since it was put in; they are not masked yet.
pub(crate) type Tap = Arc<Mutex<Vec<EventKind>>>;

/// Where pieces of output go, with back-pressure.
#[derive(Clone)]
pub(crate) struct OutputLane {
    to: mpsc::Sender<Message>,
    room: Arc<Semaphore>,
}

/// What comes through the queue.
pub(crate) enum Message {
    /// A fact.
    Event {
        /// What happened.
        kind: EventKind,
        /// The wall clock's time.
        at: Timestamp,
        /// Since the run's start.
        elapsed: Duration,
    },
    /// A piece of output, and the room that it takes.
    Output(Output, OwnedSemaphorePermit),
    /// The run is over: record the verdict, finish the reporters and give the state back.
    End(Box<dyn FnOnce(RunState) + Send>),
}

impl EventSender {
    /// Sends a fact.
    pub fn send(&self, kind: EventKind) {
        let elapsed = self.start.elapsed();
        if let Some(tap) = &self.tap {
            let mut tap = tap.lock().unwrap_or_else(PoisonError::into_inner);
            tap.push(kind.clone());
        }
        // The recorder outlives all senders but those of a run that was abandoned.
        let _ = self.to.send(Message::Event {
            kind,
            at: Timestamp::now(),
            elapsed,
        });
    }

    /// The same, and what it sends from now on goes by the tap, too.
    pub(crate) fn tapped(&self, tap: &Tap) -> Self {
        Self {
            tap: Some(Arc::clone(tap)),
            ..self.clone()
        }
    }

    /// Since the run's start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}

impl OutputLane {
    /// Sends a piece of output when there is room for it.
    pub(crate) async fn send(&self, output: Output) {
        if let Ok(permit) = self.room.clone().acquire_owned().await {
            let _ = self.to.send(Message::Output(output, permit));
        }
    }
}

/// The ends of a queue: for facts, for output, and for whoever takes both in.
pub(crate) fn queue() -> (EventSender, OutputLane, mpsc::Receiver<Message>) {
    let (to, from) = mpsc::channel();
    let room = Arc::new(Semaphore::new(WAITING));
    let events = EventSender {
        to: to.clone(),
        start: tokio::time::Instant::now(),
        tap: None,
    };
    (events, OutputLane { to, room }, from)
}

/// A recorder at work. Clones are the same.
#[derive(Clone)]
pub(crate) struct Recorder {
    events: EventSender,
    lane: OutputLane,
}

impl Recorder {
    /// Starts recording: facts onto paper, and both lanes to the reporters.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub(crate) fn start(
        run: RunId,
        redactor: Redactor,
        paper: Paper,
        reporters: Vec<Box<dyn Reporter>>,
    ) -> Result<Self, Trouble> {
        let (events, lane, inbox) = queue();
        let (state, torn, start) = (RunState::default(), false, Instant::now());
        let book = Book {
            run,
            redactor,
            seq: 0,
            state,
            paper,
            torn,
            reporters,
            start,
        };
        std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || book.keep(&inbox))
            .map_err(|error| Trouble::new("the run cannot be recorded").cause(error.to_string()))?;
        Ok(Self { events, lane })
    }

    /// Where facts go.
    pub(crate) fn events(&self) -> EventSender {
        self.events.clone()
    }

    /// Where output goes.
    pub(crate) fn lane(&self) -> OutputLane {
        self.lane.clone()
    }

    /// Records the verdict, finishes the reporters, and gives what the run came to; nothing where
    /// the recorder itself broke.
    pub(crate) async fn end(&self) -> Option<RunState> {
        let (to, from) = oneshot::channel();
        self.send_end(move |state| drop(to.send(state)));
        from.await.ok()
    }

    /// The same for a process that is to exit at once: blocks its thread, and not for longer than
    /// `patience`, since a reporter may be what hangs.
    pub(crate) fn end_now(&self, patience: Duration) -> Option<RunState> {
        let (to, from) = mpsc::channel();
        self.send_end(move |state| drop(to.send(state)));
        from.recv_timeout(patience).ok()
    }

    fn send_end(&self, give: impl FnOnce(RunState) + Send + 'static) {
        let _ = self.events.to.send(Message::End(Box::new(give)));
    }
}

/// What a run is written down on.
pub(crate) struct Paper {
    /// Where `run.json` is.
    pub(crate) folder: RunFolder,
    /// Takes each event.
    pub(crate) journal: File,
    /// hoist's version.
    pub(crate) version: String,
    /// This process.
    pub(crate) owner: String,
}

impl Paper {
    fn append(&mut self, event: &RunEvent) -> Result<(), Trouble> {
        let mut line = serde_json::to_vec(event).map_err(|error| unwritten(&error.into()))?;
        line.push(b'\n');
        self.journal
            .write_all(&line)
            .map_err(|error| unwritten(&error))
    }

    fn sum_up(&self, state: &RunState) -> Result<(), Trouble> {
        self.folder.write(&RunRecord {
            format: 1,
            version: self.version.clone(),
            owner: self.owner.clone(),
            state: state.clone(),
        })
    }
}

fn unwritten(error: &std::io::Error) -> Trouble {
    Trouble::new("the run's events can no longer be written down").cause(error.to_string())
}

/// What the recorder's thread holds.
struct Book {
    run: RunId,
    redactor: Redactor,
    seq: u64,
    state: RunState,
    paper: Paper,
    /// The paper refused something: a run whose record has holes has not gone well.
    torn: bool,
    reporters: Vec<Box<dyn Reporter>>,
    start: Instant,
}

impl Book {
    fn keep(mut self, inbox: &mpsc::Receiver<Message>) {
        let mut next = self.start + TICK;
        loop {
            let wait = next.saturating_duration_since(Instant::now());
            match inbox.recv_timeout(wait) {
                Ok(Message::Event { kind, at, elapsed }) => self.record(kind, at, elapsed),
                Ok(Message::Output(output, room)) => {
                    self.show(&output);
                    drop(room);
                }
                Ok(Message::End(give)) => {
                    self.end();
                    return give(self.state);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= next {
                self.tick(self.start.elapsed());
                next = Instant::now() + TICK;
            }
        }
    }

    /// Records a fact, and those that recording it brings about.
    fn record(&mut self, kind: EventKind, at: Timestamp, elapsed: Duration) {
        // As exact as it is written down, so that reading it again gives the same state; and two
        // senders may race between looking at the clock and sending.
        let elapsed = Duration::from_millis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        let elapsed = elapsed.max(self.state.elapsed);
        let mut kinds = VecDeque::from([kind]);
        while let Some(kind) = kinds.pop_front() {
            let event = RunEvent {
                run: self.run,
                seq: self.seq,
                at,
                elapsed,
                kind: mask::mask(kind, &self.redactor),
            };
            self.seq += 1;
            self.state.apply(&event);
            kinds.extend(self.write(|paper, state| {
                paper.append(&event)?;
                // From the start on, readers find whose run it is.
                if event.seq == 0 {
                    paper.sum_up(state)
                } else {
                    Ok(())
                }
            }));
            kinds.extend(self.tell(|reporter, state| reporter.on_event(state, &event)));
        }
    }

    fn show(&mut self, output: &Output) {
        let failures = self.tell(|reporter, state| reporter.on_output(state, output));
        self.record_all(failures);
    }

    fn tick(&mut self, elapsed: Duration) {
        let failures = self.tell(|reporter, state| reporter.on_tick(state, elapsed));
        self.record_all(failures);
    }

    fn end(&mut self) {
        let recorded = if self.torn {
            Verdict::Surroundings
        } else {
            Verdict::Passed
        };
        let verdict = self.state.verdict_so_far().max(recorded);
        self.record_all(vec![EventKind::RunEnded { verdict }]);
        self.sum_up();
        let summed_up = self.seq;
        // The last first: those that are not finished yet hear of one that cannot be.
        while let Some(mut reporter) = self.reporters.pop() {
            let finished = guarded(&mut *reporter, |reporter| reporter.finish(&self.state));
            if let Err(error) = finished {
                self.record_all(vec![left_out(reporter.name(), &error)]);
            }
        }
        if self.seq != summed_up {
            self.sum_up();
        }
    }

    fn sum_up(&mut self) {
        let failure = self.write(|paper, state| paper.sum_up(state));
        self.record_all(failure.into_iter().collect());
    }

    fn record_all(&mut self, kinds: Vec<EventKind>) {
        for kind in kinds {
            self.record(kind, Timestamp::now(), self.start.elapsed());
        }
    }

    /// Writes something down; gives what is to be said if that is no longer possible.
    fn write(
        &mut self,
        what: impl FnOnce(&mut Paper, &RunState) -> Result<(), Trouble>,
    ) -> Option<EventKind> {
        if self.torn {
            return None;
        }
        let Trouble { what, cause, .. } = what(&mut self.paper, &self.state).err()?;
        self.torn = true;
        let message = format!("{what}: {}", cause.unwrap_or_default());
        let hint = Some("free space on the project's disk".to_owned());
        Some(EventKind::Warning {
            step: None,
            message,
            hint,
        })
    }

    /// Tells all reporters; leaves out those that fail, and gives what is to be said of them.
    fn tell(
        &mut self,
        mut what: impl FnMut(&mut dyn Reporter, &RunState) -> Result<(), ReportError>,
    ) -> Vec<EventKind> {
        let mut failures = Vec::new();
        let state = &self.state;
        self.reporters.retain_mut(|reporter| {
            let told = guarded(&mut **reporter, |reporter| what(reporter, state));
            told.inspect_err(|error| failures.push(left_out(reporter.name(), error)))
                .is_ok()
        });
        failures
    }
}

fn left_out(name: &str, error: &ReportError) -> EventKind {
    EventKind::Warning {
        step: None,
        message: format!("{name} failed and is left out from here on: {error}"),
        hint: None,
    }
}

/// Calls a reporter; its panic is its failure.
fn guarded(
    reporter: &mut dyn Reporter,
    call: impl FnOnce(&mut dyn Reporter) -> Result<(), ReportError>,
) -> Result<(), ReportError> {
    catch_unwind(AssertUnwindSafe(|| call(reporter)))
        .unwrap_or_else(|panic| Err(ReportError(panic_message(&*panic))))
}

/// What a panic says.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!(
        "an error in hoist itself: {}",
        text.unwrap_or("it panicked")
    )
}
