//! The reaper: a small child on a pipe that undoes what this process would have, should it die.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncRead;

use crate::backend::Connector;

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
    /// Give this container its name back and start it.
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

/// What must be undone should this process die.
#[derive(Clone)]
pub struct UndoList {}

/// A claim on an entry of the list.
#[derive(Debug)]
pub struct UndoTicket {}

impl UndoList {
    /// Adds an entry. It is with the reaper when this returns.
    pub async fn push(&self, _undo: Undo) -> UndoTicket {
        UndoTicket {}
    }

    /// Takes an entry back: it was done, or is no longer wanted.
    pub async fn take_back(&self, _ticket: UndoTicket) {}
}

/// The reaper's whole life: reads the list from `input`, this process's standard input, until its
/// end, and undoes what is on it then. A list that ends with a farewell leaves nothing to do.
pub async fn reap(input: impl AsyncRead + Unpin, connector: Arc<dyn Connector>) {
    let _ = (input, connector);
}
