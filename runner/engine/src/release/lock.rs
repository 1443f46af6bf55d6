//! Keeps two deploys to one environment apart: a container with a fixed name that is never started,
//! since an engine gives a name once. It carries its run's labels, so whatever takes away a dead
//! run's objects takes it too.

use std::sync::Arc;
use std::time::Duration;

use hoist_model::reason::Trouble;
use tokio::time::{Instant, sleep};

use super::bare::{bare, discard};
use super::names::{LOCK, Place};
use crate::backend::{Backend, BackendError, BackendErrorKind, Labels};
use crate::labels;

/// How long a lock is waited for: as long as the reaper of a run that was killed takes to put its
/// environment right, and more.
const WAIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(250);

/// The right to change an environment.
pub(crate) struct Lock {
    backend: Arc<dyn Backend>,
    id: String,
}

impl Lock {
    /// Takes the lock. `image` is any image on the engine, `labels` are those of the run that asks.
    pub(crate) async fn take(
        backend: &Arc<dyn Backend>,
        place: &Place,
        image: &str,
        labels: &Labels,
    ) -> Result<Self, Trouble> {
        let name = place.lock();
        let mut all = labels.clone();
        all.extend(place.labels(LOCK));
        let spec = bare(&name, image, all);
        let what = || format!("the lock of {} cannot be taken", place.environment);
        let until = Instant::now() + WAIT;
        loop {
            match backend.create_container(&spec).await {
                Ok(id) => {
                    return Ok(Self {
                        backend: Arc::clone(backend),
                        id,
                    });
                }
                Err(error) if error.kind == BackendErrorKind::Conflict => {}
                Err(error) => return Err(error.trouble(what())),
            }
            if Instant::now() >= until {
                return Err(held(backend.as_ref(), place, &name).await);
            }
            sleep(PAUSE).await;
        }
    }

    /// Gives the lock back.
    pub(crate) async fn release(self) -> Result<(), BackendError> {
        discard(self.backend.as_ref(), &self.id).await
    }
}

async fn held(backend: &dyn Backend, place: &Place, name: &str) -> Trouble {
    let environment = &place.environment;
    let what = format!("another deploy to {environment} is under way");
    let holder = backend.inspect_container(name).await.ok().flatten();
    let Some(holder) = holder else {
        return Trouble::new(what).hint("try again");
    };
    if !place.owns(&holder.labels, LOCK) {
        return Trouble::new(format!("{environment} cannot be locked"))
            .cause(format!(
                "a container called {name} is there and is not hoist's lock for it"
            ))
            .hint("rename that container, or the project or the environment");
    }
    let run = holder
        .labels
        .get(labels::RUN)
        .map_or("unknown", String::as_str);
    let owner = holder
        .labels
        .get(labels::OWNER)
        .map_or("unknown", String::as_str);
    Trouble::new(what)
        .cause(format!("the run {run} holds its lock (owner {owner})"))
        .hint(format!(
            "wait for it; if its machine is gone, `docker rm {name}` frees the lock"
        ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeBackend;

    fn engine() -> (FakeBackend, Arc<dyn Backend>) {
        let engine = FakeBackend::new();
        engine.add_image("base");
        (engine.clone(), Arc::new(engine))
    }

    fn run(id: &str) -> Labels {
        Labels::from([(labels::RUN.to_owned(), id.to_owned())])
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_many_has_it_and_the_others_are_told_who() {
        let (_, backend) = engine();
        let place = Place::new("shop", "staging");
        let lock = Lock::take(&backend, &place, "base", &run("first"))
            .await
            .expect("free");
        let trouble = Lock::take(&backend, &place, "base", &run("second"))
            .await
            .err()
            .expect("held");
        assert_eq!(trouble.what, "another deploy to staging is under way");
        assert!(
            trouble
                .cause
                .is_some_and(|cause| cause.contains("the run first"))
        );
        let elsewhere = Place::new("shop", "production");
        Lock::take(&backend, &elsewhere, "base", &run("second"))
            .await
            .expect("another place");
        lock.release().await.expect("given back");
        Lock::take(&backend, &place, "base", &run("second"))
            .await
            .expect("free again");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_waited_for() {
        let (_, backend) = engine();
        let place = Place::new("shop", "staging");
        let lock = Lock::take(&backend, &place, "base", &run("first"))
            .await
            .expect("free");
        let waiting = tokio::spawn({
            let (backend, place) = (Arc::clone(&backend), place.clone());
            async move {
                Lock::take(&backend, &place, "base", &run("second"))
                    .await
                    .map(|_| ())
            }
        });
        sleep(Duration::from_secs(2)).await;
        lock.release().await.expect("given back");
        waiting.await.expect("no panic").expect("its turn");
    }

    #[tokio::test(start_paused = true)]
    async fn a_foreign_container_of_that_name_is_said_and_left() {
        let (engine, backend) = engine();
        let place = Place::new("shop", "staging");
        let foreign = bare(&place.lock(), "base", Labels::new());
        backend.create_container(&foreign).await.expect("created");
        let trouble = Lock::take(&backend, &place, "base", &run("x"))
            .await
            .err()
            .expect("taken");
        assert_eq!(trouble.what, "staging cannot be locked");
        assert_eq!(engine.containers().len(), 1);
    }
}
