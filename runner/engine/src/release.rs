//! Puts a release in an environment: what did not change is left running, what changed is replaced,
//! and what is not well is taken back, so that the release before serves again.
//!
//! The truth is on the engine: all that is known of an environment is read from the labels of its
//! objects, so another machine or a lost run folder changes nothing. Where someone must approve, the
//! lock is not held while they think, and what they approved of is all that is done; a release that
//! is in place already needs none. What comes in goes through proxies, which are led from one
//! generation to the next and never replaced. Refused here: to touch what lacks the environment's
//! labels, to build, and to remove data.

mod approve;
mod aside;
mod bare;
mod diagnose;
mod down;
mod drift;
mod events;
mod expiry;
mod gate;
mod health;
mod history;
mod host_network;
mod instances;
mod journal;
mod lock;
mod logs;
mod make;
mod memory;
mod mend;
mod names;
mod perform;
mod plan;
mod ports;
mod preflight;
mod prepare;
mod preview;
mod promote;
mod proxy;
mod read;
mod record;
mod restart;
pub(crate) mod secrets;
mod send;
mod settings;
mod shared;
mod state;
mod stats;
mod status;
mod subnet;
mod target;
#[cfg(test)]
mod tests;
mod verify;
mod wish;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use hoist_model::event::Question;
use hoist_model::plan::PlannedStep;
use hoist_model::reason::{Ending, FailureReason, Fallback, Trouble};
use hoist_model::unit::{FailureAction, ReleaseDeed, ReleaseUnit};
use jiff::Timestamp;
use uuid::Uuid;

use crate::backend::{Backend, BackendError, BackendErrorKind};
use crate::context::{Stop, UnitContext};
pub(crate) use journal::image as proxy_of;
use journal::{Intent, Journal, Known};
pub(crate) use lock::Lock;
pub(crate) use names::Place;
use perform::{Failed, Failure, Performer, Progress};
use prepare::All;
pub(crate) use shared::by as shared_by;
use state::Deployed;
use target::{Origin, Target};
use verify::Verified;
use wish::Wish;

pub use diagnose::{Diagnosis, WantedPort, diagnose, free_disk};
pub use down::{Removed, down};
pub use drift::Drift;
pub use events::Events;
pub use history::{History, ReleaseEnd, ReleaseEntry, ReleaseService, history};
pub use host_network::host_network_refused;
pub use instances::{NotFound, running};
pub use lock::{LOCK_WAIT, LockHolder, Unlocked, unlock};
pub use logs::{LogLine, Logs, LogsOf};
pub use preview::{Preview, preview};
pub use restart::{NotRestarted, Restart, restart};
pub use stats::usage;
pub use status::{DeployedService, ps};

/// Executes the unit: puts the release in place, or leads back to what was before.
pub async fn execute(context: &UnitContext, _step: &PlannedStep, unit: &ReleaseUnit) -> Ending {
    match release(context, unit).await {
        Ok(()) => Ending::Passed,
        Err(reason) => Ending::Failed(reason),
    }
}

async fn release(context: &UnitContext, unit: &ReleaseUnit) -> Result<(), FailureReason> {
    let place = Place::new(&context.plan.name, &unit.environment.name);
    // Nothing is touched yet: it can be broken off anywhere.
    let found = async {
        let target = Target::connect(context, unit.environment.engine.as_deref()).await?;
        let seen = Seen::look(&target, &place).await?;
        let history = &seen.history;
        let source = Source::find(context, &target, unit).await?;
        let mut wish = wish::wish(unit, history, &source.history, &place)?;
        if let Some(trouble) =
            host_network_refused(&wish.unit).filter(|_| !context.allow_host_network)
        {
            return Err(FailureReason::Configuration(trouble));
        }
        let origin = Origin {
            services: std::mem::take(&mut wish.origin),
            from: source.backend,
            before: record::images(history),
        };
        Ok((target, seen, wish, origin))
    };
    let (target, seen, wish, origin) = tokio::select! {
        biased;
        _ = context.stopped(Stop::Grace) => return Err(stopped()),
        found = found => found?,
    };
    let all = tokio::select! {
        biased;
        _ = context.stopped(Stop::Grace) => return Err(stopped()),
        all = prepare::all(context, &target, &wish.unit, wish.restored.clone(), &origin) => all,
    };
    let all = match all {
        Ok(all) => all,
        Err(missing) => {
            return Err(all_problems(&target, &place, &seen.deployed, &wish.unit, missing).await);
        }
    };
    for warning in &all.warnings {
        context.warn(warning.what.clone(), warning.hint.clone());
    }
    if all.services.is_empty() {
        return Ok(());
    }
    if let Some(stays) = &wish.stays {
        let hint = "see that the release that comes back can work with it".to_owned();
        context.warn(stays.clone(), Some(hint));
    }
    let verified = verify::look(context, &wish, &all);
    let release = Release {
        context,
        place: &place,
        target: &target,
        wish: &wish,
        all: &all,
        verified: &verified,
    };
    if release.is_in_place(&seen).await {
        return Ok(());
    }
    if !verified.missing.is_empty() && !context.force_unverified {
        return Err(FailureReason::Unverified {
            environment: place.environment,
            missing: verified.missing,
        });
    }
    let mut approved = None;
    loop {
        context.phase(format!("waiting for the lock of {}", place.environment));
        let stop = context.stopped(Stop::Grace);
        let (labels, wait) = (&context.labels, context.lock_wait);
        let (backend, look) = (&target.backend, || Seen::look(&target, &place));
        let lock = Lock::take_and_look(backend, &place, &all.proxy, labels, wait, stop, look);
        let (lock, seen) = match lock.await {
            Ok(taken) => taken,
            Err(_) if *context.stop.borrow() > Stop::No => return Err(stopped()),
            Err(trouble) => return Err(FailureReason::Surroundings(trouble)),
        };
        let result = match seen {
            Ok(seen) => release.locked(&lock, seen, &approved).await,
            Err(reason) => Err(reason),
        };
        if !lock.held() {
            let message = format!("the lock of {} was lost meanwhile", place.environment);
            let hint = "someone removed it, or the engine was restarted: see `hoist ps`".to_owned();
            context.warn(message, Some(hint));
        }
        if let Err(error) = lock.release().await {
            let message = format!("the lock of {} is left over: {error}", place.environment);
            context.warn(message, Some("the end of the run tries again".to_owned()));
        }
        match result? {
            Came::Done => return Ok(()),
            Came::Question(question) => approved = Some(approve::ask(context, question).await?),
        }
    }
}

/// Where what is released was before.
#[derive(Default)]
struct Source {
    history: Known,
    /// Its engine, where that is another one.
    backend: Option<Arc<dyn Backend>>,
}

impl Source {
    /// Looks at the environment that is promoted; nothing where none is.
    async fn find(
        context: &UnitContext,
        target: &Target,
        unit: &ReleaseUnit,
    ) -> Result<Self, FailureReason> {
        let ReleaseDeed::Promote { from } = &unit.deed else {
            return Ok(Self::default());
        };
        let environment = context.plan.environments.get(from).ok_or_else(|| {
            let what = format!("there is no environment `{from}` to promote from");
            FailureReason::Configuration(Trouble::new(what))
        })?;
        let source = Target::connect(context, environment.engine.as_deref()).await?;
        let place = Place::new(&context.plan.name, from);
        Ok(Self {
            history: record::read(&source, &place).await?,
            backend: (!source.is_that_of(target).await).then_some(source.backend),
        })
    }
}

/// What is missing for a release, with all else that stands in its way.
async fn all_problems(
    target: &Target,
    place: &Place,
    deployed: &Deployed,
    unit: &ReleaseUnit,
    mut missing: Vec<FailureReason>,
) -> FailureReason {
    let backend = target.backend.as_ref();
    if let Ok(findings) = preflight::look(backend, place, deployed, unit).await {
        missing.extend(findings.problems);
    }
    preflight::failure(place, missing).unwrap_or_else(stopped)
}

/// All that a release is made with.
struct Release<'a> {
    context: &'a UnitContext,
    place: &'a Place,
    target: &'a Target,
    wish: &'a Wish,
    all: &'a All<'a>,
    verified: &'a Verified,
}

/// What is found of an environment, with the lock or before.
struct Seen {
    journal: Journal,
    history: Known,
    deployed: Deployed,
}

impl Seen {
    /// Looks at the environment and its history.
    async fn look(target: &Target, place: &Place) -> Result<Self, FailureReason> {
        let (read, objects) = tokio::join!(
            Journal::read(&target.backend, place),
            read::objects(target.backend.as_ref(), place)
        );
        let (journal, history) = read.map_err(|error| {
            surroundings("the history of the environment cannot be read", &error)
        })?;
        let objects =
            objects.map_err(|error| surroundings("what is deployed cannot be read", &error))?;
        let deployed = objects.beside(&history);
        Ok(Self {
            journal,
            history,
            deployed,
        })
    }
}

/// What a look at an environment came to.
enum Came {
    /// The release is in place.
    Done,
    /// Someone must approve of this first. Nothing of it was done.
    Question(Question),
}

impl Release<'_> {
    /// Whether the release is in place and well as it is, which is told then. There is nothing from
    /// which another deploy would have to be kept, so no lock is taken: what another one does comes
    /// after this. Whatever else is found is left to who has the lock, and looks again.
    async fn is_in_place(&self, seen: &Seen) -> bool {
        let backend = self.target.backend.as_ref();
        let Seen {
            history, deployed, ..
        } = seen;
        let is_whole = history.open().is_none() && mend::mend(deployed).is_nothing();
        let networks = preflight::own_networks(self.place, deployed, self.all.unit);
        if !is_whole || !networks.is_empty() {
            return false;
        }
        let sequence = next(history, deployed);
        let Ok(goal) = prepare::goal(self.target, deployed, self.all, sequence).await else {
            return false;
        };
        let program = plan::plan(deployed, &goal);
        if !program.is_in_place() {
            return false;
        }
        let current = goal
            .services
            .iter()
            .flat_map(|want| deployed.current(&want.name));
        let well = current.map(|old| health::is_well(backend, &old.id));
        if !join_all(well).await.into_iter().all(|well| well) {
            return false;
        }
        for line in words::changes(deployed, &program, &goal) {
            self.context.output.line(&line).await;
        }
        let performer = self.performer(deployed, sequence);
        words::announce(&performer, &program).await;
        true
    }

    async fn locked(
        &self,
        lock: &Lock,
        seen: Seen,
        approved: &Option<String>,
    ) -> Result<Came, FailureReason> {
        let (context, place, target) = (self.context, self.place, self.target);
        let backend = target.backend.as_ref();
        let Seen {
            mut journal,
            history,
            mut deployed,
        } = seen;
        // Counted with what a cut-off release left, whose names a reaper may still be removing.
        let sequence = next(&history, &deployed);
        if let Some(mended) = self
            .mend_first(&mut journal, &history, &deployed, sequence)
            .await?
        {
            let again = read::read(backend, place, &history).await;
            deployed =
                again.map_err(|error| surroundings("what is deployed cannot be read", &error))?;
            deployed.serving = mended;
            deployed.ended = sequence - 1;
        }

        let findings = preflight::look(backend, place, &deployed, self.all.unit).await;
        let findings =
            findings.map_err(|error| surroundings("the engine cannot be looked at", &error))?;
        if let Some(reason) = preflight::failure(place, findings.problems) {
            return Err(reason);
        }
        let mut goal = prepare::goal(target, &deployed, self.all, sequence).await?;
        goal.unverified = self.verified.words();
        let program = plan::plan(&deployed, &goal);
        let lines = words::changes(&deployed, &program, &goal);
        let environment = &self.all.unit.environment;
        let question = approve::question(place, environment, &program, &goal, &lines);
        let question = question.filter(|_| environment.approval);
        let open = question.filter(|question| approved.as_ref() != Some(&question.digest));
        // Once, whether someone has to read it before or not.
        if approved.is_none() || open.is_some() {
            for (message, hint) in findings.warnings {
                context.warn(message, hint);
            }
            for line in &lines {
                context.output.line(line).await;
            }
        }
        if let Some(question) = open {
            return Ok(Came::Question(question));
        }

        let mut performer = self.performer(&deployed, sequence);
        performer.lock = Some(lock);
        performer.adopt_networks().map_err(|why| {
            FailureReason::Configuration(
                Trouble::new("the environment's networks cannot be used").cause(why),
            )
        })?;
        // What is released stays the same, so there is nothing to write down.
        if program.is_in_place() || program.only_renews() {
            performer.run(&program).await.map_err(reason)?;
            words::announce(&performer, &program).await;
            return Ok(Came::Done);
        }
        let intent = self.intent(&performer, lines);
        let begun = journal.begin(&self.all.proxy, &intent).await;
        begun.map_err(|error| surroundings("the release cannot be written down", &error))?;
        let result = performer.run(&program).await;
        let outcome = record::outcome(&performer, &program, &result);
        if let Err(error) = journal.end(&outcome).await {
            let hint = "the next command finds out how the release ended".to_owned();
            context.warn(
                format!("the end of the release is not written down: {error}"),
                Some(hint),
            );
        }
        result.map_err(reason)?;
        words::announce(&performer, &program).await;
        Ok(Came::Done)
    }

    fn performer<'p>(&'p self, deployed: &'p Deployed, sequence: u64) -> Performer<'p> {
        Performer {
            context: self.context,
            target: self.target,
            place: self.place,
            deployed,
            services: &self.all.services,
            hooks: &self.all.hooks,
            lock: None,
            proxy: &self.all.proxy,
            failure_action: failure_action(self.all.unit),
            network_plans: &self.all.unit.environment.networks,
            release: Uuid::now_v7(),
            sequence,
            healthy_within: self.all.unit.healthy_within,
            progress: Progress::default(),
        }
    }

    fn intent(&self, performer: &Performer<'_>, lines: Vec<String>) -> Intent {
        let services = self.all.unit.services.iter();
        let services = services.filter_map(|service| self.all.services.get(&service.name));
        Intent {
            release: performer.release,
            sequence: performer.sequence,
            action: self.wish.deed.clone(),
            at: Timestamp::now(),
            by: record::by(),
            run: Some(self.context.run),
            services: services.map(record::record).collect(),
            hooks: self
                .all
                .unit
                .pre_deploy
                .iter()
                .map(|hook| hook.container.name.clone())
                .collect(),
            actions: lines,
            gates: self.verified.passed.clone(),
            forced: self.verified.is_forced(),
        }
    }

    /// Puts right what a deploy that was cut off left behind. Gives what serves by then, where there
    /// was anything.
    async fn mend_first(
        &self,
        journal: &mut Journal,
        history: &Known,
        deployed: &Deployed,
        sequence: u64,
    ) -> Result<Option<BTreeMap<String, u64>>, FailureReason> {
        let context = self.context;
        let backend = self.target.backend.as_ref();
        let hooks = perform::hooks::left_over(backend, self.place).await;
        let hooks = hooks.map_err(|error| surroundings("hooks cannot be listed", &error))?;
        for name in &hooks {
            context.warn(
                format!("an earlier deploy was cut off in {name}: it came to its end"),
                None,
            );
        }
        let mending = mend::mend(deployed);
        for note in &mending.notes {
            context.warn(format!("an earlier deploy was cut off: {note}"), None);
        }
        if mending.is_nothing() && history.open().is_none() {
            return Ok(None);
        }
        let mut performer = self.performer(deployed, sequence);
        for action in &mending.actions {
            match performer.perform(action).await {
                Ok(()) => {}
                // One that will not start is replaced or started again by the release itself.
                Err(failure)
                    if matches!(
                        action,
                        plan::Action::Start(_) | plan::Action::AwaitHealthy(_)
                    ) =>
                {
                    context.warn(failure.to_string(), None);
                }
                Err(failure) => {
                    let what = "what an earlier deploy left behind cannot be put right";
                    let trouble = Trouble::new(what).cause(failure.to_string());
                    return Err(FailureReason::Surroundings(trouble));
                }
            }
        }
        if let Some(open) = history.open() {
            let outcome = record::cut_off(open, mending.serving.clone(), hooks);
            let ended = journal.end(&outcome).await;
            ended.map_err(|error| surroundings("the history cannot be written", &error))?;
        }
        Ok(Some(mending.serving))
    }
}

/// Where one service is to stay as it is, all are.
fn failure_action(unit: &ReleaseUnit) -> FailureAction {
    let mut services = unit.services.iter();
    let pauses = services.any(|one| one.update.failure_action == FailureAction::Pause);
    if pauses {
        FailureAction::Pause
    } else {
        FailureAction::Rollback
    }
}

/// The number of the next release.
fn next(history: &Known, deployed: &Deployed) -> u64 {
    history.sequence().max(deployed.sequence()) + 1
}

fn surroundings(what: &str, error: &BackendError) -> FailureReason {
    FailureReason::Surroundings(error.trouble(what))
}

fn stopped() -> FailureReason {
    let fallback = Fallback::Untouched;
    FailureReason::Deploy {
        message: Failure::Stopped.to_string(),
        fallback,
    }
}

/// What a failed release comes to. Where nothing that served was touched, an engine that would not
/// is the surroundings' fault and no failed deploy.
fn reason(Failed { failure, fallback }: Failed) -> FailureReason {
    use BackendErrorKind as K;
    match (&fallback, failure) {
        (Fallback::NothingBefore | Fallback::Untouched, Failure::Engine { what, error })
            if !matches!(error.kind, K::CannotStart { .. }) =>
        {
            FailureReason::Surroundings(error.trouble(format!("{what} failed")))
        }
        (_, failure) => FailureReason::Deploy {
            message: failure.to_string(),
            fallback,
        },
    }
}
