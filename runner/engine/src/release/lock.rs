//! Keeps two deploys to one environment apart: a container with a fixed name that is never started,
//! since an engine gives a name once.
//!
//! It carries its run's labels, so the end of a run, or its reaper, takes it away after all else was
//! put right. A sweep spares it: it would take it from under a reaper that is still at work. Where
//! the reaper died too, whoever comes next takes it over, but only from an owner that is provably
//! gone.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::reason::Trouble;
use tokio::time::{Instant, sleep};

use super::bare::{bare, discard};
use super::names::Place;
use crate::backend::{Backend, BackendError, BackendErrorKind, Labels};
use crate::labels::{self, LOCK};
use crate::owner::{self, Owner};
use crate::sweep::is_left_over;

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
    /// Takes the lock; waits for it unless `stopped` ends. `image` is any image on the engine,
    /// `labels` are those of the run that asks.
    pub(crate) async fn take(
        backend: &Arc<dyn Backend>,
        place: &Place,
        image: &str,
        labels: &Labels,
        stopped: impl Future,
    ) -> Result<Self, Trouble> {
        let mut stopped = pin!(stopped);
        let name = place.lock();
        let mut all = labels.clone();
        all.extend(place.labels(LOCK));
        let spec = bare(&name, image, all);
        let what = || format!("the lock of {} cannot be taken", place.environment);
        let mut until = Instant::now() + WAIT;
        loop {
            match backend.create_container(&spec).await {
                Ok(id) => {
                    let backend = Arc::clone(backend);
                    return Ok(Self { backend, id });
                }
                Err(error) if error.kind == BackendErrorKind::Conflict => {}
                Err(error) => return Err(error.trouble(what())),
            }
            if Instant::now() >= until {
                let Some(dead) = dead_holder(backend.as_ref(), place).await else {
                    return Err(held(backend.as_ref(), place, &name).await);
                };
                // By its ID: whoever else takes it over at this moment has another.
                discard(backend.as_ref(), &dead)
                    .await
                    .map_err(|error| error.trouble(what()))?;
                until = Instant::now() + WAIT;
            }
            tokio::select! {
                biased;
                _ = &mut stopped => return Err(held(backend.as_ref(), place, &name).await),
                () = sleep(PAUSE) => {}
            }
        }
    }

    /// Gives the lock back.
    pub(crate) async fn release(self) -> Result<(), BackendError> {
        discard(self.backend.as_ref(), &self.id).await
    }
}

/// The lock's ID, if its owner is provably gone.
async fn dead_holder(backend: &dyn Backend, place: &Place) -> Option<String> {
    let holder = backend
        .inspect_container(&place.lock())
        .await
        .ok()
        .flatten()?;
    let now = backend.info().await.map_or(0, |info| info.time);
    let dead = is_left_over(&holder.labels, &Owner::here(), now, owner::look);
    (place.owns(&holder.labels, LOCK) && dead).then_some(holder.id)
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

    async fn take(backend: &Arc<dyn Backend>, run: &str, owner: &str) -> Result<Lock, Trouble> {
        let labels = Labels::from([
            (labels::RUN.to_owned(), run.to_owned()),
            (labels::OWNER.to_owned(), owner.to_owned()),
        ]);
        let place = Place::new("shop", "staging");
        Lock::take(
            backend,
            &place,
            "base",
            &labels,
            std::future::pending::<()>(),
        )
        .await
    }

    fn here() -> String {
        Owner::here().to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_two_has_it_and_the_other_is_told_who() {
        let (_, backend) = engine();
        let lock = take(&backend, "first", &here()).await.expect("free");
        let trouble = take(&backend, "second", &here()).await.err().expect("held");
        assert_eq!(trouble.what, "another deploy to staging is under way");
        assert!(
            trouble
                .cause
                .is_some_and(|cause| cause.contains("the run first"))
        );
        lock.release().await.expect("given back");
        take(&backend, "second", &here()).await.expect("free again");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_waited_for() {
        let (_, backend) = engine();
        let lock = take(&backend, "first", &here()).await.expect("free");
        let waiting = tokio::spawn({
            let backend = Arc::clone(&backend);
            async move { take(&backend, "second", &here()).await.map(|_| ()) }
        });
        sleep(Duration::from_secs(2)).await;
        lock.release().await.expect("given back");
        waiting.await.expect("no panic").expect("its turn");
    }

    #[tokio::test(start_paused = true)]
    async fn only_from_an_owner_that_is_provably_gone_it_is_taken_over() {
        let dead = Owner {
            pid: u32::MAX,
            ..Owner::here()
        }
        .to_string();
        for (owner, taken) in [
            (dead.as_str(), true),
            ("elsewhere/x/1/2/3", false),
            ("", false),
        ] {
            let (engine, backend) = engine();
            let _lost = take(&backend, "first", owner).await.expect("free");
            let start = Instant::now();
            assert_eq!(
                take(&backend, "second", &here()).await.is_ok(),
                taken,
                "{owner}"
            );
            assert!(start.elapsed() >= WAIT, "its reaper may be at work");
            assert_eq!(engine.containers().len(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_foreign_container_of_that_name_is_said_and_left() {
        let (engine, backend) = engine();
        let foreign = bare("hoist-lock-shop-staging", "base", Labels::new());
        backend.create_container(&foreign).await.expect("created");
        let trouble = take(&backend, "x", &here()).await.err().expect("taken");
        assert_eq!(trouble.what, "staging cannot be locked");
        assert_eq!(engine.containers().len(), 1);
    }
}
