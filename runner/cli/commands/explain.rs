//! `hoist explain`: says why a step of a run ran or did not, from what runs left on disk. It asks
//! neither an engine nor the file.

use hoist_engine::inputs::{self, ExplainError};
use hoist_engine::store::Store;
use hoist_model::ids::StepId;
use hoist_model::reason::{Trouble, Verdict};

use super::{Outcome, print};
use crate::args::{self, Format};
use crate::exit::CliError;
use crate::options::Options;

pub(super) fn execute(args: &args::Explain, options: &Options) -> Outcome {
    let store = Store::new(&options.root);
    let run = match &args.run {
        Some(id) => store.find(id).map_err(CliError::usage)?,
        None => store.latest().map_err(CliError::trouble)?.ok_or_else(|| {
            CliError::usage(Trouble::new("there is no run yet").hint("start one with `hoist run`"))
        })?,
    };
    let step = StepId::from(args.step.as_str());
    let explained = inputs::explain(&options.root, &run, &step).map_err(|error| match error {
        ExplainError::NoStep(trouble) => CliError::usage(trouble),
        ExplainError::Unreadable(trouble) => CliError::trouble(trouble),
    })?;
    print(&match args.format {
        Format::Text => hoist_report::explain::text(&explained, options.colour_out),
        Format::Json => serde_json::to_string_pretty(&explained).unwrap_or_default() + "\n",
    })?;
    Ok(Verdict::Passed)
}
