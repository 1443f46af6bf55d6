//! Makes and removes what a release consists of. Whatever is made is in the reaper's list first,
//! and nothing that was there under the same name is ever taken for hoist's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use hoist_model::unit::{Command, Protocol, Restart};
use ipnet::Ipv4Net;
use uuid::Uuid;

use super::gate;
use super::names::{DATA, NETWORK, Place, SECRETS, SERVICE};
use super::perform::memory::room;
use super::perform::{Failure, Performer, failed};
use super::plan::{Action, Slot, Which};
use super::prepare::Prepared;
use super::secrets;
use super::settings::hash_network;
use super::state::{Generation, write_addresses};
use super::subnet::{Layout, free_subnet, routed};
use crate::backend::{
    Attachment, Backend, BackendError, BackendErrorKind, ContainerSpec, Endpoint, Input, Labels,
    Logs, Mount, NetworkSpec,
};
use crate::labels;
use crate::reaper::Undo;
use crate::unit::tags::local_name;

/// How many subnets are tried that the engine refuses because of routes of its host.
const SUBNETS: usize = 32;

/// A network that this release uses.
pub(crate) struct LiveNetwork {
    pub(crate) id: String,
    layout: Layout,
    /// Fixed addresses that are some container's, running or not.
    taken: BTreeSet<Ipv4Addr>,
}

impl Performer<'_> {
    pub(crate) async fn create_network(&mut self, name: &str) -> Result<(), Failure> {
        self.context.phase(format!("creating the network {name}"));
        let plan = self.network_plans.get(name).cloned().unwrap_or_default();
        let gateway = plan
            .gateway
            .as_ref()
            .and_then(|gateway| gateway.parse().ok());
        let shown = plan
            .subnet
            .as_ref()
            .map_or_else(String::new, |subnet| format!(" ({subnet})"));
        let failed = |error| failed(format!("creating the network {name}{shown}"))(error);
        let wanted: Option<Ipv4Net> = plan.subnet.as_ref().and_then(|subnet| subnet.parse().ok());
        let mut labels = plan.labels.clone();
        labels.extend(self.place.labels(NETWORK));
        labels.insert(labels::NAME.to_owned(), name.to_owned());
        labels.insert(labels::CONFIG_HASH.to_owned(), hash_network(&plan));
        let spec = NetworkSpec {
            name: self.place.object(name),
            labels,
            internal: plan.internal,
            ..NetworkSpec::default()
        };
        let made = make_network(self.target.backend.as_ref(), spec, wanted, gateway).await;
        let (id, layout) = made.map_err(failed)?;
        if self.reaper_takes_back_all() {
            let engine = self.target.engine.clone();
            let network = id.clone();
            let undo = Undo::RemoveNetwork { engine, network };
            self.hold(Action::RemoveNetwork(name.to_owned()), undo)
                .await;
        }
        let network = LiveNetwork {
            id,
            layout,
            taken: BTreeSet::new(),
        };
        self.progress.networks.insert(name.to_owned(), network);
        Ok(())
    }

    /// Removes a network that left the file, or what this release made of one.
    pub(crate) async fn remove_network(&mut self, name: &str) -> Result<(), Failure> {
        let failed = |error| failed(format!("removing the network {name}"))(error);
        let backend = &self.target.backend;
        let found = backend
            .list_networks(&self.place.filter(NETWORK))
            .await
            .map_err(failed)?;
        let of_name = |labels: &Labels| labels.get(labels::NAME).is_some_and(|found| found == name);
        for network in found.iter().filter(|network| of_name(&network.labels)) {
            backend.remove_network(&network.id).await.map_err(failed)?;
        }
        self.progress.networks.remove(name);
        Ok(())
    }

    pub(crate) async fn create_volume(&mut self, name: &str) -> Result<(), Failure> {
        let volume = self.place.object(name);
        let mut labels = self.place.labels(DATA);
        labels.insert(labels::NAME.to_owned(), name.to_owned());
        let voided_by = Action::RemoveVolume(name.to_owned());
        let undo = self.reaper_takes_back_all();
        self.new_volume(&volume, &labels, voided_by, undo, None)
            .await
    }

    /// Removes a volume that this release made.
    pub(crate) async fn remove_volume(&mut self, volume: &str) -> Result<(), Failure> {
        if self.progress.attempted.contains(volume) {
            let removed = self.target.backend.remove_volume(volume).await;
            removed.map_err(failed(format!("removing the volume {volume}")))?;
        }
        Ok(())
    }

    pub(crate) async fn new_volume(
        &mut self,
        volume: &str,
        labels: &Labels,
        voided_by: Action,
        undo: bool,
        in_memory: Option<u64>,
    ) -> Result<(), Failure> {
        let failed = |error| failed(format!("creating the volume {volume}"))(error);
        let backend = &self.target.backend;
        if backend
            .inspect_volume(volume)
            .await
            .map_err(failed)?
            .is_some()
        {
            return Err(failed(taken("volume", volume)));
        }
        self.progress.attempted.insert(volume.to_owned());
        if undo {
            let engine = self.target.engine.clone();
            let volume = volume.to_owned();
            self.hold(voided_by, Undo::RemoveVolume { engine, volume })
                .await;
        }
        let backend = &self.target.backend;
        let made = match in_memory {
            Some(bytes) => backend.create_memory_volume(volume, labels, bytes).await,
            None => backend.create_volume(volume, labels).await,
        };
        made.map_err(failed)
    }

    pub(crate) async fn create(&mut self, slot: &Slot) -> Result<(), Failure> {
        let Some(prepared) = self.services.get(&slot.service) else {
            return Ok(());
        };
        let service = &slot.service;
        self.context.phase(format!("creating {service}"));
        let failed = |error| failed(format!("creating {service}"))(error);
        let name = self.place.container(slot);
        let backend = self.target.backend.clone();
        if backend
            .inspect_container(&name)
            .await
            .map_err(failed)?
            .is_some()
        {
            return Err(failed(taken("container", &name)));
        }
        let addresses = self.addresses(slot).map_err(failed)?;
        let mut spec = spec(prepared, self.place, &addresses, &self.progress.networks);
        spec.name.clone_from(&name);
        spec.labels.extend(self.labels(SERVICE, slot));
        spec.labels
            .insert(labels::ADDRESS.to_owned(), write_addresses(&addresses));
        if !prepared.unit.secrets.is_empty() {
            let volume = self.secrets_of(slot, prepared).await?;
            spec.mounts.push(secrets::mount(&volume, true));
            if prepared.unit.secrets_in_memory {
                let memory = self.memory_of(prepared, volume).await.map_err(failed)?;
                let label = labels::SECRETS_IN_MEMORY.to_owned();
                spec.labels.insert(label, memory.label());
                self.progress.memories.insert(slot.clone(), memory);
            }
        }
        // An image goes with its last name, and the next build may take that one: what is kept to go
        // back to has one of its own.
        let image = &prepared.image;
        if image.built && slot.replica == 1 {
            let name = local_name(&self.place.project, &image.image);
            let named = backend.tag_image(&image.image.id, &name).await;
            named.map_err(failed)?;
        }
        self.progress.attempted.insert(name.clone());
        if self.reaper_takes_back(service) {
            let engine = self.target.engine.clone();
            let undo = Undo::RemoveContainer {
                engine,
                container: name,
            };
            let voided_by = Action::Remove(Which::New(slot.clone()));
            self.hold(voided_by, undo).await;
        }
        let id = backend.create_container(&spec).await.map_err(failed)?;
        for bound in backend.dropped_bounds(&id, &spec).await.map_err(failed)? {
            let message = format!("this engine cannot hold `{bound}`: {service} runs without it");
            self.context.warn(message, None);
        }
        self.progress.made.insert(slot.clone(), id);
        self.progress.addresses.insert(slot.clone(), addresses);
        Ok(())
    }

    /// The volume with the secrets of a generation, made with the first container of it.
    async fn secrets_of(
        &mut self,
        slot: &Slot,
        prepared: &Prepared<'_>,
    ) -> Result<String, Failure> {
        let service = &slot.service;
        let siblings = self.deployed.of(service, slot.sequence);
        if let Some(volume) = siblings.iter().find_map(|old| old.secrets.clone()) {
            return Ok(volume);
        }
        let volume = self.place.secrets(service, slot.sequence);
        if self.progress.attempted.contains(&volume) {
            return Ok(volume);
        }
        let mut labels = self.labels(SECRETS, slot);
        labels.insert(
            labels::SECRETS_VERSION.to_owned(),
            Uuid::new_v4().to_string(),
        );
        let undo = self.reaper_takes_back(service);
        let voided_by = Action::Remove(Which::New(slot.clone()));
        let in_memory = prepared.unit.secrets_in_memory.then(|| room(prepared));
        self.new_volume(&volume, &labels, voided_by, undo, in_memory)
            .await?;
        if in_memory.is_some() {
            // It is filled when a container is started that keeps it.
            return Ok(volume);
        }
        let filled = secrets::fill(
            self.context,
            self.target.backend.as_ref(),
            &volume,
            &prepared.image.image.id,
            prepared.unit.user.as_deref(),
            &prepared.unit.secrets,
        )
        .await;
        filled.map_err(failed(format!("creating {service}")))?;
        Ok(volume)
    }

    /// Removes what this release made in a place.
    pub(crate) async fn remove_new(&mut self, slot: &Slot) -> Result<(), Failure> {
        let name = self.place.container(slot);
        if self.progress.attempted.remove(&name) {
            // By name: a creation that broke off may have made one whose ID never arrived.
            let removed = self.target.backend.remove_container(&name).await;
            if let Err(error) = removed {
                self.progress.attempted.insert(name);
                return Err(failed(format!("removing the new {}", slot.service))(error));
            }
        }
        let siblings = |other: &Slot| {
            let same = other.service == slot.service && other.sequence == slot.sequence;
            same && other.replica != slot.replica
        };
        let mut made = self.progress.made.keys();
        let is_last = !made.any(|other| {
            siblings(other)
                && self
                    .progress
                    .attempted
                    .contains(&self.place.container(other))
        });
        if !is_last {
            return Ok(());
        }
        self.remove_volume(&self.place.secrets(&slot.service, slot.sequence))
            .await
    }

    /// Removes a container that was there before, and with the last of its generation its secrets.
    pub(crate) async fn remove_old(&mut self, id: &str) -> Result<(), Failure> {
        let Some(old) = self.deployed.generation(id) else {
            return Ok(());
        };
        let failed = |error| failed(format!("removing {}", old.name))(error);
        let backend = &self.target.backend;
        backend.remove_container(id).await.map_err(failed)?;
        self.progress.removed.insert(id.to_owned());
        let Some(volume) = old
            .secrets
            .as_ref()
            .filter(|volume| self.deployed.secrets.contains(volume))
        else {
            return Ok(());
        };
        let uses = |other: &&Generation| {
            other.secrets.as_ref() == Some(volume) && !self.progress.removed.contains(&other.id)
        };
        let made_for = |slot: &Slot| slot.service == old.service && slot.sequence == old.sequence;
        let used = self.deployed.generations.iter().any(|other| uses(&other))
            || self.progress.made.keys().any(made_for);
        match used {
            true => Ok(()),
            false => backend.remove_volume(volume).await.map_err(failed),
        }
    }

    /// Takes in the networks that are there already.
    pub(crate) fn adopt_networks(&mut self) -> Result<(), String> {
        for (name, network) in &self.deployed.networks {
            let Some(plan) = self.network_plans.get(name) else {
                continue;
            };
            let gateway = plan
                .gateway
                .as_ref()
                .and_then(|gateway| gateway.parse().ok());
            let subnet = network
                .subnet
                .ok_or_else(|| format!("the network {name} has no subnet"))?;
            let services = self.deployed.generations.iter().map(|old| &old.addresses);
            let gates = self.deployed.gates.iter().map(|gate| &gate.addresses);
            let addresses = services.chain(gates);
            let taken = addresses
                .filter_map(|addresses| addresses.get(name))
                .copied()
                .collect();
            let layout = Layout::new(subnet, gateway)?;
            let live = LiveNetwork {
                id: network.id.clone(),
                layout,
                taken,
            };
            self.progress.networks.insert(name.clone(), live);
        }
        Ok(())
    }

    /// The fixed addresses of a new container: those of the one whose place it takes, where that one
    /// goes before it comes, else free ones.
    fn addresses(&mut self, slot: &Slot) -> Result<BTreeMap<String, Ipv4Addr>, BackendError> {
        let Some(prepared) = self.services.get(&slot.service) else {
            return Ok(BTreeMap::new());
        };
        let current = self.deployed.current(&slot.service);
        let mut before = current.iter().filter(|old| old.replica == slot.replica);
        let before = before
            .next()
            .filter(|_| self.reaper_takes_back(&slot.service));
        let had = before.map(|old| old.addresses.clone()).unwrap_or_default();
        self.free_addresses(&prepared.unit.networks, &had)
    }

    /// A fixed address in each of these networks, those of `had` where they are fixed ones.
    pub(crate) fn free_addresses(
        &mut self,
        networks: &[String],
        had: &BTreeMap<String, Ipv4Addr>,
    ) -> Result<BTreeMap<String, Ipv4Addr>, BackendError> {
        let mut addresses = BTreeMap::new();
        for name in networks {
            let Some(network) = self.progress.networks.get_mut(name) else {
                continue;
            };
            let kept = had.get(name).copied();
            let kept = kept.filter(|address| network.layout.is_fixed(*address));
            let address = kept
                .or_else(|| network.layout.free(&network.taken))
                .ok_or_else(|| {
                    let why = format!("the network {name} ({}) is full", network.layout.subnet);
                    BackendError::new(BackendErrorKind::Engine, why)
                })?;
            network.taken.insert(address);
            addresses.insert(name.clone(), address);
        }
        Ok(addresses)
    }

    fn labels(&self, role: &str, slot: &Slot) -> Labels {
        let mut labels = self.place.labels(role);
        let mut put = |key: &str, value: String| labels.insert(key.to_owned(), value);
        put(labels::SERVICE, slot.service.clone());
        put(labels::RELEASE, self.release.to_string());
        put(labels::SEQUENCE, slot.sequence.to_string());
        put(labels::REPLICA, slot.replica.to_string());
        labels
    }
}

fn taken(what: &str, name: &str) -> BackendError {
    let why =
        format!("a {what} called {name} is there already, and this environment did not make it");
    BackendError::new(BackendErrorKind::Engine, why)
}

/// Makes a network with the subnet that is wanted, or one that is free.
pub(crate) async fn make_network(
    backend: &dyn Backend,
    spec: NetworkSpec,
    wanted: Option<Ipv4Net>,
    gateway: Option<Ipv4Addr>,
) -> Result<(String, Layout), BackendError> {
    let refused = |why: &str| BackendError::new(BackendErrorKind::SubnetOverlap, why);
    let all = backend.list_networks(&[]).await?;
    let subnets = all.iter().flat_map(|network| &network.subnets);
    let mut taken: Vec<Ipv4Net> = subnets.filter_map(|subnet| subnet.parse().ok()).collect();
    // The engine makes a network over a route of its host without a word, and then nothing in it is
    // reached. Routes of another host are not seen from here.
    if backend.info().await?.is_here() {
        let table = std::fs::read_to_string("/proc/net/route");
        taken.extend(routed(&table.unwrap_or_default()));
    }
    for _ in 0..SUBNETS {
        let subnet = wanted.or_else(|| free_subnet(&taken));
        let subnet = subnet.ok_or_else(|| refused("no private subnet is free"))?;
        let layout = Layout::new(subnet, gateway).map_err(|why| refused(&why))?;
        let spec = NetworkSpec {
            subnet: Some(layout.subnet.to_string()),
            gateway: Some(layout.gateway.to_string()),
            ip_range: Some(layout.ip_range.to_string()),
            ..spec.clone()
        };
        match backend.create_network(&spec).await {
            Err(error) if error.kind == BackendErrorKind::SubnetOverlap && wanted.is_none() => {
                taken.push(subnet);
            }
            made => return Ok((made?, layout)),
        }
    }
    Err(refused(
        "the engine refuses every private subnet that was tried",
    ))
}

/// The container of a service, but for its name and what says which generation it is.
pub(crate) fn spec(
    prepared: &Prepared<'_>,
    place: &Place,
    addresses: &BTreeMap<String, Ipv4Addr>,
    networks: &BTreeMap<String, LiveNetwork>,
) -> ContainerSpec {
    let unit = prepared.unit;
    let mut labels = unit.labels.clone();
    let mut put = |key: &str, value: String| labels.insert(key.to_owned(), value);
    put(labels::IMAGE, prepared.image.shown.clone());
    if let Some(digest) = &prepared.image.image.config_digest {
        put(labels::CONFIG_DIGEST, digest.clone());
    }
    put(labels::CONFIG_HASH, prepared.config_hash.clone());
    let needs: Vec<&str> = unit
        .depends_on
        .iter()
        .map(|need| need.service.as_str())
        .collect();
    put(labels::DEPENDS_ON, needs.join(","));
    put(
        labels::STOP_GRACE_PERIOD,
        unit.stop_grace_period.as_millis().to_string(),
    );
    if unit.traffic.proxy_protocol {
        put(labels::PROXY_PROTOCOL, "2".to_owned());
    }
    if unit.host_network {
        put(labels::NETWORK_MODE, "host".to_owned());
    }
    let aliases = match gate::is_named_by_gate(unit) {
        true => Vec::new(),
        false => vec![unit.name.clone()],
    };
    let endpoint = |name: &String| {
        let network = networks.get(name)?.id.clone();
        let address = addresses.get(name).copied();
        Some(Endpoint {
            network,
            aliases: aliases.clone(),
            address,
            gateway: false,
        })
    };
    let own = unit
        .ports
        .iter()
        .filter(|port| port.protocol == Protocol::Udp);
    let mount = |volume: &hoist_model::unit::VolumeMount| Mount {
        volume: place.object(&volume.name),
        target: volume.target.clone(),
        read_only: volume.read_only,
        populate: true,
    };
    ContainerSpec {
        name: String::new(),
        image: prepared.image.image.id.clone(),
        entrypoint: unit.entrypoint.clone(),
        command: unit.command.as_ref().map(Command::argv),
        environment: prepared.environment.clone(),
        working_dir: unit.working_dir.clone(),
        user: unit.user.clone(),
        labels,
        network: match unit.host_network {
            true => Attachment::Host,
            false => Attachment::Networks(unit.networks.iter().filter_map(endpoint).collect()),
        },
        local_names: false,
        security: unit.security.clone(),
        limits: unit.limits.clone(),
        tmpfs: unit.tmpfs.clone(),
        mounts: unit.volumes.iter().map(mount).collect(),
        ports: own.cloned().collect(),
        healthcheck: unit.healthcheck.clone(),
        // Until the release is healthy a crash is to be seen as one.
        restart: Restart::No,
        logs: Logs::Keep,
        stop_grace_period: Some(unit.stop_grace_period),
        stop_signal: None,
        input: Input::None,
    }
}
