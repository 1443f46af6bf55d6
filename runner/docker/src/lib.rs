//! hoist's way to a Docker Engine: [`hoist_engine::backend::Backend`] over bollard, for Docker 20.10
//! (API 1.41) and newer, and Podman's socket as far as it speaks the same.
//!
//! Only this crate names bollard. It refuses to have policy (names, retries, clean-up), to read the
//! process's environment, and to weaken a container beyond its spec.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use hoist_engine::backend::{
    Backend, BuildError, BuildRequest, Built, ByteStream, Chunk, ContainerInfo, ContainerSpec,
    Endpoint, EngineEvent, EngineInfo, ExecEnds, ExecSpec, Executed, HeldInput, ImageInfo,
    LabelFilter, Labels, LogPiece, LogQuery, Login, NetworkInfo, NetworkSpec, Process,
    TerminalEnds, VolumeInfo,
};
use hoist_model::image::ImageIdentity;
use hoist_model::seen::Usage;
use hoist_model::unit::Restart;
use serde_json::Value;
use tokio::sync::mpsc;

mod auth;
mod build;
mod call;
mod connect;
mod containers;
mod errors;
mod exec;
mod images;
mod info;
mod inside;
mod names;
mod networks;
mod registry;
mod seeing;
mod streams;
mod terminals;
mod usage;
mod volumes;

pub use connect::{DockerConnector, Settings};

use auth::Auth;
use connect::Dialer;
use errors::Result;
use info::Api;

/// A connected engine. It holds no connection open by itself: each call makes its own.
#[derive(Clone, Debug)]
pub struct DockerBackend {
    docker: Docker,
    dialer: Dialer,
    api: Api,
    auth: Auth,
    info: EngineInfo,
}

#[async_trait]
impl Backend for DockerBackend {
    async fn info(&self) -> Result<EngineInfo> {
        Ok(self.info.clone())
    }

    async fn inspect_image(&self, reference: &str) -> Result<Option<ImageIdentity>> {
        self.image_inspect(reference).await
    }

    async fn image_user(&self, image: &str) -> Result<Option<String>> {
        self.image_config_user(image).await
    }

    async fn image_working_dir(&self, image: &str) -> Result<String> {
        self.image_config_working_dir(image).await
    }

    async fn pull_image(
        &self,
        reference: &str,
        logins: &[Login],
        progress: mpsc::Sender<Bytes>,
    ) -> Result<()> {
        self.image_pull(reference, logins, progress).await
    }

    async fn tag_image(&self, image: &str, tag: &str) -> Result<()> {
        self.image_tag(image, tag).await
    }

    async fn untag_image(&self, tag: &str) -> Result<()> {
        self.image_untag(tag).await
    }

    async fn list_images(&self, labels: LabelFilter<'_>) -> Result<Vec<ImageInfo>> {
        self.image_list(labels).await
    }

    async fn delete_image(&self, id: &str) -> Result<()> {
        self.image_delete(id).await
    }

    async fn export_image(&self, image: &str) -> Result<ByteStream> {
        self.image_export(image).await
    }

    async fn load_image(&self, archive: ByteStream) -> Result<String> {
        self.image_load(archive).await
    }

    async fn image_content(&self, image: &str) -> Result<Value> {
        self.image_content_of(image).await
    }

    async fn push_image(
        &self,
        tag: &str,
        logins: &[Login],
        progress: mpsc::Sender<Bytes>,
    ) -> Result<String> {
        self.image_push(tag, logins, progress).await
    }

    async fn push_index(
        &self,
        reference: &str,
        images: &BTreeMap<String, String>,
        logins: &[Login],
    ) -> Result<String> {
        self.index_push(reference, images, logins).await
    }

    async fn build_image(
        &self,
        request: BuildRequest,
        progress: mpsc::Sender<Bytes>,
    ) -> std::result::Result<Built, BuildError> {
        build::build(self, request, progress).await
    }

    async fn create_container(&self, spec: &ContainerSpec) -> Result<String> {
        self.container_create(spec).await
    }

    async fn dropped_bounds(&self, id: &str, spec: &ContainerSpec) -> Result<Vec<String>> {
        self.container_dropped_bounds(id, spec).await
    }

    async fn attach(&self, id: &str) -> Result<BoxStream<'static, Result<Chunk>>> {
        self.container_attach(id).await
    }

    async fn commit_container(&self, id: &str, name: &str) -> Result<()> {
        self.container_commit(id, name).await
    }

    async fn attach_terminal(&self, id: &str) -> Result<TerminalEnds> {
        self.terminal_attach(id).await
    }

    async fn resize_terminal(&self, id: &str, columns: u16, rows: u16) -> Result<()> {
        self.terminal_resize(id, columns, rows).await
    }

    async fn hold_input(&self, id: &str) -> Result<HeldInput> {
        self.input_hold(id).await
    }

    async fn exec(&self, id: &str, command: &[String], within: Duration) -> Result<Executed> {
        self.container_exec(id, command, within).await
    }

    async fn processes(&self, id: &str) -> Result<Vec<Process>> {
        self.container_processes(id).await
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        self.container_start(id).await
    }

    async fn wait_container(&self, id: &str) -> Result<i64> {
        self.container_wait(id).await
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        self.container_stop(id, grace).await
    }

    async fn kill_container(&self, id: &str, signal: &str) -> Result<()> {
        self.container_kill(id, signal).await
    }

    async fn rename_container(&self, id: &str, name: &str) -> Result<()> {
        self.container_rename(id, name).await
    }

    async fn set_restart(&self, id: &str, restart: Restart) -> Result<()> {
        self.container_restart(id, restart).await
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        self.container_remove(id).await
    }

    async fn inspect_container(&self, id: &str) -> Result<Option<ContainerInfo>> {
        self.container_inspect(id).await
    }

    async fn list_containers(&self, labels: LabelFilter<'_>) -> Result<Vec<ContainerInfo>> {
        self.container_list(labels).await
    }

    async fn upload(&self, id: &str, folder: &str, tar: ByteStream) -> Result<()> {
        self.container_upload(id, folder, tar).await
    }

    async fn download(&self, id: &str, path: &str) -> Result<ByteStream> {
        self.container_download(id, path).await
    }

    async fn logs(&self, id: &str, tail: Option<usize>) -> Result<Vec<Chunk>> {
        self.container_logs(id, tail).await
    }

    async fn events(
        &self,
        labels: LabelFilter<'_>,
        since: Option<i64>,
    ) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        self.engine_events(labels, since).await
    }

    async fn create_volume(&self, name: &str, labels: &Labels) -> Result<()> {
        self.volume_create(name, labels, HashMap::new()).await
    }

    async fn create_memory_volume(&self, name: &str, labels: &Labels, bytes: u64) -> Result<()> {
        let options = [
            ("type", "tmpfs".to_owned()),
            ("device", "tmpfs".to_owned()),
            ("o", format!("size={bytes},mode=0755")),
        ];
        let options = options.map(|(key, value)| (key.to_owned(), value));
        self.volume_create(name, labels, options.into()).await
    }

    async fn inspect_volume(&self, name: &str) -> Result<Option<VolumeInfo>> {
        self.volume_inspect(name).await
    }

    async fn remove_volume(&self, name: &str) -> Result<()> {
        self.volume_remove(name).await
    }

    async fn volume_sizes(&self) -> Result<BTreeMap<String, u64>> {
        self.volume_usage().await
    }

    async fn list_volumes(&self, labels: LabelFilter<'_>) -> Result<Vec<VolumeInfo>> {
        self.volume_list(labels).await
    }

    async fn create_network(&self, spec: &NetworkSpec) -> Result<String> {
        self.network_create(spec).await
    }

    async fn connect_network(&self, container: &str, endpoint: &Endpoint) -> Result<()> {
        self.network_connect(container, endpoint).await
    }

    async fn disconnect_network(&self, container: &str, network: &str) -> Result<()> {
        self.network_disconnect(container, network).await
    }

    async fn remove_network(&self, id: &str) -> Result<()> {
        self.network_remove(id).await
    }

    async fn list_networks(&self, labels: LabelFilter<'_>) -> Result<Vec<NetworkInfo>> {
        self.network_list(labels).await
    }

    async fn usage(&self, id: &str) -> Result<Option<Usage>> {
        self.container_usage(id).await
    }

    async fn container_sizes(&self, labels: LabelFilter<'_>) -> Result<BTreeMap<String, u64>> {
        self.written_by_containers(labels).await
    }

    async fn log_pieces(
        &self,
        id: &str,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<LogPiece>>> {
        self.timed_logs(id, query).await
    }

    async fn past_events(
        &self,
        labels: LabelFilter<'_>,
        since: i64,
        until: i64,
    ) -> Result<Vec<EngineEvent>> {
        self.remembered_events(labels, since, until).await
    }

    async fn restart_container(&self, id: &str, grace: Duration) -> Result<()> {
        self.container_stop_and_start(id, grace).await
    }

    async fn exec_attached(&self, id: &str, spec: &ExecSpec) -> Result<ExecEnds> {
        self.exec_start(id, spec).await
    }

    async fn resize_exec(&self, exec: &str, to: (u16, u16)) -> Result<()> {
        self.exec_resize(exec, to).await
    }

    async fn exec_code(&self, exec: &str) -> Result<Option<i64>> {
        self.exec_exit(exec).await
    }
}
