//! What is said of volumes, as written: of caches the files that they follow from, of a deploy's
//! data who may write to it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::leaf::{At, OneOrMany, Scalar};

/// A volume: a cache of steps, or the data of deployed services.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct VolumeSpec {
    /// What it is a cache of, where steps have it.
    pub cache: Option<CacheSpec>,
    /// Several containers may write to it at once, where deployed services have it; else a service
    /// that writes to it has one container, which is stopped before the next is started.
    pub shared: Option<At<bool>>,
}

/// What a volume is a cache of.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CacheSpec {
    /// What tells one cache of that name from another.
    pub key: Option<CacheKeySpec>,
    /// When all caches of that name take more than this, such as `2g`, `hoist gc` and `[gc]` remove
    /// those longest unused, the only one too.
    #[schemars(with = "Option<String>")]
    pub max_size: Option<At<Scalar>>,
}

/// What tells one cache of a name from another.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CacheKeySpec {
    /// Files of the project, such as `Cargo.lock`. When one changes, steps start with an empty
    /// cache.
    pub files: Option<OneOrMany>,
}
