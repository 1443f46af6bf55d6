//! What a build asks for, in BuildKit's words. What an engine's BuildKit would pass over in silence
//! is refused here, with a sentence that says what it can do.

use std::collections::{BTreeMap, HashMap};

use bollard::moby::buildkit::v1::{CacheOptions, CacheOptionsEntry, SolveRequest};
use hoist_engine::backend::{BackendError, BackendErrorKind as Kind, BuildRequest, CacheSpec};
use hoist_model::unit::Network;

use crate::errors::Result;
use crate::info::Api;

/// The name of the folder that instructions copy from.
pub(super) const CONTEXT: &str = "context";
/// The name of the folder with the Dockerfile.
pub(super) const DOCKERFILE: &str = "dockerfile";
/// Stands for the address of the engine's machine.
pub(super) const HOST_GATEWAY: &str = "host-gateway";
/// The build argument that later times are replaced by.
const EPOCH: &str = "SOURCE_DATE_EPOCH";
/// The build argument by which Dockerfiles of old ask for a cache in the image.
const INLINE_CACHE: &str = "BUILDKIT_INLINE_CACHE";

/// What an engine's BuildKit acts upon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Abilities {
    /// Further contexts, the size of /dev/shm and bounds of processes: Docker 23.
    later_options: bool,
    /// More than one place to keep results at: Docker 25.
    several_caches: bool,
    /// It keeps its images in containerd, and so can keep results elsewhere.
    containerd_images: bool,
    /// Creation times follow the commit's: Docker 24.
    epoch: bool,
    /// The times in layers do too: Docker 26, with its images in containerd.
    rewrites_times: bool,
}

impl Abilities {
    pub(super) fn of(api: &Api, containerd_images: bool) -> Self {
        Self {
            later_options: api.version >= (1, 42),
            several_caches: api.version >= (1, 44),
            containerd_images,
            epoch: api.version >= (1, 43),
            rewrites_times: api.version >= (1, 45) && containerd_images,
        }
    }

    /// Refuses what would be passed over. A Dockerfile with a `# syntax=` line brings its own part
    /// of BuildKit, which may know further contexts.
    pub(super) fn check(self, request: &BuildRequest, syntax: bool) -> Result<()> {
        let later = [
            (!request.contexts.is_empty() && !syntax, "contexts"),
            (request.shm_size.is_some(), "shm_size"),
            (!request.ulimits.is_empty(), "ulimits"),
        ];
        if let Some((_, name)) = later.iter().find(|(asked, _)| *asked)
            && !self.later_options
        {
            return Err(unsupported(format!(
                "`{name}` needs Docker 23 or newer; this engine's BuildKit does not know it"
            )));
        }
        let sources: &[&str] = match self.containerd_images {
            true => &["registry", "gha"],
            false => &["registry"],
        };
        for cache in &request.cache_from {
            known("cache_from", "take results from", cache, sources)?;
        }
        let places: &[&str] = match self.containerd_images {
            true => &["inline", "registry", "gha"],
            false => &["inline"],
        };
        for cache in &request.cache_to {
            known("cache_to", "keep results by", cache, places)?;
        }
        if exports(request).len() > 1 && !self.several_caches {
            return Err(unsupported(
                "`cache_to` names several places; this engine can keep results at one only",
            ));
        }
        Ok(())
    }

    /// What of an image that is to be the same from every clone cannot be had.
    pub(super) fn not_reproducible(self) -> Option<&'static str> {
        match (self.epoch, self.rewrites_times) {
            (_, true) => None,
            (true, false) => Some(
                "the times of files in the image's layers stay those of the build; setting them \
                 needs Docker 26 with its containerd image store",
            ),
            (false, false) => Some(
                "the image's creation time and the times of files in its layers stay those of the \
                 build; setting them needs Docker 26 with its containerd image store",
            ),
        }
    }
}

fn known(key: &str, what: &str, cache: &CacheSpec, kinds: &[&str]) -> Result<()> {
    if kinds.contains(&cache.kind.as_str()) {
        return Ok(());
    }
    let kinds: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
    let hint = match cache.kind.as_str() {
        "inline" => "; what was kept `inline` is found by its image: use `registry`",
        "registry" | "gha" => "; more needs Docker's containerd image store",
        _ => "",
    };
    Err(unsupported(format!(
        "`{key}` names a cache of the type `{}`, but this engine can {what} {} only{hint}",
        cache.kind,
        kinds.join(" or "),
    )))
}

fn unsupported(message: impl Into<String>) -> BackendError {
    BackendError::new(Kind::Unsupported, message)
}

/// The name under which the engine asks for a further context.
pub(super) fn named_context(name: &str) -> String {
    format!("{CONTEXT}-{name}")
}

/// What a build's session and the build itself go by.
pub(super) struct Names {
    /// The session's ID.
    pub(super) session: String,
    /// The build's own.
    pub(super) build: String,
    /// The address of the engine's machine, where it is asked for.
    pub(super) host_gateway: Option<String>,
}

/// The request to the engine.
pub(super) fn solve(request: &BuildRequest, names: Names, abilities: Abilities) -> SolveRequest {
    let exports = exports(request);
    SolveRequest {
        r#ref: names.build,
        session: names.session,
        frontend: "dockerfile.v0".to_owned(),
        frontend_attrs: frontend(request, names.host_gateway.as_deref()),
        exporter_deprecated: "moby".to_owned(),
        exporter_attrs_deprecated: exporter(request, abilities),
        cache: Some(CacheOptions {
            exports: entries(&exports),
            imports: entries(&request.cache_from),
            ..CacheOptions::default()
        }),
        ..SolveRequest::default()
    }
}

fn frontend(request: &BuildRequest, host_gateway: Option<&str>) -> HashMap<String, String> {
    let mut attributes = HashMap::new();
    let mut set = |key: &str, value: String| attributes.insert(key.to_owned(), value);
    if let Some(target) = &request.target {
        set("target", target.clone());
    }
    for (name, value) in &request.args {
        set(&format!("build-arg:{name}"), value.clone());
    }
    if let Some(epoch) = request.source_date_epoch
        && !request.args.contains_key(EPOCH)
    {
        set(&format!("build-arg:{EPOCH}"), epoch.to_string());
    }
    for (name, value) in &request.labels {
        set(&format!("label:{name}"), value.clone());
    }
    for name in request.contexts.keys() {
        set(
            &format!("context:{name}"),
            format!("local:{}", named_context(name)),
        );
    }
    if request.no_cache {
        set("no-cache", String::new());
    } else if !request.no_cache_filter.is_empty() {
        set("no-cache", request.no_cache_filter.join(","));
    }
    if request.pull {
        set("image-resolve-mode", "pull".to_owned());
    }
    match request.network {
        // The engine's own choice is a bridge.
        None | Some(Network::Bridge) => {}
        Some(Network::None) => {
            set("force-network-mode", "none".to_owned());
        }
    }
    if let Some(platform) = &request.platform {
        set("platform", platform.clone());
    }
    if let Some(bytes) = request.shm_size {
        set("shm-size", bytes.to_string());
    }
    if !request.extra_hosts.is_empty() {
        let hosts = request.extra_hosts.iter().map(|(host, address)| {
            let address = match host_gateway {
                Some(gateway) if address == HOST_GATEWAY => gateway,
                _ => address.trim_start_matches('[').trim_end_matches(']'),
            };
            format!("{host}={address}")
        });
        set("add-hosts", separated(hosts));
    }
    if !request.ulimits.is_empty() {
        let bounds = request.ulimits.iter();
        set(
            "ulimit",
            separated(bounds.map(|(name, bound)| format!("{name}={}:{}", bound.soft, bound.hard))),
        );
    }
    if !request.cache_from.is_empty() {
        let caches = request
            .cache_from
            .iter()
            .map(|cache| serde_json::json!({ "Type": cache.kind, "Attrs": cache.attributes }));
        set(
            "cache-imports",
            serde_json::Value::from_iter(caches).to_string(),
        );
    }
    attributes
}

fn exporter(request: &BuildRequest, abilities: Abilities) -> HashMap<String, String> {
    let mut attributes = HashMap::new();
    if !request.tags.is_empty() {
        attributes.insert("name".to_owned(), request.tags.join(","));
    }
    if request.source_date_epoch.is_some() && abilities.rewrites_times {
        attributes.insert("rewrite-timestamp".to_owned(), "true".to_owned());
        // The two exclude each other; the engine unpacks an image at the latest when it is used.
        attributes.insert("unpack".to_owned(), "false".to_owned());
    }
    attributes
}

/// Where results are to be kept.
fn exports(request: &BuildRequest) -> Vec<CacheSpec> {
    let mut exports = request.cache_to.clone();
    let asked = request.args.get(INLINE_CACHE);
    let asked = asked
        .is_some_and(|value| matches!(value.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True"));
    if asked && !exports.iter().any(|cache| cache.kind == "inline") {
        exports.push(CacheSpec {
            kind: "inline".to_owned(),
            attributes: BTreeMap::new(),
        });
    }
    exports
}

fn entries(caches: &[CacheSpec]) -> Vec<CacheOptionsEntry> {
    let entry = |cache: &CacheSpec| CacheOptionsEntry {
        r#type: cache.kind.clone(),
        attrs: cache.attributes.clone().into_iter().collect(),
    };
    caches.iter().map(entry).collect()
}

/// Whether the address of the engine's machine is needed.
pub(super) fn asks_for_host_gateway(request: &BuildRequest) -> bool {
    request
        .extra_hosts
        .values()
        .any(|address| address == HOST_GATEWAY)
}

/// A line of values with commas between them.
fn separated(values: impl Iterator<Item = String>) -> String {
    let quoted = values.map(|value| match value.contains([',', '"', '\n']) {
        true => format!("\"{}\"", value.replace('"', "\"\"")),
        false => value,
    });
    quoted.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
