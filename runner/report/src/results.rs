//! The tests of a run, and one test over several runs, for people, for programs and for pull
//! requests. The order is the model's; nothing here is left out but by the bound that is handed in.

mod history;
mod json;
mod markdown;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use hoist_model::results::{Counts, Listed, TestCase, TestFailure, TestState};
use hoist_model::state::RunState;

pub use history::{history_json, history_markdown, history_text};
pub use json::json;
pub use markdown::markdown;

use crate::lines::clean;
use crate::style::{BAD, BOLD, DIM, GOOD, Paint, WARN};
use crate::words;

/// How many tests that neither failed nor are flaky are shown to people who do not say how many.
const SLOWEST: usize = 10;

/// What of a run's tests is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection {
    /// Only those that failed.
    pub failed: bool,
    /// At most so many.
    pub most: Option<usize>,
}

impl Selection {
    /// The tests of the order that are shown, and how many more there are.
    #[must_use]
    pub fn of<'a, 'b>(self, tests: &'b [Listed<'a>]) -> (&'b [Listed<'a>], usize) {
        let all = if self.failed {
            tests.partition_point(|listed| listed.case.state().is_failure())
        } else {
            tests.len()
        };
        let shown = all.min(self.most.unwrap_or(usize::MAX));
        (tests.get(..shown).unwrap_or_default(), all - shown)
    }

    /// As [`Selection::of`], for people: who does not say how many wants no thousands.
    fn for_people<'a, 'b>(self, tests: &'b [Listed<'a>]) -> (&'b [Listed<'a>], usize) {
        let telling = tests.partition_point(|listed| listed.case.state() <= TestState::Flaky);
        Self {
            most: self.most.or(Some(telling + SLOWEST)),
            ..self
        }
        .of(tests)
    }
}

/// How text is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Paint.
    pub colour: bool,
    /// Whole texts of failures too.
    pub verbose: bool,
}

/// The tests for a terminal.
#[must_use]
pub fn text(run: &RunState, tests: &[Listed<'_>], selection: Selection, style: Style) -> String {
    let paint = Paint {
        colour: style.colour,
    };
    let mut out = format!("{}\n{}\n", heading(run), counts(&count(tests)));
    let (shown, more) = selection.for_people(tests);
    let mut slowest = false;
    for (at, listed) in shown.iter().enumerate() {
        let state = listed.case.state();
        if state > TestState::Flaky && !slowest {
            slowest = true;
            let word = if at == 0 {
                "slowest"
            } else {
                "slowest of the others"
            };
            let _ = writeln!(out, "\n{}", paint.paint(DIM, word));
        } else if at == 0 {
            out.push('\n');
        }
        test(&mut out, listed, paint, style.verbose);
    }
    if more > 0 {
        let line = format!("and {}: -n 0 shows all", words::count(more, "more test"));
        let _ = writeln!(out, "{}", paint.paint(DIM, &line));
    }
    out
}

fn test(out: &mut String, listed: &Listed<'_>, paint: Paint, verbose: bool) {
    let case = listed.case;
    let (sign, style) = match case.state() {
        TestState::Failed | TestState::Errored => ("✗", BAD),
        TestState::Flaky => ("~", WARN),
        TestState::Passed => ("✓", GOOD),
        TestState::Skipped => ("○", DIM),
    };
    let mut line = format!("{}  {}", listed.step, words::test_name(case));
    if case.state() != TestState::Skipped {
        let _ = write!(line, "  {}", words::duration(case.duration));
    }
    if let Some(place) = place(case) {
        let _ = write!(line, "  {place}");
    }
    let strong = if case.is_failure() {
        BOLD
    } else {
        anstyle::Style::new()
    };
    let line = clean(line.as_bytes(), false);
    let _ = writeln!(
        out,
        "{} {}",
        paint.paint(style, sign),
        paint.paint(strong, &line)
    );
    if !listed.latest {
        let _ = writeln!(out, "    in an attempt before the last one");
    }
    let note = |out: &mut String, text: &str| {
        let _ = writeln!(
            out,
            "    {}",
            paint.paint(DIM, &clean(text.as_bytes(), false))
        );
    };
    if let Some(failure) = case.failure() {
        note(out, &failure.message);
        if verbose {
            whole(out, failure);
        }
    }
    if case.is_flaky() {
        note(out, &words::flaky(case));
        for failure in case.earlier.iter().filter(|_| verbose) {
            whole(out, failure);
        }
    }
    if let hoist_model::results::TestOutcome::Skipped { message: Some(why) } = &case.outcome {
        note(out, why);
    }
}

fn whole(out: &mut String, failure: &TestFailure) {
    for line in failure.text.lines() {
        let line = format!("      {}", clean(line.as_bytes(), false));
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

fn count(tests: &[Listed<'_>]) -> Counts {
    Counts::of(tests.iter().map(|listed| listed.case))
}

/// `run ID  shop  FAILED  2026-03-01 10:00:00 UTC`.
fn heading(run: &RunState) -> String {
    let mut words = Vec::new();
    if let Some(id) = run.run {
        words.push(format!("run {id}"));
    }
    words.push(clean(run.project.as_bytes(), false));
    words.push(match run.verdict {
        Some(verdict) => words::verdict(verdict).to_owned(),
        None => "not over".to_owned(),
    });
    words.extend(run.started_at.map(words::time));
    words.join("  ")
}

/// `2 failed, 1 flaky, 40 passed, 1 skipped of 44 tests`.
fn counts(counts: &Counts) -> String {
    if counts.tests == 0 {
        return "no tests were found; steps tell of theirs by artifacts.reports".to_owned();
    }
    let all = [
        (counts.failed, "failed"),
        (counts.errored, "errored"),
        (counts.flaky, "flaky"),
        (counts.passed - counts.flaky, "passed"),
        (counts.skipped, "skipped"),
    ];
    let all = all.iter().filter(|(count, _)| *count > 0);
    let all: Vec<String> = all.map(|(count, word)| format!("{count} {word}")).collect();
    format!("{}: {}", words::count(counts.tests, "test"), all.join(", "))
}

/// `tests/test_cart.py:9`.
fn place(case: &TestCase) -> Option<String> {
    let file = case.file.as_ref()?;
    Some(match case.line {
        Some(line) => format!("{file}:{line}"),
        None => file.clone(),
    })
}
