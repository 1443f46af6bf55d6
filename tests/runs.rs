//! The runs of a project, over a real engine: listed, and stopped from elsewhere.

use std::time::Duration;

use crate::support::{Project, engine, left_of};

fn project(name: &str) -> Project {
    Project::new(&format!(
        r#"
name = "{name}"
[steps.unit]
image = "debian:bookworm-slim"
run = "echo begun; sleep ${{SECONDS_TO_SLEEP:-0}}; exit $CODE"
environment = {{ SECONDS_TO_SLEEP = "${{env.SLEEP:-0}}", CODE = "${{env.CODE:-0}}" }}
[steps.after]
needs = ["unit"]
image = "debian:bookworm-slim"
run = "echo after"
"#
    ))
}

fn listed(project: &Project) -> serde_json::Value {
    let json = project.hoist(&["runs", "--format", "json"]).expect(0);
    serde_json::from_str(&json.stdout).unwrap()
}

#[test]
fn no_runs_are_no_error() {
    let project = project("runs-none");
    project
        .hoist(&["runs"])
        .expect(0)
        .says("there is no run yet");
    assert_eq!(listed(&project), serde_json::json!([]));
    project
        .hoist(&["cancel", "ab"])
        .expect(2)
        .says("there is no run ab");
}

#[test]
fn runs_are_listed_and_one_that_goes_on_is_stopped_from_elsewhere() {
    if !engine("runs::runs_are_listed_and_one_that_goes_on_is_stopped_from_elsewhere") {
        return;
    }
    let project = project("runs-cancel");
    project.hoist(&["run"]).expect(0);
    let project = project.variable("CODE", "3");
    project.hoist(&["run"]).expect(1);
    let project = project.variable("SLEEP", "60");
    let mut running = project.start(&["--progress", "plain", "run"]);
    running.wait_for("unit  | begun");
    let all = listed(&project);
    let status: Vec<_> = (0..3).map(|at| all[at]["status"].clone()).collect();
    assert_eq!(status, ["running", "ended", "ended"]);
    assert_eq!(all[1]["failed"][0], "unit");
    assert_eq!(all[1]["verdict"], "step_failed");
    let run = project.runs().pop().unwrap();
    let said = project.hoist(&["cancel", &run]).expect(0);
    said.says("is asked to stop");
    let ended = running.end(Duration::from_secs(30)).expect(130);
    assert!(ended.last().starts_with("INTERRUPTED"), "{}", ended.stderr);
    assert_eq!(left_of(&run), "");
    project
        .hoist(&["cancel", &run])
        .expect(2)
        .says("has ended already");
    let text = project.hoist(&["runs", "--limit", "2"]).expect(0);
    assert!(text.stdout.contains("  interrupted  "), "{}", text.stdout);
    assert!(
        text.stdout.contains("2 steps, failed: unit"),
        "{}",
        text.stdout
    );
    text.says("and 1 more");
}

#[test]
fn a_run_that_was_killed_has_broken_off() {
    if !engine("runs::a_run_that_was_killed_has_broken_off") {
        return;
    }
    let project = project("runs-killed").variable("SLEEP", "60");
    let mut running = project.start(&["--progress", "plain", "run"]);
    running.wait_for("unit  | begun");
    running.signal("KILL");
    drop(running);
    assert_eq!(listed(&project)[0]["status"], "broken_off");
    let run = project.runs().pop().unwrap();
    project
        .hoist(&["cancel", &run])
        .expect(2)
        .says("its process is gone");
}
