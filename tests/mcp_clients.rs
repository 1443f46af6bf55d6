//! `hoist mcp` with clients that no one here wrote: the MCP SDK for Python, the Inspector and the
//! conformance suite, over both transports and in both eras of the protocol.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::examples::shop;
use crate::support::{
    Ended, Project, Running, docker, ended, engine, eventually, free_port, left_of, skip, variable,
};

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

/// A server over HTTP, and where it is.
fn listening(project: &Project) -> (Running, String) {
    let mut running = project.start(&["mcp", "--http", "127.0.0.1:0"]);
    running.wait_for("the token is in");
    let said = running.said();
    let (_, rest) = said.split_once("http://").unwrap();
    let (address, _) = rest.split_once("/mcp").unwrap();
    let address = address.to_owned();
    (running, address)
}

fn over_http(mode: &str) {
    let name = format!("mcp-http-{mode}");
    let project = project(&name).variable("HOIST_MCP_TOKEN", TOKEN);
    let (running, address) = listening(&project);
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

/// The page is what an agent's people read first: what it tells is what happens.
#[test]
fn the_conversation_of_the_docs_is_held_word_by_word() {
    let test = "mcp_clients::the_conversation_of_the_docs_is_held_word_by_word";
    let trivy = variable("HOIST_TOOLS_TRIVY").is_some();
    if !is_there(test) || !(trivy || skip(test, "HOIST_TOOLS_TRIVY is not set")) {
        return;
    }
    let project = shop("shop-mcp", free_port()).variable("HOIST_MCP_TOKEN", TOKEN);
    project.change("shop/store.py", "quantity == 0", "quantity == 1");
    let (running, address) = listening(&project);
    let of = |path| Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let client = Command::new(variable("HOIST_GROUND_PYTHON").unwrap())
        .arg(of("tests/mcp/conversation.py"))
        .arg(of("runner/docs/mcp.md"))
        .args([&format!("http://{address}/mcp"), TOKEN])
        .current_dir(project.path())
        .output();
    let client = ended(client.unwrap()).expect(0);
    assert!(client.stdout.ends_with("all of it\n"), "{}", client.stdout);
    running.signal("TERM");
    let _ = running.end(Duration::from_secs(10));
    project.hoist(&["down", "staging", "--volumes"]).expect(0);
    for run in project.runs() {
        assert_eq!(left_of(&run), "");
    }
}

/// Runs what the protocol's own people try servers with, by the set-up's Node.
fn tool(project: &Project, tools: &str, name: &str, arguments: &[&str]) -> Ended {
    let tools = Path::new(tools).join("node_modules/.bin");
    let path = variable("PATH").unwrap();
    let output = Command::new(tools.join(name))
        .args(arguments)
        .current_dir(project.path())
        .env("PATH", format!("{}:{path}", tools.display()))
        .env("HOME", project.path())
        .output();
    ended(output.unwrap())
}

/// What the set-up made; the test is skipped without.
fn made(test: &str, name: &str) -> Option<String> {
    let made = variable(name);
    if made.is_none() {
        skip(test, &format!("{name} is not set"));
    }
    made
}

#[test]
fn the_inspector_finds_nothing_amiss_in_the_tools() {
    let test = "mcp_clients::the_inspector_finds_nothing_amiss_in_the_tools";
    let Some(tools) = made(test, "HOIST_GROUND_MCP_TOOLS") else {
        return;
    };
    let project = project("mcp-inspected").variable("HOIST_MCP_TOKEN", TOKEN);
    let root = project.path().to_str().unwrap();
    let (server, address) = listening(&project);
    let (address, token) = (
        format!("http://{address}/mcp"),
        format!("Authorization: Bearer {TOKEN}"),
    );
    let stdio = &[env!("CARGO_BIN_EXE_hoist"), "mcp", "--root", root][..];
    let http = &[&address, "--transport", "http", "--header", &token][..];
    for way in [stdio, http] {
        for era in ["legacy", "modern"] {
            let inspect = |more: &[&str]| {
                let asked = ["--protocol-era", era, "--format", "json"];
                let arguments = [&["--cli"], way, &asked, more].concat();
                let ended = tool(&project, &tools, "mcp-inspector", &arguments).expect(0);
                assert_eq!(ended.stderr, "", "{arguments:?}");
                serde_json::from_str::<serde_json::Value>(&ended.stdout).unwrap()["result"].take()
            };
            let listed = inspect(&["--method", "tools/list", "--strict"]);
            assert_eq!(listed["tools"].as_array().unwrap().len(), 12, "{listed}");
            let call = ["--method", "tools/call", "--tool-name", "validate_pipeline"];
            let called = inspect(&call);
            assert_eq!(called["structuredContent"]["valid"], true, "{called}");
        }
    }
    server.signal("TERM");
    let _ = server.end(Duration::from_secs(10));
}

#[test]
fn the_conformance_suite_fails_only_at_what_is_made_for_it() {
    let test = "mcp_clients::the_conformance_suite_fails_only_at_what_is_made_for_it";
    let tools = made(test, "HOIST_GROUND_MCP_TOOLS");
    let Some((tools, python)) = tools.zip(made(test, "HOIST_GROUND_PYTHON")) else {
        return;
    };
    let project = project("mcp-conforms").variable("HOIST_MCP_TOKEN", TOKEN);
    let (server, address) = listening(&project);
    // The suite has no way to send a token.
    let mut proxy = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp/proxy.py"))
        .args([&address, TOKEN])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    let mut said = BufReader::new(proxy.stdout.take().unwrap());
    said.read_line(&mut port).unwrap();
    let url = format!("http://127.0.0.1:{}/mcp", port.trim());
    let expected = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/mcp/expected-failures.yaml"
    );
    for version in ["2025-11-25", "2026-07-28"] {
        let suite = [
            "server",
            "--url",
            &url,
            "--suite",
            "all",
            "--spec-version",
            version,
        ];
        let arguments = [&suite[..], &["--expected-failures", expected]].concat();
        let ended = tool(&project, &tools, "conformance", &arguments).expect(0);
        assert!(ended.stdout.contains("✓ tools-list"), "{}", ended.stdout);
    }
    drop(proxy.stdin.take());
    proxy.wait().unwrap();
    server.signal("TERM");
    let _ = server.end(Duration::from_secs(10));
}
