//! Watching what has the traffic: whether it stays well, and whether it is as good as what was there
//! before.

use std::time::Duration;

use hoist_model::unit::{CanaryPlan, Strategy};
use tokio::time::{Instant, sleep};

use super::{Failure, Performer, failed};
use crate::release::health::{self, Patience, Unwell};
use crate::release::plan::Which;
use crate::release::proxy::canary::{Verdict, judge};
use crate::release::proxy::{Request, ServerName, requests};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// How long gates may take to find out that a server is gone: their checks, and more.
const FALLBACK: Duration = Duration::from_secs(4);

impl Performer<'_> {
    /// Watches containers for that long.
    pub(super) async fn bake(&mut self, all: &[Which], time: Duration) -> Result<(), Failure> {
        let until = Instant::now() + time;
        if let Some(which) = all.first() {
            let service = self.service(which);
            self.context
                .phase(format!("watching {service} for {time:?}"));
        }
        loop {
            if let Err(failure) = self.still_well(all).await {
                self.await_fallback(all).await;
                return Err(failure);
            }
            let now = Instant::now();
            if now >= until {
                break;
            }
            tokio::select! {
                () = sleep(PAUSE.min(until - now)) => {}
                () = self.broken_off() => return Err(Failure::Stopped),
            }
        }
        self.extend_deadline(time);
        Ok(())
    }

    /// Waits a moment until gates have found out themselves that containers are gone. A gate that reads
    /// another configuration before would never find out for the requests that it has by then.
    async fn await_fallback(&self, all: &[Which]) {
        let until = Instant::now() + FALLBACK;
        let seen = async {
            loop {
                let mut left = 0;
                for which in all {
                    left += usize::from(!self.is_down(which).await);
                }
                // Of several the others may be well.
                if left < all.len() {
                    break;
                }
                sleep(PAUSE).await;
            }
        };
        let _ = tokio::time::timeout_at(until, seen).await;
        sleep(PAUSE).await;
    }

    async fn still_well(&mut self, all: &[Which]) -> Result<(), Failure> {
        for which in all {
            if !self.progress.left_out.contains(which) {
                let well = self.is_still_well(which).await;
                self.or_left_out(which, well)?;
            }
        }
        Ok(())
    }

    async fn is_still_well(&self, which: &Which) -> Result<(), Failure> {
        let Some(id) = self.id(which) else {
            return Ok(());
        };
        let shown = self.shown(which);
        let patience = Patience {
            within: Duration::ZERO,
            until: Instant::now(),
            started: self.progress.started.get(which).copied(),
        };
        match health::healthy(self.target.backend.as_ref(), &id, patience).await {
            // One that is late was not well before; what is asked here is whether it fell ill.
            Ok(_) | Err(Unwell::Late { .. }) => Ok(()),
            Err(Unwell::Unknown(error)) => Err(failed(format!("asking how {shown} is"))(error)),
            Err(unwell) => {
                let unwell = unwell.describe(&shown);
                let message = format!("after it had the traffic, {unwell}");
                Err(Failure::Unwell(message))
            }
        }
    }

    /// One that is not well is left out of a rolling update, as long as no more of its service are
    /// than `max_failure_ratio` lets. Those after it have as much time as it had.
    pub(super) fn or_left_out(
        &mut self,
        which: &Which,
        well: Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Err(Failure::Unwell(why)) = well else {
            return well;
        };
        let service = self.service(which).to_owned();
        let left_out = self.progress.left_out.iter();
        let others = left_out
            .filter(|other| self.service(other) == service)
            .count();
        if self.progress.going_back || !self.may_fail(&service, others + 1) {
            return Err(Failure::Unwell(why));
        }
        let shown = self.shown(which);
        let hint =
            format!("{shown} is left out: `max_failure_ratio` lets it; `hoist run` tries again");
        self.context.warn(why, Some(hint));
        self.progress.left_out.insert(which.clone());
        self.progress.deadline = Some(Instant::now() + self.healthy_within);
        Ok(())
    }

    /// So many containers of a service may fail, and at least one is left.
    fn may_fail(&self, service: &str, failed: usize) -> bool {
        let Some(prepared) = self.services.get(service) else {
            return false;
        };
        let (update, replicas) = (&prepared.unit.update, prepared.unit.replicas);
        let failed = u32::try_from(failed).unwrap_or(u32::MAX);
        update.strategy == Strategy::Rolling
            && failed < replicas
            && f64::from(failed) <= update.max_failure_ratio * f64::from(replicas)
    }

    /// Compares for the time of a step.
    pub(super) async fn judge(
        &mut self,
        service: &str,
        new: &[Which],
        weight: u32,
        plan: &CanaryPlan,
    ) -> Result<(), Failure> {
        let shown = format!(
            "{service} has {weight} % of the traffic for {:?}",
            plan.step
        );
        self.context.output.line(&shown).await;
        let seen = requests(&self.gate_logs(service).await?).count();
        // A step that says nothing yet is held once more before it counts as a failure.
        let mut verdict = Verdict::Inconclusive { requests: 0 };
        for _ in 0..2 {
            self.bake(new, plan.step).await?;
            verdict = self.compare(service, new, seen, plan).await?;
            if !matches!(verdict, Verdict::Inconclusive { .. }) {
                break;
            }
        }
        match verdict {
            Verdict::Good => Ok(()),
            Verdict::Bad { why } => {
                let message = format!("the new {service} is worse: {why}");
                Err(Failure::Unwell(message))
            }
            Verdict::Inconclusive { requests } => {
                let needed = plan.min_requests;
                Err(Failure::Unwell(format!(
                    "the new {service} had {requests} requests at {weight} %, and {needed} are needed to \
                     judge it: give `canary.step` more time, or lower `canary.min_requests`"
                )))
            }
        }
    }

    async fn compare(
        &self,
        service: &str,
        new: &[Which],
        seen: usize,
        plan: &CanaryPlan,
    ) -> Result<Verdict, Failure> {
        let log = self.gate_logs(service).await?;
        let all: Vec<Request> = requests(&log).collect();
        // The engine keeps only the last of a log: then what it has is of this step.
        let step = all.get(seen..).unwrap_or(&all);
        // Others may share the port. Of whom none had, nobody knows whose it was.
        let own = format!("{service}-");
        let is_own = |one: &&Request| match one.server.strip_prefix(&own) {
            Some(numbers) => {
                let mut numbers = numbers.split('-').map(str::parse::<u64>);
                let all = (numbers.next(), numbers.next(), numbers.next());
                matches!(all, (Some(Ok(_)), Some(Ok(_)), None))
            }
            None => !one.server.contains('-'),
        };
        let step = step.iter().filter(is_own);
        let names = new.iter().filter_map(|which| self.server_name(which));
        let names: Vec<ServerName> = names.collect();
        let is_new = |one: &Request| names.iter().any(|name| name.as_str() == one.server);
        let (canary, stable): (Vec<Request>, Vec<Request>) = step.cloned().partition(is_new);
        Ok(judge(&stable, &canary, plan))
    }
}
