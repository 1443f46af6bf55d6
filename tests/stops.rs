//! How steps and runs are stopped, and what time counts: stop signals, graces, time-outs and
//! processes that are held.

use std::time::{Duration, Instant};

use crate::support::{Project, engine, eventually, left_of};

/// Says which signal it got, and then takes its time.
const LISTENS: &str = r#"
name = "stops"
[steps.a]
image = "debian:bookworm-slim"
run = "trap 'echo asked to end; sleep 2; echo ended by itself; exit 0' USR1; trap 'echo not by this one' TERM; echo up; while true; do sleep 0.1; done"
stop_signal = "USR1"
stop_grace_period = "20s"
"#;

#[test]
fn a_step_is_stopped_by_its_signal_and_has_its_grace() {
    if !engine("stops::a_step_is_stopped_by_its_signal_and_has_its_grace") {
        return;
    }
    let project = Project::new(LISTENS);
    let mut run = project.start(&["--progress", "plain", "run"]);
    run.wait_for("a | up");
    run.signal("INT");
    let ended = run.end(Duration::from_secs(30)).expect(130);
    let ended = ended.says("asked to end").says("ended by itself");
    assert!(
        !ended.stderr.contains("not by this one"),
        "{}",
        ended.stderr
    );
    assert_eq!(left_of(&project.runs()[0]), "");
}

#[test]
fn a_grace_that_is_over_ends_in_a_kill() {
    if !engine("stops::a_grace_that_is_over_ends_in_a_kill") {
        return;
    }
    let short = LISTENS.replace("20s", "1s").replace("sleep 2", "sleep 60");
    let project = Project::new(&format!("timeout = \"3s\"\n{short}"));
    let start = Instant::now();
    let ended = project.hoist(&["--progress", "plain", "run"]).expect(124);
    let ended = ended.says("asked to end");
    assert!(
        !ended.stderr.contains("ended by itself"),
        "{}",
        ended.stderr
    );
    assert!(start.elapsed() < Duration::from_secs(20));
    // What the command line says stands over the file.
    let ended = project.hoist(&["--progress", "plain", "run", "--timeout", "1s"]);
    ended.expect(124);
}

#[test]
fn a_service_is_stopped_by_its_own_signal() {
    if !engine("stops::a_service_is_stopped_by_its_own_signal") {
        return;
    }
    let project = Project::new(
        r#"
name = "stops"
[steps.a]
image = "debian:bookworm-slim"
run = "true"
[steps.a.services.db]
image = "debian:bookworm-slim"
command = ["sh", "-c", "trap 'echo wrote it down; exit 0' INT; while true; do sleep 0.1; done"]
stop_signal = "SIGINT"
stop_grace_period = "10s"
"#,
    );
    project.hoist(&["run"]).expect(0);
    let log = project.hoist(&["logs", "a", "--service", "db"]);
    assert_eq!(log.expect(0).stdout, "wrote it down\n");
}

#[test]
fn time_in_which_hoist_is_held_does_not_count() {
    if !engine("stops::time_in_which_hoist_is_held_does_not_count") {
        return;
    }
    // Fourteen seconds by the engine's clock, of which hoist may see eleven.
    let project = Project::new(
        r#"
name = "held"
[steps.a]
image = "debian:bookworm-slim"
run = "echo up; sleep 14; echo done"
timeout = "11s"
"#,
    );
    let mut run = project.start_job(&["--progress", "plain", "run", "--timeout", "13s"]);
    run.wait_for("a | up");
    // What Ctrl-Z sends, and what a shell sends for `fg`.
    run.signal_job("TSTP");
    eventually("hoist is held", Duration::from_secs(5), || {
        run.state() == 'T'
    });
    std::thread::sleep(Duration::from_secs(10));
    assert_eq!(run.state(), 'T');
    run.signal_job("CONT");
    run.end(Duration::from_secs(20)).expect(0).says("a | done");
    // Without a pause its time is up.
    let ended = project.hoist(&["--progress", "plain", "run", "--no-cache"]);
    ended.expect(1).says("timed out");
}
