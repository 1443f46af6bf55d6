//! What the objects of an environment are called, and what each carries to say what it is. The
//! names are for people; hoist knows its objects by their labels.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::gate::Gate;
use super::plan::Slot;
use crate::backend::Labels;
use crate::labels;

/// The role of a service's container.
pub(crate) const SERVICE: &str = "service";
/// The role of a proxy's container and of the volume with its configuration.
pub(crate) const PROXY: &str = "proxy";
/// The role of a hook's container.
pub(crate) const HOOK: &str = "hook";
/// The role of a volume that holds the secrets of one generation.
pub(crate) const SECRETS: &str = "secrets";
/// The role of a volume of the file.
pub(crate) const DATA: &str = "data";
/// The role of an environment's network.
pub(crate) const NETWORK: &str = "network";
/// The role of the volume that holds an environment's history.
pub(crate) const STATE: &str = "state";
/// The role of the container that keeps the history's volume in use.
pub(crate) const HOLDER: &str = "holder";

/// The version of these labels' meaning.
const VERSION: &str = "1";

/// A project's environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) project: String,
    pub(crate) environment: String,
}

impl Place {
    pub(crate) fn new(project: &str, environment: &str) -> Self {
        Self {
            project: project.to_owned(),
            environment: environment.to_owned(),
        }
    }

    /// A container of a service: its generation is in its name, so no deploy ever renames one.
    pub(crate) fn container(&self, slot: &Slot) -> String {
        let Slot {
            service,
            sequence,
            replica,
        } = slot;
        format!("{}-{sequence}-{replica}", self.object(service))
    }

    /// The volume with the secrets of a generation.
    pub(crate) fn secrets(&self, service: &str, sequence: u64) -> String {
        format!("{}-{sequence}-secrets", self.object(service))
    }

    /// The container of a gate, and the volume with its configuration.
    pub(crate) fn gate(&self, gate: &Gate) -> String {
        match gate.is_shared() {
            true => shared(gate),
            false => self.object(&gate.slug()),
        }
    }

    /// The container of a hook.
    pub(crate) fn hook(&self, name: &str, sequence: u64) -> String {
        format!("{}-{sequence}-hook", self.object(name))
    }

    /// A network or a data volume.
    pub(crate) fn object(&self, name: &str) -> String {
        format!("{}-{}-{name}", self.project, self.environment)
    }

    /// The volume of the history, and the container that holds it.
    pub(crate) fn state(&self) -> String {
        format!("hoist-state-{}-{}", self.project, self.environment)
    }

    pub(crate) fn lock(&self) -> String {
        format!("hoist-lock-{}-{}", self.project, self.environment)
    }

    /// The labels of any object of this environment.
    pub(crate) fn labels(&self, role: &str) -> Labels {
        let mut all = made(role);
        all.insert(labels::PROJECT.to_owned(), self.project.clone());
        all.insert(labels::ENVIRONMENT.to_owned(), self.environment.clone());
        all
    }

    /// The filter that finds this environment's objects of that role.
    pub(crate) fn filter<'a>(&'a self, role: &'a str) -> [(&'a str, Option<&'a str>); 3] {
        [
            (labels::PROJECT, Some(self.project.as_str())),
            (labels::ENVIRONMENT, Some(self.environment.as_str())),
            (labels::ROLE, Some(role)),
        ]
    }

    /// The labels say that the object is this environment's, of that role.
    pub(crate) fn owns(&self, found: &Labels, role: &str) -> bool {
        self.filter(role)
            .iter()
            .all(|(key, value)| found.get(*key).map(String::as_str) == *value)
    }
}

/// For messages.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.project, self.environment)
    }
}

fn made(role: &str) -> Labels {
    Labels::from([
        (labels::ROLE.to_owned(), role.to_owned()),
        (labels::SPEC_VERSION.to_owned(), VERSION.to_owned()),
        (
            labels::CREATED_BY.to_owned(),
            concat!("hoist ", env!("CARGO_PKG_VERSION")).to_owned(),
        ),
    ])
}

/// The container of a gate that is the host's, and its volume.
pub(crate) fn shared(gate: &Gate) -> String {
    format!("hoist-{}", gate.slug())
}

/// The network from which such a gate's port is published. An engine publishes from the network whose
/// name comes first of all that a container is on, and publishes anew, with an outage, where one that
/// comes before is joined. No network of an environment comes before this one.
pub(crate) fn shared_network(gate: &Gate) -> String {
    format!("0--{}", shared(gate))
}

/// What keeps two deploys from changing such a gate at once. No environment has a lock of that name.
pub(crate) fn shared_lock(gate: &Gate) -> String {
    format!("{}.lock", shared(gate))
}

/// The labels of whatever belongs to such a gate.
pub(crate) fn shared_labels(gate: &Gate) -> Labels {
    let mut all = made(PROXY);
    all.insert(labels::SHARED.to_owned(), "1".to_owned());
    all.insert(labels::GATE.to_owned(), gate.to_string());
    all
}

/// The filter that finds all such gates of an engine.
pub(crate) const ALL_SHARED: [(&str, Option<&str>); 2] =
    [(labels::SHARED, None), (labels::ROLE, Some(PROXY))];
