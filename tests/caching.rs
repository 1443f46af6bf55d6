//! Steps that are not run again, over a real engine.

use std::time::Duration;

use crate::support::{Project, engine, eventually, left_of};

const PIPELINE: &str = r#"
name = "caching-test"
[secrets]
token = { environment = "TOKEN" }
[steps.unit]
image = "debian:bookworm-slim"
environment = { LEVEL = "${env.LEVEL:-1}" }
secrets = ["token"]
run = """
mkdir -p /reports
cat > /reports/unit.xml <<EOF
<testsuite name="s"><testcase name="adds up" time="1"/></testsuite>
EOF
date +%s%N > /tmp/when
cat data.txt
"""
artifacts.paths = { when = "/tmp/when" }
artifacts.reports.junit = ["/reports/*.xml"]
[steps.online]
image = "debian:bookworm-slim"
source = false
network = "bridge"
run = "true"
[steps.trusted]
image = "debian:bookworm-slim"
source = false
network = "bridge"
cache = true
run = "true"
"#;

fn project() -> Project {
    Project::new(PIPELINE)
        .file("data.txt", "one\n")
        .variable("TOKEN", "a-token-for-tests")
}

/// What the run's `unit` left.
fn when(project: &Project) -> String {
    let run = project.runs().pop().unwrap();
    project.read(&format!(".hoist/runs/{run}/artifacts/unit/when/when"))
}

fn ending(project: &Project, step: &str) -> String {
    let run = project.run_json();
    let steps = run["state"]["steps"].as_array().unwrap();
    let step = steps.iter().find(|found| found["id"] == step).unwrap();
    step["status"]["ended"].to_string()
}

#[test]
fn a_step_runs_again_when_something_changes_that_it_could_see() {
    if !engine("caching::a_step_runs_again_when_something_changes_that_it_could_see") {
        return;
    }
    let project = project();
    project.hoist(&["run"]).expect(0);
    let first = when(&project);
    let ended = project.hoist(&["run"]).expect(0).says("1 test passed");
    assert!(ended.stderr.contains("(2 cached)"), "{}", ended.stderr);
    assert_eq!(when(&project), first);
    assert_eq!(ending(&project, "unit"), "\"cached\"");
    assert_eq!(ending(&project, "online"), "\"passed\"");
    assert_eq!(ending(&project, "trusted"), "\"cached\"");
    let log = project.hoist(&["logs", "unit"]).expect(0).stdout;
    assert_eq!(log, "one\n");
    let explained = |project: &Project, says: &str| {
        let said = project.hoist(&["explain", "unit"]).expect(0).stdout;
        assert!(said.contains(says), "{says}\n{said}");
    };
    explained(&project, "did the same and passed");
    // A file, a variable, a secret.
    let project = project.file("data.txt", "two\n");
    project.hoist(&["run", "unit"]).expect(0);
    assert_ne!(when(&project), first);
    explained(&project, "changed  data.txt");
    let project = project.variable("LEVEL", "2");
    project.hoist(&["run", "unit"]).expect(0).says("1 step\n");
    explained(&project, "the variable LEVEL changed");
    let project = project.variable("TOKEN", "another-token-for-tests");
    project.hoist(&["run", "unit"]).expect(0).says("1 step\n");
    explained(&project, "the secret token changed");
    let project = project.variable("LEVEL", "1").file("data.txt", "one\n");
    let project = project.variable("TOKEN", "a-token-for-tests");
    project.hoist(&["run", "unit"]).expect(0).says("(1 cached)");
    assert_eq!(when(&project), first, "the first run is known still");
    let past = project
        .hoist(&["tests", "--history", "adds up"])
        .expect(0)
        .stdout;
    assert!(past.contains("4 runs"), "{past}");
}

#[test]
fn runs_at_once_and_a_killed_one_leave_a_cache_that_holds() {
    if !engine("caching::runs_at_once_and_a_killed_one_leave_a_cache_that_holds") {
        return;
    }
    let project = project();
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| project.hoist(&["run", "unit"])))
            .collect();
        for run in runs {
            run.join().unwrap().expect(0);
        }
    });
    project.hoist(&["run", "unit"]).expect(0).says("(1 cached)");
    project.change("pipeline.toml", "cat data.txt", "cat data.txt; sleep 60");
    let mut running = project.start(&["--progress", "plain", "run", "unit"]);
    running.wait_for("unit | one");
    running.signal("KILL");
    let killed = project.runs().pop().unwrap();
    eventually("nothing is left", Duration::from_secs(20), || {
        left_of(&killed).is_empty()
    });
    project.change("pipeline.toml", "sleep 60", "sleep 0");
    project.hoist(&["run", "unit"]).expect(0).says("1 step\n");
    project.hoist(&["run", "unit"]).expect(0).says("(1 cached)");
    std::fs::remove_dir_all(project.path().join(".hoist/runs")).unwrap();
    project.hoist(&["run", "unit"]).expect(0).says("1 step\n");
    let explained = project.hoist(&["explain", "unit"]).expect(0).stdout;
    assert!(explained.contains("no longer there"), "{explained}");
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
}

#[test]
fn only_what_is_cached_can_be_done_anew_by_name() {
    let project = project();
    let ended = project.hoist(&["run", "--no-cache-filter", "nowhere"]);
    ended
        .expect(2)
        .says("no step like `nowhere` that is run is cached");
}

#[test]
fn a_step_is_done_anew_by_name_and_the_others_are_not() {
    if !engine("caching::a_step_is_done_anew_by_name_and_the_others_are_not") {
        return;
    }
    let project = project();
    project.hoist(&["run", "unit", "trusted"]).expect(0);
    let first = when(&project);
    project
        .hoist(&["run", "unit", "trusted", "--no-cache-filter", "un*"])
        .expect(0);
    assert_ne!(when(&project), first);
    assert_eq!(ending(&project, "unit"), "\"passed\"");
    assert_eq!(ending(&project, "trusted"), "\"cached\"");
}
