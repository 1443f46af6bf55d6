//! Starts services again as they are, one container after the other: what is to be known of a
//! release does not change, so there is no plan. It refuses while a deploy is under way.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::reason::Trouble;
use hoist_model::seen::{Instance, Names};
use tokio::time::Instant;

use super::aside::Proxies;
use super::health::{Patience, healthy};
use super::instances::{Found, find, in_use, inspect, of_service};
use super::journal;
use super::lock::{LOCK_WAIT, Lock};
use super::memory::{Empty, Held, Memory, lost};
use super::names::Place;
use super::read;
use super::state::{DeployedGate, Generation, Life, dependents_first};
use crate::backend::{Backend, BackendError, Labels};
use crate::secrets::Secrets;

/// What is to be started again.
#[derive(Clone, Debug)]
pub struct Restart<'a> {
    /// The project's name.
    pub project: &'a str,
    /// The environment's.
    pub environment: &'a str,
    /// This service alone.
    pub service: Option<&'a str>,
    /// How long each container may take to become healthy.
    pub within: Duration,
    /// The labels of whoever asks, for the lock.
    pub labels: &'a Labels,
    /// The values that are known here, for secrets that are gone from memory.
    pub secrets: &'a Secrets,
}

/// Why not all of it was started again.
#[derive(Clone, Debug)]
pub enum NotRestarted {
    /// There is nothing of that name.
    Unknown(Trouble),
    /// The engine would not, or a deploy is under way.
    Surroundings(Trouble),
    /// A container did not become healthy. Those after it were left as they are.
    Unwell(Trouble),
    /// The caller wanted no more. No container was left in the middle of it.
    Stopped,
}

/// Starts the containers again, those that others need first, each with its own grace, and waits
/// for the health of each before the next. `told` gets sentences. When `stopped` ends, the
/// container at hand is waited for no more. Gives how many there were.
///
/// # Errors
/// See [`NotRestarted`].
pub async fn restart(
    backend: &Arc<dyn Backend>,
    wanted: &Restart<'_>,
    stopped: impl Future,
    mut told: impl FnMut(String),
) -> Result<usize, NotRestarted> {
    let mut stopped = pin!(stopped);
    let place = Place::new(wanted.project, wanted.environment);
    let found = targets(backend.as_ref(), &place, wanted.service).await?;
    let Some(any) = found.first() else {
        return Ok(0);
    };
    let image = journal::image(backend.as_ref(), &place).await;
    let image = image.map_err(|error| {
        NotRestarted::Surroundings(error.trouble("what is deployed cannot be read"))
    })?;
    let image = image.unwrap_or_else(|| any.info.image.clone());
    let labels = wanted.labels;
    let lock = Lock::take(backend, &place, &image, labels, LOCK_WAIT, &mut stopped).await;
    let lock = lock.map_err(NotRestarted::Surroundings)?;
    let result = async {
        // Read again: a deploy may have ended between.
        let found = targets(backend.as_ref(), &place, wanted.service).await?;
        let names = Names::new(found.iter().map(|found| &found.instance));
        let gates = gates(backend.as_ref(), &place).await?;
        let proxies = Proxies {
            backend,
            place: &place,
            gates: &gates,
            labels: wanted.labels,
        };
        let back = proxies.put_all_back().await;
        back.map_err(|error| {
            let what = "what an earlier restart left cannot be put right";
            NotRestarted::Surroundings(error.trouble(what))
        })?;
        for found in &found {
            let name = names.of(&found.instance);
            let held = held(backend.as_ref(), found, &name, &image, wanted).await?;
            let done = tokio::select! {
                biased;
                () = async { (&mut stopped).await; } => Err(NotRestarted::Stopped),
                done = one(backend.as_ref(), found, &proxies, &name, wanted.within, &mut told) => done,
            };
            if let Some(held) = held {
                let gone = held.let_go(backend.as_ref()).await;
                gone.map_err(|error| {
                    let what = format!("what held the secrets of {name} is left over");
                    NotRestarted::Surroundings(error.trouble(what))
                })?;
            }
            // However it went: a proxy sees for itself whether it answers.
            let back = proxies.put_back(&server(found)).await;
            done?;
            back.map_err(|error| unled(&name, &error))?;
        }
        Ok(found.len())
    }
    .await;
    let released = lock.release().await.map_err(|error| {
        let what = format!("the lock of {} is left over", place.environment);
        NotRestarted::Surroundings(error.trouble(what))
    });
    result.and_then(|count| released.map(|()| count))
}

/// The containers in the order in which they are started again.
async fn targets(
    backend: &dyn Backend,
    place: &Place,
    service: Option<&str>,
) -> Result<Vec<Found>, NotRestarted> {
    let failed = |error: BackendError| {
        NotRestarted::Surroundings(error.trouble("what is deployed cannot be read"))
    };
    let mut found = in_use(find(backend, place).await.map_err(failed)?);
    found.retain(Found::is_service);
    let found = of_service(place, service, found).map_err(NotRestarted::Unknown)?;
    let found = inspect(backend, found).await.map_err(failed)?;
    let known: Vec<Generation> = found
        .iter()
        .map(|found| Generation::read(&found.info))
        .collect();
    let order = dependents_first(&known.iter().collect::<Vec<_>>());
    let last = |found: &Found| {
        let mut order = order.iter();
        order.position(|known| known.service == found.instance.service)
    };
    let mut found = found;
    found.sort_by(|a, b| last(b).cmp(&last(a)).then(a.instance.cmp(&b.instance)));
    Ok(found)
}

/// The proxies that run.
async fn gates(backend: &dyn Backend, place: &Place) -> Result<Vec<DeployedGate>, NotRestarted> {
    let found = read::gates(backend, place).await;
    let mut found = found.map_err(|error| {
        NotRestarted::Surroundings(error.trouble("the proxies cannot be listed"))
    })?;
    found.retain(|gate| gate.life == Life::Running);
    Ok(found)
}

/// How proxies call a container.
fn server(found: &Found) -> String {
    let Instance {
        service,
        release,
        replica,
        ..
    } = &found.instance;
    format!("{service}-{release}-{replica}")
}

fn unled(name: &str, error: &BackendError) -> NotRestarted {
    let what = format!("the proxy in front of {name} could not be led around it");
    NotRestarted::Surroundings(error.trouble(what))
}

/// Secrets in memory would be gone with the end of their container: they are held, and written again
/// where they are gone already.
async fn held(
    backend: &dyn Backend,
    found: &Found,
    name: &str,
    image: &str,
    wanted: &Restart<'_>,
) -> Result<Option<Held>, NotRestarted> {
    let Some(memory) = Memory::read(&found.info) else {
        return Ok(None);
    };
    let failed = |error: BackendError| {
        let what = format!("the secrets of {name} cannot be held in memory");
        NotRestarted::Surroundings(error.trouble(what))
    };
    let held = memory.hold(backend, image, wanted.labels).await;
    let held = held.map_err(failed)?;
    let Err(empty) = memory.fill(backend, &held, wanted.secrets).await else {
        return Ok(Some(held));
    };
    let _ = held.let_go(backend).await;
    Err(match empty {
        Empty::Unknown(names) => NotRestarted::Unknown(lost(name, &names)),
        Empty::Engine(error) => failed(error),
    })
}

async fn one(
    backend: &dyn Backend,
    found: &Found,
    proxies: &Proxies<'_>,
    name: &str,
    within: Duration,
    told: &mut impl FnMut(String),
) -> Result<(), NotRestarted> {
    let id = &found.info.id;
    let grace = Generation::read(&found.info).grace;
    let aside = proxies.take_out(&server(found)).await;
    aside.map_err(|error| unled(name, &error))?;
    told(format!("restarting {name}"));
    let start = Instant::now();
    let restarted = backend.restart_container(id, grace).await;
    restarted.map_err(|error| {
        NotRestarted::Surroundings(error.trouble(format!("{name} cannot be restarted")))
    })?;
    let now = Instant::now();
    let patience = Patience {
        within,
        until: now + within,
        started: Some(now),
    };
    let well = healthy(backend, id, patience).await;
    let well = well.map_err(|unwell| {
        let said = unwell.describe(name);
        let (what, cause) = said.split_once('\n').unwrap_or((&said, ""));
        let trouble = Trouble::new(what);
        NotRestarted::Unwell(match cause {
            "" => trouble,
            cause => trouble.cause(cause),
        })
    })?;
    let state = well.health.map_or("runs", |_| "is healthy");
    told(format!(
        "{name} {state} after {:.1}s",
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::backend::HealthStatus;
    use crate::fake::{FakeBackend, Program};
    use crate::labels;
    use crate::release::bare::bare;
    use crate::release::names::SERVICE;

    async fn deployed() -> (FakeBackend, Arc<dyn Backend>) {
        let engine = FakeBackend::new();
        engine.add_image("base");
        let after = Duration::from_secs(3);
        let well = Program::forever().health(after, HealthStatus::Healthy);
        engine.program(|_| true, well);
        for (service, replica, needs, sequence) in [
            ("web", "1", "db", "2"),
            ("web", "2", "db", "2"),
            ("db", "1", "", "1"),
            ("web", "3", "db", "1"),
        ] {
            let mut all = Place::new("shop", "live").labels(SERVICE);
            all.extend(
                [
                    (labels::SERVICE, service),
                    (labels::REPLICA, replica),
                    (labels::SEQUENCE, sequence),
                    (labels::DEPENDS_ON, needs),
                ]
                .map(|(key, value)| (key.to_owned(), value.to_owned())),
            );
            let spec = bare(&format!("{service}-{replica}"), "base", all);
            let id = engine.create_container(&spec).await.expect("created");
            if replica != "3" {
                engine.start_container(&id).await.expect("started");
            }
        }
        (engine.clone(), Arc::new(engine))
    }

    async fn restarted(
        backend: &Arc<dyn Backend>,
        service: Option<&str>,
        stopped: impl Future,
    ) -> (Result<usize, NotRestarted>, Vec<String>) {
        let wanted = Restart {
            project: "shop",
            environment: "live",
            service,
            within: Duration::from_secs(10),
            labels: &labels::of_command("shop", 0),
            secrets: &Secrets::default(),
        };
        let mut said = Vec::new();
        let result = restart(backend, &wanted, stopped, |line| said.push(line)).await;
        (result, said)
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_well_before_the_next_and_those_that_others_need_come_first() {
        let (engine, backend) = deployed().await;
        let (result, said) = restarted(&backend, None, pending::<()>()).await;
        assert!(matches!(result, Ok(3)), "{result:?}");
        let begun: Vec<_> = said.iter().filter(|line| line.starts_with("re")).collect();
        assert_eq!(
            begun,
            ["restarting db", "restarting web-1", "restarting web-2"]
        );
        assert!(
            said.iter()
                .any(|line| line.starts_with("db is healthy after 3.")),
            "{said:?}"
        );
        let kept = engine
            .containers()
            .into_iter()
            .find(|it| it.name == "web-3");
        assert_eq!(
            kept.expect("there").status,
            "created",
            "an old release stays as it is"
        );
        assert_eq!(engine.containers().len(), 4, "the lock is given back");
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_become_healthy_ends_it() {
        let (engine, backend) = deployed().await;
        let ends = Program::exits(3).takes(Duration::from_millis(500));
        engine.program(|_| true, ends);
        let mut all = Place::new("shop", "live").labels(SERVICE);
        all.insert(labels::SERVICE.to_owned(), "app".to_owned());
        let id = engine.create_container(&bare("app", "base", all)).await;
        engine
            .start_container(&id.expect("created"))
            .await
            .expect("started");
        let (result, _) = restarted(&backend, Some("app"), pending::<()>()).await;
        match result {
            Err(NotRestarted::Unwell(trouble)) => {
                assert_eq!(trouble.what, "app exited with code 3");
            }
            other => panic!("{other:?}"),
        }
        let (result, _) = restarted(&backend, Some("nobody"), pending::<()>()).await;
        assert!(
            matches!(result, Err(NotRestarted::Unknown(_))),
            "{result:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_deploy_under_way_refuses_it_and_a_stop_leaves_nothing_half_done() {
        let (engine, backend) = deployed().await;
        let stop = tokio::time::sleep(Duration::from_secs(1));
        let (result, said) = restarted(&backend, None, stop).await;
        assert!(matches!(result, Err(NotRestarted::Stopped)), "{result:?}");
        assert_eq!(said, ["restarting db"]);
        assert_eq!(engine.containers().len(), 4, "the lock is given back");

        let place = Place::new("shop", "live");
        let labels = labels::of_command("shop", 0);
        let lock = Lock::take(
            &backend,
            &place,
            "base",
            &labels,
            LOCK_WAIT,
            pending::<()>(),
        )
        .await;
        let _held = lock.expect("free");
        let (result, said) = restarted(&backend, None, pending::<()>()).await;
        assert!(
            matches!(result, Err(NotRestarted::Surroundings(_))),
            "{result:?}"
        );
        assert!(said.is_empty());
    }
}
