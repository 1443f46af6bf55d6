//! The parts of a build and the digest of them all. Whatever can make another image is one of them.
//! Tags are not, nor where earlier results may be taken from, nor the labels that hoist adds: an
//! image would else change with every commit. An image that is to be the same from every clone has
//! those labels among its parts, too.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::inputs::{Input, Part};
use hoist_model::unit::Network;
use secrecy::ExposeSecret;

use super::key::Key;
use crate::backend::BuildRequest;

/// Changes whenever what is hashed, or how it is built, does.
const VERSION: &str = "hoist build 1";

/// The part that a folder is.
pub(super) fn folder(part: Part, digest: &str) -> Input {
    Input {
        part,
        digest: digest.to_owned(),
        shown: None,
    }
}

/// What all parts but the contexts are made from.
pub(super) struct Parts<'a> {
    pub(super) key: &'a Key,
    pub(super) request: &'a BuildRequest,
    pub(super) added_labels: &'a BTreeSet<String>,
    pub(super) bases: &'a BTreeMap<String, String>,
}

impl Parts<'_> {
    /// All of them.
    pub(super) fn all(&self) -> Vec<Input> {
        let request = self.request;
        let mut all = Vec::new();
        all.push(self.key.hidden(Part::Dockerfile, &request.dockerfile));
        for (name, value) in &request.args {
            let part = Part::Argument(name.clone());
            all.push(match value.starts_with("sha256:") {
                true => self.key.shown(part, value),
                false => self.key.hidden(part, value),
            });
        }
        for (name, value) in &request.secrets {
            all.push(
                self.key
                    .hidden(Part::Secret(name.clone()), value.expose_secret()),
            );
        }
        all.extend(
            request
                .ssh
                .keys()
                .map(|id| self.key.hidden(Part::Agent(id.clone()), id)),
        );
        let bases = self.bases.iter();
        all.extend(bases.map(|(name, id)| self.key.shown(Part::Base(name.clone()), id)));
        let exact = request.source_date_epoch.is_some();
        for (name, value) in &request.labels {
            if exact || !self.added_labels.contains(name) {
                all.push(self.key.shown(Part::Label(name.clone()), value));
            }
        }
        let target = request.target.as_ref();
        all.extend(target.map(|target| self.key.shown(Part::Target, target)));
        let platform = request.platform.as_ref();
        all.extend(platform.map(|platform| self.key.shown(Part::Platform, platform)));
        all.extend(request.network.map(|network| {
            self.key.shown(
                Part::Network,
                match network {
                    Network::None => "none",
                    Network::Bridge => "bridge",
                },
            )
        }));
        let options = self.options().into_iter();
        all.extend(options.map(|(name, value)| self.key.shown(Part::Option(name), &value)));
        all
    }

    fn options(&self) -> Vec<(String, String)> {
        let request = self.request;
        let mut options = Vec::new();
        let mut add = |name: &str, value: String| options.push((name.to_owned(), value));
        if let Some(size) = request.shm_size {
            add("shm_size", size.to_string());
        }
        if let Some(epoch) = request.source_date_epoch {
            add("reproducible", epoch.to_string());
        }
        if !request.no_cache_filter.is_empty() {
            add("no_cache_filter", request.no_cache_filter.join(" "));
        }
        for (name, address) in &request.extra_hosts {
            add(&format!("extra_hosts.{name}"), address.clone());
        }
        for (name, bound) in &request.ulimits {
            let value = format!("{}:{}", bound.soft, bound.hard);
            add(&format!("ulimits.{name}"), value);
        }
        // What is to be kept for others is kept by building.
        for (number, cache) in request.cache_to.iter().enumerate() {
            let attributes = cache.attributes.iter();
            let attributes = attributes.map(|(name, value)| format!(",{name}={value}"));
            let value = format!("type={}{}", cache.kind, attributes.collect::<String>());
            add(&format!("cache_to.{number}"), value);
        }
        options
    }
}

/// The digest of these parts, in this order.
pub(super) fn digest(parts: &[Input]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(VERSION);
    for input in parts {
        for text in [&input.part.to_string(), &input.digest] {
            let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
            hasher.update(&length.to_le_bytes());
            hasher.update(text.as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}
