//! Waits for a service to be ready: healthy by its check or, without one, started. How long that
//! may take is the check's own to say, and the step's time-out.

use std::time::Duration;

use tokio::time::Instant;

use super::live::{Live, end_of};
use crate::backend::{ContainerInfo, Health, HealthStatus};
use crate::context::{Stop, UnitContext};
use crate::unit::halt::Halt;

/// Between two looks: a tenth of the time that was waited, and never less or more than this.
const LOOKS: (Duration, Duration) = (Duration::from_millis(40), Duration::from_millis(500));

const HINT: &str = "give it a `healthcheck`, so that the step starts when it answers";

/// Waits until a started service is ready.
pub(super) async fn wait(context: &UnitContext, live: &Live) -> Result<(), Halt> {
    let start = Instant::now();
    let mut waited = false;
    loop {
        let info = look(context, live).await?;
        if let Some(end) = end_of(&info) {
            live.drained().await;
            return Err(live
                .failure(format!("{} before it was ready", end.words))
                .into());
        }
        let Some(health) = &info.health else {
            hint(context, live);
            return Ok(());
        };
        match health.status {
            HealthStatus::Healthy => return Ok(()),
            HealthStatus::Unhealthy => {
                let tries = match health.failing_streak {
                    0 | 1 => String::new(),
                    tries => format!(" after {tries} tries"),
                };
                let message = format!("is not healthy{tries}");
                return Err(live.failure_of(message, Some(health)).into());
            }
            HealthStatus::Starting => {}
        }
        if !waited {
            context.phase(format!("waiting for {}", live.name));
            waited = true;
        }
        let pause = (start.elapsed() / 10).clamp(LOOKS.0, LOOKS.1);
        tokio::select! {
            biased;
            _ = context.stopped(Stop::Grace) => return Err(late(live, health)),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn look(context: &UnitContext, live: &Live) -> Result<ContainerInfo, Halt> {
    let info = context.backend.inspect_container(&live.container).await;
    let what = || format!("whether service {} is ready cannot be told", live.name);
    let info = info.map_err(|error| Halt::surroundings(what(), &error))?;
    info.ok_or_else(|| {
        live.failure("was removed by someone else".to_owned())
            .into()
    })
}

/// The step is to stop, for its time is up or because someone says so, and this is what it waited
/// for.
fn late(live: &Live, health: &Health) -> Halt {
    let message = "was not healthy by the time that the step had to stop".to_owned();
    live.failure_of(message, Some(health)).into()
}

/// Says once a run that a service has no check.
fn hint(context: &UnitContext, live: &Live) {
    let Live { name, image, .. } = live;
    let message =
        format!("service {name} ({image}) has no health check: it counts as ready once started");
    if context.made.tell_once(&message) {
        context.warn(message, Some(HINT.to_owned()));
    }
}
