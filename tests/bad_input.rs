//! Wrong input of every sort: a sentence that says what, where and what to try, exit code 2 or 4,
//! and nothing half done.

use crate::support::{Project, docker, engine};

const SAY: &str = r#"
name = "bad"
[steps.say]
image = "debian:bookworm-slim"
run = "echo hello"
"#;

#[test]
fn no_file() {
    let project = Project::empty();
    project
        .hoist(&["run"])
        .expect(2)
        .says("there is no pipeline.toml")
        .says("hoist init");
    project
        .hoist(&["-f", "other.toml", "run"])
        .expect(2)
        .says("there is no other.toml");
    project
        .hoist(&["-C", "nowhere", "run"])
        .expect(2)
        .says("there is no folder nowhere");
}

#[test]
fn not_toml_and_not_text() {
    Project::new("name = \"a\n[steps")
        .hoist(&["run"])
        .expect(2)
        .says("pipeline.toml:1");
    Project::empty()
        .file("pipeline.toml", b"name = \"\xff\"")
        .hoist(&["run"])
        .expect(2)
        .says("UTF-8");
}

#[test]
fn an_unknown_step() {
    Project::new(SAY)
        .hoist(&["run", "sayy"])
        .expect(2)
        .says("there is no step `sayy`")
        .says("`say`");
}

#[test]
fn a_missing_secret_changes_nothing() {
    let pipeline = r#"
name = "bad"
[secrets]
token = { environment = "THE_TOKEN" }
pin = { environment = "THE_PIN" }
[steps.say]
image = "debian:bookworm-slim"
secrets = ["token", "pin"]
run = "true"
"#;
    let project = Project::new(pipeline).variable("THE_PIN", "1234");
    let ended = project
        .hoist(&["run"])
        .expect(2)
        .says("THE_TOKEN")
        .says("at least 8");
    assert!(!ended.stderr.contains("1234"), "{}", ended.stderr);
    assert!(project.runs().is_empty());
}

#[test]
fn no_engine() {
    let project = Project::new(SAY).variable("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let ended = project
        .hoist(&["run"])
        .expect(4)
        .says("/nowhere/docker.sock")
        .says("try:");
    assert!(ended.stderr.lines().count() <= 4, "{}", ended.stderr);
    project.hoist(&["doctor"]).expect(4);
    let refused = Project::new(SAY).variable("DOCKER_HOST", "tcp://127.0.0.1:9");
    refused.hoist(&["run"]).expect(4).says("127.0.0.1:9");
}

#[test]
fn no_permission_on_the_socket() {
    use std::os::unix::fs::PermissionsExt;
    let test = "bad_input::no_permission_on_the_socket";
    if !crate::support::can_drop_root(test) {
        return;
    }
    let project = Project::new(SAY);
    let socket = project.path().join("docker.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::set_permissions(project.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let project = project.variable("DOCKER_HOST", &format!("unix://{}", socket.display()));
    let ended = crate::support::as_nobody(&project, &["run"]);
    ended
        .expect(4)
        .says("Permission denied")
        .says("group `docker`");
}

#[test]
fn an_engine_that_is_too_old() {
    let (address, _server) = crate::support::fake_engine("1.40");
    let project = Project::new(SAY).variable("DOCKER_HOST", &address);
    project.hoist(&["run"]).expect(4).says("1.40").says("20.10");
}

#[test]
fn an_image_that_is_not_to_be_had() {
    if !engine("bad_input::an_image_that_is_not_to_be_had") {
        return;
    }
    let project = Project::new(&SAY.replace("debian:bookworm-slim", "127.0.0.1:9/not/there:1"));
    project
        .hoist(&["run"])
        .expect(4)
        .says("127.0.0.1:9/not/there:1");
}

#[test]
fn a_port_that_is_taken() {
    if !engine("bad_input::a_port_that_is_taken") {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let pipeline = format!(
        r#"
name = "bad-port"
[steps.up.deploy]
environment = "test"
[steps.up.deploy.services.web]
image = "debian:bookworm-slim"
command = ["sleep", "60"]
ports = ["127.0.0.1:{port}:80"]
[environments.test]
"#
    );
    let project = Project::new(&pipeline);
    let ended = project.hoist(&["run"]);
    assert!(matches!(ended.code, 4 | 5), "{}", ended.stderr);
    let ended = ended.says(&port.to_string());
    assert!(ended.stderr.contains("try:"), "{}", ended.stderr);
    assert_eq!(
        docker(&[
            "ps",
            "-aq",
            "--filter",
            "label=dev.hoist.project=bad-port",
            "--filter",
            "label=dev.hoist.role=service"
        ]),
        ""
    );
    project.hoist(&["down", "test", "--volumes"]);
}

#[test]
fn subnets_that_overlap() {
    if !engine("bad_input::subnets_that_overlap") {
        return;
    }
    let network = "hoist-test-overlap";
    docker(&[
        "network",
        "create",
        "--label",
        "dev.hoist.test=1",
        "--subnet",
        "172.31.77.0/24",
        network,
    ]);
    let pipeline = r#"
name = "bad-net"
[steps.up.deploy]
environment = "test"
[steps.up.deploy.services.web]
image = "debian:bookworm-slim"
command = ["sleep", "60"]
[environments.test]
networks.default.ipam.config = [{ subnet = "172.31.77.0/25" }]
"#;
    let project = Project::new(pipeline);
    let ended = project.hoist(&["run"]);
    docker(&["network", "rm", network]);
    assert!(matches!(ended.code, 4 | 5), "{}", ended.stderr);
    ended.says("172.31.77.0/25");
    assert_eq!(
        docker(&["ps", "-aq", "--filter", "label=dev.hoist.project=bad-net"]),
        ""
    );
}

#[test]
fn an_unreadable_file_in_the_context() {
    use std::os::unix::fs::PermissionsExt;
    let test = "bad_input::an_unreadable_file_in_the_context";
    if !engine(test) || !crate::support::can_drop_root(test) {
        return;
    }
    let project = Project::new("name = \"bad\"\n[steps.image.build]\n")
        .file("Dockerfile", "FROM debian:bookworm-slim\nCOPY . /src\n")
        .file("private.key", "x");
    let secret = project.path().join("private.key");
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o000)).unwrap();
    let ended = crate::support::as_nobody(&project, &["run"]);
    assert!(matches!(ended.code, 2 | 4), "{}", ended.stderr);
    ended.says("private.key");
}

#[test]
fn a_link_that_leaves_the_context_is_not_followed() {
    if !engine("bad_input::a_link_that_leaves_the_context_is_not_followed") {
        return;
    }
    let project = Project::new(
        "name = \"bad\"\n[steps.say]\nimage = \"debian:bookworm-slim\"\nrun = \"cat out/passwd\"\n",
    );
    std::os::unix::fs::symlink("/etc", project.path().join("out")).unwrap();
    let ended = project.hoist(&["run"]);
    // The link may arrive as a link, which leads to the container's own /etc; never the host's file.
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    assert!(
        !ended.stderr.contains("command not found"),
        "{}",
        ended.stderr
    );
    assert!(
        host.is_empty() || !ended.stderr.contains(&format!("\n{host}")),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_full_disk() {
    let test = "bad_input::a_full_disk";
    if !engine(test) || !crate::support::can_drop_root(test) {
        return;
    }
    let Some(small) = crate::support::SmallEngine::start(test) else {
        return;
    };
    let project = Project::new(SAY).variable("DOCKER_HOST", &small.address);
    let large = std::fs::File::create(project.path().join("large.bin")).unwrap();
    large.set_len(400 << 20).unwrap();
    let ended = project
        .hoist(&["run"])
        .expect(4)
        .says("no space left on device");
    ended.says("free space on the engine's disk");
    // What was half done is gone, and the engine is of use again.
    let run = project.runs().pop().unwrap();
    let filter = format!("label=dev.hoist.run={run}");
    let left = docker(&["--host", &small.address, "ps", "-aq", "--filter", &filter]);
    assert_eq!(left, "");
    std::fs::remove_file(project.path().join("large.bin")).unwrap();
    project.hoist(&["run"]).expect(0);
}
