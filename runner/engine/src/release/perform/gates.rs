//! What is done to gates: one is made and led to servers, its connections end, it goes. What a gate
//! does is in a file on its own volume, so it does the same after a restart by whomever. No gate is
//! ever replaced here: a port has one owner, and between two there would be none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{join_all, try_join_all};
use hoist_model::unit::{Limits, PortMapping, Restart, Security, ServiceUnit, Strategy};
use tokio::time::{Instant, sleep};

use super::{Failure, Performer, failed};
use crate::backend::{
    Attachment, Backend, BackendError, BackendErrorKind, ContainerSpec, Endpoint, Input, Labels,
    Logs, Mount, Process,
};
use crate::labels;
use crate::reaper::Undo;
use crate::release::gate::{self, Gate, Opening};
use crate::release::names::PROXY;
use crate::release::plan::{Action, Backends, Which};
use crate::release::proxy::{self, Config, Listen, Part, Server, ServerName};
use crate::release::state::{Life, write_addresses};
use crate::release::status;
use crate::walk::Owner;
use crate::walk::entries::{Content, Entry, tar_of};

/// Where a gate's files are in its container.
const FOLDER: &str = "/etc/hoist";
const CONFIG: &str = "haproxy.cfg";
const NEXT: &str = "next.cfg";
/// What the official image runs it as.
const USER: &str = "99:99";
const MEMORY: u64 = 256 << 20;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a gate may take to read its configuration.
const RELOAD: Duration = Duration::from_secs(15);
/// After which a signal that was not heard is sent again.
const AGAIN: Duration = Duration::from_secs(1);
/// What a drained worker may take beyond its bound.
pub(in crate::release) const BEYOND: Duration = Duration::from_secs(5);

impl Performer<'_> {
    /// Makes a gate. It is started once it is led to something.
    pub(super) async fn open_gate(&mut self, service: &str, gate: &Gate) -> Result<(), Failure> {
        let known = self.deployed.gate(gate).map(|known| known.id.clone());
        if let Some(id) = known {
            self.progress.gates.insert(gate.clone(), id);
            return Ok(());
        }
        let Some(prepared) = self.services.get(service) else {
            return Ok(());
        };
        let unit = prepared.unit;
        let openings = gate::openings(unit);
        let Some(opening) = openings.into_iter().find(|one| one.gate == *gate) else {
            return Ok(());
        };
        self.context.phase(format!("opening {}", shown(gate)));
        let name = self.place.gate(gate);
        let mut all = self.place.labels(PROXY);
        all.insert(labels::GATE.to_owned(), gate.to_string());
        all.insert(labels::SERVICE.to_owned(), service.to_owned());
        self.clear_left_over(&name, gate).await?;
        let undo = self.reaper_takes_back_all();
        let voided_by = Action::CloseGate(gate.clone());
        self.new_volume(&name, &all, voided_by.clone(), undo)
            .await?;
        let addresses = self.free_addresses(&unit.networks, &BTreeMap::new());
        let addresses = addresses.map_err(failed(format!("opening {}", shown(gate))))?;
        all.insert(labels::ADDRESS.to_owned(), write_addresses(&addresses));
        let endpoint = |network: &String| {
            Some(Endpoint {
                network: self.progress.networks.get(network)?.id.clone(),
                aliases: match gate {
                    Gate::Name(name) => vec![name.clone()],
                    Gate::Port { .. } | Gate::Chosen { .. } => Vec::new(),
                },
                address: addresses.get(network).copied(),
            })
        };
        let endpoints = unit.networks.iter().filter_map(endpoint).collect();
        let mut spec = container(&name, self.proxy, endpoints, opening.published);
        spec.labels = all;
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

    /// Makes what is behind the gates of a service these.
    pub(super) async fn route(&mut self, service: &str, to: &Backends) -> Result<(), Failure> {
        let Some(prepared) = self.services.get(service) else {
            return Ok(());
        };
        let unit = prepared.unit;
        let gates = gate::openings(unit).into_iter();
        let gates = gates.filter_map(|opening| Some((self.gate_id(&opening.gate)?, opening)));
        let gates: Vec<(String, Opening)> = gates.collect();
        if gates.is_empty() {
            return Ok(());
        }
        self.context.phase(format!("leading to {service}"));
        let servers = self.servers(unit, to);
        let backend = self.target.backend.as_ref();
        let leading = gates.iter().map(async |(id, opening)| {
            let text = config(unit, opening, &servers).to_string();
            let led = lead(backend, id, &text).await;
            let led = led.map_err(failed(format!("leading {} to it", shown(&opening.gate))))?;
            Ok((id.clone(), led))
        });
        let led: Vec<(String, BTreeSet<u64>)> = try_join_all(leading).await?;
        for (id, workers) in led {
            self.progress
                .draining
                .entry(id)
                .or_default()
                .extend(workers);
        }
        Ok(())
    }

    /// Waits until what the gates of a service did before their last change has ended.
    pub(super) async fn drain(&mut self, service: &str) -> Result<(), Failure> {
        let Some(prepared) = self.services.get(service) else {
            return Ok(());
        };
        let unit = prepared.unit;
        let started = Instant::now();
        let until = started + unit.traffic.drain + BEYOND;
        let gates = gate::openings(unit).into_iter();
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
            let message = format!("connections of {service} were still open after its `drain`");
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
        let Some(server) = self.server_name(which) else {
            return Ok(());
        };
        let openings = gate::openings(prepared.unit).into_iter();
        let gates = openings.filter_map(|one| Some((self.gate_id(&one.gate)?, one.ports)));
        let gates: Vec<(String, Vec<u16>)> = gates.collect();
        let until = self.deadline();
        for (id, ports) in gates {
            loop {
                let log = self.target.backend.logs(&id, Some(LINES)).await;
                let log = log.map_err(failed(format!("asking the proxy how {service} is")))?;
                let text = text_of(&log);
                let sees = |port: &u16| proxy::proved(&text, *port, &server) == Some(true);
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
        let Some(server) = self.server_name(which) else {
            return true;
        };
        let Some(prepared) = self.services.get(self.service(which)) else {
            return true;
        };
        for opening in gate::openings(prepared.unit) {
            let Some(id) = self.gate_id(&opening.gate) else {
                continue;
            };
            let log = self.target.backend.logs(&id, Some(LINES)).await;
            let text = text_of(&log.unwrap_or_default());
            let is_up = |port: &u16| proxy::proved(&text, *port, &server) != Some(false);
            if opening.ports.iter().any(is_up) {
                return false;
            }
        }
        true
    }

    /// Lets the connections of a gate end, and removes it.
    pub(super) async fn close_gate(&mut self, gate: &Gate) -> Result<(), Failure> {
        let failed = |error| failed(format!("closing {}", shown(gate)))(error);
        let name = self.place.gate(gate);
        let backend = self.target.backend.clone();
        let id = self.gate_id(gate);
        let serves = self
            .deployed
            .gate(gate)
            .is_some_and(|known| known.life == Life::Running);
        if let Some(id) = id.filter(|_| serves && !self.progress.going_back) {
            // It ends by itself once its last connection has, and is not to be started again.
            backend
                .set_restart(&id, Restart::No)
                .await
                .map_err(failed)?;
            backend.kill_container(&id, "USR1").await.map_err(failed)?;
            let until = Instant::now() + DRAIN;
            while Instant::now() < until && runs(backend.as_ref(), &id).await {
                tokio::select! {
                    () = sleep(PAUSE) => {}
                    () = self.broken_off() => break,
                }
            }
        }
        backend.remove_container(&name).await.map_err(failed)?;
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
        for opening in gate::openings(prepared.unit) {
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

    fn gate_id(&self, gate: &Gate) -> Option<String> {
        let opened = self.progress.gates.get(gate).cloned();
        opened.or_else(|| self.deployed.gate(gate).map(|known| known.id.clone()))
    }

    /// The servers as far as their addresses are known: what is gone has none.
    fn servers(&self, unit: &ServiceUnit, to: &Backends) -> BTreeMap<ServerName, Server> {
        let server = |(which, part): &(Which, Part)| {
            let addresses = match which {
                Which::New(slot) => self.progress.addresses.get(slot)?,
                Which::Old(id) => &self.deployed.generation(id)?.addresses,
            };
            let mut networks = unit.networks.iter();
            let server = Server {
                address: *networks.find_map(|network| addresses.get(network))?,
                port: 0,
                part: *part,
            };
            Some((self.server_name(which)?, server))
        };
        let well = to
            .iter()
            .filter(|(which, _)| !self.progress.left_out.contains(which));
        well.filter_map(server).collect()
    }

    /// How gates call a container.
    pub(super) fn server_name(&self, which: &Which) -> Option<ServerName> {
        let (service, sequence, replica) = match which {
            Which::New(slot) => (slot.service.as_str(), slot.sequence, slot.replica),
            Which::Old(id) => match self.deployed.generation(id) {
                Some(old) => (old.service.as_str(), old.sequence, old.replica),
                None => (id.as_str(), 0, 1),
            },
        };
        ServerName::new(format!("{service}-{sequence}-{replica}"))
    }

    /// What a service's gates logged.
    pub(super) async fn gate_logs(&self, service: &str) -> Result<String, Failure> {
        let Some(prepared) = self.services.get(service) else {
            return Ok(String::new());
        };
        let gates = gate::openings(prepared.unit).into_iter();
        let gates = gates.filter_map(|opening| self.gate_id(&opening.gate));
        let mut text = String::new();
        for id in gates {
            let log = self.target.backend.logs(&id, None).await;
            let log = log.map_err(failed(format!("reading the requests of {service}")))?;
            text.push_str(&text_of(&log));
        }
        Ok(text)
    }
}

/// How many lines of a gate's log hold the last verdict on a server.
const LINES: usize = 400;
/// How long the connections of a gate that goes may go on.
const DRAIN: Duration = Duration::from_secs(60);

fn shown(gate: &Gate) -> String {
    match gate {
        Gate::Port { address, port } => match address {
            Some(address) => format!("the proxy of {address}:{port}"),
            None => format!("the proxy of port {port}"),
        },
        Gate::Chosen { service, .. } | Gate::Name(service) => format!("the proxy of {service}"),
    }
}

fn config(unit: &ServiceUnit, opening: &Opening, servers: &BTreeMap<ServerName, Server>) -> Config {
    let mut parts = servers.values().map(|server| server.part);
    let is_judged = unit.update.strategy == Strategy::Canary
        && servers.len() > 1
        && parts.all(|part| matches!(part, Part::Active { .. }));
    let listen = |port: &u16| {
        let here = |(name, server): (&ServerName, &Server)| {
            let port = *port;
            (name.clone(), Server { port, ..*server })
        };
        let listen = Listen {
            app_protocol: unit.traffic.app_protocol,
            drain: unit.traffic.drain,
            sticky: unit.traffic.sticky,
            log_requests: is_judged,
            servers: servers.iter().map(here).collect(),
        };
        (*port, listen)
    };
    Config {
        listens: opening.ports.iter().map(listen).collect(),
    }
}

/// The container of a gate, sealed as far as a proxy can be.
fn container(
    name: &str,
    image: &str,
    endpoints: Vec<Endpoint>,
    published: Option<PortMapping>,
) -> ContainerSpec {
    let config = format!("{FOLDER}/{CONFIG}");
    let command = ["haproxy", "-W", "-db", "-f", &config];
    ContainerSpec {
        entrypoint: Some(Vec::new()),
        command: Some(command.map(str::to_owned).into()),
        user: Some(USER.to_owned()),
        network: Attachment::Networks(endpoints),
        security: Security {
            read_only: true,
            ..Security::default()
        },
        limits: Limits {
            memory: Some(MEMORY),
            ..Limits::SERVICE
        },
        mounts: vec![Mount {
            volume: name.to_owned(),
            target: FOLDER.to_owned(),
            read_only: false,
            populate: false,
        }],
        ports: published.into_iter().collect(),
        restart: Restart::UnlessStopped,
        logs: Logs::Keep,
        input: Input::None,
        ..crate::release::bare::bare(name, image, Labels::new())
    }
}

/// Gives a gate its configuration, and starts it or has it read that. Gives the workers that only
/// bring to an end what they had begun.
pub(in crate::release) async fn lead(
    backend: &dyn Backend,
    id: &str,
    text: &str,
) -> Result<BTreeSet<u64>, BackendError> {
    if !runs(backend, id).await {
        put(backend, id, CONFIG, text).await?;
        backend.start_container(id).await?;
        let until = Instant::now() + RELOAD;
        while workers(backend, id).await.is_empty() {
            wait(until, "the proxy did not start").await?;
            if !runs(backend, id).await {
                let log = text_of(&backend.logs(id, Some(10)).await?);
                let why = format!("the proxy ended: {}", log.trim());
                return Err(BackendError::new(BackendErrorKind::Engine, why));
            }
        }
        return Ok(BTreeSet::new());
    }
    if get(backend, id)
        .await
        .is_some_and(|current| current == text)
    {
        return Ok(BTreeSet::new());
    }
    put(backend, id, NEXT, text).await?;
    let next = format!("{FOLDER}/{NEXT}");
    let check = ["haproxy", "-c", "-f", &next].map(str::to_owned);
    let checked = backend.exec(id, &check, RELOAD).await?;
    if checked.code != 0 {
        let why = format!(
            "the proxy refuses its configuration: {}",
            checked.output.trim()
        );
        return Err(BackendError::new(BackendErrorKind::Engine, why));
    }
    put(backend, id, CONFIG, text).await?;
    let before = workers(backend, id).await;
    let until = Instant::now() + RELOAD;
    let mut again = Instant::now();
    while workers(backend, id).await.is_subset(&before) {
        // Soon after a start it is not heard. Once too often does no harm.
        if Instant::now() >= again {
            backend.kill_container(id, "USR2").await?;
            again = Instant::now() + AGAIN;
        }
        wait(until, "the proxy did not read its configuration").await?;
    }
    Ok(before)
}

async fn wait(until: Instant, what: &str) -> Result<(), BackendError> {
    if Instant::now() >= until {
        return Err(BackendError::new(BackendErrorKind::Timeout, what));
    }
    sleep(PAUSE).await;
    Ok(())
}

/// Whether all of these workers ended in time.
pub(in crate::release) async fn ended(
    backend: &dyn Backend,
    id: &str,
    old: &BTreeSet<u64>,
    until: Instant,
) -> bool {
    while Instant::now() < until {
        if workers(backend, id).await.is_disjoint(old) {
            return true;
        }
        sleep(PAUSE).await;
    }
    false
}

/// The processes of a gate that serve, new and old: those whose parent is a proxy as well.
async fn workers(backend: &dyn Backend, id: &str) -> BTreeSet<u64> {
    let all = backend.processes(id).await.unwrap_or_default();
    let is_proxy = |process: &&Process| process.command.starts_with("haproxy");
    let proxies: Vec<&Process> = all.iter().filter(is_proxy).collect();
    let is_worker = |process: &&&Process| proxies.iter().any(|other| other.pid == process.parent);
    proxies
        .iter()
        .filter(is_worker)
        .map(|process| process.pid)
        .collect()
}

async fn runs(backend: &dyn Backend, id: &str) -> bool {
    let found = backend.inspect_container(id).await.ok().flatten();
    found.is_some_and(|info| info.is_running())
}

async fn put(backend: &dyn Backend, id: &str, name: &str, text: &str) -> Result<(), BackendError> {
    let file = Entry {
        path: name.to_owned(),
        owner: Owner::ROOT,
        mode: 0o444,
        content: Content::Bytes(text.as_bytes().to_vec()),
    };
    backend.upload(id, FOLDER, tar_of(vec![file])).await
}

pub(in crate::release) async fn get(backend: &dyn Backend, id: &str) -> Option<String> {
    let path = format!("{FOLDER}/{CONFIG}");
    let mut stream = backend.download(id, &path).await.ok()?;
    let mut tar = Vec::new();
    while let Some(bytes) = stream.next().await {
        tar.extend_from_slice(&bytes.ok()?);
    }
    let found = crate::release::secrets::unpack(&tar).ok()?;
    String::from_utf8(found.into_values().next()?).ok()
}

fn text_of(chunks: &[crate::backend::Chunk]) -> String {
    let bytes = chunks.iter().flat_map(|chunk| chunk.bytes.iter().copied());
    String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
}
