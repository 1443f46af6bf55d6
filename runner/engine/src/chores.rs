//! What is to be done for a run and nobody waits for, such as the removal of a container that has
//! ended. It refuses to let the run end before it is done, and to pile up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Chores that may be under way before whoever has another one waits.
const AT_ONCE: usize = 8;

/// The chores of a run. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Chores {
    tasks: Arc<Mutex<JoinSet<()>>>,
    room: Arc<Semaphore>,
}

impl Default for Chores {
    fn default() -> Self {
        Self {
            tasks: Arc::default(),
            room: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Chores {
    /// Does it beside all else, once there is room for it.
    pub(crate) async fn add(&self, chore: impl Future<Output = ()> + Send + 'static) {
        // It is never closed.
        let room = Arc::clone(&self.room).acquire_owned().await;
        self.begin(async move {
            let _room = room;
            chore.await;
        });
    }

    /// Does it beside all else, however much there is.
    pub(crate) fn begin(&self, chore: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(chore);
    }

    /// Waits until all of them are done, those that come meanwhile too.
    pub(crate) async fn done(&self) {
        loop {
            let mut tasks = std::mem::take(&mut *self.lock());
            if tasks.is_empty() {
                return;
            }
            while tasks.join_next().await.is_some() {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
