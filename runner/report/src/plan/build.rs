//! What a build is asked for, a line each. Of what hoist adds by itself, the labels of the commit,
//! nothing is said; of secrets their names alone.

use hoist_model::quantity::show_size;
use hoist_model::text::Text;
use hoist_model::unit::{BuildCache, BuildUnit, Network};

/// Labels that hoist adds.
const ADDED: &str = "org.opencontainers.image.";

/// The build in words.
pub(super) fn about(unit: &BuildUnit) -> Vec<String> {
    let target = unit.target.iter().map(|stage| format!(", target {stage}"));
    let target: String = target.collect();
    let dockerfile = unit.dockerfile.shown();
    let mut out = vec![format!("{dockerfile} in {}{target}", unit.context)];
    let folders = unit.contexts.iter();
    out.extend(folders.map(|(name, path)| format!("context {name}: {path}")));
    if !unit.platforms.is_empty() {
        out.push(format!("for {}", unit.platforms.join(", ")));
    }
    let args = unit.args.iter();
    out.extend(args.map(|(name, value)| format!("arg {name}={value}")));
    out.extend(unit.tags.iter().map(|tag| format!("tag {tag}")));
    let labels = unit.labels.iter();
    let said = labels.filter(|(name, _)| !name.starts_with(ADDED));
    out.extend(said.map(|(name, value)| format!("label {name}={value}")));
    if !unit.secrets.is_empty() {
        out.push(format!("secrets {}", unit.secrets.join(", ")));
    }
    let agents = unit.ssh.iter();
    out.extend(agents.map(|(id, socket)| format!("ssh {id}: {socket}")));
    let from = unit.cache_from.iter();
    out.extend(from.map(|from| format!("cache from {}", cache(from))));
    let to = unit.cache_to.iter();
    out.extend(to.map(|to| format!("cache to {}", cache(to))));
    out.extend(switches(unit));
    out
}

fn switches(unit: &BuildUnit) -> Vec<String> {
    let mut out = Vec::new();
    if unit.pull {
        out.push("pulls newer base images".to_owned());
    }
    if unit.no_cache {
        out.push("without the engine's cache".to_owned());
    } else if !unit.no_cache_filter.is_empty() {
        let stages = unit.no_cache_filter.join(", ");
        out.push(format!("without the engine's cache for {stages}"));
    }
    match unit.network {
        Some(Network::None) => out.push("network none".to_owned()),
        Some(Network::Bridge) => out.push("network bridge".to_owned()),
        None => {}
    }
    if let Some(bytes) = unit.shm_size {
        out.push(format!("shm_size {}", show_size(bytes)));
    }
    let hosts = unit.extra_hosts.iter();
    out.extend(hosts.map(|(name, address)| format!("host {name}: {address}")));
    let bounds = unit.ulimits.iter();
    out.extend(bounds.map(|(name, bound)| format!("ulimit {name} {}:{}", bound.soft, bound.hard)));
    if unit.source_date_epoch.is_some() {
        out.push("reproducible".to_owned());
    }
    out
}

/// A cache as Docker writes it.
fn cache(cache: &BuildCache) -> String {
    let attributes = cache.attributes.iter();
    let all = attributes.map(|(name, value): (&String, &Text)| format!(",{name}={value}"));
    format!("type={}{}", cache.kind, all.collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hoist_model::unit::{DockerfileSource, Ulimit};

    use super::*;

    fn pairs<V>(name: &str, value: V) -> BTreeMap<String, V> {
        BTreeMap::from([(name.to_owned(), value)])
    }

    #[test]
    fn all_that_is_set_is_said() {
        let unit = BuildUnit {
            context: "web".into(),
            contexts: pairs("assets", "ui/dist".into()),
            dockerfile: DockerfileSource::Inline("FROM scratch".into()),
            target: Some("production".into()),
            args: pairs("VERSION", Text::literal("1")),
            tags: vec![Text::literal("shop:1")],
            labels: BTreeMap::from([
                ("team".into(), "shop".into()),
                ("org.opencontainers.image.revision".into(), "0123".into()),
            ]),
            added_labels: std::collections::BTreeSet::from([
                "org.opencontainers.image.revision".into()
            ]),
            secrets: vec!["npm_token".into()],
            ssh: pairs("default", "/run/agent".into()),
            cache_from: vec![BuildCache {
                kind: "registry".into(),
                attributes: pairs("ref", Text::literal("shop:cache")),
            }],
            cache_to: vec![BuildCache {
                kind: "inline".into(),
                attributes: BTreeMap::new(),
            }],
            pull: true,
            no_cache: false,
            no_cache_filter: vec!["deps".into()],
            network: Some(Network::None),
            platforms: vec!["linux/amd64".into(), "linux/arm64".into()],
            shm_size: Some(64 << 20),
            extra_hosts: pairs("db", "10.0.0.2".into()),
            ulimits: pairs(
                "nofile",
                Ulimit {
                    soft: 1024,
                    hard: 4096,
                },
            ),
            source_date_epoch: Some(1),
        };
        let said = [
            "dockerfile_inline in web, target production",
            "context assets: ui/dist",
            "for linux/amd64, linux/arm64",
            "arg VERSION=1",
            "tag shop:1",
            "label team=shop",
            "secrets npm_token",
            "ssh default: /run/agent",
            "cache from type=registry,ref=shop:cache",
            "cache to type=inline",
            "pulls newer base images",
            "without the engine's cache for deps",
            "network none",
            "shm_size 64m",
            "host db: 10.0.0.2",
            "ulimit nofile 1024:4096",
            "reproducible",
        ];
        assert_eq!(about(&unit), said);
        let plain = BuildUnit {
            context: ".".into(),
            no_cache: true,
            ..BuildUnit::default()
        };
        assert_eq!(
            about(&plain),
            ["Dockerfile in .", "without the engine's cache"]
        );
    }
}
