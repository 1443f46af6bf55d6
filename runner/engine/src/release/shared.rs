//! A gate that is the host's: its container, its volume and its network, which are made with the first
//! environment that has a part of it and go with the last. Whoever changes its part holds the gate's
//! lock, reads what others have anew, and leaves that as it is. Refused here: to touch a gate that
//! holds what cannot be read, and to give an environment what another has.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use hoist_model::reason::Trouble;
use hoist_model::unit::{PortMapping, Protocol, Restart};
use tokio::time::{Instant, sleep};

use super::aside;
use super::bare::discard;
use super::gate::Gate;
use super::lock::Lock;
use super::make::make_network;
use super::names::{self, NETWORK, PROXY, Place};
use super::perform::gates::container;
use super::perform::lead::{Pem, ended, lead, runs, shares};
use super::proxy::{Claim, Share, Shares, Unreadable};
use crate::backend::{
    Backend, BackendError, BackendErrorKind, ContainerInfo, ContainerSpec, Endpoint, Labels,
    NetworkSpec,
};
use crate::labels;

/// How long another's change of the gate is waited for: the last of it may wait for connections to end.
const WAIT: Duration = Duration::from_secs(120);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// A gate that is the host's, for someone who changes it.
pub(super) struct Shared<'a> {
    pub(super) backend: &'a Arc<dyn Backend>,
    pub(super) gate: &'a Gate,
    /// The image of what is made, by the engine's ID.
    pub(super) image: &'a str,
    /// The labels of whoever asks, for the lock.
    pub(super) labels: &'a Labels,
}

impl Shared<'_> {
    /// Keeps others from changing it.
    pub(super) async fn lock(&self) -> Result<Lock, BackendError> {
        let (image, never) = (self.image, pending::<()>());
        let lock = Lock::take(self.backend, self.gate, image, self.labels, WAIT, never);
        lock.await.map_err(refused)
    }

    /// Makes an environment's part this, with the certificates for that. Gives the container, and the
    /// workers that only bring to an end what they had begun.
    pub(super) async fn lead(
        &self,
        share: &Share,
        pems: &[Pem<'_>],
    ) -> Result<(String, BTreeSet<u64>), BackendError> {
        let lock = self.lock().await?;
        let led = async {
            let id = self.find_or_make().await?;
            let workers = self.lead_locked(&lock, &id, share, pems).await?;
            Ok((id, workers))
        };
        let led = led.await;
        give_back(lock).await;
        led
    }

    /// The same of a container, for who has the lock.
    pub(super) async fn lead_locked(
        &self,
        lock: &Lock,
        id: &str,
        share: &Share,
        pems: &[Pem<'_>],
    ) -> Result<BTreeSet<u64>, BackendError> {
        let backend = self.backend.as_ref();
        let (mut all, text) = self.read(id).await?;
        let claims: Vec<Claim<'_>> = share.claims().collect();
        if let Some(trouble) = all.clash(&share.place, self.gate, &claims) {
            return Err(refused(trouble));
        }
        self.join(id, share).await?;
        all.put(share.clone());
        let next = self.text(&all, &text, &share.place);
        require(lock)?;
        lead(backend, id, &next, pems).await
    }

    /// Takes an environment's part away, waits as long as `drain` says for what was begun with it, and
    /// leaves its networks. With the last part all of the gate goes; whether it did is given.
    pub(super) async fn withdraw(
        &self,
        place: &Place,
        drain: Duration,
    ) -> Result<bool, BackendError> {
        let lock = self.lock().await?;
        let gone = self.withdraw_locked(&lock, place, drain).await;
        give_back(lock).await;
        let Some((id, before)) = gone? else {
            return Ok(true);
        };
        let backend = self.backend.as_ref();
        ended(backend, &id, &before, Instant::now() + drain).await;
        self.leave(&id, place).await?;
        Ok(false)
    }

    /// Whether an environment has a part of a container, or is left on its networks.
    pub(super) async fn concerns(&self, id: &str, place: &Place) -> Result<bool, BackendError> {
        let on = self.networks_of(id, place).await?.into_values();
        if on.filter(|(_, has)| has.is_some()).count() > 0 {
            return Ok(true);
        }
        let read = shares(self.backend.as_ref(), id).await?;
        Ok(read.is_ok_and(|(all, _)| all.of(place).is_some()))
    }

    /// Gives the container, where it stays, and the workers with what was begun.
    async fn withdraw_locked(
        &self,
        lock: &Lock,
        place: &Place,
        drain: Duration,
    ) -> Result<Option<(String, BTreeSet<u64>)>, BackendError> {
        let backend = self.backend.as_ref();
        let Some(id) = self.find().await?.map(|found| found.id) else {
            return Ok(None);
        };
        let (mut all, text) = self.read(&id).await?;
        let had = all.take(place).is_some();
        require(lock)?;
        if !all.is_empty() {
            let next = self.text(&all, &text, place);
            let before = match had {
                true => lead(backend, &id, &next, &[]).await?,
                false => BTreeSet::new(),
            };
            return Ok(Some((id, before)));
        }
        if !drain.is_zero() && runs(backend, &id).await {
            // It ends by itself once its last connection has, and is not to be started again.
            backend.set_restart(&id, Restart::No).await?;
            backend.kill_container(&id, "USR1").await?;
            let until = Instant::now() + drain;
            while Instant::now() < until && runs(backend, &id).await {
                sleep(PAUSE).await;
            }
        }
        self.remove().await?;
        Ok(None)
    }

    /// Takes the container away that did not come to serve an environment, and all of the gate where
    /// nobody else has a part of it. For who has the lock.
    pub(super) async fn give_up(&self, id: &str, place: &Place) -> Result<(), BackendError> {
        let (mut all, _) = self.read(id).await?;
        all.take(place);
        match all.is_empty() {
            true => self.remove().await,
            false => discard(self.backend.as_ref(), id).await,
        }
    }

    /// Takes all of it away.
    async fn remove(&self) -> Result<(), BackendError> {
        let backend = self.backend.as_ref();
        for container in self.containers().await? {
            discard(backend, &container.id).await?;
        }
        backend.remove_volume(&names::shared(self.gate)).await?;
        let gate = self.gate.to_string();
        for network in backend.list_networks(&of_gate(&gate)).await? {
            backend.remove_network(&network.id).await?;
        }
        Ok(())
    }

    /// The container: the one that runs, where one that took its place was cut off.
    async fn find(&self) -> Result<Option<ContainerInfo>, BackendError> {
        let mut found = self.containers().await?;
        let running = found.iter().position(ContainerInfo::is_running);
        let at = running.or_else(|| (!found.is_empty()).then_some(0));
        Ok(at.map(|at| found.swap_remove(at)))
    }

    /// All containers of it, running or not.
    async fn containers(&self) -> Result<Vec<ContainerInfo>, BackendError> {
        let gate = self.gate.to_string();
        let mut found = self.backend.list_containers(&of_gate(&gate)).await?;
        found.retain(|found| found.labels.get(labels::ROLE).map(String::as_str) == Some(PROXY));
        Ok(found)
    }

    /// The container, which is made where there is none. It is not started.
    pub(super) async fn find_or_make(&self) -> Result<String, BackendError> {
        if let Some(found) = self.find().await? {
            return Ok(found.id);
        }
        let name = names::shared(self.gate);
        match self.backend.inspect_container(&name).await? {
            Some(_) => Err(taken("container", &name)),
            None => self.make(&name).await,
        }
    }

    /// Makes a container of that name, on the networks of all who have a part.
    pub(super) async fn make(&self, name: &str) -> Result<String, BackendError> {
        let backend = self.backend.as_ref();
        let (volume, labels) = (names::shared(self.gate), names::shared_labels(self.gate));
        match backend.inspect_volume(&volume).await? {
            Some(found) if !self.owns(&found.labels) => return Err(taken("volume", &volume)),
            Some(_) => {}
            None => backend.create_volume(&volume, &labels).await?,
        }
        let endpoint = Endpoint {
            network: self.network().await?,
            aliases: Vec::new(),
            address: None,
            gateway: true,
        };
        let spec = ContainerSpec {
            labels,
            ..container(name, &volume, self.image, vec![endpoint], self.published())
        };
        let id = backend.create_container(&spec).await?;
        let (all, _) = self.read(&id).await?;
        for share in all.all() {
            self.join(&id, share).await?;
        }
        Ok(id)
    }

    /// The network from which the port is published.
    async fn network(&self) -> Result<String, BackendError> {
        let backend = self.backend.as_ref();
        let gate = self.gate.to_string();
        let found = backend.list_networks(&of_gate(&gate)).await?;
        if let Some(found) = found.into_iter().next() {
            return Ok(found.id);
        }
        let spec = NetworkSpec {
            name: names::shared_network(self.gate),
            labels: names::shared_labels(self.gate),
            ..NetworkSpec::default()
        };
        Ok(make_network(backend, spec, None, None).await?.0)
    }

    /// Puts the container on an environment's networks, as far as they are there.
    pub(super) async fn join(&self, id: &str, share: &Share) -> Result<(), BackendError> {
        let backend = self.backend.as_ref();
        let on = self.networks_of(id, &share.place).await?;
        for (name, address) in &share.addresses {
            let Some((network, has)) = on.get(name) else {
                continue;
            };
            if has.as_ref() == Some(&address.to_string()) {
                continue;
            }
            if has.is_some() {
                // With another address, left from a deploy that was cut off.
                backend.disconnect_network(id, network).await?;
            }
            let endpoint = Endpoint {
                network: network.clone(),
                aliases: Vec::new(),
                address: Some(*address),
                gateway: false,
            };
            backend.connect_network(id, &endpoint).await?;
        }
        Ok(())
    }

    /// Takes the container from all of an environment's networks.
    async fn leave(&self, id: &str, place: &Place) -> Result<(), BackendError> {
        let on = self.networks_of(id, place).await?.into_values();
        for (network, _) in on.filter(|(_, has)| has.is_some()) {
            self.backend.disconnect_network(id, &network).await?;
        }
        Ok(())
    }

    /// The networks of an environment by their names in its file, each with the container's address
    /// where it is on it.
    async fn networks_of(
        &self,
        id: &str,
        place: &Place,
    ) -> Result<BTreeMap<String, (String, Option<String>)>, BackendError> {
        let backend = self.backend.as_ref();
        let found = backend.list_networks(&place.filter(NETWORK)).await?;
        let on = backend.inspect_container(id).await?;
        let on = on.map(|found| found.addresses).unwrap_or_default();
        let named = found.into_iter().filter_map(|network| {
            let name = network.labels.get(labels::NAME)?.clone();
            let has = on.get(&network.name).or_else(|| on.get(&network.id));
            Some((name, (network.id, has.cloned())))
        });
        Ok(named.collect())
    }

    /// The parts, with the text that holds them.
    pub(super) async fn read(&self, id: &str) -> Result<(Shares, String), BackendError> {
        let read = shares(self.backend.as_ref(), id).await?;
        read.map_err(|_| refused(unreadable(self.gate)))
    }

    /// The text for all parts. What others took out for a while stays out.
    fn text(&self, all: &Shares, before: &str, place: &Place) -> String {
        let port = self.published().map_or(0, |published| published.target);
        aside::keep_out(&all.text(port), before, place)
    }

    /// Inside it is the same port as on the host, whatever those of services are.
    fn published(&self) -> Option<PortMapping> {
        let Gate::Shared { address, port } = self.gate else {
            return None;
        };
        Some(PortMapping {
            host_ip: address.clone(),
            published: Some(*port),
            target: *port,
            protocol: Protocol::Tcp,
        })
    }

    pub(super) fn owns(&self, found: &Labels) -> bool {
        let is_shared = found.contains_key(labels::SHARED);
        is_shared && found.get(labels::GATE) == Some(&self.gate.to_string())
    }
}

/// What finds all objects of a gate.
fn of_gate(gate: &str) -> [(&str, Option<&str>); 2] {
    [(labels::SHARED, None), (labels::GATE, Some(gate))]
}

/// A lock that could not be given back ends with this process, if not before.
pub(super) async fn give_back(lock: Lock) {
    let _ = lock.release().await;
}

fn require(lock: &Lock) -> Result<(), BackendError> {
    match lock.held() {
        true => Ok(()),
        false => Err(refused(Trouble::new("its lock was taken away"))),
    }
}

/// The gates of the host that are among these containers, each with the parts of it.
pub(super) async fn among(
    backend: &dyn Backend,
    containers: &[ContainerInfo],
) -> Result<Vec<(Gate, Result<Shares, Unreadable>)>, BackendError> {
    let mut found = Vec::new();
    for container in containers {
        let is_shared = container.labels.contains_key(labels::SHARED)
            && container.labels.get(labels::ROLE).map(String::as_str) == Some(PROXY);
        let gate = container.labels.get(labels::GATE);
        if let Some(gate) = gate.filter(|_| is_shared).and_then(|gate| Gate::read(gate)) {
            let read = shares(backend, &container.id).await?;
            found.push((gate, read.map(|(all, _)| all)));
        }
    }
    Ok(found)
}

/// The containers of gates of the host, with their parts and the text that holds them. What cannot be read is told of by whoever
/// wants to change it.
pub(crate) async fn all(
    backend: &dyn Backend,
) -> Result<Vec<(ContainerInfo, Shares, String)>, BackendError> {
    let mut found = Vec::new();
    for container in backend.list_containers(&names::ALL_SHARED).await? {
        if let Ok((parts, text)) = shares(backend, &container.id).await? {
            found.push((container, parts, text));
        }
    }
    Ok(found)
}

/// The containers of those that a project has a part of.
pub(crate) async fn by(
    backend: &dyn Backend,
    project: &str,
) -> Result<Vec<ContainerInfo>, BackendError> {
    let has = |parts: &Shares| {
        let mut parts = parts.all();
        parts.any(|share| share.place.project == project)
    };
    let found = all(backend).await?.into_iter();
    let found = found.filter(|(_, parts, _)| has(parts));
    Ok(found.map(|(container, ..)| container).collect())
}

/// What is said of a gate with a part that cannot be read.
pub(super) fn unreadable(gate: &Gate) -> Trouble {
    let what = format!("what others have of {gate:#} cannot be read");
    Trouble::new(what)
        .cause("another version of hoist wrote it, or something else changed it")
        .hint("use the version that the other projects of this host use")
}

fn taken(what: &str, name: &str) -> BackendError {
    refused(Trouble::new(format!(
        "a {what} called {name} is there already, and hoist did not make it"
    )))
}

fn refused(trouble: Trouble) -> BackendError {
    let more = trouble.cause.into_iter().chain(trouble.hint);
    let message = more.fold(trouble.what, |message, more| format!("{message}: {more}"));
    BackendError::new(BackendErrorKind::Engine, message)
}
