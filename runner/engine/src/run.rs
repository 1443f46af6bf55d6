//! A run from its start to its verdict: open, do, close.
//!
//! This is the thin shell around the dispatcher: it waits for what happens, hands it over, and does
//! what comes back. It refuses to decide anything itself. Closing is a bounded phase that always
//! comes, unless a third signal says that it must not.

mod close;
mod open;
mod perform;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::event::EventKind;
use hoist_model::ids::RunId;
use hoist_model::plan::Plan;
use hoist_model::reason::{Signal, Trouble, Verdict};
use hoist_model::redact::Redactor;
use hoist_model::reporter::Reporter;
use hoist_model::state::RunState;
use tokio::sync::mpsc;

use crate::approval::Approver;
use crate::backend::{BackendError, Connector};
use crate::rerun::Rerun;
use crate::secrets::Secrets;
use crate::shell::Shells;

/// What is to be run, and by what means.
pub struct RunRequest {
    /// What is to be done.
    pub plan: Arc<Plan>,
    /// The project's root.
    pub root: PathBuf,
    /// The user's own cache, shared by projects and clones. Absent, or where it can't be written to,
    /// each clone knows its own builds only.
    pub shared: Option<PathBuf>,
    /// The values of the secrets that the plan uses.
    pub secrets: Arc<Secrets>,
    /// Masks whatever is kept or shown; made from `secrets`, and more where the caller knows more.
    pub redactor: Redactor,
    /// How many steps may run at once; 0 is taken as 1.
    pub jobs: usize,
    /// Stop at the first step that fails.
    pub fail_fast: bool,
    /// How long the run may take, where bounded.
    pub timeout: Option<Duration>,
    /// How long a deploy waits for another one to the same environment.
    pub lock_wait: Duration,
    /// Deploys go on with images that were not verified.
    pub force_unverified: bool,
    /// Deploys may have services on the host's network.
    pub allow_host_network: bool,
    /// Who is told of what happens. They are finished from the last to the first, so that the first
    /// can show what those after it could not write.
    pub reporters: Vec<Box<dyn Reporter>>,
    /// Who approves of deploys that need it.
    pub approver: Arc<dyn Approver>,
    /// The way to engines.
    pub connector: Arc<dyn Connector>,
    /// The address of the engine; the one in use where absent.
    pub engine: Option<String>,
    /// Shells in containers, where they are wanted.
    pub shells: Option<Arc<Shells>>,
    /// Signals that the process gets. A closed channel is fine: there are none then.
    pub signals: mpsc::Receiver<Signal>,
    /// The run of which this one does something again, and what is taken from it.
    pub rerun: Option<Arc<Rerun>>,
    /// How to start the reaper. Absent, there is none, and only the next run cleans up after a
    /// process that was killed.
    pub reaper: Option<ReaperCommand>,
    /// hoist's version.
    pub version: String,
    /// The commit, where the project is in one.
    pub commit: Option<String>,
}

/// A command that calls [`crate::reaper::reap`] with its standard input.
#[derive(Clone, Debug)]
pub struct ReaperCommand {
    /// The program: hoist itself.
    pub program: PathBuf,
    /// What makes it a reaper.
    pub arguments: Vec<OsString>,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct RunSummary {
    /// Its ID.
    pub run: RunId,
    /// All that its events say, masked.
    pub state: RunState,
    /// Its folder.
    pub folder: PathBuf,
    /// How it ended.
    pub verdict: Verdict,
    /// It was left in the middle, on the third signal: the process is to exit at once, and what is
    /// left on the engine is the reaper's.
    pub abandoned: bool,
}

/// Why a run could not begin. Nothing was put on the engine.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RunError {
    /// The engine could not be connected to.
    #[error("no engine could be connected to: {0}")]
    Engine(#[source] BackendError),
    /// The run folder could not be made.
    #[error("{0}")]
    Folder(Trouble),
    /// A signal came before the run began.
    #[error("interrupted before the run began")]
    Interrupted(Signal),
}

impl RunError {
    /// What it makes of the command.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Engine(_) | Self::Folder(_) => Verdict::Surroundings,
            Self::Interrupted(signal) => Verdict::Interrupted(*signal),
        }
    }

    /// The error as sentences for people.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Engine(error) => error.trouble("no engine could be connected to"),
            Self::Folder(trouble) => trouble.clone(),
            Self::Interrupted(_) => Trouble::new("interrupted before the run began"),
        }
    }
}

/// How a phase ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// The next phase comes.
    Next,
    /// The third signal: leave everything.
    Leave,
}

/// Runs a plan. Whatever happens to its steps, this is `Ok`: the verdict tells.
///
/// # Errors
/// When the run could not begin.
pub async fn run(request: RunRequest) -> Result<RunSummary, RunError> {
    let mut run = open::open(request).await?;
    let mut flow = run.perform().await;
    if flow == Flow::Next {
        flow = close::close(&mut run).await;
    }
    if flow == Flow::Next {
        flow = close::collect(&mut run).await;
    }
    let (flow, state) = match flow {
        Flow::Next => close::end(&mut run).await,
        Flow::Leave => close::leave(&mut run),
    };
    // A recorder that hangs or broke has the verdict with it.
    let unknown = run
        .interrupted
        .map_or(Verdict::Surroundings, Verdict::Interrupted);
    let state = state.unwrap_or_default();
    Ok(RunSummary {
        run: run.id,
        verdict: state.verdict.unwrap_or(unknown),
        state,
        folder: run.folder.path().to_owned(),
        abandoned: flow == Flow::Leave,
    })
}

fn warning(message: String, hint: Option<&str>) -> EventKind {
    EventKind::Warning {
        step: None,
        message,
        hint: hint.map(str::to_owned),
    }
}
