//! `list_pipelines`: what can be run.

use hoist_model::reason::Trouble;
use hoist_model::unit::Unit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Effect, Tool};
use crate::folders::FILE;
use crate::text::{line, short, weight};

/// The tool.
pub(crate) struct ListPipelines;

/// Arguments of `list_pipelines`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Only this project: its folder. All projects in the server's folders if left out.
    #[serde(default)]
    workspace: Option<String>,
}

/// What can be run.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Answer {
    /// One for each pipeline.toml.
    pipelines: Vec<Pipeline>,
    /// What was left out, and how to get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<String>,
}

/// A pipeline.
#[derive(Debug, Serialize, JsonSchema)]
struct Pipeline {
    /// The project's folder, for the argument `workspace` of other tools.
    workspace: String,
    /// The file in it.
    file: &'static str,
    /// The project's name; empty if the file is not valid.
    name: String,
    /// Whether it can be run; validate_pipeline says why not.
    valid: bool,
    /// Its steps.
    steps: Vec<Step>,
    /// Environments to which its steps deploy.
    environments: Vec<String>,
}

/// A step.
#[derive(Debug, Serialize, JsonSchema)]
struct Step {
    /// Its name, for the arguments of run_pipeline.
    step: String,
    /// `run`, `build`, `scan`, `push` or `deploy`.
    kind: &'static str,
}

impl Tool for ListPipelines {
    type Arguments = Arguments;
    type Answer = Answer;
    const NAME: &'static str = "list_pipelines";
    const TITLE: &'static str = "List pipelines";
    const DESCRIPTION: &'static str = "Lists the projects that have a pipeline.toml, with their \
        steps and the environments they deploy to. Call this first. It needs no container engine.";
    const EFFECT: Effect = Effect::Reads;

    async fn call(call: Call, arguments: Arguments) -> Result<Answer, Trouble> {
        let (host, folders) = (&call.shared.host, &call.shared.folders);
        let workspaces = match &arguments.workspace {
            Some(named) => vec![folders.workspace(Some(named))?],
            None => folders.projects(),
        };
        let (mut pipelines, mut size, mut cut) = (Vec::new(), 0, None);
        for workspace in workspaces {
            let file = folders.file(&workspace, None)?;
            let project = host.read(&workspace, &file).ok();
            let plan = project.as_ref().map(|project| &project.plan);
            let steps = plan.map(|plan| plan.steps.as_slice()).unwrap_or_default();
            let mut environments: Vec<String> = steps
                .iter()
                .filter_map(|step| match &step.unit {
                    Unit::Release(release) => Some(release.environment.name.clone()),
                    Unit::Container(_) | Unit::Build(_) | Unit::Push(_) => None,
                })
                .collect();
            environments.sort();
            environments.dedup();
            let mut pipeline = Pipeline {
                workspace: workspace.display().to_string(),
                file: FILE,
                name: plan.map(|plan| line(&plan.name)).unwrap_or_default(),
                valid: plan.is_some(),
                steps: Vec::new(),
                environments,
            };
            size += 150 + weight(&pipeline.workspace);
            for step in steps {
                let name = short(&line(step.id.as_str()), 200);
                size += 40 + weight(&name);
                if size > crate::answer::USUAL {
                    cut = Some("not all steps are shown; validate_pipeline shows more".to_owned());
                    break;
                }
                let kind = step.kind.name();
                pipeline.steps.push(Step { step: name, kind });
            }
            if size > crate::answer::USUAL && pipeline.steps.is_empty() && !pipelines.is_empty() {
                let hint = "not all projects are shown; name one as workspace";
                cut = Some(hint.to_owned());
                break;
            }
            pipelines.push(pipeline);
        }
        Ok(Answer { pipelines, cut })
    }
}
