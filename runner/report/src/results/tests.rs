//! Each view of the same run: one with two attempts, a test that failed in both, a flaky one, a lost one.

use std::time::Duration;

use hoist_model::event::EventKind;
use hoist_model::ids::{RunId, StepId};
use hoist_model::reason::{Ending, FailureReason, Verdict};
use hoist_model::results::{History, TestCase, TestFailure, TestOutcome, list};
use hoist_model::state::RunState;

use super::*;
use crate::sample::Sample;
use crate::{junit, summary};

fn case(name: &str, millis: u64, outcome: TestOutcome) -> TestCase {
    TestCase {
        suite: "pytest".into(),
        class: "tests.cart".into(),
        name: name.into(),
        outcome,
        duration: Duration::from_millis(millis),
        ..TestCase::default()
    }
}

fn failure(message: &str) -> TestOutcome {
    TestOutcome::Failed(TestFailure {
        message: message.into(),
        kind: "AssertionError".into(),
        text: format!("def test():\n>   assert\nE   {message}"),
    })
}

/// A step with two attempts: one test failed in both, one in the first only, one was lost.
fn run(last: Ending) -> RunState {
    let unit = StepId::from("unit");
    let (mut sample, started) = Sample::of(&["unit", "lint"]);
    sample.apply(0, started);
    let mut bad = case("test_less", 250, failure("3 is not < 2"));
    bad.file = Some("tests/cart.py".into());
    bad.line = Some(9);
    let first = vec![
        bad.clone(),
        case("test_net", 10, failure("timeout | *now*")),
        case("test_lost", 10, failure("lost")),
        case("test_fast", 10, TestOutcome::Passed),
    ];
    let mut second = vec![
        case("test_fast", 10, TestOutcome::Passed),
        case("test_slow", 4_200, TestOutcome::Passed),
        case("test_net", 20, TestOutcome::Passed),
        case(
            "test_later",
            0,
            TestOutcome::Skipped {
                message: Some("no <db> yet".into()),
            },
        ),
    ];
    if last != Ending::Passed {
        second.push(bad);
    }
    for (attempt, cases) in [(1, first), (2, second)] {
        let step = unit.clone();
        sample.apply(
            1,
            EventKind::StepStarted {
                step: step.clone(),
                attempt,
            },
        );
        sample.apply(
            2,
            EventKind::TestsFound {
                step,
                attempt,
                cases,
            },
        );
    }
    let verdict = if last == Ending::Passed {
        Verdict::Passed
    } else {
        Verdict::StepFailed
    };
    sample.apply(
        3,
        EventKind::StepEnded {
            step: unit,
            ending: last,
            duration: Duration::from_secs(5),
            allowed: false,
        },
    );
    sample.apply(4, EventKind::RunEnded { verdict });
    sample.state
}

fn failed() -> RunState {
    run(Ending::Failed(FailureReason::Exit { code: 1 }))
}

#[test]
fn people_see_what_failed_then_what_is_flaky_then_the_slowest() {
    let state = failed();
    let text = text(
        &state,
        &list(&state),
        Selection::default(),
        Style::default(),
    );
    let expected = "\
run 00000000-0000-0000-0000-000000000000  sample  FAILED  1970-01-01 00:00:00 UTC
6 tests: 2 failed, 1 flaky, 2 passed, 1 skipped

✗ unit  tests.cart::test_less  0.25s  tests/cart.py:9
    3 is not < 2
✗ unit  tests.cart::test_lost  0.01s
    in an attempt before the last one
    lost
~ unit  tests.cart::test_net  0.02s
    flaky: failed once before it passed: timeout | *now*

slowest of the others
✓ unit  tests.cart::test_slow  4.2s
✓ unit  tests.cart::test_fast  0.01s
○ unit  tests.cart::test_later
    no <db> yet
";
    assert_eq!(text, expected);
}

#[test]
fn fewer_are_shown_where_fewer_are_asked_for() {
    let state = failed();
    let tests = list(&state);
    let shown = |failed, most| {
        let text = text(&state, &tests, Selection { failed, most }, Style::default());
        let lines = text
            .lines()
            .filter(|line| line.starts_with(['✗', '~', '✓', '○']))
            .count();
        (lines, text.lines().last().unwrap_or_default().to_owned())
    };
    assert_eq!(shown(true, None).0, 2);
    assert_eq!(
        shown(false, Some(3)),
        (3, "and 3 more tests: -n 0 shows all".into())
    );
    assert_eq!(
        shown(true, Some(1)),
        (1, "and 1 more test: -n 0 shows all".into())
    );
    assert_eq!(shown(false, Some(0)).0, 0);
    let many: Vec<TestCase> = (0..30)
        .map(|number| case(&number.to_string(), number, TestOutcome::Passed))
        .collect();
    let mut state = failed();
    state.steps[0].tests.extend(many);
    let tests = list(&state);
    let (shown, more) = Selection::default().for_people(&tests);
    assert_eq!((shown.len(), more), (13, 23));
}

#[test]
fn a_run_without_tests_says_how_to_get_them() {
    let (mut sample, started) = Sample::of(&["unit"]);
    sample.apply(0, started);
    let text = text(&sample.state, &[], Selection::default(), Style::default());
    assert!(
        text.contains("not over") && text.contains("artifacts.reports"),
        "{text}"
    );
}

#[test]
fn what_tests_say_moves_no_cursor() {
    let mut state = failed();
    state.steps[0].tests = vec![case("a\u{1b}[2Jb\nc", 1, failure("x\u{1b}]0;t\u{7}y"))];
    let style = Style {
        colour: false,
        verbose: true,
    };
    let text = text(&state, &list(&state), Selection::default(), style);
    assert!(
        !text.contains('\u{1b}') && !text.contains('\u{7}'),
        "{text:?}"
    );
}

#[test]
fn programs_see_every_field() {
    let state = failed();
    let json = json(&state, &list(&state), Selection::default());
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["counts"]["failed"], 2);
    assert_eq!(value["counts"]["passed"], 3, "a flaky test passed");
    assert_eq!(value["counts"]["flaky"], 1);
    let first = &value["tests"][0];
    assert_eq!(first["step"], "unit");
    assert_eq!(
        (&first["file"], &first["line"]),
        (&"tests/cart.py".into(), &9.into())
    );
    assert_eq!(
        (&first["state"], &first["kind"]),
        (&"failed".into(), &"AssertionError".into())
    );
    assert_eq!(first["duration_ms"], 250);
    assert_eq!(value["tests"][1]["latest_attempt"], false);
    let flaky = &value["tests"][2];
    assert_eq!(
        (&flaky["state"], &flaky["flaky"]),
        (&"passed".into(), &true.into())
    );
    assert_eq!(flaky["earlier"][0]["message"], "timeout | *now*");
    assert_eq!(value["tests"][5]["message"], "no <db> yet");
}

#[test]
fn markdown_takes_no_markup_from_tests() {
    let mut state = failed();
    state.project = "sh@p <b>".into();
    let mut odd = case("a|b`c <img> [x](y) @all", 1, failure("m"));
    if let TestOutcome::Failed(failure) = &mut odd.outcome {
        failure.text = "one\n````\n</details>\ntwo".into();
    }
    state.steps[0].tests.push(odd);
    let text = markdown(&state, &list(&state), Selection::default());
    assert!(
        text.starts_with("## Tests of sh&#64;p &lt;b&gt;\n"),
        "{text}"
    );
    assert!(
        text.contains(r"| failed | tests.cart::a\|b\`c &lt;img&gt; \[x\]\(y\) &#64;all | unit |"),
        "{text}"
    );
    // The fence is longer than any in the text.
    assert!(
        text.contains("`````text\none\n````\n</details>\ntwo\n`````\n"),
        "{text}"
    );
    assert!(
        text.contains("flaky: failed once before it passed: timeout \\| \\*now\\*"),
        "{text}"
    );
    let rows = text.lines().filter(|line| line.starts_with("| ")).count();
    assert_eq!(rows, 8, "{text}");
}

#[test]
fn junit_has_the_tests_that_are_shown_and_says_what_is_flaky() {
    let state = failed();
    let tests = list(&state);
    let mut out = Vec::new();
    junit::write_tests(&state, &tests, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let count = |tag: &str| {
        document
            .descendants()
            .filter(|node| node.has_tag_name(tag))
            .count()
    };
    assert_eq!(
        (count("testsuite"), count("testcase"), count("failure")),
        (1, 6, 2)
    );
    let output = document
        .descendants()
        .find(|node| node.has_tag_name("system-out"))
        .unwrap();
    let output = output.text().unwrap();
    assert!(
        output.starts_with("flaky: failed once before it passed: timeout"),
        "{output}"
    );
    assert!(
        output.contains("--- try 1: timeout | *now*\ndef test():"),
        "{output}"
    );
    // What is written can be read again.
    let read = hoist_model::results::TestFormat::Junit
        .read("x", text.as_bytes())
        .unwrap();
    assert_eq!(read.len(), 6);
}

#[test]
fn the_end_of_a_run_names_flaky_tests() {
    let options = summary::Options {
        colour: false,
        width: 100,
        verbose: false,
        reports: Vec::new(),
    };
    let text = summary::render(&run(Ending::Passed), &options);
    assert!(
        text.contains("unit: 3 tests passed, 1 flaky, 1 skipped"),
        "{text}"
    );
    assert!(
        text.contains("tests.cart::test_net  flaky: failed once before it passed: timeout"),
        "{text}"
    );
    assert!(text.trim_end().ends_with("1 step, 1 flaky test"), "{text}");
    let text = summary::render(&failed(), &options);
    assert!(
        text.contains("1 of 5 tests failed, 1 flaky, 1 skipped"),
        "{text}"
    );
    assert!(
        text.contains("tests.cart::test_lost  in an attempt before the last one"),
        "{text}"
    );
    assert!(
        text.trim_end().ends_with("unit: tests.cart::test_less"),
        "{text}"
    );
}

#[test]
fn a_history_is_one_line_a_run_and_one_that_sums_up() {
    let mut history = History::new("test_net");
    let (newer, older) = (run(Ending::Passed), {
        let mut state = failed();
        state.steps[0].tests = vec![case("test_net", 1_200, failure("timeout"))];
        state
    });
    history.add(RunId(uuid::Uuid::from_u128(0xabc)), &newer);
    history.add(RunId(uuid::Uuid::from_u128(0xdef)), &older);
    let expected = "\
unit  tests.cart::test_net
  000000000abc  1970-01-01 00:00:00 UTC  flaky     0.02s  timeout | *now*
  000000000def  1970-01-01 00:00:00 UTC  failed     1.2s  timeout
  failed in 1 of 2 runs, flaky in 1; median 1.2s, slowest 1.2s in 000000000def
";
    assert_eq!(history_text(&history, false), expected);
    let value: serde_json::Value = serde_json::from_str(&history_json(&history)).unwrap();
    assert_eq!(value["tests"][0]["counts"]["failed"], 1);
    assert_eq!(value["tests"][0]["runs"][1]["duration_ms"], 1_200);
    let text = history_markdown(&history);
    assert!(
        text.contains("| flaky | 0.02s | timeout \\| \\*now\\* |"),
        "{text}"
    );
}
