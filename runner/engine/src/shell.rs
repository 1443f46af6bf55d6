//! Shells in steps' containers: who gives them a terminal, and when one is opened. A container is
//! the unit's part, a terminal the caller's; what is here joins the two, and refuses to know either.
//!
//! What goes through a shell is its user's own and neither kept nor masked: they could read the
//! step's secrets in any other way, too.

use std::pin::Pin;

use async_trait::async_trait;
use hoist_model::reason::Trouble;
use tokio::io::AsyncWrite;
use tokio::sync::watch;

use crate::backend::ByteStream;

/// Someone at a terminal.
#[async_trait]
pub trait Host: Send + Sync {
    /// Says what is offered and lends the terminal to a shell, until the shell's output ends.
    ///
    /// # Errors
    /// When the terminal cannot be lent. The shell is then ended.
    async fn attend(&self, invitation: &str, session: Session) -> Result<(), Trouble>;
}

/// A shell's ends.
pub struct Session {
    /// All that it prints, as a terminal takes it. It ends with the shell.
    pub output: ByteStream,
    /// What is typed.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// Columns and rows of the terminal; to be told at the beginning and whenever they change.
    pub size: watch::Sender<(u16, u16)>,
}

/// When shells are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// After the last attempt at a step that failed, in what it left.
    Failure,
    /// Instead of the step's command, in what it would have found.
    Instead,
}

/// The shells of a run: one at a time.
pub struct Shells {
    /// When they are opened.
    pub(crate) occasion: Occasion,
    /// What is executed.
    pub(crate) command: Vec<String>,
    pub(crate) host: Box<dyn Host>,
    turn: tokio::sync::Mutex<()>,
    /// How many are open or wait for their turn.
    open: watch::Sender<usize>,
}

impl Shells {
    /// Shells at a terminal.
    #[must_use]
    pub fn new(host: Box<dyn Host>, command: Vec<String>, occasion: Occasion) -> Self {
        Self {
            occasion,
            command,
            host,
            turn: tokio::sync::Mutex::default(),
            open: watch::Sender::new(0),
        }
    }

    /// Waits for the terminal to be free, and has it until what is given back is dropped. From the
    /// asking on, the clocks of all steps stand still: their output waits meanwhile, and so may they.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        self.open.send_modify(|open| *open += 1);
        let mut turn = Turn {
            open: &self.open,
            _turn: None,
        };
        turn._turn = Some(self.turn.lock().await);
        turn
    }

    /// Whether any is open, and news of that.
    pub(crate) fn watch(&self) -> watch::Receiver<usize> {
        self.open.subscribe()
    }
}

/// The terminal, for as long as this lives.
pub(crate) struct Turn<'a> {
    open: &'a watch::Sender<usize>,
    _turn: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}
