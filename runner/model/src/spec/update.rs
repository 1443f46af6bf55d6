//! How a new release of a service takes the place of the one before, as written. The names are
//! those of Compose where it has one.

use schemars::JsonSchema;
use serde::Deserialize;

use super::leaf::{At, Number, Scalar, Word};

/// How an update goes on.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct UpdateConfigSpec {
    /// Of a rolling update: how many containers are replaced at once; 0 for all, 1 if nothing is
    /// said.
    pub parallelism: Option<At<u32>>,
    /// Of a rolling update: the time between two groups of containers; none if nothing is said.
    #[schemars(with = "Option<String>")]
    pub delay: Option<At<Scalar>>,
    /// Of a rolling update: whether the new is started before the old is stopped, as if nothing is
    /// said, or after it.
    #[schemars(with = "Option<Word<OrderWord>>")]
    pub order: Option<At<String>>,
    /// Of a rolling update: the share of new containers that may fail, from 0 to 1; 0 if nothing is
    /// said.
    pub max_failure_ratio: Option<At<Number>>,
    /// How long the new is watched once it has the traffic; `5s` if nothing is said.
    #[schemars(with = "Option<String>")]
    pub monitor: Option<At<Scalar>>,
    /// What a failure leads to: back to what served before, as if nothing is said, or all stays as
    /// it is.
    #[schemars(with = "Option<Word<FailureActionWord>>")]
    pub failure_action: Option<At<String>>,
}

/// How a canary gets its share of the traffic and is judged.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CanarySpec {
    /// Shares of the traffic in percent, growing; `[10, 50]` if nothing is said.
    #[schemars(inner(range(min = 1, max = 99)))]
    pub weights: Option<Vec<At<u32>>>,
    /// How long each share is kept; `60s` if nothing is said.
    #[schemars(with = "Option<String>")]
    pub step: Option<At<Scalar>>,
    /// With fewer requests to the new, a share says nothing, and the release goes back; 100 if
    /// nothing is said.
    #[schemars(range(min = 1))]
    pub min_requests: Option<At<u64>>,
    /// By how much the new's share of failed requests may be above the old's, from 0 to 1; 0.01 if
    /// nothing is said.
    pub max_error_rate: Option<At<Number>>,
    /// By which factor the new's 95th percentile of latency may be above the old's, such as 1.5;
    /// not bounded if nothing is said.
    pub max_latency_ratio: Option<At<Number>>,
}

/// How a new release takes the place of the one before.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", inline)]
#[expect(dead_code, reason = "only the schema is made from it")]
pub(super) enum StrategyWord {
    Recreate,
    BlueGreen,
    Rolling,
    Canary,
}

/// Which of the two containers goes first.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", inline)]
#[expect(dead_code, reason = "only the schema is made from it")]
enum OrderWord {
    StartFirst,
    StopFirst,
}

/// What a failed update leads to.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case", inline)]
#[expect(dead_code, reason = "only the schema is made from it")]
enum FailureActionWord {
    Rollback,
    Pause,
}
