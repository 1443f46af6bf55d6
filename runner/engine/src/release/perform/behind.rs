//! What is behind gates by now: which servers, by which names, and what is done with what comes in for
//! them. It touches no engine.

use std::collections::BTreeMap;

use hoist_model::unit::{PortMapping, ServiceUnit, Strategy};

use super::Performer;
use super::lead::Pem;
use crate::release::gate::{Gate, Opening};
use crate::release::plan::{Backends, Which};
use crate::release::proxy::{Front, Listen, Part, Server, ServerName, Services, qualified};
use crate::release::state::Life;

/// The part of one of several equal servers.
const EQUAL: Part = Part::Active { weight: 100 };

impl Performer<'_> {
    /// What a gate does for all services of the deploy that share it, with the names by which another
    /// calls their containers, and the certificates for that.
    pub(super) fn listens(
        &self,
        gate: &Gate,
        calls: &Gate,
    ) -> (BTreeMap<u16, Services>, Vec<Pem<'_>>) {
        let (mut listens, mut pems) = (BTreeMap::<u16, Services>::new(), Vec::new());
        for (service, prepared) in self.services {
            let openings = self.openings(prepared).into_iter();
            for opening in openings.filter(|one| one.gate == *gate) {
                let front = self.front_of(prepared.unit, &opening);
                let pem = front.tls.as_ref().and_then(|tls| prepared.pem_of(tls));
                pems.extend(pem);
                let servers = self.servers(calls, prepared.unit, &self.led_to(service));
                for (listened, target) in self.listened(&opening) {
                    let listen = listen(prepared.unit, &front, target, &servers);
                    let services = listens.entry(listened).or_default();
                    services.insert(service.clone(), listen);
                }
            }
        }
        (listens, pems)
    }

    /// What a service's gates lead to by now.
    fn led_to(&self, service: &str) -> Backends {
        if let Some(led) = self.progress.led.get(service) {
            return led.clone();
        }
        let current = self.deployed.current(service).into_iter();
        let running = current.filter(|old| old.life == Life::Running);
        running
            .map(|old| (Which::Old(old.id.clone()), EQUAL))
            .collect()
    }

    /// The ports that a gate listens on, each with the one of the service that it leads to.
    pub(super) fn listened(&self, opening: &Opening) -> Vec<(u16, u16)> {
        let Some(published) = &opening.published else {
            return opening.ports.iter().map(|port| (*port, *port)).collect();
        };
        let known = self.deployed.gate(&opening.gate);
        let inner = known.and_then(|known| known.inner);
        let inner = inner.unwrap_or_else(|| self.inner(&opening.gate, published));
        vec![(inner, published.target)]
    }

    /// The port that a gate which is not there yet is to listen on: the service's own, or, where
    /// several share it, that of the host.
    pub(super) fn inner(&self, gate: &Gate, published: &PortMapping) -> u16 {
        let openings = self.services.values().flat_map(|one| self.openings(one));
        let sharing = openings.filter(|one| one.gate == *gate).count();
        match published.published {
            Some(port) if sharing > 1 || gate.is_shared() => port,
            _ => published.target,
        }
    }

    /// What a gate does by now with what comes in: it may be what it did before the release.
    fn front_of(&self, unit: &ServiceUnit, opening: &Opening) -> Front {
        let known = self.deployed.gate(&opening.gate);
        let before = known.and_then(|known| known.fronts.get(&unit.name).cloned());
        before
            .filter(|_| !self.progress.fronted.contains(&unit.name))
            .unwrap_or_else(|| opening.front.clone())
    }

    /// The servers as far as their addresses are known: what is gone has none.
    fn servers(
        &self,
        gate: &Gate,
        unit: &ServiceUnit,
        to: &Backends,
    ) -> BTreeMap<ServerName, Server> {
        let server = |(which, part): &(Which, Part)| {
            let (addresses, proxy_protocol) = match which {
                Which::New(slot) => {
                    let told = unit.traffic.proxy_protocol;
                    (self.progress.addresses.get(slot)?, told)
                }
                Which::Old(id) => {
                    let old = self.deployed.generation(id)?;
                    (&old.addresses, old.proxy_protocol)
                }
            };
            let mut networks = unit.networks.iter();
            let server = Server {
                address: *networks.find_map(|network| addresses.get(network))?,
                port: 0,
                part: *part,
                proxy_protocol,
            };
            Some((self.called(gate, which)?, server))
        };
        let well = to
            .iter()
            .filter(|(which, _)| !self.progress.left_out.contains(which));
        well.filter_map(server).collect()
    }

    /// How a gate calls a container.
    pub(super) fn called(&self, gate: &Gate, which: &Which) -> Option<ServerName> {
        let name = self.server_name(which)?;
        match gate.is_shared() {
            true => ServerName::new(qualified(self.place, name.as_str())),
            false => Some(name),
        }
    }

    /// How gates of this environment alone call a container.
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
}

/// What a service has behind one port of a gate.
fn listen(
    unit: &ServiceUnit,
    front: &Front,
    port: u16,
    servers: &BTreeMap<ServerName, Server>,
) -> Listen {
    let mut parts = servers.values().map(|server| server.part);
    let is_judged = unit.update.strategy == Strategy::Canary
        && servers.len() > 1
        && parts.all(|part| matches!(part, Part::Active { .. }));
    let here = |(name, server): (&ServerName, &Server)| (name.clone(), Server { port, ..*server });
    Listen {
        front: front.clone(),
        log_requests: is_judged,
        servers: servers.iter().map(here).collect(),
    }
}
