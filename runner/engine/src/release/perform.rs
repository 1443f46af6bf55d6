//! Does what a plan says, in its order, and takes it back in the other when something fails or the
//! step is to stop. Before anything is touched, the reaper knows how to bring back what runs.

mod behind;
pub(super) mod gates;
pub(crate) mod hooks;
pub(crate) mod lead;
mod life;
pub(super) mod memory;
mod share;
mod upgrade;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use hoist_model::reason::Fallback;
use hoist_model::unit::{FailureAction, NetworkPlan, Strategy};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::gate::Gate;
use super::health::{self, Patience, Unwell};
use super::lock::Lock;
use super::make::LiveNetwork;
use super::memory::{Held, Memory};
use super::names::Place;
use super::plan::{Action, Backends, Program, Slot, Which};
use super::prepare::{Prepared, PreparedHook};
use super::state::{Deployed, Generation};
use super::target::Target;
use crate::backend::{BackendError, HealthStatus};
use crate::context::{Stop, UnitContext};
use crate::reaper::{Undo, UndoTicket};

/// How often an action of the way back is tried, and the pause between.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// Why a release did not come to be.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A service is not well.
    Unwell(String),
    /// A hook failed.
    Hook(String),
    /// The engine would not.
    Engine { what: String, error: BackendError },
    /// The lock is not held any more.
    LockLost,
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
    pub(crate) hooks: &'a BTreeMap<String, PreparedHook<'a>>,
    /// What gives the right to change anything; absent where nothing is changed.
    pub(crate) lock: Option<&'a Lock>,
    /// The image of proxies, by the engine's ID.
    pub(crate) proxy: &'a str,
    pub(crate) network_plans: &'a BTreeMap<String, NetworkPlan>,
    pub(crate) release: Uuid,
    pub(crate) sequence: u64,
    pub(crate) healthy_within: Duration,
    /// What a failure leads to.
    pub(crate) failure_action: FailureAction,
    pub(crate) progress: Progress,
}

/// What was done so far.
#[derive(Default)]
pub(crate) struct Progress {
    /// IDs of the containers that were made.
    pub(crate) made: BTreeMap<Slot, String>,
    /// What may be there because this release tried to make it: engine's names.
    pub(crate) attempted: BTreeSet<String>,
    pub(crate) networks: BTreeMap<String, LiveNetwork>,
    /// Fixed addresses of the containers that were made, by network.
    pub(crate) addresses: BTreeMap<Slot, BTreeMap<String, Ipv4Addr>>,
    /// IDs of the gates that were opened.
    pub(crate) gates: BTreeMap<Gate, String>,
    /// Fixed addresses that this release chose for gates that are the host's, by network.
    reserved: BTreeMap<Gate, BTreeMap<String, Ipv4Addr>>,
    /// Services whose gates do with what comes in what is wanted, and no more what they did before.
    fronted: BTreeSet<String>,
    /// By service: what its gates lead to since this release changed it.
    led: BTreeMap<String, Backends>,
    /// By gate's ID: the text of the configuration that it checked last.
    checked: BTreeMap<String, String>,
    /// By gate's ID: workers that only bring to an end what they had begun.
    draining: BTreeMap<String, BTreeSet<u64>>,
    /// Hooks that ran to their end.
    pub(crate) hooks: Vec<String>,
    /// IDs of containers that were removed.
    pub(crate) removed: BTreeSet<String>,
    /// Containers of rolling updates that are not well and may be so: no gate leads to them.
    pub(crate) left_out: BTreeSet<Which>,
    /// The secrets in memory of the containers that were made.
    pub(crate) memories: BTreeMap<Slot, Memory>,
    /// By volume: what holds secrets in memory of what was stopped.
    held: BTreeMap<String, Held>,
    started: BTreeMap<Which, Instant>,
    /// Since when a service is down.
    down: BTreeMap<String, Instant>,
    deadline: Option<Instant>,
    going_back: bool,
    /// With the action that makes each void.
    tickets: Vec<(Action, UndoTicket)>,
}

impl Performer<'_> {
    /// Puts a release in place, or leads back to what was before.
    pub(crate) async fn run(&mut self, program: &Program) -> Result<(), Failed> {
        let result = self.run_forward(program).await;
        self.let_go_of_memory().await;
        result?;
        for action in &program.afterwards {
            if let Err(failure) = self.perform(action).await {
                let hint = "the next deploy tries again".to_owned();
                self.context
                    .warn(format!("something is left over: {failure}"), Some(hint));
            }
        }
        Ok(())
    }

    async fn run_forward(&mut self, program: &Program) -> Result<(), Failed> {
        for (at, action) in program.forward.iter().enumerate() {
            if !self.has_lock() {
                return Err(self.let_go().await);
            }
            if *self.context.stop.borrow() > Stop::No {
                let done = program.forward.get(..at).unwrap_or_default();
                let fallback = self.go_back(done).await;
                return Err(Failed {
                    failure: Failure::Stopped,
                    fallback,
                });
            }
            // Before the reaper would start again what it is about.
            let mut done = self.hold_memory(action).await;
            if done.is_ok() {
                self.hold_reverse(action).await;
                done = self.perform(action).await;
            }
            if let Err(failure) = done {
                if self.failure_action == FailureAction::Pause
                    && !matches!(failure, Failure::Stopped)
                {
                    self.commit().await;
                    let fallback = Fallback::AsItIs;
                    return Err(Failed { failure, fallback });
                }
                // One that failed may be half done, so it is taken back too.
                let done = program.forward.get(..=at).unwrap_or_default();
                let fallback = self.go_back(done).await;
                return Err(Failed { failure, fallback });
            }
        }
        self.commit().await;
        Ok(())
    }

    fn has_lock(&self) -> bool {
        self.lock.is_none_or(Lock::held)
    }

    /// Someone else may be at it by now: nothing is taken back.
    async fn let_go(&mut self) -> Failed {
        for (_, ticket) in std::mem::take(&mut self.progress.tickets) {
            self.context.undo.take_back(ticket).await;
        }
        Failed {
            failure: Failure::LockLost,
            fallback: Fallback::AsItIs,
        }
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
            Action::Create(slot) => self.create(slot).await,
            Action::Start(which) => self.start(which).await,
            Action::Stop(which) => self.stop(which).await,
            Action::AwaitHealthy(which) | Action::Prove(which) | Action::SetRestart(which, _)
                if self.progress.left_out.contains(which) =>
            {
                Ok(())
            }
            Action::AwaitHealthy(which) => {
                let well = self.await_healthy(which).await;
                self.or_left_out(which, well)
            }
            Action::SetRestart(which, restart) => {
                let Some(id) = self.id(which) else {
                    return Ok(());
                };
                let set = self.target.backend.set_restart(&id, *restart).await;
                set.map_err(failed(format!(
                    "setting when {} restarts",
                    self.shown(which)
                )))
            }
            Action::Remove(Which::New(slot)) => self.remove_new(slot).await,
            Action::Remove(Which::Old(id)) => self.remove_old(id).await,
            Action::OpenGate { service, gate } => self.open_gate(service, gate).await,
            Action::CloseGate(gate) => self.close_gate(gate).await,
            Action::ReplaceGate { service, gate, .. } => self.replace_gate(service, gate).await,
            Action::ShareGate { service, gate } => self.share_gate(service, gate).await,
            Action::Route { service, to, .. } => self.route(service, to).await,
            Action::Front {
                service,
                to,
                wanted,
            } => self.front(service, to, *wanted).await,
            Action::Check { service, to } => self.check(service, to).await,
            Action::Drain(service) => self.drain(service).await,
            Action::Prove(which) => {
                let proved = self.prove(which).await;
                self.or_left_out(which, proved)
            }
            Action::Bake(all, time) => self.bake(all, *time).await,
            Action::Judge {
                service,
                new,
                weight,
                plan,
            } => self.judge(service, new, *weight, plan).await,
            Action::Pause(time) => self.pause(*time).await,
            Action::RunHook(name) => self.run_hook(name).await,
            Action::OnReturn(_) => Ok(()),
        }
    }

    /// Tells the reaper how to take back what is about to be done. What is made is held where it is
    /// made, since it needs its name there.
    async fn hold_reverse(&mut self, action: &Action) {
        let engine = self.target.engine.clone();
        let undo = match action {
            Action::Stop(Which::Old(id)) => self.restorable(id).map(|old| {
                let (container, name) = (old.id.clone(), old.name.clone());
                Undo::Restore {
                    engine,
                    container,
                    name,
                }
            }),
            // Again, so that it is gone before what had its address and ports is restored.
            Action::Start(Which::New(slot)) if self.reaper_takes_back(&slot.service) => {
                let made = self.progress.made.get(slot).cloned();
                made.map(|container| Undo::RemoveContainer { engine, container })
            }
            _ => None,
        };
        if let Some((undo, reverse)) = undo.zip(action.reverse()) {
            self.hold(reverse, undo).await;
        }
    }

    /// The container, if the reaper may start it again.
    fn restorable(&self, id: &str) -> Option<&Generation> {
        let old = self.deployed.generation(id)?;
        self.reaper_takes_back(&old.service).then_some(old)
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

    pub(crate) async fn void(&mut self, done: &Action) {
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
                Action::Stop(Which::Old(_))
                    | Action::Start(Which::Old(_))
                    | Action::Route { .. }
                    | Action::Front { .. }
                    | Action::ReplaceGate { .. }
            )
        });
        self.progress.going_back = true;
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
                release: self.deployed.newest_serving(),
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

    /// The container's ID; `None` while it was not made.
    pub(crate) fn id(&self, which: &Which) -> Option<String> {
        match which {
            Which::New(slot) => self.progress.made.get(slot).cloned(),
            Which::Old(id) => Some(id.clone()),
        }
    }

    fn service<'b>(&'b self, which: &'b Which) -> &'b str {
        match which {
            Which::New(slot) => &slot.service,
            Which::Old(id) => self
                .deployed
                .generation(id)
                .map_or(id.as_str(), |old| old.service.as_str()),
        }
    }

    /// How people know a container: by its service, and by its number where there are several.
    fn shown(&self, which: &Which) -> String {
        let service = self.service(which);
        let replica = self.replica(which);
        let several = self
            .services
            .get(service)
            .is_some_and(|one| one.unit.replicas > 1);
        match several || replica > 1 {
            true => format!("{service} ({replica})"),
            false => service.to_owned(),
        }
    }

    /// The numbers of the containers that were left out, by service.
    pub(crate) fn left_out(&self) -> BTreeMap<String, Vec<u32>> {
        let mut left_out: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for which in &self.progress.left_out {
            let (service, replica) = (self.service(which).to_owned(), self.replica(which));
            left_out.entry(service).or_default().push(replica);
        }
        left_out
    }

    fn replica(&self, which: &Which) -> u32 {
        match which {
            Which::New(slot) => slot.replica,
            Which::Old(id) => self.deployed.generation(id).map_or(1, |old| old.replica),
        }
    }

    /// The reaper may take back what is done to a service: it takes a container's place with its
    /// address, so whoever leads to it need not be told. Of others the next command takes care.
    pub(crate) fn reaper_takes_back(&self, service: &str) -> bool {
        let prepared = self.services.get(service);
        prepared.is_none_or(|one| one.unit.update.strategy == Strategy::Recreate)
    }

    /// All of the release may be taken back by the reaper.
    pub(crate) fn reaper_takes_back_all(&self) -> bool {
        let mut services = self.services.keys();
        services.all(|service| self.reaper_takes_back(service))
    }
}

/// Says what the engine would not do.
pub(crate) fn failed(what: String) -> impl FnOnce(BackendError) -> Failure {
    move |error| Failure::Engine { what, error }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unwell(message) | Self::Hook(message) => f.write_str(message),
            Self::Engine { what, error } => write!(f, "{what} failed: {error}"),
            Self::LockLost => f.write_str("the lock of the environment was taken away"),
            Self::Stopped => f.write_str("it was stopped before the release was in place"),
        }
    }
}
