//! `run_pipeline`: starts a run, and waits for it as long as a client can.

use hoist_engine::store::{Store, StoredRun};
use hoist_model::ids::StepId;
use hoist_model::plan::{self, Plan, Selection};
use hoist_model::reason::Trouble;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Effect, Tool, validate_pipeline};
use crate::answer;
use crate::approval::Desk;
use crate::runs::Runs;
use crate::state::Shared;
use crate::summary::RunSummary;
use crate::wait;

/// How long is waited unless something else is asked for, seconds.
const WAIT: u32 = 45;
/// The longest key, characters.
const KEY: usize = 200;

/// The tool.
pub(crate) struct RunPipeline;

/// Arguments of `run_pipeline`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// The project's folder; may be left out where the server has one root.
    #[serde(default)]
    workspace: Option<String>,
    /// The file, relative to the workspace; `pipeline.toml` if left out.
    #[serde(default)]
    file: Option<String>,
    /// Only these steps, and what they need. All steps if left out.
    #[serde(default)]
    steps: Vec<String>,
    /// Only the steps like these patterns, with their builds and gates; what else comes before
    /// counts as done. `*` is any text and `?` any character.
    #[serde(default)]
    only: Vec<String>,
    /// Leave out the steps like these patterns, and what uses what they make.
    #[serde(default)]
    skip: Vec<String>,
    /// Stop everything at the first failure.
    #[serde(default)]
    fail_fast: bool,
    /// Show which steps would run, and start nothing.
    #[serde(default)]
    dry_run: bool,
    /// How long to wait for the end, 0 to 55 seconds; 45 if left out.
    #[serde(default)]
    wait_seconds: Option<u32>,
    /// A word of your own for this run. A second call with the same word starts no second run, but
    /// waits for the first: use it where a call may have to be repeated.
    #[serde(default)]
    idempotency_key: Option<String>,
}

/// What was started, or would be.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Answer {
    /// The run, unless this was a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunSummary>,
    /// What a dry run would have run.
    #[serde(skip_serializing_if = "Option::is_none")]
    would_run: Option<Vec<String>>,
}

impl Tool for RunPipeline {
    type Arguments = Arguments;
    type Answer = Answer;
    const NAME: &'static str = "run_pipeline";
    const TITLE: &'static str = "Run a pipeline";
    const DESCRIPTION: &'static str = "Runs a pipeline, or some of its steps and what they need, in \
        containers. It returns when the run has ended or after wait_seconds, whichever comes first: \
        with status `running`, call get_run to go on waiting. Cancelling this call while it waits \
        cancels the run. A pipeline that fails is an answer with status `failed`. A step that \
        deploys waits for approval, unless the server was started with --allow-deploy for its \
        environment: with status `awaiting_approval`, show a person what would change.";
    const EFFECT: Effect = Effect::Runs;

    async fn call(call: Call, arguments: Arguments) -> Result<Answer, Trouble> {
        let bound = wait::bound(arguments.wait_seconds, WAIT)?;
        let shared = &call.shared;
        let folders = &shared.folders;
        let workspace = folders.workspace(arguments.workspace.as_deref())?;
        let key = arguments.idempotency_key.as_deref();
        if key.is_some_and(|key| key.chars().count() > KEY) {
            return Err(Trouble::new("idempotency_key is too long")
                .hint(format!("give at most {KEY} characters")));
        }
        let of_key = || Some(shared.runs.of_key(key?)?.to_string());
        let stored = match call.begun.or_else(of_key) {
            Some(run) => Store::new(&workspace).find(&run)?,
            None => {
                let file = folders.file(&workspace, arguments.file.as_deref())?;
                let shown = arguments.file.as_deref().unwrap_or(crate::folders::FILE);
                let project = shared.host.read(&workspace, &file);
                let project = project.map_err(|faults| answer::faults(shown, &faults))?;
                let mut chosen = choose(&project.plan, &arguments)?;
                if arguments.dry_run {
                    let (steps, _) = validate_pipeline::outline(&chosen);
                    let would_run = Some(steps);
                    return Ok(Answer {
                        run: None,
                        would_run,
                    });
                }
                let desk = Desk::new(&shared.allow_deploy);
                desk.guard(&mut chosen);
                let (signals, receive) = Runs::signals();
                let request = shared
                    .host
                    .request(&workspace, chosen, project.commit, receive);
                let mut request = request.map_err(|all| answer::troubles(&all))?;
                request.fail_fast = arguments.fail_fast;
                let started = shared.runs.start(request, signals, desk, &call.cancelled);
                let (run, _) = started.await?;
                if let Some(key) = key {
                    shared.runs.remember(key, run);
                }
                Store::new(&workspace).find(&run.to_string())?
            }
        };
        let live = shared.runs.get(stored.id);
        let telling = call
            .progress
            .and_then(|wanted| Some(wanted.tell(live?.seen)));
        tokio::select! {
            () = wait::for_news(shared, &stored, call.asker.as_ref(), bound) => {}
            () = call.cancelled.cancelled() => {
                stored.request_cancel()?;
                return Err(Trouble::new("the call was cancelled, and so is the run"));
            }
        }
        drop(telling);
        let alive = is_live(shared, &stored);
        let run = RunSummary::read(&*shared.host, &workspace, &stored, alive)?;
        Ok(Answer {
            run: Some(run),
            would_run: None,
        })
    }
}

/// This process goes on with the run.
pub(super) fn is_live(shared: &Shared, run: &StoredRun) -> bool {
    shared.runs.get(run.id).is_some_and(|live| !live.is_over())
}

fn choose(plan: &Plan, arguments: &Arguments) -> Result<Plan, Trouble> {
    if !arguments.steps.is_empty() && !arguments.only.is_empty() {
        return Err(Trouble::new("steps and only cannot be given together")
            .hint("steps runs what they need too; only counts it as done"));
    }
    let selection = Selection {
        steps: arguments
            .steps
            .iter()
            .map(|step| StepId::from(step.as_str()))
            .collect(),
        from: Vec::new(),
        only: arguments.only.clone(),
        skip: arguments.skip.clone(),
        unverified: false,
    };
    plan::choose(plan, &selection)
        .map_err(|unknown| Trouble::new(unknown.to_string()).hint("list_pipelines shows the steps"))
}
