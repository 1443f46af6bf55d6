//! `hoist mcp` with a client that no one here wrote: the MCP SDK for Python, over both transports and
//! in both eras of the protocol.

use std::process::Command;
use std::time::Duration;

use crate::support::{Project, docker, ended, engine, eventually, left_of, skip, variable};

const PIPELINE: &str = r#"
name = "mcp"
[steps.quick]
image = "debian:bookworm-slim"
source = false
run = "echo said by a container; exit 3"
[steps.long]
image = "debian:bookworm-slim"
source = false
cache = false
run = "sleep 7"
[steps.slow]
image = "debian:bookworm-slim"
source = false
run = "echo begun; sleep 300"
[steps.live.deploy]
environment = "live"
[steps.live.deploy.services.web]
image = "debian:bookworm-slim"
command = ["sleep", "300"]
[environments.live]
"#;
const TOKEN: &str = "a-token-that-only-tests-know";

/// A project whose name is its own: each deploys.
fn project(name: &str) -> Project {
    Project::new(&PIPELINE.replace("\"mcp\"", &format!("{name:?}")))
}

/// Does with the server all that an agent does; nothing of it remains on the engine.
fn does_all(project: &Project, name: &str, mode: &str, server: &[&str]) {
    let Some(python) = variable("HOIST_GROUND_PYTHON") else {
        return;
    };
    let client = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp/client.py"))
        .arg(mode)
        .args(server)
        .current_dir(project.path())
        .output()
        .unwrap();
    let client = ended(client).expect(0);
    assert!(client.stdout.ends_with("all of it\n"), "{}", client.stdout);
    let deployed = docker(&[
        "ps",
        "--quiet",
        "--filter",
        &format!("label=dev.hoist.project={name}"),
    ]);
    assert_ne!(deployed, "", "{}", client.stdout);
    project.hoist(&["down", "live"]).expect(0);
    let runs = project.runs();
    assert!(runs.len() >= 6, "{runs:?}");
    for run in runs {
        eventually("nothing remains", Duration::from_secs(10), || {
            left_of(&run).is_empty()
        });
    }
}

fn is_there(test: &str) -> bool {
    if !engine(test) {
        return false;
    }
    variable("HOIST_GROUND_PYTHON").is_some() || skip(test, "HOIST_GROUND_PYTHON is not set")
}

fn over_stdio(mode: &str) {
    let name = format!("mcp-stdio-{mode}");
    let project = project(&name);
    let root = project.path().to_str().unwrap();
    let server = [env!("CARGO_BIN_EXE_hoist"), "mcp", "--root", root];
    does_all(&project, &name, mode, &server);
}

fn over_http(mode: &str) {
    let name = format!("mcp-http-{mode}");
    let project = project(&name).variable("HOIST_MCP_TOKEN", TOKEN);
    let mut running = project.start(&["mcp", "--http", "127.0.0.1:0"]);
    running.wait_for("the token is in");
    let said = running.said();
    let (_, rest) = said.split_once("http://").unwrap();
    let (address, _) = rest.split_once("/mcp").unwrap();
    let address = format!("http://{address}/mcp");
    does_all(&project, &name, mode, &[&address, TOKEN]);
    running.signal("TERM");
    let _ = running.end(Duration::from_secs(10));
}

#[test]
fn an_agent_of_the_older_era_over_stdio() {
    if is_there("mcp_clients::an_agent_of_the_older_era_over_stdio") {
        over_stdio("legacy");
    }
}

#[test]
fn an_agent_of_the_newer_era_over_stdio() {
    if is_there("mcp_clients::an_agent_of_the_newer_era_over_stdio") {
        over_stdio("2026-07-28");
    }
}

#[test]
fn an_agent_of_the_older_era_over_http() {
    if is_there("mcp_clients::an_agent_of_the_older_era_over_http") {
        over_http("legacy");
    }
}

#[test]
fn an_agent_of_the_newer_era_over_http() {
    if is_there("mcp_clients::an_agent_of_the_newer_era_over_http") {
        over_http("2026-07-28");
    }
}
