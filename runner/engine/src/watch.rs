//! What happens to a run's containers besides what hoist does: an engine that is told to stop lets a
//! step's own handler end it with any code it likes, and only the engine's events tell that from a
//! step that came to its end. One stream a run; it refuses to judge, that is its readers' part.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use hoist_model::ids::RunId;
use tokio::sync::{OnceCell, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::backend::{Backend, BackendError, EngineEvent};
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
    /// The stream of events broke while it ran, so nobody knows.
    Unheard,
}

/// The watch of one run. Cheap to clone; ends with its last clone.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<OnceCell<Watcher>>);

#[derive(Debug)]
struct Watcher {
    heard: Arc<Heard>,
    _task: Option<AbortOnDropHandle<()>>,
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
    /// There is no stream at the moment.
    deaf: bool,
    containers: BTreeMap<String, Seen>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    signal: Option<String>,
    died: bool,
}

/// A container that is watched from before its start.
#[derive(Debug)]
pub struct Ticket {
    heard: Option<Arc<Heard>>,
    gaps: u64,
}

impl Watch {
    /// Begins to listen if nobody does yet. What happens to the run's containers from then on is
    /// heard.
    pub async fn listen(&self, backend: &Arc<dyn Backend>, run: RunId) -> Ticket {
        let watcher = self.0.get_or_init(|| Watcher::start(backend, run)).await;
        match &watcher._task {
            Some(_) => {
                let heard = Arc::clone(&watcher.heard);
                let gaps = heard.lock().gaps;
                Ticket {
                    heard: Some(heard),
                    gaps,
                }
            }
            // An engine that tells no events is taken by its other words.
            None => Ticket {
                heard: None,
                gaps: 0,
            },
        }
    }
}

impl Watcher {
    async fn start(backend: &Arc<dyn Backend>, run: RunId) -> Self {
        let heard = Arc::new(Heard::default());
        let Ok(stream) = events(backend.as_ref(), run).await else {
            return Self { heard, _task: None };
        };
        let (backend, to) = (Arc::clone(backend), Arc::clone(&heard));
        let task = tokio::spawn(async move {
            let mut stream = stream;
            loop {
                while let Some(Ok(event)) = stream.next().await {
                    to.hear(event);
                }
                to.change(|state| {
                    state.gaps += 1;
                    state.deaf = true;
                });
                stream = loop {
                    tokio::time::sleep(PAUSE).await;
                    if let Ok(stream) = events(backend.as_ref(), run).await {
                        break stream;
                    }
                };
                to.change(|state| state.deaf = false);
            }
        });
        Self {
            heard,
            _task: Some(AbortOnDropHandle::new(task)),
        }
    }
}

async fn events(
    backend: &dyn Backend,
    run: RunId,
) -> Result<futures_util::stream::BoxStream<'static, Result<EngineEvent, BackendError>>, BackendError>
{
    backend
        .events(&[(labels::RUN, Some(&run.to_string()))])
        .await
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.send_modify(|count| *count += 1);
    }

    fn hear(&self, event: EngineEvent) {
        self.change(|state| match event.action.as_str() {
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
        });
    }
}

impl Ticket {
    /// How a container that has ended came to it; waits so long for events that are on their way.
    pub async fn fate(&self, container: &str, within: Duration) -> Fate {
        let Some(heard) = &self.heard else {
            return Fate::Ended;
        };
        let mut changed = heard.changed.subscribe();
        let told = changed.wait_for(|_| {
            let state = heard.lock();
            state.deaf
                || state
                    .containers
                    .get(container)
                    .is_some_and(|seen| seen.died)
        });
        let in_time = tokio::time::timeout(within, told).await.is_ok();
        let state = heard.lock();
        match state.containers.get(container) {
            Some(Seen {
                signal: Some(signal),
                ..
            }) => Fate::Signalled {
                signal: signal.clone(),
            },
            Some(Seen { died: true, .. }) => Fate::Ended,
            // The engine only tells late: its other words stand.
            _ if !in_time && state.gaps == self.gaps => Fate::Ended,
            _ => Fate::Unheard,
        }
    }
}

#[cfg(test)]
mod tests;
