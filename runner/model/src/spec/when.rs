//! When a step is run, as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::leaf::{At, OneOrMany};

/// When a step is run: where all of these hold. Patterns have `*` for any characters and `?` for
/// one; `!` before one takes back what those before it match.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct WhenSpec {
    /// Branches, such as `main` or `release/*`.
    pub branch: Option<OneOrMany>,
    /// Tags of the commit, such as `v*`.
    pub tag: Option<OneOrMany>,
    /// Files of which one changed since `base`, by the rules of an ignore file: `src` is all that
    /// is in that folder, `**/*.md` a file in any.
    pub paths: Option<OneOrMany>,
    /// The commit that `paths` are compared with, such as `origin/main`. HOIST_BASE stands over
    /// it; if nothing is said, what the CI names; without any, everything counts as changed.
    pub base: Option<At<String>>,
    /// Variables of hoist's own environment, with patterns for their values. One that is not set
    /// counts as empty.
    pub environment: Option<BTreeMap<At<String>, OneOrMany>>,
    /// Comparisons with `==`, `!=` and `matches`, put together with `and`, `or`, `not` and
    /// parentheses, such as `git.branch == "main" and not env.DRAFT matches "?*"`.
    pub expression: Option<At<String>>,
}
