//! The fake keeps the rules that tests of callers stand on.

use std::time::Duration;

use futures_util::StreamExt;

use std::sync::{Arc, Mutex};

use super::{FakeBackend, Inside, Program};
use crate::backend::{
    Attachment, Backend, BackendErrorKind, ContainerSpec, Endpoint, Executed, Input, Labels, Logs,
    Mount, NetworkSpec, Process,
};

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
        input: Input::None,
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

#[tokio::test(start_paused = true)]
async fn an_input_that_is_let_go_ends_its_container() {
    let engine = engine();
    let held = |name| ContainerSpec {
        input: Input::Held,
        ..spec(name)
    };
    let id = engine.create_container(&held("a")).await.unwrap();
    let input = engine.hold_input(&id).await.unwrap();
    engine.start_container(&id).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(!input.ended().is_cancelled());
    drop(input);
    assert_eq!(engine.wait_container(&id).await.unwrap(), 0);

    // Whoever holds it is told when it ends by itself, or the engine goes away.
    for (name, away) in [("b", false), ("c", true)] {
        let id = engine.create_container(&held(name)).await.unwrap();
        let input = engine.hold_input(&id).await.unwrap();
        engine.start_container(&id).await.unwrap();
        if away {
            engine.go_away();
        } else {
            engine.kill_container(&id, "KILL").await.unwrap();
        }
        input.ended().cancelled().await;
    }
    engine.come_back();
    let id = engine.create_container(&spec("d")).await.unwrap();
    let error = engine.hold_input(&id).await.unwrap_err();
    assert_eq!(error.kind, BackendErrorKind::Conflict);
}

/// Counts its signals in the code of its commands and in the number of its process.
#[derive(Debug, Default)]
struct Counter(Mutex<u64>);

impl Inside for Counter {
    fn exec(&self, _: &ContainerSpec, command: &[String]) -> Executed {
        Executed {
            code: 0,
            output: format!("{} {}", command.join(" "), self.0.lock().unwrap()),
        }
    }

    fn processes(&self, spec: &ContainerSpec) -> Vec<Process> {
        vec![Process {
            pid: *self.0.lock().unwrap(),
            parent: 1,
            command: spec.name.clone(),
        }]
    }

    fn signal(&self, _: &ContainerSpec, _: &str) {
        *self.0.lock().unwrap() += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_on_inside_is_as_a_test_says() {
    let engine = engine();
    let program = Program {
        inside: Arc::new(Counter::default()),
        ..Program::forever()
    };
    engine.program(|spec| spec.name == "a", program);
    let id = engine.create_container(&spec("a")).await.unwrap();
    let command = ["count".to_owned()];
    let exec = || engine.exec(&id, &command, Duration::from_secs(1));
    for error in [
        exec().await.unwrap_err(),
        engine.processes(&id).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, BackendErrorKind::Conflict);
    }
    engine.start_container(&id).await.unwrap();
    engine.kill_container(&id, "USR2").await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(exec().await.unwrap().output, "count 1");
    assert_eq!(engine.processes(&id).await.unwrap()[0].pid, 1);
    engine.delay("exec", Duration::from_secs(2));
    assert_eq!(exec().await.unwrap_err().kind, BackendErrorKind::Timeout);
}

#[tokio::test]
async fn networks_are_joined_and_left() {
    let engine = engine();
    let network = NetworkSpec {
        name: "front".to_owned(),
        ..NetworkSpec::default()
    };
    let endpoint = Endpoint {
        network: engine.create_network(&network).await.unwrap(),
        aliases: Vec::new(),
        address: Some([10, 1, 0, 5].into()),
        gateway: false,
    };
    let on = |name| ContainerSpec {
        network: Attachment::Networks(Vec::new()),
        ..spec(name)
    };
    engine.program(|_| true, Program::forever());
    for name in ["a", "b"] {
        engine.create_container(&on(name)).await.unwrap();
        engine.start_container(name).await.unwrap();
    }
    engine.create_container(&spec("none")).await.unwrap();
    engine.connect_network("a", &endpoint).await.unwrap();
    for (name, kind) in [
        ("a", BackendErrorKind::Conflict),
        ("b", BackendErrorKind::AddressTaken),
        ("none", BackendErrorKind::Conflict),
        ("nobody", BackendErrorKind::NotFound),
    ] {
        let free = Endpoint {
            address: endpoint.address.filter(|_| name == "b"),
            ..endpoint.clone()
        };
        let error = engine.connect_network(name, &free).await.unwrap_err();
        assert_eq!(error.kind, kind, "{name}");
    }
    for _ in 0..2 {
        engine
            .disconnect_network("a", &endpoint.network)
            .await
            .unwrap();
    }
    assert_eq!(engine.specs()[0].network, Attachment::Networks(Vec::new()));
    engine.connect_network("b", &endpoint).await.unwrap();
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
