//! A deploy takes no image that did not pass the tests and scans for which it waits, unless it is
//! told to; the history keeps that.

use serde_json::Value;

use crate::support::{Project, docker, engine};

fn project(name: &str) -> Project {
    let pipeline = format!(
        r#"
name = "{name}"
[steps.image.build]
[steps.unit]
image = "${{steps.image.image}}"
run = "true"
[steps.up]
needs = ["unit"]
[steps.up.deploy]
environment = "live"
[steps.up.deploy.services.web]
image = "${{steps.image.image}}"
command = ["sleep", "1000"]
stop_grace_period = "0s"
[environments.live]
"#
    );
    Project::new(&pipeline).file("Dockerfile", dockerfile(1))
}

fn dockerfile(version: u32) -> String {
    format!("FROM debian:bookworm-slim\nRUN echo verified {version} > /it\n")
}

fn running(name: &str) -> String {
    let filter = format!("label=dev.hoist.project={name}");
    let role = "label=dev.hoist.role=service";
    docker(&["ps", "-q", "--filter", &filter, "--filter", role])
}

fn releases(project: &Project) -> Value {
    let shown = project.hoist(&["releases", "live", "--format", "json"]);
    let text = shown.expect(0).stdout;
    let all: Value = serde_json::from_str(&text).unwrap();
    all["releases"].clone()
}

#[test]
fn an_image_that_did_not_pass_its_tests_is_refused_unless_forced() {
    if !engine("verified::an_image_that_did_not_pass_its_tests_is_refused_unless_forced") {
        return;
    }
    let name = "verified-tests";
    let project = project(name);
    let refused = project.hoist(&["run", "--only", "up"]).expect(3);
    refused.says("unit did not pass on the image of web");
    assert_eq!(running(name), "", "nothing is touched");

    project.hoist(&["run"]).expect(0);
    let first = &releases(&project)[0];
    assert_eq!(first["gates"][0]["step"], "unit");
    assert_eq!(
        first["gates"][0]["identity"],
        first["services"][0]["config_digest"]
    );
    assert_eq!(first["forced"], false);

    std::fs::write(project.path().join("Dockerfile"), dockerfile(2)).unwrap();
    let before = running(name);
    project.hoist(&["run", "--skip", "unit"]).expect(3);
    assert_eq!(running(name), before);
    let forced = ["run", "--skip", "unit", "--force-unverified"];
    project
        .hoist(&forced)
        .expect(0)
        .says("not verified: unit did not pass");
    let second = &releases(&project)[0];
    assert_eq!(
        (&second["forced"], &second["gates"]),
        (&true.into(), &serde_json::json!([]))
    );
    let text = project.hoist(&["releases", "live"]).expect(0).stdout;
    assert!(text.contains("deploy, forced"), "{text}");

    // Back to what passed is no question; to what did not it is one.
    project.hoist(&["rollback", "live"]).expect(0);
    assert_eq!(releases(&project)[0]["gates"][0]["step"], "unit");
    project.hoist(&["rollback", "live", "--to", "2"]).expect(3);
    let forced = ["rollback", "live", "--to", "2", "--force-unverified"];
    project.hoist(&forced).expect(0);
    assert_eq!(releases(&project)[0]["forced"], true);
    project.hoist(&["down", "live", "--volumes"]).expect(0);
}
