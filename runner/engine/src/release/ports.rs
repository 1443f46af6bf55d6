//! Ports of the host: who holds one that a service wants. Pure. It sees containers only; another
//! process on the engine's host is met when the service starts.

use std::fmt;

use hoist_model::unit::{PortMapping, Protocol};

/// A port that is taken on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    /// `None` for all addresses.
    address: Option<String>,
    port: u16,
    protocol: Protocol,
}

impl HostPort {
    /// Reads `address:port->port/protocol`; `None` where no port of the host is taken.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (host, container) = text.split_once("->")?;
        let (address, port) = host.rsplit_once(':').unwrap_or(("", host));
        let protocol = match container.rsplit_once('/') {
            Some((_, "udp")) => Protocol::Udp,
            Some((_, "tcp")) | None => Protocol::Tcp,
            Some(_) => return None,
        };
        Some(Self {
            address: Self::specific(address),
            port: port.parse().ok()?,
            protocol,
        })
    }

    /// The port that a service wants; `None` where the engine chooses one.
    pub(crate) fn wanted(mapping: &PortMapping) -> Option<Self> {
        Some(Self {
            address: mapping.host_ip.as_deref().and_then(Self::specific),
            port: mapping.published?,
            protocol: mapping.protocol,
        })
    }

    /// An address that is not a way to say "all of them".
    pub(crate) fn specific(address: &str) -> Option<String> {
        let bare = address.trim_start_matches('[').trim_end_matches(']');
        (!matches!(bare, "" | "0.0.0.0" | "::" | "*")).then(|| bare.to_owned())
    }

    /// The address, `None` for all of them, the number and the protocol.
    pub(crate) fn parts(&self) -> (Option<&str>, u16, Protocol) {
        (self.address.as_deref(), self.port, self.protocol)
    }

    /// Both cannot be had at once.
    pub(crate) fn clashes(&self, other: &Self) -> bool {
        let addresses = match (&self.address, &other.address) {
            (Some(a), Some(b)) => a == b,
            (None, _) | (_, None) => true,
        };
        addresses && self.port == other.port && self.protocol == other.protocol
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = &self.address {
            write!(f, "{address}:")?;
        }
        write!(f, "{}", self.port)?;
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(text: &str) -> HostPort {
        HostPort::read(text).expect("a port")
    }

    #[test]
    fn addresses_and_protocols_tell_ports_apart() {
        let all = held("0.0.0.0:8080->80/tcp");
        let loopback = held("127.0.0.1:8080->80/tcp");
        assert!(all.clashes(&loopback) && loopback.clashes(&all));
        assert!(held(":::8080->80/tcp").clashes(&loopback));
        assert!(held("[::]:8080->80/tcp").clashes(&loopback));
        assert!(!loopback.clashes(&held("127.0.0.2:8080->80/tcp")));
        assert!(!loopback.clashes(&held("127.0.0.1:8081->80/tcp")));
        assert!(!loopback.clashes(&held("127.0.0.1:8080->80/udp")));
    }

    #[test]
    fn what_takes_no_port_of_the_host_is_passed_over() {
        for text in [
            "",
            "80/tcp",
            "x:y->80/tcp",
            "1:99999->80/tcp",
            "0.0.0.0:1->80/sctp",
        ] {
            assert_eq!(HostPort::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_port_is_shown_as_the_file_writes_it() {
        assert_eq!(held("127.0.0.1:53->53/udp").to_string(), "127.0.0.1:53/udp");
        assert_eq!(held("0.0.0.0:80->80/tcp").to_string(), "80");
    }
}
