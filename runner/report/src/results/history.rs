//! One test over several runs, the newest first, and a line that sums it up.

use std::fmt::Write;

use hoist_model::ids::RunId;
use hoist_model::results::{History, Past, PastCounts, TestKey, TestState};
use serde_json::{Value, json};

use super::json::pretty;
use super::markdown::escaped;
use crate::lines::clean;
use crate::style::{BAD, BOLD, DIM, GOOD, Paint, WARN};
use crate::words;

/// The most tests of which people are shown the past.
const TESTS: usize = 10;

fn name(key: &TestKey) -> String {
    words::named(&key.group, &key.name)
}

/// The end of a run's ID, by which `hoist logs --run` finds it; IDs of one day begin alike.
fn short(run: RunId) -> String {
    let id = run.to_string();
    id.rsplit('-').next().unwrap_or(&id).to_owned()
}

/// `failed in 3 of 20 runs, flaky in 1; median 0.21s, slowest 1.2s in 5f3a...`.
fn summed_up(counts: &PastCounts) -> String {
    let runs = words::count(counts.runs, "run");
    let mut text = if counts.failed == 0 {
        format!("never failed in {runs}")
    } else {
        format!("failed in {} of {runs}", counts.failed)
    };
    for (count, word) in [(counts.flaky, "flaky"), (counts.skipped, "skipped")] {
        if count > 0 {
            let _ = write!(text, ", {word} in {count}");
        }
    }
    if let Some(run) = counts.slowest_run {
        let [median, slowest] = [counts.median, counts.slowest].map(words::duration);
        let _ = write!(
            text,
            "; median {median}, slowest {slowest} in {}",
            short(run)
        );
    }
    text
}

/// The past for a terminal.
#[must_use]
pub fn history_text(history: &History, colour: bool) -> String {
    let paint = Paint { colour };
    let tests = history.tests();
    let mut out = String::new();
    for (key, pasts, counts) in tests.iter().take(TESTS) {
        let line = clean(format!("{}  {}", key.step, name(key)).as_bytes(), false);
        let _ = writeln!(out, "{}", paint.paint(BOLD, &line));
        for past in *pasts {
            let _ = writeln!(out, "  {}", row(past, paint));
        }
        let _ = writeln!(out, "  {}\n", summed_up(counts));
    }
    let more = tests.len().saturating_sub(TESTS);
    if more > 0 {
        let line = format!(
            "and {}: write more of the name",
            words::count(more, "more test")
        );
        let _ = writeln!(out, "{}", paint.paint(DIM, &line));
    } else {
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

fn row(past: &Past, paint: Paint) -> String {
    let style = match past.state {
        TestState::Failed | TestState::Errored => BAD,
        TestState::Flaky => WARN,
        TestState::Passed => GOOD,
        TestState::Skipped => DIM,
    };
    let started = past.started_at.map(words::time).unwrap_or_default();
    let state = paint.paint(style, &format!("{:<7}", past.state.name()));
    let time = words::duration(past.duration);
    let message = clean(past.message.as_bytes(), false);
    let row = format!(
        "{}  {started}  {state}  {time:>6}  {message}",
        short(past.run)
    );
    row.trim_end().to_owned()
}

/// The past as JSON: a list of tests, each with its runs.
#[must_use]
pub fn history_json(history: &History) -> String {
    let tests: Vec<Value> = history
        .tests()
        .into_iter()
        .map(|(key, pasts, counts)| {
            json!({
                "step": key.step,
                "group": key.group,
                "name": key.name,
                "counts": counts,
                "runs": pasts,
            })
        })
        .collect();
    pretty(&json!({ "tests": tests }))
}

/// The past as Markdown.
#[must_use]
pub fn history_markdown(history: &History) -> String {
    let mut out = String::new();
    for (key, pasts, counts) in history.tests().into_iter().take(TESTS) {
        let _ = writeln!(
            out,
            "## {} in {}\n\n{}\n\n| run | | time | |\n|---|---|---|---|",
            escaped(&name(key)),
            escaped(key.step.as_str()),
            escaped(&summed_up(&counts)),
        );
        for past in pasts {
            let _ = writeln!(
                out,
                "| {} {} | {} | {} | {} |",
                short(past.run),
                past.started_at.map(words::time).unwrap_or_default(),
                past.state.name(),
                words::duration(past.duration),
                escaped(&past.message),
            );
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}
