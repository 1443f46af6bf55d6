//! What can be had only once: a port of a host, an environment's release, addresses of a network.
//! A step that is not run takes none of it.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::ops::Range;

use super::cx::Cx;
use crate::diag::Diagnostic;
use crate::unit::{PortMapping, Protocol, Route};

/// What was taken so far.
#[derive(Default)]
pub(crate) struct Claims {
    ports: HashMap<(String, u16, Protocol), Vec<PortClaim>>,
    /// The step that deploys to each environment, and where it says so.
    releases: HashMap<String, (String, Range<usize>)>,
    subnets: Vec<SubnetClaim>,
}

struct PortClaim {
    host_ip: Option<String>,
    /// Which requests are its own; all where empty.
    routes: Vec<Route>,
    who: String,
    span: Range<usize>,
}

struct SubnetClaim {
    /// The engine, as the file names it; empty for the one in use.
    engine: String,
    first: u32,
    last: u32,
    who: String,
    span: Range<usize>,
}

impl Cx<'_> {
    /// Takes a port of an engine's host for a service of the current step. Others share it where routes
    /// tell their requests apart; of those of one step one without has what is left.
    pub(crate) fn claim_port(
        &mut self,
        engine: &str,
        port: &PortMapping,
        routes: &[Route],
        who: &str,
        span: &Range<usize>,
    ) {
        let Some(published) = port.published.filter(|_| !self.spared) else {
            return;
        };
        let key = (engine.to_owned(), published, port.protocol);
        let claims = self.claims.ports.entry(key).or_default();
        let everywhere = |ip: &Option<String>| {
            ip.as_deref()
                .is_none_or(|ip| matches!(ip, "0.0.0.0" | "::"))
        };
        let same_address = |claim: &&PortClaim| {
            everywhere(&claim.host_ip) || everywhere(&port.host_ip) || claim.host_ip == port.host_ip
        };
        let step = |who: &str| who.rsplit_once('.').map(|(step, _)| step.to_owned());
        let fault = claims.iter().filter(same_address).find_map(|claim| {
            let shared = routes.iter().find(|route| claim.routes.contains(route));
            let (own, theirs) = (!routes.is_empty(), !claim.routes.is_empty());
            // What is left is one service's of a deploy that has the port for itself.
            let told_apart = match step(&claim.who) == step(who) {
                true => claim.who != who && (own || theirs),
                false => own && theirs,
            };
            let (what, help) = match shared {
                _ if claim.host_ip != port.host_ip && told_apart => (
                    format!("publish port {published} of the host on different addresses"),
                    Some("services share a port on one address: write it alike"),
                ),
                Some(route) => (
                    format!("both have `{route}` on port {published} of the host"),
                    None,
                ),
                None if told_apart => return None,
                None => {
                    let what = format!("both publish port {published} of the host");
                    let help = "services that speak HTTP share a port by `routes`; those of two deploys if all have some";
                    (what, (own || theirs).then_some(help))
                }
            };
            let message = format!("`{who}` and `{}` {what}", claim.who);
            let fault = Diagnostic::error(message, span.clone());
            let fault = fault.context(claim.span.clone(), "first here");
            Some(match help {
                Some(help) => fault.help(help),
                None => fault,
            })
        });
        let claim = PortClaim {
            host_ip: port.host_ip.clone(),
            routes: routes.to_vec(),
            who: who.to_owned(),
            span: span.clone(),
        };
        claims.push(claim);
        if let Some(fault) = fault {
            self.fault(fault);
        }
    }

    /// Takes an environment for the release of the current step, at the place that names it: its own
    /// or, `inherited`, the step that it extends.
    pub(crate) fn claim_environment(&mut self, name: &str, span: &Range<usize>, inherited: bool) {
        if self.spared {
            return;
        }
        let step = self.step_name().to_owned();
        if let Some((other, before)) = self.claims.releases.get(name).cloned() {
            let message = format!("`{other}` and `{step}` both deploy to `{name}`");
            let fault = Diagnostic::error(message, span.clone());
            self.fault(match before == *span {
                true => fault.help("an environment has one release; give each cell its own"),
                false if inherited => fault
                    .context(before, "first here")
                    .help("say where this one goes: `environment = \"NAME\"`"),
                false => fault
                    .context(before, "first here")
                    .help("an environment has one release: put all of its services into one step"),
            });
        } else {
            self.claims
                .releases
                .insert(name.to_owned(), (step, span.clone()));
        }
    }

    /// Takes the addresses of a network.
    pub(crate) fn claim_subnet(
        &mut self,
        engine: &str,
        (first, last): (Ipv4Addr, Ipv4Addr),
        who: String,
        span: &Range<usize>,
    ) {
        self.claims.subnets.push(SubnetClaim {
            engine: engine.to_owned(),
            first: first.to_bits(),
            last: last.to_bits(),
            who,
            span: span.clone(),
        });
    }

    /// Notes a fault for each subnet that overlaps one with smaller addresses.
    pub(super) fn compare_subnets(&mut self) {
        let mut all = std::mem::take(&mut self.claims.subnets);
        all.sort_by(|a, b| {
            (&a.engine, a.first, a.span.start).cmp(&(&b.engine, b.first, b.span.start))
        });
        let mut widest: Option<&SubnetClaim> = None;
        for claim in &all {
            let before = widest.filter(|other| other.engine == claim.engine);
            if let Some(other) = before.filter(|other| claim.first <= other.last) {
                // The one that is written later is to blame.
                let (first, later) = if other.span.start < claim.span.start {
                    (other, claim)
                } else {
                    (claim, other)
                };
                let message = format!("the subnets of `{}` and `{}` overlap", first.who, later.who);
                self.fault(
                    Diagnostic::error(message, later.span.clone())
                        .context(first.span.clone(), "the other one"),
                );
            }
            if before.is_none_or(|other| claim.last > other.last) {
                widest = Some(claim);
            }
        }
    }
}
