//! `hoist runs`: lists the project's runs, as their folders have them. It asks no engine.

use hoist_engine::store::{Store, StoredRun};
use hoist_model::reason::Verdict;
use hoist_report::runs::{self, Listed};

use super::{Outcome, print, say};
use crate::args::{self, Format};
use crate::exit::CliError;
use crate::options::Options;

/// How many runs are listed if nothing is said.
const RUNS: usize = 20;

pub(super) fn execute(args: &args::Runs, options: &Options) -> Outcome {
    let all = Store::new(&options.root)
        .list()
        .map_err(CliError::trouble)?;
    let most = match args.limit {
        Some(0) => all.len(),
        limit => limit.unwrap_or(RUNS),
    };
    let listed: Vec<Listed> = all.iter().take(most).map(look).collect();
    match args.format {
        Format::Text => {
            print(&runs::text(&listed, options.colour_out))?;
            if all.is_empty() {
                say("there is no run yet: start one with `hoist run`\n");
            } else if all.len() > most {
                say(&format!("and {} more: see --limit\n", all.len() - most));
            }
        }
        Format::Json => print(&runs::json(&listed))?,
    }
    Ok(Verdict::Passed)
}

fn look(run: &StoredRun) -> Listed {
    // What has ended is whole in its record; of what goes on only the events tell.
    let record = run.record().ok().map(|record| record.state);
    let ended = record.filter(|state| state.verdict.is_some());
    Listed {
        run: run.id,
        state: ended.or_else(|| run.state().ok()),
        alive: run.is_alive().ok().flatten(),
    }
}
