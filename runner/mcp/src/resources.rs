//! What clients may show to people or attach to a conversation: views of runs, under addresses.
//! Many clients never show them to a model, so each is what a tool gives and says which one; nothing
//! can be had here alone. Reports are given whole and as they are, for programs read them: whoever
//! shows one to a model takes the tool, which marks it as data.

use std::collections::HashMap;
use std::sync::Arc;

use hoist_engine::store::Store;
use hoist_model::reason::Trouble;
use percent_encoding::percent_decode_str;
use rmcp::model::{ContentBlock, Resource, ResourceContents, ResourceTemplate};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::folders::Folders;
use crate::host::Form;
use crate::state::Shared;
use crate::tools::{self, Call};

/// What the addresses of runs begin with.
const RUNS: &str = "pipeline://runs/";
/// The bytes that a report may have as one answer; a tool gives longer ones in pieces.
const WHOLE: usize = 4 << 20;
/// How many runs are listed.
const LISTED: usize = 10;
/// How many values a completion may have; the protocol's bound.
const COMPLETED: usize = 100;

/// A view of a run.
struct View {
    /// Its part of the address.
    name: &'static str,
    /// What may be asked for besides, as in an URI template (RFC 6570).
    query: &'static str,
    title: &'static str,
    what: &'static str,
    /// The tool that gives the same.
    tool: &'static str,
    mime: &'static str,
}

const VIEWS: [View; 6] = [
    View {
        name: "summary",
        query: "",
        title: "A run",
        what: "How a run stands, with its steps",
        tool: "get_run",
        mime: "application/json",
    },
    View {
        name: "failures",
        query: "",
        title: "Why a run failed",
        what: "Failed steps with their tests, findings and last lines",
        tool: "get_failure_summary",
        mime: "application/json",
    },
    View {
        name: "log",
        query: "{?step,cursor}",
        title: "A log",
        what: "Lines that a step printed: its last ones, or those from the line `cursor` on",
        tool: "read_log",
        mime: "text/plain",
    },
    View {
        name: "artifacts",
        query: "{?step}",
        title: "What a run kept",
        what: "Files and folders that a run kept of its steps",
        tool: "list_artifacts",
        mime: "application/json",
    },
    View {
        name: Form::Junit.file(),
        query: "",
        title: "A run as JUnit",
        what: "All steps and tests of a run as JUnit XML",
        tool: "read_artifact",
        mime: "application/xml",
    },
    View {
        name: Form::Sarif.file(),
        query: "",
        title: "What scans found",
        what: "All findings of a run as SARIF",
        tool: "read_artifact",
        mime: "application/sarif+json",
    },
];

impl View {
    fn described(&self) -> String {
        format!("{}. The tool {} gives the same.", self.what, self.tool)
    }

    fn of(&self, run: &str) -> Resource {
        let short = run.get(run.len().saturating_sub(8)..).unwrap_or(run);
        Resource::new(
            format!("{RUNS}{run}/{}", self.name),
            format!("{}-{short}", self.name),
        )
        .with_title(format!("{}: {short}", self.title))
        .with_description(self.described())
        .with_mime_type(self.mime)
    }
}

/// The addresses that there are.
pub(crate) fn templates() -> Vec<ResourceTemplate> {
    let template = |view: &View| {
        let uri = format!("{RUNS}{{run_id}}/{}{}", view.name, view.query);
        ResourceTemplate::new(uri, view.name)
            .with_title(view.title)
            .with_description(view.described())
            .with_mime_type(view.mime)
    };
    VIEWS.iter().map(template).collect()
}

/// The newest runs.
pub(crate) fn list(folders: &Folders) -> Vec<Resource> {
    let [summary, ..] = &VIEWS;
    let runs = runs(folders);
    runs.iter()
        .take(LISTED)
        .map(|run| summary.of(run))
        .collect()
}

/// The IDs of all runs, the newest first.
fn runs(folders: &Folders) -> Vec<String> {
    let workspaces = folders.with_runs().into_iter();
    let listed = workspaces.filter_map(|workspace| Store::new(&workspace).list().ok());
    let mut ids: Vec<_> = listed.flatten().map(|run| run.id).collect();
    ids.sort_by_key(|id| std::cmp::Reverse(*id));
    ids.iter().map(ToString::to_string).collect()
}

/// What is at an address.
///
/// # Errors
/// When there is nothing, as the tool says it.
pub(crate) async fn read(shared: &Arc<Shared>, uri: &str) -> Result<ResourceContents, Trouble> {
    let (view, arguments) = parse(uri).ok_or_else(|| {
        let known: Vec<_> = VIEWS.iter().map(|view| view.name).collect();
        let known = known.join(", ");
        Trouble::new("there is no such resource").hint(format!(
            "the address is {RUNS}RUN_ID/VIEW, with one of the views {known}"
        ))
    })?;
    if let Some(form) = Form::named(view.name) {
        let run = arguments.get("run_id").and_then(Value::as_str);
        let text = report(shared, run.unwrap_or_default(), form)?;
        return Ok(ResourceContents::text(text, uri).with_mime_type(view.mime));
    }
    let answer = ask(shared, view.tool, arguments).await?;
    let text = match answer.get("text").and_then(Value::as_str) {
        Some(text) => {
            let cut = answer.get("cut").and_then(Value::as_str);
            let cut = cut.map(|cut| format!("\n({cut})")).unwrap_or_default();
            format!("{text}{cut}\n")
        }
        None => format!("{answer:#}\n"),
    };
    Ok(ResourceContents::text(text, uri).with_mime_type(view.mime))
}

fn report(shared: &Shared, run: &str, form: Form) -> Result<String, Trouble> {
    let (_, run) = shared.folders.run(run)?;
    let text = shared.host.report(&run.state()?, form)?;
    if text.len() > WHOLE {
        let (file, size) = (form.file(), text.len());
        let trouble = Trouble::new(format!("{file} has {size} bytes, which is too long"));
        return Err(trouble.hint("read_artifact gives it in pieces"));
    }
    Ok(text)
}

/// The answer of a tool that only reads.
///
/// # Errors
/// Those of the tool.
pub(crate) async fn ask(
    shared: &Arc<Shared>,
    tool: &str,
    arguments: Value,
) -> Result<Value, Trouble> {
    let found = tools::offered(true).find(|known| known.name == tool);
    let found = found.ok_or_else(|| Trouble::new(format!("there is no tool {tool}")))?;
    let call = Call {
        shared: Arc::clone(shared),
        cancelled: CancellationToken::new(),
        asker: None,
        begun: None,
        progress: None,
    };
    (found.call)(call, arguments).await
}

/// The view that an address names, and the arguments of its tool.
fn parse(uri: &str) -> Option<(&'static View, Value)> {
    let rest = uri.strip_prefix(RUNS)?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (run, name) = path.split_once('/')?;
    let view = VIEWS.iter().find(|view| view.name == name)?;
    let mut arguments = json!({ "run_id": decoded(run)? });
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=')?;
        let value = decoded(value)?;
        let known = view.query.contains(key);
        let value = match key {
            "step" if known => Value::String(value),
            "cursor" if known => json!(value.parse::<usize>().ok()?),
            _ => return None,
        };
        arguments.as_object_mut()?.insert(key.to_owned(), value);
    }
    Some((view, arguments))
}

fn decoded(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// Links to what belongs to a tool's answer, where it is about one run.
pub(crate) fn links(tool: &str, answer: &Value) -> Vec<ContentBlock> {
    if !["run_pipeline", "get_run", "cancel_run", "approve_deploy"].contains(&tool) {
        return Vec::new();
    }
    let summary = answer.get("run").unwrap_or(answer);
    let field = |name: &str| summary.get(name).and_then(Value::as_str);
    let Some(run) = field("run_id") else {
        return Vec::new();
    };
    let failed = field("status").is_some_and(|status| ["failed", "timed_out"].contains(&status));
    let wanted = VIEWS.iter().filter(|view| match view.name {
        "summary" => true,
        "failures" => failed,
        _ => false,
    });
    wanted
        .map(|view| ContentBlock::resource_link(view.of(run)))
        .collect()
}

/// The values that an argument may have which begins so: runs, the newest first, or the steps of
/// the run that was chosen before. Gives all that there are, at most as many as may be said.
pub(crate) fn complete(
    folders: &Folders,
    argument: &str,
    begun: &str,
    chosen: &HashMap<String, String>,
) -> (Vec<String>, usize) {
    let all = match argument {
        "run_id" => {
            let latest = std::iter::once("latest".to_owned());
            let runs = runs(folders);
            let latest = latest.take(usize::from(!runs.is_empty()));
            latest.chain(runs).collect()
        }
        "step" => {
            let run = chosen.get("run_id").and_then(|run| folders.run(run).ok());
            let state = run.and_then(|(_, run)| run.state().ok());
            let steps = state.iter().flat_map(|state| &state.steps);
            steps.map(|step| step.id().to_string()).collect()
        }
        _ => Vec::new(),
    };
    // The ends of IDs are what people see of them.
    let fits = |value: &String| value.starts_with(begun) || value.ends_with(begun);
    let mut all: Vec<String> = all.into_iter().filter(fits).collect();
    let count = all.len();
    all.truncate(COMPLETED);
    (all, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_nothing_else() {
        let (view, arguments) =
            parse("pipeline://runs/latest/log?step=a%20b%5Bx%3D1%5D&cursor=7").unwrap();
        assert_eq!(view.tool, "read_log");
        let expected = json!({"run_id": "latest", "step": "a b[x=1]", "cursor": 7});
        assert_eq!(arguments, expected);
        for wrong in [
            "",
            "pipeline://runs/",
            "pipeline://runs/latest",
            "pipeline://runs/latest/secrets",
            "pipeline://runs/latest/summary?step=x",
            "pipeline://runs/latest/log?cursor=x",
            "pipeline://runs/latest/log?step",
            "pipeline://runs/latest/log/../summary",
            "file:///etc/passwd",
        ] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn each_view_is_the_answer_of_a_tool_that_takes_its_arguments() {
        for view in &VIEWS {
            let tool = tools::offered(true).find(|tool| tool.name == view.tool);
            let definition = tool.unwrap().definition();
            let takes = &definition.input_schema["properties"];
            for argument in ["run_id", "step", "cursor"] {
                let wanted = argument == "run_id" || view.query.contains(argument);
                assert!(!wanted || takes.get(argument).is_some(), "{argument}");
            }
            assert!(view.described().contains(view.tool));
        }
    }

    #[test]
    fn a_run_is_linked_to_and_its_failures_if_it_failed() {
        let failed = json!({"run": {"run_id": "0190", "status": "failed"}});
        assert_eq!(links("run_pipeline", &failed).len(), 2);
        let good = json!({"run_id": "0190", "status": "succeeded"});
        assert_eq!(links("get_run", &good).len(), 1);
        assert!(links("read_log", &good).is_empty());
        assert!(links("run_pipeline", &json!({"would_run": []})).is_empty());
    }
}
