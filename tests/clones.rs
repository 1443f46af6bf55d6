//! Clones of one project: what the next one need not build again, and what it may build alike.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::{Project, docker, engine};

/// A commit, and where it can be cloned from.
struct Origin(Project);

impl Origin {
    fn new(pipeline: &str) -> Self {
        let project = Project::new(pipeline)
            .file(
                "Dockerfile",
                "FROM debian:bookworm-slim\nCOPY src /src\nARG SOURCE_DATE_EPOCH\nRUN mkdir /made && touch /made/file\n",
            )
            .file(".dockerignore", ".git\n")
            .file("src/a.txt", "a")
            .file("src/deep/b.txt", "b");
        git(project.path(), &["init", "-q", "-b", "main"]);
        git(project.path(), &["add", "-A"]);
        git(project.path(), &["commit", "-q", "-m", "all of it"]);
        Self(project)
    }

    fn clone(&self) -> Project {
        let clone = Project::empty();
        let from = self.0.path().to_string_lossy().into_owned();
        git(clone.path(), &["clone", "-q", &from, "."]);
        clone
    }
}

fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
        .args(arguments)
        .output()
        .expect("git is there");
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
}

#[track_caller]
fn image(project: &Project) -> serde_json::Value {
    project.run_json()["state"]["steps"][0].clone()
}

#[test]
fn the_next_clone_of_a_user_takes_the_image_that_is_there() {
    if !engine("clones::the_next_clone_of_a_user_takes_the_image_that_is_there") {
        return;
    }
    let origin = Origin::new("name = \"clones-reuse\"\n[steps.image.build]\n");
    let cache = tempfile::tempdir().unwrap();
    let of_one_user = |clone: Project| {
        let cache = cache.path().to_str().unwrap();
        clone.variable("XDG_CACHE_HOME", cache)
    };
    let first = of_one_user(origin.clone());
    first.hoist(&["run"]).expect(0);
    assert_eq!(image(&first)["status"]["ended"], "passed");

    let second = of_one_user(origin.clone());
    second.hoist(&["run"]).expect(0);
    assert_eq!(image(&second)["status"]["ended"], "cached");
    assert_eq!(image(&second)["image"], image(&first)["image"]);

    // Another project's image has another project's labels.
    let other = of_one_user(origin.clone());
    other.change("pipeline.toml", "clones-reuse", "clones-other");
    other.hoist(&["run"]).expect(0);
    assert_eq!(image(&other)["status"]["ended"], "passed");

    // Another user's secrets are hashed with another key, and nothing is shared.
    let stranger = origin.clone();
    stranger.hoist(&["run"]).expect(0);
    assert_eq!(image(&stranger)["status"]["ended"], "passed");
}

#[test]
fn reproducible_builds_of_two_clones_have_one_identity_where_the_engine_can() {
    let test = "clones::reproducible_builds_of_two_clones_have_one_identity_where_the_engine_can";
    if !engine(test) {
        return;
    }
    let origin = Origin::new("name = \"clones-same\"\n[steps.image.build]\nreproducible = true\n");
    let mut built = Vec::new();
    for _ in 0..2 {
        let clone = origin.clone();
        let ended = clone.hoist(&["--progress", "plain", "run", "--no-cache"]);
        built.push((ended.expect(0), image(&clone)));
        // Files of the next clone are younger, and so is whatever takes the time from a clock.
        std::thread::sleep(Duration::from_millis(1100));
    }
    let [(said, first), (_, second)] = built.as_slice() else {
        panic!("two were built")
    };
    assert_eq!(
        (&first["status"]["ended"], &second["status"]["ended"]),
        (&"passed".into(), &"passed".into())
    );
    let info = docker(&["info", "--format", "{{.ServerVersion}} {{.DriverStatus}}"]);
    if info.contains("containerd.snapshotter") {
        assert_eq!(first["image"]["id"], second["image"]["id"]);
    } else {
        said.clone().says("not the same from every clone");
    }
}

#[test]
fn what_no_instruction_of_the_dockerfile_names_builds_nothing() {
    if !engine("clones::what_no_instruction_of_the_dockerfile_names_builds_nothing") {
        return;
    }
    let dockerfile = "FROM debian:bookworm-slim\nCOPY src /src\nCOPY link.txt /\nCOPY conf/*.toml /conf/\n\
        RUN --mount=type=bind,source=data,target=/data cat /data/x > /x\n";
    let project = Project::new("name = \"clones-narrow\"\n[steps.image.build]\n")
        .file("Dockerfile", dockerfile)
        .file("src/a.txt", "a")
        .file("far/b.txt", "b")
        .file("conf/c.toml", "c = 1")
        .file("data/x", "x")
        .file("README.md", "one");
    std::os::unix::fs::symlink("far/b.txt", project.path().join("link.txt")).unwrap();
    let write = |name: &str, text: &str| {
        let path = project.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let ended = |what: &str, how: &str| {
        project.hoist(&["run"]).expect(0);
        assert_eq!(image(&project)["status"]["ended"], how, "{what}");
    };
    ended("nothing is known", "passed");
    for (name, text) in [
        ("README.md", "two"),
        ("docs/new.md", "new"),
        ("far/c.txt", "c"),
    ] {
        write(name, text);
        ended(name, "cached");
    }
    let why = project.hoist(&["explain", "image"]).expect(0).stdout;
    assert!(why.contains("not built"), "{why}");
    for (name, text) in [
        ("src/a.txt", "aa"),
        ("src/new.txt", "new"),
        ("far/b.txt", "what a link leads to"),
        ("conf/d.toml", "d = 1"),
        ("data/x", "what is mounted"),
    ] {
        write(name, text);
        ended(name, "passed");
        write("README.md", name);
        ended("README.md", "cached");
    }
}
