//! What a step leaves.

use hoist_model::event::EventKind;
use hoist_model::reason::{Ending, FailureReason};
use hoist_model::results::TestOutcome;

use super::trouble;
use crate::backend::{BackendError, BackendErrorKind};
use crate::fake::Program;
use crate::unit::testing::{SECRET, container, run};

const JUNIT: &str = r#"<testsuites><testsuite name="s" tests="2" failures="1">
<testcase classname="c" name="good" time="0.1"/>
<testcase classname="c" name="bad" time="0.2"><failure message="no">why</failure></testcase>
</testsuite></testsuites>"#;

#[tokio::test(start_paused = true)]
async fn results_are_fetched_from_a_step_that_failed_too() {
    let mut unit = container();
    unit.secrets = vec![SECRET.0.into()];
    unit.harvest
        .paths
        .insert("coverage".into(), "/app/htmlcov/".into());
    unit.harvest
        .paths
        .insert("one".into(), "/app/one.txt".into());
    unit.harvest.paths.insert("none".into(), "/nowhere".into());
    unit.harvest.junit = vec![
        "/reports/*.xml".into(),
        "/reports/*.nope".into(),
        "/x/u.xml".into(),
    ];
    let stage = run(unit);
    let program = Program::exits(1)
        .leaves("/app/htmlcov/index.html", "<html>")
        .leaves("/app/htmlcov/sub/a.js", "js")
        .leaves("/app/one.txt", SECRET.1)
        .leaves("/reports/b.xml", JUNIT)
        .leaves("/reports/broken.xml", "<testsuites><testsuite>")
        .leaves("/reports/deep/c.xml", JUNIT);
    stage.engine.program(|_| true, program);
    assert_eq!(
        stage.execute().await,
        Ending::Failed(FailureReason::Exit { code: 1 })
    );
    let said = stage.said();
    let mut artifacts = Vec::new();
    let mut tests = Vec::new();
    for event in &said.events {
        match event {
            EventKind::ArtifactKept { artifact, .. } => artifacts.push(artifact.clone()),
            EventKind::TestsFound { cases, .. } => tests.extend(cases.clone()),
            _ => {}
        }
    }
    assert_eq!(artifacts.len(), 2);
    assert_eq!(
        (artifacts[0].name.as_str(), artifacts[0].files),
        ("coverage", 2)
    );
    assert_eq!(artifacts[0].path, "artifacts/unit/coverage");
    assert_eq!(artifacts[1].path, "artifacts/unit/one/one.txt");
    let folder = &stage.context.run_folder;
    let kept = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
    assert_eq!(kept("artifacts/unit/coverage/sub/a.js"), "js");
    assert_eq!(
        kept("artifacts/unit/one/one.txt"),
        "***",
        "a secret does not get into the run folder"
    );
    assert_eq!(kept("results/unit/0/b.xml"), JUNIT);
    assert_eq!(tests.len(), 2);
    assert!(matches!(tests[1].outcome, TestOutcome::Failed(_)));
    let warnings = said.warnings().join("\n");
    for text in [
        "the artifact `none` is missing",
        "no file matches /reports/*.nope",
        "no file matches /x/u.xml",
        "test results cannot be read",
        "`one` held secrets",
    ] {
        assert!(warnings.contains(text), "{text} in {warnings}");
    }
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_results_are_lost_has_not_passed() {
    let mut unit = container();
    unit.harvest.paths.insert("log".into(), "/log".into());
    let stage = run(unit);
    stage.engine.fail_next(
        "download",
        BackendError::new(BackendErrorKind::Broken, "reset"),
    );
    let trouble = trouble(stage.execute().await);
    assert_eq!(trouble.what, "the artifact `log` could not be kept");
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn each_format_is_read_by_its_own_patterns() {
    let mut unit = container();
    unit.harvest.junit = vec!["/r/*.xml".into()];
    unit.harvest.tap = vec!["/r/*.tap".into(), "/r/*.t".into()];
    unit.harvest.go_json = vec!["/go/test.json".into()];
    let stage = run(unit);
    let go = r#"{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p","Test":"TestA","Elapsed":0.5}"#;
    let program = Program::exits(1)
        .leaves("/r/a.xml", JUNIT)
        .leaves("/r/b.tap", "1..2\nok 1 - one\nnot ok 2 - two\n")
        .leaves("/r/c.t", "hello\n")
        .leaves("/go/test.json", go);
    stage.engine.program(|_| true, program);
    stage.execute().await;
    let said = stage.said();
    let found: Vec<_> = said
        .events
        .iter()
        .filter_map(|event| match event {
            EventKind::TestsFound { cases, attempt, .. } => Some((*attempt, cases)),
            _ => None,
        })
        .collect();
    let [(1, cases)] = found.as_slice() else {
        panic!("{found:?}");
    };
    let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    // By folders, and in each by the formats.
    assert_eq!(names, ["TestA", "good", "bad", "one", "two"]);
    let warnings = said.warnings().join("\n");
    assert!(
        warnings.contains("/r/c.t is not readable as TAP: it has neither a test nor a plan"),
        "{warnings}"
    );
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn more_results_than_anyone_reads_are_left_out() {
    let mut unit = container();
    unit.harvest.tap = vec!["/r/*.tap".into()];
    let stage = run(unit);
    let many = "ok\n".repeat(60_000) + "1..60000\n";
    let program = Program::exits(0)
        .leaves("/r/a.tap", many.as_str())
        .leaves("/r/b.tap", many.as_str())
        .leaves("/r/c.tap", many.as_str());
    stage.engine.program(|_| true, program);
    assert_eq!(stage.execute().await, Ending::Passed);
    let said = stage.said();
    let cases: usize = said
        .events
        .iter()
        .map(|event| match event {
            EventKind::TestsFound { cases, .. } => cases.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(cases, 100_000);
    let warnings = said.warnings().join("\n");
    assert!(
        warnings.contains("more than 100000 test cases"),
        "{warnings}"
    );
    stage.assert_clean();
}
