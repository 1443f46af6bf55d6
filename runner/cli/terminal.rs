//! The terminal's own echo of Ctrl-C. It would go to the line beneath the live region, and the next
//! frame would then be drawn one line too low. Only that echo is changed, and only in the
//! foreground; where hoist is killed before it can be changed back, a Ctrl-C shows no `^C`, and
//! nothing else is amiss.

use std::io::stderr;

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
