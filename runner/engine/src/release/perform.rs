//! Does what a plan says, in its order, and takes it back in the other when something fails or the
//! step is to stop. Before anything is touched, the reaper knows how to bring back what runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hoist_model::reason::Fallback;
use hoist_model::unit::NetworkPlan;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::health::{self, Patience, Unwell};
use super::make::LiveNetwork;
use super::names::Place;
use super::plan::{Action, Program, Which};
use super::prepare::Prepared;
use super::state::{Deployed, Generation, Life};
use super::target::Target;
use crate::backend::{BackendError, HealthStatus};
use crate::context::{Stop, UnitContext};
use crate::reaper::{Undo, UndoTicket};

/// How often an action of the way back is tried, and the pause between.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// What is left of the grace of a container that is to be started again at once.
const SHORT: Duration = Duration::from_secs(2);

/// Why a release did not come to be.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A service is not well.
    Unwell(String),
    /// The engine would not.
    Engine { what: String, error: BackendError },
    /// It is to stop.
    Stopped,
}

/// A release that failed, and what serves now.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    pub(crate) fallback: Fallback,
}

/// What an action is done with.
pub(crate) struct Performer<'a> {
    pub(crate) context: &'a UnitContext,
    pub(crate) target: &'a Target,
    pub(crate) place: &'a Place,
    pub(crate) deployed: &'a Deployed,
    pub(crate) services: &'a BTreeMap<String, Prepared<'a>>,
    pub(crate) network_plans: &'a BTreeMap<String, NetworkPlan>,
    pub(crate) release: Uuid,
    pub(crate) sequence: u64,
    pub(crate) healthy_within: Duration,
    pub(crate) progress: Progress,
}

/// What was done so far.
#[derive(Default)]
pub(crate) struct Progress {
    /// IDs of the containers that were made, by service.
    pub(crate) made: BTreeMap<String, String>,
    /// What may be there because this release tried to make it: engine's names.
    pub(crate) attempted: BTreeSet<String>,
    pub(crate) networks: BTreeMap<String, LiveNetwork>,
    started: BTreeMap<Which, Instant>,
    /// Since when a service is down.
    down: BTreeMap<String, Instant>,
    deadline: Option<Instant>,
    /// With the action that makes each void.
    tickets: Vec<(Action, UndoTicket)>,
}

impl Performer<'_> {
    /// Puts a release in place, or leads back to what was before.
    pub(crate) async fn run(&mut self, program: &Program) -> Result<(), Failed> {
        for (at, action) in program.forward.iter().enumerate() {
            if *self.context.stop.borrow() > Stop::No {
                let done = program.forward.get(..at).unwrap_or_default();
                let fallback = self.go_back(done).await;
                return Err(Failed {
                    failure: Failure::Stopped,
                    fallback,
                });
            }
            self.hold_reverse(action).await;
            if let Err(failure) = self.perform(action).await {
                // One that failed may be half done, so it is taken back too.
                let done = program.forward.get(..=at).unwrap_or_default();
                let fallback = self.go_back(done).await;
                return Err(Failed { failure, fallback });
            }
        }
        self.commit().await;
        for action in &program.afterwards {
            if let Err(failure) = self.perform(action).await {
                let hint = "the next deploy tries again".to_owned();
                self.context
                    .warn(format!("something is left over: {failure}"), Some(hint));
            }
        }
        Ok(())
    }

    /// Does one thing.
    pub(crate) async fn perform(&mut self, action: &Action) -> Result<(), Failure> {
        match action {
            Action::CreateNetwork(name) => self.create_network(name).await,
            Action::RemoveNetwork(name) => self.remove_network(name).await,
            Action::CreateVolume(name) => self.create_volume(name).await,
            Action::RemoveVolume(name) => self.remove_volume(&self.place.object(name)).await,
            Action::RemoveSecrets(volume) => {
                let removed = self.target.backend.remove_volume(volume).await;
                removed.map_err(failed(format!("removing the volume {volume}")))
            }
            Action::Create(service) => self.create(service).await,
            Action::Start(which) => self.start(which).await,
            Action::Stop(which) => self.stop(which).await,
            Action::AwaitHealthy(which) => self.await_healthy(which).await,
            Action::SetRestart(which, restart) => {
                let Some(id) = self.id(which) else {
                    return Ok(());
                };
                let set = self.target.backend.set_restart(&id, *restart).await;
                set.map_err(failed(format!(
                    "setting when {} restarts",
                    self.service(which)
                )))
            }
            Action::Remove(Which::New(service)) => self.remove_new(service).await,
            Action::Remove(Which::Old(id)) => self.remove_old(id).await,
        }
    }

    /// Tells the reaper how to take back what is about to be done. What is made is held where it is
    /// made, since it needs its name there.
    async fn hold_reverse(&mut self, action: &Action) {
        let engine = self.target.engine.clone();
        let undo = match action {
            Action::Stop(Which::Old(id)) => self.deployed.generation(id).map(|old| {
                let (container, name) = (old.id.clone(), old.name.clone());
                Undo::Restore {
                    engine,
                    container,
                    name,
                }
            }),
            // Again, so that it is gone before what had its address and ports is restored.
            Action::Start(Which::New(service)) => {
                let made = self.progress.made.get(service).cloned();
                made.map(|container| Undo::RemoveContainer { engine, container })
            }
            _ => None,
        };
        if let Some((undo, reverse)) = undo.zip(action.reverse()) {
            self.hold(reverse, undo).await;
        }
    }

    /// Gives the reaper an entry that `voided_by` makes void.
    pub(crate) async fn hold(&mut self, voided_by: Action, undo: Undo) {
        let ticket = self.context.undo.push(undo).await;
        self.progress.tickets.push((voided_by, ticket));
    }

    /// From here on the new release stays, whatever happens to this process. What would remove new
    /// things is taken off the list before what would restart old ones, and the last that would
    /// remove a container goes last of them: a process that dies between leaves an old one that
    /// cannot start, never a service without a container.
    async fn commit(&mut self) {
        let tickets = std::mem::take(&mut self.progress.tickets);
        let (restores, removals): (Vec<_>, Vec<_>) = tickets
            .into_iter()
            .partition(|(voided_by, _)| matches!(voided_by, Action::Start(_)));
        for (_, ticket) in removals.into_iter().chain(restores) {
            self.context.undo.take_back(ticket).await;
        }
    }

    async fn void(&mut self, done: &Action) {
        let tickets = std::mem::take(&mut self.progress.tickets);
        let (void, kept): (Vec<_>, Vec<_>) = tickets
            .into_iter()
            .partition(|(voided_by, _)| voided_by == done);
        self.progress.tickets = kept;
        for (_, ticket) in void.into_iter().rev() {
            self.context.undo.take_back(ticket).await;
        }
    }

    async fn go_back(&mut self, done: &[Action]) -> Fallback {
        let touched = done.iter().any(|action| {
            matches!(
                action,
                Action::Stop(Which::Old(_)) | Action::Start(Which::Old(_))
            )
        });
        if touched {
            self.context.phase("going back to the release before");
        }
        let (mut broken, mut failed) = (Vec::new(), Vec::new());
        for reverse in done.iter().rev().filter_map(Action::reverse) {
            match self.insist(&reverse).await {
                Ok(()) => self.void(&reverse).await,
                Err(failure) => {
                    self.context
                        .warn(format!("on the way back: {failure}"), None);
                    if matches!(reverse, Action::Start(_)) {
                        broken.push(failure.to_string());
                    }
                    failed.push(reverse);
                }
            }
        }
        for action in done {
            if let Action::Stop(Which::Old(id)) = action
                && let Some(old) = self.deployed.generation(id)
                && let Err(message) = self.verify(old).await
            {
                broken.push(message);
            }
        }
        // What could not be taken back stays on the list: the end of the run tries once more.
        let tickets = std::mem::take(&mut self.progress.tickets);
        for (voided_by, ticket) in tickets.into_iter().rev() {
            if !failed.contains(&voided_by) {
                self.context.undo.take_back(ticket).await;
            }
        }
        if self.deployed.generations.is_empty() {
            Fallback::NothingBefore
        } else if !touched {
            Fallback::Untouched
        } else if broken.is_empty() {
            Fallback::RolledBack {
                release: self.deployed.sequence(),
            }
        } else {
            Fallback::Broken {
                message: broken.join("; "),
            }
        }
    }

    /// Tries an action of the way back more than once: there is nothing else to go back to.
    async fn insist(&mut self, action: &Action) -> Result<(), Failure> {
        let mut tries = 1;
        loop {
            match self.perform(action).await {
                Err(_) if tries < TRIES => tries += 1,
                result => return result,
            }
            sleep(PAUSE).await;
        }
    }

    /// An old container serves again as it did. One that ends is started again: it may have been
    /// stopping when it was told to start.
    async fn verify(&self, old: &Generation) -> Result<(), String> {
        let within = self.healthy_within;
        let until = Instant::now() + within;
        let mut tries = 1;
        loop {
            let patience = Patience {
                within,
                until,
                started: Some(Instant::now()),
            };
            let backend = self.target.backend.as_ref();
            let healthy = tokio::select! {
                healthy = health::healthy(backend, &old.id, patience) => healthy,
                _ = self.context.stopped(Stop::Kill) => return Ok(()),
            };
            match healthy {
                Ok(_) => return Ok(()),
                Err(Unwell::Exited { .. } | Unwell::Unknown(_)) if tries < TRIES => {
                    tries += 1;
                    let _ = backend.start_container(&old.id).await;
                }
                Err(Unwell::Unhealthy { .. } | Unwell::Late { .. })
                    if old.health != Some(HealthStatus::Healthy) =>
                {
                    // It was not healthy before either.
                    return Ok(());
                }
                Err(unwell) => return Err(unwell.describe(&old.service)),
            }
        }
    }

    async fn start(&mut self, which: &Which) -> Result<(), Failure> {
        let service = self.service(which).to_owned();
        self.context.phase(format!("starting {service}"));
        let Some(id) = self.id(which) else {
            return Ok(());
        };
        let backend = self.target.backend.as_ref();
        let failed = failed(format!("starting {service}"));
        if matches!(which, Which::Old(_)) {
            let found = backend.inspect_container(&id).await;
            if found.is_ok_and(|found| found.is_some_and(|found| found.is_running())) {
                // It was told to stop and is about to: started now, it would stop after all.
                let _ = backend.stop_container(&id, SHORT).await;
            }
        }
        backend.start_container(&id).await.map_err(failed)?;
        let now = Instant::now();
        self.progress.started.insert(which.clone(), now);
        self.progress
            .deadline
            .get_or_insert(now + self.healthy_within);
        Ok(())
    }

    async fn stop(&mut self, which: &Which) -> Result<(), Failure> {
        let service = self.service(which).to_owned();
        let Some(id) = self.id(which) else {
            return Ok(());
        };
        let old = self.deployed.generation(&id);
        if old.is_some_and(|old| old.life == Life::Running) {
            self.context
                .phase(format!("stopping the {service} that runs"));
            self.progress
                .down
                .entry(service.clone())
                .or_insert_with(Instant::now);
        }
        let grace = old.map(|old| old.grace);
        let grace = grace.or_else(|| Some(self.services.get(&service)?.unit.stop_grace_period));
        let hurry = *self.context.stop.borrow() >= Stop::Kill;
        let grace = if hurry {
            Duration::ZERO
        } else {
            grace.unwrap_or_default()
        };
        let backend = self.target.backend.as_ref();
        // Not left half done: a container that is still stopping cannot be told to start.
        let stopping = backend.stop_container(&id, grace);
        tokio::pin!(stopping);
        let result = tokio::select! {
            result = &mut stopping => result,
            _ = self.context.stopped(Stop::Kill) => {
                let _ = backend.kill_container(&id, "KILL").await;
                stopping.await
            }
        };
        result.map_err(failed(format!("stopping {service}")))
    }

    async fn await_healthy(&mut self, which: &Which) -> Result<(), Failure> {
        let service = self.service(which).to_owned();
        let Some(id) = self.id(which) else {
            return Ok(());
        };
        self.context
            .phase(format!("waiting for {service} to be healthy"));
        let within = self.healthy_within;
        let until = *self
            .progress
            .deadline
            .get_or_insert_with(|| Instant::now() + within);
        let started = self.progress.started.get(which).copied();
        let patience = Patience {
            within,
            until,
            started,
        };
        let healthy = tokio::select! {
            healthy = health::healthy(self.target.backend.as_ref(), &id, patience) => healthy,
            _ = self.context.stopped(Stop::Grace) => return Err(Failure::Stopped),
        };
        match healthy {
            Ok(_) => {
                if let Some(since) = self.progress.down.remove(&service) {
                    let seconds = since.elapsed().as_secs_f64();
                    let line = format!("{service} is healthy; it was down for {seconds:.1} s");
                    self.context.output.line(&line).await;
                }
                Ok(())
            }
            Err(Unwell::Unknown(error)) => Err(failed(format!("asking how {service} is"))(error)),
            Err(unwell) => Err(Failure::Unwell(unwell.describe(&service))),
        }
    }

    /// The container's ID; `None` while it was not made.
    fn id(&self, which: &Which) -> Option<String> {
        match which {
            Which::New(service) => self.progress.made.get(service).cloned(),
            Which::Old(id) => Some(id.clone()),
        }
    }

    fn service<'b>(&'b self, which: &'b Which) -> &'b str {
        match which {
            Which::New(service) => service,
            Which::Old(id) => self
                .deployed
                .generation(id)
                .map_or(id.as_str(), |old| old.service.as_str()),
        }
    }
}

/// Says what the engine would not do.
pub(crate) fn failed(what: String) -> impl FnOnce(BackendError) -> Failure {
    move |error| Failure::Engine { what, error }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unwell(message) => f.write_str(message),
            Self::Engine { what, error } => write!(f, "{what} failed: {error}"),
            Self::Stopped => f.write_str("it was stopped before the release was in place"),
        }
    }
}
