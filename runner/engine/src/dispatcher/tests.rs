//! Each hard case of a run, without a container, a clock or a wait.

mod property;

use hoist_model::plan::{Cell, When};
use hoist_model::reason::{Fallback, Trouble};
use hoist_model::results::Severity;

use super::*;
use crate::fake::{container, plan, step};

const INT: Input = Input::Interrupt(Signal::Interrupt);
const INTERRUPTED: CancelReason = CancelReason::Interrupted(Signal::Interrupt);

fn dispatcher(steps: &[(&str, &[StepIx])], jobs: usize) -> Dispatcher {
    Dispatcher::new(
        &plan(steps),
        Policy {
            jobs,
            fail_fast: false,
        },
    )
}

fn fail_fast(steps: &[(&str, &[StepIx])]) -> Dispatcher {
    Dispatcher::new(
        &plan(steps),
        Policy {
            jobs: 8,
            fail_fast: true,
        },
    )
}

fn ended(ix: StepIx, ending: Ending) -> Input {
    Input::StepEnded { ix, ending }
}

fn exit(code: i64) -> Ending {
    Ending::Failed(FailureReason::Exit { code })
}

fn start(ix: StepIx) -> Effect {
    Effect::Start { ix }
}

fn end(ix: StepIx, ending: Ending) -> Effect {
    Effect::End { ix, ending }
}

fn cancelled(ix: StepIx, reason: CancelReason) -> Effect {
    end(ix, Ending::Cancelled(reason))
}

fn skipped(ix: StepIx, step: &str) -> Effect {
    end(
        ix,
        Ending::Skipped(SkipReason::NeedFailed { step: step.into() }),
    )
}

fn stop(ix: StepIx, stop: Stop) -> Effect {
    Effect::Stop { ix, stop }
}

fn stopping(reason: CancelReason) -> Effect {
    Effect::Stopping { reason }
}

#[test]
fn steps_start_when_what_they_need_has_ended_well() {
    let mut run = dispatcher(&[("a", &[]), ("b", &[0]), ("c", &[0])], 8);
    assert_eq!(run.handle(Input::Start).0, [start(0)]);
    let next = run.handle(ended(0, Ending::Passed)).0;
    assert_eq!(next, [end(0, Ending::Passed), start(1), start(2)]);
    assert_eq!(
        run.handle(ended(2, Ending::Cached)).0,
        [end(2, Ending::Cached)]
    );
    let last = run.handle(ended(1, Ending::Passed)).0;
    assert_eq!(last, [end(1, Ending::Passed), Effect::Close]);
}

#[test]
fn no_more_run_at_once_than_may() {
    let mut run = dispatcher(&[("a", &[]), ("b", &[]), ("c", &[])], 2);
    assert_eq!(run.handle(Input::Start).0, [start(0), start(1)]);
    let next = run.handle(ended(1, exit(1))).0;
    assert_eq!(next, [end(1, exit(1)), start(2)]);
    let mut run = dispatcher(&[("a", &[])], 0);
    assert_eq!(run.handle(Input::Start).0, [start(0)]);
}

#[test]
fn an_empty_plan_closes_at_once() {
    assert_eq!(dispatcher(&[], 1).handle(Input::Start).0, [Effect::Close]);
}

#[test]
fn a_failure_skips_what_needs_it_and_nothing_else() {
    let mut run = dispatcher(
        &[
            ("a", &[]),
            ("b", &[]),
            ("c", &[0]),
            ("d", &[2]),
            ("e", &[1]),
        ],
        8,
    );
    assert_eq!(run.handle(Input::Start).0, [start(0), start(1)]);
    let effects = run.handle(ended(0, exit(2))).0;
    assert_eq!(effects, [end(0, exit(2)), skipped(2, "a"), skipped(3, "a")]);
    let effects = run.handle(ended(1, Ending::Passed)).0;
    assert_eq!(effects, [end(1, Ending::Passed), start(4)]);
    let effects = run.handle(ended(4, Ending::Passed)).0;
    assert_eq!(effects, [end(4, Ending::Passed), Effect::Close]);
}

#[test]
fn of_two_failed_needs_the_first_is_the_reason() {
    let mut run = dispatcher(&[("a", &[]), ("b", &[]), ("c", &[0, 1])], 8);
    let _ = run.handle(Input::Start);
    assert_eq!(
        run.handle(ended(1, exit(1))).0,
        [end(1, exit(1)), skipped(2, "b")]
    );
    assert_eq!(
        run.handle(ended(0, exit(1))).0,
        [end(0, exit(1)), Effect::Close]
    );
}

#[test]
fn fail_fast_stops_what_runs_and_takes_back_what_waits() {
    let mut run = fail_fast(&[("a", &[]), ("b", &[]), ("c", &[0]), ("d", &[1])]);
    let _ = run.handle(Input::Start);
    let reason = CancelReason::FailFast { step: "a".into() };
    assert_eq!(
        run.handle(ended(0, exit(1))).0,
        [
            end(0, exit(1)),
            skipped(2, "a"),
            stopping(reason.clone()),
            stop(1, Stop::Grace),
            cancelled(3, reason.clone()),
        ]
    );
    let effects = run.handle(ended(1, exit(143))).0;
    assert_eq!(effects, [cancelled(1, reason), Effect::Close]);
}

#[test]
fn a_second_failure_during_fail_fast_is_no_second_stop() {
    let mut run = fail_fast(&[("a", &[]), ("b", &[]), ("c", &[])]);
    let _ = run.handle(Input::Start);
    let _ = run.handle(ended(0, exit(1)));
    let gate = Ending::Failed(FailureReason::Gate {
        failing: vec![(Severity::High, 1)],
    });
    assert_eq!(
        run.handle(ended(1, gate.clone())).0,
        [end(1, gate)],
        "a gate's word stands"
    );
    let effects = run.handle(ended(2, Ending::Passed)).0;
    assert_eq!(effects, [end(2, Ending::Passed), Effect::Close]);
}

#[test]
fn the_first_signal_stops_the_second_kills_the_third_leaves() {
    let mut run = dispatcher(&[("a", &[]), ("b", &[]), ("c", &[0])], 8);
    let _ = run.handle(Input::Start);
    assert_eq!(
        run.handle(INT).0,
        [
            stopping(INTERRUPTED),
            stop(0, Stop::Grace),
            stop(1, Stop::Grace),
            cancelled(2, INTERRUPTED),
        ]
    );
    assert_eq!(
        run.handle(INT).0,
        [stop(0, Stop::Kill), stop(1, Stop::Kill)]
    );
    assert_eq!(
        run.handle(ended(1, exit(137))).0,
        [cancelled(1, INTERRUPTED)]
    );
    assert_eq!(
        run.handle(INT).0,
        [cancelled(0, INTERRUPTED), Effect::ExitNow]
    );
    assert_eq!(run.handle(ended(0, exit(137))).0, []);
    assert_eq!(run.handle(INT).0, []);
}

#[test]
fn another_signal_raises_the_reason() {
    let mut run = dispatcher(&[("a", &[])], 8);
    let _ = run.handle(Input::Start);
    let _ = run.handle(INT);
    let terminated = CancelReason::Interrupted(Signal::Terminate);
    assert_eq!(
        run.handle(Input::Interrupt(Signal::Terminate)).0,
        [stopping(terminated.clone()), stop(0, Stop::Kill)]
    );
    assert_eq!(
        run.handle(ended(0, exit(137))).0,
        [cancelled(0, terminated), Effect::Close]
    );
}

#[test]
fn a_signal_before_the_start_closes() {
    let mut run = dispatcher(&[("a", &[]), ("b", &[0])], 8);
    assert_eq!(
        run.handle(INT).0,
        [
            stopping(INTERRUPTED),
            cancelled(0, INTERRUPTED),
            cancelled(1, INTERRUPTED),
            Effect::Close,
        ]
    );
    assert_eq!(run.handle(Input::Start).0, []);
}

#[test]
fn signals_count_while_closing_and_nothing_else_does() {
    let mut run = dispatcher(&[("a", &[])], 8);
    let _ = run.handle(Input::Start);
    assert_eq!(
        run.handle(ended(0, Ending::Passed)).0,
        [end(0, Ending::Passed), Effect::Close]
    );
    assert_eq!(run.handle(Input::RunTimedOut).0, []);
    assert_eq!(run.handle(Input::CancelRequested).0, []);
    assert_eq!(run.handle(INT).0, [stopping(INTERRUPTED)]);
    assert_eq!(run.handle(INT).0, []);
    assert_eq!(run.handle(INT).0, [Effect::ExitNow]);
}

#[test]
fn a_failure_while_another_step_stops_is_its_cancellation() {
    let mut run = dispatcher(&[("a", &[]), ("b", &[]), ("c", &[])], 8);
    let _ = run.handle(Input::Start);
    let _ = run.handle(INT);
    let lost = Ending::Failed(FailureReason::Surroundings(Trouble::new(
        "the engine is gone",
    )));
    assert_eq!(run.handle(ended(1, lost)).0, [cancelled(1, INTERRUPTED)]);
    let deploy = FailureReason::Deploy {
        message: "unhealthy".into(),
        fallback: Fallback::Untouched,
    };
    let deploy = Ending::Failed(deploy);
    assert_eq!(run.handle(ended(0, deploy.clone())).0, [end(0, deploy)]);
    let effects = run.handle(ended(2, Ending::Passed)).0;
    assert_eq!(
        effects,
        [end(2, Ending::Passed), Effect::Close],
        "good endings stay good"
    );
}

#[test]
fn a_step_cannot_know_the_reason_of_its_cancellation() {
    let mut run = dispatcher(&[("a", &[])], 8);
    let _ = run.handle(Input::Start);
    let _ = run.handle(Input::RunTimedOut);
    let ending = Ending::Cancelled(CancelReason::Requested);
    let effects = run.handle(ended(0, ending)).0;
    assert_eq!(
        effects,
        [cancelled(0, CancelReason::RunTimedOut), Effect::Close]
    );
}

#[test]
fn the_run_timing_out_while_it_stops_changes_the_reason_only_upwards() {
    let mut run = fail_fast(&[("a", &[]), ("b", &[]), ("c", &[])]);
    let _ = run.handle(Input::Start);
    let _ = run.handle(ended(0, exit(1)));
    assert_eq!(
        run.handle(Input::RunTimedOut).0,
        [stopping(CancelReason::RunTimedOut)]
    );
    assert_eq!(
        run.handle(INT).0,
        [stopping(INTERRUPTED)],
        "it has grace already"
    );
    assert_eq!(run.handle(Input::RunTimedOut).0, []);
    assert_eq!(run.handle(Input::CancelRequested).0, []);
    assert_eq!(
        run.handle(ended(1, exit(143))).0,
        [cancelled(1, INTERRUPTED)]
    );
    let effects = run.handle(ended(2, exit(143))).0;
    assert_eq!(effects, [cancelled(2, INTERRUPTED), Effect::Close]);
}

#[test]
fn a_request_to_cancel_has_grace_however_often_it_comes() {
    let mut run = dispatcher(&[("a", &[])], 8);
    let _ = run.handle(Input::Start);
    let requested = stopping(CancelReason::Requested);
    assert_eq!(
        run.handle(Input::CancelRequested).0,
        [requested, stop(0, Stop::Grace)]
    );
    assert_eq!(run.handle(Input::CancelRequested).0, []);
}

#[test]
fn ends_of_steps_that_do_not_run_change_nothing() {
    let mut run = dispatcher(&[("a", &[]), ("b", &[0])], 8);
    assert_eq!(run.handle(ended(0, Ending::Passed)).0, []);
    let _ = run.handle(Input::Start);
    assert_eq!(run.handle(ended(1, Ending::Passed)).0, []);
    assert_eq!(run.handle(ended(7, Ending::Passed)).0, []);
    let _ = run.handle(ended(0, Ending::Passed));
    assert_eq!(run.handle(ended(0, exit(1))).0, []);
}

#[test]
fn ten_thousand_steps_are_dispatched_in_no_time() {
    let mut plan = plan(&[]);
    for ix in 0..10_000_usize {
        let needs: Vec<_> = (ix.saturating_sub(3)..ix).collect();
        plan.steps.push(step(
            &format!("s{ix}"),
            &needs,
            hoist_model::unit::Unit::Container(container()),
        ));
    }
    let mut run = Dispatcher::new(
        &plan,
        Policy {
            jobs: 64,
            fail_fast: false,
        },
    );
    let (mut queue, mut ends) = (run.handle(Input::Start).0, 0);
    while let Some(effect) = queue.pop() {
        match effect {
            Effect::Start { ix } => queue.extend(run.handle(ended(ix, Ending::Passed)).0),
            Effect::End { .. } => ends += 1,
            _ => {}
        }
    }
    assert_eq!(ends, 10_000);
}

/// A dispatcher of steps that were changed first.
fn changed(steps: &[(&str, &[StepIx])], change: impl FnOnce(&mut [PlannedStep])) -> Dispatcher {
    let mut plan = plan(steps);
    change(&mut plan.steps);
    let policy = Policy {
        jobs: 8,
        fail_fast: true,
    };
    Dispatcher::new(&plan, policy)
}

fn twice(steps: &mut [PlannedStep]) {
    steps[0].retry.max = 1;
}

fn retry(ix: StepIx, attempt: u32, code: i64) -> Effect {
    Effect::Retry {
        ix,
        attempt,
        after: Duration::ZERO,
        failure: FailureReason::Exit { code },
    }
}

#[test]
fn a_step_is_tried_as_often_as_it_may_and_ends_once() {
    let mut run = changed(&[("a", &[]), ("b", &[0])], twice);
    assert_eq!(run.handle(Input::Start).0, [start(0)]);
    assert_eq!(run.handle(ended(0, exit(1))).0, [retry(0, 2, 1)]);
    let effects = run.handle(ended(0, Ending::Passed)).0;
    assert_eq!(effects, [end(0, Ending::Passed), start(1)]);

    let mut run = changed(&[("a", &[])], twice);
    let _ = run.handle(Input::Start);
    let _ = run.handle(ended(0, exit(1)));
    let effects = run.handle(ended(0, exit(2))).0;
    assert_eq!(effects[0], end(0, exit(2)));
}

#[test]
fn nothing_is_tried_again_while_the_run_is_being_stopped() {
    let mut run = changed(&[("a", &[])], twice);
    let _ = run.handle(Input::Start);
    let _ = run.handle(INT);
    let effects = run.handle(ended(0, exit(1))).0;
    assert_eq!(effects, [cancelled(0, INTERRUPTED), Effect::Close]);
    // The same word reaches an attempt that waits for its pause to end.
    let mut run = changed(&[("a", &[])], twice);
    let _ = run.handle(Input::Start);
    let _ = run.handle(ended(0, exit(1)));
    assert_eq!(
        run.handle(INT).0,
        [stopping(INTERRUPTED), stop(0, Stop::Grace)]
    );
}

#[test]
fn a_failure_that_is_let_pass_holds_up_only_what_takes_from_the_step() {
    let steps: [(&str, &[StepIx]); 3] = [("a", &[]), ("after", &[0]), ("on", &[0])];
    let mut run = changed(&steps, |steps| {
        steps[0].allow_failure = AllowFailure::Yes;
        steps[2].needs[0].why = Edge::Reference;
    });
    let _ = run.handle(Input::Start);
    let effects = run.handle(ended(0, exit(1))).0;
    assert_eq!(effects, [end(0, exit(1)), skipped(2, "a"), start(1)]);
}

#[test]
fn a_step_that_always_runs_comes_after_failures_and_skips() {
    let steps: [(&str, &[StepIx]); 3] = [("a", &[]), ("b", &[0]), ("report", &[1])];
    let plan = |steps: &mut [PlannedStep]| steps[2].always = true;
    let mut run = changed(&steps, plan);
    run.policy.fail_fast = false;
    let _ = run.handle(Input::Start);
    let effects = run.handle(ended(0, exit(1))).0;
    assert_eq!(effects, [end(0, exit(1)), skipped(1, "a"), start(2)]);
    let mut run = changed(&steps, plan);
    let _ = run.handle(Input::Start);
    let effects = run.handle(INT).0;
    assert!(effects.contains(&cancelled(2, INTERRUPTED)), "{effects:?}");
}

#[test]
fn fail_fast_spares_what_always_runs() {
    let steps: [(&str, &[StepIx]); 5] = [
        ("a", &[]),
        ("slow", &[]),
        ("watch", &[]),
        ("report", &[0, 1]),
        ("after", &[3]),
    ];
    let always = |steps: &mut [PlannedStep]| {
        steps[2].always = true;
        steps[3].always = true;
    };
    let mut run = changed(&steps, always);
    let _ = run.handle(Input::Start);
    let reason = CancelReason::FailFast { step: "a".into() };
    assert_eq!(
        run.handle(ended(0, exit(1))).0,
        [
            end(0, exit(1)),
            stopping(reason.clone()),
            stop(1, Stop::Grace),
            cancelled(4, reason.clone()),
        ]
    );
    let effects = run.handle(ended(1, exit(143))).0;
    assert_eq!(effects, [cancelled(1, reason), start(3)]);
    let effects = run.handle(ended(3, exit(2))).0;
    assert_eq!(effects, [end(3, exit(2))], "its failure is its own");
    let effects = run.handle(ended(2, Ending::Passed)).0;
    assert_eq!(effects, [end(2, Ending::Passed), Effect::Close]);
}

#[test]
fn what_always_runs_still_needs_what_it_takes_from_others() {
    let steps: [(&str, &[StepIx]); 4] =
        [("a", &[]), ("slow", &[]), ("image", &[1]), ("report", &[2])];
    let mut run = changed(&steps, |steps| {
        steps[3].always = true;
        steps[3].needs[0].why = Edge::Reference;
    });
    let _ = run.handle(Input::Start);
    let reason = CancelReason::FailFast { step: "a".into() };
    let effects = run.handle(ended(0, exit(1))).0;
    let ends = [cancelled(2, reason), skipped(3, "image")];
    assert_eq!(effects[3..], ends);
}

#[test]
fn a_signal_after_fail_fast_stops_what_always_runs_too() {
    let steps: [(&str, &[StepIx]); 3] = [("a", &[]), ("watch", &[]), ("report", &[1])];
    let mut run = changed(&steps, |steps| {
        steps[1].always = true;
        steps[2].always = true;
    });
    let _ = run.handle(Input::Start);
    let _ = run.handle(ended(0, exit(1)));
    assert_eq!(
        run.handle(INT).0,
        [
            stopping(INTERRUPTED),
            stop(1, Stop::Grace),
            cancelled(2, INTERRUPTED),
        ]
    );
}

#[test]
fn a_step_whose_condition_does_not_hold_is_skipped_with_what_needs_it() {
    let mut plan = plan(&[
        ("a", &[]),
        ("b", &[0]),
        ("c", &[1]),
        ("d", &[]),
        ("e", &[1]),
    ]);
    plan.steps[0].when = Some(When {
        holds: false,
        reason: "the branch is `dev`, not `main`".into(),
    });
    plan.steps[4].always = true;
    hoist_model::plan::skip(&mut plan, |_| false);
    let policy = Policy {
        jobs: 8,
        fail_fast: true,
    };
    let mut run = Dispatcher::new(&plan, policy);
    let reason = "the branch is `dev`, not `main`".to_owned();
    let because = Ending::Skipped(SkipReason::NeedSkipped { step: "a".into() });
    assert_eq!(
        run.handle(Input::Start).0,
        [
            end(0, Ending::Skipped(SkipReason::When { reason })),
            end(1, because.clone()),
            end(2, because),
            start(3),
            start(4),
        ]
    );
    assert_eq!(run.handle(Input::Start).0, []);
    let _ = run.handle(ended(3, Ending::Passed));
    let last = run.handle(ended(4, Ending::Passed)).0;
    assert_eq!(last, [end(4, Ending::Passed), Effect::Close]);
}

#[test]
fn a_run_of_which_nothing_is_to_be_run_closes_at_once() {
    let mut plan = plan(&[("a", &[]), ("b", &[0])]);
    hoist_model::plan::skip(&mut plan, |_| true);
    let policy = Policy {
        jobs: 1,
        fail_fast: false,
    };
    let left_out = |ix| end(ix, Ending::Skipped(SkipReason::LeftOut));
    let effects = Dispatcher::new(&plan, policy).handle(Input::Start).0;
    assert_eq!(effects, [left_out(0), left_out(1), Effect::Close]);
}

/// Steps of which those with an even place are cells of one matrix.
fn cells(count: usize, most: usize) -> Vec<PlannedStep> {
    let cell = |ix: usize| {
        let unit = hoist_model::unit::Unit::Container(container());
        let mut step = step(&ix.to_string(), &[], unit);
        step.cell = ix.is_multiple_of(2).then(|| Cell {
            of: "unit".into(),
            values: vec![("n".into(), ix.to_string())],
            max_parallel: Some(most),
        });
        step
    };
    (0..count).map(cell).collect()
}

#[test]
fn no_more_cells_run_at_once_than_their_matrix_lets() {
    let mut plan = plan(&[]);
    plan.steps = cells(8, 1);
    let policy = Policy {
        jobs: 3,
        fail_fast: false,
    };
    let mut run = Dispatcher::new(&plan, policy);
    // The second cell gives its turn to a step that is none.
    assert_eq!(run.handle(Input::Start).0, [start(0), start(1), start(3)]);
    let effects = run.handle(ended(1, Ending::Passed)).0;
    assert_eq!(effects, [end(1, Ending::Passed), start(5)]);
    let effects = run.handle(ended(0, exit(1))).0;
    assert_eq!(effects, [end(0, exit(1)), start(2)]);
    let effects = run.handle(Input::CancelRequested).0;
    let reason = CancelReason::Requested;
    let stops = [2, 3, 5].map(|ix| stop(ix, Stop::Grace));
    let ends = [4, 6, 7].map(|ix| cancelled(ix, reason.clone()));
    let all = [vec![stopping(reason)], stops.to_vec(), ends.to_vec()].concat();
    assert_eq!(effects, all);
}
