//! Tests as JSON. Its keys are promised: what is there stays, what comes is added.

use hoist_model::results::{Listed, TestFailure, TestOutcome, TestState};
use hoist_model::state::RunState;
use serde_json::{Value, json};

use super::{Selection, count};

/// The tests of a run: the run, the counts of all its tests, and those that are selected.
#[must_use]
pub fn json(run: &RunState, tests: &[Listed<'_>], selection: Selection) -> String {
    let (shown, _) = selection.of(tests);
    let tests_json: Vec<Value> = shown.iter().map(test).collect();
    let value = json!({
        "run": run.run,
        "project": run.project,
        "commit": run.commit,
        "started_at": run.started_at,
        "verdict": run.verdict,
        "counts": count(tests),
        "tests": tests_json,
    });
    pretty(&value)
}

pub(super) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

fn test(listed: &Listed<'_>) -> Value {
    let case = listed.case;
    // Flaky is no way to end: it passed.
    let state = match case.state() {
        TestState::Flaky => TestState::Passed,
        state => state,
    };
    let failure = case.failure();
    let message = match &case.outcome {
        TestOutcome::Skipped { message } => message.as_ref(),
        _ => failure.map(|failure| &failure.message),
    };
    let earlier: Vec<Value> = case.earlier.iter().map(why).collect();
    json!({
        "step": listed.step,
        "suite": case.suite,
        "class": case.class,
        "name": case.name,
        "state": state,
        "flaky": case.is_flaky(),
        "latest_attempt": listed.latest,
        "duration_ms": u64::try_from(case.duration.as_millis()).unwrap_or(u64::MAX),
        "file": case.file,
        "line": case.line,
        "message": message,
        "kind": failure.map(|failure| &failure.kind),
        "text": failure.map(|failure| &failure.text),
        "output": case.output,
        "earlier": earlier,
    })
}

fn why(failure: &TestFailure) -> Value {
    json!({ "message": failure.message, "kind": failure.kind, "text": failure.text })
}
