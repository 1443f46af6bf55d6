//! `hoist plan`: shows what would be run, for which it needs no engine, or what a deploy would
//! change. It changes nothing.

use std::sync::Arc;

use hoist_engine::release::{self, Preview};
use hoist_engine::secrets::Secrets;
use hoist_model::plan::{Plan, PlannedStep};
use hoist_model::reason::{FailureReason, Trouble, Verdict};
use hoist_model::unit::Unit;
use hoist_report::{changes, words};

use super::{Outcome, connector, print, ps, say};
use crate::args::{self, PlanFormat, Selection};
use crate::exit::CliError;
use crate::options::Options;
use crate::project;

pub(super) async fn execute(args: &args::Plan, options: &Options) -> Outcome {
    let project = project::read(options)?;
    say(&project.warnings);
    if let Some(environment) = &args.deploy {
        return deploy(&project.plan, environment, args, options).await;
    }
    let plan = project::choose(&project.plan, &args.selection)?;
    print(&match args.format {
        PlanFormat::Text => hoist_report::plan::text(&plan, options.colour_out),
        PlanFormat::Json => hoist_report::plan::json(&plan),
        PlanFormat::Dot => hoist_report::plan::dot(&plan),
    })?;
    Ok(Verdict::Passed)
}

/// What the deploy to an environment would change there.
async fn deploy(plan: &Plan, environment: &str, args: &args::Plan, options: &Options) -> Outcome {
    let format = args.format;
    if format == PlanFormat::Dot {
        let trouble = Trouble::new("--deploy has no graph");
        return Err(CliError::usage(trouble.hint("use --format text or json")));
    }
    ps::environment(plan, environment)?;
    let step = deploying(plan, environment)?;
    if let Some(skip) = &step.skip {
        say(&format!(
            "note: {} is skipped in a run: {}\n",
            step.id,
            words::skip(skip)
        ));
    }
    let asked = Selection {
        only: vec![step.id.to_string()],
        ..Selection::default()
    };
    let mut part = project::choose(plan, &asked)?;
    for step in &mut part.steps {
        step.skip = None;
    }
    let secrets = Secrets::read(&part, &options.root, &options.environment);
    let secrets = secrets.map_err(CliError::configuration)?;
    let redactor = secrets.redactor();
    let found = part.find(&step.id);
    let asked = Preview {
        step: found.map(|(ix, _)| ix).unwrap_or_default(),
        plan: Arc::new(part),
        root: &options.root,
        shared: options.cache(),
        secrets: Arc::new(secrets),
        connector: connector(options),
        allow_host_network: args.allow_host_network,
    };
    let changes = release::preview(asked).await.map_err(failed)?;
    let text = match format {
        PlanFormat::Json => changes::json(&changes),
        PlanFormat::Text | PlanFormat::Dot => changes::text(&changes, options.colour_out),
    };
    print(&redactor.redact(&text))?;
    Ok(Verdict::Passed)
}

/// The step that deploys to an environment.
pub(super) fn deploying<'p>(
    plan: &'p Plan,
    environment: &str,
) -> Result<&'p PlannedStep, CliError> {
    let deploys = |step: &&PlannedStep| match &step.unit {
        Unit::Release(unit) => unit.environment.name == environment,
        Unit::Container(_) | Unit::Build(_) | Unit::Push(_) => false,
    };
    plan.steps.iter().find(deploys).ok_or_else(|| {
        let trouble = Trouble::new(format!("no step deploys to `{environment}`"));
        CliError::usage(trouble.hint("`hoist plan` shows all steps"))
    })
}

fn failed(reason: FailureReason) -> CliError {
    let verdict = reason.verdict();
    let trouble = match reason {
        FailureReason::Configuration(trouble) | FailureReason::Surroundings(trouble) => trouble,
        other => Trouble::new(words::failure(&other)),
    };
    CliError {
        verdict,
        ..CliError::trouble(trouble)
    }
}
