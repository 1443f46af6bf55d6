//! `hoist context`: shows what a step would be sent of the project. It needs no engine, and sends
//! nothing.

use hoist_engine::survey;
use hoist_model::ids::StepId;
use hoist_model::plan::{Plan, PlannedStep};
use hoist_model::reason::{Trouble, Verdict};
use hoist_model::survey::Survey;
use hoist_model::unit::Unit;
use hoist_report::context as report;

use super::{Outcome, print, say};
use crate::args::{self, ContextLs, ContextTop, ContextWhat, Format};
use crate::exit::CliError;
use crate::options::Options;
use crate::project;

pub(super) fn execute(args: &args::Context, options: &Options) -> Outcome {
    match &args.what {
        ContextWhat::Ls(args) => ls(args, options),
        ContextWhat::Top(args) => top(args, options),
    }
}

fn ls(args: &ContextLs, options: &Options) -> Outcome {
    let survey = look(options, args.step.as_deref(), args.ignored)?;
    print(&match (args.format, args.ignored) {
        (Format::Json, ignored) => report::list_json(&survey, ignored),
        (Format::Text, false) => report::list(&survey, options.colour_out),
        (Format::Text, true) => report::left_out(&survey, options.colour_out),
    })?;
    say(&report::hints(&survey, options.colour_err));
    Ok(Verdict::Passed)
}

fn top(args: &ContextTop, options: &Options) -> Outcome {
    let survey = look(options, args.step.as_deref(), false)?;
    let lines = usize::from(args.lines);
    print(&match args.format {
        Format::Json => report::top_json(&survey, lines),
        Format::Text => report::top(&survey, lines, options.colour_out),
    })?;
    say(&report::hints(&survey, options.colour_err));
    Ok(Verdict::Passed)
}

fn look(options: &Options, step: Option<&str>, left_out: bool) -> Result<Survey, CliError> {
    let project = project::read(options)?;
    say(&project.warnings);
    let step = choose(&project.plan, step)?;
    survey::survey(&options.root, &project.plan, step, left_out).map_err(CliError::usage)
}

/// The step that was named, or the only build.
fn choose<'a>(plan: &'a Plan, named: Option<&str>) -> Result<&'a PlannedStep, CliError> {
    let sent: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| survey::is_sent_something(step))
        .collect();
    let names: Vec<_> = sent.iter().map(|step| step.id.as_str()).collect();
    let hint = match names.as_slice() {
        [] => "no step of this file is sent anything".to_owned(),
        names => format!("name one of {}", names.join(", ")),
    };
    let Some(named) = named else {
        let mut builds = sent
            .into_iter()
            .filter(|step| matches!(step.unit, Unit::Build(_)));
        let what = match (builds.next(), builds.next()) {
            (Some(only), None) => return Ok(only),
            (Some(_), Some(_)) => "more than one step builds an image",
            (None, _) => "no step builds an image",
        };
        return Err(CliError::usage(Trouble::new(what).hint(hint)));
    };
    // The words for a step that is not there are those of every command.
    project::select(plan, &[named.to_owned()])?;
    let cell = format!("{named}[");
    let has_cells = names.iter().any(|name| name.starts_with(&cell));
    sent.into_iter()
        .find(|step| step.id == StepId::from(named))
        .ok_or_else(|| {
            let what = match has_cells {
                true => format!("`{named}` is more than one step: it has a matrix"),
                false => format!("`{named}` is sent nothing of the project"),
            };
            CliError::usage(Trouble::new(what).hint(hint))
        })
}
