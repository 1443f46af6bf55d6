//! Why a step ran or did not, put together from what runs left behind: what `hoist explain` shows.

use jiff::Timestamp;
use serde::Serialize;

use super::{Decision, PartChange};
use crate::ids::{RunId, StepId};
use crate::reason::Ending;

/// Why a step of a run ran, or did not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The run.
    pub run: RunId,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// The step.
    pub step: StepId,
    /// `run`, `build`, ...
    pub kind: String,
    /// How it ended, if it has.
    pub ending: Option<Ending>,
    /// One for each platform of a build, else one; none where nothing is cached, or the step did not
    /// come so far.
    pub decisions: Vec<Explained>,
}

/// Why something was done, or was not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// What it is for, where the file names platforms.
    pub platform: Option<String>,
    /// Why.
    pub decision: Decision,
    /// The first instruction that the builder did not take from its cache, as it names it.
    pub first_executed: Option<String>,
    /// It was done well, in this run or in the one that it was taken from.
    pub made: bool,
    /// What is different from the last run before this one in which it was; absent where there is
    /// none, or where the inputs were not looked at.
    pub changed: Option<Changed>,
}

/// What is different from an earlier run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Changed {
    /// The earlier run.
    pub since: RunId,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// The parts.
    pub parts: Vec<PartChange>,
    /// The files, of each context that changed.
    pub files: Vec<FileChanges>,
}

/// What is different in a context or a source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileChanges {
    /// The further context's name; absent for the step's own folder.
    pub context: Option<String>,
    /// How many changed; absent where the lists are no longer kept.
    pub count: Option<usize>,
    /// The first of them, in the order of their names.
    pub first: Vec<(String, FileChange)>,
}

/// How a file changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileChange {
    /// It was not there.
    Added,
    /// It is no longer there.
    Removed,
    /// Its content is another.
    Changed,
    /// Only its permissions are others.
    Mode,
    /// It is something else: a file, a folder or a link.
    Kind,
}
