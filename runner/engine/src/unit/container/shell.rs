//! A shell in a step's container: in what a failed command left, or in what a command would have
//! found. A container's command cannot be changed, so its file system becomes an image for the time
//! of the shell, and a container of that with the same settings runs it. It changes no ending.

use hoist_model::plan::PlannedStep;
use hoist_model::reason::{CancelReason, Ending, FailureReason, Trouble};
use hoist_model::unit::ContainerUnit;
use tokio::sync::watch;

use super::services::Services;
use super::{Litter, Scene, set_up};
use crate::backend::{BackendError, ContainerSpec, Input};
use crate::context::{Stop, UnitContext};
use crate::reaper::Undo;
use crate::shell::{Occasion, Session, Shells};
use crate::unit::halt::{self, Halt};

/// The repository of the images that shells stand on.
const IMAGES: &str = "hoist-shell";

/// Opens a shell where a step failed for good and one is wanted then.
pub(super) async fn after(
    context: &UnitContext,
    step: &PlannedStep,
    unit: &ContainerUnit,
    ending: &Result<Ending, Halt>,
    scene: &Scene,
    litter: &Litter,
) {
    let Some(shells) = wanted(context, Occasion::Failure) else {
        return;
    };
    let failure = match ending {
        Ok(Ending::Failed(failure)) | Err(Halt::Failed(failure)) => failure,
        Ok(_) | Err(Halt::Stopped) => return,
    };
    // A tool that hoist brings is no place to look for the project's faults.
    let tool = unit.harvest.report.is_some();
    let again = step.retry.after(context.attempt, failure).is_some();
    let allowed = step.allow_failure.covers(&Ending::Failed(failure.clone()));
    if tool || again || allowed || *context.stop.borrow() > Stop::No {
        return;
    }
    let Some((container, spec)) = scene.take() else {
        return;
    };
    let invitation = invitation(context, step, failure);
    if let Err(trouble) = visit(context, shells, &container, spec, &invitation, litter).await {
        let cause = trouble
            .cause
            .map_or_else(String::new, |cause| format!(": {cause}"));
        context.warn(format!("{}{cause}", trouble.what), trouble.hint);
    }
}

/// Opens a shell in place of the step's command, where that is wanted.
pub(super) async fn instead(
    context: &UnitContext,
    step: &PlannedStep,
    unit: &ContainerUnit,
) -> Option<Ending> {
    let shells = wanted(context, Occasion::Instead)?;
    let litter = Litter::default();
    let services = Services::of(context, unit, &litter);
    let opened = prepared(context, step, unit, shells, &services, &litter).await;
    services.stop().await;
    litter.clear(context).await;
    services.close().await;
    Some(halt::ending(opened))
}

async fn prepared(
    context: &UnitContext,
    step: &PlannedStep,
    unit: &ContainerUnit,
    shells: &Shells,
    services: &Services<'_>,
    litter: &Litter,
) -> Result<Ending, Halt> {
    let place = set_up(context, unit, services, litter).await?;
    let invitation = format!(
        "a shell as `{}` would find it; its command: {}\n",
        step.id,
        unit.command.argv().join(" ")
    );
    if let Some(spec) = place.spec {
        let opened = visit(
            context,
            shells,
            &place.container,
            *spec,
            &invitation,
            litter,
        );
        opened.await.map_err(Halt::trouble)?;
    }
    if *context.stop.borrow() > Stop::No {
        return Ok(Ending::Cancelled(CancelReason::Requested));
    }
    Ok(Ending::Passed)
}

fn wanted(context: &UnitContext, occasion: Occasion) -> Option<&Shells> {
    let shells = context.shells.as_deref();
    shells.filter(|shells| shells.occasion == occasion)
}

/// What happened, the last that the step said, and how to go on.
fn invitation(context: &UnitContext, step: &PlannedStep, failure: &FailureReason) -> String {
    let what = match failure {
        FailureReason::Exit { code } => format!("failed with exit code {code}"),
        FailureReason::OutOfMemory { .. } => "ran out of memory".to_owned(),
        FailureReason::CannotStart { message, .. } => format!("could not be started: {message}"),
        FailureReason::Service {
            service, message, ..
        } => {
            format!("failed: service {service} {message}")
        }
        FailureReason::TimedOut { .. }
        | FailureReason::Build { .. }
        | FailureReason::Gate { .. }
        | FailureReason::Deploy { .. }
        | FailureReason::Configuration(_)
        | FailureReason::NotApproved { .. }
        | FailureReason::Unverified { .. }
        | FailureReason::Surroundings(_) => "failed".to_owned(),
    };
    let tail = context.output.tail();
    let lines: Vec<&str> = tail.lines().rev().take(10).collect();
    let mut said = String::new();
    for line in lines.into_iter().rev() {
        said.push_str(line);
        said.push('\n');
    }
    format!("{said}{} {what}: a shell in its container\n", step.id)
}

/// Lends the terminal to a shell on what is in a container that does not run.
async fn visit(
    context: &UnitContext,
    shells: &Shells,
    container: &str,
    mut spec: ContainerSpec,
    invitation: &str,
    litter: &Litter,
) -> Result<(), Trouble> {
    let _turn = tokio::select! {
        biased;
        _ = context.stopped(Stop::Grace) => return Ok(()),
        turn = shells.turn() => turn,
    };
    context.phase("in a shell");
    let backend = context.backend.as_ref();
    spec.name.push_str("-shell");
    spec.image = format!("{IMAGES}:{}", spec.name);
    spec.command = Some(shells.command.clone());
    spec.input = Input::Terminal;
    spec.environment
        .entry("TERM".to_owned())
        .or_insert_with(|| "xterm-256color".to_owned());
    // The reaper undoes the last first: an image goes after its container.
    let untag = Undo::Untag {
        engine: None,
        tag: spec.image.clone(),
    };
    let remove = Undo::RemoveContainer {
        engine: None,
        container: spec.name.clone(),
    };
    let untag = context.undo.push(untag).await;
    let remove = context.undo.push(remove).await;
    litter.container(&spec.name);
    let opened = open(context, shells, container, &spec, invitation).await;
    let removed = backend.remove_container(&spec.name).await;
    let removed = removed.and(backend.untag_image(&spec.image).await);
    match removed {
        Ok(()) => {
            litter.forget_container(&spec.name);
            context.undo.take_back(remove).await;
            context.undo.take_back(untag).await;
        }
        // The end of the run tries again.
        Err(error) => context.warn(
            format!("the shell's image could not be removed yet: {error}"),
            None,
        ),
    }
    opened
}

async fn open(
    context: &UnitContext,
    shells: &Shells,
    container: &str,
    spec: &ContainerSpec,
    invitation: &str,
) -> Result<(), Trouble> {
    let backend = context.backend.as_ref();
    let failed = |error: BackendError| error.trouble("a shell could not be opened");
    backend
        .commit_container(container, &spec.image)
        .await
        .map_err(failed)?;
    let id = backend.create_container(spec).await.map_err(failed)?;
    let ends = backend.attach_terminal(&id).await.map_err(failed)?;
    backend.start_container(&id).await.map_err(|error| {
        let hint = "name a shell that the image has with `--shell`";
        let what = format!("{} could not be started", shells.command.join(" "));
        Trouble::new(what).cause(error.message).hint(hint)
    })?;
    let (size, mut sized) = watch::channel((0, 0));
    let session = Session {
        output: ends.output,
        input: ends.input,
        size,
    };
    let attended = {
        let mut attending = shells.host.attend(invitation, session);
        let (mut told, mut fixed) = (false, false);
        loop {
            tokio::select! {
                attended = &mut attending => break attended,
                changed = sized.changed(), if !fixed => match changed {
                    Ok(()) => {
                        let (columns, rows) = *sized.borrow_and_update();
                        // A size that is not taken over is no reason to end a shell.
                        let _ = backend.resize_terminal(&id, columns, rows).await;
                    }
                    Err(_) => fixed = true,
                },
                _ = context.stopped(Stop::Grace), if !told => {
                    told = true;
                    let _ = backend.kill_container(&id, "KILL").await;
                }
            }
        }
    };
    // Its output ends with it, but for a host that gave up.
    let _ = backend.kill_container(&id, "KILL").await;
    attended
}
