//! What happens to a run's containers besides what hoist does: an engine that is told to stop lets a
//! step's own handler end it with any code it likes, and only the engine's events tell that from a
//! step that came to its end. One stream a run; one that broke is taken up where it broke, as far as the
//! engine remembers. It refuses to judge, that is its readers' part.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use hoist_model::ids::RunId;
use tokio::sync::{OnceCell, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::backend::{Backend, BackendError, BackendErrorKind, EngineEvent};
use crate::labels;

/// Between two tries to hear of events again.
const PAUSE: Duration = Duration::from_millis(250);

/// How the life of a container ended, as far as events tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It ended by itself.
    Ended,
    /// It was sent a signal before it ended, by hoist or by someone else.
    Signalled {
        /// Which, as the engine says it.
        signal: String,
    },
    /// The stream of events broke while it ran, and what came after it did not tell, so nobody knows.
    Unheard,
}

/// The watch of one run. Cheap to clone; ends with its last clone.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<OnceCell<Watcher>>);

#[derive(Debug)]
struct Watcher {
    heard: Arc<Heard>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Heard {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// How often the stream broke.
    gaps: u64,
    /// When the last event was that was heard, by the engine's clock.
    last: Option<i64>,
    /// The engine tells no events, and why.
    refused: Option<Refusal>,
    containers: BTreeMap<String, Seen>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    signal: Option<String>,
    died: bool,
}

#[derive(Debug)]
struct Refusal {
    why: String,
    /// Someone was told.
    told: bool,
}

/// A container that is watched from before its start.
#[derive(Debug)]
pub struct Ticket {
    heard: Arc<Heard>,
    gaps: u64,
}

impl Watch {
    /// Begins to listen if nobody does yet. What happens to the run's containers from then on is
    /// heard.
    pub async fn listen(&self, backend: &Arc<dyn Backend>, run: RunId) -> Ticket {
        let watcher = self.0.get_or_init(|| Watcher::start(backend, run)).await;
        let heard = Arc::clone(&watcher.heard);
        let gaps = heard.lock().gaps;
        Ticket { heard, gaps }
    }
}

impl Watcher {
    async fn start(backend: &Arc<dyn Backend>, run: RunId) -> Self {
        let heard = Arc::new(Heard::default());
        // Where nothing was heard before a break, all is asked for that was since then.
        let begin = backend.info().await.map_or(0, |info| info.time);
        let begin = Some(begin.saturating_mul(1_000_000_000)).filter(|begin| *begin > 0);
        let mut stream = events(backend.as_ref(), run, None).await;
        let (backend, to) = (Arc::clone(backend), Arc::clone(&heard));
        let task = tokio::spawn(async move {
            while to.take(stream).await {
                tokio::time::sleep(PAUSE).await;
                let since = to.lock().last.or(begin);
                stream = events(backend.as_ref(), run, since).await;
            }
        });
        Self {
            heard,
            _task: AbortOnDropHandle::new(task),
        }
    }
}

type Events = BoxStream<'static, Result<EngineEvent, BackendError>>;

async fn events(
    backend: &dyn Backend,
    run: RunId,
    since: Option<i64>,
) -> Result<Events, BackendError> {
    let run = run.to_string();
    backend.events(&[(labels::RUN, Some(&run))], since).await
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.send_modify(|count| *count += 1);
    }

    /// Takes a stream to its end. Whether there is any use in another one.
    async fn take(&self, stream: Result<Events, BackendError>) -> bool {
        let broken = match stream {
            Err(error) => Some(error),
            Ok(mut stream) => loop {
                match stream.next().await {
                    Some(Ok(event)) => self.hear(event),
                    Some(Err(error)) => break Some(error),
                    None => break None,
                }
            },
        };
        let mut again = true;
        self.change(|state| match broken {
            // An engine that told something before does not refuse, whatever its words are.
            Some(error) if is_refusal(&error) && state.last.is_none() => {
                let (why, told) = (error.message, false);
                state.refused = Some(Refusal { why, told });
                again = false;
            }
            _ => state.gaps += 1,
        });
        again
    }

    /// What was heard before a break may come again, which changes nothing.
    fn hear(&self, event: EngineEvent) {
        self.change(|state| {
            state.last = state.last.max(Some(event.at));
            match event.action.as_str() {
                "kill" => {
                    let seen = state.containers.entry(event.container).or_default();
                    let signal = event.signal.unwrap_or_else(|| "unknown".to_owned());
                    seen.signal.get_or_insert(signal);
                }
                "die" => state.containers.entry(event.container).or_default().died = true,
                "destroy" => {
                    state.containers.remove(&event.container);
                }
                _ => {}
            }
        });
    }
}

/// The engine, or what stands before it, does not want to tell.
fn is_refusal(error: &BackendError) -> bool {
    use BackendErrorKind as K;
    !matches!(error.kind, K::Unreachable | K::Timeout | K::Broken)
}

impl Ticket {
    /// How a container that has ended came to it; waits so long for events that are on their way.
    /// An engine that tells no events is taken by its other words.
    pub async fn fate(&self, container: &str, within: Duration) -> Fate {
        let mut changed = self.heard.changed.subscribe();
        let told = changed.wait_for(|_| {
            let state = self.heard.lock();
            let seen = state.containers.get(container);
            state.refused.is_some() || seen.is_some_and(|seen| seen.died)
        });
        let _ = tokio::time::timeout(within, told).await;
        let state = self.heard.lock();
        match state.containers.get(container) {
            Some(Seen {
                signal: Some(signal),
                ..
            }) => Fate::Signalled {
                signal: signal.clone(),
            },
            Some(Seen { died: true, .. }) => Fate::Ended,
            // The engine only tells late, or not at all: its other words stand.
            _ if state.gaps == self.gaps || state.refused.is_some() => Fate::Ended,
            _ => Fate::Unheard,
        }
    }

    /// Why the engine tells no events, if it does not; only the first who asks is told.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let mut state = self.heard.lock();
        let refusal = state.refused.as_mut().filter(|refusal| !refusal.told)?;
        refusal.told = true;
        Some(refusal.why.clone())
    }
}

#[cfg(test)]
mod tests;
