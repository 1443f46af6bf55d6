//! `hoist validate`: checks the file and all that it names in the project. It needs no engine.

use hoist_model::reason::Verdict;

use super::{Outcome, print, say};
use crate::options::Options;
use crate::project;

pub(super) fn execute(options: &Options) -> Outcome {
    let project = project::read(options)?;
    say(&project.warnings);
    let steps = hoist_report::words::count(project.plan.steps.len(), "step");
    print(&format!("{} is valid: {steps}\n", options.file_shown))?;
    Ok(Verdict::Passed)
}
