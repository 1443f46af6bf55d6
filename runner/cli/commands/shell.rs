//! `hoist shell`: a shell as a step would find it, with its image, environment, source, secrets and
//! services, in place of its command. What a command left in an earlier run is gone with that run.

use std::sync::Arc;

use hoist_engine::run::RunSummary;
use hoist_engine::shell::{Occasion, Shells};
use hoist_engine::store::Store;
use hoist_model::attempts::Retry;
use hoist_model::ids::StepId;
use hoist_model::image::ImageSource;
use hoist_model::plan::Plan;
use hoist_model::reason::{Ending, Trouble, Verdict};
use hoist_model::state::RunState;
use hoist_model::text::Text;
use hoist_model::unit::{ContainerUnit, Unit};
use hoist_report::summary;

use super::{Outcome, connect, run, say};
use crate::args;
use crate::exit::CliError;
use crate::options::{Options, size};
use crate::project;
use crate::visitor::{Gate, Visitor, needs_terminal};

pub(super) async fn execute(args: &args::Shell, options: &Options) -> Outcome {
    needs_terminal("`hoist shell`")?;
    let (from, id) = match args.target.as_slice() {
        [from, id] => (Some(from), StepId::from(id.as_str())),
        [id] => (None, StepId::from(id.as_str())),
        _ => return Err(CliError::usage(Trouble::new("`hoist shell` takes a step"))),
    };
    let state = match from {
        Some(from) => {
            let stored = Store::new(&options.root).find(from);
            let stored = stored.map_err(CliError::usage)?;
            Some(stored.state().map_err(CliError::trouble)?)
        }
        None => None,
    };
    let project = project::read(options)?;
    say(&project.warnings);
    let mut plan = only(&project.plan, &id)?;
    if let Some(state) = &state {
        let images = as_it_was(&mut plan, &id, state)?;
        let backend = connect(options, None).await?;
        for image in images {
            let found = backend.inspect_image(&image).await;
            let found = found.map_err(|error| {
                CliError::trouble(error.trouble("whether its image is there cannot be told"))
            })?;
            if found.is_none() {
                let trouble = Trouble::new(format!("the image of `{id}` in that run is gone"))
                    .cause(image)
                    .hint(format!(
                        "`hoist shell {id}` takes the one of the project as it is"
                    ));
                return Err(CliError::trouble(trouble));
            }
        }
        say(
            "what its command left is gone with the run; `hoist run --shell-on-failure` keeps it\n",
        );
    }
    let run_args = args::Run::default();
    let mut request = run::request(plan, project.git.sha, &run_args, options, run::signals()?)?;
    // The terminal is the shell's: how it went is told afterwards, if it went wrong.
    request.reporters = Vec::new();
    let visitor = Box::new(Visitor::new(Gate::default(), Box::new(|| {})));
    let command = vec![args.shell.clone()];
    request.shells = Some(Arc::new(Shells::new(visitor, command, Occasion::Instead)));
    say(&format!("preparing a shell for {id}\n"));
    let ended = run::go(request).await?;
    if ended.verdict == Verdict::Passed {
        forget(&ended, &id);
    } else {
        let shown = summary::Options {
            colour: options.colour_err,
            width: size().0,
            verbose: options.verbose,
            reports: Vec::new(),
        };
        say(&summary::render(&ended.state, &shown));
    }
    Ok(ended.verdict)
}

/// The plan of one step, with the builds that it stands on.
fn only(plan: &Plan, id: &StepId) -> Result<Plan, CliError> {
    let asked = args::Selection {
        only: vec![id.to_string()],
        ..args::Selection::default()
    };
    let mut plan = project::choose(plan, &asked)?;
    let Some(step) = plan.steps.iter_mut().find(|step| step.id == *id) else {
        let trouble = Trouble::new(format!("`{id}` is no single step"));
        return Err(CliError::usage(
            trouble.hint("name one cell of a matrix, as `hoist plan` shows it"),
        ));
    };
    match &step.unit {
        Unit::Container(unit) if unit.harvest.report.is_none() => {}
        Unit::Container(_) | Unit::Build(_) | Unit::Push(_) | Unit::Release(_) => {
            let what = format!("`{id}` is a {}", step.kind.name());
            let trouble = Trouble::new(what).hint("a shell is for steps that `run` a command");
            return Err(CliError::usage(trouble));
        }
    }
    // Whoever asks for a shell wants it, whatever else holds.
    step.skip = None;
    step.retry = Retry::default();
    Ok(plan)
}

/// Takes the images of a run in place of those that would be built, and gives their IDs.
fn as_it_was(plan: &mut Plan, id: &StepId, state: &RunState) -> Result<Vec<String>, CliError> {
    if state.step(id).is_none() {
        let trouble = Trouble::new(format!("that run has no step `{id}`"));
        return Err(CliError::usage(
            trouble.hint("`hoist logs --run RUN` lists its steps"),
        ));
    }
    let mut images = Vec::new();
    plan.steps.retain(|step| step.id == *id);
    for step in &mut plan.steps {
        step.needs.clear();
        if let Unit::Container(unit) = &mut step.unit {
            for source in sources(unit) {
                let ImageSource::Step(built) = source else {
                    continue;
                };
                let image = state.step(built).and_then(|step| step.image.as_ref());
                let image = image.ok_or_else(|| {
                    let trouble = Trouble::new(format!("that run has no image of `{built}`"));
                    let hint = format!("`hoist shell {id}` builds it");
                    CliError::usage(trouble.hint(hint))
                })?;
                images.push(image.id.clone());
                *source = ImageSource::Name(Text::literal(&image.id));
            }
        }
    }
    Ok(images)
}

fn sources(unit: &mut ContainerUnit) -> impl Iterator<Item = &mut ImageSource> {
    let services = unit.services.iter_mut().map(|service| &mut service.image);
    std::iter::once(&mut unit.image).chain(services)
}

/// A shell is no run that anyone looks for later, but for one that built something.
fn forget(ended: &RunSummary, id: &StepId) {
    let others = ended.state.steps.iter().filter(|step| step.id() != id);
    let built = others
        .into_iter()
        .any(|step| step.ending() == Some(&Ending::Passed));
    if !built {
        // What stays is small, and goes with other old runs.
        let _ = std::fs::remove_dir_all(&ended.folder);
    }
}
