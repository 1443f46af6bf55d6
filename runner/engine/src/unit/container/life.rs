//! A container's life from its start to what it came to: its output is drained whole, its exit is
//! waited for by more than one way, and a stop is passed on to it. A container that someone else
//! ended never counts as one that came to its end.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use hoist_model::reason::{FailureReason, Trouble};

use super::place::Place;
use crate::backend::{Backend, BackendError, BackendErrorKind, Chunk, ContainerInfo};
use crate::context::{Stop, UnitContext};
use crate::output::OutputWriter;
use crate::unit::halt::Halt;
use crate::watch::{Fate, Ticket};

/// Between two looks at a container whose exit is waited for, in case the waiting stalls.
const LOOK: Duration = Duration::from_secs(5);
/// How many looks in a row may fail.
const BLIND: u32 = 6;
/// How long output may stay away once the container has ended.
const DRAIN: Duration = Duration::from_secs(5);
/// How long an event may be on its way.
const EVENT: Duration = Duration::from_secs(1);

/// What a container came to.
pub(crate) struct Exit {
    /// As the engine has it after the end.
    pub(crate) info: ContainerInfo,
    /// It was told to stop before it ended.
    pub(crate) stopped: bool,
}

/// Starts a container and stays until it has ended and all of its output is taken.
pub(crate) async fn live(
    context: &UnitContext,
    place: Place,
    ticket: &Ticket,
) -> Result<Exit, Halt> {
    let backend = context.backend.as_ref();
    let Place {
        container,
        output,
        grace,
        spec: _,
    } = place;
    if *context.stop.borrow() > Stop::No {
        return Err(Halt::Stopped);
    }
    context.phase("running");
    start(backend, &container).await?;
    let drain = Drain::default();
    let stopping = AtomicBool::new(false);
    let mut draining = pin!(drain.run(output, &context.output));
    let mut drained = None;
    {
        let mut exit = pin!(exit(backend, &container));
        let mut stop = pin!(pass_on_stop(context, &container, grace, &stopping));
        loop {
            tokio::select! {
                // Whatever it says after its end is nothing to wait for here.
                result = &mut exit => break result?,
                result = &mut draining, if drained.is_none() => {
                    if let Err(error) = &result {
                        return Err(broken(error));
                    }
                    drained = Some(result);
                }
                () = &mut stop => {}
            }
        }
    }
    let stopped = stopping.load(Ordering::Relaxed);
    while drained.is_none() {
        let before = drain.taken.load(Ordering::Relaxed);
        match tokio::time::timeout(DRAIN, &mut draining).await {
            Ok(Err(error)) if !stopped => return Err(broken(&error)),
            Ok(result) => drained = Some(result),
            Err(_) if drain.is_idle_since(before) => {
                let message = "the end of the output did not come: some of it may be missing";
                context.warn(message, None);
                break;
            }
            Err(_) => {}
        }
    }
    let (fate, info) = tokio::join!(
        ticket.fate(&container, EVENT),
        backend.inspect_container(&container)
    );
    let info =
        info.map_err(|error| Halt::surroundings("how the step ended cannot be told", &error))?;
    let info = info.ok_or_else(removed)?;
    if let Some(why) = ticket.refusal() {
        let message = format!("the engine does not tell what happens to containers: {why}");
        let hint = "a step that someone else stops may now look as if it came to its end by itself";
        context.warn(message, Some(hint.to_owned()));
    }
    if !stopped {
        judge(fate)?;
    }
    Ok(Exit { info, stopped })
}

async fn start(backend: &dyn Backend, container: &str) -> Result<(), Halt> {
    let Err(error) = backend.start_container(container).await else {
        return Ok(());
    };
    Err(match error.kind {
        BackendErrorKind::CannotStart { code } => FailureReason::CannotStart {
            code,
            message: error.message,
        }
        .into(),
        _ => Halt::surroundings("the container could not be started", &error),
    })
}

/// Output on its way.
#[derive(Default)]
struct Drain {
    /// Pieces taken so far.
    taken: AtomicU64,
    /// The engine is asked for more, rather than a reader being slow.
    asking: AtomicBool,
}

impl Drain {
    async fn run(
        &self,
        mut from: BoxStream<'static, Result<Chunk, BackendError>>,
        to: &OutputWriter,
    ) -> Result<(), BackendError> {
        loop {
            self.asking.store(true, Ordering::Relaxed);
            let next = from.next().await;
            self.asking.store(false, Ordering::Relaxed);
            let Some(chunk) = next.transpose()? else {
                return Ok(());
            };
            to.write(chunk.stream, &chunk.bytes).await;
            self.taken.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_idle_since(&self, taken: u64) -> bool {
        self.asking.load(Ordering::Relaxed) && self.taken.load(Ordering::Relaxed) == taken
    }
}

/// Waits until a started container does not run any more. Waiting may stall though the container
/// has ended, so the container is looked at besides.
pub(super) async fn exit(backend: &dyn Backend, container: &str) -> Result<(), Halt> {
    tokio::select! {
        result = wait(backend, container) => result,
        result = look(backend, container) => result,
    }
}

async fn wait(backend: &dyn Backend, container: &str) -> Result<(), Halt> {
    let mut tries = 0;
    while let Err(error) = backend.wait_container(container).await {
        if error.kind == BackendErrorKind::NotFound {
            return Err(removed());
        }
        tries += 1;
        match backend.inspect_container(container).await {
            Ok(Some(info)) if is_over(&info) => return Ok(()),
            Ok(None) => return Err(removed()),
            _ if tries > BLIND => return Err(broken(&error)),
            _ => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
    Ok(())
}

async fn look(backend: &dyn Backend, container: &str) -> Result<(), Halt> {
    let (mut over, mut blind) = (0, 0);
    loop {
        tokio::time::sleep(LOOK).await;
        match backend.inspect_container(container).await {
            Ok(Some(info)) => {
                blind = 0;
                over = if is_over(&info) { over + 1 } else { 0 };
                // The first time, the waiting may be about to say so itself.
                if over > 1 {
                    return Ok(());
                }
            }
            Ok(None) => return Err(removed()),
            Err(error) => {
                blind += 1;
                if blind >= BLIND {
                    return Err(broken(&error));
                }
            }
        }
    }
}

fn is_over(info: &ContainerInfo) -> bool {
    matches!(info.status.as_str(), "exited" | "dead")
}

/// Passes the word to stop on to the container, then the word to stop at once.
async fn pass_on_stop(
    context: &UnitContext,
    container: &str,
    grace: Duration,
    stopping: &AtomicBool,
) {
    let backend = context.backend.as_ref();
    let kill = async {
        context.stopped(Stop::Kill).await;
        stopping.store(true, Ordering::Relaxed);
        persist(|| backend.kill_container(container, "KILL")).await;
    };
    let stop = async {
        context.stopped(Stop::Grace).await;
        stopping.store(true, Ordering::Relaxed);
        context.phase("stopping");
        persist(|| backend.stop_container(container, grace)).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = kill => {}
        () = stop => {}
    }
    std::future::pending::<()>().await;
}

async fn persist<F: Future<Output = Result<(), BackendError>>>(call: impl Fn() -> F) {
    for _ in 0..3 {
        if call().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn judge(fate: Fate) -> Result<(), Halt> {
    let trouble = match fate {
        Fate::Ended => return Ok(()),
        Fate::Signalled { signal } => Trouble::new("the step was ended from outside")
            .cause(format!(
                "the engine, or someone with access to it, sent it signal {signal}"
            ))
            .hint("see whether the engine was restarted, and run again"),
        Fate::Unheard => Trouble::new("whether the step came to its end cannot be told")
            .cause("the connection to the engine broke while it ran")
            .hint("see whether the engine is well with `hoist doctor`, and run again"),
    };
    Err(Halt::trouble(trouble))
}

fn broken(error: &BackendError) -> Halt {
    Halt::surroundings(
        "the connection to the engine broke while the step ran",
        error,
    )
}

fn removed() -> Halt {
    Halt::trouble(
        Trouble::new("the step's container is gone")
            .cause("someone else removed it while the step ran")
            .hint("see what removes containers on this engine, and run again"),
    )
}
