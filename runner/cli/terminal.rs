//! The terminal's modes, and that they are put back.
//!
//! Its own echo of Ctrl-C would go to the line beneath the live region, and the next
//! frame would then be drawn one line too low. While a run is shown, only that echo is changed, and only in the
//! foreground; where hoist is killed before it can be changed back, a Ctrl-C shows no `^C`, and
//! nothing else is amiss.

use std::io::{stderr, stdin};
use std::sync::{Mutex, PoisonError};

use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// While this lives, Ctrl-C is not echoed.
pub(crate) struct WithoutEcho {
    before: Option<Termios>,
}

impl WithoutEcho {
    /// Turns the echo off, if standard error is a terminal and hoist is in its foreground.
    pub(crate) fn start() -> Self {
        // A process of the background would be stopped for touching the terminal.
        let foreground = tcgetpgrp(stderr()).is_ok_and(|group| group == getpgrp());
        let before = if foreground {
            tcgetattr(stderr()).ok()
        } else {
            None
        };
        if let Some(before) = &before {
            let mut without = before.clone();
            without.local_modes.remove(LocalModes::ECHOCTL);
            let _ = tcsetattr(stderr(), OptionalActions::Now, &without);
        }
        Self { before }
    }
}

impl Drop for WithoutEcho {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(stderr(), OptionalActions::Now, before);
        }
    }
}

/// What the terminal was before it was raw, for an end that drops nothing.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// While this lives, the terminal hands over each key as it is, Ctrl-C among them.
pub(crate) struct Raw(());

impl Raw {
    /// Makes the terminal on standard input raw.
    pub(crate) fn start() -> std::io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let raw = tcsetattr(stdin(), OptionalActions::Now, &raw);
        raw.inspect_err(|_| restore())?;
        Ok(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back to what it was before it was raw, if it is.
pub(crate) fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}
