//! What identifies an image: see the design's rule "one image identity". Nothing here talks to an
//! engine.

use serde::{Deserialize, Serialize};

/// An image as the plan names it, before anything was resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSource {
    /// The image that another step of this plan builds, by that step's name.
    Step(crate::ids::StepId),
    /// A name in a registry or on the engine.
    Name(crate::text::Text),
}

/// An image as it is: what was built is what is tested, scanned, pushed and deployed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageIdentity {
    /// The engine's own ID, `sha256:...`. On engines with containerd's image store this is the
    /// digest of a manifest or index, elsewhere the config's.
    pub id: String,
    /// The digest of the image's config, `sha256:...`; the same on every engine. Where it could not
    /// be learnt it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_digest: Option<String>,
    /// The names by which people know it; the first is shown.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Bytes, as the engine counts them.
    #[serde(default)]
    pub size: u64,
}

impl std::fmt::Display for ImageSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Step(step) => write!(f, "the image of {step}"),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl ImageIdentity {
    /// What it is known by on every engine, else the engine's ID.
    #[must_use]
    pub fn identity(&self) -> &str {
        self.config_digest.as_ref().unwrap_or(&self.id)
    }

    /// Both are one image: their configs are one, where both are known.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.config_digest, &other.config_digest) {
            (Some(one), Some(other)) => one == other,
            _ => self.id == other.id,
        }
    }

    /// Twelve hexadecimal digits of the ID, as Docker shows it.
    #[must_use]
    pub fn short(&self) -> &str {
        let hex = self.id.strip_prefix("sha256:").unwrap_or(&self.id);
        hex.get(..12).unwrap_or(hex)
    }
}
