//! The names of things: runs and steps. They are made elsewhere; here they are only typed.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One execution of a plan. A UUID of version 7, so that runs sort by their start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

impl RunId {
    /// The last eight hexadecimal digits: what tells runs of the same day apart, and what a run can
    /// be called by.
    #[must_use]
    pub fn short(&self) -> String {
        let all = self.0.simple().to_string();
        all.get(24..).unwrap_or(&all).to_owned()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// A step's name as users see it, a matrix cell's in brackets: `unit`, `unit[python=3.12]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepId(pub String);

impl StepId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name with everything but `[a-z0-9_.-]` replaced, for files and container names.
    #[must_use]
    pub fn slug(&self) -> String {
        self.0
            .chars()
            .map(|c| match c.to_ascii_lowercase() {
                c if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') => c,
                _ => '-',
            })
            .collect()
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for StepId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// A step's place in [`crate::plan::Plan::steps`].
pub type StepIx = usize;
