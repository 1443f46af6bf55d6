//! The runner's end of the pipe.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hoist_model::event::EventKind;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::process::Command;

use super::{Line, Undo};
use crate::recorder::EventSender;
use crate::run::ReaperCommand;

/// How long a reaper that does not read may hold up the run.
const PATIENCE: Duration = Duration::from_secs(2);

type Pipe = Box<dyn AsyncWrite + Send + Unpin>;

/// What must be undone should this process die.
#[derive(Clone)]
pub struct UndoList {
    inner: Arc<Inner>,
}

struct Inner {
    /// Absent where there is no reaper, or no longer one.
    pipe: tokio::sync::Mutex<Option<Pipe>>,
    entries: Mutex<Entries>,
    events: EventSender,
}

#[derive(Default)]
struct Entries {
    next: u64,
    left: BTreeMap<u64, Undo>,
}

/// A claim on an entry of the list.
#[derive(Debug)]
pub struct UndoTicket(u64);

impl UndoList {
    /// Starts the reaper. Where it cannot be started, people are warned and the list stays with
    /// this process.
    pub(crate) async fn start(
        command: Option<&ReaperCommand>,
        hello: Line,
        events: EventSender,
    ) -> Self {
        let pipe = match command.map(spawn) {
            None => None,
            Some(Ok(pipe)) => Some(pipe),
            Some(Err(error)) => {
                events.send(no_reaper(&error.to_string()));
                None
            }
        };
        let list = Self::over(pipe, events);
        list.write(&hello).await;
        list
    }

    /// A list over a pipe.
    pub(crate) fn over(pipe: Option<Pipe>, events: EventSender) -> Self {
        let (pipe, entries) = (tokio::sync::Mutex::new(pipe), Mutex::default());
        Self {
            inner: Arc::new(Inner {
                pipe,
                entries,
                events,
            }),
        }
    }

    /// Adds an entry. It is with the reaper when this returns. An entry that is still on the list
    /// when the run closes is undone then.
    pub async fn push(&self, undo: Undo) -> UndoTicket {
        let number = self.with(|entries| {
            entries.next += 1;
            entries.left.insert(entries.next, undo.clone());
            entries.next
        });
        self.write(&Line::Push(number, undo)).await;
        UndoTicket(number)
    }

    /// Takes an entry back: it was done, or is no longer wanted.
    pub async fn take_back(&self, ticket: UndoTicket) {
        self.with(|entries| entries.left.remove(&ticket.0));
        self.write(&Line::TakeBack(ticket.0)).await;
    }

    /// Takes all entries off the list, the last first. The reaper keeps them until the farewell.
    pub(crate) fn drain(&self) -> Vec<Undo> {
        self.with(|entries| std::mem::take(&mut entries.left))
            .into_values()
            .rev()
            .collect()
    }

    /// Lets the reaper go: nothing is left to do.
    pub(crate) async fn farewell(&self) {
        self.write(&Line::Farewell).await;
        self.inner.pipe.lock().await.take();
    }

    fn with<T>(&self, what: impl FnOnce(&mut Entries) -> T) -> T {
        what(
            &mut self
                .inner
                .entries
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    async fn write(&self, line: &Line) {
        let Ok(mut text) = serde_json::to_vec(line) else {
            return;
        };
        text.push(b'\n');
        let mut pipe = self.inner.pipe.lock().await;
        let Some(open) = pipe.as_mut() else { return };
        let written = tokio::time::timeout(PATIENCE, async {
            open.write_all(&text).await?;
            open.flush().await
        });
        let error = match written.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it does not listen".to_owned(),
        };
        *pipe = None;
        self.inner.events.send(no_reaper(&error));
    }
}

fn spawn(command: &ReaperCommand) -> std::io::Result<Pipe> {
    let mut child = Command::new(&command.program)
        .args(&command.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A Ctrl-C at the terminal, or a kill of this process's group, is not for the reaper.
        .process_group(0)
        .spawn()?;
    let pipe = child
        .stdin
        .take()
        .ok_or_else(|| std::io::Error::other("it has no standard input"))?;
    Ok(Box::new(pipe))
}

fn no_reaper(why: &str) -> EventKind {
    EventKind::Warning {
        step: None,
        message: format!("no reaper stands by: {why}"),
        hint: Some(
            "should this process be killed, the next run takes away what this one leaves"
                .to_owned(),
        ),
    }
}
