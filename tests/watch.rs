//! `hoist watch`: what makes it run again, what does not, and how it ends.

use std::time::Duration;

use crate::support::terminal::Terminal;
use crate::support::{Project, engine, eventually, left_of};

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
    watch.end(Duration::from_secs(30)).expect(130);
    nothing_left(&project);
}

#[test]
fn a_terminal_is_cleared_before_each_run_and_not_where_it_is_to_be_left() {
    let test = "watch::a_terminal_is_cleared_before_each_run_and_not_where_it_is_to_be_left";
    // To the first line, and what was scrolled away stays.
    const CLEAR: &str = "\x1b[2J\x1b[H";
    for (arguments, clears) in [("watch", true), ("watch --no-clear", false)] {
        let project = project().variable("TERM", "xterm");
        let Some(mut terminal) = Terminal::start(test, &project, arguments) else {
            return;
        };
        terminal.wait_for("watching for changes");
        std::fs::write(project.path().join("one"), "2").unwrap();
        terminal.wait_for("changed: one");
        eventually("it runs again", Duration::from_secs(30), || {
            terminal.said().matches("watching for changes").count() == 2
        });
        terminal.types("\x03");
        let (code, said) = terminal.end();
        assert_eq!(code, 130, "{said}");
        let screens: Vec<&str> = said.split(CLEAR).collect();
        if clears {
            let [_, first, second] = screens[..] else {
                panic!("{said:?}");
            };
            assert!(first.contains("watching for changes"), "{said:?}");
            assert!(second.starts_with("changed: one"), "{said:?}");
            assert!(!said.contains("\x1b[3J"), "{said:?}");
        } else {
            assert_eq!(screens.len(), 1, "{said:?}");
        }
        nothing_left(&project);
    }
    // Where there is no terminal there is nothing to clear.
    let project = project();
    let mut watch = project.start(&["--progress", "plain", "watch"]);
    watch.wait_for("watching for changes");
    watch.signal("INT");
    let ended = watch.end(Duration::from_secs(10)).expect(130);
    assert!(!ended.stderr.contains('\x1b'), "{:?}", ended.stderr);
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

#[test]
fn a_file_of_variables_matters_to_the_deploy_that_names_it() {
    if !engine("watch::a_file_of_variables_matters_to_the_deploy_that_names_it") {
        return;
    }
    let steps = r#"
name = "watched-variables"
[steps.up.deploy]
environment = "live"
[steps.up.deploy.services.web]
image = "debian:bookworm-slim"
command = ["sleep", "1000"]
env_file = ["web.env"]
stop_grace_period = "0s"
[environments.live]
"#;
    let project = Project::new(steps)
        .file("web.env", "VERSION=1\n")
        .file("other.env", "VERSION=1\n");
    let mut watch = project.start(&["--progress", "plain", "watch"]);
    watch.wait_for("web is new in release 1");
    watch.wait_for("watching for changes");
    std::fs::write(project.path().join("other.env"), "VERSION=2\n").unwrap();
    std::thread::sleep(Duration::from_millis(500));
    std::fs::write(project.path().join("web.env"), "VERSION=2\n").unwrap();
    watch.wait_for("web is replaced, its settings changed");
    let said = watch.said();
    assert!(said.contains("changed: web.env\n"), "{said}");
    watch.signal("INT");
    watch.end(Duration::from_secs(30)).expect(130);
    assert_eq!(project.runs().len(), 2, "{said}");
    project.hoist(&["down", "live", "--volumes"]).expect(0);
}
