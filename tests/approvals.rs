//! Deploys that someone must approve of: digests on the command line, and the question on a terminal.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Project, docker, engine};

fn project(name: &str) -> Project {
    let pipeline = format!(
        r#"
name = "{name}"
[steps.up]
timeout = "1m"
[steps.up.deploy]
environment = "live"
[steps.up.deploy.services.web]
image = "debian:bookworm-slim"
command = ["sleep", "1000"]
environment = {{ VERSION = "one" }}
stop_grace_period = "0s"
[environments.live]
approval = true
"#
    );
    Project::new(&pipeline)
}

fn deployed(name: &str) -> String {
    let filter = format!("label=dev.hoist.project={name}");
    let role = "label=dev.hoist.role=service";
    let shown = ["--format", "{{.Names}}", "--filter", role];
    docker(&[&["ps", "-a", "--filter", &filter], &shown[..]].concat())
}

/// The digest that a run says could be approved.
fn digest(said: &str) -> String {
    let (_, after) = said
        .split_once("--approve ")
        .unwrap_or_else(|| panic!("no digest: {said}"));
    after.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn a_deploy_waits_for_the_digest_of_what_it_would_change() {
    if !engine("approvals::a_deploy_waits_for_the_digest_of_what_it_would_change") {
        return;
    }
    let name = "approve-digest";
    let project = project(name);
    let plan = project.hoist(&["plan"]).expect(0).stdout;
    assert!(
        plan.contains("to environment live, when someone approves"),
        "{plan}"
    );

    let asked = project.hoist(&["--progress", "plain", "run"]).expect(6);
    let asked = asked.says("web is new in release 1").says("needs approval");
    assert!(asked.last().starts_with("NOT APPROVED"), "{}", asked.stderr);
    assert_eq!(deployed(name), "");
    let digest = digest(&asked.stderr);
    let run = |digest: &str| project.hoist(&["--progress", "plain", "run", "--approve", digest]);

    run(&"0".repeat(32)).expect(6);
    assert_eq!(deployed(name), "");
    run("none").expect(2);
    run(&digest).expect(0);
    assert_eq!(deployed(name), format!("{name}-live-web-1-1"));
    // Nothing changes: nobody is asked.
    project.hoist(&["run"]).expect(0);
    // The old approval is none for another change.
    project.change("pipeline.toml", "\"one\"", "\"two\"");
    run(&digest).expect(6);
    assert_eq!(deployed(name), format!("{name}-live-web-1-1"));
    project.hoist(&["down", "live", "--volumes"]).expect(0);
}

/// Runs on a terminal of its own (that of `script`), types the environment's name before anything is
/// asked and an answer once it is, and gives the exit code and what was shown.
fn answer(project: &Project, progress: &str, typed: &str) -> (i32, String) {
    let hoist = project.command(&[]);
    let line = format!(
        "{} --progress {progress} run",
        hoist.get_program().display()
    );
    let mut script = Command::new("script");
    script.args([
        "--quiet",
        "--return",
        "--flush",
        "--command",
        &line,
        "/dev/null",
    ]);
    script.current_dir(project.path()).env_clear();
    script.envs(
        hoist
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    script.env("TERM", "xterm");
    let mut child = script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script is there");
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    writeln!(input, "live").unwrap();
    let (mut shown, mut answered) = (String::new(), false);
    let start = Instant::now();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = output.read(&mut buffer) {
        shown.push_str(&String::from_utf8_lossy(&buffer[..read]));
        if !answered && shown.contains("Enter to approve") {
            answered = true;
            writeln!(input, "{typed}").unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{shown}");
    }
    (child.wait().unwrap().code().unwrap_or(-1), shown)
}

#[test]
fn on_a_terminal_the_environments_name_approves_and_anything_else_denies() {
    let test = "approvals::on_a_terminal_the_environments_name_approves_and_anything_else_denies";
    if !engine(test) {
        return;
    }
    let name = "approve-terminal";
    let project = project(name);
    for progress in ["tty", "plain"] {
        let (code, shown) = answer(&project, progress, "yes");
        assert_eq!(code, 6, "{shown}");
        assert!(shown.contains("was denied"), "{shown}");
        assert_eq!(deployed(name), "");
        let (code, shown) = answer(&project, progress, "live");
        assert_eq!(code, 0, "{shown}");
        assert_eq!(deployed(name), format!("{name}-live-web-1-1"));
        project.hoist(&["down", "live", "--volumes"]).expect(0);
    }
}
