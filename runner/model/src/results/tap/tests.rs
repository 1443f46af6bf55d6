//! What the corpus under `tests/results` does not have: broken, hostile and rare TAP.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::results::{MAX_TEXT, TestFormat};

fn ok(text: &str) -> Vec<TestCase> {
    TestFormat::Tap
        .read("reports/unit.tap", text.as_bytes())
        .unwrap()
}

fn why(text: &str) -> String {
    TestFormat::Tap
        .read("unit.tap", text.as_bytes())
        .unwrap_err()
        .to_string()
}

/// `class|name|outcome` of each case.
fn brief(text: &str) -> Vec<String> {
    let outcome = |case: &TestCase| match &case.outcome {
        TestOutcome::Passed => "passed".to_owned(),
        TestOutcome::Failed(failure) => format!("failed: {}", failure.message),
        TestOutcome::Errored(failure) => format!("errored: {}", failure.message),
        TestOutcome::Skipped { message } => format!("skipped: {message:?}"),
    };
    let cases = ok(text);
    let all = cases
        .iter()
        .map(|case| format!("{}|{}|{}", case.class, case.name, outcome(case)));
    all.collect()
}

#[test]
fn points_in_all_their_spellings() {
    let text = "1..9\nok\nnot ok\nok 3\nok 4 four\nok 5 - five\nok - six\nok 7 - # skip\n\
                ok 8 - eight \\# not a mark # Skipped: why\nnot ok 9 nine #todo later";
    assert_eq!(
        brief(text),
        [
            "|test 1|passed",
            "|test 2|failed: not ok",
            "|test 3|passed",
            "|four|passed",
            "|five|passed",
            "|six|passed",
            "|test 7|skipped: None",
            "|eight # not a mark|skipped: Some(\"why\")",
            "|nine|skipped: Some(\"to do: later\")",
        ]
    );
    assert_eq!(ok(text)[0].suite, "unit");
}

#[test]
fn what_is_no_protocol_is_let_be() {
    let text = "> test\nokay then\nok: fine\nnotok\n1..1\n  ok two spaces\n            ok twelve\nok 1 - a\n\
                pragma +strict\nok.\n";
    assert_eq!(brief(text), ["|a|passed"]);
}

#[test]
fn a_plan_that_is_not_kept_is_an_error() {
    assert_eq!(
        brief("1..2\nok 1 a\n")[1],
        "|plan|errored: the plan says 2 tests, 1 were told of"
    );
    assert_eq!(
        brief("ok 1 a\nok 2 b\n1..1\n")[2],
        "|plan|errored: the plan says 1 tests, 2 were told of"
    );
    assert!(brief("ok 1 a\n")[1].starts_with("|plan|errored: the plan is missing"));
    assert_eq!(
        brief("1..3\n"),
        ["|plan|errored: the plan says 3 tests, 0 were told of"]
    );
    assert_eq!(brief("1..0\n"), [""; 0]);
    assert_eq!(brief("1..99999999999999999999999\nok\n").len(), 2);
    // A subtest's plan counts for the subtest.
    let text = "    1..2\n    ok 1 inner\nok 1 outer\n1..1\n";
    assert_eq!(
        brief(text),
        [
            "outer|inner|passed",
            "outer|plan|errored: the plan says 2 tests, 1 were told of"
        ]
    );
}

#[test]
fn several_outputs_in_one_file_are_read() {
    let one = "TAP version 13\n1..1\nok 1 a\n";
    assert_eq!(brief(&one.repeat(3)), ["|a|passed"; 3]);
    let other = "ok 1 a\n1..1\n";
    assert_eq!(brief(&other.repeat(2)), ["|a|passed"; 2]);
}

#[test]
fn a_parent_is_told_of_only_for_what_its_subtests_do_not_say() {
    let text = "    ok 1 a\n    1..1\nnot ok 1 hook\n  ---\n  error: 'after all: it''s broken'\n  ...\n1..1\n";
    assert_eq!(
        brief(text),
        ["hook|a|passed", "|hook|failed: after all: it's broken"]
    );
    let text = "    not ok 1 a\n    1..1\nok 1 let pass\n1..1\n";
    assert_eq!(brief(text), ["let pass|a|failed: not ok"]);
}

#[test]
fn subtests_without_a_parent_are_kept() {
    assert_eq!(
        brief("1..1\n# Subtest: outer\n    ok 1 a\n        ok 1 deep\n"),
        [
            "outer|a|passed",
            "outer|deep|passed",
            "outer|plan|errored: the plan is missing; did the tests end before their time?",
            "outer|plan|errored: the plan is missing; did the tests end before their time?",
            "|plan|errored: the plan says 1 tests, 0 were told of",
        ]
    );
}

#[test]
fn a_block_that_does_not_end_takes_nothing_with_it() {
    let text =
        "1..2\nnot ok 1 a\n  ---\n  message: 'x'\n  at:\n    file: a.c\n    line: 7\nok 2 b\n";
    let cases = ok(text);
    assert_eq!(brief(text), ["|a|failed: x", "|b|passed"]);
    assert_eq!(
        (cases[0].file.as_deref(), cases[0].line),
        (Some("a.c"), Some(7))
    );
}

#[test]
fn times_are_read_and_not_part_of_names() {
    let cases = ok("1..2\nok 1 - a # time=1500.5ms\nok 2 - b # SKIP no net # time=2s\n");
    assert_eq!(cases[0].name, "a");
    assert_eq!(cases[0].duration, Duration::from_micros(1_500_500));
    assert_eq!(
        (cases[1].name.as_str(), cases[1].duration.as_secs()),
        ("b", 2)
    );
    // Not all names end so: it may be what the test is called.
    assert_eq!(
        ok("1..2\nok 1 answers in 5ms\nok 2 b\n")[0].name,
        "answers in 5ms"
    );
}

#[test]
fn wide_text_is_read() {
    let bytes: Vec<u8> = "\u{feff}1..1\r\nok 1 größe\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let cases = TestFormat::Tap.read("a.tap", &bytes).unwrap();
    assert_eq!(cases[0].name, "größe");
}

#[test]
fn what_is_no_tap_is_refused() {
    assert!(
        why("hello\n").ends_with("it has neither a test nor a plan"),
        "{}",
        why("hello\n")
    );
    assert_eq!(why(" \n"), "unit.tap is not readable as TAP: it is empty");
    assert!(why("<testsuites/>").contains("neither a test nor a plan"));
}

#[test]
fn bounds_hold() {
    assert!(why(&"ok\n".repeat(MAX_CASES + 1)).contains("more than 100000 tests"));
    let deep: String = (0..2_000)
        .map(|level| format!("{}ok a\n", " ".repeat(4 * level)))
        .collect();
    assert!(why(&deep).contains("64 deep"), "{}", why(&deep));
    let long = format!(
        "1..1\nnot ok 1 {}\n# {}\n",
        "n".repeat(1 << 20),
        "x".repeat(10 << 20)
    );
    let case = &ok(&long)[0];
    assert!(case.name.len() < 5_000);
    assert!(case.failure().unwrap().text.len() <= MAX_TEXT);
    assert!(case.failure().unwrap().message.len() < 5_000);
}

proptest! {
    #[test]
    fn any_lines_are_read_or_refused(lines in prop::collection::vec(prop::sample::select(vec![
        "ok", "not ok 1 - a", "    ok 2", "        not ok", "1..2", "    1..1", "# Subtest: x", "    # Subtest: y",
        "  ---", "  message: |", "    text", "  ...", "    ---", "Bail out! x", "TAP version 14", "# note", "",
        "ok 1 # SKIP", "not ok # TODO é", "  at: (a:1)", "1..0 # SKIP why", "\u{1b}[31m", "   odd",
    ]), 0..30)) {
        let _ = TestFormat::Tap.read("x", lines.join("\n").as_bytes());
    }
}
