//! Runs that are done again, over a real engine.

use std::time::Duration;

use crate::support::{Project, docker, engine, left_of};

const PIPELINE: &str = r#"
name = "rerun-test"
[steps.image.build]
dockerfile_inline = """
FROM debian:bookworm-slim
COPY data.txt /data.txt
"""
tags = ["rerun-test:1"]
[steps.make]
image = "${steps.image.image}"
run = """
mkdir -p /out; date +%s%N > /out/when; echo KEY=value > /tmp/outputs
mkdir -p /reports
echo '<testsuite name="s"><testcase name="adds up" time="1"/></testsuite>' > /reports/a.xml
"""
artifacts.paths = { out = "/out/" }
artifacts.reports.junit = ["/reports/*.xml"]
outputs = "/tmp/outputs"
[steps.check]
image = "debian:bookworm-slim"
inputs = { "in/" = "${steps.make.artifacts.out}" }
environment = { KEY = "${steps.make.outputs.KEY}" }
run = "cat in/when; echo $KEY; test -e ready"
[steps.after]
needs = ["check"]
image = "debian:bookworm-slim"
run = "echo after"
[steps.beside]
image = "debian:bookworm-slim"
run = "date +%s%N"
"#;

fn project() -> Project {
    Project::new(PIPELINE)
        .file("data.txt", "one")
        .file(".dockerignore", "pipeline.toml\n")
}

/// How the steps of the newest run ended.
fn endings(project: &Project) -> String {
    let run = project.run_json();
    let steps = run["state"]["steps"].as_array().unwrap();
    let ending = |step: &serde_json::Value| {
        let ended = &step["status"]["ended"];
        let word = ended.as_str().map(str::to_owned);
        let word =
            word.unwrap_or_else(|| ended.as_object().unwrap().keys().next().unwrap().clone());
        format!("{}: {word}", step["id"].as_str().unwrap())
    };
    let mut all: Vec<String> = steps.iter().map(ending).collect();
    all.sort();
    all.join(", ")
}

#[test]
fn only_what_failed_is_done_again_with_what_the_rest_had_left() {
    if !engine("rerun::only_what_failed_is_done_again_with_what_the_rest_had_left") {
        return;
    }
    let project = project();
    project.hoist(&["run"]).expect(1);
    let first = project.runs().pop().unwrap();
    let [check, beside] = ["check", "beside"].map(|step| project.hoist(&["logs", step]).stdout);
    // What the file says by now is nothing to it.
    let project = project.file("ready", "").file("data.txt", "two");
    project.change("pipeline.toml", "echo after", "exit 9");
    let ended = project.hoist(&["rerun", "--failed"]).expect(0);
    let ended = ended.says("1 test passed");
    assert!(
        ended.last().contains("5 steps (3 cached)"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        endings(&project),
        "after: passed, beside: cached, check: passed, image: cached, make: cached"
    );
    assert_eq!(project.hoist(&["logs", "check"]).stdout, check);
    assert_eq!(project.hoist(&["logs", "beside"]).stdout, beside);
    assert_eq!(project.run_json()["state"]["rerun_of"], first);
    let second = project.runs().pop().unwrap();
    let artifact = format!(".hoist/runs/{second}/artifacts/make/out/when");
    assert_eq!(
        project.read(&artifact),
        check.lines().next().unwrap().to_owned() + "\n"
    );
    let why = project.hoist(&["explain", "make"]).expect(0).stdout;
    assert!(why.contains("which this run does again"), "{why}");
    let listed = project.hoist(&["runs"]).expect(0).stdout;
    assert!(listed.contains("again of"), "{listed}");
    let nothing = project.hoist(&["rerun", "--failed"]).expect(0);
    nothing.says("nothing failed in run");
    assert_eq!(left_of(&second), "");
    // What was touched since is not passed off as what the step left.
    let kept = format!(".hoist/runs/{first}/artifacts/make/out/when");
    let kept = project.path().join(kept);
    std::fs::remove_file(&kept).unwrap();
    std::fs::write(&kept, "forged").unwrap();
    let ended = project.hoist(&["rerun", &first, "--failed"]).expect(0);
    ended
        .says("the artifact out of run")
        .says("it is made again");
    assert_eq!(
        endings(&project),
        "after: cached, beside: cached, check: passed, image: cached, make: passed"
    );
    assert!(!project.hoist(&["logs", "check"]).stdout.contains("forged"));
    // All of it, on the image that was built then.
    project.hoist(&["rerun", &second]).expect(0);
    assert_eq!(
        endings(&project),
        "after: passed, beside: passed, check: passed, image: cached, make: passed"
    );
    assert_ne!(project.hoist(&["logs", "beside"]).stdout, beside);
    // An image that is gone is said, and built again.
    docker(&["rmi", "--force", "rerun-test:1"]);
    let ended = project.hoist(&["rerun", &first, "--failed"]).expect(0);
    ended.says("is gone: it is made again");
    docker(&["rmi", "--force", "rerun-test:1"]);
}

#[test]
fn a_name_stands_for_what_it_stood_for_in_steps_that_are_never_cached_too() {
    let test = "rerun::a_name_stands_for_what_it_stood_for_in_steps_that_are_never_cached_too";
    if !engine(test) {
        return;
    }
    let name = format!("rerun-name-{}:1", std::process::id());
    docker(&["tag", "debian:bookworm-slim", &name]);
    let project = Project::new(&format!(
        r#"
name = "rerun-name"
[steps.a]
image = "{name}"
source = false
network = "bridge"
run = "command -v redis-server || echo none here"
"#
    ));
    let log = || project.hoist(&["logs", "a"]).expect(0).stdout;
    project.hoist(&["run"]).expect(0);
    assert_eq!(log(), "none here\n");
    docker(&["tag", "redis:7-bookworm", &name]);
    // Also in a rerun of a rerun.
    for _ in 0..2 {
        project.hoist(&["rerun"]).expect(0);
        assert_eq!(log(), "none here\n");
    }
    project.hoist(&["run"]).expect(0);
    assert!(log().ends_with("/redis-server\n"), "{}", log());
    docker(&["rmi", &name]);
}

#[test]
fn what_cannot_be_done_again_says_why() {
    if !engine("rerun::what_cannot_be_done_again_says_why") {
        return;
    }
    let project = Project::new(
        r#"
name = "rerun-no"
[secrets]
token = { environment = "TOKEN" }
[steps.unit]
image = "debian:bookworm-slim"
secrets = ["token"]
environment = { COPY = "${env.SAME}" }
run = "sleep ${SLEEP:-60}"
"#,
    )
    .variable("TOKEN", "a-token-for-tests")
    .variable("SAME", "a-token-for-tests");
    project
        .hoist(&["rerun"])
        .expect(2)
        .says("there is no run yet");
    let mut running = project.start(&["--progress", "plain", "run"]);
    running.wait_for("unit | • running");
    project.hoist(&["rerun"]).expect(2).says("still goes on");
    running.signal("INT");
    running.end(Duration::from_secs(30)).expect(130);
    let ended = project.hoist(&["rerun", "--failed"]).expect(2);
    ended
        .says("the plan of run")
        .says("one that holds a secret is not kept");
}
