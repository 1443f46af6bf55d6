//! However a run ends, nothing of it remains on the engine, and a deploy that was healthy stays up.

use std::time::Duration;

use crate::support::{Project, Running, docker, engine, eventually, left_of};

/// One moment of a run at which it is ended.
struct Moment {
    name: &'static str,
    /// The step that is under way.
    step: &'static str,
    /// What hoist has said when it is.
    said: &'static str,
}

const MOMENTS: [Moment; 4] = [
    Moment {
        name: "build",
        step: "image",
        said: "building slowly",
    },
    Moment {
        name: "run",
        step: "slow",
        said: "testing slowly",
    },
    Moment {
        name: "scan",
        step: "cve",
        said: "cve | •",
    },
    Moment {
        name: "deploy",
        step: "up",
        said: "waiting for",
    },
];

fn project(name: &str) -> Project {
    let pipeline = format!(
        r#"
name = "ends-{name}"
[steps.image.build]
dockerfile = "slow.Dockerfile"
no_cache = true
[steps.slow]
image = "debian:bookworm-slim"
run = "trap '' TERM; echo testing slowly; sleep 300 & wait; sleep 300"
[steps.cve.scan]
image = "python:3.11-slim-bookworm"
severity = ["CRITICAL"]
[steps.up.deploy]
environment = "ends"
[steps.up.deploy.services.web]
image = "debian:bookworm-slim"
command = ["sleep", "300"]
healthcheck = {{ test = "false", interval = "1s", retries = 100 }}
[environments.ends]
"#
    );
    Project::new(&pipeline).file(
        "slow.Dockerfile",
        "FROM debian:bookworm-slim\nRUN echo building slowly; sleep 300\n",
    )
}

/// Runs up to a moment of the run.
fn reach(project: &Project, moment: &Moment) -> Running {
    let mut running = project.start(&["--progress", "plain", "run", moment.step]);
    running.wait_for(moment.said);
    running
}

/// Nothing of any run of the project, nor of its deploy's attempt, is on the engine within a time.
fn clean(project: &Project, name: &str, within: Duration) {
    for run in project.runs() {
        eventually(
            &format!("nothing of the run remains ({name})"),
            within,
            || left_of(&run).is_empty(),
        );
    }
    let filter = format!("label=dev.hoist.project=ends-{name}");
    eventually(
        &format!("nothing of the attempt remains ({name})"),
        within,
        || {
            docker(&[
                "ps",
                "-aq",
                "--filter",
                &filter,
                "--filter",
                "label=dev.hoist.role=service",
            ])
            .is_empty()
        },
    );
}

fn down(project: &Project) {
    project.hoist(&["down", "ends", "--volumes"]);
}

#[test]
fn interrupted_terminated_or_killed_at_any_moment_nothing_remains() {
    if !engine("ends::interrupted_terminated_or_killed_at_any_moment_nothing_remains") {
        return;
    }
    for moment in &MOMENTS {
        for (signal, code) in [("INT", 130), ("TERM", 143), ("KILL", -1)] {
            let name = format!("{}-{}", moment.name, signal.to_lowercase());
            let project = project(&name);
            let running = reach(&project, moment);
            running.signal(signal);
            if code == -1 {
                running.end(Duration::from_secs(5)).expect(-1);
            } else {
                // A step that ignores SIGTERM gets its grace first.
                let ended = running.end(Duration::from_secs(30)).expect(code);
                assert!(
                    ended.last().starts_with("INTERRUPTED")
                        || ended.last().starts_with("TERMINATED"),
                    "{}",
                    ended.stderr
                );
            }
            clean(&project, &name, Duration::from_secs(20));
            down(&project);
        }
    }
}

#[test]
fn a_second_signal_kills_and_a_third_ends_at_once() {
    if !engine("ends::a_second_signal_kills_and_a_third_ends_at_once") {
        return;
    }
    let project_two = project("twice");
    let running = reach(&project_two, &MOMENTS[1]);
    running.signal("INT");
    std::thread::sleep(Duration::from_millis(300));
    running.signal("INT");
    running.end(Duration::from_secs(8)).expect(130);
    clean(&project_two, "twice", Duration::from_secs(5));

    let project_three = project("thrice");
    let running = reach(&project_three, &MOMENTS[1]);
    for _ in 0..3 {
        running.signal("INT");
        std::thread::sleep(Duration::from_millis(100));
    }
    running.end(Duration::from_secs(3)).expect(130);
    clean(&project_three, "thrice", Duration::from_secs(10));
}

#[test]
fn killed_while_it_cleans_up_the_reaper_goes_on() {
    if !engine("ends::killed_while_it_cleans_up_the_reaper_goes_on") {
        return;
    }
    let project = project("clean-up");
    let running = reach(&project, &MOMENTS[1]);
    running.signal("TERM");
    std::thread::sleep(Duration::from_millis(500));
    running.signal("KILL");
    running.end(Duration::from_secs(5)).expect(-1);
    clean(&project, "clean-up", Duration::from_secs(10));
}

#[test]
fn the_next_run_sweeps_what_runner_and_reaper_left() {
    if !engine("ends::the_next_run_sweeps_what_runner_and_reaper_left") {
        return;
    }
    let project = project("sweep");
    let running = reach(&project, &MOMENTS[1]);
    let left = project.runs().pop().unwrap();
    // Later another test's run may have swept it already.
    assert!(!left_of(&left).is_empty(), "there is nothing to sweep");
    // The reaper first: it is hoist's only child with that argument.
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.id()));
    for child in children.unwrap_or_default().split_whitespace() {
        std::process::Command::new("kill")
            .args(["-KILL", child])
            .status()
            .unwrap();
    }
    running.signal("KILL");
    running.end(Duration::from_secs(5)).expect(-1);
    // Any run of any project sweeps, and takes nothing of the living.
    let other = Project::new(
        "name = \"sweeper\"\n[steps.a]\nimage = \"debian:bookworm-slim\"\nrun = \"true\"\n",
    );
    let bystander = docker(&[
        "create",
        "--label",
        "dev.hoist.test=1",
        "debian:bookworm-slim",
        "true",
    ]);
    other.hoist(&["run"]).expect(0);
    eventually(
        "the dead run's objects are gone",
        Duration::from_secs(5),
        || left_of(&left).is_empty(),
    );
    assert_eq!(
        docker(&["inspect", "--format", "{{.Id}}", &bystander]),
        bystander
    );
    docker(&["rm", &bystander]);
}

#[test]
fn a_run_is_cancelled_by_a_file() {
    if !engine("ends::a_run_is_cancelled_by_a_file") {
        return;
    }
    let project = project("file");
    let running = reach(&project, &MOMENTS[1]);
    let run = project.runs().pop().unwrap();
    std::fs::write(project.path().join(format!(".hoist/runs/{run}/cancel")), "").unwrap();
    running.end(Duration::from_secs(30)).expect(130);
    clean(&project, "file", Duration::from_secs(5));
}
