//! What of a service is another than the last release had it. Pure. It compares values and gives
//! names: of variables no value ever leaves here.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::changes::{
    ImageChange, NamesChange, ServiceAction, ServiceChanges, SettingChange,
};
use hoist_model::quantity::{show_duration, show_size};
use hoist_model::unit::{PortMapping, Protocol, ServiceUnit, Strategy};
use serde_json::{Map, Value};

use crate::release::journal::ServiceRecord;
use crate::release::prepare::Prepared;

/// Keys that are compared by name, or by their own means.
const APART: [&str; 7] = [
    "name",
    "image",
    "environment",
    "secrets",
    "ports",
    "networks",
    "volumes",
];
/// Keys of a unit that hold keys of the file.
const NESTED: [&str; 4] = ["limits", "update", "security", "traffic"];
/// Numbers of bytes.
const SIZES: [&str; 4] = ["memory", "memory_reservation", "memory_swap", "shm_size"];

/// A service of which nothing changes.
pub(super) fn nothing(service: &str, action: ServiceAction) -> ServiceChanges {
    ServiceChanges {
        service: service.to_owned(),
        action,
        summary: String::new(),
        strategy: String::new(),
        downtime: false,
        image: ImageChange::default(),
        variables: NamesChange::default(),
        secrets: NamesChange::default(),
        secrets_changed: false,
        ports: NamesChange::default(),
        networks: NamesChange::default(),
        volumes: NamesChange::default(),
        settings: Vec::new(),
        others: Vec::new(),
        gates: Vec::new(),
    }
}

/// What is another than it was. Of one that is new all of it is.
pub(super) fn of(before: Option<&ServiceRecord>, after: &Prepared<'_>) -> ServiceChanges {
    let unit = after.unit;
    let old = before.map(|record| &record.unit);
    let variables = before.map(|record| record.environment.clone());
    let compared = |names: fn(&ServiceUnit) -> BTreeMap<String, String>| {
        compare(old.map(names).unwrap_or_default(), names(unit))
    };
    let (settings, others) = old.map(|old| settings(old, unit)).unwrap_or_default();
    ServiceChanges {
        variables: compare(variables.unwrap_or_default(), after.environment.clone()),
        secrets: compared(|unit| named(&unit.secrets)),
        ports: compared(|unit| unit.ports.iter().map(port).collect()),
        networks: compared(|unit| named(&unit.networks)),
        volumes: compared(volumes),
        settings,
        others,
        ..nothing(&unit.name, ServiceAction::Unchanged)
    }
}

/// The file's word.
pub(super) fn strategy(strategy: Strategy) -> String {
    text(
        "strategy",
        &serde_json::to_value(strategy).unwrap_or_default(),
    )
    .unwrap_or_default()
}

fn named(names: &[String]) -> BTreeMap<String, String> {
    let names = names.iter().map(|name| (name.clone(), String::new()));
    names.collect()
}

fn port(port: &PortMapping) -> (String, String) {
    let ip = port.host_ip.as_ref().map(|ip| format!("{ip}:"));
    let ip = ip.unwrap_or_default();
    let protocol = match port.protocol {
        Protocol::Tcp => "",
        Protocol::Udp => "/udp",
    };
    let published = port
        .published
        .map_or("free".to_owned(), |it| it.to_string());
    (
        format!("{ip}{published}{protocol}"),
        port.target.to_string(),
    )
}

fn volumes(unit: &ServiceUnit) -> BTreeMap<String, String> {
    let volumes = unit.volumes.iter();
    let volumes = volumes.map(|it| (it.name.clone(), format!("{} {}", it.target, it.read_only)));
    volumes.collect()
}

fn compare(before: BTreeMap<String, String>, after: BTreeMap<String, String>) -> NamesChange {
    let mut change = NamesChange::default();
    for (name, value) in &after {
        match before.get(name) {
            None => change.added.push(name.clone()),
            Some(old) if old != value => change.changed.push(name.clone()),
            Some(_) => {}
        }
    }
    let gone = before.into_keys().filter(|name| !after.contains_key(name));
    change.removed = gone.collect();
    change
}

/// The settings that are told before and after, and the keys of the others. What is no number and no
/// word of the file's own is told by its key: a command may hold anything.
fn settings(before: &ServiceUnit, after: &ServiceUnit) -> (Vec<SettingChange>, Vec<String>) {
    let (before, after) = (flat(before), flat(after));
    let (mut settings, mut others) = (Vec::new(), Vec::new());
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let value = |side: &Map<String, Value>| side.get(key).cloned().unwrap_or_default();
        let (old, new) = (value(&before), value(&after));
        if old == new {
            continue;
        }
        let is_long = |value: &Value| value.is_object() || value.is_array();
        if is_told(key) && !is_long(&old) && !is_long(&new) {
            settings.push(SettingChange {
                key: file_key(key),
                from: text(key, &old),
                to: text(key, &new),
            });
        } else {
            others.push(file_key(key));
        }
    }
    others.dedup();
    (settings, others)
}

fn is_told(key: &str) -> bool {
    let own = ["replicas", "restart", "host_network", "secrets_in_memory"];
    own.contains(&key) || key.starts_with("limits.") || key.starts_with("update.")
}

/// The file's name for a key.
fn file_key(key: &str) -> String {
    let key = key.strip_suffix("_ms").unwrap_or(key);
    match key.split_once('.') {
        Some(("limits", bound @ ("cpus" | "memory" | "pids"))) => {
            format!("resources.limits.{bound}")
        }
        Some(("limits", "memory_reservation")) => "resources.reservations.memory".to_owned(),
        Some(("limits", "memory_swap")) => "memswap_limit".to_owned(),
        Some(("limits", "memory_swappiness")) => "mem_swappiness".to_owned(),
        Some(("limits", "blkio")) => "blkio_config".to_owned(),
        Some(("update", own @ ("strategy" | "canary"))) => own.to_owned(),
        Some(("update", key)) => format!("update_config.{key}"),
        Some(("security", "seccomp" | "apparmor")) => "security_opt".to_owned(),
        Some(("security", "userns")) => "userns_mode".to_owned(),
        Some((_, key)) => key.to_owned(),
        None if key == "host_network" => "network_mode".to_owned(),
        None if key == "secrets_in_memory" => "secrets_storage".to_owned(),
        None => key.to_owned(),
    }
}

/// A unit's keys, those within others as `limits.memory`.
fn flat(unit: &ServiceUnit) -> Map<String, Value> {
    let Ok(Value::Object(unit)) = serde_json::to_value(unit) else {
        return Map::new();
    };
    let mut flat = Map::new();
    for (key, value) in unit {
        match value {
            Value::Object(fields) if NESTED.contains(&key.as_str()) => {
                let fields = fields.into_iter();
                flat.extend(fields.map(|(of, value)| (format!("{key}.{of}"), value)));
            }
            value if !APART.contains(&key.as_str()) => drop(flat.insert(key, value)),
            _ => {}
        }
    }
    flat
}

/// A number or a word for people; `None` for nothing.
fn text(key: &str, value: &Value) -> Option<String> {
    let last = key.rsplit('.').next().unwrap_or(key);
    match value {
        Value::Null => None,
        Value::Bool(is) if key == "host_network" => is.then(|| "host".to_owned()),
        Value::Bool(is) if key == "secrets_in_memory" => is.then(|| "memory".to_owned()),
        Value::String(word) => Some(word.clone()),
        Value::Number(number) => Some(match number.as_u64() {
            Some(bytes) if SIZES.contains(&last) => show_size(bytes),
            Some(millis) if last.ends_with("_ms") => {
                show_duration(std::time::Duration::from_millis(millis))
            }
            _ => number.to_string(),
        }),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::Resolved;
    use crate::release::secrets::Values;
    use crate::release::tests::fixtures::{ports, service};
    use hoist_model::image::ImageIdentity;
    use std::time::Duration;

    fn record(unit: ServiceUnit, environment: &[(&str, &str)]) -> ServiceRecord {
        ServiceRecord {
            unit,
            image: "sha256:1".into(),
            shown: "app:1".into(),
            config_digest: None,
            repo_digest: None,
            environment: pairs(environment),
            config_hash: String::new(),
        }
    }

    fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn prepared<'a>(unit: &'a ServiceUnit, environment: &[(&str, &str)]) -> Prepared<'a> {
        Prepared {
            unit,
            image: Resolved {
                image: ImageIdentity::default(),
                shown: String::new(),
                built: false,
            },
            repo_digest: None,
            environment: pairs(environment),
            values: Values::new(),
            config_hash: String::new(),
            tls: None,
            shared: Default::default(),
        }
    }

    #[test]
    fn names_of_variables_are_told_and_no_value() {
        let unit = service("web");
        let before = record(unit.clone(), &[("A", "v-1"), ("B", "v-2"), ("C", "v-3")]);
        let after = prepared(&unit, &[("A", "v-1"), ("B", "v-4"), ("D", "v-5")]);
        let found = of(Some(&before), &after);
        let NamesChange {
            added,
            removed,
            changed,
        } = &found.variables;
        assert_eq!(
            (added, removed, changed),
            (
                &vec!["D".to_owned()],
                &vec!["C".to_owned()],
                &vec!["B".to_owned()]
            )
        );
        let text = serde_json::to_string(&found).expect("text");
        for value in ["v-1", "v-2", "v-3", "v-4", "v-5"] {
            assert!(!text.contains(value), "{text}");
        }
    }

    #[test]
    fn numbers_are_told_before_and_after_and_what_may_hold_anything_by_its_key() {
        let mut unit = service("web");
        unit.ports = ports(8080);
        let mut other = unit.clone();
        other.replicas = 3;
        other.limits.memory = Some(512 << 20);
        other.limits.pids = None;
        other.update.strategy = Strategy::BlueGreen;
        other.update.monitor = Duration::from_secs(30);
        other.entrypoint = Some(vec!["secret thing".into()]);
        other.security.read_only = true;
        other.ports[0].target = 81;
        let found = of(Some(&record(unit, &[])), &prepared(&other, &[]));
        let told: Vec<String> = found
            .settings
            .iter()
            .map(|it| {
                let side = |side: &Option<String>| side.clone().unwrap_or("-".into());
                format!("{} {} {}", it.key, side(&it.from), side(&it.to))
            })
            .collect();
        assert_eq!(
            told,
            [
                "resources.limits.memory - 512m",
                "resources.limits.pids 512 -",
                "replicas 1 3",
                "update_config.monitor 5s 30s",
                "strategy recreate blue-green",
            ]
        );
        assert_eq!(found.others, ["entrypoint", "read_only"]);
        assert_eq!(found.ports.changed, ["8080"]);
        assert!(
            !serde_json::to_string(&found)
                .expect("text")
                .contains("secret thing")
        );
    }

    #[test]
    fn of_a_new_one_all_is_new_and_of_the_same_nothing() {
        let mut unit = service("web");
        unit.secrets = vec!["token".into()];
        let found = of(None, &prepared(&unit, &[("A", "1")]));
        assert_eq!(found.variables.added, ["A"]);
        assert_eq!(found.secrets.added, ["token"]);
        let same = of(
            Some(&record(unit.clone(), &[("A", "1")])),
            &prepared(&unit, &[("A", "1")]),
        );
        assert_eq!(same, nothing("web", ServiceAction::Unchanged));
    }
}
