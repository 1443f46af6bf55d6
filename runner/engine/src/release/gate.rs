//! A gate: the proxy that owns a port of the host, or a service's name inside its networks. Which
//! gates a service has follows from its ports and routes alone, so a strategy can change without one
//! being replaced. Pure; it refuses to know what is behind a gate.

use std::collections::BTreeSet;
use std::fmt;

use hoist_model::unit::{PortMapping, Protocol, ServiceUnit, Strategy};

use super::ports::HostPort;
use super::proxy::{Certificate, Front};

/// Which proxy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gate {
    /// The owner of a port of the host.
    Port {
        /// `None` for all addresses.
        address: Option<String>,
        port: u16,
    },
    /// The owner of a port of the host that is the host's own: environments of any project share it,
    /// and none of them knows of the others.
    Shared {
        /// `None` for all addresses.
        address: Option<String>,
        port: u16,
    },
    /// The owner of a port of the host that the engine chose, for this port of the service.
    Chosen {
        service: String,
        address: Option<String>,
        target: u16,
    },
    /// The owner of a service's name on its networks.
    Name(String),
}

/// A gate with what it does for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) gate: Gate,
    /// Ports of the service's containers, on which the gate listens too.
    pub(crate) ports: Vec<u16>,
    /// What is published on the host.
    pub(crate) published: Option<PortMapping>,
    /// What it does with what comes in.
    pub(crate) front: Front,
}

/// The gates of a service. A service that is only ever recreated keeps its name itself, since nobody
/// has to be led from one container of it to another, unless it expects of each connection to be told
/// the client, which only a gate does.
/// `shared` are the gates of its deploy that are the host's.
pub(crate) fn openings(
    service: &ServiceUnit,
    tls: Option<&Certificate>,
    shared: &BTreeSet<Gate>,
) -> Vec<Opening> {
    let tcp = service
        .ports
        .iter()
        .filter(|port| port.protocol == Protocol::Tcp);
    let mut openings: Vec<Opening> = tcp
        .map(|mapping| Opening {
            gate: match mapping.published {
                Some(port) => {
                    let gate = Gate::Port {
                        address: mapping.host_ip.clone(),
                        port,
                    };
                    let shared = gate.as_shared().filter(|gate| shared.contains(gate));
                    shared.unwrap_or(gate)
                }
                None => Gate::Chosen {
                    service: service.name.clone(),
                    address: mapping.host_ip.clone(),
                    target: mapping.target,
                },
            },
            ports: vec![mapping.target],
            published: Some(mapping.clone()),
            front: Front::of(&service.traffic, true, tls),
        })
        .collect();
    if is_named_by_gate(service) {
        openings.push(Opening {
            gate: Gate::Name(service.name.clone()),
            ports: service.proxied().into_iter().collect(),
            published: None,
            front: Front::of(&service.traffic, false, tls),
        });
    }
    openings
}

/// The gates of a deploy that are the host's: those of ports that all who publish them have routes for.
/// Whoever comes later has other routes, and the file of the first says nothing of it.
pub(crate) fn shared(services: &[ServiceUnit]) -> BTreeSet<Gate> {
    let of = |service: &ServiceUnit| -> Vec<Gate> {
        let openings = openings(service, None, &BTreeSet::new()).into_iter();
        openings.filter_map(|one| one.gate.as_shared()).collect()
    };
    let owned = services.iter().filter(|one| one.traffic.routes.is_empty());
    let owned: BTreeSet<Gate> = owned.flat_map(of).collect();
    let all = services.iter().flat_map(of);
    all.filter(|gate| !owned.contains(gate)).collect()
}

/// Others reach the service's name through a gate, and not its containers themselves.
pub(crate) fn is_named_by_gate(service: &ServiceUnit) -> bool {
    let needs_one = service.update.strategy != Strategy::Recreate || service.traffic.proxy_protocol;
    needs_one && !service.proxied().is_empty()
}

impl Gate {
    /// The gate that is the host's and owns the same port.
    pub(crate) fn as_shared(&self) -> Option<Self> {
        match self {
            Self::Port { address, port } | Self::Shared { address, port } => Some(Self::Shared {
                address: address.as_deref().and_then(HostPort::specific),
                port: *port,
            }),
            Self::Chosen { .. } | Self::Name(_) => None,
        }
    }

    /// The port of the host as a file has it.
    pub(crate) fn port_shown(&self) -> String {
        match self {
            Self::Port { address, port } | Self::Shared { address, port } => match address {
                Some(address) => format!("{address}:{port}"),
                None => port.to_string(),
            },
            Self::Chosen { target, .. } => target.to_string(),
            Self::Name(name) => name.clone(),
        }
    }

    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Shared { .. })
    }

    /// Reads a gate as its label has it.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let address = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (kind, rest) = text.split_once(' ')?;
        match kind {
            "port" => {
                let (host, port) = rest.rsplit_once(':')?;
                Some(Self::Port {
                    address: address(host),
                    port: port.parse().ok()?,
                })
            }
            "shared" => {
                let (host, port) = rest.rsplit_once(':')?;
                Some(Self::Shared {
                    address: address(host),
                    port: port.parse().ok()?,
                })
            }
            "chosen" => {
                let (service, rest) = rest.split_once(' ')?;
                let (host, target) = rest.rsplit_once(':')?;
                Some(Self::Chosen {
                    service: service.to_owned(),
                    address: address(host),
                    target: target.parse().ok()?,
                })
            }
            "name" => Some(Self::Name(rest.to_owned())),
            _ => None,
        }
    }

    /// The part of its container's name that tells it from others.
    pub(crate) fn slug(&self) -> String {
        let with = |address: &Option<String>, rest: String| match address {
            Some(address) => format!("{}-{rest}", address.replace(':', "-")),
            None => rest,
        };
        let text = match self {
            Self::Port { address, port } | Self::Shared { address, port } => {
                with(address, port.to_string())
            }
            Self::Chosen {
                service,
                address,
                target,
            } => with(address, format!("{service}-{target}")),
            Self::Name(service) => service.clone(),
        };
        format!("proxy-{text}")
    }
}

/// As the label of its container has it; in the alternate form, for people.
impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return match self {
                Self::Port { address, port } | Self::Shared { address, port } => match address {
                    Some(address) => write!(f, "the proxy of {address}:{port}"),
                    None => write!(f, "the proxy of port {port}"),
                },
                Self::Chosen { service, .. } | Self::Name(service) => {
                    write!(f, "the proxy of {service}")
                }
            };
        }
        let host = |address: &Option<String>| address.clone().unwrap_or_default();
        match self {
            Self::Port { address, port } => write!(f, "port {}:{port}", host(address)),
            Self::Shared { address, port } => write!(f, "shared {}:{port}", host(address)),
            Self::Chosen {
                service,
                address,
                target,
            } => write!(f, "chosen {service} {}:{target}", host(address)),
            Self::Name(service) => write!(f, "name {service}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use hoist_model::unit::Route;

    use super::*;
    use crate::release::tests::fixtures::{ports, service};

    #[test]
    fn a_label_is_read_as_it_was_written() {
        for gate in [
            Gate::Port {
                address: None,
                port: 8080,
            },
            Gate::Port {
                address: Some("::1".into()),
                port: 80,
            },
            Gate::Shared {
                address: Some("127.0.0.1".into()),
                port: 443,
            },
            Gate::Chosen {
                service: "web".into(),
                address: Some("127.0.0.1".into()),
                target: 3000,
            },
            Gate::Name("web".into()),
        ] {
            assert_eq!(Gate::read(&gate.to_string()), Some(gate));
        }
        for text in ["", "port", "port x", "port :x", "chosen web", "door web"] {
            assert_eq!(Gate::read(text), None, "{text}");
        }
    }

    #[test]
    fn udp_ports_have_no_gate_and_a_switched_service_has_its_name_at_one() {
        let mut unit = service("web");
        unit.ports = ports(8080);
        unit.ports.push(PortMapping {
            protocol: Protocol::Udp,
            ..ports(53).remove(0)
        });
        let gates = |unit: &ServiceUnit| -> Vec<Gate> {
            openings(unit, None, &BTreeSet::new())
                .into_iter()
                .map(|one| one.gate)
                .collect()
        };
        let port = Gate::Port {
            address: None,
            port: 8080,
        };
        assert_eq!(gates(&unit), std::slice::from_ref(&port));
        unit.traffic.proxy_protocol = true;
        assert_eq!(gates(&unit), [port.clone(), Gate::Name("web".into())]);
        unit.traffic.proxy_protocol = false;
        unit.update.strategy = Strategy::Rolling;
        assert_eq!(gates(&unit), [port, Gate::Name("web".into())]);
        unit.ports.clear();
        assert_eq!(gates(&unit), []);
        unit.traffic.expose = vec![80];
        assert_eq!(gates(&unit), [Gate::Name("web".into())]);
    }

    #[test]
    fn a_port_is_the_hosts_where_all_who_publish_it_have_routes() {
        let with = |name: &str, port: u16, routes: usize| {
            let mut unit = service(name);
            unit.ports = ports(port);
            unit.traffic.routes = vec![Route::default(); routes];
            unit
        };
        let mut all = [with("web", 80, 1), with("api", 80, 1), with("old", 81, 0)];
        let port = Gate::Shared {
            address: None,
            port: 80,
        };
        let found = shared(&all);
        assert_eq!(found, [port.clone()].into());
        let gate = |unit: &ServiceUnit| openings(unit, None, &found).remove(0).gate;
        assert_eq!((gate(&all[0]), gate(&all[1])), (port.clone(), port));
        assert!(!gate(&all[2]).is_shared());
        // However all addresses are written.
        all[0].ports[0].host_ip = Some("0.0.0.0".into());
        assert_eq!(shared(&all), found);
        all[1].traffic.routes.clear();
        assert!(shared(&all).is_empty(), "one has what is left");
    }
}
