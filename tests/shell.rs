//! Shells in steps' containers, on a terminal of their own: what they find, and that nothing of
//! them remains.

use std::process::Command;
use std::time::Duration;

use crate::support::terminal::Terminal;
use crate::support::{Project, docker, engine, eventually, left_of};

const PIPELINE: &str = r#"
name = "shells"
[secrets]
token = { environment = "TOKEN" }
[steps.a]
image = "debian:bookworm-slim"
environment = { COLOUR = "green" }
secrets = ["token"]
run = "echo what it left > /tmp/left; exit 3"
timeout = "8s"
[steps.a.services.db]
image = "redis:7-bookworm"
[steps.b]
image = "debian:bookworm-slim"
run = "true"
"#;

fn project() -> Project {
    Project::new(PIPELINE)
        .variable("TOKEN", "a-token-for-tests")
        .variable("TERM", "xterm")
        .file("source", "of the project")
}

#[track_caller]
fn nothing_left(project: &Project) {
    for run in project.runs() {
        eventually(
            "nothing of the run remains",
            Duration::from_secs(15),
            || left_of(&run).is_empty() && images(&run).is_empty(),
        );
    }
}

/// Images that shells of a run stand on.
fn images(run: &str) -> String {
    let filter = format!("label=dev.hoist.run={run}");
    docker(&["images", "-q", "--filter", &filter])
}

#[test]
fn a_shell_finds_what_the_step_left_and_had() {
    let project = project();
    let test = "shell::a_shell_finds_what_the_step_left_and_had";
    let Some(mut terminal) = Terminal::start(test, &project, "run --shell-on-failure") else {
        return;
    };
    terminal.wait_for("a failed with exit code 3: a shell in its container");
    terminal.types("cat /tmp/left source; echo is $COLOUR $(cat /run/secrets/token)\n");
    terminal.wait_for("what it left");
    terminal.wait_for("of the project");
    terminal.wait_for("is green a-token-for-tests");
    // Its services are there, and still nothing else.
    terminal.types("getent hosts db >/dev/null && echo data''base\n");
    terminal.wait_for("database");
    // Longer than the step may take; Ctrl-C is the shell's own.
    terminal.types("sleep 30\n");
    std::thread::sleep(Duration::from_secs(9));
    terminal.types("\x03");
    terminal.types("echo still''here; exit\n");
    terminal.wait_for("stillhere");
    let (code, said) = terminal.end();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("FAILED"), "{said}");
    nothing_left(&project);
}

#[test]
fn nothing_of_a_shell_remains_when_hoist_is_killed_or_told_to_end() {
    for (signal, code) in [("TERM", 143), ("KILL", 137)] {
        let project = project();
        let test = "shell::nothing_of_a_shell_remains_when_hoist_is_killed_or_told_to_end";
        let arguments = "run --shell-on-failure a";
        let Some(terminal) = Terminal::start(test, &project, arguments) else {
            return;
        };
        terminal.wait_for("a shell in its container");
        let run = project.runs().pop().unwrap();
        eventually("the shell runs", Duration::from_secs(10), || {
            !images(&run).is_empty()
        });
        let script = terminal.id();
        let children = format!("/proc/{script}/task/{script}/children");
        let children = std::fs::read_to_string(children).unwrap();
        let mut hoist = children.trim().to_owned();
        // A shell of `script` may stand between.
        let below = format!("/proc/{hoist}/task/{hoist}/children");
        let name = std::fs::read_to_string(format!("/proc/{hoist}/comm")).unwrap();
        if name.trim() != "hoist" {
            hoist = std::fs::read_to_string(below).unwrap().trim().to_owned();
        }
        let killed = Command::new("kill")
            .args([&format!("-{signal}"), &hoist])
            .status();
        assert!(killed.unwrap().success());
        let (ended, said) = terminal.end();
        assert_eq!(ended, code, "{said}");
        nothing_left(&project);
    }
}

#[test]
fn a_shell_is_opened_in_place_of_a_command() {
    let project = project();
    let test = "shell::a_shell_is_opened_in_place_of_a_command";
    let Some(mut terminal) = Terminal::start(test, &project, "shell a") else {
        return;
    };
    terminal.wait_for("a shell as `a` would find it");
    terminal.types("ls /tmp/left; cat source; echo is $COLOUR $(cat /run/secrets/token)\n");
    terminal.wait_for("of the project");
    terminal.wait_for("is green a-token-for-tests");
    let run = project.runs().pop().unwrap();
    terminal.types("getent hosts db >/dev/null && echo data''base; exit 5\n");
    let (code, said) = terminal.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("database"), "{said}");
    assert_eq!(project.runs(), Vec::<String>::new(), "it is no run");
    assert_eq!(left_of(&run) + &images(&run), "");
}

#[test]
fn a_shell_on_the_image_of_a_run_that_is_there_or_not() {
    let project = Project::new(
        r#"
name = "shells"
[steps.image.build]
dockerfile_inline = """
FROM debian:bookworm-slim
RUN echo as it was built > /built
"""
[steps.a]
image = "${steps.image.image}"
run = "exit 1"
"#,
    )
    .variable("TERM", "xterm");
    let test = "shell::a_shell_on_the_image_of_a_run_that_is_there_or_not";
    if !engine(test) {
        return;
    }
    project.hoist(&["run"]).expect(1);
    let run = project.runs().pop().unwrap();
    project.change("pipeline.toml", "as it was built", "as it is now");
    let arguments = format!("shell {run} a");
    let Some(mut terminal) = Terminal::start(test, &project, &arguments) else {
        return;
    };
    terminal.wait_for("a shell as `a` would find it");
    terminal.types("cat /built; exit\n");
    let (code, said) = terminal.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("as it was built"), "{said}");
    // Gone is said.
    let image = project.run_json()["state"]["steps"][0]["image"]["id"].clone();
    docker(&["rmi", "-f", image.as_str().unwrap()]);
    let terminal = Terminal::start(test, &project, &arguments).unwrap();
    let (code, said) = terminal.end();
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("in that run is gone"), "{said}");
}

#[test]
fn without_a_terminal_it_is_refused() {
    let ended = project().hoist(&["shell", "a"]);
    ended.expect(2).says("needs a terminal");
    let ended = project().hoist(&["run", "--shell-on-failure"]);
    ended.expect(2).says("needs a terminal");
}

/// The lesson of examples/inside.
#[test]
fn a_step_is_looked_into_and_mended_while_hoist_watches() {
    let test = "shell::a_step_is_looked_into_and_mended_while_hoist_watches";
    let project = Project::example("inside").variable("TERM", "xterm");
    let Some(mut terminal) = Terminal::start(test, &project, "run --shell-on-failure") else {
        return;
    };
    terminal.wait_for("a shell in its container");
    terminal.types("head -n 1 /tmp/sorted.txt | tr a-z A-Z; echo $GREETING''$GREETING; exit\n");
    terminal.wait_for("ADA");
    terminal.wait_for("hellohello");
    let (code, said) = terminal.end();
    assert_eq!(code, 1, "{said}");
    let Some(mut terminal) = Terminal::start(test, &project, "shell check") else {
        return;
    };
    terminal.types("sh check.sh || echo not in''order; exit\n");
    terminal.wait_for("not inorder");
    terminal.end();
    let mut watch = project.start(&["--progress", "plain", "watch"]);
    watch.wait_for("FAILED");
    watch.wait_for("watching for changes");
    std::fs::write(project.path().join("names.txt"), "ada\nmaria\n").unwrap();
    watch.wait_for("hello: all in order");
    watch.wait_for("PASSED");
    watch.signal("INT");
    watch.end(Duration::from_secs(10)).expect(130);
    nothing_left(&project);
}
