//! What the objects of an environment are called, and what each carries to say what it is. The
//! names are for people; hoist knows its objects by their labels.

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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
        self.object(&gate.slug())
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
        Labels::from([
            (labels::PROJECT.to_owned(), self.project.clone()),
            (labels::ENVIRONMENT.to_owned(), self.environment.clone()),
            (labels::ROLE.to_owned(), role.to_owned()),
            (labels::SPEC_VERSION.to_owned(), VERSION.to_owned()),
            (
                labels::CREATED_BY.to_owned(),
                concat!("hoist ", env!("CARGO_PKG_VERSION")).to_owned(),
            ),
        ])
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
