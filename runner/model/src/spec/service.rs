//! Services, those of a release and those beside a step, and the artifacts of a step, as written.
//! The keys are those of Compose.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

use super::bounds::BlkioSpec;
use super::build::UlimitSpec;
use super::hook::HookSpec;
use super::leaf::{At, CommandSpec, OneOrMany, Scalar, Table, Word};
use super::step::Resources;
use super::traffic::{AppProtocolWord, RouteSpec, TlsSpec};
use super::update::{CanarySpec, StrategyWord, UpdateConfigSpec};

/// What is kept of what a command leaves.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Artifacts {
    /// Files and folders of the container by the names that they get; a folder's path ends with
    /// `/`.
    pub paths: Option<BTreeMap<At<String>, At<String>>>,
    /// Reports that hoist reads.
    pub reports: Option<ArtifactReports>,
}

/// Reports that hoist reads.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ArtifactReports {
    /// JUnit files of the container, such as `/reports/*.xml`.
    pub junit: Option<OneOrMany>,
    /// Files in the Test Anything Protocol, such as `/reports/*.tap`.
    pub tap: Option<OneOrMany>,
    /// Files with the output of `go test -json`, such as `/reports/*.json`.
    pub go_json: Option<OneOrMany>,
}

/// A service of a release.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ServiceSpec {
    /// The image that it runs on.
    #[schemars(required)]
    pub image: Option<At<String>>,
    /// Instead of the image's CMD: an array, or a string that is split into words. No shell reads
    /// it, and it is never interpolated.
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
    /// Where they are kept: on the engine's `disk` if nothing is said, or in its `memory`, where they
    /// are gone when the service ends.
    #[schemars(with = "Option<Word<SecretsStorageWord>>")]
    pub secrets_storage: Option<At<String>>,
    /// Named volumes, such as `data:/var/lib/data` or `data:/data:ro`.
    pub volumes: Option<Vec<At<String>>>,
    /// Ports published on the host, such as `8080:3000`, `127.0.0.1:8080:3000` or `53:53/udp`.
    #[schemars(with = "Option<Vec<Scalar>>")]
    pub ports: Option<Vec<At<Scalar>>>,
    /// Networks of the environment; `default` if nothing is said.
    pub networks: Option<Vec<At<String>>>,
    /// `host`: all of the host's network instead of networks of its own. A run has to allow it, with
    /// `--allow-host-network`.
    #[schemars(with = "Option<Word<NetworkModeWord>>")]
    pub network_mode: Option<At<String>>,
    /// How its health is told.
    pub healthcheck: Option<HealthcheckSpec>,
    /// What the engine does when it exits; `always` if nothing is said.
    #[schemars(with = "Option<Word<RestartWord>>")]
    pub restart: Option<At<String>>,
    /// Services that come first: an array of names, or a table with a condition for each.
    pub depends_on: Option<DependsOnSpec>,
    /// Bounds of the container.
    pub resources: Option<Resources>,
    /// The container cannot write to its root file system.
    pub read_only: Option<At<bool>>,
    /// Memory file systems, such as `/run` or `/tmp:size=64m`.
    pub tmpfs: Option<OneOrMany>,
    /// Capabilities beside CHOWN, DAC_OVERRIDE, FOWNER, SETGID and SETUID.
    pub cap_add: Option<Vec<At<String>>>,
    /// Names of these five that it goes without, or `ALL`.
    pub cap_drop: Option<Vec<At<String>>>,
    /// The size of /dev/shm, such as `256m`.
    #[schemars(with = "Option<String>")]
    pub shm_size: Option<At<Scalar>>,
    /// `seccomp=FILE` with a profile of the project, or `apparmor=PROFILE`. No new privileges can
    /// be had, whatever stands here.
    pub security_opt: Option<Vec<At<String>>>,
    /// The user namespace, in the engine's words; never `host`.
    pub userns_mode: Option<At<String>>,
    /// Memory and swap together, such as `2g`, or -1 for no bound; as much as memory alone if
    /// nothing is said.
    #[schemars(with = "Option<Scalar>")]
    pub memswap_limit: Option<At<Scalar>>,
    /// How readily its memory goes to swap, in percent; the host's own setting if nothing is said.
    #[schemars(range(min = 0, max = 100))]
    pub mem_swappiness: Option<At<u32>>,
    /// Its weight where processors are short; 1024 if nothing is said.
    #[schemars(range(min = 2, max = 262_144))]
    pub cpu_shares: Option<At<u32>>,
    /// Processor time in each period, such as `50ms`, or microseconds.
    #[schemars(with = "Option<Scalar>")]
    pub cpu_quota: Option<At<Scalar>>,
    /// That period, such as `100ms`, or microseconds; `100ms` if nothing is said.
    #[schemars(with = "Option<Scalar>")]
    pub cpu_period: Option<At<Scalar>>,
    /// The processors that it runs on, such as `0-2,4`.
    #[schemars(with = "Option<Scalar>")]
    pub cpuset: Option<At<Scalar>>,
    /// Its share of the host's disks.
    pub blkio_config: Option<BlkioSpec>,
    /// Bounds of each of its processes, such as `nofile = 1024` or
    /// `nofile = { soft = 1024, hard = 4096 }`.
    pub ulimits: Option<BTreeMap<At<String>, At<UlimitSpec>>>,
    /// Processes and threads, like `resources.limits.pids`.
    pub pids_limit: Option<At<u32>>,
    /// Where memory is short, the kernel kills what has the most first.
    #[schemars(range(min = -1000, max = 1000))]
    pub oom_score_adj: Option<At<i32>>,
    /// Labels of the container.
    pub labels: Option<Table>,
    /// Grace between the stop signal and the kill; `10s` if nothing is said.
    #[schemars(with = "Option<String>")]
    pub stop_grace_period: Option<At<Scalar>>,
    /// How a new release takes the place of the one before; `recreate` if nothing is said.
    #[schemars(with = "Option<Word<StrategyWord>>")]
    pub strategy: Option<At<String>>,
    /// How many containers; 1 if nothing is said.
    #[schemars(range(min = 1, max = 100))]
    pub replicas: Option<At<u32>>,
    /// How an update goes on.
    pub update_config: Option<UpdateConfigSpec>,
    /// How the strategy `canary` goes on.
    pub canary: Option<CanarySpec>,
    /// TCP ports of the container that other services use, beside the published ones, such as
    /// `3000`. A proxy has the service's name there, so that calls survive a switch.
    #[schemars(with = "Option<Vec<Scalar>>")]
    pub expose: Option<Vec<At<Scalar>>>,
    /// What is spoken on the ports; `tcp` with the strategy `recreate`, `http` with any other if
    /// nothing is said.
    #[schemars(with = "Option<Word<AppProtocolWord>>")]
    pub app_protocol: Option<At<String>>,
    /// How long connections to what is replaced may go on; `60s` if nothing is said.
    #[schemars(with = "Option<String>")]
    pub drain: Option<At<Scalar>>,
    /// One client stays with one container. It goes with HTTP.
    pub sticky: Option<At<bool>>,
    /// Which requests to the published ports are the service's, so that several services share a
    /// port, also those of other projects; all of them, or what others leave, if nothing is said.
    pub routes: Option<Vec<At<RouteSpec>>>,
    /// TLS ends at the proxy, on the published ports.
    pub tls: Option<TlsSpec>,
    /// The service is told the client's address by the PROXY protocol, version 2, and has to know
    /// it.
    pub proxy_protocol: Option<At<bool>>,
    /// A page that says so, with the status 503, is what requests get instead of the service.
    pub maintenance: Option<At<bool>>,
}

/// A service beside a step. It is started before the step and gone with it; the step reaches it by
/// its name, on any port.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct StepServiceSpec {
    /// The image that it runs on.
    #[schemars(required)]
    pub image: Option<At<String>>,
    /// Instead of the image's CMD: an array, or a string that is split into words. No shell reads
    /// it, and it is never interpolated.
    pub command: Option<CommandSpec>,
    /// Instead of the image's ENTRYPOINT: an array, or a string that is split into words. It is
    /// never interpolated.
    pub entrypoint: Option<CommandSpec>,
    /// Variables of the container.
    pub environment: Option<Table>,
    /// An absolute path in the container.
    pub working_dir: Option<At<String>>,
    /// The user that it runs as; the image's own if nothing is said.
    #[schemars(with = "Option<Scalar>")]
    pub user: Option<At<Scalar>>,
    /// Names of secrets, each a file under /run/secrets.
    pub secrets: Option<Vec<At<String>>>,
    /// How it is told that it is ready; the image's own check if nothing is said. One without a
    /// check is ready when it has started. The step waits for all of its services.
    pub healthcheck: Option<HealthcheckSpec>,
    /// Services that come first: an array of names, or a table with a condition for each.
    pub depends_on: Option<DependsOnSpec>,
    /// Bounds of the container; 1 GiB of memory and 512 processes if nothing is said.
    pub resources: Option<Resources>,
    /// The container cannot write to its root file system.
    pub read_only: Option<At<bool>>,
    /// Memory file systems, such as `/run` or `/tmp:size=64m`.
    pub tmpfs: Option<OneOrMany>,
    /// Capabilities beside CHOWN, DAC_OVERRIDE, FOWNER, SETGID and SETUID.
    pub cap_add: Option<Vec<At<String>>>,
    /// Names of these five that it goes without, or `ALL`.
    pub cap_drop: Option<Vec<At<String>>>,
    /// The size of /dev/shm, such as `256m`.
    #[schemars(with = "Option<String>")]
    pub shm_size: Option<At<Scalar>>,
    /// Grace between the stop signal and the kill when the step has ended. It is killed at once if
    /// nothing is said, since nothing of it is kept but its log.
    #[schemars(with = "Option<String>")]
    pub stop_grace_period: Option<At<Scalar>>,
    /// The signal that asks it to end, such as `SIGINT`; the image's own if nothing is said, else
    /// SIGTERM. It goes with a `stop_grace_period`.
    pub stop_signal: Option<At<String>>,
}

/// The keys that a service has wherever it lives.
pub(crate) struct ServiceKeys<'s> {
    pub(crate) image: Option<&'s At<String>>,
    pub(crate) command: Option<&'s CommandSpec>,
    pub(crate) entrypoint: Option<&'s CommandSpec>,
    pub(crate) environment: Option<&'s Table>,
    pub(crate) env_file: Option<&'s OneOrMany>,
    pub(crate) working_dir: Option<&'s At<String>>,
    pub(crate) user: Option<&'s At<Scalar>>,
    pub(crate) secrets: Option<&'s Vec<At<String>>>,
    pub(crate) depends_on: Option<&'s DependsOnSpec>,
    pub(crate) resources: Option<&'s Resources>,
    pub(crate) read_only: Option<&'s At<bool>>,
    pub(crate) tmpfs: Option<&'s OneOrMany>,
    pub(crate) cap_add: Option<&'s Vec<At<String>>>,
    pub(crate) cap_drop: Option<&'s Vec<At<String>>>,
    pub(crate) shm_size: Option<&'s At<Scalar>>,
}

macro_rules! service_keys {
    ($spec:ty, env_file: $env_file:expr) => {
        impl $spec {
            pub(crate) fn keys(&self) -> ServiceKeys<'_> {
                let env_file: fn(&Self) -> Option<&OneOrMany> = $env_file;
                ServiceKeys {
                    env_file: env_file(self),
                    image: self.image.as_ref(),
                    command: self.command.as_ref(),
                    entrypoint: self.entrypoint.as_ref(),
                    environment: self.environment.as_ref(),
                    working_dir: self.working_dir.as_ref(),
                    user: self.user.as_ref(),
                    secrets: self.secrets.as_ref(),
                    depends_on: self.depends_on.as_ref(),
                    resources: self.resources.as_ref(),
                    read_only: self.read_only.as_ref(),
                    tmpfs: self.tmpfs.as_ref(),
                    cap_add: self.cap_add.as_ref(),
                    cap_drop: self.cap_drop.as_ref(),
                    shm_size: self.shm_size.as_ref(),
                }
            }
        }
    };
}

service_keys!(ServiceSpec, env_file: |spec| spec.env_file.as_ref());
service_keys!(HookSpec, env_file: |spec| spec.env_file.as_ref());
service_keys!(StepServiceSpec, env_file: |_| None);

/// What the engine does when a service exits.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", inline)]
#[expect(dead_code, reason = "only the schema is made from it")]
enum RestartWord {
    No,
    Always,
    OnFailure,
    UnlessStopped,
}

/// Where a service's secrets are kept.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", inline)]
#[expect(dead_code, reason = "only the schema is made from it")]
enum SecretsStorageWord {
    Disk,
    Memory,
}

/// Whose network a service has.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", inline)]
#[expect(dead_code, reason = "only the schema is made from it")]
enum NetworkModeWord {
    Host,
}

/// When a dependency counts as there.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case", inline)]
#[expect(dead_code, reason = "only the schema is made from it")]
enum ConditionWord {
    ServiceStarted,
    ServiceHealthy,
}

/// How a service's health is told.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct HealthcheckSpec {
    /// The probe: a string goes to a shell, an array begins with `CMD` or `CMD-SHELL`. It is never
    /// interpolated. A service beside a step has its image's if nothing is said.
    pub test: Option<CommandSpec>,
    /// Between two probes and before the first, such as `2s`; the engine's default is `30s`. Beside a
    /// step it is as short as is sensible until the service is healthy.
    #[schemars(with = "Option<String>")]
    pub interval: Option<At<Scalar>>,
    /// For one probe; the engine's default is `30s`.
    #[schemars(with = "Option<String>")]
    pub timeout: Option<At<Scalar>>,
    /// Failures in a row that make it unhealthy; the engine's default is 3. Beside a step they may
    /// go on for a minute.
    pub retries: Option<At<u32>>,
    /// Failures in it do not count.
    #[schemars(with = "Option<String>")]
    pub start_period: Option<At<Scalar>>,
    /// Take no notice of the image's own health check.
    pub disable: Option<At<bool>>,
}

/// Services that come first, with the condition of each.
#[derive(Clone, Debug, Default)]
pub struct DependsOnSpec(pub Vec<(At<String>, DependsOn)>);

/// When a dependency counts as there.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DependsOn {
    /// `service_started`, or `service_healthy`.
    #[schemars(with = "Option<Word<ConditionWord>>")]
    pub condition: Option<At<String>>,
}

impl<'de> Deserialize<'de> for DependsOnSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = DependsOnSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of services or a table with a condition for each")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<DependsOnSpec, A::Error> {
                let names = Vec::deserialize(de::value::SeqAccessDeserializer::new(seq))?;
                let plain = |name| (name, DependsOn::default());
                Ok(DependsOnSpec(names.into_iter().map(plain).collect()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DependsOnSpec, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(DependsOnSpec(all))
            }
        }
        from.deserialize_any(Either)
    }
}

impl JsonSchema for DependsOnSpec {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "DependsOn".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let each = generator.subschema_for::<DependsOn>();
        json_schema!({
            "anyOf": [
                { "type": "array", "items": { "type": "string" } },
                { "type": "object", "additionalProperties": each },
            ]
        })
    }
}
