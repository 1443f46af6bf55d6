//! The terminal lent to a shell: keys go to the shell as they are typed and what it prints to the
//! screen, while everyone else who writes there waits. However the shell ends, the terminal is as
//! it was before.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use hoist_engine::shell::{Host, Session};
use hoist_model::event::{Output, RunEvent};
use hoist_model::reason::Trouble;
use hoist_model::reporter::{ReportError, Reporter};
use hoist_model::state::RunState;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, mpsc};

use crate::exit::CliError;
use crate::terminal::Raw;

/// Between two looks whether keys are still wanted.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};
/// Keys that are read at once.
const KEYS: usize = 1024;

/// Who has the terminal.
pub(crate) type Gate = Arc<Mutex<()>>;

/// Takes what is drawn away before the terminal is lent.
pub(crate) type Clear = Box<dyn Fn() + Send + Sync>;

/// Refuses where there is no terminal to lend.
pub(crate) fn needs_terminal(what: &str) -> Result<(), CliError> {
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        return Ok(());
    }
    let trouble = Trouble::new(format!("{what} needs a terminal"));
    Err(CliError::usage(trouble.hint(
        "run it where standard input and standard error are one",
    )))
}

/// Lends the terminal.
pub(crate) struct Visitor {
    gate: Gate,
    clear: Clear,
}

impl Visitor {
    pub(crate) fn new(gate: Gate, clear: Clear) -> Self {
        Self { gate, clear }
    }
}

#[async_trait]
impl Host for Visitor {
    async fn attend(&self, invitation: &str, session: Session) -> Result<(), Trouble> {
        let _held = self.gate.lock().await;
        (self.clear)();
        show(invitation.as_bytes());
        show(b"(leave it with `exit`; what you change here is gone then)\n");
        let lent = lend(session, show).await;
        lent.map_err(|error| {
            Trouble::new("the terminal cannot be lent to a shell").cause(error.to_string())
        })?;
        show(b"\n");
        Ok(())
    }
}

/// Lends the terminal until the session's output ends, which `show` takes to the screen.
pub(crate) async fn lend(mut session: Session, show: impl Fn(&[u8])) -> std::io::Result<()> {
    let mut resized = signal(SignalKind::window_change())?;
    let _raw = Raw::start()?;
    session.size.send_replace(size());
    let mut keys = Keys::read();
    loop {
        tokio::select! {
            piece = session.output.next() => match piece {
                Some(Ok(bytes)) => show(&bytes),
                // The connection goes with the shell.
                Some(Err(_)) | None => return Ok(()),
            },
            Some(bytes) = keys.typed.recv() => {
                // One that takes no more is about to end.
                let _ = session.input.write_all(&bytes).await;
                let _ = session.input.flush().await;
            }
            Some(()) = resized.recv() => {
                session.size.send_replace(size());
            }
        }
    }
}

/// Columns and rows of the terminal.
pub(crate) fn size() -> (u16, u16) {
    let (columns, rows) = crate::options::size();
    let small = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
    (small(columns), small(rows))
}

/// To the screen; where it takes nothing more there is nobody to tell.
fn show(bytes: &[u8]) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(bytes);
    let _ = out.flush();
}

/// Keys on their way, read by a thread of their own that ends with this: one that waited on would
/// take what is typed afterwards.
struct Keys {
    typed: mpsc::Receiver<Vec<u8>>,
    over: Arc<AtomicBool>,
}

impl Keys {
    fn read() -> Self {
        let (send, typed) = mpsc::channel(16);
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        std::thread::spawn(move || {
            let stdin = std::io::stdin();
            while !ended.load(Ordering::Relaxed) {
                let mut ready = [PollFd::new(&stdin, PollFlags::IN)];
                match poll(&mut ready, Some(&LOOK)) {
                    Ok(0) => continue,
                    Ok(_) => {}
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(_) => return,
                }
                let mut bytes = vec![0; KEYS];
                match rustix::io::read(&stdin, &mut bytes) {
                    Ok(0) | Err(_) => return,
                    Ok(count) => bytes.truncate(count),
                }
                if send.blocking_send(bytes).is_err() {
                    return;
                }
            }
        });
        Self { typed, over }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// A reporter that waits while the terminal is lent.
pub(crate) struct Held {
    pub(crate) inner: Box<dyn Reporter>,
    pub(crate) gate: Gate,
}

impl Reporter for Held {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn on_event(&mut self, state: &RunState, event: &RunEvent) -> Result<(), ReportError> {
        let _free = self.gate.blocking_lock();
        self.inner.on_event(state, event)
    }

    fn on_output(&mut self, state: &RunState, output: &Output) -> Result<(), ReportError> {
        let _free = self.gate.blocking_lock();
        self.inner.on_output(state, output)
    }

    fn on_tick(&mut self, state: &RunState, elapsed: Duration) -> Result<(), ReportError> {
        let _free = self.gate.blocking_lock();
        self.inner.on_tick(state, elapsed)
    }

    fn finish(&mut self, state: &RunState) -> Result<(), ReportError> {
        let _free = self.gate.blocking_lock();
        self.inner.finish(state)
    }
}
