//! `hoist cancel`: asks the process of a run to stop it, by a file in the run's folder. It sends no
//! signal and touches no engine: the run ends as it would by Ctrl-C, and cleans up itself.

use hoist_engine::store::Store;
use hoist_model::reason::{Trouble, Verdict};

use super::{Outcome, say};
use crate::args;
use crate::exit::CliError;
use crate::options::Options;

pub(super) fn execute(args: &args::Cancel, options: &Options) -> Outcome {
    let run = Store::new(&options.root).find(&args.run);
    let run = run.map_err(CliError::usage)?;
    let id = run.id.short();
    let state = run.state().map_err(CliError::trouble)?;
    if let Some(verdict) = state.verdict {
        let how = hoist_report::words::verdict(verdict).to_lowercase();
        let trouble = Trouble::new(format!("run {id} has ended already: {how}"));
        return Err(CliError::usage(trouble));
    }
    match run.is_alive().map_err(CliError::trouble)? {
        Some(false) => Err(CliError::usage(
            Trouble::new(format!("run {id} broke off: its process is gone"))
                .hint("what it left on the engine is taken away by the next run"),
        )),
        alive => {
            run.request_cancel().map_err(CliError::trouble)?;
            say(&match alive {
                Some(_) => format!("run {id} is asked to stop\n"),
                None => format!(
                    "run {id} is asked to stop; whether its process still runs cannot be told from here\n"
                ),
            });
            Ok(Verdict::Passed)
        }
    }
}
