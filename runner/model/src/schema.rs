//! The JSON Schema of `pipeline.toml`, derived from the types of [`crate::spec`], so that editors
//! know the keys. The copy that users refer to is `pipelines/pipeline.schema.json`.

use schemars::Schema;
use schemars::transform::{RecursiveTransform, Transform as _};
use serde_json::Value;

use crate::spec::PipelineSpec;

/// The schema.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(PipelineSpec);
    RecursiveTransform(without_null).transform(&mut schema);
    RecursiveTransform(on_one_line).transform(&mut schema);
    schema.to_value()
}

/// Comments are wrapped for the source; editors wrap for themselves.
fn on_one_line(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ");
    }
}

/// TOML has no null: a key that may be absent takes only what it takes.
fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            for (key, value) in only {
                // What is said of the key stands over what is said of its type.
                if schema.get(&key).is_none() {
                    schema.insert(key, value);
                }
            }
        }
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    schema.remove("default");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `HOIST_BLESS=1` writes the copy.
    #[test]
    fn the_copy_for_users_is_equal() {
        let copy = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../pipelines/pipeline.schema.json"
        );
        let made = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        #[expect(clippy::disallowed_methods, reason = "the test's own switch")]
        if std::env::var_os("HOIST_BLESS").is_some() {
            std::fs::write(copy, &made).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(copy).unwrap(),
            made,
            "HOIST_BLESS=1 writes it"
        );
    }

    #[test]
    fn nothing_takes_null() {
        assert!(!schema().to_string().contains("null"));
    }
}
