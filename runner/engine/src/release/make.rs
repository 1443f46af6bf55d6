//! Makes and removes what a release consists of. Whatever is made is in the reaper's list first,
//! and nothing that was there under the same name is ever taken for hoist's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use hoist_model::unit::{Command, Restart};
use ipnet::Ipv4Net;
use uuid::Uuid;

use super::names::{DATA, NETWORK, Place, REPLICA, SECRETS, SERVICE};
use super::perform::{Failure, Performer, failed};
use super::plan::{Action, Which};
use super::prepare::Prepared;
use super::secrets;
use super::settings::hash_network;
use super::state::write_addresses;
use super::subnet::{Layout, free_subnet};
use crate::backend::{
    Attachment, BackendError, BackendErrorKind, ContainerSpec, Endpoint, Labels, Logs, Mount,
    NetworkSpec,
};
use crate::labels;
use crate::reaper::Undo;

/// How many subnets are tried that the engine refuses because of routes of its host.
const SUBNETS: usize = 32;

/// A network that this release uses.
pub(crate) struct LiveNetwork {
    id: String,
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
        let refused = |why: String| BackendError::new(BackendErrorKind::SubnetOverlap, why);
        let wanted: Option<Ipv4Net> = plan.subnet.as_ref().and_then(|subnet| subnet.parse().ok());
        let all = self
            .target
            .backend
            .list_networks(&[])
            .await
            .map_err(failed)?;
        let subnets = all.iter().flat_map(|network| &network.subnets);
        let mut taken: Vec<Ipv4Net> = subnets.filter_map(|subnet| subnet.parse().ok()).collect();
        let mut labels = plan.labels.clone();
        labels.extend(self.place.labels(NETWORK));
        labels.insert(labels::NAME.to_owned(), name.to_owned());
        labels.insert(labels::CONFIG_HASH.to_owned(), hash_network(&plan));
        for _ in 0..SUBNETS {
            let subnet = wanted.or_else(|| free_subnet(&taken));
            let subnet =
                subnet.ok_or_else(|| failed(refused("no private subnet is free".into())))?;
            let layout = Layout::new(subnet, gateway).map_err(|why| failed(refused(why)))?;
            let spec = NetworkSpec {
                name: self.place.object(name),
                labels: labels.clone(),
                internal: plan.internal,
                subnet: Some(layout.subnet.to_string()),
                gateway: Some(layout.gateway.to_string()),
                ip_range: Some(layout.ip_range.to_string()),
                options: BTreeMap::new(),
            };
            match self.target.backend.create_network(&spec).await {
                Ok(id) => {
                    let engine = self.target.engine.clone();
                    let undo = Undo::RemoveNetwork {
                        engine,
                        network: id.clone(),
                    };
                    self.hold(Action::RemoveNetwork(name.to_owned()), undo)
                        .await;
                    let network = LiveNetwork {
                        id,
                        layout,
                        taken: BTreeSet::new(),
                    };
                    self.progress.networks.insert(name.to_owned(), network);
                    return Ok(());
                }
                Err(error) if error.kind == BackendErrorKind::SubnetOverlap && wanted.is_none() => {
                    taken.push(subnet);
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(refused(
            "the engine refuses every private subnet that was tried".into(),
        )))
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
        self.new_volume(&volume, &labels, Action::RemoveVolume(name.to_owned()))
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

    async fn new_volume(
        &mut self,
        volume: &str,
        labels: &Labels,
        voided_by: Action,
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
        let engine = self.target.engine.clone();
        self.hold(
            voided_by,
            Undo::RemoveVolume {
                engine,
                volume: volume.to_owned(),
            },
        )
        .await;
        self.target
            .backend
            .create_volume(volume, labels)
            .await
            .map_err(failed)
    }

    pub(crate) async fn create(&mut self, service: &str) -> Result<(), Failure> {
        let Some(prepared) = self.services.get(service) else {
            return Ok(());
        };
        self.context.phase(format!("creating {service}"));
        let failed = |error| failed(format!("creating {service}"))(error);
        let name = self.place.container(service, self.sequence);
        let volume = self.place.secrets(service, self.sequence);
        let backend = self.target.backend.clone();
        if backend
            .inspect_container(&name)
            .await
            .map_err(failed)?
            .is_some()
        {
            return Err(failed(taken("container", &name)));
        }
        let voided_by = Action::Remove(Which::New(service.to_owned()));
        let version = Uuid::new_v4().to_string();
        if !prepared.values.is_empty() {
            let mut labels = self.labels(SECRETS, service);
            labels.insert(labels::SECRETS_VERSION.to_owned(), version.clone());
            self.new_volume(&volume, &labels, voided_by.clone()).await?;
            let image = &prepared.image.image.id;
            let filled = secrets::fill(
                self.context,
                backend.as_ref(),
                &volume,
                image,
                prepared.unit.user.as_deref(),
                &prepared.unit.secrets,
            )
            .await;
            filled.map_err(failed)?;
        }
        let addresses = self.addresses(service).map_err(failed)?;
        let mut spec = spec(prepared, self.place, &addresses, &self.progress.networks);
        spec.name.clone_from(&name);
        spec.labels.extend(self.labels(SERVICE, service));
        spec.labels
            .insert(labels::ADDRESS.to_owned(), write_addresses(&addresses));
        if !prepared.values.is_empty() {
            spec.mounts.push(secrets::mount(&volume, true));
            spec.labels
                .insert(labels::SECRETS_VERSION.to_owned(), version);
        }
        self.progress.attempted.insert(name.clone());
        let engine = self.target.engine.clone();
        self.hold(
            voided_by,
            Undo::RemoveContainer {
                engine,
                container: name,
            },
        )
        .await;
        let id = backend.create_container(&spec).await.map_err(failed)?;
        self.progress.made.insert(service.to_owned(), id);
        Ok(())
    }

    /// Removes what this release made for a service.
    pub(crate) async fn remove_new(&mut self, service: &str) -> Result<(), Failure> {
        let name = self.place.container(service, self.sequence);
        if self.progress.attempted.contains(&name) {
            // By name: a creation that broke off may have made one whose ID never arrived.
            let removed = self.target.backend.remove_container(&name).await;
            removed.map_err(failed(format!("removing the new {service}")))?;
        }
        self.remove_volume(&self.place.secrets(service, self.sequence))
            .await
    }

    /// Removes a container that was there before, and its secrets.
    pub(crate) async fn remove_old(&mut self, id: &str) -> Result<(), Failure> {
        let Some(old) = self.deployed.generation(id) else {
            return Ok(());
        };
        let failed = |error| failed(format!("removing {}", old.name))(error);
        self.target
            .backend
            .remove_container(id)
            .await
            .map_err(failed)?;
        match old
            .secrets
            .as_ref()
            .filter(|volume| self.deployed.secrets.contains(volume))
        {
            Some(volume) => self
                .target
                .backend
                .remove_volume(volume)
                .await
                .map_err(failed),
            None => Ok(()),
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
            let addresses = self.deployed.generations.iter();
            let taken = addresses
                .filter_map(|old| old.addresses.get(name))
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

    /// The fixed addresses of a service: those that it had, else free ones.
    fn addresses(&mut self, service: &str) -> Result<BTreeMap<String, Ipv4Addr>, BackendError> {
        let had = self.deployed.current(service).map(|old| &old.addresses);
        let Some(prepared) = self.services.get(service) else {
            return Ok(BTreeMap::new());
        };
        let mut addresses = BTreeMap::new();
        for name in &prepared.unit.networks {
            let Some(network) = self.progress.networks.get_mut(name) else {
                continue;
            };
            let kept = had.and_then(|had| had.get(name)).copied();
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

    fn labels(&self, role: &str, service: &str) -> Labels {
        let mut labels = self.place.labels(role);
        let mut put = |key: &str, value: String| labels.insert(key.to_owned(), value);
        put(labels::SERVICE, service.to_owned());
        put(labels::RELEASE, self.release.to_string());
        put(labels::SEQUENCE, self.sequence.to_string());
        put(labels::REPLICA, REPLICA.to_owned());
        labels
    }
}

fn taken(what: &str, name: &str) -> BackendError {
    let why =
        format!("a {what} called {name} is there already, and this environment did not make it");
    BackendError::new(BackendErrorKind::Engine, why)
}

/// The container of a service, but for its name and what says which generation it is.
fn spec(
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
    let endpoint = |name: &String| {
        let network = networks.get(name)?.id.clone();
        let address = addresses.get(name).copied();
        Some(Endpoint {
            network,
            aliases: vec![unit.name.clone()],
            address,
        })
    };
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
        network: Attachment::Networks(unit.networks.iter().filter_map(endpoint).collect()),
        local_names: false,
        security: unit.security.clone(),
        limits: unit.limits.clone(),
        tmpfs: unit.tmpfs.clone(),
        mounts: unit.volumes.iter().map(mount).collect(),
        ports: unit.ports.clone(),
        healthcheck: unit.healthcheck.clone(),
        // Until the release is healthy a crash is to be seen as one.
        restart: Restart::No,
        logs: Logs::Keep,
        stop_grace_period: Some(unit.stop_grace_period),
        stop_signal: None,
        terminal: false,
    }
}
