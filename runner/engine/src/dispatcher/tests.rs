//! Each hard case of a run, without a container, a clock or a wait.

use std::collections::BTreeSet;

use hoist_model::plan::{Cell, When};
use hoist_model::reason::{Fallback, Trouble};
use hoist_model::results::Severity;
use proptest::prelude::*;

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

fn graphs() -> impl Strategy<Value = Vec<Vec<StepIx>>> {
    prop::collection::vec(
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        0..24,
    )
    .prop_map(|graph| {
        let needs = |(ix, picks): (usize, Vec<prop::sample::Index>)| match ix {
            0 => Vec::new(),
            _ => picks
                .iter()
                .map(|p| p.index(ix))
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
        };
        graph.into_iter().enumerate().map(needs).collect()
    })
}

fn endings() -> impl Strategy<Value = Ending> {
    prop_oneof![
        6 => Just(Ending::Passed),
        1 => Just(Ending::Cached),
        2 => (1..255_i64).prop_map(exit),
        1 => Just(Ending::Failed(FailureReason::Gate { failing: Vec::new() })),
        1 => Just(Ending::Failed(FailureReason::Surroundings(Trouble::new("lost")))),
        1 => Just(Ending::Cancelled(CancelReason::Requested)),
    ]
}

/// What happens next: a step that runs ends, or something comes from outside.
#[derive(Clone, Debug)]
enum Next {
    End(prop::sample::Index, Ending),
    Outside(Input),
}

fn nexts() -> impl Strategy<Value = Next> {
    let signal = prop_oneof![Just(Signal::Interrupt), Just(Signal::Terminate)];
    prop_oneof![
        20 => (any::<prop::sample::Index>(), endings()).prop_map(|(ix, end)| Next::End(ix, end)),
        1 => signal.prop_map(|signal| Next::Outside(Input::Interrupt(signal))),
        1 => Just(Next::Outside(Input::CancelRequested)),
        1 => Just(Next::Outside(Input::RunTimedOut)),
        1 => Just(Next::Outside(Input::Start)),
        1 => (0..30_usize, endings()).prop_map(|(ix, end)| Next::Outside(ended(ix, end))),
    ]
}

/// What was seen of a run so far; checks each effect against it.
struct Seen {
    steps: Vec<PlannedStep>,
    attempts: Vec<u32>,
    jobs: usize,
    running: BTreeSet<StepIx>,
    told: Vec<Stop>,
    ends: Vec<Option<Ending>>,
    reason: Option<CancelReason>,
    over: bool,
}

impl Seen {
    /// Whether a step may go on: the run is not being stopped, or for a failure only and the step
    /// always runs.
    fn goes_on(&self, step: &PlannedStep) -> bool {
        match &self.reason {
            None => true,
            Some(CancelReason::FailFast { .. }) => step.always,
            Some(_) => false,
        }
    }

    fn take(&mut self, effects: &Effects) {
        for effect in &effects.0 {
            match effect {
                Effect::Start { ix } => {
                    assert!(self.ends[*ix].is_none() && self.running.insert(*ix));
                    let step = &self.steps[*ix];
                    assert!(
                        self.goes_on(step),
                        "nothing starts while the run is stopped"
                    );
                    assert_eq!(step.skip, None, "what is not to be run does not start");
                    let as_it_must = |need: &Need| match &self.ends[need.step] {
                        Some(ending) => {
                            let allowed = self.steps[need.step].allow_failure.covers(ending);
                            step.always || allowed || ending.is_good()
                        }
                        None => false,
                    };
                    assert!(step.needs.iter().all(as_it_must), "what it needs ended so");
                    assert!(self.running.len() <= self.jobs);
                    if let Some(cell) = &step.cell {
                        let same = |ix: &&StepIx| {
                            self.steps[**ix]
                                .cell
                                .as_ref()
                                .is_some_and(|other| other.of == cell.of)
                        };
                        let running = self.running.iter().filter(same).count();
                        assert!(running <= cell.max_parallel.unwrap());
                    }
                    self.attempts[*ix] = 1;
                }
                Effect::Retry { ix, attempt, .. } => {
                    assert!(self.running.contains(ix) && self.goes_on(&self.steps[*ix]));
                    self.attempts[*ix] += 1;
                    assert_eq!(self.attempts[*ix], *attempt);
                    assert!(*attempt <= self.steps[*ix].retry.max + 1);
                }
                Effect::Stop { ix, stop } => {
                    assert!(self.running.contains(ix) && self.told[*ix] < *stop);
                    let spared = self.steps[*ix].always && self.goes_on(&self.steps[*ix]);
                    assert!(!spared, "what always runs is not stopped for a failure");
                    self.told[*ix] = *stop;
                }
                Effect::End { ix, ending } => {
                    self.running.remove(ix);
                    assert!(
                        self.ends[*ix].replace(ending.clone()).is_none(),
                        "one end each"
                    );
                }
                Effect::Stopping { reason } => {
                    assert!(self.reason.as_ref().is_none_or(|old| old < reason));
                    self.reason = Some(reason.clone());
                }
                Effect::Close => {
                    assert!(!std::mem::replace(&mut self.over, true), "closed once");
                    assert!(self.ends.iter().all(Option::is_some));
                }
                Effect::ExitNow => {
                    self.over = true;
                    assert!(self.ends.iter().all(Option::is_some));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn every_step_ends_exactly_once(
        needs in graphs(),
        kinds in prop::collection::vec((0..3_u32, any::<bool>(), any::<bool>(), 0..8_u32), 24),
        jobs in 0..5_usize,
        fail_fast in any::<bool>(),
        most in 1..4_usize,
        of in prop::collection::vec(0..4_u8, 24),
        nexts in prop::collection::vec(nexts(), 0..60),
    ) {
        let mut plan = plan(&[]);
        for (ix, (needs, (max, allow, always, when))) in needs.iter().zip(kinds).enumerate() {
            let unit = hoist_model::unit::Unit::Container(container());
            let mut step = step(&ix.to_string(), needs, unit);
            step.retry.max = max;
            step.always = always;
            if allow {
                step.allow_failure = AllowFailure::Yes;
            }
            step.when = (when < 2).then(|| When { holds: when == 1, reason: String::new() });
            plan.steps.push(step);
        }
        for (step, of) in plan.steps.iter_mut().zip(of) {
            let matrix = StepId::from(["a", "b"][usize::from(of % 2)]);
            step.cell = (of < 2).then(|| Cell {
                of: matrix,
                values: Vec::new(),
                max_parallel: Some(most),
            });
        }
        hoist_model::plan::skip(&mut plan, |_| false);
        let mut run = Dispatcher::new(&plan, Policy { jobs, fail_fast });
        let mut seen = Seen {
            jobs: jobs.max(1),
            running: BTreeSet::new(),
            told: vec![Stop::No; needs.len()],
            ends: vec![None; needs.len()],
            attempts: vec![0; needs.len()],
            steps: plan.steps,
            reason: None,
            over: false,
        };
        for next in nexts {
            let input = match next {
                Next::Outside(input) => input,
                Next::End(_, _) if seen.running.is_empty() => continue,
                Next::End(pick, ending) => {
                    let running: Vec<_> = seen.running.iter().copied().collect();
                    ended(running[pick.index(running.len())], ending)
                }
            };
            // An end of a step that runs, made up by the outside, is as good as its own.
            seen.take(&run.handle(input));
        }
        seen.take(&run.handle(Input::Start));
        while let Some(ix) = seen.running.first().copied() {
            seen.take(&run.handle(ended(ix, Ending::Passed)));
        }
        prop_assert!(seen.over);
        for (step, ending) in seen.steps.iter().zip(&seen.ends) {
            if let Some(skip) = &step.skip {
                let ending = ending.as_ref().unwrap();
                let skipped = *ending == Ending::Skipped(skip.clone());
                prop_assert!(skipped || matches!(ending, Ending::Cancelled(_)));
            }
        }
        for (ix, ending) in seen.ends.iter().enumerate() {
            let Some(Ending::Skipped(SkipReason::NeedFailed { step })) = ending else { continue };
            let culprit: StepIx = step.as_str().parse().unwrap();
            prop_assert!(culprit < ix);
            prop_assert!(!seen.ends[culprit].as_ref().unwrap().is_good());
        }
    }
}
