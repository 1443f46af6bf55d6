//! Closing a run: what is left on engines goes, in bounded time, and the verdict is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::ids::RunId;
use hoist_model::state::RunState;
use tokio::time::timeout;

use super::perform::Run;
use super::{Flow, warning};
use crate::backend::{Backend, BackendError, Connector};
use crate::dispatcher::Input;
use crate::labelled::remove_run;
use crate::reaper::{Undo, undo};

/// How long cleaning up may take. What is not done by then is the reaper's.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a process that is to exit at once waits for its record.
const HURRY: Duration = Duration::from_secs(1);

/// Takes away what the run has on engines. Signals are counted meanwhile.
pub(super) async fn close(run: &mut Run) -> Flow {
    let cleaning = Cleaning::of(run);
    let mut cleaning = pin!(timeout(PATIENCE, cleaning.all()));
    let cleaned = loop {
        tokio::select! {
            biased;
            cleaned = &mut cleaning => break cleaned,
            Some(signal) = run.request.signals.recv() => {
                if run.handle(Input::Interrupt(signal)) == Some(Flow::Leave) {
                    return Flow::Leave;
                }
            }
        }
    };
    let failure = match cleaned {
        Ok(Ok(())) => {
            run.undo.farewell().await;
            return Flow::Next;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it takes the engine more than {} s", PATIENCE.as_secs()),
    };
    // Without a farewell, the reaper goes on with it as soon as the pipe ends.
    let hint = "what is left is taken away when the engine answers again, by the next run at last";
    run.events.send(warning(
        format!("cleaning up failed: {failure}"),
        Some(hint),
    ));
    Flow::Next
}

/// Records the verdict. A third signal does not wait for reporters.
pub(super) async fn end(run: &mut Run) -> (Flow, Option<RunState>) {
    let recorder = run.recorder.clone();
    let mut ending = pin!(recorder.end());
    loop {
        tokio::select! {
            biased;
            state = &mut ending => return (Flow::Next, state),
            Some(signal) = run.request.signals.recv() => {
                if run.handle(Input::Interrupt(signal)) == Some(Flow::Leave) {
                    return (Flow::Leave, None);
                }
            }
        }
    }
}

/// Leaves everything as it is.
pub(super) fn leave(run: &mut Run) -> (Flow, Option<RunState>) {
    run.tasks.abort_all();
    (Flow::Leave, run.recorder.end_now(HURRY))
}

/// What is to be cleaned up.
struct Cleaning {
    run: RunId,
    connector: Arc<dyn Connector>,
    /// By address; none for the engine in use.
    backends: BTreeMap<Option<String>, Arc<dyn Backend>>,
    /// Engines besides the one in use.
    others: BTreeSet<String>,
    undo: Vec<Undo>,
    listings: usize,
}

impl Cleaning {
    fn of(run: &Run) -> Self {
        Self {
            run: run.id,
            connector: Arc::clone(&run.request.connector),
            backends: BTreeMap::from([(None, Arc::clone(&run.backend))]),
            others: run.engines.clone(),
            undo: run.undo.drain(),
            // What a step that was cut off had asked for may still come to be.
            listings: if run.disturbed { 2 } else { 1 },
        }
    }

    /// Does all of it, whatever fails; gives the first failure.
    async fn all(mut self) -> Result<(), BackendError> {
        let mut result = Ok(());
        for entry in std::mem::take(&mut self.undo) {
            let undone = match self.backend(entry.engine().map(str::to_owned)).await {
                Ok(backend) => undo(&*backend, &entry).await,
                Err(error) => Err(error),
            };
            result = result.and(undone);
        }
        let others = std::mem::take(&mut self.others).into_iter().map(Some);
        for engine in std::iter::once(None).chain(others) {
            let removed = match self.backend(engine).await {
                Ok(backend) => remove_run(&*backend, self.run, self.listings).await,
                Err(error) => Err(error),
            };
            result = result.and(removed);
        }
        result
    }

    async fn backend(&mut self, engine: Option<String>) -> Result<Arc<dyn Backend>, BackendError> {
        if let Some(backend) = self.backends.get(&engine) {
            return Ok(Arc::clone(backend));
        }
        let backend = self.connector.connect(engine.as_deref()).await?;
        self.backends.insert(engine, Arc::clone(&backend));
        Ok(backend)
    }
}
