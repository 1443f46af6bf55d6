//! What services have to have in common that share a port of the host: one proxy has it. That their
//! routes tell them apart is seen where the port is taken.

use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::spec::Merged;
use crate::unit::{AppProtocol, PortMapping, Protocol, ServiceUnit};

/// Notes where two services cannot share a port.
pub(super) fn check(cx: &mut Cx<'_>, id: &str, spec: &Merged, units: &[Option<ServiceUnit>]) {
    let known: Vec<&ServiceUnit> = units.iter().flatten().collect();
    for (at, later) in known.iter().enumerate() {
        let mut before = known.iter().take(at);
        let Some(first) = before.find(|first| share_a_port(first, later)) else {
            continue;
        };
        let Some(why) = differ(first, later) else {
            continue;
        };
        let message = format!(
            "`{}` and `{}` share a port of the host, and {why}",
            later.name, first.name
        );
        let mut names = spec.services.iter().map(|(name, _)| name);
        let span = match names.find(|name| name.value == later.name) {
            Some(name) => name.span.clone(),
            None => cx.key_span(&["steps", id, "deploy", "services"]),
        };
        let fault = Diagnostic::error(message, span);
        cx.fault(fault.help("make them alike, or publish another port"));
    }
}

fn share_a_port(one: &ServiceUnit, other: &ServiceUnit) -> bool {
    let of = |unit: &ServiceUnit| -> Vec<PortMapping> {
        let ports = unit.ports.iter();
        let ports = ports.filter(|port| port.protocol == Protocol::Tcp && port.published.is_some());
        ports.cloned().collect()
    };
    let others = of(other);
    of(one).iter().any(|port| {
        let mut others = others.iter();
        others.any(|other| port.published == other.published && port.host_ip == other.host_ip)
    })
}

/// What the proxy could not do for both.
fn differ(one: &ServiceUnit, other: &ServiceUnit) -> Option<&'static str> {
    let speaks_http = |unit: &ServiceUnit| unit.traffic.app_protocol == AppProtocol::Http;
    if !speaks_http(one) || !speaks_http(other) {
        Some("one of them does not speak HTTP")
    } else if one.traffic.tls.is_some() != other.traffic.tls.is_some() {
        Some("only one of them has `tls`")
    } else if sorted(&one.networks) != sorted(&other.networks) {
        Some("they are on different networks")
    } else {
        None
    }
}

fn sorted(names: &[String]) -> Vec<&String> {
    let mut names: Vec<&String> = names.iter().collect();
    names.sort();
    names
}
