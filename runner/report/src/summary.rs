//! The end of a run in a few lines, the most important last: what failed and why, failing tests by
//! name, what was found, how to see more, the verdict. It repeats no log.

use std::fmt::Write;

use hoist_model::reason::{Ending, FailureReason, Verdict};
use hoist_model::results::{Finding, FindingClass, TestCase, TestOutcome};
use hoist_model::state::{Note, RunState, StepState, StepStatus};

use crate::lines::clean;
use crate::style::{BAD, BOLD, DIM, GOOD, Paint, WARN, fit};
use crate::{gc, words};

/// The most failing tests shown of one step.
const TESTS: usize = 10;
/// The most findings shown of a step that its gate failed.
const FINDINGS: usize = 10;
/// The most findings shown of a step that passed.
const TOLERATED: usize = 3;

/// What the end block needs to know besides the run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Paint.
    pub colour: bool,
    /// Columns; longer lines are cut.
    pub width: usize,
    /// Show all failing tests and findings, however many.
    pub verbose: bool,
    /// Files that the run writes, as people would open them.
    pub reports: Vec<String>,
}

/// The end block.
#[must_use]
pub fn render(state: &RunState, options: &Options) -> String {
    let mut block = Block {
        out: String::new(),
        options,
        paint: Paint {
            colour: options.colour,
        },
    };
    for note in &state.warnings {
        block.warning(None, note);
    }
    for step in &state.steps {
        block.step(step);
    }
    block.counts(state);
    for report in &options.reports {
        block.line(DIM, &format!("report {report}"));
    }
    if let Some(tally) = &state.collected {
        block.line(DIM, &format!("gc     {}", gc::tally("removed", tally)));
    }
    block.verdict(state);
    block.out
}

struct Block<'a> {
    out: String,
    options: &'a Options,
    paint: Paint,
}

impl Block<'_> {
    fn line(&mut self, style: anstyle::Style, text: &str) {
        let text = fit(text, self.options.width);
        let _ = writeln!(self.out, "{}", self.paint.paint(style, &text));
    }

    /// A line that is never cut: people copy from it.
    fn whole(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
    }

    fn warning(&mut self, step: Option<&StepState>, note: &Note) {
        let whose = step
            .map(|step| format!("{}: ", step.id()))
            .unwrap_or_default();
        self.whole(
            &self
                .paint
                .paint(WARN, &format!("! {whose}{}", note.message)),
        );
        if let Some(hint) = &note.hint {
            self.whole(&format!("    try:   {hint}"));
        }
    }

    fn step(&mut self, step: &StepState) {
        for note in &step.warnings {
            self.warning(Some(step), note);
        }
        if self.options.verbose {
            for line in words::passed_on(step) {
                self.line(
                    DIM,
                    &clean(format!("  {}: {line}", step.id()).as_bytes(), false),
                );
            }
        }
        match step.ending() {
            Some(Ending::Failed(reason)) => self.failed(step, reason),
            Some(Ending::Passed | Ending::Cached)
                if !step.findings.is_empty() || step.tests.iter().any(TestCase::is_flaky) =>
            {
                let text = format!("  {}: {}", step.id(), words::results(step).join(", "));
                self.line(DIM, &text);
                self.findings(&step.findings);
                self.flaky(step);
            }
            Some(Ending::Passed | Ending::Cached | Ending::Skipped(_) | Ending::Cancelled(_))
            | None => {}
        }
    }

    fn failed(&mut self, step: &StepState, reason: &FailureReason) {
        let (sign, style) = words::sign_of(step);
        let mut words = vec![words::ended(step, &Ending::Failed(reason.clone()))];
        words.extend(words::results(step));
        let text = format!(
            "{sign} {}  {}  {}",
            step.id(),
            words.join(", "),
            words::duration(step.duration)
        );
        self.whole(&self.paint.paint(style, &text));
        for detail in words::details(reason) {
            let detail = clean(detail.as_bytes(), false);
            self.whole(&format!("    {detail}"));
        }
        self.findings(&step.findings);
        let failing = step.tests.iter().filter(|case| case.is_failure());
        self.some(failing, "failing test", Self::test);
        let before = step.tests_before.iter().filter(|case| case.is_failure());
        self.some(before, "failing test", |block, case| {
            let name = words::test_name(case);
            let text = format!("    {name}  in an attempt before the last one");
            block.whole(&clean(text.as_bytes(), false));
        });
        self.flaky(step);
        let mut log = format!("    whole log: hoist logs {}", step.id());
        if let FailureReason::Service { service, .. } = reason {
            let _ = write!(log, " --service {service}");
        }
        self.line(DIM, &log);
    }

    /// Tests that passed after they had failed.
    fn flaky(&mut self, step: &StepState) {
        let flaky = step.tests.iter().filter(|case| case.is_flaky());
        self.some(flaky, "flaky test", |block, case| {
            let text = format!("    {}  {}", words::test_name(case), words::flaky(case));
            let text = fit(&clean(text.as_bytes(), false), block.options.width);
            block.whole(&block.paint.paint(WARN, &text));
        });
    }

    /// Shows tests, but no more than people read, and how many more there are.
    fn some<'c>(
        &mut self,
        cases: impl Iterator<Item = &'c TestCase>,
        what: &str,
        show: impl Fn(&mut Self, &TestCase),
    ) {
        let most = if self.options.verbose {
            usize::MAX
        } else {
            TESTS
        };
        let mut more = 0;
        for (number, case) in cases.enumerate() {
            if number < most {
                show(self, case);
            } else {
                more += 1;
            }
        }
        if more > 0 {
            self.line(DIM, &format!("    and {} more", words::count(more, what)));
        }
    }

    fn test(&mut self, case: &TestCase) {
        let place = match (&case.file, case.line) {
            (Some(file), Some(line)) => format!("  {file}:{line}"),
            (Some(file), None) => format!("  {file}"),
            (None, _) => String::new(),
        };
        let name = words::test_name(case);
        let text = clean(format!("    {name}{place}").as_bytes(), false);
        self.whole(&self.paint.paint(BOLD, &text));
        if let TestOutcome::Failed(failure) | TestOutcome::Errored(failure) = &case.outcome {
            let message = failure.message.lines().next().unwrap_or_default();
            if !message.is_empty() {
                self.line(DIM, &clean(format!("      {message}").as_bytes(), false));
            }
        }
    }

    fn findings(&mut self, findings: &[Finding]) {
        let most = if self.options.verbose {
            usize::MAX
        } else if findings.iter().any(|finding| finding.failing) {
            FINDINGS
        } else {
            TOLERATED
        };
        // Those that stand against the gate are never hidden behind those that do not.
        let failing = findings.iter().filter(|finding| finding.failing);
        let shown: Vec<_> = failing
            .chain(findings.iter().filter(|f| !f.failing))
            .take(most)
            .collect();
        for finding in &shown {
            let what = match (&finding.package, finding.class) {
                (Some(package), _) => {
                    let fixed = package
                        .fixed
                        .as_ref()
                        .map_or_else(|| "no fix".to_owned(), |fixed| format!("fixed in {fixed}"));
                    format!("{} {} ({fixed})", package.name, package.installed)
                }
                (None, FindingClass::Secret | FindingClass::Vulnerability) => {
                    let line = finding
                        .line
                        .map(|line| format!(":{line}"))
                        .unwrap_or_default();
                    format!("{}{line}", finding.target)
                }
            };
            let severity = finding.severity.name();
            let text = format!(
                "    {severity:<8} {:<18} {what}  {}",
                finding.id, finding.title
            );
            let style = if finding.failing { BAD } else { DIM };
            self.line(style, &clean(text.as_bytes(), false));
        }
        if findings.len() > shown.len() {
            self.line(
                DIM,
                &format!(
                    "    and {} more: -v shows all",
                    findings.len() - shown.len()
                ),
            );
        }
    }

    fn counts(&mut self, state: &RunState) {
        let mut skipped: Vec<(String, Vec<&str>)> = Vec::new();
        for step in &state.steps {
            if let Some(ending @ (Ending::Skipped(_) | Ending::Cancelled(_))) = step.ending() {
                let words = words::ending(ending);
                match skipped.iter_mut().find(|(other, _)| *other == words) {
                    Some((_, ids)) => ids.push(step.id().as_str()),
                    None => skipped.push((words, vec![step.id().as_str()])),
                }
            }
        }
        for (words, ids) in skipped {
            self.line(DIM, &format!("○ {}  {words}", ids.join(", ")));
        }
    }

    fn verdict(&mut self, state: &RunState) {
        let verdict = state.verdict.unwrap_or_else(|| state.verdict_so_far());
        let word = words::verdict(verdict);
        let time = words::duration(state.elapsed);
        let passed = state
            .steps
            .iter()
            .filter(|s| s.ending().is_some_and(Ending::is_good))
            .count();
        let cached = state
            .steps
            .iter()
            .filter(|s| s.ending() == Some(&Ending::Cached))
            .count();
        if verdict == Verdict::Passed {
            let cached = if cached > 0 {
                format!(" ({cached} cached)")
            } else {
                String::new()
            };
            let tests = state.steps.iter().flat_map(|step| &step.tests);
            let flaky = match tests.filter(|case| case.is_flaky()).count() {
                0 => String::new(),
                flaky => format!(", {}", words::count(flaky, "flaky test")),
            };
            let steps = words::count(passed, "step");
            let line = format!("{word} in {time}: {steps}{cached}{flaky}");
            self.whole(&self.paint.paint(GOOD, &line));
            return;
        }
        let causes: Vec<_> = state
            .steps
            .iter()
            .filter(|step| is_failed(step))
            .map(cause)
            .collect();
        let line = if causes.is_empty() {
            format!("{word} in {time}")
        } else {
            format!("{word} in {time}: {}", causes.join("; "))
        };
        self.whole(&self.paint.paint(BAD, &line));
    }
}

fn is_failed(step: &StepState) -> bool {
    !step.allowed && matches!(step.status, StepStatus::Ended(Ending::Failed(_)))
}

/// The step, and the first of its tests that failed.
fn cause(step: &StepState) -> String {
    let mut failing = step.tests.iter().filter(|case| case.is_failure());
    match failing.next() {
        Some(first) => {
            let more = failing.count();
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            let name = clean(words::test_name(first).as_bytes(), false);
            format!("{}: {name}{more}", step.id())
        }
        None => step.id().to_string(),
    }
}
