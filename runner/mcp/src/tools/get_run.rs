//! `get_run`: how a run stands, whoever started it.

use hoist_model::reason::Trouble;
use schemars::JsonSchema;
use serde::Deserialize;

use super::run_pipeline::is_live;
use super::{Call, Effect, Tool};
use crate::summary::RunSummary;
use crate::wait;

/// The tool.
pub(crate) struct GetRun;

/// Arguments of `get_run`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// The run's ID, its beginning or its end; `latest` is the newest run.
    run_id: String,
    /// How long to wait for its end, 0 to 55 seconds; 0 if left out.
    #[serde(default)]
    wait_seconds: Option<u32>,
}

impl Tool for GetRun {
    type Arguments = Arguments;
    type Answer = RunSummary;
    const NAME: &'static str = "get_run";
    const TITLE: &'static str = "Get a run";
    const DESCRIPTION: &'static str = "Says how a run stands, whether it was started here or on the \
        command line, and waits for its end up to wait_seconds. Call it again while the status is \
        `running`. With `awaiting_approval` a deploy waits for a person: see approve_deploy. Cancelling this call does not cancel the run.";
    const EFFECT: Effect = Effect::Reads;

    async fn call(call: Call, arguments: Arguments) -> Result<RunSummary, Trouble> {
        let bound = wait::bound(arguments.wait_seconds, 0)?;
        let shared = &call.shared;
        let (workspace, run) = shared.folders.run(&arguments.run_id)?;
        let live = shared.runs.get(run.id);
        let telling = call
            .progress
            .and_then(|wanted| Some(wanted.tell(live?.seen)));
        tokio::select! {
            () = wait::for_news(shared, &run, call.asker.as_ref(), bound) => {}
            () = call.cancelled.cancelled() => {}
        }
        drop(telling);
        RunSummary::read(&*shared.host, &workspace, &run, is_live(shared, &run))
    }
}
