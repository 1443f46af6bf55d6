//! The shapes of a build: what is asked for, and what it came to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use hoist_model::ignore::IgnoreFile;
use hoist_model::image::ImageIdentity;
use hoist_model::reason::{Instruction, Trouble};
use hoist_model::unit::{Network, Ulimit};
use secrecy::SecretString;

use super::{BackendError, Labels, Login};
use crate::inputs::Snapshot;
use crate::uploads::Uploads;

/// What a build came to that is no image.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BuildError {
    /// An instruction or the Dockerfile is at fault.
    #[error("{message}")]
    Failed {
        /// The builder's words.
        message: String,
        /// The instruction, where known; `file` as in the request.
        instruction: Option<Instruction>,
    },
    /// The context cannot be sent: an unreadable file, a link that leaves it.
    #[error("{0}")]
    Context(Trouble),
    /// The engine or a registry is.
    #[error(transparent)]
    Backend(#[from] BackendError),
}
/// An image to be built.
#[derive(Clone, Debug, Default)]
pub struct BuildRequest {
    /// What COPY and ADD take from.
    pub context: ContextFolder,
    /// Further contexts by name.
    pub contexts: BTreeMap<String, ContextFolder>,
    /// Stable for a project and a context: under it the engine keeps what it was sent before.
    pub shared_key: String,
    /// The Dockerfile's text.
    pub dockerfile: String,
    /// How messages name the Dockerfile.
    pub dockerfile_shown: String,
    /// The stage.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Names that the image gets.
    pub tags: Vec<String>,
    /// Labels of the image.
    pub labels: Labels,
    /// What `RUN --mount=type=secret` may read, by ID.
    pub secrets: BTreeMap<String, SecretString>,
    /// The sockets of agents that `RUN --mount=type=ssh` may ask, by ID.
    pub ssh: BTreeMap<String, PathBuf>,
    /// Where earlier results may come from.
    pub cache_from: Vec<CacheSpec>,
    /// Where results are kept for others.
    pub cache_to: Vec<CacheSpec>,
    /// Ask the registry for newer base images.
    pub pull: bool,
    /// Run every instruction again.
    pub no_cache: bool,
    /// Run the instructions of these stages again.
    pub no_cache_filter: Vec<String>,
    /// The engine's own choice where absent.
    pub network: Option<Network>,
    /// The engine's own where absent.
    pub platform: Option<String>,
    /// Bytes of /dev/shm.
    pub shm_size: Option<u64>,
    /// Host names and their addresses.
    pub extra_hosts: BTreeMap<String, String>,
    /// Bounds by name.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Seconds since the epoch that stand for every later time, so that the image is the same from
    /// every clone.
    pub source_date_epoch: Option<i64>,
    /// Logins from the file; the Docker configuration's come besides.
    pub logins: Vec<Login>,
    /// Where is told what the builder reads, as far as that is known.
    pub uploads: Uploads,
}

/// A folder of this machine that a builder may read.
#[derive(Clone, Debug, Default)]
pub struct ContextFolder {
    /// The folder, links followed.
    pub path: PathBuf,
    /// What of it is left out.
    pub ignore: Arc<IgnoreFile>,
    /// What a walk saw of it just before, if there was one.
    pub seen: Option<Snapshot>,
}

impl ContextFolder {
    /// A folder of which that is left out, and that nobody walked yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, ignore: IgnoreFile) -> Self {
        Self {
            path: path.into(),
            ignore: Arc::new(ignore),
            seen: None,
        }
    }
}

/// Where a builder's results are kept beside itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSpec {
    /// `registry`, `inline`, `local`, ...
    pub kind: String,
    /// The rest.
    pub attributes: BTreeMap<String, String>,
}

/// What a build made.
#[derive(Clone, Debug)]
pub struct Built {
    /// The image.
    pub image: ImageIdentity,
    /// The first instruction that the builder did not take from its cache, as the builder names it;
    /// `None` if it took them all or did not tell.
    pub first_executed: Option<String>,
}
