//! The services beside a step: started before it on a network that the step and they are alone on,
//! waited for until they are ready, watched while it runs, and gone with it. Nothing of them is
//! shared with another step or attempt. It refuses to start one again: a service that ends is a
//! fact about the step.

mod live;
pub(super) mod network;
mod pace;
mod ready;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{join_all, try_join_all};
use hoist_model::reason::{Ending, FailureReason, Trouble};
use hoist_model::unit::{Command, Condition, ContainerUnit, StepService};
use tokio::sync::watch;

use super::life;
use super::litter::Litter;
use super::place::{self, Names};
use crate::backend::{Attachment, BackendErrorKind, ContainerSpec};
use crate::context::{Stop, UnitContext};
use crate::images;
use crate::release::secrets;
use crate::store;
use crate::unit::halt::{Halt, unless_stopped};
use live::{End, Live};

/// The services beside one attempt at a step.
pub(super) struct Services<'a> {
    context: &'a UnitContext,
    unit: &'a ContainerUnit,
    litter: &'a Litter,
    /// Those that have a container, whether or not they are ready.
    live: Mutex<Vec<Arc<Live>>>,
}

/// What the services are started with.
#[derive(Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) names: &'a Names,
    pub(super) network: &'a network::Own,
}

/// How far a service has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Waiting,
    Started,
    Ready,
}

type Stages<'a> = BTreeMap<&'a str, watch::Sender<Stage>>;

impl<'a> Services<'a> {
    /// Those of a unit, none of them begun.
    pub(super) fn of(
        context: &'a UnitContext,
        unit: &'a ContainerUnit,
        litter: &'a Litter,
    ) -> Self {
        Self {
            context,
            unit,
            litter,
            live: Mutex::default(),
        }
    }

    /// Starts all of them at once, each after those that it depends on, and waits until they are
    /// ready.
    pub(super) async fn up(&self, ground: Option<Ground<'_>>) -> Result<(), Halt> {
        let Some(ground) = ground else { return Ok(()) };
        let services = &self.unit.services;
        let stage =
            |service: &'a StepService| (service.name.as_str(), watch::Sender::new(Stage::Waiting));
        let stages: Stages<'_> = services.iter().map(stage).collect();
        let all = services
            .iter()
            .map(|service| self.bring_up(service, ground, &stages));
        try_join_all(all).await.map(drop)
    }

    async fn bring_up(
        &self,
        service: &StepService,
        ground: Ground<'_>,
        stages: &Stages<'_>,
    ) -> Result<(), Halt> {
        let reach = |stage| {
            if let Some(sender) = stages.get(service.name.as_str()) {
                sender.send_replace(stage);
            }
        };
        let context = self.context;
        let live = unless_stopped(context, self.create(service, ground)).await?;
        let start = async {
            for need in &service.depends_on {
                let least = match need.condition {
                    Condition::ServiceStarted => Stage::Started,
                    Condition::ServiceHealthy => Stage::Ready,
                };
                if let Some(other) = stages.get(need.service.as_str()) {
                    let _ = other.subscribe().wait_for(|stage| *stage >= least).await;
                }
            }
            self.start(&live).await
        };
        unless_stopped(context, start).await?;
        reach(Stage::Started);
        ready::wait(context, &live).await?;
        reach(Stage::Ready);
        self.stay(&live, stages).await
    }

    /// Waits for the others to be ready. One that ends meanwhile is why, should they not become it.
    async fn stay(&self, live: &Live, stages: &Stages<'_>) -> Result<(), Halt> {
        let everyone = async {
            for stage in stages.values() {
                let ready = |stage: &Stage| *stage == Stage::Ready;
                let _ = stage.subscribe().wait_for(ready).await;
            }
        };
        let mut everyone = pin!(everyone);
        let backend = self.context.backend.as_ref();
        tokio::select! {
            biased;
            () = &mut everyone => return Ok(()),
            _ = life::exit(backend, &live.container) => {}
        }
        if let Some(End { words, .. }) = live.end(self.context).await {
            live.drained().await;
            let message = format!("{words} before the step could start");
            return Err(live.failure(message).into());
        }
        everyone.await;
        Ok(())
    }

    /// Makes a service's container, filled and attached to.
    async fn create(&self, service: &StepService, ground: Ground<'_>) -> Result<Arc<Live>, Halt> {
        let context = self.context;
        let backend = context.backend.as_ref();
        let failed = |what: &str| format!("service {}: {what}", service.name);
        let image = images::resolve(context, &service.image).await?;
        let mut spec = spec(context, service, &image.image.id, ground)?;
        let volume = ground
            .names
            .of(&format!("service.{}.secrets", service.name));
        let secret = !service.secrets.is_empty();
        if secret {
            self.litter.volume(&volume);
            let made = backend.create_volume(&volume, &ground.names.labels).await;
            made.map_err(|error| {
                Halt::surroundings(
                    failed("the volume of its secrets could not be created"),
                    &error,
                )
            })?;
            spec.mounts.push(secrets::mount(&volume, true));
        }
        let filled = async {
            if !secret {
                return Ok(());
            }
            self.litter.container(&secrets::filler(&volume));
            let (image, user) = (&image.image.id, service.user.as_deref());
            let filled =
                secrets::fill(context, backend, &volume, image, user, &service.secrets).await;
            filled.map_err(|error| {
                Halt::surroundings(failed("its secrets could not be laid down"), &error)
            })
        };
        self.litter.container(&spec.name);
        let made = async {
            let container = place::create(context, &mut spec, self.litter).await;
            let container = container.map_err(|halt| of_service(&service.name, halt))?;
            let output = backend.attach(&container).await;
            let output = output
                .map_err(|error| Halt::surroundings(failed("its output cannot be read"), &error))?;
            Ok((container, output))
        };
        let ((container, output), ()) = tokio::try_join!(made, filled)?;
        let attempt = context.artifacts.file_name().unwrap_or_default();
        let log = store::service_log(&context.run_folder, attempt, &service.name);
        let log = context.output.aside(log.map_err(Halt::trouble)?);
        let live = Arc::new(Live::new(service, &image.shown, container, output, log));
        self.lock().push(Arc::clone(&live));
        Ok(live)
    }

    async fn start(&self, live: &Live) -> Result<(), Halt> {
        let Err(error) = self.context.backend.start_container(&live.container).await else {
            return Ok(());
        };
        Err(match error.kind {
            BackendErrorKind::CannotStart { .. } => live
                .failure(format!("could not be started: {error}"))
                .into(),
            _ => Halt::surroundings(
                format!("service {}: its container could not be started", live.name),
                &error,
            ),
        })
    }

    /// Says when one of them ends while the step runs; the step is not stopped for it, so that it
    /// can tell what it made of that. Never ends itself.
    pub(super) async fn watch(&self) -> Infallible {
        let backend = self.context.backend.as_ref();
        let all = self.all();
        let watched = all.iter().map(|live| async {
            // Where that cannot be told, the end of the step tells more.
            let _ = life::exit(backend, &live.container).await;
            if let Some(End { words, .. }) = live.end(self.context).await {
                let message = format!("service {} {words} while the step ran", live.name);
                self.context.warn(message, None);
            }
        });
        join_all(watched).await;
        pending().await
    }

    /// What a step's ending is worth beside services that had ended. A command that failed has failed
    /// for that; one that passed has passed only beside those that ended well, which it may have
    /// asked them to.
    pub(super) async fn judge(&self, ending: Ending) -> Ending {
        let (how, passed) = match &ending {
            Ending::Passed => ("ended with 0".to_owned(), true),
            Ending::Failed(FailureReason::Exit { code }) => (format!("ended with {code}"), false),
            Ending::Cancelled(_) => ("was stopped".to_owned(), false),
            Ending::Cached | Ending::Failed(_) | Ending::Skipped(_) => return ending,
        };
        for live in self.all() {
            if let Some(End { words, well }) = live.end(self.context).await
                && !(well && passed)
            {
                live.drained().await;
                let message = format!("{words} while the step ran, which then {how}");
                return Ending::Failed(live.failure(message));
            }
        }
        ending
    }

    /// Stops those that are to have grace. Without a stop of the others, they go with their
    /// containers.
    pub(super) async fn stop(&self) {
        let backend = self.context.backend.as_ref();
        let all = self.all();
        let graceful = all.iter().filter(|live| !live.grace.is_zero());
        let stopping = graceful.map(|live| async {
            // What does not stop is removed all the same.
            let _ = backend.stop_container(&live.container, live.grace).await;
        });
        tokio::select! {
            _ = self.context.stopped(Stop::Kill) => {}
            _ = join_all(stopping) => {}
        }
    }

    /// Completes their logs, once their containers are gone.
    pub(super) async fn close(&self) {
        for live in self.all() {
            if let Err(Trouble { what, cause, hint }) = live.close().await {
                let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
                self.context.warn(format!("{what}{cause}"), hint);
            }
        }
    }

    fn all(&self) -> Vec<Arc<Live>> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spec(
    context: &UnitContext,
    service: &StepService,
    image: &str,
    ground: Ground<'_>,
) -> Result<ContainerSpec, Halt> {
    let mut environment = BTreeMap::new();
    for (name, value) in &service.environment {
        environment.insert(name.clone(), images::text(context, value)?);
    }
    let endpoint = network::endpoint(&ground.network.id, vec![service.name.clone()]);
    let name = ground.names.of(&format!("service.{}", service.name));
    let two_paces = ground.network.info.speaks(pace::TWO_PACES);
    Ok(ContainerSpec {
        entrypoint: service.entrypoint.clone(),
        command: service.command.as_ref().map(Command::argv),
        environment,
        working_dir: service.working_dir.clone(),
        user: service.user.clone(),
        network: Attachment::Networks(vec![endpoint]),
        local_names: true,
        security: service.security.clone(),
        limits: service.limits.clone(),
        tmpfs: service.tmpfs.clone(),
        stop_signal: service.stop_signal.clone(),
        healthcheck: Some(pace::paced(&service.healthcheck, two_paces)),
        ..place::bare(name, image, ground.names.labels.clone())
    })
}

/// The trouble of one service, by its name.
fn of_service(name: &str, halt: Halt) -> Halt {
    match halt {
        Halt::Failed(FailureReason::Surroundings(mut trouble)) => {
            trouble.what = format!("service {name}: {}", trouble.what);
            Halt::trouble(trouble)
        }
        halt => halt,
    }
}
