//! What a step's failure leads to, as written.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};

use super::leaf::{At, Scalar, Word};

/// When a step is tried again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RetrySpec {
    /// Attempts after the first, at most 10.
    #[schemars(required, range(max = 10))]
    pub max: Option<At<u32>>,
    /// The failures after which it is; all of these if neither this nor `exit_codes` is said.
    #[schemars(with = "Option<Vec<Word<RetryWord>>>")]
    pub when: Option<Vec<At<String>>>,
    /// Exit codes of the command after which it is.
    pub exit_codes: Option<Vec<At<i64>>>,
    /// The pause before the second attempt, such as `5s`; each further one is twice as long, up to
    /// five minutes. There is none if nothing is said.
    #[schemars(with = "Option<String>")]
    pub backoff: Option<At<Scalar>>,
}

/// A kind of failure that may pass by itself.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case", inline)]
#[expect(dead_code, reason = "only the schema is made from it")]
enum RetryWord {
    StepFailure,
    SystemFailure,
    Timeout,
    Oom,
}

/// Which failures of a step are let pass: all, none, or those with certain exit codes.
#[derive(Debug)]
pub enum AllowFailureSpec {
    /// All or none.
    Whole(bool),
    /// Those of the command with these exit codes.
    ExitCodes(AllowedCodes),
}

/// Exit codes that are let pass.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct AllowedCodes {
    /// Of the command.
    #[schemars(required)]
    pub exit_codes: Option<Vec<At<i64>>>,
}

impl<'de> Deserialize<'de> for AllowFailureSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = AllowFailureSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a boolean or a table with `exit_codes`")
            }
            fn visit_bool<E>(self, whole: bool) -> Result<AllowFailureSpec, E> {
                Ok(AllowFailureSpec::Whole(whole))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AllowFailureSpec, A::Error> {
                let codes = AllowedCodes::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(AllowFailureSpec::ExitCodes(codes))
            }
        }
        from.deserialize_any(Either)
    }
}

impl JsonSchema for AllowFailureSpec {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "AllowFailure".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let codes = generator.subschema_for::<AllowedCodes>();
        json_schema!({ "anyOf": [{ "type": "boolean" }, codes] })
    }
}
