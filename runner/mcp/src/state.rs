//! What all calls to a server share. It outlives sessions.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::folders::Folders;
use crate::host::Host;
use crate::journal::Journal;
use crate::runs::Runs;

/// What all calls share.
pub(crate) struct Shared {
    /// The process around the server.
    pub(crate) host: Arc<dyn Host>,
    /// Where it may look.
    pub(crate) folders: Folders,
    /// The runs that this process goes on with.
    pub(crate) runs: Runs,
    /// Environments to which it may deploy.
    pub(crate) allow_deploy: BTreeSet<String>,
    /// Offer only what changes nothing.
    pub(crate) read_only: bool,
    /// Where calls are written down.
    pub(crate) journal: Journal,
    /// hoist's version.
    pub(crate) version: String,
}
