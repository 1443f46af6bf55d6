//! The labels by which hoist knows its own objects on an engine. What lacks them is never touched.

use crate::backend::Labels;
use crate::owner::Owner;

/// The run that made the object and takes it away: a run ID.
pub const RUN: &str = "dev.hoist.run";
/// The project's name.
pub const PROJECT: &str = hoist_model::plan::PROJECT_LABEL;
/// The step's name.
pub const STEP: &str = "dev.hoist.step";
/// The process that answers for the object: see `owner`.
pub const OWNER: &str = "dev.hoist.owner";
/// When an object whose owner cannot be judged may go: seconds since the epoch, by the engine's
/// clock.
pub const EXPIRES: &str = "dev.hoist.expires";
/// Data that hoist keeps between runs, such as a scanner's database: what it is.
pub const KEPT: &str = "dev.hoist.kept";

/// A volume that steps use as a cache: the cache's name.
pub const CACHE: &str = "dev.hoist.cache";
/// The environment of a deployed object. Deployed objects never carry [`RUN`].
pub const ENVIRONMENT: &str = "dev.hoist.environment";
/// The service of a deployed object.
pub const SERVICE: &str = "dev.hoist.service";
/// What an object is for: `service`, `proxy`, `hook`, `secrets`, `data`, `network`, `state`,
/// `holder`, [`LOCK`].
pub const ROLE: &str = "dev.hoist.role";
/// The role of what keeps two deploys to an environment apart.
pub const LOCK: &str = "lock";
/// The release that made a deployed object: a UUID.
pub const RELEASE: &str = "dev.hoist.release";
/// The release's sequence number in its environment, from 1.
pub const SEQUENCE: &str = "dev.hoist.sequence";
/// The number of a service's replica, from 1.
pub const REPLICA: &str = "dev.hoist.replica";
/// The fixed address of a deployed container in its environment's network.
pub const ADDRESS: &str = "dev.hoist.address";
/// What a proxy's container owns: a port of the host, or a service's name.
pub const GATE: &str = "dev.hoist.gate";
/// A proxy that is the host's, with its volume and its network: projects share it, and it is none's.
pub const SHARED: &str = "dev.hoist.shared";
/// The image's name as people know it.
pub const IMAGE: &str = "dev.hoist.image";
/// The digest of the image's config.
pub const CONFIG_DIGEST: &str = "dev.hoist.config-digest";
/// A keyed hash of the settings that a service was made with.
pub const CONFIG_HASH: &str = "dev.hoist.config-hash";
/// A random name for the secrets that a service was made with.
pub const SECRETS_VERSION: &str = "dev.hoist.secrets-version";
/// The version of these labels' meaning.
pub const SPEC_VERSION: &str = "dev.hoist.spec-version";
/// hoist's version and the user that deployed.
pub const CREATED_BY: &str = "dev.hoist.created-by";
/// The name that a deployed network or data volume has in the file.
pub const NAME: &str = "dev.hoist.name";
/// The services that a deployed one needs, with commas between them.
pub const DEPENDS_ON: &str = "dev.hoist.depends-on";
/// A deployed container that is told its client by the PROXY protocol, on each of its TCP ports.
pub const PROXY_PROTOCOL: &str = "dev.hoist.proxy-protocol";
/// A deployed container whose secrets are in memory: whose they are, and their names.
pub const SECRETS_IN_MEMORY: &str = "dev.hoist.secrets-in-memory";
/// A deployed container that has the host's network.
pub const NETWORK_MODE: &str = "dev.hoist.network-mode";
/// Milliseconds between the stop signal and the kill of a deployed container.
pub const STOP_GRACE_PERIOD: &str = "dev.hoist.stop-grace-period";

/// How long an object of a command that is no run may be needed, seconds.
const COMMAND: i64 = 3600;

/// The labels of what a command that is no run puts on an engine, such as a lock. They carry a run
/// ID of their own, so that reaper and sweep know them. `now` is the engine's time, seconds since
/// the epoch, 0 where unknown.
#[must_use]
pub fn of_command(project: &str, now: i64) -> Labels {
    let mut labels = Labels::from([
        (RUN.to_owned(), uuid::Uuid::now_v7().to_string()),
        (PROJECT.to_owned(), project.to_owned()),
        (OWNER.to_owned(), Owner::here().to_string()),
    ]);
    if now > 0 {
        labels.insert(EXPIRES.to_owned(), now.saturating_add(COMMAND).to_string());
    }
    labels
}
