//! The seam to a container engine: primitive calls and the shapes that they take and give. Each
//! call bounds its own time and retries nothing. Policy (names, labels, order, retries, clean-up)
//! is the engine crate's; a backend refuses to have any.

mod build;
mod info;
mod seeing;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use hoist_model::event::Stream as OutputStream;
use hoist_model::image::ImageIdentity;
use hoist_model::reason::Trouble;
use hoist_model::seen::Usage;
use hoist_model::unit::{Healthcheck, Limits, Network, PortMapping, Restart, Security, Tmpfs};
use secrecy::SecretString;
use serde_json::Value;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use build::{BuildError, BuildRequest, Built, CacheSpec, ContextFolder};
pub use info::{Enforces, EngineInfo};
pub use seeing::{ExecEnds, ExecSpec, LogPiece, LogQuery};

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// Bytes that come piece by piece.
pub type ByteStream = BoxStream<'static, Result<Bytes, BackendError>>;

/// What an engine could not do.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct BackendError {
    /// What it comes to.
    pub kind: BackendErrorKind,
    /// The engine's words, or the transport's.
    pub message: String,
}

/// What a backend's error comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendErrorKind {
    /// Nothing answers at the address.
    Unreachable,
    /// The socket is there and may not be used.
    Permission,
    /// The engine speaks only older versions of the API than hoist needs.
    TooOld,
    /// The object is not there (404).
    NotFound,
    /// The name is taken, or the object is in the wrong state (409).
    Conflict,
    /// The registry wants other credentials.
    Unauthorized,
    /// A port of the host is taken.
    PortTaken,
    /// An address of a network is taken.
    AddressTaken,
    /// A subnet overlaps another network's.
    SubnetOverlap,
    /// The engine has no addresses left for another network.
    NoAddresses,
    /// No space left on the engine's disk.
    DiskFull,
    /// The command does not exist in the image (127) or cannot be executed (126).
    CannotStart {
        /// 126 or 127.
        code: i64,
    },
    /// No answer in time.
    Timeout,
    /// The connection broke in the middle: the engine went away.
    Broken,
    /// This engine cannot do it.
    Unsupported,
    /// A registry answered wrongly or is overloaded; worth another try.
    Registry,
    /// Anything else that the engine says.
    Engine,
}

/// A container to be created. All capabilities are dropped but `security.cap_add`, new privileges
/// are refused and a seccomp profile holds, always.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// The image, by the engine's ID or a name.
    pub image: String,
    /// `None` is the image's own; an empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// `None` is the image's own.
    pub command: Option<Vec<String>>,
    /// Variables.
    pub environment: BTreeMap<String, String>,
    /// `None` is the image's own.
    pub working_dir: Option<String>,
    /// `None` is the image's own.
    pub user: Option<String>,
    /// Labels.
    pub labels: Labels,
    /// Networks.
    pub network: Attachment,
    /// Only the names of containers on its networks are found. Without a way out others cannot be
    /// asked for anyway, but some engines ask in the container's place, and let words out with it.
    pub local_names: bool,
    /// What it may do.
    pub security: Security,
    /// Its bounds.
    pub limits: Limits,
    /// Memory file systems.
    pub tmpfs: Vec<Tmpfs>,
    /// Volumes.
    pub mounts: Vec<Mount>,
    /// Published ports.
    pub ports: Vec<PortMapping>,
    /// How its health is told; `None` is the image's own.
    pub healthcheck: Option<Healthcheck>,
    /// What the engine does when it exits.
    pub restart: Restart,
    /// Whether the engine keeps its output; attaching works either way.
    pub logs: Logs,
    /// Grace that the engine gives on stop; its own default where absent.
    pub stop_grace_period: Option<Duration>,
    /// The signal that asks it to end, such as `SIGINT`; the image's own where absent.
    pub stop_signal: Option<String>,
    /// What becomes of its standard input.
    pub input: Input,
}

/// A container's standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Input {
    /// At its end from the start.
    #[default]
    None,
    /// Open, with a terminal, for as long as someone is attached; see
    /// [`Backend::attach_terminal`].
    Terminal,
    /// Open for as long as someone holds it; see [`Backend::hold_input`].
    Held,
    /// Open, and never written to.
    Open,
}

/// Which networks a container is on.
#[derive(Clone, Debug, PartialEq)]
pub enum Attachment {
    /// Loopback only, and no names either, not even the container's own: what never speaks to anyone
    /// starts in half the time.
    Nothing,
    /// Loopback only.
    None,
    /// The engine's default bridge.
    Bridge,
    /// All of the host's, and none of its own.
    Host,
    /// These, the first before the start, the others connected before it too.
    Networks(Vec<Endpoint>),
}

impl From<Network> for Attachment {
    fn from(network: Network) -> Self {
        match network {
            Network::None => Self::None,
            Network::Bridge => Self::Bridge,
        }
    }
}

/// A container's place in a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// The network's ID or name.
    pub network: String,
    /// Names by which others there find it.
    pub aliases: Vec<String>,
    /// A fixed address; chosen by the engine where absent.
    pub address: Option<Ipv4Addr>,
    /// The container's way out and its published ports are this network's, whatever others it is on.
    /// Engines before API 1.48 know only the order of the networks' names: the first has them.
    pub gateway: bool,
}

/// A named volume in a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Mount {
    /// The volume's name.
    pub volume: String,
    /// An absolute path.
    pub target: String,
    /// Cannot be written to.
    pub read_only: bool,
    /// An empty volume first gets what the image has at the target, and its owner, as users of
    /// Compose expect of their data. Volumes that hoist fills must not: an empty folder in one
    /// would get the image's owner.
    pub populate: bool,
}

/// Whether the engine keeps a container's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logs {
    /// It does not; only who is attached sees it.
    Discard,
    /// It keeps the last of it, capped.
    Keep,
}

/// A piece of a container's output.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Which stream.
    pub stream: OutputStream,
    /// Its bytes, split anywhere.
    pub bytes: Bytes,
}

/// The ends of a container's terminal.
pub struct TerminalEnds {
    /// All that it prints, until it exits.
    pub output: ByteStream,
    /// What is typed.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// A container's input that is held open. The container sees its end when this is dropped and when
/// this process dies.
#[derive(Debug)]
pub struct HeldInput(CancellationToken);

impl HeldInput {
    /// Of a backend, which gives the input up when the token is cancelled, and cancels it when the
    /// input is lost.
    #[must_use]
    pub fn new(ended: CancellationToken) -> Self {
        Self(ended)
    }

    /// Cancelled as soon as the input is not held any more: the container ended or the connection
    /// broke.
    #[must_use]
    pub fn ended(&self) -> &CancellationToken {
        &self.0
    }
}

impl Drop for HeldInput {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What a command in a running container came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Executed {
    /// Its exit code; 126 or 127 where it could not be executed.
    pub code: i64,
    /// What it printed to both of its streams, as it came: the first MiB. Where it could not be
    /// executed, why.
    pub output: String,
}

/// A process of a container, as the engine's host sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u64,
    /// Its parent's.
    pub parent: u64,
    /// What it was started with, with spaces between.
    pub command: String,
}

/// A container as the engine knows it.
#[derive(Clone, Debug, Default)]
pub struct ContainerInfo {
    /// Its ID.
    pub id: String,
    /// Its name, without a slash.
    pub name: String,
    /// The engine's ID of its image.
    pub image: String,
    /// Labels.
    pub labels: Labels,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    pub status: String,
    /// Of the last time that it ran.
    pub exit_code: i64,
    /// The kernel killed one of its processes for memory.
    pub oom_killed: bool,
    /// The engine's words when it could not start.
    pub error: String,
    /// Its health, where it has a check.
    pub health: Option<Health>,
    /// When it started last, RFC 3339.
    pub started_at: String,
    /// How often the engine started it again.
    pub restart_count: u64,
    /// Addresses by network name.
    pub addresses: BTreeMap<String, String>,
    /// Published ports as `address:port->port/protocol`.
    pub ports: Vec<String>,
    /// What the engine does when it exits.
    pub restart: Restart,
    /// What bounds it.
    pub bounds: Bounds,
    /// Named volumes.
    pub mounts: Vec<Mount>,
}

/// The bounds of a container that can be changed while it runs, where it has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Billionths of a processor.
    pub nano_cpus: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

impl Bounds {
    /// Processors where the engine has them as microseconds in each period.
    #[must_use]
    pub fn nano_cpus(quota: Option<u64>, period: Option<u64>) -> Option<u64> {
        let period = period.filter(|period| *period > 0).unwrap_or(100_000);
        quota.map(|quota| quota.saturating_mul(1_000_000_000) / period)
    }
}

impl ContainerInfo {
    /// It runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.status == "running"
    }
}

/// What a container's health check says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Where it stands.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: u64,
    /// What the last probe printed.
    pub last_output: String,
}

/// Where a container's health stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthStatus {
    /// Not known yet.
    Starting,
    /// Good.
    Healthy,
    /// Bad.
    Unhealthy,
}

/// A network to be created.
#[derive(Clone, Debug, Default)]
pub struct NetworkSpec {
    /// Its name. Engines allow duplicates: keep the ID.
    pub name: String,
    /// Labels.
    pub labels: Labels,
    /// No way out.
    pub internal: bool,
    /// In CIDR form; chosen by the engine where absent.
    pub subnet: Option<String>,
    /// Of the subnet.
    pub gateway: Option<String>,
    /// The part of the subnet that the engine hands out by itself, in CIDR form.
    pub ip_range: Option<String>,
    /// Options of the bridge driver.
    pub options: BTreeMap<String, String>,
}

/// A network as the engine knows it.
#[derive(Clone, Debug, Default)]
pub struct NetworkInfo {
    /// Its ID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Labels.
    pub labels: Labels,
    /// Its subnets in CIDR form.
    pub subnets: Vec<String>,
    /// Its first `ip_range`.
    pub ip_range: Option<String>,
    /// No way out.
    pub internal: bool,
}

/// A volume as the engine knows it.
#[derive(Clone, Debug, Default)]
pub struct VolumeInfo {
    /// Its name.
    pub name: String,
    /// Labels.
    pub labels: Labels,
    /// When it was made, RFC 3339.
    pub created_at: String,
}

/// An image in a listing.
#[derive(Clone, Debug, Default)]
pub struct ImageInfo {
    /// The engine's ID.
    pub id: String,
    /// Its names.
    pub tags: Vec<String>,
    /// Labels.
    pub labels: Labels,
    /// When it was made, as it says itself, seconds since the epoch.
    pub created: i64,
    /// Bytes that no other image has, as far as the engine tells; else all of its bytes.
    pub bytes: u64,
}

/// A login for a registry.
#[derive(Clone, Debug)]
pub struct Login {
    /// The registry's host as it stands in image names, port included.
    pub registry: String,
    /// Who.
    pub username: String,
    /// The password or token.
    pub password: SecretString,
}

/// Something that happened to a container on the engine.
#[derive(Clone, Debug, Default)]
pub struct EngineEvent {
    /// The container's ID.
    pub container: String,
    /// Its name; empty where the engine does not say.
    pub name: String,
    /// Its labels, as far as the engine says them; other attributes may be among them.
    pub labels: Labels,
    /// `kill`, `die`, `oom`, `start`, `health_status: healthy`, ...
    pub action: String,
    /// The signal of a `kill`.
    pub signal: Option<String>,
    /// The exit code of a `die`.
    pub exit_code: Option<i64>,
    /// When, by the engine's clock, nanoseconds since the epoch; 0 where it does not say.
    pub at: i64,
}

/// Which objects a listing holds: all of these labels, `None` for any value.
pub type LabelFilter<'a> = &'a [(&'a str, Option<&'a str>)];

/// A container engine. Every call may fail with [`BackendErrorKind::Unreachable`] or
/// [`BackendErrorKind::Timeout`] besides what it says.
#[async_trait]
pub trait Backend: Send + Sync {
    /// What the engine says of itself; asked once and remembered.
    async fn info(&self) -> Result<EngineInfo, BackendError>;

    /// The image of that name or ID, or `None` if the engine has none.
    async fn inspect_image(&self, reference: &str) -> Result<Option<ImageIdentity>, BackendError>;
    /// The user that an image names for its containers, as `USER` has it; empty where it names
    /// none, `None` where the engine does not tell.
    async fn image_user(&self, _image: &str) -> Result<Option<String>, BackendError> {
        Ok(None)
    }
    /// The folder in which an image's containers start, as `WORKDIR` has it; empty where it names
    /// none.
    async fn image_working_dir(&self, _image: &str) -> Result<String, BackendError> {
        Ok(String::new())
    }
    /// Pulls an image. `progress` gets lines for people.
    async fn pull_image(
        &self,
        reference: &str,
        logins: &[Login],
        progress: mpsc::Sender<Bytes>,
    ) -> Result<(), BackendError>;
    /// Gives an image another name.
    async fn tag_image(&self, image: &str, tag: &str) -> Result<(), BackendError>;
    /// Takes a name from an image; the image itself stays if anything else holds it. Missing is
    /// fine.
    async fn untag_image(&self, tag: &str) -> Result<(), BackendError>;
    /// All images with these labels.
    async fn list_images(&self, labels: LabelFilter<'_>) -> Result<Vec<ImageInfo>, BackendError>;
    /// Removes an image by its ID, with all of its names. Missing is fine;
    /// [`BackendErrorKind::Conflict`] while a container or another image needs it.
    async fn delete_image(&self, id: &str) -> Result<(), BackendError>;
    /// The image's archive, as `docker save` writes it.
    async fn export_image(&self, image: &str) -> Result<ByteStream, BackendError>;
    /// Takes in the archive of one image, as it comes. Gives the ID or the name under which the
    /// engine has the image then.
    async fn load_image(&self, archive: ByteStream) -> Result<String, BackendError>;
    /// What an image consists of: its layers, its platform and its settings. Engines that give it
    /// different IDs tell the same.
    async fn image_content(&self, image: &str) -> Result<Value, BackendError>;
    /// Pushes a tag to the registry in its name. Gives the digest by which the registry knows it.
    async fn push_image(
        &self,
        tag: &str,
        logins: &[Login],
        progress: mpsc::Sender<Bytes>,
    ) -> Result<String, BackendError>;
    /// Puts an index of images that are in the registry already under a reference of the same
    /// repository: the digest of each by its platform, such as `linux/arm64`. Gives the digest by
    /// which the registry knows the index.
    async fn push_index(
        &self,
        reference: &str,
        images: &BTreeMap<String, String>,
        logins: &[Login],
    ) -> Result<String, BackendError>;
    /// Builds an image. `progress` gets the builder's output as text. Dropping the future stops the
    /// build on the engine.
    async fn build_image(
        &self,
        request: BuildRequest,
        progress: mpsc::Sender<Bytes>,
    ) -> Result<Built, BuildError>;

    /// Creates a container and gives its ID. [`BackendErrorKind::Conflict`] if the name is taken,
    /// [`BackendErrorKind::NotFound`] if the image is not there.
    async fn create_container(&self, spec: &ContainerSpec) -> Result<String, BackendError>;
    /// What of a created container's spec the engine dropped that [`Enforces`] does not tell of,
    /// by Compose's names, such as `blkio_config.weight`: engines drop without an error what their
    /// kernel cannot do.
    async fn dropped_bounds(
        &self,
        _id: &str,
        _spec: &ContainerSpec,
    ) -> Result<Vec<String>, BackendError> {
        Ok(Vec::new())
    }
    /// Attaches to a created container: every byte that it will print, until it exits.
    async fn attach(
        &self,
        id: &str,
    ) -> Result<BoxStream<'static, Result<Chunk, BackendError>>, BackendError>;
    /// Makes an image of what is in a container that does not run, under a name, with the container's
    /// labels. What is in volumes and in memory is not in it.
    async fn commit_container(&self, id: &str, name: &str) -> Result<(), BackendError>;
    /// Attaches to a created container that has a terminal.
    async fn attach_terminal(&self, id: &str) -> Result<TerminalEnds, BackendError>;
    /// Says how large a running container's terminal is, in characters.
    async fn resize_terminal(&self, id: &str, columns: u16, rows: u16) -> Result<(), BackendError>;
    /// Attaches to a created container whose input is [`Input::Held`], so that it stays open. What
    /// the container prints is read and dropped.
    async fn hold_input(&self, id: &str) -> Result<HeldInput, BackendError>;
    /// Executes a command in a running container, as its user, and waits for its end.
    /// [`BackendErrorKind::Conflict`] if the container does not run; [`BackendErrorKind::Timeout`]
    /// after `within`, and the command runs on.
    async fn exec(
        &self,
        id: &str,
        command: &[String],
        within: Duration,
    ) -> Result<Executed, BackendError>;
    /// The processes of a running container. [`BackendErrorKind::Conflict`] if it does not run.
    async fn processes(&self, id: &str) -> Result<Vec<Process>, BackendError>;
    /// Starts a container.
    async fn start_container(&self, id: &str) -> Result<(), BackendError>;
    /// Waits until a started container exits and gives its exit code. Has no time limit.
    async fn wait_container(&self, id: &str) -> Result<i64, BackendError>;
    /// Stops a container, with grace before the kill. One that is not running is fine.
    async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), BackendError>;
    /// Sends a signal, such as `KILL`. One that is not running is fine.
    async fn kill_container(&self, id: &str, signal: &str) -> Result<(), BackendError>;
    /// Gives a container another name.
    async fn rename_container(&self, id: &str, name: &str) -> Result<(), BackendError>;
    /// Changes what the engine does when a container exits.
    async fn set_restart(&self, id: &str, restart: Restart) -> Result<(), BackendError>;
    /// Removes a container with its anonymous volumes, running or not. Missing is fine.
    async fn remove_container(&self, id: &str) -> Result<(), BackendError>;
    /// The container, or `None` if it is not there.
    async fn inspect_container(&self, id: &str) -> Result<Option<ContainerInfo>, BackendError>;
    /// All containers with these labels, running or not. Only `id`, `name`, `image`, `labels`,
    /// `status` and `ports` are filled in.
    async fn list_containers(
        &self,
        labels: LabelFilter<'_>,
    ) -> Result<Vec<ContainerInfo>, BackendError>;
    /// Unpacks a tar into a container's folder. Into a read-only root only mounts can be written.
    async fn upload(&self, id: &str, folder: &str, tar: ByteStream) -> Result<(), BackendError>;
    /// A tar of a path in a container; [`BackendErrorKind::NotFound`] if it is not there.
    async fn download(&self, id: &str, path: &str) -> Result<ByteStream, BackendError>;
    /// The last lines that the engine kept of a container's output; all of them where `tail` is
    /// absent.
    async fn logs(&self, id: &str, tail: Option<usize>) -> Result<Vec<Chunk>, BackendError>;
    /// What happens to containers with these labels from now on, or, as far as the engine remembers
    /// it, from `since` on: a time as [`EngineEvent::at`] has it. Ends when the engine goes away. An
    /// engine that refuses may say so as late as in the stream's first item.
    async fn events(
        &self,
        labels: LabelFilter<'_>,
        since: Option<i64>,
    ) -> Result<BoxStream<'static, Result<EngineEvent, BackendError>>, BackendError>;

    /// Creates a volume. One of that name that is there already is fine.
    async fn create_volume(&self, name: &str, labels: &Labels) -> Result<(), BackendError>;
    /// The same of a volume in memory, bytes at most. What is in it is gone when the last container that
    /// runs with it ends.
    async fn create_memory_volume(
        &self,
        name: &str,
        labels: &Labels,
        bytes: u64,
    ) -> Result<(), BackendError>;
    /// The volume, or `None` if it is not there.
    async fn inspect_volume(&self, name: &str) -> Result<Option<VolumeInfo>, BackendError>;
    /// Removes a volume. Missing is fine; [`BackendErrorKind::Conflict`] while in use.
    async fn remove_volume(&self, name: &str) -> Result<(), BackendError>;
    /// The bytes that volumes take, by name, as far as the engine tells. It may look at every file of
    /// them for that.
    async fn volume_sizes(&self) -> Result<BTreeMap<String, u64>, BackendError>;
    /// All volumes with these labels.
    async fn list_volumes(&self, labels: LabelFilter<'_>) -> Result<Vec<VolumeInfo>, BackendError>;

    /// Creates a network and gives its ID.
    async fn create_network(&self, spec: &NetworkSpec) -> Result<String, BackendError>;
    /// Connects a container, running or not, to another network.
    /// [`BackendErrorKind::AddressTaken`] if someone else has the address,
    /// [`BackendErrorKind::Conflict`] if it can be on none, or runs and is on that one already.
    async fn connect_network(
        &self,
        container: &str,
        endpoint: &Endpoint,
    ) -> Result<(), BackendError>;
    /// Takes a container from a network. One that is not on it, or not there, is fine.
    async fn disconnect_network(&self, container: &str, network: &str) -> Result<(), BackendError>;
    /// Removes a network. Missing is fine.
    async fn remove_network(&self, id: &str) -> Result<(), BackendError>;
    /// All networks with these labels; with none, all networks.
    async fn list_networks(
        &self,
        labels: LabelFilter<'_>,
    ) -> Result<Vec<NetworkInfo>, BackendError>;

    /// What a container uses at this moment; `None` where it does not run.
    async fn usage(&self, _id: &str) -> Result<Option<Usage>, BackendError> {
        Err(unsupported("say what a container uses"))
    }
    /// The bytes that containers with these labels wrote beside their images, by ID.
    async fn container_sizes(
        &self,
        _labels: LabelFilter<'_>,
    ) -> Result<BTreeMap<String, u64>, BackendError> {
        Err(unsupported("say what containers take"))
    }
    /// A container's kept output with its times, in its order. Following has no time limit.
    async fn log_pieces(
        &self,
        _id: &str,
        _query: LogQuery,
    ) -> Result<BoxStream<'static, Result<LogPiece, BackendError>>, BackendError> {
        Err(unsupported("give output with its times"))
    }
    /// What the engine remembers of containers with these labels between two times, as
    /// [`EngineEvent::at`] has them. It may remember little.
    async fn past_events(
        &self,
        _labels: LabelFilter<'_>,
        _since: i64,
        _until: i64,
    ) -> Result<Vec<EngineEvent>, BackendError> {
        Err(unsupported("say what happened"))
    }
    /// Stops a container, with grace before the kill, and starts it again; one that does not run is
    /// started. An engine goes on with it when its caller is gone.
    async fn restart_container(&self, _id: &str, _grace: Duration) -> Result<(), BackendError> {
        Err(unsupported("restart a container"))
    }
    /// Starts a command in a running container; [`BackendErrorKind::CannotStart`] where the engine
    /// says at once that it is not there. What it prints has no time limit.
    async fn exec_attached(&self, _id: &str, _spec: &ExecSpec) -> Result<ExecEnds, BackendError> {
        Err(unsupported("run a command in a container"))
    }
    /// Says how large such a command's terminal is, in characters.
    async fn resize_exec(&self, _exec: &str, _to: (u16, u16)) -> Result<(), BackendError> {
        Err(unsupported("run a command in a container"))
    }
    /// The exit code of such a command; `None` while it runs.
    async fn exec_code(&self, _exec: &str) -> Result<Option<i64>, BackendError> {
        Err(unsupported("run a command in a container"))
    }
}

fn unsupported(what: &str) -> BackendError {
    let message = format!("this engine cannot {what}");
    BackendError::new(BackendErrorKind::Unsupported, message)
}

/// Makes backends from addresses. The command line hands one in, so that the engine crate need not
/// know Docker.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Connects and agrees on an API version. An address is what `DOCKER_HOST` takes, or
    /// `context:NAME`; absent, it is the engine in use.
    async fn connect(&self, address: Option<&str>) -> Result<Arc<dyn Backend>, BackendError>;
}

impl BackendError {
    /// An error of that kind.
    pub fn new(kind: BackendErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The error as a sentence for people: `what` is what was being tried.
    #[must_use]
    pub fn trouble(&self, what: impl Into<String>) -> Trouble {
        use BackendErrorKind as K;
        let hint = match self.kind {
            K::Unreachable => {
                "start the engine, or name another with DOCKER_HOST; `hoist doctor` looks closer"
            }
            K::Permission => {
                "add your user to the group `docker`, or name another engine with DOCKER_HOST"
            }
            K::TooOld => "hoist needs Docker 20.10 (API 1.41) or newer",
            K::NotFound => "check the name",
            K::Conflict => "see what holds the name with `docker ps -a`",
            K::Unauthorized => "log in with `docker login`, or set [registries] in pipeline.toml",
            K::PortTaken => "stop what listens there, or publish another port",
            K::AddressTaken => "see what has the address with `docker network inspect`",
            K::SubnetOverlap => "choose another subnet, or let hoist choose by leaving it out",
            K::NoAddresses => {
                "run fewer steps at once with `--jobs`, or give the engine more `default-address-pools`"
            }
            K::DiskFull => {
                "free space on the engine's disk; `docker system df` shows what takes it"
            }
            K::CannotStart { .. } => "check that the command is in the image and executable",
            K::Timeout | K::Broken => {
                "see whether the engine is well with `hoist doctor`, and run again"
            }
            K::Registry => "see whether the engine can reach the registry, or try again later",
            K::Unsupported | K::Engine => return Trouble::new(what).cause(&self.message),
        };
        Trouble::new(what).cause(&self.message).hint(hint)
    }
}
