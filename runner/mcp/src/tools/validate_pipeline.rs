//! `validate_pipeline`: whether a file is valid, and what it would do.

use hoist_model::plan::Plan;
use hoist_model::reason::Trouble;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Effect, Tool};
use crate::answer::USUAL;
use crate::host::Fault;
use crate::text::{line, short, weight};

/// How many faults are shown.
const FAULTS: usize = 20;

/// The tool.
pub(crate) struct ValidatePipeline;

/// Arguments of `validate_pipeline`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// The project's folder; may be left out where the server has one root.
    #[serde(default)]
    workspace: Option<String>,
    /// The file, relative to the workspace; `pipeline.toml` if left out.
    #[serde(default)]
    file: Option<String>,
}

/// Whether the file is valid, and what it would do.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Answer {
    /// It can be run.
    valid: bool,
    /// What is wrong with it or should be known of it.
    diagnostics: Vec<Fault>,
    /// What it would do, each step after those that it needs.
    steps: Vec<Step>,
    /// What was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<String>,
}

/// A step of the plan.
#[derive(Debug, Serialize, JsonSchema)]
struct Step {
    /// Its name.
    step: String,
    /// `run`, `build`, `scan`, `push` or `deploy`.
    kind: &'static str,
    /// The steps that come first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    needs: Vec<String>,
    /// What the file relaxes of the default sealing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    relaxations: Vec<String>,
    /// It would not be run now: its `when` does not hold.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    skipped: bool,
}

impl Tool for ValidatePipeline {
    type Arguments = Arguments;
    type Answer = Answer;
    const NAME: &'static str = "validate_pipeline";
    const TITLE: &'static str = "Validate a pipeline";
    const DESCRIPTION: &'static str = "Checks a pipeline file and all that it names in the project, \
        and shows the steps it would run. Call it after editing the file. It needs no container \
        engine and starts nothing.";
    const EFFECT: Effect = Effect::Reads;

    async fn call(call: Call, arguments: Arguments) -> Result<Answer, Trouble> {
        let folders = &call.shared.folders;
        let workspace = folders.workspace(arguments.workspace.as_deref())?;
        let file = folders.file(&workspace, arguments.file.as_deref())?;
        let (valid, faults, (steps, left_out)) = match call.shared.host.read(&workspace, &file) {
            Ok(project) => (true, project.warnings, steps(&project.plan)),
            Err(faults) => (false, faults, (Vec::new(), 0)),
        };
        let unseen = faults.len().saturating_sub(FAULTS);
        let cut = match (left_out, unseen) {
            (0, 0) => None,
            (0, faults) => Some(format!("{faults} more diagnostics: mend these first")),
            (steps, _) => Some(format!("{steps} more steps; `hoist plan` shows all")),
        };
        let faults = faults.into_iter().take(FAULTS).map(|fault| Fault {
            message: short(&line(&fault.message), 300),
            help: fault.help.map(|help| short(&line(&help), 200)),
            ..fault
        });
        Ok(Answer {
            valid,
            diagnostics: faults.collect(),
            steps,
            cut,
        })
    }
}

/// The steps that fit into an answer, and how many do not.
pub(super) fn outline(plan: &Plan) -> (Vec<String>, usize) {
    let (steps, left_out) = steps(plan);
    let names = steps
        .into_iter()
        .filter(|step| !step.skipped)
        .map(|step| step.step);
    (names.collect(), left_out)
}

fn steps(plan: &Plan) -> (Vec<Step>, usize) {
    let (mut steps, mut size) = (Vec::new(), 0);
    for step in &plan.steps {
        let needs = step
            .needs
            .iter()
            .filter_map(|need| plan.steps.get(need.step));
        let shown = Step {
            step: line(step.id.as_str()),
            kind: step.kind.name(),
            needs: needs.map(|step| line(step.id.as_str())).collect(),
            relaxations: step.relaxations.iter().map(|text| line(text)).collect(),
            skipped: step.skip.is_some(),
        };
        let texts = shown
            .needs
            .iter()
            .chain(&shown.relaxations)
            .chain([&shown.step]);
        size += 60 + texts.map(|text| 8 + weight(text)).sum::<usize>();
        if size > USUAL / 2 {
            break;
        }
        steps.push(shown);
    }
    let left_out = plan.steps.len() - steps.len();
    (steps, left_out)
}
