//! A run as JUnit XML: one suite a step, the tests that ran inside it, one case for a step that had
//! none, findings as failures. Written with the junit-report crate, which writes whatever it is
//! given; so every string is made legal for XML here first.

use std::collections::HashMap;
use std::time::Duration;

use hoist_model::reason::{Ending, FailureReason};
use hoist_model::reporter::ReportError;
use hoist_model::results::{Finding, Listed, TestCase, TestFailure, TestOutcome};
use hoist_model::state::{RunState, StepState};
use junit_report as xml;

use crate::words;

/// Writes a run.
///
/// # Errors
/// When `out` refuses.
pub fn write(state: &RunState, out: impl std::io::Write) -> Result<(), ReportError> {
    let mut report = xml::ReportBuilder::new();
    for step in &state.steps {
        report.add_testsuite(suite(state, step));
    }
    report
        .build()
        .write_xml(out)
        .map_err(|error| ReportError(error.to_string()))
}

/// Writes tests of a run and nothing else, a suite for each step that has any.
///
/// # Errors
/// When `out` refuses.
pub fn write_tests(
    state: &RunState,
    tests: &[Listed<'_>],
    out: impl std::io::Write,
) -> Result<(), ReportError> {
    let mut report = xml::ReportBuilder::new();
    for step in &state.steps {
        let mut names = HashMap::new();
        let of_step = tests.iter().filter(|listed| listed.step == step.id());
        let cases: Vec<_> = of_step
            .map(|listed| test(step, listed.case, &mut names))
            .collect();
        if !cases.is_empty() {
            report.add_testsuite(begun(state, step).add_testcases(cases).build());
        }
    }
    report
        .build()
        .write_xml(out)
        .map_err(|error| ReportError(error.to_string()))
}

/// As [`write()`], to a string.
///
/// # Errors
/// As there.
pub fn text(state: &RunState) -> Result<String, ReportError> {
    let mut text = Vec::new();
    write(state, &mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The suite of a step, with no case yet.
fn begun(state: &RunState, step: &StepState) -> xml::TestSuiteBuilder {
    let mut suite = xml::TestSuiteBuilder::new(&legal(step.id().as_str()));
    if let Some(at) = state.started_at {
        let at = at
            .as_second()
            .saturating_add_unsigned(step.started.unwrap_or_default().as_secs());
        if let Ok(at) = xml::OffsetDateTime::from_unix_timestamp(at) {
            suite.set_timestamp(at);
        }
    }
    suite
}

fn suite(state: &RunState, step: &StepState) -> xml::TestSuite {
    let mut suite = begun(state, step);
    let mut names = HashMap::new();
    for case in &step.tests {
        suite.add_testcase(test(step, case, &mut names));
    }
    for finding in &step.findings {
        suite.add_testcase(found(step, finding));
    }
    let told = step.tests.iter().any(TestCase::is_failure)
        || step.findings.iter().any(|finding| finding.failing);
    let failed = matches!(step.ending(), Some(Ending::Failed(_)));
    if (step.tests.is_empty() && step.findings.is_empty()) || (failed && !told) {
        suite.add_testcase(whole(step));
    }
    suite.build()
}

/// The case of a step itself.
fn whole(step: &StepState) -> xml::TestCase {
    let (name, time) = (legal(step.id().as_str()), time(step.duration));
    let mut case = match step.ending() {
        Some(Ending::Passed | Ending::Cached) => xml::TestCaseBuilder::success(&name, time),
        Some(Ending::Failed(reason)) => {
            let message = legal(&words::failure(reason));
            let mut text = vec![
                format!("step {} ({})", step.id(), step.outline.kind),
                words::failure(reason),
            ];
            text.extend(words::details(reason));
            let mut case = match reason {
                FailureReason::Service { .. }
                | FailureReason::Configuration(_)
                | FailureReason::Surroundings(_) => {
                    xml::TestCaseBuilder::error(&name, time, "error", &message)
                }
                FailureReason::Exit { .. }
                | FailureReason::OutOfMemory { .. }
                | FailureReason::TimedOut { .. }
                | FailureReason::CannotStart { .. }
                | FailureReason::Build { .. }
                | FailureReason::Gate { .. }
                | FailureReason::NotApproved { .. }
                | FailureReason::Unverified { .. }
                | FailureReason::Deploy { .. } => {
                    xml::TestCaseBuilder::failure(&name, time, "failure", &message)
                }
            };
            case.set_trace(&legal(&text.join("\n")));
            case
        }
        Some(ending @ (Ending::Skipped(_) | Ending::Cancelled(_))) => {
            let message = legal(&words::ending(ending));
            xml::TestCaseBuilder::skipped_with_cause(&name, "skipped", &message)
        }
        None => xml::TestCaseBuilder::skipped_with_cause(&name, "skipped", "did not end"),
    };
    if let Some(earlier) = &step.earlier {
        case.set_system_out(&format!("cached, from run {}", earlier.run));
    }
    case.set_classname(&name);
    case.build()
}

/// A test from inside a step. Readers drop a second case of the same class and name, so a repeated
/// one is numbered.
fn test(
    step: &StepState,
    case: &TestCase,
    names: &mut HashMap<(String, String), usize>,
) -> xml::TestCase {
    let class = match case.group() {
        "" => legal(step.id().as_str()),
        group => legal(&format!("{}.{group}", step.id())),
    };
    let seen = names.entry((class.clone(), case.name.clone())).or_insert(0);
    *seen += 1;
    let name = match *seen {
        1 => legal(&case.name),
        n => legal(&format!("{} ({n})", case.name)),
    };
    let time = time(case.duration);
    let failed = |failure: &TestFailure| {
        let message = legal(failure.message.lines().next().unwrap_or_default());
        let kind = if failure.kind.is_empty() {
            "failure".to_owned()
        } else {
            legal(&failure.kind)
        };
        (kind, message, legal(&trace(case, failure)))
    };
    let mut out = match &case.outcome {
        TestOutcome::Passed => xml::TestCaseBuilder::success(&name, time),
        TestOutcome::Failed(failure) => {
            let (kind, message, trace) = failed(failure);
            let mut out = xml::TestCaseBuilder::failure(&name, time, &kind, &message);
            out.set_trace(&trace);
            out
        }
        TestOutcome::Errored(failure) => {
            let (kind, message, trace) = failed(failure);
            let mut out = xml::TestCaseBuilder::error(&name, time, &kind, &message);
            out.set_trace(&trace);
            out
        }
        TestOutcome::Skipped { message } => {
            let message = legal(message.as_deref().unwrap_or("skipped"));
            xml::TestCaseBuilder::skipped_with_cause(&name, "skipped", &message)
        }
    };
    out.set_classname(&class);
    if let Some(file) = &case.file {
        out.set_filepath(&legal(file));
    }
    // The writer has no element for it; what readers show of a test that passed is its output.
    let flaky = case.is_flaky().then(|| tries(case));
    let output: Vec<&str> = flaky
        .iter()
        .chain(&case.output)
        .map(String::as_str)
        .collect();
    if !output.is_empty() {
        out.set_system_out(&legal(&output.join("\n")));
    }
    out.build()
}

/// What a flaky test failed with before it passed.
fn tries(case: &TestCase) -> String {
    let mut text = words::flaky(case);
    for (number, failure) in (1..).zip(&case.earlier) {
        text.push_str(&format!(
            "\n--- try {number}: {}\n{}\n",
            failure.message, failure.text
        ));
    }
    text
}

/// The text of a failure; some readers see nothing else, so place and message are in it.
fn trace(case: &TestCase, failure: &TestFailure) -> String {
    let mut text = String::new();
    if let Some(file) = &case.file {
        let line = case.line.map(|line| format!(":{line}")).unwrap_or_default();
        text.push_str(&format!("{file}{line}\n"));
    }
    if !failure.text.contains(&failure.message) {
        text.push_str(&failure.message);
        text.push('\n');
    }
    text.push_str(&failure.text);
    text
}

fn found(step: &StepState, finding: &Finding) -> xml::TestCase {
    let what = match &finding.package {
        Some(package) => format!("{} {}", package.name, package.installed),
        None => match finding.line {
            Some(line) => format!("{}:{line}", finding.target),
            None => finding.target.clone(),
        },
    };
    let name = legal(&format!("{} {what}", finding.id));
    let severity = finding.severity.name();
    let mut case = if finding.failing {
        let message = legal(&format!("{severity} {}", finding.title));
        let mut case =
            xml::TestCaseBuilder::failure(&name, xml::Duration::ZERO, severity, &message);
        let fixed = finding
            .package
            .as_ref()
            .and_then(|package| package.fixed.as_ref());
        let mut text = vec![
            format!("{severity} {} in {what}", finding.id),
            finding.title.clone(),
            format!("target: {}", finding.target),
            fixed.map_or_else(
                || "fixed in: -".to_owned(),
                |fixed| format!("fixed in: {fixed}"),
            ),
        ];
        text.extend(finding.url.clone());
        case.set_trace(&legal(&text.join("\n")));
        case
    } else {
        xml::TestCaseBuilder::success(&name, xml::Duration::ZERO)
    };
    case.set_classname(&legal(&format!("{}.{}", step.id(), finding.target)));
    case.build()
}

fn time(duration: Duration) -> xml::Duration {
    xml::Duration::try_from(duration).unwrap_or(xml::Duration::ZERO)
}

/// Text that XML 1.0 may hold anywhere, CDATA sections too: escape sequences, control characters
/// and noncharacters are left out, and a CDATA section's end is broken up.
#[must_use]
pub fn legal(text: &str) -> String {
    let stripped = anstream::adapter::strip_str(text).to_string();
    let legal = |c: &char| match c {
        '\t' | '\n' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        c => !c.is_control(),
    };
    stripped
        .chars()
        .filter(legal)
        .collect::<String>()
        .replace("]]>", "]] >")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_model::event::{EventKind, RunEvent, StepOutline};
    use hoist_model::ids::{RunId, StepId};
    use hoist_model::reason::SkipReason;
    use proptest::prelude::*;

    fn case(name: &str, outcome: TestOutcome) -> TestCase {
        TestCase {
            suite: "s".into(),
            class: "c".into(),
            name: name.into(),
            outcome,
            duration: Duration::from_millis(1234),
            file: Some("tests/a.py".into()),
            line: Some(7),
            output: None,
            earlier: Vec::new(),
        }
    }

    fn state(cases: Vec<TestCase>) -> RunState {
        let outline = |id: &str| StepOutline {
            id: StepId::from(id),
            kind: "run".into(),
            needs: Vec::new(),
            relaxations: Vec::new(),
        };
        let unit = StepId::from("unit");
        let kinds = [
            EventKind::RunStarted {
                project: "p".into(),
                version: "0".into(),
                steps: vec![outline("unit"), outline("after")],
                jobs: 1,
                commit: None,
                rerun_of: None,
            },
            EventKind::StepStarted {
                step: unit.clone(),
                attempt: 1,
            },
            EventKind::TestsFound {
                step: unit.clone(),
                attempt: 1,
                cases,
            },
            EventKind::StepEnded {
                step: unit.clone(),
                ending: Ending::Failed(FailureReason::Exit { code: 1 }),
                duration: Duration::from_secs(2),
                allowed: false,
            },
            EventKind::StepEnded {
                step: StepId::from("after"),
                ending: Ending::Skipped(SkipReason::NeedFailed { step: unit }),
                duration: Duration::ZERO,
                allowed: false,
            },
        ];
        let mut state = RunState::default();
        for (seq, kind) in (0u64..).zip(kinds) {
            let (run, at) = (RunId(uuid::Uuid::nil()), jiff::Timestamp::UNIX_EPOCH);
            state.apply(&RunEvent {
                run,
                seq,
                at,
                elapsed: Duration::ZERO,
                kind,
            });
        }
        state
    }

    fn rendered(state: &RunState) -> String {
        let mut out = Vec::new();
        write(state, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_second_reader_sees_the_same_counts() {
        let failure = TestFailure {
            message: "assert 1 == 2".into(),
            kind: "AssertionError".into(),
            text: "trace".into(),
        };
        let text = rendered(&state(vec![
            case("good", TestOutcome::Passed),
            case("bad", TestOutcome::Failed(failure)),
            case("good", TestOutcome::Passed),
            case("later", TestOutcome::Skipped { message: None }),
        ]));
        let document = roxmltree::Document::parse(&text).unwrap();
        let count = |tag: &str| {
            document
                .descendants()
                .filter(|n| n.has_tag_name(tag))
                .count()
        };
        assert_eq!(
            (count("testsuite"), count("testcase"), count("failure")),
            (2, 5, 1)
        );
        assert_eq!(count("skipped"), 2);
        let failed = document
            .descendants()
            .find(|n| n.has_tag_name("failure"))
            .unwrap();
        let body = failed.text().unwrap();
        assert!(
            body.contains("tests/a.py:7") && body.contains("assert 1 == 2"),
            "{body}"
        );
        assert!(text.contains("name=\"good (2)\""), "{text}");
    }

    proptest! {
        #[test]
        fn whatever_a_test_says_the_report_is_xml(
            name: String, message: String, output: String
        ) {
            let failure = TestFailure { message, kind: name.clone(), text: output.clone() };
            let mut bad = case(&name, TestOutcome::Failed(failure));
            bad.output = Some(output + "]]>\u{1b}[31m\u{fffe}");
            let text = rendered(&state(vec![bad]));
            prop_assert!(roxmltree::Document::parse(&text).is_ok(), "{}", text);
        }
    }
}
