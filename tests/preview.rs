//! What a deploy would change, shown before it: against what runs, with no value in it, and with the
//! digest that the run asks for.

use serde_json::Value;

use crate::support::{Project, docker, engine};

const SECRET: &str = "correct-horse-battery-staple";

fn project(name: &str) -> Project {
    let pipeline = format!(
        r#"
name = "{name}"
[secrets]
token = {{ environment = "TOKEN" }}
[steps.up.deploy]
environment = "live"
[steps.up.deploy.services.web]
image = "debian:bookworm-slim"
command = ["sleep", "1000"]
secrets = ["token"]
environment = {{ VERSION = "value-one", OLD = "value-gone" }}
resources.limits = {{ memory = "64m" }}
stop_grace_period = "0s"
[environments.live]
approval = true
"#
    );
    Project::new(&pipeline).variable("TOKEN", SECRET)
}

fn preview(project: &Project) -> Value {
    let shown = project.hoist(&["plan", "--deploy", "live", "--format", "json"]);
    let text = shown.expect(0).stdout;
    for value in [SECRET, "value-one", "value-two", "value-gone"] {
        assert!(!text.contains(value), "{text}");
    }
    serde_json::from_str(&text).unwrap()
}

fn objects(name: &str) -> String {
    let filter = format!("label=dev.hoist.project={name}");
    ["container", "volume", "network"]
        .map(|kind| docker(&[kind, "ls", "-q", "--filter", &filter]))
        .concat()
}

#[test]
fn it_says_what_would_change_and_the_digest_that_the_run_asks_for() {
    if !engine("preview::it_says_what_would_change_and_the_digest_that_the_run_asks_for") {
        return;
    }
    let name = "preview-digest";
    let project = project(name);
    let first = preview(&project);
    assert_eq!(first["services"][0]["action"], "created", "{first:#}");
    assert_eq!(first["networks"]["added"][0], "default");
    assert_eq!(objects(name), "", "nothing is made");
    let digest = first["digest"]["known"].as_str().unwrap();
    project.hoist(&["run", "--approve", digest]).expect(0);

    let same = preview(&project);
    assert_eq!(same["digest"], "nothing");
    assert_eq!(same["services"][0]["action"], "unchanged");

    project.change("pipeline.toml", "value-one", "value-two");
    project.change("pipeline.toml", "OLD = \"value-gone\"", "NEW = \"1\"");
    project.change("pipeline.toml", "64m", "128m");
    let there = objects(name);
    let other = preview(&project);
    let web = &other["services"][0];
    assert_eq!(web["action"], "replaced", "{other:#}");
    assert_eq!(web["downtime"], true);
    assert_eq!(web["secrets_changed"], false);
    assert_eq!(web["variables"]["added"][0], "NEW");
    assert_eq!(web["variables"]["removed"][0], "OLD");
    assert_eq!(web["variables"]["changed"][0], "VERSION");
    let memory = &web["settings"][0];
    assert_eq!(memory["key"], "resources.limits.memory");
    assert_eq!(
        (memory["from"].as_str(), memory["to"].as_str()),
        (Some("64m"), Some("128m"))
    );
    let text = project
        .hoist(&["plan", "--deploy", "live"])
        .expect(0)
        .stdout;
    for said in [
        "web is replaced, its settings changed: release 2 comes after 1; it is down meanwhile",
        "variables +NEW, -OLD, ~VERSION",
        "resources.limits.memory 64m -> 128m",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    assert_eq!(objects(name), there, "nothing is touched");
    let digest = other["digest"]["known"].as_str().unwrap();
    assert!(text.contains(digest), "{text}");
    project.hoist(&["run"]).expect(6).says(digest);
    project.hoist(&["run", "--approve", digest]).expect(0);
    project.hoist(&["plan", "--deploy", "nowhere"]).expect(2);

    let project = project.variable("TOKEN", "another-horse-battery-staple");
    project.change("pipeline.toml", "128m", "96m");
    assert_eq!(preview(&project)["services"][0]["secrets_changed"], true);
    project.hoist(&["down", "live", "--volumes"]).expect(0);
}

#[test]
fn the_digest_of_what_is_built_in_the_run_is_known_once_it_was_built() {
    if !engine("preview::the_digest_of_what_is_built_in_the_run_is_known_once_it_was_built") {
        return;
    }
    let name = "preview-built";
    let pipeline = format!(
        r#"
name = "{name}"
[steps.image.build]
[steps.up.deploy]
environment = "live"
[steps.up.deploy.services.web]
image = "${{steps.image.image}}"
command = ["sleep", "1000"]
stop_grace_period = "0s"
[environments.live]
approval = true
"#
    );
    let project = Project::new(&pipeline).file(
        "Dockerfile",
        "FROM debian:bookworm-slim\nRUN echo preview > /it\n",
    );
    let before = preview(&project);
    let why = before["digest"]["unknown"][0].as_str().unwrap();
    assert_eq!(why, "web: its image is built by the step `image`");
    let text = project
        .hoist(&["plan", "--deploy", "live"])
        .expect(0)
        .stdout;
    assert!(
        text.contains("the digest is not known before the run"),
        "{text}"
    );
    let asked = project.hoist(&["run"]).expect(6);
    let digest = preview(&project)["digest"]["known"]
        .as_str()
        .unwrap()
        .to_owned();
    asked.says(&digest);
    project.hoist(&["run", "--approve", &digest]).expect(0);
    project.hoist(&["down", "live", "--volumes"]).expect(0);
}
