//! A matrix, as written: axes with their values, and what is taken out of their combinations and
//! added to them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::leaf::{At, Scalar};

/// Values by the names of axes.
pub type Combination = BTreeMap<At<String>, At<Scalar>>;

/// A matrix.
#[derive(Debug, Default)]
pub struct MatrixSpec {
    /// The axes as the file has them.
    pub axes: Vec<(At<String>, Vec<At<Scalar>>)>,
    /// What is added.
    pub include: Vec<At<Combination>>,
    /// What is taken out.
    pub exclude: Vec<At<Combination>>,
}

impl<'de> Deserialize<'de> for MatrixSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Axes;
        impl<'de> Visitor<'de> for Axes {
            type Value = MatrixSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MatrixSpec, A::Error> {
                let mut spec = MatrixSpec::default();
                while let Some(name) = map.next_key::<At<String>>()? {
                    match name.as_str() {
                        "include" => spec.include = map.next_value()?,
                        "exclude" => spec.exclude = map.next_value()?,
                        _ => spec.axes.push((name, map.next_value()?)),
                    }
                }
                spec.axes.sort_by_key(|(name, _)| name.span.start);
                Ok(spec)
            }
        }
        from.deserialize_map(Axes)
    }
}

impl JsonSchema for MatrixSpec {
    fn schema_name() -> Cow<'static, str> {
        "MatrixSpec".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<Scalar>();
        let combination = json_schema!({ "type": "object", "additionalProperties": value });
        json_schema!({
            "description": "Axes with their values, such as `python = [\"3.11\", \"3.12\"]`: the step is run for each combination.",
            "type": "object",
            "properties": {
                "include": {
                    "description": "Values that are added to the combinations which they agree with; where there is none they make one of their own.",
                    "type": "array",
                    "items": combination,
                },
                "exclude": {
                    "description": "What is taken out: combinations with these values.",
                    "type": "array",
                    "items": combination,
                },
            },
            "additionalProperties": { "type": "array", "items": value },
        })
    }
}
