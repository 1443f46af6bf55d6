//! `list_runs`: the runs there are, the newest first.

use hoist_engine::store::Store;
use hoist_model::reason::Trouble;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::run_pipeline::is_live;
use super::{Call, Effect, Tool};
use crate::summary::{Status, seconds, status};
use crate::text::{line, short};

/// How many runs are shown unless something else is asked for.
const USUAL: usize = 20;
/// How many runs may be asked for.
const MOST: usize = 50;

/// The tool.
pub(crate) struct ListRuns;

/// Arguments of `list_runs`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Only runs of this project: its folder.
    #[serde(default)]
    workspace: Option<String>,
    /// Only runs that stand so.
    #[serde(default)]
    status: Option<Status>,
    /// How many, at most 50; 20 if left out.
    #[serde(default)]
    limit: Option<usize>,
    /// `next_cursor` of an earlier answer, to go on after it.
    #[serde(default)]
    cursor: Option<String>,
}

/// The runs, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Answer {
    /// The runs.
    runs: Vec<Run>,
    /// There are more: call again with this as cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// A run.
#[derive(Debug, Serialize, JsonSchema)]
struct Run {
    /// Its ID.
    run_id: String,
    /// The project's name.
    project: String,
    /// The project's folder.
    workspace: String,
    /// How it stands.
    status: Status,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    /// How long it took, seconds; 0 while it goes on.
    seconds: f64,
}

impl Tool for ListRuns {
    type Arguments = Arguments;
    type Answer = Answer;
    const NAME: &'static str = "list_runs";
    const TITLE: &'static str = "List runs";
    const DESCRIPTION: &'static str =
        "Lists runs, the newest first, those of the command line too.";
    const EFFECT: Effect = Effect::Reads;

    async fn call(call: Call, arguments: Arguments) -> Result<Answer, Trouble> {
        let limit = arguments.limit.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            return Err(Trouble::new(format!("limit cannot be {limit}"))
                .hint(format!("give a number from 1 to {MOST}")));
        }
        let shared = &call.shared;
        let workspaces = match &arguments.workspace {
            Some(named) => vec![shared.folders.workspace(Some(named))?],
            None => shared.folders.with_runs(),
        };
        let mut all = Vec::new();
        for workspace in workspaces {
            let runs = Store::new(&workspace).list()?;
            all.extend(runs.into_iter().map(|run| (workspace.clone(), run)));
        }
        all.sort_by_key(|(_, run)| std::cmp::Reverse(run.id));
        if let Some(cursor) = &arguments.cursor {
            let after = cursor.parse().map_err(|_| {
                Trouble::new("the cursor is none of list_runs")
                    .hint("give next_cursor of an earlier answer, or leave it out")
            })?;
            all.retain(|(_, run)| run.id < after);
        }
        let (mut runs, mut next_cursor) = (Vec::new(), None);
        for (workspace, run) in all {
            if runs.len() == limit {
                next_cursor = runs.last().map(|run: &Run| run.run_id.clone());
                break;
            }
            // A folder whose record is not written yet, or no more, is no run to show.
            let Ok(record) = run.record() else { continue };
            let status = status(&run, &record.state, is_live(shared, &run));
            if arguments.status.is_some_and(|wanted| wanted != status) {
                continue;
            }
            runs.push(Run {
                run_id: run.id.to_string(),
                project: short(&line(&record.state.project), 100),
                workspace: workspace.display().to_string(),
                status,
                started_at: record.state.started_at.map(|at| at.to_string()),
                seconds: seconds(record.state.elapsed),
            });
        }
        Ok(Answer { runs, next_cursor })
    }
}
