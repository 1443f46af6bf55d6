//! The images that a build takes from, as the engine has them now. One that a digest pins stands for
//! itself. For one that the engine lacks the builder would ask a registry, and so nothing is known.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use hoist_model::dockerfile::{Dockerfile, Elsewhere, Platforms};
use hoist_model::inputs::Unsettled;
use hoist_model::reason::Trouble;

use crate::backend::{BackendError, BuildRequest};
use crate::context::UnitContext;

/// What is known of the images that a build takes from.
#[derive(Debug, Default)]
pub(super) struct Bases {
    /// The engine's IDs by name.
    pub(super) images: BTreeMap<String, String>,
    pub(super) unsettled: Vec<Unsettled>,
}

/// Looks them up.
pub(super) async fn find(context: &UnitContext, request: &BuildRequest) -> Bases {
    let mut bases = Bases::default();
    let own = match context.backend.info().await {
        Ok(info) => info.platform,
        Err(error) => {
            bases.unsettled.push(lookup("the engine", &error));
            return bases;
        }
    };
    let target = request.platform.as_deref().unwrap_or(&own);
    let platforms = Platforms {
        build: &own,
        target,
    };
    let contexts: BTreeSet<&str> = request.contexts.keys().map(String::as_str).collect();
    let found = Dockerfile::parse(&request.dockerfile).elsewhere(
        request.target.as_deref(),
        &request.args,
        &contexts,
        platforms,
    );
    let mut names = Vec::new();
    for one in found {
        match one {
            Elsewhere::Image { name, .. } if is_pinned(&name) => {}
            Elsewhere::Image { name, platform } => {
                let platform = platform.unwrap_or_else(|| target.to_owned());
                if same(&platform, &own) {
                    names.push(name);
                } else {
                    let image = name;
                    let foreign = Unsettled::ForeignBase { image, platform };
                    bases.unsettled.push(foreign);
                }
            }
            Elsewhere::Address(address) => {
                bases.unsettled.push(Unsettled::Address(address));
            }
            Elsewhere::Unclear { line, text } => {
                bases.unsettled.push(Unsettled::Instruction { line, text });
            }
        }
    }
    let looked = names.iter().map(|name| context.backend.inspect_image(name));
    let looked = join_all(looked).await;
    for (name, found) in names.into_iter().zip(looked) {
        match found {
            Ok(Some(image)) => drop(bases.images.insert(name, image.id)),
            Ok(None) => bases.unsettled.push(Unsettled::Base(name)),
            Err(error) => bases.unsettled.push(lookup(&name, &error)),
        }
    }
    bases
}

/// The name cannot come to stand for another image: it ends in a digest, or is the engine's ID of
/// the image of a step.
fn is_pinned(name: &str) -> bool {
    name.contains("@sha256:") || name.starts_with("sha256:")
}

fn lookup(what: &str, error: &BackendError) -> Unsettled {
    let trouble = Trouble::new(format!("{what} could not be looked up"));
    Unsettled::Trouble(trouble.cause(&error.message))
}

/// Two spellings of one platform, such as `linux/arm64` and `linux/arm64/v8`.
fn same(left: &str, right: &str) -> bool {
    let normal = |platform: &str| {
        let platform = platform.to_ascii_lowercase();
        let platform = platform
            .replace("x86_64", "amd64")
            .replace("aarch64", "arm64");
        platform
            .strip_suffix("/v8")
            .map_or(platform.clone(), str::to_owned)
    };
    normal(left) == normal(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_have_more_than_one_spelling() {
        assert!(same("linux/arm64/v8", "linux/arm64"));
        assert!(same("linux/x86_64", "Linux/amd64"));
        assert!(!same("linux/arm/v7", "linux/arm64"));
    }
}
