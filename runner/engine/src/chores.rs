//! What is to be done for a run and nobody waits for, such as the removal of a container that has
//! ended. It refuses to let the run end before it is done, and to pile up.
//!
//! Removals wait for each other: an engine may look through its whole store for each one, during
//! which it starts nothing, and does so once for all that come together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// Chores that are begun together.
const TOGETHER: usize = 16;
/// Chores that may wait or be under way before whoever has another one waits.
const MOST: usize = 2 * TOGETHER;
/// How long the first of those that wait waits for others.
const PATIENCE: Duration = Duration::from_secs(3);

/// The chores of a run. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Chores {
    tasks: Arc<Mutex<Tasks>>,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct Tasks {
    begun: JoinSet<()>,
    waiting: Vec<Waiting>,
    /// Begins those that wait when the first has waited for long.
    clock: Option<AbortOnDropHandle<()>>,
    /// Nobody is held up by them any more.
    at_once: bool,
}

struct Waiting {
    chore: BoxFuture<'static, ()>,
    room: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks")
            .field("begun", &self.begun.len())
            .field("waiting", &self.waiting.len())
            .finish()
    }
}

impl Default for Chores {
    fn default() -> Self {
        Self {
            tasks: Arc::default(),
            room: Arc::new(Semaphore::new(MOST)),
        }
    }
}

impl Chores {
    /// Does it together with others, when there are enough of them, soon, or when the run ends;
    /// waits while there are too many.
    pub(crate) async fn add(&self, chore: impl Future<Output = ()> + Send + 'static) {
        // It is never closed.
        let Ok(room) = Arc::clone(&self.room).acquire_owned().await else {
            return;
        };
        let chore = chore.boxed();
        let mut tasks = self.lock();
        tasks.waiting.push(Waiting { chore, room });
        if tasks.at_once || tasks.waiting.len() >= TOGETHER {
            tasks.begin_all();
        } else if tasks.clock.is_none() {
            let chores = self.clone();
            tasks.clock = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                tokio::time::sleep(PATIENCE).await;
                chores.lock().begin_all();
            })));
        }
    }

    /// Nothing more is to be started, so that the next one need not wait, nor those that do.
    pub(crate) fn nothing_follows(&self) {
        self.lock().at_once = true;
    }

    /// Does it beside all else, however much there is.
    pub(crate) fn begin(&self, chore: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.lock();
        while tasks.begun.try_join_next().is_some() {}
        tasks.begun.spawn(chore);
    }

    /// Waits until all of them are done, those that come meanwhile too.
    pub(crate) async fn done(&self) {
        loop {
            let mut begun = {
                let mut tasks = self.lock();
                tasks.begin_all();
                std::mem::take(&mut tasks.begun)
            };
            if begun.is_empty() {
                return;
            }
            while begun.join_next().await.is_some() {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tasks {
    fn begin_all(&mut self) {
        self.clock = None;
        while self.begun.try_join_next().is_some() {}
        for Waiting { chore, room } in std::mem::take(&mut self.waiting) {
            self.begun.spawn(async move {
                chore.await;
                drop(room);
            });
        }
    }
}
