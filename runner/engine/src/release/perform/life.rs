//! A container's life in a release: start, stop, and whether it is well.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Failure, Performer, failed};
use crate::context::Stop;
use crate::release::health::{self, Patience, Unwell};
use crate::release::plan::Which;
use crate::release::state::Life;

/// What is left of the grace of a container that is to be started again at once.
const SHORT: Duration = Duration::from_secs(2);

impl Performer<'_> {
    pub(super) async fn start(&mut self, which: &Which) -> Result<(), Failure> {
        let service = self.shown(which);
        self.context.phase(format!("starting {service}"));
        let Some(id) = self.id(which) else {
            return Ok(());
        };
        let held = self.with_secrets(which).await?;
        let backend = self.target.backend.as_ref();
        let failed = failed(format!("starting {service}"));
        if matches!(which, Which::Old(_)) {
            let found = backend.inspect_container(&id).await;
            if found.is_ok_and(|found| found.is_some_and(|found| found.is_running())) {
                // It was told to stop and is about to: started now, it would stop after all.
                let _ = backend.stop_container(&id, SHORT).await;
            }
        }
        let begun = backend.start_container(&id).await.map_err(failed);
        if let Some(held) = held {
            self.let_go_of(&held).await;
        }
        begun?;
        let now = Instant::now();
        self.progress.started.insert(which.clone(), now);
        self.progress
            .deadline
            .get_or_insert(now + self.healthy_within);
        Ok(())
    }

    pub(super) async fn stop(&mut self, which: &Which) -> Result<(), Failure> {
        let service = self.service(which).to_owned();
        let Some(id) = self.id(which) else {
            return Ok(());
        };
        let old = self.deployed.generation(&id);
        let runs = old.is_some_and(|old| old.life == Life::Running);
        if runs && self.reaper_takes_back(&service) {
            self.context
                .phase(format!("stopping the {service} that runs"));
            self.progress
                .down
                .entry(service.clone())
                .or_insert_with(Instant::now);
        }
        let grace = old.map(|old| old.grace);
        let grace = grace.or_else(|| Some(self.services.get(&service)?.unit.stop_grace_period));
        let hurry = *self.context.stop.borrow() >= Stop::Kill;
        let grace = if hurry {
            Duration::ZERO
        } else {
            grace.unwrap_or_default()
        };
        let backend = self.target.backend.as_ref();
        // Not left half done: a container that is still stopping cannot be told to start.
        let stopping = backend.stop_container(&id, grace);
        tokio::pin!(stopping);
        let result = tokio::select! {
            result = &mut stopping => result,
            _ = self.context.stopped(Stop::Kill) => {
                let _ = backend.kill_container(&id, "KILL").await;
                stopping.await
            }
        };
        result.map_err(failed(format!("stopping {service}")))
    }

    pub(super) async fn await_healthy(&mut self, which: &Which) -> Result<(), Failure> {
        let (service, shown) = (self.service(which).to_owned(), self.shown(which));
        let Some(id) = self.id(which) else {
            return Ok(());
        };
        self.context
            .phase(format!("waiting for {shown} to be healthy"));
        let within = self.healthy_within;
        let until = self.deadline();
        let started = self.progress.started.get(which).copied();
        let patience = Patience {
            within,
            until,
            started,
        };
        let healthy = tokio::select! {
            healthy = health::healthy(self.target.backend.as_ref(), &id, patience) => healthy,
            () = self.broken_off() => return Err(Failure::Stopped),
        };
        match healthy {
            Ok(_) => {
                if let Some(since) = self.progress.down.remove(&service) {
                    let seconds = since.elapsed().as_secs_f64();
                    let line = format!("{service} is healthy; it was down for {seconds:.1} s");
                    self.context.output.line(&line).await;
                }
                Ok(())
            }
            Err(Unwell::Unknown(error)) => Err(failed(format!("asking how {shown} is"))(error)),
            Err(unwell) => Err(Failure::Unwell(unwell.describe(&shown))),
        }
    }

    /// Ends when what is under way is to be broken off; the way back only by whoever insists.
    pub(super) async fn broken_off(&self) {
        let stop = if self.progress.going_back {
            Stop::Kill
        } else {
            Stop::Grace
        };
        self.context.stopped(stop).await;
    }

    /// Waits, and takes none of the time in which the release is to become healthy.
    pub(super) async fn pause(&mut self, time: Duration) -> Result<(), Failure> {
        let broken_off = tokio::select! {
            () = sleep(time) => false,
            () = self.broken_off() => true,
        };
        if broken_off {
            return Err(Failure::Stopped);
        }
        self.extend_deadline(time);
        Ok(())
    }

    /// Until when the release is to be healthy.
    pub(super) fn deadline(&mut self) -> Instant {
        let within = self.healthy_within;
        let deadline = &mut self.progress.deadline;
        *deadline.get_or_insert_with(|| Instant::now() + within)
    }

    pub(super) fn extend_deadline(&mut self, time: Duration) {
        if let Some(deadline) = &mut self.progress.deadline {
            *deadline += time;
        }
    }
}
