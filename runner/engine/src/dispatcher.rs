//! Decides what a run does next. One synchronous function takes what happened and gives back what
//! to do about it, as a value; a thin shell does it. So every hard case is a test without a
//! container, a clock or a wait.
//!
//! The dispatcher refuses to do anything itself, to read a clock and to know what a step's work is.
//! It leaves no call early (there is no `?` here): a decision that is begun is made whole.
//!
//! What holds, whatever comes in and in whatever order:
//! - each step gets exactly one [`Effect::End`], and nothing begins its work after that;
//! - a step is stopped at most once with each severity, and severity only rises;
//! - a step that always runs is not stopped for another's failure, and may start after it;
//! - the reason for stopping only rises, too;
//! - [`Effect::Close`] or [`Effect::ExitNow`] comes once, after the last end, and nothing follows
//!   but, after `Close`, what signals still ask for.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hoist_model::attempts::{AllowFailure, Retry};
use hoist_model::ids::{StepId, StepIx};
use hoist_model::plan::{Edge, Need, Plan, PlannedStep};
use hoist_model::reason::{CancelReason, Ending, FailureReason, Signal, SkipReason};

use crate::context::Stop;
use crate::queue::{DependencyQueue, Outcome};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The run is open: steps may start.
    Start,
    /// The work of a step that was started is over.
    StepEnded {
        /// Which.
        ix: StepIx,
        /// How, as far as its own work tells.
        ending: Ending,
    },
    /// The process got a signal.
    Interrupt(Signal),
    /// The run is to stop, somebody elsewhere says.
    CancelRequested,
    /// The run took as long as it may.
    RunTimedOut,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Begin a step's work.
    Start {
        /// Which.
        ix: StepIx,
    },
    /// Begin a step's work once more. It still is to be stopped when that is asked for, pause or
    /// not.
    Retry {
        /// Which.
        ix: StepIx,
        /// The attempt's number, from 2.
        attempt: u32,
        /// The pause before it.
        after: Duration,
        /// Why the attempt before it failed.
        failure: FailureReason,
    },
    /// Tell a step that was started to stop.
    Stop {
        /// Which.
        ix: StepIx,
        /// How.
        stop: Stop,
    },
    /// Record how a step ended.
    End {
        /// Which.
        ix: StepIx,
        /// How.
        ending: Ending,
    },
    /// Record that the run is being stopped.
    Stopping {
        /// Why.
        reason: CancelReason,
    },
    /// Every step has ended: clean up and give the verdict.
    Close,
    /// Leave everything as it is and exit.
    ExitNow,
}

/// What is to be done, in this order. It is no `Option` and no `Result`, so that nothing can be
/// left out by a `?`.
#[must_use]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects(pub Vec<Effect>);

/// How a run is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many steps may run at once; 0 is taken as 1.
    pub jobs: usize,
    /// Stop at the first step that fails.
    pub fail_fast: bool,
}

/// The dispatcher of one run.
#[derive(Debug)]
pub struct Dispatcher {
    policy: Policy,
    queue: DependencyQueue,
    steps: Vec<Step>,
    matrices: Vec<Matrix>,
    /// Cells that nothing but their matrix holds back, in the order in which they are to start.
    held: VecDeque<StepIx>,
    /// What waits for nothing but what has begun, since that was asked for last.
    upcoming: Vec<StepIx>,
    running: usize,
    /// Why the run is being stopped, once it is.
    stopping: Option<CancelReason>,
    signals: usize,
    phase: Phase,
}

#[derive(Debug)]
struct Step {
    id: StepId,
    retry: Retry,
    allow_failure: AllowFailure,
    /// It runs however those before it ended.
    always: bool,
    /// Attempts begun.
    attempts: u32,
    /// How severely its work was told to stop, while there is any.
    running: Option<Stop>,
    /// Why it is not to be run, until it has ended for that.
    skip: Option<SkipReason>,
    /// Of which matrix it is a cell, where that bounds how many run at once.
    matrix: Option<usize>,
}

/// A matrix that bounds how many of its cells run at once.
#[derive(Debug)]
struct Matrix {
    most: usize,
    running: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Doing,
    Closing,
    Left,
}

impl Dispatcher {
    /// A dispatcher of the plan's steps.
    #[must_use]
    pub fn new(plan: &Plan, policy: Policy) -> Self {
        let needs = plan
            .steps
            .iter()
            .map(|step| step.needs.iter().map(|need| (need.step, least(step, need))));
        let mut matrices = Vec::new();
        let mut places = BTreeMap::new();
        let steps = plan.steps.iter().map(|step| Step {
            id: step.id.clone(),
            retry: step.retry.clone(),
            allow_failure: step.allow_failure.clone(),
            always: step.always,
            attempts: 0,
            running: None,
            skip: step.skip.clone(),
            matrix: step.cell.as_ref().and_then(|cell| {
                let most = cell.max_parallel?.max(1);
                Some(*places.entry(cell.of.clone()).or_insert_with(|| {
                    matrices.push(Matrix { most, running: 0 });
                    matrices.len() - 1
                }))
            }),
        });
        let steps = steps.collect();
        Self {
            policy,
            queue: DependencyQueue::new(needs),
            steps,
            matrices,
            held: VecDeque::new(),
            upcoming: Vec::new(),
            running: 0,
            stopping: None,
            signals: 0,
            phase: Phase::Opening,
        }
    }

    /// Takes in what happened and gives what is to be done about it.
    pub fn handle(&mut self, input: Input) -> Effects {
        let mut effects = Effects::default();
        if self.phase == Phase::Left {
            return effects;
        }
        match input {
            Input::Start => {
                if self.phase == Phase::Opening {
                    self.phase = Phase::Doing;
                    self.skip(&mut effects);
                }
            }
            Input::StepEnded { ix, ending } => self.step_ended(ix, ending, &mut effects),
            Input::Interrupt(signal) => self.interrupt(signal, &mut effects),
            Input::CancelRequested | Input::RunTimedOut if self.phase == Phase::Closing => {}
            Input::CancelRequested => {
                self.stop(CancelReason::Requested, Stop::Grace, &mut effects);
            }
            Input::RunTimedOut => self.stop(CancelReason::RunTimedOut, Stop::Grace, &mut effects),
        }
        self.go_on(&mut effects);
        effects
    }

    /// Steps that may come next: all that they wait for has begun. Each is given once, and no more of
    /// them than may run at once; it may still be that one never starts.
    pub fn next_up(&mut self) -> Vec<StepIx> {
        if self.stopping.is_some() || self.phase != Phase::Doing {
            self.upcoming.clear();
        }
        let mut next = std::mem::take(&mut self.upcoming);
        next.truncate(self.policy.jobs.max(1));
        next
    }

    /// No step is left to begin; one that failed may still begin again.
    #[must_use]
    pub fn has_begun_all(&self) -> bool {
        self.phase != Phase::Opening && self.queue.is_empty() && self.held.is_empty()
    }

    /// Ends the steps that the plan says are not run, and what needs them.
    fn skip(&mut self, effects: &mut Effects) {
        for ix in 0..self.steps.len() {
            let Some(step) = self.steps.get_mut(ix) else {
                return;
            };
            let Some(reason) = step.skip.take() else {
                continue;
            };
            let step = step.id.clone();
            if self.queue.remove(ix) {
                effects.end(ix, Ending::Skipped(reason));
            }
            for lost in self.queue.end(ix, Outcome::Bad) {
                let own = self.steps.get_mut(lost).and_then(|step| step.skip.take());
                let need = || SkipReason::NeedSkipped { step: step.clone() };
                effects.end(lost, Ending::Skipped(own.unwrap_or_else(need)));
            }
        }
    }

    fn interrupt(&mut self, signal: Signal, effects: &mut Effects) {
        self.signals += 1;
        let stop = if self.signals == 1 {
            Stop::Grace
        } else {
            Stop::Kill
        };
        self.stop(CancelReason::Interrupted(signal), stop, effects);
        if self.signals < 3 {
            return;
        }
        let reason = self
            .stopping
            .clone()
            .unwrap_or(CancelReason::Interrupted(signal));
        for ix in 0..self.steps.len() {
            if self.take_running(ix) {
                effects.end(ix, Ending::Cancelled(reason.clone()));
            }
        }
        self.phase = Phase::Left;
        effects.0.push(Effect::ExitNow);
    }

    fn step_ended(&mut self, ix: StepIx, ending: Ending, effects: &mut Effects) {
        let told = self.steps.get(ix).and_then(|step| step.running);
        let stopped = told.is_some_and(|told| told > Stop::No);
        if !stopped && self.again(ix, &ending, effects) {
            return;
        }
        if !self.take_running(ix) {
            return;
        }
        let ending = match &self.stopping {
            Some(reason) if stopped => while_stopping(ending, reason),
            Some(_) | None => ending,
        };
        effects.end(ix, ending.clone());
        let Some(step) = self.steps.get(ix) else {
            return;
        };
        let outcome = if ending.is_good() {
            Outcome::Good
        } else if step.allow_failure.covers(&ending) {
            Outcome::Allowed
        } else {
            Outcome::Bad
        };
        let step = step.id.clone();
        for lost in self.queue.end(ix, outcome) {
            let reason = SkipReason::NeedFailed { step: step.clone() };
            effects.end(lost, Ending::Skipped(reason));
        }
        if outcome == Outcome::Bad && self.policy.fail_fast && self.stopping.is_none() {
            self.stop(CancelReason::FailFast { step }, Stop::Grace, effects);
        }
    }

    /// Tries a step again, where its failure is one to try again after.
    fn again(&mut self, ix: StepIx, ending: &Ending, effects: &mut Effects) -> bool {
        let Ending::Failed(failure) = ending else {
            return false;
        };
        let running = self.steps.get_mut(ix).filter(|step| step.running.is_some());
        let Some(step) = running else { return false };
        let Some(after) = step.retry.after(step.attempts, failure) else {
            return false;
        };
        step.attempts += 1;
        effects.0.push(Effect::Retry {
            ix,
            attempt: step.attempts,
            after,
            failure: failure.clone(),
        });
        true
    }

    /// Stops what runs and takes back what has not started, but for the steps that always run where
    /// another's failure is the reason.
    fn stop(&mut self, reason: CancelReason, severity: Stop, effects: &mut Effects) {
        if self.stopping.as_ref().is_none_or(|old| *old < reason) {
            self.stopping = Some(reason.clone());
            effects.0.push(Effect::Stopping { reason });
        }
        let spared = matches!(self.stopping, Some(CancelReason::FailFast { .. }));
        for (ix, step) in self.steps.iter_mut().enumerate() {
            if let Some(told) = &mut step.running
                && *told < severity
                && !(spared && step.always)
            {
                *told = severity;
                effects.0.push(Effect::Stop { ix, stop: severity });
            }
        }
        let Some(reason) = self.stopping.clone() else {
            return;
        };
        let waiting = self.take_waiting(spared);
        for ix in &waiting {
            effects.end(*ix, Ending::Cancelled(reason.clone()));
        }
        if spared {
            waiting.into_iter().for_each(|ix| self.lose(ix, effects));
        }
    }

    /// Takes back what has not started, or of that only what does not always run.
    fn take_waiting(&mut self, spared: bool) -> Vec<StepIx> {
        let (queue, steps) = (&mut self.queue, &self.steps);
        let stays = |ix: StepIx| spared && steps.get(ix).is_some_and(|step| step.always);
        let queued = (0..steps.len()).filter(|ix| !stays(*ix) && queue.remove(*ix));
        let mut waiting: Vec<StepIx> = queued.collect();
        waiting.extend(self.held.iter().copied().filter(|ix| !stays(*ix)));
        self.held.retain(|ix| stays(*ix));
        waiting.sort_unstable();
        waiting
    }

    /// A step is never to pass: ends what takes from it.
    fn lose(&mut self, ix: StepIx, effects: &mut Effects) {
        let Some(step) = self.steps.get(ix).map(|step| step.id.clone()) else {
            return;
        };
        for lost in self.queue.end(ix, Outcome::Bad) {
            let step = step.clone();
            effects.end(lost, Ending::Skipped(SkipReason::NeedFailed { step }));
        }
    }

    /// Starts what may start, or closes when nothing is left. A run that is stopped before it is
    /// open closes, too.
    fn go_on(&mut self, effects: &mut Effects) {
        while self.phase == Phase::Doing && self.running < self.policy.jobs.max(1) {
            let Some(ix) = self.next() else { break };
            if let Some(step) = self.steps.get_mut(ix) {
                step.running = Some(Stop::No);
                step.attempts = 1;
                self.running += 1;
                let matrix = step.matrix.and_then(|at| self.matrices.get_mut(at));
                matrix.into_iter().for_each(|matrix| matrix.running += 1);
                effects.0.push(Effect::Start { ix });
                self.upcoming.extend(self.queue.begin(ix));
            }
        }
        let open =
            self.phase == Phase::Doing || self.phase == Phase::Opening && self.stopping.is_some();
        if open && self.running == 0 && self.queue.is_empty() && self.held.is_empty() {
            self.phase = Phase::Closing;
            effects.0.push(Effect::Close);
        }
    }

    /// The step that is to start next.
    fn next(&mut self) -> Option<StepIx> {
        let free = self.held.iter().position(|ix| self.has_room(*ix));
        if let Some(ix) = free.and_then(|at| self.held.remove(at)) {
            return Some(ix);
        }
        while let Some(ix) = self.queue.pop() {
            if self.has_room(ix) {
                return Some(ix);
            }
            self.held.push_back(ix);
        }
        None
    }

    /// Its matrix lets the step start.
    fn has_room(&self, ix: StepIx) -> bool {
        let matrix = self.steps.get(ix).and_then(|step| step.matrix);
        let matrix = matrix.and_then(|at| self.matrices.get(at));
        matrix.is_none_or(|matrix| matrix.running < matrix.most)
    }

    fn take_running(&mut self, ix: StepIx) -> bool {
        let running = self.steps.get_mut(ix).filter(|step| step.running.is_some());
        let Some(step) = running else { return false };
        step.running = None;
        self.running -= 1;
        let matrix = step.matrix.and_then(|at| self.matrices.get_mut(at));
        matrix.into_iter().for_each(|matrix| matrix.running -= 1);
        true
    }
}

impl Effects {
    fn end(&mut self, ix: StepIx, ending: Ending) {
        self.0.push(Effect::End { ix, ending });
    }
}

/// How a step must end for one that needs it to start. What a step refers to must have been made,
/// and a gate must have been passed; what it only comes after may have failed where that is let
/// pass, and in any way for one that always runs.
fn least(step: &PlannedStep, need: &Need) -> Outcome {
    match need.why {
        Edge::Reference | Edge::Gate => Outcome::Good,
        Edge::Needs if step.always => Outcome::Bad,
        Edge::Needs => Outcome::Allowed,
    }
}

/// What an ending is worth that comes while the run is being stopped. What stopping may itself have
/// brought about is no failure of the step; what stands whatever else happens, stays.
fn while_stopping(ending: Ending, reason: &CancelReason) -> Ending {
    let failure = match ending {
        Ending::Failed(failure) => failure,
        Ending::Cancelled(_) => return Ending::Cancelled(reason.clone()),
        Ending::Passed | Ending::Cached | Ending::Skipped(_) => return ending,
    };
    match failure {
        FailureReason::Exit { .. }
        | FailureReason::OutOfMemory { .. }
        | FailureReason::TimedOut { .. }
        | FailureReason::CannotStart { .. }
        | FailureReason::Build { .. }
        | FailureReason::Service { .. }
        | FailureReason::Surroundings(_) => Ending::Cancelled(reason.clone()),
        FailureReason::Gate { .. }
        | FailureReason::NotApproved { .. }
        | FailureReason::Unverified { .. }
        | FailureReason::Deploy { .. }
        | FailureReason::Configuration(_) => Ending::Failed(failure),
    }
}
