//! `hoist logs`: prints the log of a step, or of a service beside it, whole and as the run folder
//! has it.

use std::io::Write;

use hoist_engine::store::{Store, StoredRun};
use hoist_model::ids::StepId;
use hoist_model::reason::{Trouble, Verdict};

use super::{Outcome, print, table};
use crate::args;
use crate::exit::CliError;
use crate::options::Options;

pub(super) fn execute(args: &args::Logs, options: &Options) -> Outcome {
    let run = find(&Store::new(&options.root), args.run.as_deref())?;
    let state = run.state().map_err(CliError::trouble)?;
    let Some(step) = &args.step else {
        let rows = state.steps.iter().map(|step| {
            let ending = step
                .ending()
                .map_or_else(|| "running".to_owned(), hoist_report::words::ending);
            vec![step.id().to_string(), ending]
        });
        let rows: Vec<_> = rows.collect();
        print(&format!("run {}\n{}", run.id, table(&rows)))?;
        return Ok(Verdict::Passed);
    };
    let step = StepId::from(step.as_str());
    let path = match &args.service {
        Some(service) => run.service_log(&step, args.attempt, service),
        None => run.log(&step, args.attempt),
    };
    let path = path.map_err(CliError::usage)?;
    let mut log = match std::fs::File::open(&path) {
        Ok(log) => log,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(CliError::usage(Trouble::new(format!(
                "step `{step}` printed nothing in run {}",
                run.id
            ))));
        }
        Err(error) => {
            return Err(CliError::surroundings(
                format!("cannot read {}", path.display()),
                error.to_string(),
            ));
        }
    };
    let mut out = std::io::stdout().lock();
    std::io::copy(&mut log, &mut out)?;
    out.flush()?;
    Ok(Verdict::Passed)
}

/// The run of that ID, or the newest.
pub(super) fn find(store: &Store, id: Option<&str>) -> Result<StoredRun, CliError> {
    match id {
        Some(id) => store.find(id).map_err(CliError::usage),
        None => store.latest().map_err(CliError::trouble)?.ok_or_else(|| {
            CliError::usage(Trouble::new("there is no run yet").hint("start one with `hoist run`"))
        }),
    }
}
