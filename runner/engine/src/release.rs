//! Puts a release in an environment: what did not change is left running, what changed is replaced,
//! and what is not well is taken back, so that the release before serves again.
//!
//! The truth is on the engine: all that is known of an environment is read from the labels of its
//! objects, so another machine or a lost run folder changes nothing. Where someone must approve, the
//! lock is not held while they think, and what they approved of is all that is done; a release that
//! is in place already needs none. The strategy is `recreate`; a service publishes its own ports. Refused here: to touch what lacks the environment's labels, to
//! build or to send images, and to remove data.

mod approve;
mod bare;
mod down;
mod health;
mod lock;
mod make;
mod mend;
mod names;
mod perform;
mod plan;
mod ports;
mod prepare;
mod read;
pub(crate) mod secrets;
mod settings;
mod state;
mod status;
mod subnet;
mod target;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use futures_util::future::join_all;
use hoist_model::event::{EventKind, Question, ReleasedService};
use hoist_model::plan::PlannedStep;
use hoist_model::reason::{Ending, FailureReason, Fallback, Trouble};
use hoist_model::unit::ReleaseUnit;
use uuid::Uuid;

use crate::backend::{BackendError, BackendErrorKind};
use crate::context::{Stop, UnitContext};
pub(crate) use lock::Lock;
pub(crate) use names::Place;
use perform::{Failed, Failure, Performer, Progress};
use plan::{Change, Program};
use prepare::Prepared;
use state::Deployed;
use target::Target;

pub use down::{Removed, down};
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
    let prepared = async {
        let target = Target::connect(context, unit.environment.engine.as_deref()).await?;
        let services = prepare::services(context, &target, unit).await?;
        Ok((target, services))
    };
    let (target, services) = tokio::select! {
        biased;
        _ = context.stopped(Stop::Grace) => return Err(stopped()),
        prepared = prepared => prepared?,
    };
    let Some(first) = services.values().next() else {
        return Ok(());
    };
    if is_in_place(context, &place, &target, unit, &services).await {
        return Ok(());
    }
    let image = &first.image.image.id;
    let mut approved = None;
    loop {
        context.phase(format!("waiting for the lock of {}", place.environment));
        let stop = context.stopped(Stop::Grace);
        let lock = match Lock::take(&target.backend, &place, image, &context.labels, stop).await {
            Ok(lock) => lock,
            Err(_) if *context.stop.borrow() > Stop::No => return Err(stopped()),
            Err(trouble) => return Err(FailureReason::Surroundings(trouble)),
        };
        let result = release_locked(context, &place, &target, unit, &services, &approved).await;
        if let Err(error) = lock.release().await {
            let message = format!("the lock of {} is left over: {error}", place.environment);
            context.warn(message, Some("the end of the run tries again".to_owned()));
        }
        match result? {
            Came::Done => return Ok(()),
            Came::Question(question) => approved = Some(ask(context, question).await?),
        }
    }
}

/// Whether the release is in place and well as it is, which is told then. There is nothing from which
/// another deploy would have to be kept, so no lock is taken: what another one does comes after this.
/// Whatever else is found is left to who has the lock, and looks again.
async fn is_in_place(
    context: &UnitContext,
    place: &Place,
    target: &Target,
    unit: &ReleaseUnit,
    services: &BTreeMap<String, Prepared<'_>>,
) -> bool {
    let Ok(deployed) = read::read(target.backend.as_ref(), place).await else {
        return false;
    };
    let is_whole = mend::mend(&deployed) == mend::Mending::default();
    if !is_whole || prepare::check_networks(place, &deployed, unit).is_err() {
        return false;
    }
    let Ok(wanted) = prepare::wanted(target, &deployed, unit, services).await else {
        return false;
    };
    let program = plan::recreate(&deployed, &wanted);
    let mut actions = program.forward.iter().chain(&program.afterwards);
    if !actions.all(|action| matches!(action, plan::Action::AwaitHealthy(_))) {
        return false;
    }
    let well = deployed.generations.iter();
    let well = well.map(|deployed| health::is_well(target.backend.as_ref(), &deployed.id));
    if !join_all(well).await.into_iter().all(|well| well) {
        return false;
    }
    let sequence = deployed.sequence() + 1;
    for line in changes(&deployed, &program, unit, sequence) {
        context.output.line(&line).await;
    }
    let performer = performer(context, place, target, unit, services, &deployed, sequence);
    announce(&performer, &program).await;
    true
}

/// What a look at an environment came to.
enum Came {
    /// The release is in place.
    Done,
    /// Someone must approve of this first. Nothing of it was done.
    Question(Question),
}

/// Gives the digest that was approved of.
async fn ask(context: &UnitContext, question: Question) -> Result<String, FailureReason> {
    let approver = &context.approver;
    let step = context.id();
    let beforehand = approver.beforehand(&question);
    // Whom nothing is asked keeps what they type.
    let asked = !beforehand && approver.attend();
    let given = if asked {
        context.phase("waiting for approval");
        context.events.send(EventKind::ApprovalAwaited {
            step: step.clone(),
            question: question.clone(),
        });
        tokio::select! {
            biased;
            _ = context.stopped(Stop::Grace) => return Err(stopped()),
            given = approver.ask(&question) => given,
        }
    } else {
        beforehand
    };
    let Question {
        environment,
        digest,
        ..
    } = question;
    if !given {
        return Err(FailureReason::NotApproved {
            environment,
            digest,
            denied: asked,
        });
    }
    context.events.send(EventKind::Approved {
        step,
        environment,
        digest: digest.clone(),
    });
    Ok(digest)
}

async fn release_locked(
    context: &UnitContext,
    place: &Place,
    target: &Target,
    unit: &ReleaseUnit,
    services: &BTreeMap<String, Prepared<'_>>,
    approved: &Option<String>,
) -> Result<Came, FailureReason> {
    let backend = target.backend.as_ref();
    let read = async || {
        let deployed = read::read(backend, place).await;
        deployed.map_err(|error| surroundings("what is deployed cannot be read", &error))
    };
    let mut deployed = read().await?;
    // Counted with what a cut-off release left, whose names a reaper may still be removing.
    let sequence = deployed.sequence() + 1;
    let mut mending = performer(context, place, target, unit, services, &deployed, sequence);
    if mend_first(&mut mending).await? {
        deployed = read().await?;
    }

    prepare::check_networks(place, &deployed, unit).map_err(FailureReason::Configuration)?;
    let wanted = prepare::wanted(target, &deployed, unit, services).await?;
    let program = plan::recreate(&deployed, &wanted);
    let running = backend.list_containers(&[]).await;
    let running = running
        .map_err(|error| surroundings("the engine's containers cannot be listed", &error))?;
    prepare::check_ports(unit, &program, &running).map_err(FailureReason::Surroundings)?;
    let lines = changes(&deployed, &program, unit, sequence);
    let question = approve::question(place, &unit.environment, &program, &wanted, &lines);
    let question = question.filter(|_| unit.environment.approval);
    let open = question.filter(|question| approved.as_ref() != Some(&question.digest));
    // Once, whether someone has to read it before or not.
    if approved.is_none() || open.is_some() {
        for line in &lines {
            context.output.line(line).await;
        }
    }
    if let Some(question) = open {
        return Ok(Came::Question(question));
    }

    let mut performer = performer(context, place, target, unit, services, &deployed, sequence);
    performer.adopt_networks().map_err(|why| {
        FailureReason::Configuration(
            Trouble::new("the environment's networks cannot be used").cause(why),
        )
    })?;
    performer.run(&program).await.map_err(reason)?;
    announce(&performer, &program).await;
    Ok(Came::Done)
}

fn performer<'a>(
    context: &'a UnitContext,
    place: &'a Place,
    target: &'a Target,
    unit: &'a ReleaseUnit,
    services: &'a BTreeMap<String, Prepared<'a>>,
    deployed: &'a Deployed,
    sequence: u64,
) -> Performer<'a> {
    Performer {
        context,
        target,
        place,
        deployed,
        services,
        network_plans: &unit.environment.networks,
        release: Uuid::now_v7(),
        sequence,
        healthy_within: unit.healthy_within,
        progress: Progress::default(),
    }
}

/// Puts right what a deploy that was cut off left behind; whether there was anything.
async fn mend_first(performer: &mut Performer<'_>) -> Result<bool, FailureReason> {
    let mending = mend::mend(performer.deployed);
    for note in &mending.notes {
        performer
            .context
            .warn(format!("an earlier deploy was cut off: {note}"), None);
    }
    for action in &mending.actions {
        match performer.perform(action).await {
            Ok(()) => {}
            // One that will not start is replaced or started again by the release itself.
            Err(failure) if matches!(action, plan::Action::Start(_)) => {
                performer.context.warn(failure.to_string(), None);
            }
            Err(failure) => {
                let what = "what an earlier deploy left behind cannot be put right";
                let trouble = Trouble::new(what).cause(failure.to_string());
                return Err(FailureReason::Surroundings(trouble));
            }
        }
    }
    Ok(!mending.actions.is_empty())
}

/// What is about to happen, the downtime included.
fn changes(
    deployed: &Deployed,
    program: &Program,
    unit: &ReleaseUnit,
    sequence: u64,
) -> Vec<String> {
    let services = unit.services.iter().map(|service| &service.name);
    let known = services.filter_map(|service| {
        Some(match program.changes.get(service)? {
            Change::New => format!("{service} is new in release {sequence}"),
            Change::Unchanged(_) => format!("{service} did not change and is left running"),
            Change::Stopped(_) => format!("{service} did not change and is started again"),
            Change::Recreated { old, why } => {
                let before = deployed.generation(old).map_or(0, |old| old.sequence);
                format!(
                    "{service} is replaced, {why}: release {sequence} after {before}; it is down meanwhile"
                )
            }
        })
    });
    let gone = program.afterwards.iter().filter_map(|action| match action {
        plan::Action::Remove(plan::Which::Old(id)) => {
            let old = deployed.generation(id)?;
            let wanted = program.changes.contains_key(&old.service);
            (!wanted).then(|| format!("{} is no longer wanted and removed", old.service))
        }
        _ => None,
    });
    known.chain(gone).collect()
}

/// Tells what is in place now.
async fn announce(performer: &Performer<'_>, program: &Program) {
    for (service, change) in &program.changes {
        let (id, unchanged, release) = match change {
            Change::New | Change::Recreated { .. } => {
                let Some(id) = performer.progress.made.get(service) else {
                    continue;
                };
                (id, false, performer.sequence)
            }
            Change::Unchanged(id) | Change::Stopped(id) => {
                let before = performer
                    .deployed
                    .generation(id)
                    .map_or(0, |old| old.sequence);
                (id, matches!(change, Change::Unchanged(_)), before)
            }
        };
        // The release is in place whether the engine still answers or not.
        let found = performer.target.backend.inspect_container(id).await;
        let found = found.ok().flatten();
        if !unchanged && found.as_ref().is_some_and(|info| info.health.is_none()) {
            performer.context.warn(
                format!("{service} has no health check: it counts as healthy because it runs"),
                Some("give it a `healthcheck` in pipeline.toml".to_owned()),
            );
        }
        let ports = found.iter().flat_map(|info| &info.ports);
        let ports = ports.map(|port| status::published(port)).collect();
        performer.context.events.send(EventKind::ServiceReleased {
            step: performer.context.id(),
            service: ReleasedService {
                environment: performer.place.environment.clone(),
                service: service.clone(),
                release,
                unchanged,
                ports,
            },
        });
    }
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
