//! `hoist restart`: starts the services of an environment again, one container after the other.

use std::cell::Cell;
use std::time::Duration;

use hoist_engine::labels;
use hoist_engine::release::{self, NotRestarted, Restart};
use hoist_engine::secrets::Secrets;
use hoist_model::reason::Verdict;

use super::diagnose::releases;
use super::{Outcome, run, say};
use crate::args;
use crate::exit::CliError;
use crate::options::Options;

/// How long a container may take to become healthy where the file does not say.
const WITHIN: Duration = Duration::from_secs(300);

pub(super) async fn execute(args: &args::Restart, options: &Options) -> Outcome {
    let environment = args.environment.as_str();
    let (project, backend) = super::environment(options, environment).await?;
    let info = backend.info().await;
    let info =
        info.map_err(|error| CliError::trouble(error.trouble("the engine does not answer")))?;
    let waits = releases(&project.plan, environment).map(|unit| unit.healthy_within);
    let wanted = Restart {
        project: &project.plan.name,
        environment,
        service: args.service.as_deref(),
        within: waits.max().unwrap_or(WITHIN),
        labels: &labels::of_command(&project.plan.name, info.time),
        secrets: &Secrets::readable(&project.plan, &options.root, &options.environment),
    };
    let mut signals = run::signals()?;
    let signal = Cell::new(None);
    let stopped = async {
        signal.set(signals.recv().await);
    };
    let told = |line: String| say(&format!("{line}\n"));
    let done = release::restart(&backend, &wanted, stopped, told).await;
    if let Some(signal) = signal.get() {
        return Ok(Verdict::Interrupted(signal));
    }
    match done {
        Ok(0) => say(&format!("nothing is deployed to {environment}\n")),
        Ok(_) => {}
        Err(NotRestarted::Unknown(trouble)) => return Err(CliError::usage(trouble)),
        Err(NotRestarted::Surroundings(trouble)) => return Err(CliError::trouble(trouble)),
        Err(NotRestarted::Unwell(trouble)) => {
            let mut error = CliError::trouble(trouble);
            error.verdict = Verdict::DeployFailed;
            return Err(error);
        }
        // A signal stops it, and nothing else does.
        Err(NotRestarted::Stopped) => {}
    }
    Ok(Verdict::Passed)
}
