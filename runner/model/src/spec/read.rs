//! From text to [`PipelineSpec`]. Serde stops at the first value of a wrong type; to tell all of
//! them, such a value is noted, taken out, and the rest is read again.

use std::ops::Range;

use serde::Deserialize as _;
use toml::de::{DeTable, DeValue, Deserializer};

use super::PipelineSpec;
use super::keys::{Keys, remove};
use super::unknown::Unknown;
use crate::diag::{Diagnostic, SourceFile};

/// More faults than these are not told at once.
const ENOUGH: usize = 50;

/// Reads a pipeline's file. What stands in the way of reading it at all is an error; unknown keys
/// and wrong types are kept in [`PipelineSpec::faults`], so that they can be reported together
/// with what is wrong with the rest.
///
/// # Errors
/// The text is not TOML: the first fault of each line.
pub fn parse(file_name: &str, text: &str) -> Result<PipelineSpec, Vec<Diagnostic>> {
    let file = SourceFile::new(file_name, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(syntax(&file, &errors));
    }
    let Unknown { mut faults, meant } = Unknown::find(table.get_ref());
    let mut broken: Vec<Vec<String>> = Vec::new();
    let mut table = table;
    loop {
        let error = match PipelineSpec::deserialize(Deserializer::from(table)) {
            Ok(spec) => {
                broken.extend(meant);
                return Ok(PipelineSpec {
                    file,
                    faults,
                    broken,
                    ..spec
                });
            }
            Err(error) => error,
        };
        let keys = Keys::read(text);
        let span = error.span().unwrap_or_default();
        let path = keys.path_to(&span);
        faults.push(wrong_type(&file, &keys, &path, span, error.message()));
        table = DeTable::parse_recoverable(text).0;
        broken.push(path);
        let all_out = broken.iter().all(|path| remove(table.get_mut(), path));
        if !all_out || broken.len() > ENOUGH {
            return Err(faults);
        }
    }
}

/// The faults of a text that is not TOML. A fault draws others after it, so only the first of each
/// line is told.
fn syntax(file: &SourceFile, errors: &[toml::de::Error]) -> Vec<Diagnostic> {
    let end = file.text.len();
    let mut errors: Vec<_> = errors
        .iter()
        .map(|error| (error.span().unwrap_or(end..end), error.message()))
        .collect();
    errors.sort_by_key(|(span, _)| span.start);
    errors.truncate(ENOUGH);
    errors.dedup_by_key(|(span, _)| file.line_col(span.start).0);
    let told = errors.into_iter().map(|(span, message)| {
        let fault = Diagnostic::error(format!("not TOML: {message}"), span);
        if message.starts_with("key with no value") {
            fault.help("a key is written `key = value`")
        } else {
            fault
        }
    });
    told.collect()
}

/// Says in TOML's words what serde says in its own.
fn wrong_type(
    file: &SourceFile,
    keys: &Keys<'_>,
    path: &[String],
    span: Range<usize>,
    message: &str,
) -> Diagnostic {
    let key = path.last().map_or("the file", String::as_str);
    if let Some((value, _)) = message
        .strip_prefix("invalid value: ")
        .and_then(|words| words.split_once(", expected "))
    {
        let value = value.split_once(' ').map_or(value, |(_, value)| value);
        return Diagnostic::error(format!("`{key}` cannot be {value}"), span);
    }
    let Some((found, expected)) = message
        .strip_prefix("invalid type: ")
        .and_then(|words| words.split_once(", expected "))
    else {
        return Diagnostic::error(message, span);
    };
    let value = keys.value(path);
    let found = match value {
        Some(DeValue::Datetime(_)) => "a date",
        _ => toml_word(found),
    };
    let expected = toml_word(expected);
    let message = match (expected, value) {
        ("a string", Some(DeValue::Array(_))) => format!("`{key}` holds strings, not {found}"),
        _ => format!("`{key}` takes {expected}, not {found}"),
    };
    let fault = Diagnostic::error(message, span.clone());
    let raw = file.text.get(span.clone()).unwrap_or_default();
    match (expected, value) {
        ("an array", Some(DeValue::String(_))) => fault.suggest(span, format!("[{raw}]")),
        ("a string", Some(DeValue::Float(_) | DeValue::Integer(_) | DeValue::Datetime(_))) => {
            fault.suggest(span, format!("\"{raw}\""))
        }
        ("a string", Some(DeValue::Array(_))) if raw.parse::<f64>().is_ok() => fault
            .help("with quotes it stays as it is written")
            .suggest(span, format!("\"{raw}\"")),
        ("true or false", Some(DeValue::String(text))) if matches!(&**text, "true" | "false") => {
            fault.suggest(span, text.to_string())
        }
        ("a whole number", Some(DeValue::String(text))) if text.parse::<u32>().is_ok() => {
            fault.suggest(span, text.to_string())
        }
        ("a table", Some(DeValue::Array(_))) => fault.help(format!(
            "a table is written `{key} = {{ NAME = \"value\" }}`"
        )),
        _ => fault,
    }
}

/// TOML's name for one of serde's types.
fn toml_word(serde: &str) -> &str {
    let word = serde.split_once(' ').map_or(serde, |(first, _)| first);
    match (word, serde) {
        ("sequence", _) | (_, "a sequence") => "an array",
        ("map" | "struct", _) | (_, "a map") => "a table",
        ("string", _) => "a string",
        ("boolean", _) => "true or false",
        ("integer", _) | (_, "u32" | "u64" | "i32" | "i64") => "a whole number",
        ("floating", _) => "a number with decimals",
        (_, "a boolean") => "true or false",
        _ => serde,
    }
}
