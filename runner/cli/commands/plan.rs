//! `hoist plan`: shows what would be run. It needs no engine.

use hoist_model::reason::Verdict;

use super::{Outcome, print, say};
use crate::args::{self, PlanFormat};
use crate::options::Options;
use crate::project;

pub(super) fn execute(args: &args::Plan, options: &Options) -> Outcome {
    let project = project::read(options)?;
    say(&project.warnings);
    let plan = project::choose(&project.plan, &args.selection)?;
    print(&match args.format {
        PlanFormat::Text => hoist_report::plan::text(&plan, options.colour_out),
        PlanFormat::Json => hoist_report::plan::json(&plan),
        PlanFormat::Dot => hoist_report::plan::dot(&plan),
    })?;
    Ok(Verdict::Passed)
}
