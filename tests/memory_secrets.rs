//! Secrets of a service in memory: what a crash takes with it, and what writes them again.

use std::time::Duration;

use crate::support::{Project, docker, ended, engine, eventually};

const VALUE: &str = "correct horse battery staple";

fn project(name: &str) -> Project {
    let pipeline = format!(
        r#"
name = "{name}"
[secrets]
token = {{ environment = "MEMORY_TOKEN" }}
[steps.up.deploy]
environment = "live"
[steps.up.deploy.services.web]
image = "debian:bookworm-slim"
command = ["sh", "-c", "rm -f /tmp/end; until [ -e /tmp/end ]; do sleep 0.1; done; exit 3"]
user = "1000"
secrets = ["token"]
secrets_storage = "memory"
environment = {{ VERSION = "1" }}
stop_grace_period = "2s"
[environments.live]
"#
    );
    Project::new(&pipeline).variable("MEMORY_TOKEN", VALUE)
}

fn container(name: &str) -> String {
    let filter = format!("label=dev.hoist.project={name}");
    let role = "label=dev.hoist.role=service";
    let ids = docker(&["ps", "-q", "--filter", &filter, "--filter", role]);
    ids.trim().to_owned()
}

/// The secrets that a container sees, each with its value.
fn seen(container: &str) -> String {
    let script = "cd /run/secrets && for it in *; do [ -e $it ] && cat $it; done; true";
    docker(&["exec", container, "sh", "-c", script])
}

/// Its process ends by itself, and the engine starts it again.
fn crash(container: &str) {
    let count = || {
        docker(&[
            "inspect",
            "-f",
            "{{.RestartCount}} {{.State.Status}}",
            container,
        ])
    };
    let before = count();
    docker(&["exec", container, "touch", "/tmp/end"]);
    eventually(
        "the engine starts it again",
        Duration::from_secs(20),
        || {
            let now = count();
            now != before && now.ends_with("running")
        },
    );
}

#[test]
fn a_crash_takes_them_and_hoist_writes_them_again() {
    if !engine("memory_secrets::a_crash_takes_them_and_hoist_writes_them_again") {
        return;
    }
    let name = "memory-secrets";
    let project = project(name);
    let plan = project.hoist(&["plan"]).expect(0).stdout;
    assert!(plan.contains("kept in the engine's memory"), "{plan}");
    project
        .hoist(&["run"])
        .expect(0)
        .says("the secrets of web are in memory: they are gone when it ends");
    let first = container(name);
    assert_eq!(seen(&first), VALUE);
    let stat = ["exec", &first, "stat", "-c", "%u %a", "/run/secrets/token"];
    assert_eq!(docker(&stat).trim(), "1000 400");
    let options = "{{.Options.type}}";
    let volume = format!("{name}-live-web-1-secrets");
    assert_eq!(
        docker(&["volume", "inspect", "-f", options, &volume]).trim(),
        "tmpfs"
    );

    project.hoist(&["restart", "live", "web"]).expect(0);
    assert_eq!(seen(&first), VALUE, "held meanwhile");
    crash(&first);
    assert_eq!(seen(&first), "", "nothing keeps them");
    let mut without = project.command(&["restart", "live", "web"]);
    let refused = ended(without.env_remove("MEMORY_TOKEN").output().unwrap());
    refused
        .expect(2)
        .says("the secrets of web are gone from memory")
        .says("token has no value here");
    project.hoist(&["restart", "live", "web"]).expect(0);
    assert_eq!(
        (container(name), seen(&first).as_str()),
        (first.clone(), VALUE)
    );

    // A run finds that they are gone, too.
    crash(&first);
    project.hoist(&["run"]).expect(0);
    let second = container(name);
    assert_ne!(second, first);
    assert_eq!(seen(&second), VALUE);
    project.hoist(&["rollback", "live"]).expect(0);
    assert_eq!((container(name), seen(&first).as_str()), (first, VALUE));
    project.hoist(&["down", "live", "--volumes"]).expect(0);
    let filter = format!("label=dev.hoist.project={name}");
    for kind in ["container", "volume"] {
        let all = docker(&[kind, "ls", "-q", "--filter", &filter]);
        assert_eq!(all.trim(), "", "no {kind} is left");
    }
}
