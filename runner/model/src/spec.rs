//! A pipeline's file as written: every leaf with its place, nothing resolved, nothing checked
//! against anything else. The types below are also the file's JSON Schema, and their comments its
//! documentation; a key that hoist does not act upon is in none of them.

mod attempts;
mod bounds;
mod build;
mod gc;
mod hook;
mod inside;
mod keys;
mod leaf;
mod matrix;
mod merge;
mod read;
mod service;
mod shape;
mod step;
mod traffic;
mod unknown;
mod update;
mod volume;
mod when;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use bounds::{BlkioSpec, DeviceRateSpec, DeviceWeightSpec};
pub use build::{BuildSpec, ExtraHostsSpec, UlimitBounds, UlimitSpec};
pub use gc::GcSpec;
pub use hook::HookSpec;
pub use leaf::{At, CommandSpec, Number, OneOrMany, Scalar, Table, Word};
pub use matrix::{Combination, MatrixSpec};
pub use read::parse;
pub use service::{
    ArtifactReports, Artifacts, DependsOn, DependsOnSpec, HealthcheckSpec, ServiceSpec,
    StepServiceSpec,
};
pub use step::{DeploySpec, LimitsSpec, PushSpec, ReservationsSpec, Resources, ScanSpec, StepSpec};

pub use attempts::{AllowFailureSpec, AllowedCodes, RetrySpec};
pub use traffic::{RouteSpec, TlsSpec};
pub use update::{CanarySpec, UpdateConfigSpec};
pub use volume::{CacheKeySpec, CacheSpec, VolumeSpec};
pub use when::WhenSpec;

pub(crate) use inside::inside;
pub(crate) use keys::{KeyPlace, Keys};
pub(crate) use merge::{Merged, Named, Over};
pub(crate) use service::ServiceKeys;

use crate::diag::{Diagnostic, SourceFile};

/// A pipeline: what takes a project from source to a running service.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "pipeline.toml")]
pub struct PipelineSpec {
    /// The project's name: small letters, digits, `-` and `_`.
    #[schemars(required)]
    pub name: Option<At<String>>,
    /// The longest that a whole run may take, such as `1h`; `--timeout` stands over it. As long as
    /// its steps take if nothing is said.
    #[schemars(with = "Option<String>")]
    pub timeout: Option<At<Scalar>>,
    /// Values for `${NAME}` in the strings of this file. They may use `${env.NAME}`, `${git.sha}`
    /// and one another.
    pub vars: Option<Table>,
    /// What holds for steps that do not say otherwise.
    pub defaults: Option<DefaultsSpec>,
    /// Where the values of secrets come from. They are read once, masked in all output, and given
    /// to containers as files under /run/secrets; they cannot be interpolated.
    #[serde(default)]
    pub secrets: BTreeMap<At<String>, SecretSpec>,
    /// The steps, by name. Each has exactly one of `run`, `build`, `scan`, `push` and `deploy`.
    #[serde(default)]
    pub steps: BTreeMap<At<String>, Box<StepSpec>>,
    /// What is to be said of volumes, by name: of those that steps share between runs, which are
    /// caches, and of those of deployed services, which hold data.
    #[serde(default)]
    pub volumes: BTreeMap<At<String>, VolumeSpec>,
    /// Where deploys can go, by name.
    #[serde(default)]
    pub environments: BTreeMap<At<String>, EnvironmentSpec>,
    /// Logins for registries, by host. For others Docker's own configuration is used.
    #[serde(default)]
    pub registries: BTreeMap<At<String>, RegistrySpec>,
    /// The tools that hoist itself runs.
    pub tools: Option<ToolsSpec>,
    /// Reports that a run writes, as paths relative to the project's root.
    pub reports: Option<ReportsSpec>,
    /// What goes of all that runs leave behind, with `hoist gc`.
    pub gc: Option<GcSpec>,

    /// The file itself.
    #[serde(skip)]
    #[schemars(skip)]
    pub file: SourceFile,
    /// What is wrong with its keys and types. [`crate::plan::make`] reports these together with
    /// what it finds itself.
    #[serde(skip)]
    #[schemars(skip)]
    pub faults: Vec<Diagnostic>,
    /// The keys whose values were of a wrong type, and are missing above for that.
    #[serde(skip)]
    #[schemars(skip)]
    pub(crate) broken: Vec<Vec<String>>,
}

/// What holds for steps that do not say otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DefaultsSpec {
    /// The longest that a step may take, such as `15m`; `1h` if nothing is said.
    #[schemars(with = "Option<String>")]
    pub timeout: Option<At<Scalar>>,
    /// Bounds of `run` steps.
    pub resources: Option<Resources>,
}

/// Where a secret's value comes from: exactly one of the two.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct SecretSpec {
    /// A variable of hoist's own environment.
    pub environment: Option<At<String>>,
    /// A file of the project. It is never sent to the engine.
    pub file: Option<At<String>>,
}

/// Where a deploy goes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct EnvironmentSpec {
    /// An engine's address, or `context:NAME`; the engine in use if nothing is said.
    pub engine: Option<At<String>>,
    /// Someone must approve of what a deploy would change, before it does.
    pub approval: Option<At<bool>>,
    /// Networks, by name. There is always one called `default`.
    #[serde(default)]
    pub networks: BTreeMap<At<String>, NetworkSpec>,
}

/// A network of an environment.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Its addresses; chosen free if nothing is said.
    pub ipam: Option<IpamSpec>,
    /// Nothing in it can reach the outside.
    pub internal: Option<At<bool>>,
    /// Labels of the network.
    pub labels: Option<Table>,
}

/// A network's addresses.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct IpamSpec {
    /// One subnet.
    pub config: Option<Vec<At<IpamConfig>>>,
}

/// A subnet.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct IpamConfig {
    /// In CIDR form, such as `172.28.0.0/24`.
    #[schemars(required)]
    pub subnet: Option<At<String>>,
    /// An address of the subnet; the first one if nothing is said.
    pub gateway: Option<At<String>>,
}

/// A login for a registry.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RegistrySpec {
    /// The user.
    #[schemars(required)]
    pub username: Option<At<String>>,
    /// The name of the secret that holds the password.
    #[schemars(required)]
    pub password: Option<At<String>>,
}

/// The tools that hoist itself runs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ToolsSpec {
    /// Trivy's image, best by digest. `HOIST_TOOLS_TRIVY` stands over it.
    pub trivy: Option<At<String>>,
    /// Where Trivy's vulnerability database comes from: a folder that holds `trivy.db`, or a
    /// repository in a registry. `HOIST_TOOLS_TRIVY_DB` stands over it.
    pub trivy_db: Option<At<String>>,
    /// HAProxy's image, best by digest. `HOIST_TOOLS_HAPROXY` stands over it.
    pub haproxy: Option<At<String>>,
}

/// Reports that a run writes, as paths relative to the project's root.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ReportsSpec {
    /// JUnit XML: one suite for each step, with the tests found in its reports.
    pub junit: Option<At<String>>,
    /// SARIF 2.1.0: what scans found, for code scanning.
    pub sarif: Option<At<String>>,
}
