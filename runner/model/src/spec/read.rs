//! From text to [`PipelineSpec`].

use super::PipelineSpec;
use crate::diag::{Diagnostic, SourceFile};

/// Reads a pipeline's file. What stands in the way of reading it at all is an error; unknown keys
/// and wrong types are kept in [`PipelineSpec::faults`], so that they can be reported together
/// with what is wrong with the rest.
///
/// # Errors
/// The text is not TOML: the first fault of each line.
pub fn parse(file_name: &str, text: &str) -> Result<PipelineSpec, Vec<Diagnostic>> {
    let (table, _errors) = toml::de::DeTable::parse_recoverable(text);
    let mut spec: PipelineSpec = serde::Deserialize::deserialize(toml::de::Deserializer::from(
        table,
    ))
    .map_err(|error: toml::de::Error| {
        vec![Diagnostic::error(
            error.message(),
            error.span().unwrap_or_default(),
        )]
    })?;
    spec.file = SourceFile::new(file_name, text);
    Ok(spec)
}
