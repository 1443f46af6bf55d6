//! A container of the fake engine: its life, its output and its files.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{FakeBackend, Program};
use crate::backend::{
    Attachment, BackendError, BackendErrorKind, Bounds, Chunk, ContainerInfo, ContainerSpec,
    EngineEvent, Health, HealthStatus, LogPiece,
};

/// Something that was put into a container.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The container's ID.
    pub container: String,
    /// The folder that was named.
    pub folder: String,
    /// The tar's plain files: content by path in it.
    pub files: BTreeMap<String, Vec<u8>>,
}

type Listener<T> = mpsc::UnboundedSender<Result<T, BackendError>>;

pub(super) struct FakeContainer {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) spec: ContainerSpec,
    pub(super) program: Program,
    pub(super) image: String,
    pub(super) status: &'static str,
    pub(super) exit_code: i64,
    pub(super) oom_killed: bool,
    pub(super) started: Option<Instant>,
    /// How often it was started.
    pub(super) starts: u64,
    /// What it printed since it was created.
    /// Who holds its input.
    pub(super) held: Option<CancellationToken>,
    pub(super) printed: Vec<LogPiece>,
    attached: Vec<Listener<Chunk>>,
    followers: Vec<Listener<LogPiece>>,
    signals: Option<mpsc::UnboundedSender<String>>,
}

impl FakeContainer {
    pub(super) fn new(id: String, image: String, spec: ContainerSpec, program: Program) -> Self {
        Self {
            id,
            name: spec.name.clone(),
            spec,
            program,
            image,
            status: "created",
            exit_code: 0,
            oom_killed: false,
            started: None,
            starts: 0,
            printed: Vec::new(),
            held: None,
            attached: Vec::new(),
            followers: Vec::new(),
            signals: None,
        }
    }

    pub(super) fn info(&self) -> ContainerInfo {
        let addresses = match &self.spec.network {
            Attachment::Nothing | Attachment::None | Attachment::Bridge | Attachment::Host => {
                BTreeMap::new()
            }
            Attachment::Networks(endpoints) => endpoints
                .iter()
                .filter_map(|end| Some((end.network.clone(), end.address?.to_string())))
                .collect(),
        };
        let ports = self.spec.ports.iter().map(|port| {
            let host = port.host_ip.as_deref().unwrap_or("0.0.0.0");
            let published = port.published.unwrap_or(32768);
            format!("{host}:{published}->{}/tcp", port.target)
        });
        ContainerInfo {
            id: self.id.clone(),
            name: self.name.clone(),
            image: self.image.clone(),
            labels: self.spec.labels.clone(),
            status: self.status.to_owned(),
            exit_code: self.exit_code,
            oom_killed: self.oom_killed,
            error: String::new(),
            health: self.health(),
            started_at: "2026-01-01T00:00:00Z".to_owned(),
            restart_count: 0,
            addresses,
            ports: ports.collect(),
            restart: self.spec.restart,
            bounds: Bounds {
                memory: self.spec.limits.memory,
                nano_cpus: None,
                pids: self.spec.limits.pids.map(u64::from),
            },
            mounts: self.spec.mounts.clone(),
        }
    }

    fn health(&self) -> Option<Health> {
        let since = self.started?.elapsed();
        let stage = self
            .program
            .health
            .iter()
            .rev()
            .find(|(after, _)| *after <= since);
        let status = match stage {
            Some((_, status)) => *status,
            None if self.program.health.is_empty() => return None,
            None => HealthStatus::Starting,
        };
        Some(Health {
            status,
            failing_streak: 0,
            last_output: "probed".to_owned(),
        })
    }

    pub(super) fn attach(&mut self) -> mpsc::UnboundedReceiver<Result<Chunk, BackendError>> {
        let (to, from) = mpsc::unbounded_channel();
        self.attached.push(to);
        from
    }

    /// What it prints from now on, as long as it runs.
    pub(super) fn follow(&mut self) -> mpsc::UnboundedReceiver<Result<LogPiece, BackendError>> {
        let (to, from) = mpsc::unbounded_channel();
        if self.status == "running" {
            self.followers.push(to);
        }
        from
    }

    pub(super) fn break_streams(&mut self) {
        if let Some(held) = &self.held {
            held.cancel();
        }
        let broken = || BackendError::new(BackendErrorKind::Broken, "connection reset");
        for to in self.attached.drain(..) {
            let _ = to.send(Err(broken()));
        }
        for to in self.followers.drain(..) {
            let _ = to.send(Err(broken()));
        }
    }

    fn print(&mut self, at: i64, chunk: &Chunk) {
        let piece = LogPiece {
            at,
            stream: chunk.stream,
            bytes: chunk.bytes.clone(),
        };
        self.attached
            .retain(|to| to.send(Ok(chunk.clone())).is_ok());
        self.followers
            .retain(|to| to.send(Ok(piece.clone())).is_ok());
        self.printed.push(piece);
    }
}

/// The plain files of a tar.
pub(super) fn untar(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(bytes);
    for entry in archive.entries().into_iter().flatten() {
        let Ok(mut entry) = entry else { break };
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().map(|path| path.to_string_lossy().into_owned());
        let mut content = Vec::new();
        if let (Ok(path), Ok(_)) = (path, entry.read_to_end(&mut content)) {
            files.insert(path, content);
        }
    }
    files
}

/// The tar that an engine gives for a path, if there is anything at it; a name with a slash at its end
/// is a folder's.
pub(super) fn tar(files: &BTreeMap<String, Vec<u8>>, path: &str) -> Option<Vec<u8>> {
    let path = path.trim_end_matches('/');
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let folder = format!("{path}/");
    let mut tar = tar::Builder::new(Vec::new());
    let mut found = false;
    for (name, content) in files {
        if name != path && !name.starts_with(&folder) {
            continue;
        }
        found = true;
        let inside = name
            .strip_prefix(parent)
            .unwrap_or(name)
            .trim_start_matches('/');
        let mut header = tar::Header::new_gnu();
        if inside.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
        header.set_mode(0o644);
        tar.append_data(&mut header, inside, content.as_slice())
            .ok()?;
    }
    found.then(|| tar.into_inner().ok()).flatten()
}

impl FakeBackend {
    /// Makes a created or stopped container run, and watches it to its end.
    pub(super) fn launch(&self, id: &str) {
        let mut state = self.lock();
        let Some(container) = state.containers.get_mut(id) else {
            return;
        };
        let (signals, mut inbox) = mpsc::unbounded_channel();
        container.status = "running";
        container.started = Some(Instant::now());
        container.starts += 1;
        container.signals = Some(signals);
        let program = container.program.clone();
        let (spec, held) = (container.spec.clone(), container.held.clone());
        self.emit(&mut state, id, "start", None);
        drop(state);
        self.notify();

        let (engine, id) = (self.clone(), id.to_owned());
        tokio::spawn(async move {
            let start = Instant::now();
            let mut output = program.output.into_iter().peekable();
            let end = start.checked_add(program.takes);
            loop {
                let printing = output.peek().map(|(after, _, _)| start + *after);
                tokio::select! {
                    biased;
                    () = at(printing) => {
                        if let Some((_, stream, bytes)) = output.next() {
                            engine.prints(&id, &Chunk { stream, bytes: Bytes::from(bytes) });
                        }
                    }
                    signal = inbox.recv() => match signal.as_deref() {
                        None => return,
                        Some("KILL" | "SIGKILL" | "9") => return engine.exited(&id, 137, false),
                        Some(other @ ("HUP" | "USR1" | "USR2")) => program.inside.signal(&spec, other),
                        Some(_) => if let Some(code) = program.on_stop {
                            return engine.exited(&id, code, false);
                        },
                    },
                    () = ended(held.as_ref()) => return engine.exited(&id, 0, false),
                    () = at(end) => return engine.exited(&id, program.exit, program.oom_killed),
                }
            }
        });
    }

    /// Sends a signal to a container; whether it runs.
    pub(super) fn signal(&self, id: &str, signal: &str) -> bool {
        let mut state = self.lock();
        let Some(container) = state.containers.get(id) else {
            return false;
        };
        let Some(signals) = container.signals.clone() else {
            return false;
        };
        self.emit(&mut state, id, "kill", Some(signal));
        let _ = signals.send(signal.to_owned());
        true
    }

    /// Waits until a container does not run; whether it did not in time.
    pub(super) async fn exits_within(&self, id: &str, time: Duration) -> bool {
        tokio::time::timeout(time, self.not_running(id))
            .await
            .is_ok()
    }

    /// Waits until a container does not run; gives its exit code if it is there.
    pub(super) async fn not_running(&self, id: &str) -> Option<i64> {
        let mut changed = self.changed.subscribe();
        loop {
            {
                let state = self.lock();
                let container = state.containers.get(id)?;
                if container.status != "running" {
                    return Some(container.exit_code);
                }
            }
            changed.changed().await.ok()?;
        }
    }

    fn prints(&self, id: &str, chunk: &Chunk) {
        let mut state = self.lock();
        let now = state.now();
        if let Some(container) = state.containers.get_mut(id) {
            container.print(now, chunk);
        }
    }

    fn exited(&self, id: &str, code: i64, oom_killed: bool) {
        let mut state = self.lock();
        if let Some(container) = state.containers.get_mut(id) {
            container.status = "exited";
            container.exit_code = code;
            container.oom_killed = oom_killed;
            container.signals = None;
            container.attached.clear();
            if let Some(held) = container.held.take() {
                held.cancel();
            }
            container.followers.clear();
            if oom_killed {
                self.emit(&mut state, id, "oom", None);
            }
            self.emit(&mut state, id, "die", None);
        }
        drop(state);
        self.notify();
    }

    pub(super) fn emit(
        &self,
        state: &mut super::State,
        id: &str,
        action: &str,
        signal: Option<&str>,
    ) {
        let Some(container) = state.containers.get(id) else {
            return;
        };
        let labels = container.spec.labels.clone();
        let event = EngineEvent {
            name: container.name.clone(),
            labels: labels.clone(),
            exit_code: (action == "die").then_some(container.exit_code),
            container: id.to_owned(),
            action: action.to_owned(),
            signal: signal.map(str::to_owned),
            at: state.tick(),
        };
        state.emit(labels, event);
    }
}

/// The end of an input, which a program reads to its end.
async fn ended(held: Option<&CancellationToken>) {
    match held {
        Some(held) => held.cancelled().await,
        None => std::future::pending().await,
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
