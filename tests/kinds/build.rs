//! The step kind `build`: images from a Dockerfile, through the engine's own builder.

use crate::support::{Project, docker, engine, left_of};

const STAGES: &str = "\
FROM debian:bookworm-slim AS deps
RUN echo deps > /layer
FROM deps AS test
ARG VERSION=none
RUN echo \"version $VERSION\" > /version
COPY . /src
FROM deps AS production
COPY --from=test /version /version
";

#[test]
fn what_was_built_is_what_runs() {
    if !engine("kinds::build::what_was_built_is_what_runs") {
        return;
    }
    let pipeline = r#"
name = "kind-build"
[steps.test-image.build]
target = "test"
args = { VERSION = "7" }
labels = { "org.example.mine" = "yes" }
[steps.image.build]
target = "production"
args = { VERSION = "8" }
tags = ["hoist-test/kind-build:1"]
[steps.in-test]
image = "${steps.test-image.image}"
run = "cat /version; find /src -type f | sort"
[steps.in-production]
image = "${steps.image.image}"
run = "cat /version; test ! -e /src"
"#;
    let project = Project::new(pipeline)
        .file("Dockerfile", STAGES)
        .file(".dockerignore", "*.log\n!keep.log\n")
        .file("a.log", "")
        .file("keep.log", "")
        .file("kept.txt", "");
    project.hoist(&["run"]).expect(0);
    let test = project.hoist(&["logs", "in-test"]).expect(0).stdout;
    assert!(test.starts_with("version 7\n"), "{test}");
    assert!(
        test.contains("/src/keep.log") && test.contains("/src/kept.txt"),
        "{test}"
    );
    assert!(
        !test.contains("/src/a.log") && !test.contains(".hoist"),
        "{test}"
    );
    assert!(
        project
            .hoist(&["logs", "in-production"])
            .expect(0)
            .stdout
            .starts_with("version 8\n")
    );
    let id = docker(&[
        "image",
        "inspect",
        "--format",
        "{{.Id}}",
        "hoist-test/kind-build:1",
    ]);
    let json = project.run_json();
    let steps = json["state"]["steps"].as_array().unwrap();
    let image = steps.iter().find(|step| step["id"] == "image").unwrap();
    assert_eq!(image["image"]["id"], id.as_str());
    docker(&["image", "rm", "hoist-test/kind-build:1"]);
    assert_eq!(left_of(&project.runs().pop().unwrap()), "");
}

#[test]
fn one_image_is_anothers_base() {
    if !engine("kinds::build::one_image_is_anothers_base") {
        return;
    }
    let pipeline = r#"
name = "kind-base"
[steps.base.build]
dockerfile = "base.Dockerfile"
[steps.image.build]
args = { BASE = "${steps.base.image}" }
[steps.look]
image = "${steps.image.image}"
run = "cat /base /top"
"#;
    let project = Project::new(pipeline)
        .file(
            "base.Dockerfile",
            "FROM debian:bookworm-slim\nRUN echo base > /base\n",
        )
        .file(
            "Dockerfile",
            "ARG BASE\nFROM ${BASE}\nRUN echo top > /top\n",
        );
    project.hoist(&["run"]).expect(0);
    assert_eq!(
        project.hoist(&["logs", "look"]).expect(0).stdout,
        "base\ntop\n"
    );
    // The name that the base had for the builder goes with the run.
    let left = docker(&["image", "ls", "--format", "{{.Repository}}"]);
    let lent = left
        .lines()
        .find(|name| name.starts_with("hoist.local/kind-base-"));
    assert_eq!(lent, None, "{left}");
}

#[test]
fn the_failing_line_is_shown() {
    if !engine("kinds::build::the_failing_line_is_shown") {
        return;
    }
    let project = Project::new("name = \"kind-fail\"\n[steps.image.build]\n").file(
        "Dockerfile",
        "FROM debian:bookworm-slim\nRUN echo fine\nRUN echo the words before the end; exit 9\n",
    );
    let ended = project.hoist(&["run"]).expect(1);
    ended
        .says("Dockerfile:3")
        .says("the words before the end")
        .says("exit 9");
    let project = Project::new("name = \"kind-fail\"\n[steps.image.build]\n")
        .file("Dockerfile", "FROM debian:bookworm-slim\nRUNN echo\n");
    let ended = project.hoist(&["run"]);
    assert!(matches!(ended.code, 1 | 2), "{}", ended.stderr);
    ended.says("RUNN");
}

#[test]
fn a_rebuild_gives_the_same_image_and_runs_nothing() {
    if !engine("kinds::build::a_rebuild_gives_the_same_image_and_runs_nothing") {
        return;
    }
    let project = Project::new("name = \"kind-again\"\n[steps.image.build]\n").file(
        "Dockerfile",
        "FROM debian:bookworm-slim\nRUN date +%N > /when\n",
    );
    let id = || {
        project.hoist(&["run"]).expect(0);
        project.run_json()["state"]["steps"][0]["image"]["id"].to_string()
    };
    assert_eq!(id(), id());
}
