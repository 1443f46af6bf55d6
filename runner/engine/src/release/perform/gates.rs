//! What is done to gates: one is made and led to servers, its connections end, it goes. What a gate
//! does is in a file on its own volume, so it does the same after a restart by whomever. No gate is
//! ever replaced here: a port has one owner, and between two there would be none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use hoist_model::unit::{Limits, PortMapping, Restart, Security};
use tokio::time::{Instant, sleep};

use super::lead::{CONFIG, PAUSE, USER, check, ended, lead, reload, runs, text_of};
use super::{Failure, Performer, failed};
use crate::backend::{
    Attachment, BackendError, ContainerSpec, Endpoint, Input, Labels, Logs, Mount,
};
use crate::labels;
use crate::reaper::Undo;
use crate::release::gate::{Gate, Opening};
use crate::release::names::PROXY;
use crate::release::plan::{Action, Backends, Which};
use crate::release::prepare::Prepared;
use crate::release::proxy::{self, Config, FOLDER};
use crate::release::state::{Life, write_addresses};
use crate::release::status;

const MEMORY: u64 = 256 << 20;
/// What a drained worker may take beyond its bound.
pub(in crate::release) const BEYOND: Duration = Duration::from_secs(5);

impl Performer<'_> {
    /// Makes a gate. It is started once it is led to something.
    pub(super) async fn open_gate(&mut self, service: &str, gate: &Gate) -> Result<(), Failure> {
        let known = self.deployed.gate(gate).map(|known| known.id.clone());
        // One that is the host's is made under its lock, when it is led to something.
        let known = known.or_else(|| gate.is_shared().then(|| self.place.gate(gate)));
        if let Some(id) = known {
            self.progress.gates.insert(gate.clone(), id);
            return Ok(());
        }
        let Some(prepared) = self.services.get(service) else {
            return Ok(());
        };
        let networks = &prepared.unit.networks;
        self.context.phase(format!("opening {}", shown(gate)));
        let name = self.place.gate(gate);
        let all = self.gate_labels(service, gate);
        self.clear_left_over(&name, gate).await?;
        let undo = self.reaper_takes_back_all();
        let voided_by = Action::CloseGate(gate.clone());
        self.new_volume(&name, &all, voided_by.clone(), undo, None)
            .await?;
        let addresses = self.free_addresses(networks, &BTreeMap::new());
        let addresses = addresses.map_err(failed(format!("opening {}", shown(gate))))?;
        let Some(spec) = self.gate_container(&name, service, gate, &addresses) else {
            return Ok(());
        };
        if undo {
            let engine = self.target.engine.clone();
            let container = name.clone();
            let undo = Undo::RemoveContainer { engine, container };
            self.hold(voided_by, undo).await;
        }
        let made = self.target.backend.create_container(&spec).await;
        let id = made.map_err(failed(format!("opening {}", shown(gate))))?;
        self.progress.gates.insert(gate.clone(), id);
        Ok(())
    }

    fn gate_labels(&self, service: &str, gate: &Gate) -> Labels {
        let mut all = self.place.labels(PROXY);
        all.insert(labels::GATE.to_owned(), gate.to_string());
        all.insert(labels::SERVICE.to_owned(), service.to_owned());
        all
    }

    /// The container of a gate that a service has, of the image of proxies that is configured.
    pub(super) fn gate_container(
        &self,
        name: &str,
        service: &str,
        gate: &Gate,
        addresses: &BTreeMap<String, Ipv4Addr>,
    ) -> Option<ContainerSpec> {
        let prepared = self.services.get(service)?;
        let unit = prepared.unit;
        let mut openings = self.openings(prepared).into_iter();
        let opening = openings.find(|one| one.gate == *gate)?;
        let endpoint = |network: &String| {
            Some(Endpoint {
                network: self.progress.networks.get(network)?.id.clone(),
                aliases: match gate {
                    Gate::Name(name) => vec![name.clone()],
                    Gate::Port { .. } | Gate::Shared { .. } | Gate::Chosen { .. } => Vec::new(),
                },
                address: addresses.get(network).copied(),
                gateway: false,
            })
        };
        let endpoints = unit.networks.iter().filter_map(endpoint).collect();
        let published = opening.published.map(|published| PortMapping {
            target: self.inner(gate, &published),
            ..published
        });
        let mut labels = self.gate_labels(service, gate);
        labels.insert(labels::ADDRESS.to_owned(), write_addresses(addresses));
        let volume = self.place.gate(gate);
        Some(ContainerSpec {
            labels,
            ..container(name, &volume, self.proxy, endpoints, published)
        })
    }

    /// Removes the volume of a gate whose release was cut off before its container was made.
    async fn clear_left_over(&self, volume: &str, gate: &Gate) -> Result<(), Failure> {
        let backend = self.target.backend.as_ref();
        let cleared = async {
            let found = backend.inspect_volume(volume).await?;
            let own = found.is_some_and(|found| {
                let of = found.labels.get(labels::GATE).and_then(|of| Gate::read(of));
                self.place.owns(&found.labels, PROXY) && of.as_ref() == Some(gate)
            });
            match own {
                true => backend.remove_volume(volume).await,
                false => Ok(()),
            }
        };
        cleared
            .await
            .map_err(failed(format!("opening {}", shown(gate))))
    }

    /// The gates of a service that are there, with their IDs.
    fn opened(&self, service: &str) -> Vec<(String, Gate)> {
        let prepared = self.services.get(service);
        let openings = prepared.into_iter().flat_map(|one| self.openings(one));
        openings
            .filter_map(|one| Some((self.gate_id(&one.gate)?, one.gate)))
            .collect()
    }

    /// Has the gates of a service check what they are led to next. What others have of one that is the
    /// host's may be another thing by then, so that one checks when it is led.
    pub(super) async fn check(&mut self, service: &str, to: &Backends) -> Result<(), Failure> {
        let mut gates = self.opened(service);
        gates.retain(|(_, gate)| !gate.is_shared());
        let led = self.progress.led.insert(service.to_owned(), to.clone());
        let backend = self.target.backend.as_ref();
        let checking = gates.iter().map(async |(id, gate)| {
            let (listens, pems) = self.listens(gate, gate);
            let text = Config { listens }.to_string();
            let checked = check(backend, id, &text, &pems).await;
            checked.map_err(failed(format!("leading {} to it", shown(gate))))?;
            Ok((id.clone(), text))
        });
        let checked: Result<Vec<(String, String)>, Failure> = try_join_all(checking).await;
        match led {
            Some(led) => self.progress.led.insert(service.to_owned(), led),
            None => self.progress.led.remove(service),
        };
        self.progress.checked.extend(checked?);
        Ok(())
    }

    /// Makes what is behind the gates of a service these.
    pub(super) async fn route(&mut self, service: &str, to: &Backends) -> Result<(), Failure> {
        let gates = self.opened(service);
        if gates.is_empty() {
            return Ok(());
        }
        self.context.phase(format!("leading to {service}"));
        self.progress.led.insert(service.to_owned(), to.clone());
        for (_, gate) in &gates {
            self.reserve(gate)?;
        }
        let leading = gates.iter().map(async |(id, gate)| {
            let led = self.lead_gate(id, gate).await;
            let (id, workers) = led.map_err(failed(format!("leading {} to it", shown(gate))))?;
            Ok((gate.clone(), id, workers))
        });
        let led: Vec<(Gate, String, BTreeSet<u64>)> = try_join_all(leading).await?;
        for (gate, id, workers) in led {
            if gate.is_shared() {
                self.progress.gates.insert(gate, id.clone());
            }
            self.progress
                .draining
                .entry(id)
                .or_default()
                .extend(workers);
        }
        Ok(())
    }

    /// Has the gates of a service do with what comes in what is wanted, or what they did before.
    pub(super) async fn front(
        &mut self,
        service: &str,
        to: &Backends,
        wanted: bool,
    ) -> Result<(), Failure> {
        if wanted {
            self.progress.fronted.insert(service.to_owned());
        } else {
            self.progress.fronted.remove(service);
        }
        self.route(service, to).await
    }

    /// Has a gate do what it is to do by now. Gives its container, and the workers that only bring to an
    /// end what they had begun.
    async fn lead_gate(
        &self,
        id: &str,
        gate: &Gate,
    ) -> Result<(String, BTreeSet<u64>), BackendError> {
        let (listens, pems) = self.listens(gate, gate);
        if gate.is_shared() {
            let share = self.share(gate, listens);
            return self.shared(gate).lead(&share, &pems).await;
        }
        let backend = self.target.backend.as_ref();
        let text = Config { listens }.to_string();
        let workers = match self.progress.checked.get(id) == Some(&text) {
            true => reload(backend, id, &text).await?,
            false => lead(backend, id, &text, &pems).await?,
        };
        Ok((id.to_owned(), workers))
    }

    /// The gates of a service, as they are by now.
    pub(super) fn openings(&self, prepared: &Prepared<'_>) -> Vec<Opening> {
        self.deployed.settled(prepared.openings())
    }

    /// Waits until what the gates of a service did before their last change has ended.
    pub(super) async fn drain(&mut self, service: &str) -> Result<(), Failure> {
        let Some(prepared) = self.services.get(service) else {
            return Ok(());
        };
        let unit = prepared.unit;
        let started = Instant::now();
        let until = started + unit.traffic.drain + BEYOND;
        let gates = self.openings(prepared).into_iter();
        let gates: Vec<String> = gates.filter_map(|one| self.gate_id(&one.gate)).collect();
        let left = |id: &String| Some((id.clone(), self.progress.draining.get(id)?.clone()));
        let waiting: Vec<(String, BTreeSet<u64>)> = gates.iter().filter_map(left).collect();
        if !waiting.is_empty() {
            self.context
                .phase(format!("letting the connections of {service} end"));
        }
        let backend = self.target.backend.as_ref();
        let ended = waiting
            .iter()
            .map(|(id, workers)| ended(backend, id, workers, until));
        let all = tokio::select! {
            all = join_all(ended) => all,
            () = self.broken_off() => return Err(Failure::Stopped),
        };
        for (id, _) in &waiting {
            self.progress.draining.remove(id);
        }
        if all.contains(&false) {
            // A worker that ends tells of none of its connections whose they are.
            let mut openings = self.openings(prepared).into_iter();
            let others = match openings.any(|one| one.gate.is_shared()) {
                true => ", or of others that share its port,",
                false => "",
            };
            let message =
                format!("connections of {service}{others} were still open after its `drain`");
            self.context.warn(message, None);
        }
        self.extend_deadline(started.elapsed());
        Ok(())
    }

    /// Waits until the gates have seen for themselves that a container answers.
    pub(super) async fn prove(&mut self, which: &Which) -> Result<(), Failure> {
        let service = self.service(which).to_owned();
        let Some(prepared) = self.services.get(&service) else {
            return Ok(());
        };
        let openings = self.openings(prepared).into_iter();
        let gates = openings.filter_map(|one| {
            let server = self.called(&one.gate, which)?;
            Some((self.gate_id(&one.gate)?, self.listened(&one), server))
        });
        let gates: Vec<_> = gates.collect();
        let until = self.deadline();
        for (id, ports, server) in gates {
            loop {
                let log = self.target.backend.logs(&id, Some(LINES)).await;
                let log = log.map_err(failed(format!("asking the proxy how {service} is")))?;
                let text = text_of(&log);
                let sees =
                    |(port, _): &(u16, u16)| proxy::proved(&text, *port, &server) == Some(true);
                if ports.iter().all(sees) {
                    break;
                }
                if Instant::now() >= until {
                    let shown = self.shown(which);
                    return Err(Failure::Unwell(format!(
                        "{shown} is healthy, but the proxy in front of it cannot connect to it: does it \
                         listen on all addresses, and on the ports that the file names?"
                    )));
                }
                tokio::select! {
                    () = sleep(PAUSE) => {}
                    () = self.broken_off() => return Err(Failure::Stopped),
                }
            }
        }
        Ok(())
    }

    /// Whether the gates that lead to a container say that it does not answer.
    pub(super) async fn is_down(&self, which: &Which) -> bool {
        let Some(prepared) = self.services.get(self.service(which)) else {
            return true;
        };
        for opening in self.openings(prepared) {
            let id = self.gate_id(&opening.gate);
            let Some((id, server)) = id.zip(self.called(&opening.gate, which)) else {
                continue;
            };
            let log = self.target.backend.logs(&id, Some(LINES)).await;
            let text = text_of(&log.unwrap_or_default());
            let is_up =
                |(port, _): &(u16, u16)| proxy::proved(&text, *port, &server) != Some(false);
            if self.listened(&opening).iter().any(is_up) {
                return false;
            }
        }
        true
    }

    /// Lets the connections of a gate end, and removes it.
    pub(super) async fn close_gate(&mut self, gate: &Gate) -> Result<(), Failure> {
        let failed = |error| failed(format!("closing {}", shown(gate)))(error);
        if gate.is_shared() {
            self.progress.gates.remove(gate);
            let drain = match self.progress.going_back {
                true => Duration::ZERO,
                false => DRAIN,
            };
            let gone = self.shared(gate).withdraw(self.place, drain).await;
            return gone.map(|_| ()).map_err(failed);
        }
        let name = self.place.gate(gate);
        let backend = self.target.backend.clone();
        let id = self.gate_id(gate);
        let serves = self
            .deployed
            .gate(gate)
            .is_some_and(|known| known.life == Life::Running);
        if let Some(id) = id.as_ref().filter(|_| serves && !self.progress.going_back) {
            // It ends by itself once its last connection has, and is not to be started again.
            backend.set_restart(id, Restart::No).await.map_err(failed)?;
            backend.kill_container(id, "USR1").await.map_err(failed)?;
            let until = Instant::now() + DRAIN;
            while Instant::now() < until && runs(backend.as_ref(), id).await {
                tokio::select! {
                    () = sleep(PAUSE) => {}
                    () = self.broken_off() => break,
                }
            }
        }
        for container in [Some(name.clone()), id].into_iter().flatten() {
            backend.remove_container(&container).await.map_err(failed)?;
        }
        backend.remove_volume(&name).await.map_err(failed)?;
        self.progress.gates.remove(gate);
        Ok(())
    }

    /// The host's side of the ports that the gates of a service publish.
    pub(crate) async fn published(&self, service: &str) -> Vec<String> {
        let Some(prepared) = self.services.get(service) else {
            return Vec::new();
        };
        let mut ports = Vec::new();
        for opening in self.openings(prepared) {
            let Some(id) = self.gate_id(&opening.gate) else {
                continue;
            };
            let found = self.target.backend.inspect_container(&id).await;
            let found = found.ok().flatten().map(|info| info.ports);
            let found = found.unwrap_or_default();
            ports.extend(found.iter().map(|port| status::published(port)));
        }
        ports
    }

    pub(super) fn gate_id(&self, gate: &Gate) -> Option<String> {
        let opened = self.progress.gates.get(gate).cloned();
        opened.or_else(|| self.deployed.gate(gate).map(|known| known.id.clone()))
    }

    /// What a service's gates logged.
    pub(super) async fn gate_logs(&self, service: &str) -> Result<String, Failure> {
        let Some(prepared) = self.services.get(service) else {
            return Ok(String::new());
        };
        let gates = self.openings(prepared).into_iter();
        let gates = gates.filter_map(|one| Some((self.gate_id(&one.gate)?, one.gate)));
        let mut text = String::new();
        for (id, gate) in gates {
            let log = self.target.backend.logs(&id, None).await;
            let log = log.map_err(failed(format!("reading the requests of {service}")))?;
            let log = text_of(&log);
            text.push_str(&match gate.is_shared() {
                true => proxy::unqualified(&log, self.place),
                false => log,
            });
        }
        Ok(text)
    }
}

/// How many lines of a gate's log hold the last verdict on a server.
const LINES: usize = 400;
/// How long the connections of a gate that goes may go on.
pub(in crate::release) const DRAIN: Duration = Duration::from_secs(60);

/// For messages.
pub(super) fn shown(gate: &Gate) -> String {
    format!("{gate:#}")
}

/// What a gate reads, in a container.
pub(super) fn configuration(volume: &str, read_only: bool) -> Mount {
    Mount {
        volume: volume.to_owned(),
        target: FOLDER.to_owned(),
        read_only,
        populate: false,
    }
}

/// The container of a gate, sealed as far as a proxy can be.
pub(in crate::release) fn container(
    name: &str,
    volume: &str,
    image: &str,
    endpoints: Vec<Endpoint>,
    published: Option<PortMapping>,
) -> ContainerSpec {
    let config = format!("{FOLDER}/{CONFIG}");
    let command = ["haproxy", "-W", "-db", "-f", &config];
    ContainerSpec {
        entrypoint: Some(Vec::new()),
        command: Some(command.map(str::to_owned).into()),
        user: Some(format!("{}:{}", USER.uid, USER.gid)),
        network: Attachment::Networks(endpoints),
        security: Security {
            read_only: true,
            ..Security::default()
        },
        limits: Limits {
            memory: Some(MEMORY),
            ..Limits::SERVICE
        },
        mounts: vec![configuration(volume, false)],
        ports: published.into_iter().collect(),
        // To an engine a container that it sent a signal was stopped by someone, whatever the signal:
        // with any other policy a proxy that ever read another configuration would not come back.
        // Nor would one without a signal to stop at that is another than those.
        restart: Restart::Always,
        stop_signal: Some("SIGUSR1".to_owned()),
        logs: Logs::Keep,
        input: Input::None,
        ..crate::release::bare::bare(name, image, Labels::new())
    }
}
