//! The sweep: takes away what dead runs left on an engine. Whose process is gone for sure, or whose
//! time is up where that cannot be told, has nothing to say any more. What lacks a run's label, and
//! what belongs to a run that lives, is never touched.

use std::time::Duration;

use crate::backend::{Backend, Labels};
use crate::labelled::remove_until_empty;
use crate::labels;
use crate::owner::{Life, Look, Owner};

/// How long a sweep may hold up a run.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether an object is a dead run's. `now` is the engine's clock, seconds since the epoch; 0 where
/// it does not say.
#[must_use]
pub fn is_left_over(object: &Labels, here: &Owner, now: i64, look: impl Fn(u32) -> Look) -> bool {
    if !object.contains_key(labels::RUN) {
        return false;
    }
    let owner = object
        .get(labels::OWNER)
        .and_then(|owner| owner.parse::<Owner>().ok());
    match owner.map_or(Life::Unknown, |owner| owner.life(here, look)) {
        Life::Alive => false,
        Life::Dead => true,
        Life::Unknown => is_expired(object, now),
    }
}

fn is_expired(object: &Labels, now: i64) -> bool {
    let expires = object
        .get(labels::EXPIRES)
        .and_then(|at| at.parse::<i64>().ok());
    now > 0 && expires.is_some_and(|expires| expires < now)
}

/// A dead run's lock is its reaper's to remove, once what it protects was put right, or whoever's
/// who takes it over next. Only one that nobody wanted for long is swept.
fn is_spared(object: &Labels, now: i64) -> bool {
    let role = object.get(labels::ROLE).map(String::as_str);
    role == Some(labels::LOCK) && !is_expired(object, now)
}

/// Takes away what dead runs left; gives why it could not, if so.
pub(crate) async fn sweep(backend: &dyn Backend, here: &Owner, now: i64) -> Result<(), String> {
    let meant = |object: &Labels| {
        is_left_over(object, here, now, crate::owner::look) && !is_spared(object, now)
    };
    let filter = [(labels::RUN, None)];
    let removed = remove_until_empty(backend, &filter, meant, 1);
    match tokio::time::timeout(PATIENCE, removed).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!(
            "the engine needs more than {} s for it",
            PATIENCE.as_secs()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::ContainerSpec;
    use crate::fake::{FakeBackend, tests::spec};

    fn owner(boot: &str, pid: u32) -> Owner {
        let machine = "m".to_owned();
        Owner {
            machine,
            boot: boot.to_owned(),
            namespace: 5,
            pid,
            started: u64::from(pid),
        }
    }

    fn object(owner: &str, expires: Option<i64>) -> Labels {
        let mut labels = Labels::from([
            (labels::RUN.to_owned(), "some".to_owned()),
            (labels::OWNER.to_owned(), owner.to_owned()),
        ]);
        labels.extend(expires.map(|at| (labels::EXPIRES.to_owned(), at.to_string())));
        labels
    }

    fn judged(object: &Labels, now: i64) -> bool {
        // Only 7 lives, and perhaps 9.
        is_left_over(object, &owner("b", 1), now, |pid| match pid {
            7 => Look::Started(7),
            9 => Look::Hidden,
            _ => Look::Gone,
        })
    }

    #[test]
    fn the_dead_are_swept_and_the_living_are_not() {
        let (alive, dead) = (owner("b", 7).to_string(), owner("b", 8).to_string());
        assert!(judged(&object(&dead, None), 100));
        assert!(
            !judged(&object(&alive, Some(50)), 100),
            "whatever its expiry says"
        );
    }

    #[test]
    fn those_elsewhere_are_swept_when_their_time_is_up() {
        for elsewhere in [
            owner("c", 8).to_string(),
            owner("b", 9).to_string(),
            String::new(),
            "nonsense".to_owned(),
        ] {
            assert!(judged(&object(&elsewhere, Some(99)), 100));
            assert!(!judged(&object(&elsewhere, Some(100)), 100));
            assert!(!judged(&object(&elsewhere, None), 100));
            assert!(
                !judged(&object(&elsewhere, Some(99)), 0),
                "no clock, no judgement"
            );
        }
    }

    #[test]
    fn what_is_no_run_s_is_never_swept() {
        let mut deployed = object(&owner("b", 8).to_string(), Some(1));
        deployed.remove(labels::RUN);
        deployed.insert(labels::ENVIRONMENT.to_owned(), "production".to_owned());
        assert!(!judged(&deployed, 100));
        assert!(!judged(&Labels::new(), 100));
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_left_over_goes() {
        let engine = FakeBackend::new();
        engine.add_image("base");
        let here = Owner::here();
        let gone = Owner {
            pid: u32::MAX,
            ..here.clone()
        };
        let deployed = Labels::from([(labels::ENVIRONMENT.to_owned(), "e".to_owned())]);
        let lock = |expires| {
            let mut lock = object(&gone.to_string(), Some(expires));
            lock.insert(labels::ROLE.to_owned(), labels::LOCK.to_owned());
            lock
        };
        for (name, labels) in [
            ("live", object(&here.to_string(), Some(1))),
            ("dead", object(&gone.to_string(), None)),
            ("expired", object("elsewhere", Some(1))),
            ("deployed", deployed),
            ("lock", lock(100)),
            ("forgotten lock", lock(99)),
        ] {
            engine.create_volume(name, &labels).await.unwrap();
            let spec = ContainerSpec {
                labels,
                ..spec(name)
            };
            engine.create_container(&spec).await.unwrap();
        }
        sweep(&engine, &here, 100).await.unwrap();
        let left: Vec<_> = engine
            .containers()
            .into_iter()
            .map(|found| found.name)
            .collect();
        assert_eq!(left, ["live", "deployed", "lock"]);
        assert_eq!(engine.volumes().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_hangs_does_not_hold_up_the_run() {
        let engine = FakeBackend::new();
        engine.delay("list_volumes", Duration::from_secs(3600));
        let said = sweep(&engine, &Owner::here(), 100).await.unwrap_err();
        assert_eq!(said, "the engine needs more than 30 s for it");
    }
}
