//! What the corpus under `tests/results` does not have: broken, hostile and rare streams.

use super::*;
use crate::results::TestFormat;

fn ok(text: &str) -> Vec<TestCase> {
    TestFormat::GoJson.read("go.json", text.as_bytes()).unwrap()
}

fn why(text: &str) -> String {
    TestFormat::GoJson
        .read("go.json", text.as_bytes())
        .unwrap_err()
        .to_string()
}

fn event(action: &str, test: &str) -> String {
    format!("{{\"Action\":\"{action}\",\"Package\":\"p\",\"Test\":\"{test}\"}}\n")
}

/// `name|outcome` of each case.
fn brief(text: &str) -> Vec<String> {
    let outcome = |case: &TestCase| match &case.outcome {
        TestOutcome::Passed => "passed".to_owned(),
        TestOutcome::Failed(failure) => format!("failed: {}", failure.message),
        TestOutcome::Errored(failure) => format!("errored: {}", failure.message),
        TestOutcome::Skipped { message } => format!("skipped: {message:?}"),
    };
    let cases = ok(text);
    cases
        .iter()
        .map(|case| format!("{}|{}", case.name, outcome(case)))
        .collect()
}

#[test]
fn a_test_that_never_ended_is_an_error() {
    let begun = event("run", "TestA");
    // Cut off, or killed.
    assert_eq!(brief(&begun), ["TestA|errored: it did not end"]);
    assert_eq!(
        brief(&format!("{begun}{{\"Action\":\"out")),
        ["TestA|errored: it did not end"]
    );
    assert_eq!(
        brief(&(begun.clone() + &event("fail", ""))),
        ["TestA|errored: it did not end"]
    );
    assert_eq!(brief(&(begun + &event("pass", ""))), ["TestA|passed"]);
}

#[test]
fn a_package_that_fails_by_itself_is_an_error() {
    let output = r#"{"Action":"output","Package":"p","Output":"exit status 3\n"}"#;
    let passed = event("run", "TestA") + &event("pass", "TestA");
    let text = format!("{passed}{output}\n{}", event("fail", ""));
    assert_eq!(
        brief(&text),
        ["TestA|passed", "package|errored: exit status 3"]
    );
    // One that never ended may have been killed.
    assert_eq!(
        brief(&(event("start", "") + &passed)),
        ["package|errored: it did not end", "TestA|passed"]
    );
    // One of which only tests are told is whole enough.
    assert_eq!(brief(&passed), ["TestA|passed"]);
}

#[test]
fn lines_of_older_toolchains_are_let_be() {
    let text = format!(
        "# p\n./a.go:3: undefined: x\n{}{}",
        event("run", "TestA"),
        event("skip", "TestA")
    );
    assert_eq!(brief(&text), ["TestA|skipped: None"]);
}

#[test]
fn a_subtest_may_have_slashes_in_its_name() {
    let all = ["TestA", "TestA/b/c"].map(|test| event("run", test) + &event("fail", test));
    assert_eq!(
        brief(&all.concat()),
        [
            "TestA|failed: a subtest failed",
            "TestA/b/c|failed: no message"
        ]
    );
}

#[test]
fn what_is_no_stream_of_tests_is_refused() {
    assert_eq!(
        why("ok  \tp\t0.1s\n"),
        "go.json is not readable as output of `go test -json`: it has no event of a test"
    );
    assert!(
        why("{\"a\": 1}\n").contains("line 1: missing field"),
        "{}",
        why("{\"a\": 1}\n")
    );
    assert!(why("").contains("it is empty"));
}

#[test]
fn bounds_hold() {
    let many: String = (0..=MAX_CASES)
        .map(|number| event("run", &number.to_string()))
        .collect();
    assert!(why(&many).contains("more than 100000 tests"));
    let line = |test: &str| {
        format!(
            "{{\"Action\":\"output\",\"Package\":\"p\",\"Test\":\"{test}\",\"Output\":\"{}\\n\"}}\n",
            "x".repeat(1000)
        )
    };
    let long = line("TestA").repeat(10_000) + &event("fail", "TestA");
    assert!(ok(&long)[0].failure().unwrap().text.len() <= MAX_TEXT);
    let slashes = "a/".repeat(1 << 20);
    assert_eq!(
        ok(&(event("run", &slashes) + &event("fail", &slashes))).len(),
        1
    );
    let deep = "[".repeat(1 << 20);
    assert!(why(&format!("{{\"Action\":{deep}")).contains("line 1"));
}
