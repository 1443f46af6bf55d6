//! `cancel_run`: asks a run to stop, whoever started it, and waits until it is clean.

use std::time::Duration;

use hoist_model::reason::Trouble;
use schemars::JsonSchema;
use serde::Deserialize;

use super::run_pipeline::is_live;
use super::{Call, Effect, Tool};
use crate::summary::{RunSummary, Status};
use crate::wait;

/// How long is waited for the end of the run.
const PATIENCE: Duration = Duration::from_secs(45);

/// The tool.
pub(crate) struct CancelRun;

/// Arguments of `cancel_run`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// The run's ID, its beginning or its end.
    run_id: String,
}

impl Tool for CancelRun {
    type Arguments = Arguments;
    type Answer = RunSummary;
    const NAME: &'static str = "cancel_run";
    const TITLE: &'static str = "Cancel a run";
    const DESCRIPTION: &'static str = "Asks a run to stop, whether it was started here or on the \
        command line, and waits until its containers, networks and volumes are removed. A run that \
        has ended already stays as it is.";
    const EFFECT: Effect = Effect::Stops;

    async fn call(call: Call, arguments: Arguments) -> Result<RunSummary, Trouble> {
        let shared = &call.shared;
        let (workspace, run) = shared.folders.run(&arguments.run_id)?;
        let before = RunSummary::read(&*shared.host, &workspace, &run, is_live(shared, &run))?;
        if !matches!(before.status, Status::Running | Status::AwaitingApproval) {
            return Ok(before);
        }
        run.request_cancel()?;
        tokio::select! {
            () = wait::for_end(shared, &run, PATIENCE) => {}
            () = call.cancelled.cancelled() => {}
        }
        RunSummary::read(&*shared.host, &workspace, &run, is_live(shared, &run))
    }
}
