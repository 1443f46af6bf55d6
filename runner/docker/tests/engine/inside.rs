//! Commands, processes and inputs of running containers.

use std::time::Duration;

use hoist_engine::backend::{BackendErrorKind as Kind, Input};

use crate::support::{BASE, on_engine};

const SOON: Duration = Duration::from_secs(20);

fn argv(command: &[&str]) -> Vec<String> {
    command.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test]
async fn commands_come_to_their_code_and_output() {
    on_engine("exec", &[BASE], async |bed| {
        let engine = &bed.engine;
        let mut spec = bed.shell("exec sleep 60");
        spec.user = Some("1234:1234".to_owned());
        let id = engine.create_container(&spec).await.unwrap();
        let command = argv(&["sh", "-c", "id -u; echo \"$1\" >&2; exit 3", "sh", "a b"]);
        let error = engine.exec(&id, &command, SOON).await.unwrap_err();
        assert_eq!(error.kind, Kind::Conflict, "{error}");
        engine.start_container(&id).await.unwrap();
        let executed = engine.exec(&id, &command, SOON).await.unwrap();
        assert_eq!(executed.code, 3);
        for line in ["1234\n", "a b\n"] {
            assert!(executed.output.contains(line), "{executed:?}");
        }
        let sealed = argv(&["grep", "-E", "CapEff|NoNewPrivs", "/proc/self/status"]);
        let sealed = engine.exec(&id, &sealed, SOON).await.unwrap().output;
        assert_eq!(sealed, "CapEff:\t0000000000000000\nNoNewPrivs:\t1\n");

        let long = argv(&[
            "sh",
            "-c",
            "head -c 3000000 /dev/zero | tr \"\\0\" x; exit 1",
        ]);
        let executed = engine.exec(&id, &long, SOON).await.unwrap();
        assert_eq!((executed.code, executed.output.len()), (1, 1 << 20));

        for command in ["no-such-command", "/etc/passwd"] {
            let executed = engine.exec(&id, &argv(&[command]), SOON).await.unwrap();
            assert!([126, 127].contains(&executed.code), "{executed:?}");
            assert!(executed.output.contains(command), "{executed:?}");
        }
        let sleep = argv(&["sleep", "5"]);
        let asleep = engine.exec(&id, &sleep, Duration::from_secs(1));
        let error = asleep.await.unwrap_err();
        assert_eq!(error.kind, Kind::Timeout, "{error}");
        let nobody = engine.exec("hoist-test-nobody", &command, SOON).await;
        assert_eq!(nobody.unwrap_err().kind, Kind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn processes_are_told_with_their_parents() {
    on_engine("processes", &[BASE], async |bed| {
        let engine = &bed.engine;
        let id = engine
            .create_container(&bed.shell("sleep 61 & echo started; sleep 62"))
            .await
            .unwrap();
        let error = engine.processes(&id).await.unwrap_err();
        assert_eq!(error.kind, Kind::Conflict, "{error}");
        engine.start_container(&id).await.unwrap();
        let mut processes = Vec::new();
        // The init, the shell and both of its children.
        while processes.len() < 4 {
            processes = engine.processes(&id).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let of = |words: &str| {
            let found = processes.iter().find(|it| it.command == words);
            found.unwrap_or_else(|| panic!("{words}: {processes:?}"))
        };
        let shell = of("sh -ec sleep 61 & echo started; sleep 62");
        assert_eq!(of("sleep 61").parent, shell.pid);
        assert_eq!(of("sleep 62").parent, shell.pid);
    })
    .await;
}

#[tokio::test]
async fn an_input_is_open_for_as_long_as_it_is_held() {
    on_engine("held", &[BASE], async |bed| {
        let engine = &bed.engine;
        let mut spec = bed.shell("echo reading; cat; exit 5");
        spec.input = Input::Held;
        let id = engine.create_container(&spec).await.unwrap();
        let input = engine.hold_input(&id).await.unwrap();
        engine.start_container(&id).await.unwrap();
        let still = tokio::time::timeout(Duration::from_secs(1), engine.wait_container(&id));
        assert!(still.await.is_err() && !input.ended().is_cancelled());
        let mut end = Box::pin(engine.wait_container(&id));
        drop(input);
        let code = tokio::time::timeout(SOON, &mut end).await.expect("in time");
        assert_eq!(code.unwrap(), 5);

        // Whoever holds it learns that the container is gone.
        spec.name = bed.unique();
        let id = engine.create_container(&spec).await.unwrap();
        let input = engine.hold_input(&id).await.unwrap();
        engine.start_container(&id).await.unwrap();
        engine.kill_container(&id, "KILL").await.unwrap();
        let told = tokio::time::timeout(SOON, input.ended().cancelled());
        told.await.expect("in time");
    })
    .await;
}

#[tokio::test]
async fn an_open_input_has_no_end_and_another_no_beginning() {
    on_engine("open-input", &[BASE], async |bed| {
        let engine = &bed.engine;
        let mut spec = bed.shell("cat");
        assert_eq!(bed.run(&spec).await.code, 0);
        spec.name = bed.unique();
        spec.input = Input::Open;
        let id = engine.create_container(&spec).await.unwrap();
        engine.start_container(&id).await.unwrap();
        let still = tokio::time::timeout(Duration::from_secs(1), engine.wait_container(&id));
        assert!(still.await.is_err());
    })
    .await;
}

#[tokio::test]
async fn signals_reach_the_command_behind_the_init() {
    on_engine("signal", &[BASE], async |bed| {
        let engine = &bed.engine;
        let script = "trap 'exit 9' USR2; echo ready; while :; do sleep 0.05; done";
        let id = engine.create_container(&bed.shell(script)).await.unwrap();
        let mut output = engine.attach(&id).await.unwrap();
        engine.start_container(&id).await.unwrap();
        futures_util::StreamExt::next(&mut output).await;
        let (sent, code) = tokio::join!(
            engine.kill_container(&id, "USR2"),
            engine.wait_container(&id)
        );
        sent.unwrap();
        assert_eq!(code.unwrap(), 9);
    })
    .await;
}
