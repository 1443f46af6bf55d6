//! Closing a run: what is left on engines goes, in bounded time, and the verdict is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::event::EventKind;
use hoist_model::gc::Tally;
use hoist_model::ids::RunId;
use hoist_model::reason::Trouble;
use hoist_model::state::RunState;
use tokio::time::timeout;

use super::perform::Run;
use super::{Flow, warning};
use crate::backend::{Backend, BackendError, Connector};
use crate::chores::Chores;
use crate::dispatcher::Input;
use crate::gc;
use crate::labelled::remove_run;
use crate::reaper::{Undo, undo};

/// How long cleaning up may take. What is not done by then is the reaper's.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the collection of what earlier runs left may take.
const COLLECTING: Duration = Duration::from_secs(20);
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

/// Removes what earlier runs left behind, where the file says that it is time for that. A signal
/// ends it, as does its bound in time; whatever comes of it, the run is what it is.
pub(super) async fn collect(run: &mut Run) -> Flow {
    let policy = run.request.plan.gc.clone();
    let every = policy.every.filter(|_| run.interrupted.is_none());
    if !every.is_some_and(|every| gc::is_due(&run.request.root, every)) {
        return Flow::Next;
    }
    let (backend, plan) = (Arc::clone(&run.backend), Arc::clone(&run.request.plan));
    let (root, id) = (run.request.root.clone(), run.id);
    let collecting = async move {
        let scope = gc::Scope {
            backend: &backend,
            root: &root,
            plan: &plan,
            all_projects: false,
            own: Some(id),
        };
        let collection = gc::plan(&scope, &policy).await?;
        Ok::<_, Trouble>(gc::remove(&scope, &collection).await)
    };
    let mut collecting = pin!(timeout(COLLECTING, collecting));
    let collected = tokio::select! {
        biased;
        Some(signal) = run.request.signals.recv() => {
            let left = run.handle(Input::Interrupt(signal)) == Some(Flow::Leave);
            return if left { Flow::Leave } else { Flow::Next };
        }
        collected = &mut collecting => collected,
    };
    match collected {
        Ok(Ok(gone)) => {
            let removed = gone.iter().filter(|gone| gone.failure.is_none());
            let tally = Tally::of(removed.map(|gone| &gone.item));
            if !tally.kinds.is_empty() {
                run.events.send(EventKind::Collected { tally });
            }
        }
        Ok(Err(trouble)) => {
            let message = format!(
                "what earlier runs left could not be removed: {}",
                trouble.what
            );
            run.events
                .send(warning(message, Some("`hoist gc` says more")));
        }
        // The next time goes on with it.
        Err(_) => {}
    }
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
    chores: Chores,
}

impl Cleaning {
    fn of(run: &Run) -> Self {
        Self {
            run: run.id,
            connector: Arc::clone(&run.request.connector),
            backends: BTreeMap::from([(None, Arc::clone(&run.backend))]),
            others: run.engines.clone(),
            undo: run.undo.drain(),
            chores: run.made.chores.clone(),
            // What a step that was cut off had asked for may still come to be.
            listings: if run.disturbed { 2 } else { 1 },
        }
    }

    /// Does all of it, whatever fails; gives the first failure.
    async fn all(mut self) -> Result<(), BackendError> {
        self.chores.done().await;
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
