//! What happened to the containers of an environment, as far as the engine remembers it: Docker
//! keeps its last 256 events, those of all containers and of every health check among them. It
//! refuses to keep events of its own.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use hoist_model::reason::Trouble;
use hoist_model::seen::{Happening, What};
use jiff::Timestamp;

use super::instances::{instance, role};
use super::names::{Place, SERVICE};
use crate::backend::{Backend, BackendError, EngineEvent};
use crate::labels;

/// Nanoseconds of a second.
const NANOS: i64 = 1_000_000_000;

/// What happened in an environment, in its order.
pub struct Events<'a> {
    backend: &'a dyn Backend,
    place: Place,
    /// The engine's time when it was asked, seconds since the epoch.
    now: i64,
}

impl<'a> Events<'a> {
    /// The events of an environment.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn of(
        backend: &'a dyn Backend,
        project: &str,
        environment: &str,
    ) -> Result<Self, Trouble> {
        let info = backend.info().await.map_err(failed)?;
        Ok(Self {
            backend,
            place: Place::new(project, environment),
            now: info.time,
        })
    }

    /// What the engine remembers; only of so long ago where that is said.
    ///
    /// # Errors
    /// When the engine does not say.
    pub async fn past(&self, ago: Option<Duration>) -> Result<Vec<Happening>, Trouble> {
        let since = ago.map_or(NANOS, |ago| self.ago(ago));
        let until = (self.now + 1).saturating_mul(NANOS);
        let filter = self.filter();
        let events = self.backend.past_events(&filter, since, until).await;
        let events = events.map_err(failed)?.into_iter();
        Ok(events
            .filter_map(|event| happening(&self.place, &event))
            .collect())
    }

    /// What happens from now on, after what the engine remembers of so long ago where that is said.
    /// Ends with an error when the engine goes away.
    ///
    /// # Errors
    /// When the engine does not say.
    pub async fn follow(
        &self,
        ago: Option<Duration>,
    ) -> Result<BoxStream<'static, Result<Happening, Trouble>>, Trouble> {
        let since = self.ago(ago.unwrap_or_default());
        let filter = self.filter();
        let events = self.backend.events(&filter, Some(since)).await;
        let place = self.place.clone();
        let told = events.map_err(failed)?.filter_map(move |event| {
            let told = match event {
                Ok(event) => happening(&place, &event).map(Ok),
                Err(error) => Some(Err(failed(error))),
            };
            std::future::ready(told)
        });
        let gone = Trouble::new("the engine has ended its events")
            .hint("see whether it is well with `hoist doctor`");
        Ok(told.chain(futures_util::stream::iter([Err(gone)])).boxed())
    }

    fn ago(&self, ago: Duration) -> i64 {
        let ago = i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX);
        self.now
            .saturating_mul(NANOS)
            .saturating_sub(ago)
            .max(NANOS)
    }

    fn filter(&self) -> [(&str, Option<&str>); 2] {
        [
            (labels::PROJECT, Some(self.place.project.as_str())),
            (labels::ENVIRONMENT, Some(self.place.environment.as_str())),
        ]
    }
}

fn failed(error: BackendError) -> Trouble {
    error.trouble("what happened cannot be read")
}

/// What an event of the engine says to people; nothing where it is of no interest or about what
/// hoist keeps for itself.
fn happening(place: &Place, event: &EngineEvent) -> Option<Happening> {
    let role = role(&event.labels);
    if [labels::LOCK, "state"].contains(&role.as_str()) {
        return None;
    }
    let (action, rest) = event.action.split_once(": ").unwrap_or((&event.action, ""));
    let what = match action {
        "create" => What::Create,
        "start" => What::Start,
        "die" => What::Die {
            code: event.exit_code,
        },
        "oom" => What::Oom,
        "health_status" => What::HealthStatus {
            status: rest.to_owned(),
        },
        "kill" => What::Kill {
            signal: event.signal.clone().unwrap_or_default(),
        },
        "pause" => What::Pause,
        "unpause" => What::Unpause,
        "destroy" => What::Destroy,
        _ => return None,
    };
    let mut instance = instance(place, &event.name, &event.labels);
    if role != SERVICE && event.labels.get(labels::SERVICE) == Some(&instance.service) {
        // A migration of a service is not the service.
        instance.service = format!("{} ({role})", instance.service);
    }
    Some(Happening {
        at: Timestamp::from_nanosecond(event.at.into()).ok()?,
        instance,
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeBackend, Program};
    use crate::release::bare::bare;

    fn event(action: &str, role: &str) -> EngineEvent {
        let labels = [(labels::SERVICE, "web"), (labels::ROLE, role)];
        EngineEvent {
            name: "shop-live-web-1".to_owned(),
            labels: labels
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            action: action.to_owned(),
            exit_code: Some(3),
            signal: Some("15".to_owned()),
            at: 1,
            ..EngineEvent::default()
        }
    }

    #[test]
    fn what_is_of_interest_is_told() {
        let place = Place::new("shop", "live");
        let what = |action, role| happening(&place, &event(action, role)).map(|it| it.what);
        assert_eq!(what("die", SERVICE), Some(What::Die { code: Some(3) }));
        let killed = What::Kill {
            signal: "15".to_owned(),
        };
        assert_eq!(what("kill", SERVICE), Some(killed));
        let unhealthy = What::HealthStatus {
            status: "unhealthy".to_owned(),
        };
        assert_eq!(what("health_status: unhealthy", SERVICE), Some(unhealthy));
        for noise in ["exec_create: sh", "exec_die", "attach", "resize", ""] {
            assert_eq!(what(noise, SERVICE), None, "{noise}");
        }
        assert_eq!(what("start", labels::LOCK), None);
        let hook = happening(&place, &event("start", "pre_deploy")).expect("told");
        assert_eq!(hook.instance.service, "web (pre_deploy)");
    }

    #[tokio::test(start_paused = true)]
    async fn the_life_of_a_container_is_told_in_its_order_and_others_are_not() {
        let engine = FakeBackend::new();
        engine.add_image("base");
        engine.program(|_| true, Program::exits(3));
        for (name, project) in [("a", "shop"), ("b", "other")] {
            let mut labels = Place::new(project, "live").labels(SERVICE);
            labels.insert(labels::SERVICE.to_owned(), name.to_owned());
            let id = engine.create_container(&bare(name, "base", labels)).await;
            let id = id.expect("created");
            engine.start_container(&id).await.expect("started");
            engine.wait_container(&id).await.expect("ended");
        }
        // The fake counts its events instead of measuring time.
        let events = Events {
            backend: &engine,
            place: Place::new("shop", "live"),
            now: 1000,
        };
        let past: Vec<_> = engine
            .past_events(&events.filter(), 0, i64::MAX)
            .await
            .expect("told")
            .iter()
            .filter_map(|event| happening(&events.place, event))
            .map(|it| (it.instance.service, it.what))
            .collect();
        let a = |what| ("a".to_owned(), what);
        let died = What::Die { code: Some(3) };
        assert_eq!(past, [a(What::Create), a(What::Start), a(died)]);
    }
}
