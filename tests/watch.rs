//! `hoist watch`: what makes it run again, what does not, and how it ends.

use std::time::Duration;

use crate::support::{Project, engine, left_of};

const PIPELINE: &str = r#"
name = "watched"
[steps.a]
image = "debian:bookworm-slim"
run = "echo one=$(cat one); if test -e slow; then echo slowly; sleep 60; fi"
stop_grace_period = "0s"
"#;

fn project() -> Project {
    Project::new(PIPELINE)
        .file("one", "1")
        .file(".dockerignore", "ignored\nslow-to-be\n")
}

fn nothing_left(project: &Project) {
    for run in project.runs() {
        assert_eq!(left_of(&run), "");
    }
}

#[test]
fn a_change_of_what_is_sent_runs_it_again_and_no_other() {
    if !engine("watch::a_change_of_what_is_sent_runs_it_again_and_no_other") {
        return;
    }
    let project = project();
    let mut watch = project.start(&["--progress", "plain", "watch"]);
    watch.wait_for("watching for changes");
    watch.wait_for("one=1");
    // What is left out of the copy, what hoist writes itself and what editors leave about.
    for path in ["ignored", ".hoist/other", "one~"] {
        std::fs::write(project.path().join(path), "x").unwrap();
    }
    std::thread::sleep(Duration::from_millis(500));
    std::fs::write(project.path().join("one"), "2").unwrap();
    watch.wait_for("one=2");
    let said = watch.said();
    assert!(said.contains("changed: one\n"), "{said}");
    assert_eq!(project.runs().len(), 2, "{said}");
    // A file that cannot be read as a pipeline is told, and mended by the next change.
    std::thread::sleep(Duration::from_millis(500));
    project.change("pipeline.toml", "[steps.a]", "[steps.a");
    watch.wait_for("error:");
    std::thread::sleep(Duration::from_millis(500));
    project.change(
        "pipeline.toml",
        "[steps.a",
        "[steps.b]\nimage = \"debian:bookworm-slim\"\nrun = \"echo mended\"\n[steps.a]\n#",
    );
    watch.wait_for("b | mended");
    watch.signal("INT");
    watch.end(Duration::from_secs(10)).expect(130);
    nothing_left(&project);
}

#[test]
fn a_step_that_a_change_does_not_touch_is_not_run_again() {
    if !engine("watch::a_step_that_a_change_does_not_touch_is_not_run_again") {
        return;
    }
    let steps = r#"
name = "watched-in-part"
[steps.touched]
image = "debian:bookworm-slim"
run = "echo one=$(cat one)"
[steps.apart]
image = "debian:bookworm-slim"
source = false
run = "echo apart"
"#;
    let project = Project::new(steps).file("one", "1");
    let mut watch = project.start(&["--progress", "plain", "watch"]);
    watch.wait_for("one=1");
    watch.wait_for("watching for changes");
    std::fs::write(project.path().join("one"), "2").unwrap();
    watch.wait_for("one=2");
    watch.wait_for("✓ cached, from run");
    watch.signal("INT");
    watch.end(Duration::from_secs(10)).expect(130);
    let record = project.run_json();
    let steps = record["state"]["steps"].as_array().unwrap();
    let apart = steps.iter().find(|step| step["id"] == "apart").unwrap();
    assert_eq!(apart["status"]["ended"], "cached", "{record}");
    nothing_left(&project);
}

#[test]
fn a_change_while_it_runs_stops_the_run_and_begins_another() {
    if !engine("watch::a_change_while_it_runs_stops_the_run_and_begins_another") {
        return;
    }
    let project = project().file("slow", "");
    let mut watch = project.start(&["--progress", "plain", "watch", "a"]);
    watch.wait_for("slowly");
    std::fs::remove_file(project.path().join("slow")).unwrap();
    std::fs::write(project.path().join("one"), "3").unwrap();
    watch.wait_for("one=3");
    watch.wait_for("watching for changes");
    assert_eq!(project.runs().len(), 2, "{}", watch.said());
    // While it runs, Ctrl-C ends both.
    std::fs::write(project.path().join("slow"), "").unwrap();
    watch.wait_for("changed: slow");
    std::thread::sleep(Duration::from_secs(2));
    watch.signal("INT");
    watch.end(Duration::from_secs(10)).expect(130);
    nothing_left(&project);
}

#[test]
fn what_cannot_be_watched_is_said_at_once() {
    Project::empty()
        .hoist(&["watch"])
        .expect(2)
        .says("there is no pipeline.toml");
    let ended = project().hoist(&["watch", "nowhere"]);
    ended.expect(2).says("nowhere");
    let ended = project().hoist(&["watch", "--dry-run"]);
    ended.expect(2).says("hoist plan");
}
