//! A run as an agent needs it: how it stands, what each step came to, and what to call next.

use hoist_engine::store::StoredRun;
use hoist_model::reason::{Ending, Signal, Trouble, Verdict};
use hoist_model::state::{RunState, StepState, StepStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::text::{line, weight};

/// The bytes that the steps of a summary may take.
const STEPS: usize = 6 << 10;

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    /// It goes on.
    Running,
    /// A deploy of it waits for a person's approval.
    AwaitingApproval,
    /// Every step ended well.
    Succeeded,
    /// A step failed, or what the run stands on did.
    Failed,
    /// It was asked to stop.
    Cancelled,
    /// It took longer than it may.
    TimedOut,
    /// Its process is gone and wrote down no end.
    Lost,
}

/// How a run stands, with its steps.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct RunSummary {
    /// The run's ID, which other tools take.
    run_id: String,
    /// The folder of its project.
    workspace: String,
    /// The project's name.
    project: String,
    /// How it stands. A run that failed is an answer, no error of the tool.
    pub(crate) status: Status,
    /// Why it failed: `step_failed`, `gate_failed`, `deploy_failed`, `configuration`,
    /// `surroundings` or `not_approved`.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'static str>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    /// How long it took so far, seconds.
    seconds: f64,
    /// The deploys that wait for approval.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    awaits: Vec<Awaited>,
    /// How many steps stand how.
    counts: Counts,
    /// The steps in their order; those that ended well are left out first where all are too many.
    steps: Vec<Step>,
    /// How many steps are left out.
    #[serde(skip_serializing_if = "is_zero")]
    steps_left_out: usize,
    /// What people should know of the run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// What to call next.
    next: String,
}

/// A deploy that waits for approval. It waits no longer than the step's `timeout`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Awaited {
    /// The step that deploys.
    step: String,
    /// Where to.
    environment: String,
    /// Of all that would change: approve_deploy wants it.
    plan_digest: String,
    /// What would change.
    changes: Vec<String>,
}

/// So many changes of a deploy are listed.
const CHANGES: usize = 12;

fn awaited(step: &StepState) -> Option<Awaited> {
    let question = step.awaits.as_ref()?;
    let said = question.changes.iter().take(CHANGES);
    let mut changes: Vec<String> = said
        .map(|text| crate::text::short(&line(text), 150))
        .collect();
    if let Some(more) = question
        .changes
        .len()
        .checked_sub(CHANGES)
        .filter(|more| *more > 0)
    {
        changes.push(format!("and {more} more, which the step's log has"));
    }
    Some(Awaited {
        step: crate::text::short(&line(step.id().as_str()), 200),
        environment: question.environment.clone(),
        plan_digest: question.digest.clone(),
        changes,
    })
}

/// How many steps stand how.
#[derive(Clone, Copy, Debug, Default, Serialize, JsonSchema)]
struct Counts {
    /// All.
    steps: usize,
    /// Passed, now or in an earlier run whose results stand.
    passed: usize,
    /// Failed.
    failed: usize,
    /// Never tried.
    skipped: usize,
    /// Stopped.
    cancelled: usize,
    /// Under way.
    running: usize,
    /// Not begun.
    pending: usize,
}

/// A step.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Step {
    /// Its name.
    step: String,
    /// `run`, `build`, `scan`, `push` or `deploy`.
    kind: String,
    /// How it stands, in a few words: `passed`, `exit 1`, `skipped: needs unit`.
    status: String,
    /// How long it took, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

/// How the run stands, by its folder. `alive` says that this process has it.
pub(crate) fn status(run: &StoredRun, state: &RunState, alive: bool) -> Status {
    match state.verdict {
        Some(Verdict::Passed) => Status::Succeeded,
        Some(Verdict::TimedOut) => Status::TimedOut,
        Some(Verdict::Interrupted(Signal::Interrupt | Signal::Terminate)) => Status::Cancelled,
        Some(
            Verdict::StepFailed
            | Verdict::NotApproved
            | Verdict::GateFailed
            | Verdict::Configuration
            | Verdict::Surroundings
            | Verdict::DeployFailed,
        ) => Status::Failed,
        // Where that cannot be told from here, it may well go on.
        None if !alive && matches!(run.is_alive(), Ok(Some(false))) => Status::Lost,
        None if state.steps.iter().any(|step| step.awaits.is_some()) => Status::AwaitingApproval,
        None => Status::Running,
    }
}

/// The word for why a run failed.
fn failure(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::StepFailed => Some("step_failed"),
        Verdict::NotApproved => Some("not_approved"),
        Verdict::GateFailed => Some("gate_failed"),
        Verdict::Configuration => Some("configuration"),
        Verdict::Surroundings => Some("surroundings"),
        Verdict::DeployFailed => Some("deploy_failed"),
        Verdict::Passed | Verdict::TimedOut | Verdict::Interrupted(_) => None,
    }
}

impl RunSummary {
    /// Reads the run's folder.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read(
        host: &dyn Host,
        workspace: &std::path::Path,
        run: &StoredRun,
        alive: bool,
    ) -> Result<Self, Trouble> {
        let state = run.state()?;
        let status = status(run, &state, alive);
        let mut steps: Vec<(bool, Step)> = state
            .steps
            .iter()
            .map(|step| (dull(step), outline(host, step)))
            .collect();
        let left_out = fit(&mut steps);
        let warnings = state
            .warnings
            .iter()
            .take(5)
            .map(|note| line(&note.message));
        Ok(Self {
            run_id: run.id.to_string(),
            workspace: workspace.display().to_string(),
            project: state.project.clone(),
            status,
            failure: state.verdict.and_then(failure),
            started_at: state.started_at.map(|at| at.to_string()),
            seconds: seconds(state.elapsed),
            awaits: state.steps.iter().filter_map(awaited).take(4).collect(),
            counts: counts(&state),
            steps: steps.into_iter().map(|(_, step)| step).collect(),
            steps_left_out: left_out,
            warnings: warnings
                .map(|text| crate::text::short(&text, 200))
                .collect(),
            next: next(status),
        })
    }
}

fn next(status: Status) -> String {
    match status {
        Status::Running => "call get_run with this run_id and wait_seconds, or cancel_run",
        Status::AwaitingApproval => {
            "show a person what awaits approval; only if they agree, call approve_deploy with this \
             run_id, the environment and the plan_digest; else cancel_run"
        }
        Status::Succeeded => {
            "nothing is left to do; list_artifacts and read_log show what there is"
        }
        Status::Failed | Status::TimedOut => "call get_failure_summary with this run_id",
        Status::Cancelled => "nothing of it is left on the engine; run_pipeline starts a new run",
        Status::Lost => {
            "its process is gone; run_pipeline starts a new run and sweeps what it left"
        }
    }
    .to_owned()
}

/// A step that nobody will miss.
fn dull(step: &StepState) -> bool {
    step.ending().is_some_and(Ending::is_good)
}

fn outline(host: &dyn Host, step: &StepState) -> Step {
    let status = match &step.status {
        StepStatus::Pending => "pending".to_owned(),
        StepStatus::Running { attempt } => {
            let attempt = if *attempt > 1 {
                format!(", attempt {attempt}")
            } else {
                String::new()
            };
            let phase = step.phase.as_deref().filter(|phase| *phase != "running");
            let phase = phase.map(|phase| format!(": {phase}")).unwrap_or_default();
            format!("running{attempt}{phase}")
        }
        StepStatus::Ended(ending) => host.ended(step, ending),
    };
    Step {
        step: crate::text::short(&line(step.id().as_str()), 200),
        kind: step.outline.kind.clone(),
        status: crate::text::short(&line(&status), 300),
        seconds: step.ending().map(|_| seconds(step.duration)),
    }
}

/// Leaves out what does not fit, what ended well first; gives how many.
fn fit(steps: &mut Vec<(bool, Step)>) -> usize {
    let size = |step: &Step| 80 + weight(&step.step) + weight(&step.status);
    let all = steps.len();
    let mut total: usize = steps.iter().map(|(_, step)| size(step)).sum();
    for dull_ones in [true, false] {
        let mut at = steps.len();
        while total > STEPS && at > 0 {
            at -= 1;
            if steps
                .get(at)
                .is_some_and(|(dull, _)| *dull == dull_ones || !dull_ones)
            {
                let (_, step) = steps.remove(at);
                total -= size(&step);
            }
        }
    }
    all - steps.len()
}

fn counts(state: &RunState) -> Counts {
    let mut counts = Counts {
        steps: state.steps.len(),
        ..Counts::default()
    };
    for step in &state.steps {
        let count = match &step.status {
            StepStatus::Pending => &mut counts.pending,
            StepStatus::Running { .. } => &mut counts.running,
            StepStatus::Ended(Ending::Passed | Ending::Cached) => &mut counts.passed,
            StepStatus::Ended(Ending::Failed(_)) => &mut counts.failed,
            StepStatus::Ended(Ending::Skipped(_)) => &mut counts.skipped,
            StepStatus::Ended(Ending::Cancelled(_)) => &mut counts.cancelled,
        };
        *count += 1;
    }
    counts
}

/// Seconds with three digits after the point.
pub(crate) fn seconds(duration: std::time::Duration) -> f64 {
    let millis = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    f64::from(millis) / 1000.0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}
