//! The validated graph of a pipeline: names resolved, edges found, kinds lowered to units. A plan
//! has no spans and touches nothing; making one is `crate::plan`'s part, running it the engine's.

mod attempts;
mod cells;
mod clashes;
mod cx;
mod edges;
mod environments;
mod files;
mod gc;
mod images;
mod inputs;
mod labels;
mod make;
mod matrix;
mod reference;
mod select;
mod settings;
mod signals;
mod skip;
mod step_values;
mod surroundings;
#[cfg(test)]
mod tests;
mod tmpfs;
mod values;
mod vars;
mod when;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use labels::PROJECT_LABEL;
pub use make::{Planned, make};
pub use matrix::Cell;
pub use select::{Selection, UnknownStep, choose, select};
pub use skip::skip;
pub use surroundings::{Entry, Git, ProjectFiles, Surroundings, ToolSettings};

pub use when::When;

pub(crate) use cx::Cx;
pub(crate) use files::{is_within, join};
pub(crate) use inputs::Inside;
pub(crate) use reference::Reference;
pub(crate) use settings::{Scanner, TrivyDb};

use crate::attempts::{AllowFailure, Retry};
use crate::gc::Policy;
use crate::ids::{StepId, StepIx};
use crate::reason::SkipReason;
use crate::step::StepKind;
use crate::unit::{EnvironmentPlan, Unit};

/// A pipeline that can be run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The project's name, from the file.
    pub name: String,
    /// The longest that a run may take, where bounded.
    #[serde(
        rename = "timeout_ms",
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::millis::option"
    )]
    pub timeout: Option<Duration>,
    /// Every step, each after those that it needs.
    pub steps: Vec<PlannedStep>,
    /// Where deploys can go, those that no step names too.
    pub environments: BTreeMap<String, EnvironmentPlan>,
    /// Where the values of secrets come from.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Logins by registry host.
    pub registries: BTreeMap<String, RegistryLogin>,
    /// Reports that a run writes, paths relative to the project's root.
    pub reports: Reports,
    /// What goes of all that runs leave behind.
    #[serde(default)]
    pub gc: Policy,
    /// Files, relative to the project's root, that are never part of a context or a source copy:
    /// those of `[reports]` and `[secrets]`. `.hoist` is left out besides.
    pub never_sent: Vec<String>,
}

/// One step of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its name.
    pub id: StepId,
    /// What makes it.
    pub kind: StepKind,
    /// Its line in the file, from 1.
    pub line: usize,
    /// Which cell of a matrix it is, if the step has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<Cell>,
    /// What must have ended well before it starts; each step at most once.
    pub needs: Vec<Need>,
    /// The longest that one attempt may take.
    #[serde(rename = "timeout_ms", with = "crate::millis")]
    pub timeout: Duration,
    /// When it is tried again.
    #[serde(default)]
    pub retry: Retry,
    /// Which of its failures are let pass.
    #[serde(default)]
    pub allow_failure: AllowFailure,
    /// It starts however the steps ended that `needs` names.
    #[serde(default)]
    pub always: bool,
    /// What its `when` comes to, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// Why it is not run, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<SkipReason>,
    /// The work.
    pub unit: Unit,
    /// What the file relaxes of the default sealing, in words, such as `network = "bridge"`.
    pub relaxations: Vec<String>,
}

/// An edge of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The place of the step that comes first; always smaller than that of the step that needs it.
    pub step: StepIx,
    /// Why.
    pub why: Edge,
}

/// Why a step waits for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// The file says so in `needs`.
    Needs,
    /// The step refers to what the other makes.
    Reference,
    /// The other scans the image which this one pushes or deploys.
    Gate,
}

/// Where a secret's value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// A variable of hoist's environment.
    Environment(String),
    /// A file, relative to the project's root.
    File(String),
}

/// A login for a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryLogin {
    /// As written.
    pub username: String,
    /// The name of the secret that holds the password.
    pub password: String,
}

/// Reports that a run writes, paths relative to the project's root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reports {
    /// JUnit XML.
    pub junit: Option<String>,
    /// SARIF.
    pub sarif: Option<String>,
}

impl Reports {
    /// The paths of all that there are.
    pub fn paths(&self) -> impl Iterator<Item = &String> {
        self.junit.iter().chain(&self.sarif)
    }
}

impl Plan {
    /// The step of that name and its place.
    #[must_use]
    pub fn find(&self, id: &StepId) -> Option<(StepIx, &PlannedStep)> {
        self.steps
            .iter()
            .enumerate()
            .find(|(_, step)| step.id == *id)
    }

    /// The names of the secrets that the steps of this plan and its logins use; those of a step
    /// that is not run are not among them.
    #[must_use]
    pub fn used_secrets(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for step in self.steps.iter().filter(|step| step.skip.is_none()) {
            match &step.unit {
                Unit::Container(unit) => {
                    let beside = unit.services.iter().flat_map(|service| &service.secrets);
                    names.extend(unit.secrets.iter().chain(beside).map(String::as_str));
                }
                Unit::Release(unit) => names.extend(
                    unit.containers()
                        .flat_map(|s| s.secrets.iter().chain(&s.traffic.tls).map(String::as_str)),
                ),
                Unit::Build(unit) => names.extend(unit.secrets.iter().map(String::as_str)),
                Unit::Push(_) => {}
            }
        }
        names.extend(
            self.registries
                .values()
                .map(|login| login.password.as_str()),
        );
        names.sort_unstable();
        names.dedup();
        names
    }
}
