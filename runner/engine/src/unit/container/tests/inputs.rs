//! What earlier steps left, as a step's container gets it.

use std::fs;

use hoist_model::event::EventKind;
use hoist_model::reason::{Ending, FailureReason};
use hoist_model::results::Artifact;
use hoist_model::unit::{ContainerUnit, Input, SourceCopy};

use crate::unit::testing::{Stage, container, run};

/// A step that is given `artifact` of `make` at each of these.
fn given(targets: &[(&str, &str)]) -> ContainerUnit {
    let mut unit = container();
    unit.inputs = targets
        .iter()
        .map(|(target, artifact)| Input {
            target: (*target).into(),
            step: "make".into(),
            artifact: (*artifact).into(),
        })
        .collect();
    unit
}

/// A stage on which `make` has left a folder `dist` and a file `note`.
fn stage(unit: ContainerUnit) -> Stage {
    let stage = run(unit);
    let kept = stage.context.run_folder.join("artifacts/make");
    fs::create_dir_all(kept.join("dist/sub")).unwrap();
    fs::create_dir_all(kept.join("note")).unwrap();
    fs::write(kept.join("dist/sub/x"), "x").unwrap();
    fs::write(kept.join("note/note.txt"), "n").unwrap();
    for (name, path) in [("dist", "dist"), ("note", "note/note.txt")] {
        let artifact = Artifact {
            name: name.into(),
            path: format!("artifacts/make/{path}"),
            files: 1,
            bytes: 1,
            digest: format!("blake3:{name}"),
        };
        stage.context.made.keep(&"make".into(), artifact);
    }
    stage
}

/// The names of all that was put in.
fn names(stage: &Stage) -> Vec<String> {
    let uploads = stage.engine.uploads().into_iter();
    uploads.flat_map(|up| up.files.into_keys()).collect()
}

#[tokio::test(start_paused = true)]
async fn folders_and_files_go_where_they_are_wanted_and_that_is_told() {
    let stage = stage(given(&[
        ("/opt/dist/", "dist"),
        ("/opt/here", "dist"),
        ("/srv/", "note"),
        ("/srv/other", "note"),
        ("near/", "note"),
    ]));
    assert_eq!(stage.execute().await, Ending::Passed);
    assert_eq!(
        names(&stage),
        [
            "opt/dist/sub/x",
            "opt/here/sub/x",
            "srv/note.txt",
            "srv/other",
            "near/note.txt"
        ]
    );
    let told = stage.said().events;
    let given = told.iter().filter_map(|event| match event {
        EventKind::InputGiven { input, .. } => Some((&*input.target, &*input.artifact.digest)),
        _ => None,
    });
    assert!(
        given
            .clone()
            .any(|given| given == ("/srv/note.txt", "blake3:note"))
    );
    assert_eq!(given.count(), 5);
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn inputs_come_after_the_source_and_folders_between_are_not_the_engines() {
    let mut unit = given(&[("/workspace/a/b/note", "note")]);
    unit.source = Some(SourceCopy {
        ignorefile: None,
        target: "/workspace".into(),
    });
    for read_only in [false, true] {
        unit.security.read_only = read_only;
        let stage = stage(unit.clone());
        stage.file("a/b/note", "of the project");
        assert_eq!(stage.execute().await, Ending::Passed);
        let uploads = stage.engine.uploads();
        let last = uploads.last().unwrap();
        assert_eq!(last.files["workspace/a/b/note"], b"n");
        assert_eq!(names(&stage), ["workspace/a/b/note", "workspace/a/b/note"]);
        stage.assert_clean();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_left_is_the_end_before_anything_starts() {
    let stage = stage(given(&[("/opt/", "dist"), ("/srv/", "other")]));
    let Ending::Failed(FailureReason::Configuration(trouble)) = stage.execute().await else {
        panic!("it was given");
    };
    assert!(
        trouble.what.contains("`other` of the step `make`"),
        "{}",
        trouble.what
    );
    let calls = stage.engine.calls();
    assert!(!calls.iter().any(|call| call.starts_with("start_container")));
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn only_what_the_last_attempt_left_is_given() {
    let stage = stage(container());
    let made = &stage.context.made;
    let made = |name: &str| {
        made.get(&"unit".into())
            .unwrap()
            .artifacts
            .contains_key(name)
    };
    let artifact = stage.context.made.get(&"make".into()).unwrap().artifacts["dist"].clone();
    stage.context.made.keep(&"unit".into(), artifact);
    assert!(made("dist"));
    assert_eq!(stage.execute().await, Ending::Passed);
    assert!(!made("dist"));
}
