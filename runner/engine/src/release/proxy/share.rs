//! A proxy that environments of any project share: what each has of it, and the configuration of all
//! that together. Its text holds both, so that one file says what a proxy does and whose each part of
//! it is. Whoever changes a part writes those of others as they were. Refused here: to leave one out
//! that cannot be read, or that would not be written as it was.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use hoist_model::reason::Trouble;
use hoist_model::unit::{ReleaseUnit, Route};
use serde::{Deserialize, Serialize};

use super::config::{Config, Services};
use crate::release::gate::{self, Gate};
use crate::release::names::Place;

/// How a line of the configuration begins that holds a part.
const MARK: &str = "# share ";
/// The last line. A text without it was cut off in the middle.
const END: &str = "# end";

/// What an environment has of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Share {
    pub(crate) place: Place,
    /// The proxy's fixed addresses in the environment's networks, by their names in its file.
    pub(crate) addresses: BTreeMap<String, Ipv4Addr>,
    /// What is behind the port, by the names of its file.
    pub(crate) services: Services,
}

/// The parts of all environments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shares(BTreeMap<Place, Share>);

/// A configuration that holds what this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// What a service wants of a port, or has.
#[derive(Clone, Debug)]
pub(crate) struct Claim<'a> {
    service: &'a str,
    routes: &'a [Route],
    tls: bool,
}

/// A name of an environment among those of others. No name of a file holds a dot.
pub(crate) fn qualified(place: &Place, name: &str) -> String {
    format!("{}.{}.{name}", place.project, place.environment)
}

impl Shares {
    /// The parts that a configuration's text holds.
    pub(crate) fn read(text: &str) -> Result<Self, Unreadable> {
        if text.lines().last() != Some(END) {
            return Err(Unreadable);
        }
        let lines = text.lines().filter_map(|line| line.strip_prefix(MARK));
        let read = |line: &str| {
            let share: Share = serde_json::from_str(line).ok()?;
            // What another version wrote may say more than is read of it.
            let same = serde_json::to_string(&share).is_ok_and(|again| again == line);
            same.then(|| (share.place.clone(), share))
        };
        let read: Option<BTreeMap<Place, Share>> = lines.map(read).collect();
        read.map(Self).ok_or(Unreadable)
    }

    /// The text of the proxy of that port.
    pub(crate) fn text(&self, port: u16) -> String {
        let services = self.0.values().flat_map(|share| {
            let services = share.services.iter();
            services.map(|(name, listen)| (qualified(&share.place, name), listen.clone()))
        });
        let config = Config {
            listens: [(port, services.collect())].into(),
        };
        let mut text = format!("{config}\n");
        for share in self.0.values() {
            text += MARK;
            text += &serde_json::to_string(share).unwrap_or_default();
            text.push('\n');
        }
        text + END + "\n"
    }

    pub(crate) fn of(&self, place: &Place) -> Option<&Share> {
        self.0.get(place)
    }

    /// The parts of all but that one.
    pub(crate) fn others<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = &'a Share> {
        self.0.values().filter(move |share| share.place != *place)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Share> {
        self.0.values()
    }

    pub(crate) fn put(&mut self, share: Share) {
        self.0.insert(share.place.clone(), share);
    }

    pub(crate) fn take(&mut self, place: &Place) -> Option<Share> {
        self.0.remove(place)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Why an environment cannot have these beside what others have.
    pub(crate) fn clash(&self, place: &Place, gate: &Gate, all: &[Claim<'_>]) -> Option<Trouble> {
        let others = || self.others(place);
        let theirs = || others().flat_map(|share| share.claims().map(move |one| (share, one)));
        all.iter().find_map(|own| {
            theirs().find_map(|(share, other)| own.clash(gate, &share.place, &other))
        })
    }
}

impl Share {
    pub(crate) fn claims(&self) -> impl Iterator<Item = Claim<'_>> {
        self.services.iter().map(|(service, listen)| Claim {
            service,
            routes: &listen.front.routes,
            tls: listen.front.tls.is_some(),
        })
    }
}

impl<'a> Claim<'a> {
    /// What the services of a release want of the port of a gate.
    pub(crate) fn of(unit: &'a ReleaseUnit, port: &Gate) -> Vec<Self> {
        let wants = |service: &&hoist_model::unit::ServiceUnit| {
            let openings = gate::openings(service, None, &Default::default()).into_iter();
            let mut gates = openings.filter_map(|one| one.gate.as_shared());
            gates.any(|gate| gate == *port)
        };
        let all = unit.services.iter().filter(wants);
        all.map(|service| Self {
            service: &service.name,
            routes: &service.traffic.routes,
            tls: service.traffic.tls.is_some(),
        })
        .collect()
    }

    fn clash(&self, gate: &Gate, place: &Place, other: &Claim<'_>) -> Option<Trouble> {
        let (service, theirs) = (self.service, other.service);
        let port = gate.port_shown();
        let taken = || Trouble::new(format!("the port {port} of {service} is taken"));
        if other.routes.is_empty() {
            let cause = format!("{theirs} of {place} has it for itself: it has no `routes`");
            return Some(taken().cause(cause).hint(BOTH));
        }
        if self.routes.is_empty() {
            let cause =
                format!("{theirs} of {place} has a part of it, and {service} has no `routes`");
            return Some(taken().cause(cause).hint(BOTH));
        }
        let same = |route: &&Route| other.routes.iter().any(|other| means(route, other));
        if let Some(route) = self.routes.iter().find(same) {
            let what = format!("the route `{route}` of {service} on port {port} is taken");
            let trouble = Trouble::new(what).cause(format!("{theirs} of {place} has it"));
            return Some(trouble.hint("name another host or path, or publish another port"));
        }
        (self.tls != other.tls).then(|| {
            let what = format!("{service} cannot share port {port} with {theirs} of {place}");
            let trouble = Trouble::new(what).cause("only one of them has `tls`");
            trouble.hint("make them alike, or publish another port")
        })
    }
}

/// What makes two projects share a port.
pub(crate) const BOTH: &str =
    "give all services that publish it `routes`, and they share it, or publish another port";

/// Both routes are the same requests.
fn means(one: &Route, other: &Route) -> bool {
    let path = |route: &Route| route.path.clone().filter(|path| path != "/");
    one.host == other.host && path(one) == path(other)
}

#[cfg(test)]
mod tests;
