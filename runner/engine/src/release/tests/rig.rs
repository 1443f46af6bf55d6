//! The fake engine with what releases stand on besides: fixed addresses are held by running
//! containers, and any one call can fail or never return.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use hoist_model::image::ImageIdentity;
use hoist_model::unit::Restart;
use serde_json::Value;
use tokio::sync::{Notify, mpsc};

use crate::backend::{
    Backend, BackendError, BackendErrorKind, BuildError, BuildRequest, Built, ByteStream, Chunk,
    Connector, ContainerInfo, ContainerSpec, Endpoint, EngineEvent, EngineInfo, Executed,
    HeldInput, ImageInfo, LabelFilter, Labels, Login, NetworkInfo, NetworkSpec, Process,
    TerminalEnds, VolumeInfo,
};
use crate::fake::FakeBackend;
use crate::labels;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call of that number fails and does nothing.
    Fails(usize),
    /// The call of that number does what it is to do, and its answer is lost.
    AnswerLost(usize),
    /// The call of that number never returns and does nothing: the process dies there.
    DiesBefore(usize),
    /// The call of that number does what it is to do and never returns: the process dies there.
    DiesAfter(usize),
    /// The process dies in the call of that number, and the engine goes on with it: it does so with
    /// a stop.
    DiesDuring(usize),
}

/// The engine.
pub(crate) struct Rig {
    pub(crate) engine: FakeBackend,
    faults: Vec<Fault>,
    calls: AtomicUsize,
    /// Says that the process died.
    pub(crate) died: Notify,
    /// How often each proxy read its configuration again.
    reloads: Arc<Mutex<BTreeMap<String, u64>>>,
    /// How many requests each proxy had for each of its servers.
    requests: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let engine = FakeBackend::new();
        Self {
            engine,
            faults: Vec::new(),
            calls: AtomicUsize::new(0),
            died: Notify::new(),
            reloads: Arc::default(),
            requests: Arc::default(),
        }
    }

    /// The same engine, from the first call on, with these faults.
    pub(crate) fn with(&self, faults: &[Fault]) -> Self {
        Self {
            engine: self.engine.clone(),
            faults: faults.to_vec(),
            calls: AtomicUsize::new(0),
            died: Notify::new(),
            reloads: Arc::clone(&self.reloads),
            requests: Arc::clone(&self.requests),
        }
    }

    fn is_proxy(&self, id: &str) -> bool {
        let all = self.engine.containers();
        let mut known = all.iter().filter(|one| one.id == id || one.name == id);
        known.any(|one| one.labels.contains_key(labels::GATE))
    }

    fn reloads(&self, id: &str) -> u64 {
        let reloads = self.reloads.lock().unwrap_or_else(PoisonError::into_inner);
        reloads.get(id).copied().unwrap_or_default()
    }

    /// What a proxy says of all servers that its configuration names: that they answer, and, where it
    /// logs requests, how one more ended since it was last asked.
    async fn verdicts(&self, id: &str) -> Result<Vec<Chunk>, BackendError> {
        let mut tar = Vec::new();
        let mut stream = self.engine.download(id, "/etc/hoist/haproxy.cfg").await?;
        while let Some(bytes) = stream.next().await {
            tar.extend_from_slice(&bytes?);
        }
        let found = crate::release::secrets::unpack(&tar).expect("an archive");
        let text = found.into_values().next().unwrap_or_default();
        let (mut backend, mut said) = (String::new(), String::new());
        let text = String::from_utf8_lossy(&text);
        let mut all = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = all.entry(id.to_owned()).or_default();
        *requests += usize::from(text.contains("log-format"));
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("backend"), Some(name)) => name.clone_into(&mut backend),
                (Some("server"), Some(name)) => {
                    said += &format!("Health check for server {backend}/{name} succeeded, ok\n");
                    let request = serde_json::json!({
                        "server": name, "status": 200, "millis": 1, "termination": "--", "retries": "0",
                    });
                    said += &format!("{request}\n").repeat(*requests);
                }
                _ => {}
            }
        }
        Ok(vec![Chunk {
            stream: hoist_model::event::Stream::Stdout,
            bytes: Bytes::from(said),
        }])
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    async fn call<T>(
        &self,
        effect: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let lost = || BackendError::new(BackendErrorKind::Timeout, "no answer in time");
        let has = |fault: fn(usize) -> Fault| self.faults.contains(&fault(number));
        if has(Fault::DiesBefore) {
            self.die().await;
        }
        if has(Fault::Fails) {
            return Err(lost());
        }
        let result = effect.await;
        if has(Fault::DiesAfter) {
            self.die().await;
        }
        if has(Fault::AnswerLost) {
            return Err(lost());
        }
        result
    }

    async fn die(&self) {
        self.died.notify_one();
        std::future::pending().await
    }

    async fn start(&self, id: &str) -> Result<(), BackendError> {
        let all = self.engine.containers();
        let (mine, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|c| c.id == id || c.name == id);
        let held = |address: &(&String, &String)| {
            let mut running = others.iter().filter(|other| other.is_running());
            running.any(|other| other.addresses.get(address.0) == Some(address.1))
        };
        if mine
            .iter()
            .flat_map(|mine| &mine.addresses)
            .any(|address| held(&address))
        {
            return Err(BackendError::new(
                BackendErrorKind::AddressTaken,
                "Address already in use",
            ));
        }
        self.engine.start_container(id).await
    }
}

#[async_trait]
impl Connector for Rig {
    async fn connect(&self, _address: Option<&str>) -> Result<Arc<dyn Backend>, BackendError> {
        Ok(Arc::new(self.with(&[])))
    }
}

#[async_trait]
impl Backend for Rig {
    async fn info(&self) -> Result<EngineInfo, BackendError> {
        self.engine.info().await
    }

    async fn inspect_image(&self, reference: &str) -> Result<Option<ImageIdentity>, BackendError> {
        self.call(self.engine.inspect_image(reference)).await
    }

    async fn pull_image(
        &self,
        reference: &str,
        logins: &[Login],
        progress: mpsc::Sender<Bytes>,
    ) -> Result<(), BackendError> {
        self.call(self.engine.pull_image(reference, logins, progress))
            .await
    }

    async fn tag_image(&self, image: &str, tag: &str) -> Result<(), BackendError> {
        self.call(self.engine.tag_image(image, tag)).await
    }

    async fn untag_image(&self, tag: &str) -> Result<(), BackendError> {
        self.call(self.engine.untag_image(tag)).await
    }

    async fn list_images(&self, labels: LabelFilter<'_>) -> Result<Vec<ImageInfo>, BackendError> {
        self.call(self.engine.list_images(labels)).await
    }

    async fn delete_image(&self, id: &str) -> Result<(), BackendError> {
        self.call(self.engine.delete_image(id)).await
    }

    async fn volume_sizes(&self) -> Result<BTreeMap<String, u64>, BackendError> {
        self.call(self.engine.volume_sizes()).await
    }

    async fn export_image(&self, image: &str) -> Result<ByteStream, BackendError> {
        self.call(self.engine.export_image(image)).await
    }

    async fn load_image(&self, archive: ByteStream) -> Result<String, BackendError> {
        self.call(self.engine.load_image(archive)).await
    }

    async fn image_content(&self, image: &str) -> Result<Value, BackendError> {
        self.call(self.engine.image_content(image)).await
    }

    async fn push_image(
        &self,
        tag: &str,
        logins: &[Login],
        progress: mpsc::Sender<Bytes>,
    ) -> Result<String, BackendError> {
        self.call(self.engine.push_image(tag, logins, progress))
            .await
    }

    async fn push_index(
        &self,
        reference: &str,
        images: &BTreeMap<String, String>,
        logins: &[Login],
    ) -> Result<String, BackendError> {
        self.call(self.engine.push_index(reference, images, logins))
            .await
    }

    async fn build_image(
        &self,
        request: BuildRequest,
        progress: mpsc::Sender<Bytes>,
    ) -> Result<Built, BuildError> {
        self.engine.build_image(request, progress).await
    }

    async fn create_container(&self, spec: &ContainerSpec) -> Result<String, BackendError> {
        self.call(self.engine.create_container(spec)).await
    }

    async fn attach(
        &self,
        id: &str,
    ) -> Result<BoxStream<'static, Result<Chunk, BackendError>>, BackendError> {
        self.call(self.engine.attach(id)).await
    }

    async fn commit_container(&self, id: &str, name: &str) -> Result<(), BackendError> {
        self.call(self.engine.commit_container(id, name)).await
    }

    async fn attach_terminal(&self, id: &str) -> Result<TerminalEnds, BackendError> {
        self.call(self.engine.attach_terminal(id)).await
    }

    async fn resize_terminal(&self, id: &str, columns: u16, rows: u16) -> Result<(), BackendError> {
        self.call(self.engine.resize_terminal(id, columns, rows))
            .await
    }

    async fn hold_input(&self, id: &str) -> Result<HeldInput, BackendError> {
        self.call(self.engine.hold_input(id)).await
    }

    async fn exec(
        &self,
        id: &str,
        command: &[String],
        within: Duration,
    ) -> Result<Executed, BackendError> {
        self.call(self.engine.exec(id, command, within)).await
    }

    /// Of a proxy: a master and its worker, another one after each reload.
    async fn processes(&self, id: &str) -> Result<Vec<Process>, BackendError> {
        let process = |pid, parent| Process {
            pid,
            parent,
            command: "haproxy -W -db".to_owned(),
        };
        let answer = async {
            let all = self.engine.processes(id).await?;
            match self.is_proxy(id) {
                true => Ok(vec![process(1, 0), process(2 + self.reloads(id), 1)]),
                false => Ok(all),
            }
        };
        self.call(answer).await
    }

    async fn start_container(&self, id: &str) -> Result<(), BackendError> {
        self.call(self.start(id)).await
    }

    async fn wait_container(&self, id: &str) -> Result<i64, BackendError> {
        self.call(self.engine.wait_container(id)).await
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), BackendError> {
        let number = self.calls.load(Ordering::Relaxed);
        if self.faults.contains(&Fault::DiesDuring(number)) {
            let (engine, id) = (self.engine.clone(), id.to_owned());
            tokio::spawn(async move { engine.stop_container(&id, grace).await });
            self.die().await;
        }
        self.call(self.engine.stop_container(id, grace)).await
    }

    async fn kill_container(&self, id: &str, signal: &str) -> Result<(), BackendError> {
        let killed = async {
            match signal {
                "USR2" if self.is_proxy(id) => {
                    let mut reloads = self.reloads.lock().unwrap_or_else(PoisonError::into_inner);
                    *reloads.entry(id.to_owned()).or_default() += 1;
                    Ok(())
                }
                // It has no connection to wait for.
                "USR1" if self.is_proxy(id) => self.engine.kill_container(id, "KILL").await,
                signal => self.engine.kill_container(id, signal).await,
            }
        };
        self.call(killed).await
    }

    async fn rename_container(&self, id: &str, name: &str) -> Result<(), BackendError> {
        self.call(self.engine.rename_container(id, name)).await
    }

    async fn set_restart(&self, id: &str, restart: Restart) -> Result<(), BackendError> {
        self.call(self.engine.set_restart(id, restart)).await
    }

    async fn remove_container(&self, id: &str) -> Result<(), BackendError> {
        self.call(self.engine.remove_container(id)).await
    }

    async fn inspect_container(&self, id: &str) -> Result<Option<ContainerInfo>, BackendError> {
        self.call(self.engine.inspect_container(id)).await
    }

    async fn list_containers(
        &self,
        labels: LabelFilter<'_>,
    ) -> Result<Vec<ContainerInfo>, BackendError> {
        self.call(self.engine.list_containers(labels)).await
    }

    async fn upload(&self, id: &str, folder: &str, tar: ByteStream) -> Result<(), BackendError> {
        self.call(self.engine.upload(id, folder, tar)).await
    }

    async fn download(&self, id: &str, path: &str) -> Result<ByteStream, BackendError> {
        self.call(self.engine.download(id, path)).await
    }

    async fn logs(&self, id: &str, tail: Option<usize>) -> Result<Vec<Chunk>, BackendError> {
        let said = async {
            match self.is_proxy(id) {
                true => self.verdicts(id).await,
                false => self.engine.logs(id, tail).await,
            }
        };
        self.call(said).await
    }

    async fn events(
        &self,
        labels: LabelFilter<'_>,
        since: Option<i64>,
    ) -> Result<BoxStream<'static, Result<EngineEvent, BackendError>>, BackendError> {
        self.call(self.engine.events(labels, since)).await
    }

    async fn create_volume(&self, name: &str, labels: &Labels) -> Result<(), BackendError> {
        self.call(self.engine.create_volume(name, labels)).await
    }

    async fn create_memory_volume(
        &self,
        name: &str,
        labels: &Labels,
        bytes: u64,
    ) -> Result<(), BackendError> {
        let made = self.engine.create_memory_volume(name, labels, bytes);
        self.call(made).await
    }

    async fn inspect_volume(&self, name: &str) -> Result<Option<VolumeInfo>, BackendError> {
        self.call(self.engine.inspect_volume(name)).await
    }

    async fn remove_volume(&self, name: &str) -> Result<(), BackendError> {
        self.call(self.engine.remove_volume(name)).await
    }

    async fn list_volumes(&self, labels: LabelFilter<'_>) -> Result<Vec<VolumeInfo>, BackendError> {
        self.call(self.engine.list_volumes(labels)).await
    }

    async fn create_network(&self, spec: &NetworkSpec) -> Result<String, BackendError> {
        self.call(self.engine.create_network(spec)).await
    }

    async fn connect_network(
        &self,
        container: &str,
        endpoint: &Endpoint,
    ) -> Result<(), BackendError> {
        self.call(self.engine.connect_network(container, endpoint))
            .await
    }

    async fn disconnect_network(&self, container: &str, network: &str) -> Result<(), BackendError> {
        self.call(self.engine.disconnect_network(container, network))
            .await
    }

    async fn remove_network(&self, id: &str) -> Result<(), BackendError> {
        self.call(self.engine.remove_network(id)).await
    }

    async fn list_networks(
        &self,
        labels: LabelFilter<'_>,
    ) -> Result<Vec<NetworkInfo>, BackendError> {
        self.call(self.engine.list_networks(labels)).await
    }
}
