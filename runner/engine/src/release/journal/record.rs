//! What stands in the history of an environment. It holds names of secrets and never a value.

use std::collections::BTreeMap;
use std::fmt;

use hoist_model::ids::RunId;
use hoist_model::unit::ServiceUnit;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One entry's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    /// Stands there before anything is touched.
    Intent(Intent),
    /// Ends an intent.
    Outcome(Outcome),
}

/// What a release is to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Intent {
    pub(crate) release: Uuid,
    /// Its number in the environment, from 1, never given twice.
    pub(crate) sequence: u64,
    pub(crate) action: Deed,
    /// By the engine's clock where it is known.
    pub(crate) at: Timestamp,
    /// hoist's version and the user.
    pub(crate) by: String,
    /// Absent where a command that is no run did it.
    pub(crate) run: Option<RunId>,
    /// In the order of their dependencies.
    pub(crate) services: Vec<ServiceRecord>,
    /// The names of the `pre_deploy` hooks.
    pub(crate) hooks: Vec<String>,
    /// What is to be done, in words.
    pub(crate) actions: Vec<String>,
    pub(crate) gates: Vec<GateRecord>,
    /// Done although gates did not pass.
    pub(crate) forced: bool,
}

/// Why there is a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Deed {
    /// What a file wants.
    Deploy,
    /// An earlier release again.
    Rollback { to: u64 },
    /// Another number of containers.
    Scale,
    /// The same, started anew.
    Restart,
    /// What another environment has.
    Promote { from: String },
    /// The same, behind proxies of another image.
    UpgradeProxies,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deploy => f.write_str("deploy"),
            Self::Rollback { to } => write!(f, "rollback to {to}"),
            Self::Scale => f.write_str("scale"),
            Self::Restart => f.write_str("restart"),
            Self::Promote { from } => write!(f, "promote from {from}"),
            Self::UpgradeProxies => f.write_str("proxy upgrade"),
        }
    }
}

/// A service of a release, with all that it takes to make it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServiceRecord {
    pub(crate) unit: ServiceUnit,
    /// The engine's ID of its image.
    pub(crate) image: String,
    /// The image's name as people know it.
    pub(crate) shown: String,
    pub(crate) config_digest: Option<String>,
    /// `repository@sha256:...`, where a registry has the image.
    pub(crate) repo_digest: Option<String>,
    /// Variables with their references resolved.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) config_hash: String,
}

/// A gate that an image passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GateRecord {
    pub(crate) step: String,
    /// The identity of the image that the step looked at.
    pub(crate) identity: String,
}

/// How a release ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) sequence: u64,
    /// By the engine's clock where it is known.
    pub(crate) at: Timestamp,
    pub(crate) result: Conclusion,
    /// By service: the release whose containers serve now.
    pub(crate) serving: BTreeMap<String, u64>,
    /// The names of the hooks that ran.
    pub(crate) hooks_run: Vec<String>,
    /// By service: the numbers of the containers that were not well and were let be so.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) left_out: BTreeMap<String, Vec<u32>>,
}

/// What a release came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Conclusion {
    Passed,
    Failed {
        message: String,
        /// What serves instead, in words.
        fallback: String,
    },
}
