//! The calls that the fake engine answers.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use hoist_model::image::ImageIdentity;
use hoist_model::unit::Restart;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;

use super::container::{FakeContainer, Upload, tar, untar};
use super::state::missing;
use super::{FakeBackend, Program, Subscriber, has, identity};
use crate::backend::{
    Attachment, Backend, BackendError, BackendErrorKind as Kind, BuildError, BuildRequest, Built,
    ByteStream, Chunk, ContainerInfo, ContainerSpec, Endpoint, EngineEvent, EngineInfo, Executed,
    HeldInput, ImageInfo, Input, LabelFilter, Labels, LogPiece, LogQuery, Login, NetworkInfo,
    NetworkSpec, Process, TerminalEnds, VolumeInfo,
};

#[async_trait]
impl Backend for FakeBackend {
    async fn info(&self) -> Result<EngineInfo, BackendError> {
        self.called("info", "").await?;
        Ok(self.lock().info.clone())
    }

    async fn inspect_image(&self, reference: &str) -> Result<Option<ImageIdentity>, BackendError> {
        self.called("inspect_image", reference).await?;
        Ok(self.lock().image(reference))
    }

    async fn pull_image(
        &self,
        reference: &str,
        _logins: &[Login],
        progress: mpsc::Sender<Bytes>,
    ) -> Result<(), BackendError> {
        self.called("pull_image", reference).await?;
        let _ = progress.send(Bytes::from_static(b"pulling\n")).await;
        let mut state = self.lock();
        let image = state.registry.get(reference).cloned();
        let image = image.ok_or_else(|| missing("image in the registry", reference))?;
        state.names.insert(reference.to_owned(), image.id.clone());
        state.images.insert(image.id.clone(), image);
        Ok(())
    }

    async fn tag_image(&self, image: &str, tag: &str) -> Result<(), BackendError> {
        self.called("tag_image", &format!("{image} {tag}")).await?;
        let mut state = self.lock();
        let image = state.image(image).ok_or_else(|| missing("image", image))?;
        state.names.insert(tag.to_owned(), image.id);
        Ok(())
    }

    async fn untag_image(&self, tag: &str) -> Result<(), BackendError> {
        self.called("untag_image", tag).await?;
        self.lock().names.remove(tag);
        Ok(())
    }

    async fn list_images(&self, labels: LabelFilter<'_>) -> Result<Vec<ImageInfo>, BackendError> {
        self.called("list_images", "").await?;
        let filter = owned(labels);
        let state = self.lock();
        let images = state.images.values().map(|image| ImageInfo {
            id: image.id.clone(),
            tags: state.names_of(&image.id),
            labels: state
                .image_labels
                .get(&image.id)
                .cloned()
                .unwrap_or_default(),
            created: 0,
            bytes: image.size,
        });
        Ok(images.filter(|image| has(&image.labels, &filter)).collect())
    }

    async fn delete_image(&self, id: &str) -> Result<(), BackendError> {
        self.called("delete_image", id).await?;
        let used = self
            .containers()
            .iter()
            .any(|container| container.image == id);
        if used {
            let message = format!("image {id} is in use");
            return Err(BackendError::new(Kind::Conflict, message));
        }
        self.remove_image(id);
        Ok(())
    }

    async fn export_image(&self, image: &str) -> Result<ByteStream, BackendError> {
        self.called("export_image", image).await?;
        let image = self
            .lock()
            .image(image)
            .ok_or_else(|| missing("image", image))?;
        Ok(whole(image.id.into_bytes()))
    }

    async fn load_image(&self, archive: ByteStream) -> Result<String, BackendError> {
        self.called("load_image", "").await?;
        let pieces: Vec<Bytes> = archive.try_collect().await?;
        let id = String::from_utf8_lossy(&pieces.concat()).into_owned();
        let mut state = self.lock();
        let image = state.loaded.clone().unwrap_or(ImageIdentity {
            config_digest: Some(id.clone()),
            id,
            tags: Vec::new(),
            size: 1,
        });
        let id = image.id.clone();
        state.images.insert(id.clone(), image);
        Ok(id)
    }

    async fn image_content(&self, image: &str) -> Result<Value, BackendError> {
        self.called("image_content", image).await?;
        let image = self
            .lock()
            .image(image)
            .ok_or_else(|| missing("image", image))?;
        Ok(Value::from(image.size))
    }

    async fn push_image(
        &self,
        tag: &str,
        _logins: &[Login],
        progress: mpsc::Sender<Bytes>,
    ) -> Result<String, BackendError> {
        self.called("push_image", tag).await?;
        let _ = progress.send(Bytes::from_static(b"pushing\n")).await;
        let mut state = self.lock();
        let image = state.image(tag).ok_or_else(|| missing("image", tag))?;
        state.pushed.push(tag.to_owned());
        let digest = identity(&format!("manifest of {}", image.id)).id;
        state.registry.insert(tag.to_owned(), image);
        Ok(digest)
    }

    async fn push_index(
        &self,
        reference: &str,
        images: &BTreeMap<String, String>,
        _logins: &[Login],
    ) -> Result<String, BackendError> {
        self.called("push_index", reference).await?;
        let image = identity(&format!("index of {images:?}"));
        let digest = image.id.clone();
        self.lock().registry.insert(reference.to_owned(), image);
        Ok(digest)
    }

    async fn build_image(
        &self,
        request: BuildRequest,
        progress: mpsc::Sender<Bytes>,
    ) -> Result<Built, BuildError> {
        self.called("build_image", &request.dockerfile_shown)
            .await?;
        let build = {
            let mut state = self.lock();
            state.built.push(request.clone());
            let rule = state
                .builds
                .iter()
                .rev()
                .find(|(matches, _)| matches(&request));
            rule.map(|(_, build)| build.clone()).unwrap_or_default()
        };
        let _ = progress.send(Bytes::from(build.output)).await;
        tokio::time::sleep(build.takes).await;
        if let Some(error) = build.error {
            return Err(error);
        }
        let inputs = (
            &request.dockerfile,
            &request.target,
            &request.args,
            &request.labels,
            &request.platform,
        );
        let mut image = identity(&format!("{inputs:?}"));
        image.tags.clone_from(&request.tags);
        let mut state = self.lock();
        for tag in &request.tags {
            state.names.insert(tag.clone(), image.id.clone());
        }
        state.images.insert(image.id.clone(), image.clone());
        Ok(Built {
            image,
            first_executed: None,
        })
    }

    async fn create_container(&self, spec: &ContainerSpec) -> Result<String, BackendError> {
        self.called("create_container", &spec.name).await?;
        let mut state = self.lock();
        if state
            .containers
            .values()
            .any(|container| container.name == spec.name)
        {
            return Err(BackendError::new(
                Kind::Conflict,
                format!("{} is taken", spec.name),
            ));
        }
        let image = state
            .image(&spec.image)
            .ok_or_else(|| missing("image", &spec.image))?;
        let rule = state
            .programs
            .iter()
            .rev()
            .find(|(matches, _)| matches(spec));
        let program = match (rule, spec.input) {
            (Some((_, program)), _) => program.clone(),
            (None, Input::Held | Input::Open) => Program::forever(),
            (None, Input::None | Input::Terminal) => Program::default(),
        };
        for mount in &spec.mounts {
            state
                .volumes
                .entry(mount.volume.clone())
                .or_insert_with(|| VolumeInfo {
                    name: mount.volume.clone(),
                    ..VolumeInfo::default()
                });
        }
        let id = format!("container-{:04}", state.next());
        let container = FakeContainer::new(id.clone(), image.id, spec.clone(), program);
        state.containers.insert(id.clone(), container);
        self.emit(&mut state, &id, "create", None);
        Ok(id)
    }

    async fn attach(
        &self,
        id: &str,
    ) -> Result<BoxStream<'static, Result<Chunk, BackendError>>, BackendError> {
        self.called("attach", id).await?;
        let mut state = self.lock();
        let container = state.find(id).ok_or_else(|| missing("container", id))?;
        Ok(UnboundedReceiverStream::new(container.attach()).boxed())
    }

    async fn commit_container(&self, id: &str, name: &str) -> Result<(), BackendError> {
        self.called("commit_container", &format!("{id} {name}"))
            .await?;
        self.lock().id_of(id)?;
        self.add_image(name);
        Ok(())
    }

    async fn attach_terminal(&self, id: &str) -> Result<TerminalEnds, BackendError> {
        self.called("attach_terminal", id).await?;
        let mut state = self.lock();
        let container = state.find(id).ok_or_else(|| missing("container", id))?;
        if container.spec.input != Input::Terminal {
            return Err(BackendError::new(Kind::Conflict, "it has no terminal"));
        }
        let output = UnboundedReceiverStream::new(container.attach());
        Ok(TerminalEnds {
            output: output.map(|piece| piece.map(|piece| piece.bytes)).boxed(),
            input: Box::pin(tokio::io::sink()),
        })
    }

    async fn resize_terminal(&self, id: &str, columns: u16, rows: u16) -> Result<(), BackendError> {
        self.called("resize_terminal", &format!("{id} {columns}x{rows}"))
            .await
    }

    async fn hold_input(&self, id: &str) -> Result<HeldInput, BackendError> {
        self.called("hold_input", id).await?;
        let mut state = self.lock();
        let container = state.find(id).ok_or_else(|| missing("container", id))?;
        if container.spec.input != Input::Held {
            return Err(BackendError::new(Kind::Conflict, "its input is not held"));
        }
        let ended = CancellationToken::new();
        container.held = Some(ended.clone());
        Ok(HeldInput::new(ended))
    }

    async fn exec(
        &self,
        id: &str,
        command: &[String],
        within: Duration,
    ) -> Result<Executed, BackendError> {
        let about = format!("{id} {}", command.join(" "));
        tokio::time::timeout(within, self.called("exec", &about))
            .await
            .map_err(|_| BackendError::new(Kind::Timeout, "no answer in time"))??;
        let (spec, program) = self.lock().running(id)?;
        Ok(program.inside.exec(&spec, command))
    }

    async fn processes(&self, id: &str) -> Result<Vec<Process>, BackendError> {
        self.called("processes", id).await?;
        let (spec, program) = self.lock().running(id)?;
        Ok(program.inside.processes(&spec))
    }

    async fn start_container(&self, id: &str) -> Result<(), BackendError> {
        self.called("start_container", id).await?;
        let id = {
            let mut state = self.lock();
            let container = state.find(id).ok_or_else(|| missing("container", id))?;
            if let Some(error) = container.program.start_error.clone() {
                return Err(error);
            }
            if container.status == "running" {
                return Ok(());
            }
            let (id, ports) = (container.id.clone(), container.spec.ports.clone());
            let taken = ports.iter().filter_map(|port| port.published).find(|port| {
                let others = state
                    .containers
                    .values()
                    .filter(|other| other.status == "running");
                others
                    .flat_map(|other| &other.spec.ports)
                    .any(|p| p.published == Some(*port))
            });
            if let Some(port) = taken {
                return Err(BackendError::new(
                    Kind::PortTaken,
                    format!("port {port} is taken"),
                ));
            }
            id
        };
        self.launch(&id);
        Ok(())
    }

    async fn wait_container(&self, id: &str) -> Result<i64, BackendError> {
        self.called("wait_container", id).await?;
        let id = self.lock().find(id).map(|container| container.id.clone());
        let id = id.ok_or_else(|| missing("container", ""))?;
        let code = self.not_running_or_gone(&id).await?;
        code.ok_or_else(|| missing("container", &id))
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), BackendError> {
        self.called("stop_container", id).await?;
        let id = self.lock().id_of(id)?;
        let signal = self.lock().stop_signal(&id);
        if self.signal(&id, &signal) && !self.exits_within(&id, grace).await {
            self.signal(&id, "9");
            self.not_running(&id).await;
        }
        Ok(())
    }

    async fn kill_container(&self, id: &str, signal: &str) -> Result<(), BackendError> {
        self.called("kill_container", &format!("{id} {signal}"))
            .await?;
        let id = self.lock().id_of(id)?;
        self.signal(&id, signal);
        Ok(())
    }

    async fn rename_container(&self, id: &str, name: &str) -> Result<(), BackendError> {
        self.called("rename_container", &format!("{id} {name}"))
            .await?;
        let mut state = self.lock();
        if state
            .containers
            .values()
            .any(|container| container.name == name)
        {
            return Err(BackendError::new(
                Kind::Conflict,
                format!("{name} is taken"),
            ));
        }
        let container = state.find(id).ok_or_else(|| missing("container", id))?;
        container.name = name.to_owned();
        Ok(())
    }

    async fn set_restart(&self, id: &str, restart: Restart) -> Result<(), BackendError> {
        self.called("set_restart", id).await?;
        let mut state = self.lock();
        let container = state.find(id).ok_or_else(|| missing("container", id))?;
        container.spec.restart = restart;
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Result<(), BackendError> {
        self.called("remove_container", id).await?;
        let Ok(id) = self.lock().id_of(id) else {
            return Ok(());
        };
        if self.signal(&id, "9") {
            self.not_running(&id).await;
        }
        self.lock().containers.remove(&id);
        self.notify();
        Ok(())
    }

    async fn inspect_container(&self, id: &str) -> Result<Option<ContainerInfo>, BackendError> {
        self.called("inspect_container", id).await?;
        Ok(self.lock().find(id).map(|container| container.info()))
    }

    async fn list_containers(
        &self,
        labels: LabelFilter<'_>,
    ) -> Result<Vec<ContainerInfo>, BackendError> {
        self.called("list_containers", "").await?;
        let filter = owned(labels);
        let mut all = self.containers();
        all.retain(|container| has(&container.labels, &filter));
        Ok(all)
    }

    async fn upload(&self, id: &str, folder: &str, tar: ByteStream) -> Result<(), BackendError> {
        self.called("upload", &format!("{id} {folder}")).await?;
        let chunks: Vec<_> = tar.collect().await;
        let chunks = chunks.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut state = self.lock();
        let id = state.id_of(id)?;
        let files = untar(&chunks.concat());
        state.fill_volumes(&id, folder, &files);
        state.uploads.push(Upload {
            container: id,
            folder: folder.to_owned(),
            files,
        });
        Ok(())
    }

    async fn download(&self, id: &str, path: &str) -> Result<ByteStream, BackendError> {
        self.called("download", &format!("{id} {path}")).await?;
        let mut state = self.lock();
        let id = state.id_of(id)?;
        tar(&state.files_of(&id), path)
            .map(whole)
            .ok_or_else(|| missing("path", path))
    }

    async fn logs(&self, id: &str, tail: Option<usize>) -> Result<Vec<Chunk>, BackendError> {
        self.called("logs", id).await?;
        let mut state = self.lock();
        let container = state.find(id).ok_or_else(|| missing("container", id))?;
        let skip = tail.map_or(0, |tail| container.printed.len().saturating_sub(tail));
        let printed = container.printed.iter().skip(skip);
        let chunk = |piece: &LogPiece| Chunk {
            stream: piece.stream,
            bytes: piece.bytes.clone(),
        };
        Ok(printed.map(chunk).collect())
    }

    async fn events(
        &self,
        labels: LabelFilter<'_>,
        since: Option<i64>,
    ) -> Result<BoxStream<'static, Result<EngineEvent, BackendError>>, BackendError> {
        self.called("events", "").await?;
        let (to, from) = mpsc::unbounded_channel();
        let mut state = self.lock();
        // What cannot be sent has no one to hear it.
        if let Some(error) = state.refusal.clone() {
            let _ = to.send(Err(error));
            return Ok(UnboundedReceiverStream::new(from).boxed());
        }
        let labels = owned(labels);
        let past = state
            .events
            .iter()
            .filter(|(of, event)| since.is_some_and(|since| event.at >= since) && has(of, &labels));
        for (_, event) in past {
            let _ = to.send(Ok(event.clone()));
        }
        state.subscribers.push(Subscriber { labels, to });
        Ok(UnboundedReceiverStream::new(from).boxed())
    }

    async fn create_volume(&self, name: &str, labels: &Labels) -> Result<(), BackendError> {
        self.called("create_volume", name).await?;
        let volume = VolumeInfo {
            name: name.to_owned(),
            labels: labels.clone(),
            created_at: "2026-01-01T00:00:00Z".to_owned(),
        };
        self.lock().volumes.entry(name.to_owned()).or_insert(volume);
        Ok(())
    }

    async fn create_memory_volume(
        &self,
        name: &str,
        labels: &Labels,
        _bytes: u64,
    ) -> Result<(), BackendError> {
        self.create_volume(name, labels).await?;
        self.lock().in_memory.insert(name.to_owned());
        Ok(())
    }

    async fn inspect_volume(&self, name: &str) -> Result<Option<VolumeInfo>, BackendError> {
        self.called("inspect_volume", name).await?;
        Ok(self.lock().volumes.get(name).cloned())
    }

    async fn remove_volume(&self, name: &str) -> Result<(), BackendError> {
        self.called("remove_volume", name).await?;
        let mut state = self.lock();
        let mut mounts = state
            .containers
            .values()
            .flat_map(|container| &container.spec.mounts);
        if mounts.any(|mount| mount.volume == name) {
            return Err(BackendError::new(
                Kind::Conflict,
                format!("volume {name} is in use"),
            ));
        }
        state.volumes.remove(name);
        state.contents.remove(name);
        Ok(())
    }

    async fn volume_sizes(&self) -> Result<BTreeMap<String, u64>, BackendError> {
        self.called("volume_sizes", "").await?;
        let volumes = self.volumes().into_iter();
        Ok(volumes.map(|volume| (volume.name, 1)).collect())
    }

    async fn list_volumes(&self, labels: LabelFilter<'_>) -> Result<Vec<VolumeInfo>, BackendError> {
        self.called("list_volumes", "").await?;
        let filter = owned(labels);
        let mut all = self.volumes();
        all.retain(|volume| has(&volume.labels, &filter));
        Ok(all)
    }

    async fn create_network(&self, spec: &NetworkSpec) -> Result<String, BackendError> {
        self.called("create_network", &spec.name).await?;
        let mut state = self.lock();
        let overlaps = spec.subnet.as_ref().is_some_and(|subnet| {
            state
                .networks
                .values()
                .any(|network| network.subnets.contains(subnet))
        });
        if overlaps {
            return Err(BackendError::new(Kind::SubnetOverlap, "pool overlaps"));
        }
        let next = state.next();
        let id = format!("network-{next:04}");
        let network = NetworkInfo {
            id: id.clone(),
            name: spec.name.clone(),
            labels: spec.labels.clone(),
            subnets: vec![
                spec.subnet
                    .clone()
                    .unwrap_or_else(|| format!("10.{next}.0.0/24")),
            ],
            ip_range: spec.ip_range.clone(),
            internal: spec.internal,
        };
        state.networks.insert(id.clone(), network);
        state.network_specs.push(spec.clone());
        Ok(id)
    }

    async fn connect_network(
        &self,
        container: &str,
        endpoint: &Endpoint,
    ) -> Result<(), BackendError> {
        let network = &endpoint.network;
        self.called("connect_network", &format!("{container} {network}"))
            .await?;
        let mut state = self.lock();
        let there = state.networks.values();
        if !there
            .flat_map(|it| [&it.id, &it.name])
            .any(|it| it == network)
        {
            return Err(missing("network", network));
        }
        let id = state.id_of(container)?;
        let runs = |one: &&FakeContainer| one.status == "running";
        let itself = state.containers.get(&id);
        let others = state.containers.values().filter(|other| other.id != id);
        let mut taken = others.filter(runs).flat_map(|other| endpoints(&other.spec));
        // Who does not run holds no address.
        if itself.is_some_and(|itself| runs(&itself))
            && endpoint.address.is_some()
            && taken.any(|it| it.network == *network && it.address == endpoint.address)
        {
            return Err(BackendError::new(
                Kind::AddressTaken,
                "the address is taken",
            ));
        }
        let spec = state.find(&id).map(|container| &mut container.spec);
        match spec.map(|spec| &mut spec.network) {
            Some(Attachment::Networks(on)) if on.iter().all(|it| it.network != *network) => {
                on.push(endpoint.clone());
                Ok(())
            }
            _ => {
                let message = format!("{container} cannot be connected to {network}");
                Err(BackendError::new(Kind::Conflict, message))
            }
        }
    }

    async fn disconnect_network(&self, container: &str, network: &str) -> Result<(), BackendError> {
        self.called("disconnect_network", &format!("{container} {network}"))
            .await?;
        if let Some(container) = self.lock().find(container)
            && let Attachment::Networks(on) = &mut container.spec.network
        {
            on.retain(|it| it.network != network);
        }
        Ok(())
    }

    async fn remove_network(&self, id: &str) -> Result<(), BackendError> {
        self.called("remove_network", id).await?;
        let mut state = self.lock();
        let mut running = state.containers.values().filter(|c| c.status == "running");
        if running.any(|container| is_on(&container.spec, id)) {
            return Err(BackendError::new(
                Kind::Conflict,
                format!("network {id} has active endpoints"),
            ));
        }
        state.networks.remove(id);
        Ok(())
    }

    async fn list_networks(
        &self,
        labels: LabelFilter<'_>,
    ) -> Result<Vec<NetworkInfo>, BackendError> {
        self.called("list_networks", "").await?;
        let filter = owned(labels);
        let mut all = self.networks();
        all.retain(|network| has(&network.labels, &filter));
        Ok(all)
    }

    async fn container_sizes(
        &self,
        labels: LabelFilter<'_>,
    ) -> Result<BTreeMap<String, u64>, BackendError> {
        let all = self.list_containers(labels).await?.into_iter();
        Ok(all.map(|container| (container.id, 1)).collect())
    }

    async fn log_pieces(
        &self,
        id: &str,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<LogPiece, BackendError>>, BackendError> {
        self.called("log_pieces", id).await?;
        let mut state = self.lock();
        let container = state.find(id).ok_or_else(|| missing("container", id))?;
        let printed = &container.printed;
        let skip = query
            .tail
            .map_or(0, |tail| printed.len().saturating_sub(tail));
        let since = query.since.unwrap_or_default();
        let past = printed.iter().skip(skip).filter(|piece| piece.at >= since);
        let past: Vec<_> = past.cloned().map(Ok).collect();
        let past = stream::iter(past);
        Ok(match query.follow {
            true => past
                .chain(UnboundedReceiverStream::new(container.follow()))
                .boxed(),
            false => past.boxed(),
        })
    }

    async fn past_events(
        &self,
        labels: LabelFilter<'_>,
        since: i64,
        until: i64,
    ) -> Result<Vec<EngineEvent>, BackendError> {
        self.called("past_events", "").await?;
        let labels = owned(labels);
        let state = self.lock();
        let past = state
            .events
            .iter()
            .filter(|(of, event)| (since..=until).contains(&event.at) && has(of, &labels));
        Ok(past.map(|(_, event)| event.clone()).collect())
    }

    async fn restart_container(&self, id: &str, grace: Duration) -> Result<(), BackendError> {
        self.called("restart_container", id).await?;
        self.stop_container(id, grace).await?;
        self.start_container(id).await
    }
}

impl FakeBackend {
    async fn not_running_or_gone(&self, id: &str) -> Result<Option<i64>, BackendError> {
        let mut changed = self.changed.subscribe();
        let gone = changed.wait_for(|_| self.lock().gone);
        tokio::select! {
            biased;
            code = self.not_running(id) => Ok(code),
            _ = gone => Err(BackendError::new(Kind::Broken, "connection reset")),
        }
    }
}

fn is_on(spec: &ContainerSpec, network: &str) -> bool {
    endpoints(spec).iter().any(|end| end.network == network)
}

fn endpoints(spec: &ContainerSpec) -> &[Endpoint] {
    match &spec.network {
        Attachment::Nothing | Attachment::None | Attachment::Bridge | Attachment::Host => &[],
        Attachment::Networks(endpoints) => endpoints,
    }
}

fn owned(labels: LabelFilter<'_>) -> Vec<(String, Option<String>)> {
    let owned =
        |(name, value): &(&str, Option<&str>)| ((*name).to_owned(), value.map(str::to_owned));
    labels.iter().map(owned).collect()
}

fn whole(bytes: Vec<u8>) -> ByteStream {
    stream::iter([Ok(Bytes::from(bytes))]).boxed()
}
