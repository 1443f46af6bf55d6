//! What a step lowers to. The engine matches these four units and never a step kind; a unit says
//! what is to be done and refuses to know why.

mod limits;
mod release;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::StepId;
use crate::image::ImageSource;
use crate::inputs::Force;
use crate::results::TestFormat;
use crate::text::Text;

pub use limits::{BlkioLimits, DeviceRate, Limits, Security, Ulimit};
pub use release::{
    AppProtocol, CanaryPlan, EnvironmentPlan, FailureAction, HookUnit, NetworkPlan, PortMapping,
    Protocol, ReleaseDeed, ReleaseUnit, RequiredGate, Restart, Route, ServiceUnit, Strategy,
    Traffic, UpdateOrder, UpdatePlan, VolumeMount,
};

/// The work of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A container that runs to its end.
    Container(Box<ContainerUnit>),
    /// An image built from a Dockerfile.
    Build(Box<BuildUnit>),
    /// An image sent to a registry.
    Push(Box<PushUnit>),
    /// A release put on an engine.
    Release(Box<ReleaseUnit>),
}

/// What a container executes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Given to `sh -ec`.
    Shell(String),
    /// Executed as it is.
    Exec(Vec<String>),
}

impl Command {
    /// The arguments to execute.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Shell(script) => vec!["sh".into(), "-ec".into(), script.clone()],
            Self::Exec(argv) => argv.clone(),
        }
    }
}

/// A container's way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Loopback only.
    #[default]
    None,
    /// The engine's default bridge.
    Bridge,
}

/// A memory file system in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    /// An absolute path in the container.
    pub target: String,
    /// Mount options as Docker takes them, such as `size=64m,mode=1777`; may be empty.
    pub options: String,
}

/// A container that runs to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerUnit {
    /// What it runs on.
    pub image: ImageSource,
    /// What it executes; the image's ENTRYPOINT is cleared.
    pub command: Command,
    /// Variables; `CI=true` is added unless set here.
    pub environment: BTreeMap<String, Text>,
    /// The image's own where absent.
    pub working_dir: Option<String>,
    /// The image's own where absent.
    pub user: Option<String>,
    /// Its way out.
    pub network: Network,
    /// What it may do.
    pub security: Security,
    /// Its bounds.
    pub limits: Limits,
    /// Memory file systems.
    pub tmpfs: Vec<Tmpfs>,
    /// Names of secrets, each a file under /run/secrets.
    pub secrets: Vec<String>,
    /// What is put into the container before it starts.
    pub source: Option<SourceCopy>,
    /// What earlier steps left, put there after the copy of the project.
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// Volumes that are kept between runs.
    #[serde(default)]
    pub volumes: Vec<CacheVolume>,
    /// The archive of an image, laid down as a file before the start.
    pub image_archive: Option<ImageArchive>,
    /// Data of a tool that is kept between runs and mounted read-only.
    pub tool_data: Option<ToolData>,
    /// What lives beside it, in the order of their dependencies.
    #[serde(default)]
    pub services: Vec<StepService>,
    /// How it is stopped before its end.
    #[serde(default)]
    pub stop: StopPlan,
    /// What is fetched from the stopped container.
    pub harvest: Harvest,
    /// Why it runs whatever is known; absent where what an earlier run of the same came to stands
    /// for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub always_runs: Option<Force>,
}

impl ContainerUnit {
    /// The image that it says something of: the one that it scans, else the one that it runs on.
    #[must_use]
    pub fn subject(&self) -> &ImageSource {
        let scanned = self.image_archive.as_ref();
        scanned.map_or(&self.image, |archive| &archive.image)
    }
}

/// How a container is stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPlan {
    /// The signal that asks it to end, such as `SIGINT`; the image's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Between that signal and the kill.
    #[serde(rename = "grace_ms", with = "crate::millis")]
    pub grace: Duration,
}

impl StopPlan {
    /// The grace of a step that says nothing: Docker's and Compose's own.
    pub const GRACE: Duration = Duration::from_secs(10);
}

impl Default for StopPlan {
    fn default() -> Self {
        Self {
            signal: None,
            grace: Self::GRACE,
        }
    }
}

/// A copy of the project, without what the ignore file leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceCopy {
    /// The ignore file, relative to the project's root; `.dockerignore` where absent.
    pub ignorefile: Option<String>,
    /// Where the copy goes and the command starts: an absolute path.
    pub target: String,
}

/// An artifact of an earlier step in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Where it goes: an absolute path, or one under the image's own working directory. A folder's
    /// content goes into the folder of that name, a single file gets the name itself, or goes into
    /// it where it ends with `/`.
    pub target: String,
    /// The step that keeps it.
    pub step: StepId,
    /// Its name there.
    pub artifact: String,
}

/// A volume of a step that is kept between runs: a cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheVolume {
    /// Its name in the file.
    pub name: String,
    /// An absolute path in the container.
    pub target: String,
    /// The step cannot write to it.
    pub read_only: bool,
    /// Files, relative to the project's root, by whose contents caches of that name are told apart.
    pub key_files: Vec<String>,
}

/// The archive of an image as a file in a volume, as `docker save` writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageArchive {
    /// Whose archive.
    pub image: ImageSource,
    /// The folder in the container on which the volume is mounted read-only.
    pub folder: String,
    /// The file's name in it.
    pub file: String,
}

/// Data that a tool needs and that hoist keeps in a named volume of its own between runs, such as
/// Trivy's database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolData {
    /// What it is, for messages: `Trivy's vulnerability database`.
    pub title: String,
    /// A name for the volume: `trivy-db`.
    pub name: String,
    /// Where the volume is mounted.
    pub target: String,
    /// Where the data comes from.
    pub source: ToolDataSource,
    /// How long it is good for.
    #[serde(rename = "max_age_ms", with = "crate::millis")]
    pub max_age: Duration,
}

/// Where a tool's data comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolDataSource {
    /// A folder of this machine, relative to the project's root or absolute; copied as it is.
    Folder(String),
    /// A container of the unit's own image, with a network and without an input, which fills the
    /// volume at the same target.
    Update {
        /// What it executes.
        command: Vec<String>,
        /// Its variables.
        environment: BTreeMap<String, String>,
    },
}

/// What is fetched from a stopped container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Harvest {
    /// Kept in the run folder: artifact name to absolute path, a folder's with `/` at its end.
    pub paths: BTreeMap<String, String>,
    /// Patterns of JUnit files: an absolute path whose last part may hold `*` and `?`.
    pub junit: Vec<String>,
    /// Patterns of files in the Test Anything Protocol.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tap: Vec<String>,
    /// Patterns of files with the output of `go test -json`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub go_json: Vec<String>,
    /// A file of `KEY=VALUE` lines, for later steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<String>,
    /// A file that the step kind reads itself, such as a scanner's report. Its folder is on disk and
    /// the step's user's to write to, whatever the root is.
    pub report: Option<String>,
}

/// A service beside a step: it is started before the container, on a network that the two are alone
/// on and that has no way out, and is gone with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepService {
    /// Its name, under which the container reaches it.
    pub name: String,
    /// What it runs on.
    pub image: ImageSource,
    /// The image's own where absent.
    pub command: Option<Command>,
    /// The image's own where absent.
    pub entrypoint: Option<Vec<String>>,
    /// Variables.
    pub environment: BTreeMap<String, Text>,
    /// The image's own where absent.
    pub working_dir: Option<String>,
    /// The image's own where absent.
    pub user: Option<String>,
    /// What it may do; the minimum of a service (CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID) is
    /// already in `cap_add`.
    pub security: Security,
    /// Its bounds.
    pub limits: Limits,
    /// Memory file systems.
    pub tmpfs: Vec<Tmpfs>,
    /// Names of secrets, each a file under /run/secrets.
    pub secrets: Vec<String>,
    /// How it is told that it is ready. With an empty test it is by the image's own, if it has one.
    pub healthcheck: Healthcheck,
    /// Services that come first.
    pub depends_on: Vec<Dependency>,
    /// Grace between the stop signal and the kill when the step has ended; without any it is killed
    /// at once.
    #[serde(rename = "stop_grace_period_ms", with = "crate::millis")]
    pub stop_grace_period: Duration,
    /// The signal that asks it to end, such as `SIGINT`; the image's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
}

impl Harvest {
    /// The patterns of files with test results, each with its format.
    pub fn test_results(&self) -> impl Iterator<Item = (TestFormat, &String)> {
        let of = |format, patterns| std::iter::repeat(format).zip(patterns);
        let junit = of(TestFormat::Junit, &self.junit);
        junit
            .chain(of(TestFormat::Tap, &self.tap))
            .chain(of(TestFormat::GoJson, &self.go_json))
    }

    /// The list of a format's patterns.
    pub(crate) fn patterns(&mut self, format: TestFormat) -> &mut Vec<String> {
        match format {
            TestFormat::Junit => &mut self.junit,
            TestFormat::Tap => &mut self.tap,
            TestFormat::GoJson => &mut self.go_json,
        }
    }
}

/// An image built from a Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BuildUnit {
    /// The folder that is sent, relative to the project's root; `.` is the root.
    pub context: String,
    /// Further folders by the names that the Dockerfile gives them, relative to the project's root.
    pub contexts: BTreeMap<String, String>,
    /// The instructions.
    pub dockerfile: DockerfileSource,
    /// The stage to build; the last where absent.
    pub target: Option<String>,
    /// Build arguments. A reference to a step's image becomes a temporary local tag.
    pub args: BTreeMap<String, Text>,
    /// Names that the image gets.
    pub tags: Vec<Text>,
    /// Labels, hoist's own included.
    pub labels: BTreeMap<String, String>,
    /// The names of the labels that hoist added: they are no reason to build again.
    #[serde(default)]
    pub added_labels: BTreeSet<String>,
    /// Names of secrets that `RUN --mount=type=secret,id=NAME` may read.
    pub secrets: Vec<String>,
    /// Agents that `RUN --mount=type=ssh` may ask, by ID: the absolute paths of their sockets.
    pub ssh: BTreeMap<String, String>,
    /// Where the builder may take earlier results from.
    pub cache_from: Vec<BuildCache>,
    /// Where the builder keeps its results for others.
    pub cache_to: Vec<BuildCache>,
    /// Ask the registry for newer base images.
    pub pull: bool,
    /// Run every instruction again.
    pub no_cache: bool,
    /// Run the instructions of these stages again.
    pub no_cache_filter: Vec<String>,
    /// The engine's own choice where absent.
    pub network: Option<Network>,
    /// Such as `linux/arm64`; the engine's own where empty.
    pub platforms: Vec<String>,
    /// Bytes of /dev/shm in RUN instructions, where not the engine's default.
    pub shm_size: Option<u64>,
    /// Names beside those of the resolver: host name to address.
    pub extra_hosts: BTreeMap<String, String>,
    /// Bounds of the processes of RUN instructions, by name.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Where the image is to be the same from every clone: seconds since the epoch that stand for
    /// every later time, the commit's.
    pub source_date_epoch: Option<i64>,
}

/// Where a build's instructions stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerfileSource {
    /// In a file, relative to the project's root.
    File(String),
    /// In pipeline.toml itself.
    Inline(String),
}

impl Default for DockerfileSource {
    fn default() -> Self {
        Self::File("Dockerfile".into())
    }
}

impl DockerfileSource {
    /// How messages name it.
    #[must_use]
    pub fn shown(&self) -> &str {
        match self {
            Self::File(path) => path,
            Self::Inline(_) => "dockerfile_inline",
        }
    }
}

/// Where a builder's results are kept beside itself: `type=registry,ref=...` as Docker writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildCache {
    /// `registry`, `inline`, `local`, ...
    pub kind: String,
    /// The rest.
    pub attributes: BTreeMap<String, Text>,
}

/// An image sent to a registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PushUnit {
    /// What is sent.
    pub image: ImageSource,
    /// Where to: full references, `registry/repository:tag`.
    pub tags: Vec<Text>,
}

/// How a service's health is told. Absent values are the engine's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Healthcheck {
    /// As the engine takes it: `["CMD-SHELL", ...]`, `["CMD", ...]` or `["NONE"]`; empty for the
    /// image's own.
    pub test: Vec<String>,
    /// Between two probes.
    pub interval: Option<Duration>,
    /// For one probe.
    pub timeout: Option<Duration>,
    /// Failures that make it unhealthy.
    pub retries: Option<u32>,
    /// Failures in it do not count.
    pub start_period: Option<Duration>,
    /// Between two probes in that time, where the engine knows of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_interval: Option<Duration>,
}

/// A service that comes first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Its name.
    pub service: String,
    /// When it counts as there.
    pub condition: Condition,
}

/// When a dependency counts as there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It has started.
    #[default]
    ServiceStarted,
    /// Its health check passed.
    ServiceHealthy,
}
