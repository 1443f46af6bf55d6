//! Approval of deploys by whoever started the run: digests on the command line, else a question on
//! the terminal. It refuses to ask where nobody can see the question.

use std::io::{BufRead, IsTerminal, stderr, stdin};

use async_trait::async_trait;
use hoist_engine::approval::Approver;
use hoist_model::event::Question;
use rustix::process::getpgrp;
use rustix::termios::{QueueSelector, tcflush, tcgetpgrp};
use tokio::sync::{Mutex, mpsc};

use crate::args::Progress;

/// Digits that a digest may be shortened to.
pub(crate) const SHORTEST: usize = 12;

/// Whoever started the run.
pub(crate) struct Starter {
    digests: Vec<String>,
    terminal: bool,
    /// What is typed. One question is asked at a time.
    lines: Mutex<Option<mpsc::UnboundedReceiver<String>>>,
}

impl Starter {
    /// Approves of these digests, or of what is approved of on a terminal where `progress` shows it.
    pub(crate) fn new(digests: &[String], progress: Progress) -> Self {
        let shown = matches!(progress, Progress::Tty | Progress::Plain);
        // A process of the background would be stopped for reading from the terminal.
        let foreground = || tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp());
        let terminal = shown && stdin().is_terminal() && stderr().is_terminal() && foreground();
        Self {
            digests: digests.to_vec(),
            terminal,
            lines: Mutex::default(),
        }
    }
}

#[async_trait]
impl Approver for Starter {
    fn beforehand(&self, question: &Question) -> bool {
        let digest = &question.digest;
        let fits = |given: &String| given.len() >= SHORTEST && digest.starts_with(given.as_str());
        self.digests.iter().any(fits)
    }

    fn attend(&self) -> bool {
        // Where another question waits for its answer, what is typed is for that one.
        if let Ok(mut lines) = self.lines.try_lock()
            && self.terminal
        {
            let _ = tcflush(stdin(), QueueSelector::IFlush);
            let lines = lines.get_or_insert_with(read);
            while lines.try_recv().is_ok() {}
        }
        self.terminal
    }

    async fn ask(&self, question: &Question) -> bool {
        let mut lines = self.lines.lock().await;
        let Some(lines) = lines.as_mut() else {
            return false;
        };
        let line = lines.recv().await;
        line.is_some_and(|line| line.trim() == question.environment)
    }
}

/// The lines that are typed from now on. The thread ends with the process: nothing can wake it.
fn read() -> mpsc::UnboundedReceiver<String> {
    let (send, receive) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_may_be_shortened_but_not_to_nothing() {
        let question = Question {
            environment: "live".to_owned(),
            digest: "0123456789abcdef0123456789abcdef".to_owned(),
            changes: Vec::new(),
        };
        let approves =
            |digest: &str| Starter::new(&[digest.to_owned()], Progress::Json).beforehand(&question);
        assert!(approves("0123456789abcdef0123456789abcdef") && approves("0123456789ab"));
        assert!(!approves("0123456789a") && !approves("") && !approves("1123456789abcdef"));
    }
}
