//! `network_mode`: a service that has the host's network instead of one of its own. What the file
//! says here is a wish only: nothing runs so unless the command that starts it allows it.

use super::{Place, update};
use crate::diag::Diagnostic;
use crate::plan::Cx;
use crate::spec::{At, ServiceSpec};
use crate::unit::Strategy;

const OF_ENVIRONMENT: &str = "networks of the environment are named in `networks`";

/// The service has the host's network.
pub(super) fn lower(cx: &mut Cx<'_>, spec: &ServiceSpec) -> bool {
    let refused = [
        ("bridge", OF_ENVIRONMENT),
        (
            "none",
            "name a network with `internal = true` in `networks`",
        ),
    ];
    let mode = spec.network_mode.as_ref();
    mode.and_then(|at| cx.word("network_mode", at, &[("host", true)], &refused))
        .unwrap_or(false)
}

/// Notes what does not go together with it.
pub(super) fn check(
    cx: &mut Cx<'_>,
    place: &Place<'_>,
    spec: &ServiceSpec,
    strategy: Option<Strategy>,
) {
    let service = "a service on the host's network";
    let is_true = |at: &Option<At<bool>>| at.as_ref().is_some_and(|at| at.value);
    let (own, proxy) = (
        "what it listens on is the host's at once; leave it out",
        "nothing stands in front of it; leave it out",
    );
    let keys = [
        (
            "networks",
            spec.networks.is_some(),
            "it is on no other; leave it out",
        ),
        ("ports", spec.ports.is_some(), own),
        ("expose", spec.expose.is_some(), own),
        ("routes", spec.routes.is_some(), proxy),
        ("tls", spec.tls.is_some(), proxy),
        ("maintenance", is_true(&spec.maintenance), proxy),
        ("sticky", is_true(&spec.sticky), proxy),
        ("proxy_protocol", is_true(&spec.proxy_protocol), proxy),
        ("app_protocol", spec.app_protocol.is_some(), proxy),
        ("drain", spec.drain.is_some(), proxy),
    ];
    for (key, _, help) in keys.into_iter().filter(|(_, is_said, _)| *is_said) {
        let span = place.at.key_span(cx, &[key]);
        let fault = Diagnostic::error(format!("{service} cannot have `{key}`"), span);
        cx.fault(fault.help(help));
    }
    let ports = "two at once would want the same ports of the host";
    if let Some((strategy, at)) = strategy.zip(spec.strategy.as_ref())
        && strategy != Strategy::Recreate
    {
        let message = format!("{service} cannot be `{}`", update::word(strategy));
        let fault = Diagnostic::error(message, at.span.clone()).says(ports);
        cx.fault(fault.help("leave it `recreate`: the old is stopped before the new is started"));
    }
    if let Some(at) = spec.replicas.as_ref().filter(|at| at.value > 1) {
        let message = format!("{service} cannot have {} containers", at.value);
        let fault = Diagnostic::error(message, at.span.clone()).says(ports);
        cx.fault(fault.help("leave out `replicas`"));
    }
}
