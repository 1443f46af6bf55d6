//! A step's output on its way: masked, appended to its log, its end remembered, and passed to the
//! reporters with back-pressure.
//!
//! Engines hand over output line by line or worse, so nothing here costs more than a copy a piece:
//! what goes to the reporters is collected, and leaves when it is large or has waited long enough.
//! Whoever owns a writer calls [`OutputWriter::flush`] several times a second and
//! [`OutputWriter::close`] at the end. Memory stays flat whatever is printed.

mod log;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hoist_model::event::{Output, Stream};
use hoist_model::ids::StepId;
use hoist_model::reason::Trouble;
use hoist_model::redact::{self, Redactor};
use tokio::time::Instant;

use crate::recorder::OutputLane;
use log::{Log, Tail};

/// The largest piece that reporters get, bytes.
pub const PIECE: usize = 64 << 10;
/// What is kept of one step's output on disk, bytes.
pub const LOG_LIMIT: u64 = 1 << 30;
/// How long output may wait before the next that comes takes it along.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long the disk may lack what was printed.
const SYNC: Duration = Duration::from_secs(1);
/// How long nothing must come before the beginning of what may be a secret is shown.
const IDLE: Duration = Duration::from_secs(1);

/// Where a step's output goes. Clones are the same writer.
#[derive(Clone)]
pub struct OutputWriter {
    inner: Arc<Inner>,
}

struct Inner {
    step: StepId,
    redactor: Redactor,
    /// Absent where nobody is shown it live.
    lane: Option<OutputLane>,
    state: Mutex<State>,
    /// Whoever holds it takes what is collected to the reporters, so that pieces stay in order.
    turn: tokio::sync::Mutex<()>,
}

struct State {
    masks: [redact::Stream; 2],
    log: Log,
    tail: Tail,
    /// What the reporters have not got yet.
    waiting: [Vec<u8>; 2],
    sent: Instant,
    came: Instant,
    synced: Instant,
}

impl OutputWriter {
    /// A writer of a step's output into its log, a new file.
    pub(crate) fn new(step: StepId, log: File, redactor: &Redactor, lane: OutputLane) -> Self {
        Self::with_limit(step, log, redactor, Some(lane), LOG_LIMIT)
    }

    /// A writer into another log, masked in the same way, of which the reporters get nothing.
    pub(crate) fn aside(&self, log: File) -> Self {
        let inner = &self.inner;
        Self::with_limit(inner.step.clone(), log, &inner.redactor, None, LOG_LIMIT)
    }

    fn with_limit(
        step: StepId,
        log: File,
        redactor: &Redactor,
        lane: Option<OutputLane>,
        limit: u64,
    ) -> Self {
        let now = Instant::now();
        let state = State {
            masks: [redactor.stream(), redactor.stream()],
            log: Log::new(log, limit),
            tail: Tail::default(),
            waiting: [Vec::new(), Vec::new()],
            sent: now,
            came: now,
            synced: now,
        };
        let turn = tokio::sync::Mutex::new(());
        Self {
            inner: Arc::new(Inner {
                step,
                redactor: redactor.clone(),
                lane,
                state: Mutex::new(state),
                turn,
            }),
        }
    }

    /// Takes bytes as they come; waits while the disk or the reporters are behind.
    pub async fn write(&self, stream: Stream, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            let full = {
                let mut state = self.lock();
                state.take(stream, piece);
                state.is_due()
            };
            if full {
                self.forward().await;
            }
        }
    }

    /// Takes a line of hoist's own, such as the builder's progress.
    pub async fn line(&self, text: &str) {
        self.write(Stream::Stderr, format!("{text}\n").as_bytes())
            .await;
    }

    /// The last lines written so far, masked, for messages: at most 50, and at most 64 KiB.
    #[must_use]
    pub fn tail(&self) -> String {
        self.lock().tail.text()
    }

    /// Passes on what has waited. Reporters get it now, the disk at least once a second.
    pub async fn flush(&self) {
        {
            let mut state = self.lock();
            if state.came.elapsed() >= IDLE {
                state.show_idle();
            }
            if state.synced.elapsed() >= SYNC {
                state.log.flush();
                state.synced = Instant::now();
            }
        }
        self.forward().await;
    }

    /// What masks it.
    pub(crate) fn redactor(&self) -> &Redactor {
        &self.inner.redactor
    }

    /// Ends the output: passes on all that is still held back, and completes the log. Ending it once
    /// more says the same.
    ///
    /// # Errors
    /// When the log is not whole because the disk refused it.
    pub async fn close(&self) -> Result<(), Trouble> {
        let logged = {
            let mut state = self.lock();
            state.show_rest();
            state.log.close()
        };
        self.forward().await;
        logged.map_err(|error| {
            Trouble::new(format!(
                "the output of {} could not be kept",
                self.inner.step
            ))
            .cause(error.to_string())
            .hint("free space on the project's disk")
        })
    }

    async fn forward(&self) {
        let _turn = self.inner.turn.lock().await;
        let waiting = {
            let mut state = self.lock();
            state.sent = Instant::now();
            [
                std::mem::take(&mut state.waiting[0]),
                std::mem::take(&mut state.waiting[1]),
            ]
        };
        let Some(lane) = &self.inner.lane else { return };
        for (stream, bytes) in [Stream::Stdout, Stream::Stderr].into_iter().zip(waiting) {
            if !bytes.is_empty() {
                let step = self.inner.step.clone();
                lane.send(Output {
                    step,
                    stream,
                    bytes,
                })
                .await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        self.came = Instant::now();
        let [out, err] = &mut self.masks;
        let mask = if stream == Stream::Stdout { out } else { err };
        let shown = mask.push(bytes);
        pass(
            &mut self.log,
            &mut self.tail,
            &mut self.waiting,
            stream,
            &shown,
        );
    }

    fn show_idle(&mut self) {
        self.show(redact::Stream::idle);
    }

    fn show_rest(&mut self) {
        self.show(redact::Stream::flush);
    }

    fn show(&mut self, rest: impl Fn(&mut redact::Stream) -> Vec<u8>) {
        for (stream, mask) in [Stream::Stdout, Stream::Stderr]
            .into_iter()
            .zip(&mut self.masks)
        {
            let shown = rest(mask);
            pass(
                &mut self.log,
                &mut self.tail,
                &mut self.waiting,
                stream,
                &shown,
            );
        }
    }

    fn is_due(&self) -> bool {
        let waiting: usize = self.waiting.iter().map(Vec::len).sum();
        waiting >= PIECE / 2 || waiting > 0 && self.sent.elapsed() >= PATIENCE
    }
}

fn pass(
    log: &mut Log,
    tail: &mut Tail,
    [out, err]: &mut [Vec<u8>; 2],
    stream: Stream,
    shown: &[u8],
) {
    log.append(shown);
    tail.append(shown);
    match stream {
        Stream::Stdout => out.extend_from_slice(shown),
        Stream::Stderr => err.extend_from_slice(shown),
    }
}
