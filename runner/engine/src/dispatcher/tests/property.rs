//! What holds of every run: random graphs, and what happens to them in random order.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

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
