//! What runs once in a release, as written. The keys are those of a service.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::leaf::{At, CommandSpec, OneOrMany, Scalar, Table};
use super::service::DependsOnSpec;
use super::step::Resources;

/// Hooks by name. They run one after the other, in the order of the file.
pub(super) type Hooks = BTreeMap<At<String>, HookSpec>;

/// A container that runs once in a release and ends by itself, such as a migration. It is on the
/// networks of the environment.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct HookSpec {
    /// The image that it runs on.
    #[schemars(required)]
    pub image: Option<At<String>>,
    /// What it runs, instead of the image's CMD: an array, or a string that is split into words. No
    /// shell reads it, and it is never interpolated.
    #[schemars(required)]
    pub command: Option<CommandSpec>,
    /// Instead of the image's ENTRYPOINT: an array, or a string that is split into words. It is
    /// never interpolated.
    pub entrypoint: Option<CommandSpec>,
    /// Variables of the container.
    pub environment: Option<Table>,
    /// Files of the project with variables of the container, one `KEY=VALUE` a line. A later file
    /// stands over an earlier one, and `environment` over all.
    pub env_file: Option<OneOrMany>,
    /// An absolute path in the container.
    pub working_dir: Option<At<String>>,
    /// The user that it runs as; the image's own if nothing is said.
    #[schemars(with = "Option<Scalar>")]
    pub user: Option<At<Scalar>>,
    /// Names of secrets, each a file under /run/secrets.
    pub secrets: Option<Vec<At<String>>>,
    /// Named volumes, such as `data:/var/lib/data` or `data:/data:ro`.
    pub volumes: Option<Vec<At<String>>>,
    /// Networks of the environment; `default` if nothing is said.
    pub networks: Option<Vec<At<String>>>,
    /// Services that come first: what of them does not run yet is started before.
    pub depends_on: Option<DependsOnSpec>,
    /// Bounds of the container.
    pub resources: Option<Resources>,
    /// The container cannot write to its root file system.
    pub read_only: Option<At<bool>>,
    /// Memory file systems, such as `/run` or `/tmp:size=64m`.
    pub tmpfs: Option<OneOrMany>,
    /// Capabilities beside CHOWN, DAC_OVERRIDE, FOWNER, SETGID and SETUID.
    pub cap_add: Option<Vec<At<String>>>,
    /// Capabilities of those five that it does without; `ALL` for all of them.
    pub cap_drop: Option<Vec<At<String>>>,
    /// The size of /dev/shm, such as `256m`.
    #[schemars(with = "Option<String>")]
    pub shm_size: Option<At<Scalar>>,
    /// Labels of the container.
    pub labels: Option<Table>,
    /// How long it may take; `10m` if nothing is said.
    #[schemars(with = "Option<String>")]
    pub timeout: Option<At<Scalar>>,
}
