//! The hash by which a service's settings are compared with what runs. Values of secrets are never
//! part of it, nor is anything that does not make another container: dependencies, the image (it is
//! compared by its own identity) and addresses (a service keeps them).

use std::collections::BTreeMap;

use hoist_model::unit::{Command, NetworkPlan, Protocol, ServiceUnit};
use serde::Serialize;
use serde_json::{Map, Value};

use super::gate;

/// Tells these hashes from any others; a change of it recreates every service.
const SERVICE_CONTEXT: &str = "hoist release: settings of a service, version 1";
const NETWORK_CONTEXT: &str = "hoist release: settings of a network, version 1";

/// The hash of a service's settings, its variables resolved.
pub(crate) fn hash_service(
    service: &ServiceUnit,
    environment: &BTreeMap<String, String>,
) -> String {
    let ServiceUnit {
        name,
        image: _,
        command,
        entrypoint,
        environment: _,
        working_dir,
        user,
        security,
        limits,
        tmpfs,
        secrets,
        secrets_in_memory,
        volumes,
        ports,
        networks,
        host_network,
        healthcheck,
        restart,
        depends_on: _,
        labels,
        stop_grace_period,
        replicas: _,
        update: _,
        traffic,
    } = service;
    let mut fields = Fields::default();
    fields.put("name", name);
    // Text, because an empty list is not the same as none: it clears the image's own.
    fields.put(
        "command",
        &command
            .as_ref()
            .map(Command::argv)
            .map(|argv| as_text(&argv)),
    );
    fields.put("entrypoint", &entrypoint.as_ref().map(as_text));
    fields.put("environment", environment);
    fields.put("working_dir", working_dir);
    fields.put("user", user);
    fields.put("security", security);
    fields.put("limits", limits);
    fields.put("tmpfs", tmpfs);
    fields.put("secrets", secrets);
    fields.put("secrets_in_memory", secrets_in_memory);
    fields.put("volumes", volumes);
    // Ports of TCP are the proxy's.
    let own = ports.iter().filter(|port| port.protocol == Protocol::Udp);
    fields.put("ports", &own.collect::<Vec<_>>());
    fields.put("networks", networks);
    fields.put("host_network", host_network);
    fields.put("healthcheck", healthcheck);
    fields.put("restart", restart);
    fields.put("labels", labels);
    fields.put("named_by_proxy", &gate::is_named_by_gate(service));
    // What proxies do with the rest of the traffic is no matter to a container.
    fields.put("proxy_protocol", &traffic.proxy_protocol);
    fields.put("stop_grace_period_ms", &stop_grace_period.as_millis());
    fields.hash(SERVICE_CONTEXT)
}

/// The hash of a network's settings.
pub(crate) fn hash_network(network: &NetworkPlan) -> String {
    let NetworkPlan {
        subnet,
        gateway,
        internal,
        labels,
    } = network;
    let mut fields = Fields::default();
    fields.put("subnet", subnet);
    fields.put("gateway", gateway);
    fields.put("internal", internal);
    fields.put("labels", labels);
    fields.hash(NETWORK_CONTEXT)
}

fn as_text<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Settings in a canonical form: sorted by name, without what is absent, false or empty. So a
/// setting that a newer hoist knows, and that the file does not use, changes no hash.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        if let Some(value) = serde_json::to_value(value).ok().and_then(present) {
            self.0.insert(name.to_owned(), value);
        }
    }

    fn hash(self, context: &str) -> String {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(sorted(Value::Object(self.0)).to_string().as_bytes());
        hasher.finalize().to_hex().to_string()
    }
}

fn present(value: Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Array(items) if items.is_empty() => None,
        Value::Object(fields) => {
            let fields: Map<String, Value> = fields
                .into_iter()
                .filter_map(|(name, value)| Some((name, present(value)?)))
                .collect();
            (!fields.is_empty()).then_some(Value::Object(fields))
        }
        // Inside a list nothing is dropped: its length and order count.
        Value::Array(items) => Some(Value::Array(
            items
                .into_iter()
                .map(|item| present(item).unwrap_or(Value::Null))
                .collect(),
        )),
        value @ (Value::Bool(true) | Value::Number(_) | Value::String(_)) => Some(value),
    }
}

/// Sorts fields by name, which a map of serde_json does only as long as no crate in the build asks
/// for its other order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<String, Value> = fields
                .into_iter()
                .map(|(name, value)| (name, sorted(value)))
                .collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::tests::fixtures;
    use hoist_model::unit::{Condition, Dependency, Protocol, Restart, Ulimit};

    fn hash(service: &ServiceUnit) -> String {
        hash_service(service, &BTreeMap::new())
    }

    #[test]
    fn the_same_settings_have_the_same_hash_in_every_version() {
        // Not to be changed without a reason: with it every deployed service is recreated.
        assert_eq!(
            hash(&fixtures::service("web")),
            "3403cf5e2c9c2d6992db88a33f9f8fd6924013f14a2f8efed7117203ca1f3bc0"
        );
    }

    #[test]
    fn each_setting_of_a_container_counts() {
        type Change = fn(&mut ServiceUnit);
        let changes: [(&str, Change); 17] = [
            ("command", |s| s.command = Some(Command::Exec(vec![]))),
            ("shell", |s| s.command = Some(Command::Shell("x".into()))),
            ("entrypoint", |s| s.entrypoint = Some(vec![])),
            ("user", |s| s.user = Some("1000".into())),
            ("read_only", |s| s.security.read_only = true),
            ("limits", |s| s.limits.memory = Some(1)),
            ("swap", |s| s.limits.memory_swap = Some(-1)),
            ("ulimits", |s| {
                let ulimit = Ulimit { soft: 1, hard: 2 };
                s.limits.ulimits.insert("nofile".into(), ulimit);
            }),
            ("seccomp", |s| s.security.seccomp = Some("{}".into())),
            ("secrets", |s| s.secrets = vec!["token".into()]),
            ("ports", |s| {
                s.ports = fixtures::ports(53);
                s.ports[0].protocol = Protocol::Udp;
            }),
            ("restart", |s| s.restart = Restart::No),
            ("labels", |s| drop(s.labels.insert("a".into(), "b".into()))),
            ("proxy", |s| s.traffic.proxy_protocol = true),
            ("memory", |s| s.secrets_in_memory = true),
            ("network", |s| s.host_network = true),
            ("grace", |s| {
                s.stop_grace_period = std::time::Duration::from_secs(3)
            }),
        ];
        let mut seen = vec![hash(&fixtures::service("web"))];
        for (what, change) in changes {
            let mut service = fixtures::service("web");
            change(&mut service);
            let hash = hash(&service);
            assert!(!seen.contains(&hash), "{what} changes nothing");
            seen.push(hash);
        }
        let environment = [("A".to_owned(), "1".to_owned())].into();
        assert!(!seen.contains(&hash_service(&fixtures::service("web"), &environment)));
    }

    #[test]
    fn dependencies_the_image_and_what_proxies_do_do_not_count() {
        let plain = fixtures::service("web");
        let mut other = plain.clone();
        other.image = fixtures::image("something:else");
        other.traffic.maintenance = true;
        other.traffic.tls = Some("pem".into());
        other.traffic.drain = std::time::Duration::ZERO;
        other.depends_on = vec![Dependency {
            service: "db".into(),
            condition: Condition::ServiceHealthy,
        }];
        assert_eq!(hash(&plain), hash(&other));
    }

    #[test]
    fn what_is_absent_false_or_empty_is_not_hashed() {
        let mut fields = Fields::default();
        fields.put("a", &1);
        let expected = fields.hash("x");
        let mut fields = Fields::default();
        fields.put("absent", &None::<u8>);
        fields.put("false", &false);
        fields.put("list", &Vec::<u8>::new());
        fields.put("nested", &BTreeMap::from([("inner", None::<u8>)]));
        fields.put("a", &1);
        assert_eq!(fields.hash("x"), expected);
    }

    #[test]
    fn a_network_is_compared_by_what_the_file_says() {
        let chosen = NetworkPlan::default();
        let named = NetworkPlan {
            subnet: Some("172.28.0.0/24".into()),
            ..NetworkPlan::default()
        };
        assert_ne!(hash_network(&chosen), hash_network(&named));
    }
}
