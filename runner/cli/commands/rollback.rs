//! `hoist rollback`: puts an earlier release of an environment in place again, as its history has it.
//! It builds and scans nothing.

use hoist_model::plan::Plan;
use hoist_model::unit::{ReleaseDeed, Unit};

use super::plan::deploying;
use super::{Outcome, run};
use crate::args::{self, Progress};
use crate::exit::CliError;
use crate::options::Options;
use crate::project;
use crate::terminal::WithoutEcho;

pub(super) async fn execute(args: &args::Rollback, options: &Options) -> Outcome {
    let deed = ReleaseDeed::Rollback { to: args.to };
    let asked = args::Run {
        approve: args.approve.clone(),
        force_unverified: args.force_unverified,
        allow_host_network: args.allow_host_network,
        ..args::Run::default()
    };
    release(&args.environment, deed, &asked, options).await
}

/// Runs what is to be done in an environment as a run of one step.
pub(super) async fn release(
    environment: &str,
    deed: ReleaseDeed,
    asked: &args::Run,
    options: &Options,
) -> Outcome {
    let project = project::read(options)?;
    let plan = only(&project.plan, environment, deed)?;
    let request = run::request(plan, project.git.sha, asked, options, run::signals()?)?;
    let _echo = (options.progress == Progress::Tty).then(WithoutEcho::start);
    Ok(run::go(request).await?.verdict)
}

/// The step that deploys to an environment, alone and with another deed.
fn only(plan: &Plan, environment: &str, wanted: ReleaseDeed) -> Result<Plan, CliError> {
    let mut step = deploying(plan, environment)?.clone();
    step.needs.clear();
    step.when = None;
    step.skip = None;
    if let Unit::Release(unit) = &mut step.unit {
        unit.deed = wanted;
    }
    Ok(Plan {
        steps: vec![step],
        ..plan.clone()
    })
}
