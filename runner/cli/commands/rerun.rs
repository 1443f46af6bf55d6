//! `hoist rerun`: does a run again, or what failed in it. The plan is the one that the run had; what
//! pipeline.toml says now is not asked.

use std::sync::Arc;

use hoist_engine::rerun::Rerun;
use hoist_engine::store::Store;
use hoist_model::inputs::Force;
use hoist_model::reason::{Trouble, Verdict};
use hoist_model::unit::Unit;

use super::{Outcome, logs, run, say};
use crate::args::{self, Progress};
use crate::exit::CliError;
use crate::options::Options;
use crate::project;
use crate::terminal::WithoutEcho;

pub(super) async fn execute(args: &args::Rerun, options: &Options) -> Outcome {
    let of = logs::find(&Store::new(&options.root), args.run.as_deref())?;
    let id = of.id.short();
    let state = of.state().map_err(CliError::trouble)?;
    if state.verdict.is_none() && of.is_alive().ok().flatten() == Some(true) {
        let trouble = Trouble::new(format!("run {id} still goes on"));
        return Err(CliError::usage(trouble.hint(format!(
            "wait for its end, or stop it with `hoist cancel {id}`"
        ))));
    }
    let mut plan = of.plan().map_err(CliError::usage)?;
    let rerun = Rerun::of(&of, &plan, args.failed).map_err(CliError::trouble)?;
    if !rerun.does_something(&plan) {
        say(&format!("nothing failed in run {id}\n"));
        return Ok(Verdict::Passed);
    }
    if !args.failed {
        for step in &mut plan.steps {
            if let Unit::Container(unit) = &mut step.unit {
                unit.always_runs.get_or_insert(Force::NoCache);
            }
        }
    }
    let what = if args.failed { "what failed in " } else { "" };
    say(&format!("again: {what}run {id}\n"));
    let asked = args::Run {
        jobs: args.jobs,
        fail_fast: args.fail_fast,
        force_unverified: args.force_unverified,
        allow_host_network: args.allow_host_network,
        ..args::Run::default()
    };
    let commit = project::git(&options.root).sha;
    let mut request = run::request(plan, commit, &asked, options, run::signals()?)?;
    request.rerun = Some(Arc::new(rerun));
    let _echo = (options.progress == Progress::Tty).then(WithoutEcho::start);
    Ok(run::go(request).await?.verdict)
}
