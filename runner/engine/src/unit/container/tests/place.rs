//! What a step's container is made of and filled with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hoist_model::image::ImageSource;
use hoist_model::reason::{Ending, FailureReason};
use hoist_model::step::StepKind;
use hoist_model::step::scan::Gate;
use hoist_model::text::{Piece, StepValue, Text};
use hoist_model::unit::{Command, ImageArchive, SourceCopy, Unit};

use crate::backend::{Attachment, ContainerSpec, Logs};
use crate::fake::Program;
use crate::unit::testing::{SECRET, Stage, container, run};

/// What the step's own container was made with.
fn spec(stage: &Stage) -> ContainerSpec {
    let of = |spec: &ContainerSpec| spec.command == Some(container().command.argv());
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    stage.engine.program(
        move |spec| {
            if of(spec) {
                *note.lock().unwrap() = Some(spec.clone());
            }
            false
        },
        Program::default(),
    );
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    assert_eq!(runtime.block_on(stage.execute()), Ending::Passed);
    seen.lock().unwrap().take().unwrap()
}

#[test]
fn the_container_is_sealed_and_its_image_is_an_id() {
    let mut unit = container();
    unit.environment.insert("A".into(), Text::literal("b"));
    let stage = run(unit);
    let spec = spec(&stage);
    assert!(spec.image.starts_with("sha256:"));
    assert_eq!(spec.entrypoint, Some(Vec::new()));
    assert_eq!(
        spec.command,
        Some(vec!["sh".into(), "-ec".into(), "true".into()])
    );
    let environment = [
        ("A".to_owned(), "b".to_owned()),
        ("CI".to_owned(), "true".to_owned()),
    ];
    assert_eq!(spec.environment, BTreeMap::from(environment));
    assert!(matches!(spec.network, Attachment::None));
    assert_eq!(spec.logs, Logs::Discard);
    assert_eq!(spec.labels["dev.hoist.step"], "unit");
    assert!(spec.labels.contains_key("dev.hoist.run"));
    assert!(
        spec.name.starts_with("hoist-") && spec.name.ends_with("-unit"),
        "{}",
        spec.name
    );
    assert_eq!(spec.mounts.len(), 0);
    stage.assert_clean();
}

#[test]
fn ci_can_be_said_otherwise_and_images_of_steps_are_named_by_id() {
    let mut unit = container();
    unit.environment.insert("CI".into(), Text::literal("false"));
    let piece = Piece::Step {
        step: "app".into(),
        value: StepValue::Image,
    };
    unit.environment.insert("IMAGE".into(), Text(vec![piece]));
    unit.image = ImageSource::Step("app".into());
    let stage = run(unit);
    let image = stage.engine.add_image("built");
    stage.context.made.image(&"app".into(), image.clone());
    let spec = spec(&stage);
    assert_eq!(spec.environment["CI"], "false");
    assert_eq!(spec.environment["IMAGE"], image.id);
    assert_eq!(spec.image, image.id);
}

#[tokio::test(start_paused = true)]
async fn the_source_is_sent_without_what_is_ignored() {
    let mut unit = container();
    unit.source = Some(SourceCopy {
        ignorefile: None,
        target: "/workspace".into(),
    });
    let stage = run(unit);
    for name in ["a.txt", "tmp/b", "never", ".hoist/x", "src/c"] {
        stage.file(name, name);
    }
    stage.file(".dockerignore", "tmp\n!never\n");
    assert_eq!(stage.execute().await, Ending::Passed);
    let upload = stage.engine.uploads().remove(0);
    assert_eq!(upload.folder, "/");
    let names: Vec<&String> = upload.files.keys().collect();
    assert_eq!(
        names,
        [
            "workspace/.dockerignore",
            "workspace/a.txt",
            "workspace/src/c"
        ]
    );
    let before = |first: &str, then: &str| {
        let calls = stage.engine.calls();
        let at = |name: &str| calls.iter().position(|call| call.starts_with(name));
        at(first).unwrap() < at(then).unwrap()
    };
    assert!(before("upload", "start_container") && before("attach", "start_container"));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_cannot_be_sent_names_the_file() {
    let mut unit = container();
    let ignorefile = Some("missing.ignore".to_owned());
    unit.source = Some(SourceCopy {
        ignorefile,
        target: "/workspace".into(),
    });
    let stage = run(unit);
    let Ending::Failed(FailureReason::Configuration(trouble)) = stage.execute().await else {
        panic!("it was sent");
    };
    assert!(trouble.what.contains("missing.ignore"));
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn secrets_are_files_in_a_volume_and_nowhere_else() {
    let mut unit = container();
    unit.secrets = vec![SECRET.0.into()];
    unit.user = Some("1000".into());
    let stage = run(unit);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let every = move |spec: &ContainerSpec| {
        note.lock().unwrap().push(spec.clone());
        false
    };
    stage.engine.program(every, Program::default());
    assert_eq!(stage.execute().await, Ending::Passed);
    let specs = seen.lock().unwrap().clone();
    let [loader, step] = specs.as_slice() else {
        panic!("{specs:?}")
    };
    assert!(!loader.mounts[0].read_only && step.mounts[0].read_only);
    assert_eq!(loader.mounts[0].volume, step.mounts[0].volume);
    assert_eq!(step.mounts[0].target, "/run/secrets");
    assert!(!format!("{specs:?}").contains(SECRET.1));
    let upload = stage.engine.uploads().remove(0);
    assert_eq!(upload.files["run/secrets/token"], SECRET.1.as_bytes());
    let started = stage
        .engine
        .calls()
        .iter()
        .filter(|c| c.starts_with("start_"))
        .count();
    assert_eq!(started, 1, "the loader never runs");
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn with_a_read_only_root_all_that_is_written_is_volumes() {
    let mut unit = container();
    unit.security.read_only = true;
    unit.source = Some(SourceCopy {
        ignorefile: None,
        target: "/workspace".into(),
    });
    unit.harvest
        .paths
        .insert("cov".into(), "/workspace/htmlcov/".into());
    unit.harvest
        .paths
        .insert("log".into(), "/var/log/app/x.log".into());
    unit.harvest.junit.push("/reports/*.xml".into());
    let stage = run(unit);
    stage.file("a", "a");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let every = move |spec: &ContainerSpec| {
        note.lock().unwrap().push(spec.clone());
        false
    };
    stage.engine.program(
        every,
        Program::default().leaves("/reports/a.xml", "<testsuites/>"),
    );
    assert_eq!(stage.execute().await, Ending::Passed);
    let specs = seen.lock().unwrap().clone();
    let [loader, step] = specs.as_slice() else {
        panic!("{specs:?}")
    };
    assert!(!loader.security.read_only && step.security.read_only);
    let mut targets: Vec<_> = step.mounts.iter().map(|m| m.target.as_str()).collect();
    targets.sort_unstable();
    assert_eq!(targets, ["/reports", "/var/log/app", "/workspace"]);
    assert!(step.mounts.iter().all(|mount| !mount.read_only));
    assert!(
        stage
            .engine
            .uploads()
            .iter()
            .any(|up| up.files.contains_key("workspace/a"))
    );
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_is_left_alone() {
    let stage = run(container());
    let name = {
        let run = stage.context.run.0.simple().to_string();
        format!("hoist-{}-unit", run.get(24..).unwrap())
    };
    let other = super::super::bare(name.clone(), "base:1", BTreeMap::new());
    stage
        .context
        .backend
        .create_container(&other)
        .await
        .unwrap();
    assert_eq!(stage.execute().await, Ending::Passed);
    let left = stage.engine.containers();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].name, name);
}

#[tokio::test(start_paused = true)]
async fn an_image_is_laid_down_for_a_scan_and_its_report_is_read() {
    let mut unit = container();
    unit.command = Command::Exec(vec!["scanner".into()]);
    unit.user = Some("65534:65534".into());
    let image = ImageSource::Name(Text::literal("app:1"));
    unit.image_archive = Some(ImageArchive {
        image,
        folder: "/scan".into(),
        file: "image.tar".into(),
    });
    unit.harvest.report = Some("/out/report.json".into());
    let gate = Gate {
        severity: Vec::new(),
        ignore_unfixed: false,
    };
    let stage = Stage::new(StepKind::Scan(gate), Unit::Container(Box::new(unit)));
    stage.engine.add_image("base:1");
    let app = stage.engine.add_image("app:1");
    let report = r#"{"SchemaVersion": 2, "Results": []}"#;
    stage.engine.program(
        |_| true,
        Program::default().leaves("/out/report.json", report),
    );
    let ending = stage.execute().await;
    assert!(
        !matches!(ending, Ending::Failed(FailureReason::Configuration(_))),
        "{ending:?}"
    );
    let files: Vec<_> = stage
        .engine
        .uploads()
        .into_iter()
        .flat_map(|up| up.files)
        .collect();
    assert_eq!(files, [("scan/image.tar".to_owned(), app.id.into_bytes())]);
    stage.assert_clean();
    let left: Vec<_> = std::fs::read_dir(&stage.context.run_folder)
        .unwrap()
        .collect();
    assert_eq!(left.len(), 1, "only the log: {left:?}");
}
