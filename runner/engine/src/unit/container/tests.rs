//! Steps in containers over an engine in memory.

mod caches;
mod inputs;
mod outputs;
mod place;
mod results;
mod shell;

use std::time::Duration;

use hoist_model::event::EventKind;
use hoist_model::reason::{CancelReason, Ending, FailureReason, Trouble};
use hoist_model::step::StepKind;
use hoist_model::unit::{StopPlan, Unit};

use crate::backend::{BackendError, BackendErrorKind};
use crate::context::Stop;
use crate::fake::Program;
use crate::unit::testing::{Stage, container, run};

fn trouble(ending: Ending) -> Trouble {
    match ending {
        Ending::Failed(FailureReason::Surroundings(trouble)) => trouble,
        other => panic!("the surroundings did not fail: {other:?}"),
    }
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
async fn a_step_is_stopped_as_it_asks_to_be() {
    let mut unit = container();
    unit.stop = StopPlan {
        signal: Some("SIGINT".to_owned()),
        grace: Duration::from_secs(45),
    };
    let stage = run(unit);
    let deaf = Program {
        on_stop: None,
        ..Program::forever()
    };
    stage
        .engine
        .program(|spec| spec.stop_signal.as_deref() == Some("SIGINT"), deaf);
    let start = tokio::time::Instant::now();
    let stop = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        stage.stop.send(Stop::Grace).unwrap();
    };
    let (ending, ()) = tokio::join!(stage.execute(), stop);
    let killed = FailureReason::Exit { code: 137 };
    assert_eq!(ending, Ending::Failed(killed));
    let took = start.elapsed().as_secs();
    assert!((50..52).contains(&took), "{took}");
    stage.assert_clean();
}
