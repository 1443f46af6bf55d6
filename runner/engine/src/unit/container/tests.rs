//! Steps in containers over an engine in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::event::EventKind;
use hoist_model::image::ImageSource;
use hoist_model::reason::{CancelReason, Ending, FailureReason, Trouble};
use hoist_model::results::TestOutcome;
use hoist_model::step::StepKind;
use hoist_model::step::scan::Gate;
use hoist_model::text::{Piece, StepValue, Text};
use hoist_model::unit::{Command, ImageArchive, SourceCopy, Unit};

use crate::backend::{Attachment, BackendError, BackendErrorKind, ContainerSpec, Logs};
use crate::context::Stop;
use crate::fake::Program;
use crate::unit::testing::{SECRET, Stage, container, run};

const JUNIT: &str = r#"<testsuites><testsuite name="s" tests="2" failures="1">
<testcase classname="c" name="good" time="0.1"/>
<testcase classname="c" name="bad" time="0.2"><failure message="no">why</failure></testcase>
</testsuite></testsuites>"#;

fn trouble(ending: Ending) -> Trouble {
    match ending {
        Ending::Failed(FailureReason::Surroundings(trouble)) => trouble,
        other => panic!("the surroundings did not fail: {other:?}"),
    }
}

/// What the step's own container was made with.
fn spec(stage: &Stage) -> ContainerSpec {
    let of = |spec: &ContainerSpec| spec.command == Some(container().command.argv());
    let seen = std::sync::Arc::new(std::sync::Mutex::new(None));
    let note = std::sync::Arc::clone(&seen);
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
async fn output_is_whole_and_exit_codes_are_reasons() {
    let stage = run(container());
    let mut program = Program::exits(7);
    for number in 0..1000 {
        program = program.prints(format!("line {number}\n"));
    }
    stage.engine.program(|_| true, program);
    assert_eq!(
        stage.execute().await,
        Ending::Failed(FailureReason::Exit { code: 7 })
    );
    let lines: Vec<String> = (0..1000).map(|number| format!("line {number}")).collect();
    assert_eq!(stage.said().output.lines().collect::<Vec<_>>(), lines);
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn memory_counts_even_with_exit_code_0() {
    let stage = run(container());
    let program = Program {
        oom_killed: true,
        ..Program::exits(0)
    };
    stage.engine.program(|_| true, program);
    let reason = FailureReason::OutOfMemory {
        code: 0,
        limit: Some(1 << 30),
    };
    assert_eq!(stage.execute().await, Ending::Failed(reason));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_start_is_told_apart() {
    let stage = run(container());
    let kind = BackendErrorKind::CannotStart { code: 127 };
    let error = BackendError::new(kind, "no such file: nope");
    stage.engine.program(
        |_| true,
        Program {
            start_error: Some(error),
            ..Program::default()
        },
    );
    let message = "no such file: nope".to_owned();
    let reason = FailureReason::CannotStart { code: 127, message };
    assert_eq!(stage.execute().await, Ending::Failed(reason));
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn what_the_init_says_is_told_from_what_a_shell_says() {
    let stage = run(container());
    let words = "[FATAL tini (7)] exec /nope failed: No such file or directory\n";
    stage
        .engine
        .program(|_| true, Program::exits(127).prints(words));
    let message = "exec /nope failed: No such file or directory".to_owned();
    let reason = FailureReason::CannotStart { code: 127, message };
    assert_eq!(stage.execute().await, Ending::Failed(reason));
    let program = Program::exits(127).prints("sh: 1: nope: not found\n");
    stage.engine.program(|_| true, program);
    assert_eq!(
        stage.execute().await,
        Ending::Failed(FailureReason::Exit { code: 127 })
    );
}

#[tokio::test(start_paused = true)]
async fn images_are_pulled_once_and_tried_three_times() {
    let stage = Stage::new(StepKind::Run, Unit::Container(Box::new(container())));
    stage.engine.add_to_registry("base:1");
    let slow = || BackendError::new(BackendErrorKind::Registry, "429 too many requests");
    stage.engine.fail_next("pull_image", slow());
    stage.engine.fail_next("pull_image", slow());
    assert_eq!(stage.execute().await, Ending::Passed);
    let said = stage.said();
    let phase = EventKind::StepPhase {
        step: "unit".into(),
        phase: "pulling base:1".into(),
    };
    assert!(said.events.contains(&phase));
    assert!(
        said.output
            .contains("is tried again: 429 too many requests"),
        "{}",
        said.output
    );
    // The name has moved meanwhile: it stands for the same image for the rest of the run.
    assert_eq!(stage.execute().await, Ending::Passed);
    let calls = stage.engine.calls();
    assert_eq!(
        calls
            .iter()
            .filter(|call| call.starts_with("inspect_image"))
            .count(),
        2
    );
    assert_eq!(
        calls
            .iter()
            .filter(|call| call.starts_with("pull_image"))
            .count(),
        3
    );
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_nowhere_has_a_hint() {
    let stage = Stage::new(StepKind::Run, Unit::Container(Box::new(container())));
    let trouble = trouble(stage.execute().await);
    assert_eq!(trouble.what, "the image base:1 was not found");
    assert!(trouble.hint.unwrap().contains("check its name"));
    let slow = BackendError::new(BackendErrorKind::Registry, "503");
    for _ in 0..3 {
        stage.engine.fail_next("pull_image", slow.clone());
    }
    assert_eq!(
        self::trouble(stage.execute().await).cause.as_deref(),
        Some("503")
    );
}

#[tokio::test(start_paused = true)]
async fn grace_then_kill_and_what_ends_well_then_has_not_passed() {
    let stage = run(container());
    let mut handler = Program::forever().prints("up\n").leaves("/out/log", "kept");
    handler.on_stop = Some(0);
    stage.engine.program(|_| true, handler);
    let work = stage.execute();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        stage.stop.send(Stop::Grace).unwrap();
    };
    let (ending, ()) = tokio::join!(work, stop);
    assert_eq!(ending, Ending::Cancelled(CancelReason::Requested));
    assert!(
        stage
            .engine
            .calls()
            .iter()
            .any(|call| call.starts_with("stop_container"))
    );
    stage.assert_clean();

    let stage = run(container());
    let deaf = Program {
        on_stop: None,
        ..Program::forever()
    };
    stage.engine.program(|_| true, deaf);
    let started = tokio::time::Instant::now();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        stage.stop.send(Stop::Grace).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        stage.stop.send(Stop::Kill).unwrap();
    };
    let (ending, ()) = tokio::join!(stage.execute(), stop);
    assert_eq!(ending, Ending::Cancelled(CancelReason::Requested));
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "the kill waited for the grace"
    );
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_the_start_starts_nothing() {
    let stage = run(container());
    stage.stop.send(Stop::Grace).unwrap();
    assert_eq!(
        stage.execute().await,
        Ending::Cancelled(CancelReason::Requested)
    );
    assert!(
        !stage
            .engine
            .calls()
            .iter()
            .any(|call| call.starts_with("start_container"))
    );
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_step_that_someone_else_ended_never_passes() {
    let stage = run(container());
    let mut handler = Program::forever();
    handler.on_stop = Some(0);
    stage.engine.program(|_| true, handler);
    let engine = stage.engine.clone();
    let kill = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let id = engine.containers().remove(0).id;
        engine.kill_from_outside(&id, "15");
    };
    let (ending, ()) = tokio::join!(stage.execute(), kill);
    let trouble = trouble(ending);
    assert_eq!(trouble.what, "the step was ended from outside");
    assert!(trouble.cause.unwrap().contains("signal 15"));
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_goes_away_is_the_surroundings() {
    let stage = run(container());
    stage.engine.program(|_| true, Program::forever());
    let engine = stage.engine.clone();
    let leave = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        engine.go_away();
    };
    let (ending, ()) = tokio::join!(stage.execute(), leave);
    assert!(
        trouble(ending)
            .what
            .contains("connection to the engine broke")
    );
    assert!(stage.said().output.contains("could not be removed yet"));
}

#[tokio::test(start_paused = true)]
async fn waiting_that_stalls_is_seen_through() {
    let stage = run(container());
    stage
        .engine
        .program(|_| true, Program::exits(4).takes(Duration::from_secs(2)));
    stage
        .engine
        .delay("wait_container", Duration::from_secs(100_000));
    let started = tokio::time::Instant::now();
    assert_eq!(
        stage.execute().await,
        Ending::Failed(FailureReason::Exit { code: 4 })
    );
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn waiting_that_breaks_is_asked_again() {
    let stage = run(container());
    stage
        .engine
        .program(|_| true, Program::exits(4).takes(Duration::from_secs(2)));
    let broken = BackendError::new(BackendErrorKind::Broken, "reset");
    stage.engine.fail_next("wait_container", broken);
    assert_eq!(
        stage.execute().await,
        Ending::Failed(FailureReason::Exit { code: 4 })
    );
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_fails_is_tried_again() {
    let stage = run(container());
    let busy = BackendError::new(BackendErrorKind::Engine, "device busy");
    stage.engine.fail_next("remove_container", busy);
    assert_eq!(stage.execute().await, Ending::Passed);
    stage.assert_clean();
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
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let note = std::sync::Arc::clone(&seen);
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
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let note = std::sync::Arc::clone(&seen);
    let every = move |spec: &ContainerSpec| {
        note.lock().unwrap().push(spec.clone());
        false
    };
    stage
        .engine
        .program(every, Program::default().leaves("/reports/a.xml", JUNIT));
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
async fn results_are_fetched_from_a_step_that_failed_too() {
    let mut unit = container();
    unit.secrets = vec![SECRET.0.into()];
    unit.harvest
        .paths
        .insert("coverage".into(), "/app/htmlcov/".into());
    unit.harvest
        .paths
        .insert("one".into(), "/app/one.txt".into());
    unit.harvest.paths.insert("none".into(), "/nowhere".into());
    unit.harvest.junit = vec![
        "/reports/*.xml".into(),
        "/reports/*.nope".into(),
        "/x/u.xml".into(),
    ];
    let stage = run(unit);
    let program = Program::exits(1)
        .leaves("/app/htmlcov/index.html", "<html>")
        .leaves("/app/htmlcov/sub/a.js", "js")
        .leaves("/app/one.txt", SECRET.1)
        .leaves("/reports/b.xml", JUNIT)
        .leaves("/reports/broken.xml", "<testsuites><testsuite>")
        .leaves("/reports/deep/c.xml", JUNIT);
    stage.engine.program(|_| true, program);
    assert_eq!(
        stage.execute().await,
        Ending::Failed(FailureReason::Exit { code: 1 })
    );
    let said = stage.said();
    let mut artifacts = Vec::new();
    let mut tests = Vec::new();
    for event in &said.events {
        match event {
            EventKind::ArtifactKept { artifact, .. } => artifacts.push(artifact.clone()),
            EventKind::TestsFound { cases, .. } => tests.extend(cases.clone()),
            _ => {}
        }
    }
    assert_eq!(artifacts.len(), 2);
    assert_eq!(
        (artifacts[0].name.as_str(), artifacts[0].files),
        ("coverage", 2)
    );
    assert_eq!(artifacts[0].path, "artifacts/unit/coverage");
    assert_eq!(artifacts[1].path, "artifacts/unit/one/one.txt");
    let folder = &stage.context.run_folder;
    let kept = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
    assert_eq!(kept("artifacts/unit/coverage/sub/a.js"), "js");
    assert_eq!(
        kept("artifacts/unit/one/one.txt"),
        "***",
        "a secret does not get into the run folder"
    );
    assert_eq!(kept("junit/unit/0/b.xml"), JUNIT);
    assert_eq!(tests.len(), 2);
    assert!(matches!(tests[1].outcome, TestOutcome::Failed(_)));
    let warnings = said.warnings().join("\n");
    for text in [
        "the artifact `none` is missing",
        "no file matches /reports/*.nope",
        "no file matches /x/u.xml",
        "test results cannot be read",
        "`one` held secrets",
    ] {
        assert!(warnings.contains(text), "{text} in {warnings}");
    }
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_results_are_lost_has_not_passed() {
    let mut unit = container();
    unit.harvest.paths.insert("log".into(), "/log".into());
    let stage = run(unit);
    stage.engine.fail_next(
        "download",
        BackendError::new(BackendErrorKind::Broken, "reset"),
    );
    let trouble = trouble(stage.execute().await);
    assert_eq!(trouble.what, "the artifact `log` could not be kept");
    stage.assert_clean();
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

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_is_left_alone() {
    let stage = run(container());
    let name = {
        let run = stage.context.run.0.simple().to_string();
        format!("hoist-{}-unit", run.get(24..).unwrap())
    };
    let other = super::bare(name.clone(), "base:1", BTreeMap::new());
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
