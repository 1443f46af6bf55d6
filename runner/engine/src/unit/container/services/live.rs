//! One service that has a container: its output on its way to its log, and how it ended.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use hoist_model::reason::{FailureReason, Trouble};
use hoist_model::unit::StepService;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::backend::{BackendError, Chunk, ContainerInfo, Health};
use crate::context::UnitContext;
use crate::output::OutputWriter;

/// Between two looks at output that waits.
const FLUSH: Duration = Duration::from_millis(250);
/// How long the end of the output of one that ended may stay away.
const DRAIN: Duration = Duration::from_secs(2);

/// How a service ended.
pub(super) struct End {
    /// In words that follow its name.
    pub(super) words: String,
    /// By itself and well, as one that was asked to end does.
    pub(super) well: bool,
}

/// A service that has a container.
pub(super) struct Live {
    pub(super) name: String,
    /// Its image, as people know it.
    pub(super) image: String,
    /// The container's ID.
    pub(super) container: String,
    /// Between the stop signal and the kill when the step has ended.
    pub(super) grace: Duration,
    log: OutputWriter,
    /// What became of its log, once all of its output is in it.
    drained: watch::Receiver<Option<Result<(), Trouble>>>,
    _drain: AbortOnDropHandle<()>,
}

impl Live {
    pub(super) fn new(
        service: &StepService,
        image: &str,
        container: String,
        output: BoxStream<'static, Result<Chunk, BackendError>>,
        log: OutputWriter,
    ) -> Self {
        let (done, drained) = watch::channel(None);
        let drain = drain(output, log.clone(), done);
        Self {
            name: service.name.clone(),
            image: image.to_owned(),
            container,
            grace: service.stop_grace_period,
            log,
            drained,
            _drain: AbortOnDropHandle::new(tokio::spawn(drain)),
        }
    }

    /// How it ended; nothing while it runs, or where the engine does not say.
    pub(super) async fn end(&self, context: &UnitContext) -> Option<End> {
        match context.backend.inspect_container(&self.container).await {
            Ok(Some(info)) => end_of(&info),
            Ok(None) => Some(End {
                words: "was removed by someone else".to_owned(),
                well: false,
            }),
            Err(_) => None,
        }
    }

    /// Waits a little until all that it printed is in its log; it has ended.
    pub(super) async fn drained(&self) {
        let mut drained = self.drained.clone();
        let _ = tokio::time::timeout(DRAIN, drained.wait_for(Option::is_some)).await;
    }

    /// Waits until its log is complete, and gives why it is not.
    pub(super) async fn close(&self) -> Result<(), Trouble> {
        self.drained().await;
        let closed = self.drained.borrow().clone();
        match closed {
            Some(closed) => closed,
            None => self.log.close().await,
        }
    }

    /// The failure of a step for this service, with the last that it said.
    pub(super) fn failure(&self, message: String) -> FailureReason {
        self.failure_of(message, None)
    }

    /// The same, with what its health check printed last.
    pub(super) fn failure_of(&self, message: String, health: Option<&Health>) -> FailureReason {
        let probe = health.map(|health| health.last_output.trim().to_owned());
        FailureReason::Service {
            service: self.name.clone(),
            message,
            probe: probe.unwrap_or_default(),
            tail: self.log.tail(),
        }
    }
}

/// How a container ended; nothing while it runs.
pub(super) fn end_of(info: &ContainerInfo) -> Option<End> {
    let code = info.exit_code;
    let memory = if info.oom_killed {
        "ran out of memory and "
    } else {
        ""
    };
    matches!(info.status.as_str(), "exited" | "dead").then(|| End {
        words: format!("{memory}exited with code {code}"),
        well: code == 0 && !info.oom_killed,
    })
}

async fn drain(
    mut from: BoxStream<'static, Result<Chunk, BackendError>>,
    to: OutputWriter,
    done: watch::Sender<Option<Result<(), Trouble>>>,
) {
    let mut ticks = interval(FLUSH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            next = from.next() => match next {
                Some(Ok(chunk)) => to.write(chunk.stream, &chunk.bytes).await,
                Some(Err(error)) => {
                    to.line(&format!("[hoist: the rest is missing: {error}]")).await;
                    break;
                }
                None => break,
            },
            _ = ticks.tick() => to.flush().await,
        }
    }
    let closed = to.close().await;
    done.send_replace(Some(closed));
}
