//! `retry`, `allow_failure` and `always` on an engine: what is tried again, what is let pass, what
//! is kept of each attempt.

use std::time::Duration;

use crate::support::{Project, engine, left_of};

/// Each attempt copies the project anew, so that what is mended between two is seen by the second.
const FLAKY: &str = r#"
name = "attempts"
[steps.unit]
image = "debian:bookworm-slim"
run = "echo looking; test -e mended"
retry = { max = 3, backoff = "1s" }
[steps.after]
needs = ["unit"]
image = "debian:bookworm-slim"
run = "true"
"#;

#[test]
fn a_step_that_passes_at_last_has_passed_and_each_attempt_is_kept() {
    if !engine("a_step_that_passes_at_last_has_passed_and_each_attempt_is_kept") {
        return;
    }
    let project = Project::new(FLAKY);
    let mut run = project.start(&["--progress", "plain", "run"]);
    run.wait_for("attempt 1: exit 1, trying again in 1.0s");
    let project = project.file("mended", "");
    let ended = run.end(Duration::from_secs(60)).expect(0);
    ended
        .says("unit  | ✓ passed, attempt")
        .says("after | ✓ passed");
    let step = &project.run_json()["state"]["steps"][0];
    let failed = step["failed_attempts"].as_array().unwrap();
    assert!(!failed.is_empty(), "{step}");
    for attempt in ["1", "2"] {
        let log = project.hoist(&["logs", "unit", "--attempt", attempt]);
        assert_eq!(log.expect(0).stdout, "looking\n");
    }
    let none = (failed.len() + 2).to_string();
    let none = project.hoist(&["logs", "unit", "--attempt", &none]);
    none.expect(2).says("there was no attempt");
    assert_eq!(left_of(&project.runs()[0]), "");
}

/// Out of time or of memory until it is mended.
#[test]
fn what_ran_out_of_time_or_memory_is_tried_again_where_that_is_asked_for() {
    if !engine("what_ran_out_of_time_or_memory_is_tried_again_where_that_is_asked_for") {
        return;
    }
    for (when, other, command, says) in [
        ("timeout", "oom", "sleep 60", "attempt 1: timed out"),
        (
            "oom",
            "timeout",
            "tail /dev/zero",
            "attempt 1: out of memory",
        ),
    ] {
        let step = format!(
            r#"
name = "attempts"
[steps.unit]
image = "debian:bookworm-slim"
run = "test -e mended || {command}"
timeout = "5s"
stop_grace_period = "0s"
resources.limits = {{ memory = "32m" }}
retry = {{ max = 1, when = ["{other}"], backoff = "1s" }}
"#
        );
        let project = Project::new(&step);
        let ended = project.hoist(&["--progress", "plain", "run"]).expect(1);
        assert!(!ended.stderr.contains("again"), "{}", ended.stderr);
        project.change(
            "pipeline.toml",
            &format!("[\"{other}\"]"),
            &format!("[\"{when}\"]"),
        );
        let mut run = project.start(&["--progress", "plain", "run"]);
        run.wait_for("trying again in 1.0s");
        let project = project.file("mended", "");
        let ended = run.end(Duration::from_secs(60)).expect(0);
        ended.says(says).says("✓ passed, attempt 2");
        for run in project.runs() {
            assert_eq!(left_of(&run), "");
        }
    }
}

#[test]
fn what_the_surroundings_did_is_told_from_what_the_step_did() {
    if !engine("what_the_surroundings_did_is_told_from_what_the_step_did") {
        return;
    }
    let project = Project::new(
        r#"
name = "attempts"
[steps.beside]
image = "debian:bookworm-slim"
run = "true"
retry = { max = 1, when = ["system_failure"], backoff = "1s" }
[steps.beside.services.db]
image = "debian:bookworm-slim"
command = ["sh", "-c", "exit 7"]
healthcheck.test = "true"
[steps.unit]
image = "debian:bookworm-slim"
run = "exit 3"
retry = { max = 1, when = ["system_failure"], backoff = "1s" }
"#,
    );
    let ended = project.hoist(&["--progress", "plain", "run"]).expect(4);
    let again = ended.stderr.matches("trying again").count();
    assert_eq!(again, 1, "{}", ended.stderr);
    let _ = ended.says("beside | attempt 1: service db exited with code 7");
    assert_eq!(left_of(&project.runs()[0]), "");
}

#[test]
fn a_step_that_waits_for_its_next_attempt_is_stopped_at_once() {
    if !engine("a_step_that_waits_for_its_next_attempt_is_stopped_at_once") {
        return;
    }
    let project = Project::new(&FLAKY.replace("backoff = \"1s\"", "backoff = \"5m\""));
    let mut run = project.start(&["--progress", "plain", "run"]);
    run.wait_for("trying again in 5m");
    run.signal("INT");
    run.end(Duration::from_secs(20)).expect(130);
}

#[test]
fn a_failure_that_is_let_pass_is_shown_and_what_always_runs_comes_after_any() {
    if !engine("a_failure_that_is_let_pass_is_shown_and_what_always_runs_comes_after_any") {
        return;
    }
    let project = Project::new(
        r#"
name = "allowed"
[steps.lint]
image = "debian:bookworm-slim"
run = "exit 2"
allow_failure = { exit_codes = [2] }
[steps.unit]
needs = ["lint"]
image = "debian:bookworm-slim"
run = "exit ${CODE:-0}"
environment = { CODE = "${env.CODE:-0}" }
[steps.more]
needs = ["unit"]
image = "debian:bookworm-slim"
run = "true"
[steps.tidy]
needs = ["more"]
always = true
image = "debian:bookworm-slim"
run = "echo tidied"
cache = false
"#,
    );
    let ended = project.hoist(&["--progress", "plain", "run"]).expect(0);
    let ended = ended.says("lint | ! exit 2 (allowed)");
    assert!(ended.last().starts_with("PASSED"), "{}", ended.stderr);
    let project = project.variable("CODE", "3");
    let ended = project.hoist(&["--progress", "plain", "run"]).expect(1);
    let ended = ended.says("tidy | tidied").says("needs unit");
    assert!(ended.last().ends_with(": unit"), "{}", ended.stderr);
    let plan = project.hoist(&["plan"]).expect(0).stdout;
    assert!(plan.contains("may fail by exit 2"), "{plan}");
}
