//! What a deploy would change, against what runs there. Of variables and secrets it holds the names
//! alone: no value is ever in it.

use serde::Serialize;

use crate::reason::Trouble;

/// What a deploy would change in an environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeployChanges {
    /// The environment's name.
    pub environment: String,
    /// Its engine as the file has it; the engine in use where absent.
    pub engine: Option<String>,
    /// The number that the release would get.
    pub release: u64,
    /// The services in the order of their dependencies, then those that would go.
    pub services: Vec<ServiceChanges>,
    /// What would run once, in order.
    pub hooks: Vec<HookRun>,
    /// Networks of the environment.
    pub networks: NamesChange,
    /// Data volumes. None is ever removed by a deploy.
    pub volumes: NamesChange,
    /// The proxies that would be opened and closed: one for each published port, and one for the name
    /// of each service that is not only recreated.
    pub proxies: NamesChange,
    /// Someone must approve of it.
    pub approval: bool,
    /// What would be approved of.
    pub digest: ChangesDigest,
    /// What stands in the way of the deploy.
    pub problems: Vec<Trouble>,
    /// What people should know besides.
    pub notes: Vec<String>,
}

/// The digest of what would change, which `hoist run --approve` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangesDigest {
    /// It is this one as long as nothing else changes.
    Known(String),
    /// Nothing would change, so there is nothing to approve of.
    Nothing,
    /// It is not known before the run, for these reasons.
    Unknown(Vec<String>),
}

/// What would become of a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceChanges {
    /// Its name.
    pub service: String,
    /// In a word.
    pub action: ServiceAction,
    /// In a sentence, with the reason.
    pub summary: String,
    /// How a new generation of it takes the place of the one that runs.
    pub strategy: String,
    /// It would be down for a moment.
    pub downtime: bool,
    /// Its image.
    pub image: ImageChange,
    /// Names of variables.
    pub variables: NamesChange,
    /// Names of secrets.
    pub secrets: NamesChange,
    /// The secrets that it has and keeps would have other values.
    pub secrets_changed: bool,
    /// Published ports.
    pub ports: NamesChange,
    /// Its networks.
    pub networks: NamesChange,
    /// Its volumes.
    pub volumes: NamesChange,
    /// Numbers and words: replicas, limits, strategy.
    pub settings: Vec<SettingChange>,
    /// The keys of what else would change, such as `command`.
    pub others: Vec<String>,
    /// The steps that its image has to pass in the run.
    pub gates: Vec<String>,
}

/// What a deploy does to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceAction {
    /// It is new.
    Created,
    /// Another generation takes the place of the one that runs.
    Replaced,
    /// It runs as it is and gets more or fewer containers, or stopped ones are started.
    Adjusted,
    /// It is left running.
    Unchanged,
    /// The file has it no more.
    Removed,
}

/// The images of a service before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImageChange {
    /// What runs.
    pub from: Option<KnownImage>,
    /// What would run, where that is known.
    pub to: Option<KnownImage>,
    /// Why it is not: `built by the step image`.
    pub unknown: Option<String>,
}

/// An image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KnownImage {
    /// As people know it.
    pub name: String,
    /// The digest of its config, else the engine's ID.
    pub identity: String,
}

impl KnownImage {
    /// Twelve hexadecimal digits of its identity.
    #[must_use]
    pub fn short(&self) -> &str {
        let hex = self.identity.strip_prefix("sha256:");
        let hex = hex.unwrap_or(&self.identity);
        hex.get(..12).unwrap_or(hex)
    }
}

/// Names before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NamesChange {
    /// New ones.
    pub added: Vec<String>,
    /// Those that go.
    pub removed: Vec<String>,
    /// Those that stay and mean something else.
    pub changed: Vec<String>,
}

impl NamesChange {
    /// No name is in it.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// A setting before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingChange {
    /// Its key.
    pub key: String,
    /// Absent where nothing was said.
    pub from: Option<String>,
    /// Absent where nothing is said.
    pub to: Option<String>,
}

/// What would run once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookRun {
    /// Its name.
    pub hook: String,
    /// The file's key for when: `pre_deploy` or `post_deploy`.
    pub when: String,
    /// Its image.
    pub image: ImageChange,
}
