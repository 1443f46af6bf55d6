//! An attempt ends whatever its unit does. Units are container units over the fake engine; what
//! they make of a stop is their own tests' part.

use std::time::Duration;

use hoist_model::reason::{CancelReason, Fallback};

use tokio::time::Instant;

use super::*;
use crate::backend::{BackendError, BackendErrorKind};
use crate::fake::bench::Bench;
use crate::fake::{FakeBackend, Program, plan};

fn bench(program: Program) -> (FakeBackend, Bench) {
    let engine = FakeBackend::new();
    engine.add_image("base");
    engine.program(|_| true, program);
    let bench = Bench::new(&engine, plan(&[("a", &[])]), 0);
    (engine, bench)
}

const TIMED_OUT: Ending = Ending::Failed(FailureReason::TimedOut {
    after: Duration::from_secs(60),
});

#[tokio::test(start_paused = true)]
async fn a_step_ends_as_its_unit_does_and_its_output_is_whole() {
    let (_, bench) = bench(Program::exits(3).prints("half a line"));
    let ending = attempt(bench.context.clone(), Duration::ZERO).await;
    assert_eq!(ending, Ending::Failed(FailureReason::Exit { code: 3 }));
    assert_eq!(bench.log().await, "half a line");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_takes_too_long_is_stopped_with_grace() {
    let (engine, bench) = bench(Program {
        on_stop: Some(0),
        ..Program::forever()
    });
    let start = Instant::now();
    assert_eq!(
        attempt(bench.context.clone(), Duration::ZERO).await,
        TIMED_OUT,
        "though it ended with 0"
    );
    assert!(
        start.elapsed() < Duration::from_secs(65),
        "{:?}",
        start.elapsed()
    );
    assert!(engine.containers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_step_that_does_not_listen_is_killed() {
    let (engine, bench) = bench(Program {
        on_stop: None,
        ..Program::forever()
    });
    let start = Instant::now();
    assert_eq!(
        attempt(bench.context.clone(), Duration::ZERO).await,
        TIMED_OUT
    );
    assert!(
        start.elapsed() >= Duration::from_secs(70),
        "{:?}",
        start.elapsed()
    );
    assert!(engine.containers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_word_from_outside_is_passed_on() {
    for stop in [Stop::Grace, Stop::Kill] {
        let (engine, bench) = bench(Program {
            on_stop: None,
            ..Program::forever()
        });
        let start = Instant::now();
        let work = tokio::spawn(attempt(bench.context.clone(), Duration::ZERO));
        tokio::time::sleep(Duration::from_secs(5)).await;
        bench.stop.send(stop).unwrap();
        let ending = work.await.unwrap();
        assert!(!ending.is_good(), "{ending:?}");
        let waited = start.elapsed() - Duration::from_secs(5);
        assert_eq!(
            waited >= Duration::from_secs(10),
            stop == Stop::Grace,
            "{waited:?}"
        );
        assert!(engine.containers().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_unit_that_never_ends_is_given_up() {
    let (engine, bench) = bench(Program::forever());
    // The engine takes every call and answers none.
    for method in ["create_container", "remove_container", "list_containers"] {
        engine.delay(method, Duration::from_secs(1 << 30));
    }
    let start = Instant::now();
    let ending = attempt(bench.context.clone(), Duration::ZERO).await;
    assert_eq!(ending, TIMED_OUT);
    assert!(start.elapsed() <= Duration::from_secs(60) + GRACE + KILL);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_step_s_failure_and_no_crash() {
    let (engine, bench) = bench(Program::default());
    engine.program(|_| panic!("a bug"), Program::default());
    let ending = attempt(bench.context.clone(), Duration::ZERO).await;
    let Ending::Failed(FailureReason::Surroundings(trouble)) = ending else {
        panic!("{ending:?}");
    };
    assert_eq!(trouble.what, "a broke off");
    assert_eq!(trouble.cause.unwrap(), "an error in hoist itself: a bug");
}

#[tokio::test(start_paused = true)]
async fn output_is_shown_while_a_step_runs() {
    let mut program = Program::forever();
    for second in [1_u64, 2] {
        let line = format!("{second}\n").into_bytes();
        program.output.push((
            Duration::from_secs(second),
            hoist_model::event::Stream::Stdout,
            line,
        ));
    }
    let (_, bench) = bench(program);
    let work = tokio::spawn(attempt(bench.context.clone(), Duration::ZERO));
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(bench.shown(), "1\n2\n");
    bench.stop.send(Stop::Kill).unwrap();
    work.await.unwrap();
}

#[test]
fn what_stands_stays_though_the_time_was_up() {
    let after = Duration::from_secs(60);
    let deploy = FailureReason::Deploy {
        message: "slow".into(),
        fallback: Fallback::Untouched,
    };
    for ending in [Ending::Passed, Ending::Failed(deploy)] {
        assert_eq!(timed_out(ending.clone(), after), ending);
    }
    let error = BackendError::new(BackendErrorKind::Broken, "reset");
    for ending in [
        Ending::Failed(FailureReason::Exit { code: 143 }),
        Ending::Cancelled(CancelReason::Requested),
        surroundings(error.trouble("attach")),
    ] {
        assert_eq!(timed_out(ending, after), TIMED_OUT);
    }
}
