//! Which strategies and how many containers a service can have: it depends on what comes in to it
//! and what it writes to. Nothing here chooses another for the user.

use std::ops::Range;

use super::{Place, update};
use crate::diag::{Diagnostic, either};
use crate::plan::Cx;
use crate::spec::{At, ServiceSpec};
use crate::unit::{AppProtocol, PortMapping, Protocol, Strategy, Traffic, VolumeMount};

/// What is known of a service.
pub(super) struct Fit<'f> {
    /// Absent where the file's is none.
    pub(super) strategy: Option<Strategy>,
    pub(super) volumes: &'f [VolumeMount],
    pub(super) ports: &'f [PortMapping],
    pub(super) traffic: &'f Traffic,
}

/// Notes what does not go together.
pub(super) fn check(cx: &mut Cx<'_>, place: &Place<'_>, spec: &ServiceSpec, fit: &Fit<'_>) {
    let strategy = fit
        .strategy
        .filter(|strategy| *strategy != Strategy::Recreate);
    let switch = strategy.and_then(|strategy| {
        let words = format!("cannot be `{}`", update::word(strategy));
        Some((words, spec.strategy.as_ref()?.span.clone()))
    });
    let several = spec.replicas.as_ref().filter(|at| at.value > 1);
    let several = several.map(|at| {
        let words = format!("cannot have {} containers", at.value);
        (words, at.span.clone())
    });
    for (words, span) in switch.iter().chain(&several) {
        writes_alone(cx, place, spec, fit, words, span);
        has_udp(cx, place, fit, words, span);
    }
    let known = ports_are_known(cx, place, spec, fit);
    if let Some((words, span)) = switch.filter(|_| known && nothing_comes_in(fit)) {
        let message = format!("a service without `ports` or `expose` {words}");
        let fault = Diagnostic::error(message, span).says("there is nothing to switch");
        cx.fault(fault.help("name a port that others use in `expose`, or leave it `recreate`"));
    }
    if known && !comes_through_a_proxy(fit) {
        needs_a_port(cx, place, spec);
    } else {
        needs_a_published_port(cx, place, spec, fit);
        speaks_http(cx, place, spec, fit);
    }
}

/// What is wrong with a port was told already, and what is missing for that need not be.
fn ports_are_known(cx: &Cx<'_>, place: &Place<'_>, spec: &ServiceSpec, fit: &Fit<'_>) -> bool {
    let written = spec.ports.as_ref().map_or(0, Vec::len);
    let exposed = spec.expose.as_ref().map_or(0, Vec::len);
    written == fit.ports.len()
        && exposed == fit.traffic.expose.len()
        && !place.at.is_told(cx, &["ports"])
        && !place.at.is_told(cx, &["expose"])
}

fn nothing_comes_in(fit: &Fit<'_>) -> bool {
    fit.ports.is_empty() && fit.traffic.expose.is_empty()
}

fn comes_through_a_proxy(fit: &Fit<'_>) -> bool {
    let mut ports = fit.ports.iter();
    !fit.traffic.expose.is_empty() || ports.any(|port| port.protocol == Protocol::Tcp)
}

/// Two containers that write to what is not made for it would spoil each other's data.
fn writes_alone(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    spec: &ServiceSpec,
    fit: &Fit<'_>,
    words: &str,
    span: &Range<usize>,
) {
    let volumes = &cx.spec.volumes;
    let shared = |name: &str| {
        let said = volumes.get(name).and_then(|said| said.shared.as_ref());
        said.is_some_and(|at| at.value)
    };
    let mut writable = fit.volumes.iter().filter(|volume| !volume.read_only);
    let Some(volume) = writable.find(|volume| !shared(&volume.name)) else {
        return;
    };
    let name = &volume.name;
    let start = format!("{name}:");
    let mut written = spec.volumes.iter().flatten();
    let at = written.find(|at| at.value.starts_with(&start));
    let at = at.map_or_else(|| place.at.key_span(cx, &["volumes"]), |at| at.span.clone());
    let message = format!("a service that writes to the volume `{name}` {words}");
    let fault = Diagnostic::error(message, span.clone()).context(at, "the volume");
    cx.fault(fault.help(format!(
        "if several may write to it at once, say so: `[volumes.{name}]` with `shared = true`; one that is only read is mounted with `:ro`"
    )));
}

/// A proxy hands on TCP alone, so a UDP port is the container's own.
fn has_udp(cx: &mut Cx<'_>, place: &Place<'_>, fit: &Fit<'_>, words: &str, span: &Range<usize>) {
    if fit.ports.iter().any(|port| port.protocol == Protocol::Udp) {
        let message = format!("a service with a UDP port {words}");
        let ports = place.at.key_span(cx, &["ports"]);
        let fault = Diagnostic::error(message, span.clone()).context(ports, "the port");
        cx.fault(fault.help("UDP does not go through a proxy: one container has the port"));
    }
}

/// Notes what is said of traffic where there is none.
fn needs_a_port(cx: &mut Cx<'_>, place: &Place<'_>, spec: &ServiceSpec) {
    let keys = [
        ("app_protocol", spec.app_protocol.is_some()),
        ("drain", spec.drain.is_some()),
        ("sticky", spec.sticky.is_some()),
        ("routes", spec.routes.is_some()),
        ("tls", spec.tls.is_some()),
        ("proxy_protocol", spec.proxy_protocol.is_some()),
        ("maintenance", spec.maintenance.is_some()),
    ];
    for (key, _) in keys.into_iter().filter(|(_, is_said)| *is_said) {
        let span = place.at.key_span(cx, &[key]);
        let message = format!("`{key}` is of a TCP port, and the service has none");
        let fault = Diagnostic::error(message, span);
        cx.fault(fault.help(format!("name one in {}", either(&["ports", "expose"]))));
    }
}

/// Notes what is said of traffic from outside where there is none.
fn needs_a_published_port(cx: &mut Cx<'_>, place: &Place<'_>, spec: &ServiceSpec, fit: &Fit<'_>) {
    let mut ports = fit.ports.iter();
    if ports.any(|port| port.protocol == Protocol::Tcp) || !ports_are_known(cx, place, spec, fit) {
        return;
    }
    let keys = [
        ("routes", spec.routes.is_some()),
        ("tls", spec.tls.is_some()),
        ("maintenance", spec.maintenance.is_some()),
    ];
    for (key, _) in keys.into_iter().filter(|(_, is_said)| *is_said) {
        let message = format!("`{key}` is of a published port, and the service has none");
        let fault = Diagnostic::error(message, place.at.key_span(cx, &[key]));
        cx.fault(fault.help("name one in `ports`, such as `443:8080`"));
    }
}

/// Requests are told apart in HTTP alone.
fn speaks_http(cx: &mut Cx<'_>, place: &Place<'_>, spec: &ServiceSpec, fit: &Fit<'_>) {
    let http = fit.traffic.app_protocol == AppProtocol::Http;
    let is_true = |at: &Option<At<bool>>| at.as_ref().is_some_and(|at| at.value);
    let sticky = spec.sticky.as_ref().filter(|at| at.value);
    let canary = fit.strategy == Some(Strategy::Canary);
    let of_requests = [
        ("sticky", is_true(&spec.sticky) && !canary),
        ("routes", spec.routes.is_some()),
        ("maintenance", is_true(&spec.maintenance)),
    ];
    let of_requests = of_requests.into_iter().filter(|(_, is_said)| *is_said);
    for (key, _) in of_requests.filter(|_| !http && fit.strategy.is_some()) {
        let message = format!("`{key}` goes with HTTP, and the service's ports speak TCP");
        let fault = Diagnostic::error(message, place.at.key_span(cx, &[key]));
        cx.fault(
            fault.help("say `app_protocol = \"http\"` if that is what is spoken on its ports"),
        );
    }
    if !canary {
        return;
    }
    if let Some(at) = spec.app_protocol.as_ref().filter(|_| !http) {
        let fault = Diagnostic::error("a canary speaks HTTP", at.span.clone())
            .says("errors and latency of anything else are not known");
        cx.fault(fault.help("choose `blue-green` or `rolling` for TCP"));
    }
    if let Some(at) = sticky {
        let fault = Diagnostic::error("a canary cannot be `sticky`", at.span.clone())
            .says("its share would be of clients, not of requests");
        cx.fault(fault.help("choose `blue-green` or `rolling`, or leave out `sticky`"));
    }
}
