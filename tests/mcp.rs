//! `hoist mcp` as its clients meet it, and as none should: raw lines on its standard input.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Project, docker, engine, eventually, left_of};

const PIPELINE: &str = r#"
name = "mcp"
[steps.quick]
image = "debian:bookworm-slim"
source = false
run = "echo said by a container; exit 3"
[steps.slow]
image = "debian:bookworm-slim"
source = false
run = "trap '' TERM; echo begun; sleep 300 & wait; sleep 300"
[steps.live.deploy]
environment = "live"
[steps.live.deploy.services.web]
image = "debian:bookworm-slim"
command = ["sleep", "300"]
[environments.live]
"#;

/// A server and the ends of its streams.
struct Server {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    last: u64,
}

impl Server {
    fn start(project: &Project) -> Self {
        let mut child = project
            .command(&["mcp"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (mut server, version) = (
            Self {
                child,
                input,
                output,
                last: 0,
            },
            "2025-11-25",
        );
        let hello = json!({"protocolVersion": version, "capabilities": {},
            "clientInfo": {"name": "raw", "version": "1"}});
        let said = server.ask("initialize", &hello);
        assert_eq!(said["result"]["protocolVersion"], version);
        server.line(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        server
    }

    fn line(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
        input.flush().unwrap();
    }

    fn send(&mut self, method: &str, params: &Value) -> u64 {
        self.last += 1;
        let request =
            json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params});
        self.line(&request.to_string());
        self.last
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let id = self.send(method, params);
        loop {
            let mut line = String::new();
            assert!(
                self.output.read_line(&mut line).unwrap() > 0,
                "no answer to {method}"
            );
            let said: Value = serde_json::from_str(&line).unwrap();
            if said["id"] == id {
                return said;
            }
        }
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let said = self.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        said["result"].clone()
    }

    /// Waits until a container of the newest run is there.
    fn wait_for_container(project: &Project) -> String {
        let mut run = String::new();
        eventually("the step runs", Duration::from_secs(30), || {
            let Some(newest) = project.runs().pop() else {
                return false;
            };
            let log = project
                .path()
                .join(format!(".hoist/runs/{newest}/logs/slow.log"));
            run = newest;
            std::fs::read_to_string(log).is_ok_and(|log| log.contains("begun"))
        });
        run
    }

    fn ends_within(&mut self, seconds: u64) {
        eventually("the server ends", Duration::from_secs(seconds), || {
            self.child.try_wait().unwrap().is_some()
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn nothing_remains(run: &str) {
    eventually("nothing remains", Duration::from_secs(10), || {
        left_of(run).is_empty()
    });
}

#[test]
fn mcp_answers_whatever_it_is_told() {
    let project = Project::new(PIPELINE);
    let mut server = Server::start(&project);
    server.line("{\"jsonrpc\":\"2.0\",\"id\":1,\"meth");
    server.line("[]");
    server.line(r#"{"jsonrpc":"2.0","id":"x","method":7}"#);
    let long = "x".repeat(10 << 20);
    let said = server.call("list_pipelines", &json!({"workspace": long}));
    assert_eq!(said["isError"], true);
    let said = server.ask("no/such/method", &json!({}));
    assert_eq!(said["error"]["code"], -32601, "{said}");
    let said = server.call("read_log", &json!({"run_id": 7}));
    assert_eq!(said["isError"], true);
    let said = server.ask(
        "tools/call",
        &json!({"name": "no_such_tool", "arguments": {}}),
    );
    assert_eq!(said["error"]["code"], -32602, "{said}");
    let said = server.call("list_pipelines", &json!({}));
    assert_eq!(
        said["structuredContent"]["pipelines"][0]["name"], "mcp",
        "{said}"
    );
}

#[test]
fn mcp_deploys_nowhere_unasked() {
    if !engine("mcp_deploys_nowhere_unasked") {
        return;
    }
    let project = Project::new(PIPELINE);
    let deployed = || {
        let filter = "label=dev.hoist.project=mcp";
        docker(&[
            "ps",
            "--quiet",
            "--filter",
            filter,
            "--filter",
            "label=dev.hoist.role=service",
        ])
    };
    let mut server = Server::start(&project);
    let said = server.call("run_pipeline", &json!({"steps": ["live"]}));
    let run = &said["structuredContent"]["run"];
    assert_eq!(run["status"], "awaiting_approval", "{said}");
    let awaits = &run["awaits"][0];
    assert_eq!(awaits["environment"], "live", "{said}");
    assert!(
        awaits["changes"][0].as_str().unwrap().contains("web"),
        "{said}"
    );
    assert_eq!(deployed(), "");
    // Neither by another digest, nor by the beginning of none, nor for another place.
    let approve = |environment: &str, digest: &str| json!({"run_id": run["run_id"], "environment": environment, "plan_digest": digest});
    let digest = awaits["plan_digest"].as_str().unwrap();
    let wrong = "0".repeat(32);
    for (environment, digest) in [("live", wrong.as_str()), ("live", ""), ("else", digest)] {
        let said = server.call("approve_deploy", &approve(environment, digest));
        assert_eq!(said["isError"], true, "{said}");
    }
    assert_eq!(deployed(), "");
    let said = server.call("cancel_run", &json!({"run_id": run["run_id"]}));
    assert_eq!(said["structuredContent"]["status"], "cancelled", "{said}");
    assert_eq!(deployed(), "");
    let said = server.call("approve_deploy", &approve("live", digest));
    assert_eq!(said["isError"], true, "{said}");

    // The same change has the same digest; by that it is done.
    let said = server.call("run_pipeline", &json!({"steps": ["live"]}));
    let run = &said["structuredContent"]["run"];
    assert_eq!(run["awaits"][0]["plan_digest"], digest, "{said}");
    let agreed = json!({"run_id": run["run_id"], "environment": "live", "plan_digest": digest});
    let said = server.call("approve_deploy", &agreed);
    assert_eq!(said["structuredContent"]["status"], "succeeded", "{said}");
    assert_ne!(deployed(), "");
    // Nothing would change: nobody is asked.
    let said = server.call("run_pipeline", &json!({"steps": ["live"]}));
    assert_eq!(
        said["structuredContent"]["run"]["status"], "succeeded",
        "{said}"
    );
    project.hoist(&["down", "live"]).expect(0);
    nothing_remains(run["run_id"].as_str().unwrap());
}

#[test]
fn mcp_tells_why_a_run_failed() {
    if !engine("mcp_tells_why_a_run_failed") {
        return;
    }
    let project = Project::new(PIPELINE);
    let mut server = Server::start(&project);
    let said = server.call("run_pipeline", &json!({"steps": ["quick"]}));
    let run = &said["structuredContent"]["run"];
    assert_eq!(
        (&said["isError"], &run["status"]),
        (&json!(false), &json!("failed")),
        "{said}"
    );
    let said = server.call("get_failure_summary", &json!({"run_id": run["run_id"]}));
    let failed = &said["structuredContent"]["failed"][0];
    assert_eq!(failed["exit_code"], 3, "{said}");
    assert!(
        failed["log_tail"]
            .as_str()
            .unwrap()
            .contains("said by a container")
    );
    nothing_remains(run["run_id"].as_str().unwrap());
}

#[test]
fn mcp_leaves_nothing_when_its_client_is_gone() {
    if !engine("mcp_leaves_nothing_when_its_client_is_gone") {
        return;
    }
    let ways: [fn(&mut Server); 2] = [
        |server| drop(server.input.take()),
        |server| {
            let id = server.child.id().to_string();
            assert!(
                Command::new("kill")
                    .args(["-TERM", &id])
                    .status()
                    .unwrap()
                    .success()
            );
        },
    ];
    for end in ways {
        let project = Project::new(PIPELINE);
        let mut server = Server::start(&project);
        // The client never reads again: neither answers nor progress.
        let params = json!({"name": "run_pipeline", "arguments": {"steps": ["slow"]},
            "_meta": {"progressToken": 1}});
        server.send("tools/call", &params);
        let run = Server::wait_for_container(&project);
        assert!(!left_of(&run).is_empty());
        end(&mut server);
        server.ends_within(3);
        nothing_remains(&run);
    }
}

#[test]
fn mcp_cancels_the_run_whose_call_is_cancelled() {
    if !engine("mcp_cancels_the_run_whose_call_is_cancelled") {
        return;
    }
    let pipeline = PIPELINE.replace("trap '' TERM; ", "");
    let project = Project::new(&pipeline);
    let mut server = Server::start(&project);
    let params = json!({"name": "run_pipeline", "arguments": {"steps": ["slow"]}});
    let id = server.send("tools/call", &params);
    let run = Server::wait_for_container(&project);
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": id}});
    server.line(&cancel.to_string());
    let said = server.call("get_run", &json!({"run_id": run, "wait_seconds": 40}));
    assert_eq!(said["structuredContent"]["status"], "cancelled", "{said}");
    nothing_remains(&run);
}

#[test]
fn mcp_shows_nothing_that_a_tool_does_not_tell() {
    if !engine("mcp_shows_nothing_that_a_tool_does_not_tell") {
        return;
    }
    let project = Project::new(PIPELINE);
    let mut server = Server::start(&project);
    let said = server.ask("resources/list", &json!({}));
    assert_eq!(said["result"]["resources"], json!([]), "{said}");
    let said = server.call("run_pipeline", &json!({"steps": ["quick"]}));
    let run = said["structuredContent"]["run"]["run_id"].clone();
    let id = run.as_str().unwrap();
    let links: Vec<_> = said["content"].as_array().unwrap()[1..].to_vec();
    let names: Vec<_> = links.iter().map(|link| &link["uri"]).collect();
    let view = |view: &str| format!("pipeline://runs/{id}/{view}");
    assert_eq!(names, [&view("summary"), &view("failures")], "{said}");
    for (link, tool) in links.iter().zip(["get_run", "get_failure_summary"]) {
        assert!(
            link["description"].as_str().unwrap().contains(tool),
            "{link}"
        );
        let read = server.ask("resources/read", &json!({"uri": link["uri"]}));
        let text = read["result"]["contents"][0]["text"].as_str().unwrap();
        let told = server.call(tool, &json!({"run_id": run}));
        let shown: Value = serde_json::from_str(text).unwrap();
        // Each marks text of containers with a word of its own.
        for field in ["run_id", "status", "counts", "steps"] {
            assert_eq!(shown[field], told["structuredContent"][field], "{field}");
        }
    }
    let uri = view("log?step=quick&cursor=1");
    let read = server.ask("resources/read", &json!({"uri": uri}));
    let contents = &read["result"]["contents"][0];
    assert_eq!(contents["mimeType"], "text/plain");
    let text = contents["text"].as_str().unwrap();
    assert!(text.contains("said by a container"), "{text}");
    for (file, inside) in [
        ("junit.xml", "<testsuite "),
        ("scan.sarif", "\"version\": \"2.1.0\""),
    ] {
        let read = server.ask("resources/read", &json!({"uri": view(file)}));
        let text = read["result"]["contents"][0]["text"].as_str().unwrap();
        assert!(text.contains(inside), "{read}");
        let told = server.call("read_artifact", &json!({"run_id": run, "path": file}));
        let told = told["structuredContent"]["text"].as_str().unwrap();
        assert!(told.contains(text), "{told}\n{text}");
    }
    let listed = server.ask("resources/list", &json!({}));
    assert_eq!(listed["result"]["resources"][0]["uri"], view("summary"));
    for wrong in [
        view("events.jsonl"),
        view("../../pipeline.toml"),
        "file:///etc/passwd".into(),
    ] {
        let said = server.ask("resources/read", &json!({"uri": wrong}));
        assert_eq!(said["error"]["code"], -32002, "{wrong}: {said}");
    }
    let complete = |server: &mut Server, argument: &str, value: &str| {
        let params = json!({"ref": {"type": "ref/resource", "uri": "pipeline://runs/{run_id}/log"},
            "argument": {"name": argument, "value": value},
            "context": {"arguments": {"run_id": id}}});
        server.ask("completion/complete", &params)["result"]["completion"]["values"].clone()
    };
    assert_eq!(complete(&mut server, "run_id", ""), json!(["latest", id]));
    assert_eq!(
        complete(&mut server, "run_id", id.split('-').next_back().unwrap()),
        json!([id])
    );
    assert_eq!(complete(&mut server, "step", "qu"), json!(["quick"]));
    let params = json!({"name": "diagnose_run", "arguments": {"run_id": ""}});
    let said = server.ask("prompts/get", &params);
    let text = said["result"]["messages"][0]["content"]["text"].as_str();
    let text = text.unwrap();
    assert!(text.contains(id) && text.contains("exit 3"), "{text}");
}

#[test]
fn mcp_prompts_take_what_they_say() {
    let project = Project::new(PIPELINE);
    let mut server = Server::start(&project);
    let said = server.ask("prompts/list", &json!({}));
    let names: Vec<_> = said["result"]["prompts"].as_array().unwrap().to_vec();
    let names: Vec<_> = names.iter().map(|prompt| &prompt["name"]).collect();
    assert_eq!(names, ["diagnose_run", "write_pipeline"]);
    let params = json!({"name": "write_pipeline", "arguments": {"wishes": "lint first"}});
    let said = server.ask("prompts/get", &params);
    let text = said["result"]["messages"][0]["content"]["text"].as_str();
    assert!(text.unwrap().contains("lint first"), "{said}");
    for wrong in [
        json!({"name": "no_such_prompt"}),
        json!({"name": "write_pipeline", "arguments": {"run_id": "latest"}}),
        json!({"name": "diagnose_run"}),
        json!({"name": "diagnose_run", "arguments": {"run_id": "no-such-run"}}),
    ] {
        let said = server.ask("prompts/get", &wrong);
        assert_eq!(said["error"]["code"], -32602, "{wrong}: {said}");
    }
    let said = server.ask("resources/templates/list", &json!({}));
    let found = said["result"]["resourceTemplates"].as_array().unwrap();
    assert_eq!(found.len(), 6, "{said}");
}
