//! What the server needs of the process around it. The command line is the one host there is; a
//! host reads files and makes requests, and starts nothing by itself.

use std::path::Path;

use hoist_engine::run::RunRequest;
use hoist_model::plan::Plan;
use hoist_model::reason::{Ending, FailureReason, Signal, Trouble};
use hoist_model::state::{RunState, StepState};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc;

/// The process around the server.
pub trait Host: Send + Sync + 'static {
    /// Reads a file of the project in `workspace` and makes its plan. It touches no engine.
    ///
    /// # Errors
    /// All that is wrong with the file.
    fn read(&self, workspace: &Path, file: &Path) -> Result<Project, Vec<Fault>>;

    /// What the engine is asked for, with the secrets read. The server adds its own reporter.
    ///
    /// # Errors
    /// All that is missing.
    fn request(
        &self,
        workspace: &Path,
        plan: Plan,
        commit: Option<String>,
        signals: mpsc::Receiver<Signal>,
    ) -> Result<RunRequest, Vec<Trouble>>;

    /// How a step ended, in a few words.
    fn ended(&self, step: &StepState, ending: &Ending) -> String;

    /// The sentences behind a failure.
    fn details(&self, reason: &FailureReason) -> Vec<String>;

    /// A report of a run, whole.
    ///
    /// # Errors
    /// When it cannot be written.
    fn report(&self, run: &RunState, form: Form) -> Result<String, Trouble>;
}

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JUnit XML.
    Junit,
    /// What scans found, as SARIF.
    Sarif,
}

impl Form {
    /// All that there are.
    pub(crate) const ALL: [Self; 2] = [Self::Junit, Self::Sarif];

    /// The one whose file would have that name.
    pub(crate) fn named(file: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.file() == file)
    }

    /// The name of the file that it would be.
    pub(crate) const fn file(self) -> &'static str {
        match self {
            Self::Junit => "junit.xml",
            Self::Sarif => "scan.sarif",
        }
    }
}

/// A file that was read.
#[derive(Debug)]
pub struct Project {
    /// The plan, all of it.
    pub plan: Plan,
    /// The commit, where the project is in one.
    pub commit: Option<String>,
    /// What people should know of the file though it is valid.
    pub warnings: Vec<Fault>,
}

/// Something that is wrong with a file, or should be known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fault {
    /// The file is not valid because of it.
    pub error: bool,
    /// What is wrong.
    pub message: String,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}
