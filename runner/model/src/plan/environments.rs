//! `[environments]`: where deploys go, and the networks there.

use std::net::Ipv4Addr;

use super::cx::Cx;
use crate::diag::Diagnostic;
use crate::spec::{At, EnvironmentSpec, NetworkSpec};
use crate::unit::{EnvironmentPlan, NetworkPlan};

impl Cx<'_> {
    /// Reads all environments.
    pub(super) fn read_environments(&mut self) {
        let spec = self.spec;
        for (name, environment) in &spec.environments {
            self.name("an environment", name);
            let plan = self.environment(name, environment);
            self.environments.insert(name.value.clone(), plan);
        }
        self.compare_subnets();
    }

    fn environment(&mut self, name: &At<String>, spec: &EnvironmentSpec) -> EnvironmentPlan {
        let engine = spec.engine.as_ref().and_then(|at| self.engine(at));
        let mut networks = std::collections::BTreeMap::new();
        for (network, spec) in &spec.networks {
            self.name("a network", network);
            let who = format!("{}.{}", name.value, network.value);
            let plan = self.environment_network(&who, engine.as_deref().unwrap_or(""), spec);
            networks.insert(network.value.clone(), plan);
        }
        networks.entry("default".into()).or_default();
        EnvironmentPlan {
            name: name.value.clone(),
            engine,
            approval: spec.approval.as_ref().is_some_and(|at| at.value),
            networks,
        }
    }

    /// An engine's address.
    fn engine(&mut self, at: &At<String>) -> Option<String> {
        let at = self.literal_at(at)?;
        let address = at.value.as_str();
        let fault = Diagnostic::error(
            format!("`{address}` is not an engine's address"),
            at.span.clone(),
        );
        let forms =
            "addresses are like `unix:///var/run/docker.sock`, `ssh://USER@HOST` or `context:NAME`";
        let fault = match address.split_once(':') {
            Some(("context", name)) if !name.is_empty() => return Some(at.value),
            Some(("unix" | "tcp" | "ssh" | "http" | "https", rest))
                if rest.len() > 2 && rest.starts_with("//") =>
            {
                return Some(at.value);
            }
            _ if address.starts_with('/') => fault
                .help(forms)
                .suggest(at.span.clone(), format!("\"unix://{address}\"")),
            _ => fault.help(forms),
        };
        self.fault(fault);
        None
    }

    fn environment_network(&mut self, who: &str, engine: &str, spec: &NetworkSpec) -> NetworkPlan {
        let internal = spec.internal.as_ref().is_some_and(|at| at.value);
        let labels = self.labels(spec.labels.as_ref());
        let mut plan = NetworkPlan {
            internal,
            labels,
            ..NetworkPlan::default()
        };
        let mut configs = spec
            .ipam
            .iter()
            .filter_map(|ipam| ipam.config.as_ref())
            .flatten();
        let Some(config) = configs.next() else {
            return plan;
        };
        if let Some(second) = configs.next() {
            let fault = Diagnostic::error("a network has one subnet", second.span.clone());
            self.fault(fault.help("make a network for each subnet"));
        }
        let Some(at) = &config.value.subnet else {
            if config.value.gateway.is_some() {
                let fault = Diagnostic::error("a gateway needs a subnet", config.span.clone());
                self.fault(fault.help("name the subnet too: `subnet = \"172.28.0.0/24\"`"));
            }
            return plan;
        };
        let Some(at) = self.literal_at(at) else {
            return plan;
        };
        let range = match subnet(&at.value) {
            Ok(range) => range,
            Err((message, instead)) => {
                let fault = Diagnostic::error(message, at.span.clone());
                self.fault(match instead {
                    Some(instead) => fault.suggest(at.span, format!("\"{instead}\"")),
                    None => fault.help("subnets are written like `172.28.0.0/24`"),
                });
                return plan;
            }
        };
        self.claim_subnet(engine, range, who.to_owned(), &at.span);
        plan.gateway = config
            .value
            .gateway
            .as_ref()
            .and_then(|at| self.gateway(at, range));
        plan.subnet = Some(at.value);
        plan
    }

    fn gateway(&mut self, at: &At<String>, (first, last): (Ipv4Addr, Ipv4Addr)) -> Option<String> {
        let at = self.literal_at(at)?;
        let message = match at.value.parse::<Ipv4Addr>() {
            Ok(address) if first < address && address < last => return Some(at.value),
            Ok(_) => format!("`{}` is not an address of the subnet", at.value),
            Err(_) => format!("`{}` is not an address", at.value),
        };
        let help = format!("addresses of the subnet lie between {first} and {last}");
        self.fault(Diagnostic::error(message, at.span).help(help));
        None
    }
}

/// The first and last address of a subnet in CIDR form; or what is wrong, and what could be meant.
fn subnet(text: &str) -> Result<(Ipv4Addr, Ipv4Addr), (String, Option<String>)> {
    let bad = |why: &str| (format!("`{text}` {why}"), None);
    let (address, prefix) = text.split_once('/').ok_or_else(|| bad("is not a subnet"))?;
    if address.contains(':') {
        return Err(bad("is of IPv6, which is not supported by this version"));
    }
    let address: Ipv4Addr = address.parse().map_err(|_| bad("is not a subnet"))?;
    let prefix: u32 = prefix.parse().map_err(|_| bad("is not a subnet"))?;
    if !(8..=29).contains(&prefix) {
        return Err(bad("has not a useful size: prefixes from /8 to /29 have"));
    }
    let mask = u32::MAX << (32 - prefix);
    let first = Ipv4Addr::from_bits(address.to_bits() & mask);
    if first != address {
        let message = format!("`{text}` is an address in a subnet, not the subnet");
        return Err((message, Some(format!("{first}/{prefix}"))));
    }
    Ok((first, Ipv4Addr::from_bits(address.to_bits() | !mask)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_are_cidr() {
        let (first, last) = subnet("172.28.0.0/24").unwrap();
        assert_eq!(
            (first.to_string(), last.to_string()),
            ("172.28.0.0".into(), "172.28.0.255".into())
        );
        for text in [
            "172.28.0.0",
            "172.28.0.0/33",
            "fd00::/64",
            "a/24",
            "10.0.0.0/",
            "1.2.3/24",
            "/24",
        ] {
            assert!(subnet(text).is_err(), "{text}");
        }
        assert_eq!(
            subnet("172.28.0.5/24").unwrap_err().1.as_deref(),
            Some("172.28.0.0/24")
        );
    }
}
