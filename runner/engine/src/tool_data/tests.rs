//! A tool's data over an engine in memory. What was put into a volume of that engine cannot be
//! fetched from it, so a test says which containers see a volume that is whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use hoist_model::reason::{Ending, FailureReason};
use hoist_model::step::StepKind;
use hoist_model::unit::Unit;

use super::*;
use crate::backend::{ContainerSpec, VolumeInfo};
use crate::fake::{FakeBackend, Program};
use crate::unit::testing::{Stage, container};

const UPDATE: [&str; 2] = ["tool", "update"];

fn unit(source: ToolDataSource) -> Unit {
    let mut unit = container();
    unit.user = Some("65534".into());
    unit.tool_data = Some(ToolData {
        title: "the tool's database".into(),
        name: "tool-db".into(),
        target: "/tool/db".into(),
        source,
        max_age: Duration::from_secs(24 * 60 * 60),
    });
    Unit::Container(Box::new(unit))
}

fn update() -> ToolDataSource {
    ToolDataSource::Update {
        command: UPDATE.map(str::to_owned).into(),
        environment: BTreeMap::from([("HOME".to_owned(), "/tool/db".to_owned())]),
    }
}

fn on(engine: &FakeBackend, source: ToolDataSource) -> Stage {
    engine.add_image("base:1");
    Stage::on(engine.clone(), StepKind::Run, unit(source))
}

/// Containers see a whole volume where one of these is mounted.
fn whole(engine: &FakeBackend, volumes: Arc<Mutex<Vec<String>>>) {
    engine.program(
        move |spec| {
            let volumes = volumes.lock().unwrap();
            spec.mounts
                .iter()
                .any(|mount| volumes.contains(&mount.volume))
        },
        Program::default().leaves("/tool/db/.hoist-complete", "x"),
    );
}

fn kept(engine: &FakeBackend) -> Vec<VolumeInfo> {
    let mut volumes = engine.volumes();
    volumes.retain(|volume| {
        volume
            .labels
            .get(labels::KEPT)
            .is_some_and(|name| name == "tool-db")
    });
    volumes
}

fn is_update(spec: &ContainerSpec) -> bool {
    spec.command == Some(UPDATE.map(str::to_owned).into())
}

fn count(engine: &FakeBackend, call: &str) -> usize {
    engine
        .calls()
        .iter()
        .filter(|made| made.starts_with(call))
        .count()
}

#[tokio::test(start_paused = true)]
async fn a_folder_is_copied_once_and_again_when_it_changed() {
    let engine = FakeBackend::new();
    let stage = on(&engine, ToolDataSource::Folder("db".into()));
    stage.file("db/tool.db", "one");
    assert_eq!(stage.execute().await, Ending::Passed);
    let first = kept(&engine);
    assert_eq!(first.len(), 1);
    let files: Vec<String> = engine
        .uploads()
        .into_iter()
        .flat_map(|upload| upload.files.into_keys())
        .collect();
    assert_eq!(files, ["tool/db/tool.db", "tool/db/.hoist-complete"]);
    stage.assert_clean();

    whole(&engine, Arc::new(Mutex::new(vec![first[0].name.clone()])));
    assert_eq!(stage.execute().await, Ending::Passed);
    assert_eq!(engine.uploads().len(), 2, "it was copied again");

    stage.file("db/tool.db", "two");
    assert_eq!(stage.execute().await, Ending::Passed);
    let second = kept(&engine);
    assert_eq!(second.len(), 1, "the old one is gone: {second:?}");
    assert_ne!(second[0].name, first[0].name);
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn the_step_sees_the_data_read_only() {
    let engine = FakeBackend::new();
    let stage = on(&engine, ToolDataSource::Folder("db".into()));
    stage.file("db/tool.db", "one");
    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    engine.program(
        move |spec| {
            if spec.mounts.iter().any(|mount| mount.read_only) {
                *note.lock().unwrap() = Some(spec.clone());
            }
            false
        },
        Program::default(),
    );
    assert_eq!(stage.execute().await, Ending::Passed);
    let spec = seen.lock().unwrap().take().unwrap();
    assert_eq!(spec.mounts[0].target, "/tool/db");
    assert_eq!(spec.mounts[0].volume, kept(&engine)[0].name);
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_not_there_is_named() {
    let stage = on(&FakeBackend::new(), ToolDataSource::Folder("gone".into()));
    let Ending::Failed(FailureReason::Configuration(trouble)) = stage.execute().await else {
        panic!("there is no such folder");
    };
    assert!(trouble.what.contains("`gone`"));
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn of_two_runs_at_once_one_fills() {
    let engine = FakeBackend::new();
    let (one, two) = (
        on(&engine, ToolDataSource::Folder("db".into())),
        on(&engine, ToolDataSource::Folder("db".into())),
    );
    for stage in [&one, &two] {
        stage.file("db/tool.db", "same");
    }
    engine.delay("upload", Duration::from_secs(2));
    engine.delay("create_container", Duration::from_millis(50));
    let done = Arc::new(Mutex::new(Vec::new()));
    whole(&engine, Arc::clone(&done));
    // What the first has filled is whole for whoever looks after.
    let finish = async {
        while engine.uploads().len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let name = kept(&engine).remove(0).name;
        done.lock().unwrap().push(name);
    };
    let (first, second, ()) = tokio::join!(one.execute(), two.execute(), finish);
    assert_eq!((first, second), (Ending::Passed, Ending::Passed));
    assert_eq!(engine.uploads().len(), 2, "one folder and one mark");
    one.assert_clean();
    two.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn an_update_runs_with_a_network_and_without_an_input() {
    let engine = FakeBackend::new();
    let stage = on(&engine, update());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    engine.program(
        move |spec| {
            note.lock().unwrap().push(spec.clone());
            false
        },
        Program::default(),
    );
    engine.program(is_update, Program::default().prints("fetched\n"));
    assert_eq!(stage.execute().await, Ending::Passed);
    assert!(stage.said().output.contains("fetched"));
    let specs = seen.lock().unwrap().clone();
    let step = specs.last().unwrap();
    assert!(step.mounts[0].read_only);
    assert_eq!(step.mounts[0].volume, kept(&engine)[0].name);
    let started = count(&engine, "start_container");
    assert_eq!(started, 2, "the update and the step");
    stage.assert_clean();

    // Within a day it is not asked again.
    whole(
        &engine,
        Arc::new(Mutex::new(vec![kept(&engine)[0].name.clone()])),
    );
    engine.change_info(|info| info.time = 1_767_225_600 + 23 * 3600);
    assert_eq!(stage.execute().await, Ending::Passed);
    assert_eq!(count(&engine, "start_container"), 3);
    // After a day it is.
    engine.change_info(|info| info.time = 1_767_225_600 + 25 * 3600);
    assert_eq!(stage.execute().await, Ending::Passed);
    assert_eq!(count(&engine, "start_container"), 5);
    assert_eq!(kept(&engine).len(), 1, "the old one is gone");
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn an_update_that_fails_falls_back_to_older_data_loudly() {
    let engine = FakeBackend::new();
    let stage = on(&engine, update());
    assert_eq!(stage.execute().await, Ending::Passed);
    let old = kept(&engine).remove(0).name;
    let torn = format!("{}{}", old.get(..old.len() - 32).unwrap(), "f".repeat(32));
    let labels = BTreeMap::from([(labels::KEPT.to_owned(), "tool-db".to_owned())]);
    engine.create_volume(&torn, &labels).await.unwrap();
    engine.program(is_update, Program::exits(1).prints("no route to host\n"));
    whole(&engine, Arc::new(Mutex::new(vec![old.clone()])));
    engine.change_info(|info| info.time = 1_767_225_600 + 72 * 3600);
    stage.said();
    assert_eq!(stage.execute().await, Ending::Passed);
    let said = stage.said();
    let warning = said.warnings().join("\n");
    assert!(
        warning.contains("3 days old") && warning.contains("no route to host"),
        "{warning}"
    );
    let left: Vec<_> = kept(&engine).into_iter().map(|it| it.name).collect();
    assert_eq!(left, [old], "what is not whole passes for no data");
    let updates = |engine: &FakeBackend| {
        let made = engine.calls();
        let made = made
            .iter()
            .filter(|call| call.starts_with("create_container"));
        made.filter(|call| call.ends_with("-update")).count()
    };
    let before = updates(&engine);
    assert_eq!(stage.execute().await, Ending::Passed);
    assert_eq!(updates(&engine), before, "it is not tried twice in a run");
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn data_from_elsewhere_is_not_taken() {
    let engine = FakeBackend::new();
    let folder = on(&engine, ToolDataSource::Folder("db".into()));
    folder.file("db/tool.db", "one");
    assert_eq!(folder.execute().await, Ending::Passed);
    let theirs = kept(&engine).remove(0).name;
    whole(&engine, Arc::new(Mutex::new(vec![theirs.clone()])));
    assert_eq!(on(&engine, update()).execute().await, Ending::Passed);
    let names: Vec<String> = kept(&engine)
        .into_iter()
        .map(|volume| volume.name)
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.contains(&theirs));
}

#[tokio::test(start_paused = true)]
async fn without_any_data_the_surroundings_are_at_fault() {
    let engine = FakeBackend::new();
    let stage = on(&engine, update());
    engine.program(is_update, Program::exits(1).prints("no route to host\n"));
    let Ending::Failed(FailureReason::Surroundings(trouble)) = stage.execute().await else {
        panic!("there is no data");
    };
    assert_eq!(trouble.what, "the tool's database could not be provided");
    assert!(trouble.cause.unwrap().contains("no route to host"));
    assert!(trouble.hint.unwrap().contains("[tools]"));
    assert!(engine.volumes().is_empty());
    stage.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_another_updates_waits_and_shares() {
    let engine = FakeBackend::new();
    let (one, two) = (on(&engine, update()), on(&engine, update()));
    engine.program(is_update, Program::default().takes(Duration::from_secs(30)));
    let done = Arc::new(Mutex::new(Vec::new()));
    whole(&engine, Arc::clone(&done));
    engine.program(is_update, Program::default().takes(Duration::from_secs(30)));
    engine.delay("create_container", Duration::from_millis(50));
    let finish = async {
        while engine.uploads().len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        done.lock()
            .unwrap()
            .extend(kept(&engine).into_iter().map(|volume| volume.name));
    };
    let (first, second, ()) = tokio::join!(one.execute(), two.execute(), finish);
    assert_eq!((first, second), (Ending::Passed, Ending::Passed));
    assert_eq!(
        count(&engine, "start_container"),
        3,
        "one update and two steps"
    );
    one.assert_clean();
    two.assert_clean();
}
