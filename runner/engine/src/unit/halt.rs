//! How the work of a unit ends early.

use hoist_model::reason::{CancelReason, Ending, FailureReason, Trouble};

use crate::backend::BackendError;
use crate::context::{Stop, UnitContext};

/// Why a unit's work ends early.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It failed.
    Failed(FailureReason),
    /// It was told to stop.
    Stopped,
}

impl From<FailureReason> for Halt {
    fn from(reason: FailureReason) -> Self {
        Self::Failed(reason)
    }
}

impl Halt {
    /// The surroundings failed at `what`.
    pub(crate) fn surroundings(what: impl Into<String>, error: &BackendError) -> Self {
        Self::Failed(FailureReason::Surroundings(error.trouble(what)))
    }

    /// The surroundings failed.
    pub(crate) fn trouble(trouble: Trouble) -> Self {
        Self::Failed(FailureReason::Surroundings(trouble))
    }

    /// The pipeline asks for what cannot be had.
    pub(crate) fn configuration(trouble: Trouble) -> Self {
        Self::Failed(FailureReason::Configuration(trouble))
    }
}

/// The ending that work which may end early comes to. Why a step was told to stop is not a unit's to
/// know: whoever told it puts the reason in.
pub(crate) fn ending(result: Result<Ending, Halt>) -> Ending {
    match result {
        Ok(ending) => ending,
        Err(Halt::Failed(reason)) => Ending::Failed(reason),
        Err(Halt::Stopped) => Ending::Cancelled(CancelReason::Requested),
    }
}

/// Does the work unless the step is told to stop, which drops it where it stands.
pub(crate) async fn unless_stopped<T, E>(
    context: &UnitContext,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Halt>
where
    Halt: From<E>,
{
    tokio::select! {
        biased;
        _ = context.stopped(Stop::Grace) => Err(Halt::Stopped),
        result = work => result.map_err(Halt::from),
    }
}
