//! A service on the host's network runs only where the command that starts it allows it, and is seen
//! wherever it is told what runs.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Project, docker, engine, eventually, free_port};

const FLAG: &str = "--allow-host-network";

/// A service that listens on loopback of the host, on that port.
fn project(name: &str, port: u16) -> Project {
    let pipeline = format!(
        r#"
name = "{name}"
[steps.first]
image = "debian:bookworm-slim"
run = "true"
[steps.up]
needs = ["first"]
[steps.up.deploy]
environment = "live"
[steps.up.deploy.services.web]
image = "python:3.11-slim-bookworm"
command = ["python", "-m", "http.server", "--bind", "127.0.0.1", "{port}"]
network_mode = "host"
stop_grace_period = "2s"
healthcheck = {{ test = "python -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))'", interval = "2s", retries = 20 }}
[environments.live]
"#
    );
    Project::new(&pipeline)
}

fn containers(name: &str) -> Vec<String> {
    let filter = format!("label=dev.hoist.project={name}");
    let role = "label=dev.hoist.role=service";
    let ids = docker(&[
        "ps",
        "-q",
        "--no-trunc",
        "--filter",
        &filter,
        "--filter",
        role,
    ]);
    ids.lines().map(str::to_owned).collect()
}

fn answers(port: u16) -> bool {
    let address = ([127, 0, 0, 1], port).into();
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

fn json(project: &Project, arguments: &[&str]) -> Value {
    let text = project.hoist(arguments).expect(0).stdout;
    serde_json::from_str(&text).unwrap()
}

#[test]
fn it_is_refused_before_anything_unless_the_command_allows_it() {
    if !engine("host_network::it_is_refused_before_anything_unless_the_command_allows_it") {
        return;
    }
    let (name, port) = ("host-network", free_port());
    let project = project(name, port);
    let plan = project.hoist(&["plan"]).expect(0).stdout;
    assert!(plan.contains("on the host's network"), "{plan}");

    let refused = project.hoist(&["run"]).expect(2);
    refused
        .says("the host's network is not allowed for web")
        .says(FLAG);
    assert!(project.runs().is_empty(), "no step was run");
    let preview = ["plan", "--deploy", "live"];
    project.hoist(&preview).expect(2).says(FLAG);
    let shown = project.hoist(&[&preview[..], &[FLAG]].concat()).expect(0);
    assert!(
        shown.stdout.contains("it has the host's network"),
        "{}",
        shown.stdout
    );
    assert_eq!(containers(name), [""; 0]);

    let run = project.hoist(&["run", FLAG]).expect(0);
    run.says("web on the host's network");
    let first = containers(name);
    let mode = "{{.HostConfig.NetworkMode}} {{len .NetworkSettings.Ports}}";
    assert_eq!(docker(&["inspect", "-f", mode, &first[0]]).trim(), "host 0");
    assert!(answers(port), "it listens on the host itself");

    let shown = json(&project, &["ps", "live", "--format", "json"]);
    assert_eq!(shown[0]["host_network"], true, "{shown:#}");
    let text = project.hoist(&["ps", "live"]).expect(0).stdout;
    assert!(text.contains("the host's"), "{text}");
    let shown = json(&project, &["releases", "live", "--format", "json"]);
    let service = &shown["releases"][0]["services"][0];
    assert_eq!(service["host_network"], true, "{shown:#}");

    // What runs was allowed when it was released.
    project.hoist(&["restart", "live"]).expect(0);
    project
        .hoist(&["scale", "live", "web=2"])
        .expect(2)
        .says("two would want the same ports");
    assert_eq!(containers(name), first);
    eventually("it answers", Duration::from_secs(5), || answers(port));

    // The old is gone before the new wants its port.
    project.change(
        "pipeline.toml",
        "stop_grace_period",
        "labels = { a = \"b\" }\nstop_grace_period",
    );
    project.hoist(&["run"]).expect(2);
    project
        .hoist(&["run", FLAG])
        .expect(0)
        .says("it is down meanwhile");
    let second = containers(name);
    assert!(second.len() == 1 && second != first, "{second:?}");
    project.hoist(&["rollback", "live"]).expect(2).says(FLAG);
    assert_eq!(containers(name), second);
    project.hoist(&["rollback", "live", FLAG]).expect(0);
    assert_eq!(containers(name), first);
    assert!(answers(port));
    project.hoist(&["down", "live", "--volumes"]).expect(0);
}
