//! The JSON Schema of `pipeline.toml`, derived from the types of [`crate::spec`], so that editors
//! know the keys. The copy that users refer to is `pipelines/pipeline.schema.json`.

use crate::spec::PipelineSpec;

/// The schema.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(PipelineSpec).to_value()
}
