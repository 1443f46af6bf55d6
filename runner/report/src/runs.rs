//! The runs of a project, the newest first: for people and for programs.

use std::fmt::Write;

use hoist_model::ids::RunId;
use hoist_model::reason::{Ending, Verdict};
use hoist_model::state::{RunState, StepState, StepStatus};
use serde_json::{Value, json};

use crate::lines::clean;
use crate::style::{BAD, DIM, GOOD, Paint, WARN};
use crate::words;

/// A run that is listed.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its ID.
    pub run: RunId,
    /// What it is; `None` where its folder cannot be read.
    pub state: Option<RunState>,
    /// Its process still runs; `None` where that cannot be told.
    pub alive: Option<bool>,
}

/// Where a run is.
#[derive(Clone, Copy)]
enum Stand {
    Ended(Verdict),
    Running,
    /// Its process is gone without a verdict.
    BrokenOff,
    Unknown,
}

impl Listed {
    fn stand(&self) -> Stand {
        let verdict = self.state.as_ref().and_then(|state| state.verdict);
        match (verdict, self.alive) {
            (Some(verdict), _) => Stand::Ended(verdict),
            (None, Some(true)) => Stand::Running,
            (None, Some(false)) => Stand::BrokenOff,
            (None, None) => Stand::Unknown,
        }
    }

    fn steps(&self) -> &[StepState] {
        self.state.as_ref().map_or(&[], |state| &state.steps)
    }

    /// Those that stand against it.
    fn failed(&self) -> impl Iterator<Item = &StepState> {
        let failed =
            |step: &&StepState| matches!(step.ending(), Some(Ending::Failed(_))) && !step.allowed;
        self.steps().iter().filter(failed)
    }

    fn count(&self, wanted: impl Fn(&StepStatus) -> bool) -> usize {
        let steps = self.steps().iter();
        steps.filter(|step| wanted(&step.status)).count()
    }
}

/// The runs as lines.
#[must_use]
pub fn text(runs: &[Listed], colour: bool) -> String {
    let paint = Paint { colour };
    let rows: Vec<[String; 4]> = runs.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (verdicts, times) = (width(1), width(3));
    let mut out = String::new();
    for (listed, [id, verdict, when, took]) in runs.iter().zip(&rows) {
        let style = match listed.stand() {
            Stand::Ended(Verdict::Passed) => GOOD,
            Stand::Ended(_) | Stand::BrokenOff => BAD,
            Stand::Running | Stand::Unknown => WARN,
        };
        let verdict = paint.paint(style, &format!("{verdict:<verdicts$}"));
        let line = format!("{id}  {verdict}  {when}  {took:>times$}  ");
        let _ = writeln!(out, "{line}{}", paint.paint(DIM, &what(listed)));
    }
    out
}

fn row(listed: &Listed) -> [String; 4] {
    let verdict = match listed.stand() {
        Stand::Ended(verdict) => words::verdict(verdict).to_lowercase(),
        Stand::Running => "running".to_owned(),
        Stand::BrokenOff => "broken off".to_owned(),
        Stand::Unknown => "unknown".to_owned(),
    };
    let state = listed.state.as_ref();
    let when = state.and_then(|state| state.started_at);
    [
        listed.run.short(),
        verdict,
        when.map_or_else(|| "?".to_owned(), |at| format!("{at:.0}")),
        state.map_or_else(String::new, |state| words::duration(state.elapsed)),
    ]
}

/// `4 steps (2 cached), failed: unit; again of 1f3a...`.
fn what(listed: &Listed) -> String {
    let Some(state) = &listed.state else {
        return "its folder cannot be read".to_owned();
    };
    let mut what = words::count(state.steps.len(), "step");
    let cached = listed.count(|status| *status == StepStatus::Ended(Ending::Cached));
    if cached > 0 {
        let _ = write!(what, " ({cached} cached)");
    }
    let failed: Vec<&str> = listed.failed().map(|step| step.id().as_str()).collect();
    if !failed.is_empty() {
        let _ = write!(what, ", failed: {}", failed.join(", "));
    }
    if let Some(of) = state.rerun_of {
        let _ = write!(what, ", again of {}", of.short());
    }
    clean(what.as_bytes(), false)
}

/// The runs as JSON.
#[must_use]
pub fn json(runs: &[Listed]) -> String {
    let all: Vec<Value> = runs.iter().map(one).collect();
    serde_json::to_string_pretty(&all).unwrap_or_default() + "\n"
}

fn one(listed: &Listed) -> Value {
    let stand = match listed.stand() {
        Stand::Ended(_) => "ended",
        Stand::Running => "running",
        Stand::BrokenOff => "broken_off",
        Stand::Unknown => "unknown",
    };
    let state = listed.state.as_ref();
    let ended = |wanted: fn(&Ending) -> bool| {
        listed.count(|status| matches!(status, StepStatus::Ended(ending) if wanted(ending)))
    };
    json!({
        "run": listed.run,
        "status": stand,
        "verdict": state.and_then(|state| state.verdict),
        "project": state.map(|state| &state.project),
        "commit": state.and_then(|state| state.commit.as_ref()),
        "started_at": state.and_then(|state| state.started_at),
        "elapsed_ms": state.map(|state| u64::try_from(state.elapsed.as_millis()).unwrap_or(u64::MAX)),
        "rerun_of": state.and_then(|state| state.rerun_of),
        "steps": {
            "all": listed.steps().len(),
            "passed": ended(|ending| *ending == Ending::Passed),
            "cached": ended(|ending| *ending == Ending::Cached),
            "failed": ended(|ending| matches!(ending, Ending::Failed(_))),
            "skipped": ended(|ending| matches!(ending, Ending::Skipped(_))),
            "cancelled": ended(|ending| matches!(ending, Ending::Cancelled(_))),
        },
        "failed": listed.failed().map(StepState::id).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(end: u32, verdict: Option<Verdict>, alive: Option<bool>) -> Listed {
        let run: RunId = format!("0197f3a0-0000-7000-8000-0000{end:08x}")
            .parse()
            .unwrap();
        let state = serde_json::json!({
            "run": run, "project": "shop", "commit": null, "started_at": "2026-03-01T10:00:00Z",
            "elapsed_ms": 61_000, "engine": null, "stopping": null, "warnings": [],
            "verdict": verdict, "rerun_of": null,
            "steps": [{
                "id": "unit\u{1b}[2J", "kind": "run", "needs": [], "phase": null, "started": null,
                "status": {"ended": {"failed": {"exit": {"code": 1}}}}, "duration_ms": 1,
                "tests": [], "findings": [], "artifacts": [], "image": null, "pushed": [],
                "released": [], "warnings": []
            }]
        });
        Listed {
            run,
            state: Some(serde_json::from_value(state).unwrap()),
            alive,
        }
    }

    #[test]
    fn each_run_has_a_line_and_an_object() {
        let mut gone = listed(4, None, None);
        gone.state = None;
        let mut again = listed(3, Some(Verdict::StepFailed), None);
        let of = "0197f3a0-0000-7000-8000-000000000001".parse().unwrap();
        again.state.as_mut().unwrap().rerun_of = Some(of);
        let runs = [
            gone,
            again,
            listed(2, None, Some(true)),
            listed(1, None, Some(false)),
        ];
        assert_eq!(
            text(&runs, false),
            "00000004  unknown     ?      its folder cannot be read\n\
             00000003  failed      2026-03-01T10:00:00Z  1m01s  1 step, failed: unit, again of \
             00000001\n\
             00000002  running     2026-03-01T10:00:00Z  1m01s  1 step, failed: unit\n\
             00000001  broken off  2026-03-01T10:00:00Z  1m01s  1 step, failed: unit\n"
                .replace("?      its", "?         its")
        );
        let all: Value = serde_json::from_str(&json(&runs)).unwrap();
        assert_eq!(all[1]["verdict"], "step_failed");
        assert_eq!(all[1]["steps"]["failed"], 1);
        assert_eq!(all[1]["rerun_of"], "0197f3a0-0000-7000-8000-000000000001");
        assert_eq!(all[2]["status"], "running");
    }
}
