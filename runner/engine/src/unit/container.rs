//! A container that runs to its end: create, attach, fill, start, drain, wait, inspect, fetch,
//! remove; and what lives beside it meanwhile. It refuses to let the engine remove a container by
//! itself, which races with waiting, and to believe an exit that someone else brought about.

mod ahead;
mod harvest;
mod kept;
mod life;
mod litter;
mod place;
mod reuse;
mod services;
mod shell;
mod user;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hoist_model::event::EventKind;
use hoist_model::plan::PlannedStep;
use hoist_model::reason::{CancelReason, Ending, FailureReason, Trouble};
use hoist_model::step::ContainerOutcome;
use hoist_model::unit::ContainerUnit;

use crate::backend::ContainerSpec;
use crate::context::{Stop, UnitContext};
use crate::images;
use crate::recorder::Tap;
use crate::unit::halt::{self, Halt, unless_stopped};
use crate::walk::Owner;
pub(crate) use ahead::Ahead;
pub(crate) use kept::lay_down;
use life::Exit;
pub(crate) use life::live;
pub(crate) use litter::Litter;
use place::Names;
pub(crate) use place::{Place, bare, folder, kept as kept_artifact, leads_out};
use reuse::Pending;
use services::{Ground, Services, network};
use user::User;

/// The exit code of a process that SIGKILL ended, as shells and engines write it.
const KILLED: i64 = 137;
/// How long an engine may take to hear from the kernel why a process was killed.
const OOM_NEWS: Duration = Duration::from_millis(200);

/// Executes the unit.
pub async fn execute(context: &UnitContext, step: &PlannedStep, unit: &ContainerUnit) -> Ending {
    if let Some(ending) = shell::instead(context, step, unit).await {
        return ending;
    }
    let tap = Tap::default();
    let mut context = context.clone();
    context.events = context.events.tapped(&tap);
    let context = &context;
    let mut pending = match reuse::look(context, step, unit).await {
        Ok(None) => return Ending::Cached,
        Ok(Some(pending)) => pending,
        Err(halt) => return halt::ending(Err(halt)),
    };
    let litter = Litter::default();
    let services = Services::of(context, unit, &litter);
    let scene = Scene::default();
    let result = attempt(
        context,
        step,
        unit,
        &services,
        &mut pending,
        &litter,
        &scene,
    )
    .await;
    let ending = match result {
        Ok(ending) => Ok(services.judge(ending).await),
        halt => halt,
    };
    shell::after(context, step, unit, &ending, &scene, &litter).await;
    services.stop().await;
    let well = ending.as_ref().is_ok_and(Ending::is_good);
    if well && unit.services.is_empty() {
        // What comes next need not wait for it; of what went wrong it is to be said.
        let backend = Arc::clone(&context.backend);
        let chore = async move { litter.remove(backend.as_ref()).await };
        context.made.chores.add(chore).await;
    } else {
        litter.clear(context).await;
        services.close().await;
    }
    let ending = halt::ending(ending);
    pending.keep(context, &ending, &tap).await;
    ending
}

/// The step's container and its settings, for whoever wants to look into it afterwards.
#[derive(Default)]
struct Scene(Mutex<Option<(String, Box<ContainerSpec>)>>);

impl Scene {
    fn is(&self, place: &Place) {
        let spec = place.spec.clone();
        let seen = spec.map(|spec| (place.container.clone(), spec));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    fn take(&self) -> Option<(String, ContainerSpec)> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        seen.map(|(container, spec)| (container, *spec))
    }
}

async fn attempt(
    context: &UnitContext,
    step: &PlannedStep,
    unit: &ContainerUnit,
    services: &Services<'_>,
    pending: &mut Pending,
    litter: &Litter,
    scene: &Scene,
) -> Result<Ending, Halt> {
    let (ticket, place) = tokio::join!(
        context.made.watch.listen(&context.backend, context.run),
        set_up(context, unit, services, litter),
    );
    let place = place?;
    let container = place.container.clone();
    scene.is(&place);
    context.made.is_at_work(&step.id);
    let lived = async {
        tokio::select! {
            exit = life::live(context, place, &ticket) => exit,
            never = services.watch() => match never {},
        }
    };
    let (exit, ()) = tokio::join!(lived, pending.settle(context));
    let exit = exit.map_err(|halt| match halt {
        // What a step kind reads is the report of a tool that hoist brings.
        Halt::Failed(FailureReason::CannotStart { message, .. })
            if unit.harvest.report.is_some() =>
        {
            let trouble = Trouble::new(format!(
                "{} could not be started",
                unit.command.argv().join(" ")
            ));
            Halt::trouble(trouble.cause(message))
        }
        halt => halt,
    })?;
    tokio::select! {
        biased;
        _ = context.stopped(Stop::Kill) => Err(Halt::Stopped),
        ending = outcome(context, step, unit, &container, exit) => ending,
    }
}

/// Makes the step's container and all that it needs beside it; its command does not run yet.
async fn set_up(
    context: &UnitContext,
    unit: &ContainerUnit,
    services: &Services<'_>,
    litter: &Litter,
) -> Result<Place, Halt> {
    let names = Names::new(context);
    let (image, network) = tokio::join!(
        unless_stopped(context, images::resolve(context, &unit.image)),
        network::make(context, unit, &names, litter),
    );
    let (image, network) = (image?, network?);
    let attachment = network::attachment(unit.network, network.as_ref());
    let ground = network.as_ref().map(|network| Ground {
        names: &names,
        network,
    });
    let (place, ()) = tokio::try_join!(
        place::make(context, unit, &image, &names, attachment, litter),
        services.up(ground),
    )?;
    Ok(place)
}

/// Whose files in a step's container have to be; see [`user::owner`].
pub(crate) async fn owner_of(
    context: &UnitContext,
    unit: &ContainerUnit,
    image: &str,
    container: &str,
) -> Result<Owner, Halt> {
    let backend = context.backend.as_ref();
    let user = User::of(backend, unit, image).await?;
    user::owner(backend, user.as_ref(), container).await
}

/// The reason of an exit with 126 or 127. A command that cannot be executed is noticed by the
/// container's init, which says so in its output; a shell that cannot is a shell that ran.
fn unless_not_started(code: i64, tail: &str) -> FailureReason {
    let last = tail.lines().rev().find(|line| !line.trim().is_empty());
    let said = last.and_then(|line| line.trim().strip_prefix("[FATAL tini ("));
    match said.and_then(|rest| rest.split_once(")] ")) {
        Some((_, message)) => {
            let message = message.to_owned();
            FailureReason::CannotStart { code, message }
        }
        None => FailureReason::Exit { code },
    }
}

/// Whether the kernel killed one of its processes for memory. An engine may learn of that after it
/// learnt of the exit, so one that looks killed is looked at once more.
async fn ran_out_of_memory(context: &UnitContext, container: &str, exit: &Exit) -> bool {
    if exit.info.oom_killed || exit.info.exit_code != KILLED {
        return exit.info.oom_killed;
    }
    tokio::time::sleep(OOM_NEWS).await;
    let again = context.backend.inspect_container(container).await;
    again.is_ok_and(|info| info.is_some_and(|info| info.oom_killed))
}

/// Fetches what the container left and reads how it ended.
async fn outcome(
    context: &UnitContext,
    step: &PlannedStep,
    unit: &ContainerUnit,
    container: &str,
    exit: Exit,
) -> Result<Ending, Halt> {
    let gathered = harvest::gather(context, unit, container).await;
    let report = harvest::report(context, unit, container)
        .await
        .map_err(Halt::trouble)?;
    let reading = step.kind.read(&ContainerOutcome {
        code: exit.info.exit_code,
        oom_killed: ran_out_of_memory(context, container, &exit).await,
        memory_limit: unit.limits.memory,
        report,
        tail: context.output.tail(),
    });
    for warning in reading.warnings {
        context.warn(warning, None);
    }
    if !reading.findings.is_empty() {
        let findings = reading.findings;
        context.events.send(EventKind::FindingsFound {
            step: step.id.clone(),
            findings,
        });
    }
    match reading.ending {
        Ending::Failed(FailureReason::Exit {
            code: code @ (126 | 127),
        }) => Ok(Ending::Failed(unless_not_started(
            code,
            &context.output.tail(),
        ))),
        // A command may well end with 0 when it is told to stop; it has not done its work for that.
        ending if ending.is_good() && exit.stopped => {
            Ok(Ending::Cancelled(CancelReason::Requested))
        }
        // Nor did a step whose results are lost.
        ending if ending.is_good() => gathered.map(|()| ending),
        ending => {
            if let Err(Halt::Failed(
                FailureReason::Configuration(trouble) | FailureReason::Surroundings(trouble),
            )) = gathered
            {
                let Trouble { what, cause, hint } = trouble;
                let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
                context.warn(format!("{what}{cause}"), hint);
            }
            Ok(ending)
        }
    }
}
