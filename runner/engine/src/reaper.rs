//! The reaper: a small child on a pipe that undoes what this process would have, should it die.
//!
//! This process writes down the pipe what must be undone, before it does it. A pipe outlives the
//! process that wrote into it, so what was written is with the reaper whatever happens next. When
//! the pipe ends without a farewell, the reaper undoes the list and takes away what carries the
//! run's label. It refuses to do anything while the pipe is open, and knows of nothing else.

mod child;
mod list;
#[cfg(test)]
mod tests;
mod undo;

use serde::{Deserialize, Serialize};

pub use child::reap;
pub use list::{UndoList, UndoTicket};
pub(crate) use undo::undo;

use hoist_model::ids::RunId;

/// What to do if the runner dies before it takes the entry back, in the order of the list's end to
/// its start. What carries the run's label is removed besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// Take this name from its image.
    Untag {
        /// The engine's address; absent for the engine in use.
        engine: Option<String>,
        /// The name.
        tag: String,
    },
    /// Remove this container, which carries no run's label.
    RemoveContainer {
        /// The engine's address.
        engine: Option<String>,
        /// ID or name.
        container: String,
    },
    /// Give this container its name back and start it. One that still runs is taken to be stopping:
    /// the entry is pushed when the stop begins.
    Restore {
        /// The engine's address.
        engine: Option<String>,
        /// Its ID.
        container: String,
        /// The name that it had.
        name: String,
    },
    /// Remove this volume, which carries no run's label.
    RemoveVolume {
        /// The engine's address.
        engine: Option<String>,
        /// Its name.
        volume: String,
    },
    /// Remove this network, which carries no run's label.
    RemoveNetwork {
        /// The engine's address.
        engine: Option<String>,
        /// Its ID.
        network: String,
    },
}

impl Undo {
    /// The engine that it is about; absent for the engine in use.
    #[must_use]
    pub fn engine(&self) -> Option<&str> {
        match self {
            Self::Untag { engine, .. }
            | Self::RemoveContainer { engine, .. }
            | Self::Restore { engine, .. }
            | Self::RemoveVolume { engine, .. }
            | Self::RemoveNetwork { engine, .. } => engine.as_deref(),
        }
    }
}

/// A line of the pipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// The first: whose list it is, and the engines on which that run has objects.
    Hello {
        /// The run.
        run: RunId,
        /// The address of the engine in use.
        engine: Option<String>,
        /// Addresses of the others.
        others: Vec<String>,
    },
    /// An entry, by a number of its own.
    Push(u64, Undo),
    /// An entry is off the list.
    TakeBack(u64),
    /// Nothing is left to do.
    Farewell,
}
