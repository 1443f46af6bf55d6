//! What a service shares with its host: published ports, in Compose's short syntax.

use std::net::IpAddr;

use super::Place;
use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::spec::{At, Scalar};
use crate::unit::{PortMapping, Protocol, Route};

/// Published ports.
pub(super) fn ports(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    all: Option<&Vec<At<Scalar>>>,
    routes: &[Route],
) -> Vec<PortMapping> {
    let engine = place
        .environment
        .and_then(|environment| environment.engine.clone());
    let who = format!("{}.{}", place.at.owner.step, place.at.name.value);
    let mut ports = Vec::new();
    for at in all.into_iter().flatten() {
        let Some(text) = cx.literal(at) else { continue };
        match port(&text) {
            Ok(port) => {
                cx.claim_port(
                    engine.as_deref().unwrap_or(""),
                    &port,
                    routes,
                    &who,
                    &at.span,
                );
                ports.push(port);
            }
            Err(message) => cx.fault(
                Diagnostic::error(message, at.span.clone())
                    .help("ports are written like `8080:80`, `127.0.0.1:8080:80` or `53:53/udp`"),
            ),
        }
    }
    ports
}

/// A port as it is written: `[[address:]host:]container[/protocol]`.
pub(super) fn port(text: &str) -> Result<PortMapping, String> {
    let (rest, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        other => {
            return Err(format!(
                "`{other}` is not a protocol of ports: `tcp` or `udp` is"
            ));
        }
    };
    let (rest, target) = match rest.rsplit_once(':') {
        Some((rest, target)) => (Some(rest), target),
        None => (None, rest),
    };
    let target = number(target, text)?;
    let Some(rest) = rest else {
        return Ok(PortMapping {
            host_ip: None,
            published: None,
            target,
            protocol,
        });
    };
    let (address, published) = match rest.rsplit_once(':') {
        Some((address, published)) => (Some(address), published),
        None => (None, rest),
    };
    let host_ip = match address {
        None => None,
        Some(address) => {
            let address = address.trim_start_matches('[').trim_end_matches(']');
            let is_address = address.parse::<IpAddr>().is_ok();
            Some(
                is_address
                    .then(|| address.to_owned())
                    .ok_or(format!("`{address}` is not an address"))?,
            )
        }
    };
    let published = if published.is_empty() {
        None
    } else {
        Some(number(published, text)?)
    };
    Ok(PortMapping {
        host_ip,
        published,
        target,
        protocol,
    })
}

fn number(part: &str, text: &str) -> Result<u16, String> {
    match part.parse() {
        Ok(number) if number > 0 => Ok(number),
        Ok(_) => Err("0 is not a port".into()),
        Err(_) if part.contains('-') => {
            Err("a range of ports is not supported by this version".into())
        }
        Err(_) if part.chars().all(|c| c.is_ascii_digit()) && !part.is_empty() => {
            Err(format!("`{part}` is not a port: the highest is 65535"))
        }
        Err(_) => Err(format!("`{text}` is not a port")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ports_are_composes() {
        let made = |host_ip: Option<&str>, published, target, protocol| {
            Ok(PortMapping {
                host_ip: host_ip.map(str::to_owned),
                published,
                target,
                protocol,
            })
        };
        assert_eq!(port("3000"), made(None, None, 3000, Protocol::Tcp));
        assert_eq!(
            port("8080:3000"),
            made(None, Some(8080), 3000, Protocol::Tcp)
        );
        assert_eq!(port("53:53/udp"), made(None, Some(53), 53, Protocol::Udp));
        assert_eq!(
            port("127.0.0.1:1:2"),
            made(Some("127.0.0.1"), Some(1), 2, Protocol::Tcp)
        );
        assert_eq!(
            port("127.0.0.1::2"),
            made(Some("127.0.0.1"), None, 2, Protocol::Tcp)
        );
        assert_eq!(
            port("[::1]:1:2"),
            made(Some("::1"), Some(1), 2, Protocol::Tcp)
        );
        for text in [
            "", "a", "0", "1:", "65536:1", "1-2:1-2", "1/sctp", "host:1:2", "1:2:3:4",
        ] {
            assert!(port(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[0-9a-f:./\\[\\]-]{0,20}") {
            let _ = port(&text);
        }
    }
}
