//! One attempt at a step: its unit at work, with a bound on its time and on the time that stopping
//! may take. Whatever the unit does (hang, panic, ignore the word to stop), an attempt ends, and
//! with one ending. It refuses to decide whether the step is to stop: that word comes from outside.

#[cfg(test)]
mod tests;

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use hoist_model::event::EventKind;
use hoist_model::reason::{CancelReason, Ending, FailureReason, Trouble};
use hoist_model::unit::Unit;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::execute;
use crate::context::{Stop, UnitContext};
use crate::countdown::Countdown;
use crate::output::OutputWriter;
use crate::recorder::panic_message;

/// What a unit has to stop, and to take in what is left, beyond the grace that is asked for.
const MARGIN: Duration = Duration::from_secs(10);
/// What a unit has to stop that asks for no grace of its own.
const GRACE: Duration = Duration::from_secs(10 + 10);
/// What a unit has to end once it was told to at once.
const KILL: Duration = Duration::from_secs(30);
/// Between two looks at output that waits.
const FLUSH: Duration = Duration::from_millis(100);

/// Makes an attempt at the step of `context`, after a pause. Its stop channel is the word from
/// outside; the unit gets one of its own, over which its bounds are told, too.
pub(crate) async fn attempt(mut context: UnitContext, pause: Duration) -> Ending {
    let Some(step) = context.step() else {
        return surroundings(Trouble::new("the plan has no such step"));
    };
    if !pause.is_zero() {
        tokio::select! {
            biased;
            _ = context.stopped(Stop::Grace) => {
                return Ending::Cancelled(CancelReason::Requested);
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
    context.events.send(EventKind::StepStarted {
        step: step.id.clone(),
        attempt: context.attempt,
    });
    let (timeout, grace, id) = (step.timeout, grace(&step.unit), step.id.clone());
    let (tell, told) = watch::channel(Stop::No);
    let asked = std::mem::replace(&mut context.stop, told);
    let output = context.output.clone();
    let events = context.events.clone();

    let mut shells = context.shells.as_ref().map(|shells| shells.watch());
    let mut bounds = Bounds::new(timeout, grace);
    let ending = {
        let mut work = pin!(AssertUnwindSafe(execute(context)).catch_unwind());
        let mut flushing = pin!(flush(&output));
        let mut asked = asked;
        loop {
            // Clocks stand still while someone is in a shell.
            let held = shells.as_ref().is_some_and(|open| *open.borrow() > 0);
            tokio::select! {
                biased;
                ended = &mut work => break match ended {
                    Ok(ending) => ending,
                    Err(panic) => surroundings(
                        Trouble::new(format!("{id} broke off")).cause(panic_message(&*panic)),
                    ),
                },
                stop = raised(&mut asked, bounds.told) => bounds.raise(stop),
                () = bounds.next.over(), if !held || bounds.told > Stop::No => if !bounds.pass() {
                    break surroundings(
                        Trouble::new(format!("{id} did not end when it was told to"))
                            .hint("see whether the engine is well with `hoist doctor`"),
                    );
                },
                () = changed(&mut shells) => {}
                () = &mut flushing => {}
            }
            tell.send_if_modified(|stop| std::mem::replace(stop, bounds.told) != bounds.told);
        }
    };
    let ending = if bounds.timed_out {
        timed_out(ending, timeout)
    } else {
        ending
    };
    match output.close().await {
        Err(trouble) if ending.is_good() => surroundings(trouble),
        Err(Trouble { what, cause, hint }) => {
            let message = cause.map_or(what.clone(), |cause| format!("{what}: {cause}"));
            events.send(EventKind::Warning {
                step: Some(id),
                message,
                hint,
            });
            ending
        }
        Ok(()) => ending,
    }
}

/// When what comes next if the unit does not end.
struct Bounds {
    told: Stop,
    next: Countdown,
    grace: Duration,
    timed_out: bool,
}

impl Bounds {
    fn new(timeout: Duration, grace: Duration) -> Self {
        Self {
            told: Stop::No,
            next: Countdown::new(timeout),
            grace,
            timed_out: false,
        }
    }

    /// Someone outside wants the step to stop.
    fn raise(&mut self, stop: Stop) {
        if stop > self.told {
            self.told = stop;
            let bound = if stop == Stop::Grace {
                self.grace
            } else {
                KILL
            };
            self.next = Countdown::new(bound);
        }
    }

    /// A bound has passed; whether there is another one.
    fn pass(&mut self) -> bool {
        match self.told {
            Stop::No => {
                self.timed_out = true;
                self.raise(Stop::Grace);
            }
            Stop::Grace => self.raise(Stop::Kill),
            Stop::Kill => return false,
        }
        true
    }
}

/// How long a unit may take to stop with grace. A release goes back to what was there before, which
/// may take as long as going forward.
fn grace(unit: &Unit) -> Duration {
    match unit {
        Unit::Build(_) | Unit::Push(_) => GRACE,
        // Those beside a container stop after it, all at once.
        Unit::Container(unit) => {
            let services = unit.services.iter();
            let longest = services.map(|service| service.stop_grace_period).max();
            let own = MARGIN.saturating_add(unit.stop.grace);
            own.saturating_add(longest.unwrap_or_default())
        }
        Unit::Release(release) => {
            let stopping = release
                .services
                .iter()
                .map(|service| service.stop_grace_period);
            stopping.fold(
                GRACE.saturating_add(release.healthy_within),
                Duration::saturating_add,
            )
        }
    }
}

/// What an ending is worth that comes after the step's time was up. What being stopped may itself
/// have brought about is the time-out; what stands whatever else happens, stays.
fn timed_out(ending: Ending, after: Duration) -> Ending {
    let failure = match ending {
        Ending::Passed | Ending::Cached | Ending::Skipped(_) => return ending,
        Ending::Cancelled(_) => return Ending::Failed(FailureReason::TimedOut { after }),
        Ending::Failed(failure) => failure,
    };
    Ending::Failed(match failure {
        FailureReason::Exit { .. }
        | FailureReason::OutOfMemory { .. }
        | FailureReason::TimedOut { .. }
        | FailureReason::CannotStart { .. }
        | FailureReason::Build { .. }
        | FailureReason::Surroundings(_) => FailureReason::TimedOut { after },
        // What a step waited for in vain says more than that it did.
        FailureReason::Service { .. }
        | FailureReason::Gate { .. }
        | FailureReason::NotApproved { .. }
        | FailureReason::Unverified { .. }
        | FailureReason::Deploy { .. }
        | FailureReason::Configuration(_) => failure,
    })
}

fn surroundings(trouble: Trouble) -> Ending {
    Ending::Failed(FailureReason::Surroundings(trouble))
}

/// Waits until the word from outside is more severe than what the unit was told.
async fn raised(asked: &mut watch::Receiver<Stop>, told: Stop) -> Stop {
    let stop = asked.wait_for(|stop| *stop > told).await.map(|stop| *stop);
    match stop {
        Ok(stop) => stop,
        // Nobody is left to say it.
        Err(_) => pending().await,
    }
}

/// Waits until a shell is opened or closed.
async fn changed(shells: &mut Option<watch::Receiver<usize>>) {
    match shells {
        Some(open) => match open.changed().await {
            Ok(()) => {}
            Err(_) => pending().await,
        },
        None => pending().await,
    }
}

async fn flush(output: &OutputWriter) {
    let mut ticks = interval(FLUSH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        output.flush().await;
    }
}
