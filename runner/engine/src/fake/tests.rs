//! The fake keeps the rules that tests of callers stand on.

use std::time::Duration;

use futures_util::StreamExt;

use super::{FakeBackend, Program};
use crate::backend::{Attachment, Backend, BackendErrorKind, ContainerSpec, Labels, Logs, Mount};

/// A container of the image `base`.
pub(crate) fn spec(name: &str) -> ContainerSpec {
    ContainerSpec {
        name: name.to_owned(),
        image: "base".to_owned(),
        entrypoint: None,
        command: None,
        environment: Default::default(),
        working_dir: None,
        user: None,
        labels: Labels::from([("of".to_owned(), name.to_owned())]),
        network: Attachment::None,
        local_names: false,
        security: Default::default(),
        limits: hoist_model::unit::Limits::SEALED,
        tmpfs: Vec::new(),
        mounts: Vec::new(),
        ports: Vec::new(),
        healthcheck: None,
        restart: hoist_model::unit::Restart::No,
        logs: Logs::Discard,
        stop_grace_period: None,
        stop_signal: None,
        terminal: false,
    }
}

fn engine() -> FakeBackend {
    let engine = FakeBackend::new();
    engine.add_image("base");
    engine
}

#[tokio::test(start_paused = true)]
async fn a_container_prints_and_exits() {
    let engine = engine();
    let program = Program::exits(3)
        .prints("hello")
        .takes(Duration::from_secs(5));
    engine.program(|_| true, program);
    let id = engine.create_container(&spec("a")).await.unwrap();
    let output = engine.attach(&id).await.unwrap();
    engine.start_container(&id).await.unwrap();
    assert_eq!(engine.wait_container(&id).await.unwrap(), 3);
    let output: Vec<_> = output.map(|chunk| chunk.unwrap().bytes).collect().await;
    assert_eq!(output.concat(), b"hello");
}

#[tokio::test(start_paused = true)]
async fn stopping_has_grace_before_the_kill() {
    let engine = engine();
    engine.program(
        |_| true,
        Program {
            on_stop: None,
            ..Program::forever()
        },
    );
    let id = engine.create_container(&spec("a")).await.unwrap();
    let events = engine.events(&[("of", Some("a"))], None).await.unwrap();
    engine.start_container(&id).await.unwrap();
    let start = tokio::time::Instant::now();
    engine
        .stop_container(&id, Duration::from_secs(10))
        .await
        .unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    assert_eq!(engine.wait_container(&id).await.unwrap(), 137);
    let seen: Vec<_> = events
        .take(4)
        .map(|event| event.unwrap().action)
        .collect()
        .await;
    assert_eq!(seen, ["start", "kill", "kill", "die"]);
}

#[tokio::test(start_paused = true)]
async fn names_are_taken_once_and_volumes_in_use_stay() {
    let engine = engine();
    engine.create_volume("data", &Labels::new()).await.unwrap();
    let mount = Mount {
        volume: "data".into(),
        target: "/data".into(),
        read_only: false,
        populate: true,
    };
    let id = engine
        .create_container(&ContainerSpec {
            mounts: vec![mount],
            ..spec("a")
        })
        .await;
    let again = engine.create_container(&spec("a")).await.unwrap_err();
    assert_eq!(again.kind, BackendErrorKind::Conflict);
    assert_eq!(
        engine.remove_volume("data").await.unwrap_err().kind,
        BackendErrorKind::Conflict
    );
    engine.remove_container(&id.unwrap()).await.unwrap();
    engine.remove_volume("data").await.unwrap();
    assert!(engine.volumes().is_empty() && engine.containers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_goes_away_breaks_what_waits_for_it() {
    let engine = engine();
    engine.program(|_| true, Program::forever());
    let id = engine.create_container(&spec("a")).await.unwrap();
    let mut output = engine.attach(&id).await.unwrap();
    let mut events = engine.events(&[], None).await.unwrap();
    engine.start_container(&id).await.unwrap();
    let waiting = tokio::spawn({
        let (engine, id) = (engine.clone(), id.clone());
        async move { engine.wait_container(&id).await }
    });
    tokio::task::yield_now().await;
    engine.go_away();
    assert_eq!(
        waiting.await.unwrap().unwrap_err().kind,
        BackendErrorKind::Broken
    );
    assert!(output.next().await.unwrap().is_err());
    assert_eq!(events.next().await.unwrap().unwrap().action, "start");
    assert!(events.next().await.is_none());
    assert_eq!(
        engine.info().await.unwrap_err().kind,
        BackendErrorKind::Unreachable
    );
}

#[tokio::test]
async fn files_come_as_the_engine_gives_them() {
    let engine = engine();
    let program = Program::default()
        .leaves("/out/a.xml", "a")
        .leaves("/out/b/c.xml", "c");
    engine.program(|_| true, program);
    let id = engine.create_container(&spec("a")).await.unwrap();
    let tar: Vec<_> = engine.download(&id, "/out").await.unwrap().collect().await;
    let tar: Vec<u8> = tar.into_iter().flat_map(|bytes| bytes.unwrap()).collect();
    let names: Vec<_> = super::container::untar(&tar).into_keys().collect();
    assert_eq!(names, ["out/a.xml", "out/b/c.xml"]);
    let missing = engine.download(&id, "/nothing").await.err().unwrap();
    assert_eq!(missing.kind, BackendErrorKind::NotFound);
}
