//! `hoist completions SHELL`: prints what a shell needs to complete hoist's words.

use clap::CommandFactory;
use hoist_model::reason::Verdict;

use super::{Outcome, print};
use crate::args;

pub(super) fn execute(args: &args::Completions) -> Outcome {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut args::Args::command(), "hoist", &mut out);
    print(&String::from_utf8_lossy(&out))?;
    Ok(Verdict::Passed)
}
