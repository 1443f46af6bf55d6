//! An engine in memory, for tests: containers that do what a test says, by tokio's clock. It knows
//! the engine's rules that callers stand on (names are taken once, images must be there, a volume
//! in use stays) and refuses to be a Docker in anything else.

mod backend;
#[cfg(test)]
pub(crate) mod bench;
mod container;
mod plan;
mod state;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hoist_model::event::Stream as OutputStream;
use hoist_model::image::ImageIdentity;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::backend::{
    Backend, BackendError, BackendErrorKind, BuildError, BuildRequest, Connector, ContainerInfo,
    ContainerSpec, Enforces, EngineEvent, EngineInfo, Executed, HealthStatus, Labels, NetworkInfo,
    NetworkSpec, Process, VolumeInfo,
};
pub use plan::{container, plan, step};

use container::FakeContainer;
pub use container::Upload;

/// What a running container answers to those who look into it and send it signals. A test that needs
/// more than a container which does nothing brings its own.
pub trait Inside: Debug + Send + Sync {
    /// What a command comes to in a container; without more, to nothing and well.
    fn exec(&self, _spec: &ContainerSpec, _command: &[String]) -> Executed {
        Executed::default()
    }

    /// A container's processes; without more, the one that it was made for.
    fn processes(&self, spec: &ContainerSpec) -> Vec<Process> {
        vec![Process {
            pid: 1000,
            parent: 999,
            command: spec.command.clone().unwrap_or_default().join(" "),
        }]
    }

    /// A container is sent one of `HUP`, `USR1` and `USR2`, which do not end it.
    fn signal(&self, _spec: &ContainerSpec, _signal: &str) {}
}

#[derive(Debug)]
struct Nothing;

impl Inside for Nothing {}

/// What a container does when it is started.
#[derive(Clone, Debug)]
pub struct Program {
    /// What it prints, and how long after its start.
    pub output: Vec<(Duration, OutputStream, Vec<u8>)>,
    /// How long it runs; [`Duration::MAX`] is for ever.
    pub takes: Duration,
    /// Its exit code then.
    pub exit: i64,
    /// The kernel killed one of its processes for memory.
    pub oom_killed: bool,
    /// Its exit code when it is told to stop; without one it does not listen.
    pub on_stop: Option<i64>,
    /// What can be downloaded from it: content by absolute path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Its health, and how long after its start; none has no health check.
    pub health: Vec<(Duration, HealthStatus)>,
    /// It cannot be started.
    pub start_error: Option<BackendError>,
    /// What it answers while it runs.
    pub inside: Arc<dyn Inside>,
}

impl Default for Program {
    /// Ends well at once, and with 143 when told to stop.
    fn default() -> Self {
        Self {
            output: Vec::new(),
            takes: Duration::ZERO,
            exit: 0,
            oom_killed: false,
            on_stop: Some(143),
            files: BTreeMap::new(),
            health: Vec::new(),
            start_error: None,
            inside: Arc::new(Nothing),
        }
    }
}

impl Program {
    /// Ends at once with that code.
    #[must_use]
    pub fn exits(code: i64) -> Self {
        Self {
            exit: code,
            ..Self::default()
        }
    }

    /// Runs until it is stopped.
    #[must_use]
    pub fn forever() -> Self {
        Self {
            takes: Duration::MAX,
            ..Self::default()
        }
    }

    /// Runs that long.
    #[must_use]
    pub fn takes(mut self, takes: Duration) -> Self {
        self.takes = takes;
        self
    }

    /// Prints to standard output at its start.
    #[must_use]
    pub fn prints(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.output
            .push((Duration::ZERO, OutputStream::Stdout, text.into()));
        self
    }

    /// Leaves a file.
    #[must_use]
    pub fn leaves(mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), content.into());
        self
    }

    /// Has that health from so long after its start on.
    #[must_use]
    pub fn health(mut self, after: Duration, status: HealthStatus) -> Self {
        self.health.push((after, status));
        self
    }
}

/// What a build does.
#[derive(Clone, Debug, Default)]
pub struct FakeBuild {
    /// What it prints at once.
    pub output: String,
    /// How long it takes.
    pub takes: Duration,
    /// Why it fails, if it does.
    pub error: Option<BuildError>,
}

type ContainerRule = (Box<dyn Fn(&ContainerSpec) -> bool + Send>, Program);
type BuildRule = (Box<dyn Fn(&BuildRequest) -> bool + Send>, FakeBuild);

/// The engine. Clones are the same engine.
#[derive(Clone)]
pub struct FakeBackend {
    state: Arc<Mutex<State>>,
    /// Changes whenever a container or the engine does.
    changed: watch::Sender<u64>,
}

struct State {
    info: EngineInfo,
    gone: bool,
    next: u64,
    images: BTreeMap<String, ImageIdentity>,
    names: BTreeMap<String, String>,
    image_labels: BTreeMap<String, Labels>,
    registry: BTreeMap<String, ImageIdentity>,
    containers: BTreeMap<String, FakeContainer>,
    volumes: BTreeMap<String, VolumeInfo>,
    /// What was put into volumes: content by path, by the volume's name.
    contents: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Volumes that keep what is in them only as long as a container runs with them.
    in_memory: BTreeSet<String>,
    networks: BTreeMap<String, NetworkInfo>,
    network_specs: Vec<NetworkSpec>,
    programs: Vec<ContainerRule>,
    builds: Vec<BuildRule>,
    errors: Vec<(&'static str, BackendError)>,
    delays: BTreeMap<&'static str, Duration>,
    calls: Vec<String>,
    built: Vec<BuildRequest>,
    pushed: Vec<String>,
    /// What any archive of an image is taken in as.
    loaded: Option<ImageIdentity>,
    uploads: Vec<Upload>,
    subscribers: Vec<Subscriber>,
    /// What the engine remembers.
    events: Vec<(Labels, EngineEvent)>,
    /// Events so far, which stand for the engine's clock.
    ticks: i64,
    refusal: Option<BackendError>,
    /// When it was made, which is when its own clock says `info.time`.
    made: Instant,
}

struct Subscriber {
    labels: Vec<(String, Option<String>)>,
    to: mpsc::UnboundedSender<Result<EngineEvent, BackendError>>,
}

impl Default for FakeBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeBackend {
    /// An engine with nothing on it.
    #[must_use]
    pub fn new() -> Self {
        let enforces = Enforces {
            memory: true,
            swap: true,
            cpus: true,
            cpu_shares: true,
            cpuset: true,
            pids: true,
        };
        let info = EngineInfo {
            id: "fake".into(),
            address: "fake://".into(),
            version: "1.0".into(),
            api: "1.41".into(),
            platform: "linux/amd64".into(),
            buildkit: true,
            enforces,
            time: 1_700_000_000,
            ..EngineInfo::default()
        };
        let state = State {
            info,
            gone: false,
            next: 0,
            images: BTreeMap::new(),
            names: BTreeMap::new(),
            image_labels: BTreeMap::new(),
            registry: BTreeMap::new(),
            containers: BTreeMap::new(),
            volumes: BTreeMap::new(),
            contents: BTreeMap::new(),
            in_memory: BTreeSet::new(),
            networks: BTreeMap::new(),
            network_specs: Vec::new(),
            programs: Vec::new(),
            builds: Vec::new(),
            errors: Vec::new(),
            delays: BTreeMap::new(),
            calls: Vec::new(),
            built: Vec::new(),
            pushed: Vec::new(),
            loaded: None,
            uploads: Vec::new(),
            subscribers: Vec::new(),
            events: Vec::new(),
            ticks: 0,
            refusal: None,
            made: Instant::now(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            changed: watch::Sender::new(0),
        }
    }

    /// A connector to this engine, whatever the address.
    #[must_use]
    pub fn connector(&self) -> Arc<FakeConnector> {
        Arc::new(FakeConnector::of(self))
    }

    /// Puts an image on the engine.
    pub fn add_image(&self, name: &str) -> ImageIdentity {
        let image = identity(name);
        let mut state = self.lock();
        state.names.insert(name.to_owned(), image.id.clone());
        state.images.insert(image.id.clone(), image.clone());
        image
    }

    /// Gives an image labels.
    pub fn label_image(&self, id: &str, labels: Labels) {
        self.lock().image_labels.insert(id.to_owned(), labels);
    }

    /// Gives an image a name, whatever had it before.
    pub fn name_image(&self, name: &str, id: &str) {
        self.lock().names.insert(name.to_owned(), id.to_owned());
    }

    /// Takes an image from the engine, whatever its names.
    pub fn remove_image(&self, id: &str) {
        let mut state = self.lock();
        state.images.remove(id);
        state.names.retain(|_, image| image != id);
    }

    /// Puts an image into the registry, from which it can be pulled.
    pub fn add_to_registry(&self, name: &str) {
        self.lock().registry.insert(name.to_owned(), identity(name));
    }

    /// Takes in whatever archive of an image comes as this one.
    pub fn load_as(&self, image: ImageIdentity) {
        self.lock().loaded = Some(image);
    }

    /// What containers do; without any, they end well at once, or, where their input is open, as soon
    /// as it ends. The rule that came last wins.
    pub fn program(
        &self,
        matches: impl Fn(&ContainerSpec) -> bool + Send + 'static,
        program: Program,
    ) {
        self.lock().programs.push((Box::new(matches), program));
    }

    /// What builds do; without any, they succeed at once. The rule that came last wins.
    pub fn build(
        &self,
        matches: impl Fn(&BuildRequest) -> bool + Send + 'static,
        build: FakeBuild,
    ) {
        self.lock().builds.push((Box::new(matches), build));
    }

    /// Makes the next call of that method of [`Backend`] fail. May be said more than once.
    pub fn fail_next(&self, method: &'static str, error: BackendError) {
        self.lock().errors.push((method, error));
    }

    /// Makes every call of that method take so long.
    pub fn delay(&self, method: &'static str, by: Duration) {
        self.lock().delays.insert(method, by);
    }

    /// Changes what the engine says of itself.
    pub fn change_info(&self, change: impl FnOnce(&mut EngineInfo)) {
        change(&mut self.lock().info);
    }

    /// The engine goes away: streams break, every call is refused until [`FakeBackend::come_back`].
    pub fn go_away(&self) {
        let mut state = self.lock();
        state.gone = true;
        state.subscribers.clear();
        for container in state.containers.values_mut() {
            container.break_streams();
        }
        drop(state);
        self.notify();
    }

    /// The engine is there again.
    pub fn come_back(&self) {
        self.lock().gone = false;
    }

    /// Ends all streams of events and nothing else.
    pub fn break_events(&self) {
        self.lock().subscribers.clear();
    }

    /// The engine does not remember any more what happened so far.
    pub fn forget_events(&self) {
        self.lock().events.clear();
    }

    /// Streams of events begin and end with this error from now on.
    pub fn refuse_events(&self, error: BackendError) {
        self.lock().refusal = Some(error);
    }

    /// Someone else sends a signal to a container.
    pub fn kill_from_outside(&self, id: &str, signal: &str) {
        self.signal(id, signal);
    }

    /// Every call of a method of [`Backend`] so far: its name, and what it was about.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.lock().calls.clone()
    }

    /// All containers.
    #[must_use]
    pub fn containers(&self) -> Vec<ContainerInfo> {
        self.lock()
            .containers
            .values()
            .map(FakeContainer::info)
            .collect()
    }

    /// What all containers were made with, in the order of their making.
    #[must_use]
    pub fn specs(&self) -> Vec<ContainerSpec> {
        self.lock()
            .containers
            .values()
            .map(|container| container.spec.clone())
            .collect()
    }

    /// All volumes.
    #[must_use]
    pub fn volumes(&self) -> Vec<VolumeInfo> {
        self.lock().volumes.values().cloned().collect()
    }

    /// All networks.
    #[must_use]
    pub fn networks(&self) -> Vec<NetworkInfo> {
        self.lock().networks.values().cloned().collect()
    }

    /// What all networks were made with, those that are gone too.
    #[must_use]
    pub fn network_specs(&self) -> Vec<NetworkSpec> {
        self.lock().network_specs.clone()
    }

    /// Names of images on the engine.
    #[must_use]
    pub fn image_names(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    /// What was asked to be built.
    #[must_use]
    pub fn built(&self) -> Vec<BuildRequest> {
        self.lock().built.clone()
    }

    /// Tags that were pushed.
    #[must_use]
    pub fn pushed(&self) -> Vec<String> {
        self.lock().pushed.clone()
    }

    /// What was put into containers.
    #[must_use]
    pub fn uploads(&self) -> Vec<Upload> {
        self.lock().uploads.clone()
    }

    /// What was put into a volume: content by path.
    #[must_use]
    pub fn contents(&self, volume: &str) -> BTreeMap<String, Vec<u8>> {
        let state = self.lock();
        state.contents.get(volume).cloned().unwrap_or_default()
    }

    /// Changes what is in a volume, as someone else would.
    pub fn change_contents(
        &self,
        volume: &str,
        change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>),
    ) {
        change(self.lock().contents.entry(volume.to_owned()).or_default());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Notes the call, takes its time and gives the error that a test wants of it.
    async fn called(&self, method: &'static str, about: &str) -> Result<(), BackendError> {
        let delay = {
            let mut state = self.lock();
            state
                .calls
                .push(format!("{method} {about}").trim_end().to_owned());
            state.delays.get(method).copied()
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        let mut state = self.lock();
        state.forget_memory();
        if state.gone {
            return Err(BackendError::new(
                BackendErrorKind::Unreachable,
                "nothing answers",
            ));
        }
        match state.errors.iter().position(|(of, _)| *of == method) {
            Some(at) => Err(state.errors.remove(at).1),
            None => Ok(()),
        }
    }
}

impl State {
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Nanoseconds since the epoch, by its clock.
    fn now(&self) -> i64 {
        let elapsed = i64::try_from(self.made.elapsed().as_nanos()).unwrap_or_default();
        self.info.time * 1_000_000_000 + elapsed
    }

    fn tick(&mut self) -> i64 {
        self.ticks += 1;
        self.ticks
    }

    fn emit(&mut self, labels: Labels, event: EngineEvent) {
        self.subscribers
            .retain(|to| !has(&labels, &to.labels) || to.to.send(Ok(event.clone())).is_ok());
        self.events.push((labels, event));
    }
}

/// Whether labels are what a filter asks for.
fn has(labels: &Labels, filter: &[(String, Option<String>)]) -> bool {
    filter.iter().all(|(name, value)| {
        labels
            .get(name)
            .is_some_and(|has| value.as_ref().is_none_or(|value| value == has))
    })
}

fn identity(name: &str) -> ImageIdentity {
    let id = format!("sha256:{}", blake3::hash(name.as_bytes()).to_hex());
    ImageIdentity {
        config_digest: Some(id.clone()),
        id,
        tags: vec![name.to_owned()],
        size: 1,
    }
}

/// Gives fake engines by their address.
#[derive(Clone, Default)]
pub struct FakeConnector {
    engines: BTreeMap<String, FakeBackend>,
    default: Option<FakeBackend>,
}

impl FakeConnector {
    /// A connector to an engine, whatever the address.
    #[must_use]
    pub fn of(engine: &FakeBackend) -> Self {
        Self {
            engines: BTreeMap::new(),
            default: Some(engine.clone()),
        }
    }

    /// Adds an engine at an address.
    #[must_use]
    pub fn with(mut self, address: &str, engine: &FakeBackend) -> Self {
        self.engines.insert(address.to_owned(), engine.clone());
        self
    }
}

#[async_trait]
impl Connector for FakeConnector {
    async fn connect(&self, address: Option<&str>) -> Result<Arc<dyn Backend>, BackendError> {
        let named = address.and_then(|address| self.engines.get(address));
        match named.or(self.default.as_ref()) {
            Some(engine) => {
                engine
                    .called("connect", address.unwrap_or_default())
                    .await?;
                Ok(Arc::new(engine.clone()))
            }
            None => Err(BackendError::new(
                BackendErrorKind::Unreachable,
                "nothing answers",
            )),
        }
    }
}
