//! Which keys each table of the file has, taken from the schema and so from the types themselves.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

/// The keys of one table.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// Keys by name.
    pub(super) keys: BTreeMap<String, Shape>,
    /// What is behind any other name, or behind the elements of an array.
    pub(super) any: Option<Box<Shape>>,
}

/// The shape of a pipeline's file.
pub(super) static FILE: LazyLock<Shape> = LazyLock::new(|| {
    let schema = crate::schema::schema();
    let mut shape = Shape::default();
    shape.take(&schema, &schema);
    shape
});

impl Shape {
    /// What is behind a name, if anything may be.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.keys.get(name).or(self.any.as_deref())
    }

    /// What is at the end of a path.
    pub(super) fn at(&self, path: &[impl AsRef<str>]) -> Option<&Self> {
        path.iter()
            .try_fold(self, |shape, name| shape.child(name.as_ref()))
    }

    /// Adds what a schema says; types refer to one another without circles.
    fn take(&mut self, root: &Value, schema: &Value) {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str)
            && let Some(target) = root.pointer(reference.trim_start_matches('#'))
        {
            self.take(root, target);
        }
        for choice in schema
            .get("anyOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            self.take(root, choice);
        }
        for (name, inner) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            self.keys.entry(name.clone()).or_default().take(root, inner);
        }
        for key in ["additionalProperties", "items"] {
            if let Some(inner) = schema.get(key).filter(|inner| inner.is_object()) {
                self.any.get_or_insert_default().take(root, inner);
            }
        }
    }
}
