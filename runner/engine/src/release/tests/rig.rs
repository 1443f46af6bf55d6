//! The fake engine with what releases stand on besides: fixed addresses are held by running
//! containers, secrets can be read back, and any one call can fail or never return.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use hoist_model::image::ImageIdentity;
use hoist_model::unit::Restart;
use tokio::sync::{Notify, mpsc};

use crate::backend::{
    Backend, BackendError, BackendErrorKind, BuildError, BuildRequest, Built, ByteStream, Chunk,
    Connector, ContainerInfo, ContainerSpec, EngineEvent, EngineInfo, ImageInfo, LabelFilter,
    Labels, Login, NetworkInfo, NetworkSpec, TerminalEnds, VolumeInfo,
};
use crate::fake::FakeBackend;

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

/// Content by name.
type Files = BTreeMap<String, Vec<u8>>;

/// The engine.
pub(crate) struct Rig {
    pub(crate) engine: FakeBackend,
    faults: Vec<Fault>,
    calls: AtomicUsize,
    /// Says that the process died.
    pub(crate) died: Notify,
    /// By volume.
    secrets: Arc<Mutex<BTreeMap<String, Files>>>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let engine = FakeBackend::new();
        Self {
            engine,
            faults: Vec::new(),
            calls: AtomicUsize::new(0),
            died: Notify::new(),
            secrets: Arc::default(),
        }
    }

    /// The same engine, from the first call on, with these faults.
    pub(crate) fn with(&self, faults: &[Fault]) -> Self {
        let (engine, secrets) = (self.engine.clone(), Arc::clone(&self.secrets));
        Self {
            engine,
            faults: faults.to_vec(),
            calls: AtomicUsize::new(0),
            died: Notify::new(),
            secrets,
        }
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

    fn volume_at(&self, id: &str, path: &str) -> Option<String> {
        let found = self
            .engine
            .containers()
            .into_iter()
            .find(|c| c.id == id || c.name == id)?;
        found
            .mounts
            .into_iter()
            .find(|mount| mount.target == path)
            .map(|mount| mount.volume)
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
                BackendErrorKind::Engine,
                "Address already in use",
            ));
        }
        self.engine.start_container(id).await
    }

    async fn put(&self, id: &str, folder: &str, tar: ByteStream) -> Result<(), BackendError> {
        self.engine.upload(id, folder, tar).await?;
        if let Some(volume) = self.volume_at(id, crate::vault::FOLDER)
            && let Some(upload) = self.engine.uploads().pop()
        {
            let names = upload.files.into_iter();
            let files =
                names.map(|(path, bytes)| (path.rsplit('/').next().unwrap().to_owned(), bytes));
            let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
            secrets.insert(volume, files.collect());
        }
        Ok(())
    }

    async fn get(&self, id: &str, path: &str) -> Result<ByteStream, BackendError> {
        let Some(volume) = self.volume_at(id, path) else {
            return self.engine.download(id, path).await;
        };
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in secrets.get(&volume).into_iter().flatten() {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, format!("secrets/{name}"), content.as_slice())
                .unwrap();
        }
        let bytes = Bytes::from(tar.into_inner().unwrap());
        Ok(stream::iter([Ok(bytes)]).boxed())
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
        self.call(self.engine.kill_container(id, signal)).await
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
        self.call(self.put(id, folder, tar)).await
    }

    async fn download(&self, id: &str, path: &str) -> Result<ByteStream, BackendError> {
        self.call(self.get(id, path)).await
    }

    async fn logs(&self, id: &str, tail: Option<usize>) -> Result<Vec<Chunk>, BackendError> {
        self.call(self.engine.logs(id, tail)).await
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
