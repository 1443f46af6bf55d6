//! `list_artifacts`: what a run kept of its steps.

use hoist_model::reason::Trouble;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Effect, Tool};
use crate::answer::USUAL;
use crate::text::{line, short, weight};

/// The tool.
pub(crate) struct ListArtifacts;

/// Arguments of `list_artifacts`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// The run's ID, its beginning or its end; `latest` is the newest run.
    run_id: String,
    /// Only what was kept of this step.
    #[serde(default)]
    step: Option<String>,
}

/// What was kept.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Answer {
    /// The run.
    run_id: String,
    /// The run's folder, to which paths are relative.
    folder: String,
    /// What was kept.
    artifacts: Vec<Kept>,
    /// What was left out, and how to get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<String>,
}

/// A file or folder.
#[derive(Debug, Serialize, JsonSchema)]
struct Kept {
    /// The step that left it.
    step: String,
    /// Its name in the file.
    name: String,
    /// Its path, for read_artifact.
    path: String,
    /// Plain files in it.
    files: u64,
    /// Bytes in them.
    bytes: u64,
    /// The digest of all of it; empty where none was made.
    digest: String,
}

impl Tool for ListArtifacts {
    type Arguments = Arguments;
    type Answer = Answer;
    const NAME: &'static str = "list_artifacts";
    const TITLE: &'static str = "List artifacts";
    const DESCRIPTION: &'static str = "Lists the files and folders that a run kept of its steps: \
        coverage, reports, whatever pipeline.toml names. read_artifact reads them.";
    const EFFECT: Effect = Effect::Reads;

    async fn call(call: Call, arguments: Arguments) -> Result<Answer, Trouble> {
        let (_, run) = call.shared.folders.run(&arguments.run_id)?;
        let state = run.state()?;
        if let Some(named) = arguments.step.as_deref() {
            super::read_log::step(&state, Some(named))?;
        }
        let wanted = |step: &str| arguments.step.as_deref().is_none_or(|named| named == step);
        let steps = state.steps.iter().filter(|step| wanted(step.id().as_str()));
        let all = steps.flat_map(|step| {
            step.artifacts.iter().map(|artifact| Kept {
                step: step.id().to_string(),
                name: short(&line(&artifact.name), 200),
                path: artifact.path.clone(),
                files: artifact.files,
                bytes: artifact.bytes,
                digest: artifact.digest.clone(),
            })
        });
        let (mut artifacts, mut size, mut left_out) = (Vec::new(), 0, 0_usize);
        for kept in all {
            let texts = [&kept.step, &kept.name, &kept.path, &kept.digest];
            size += 90 + texts.iter().map(|text| weight(text)).sum::<usize>();
            if size > USUAL {
                left_out += 1;
            } else {
                artifacts.push(kept);
            }
        }
        let cut = (left_out > 0).then(|| format!("{left_out} more: name a step to see them"));
        Ok(Answer {
            run_id: run.id.to_string(),
            folder: run.folder.display().to_string(),
            artifacts,
            cut,
        })
    }
}
