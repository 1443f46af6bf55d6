//! What goes of all that runs leave behind, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::leaf::{At, Scalar};

/// What `hoist gc` removes of what runs leave behind. What is in use always stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct GcSpec {
    /// So many of the newest stay, whatever else is said: of runs, of images, of each cache and of
    /// each deployed service; 5 if nothing is said.
    pub keep: Option<At<u32>>,
    /// What was not used for longer goes, such as `72h`; `720h` if nothing is said.
    #[schemars(with = "Option<String>")]
    pub max_age: Option<At<Scalar>>,
    /// When all of it takes more than this, such as `20g`, the oldest goes too.
    #[schemars(with = "Option<String>")]
    pub max_size: Option<At<Scalar>>,
    /// How often `hoist run` does the same at its end, such as `24h`; never if nothing is said.
    #[schemars(with = "Option<String>")]
    pub every: Option<At<Scalar>>,
}
