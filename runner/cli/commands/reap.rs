//! `hoist __reap`: the reaper, started by a run with a pipe for its standard input.

use hoist_model::reason::Verdict;

use super::{Outcome, connector};
use crate::options::Options;

pub(super) async fn execute(options: &Options) -> Outcome {
    hoist_engine::reaper::reap(tokio::io::stdin(), connector(options)).await;
    Ok(Verdict::Passed)
}
