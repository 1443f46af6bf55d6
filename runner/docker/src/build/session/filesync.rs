//! The files of a build, sent as far as the engine lacks them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hoist_engine::backend::ContextFolder;
use hoist_model::reason::Trouble;

/// Where the file sync says why it ended; an engine may tell only that the transfer broke.
pub(crate) type Failure = Arc<Mutex<Option<Trouble>>>;

/// What the engine knows by a name of its own and may ask the files of.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "the session hands them out")]
pub(crate) enum Dir {
    /// A folder of this machine.
    Folder {
        /// Where it is, and what of it is left out.
        folder: ContextFolder,
        /// Later times are sent as this one, in seconds since the epoch.
        clamp: Option<i64>,
    },
    /// Files in memory by their names.
    Files(BTreeMap<String, Bytes>),
}

/// Sends files.
#[derive(Debug)]
#[expect(dead_code, reason = "the session hands it out")]
pub(crate) struct FileSync {
    dirs: BTreeMap<String, Dir>,
    failure: Failure,
}

#[expect(dead_code, reason = "the session hands it out")]
impl FileSync {
    /// Over these, by the names that the engine calls them.
    pub(crate) fn new(dirs: BTreeMap<String, Dir>, failure: Failure) -> Self {
        Self { dirs, failure }
    }
}
