//! What the engine sees of an attribute of a document where it sorts, counts and tells apart: its facet values.
//!
//! Numbers and normalised texts, however deep in objects and arrays; `null`, objects and empty texts are no values.
//! Blank texts are values like others, and empty once normalised.

use serde_json::Value;

use super::facets::normalize;

/// The values of one attribute of a document, each as often as it is there.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FacetValues {
    /// Numbers.
    pub numbers: Vec<f64>,
    /// Texts, normalised; booleans are texts.
    pub texts: Vec<String>,
    /// There is an empty text, as it was written.
    pub has_empty_text: bool,
}

impl FacetValues {
    /// Whether a text is empty once normalised.
    pub fn has_blank_text(&self) -> bool {
        self.has_empty_text || self.texts.iter().any(String::is_empty)
    }

    /// Of the attribute with this path: through objects, arrays of objects and keys that have points in them.
    pub fn of(document: &Value, path: &str) -> Self {
        let mut values = Self::default();
        values.collect(document, path);
        values
    }

    /// Adds those of one more document, or of a part of it.
    pub fn collect(&mut self, value: &Value, path: &str) {
        match value {
            Value::Object(fields) => {
                for (key, field) in fields {
                    self.collect_member(key, field, path);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect(item, path)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Adds those of one member of an object.
    pub fn collect_member(&mut self, key: &str, field: &Value, path: &str) {
        if key == path {
            self.add_leaves(field);
        } else if let Some(rest) = path.strip_prefix(key).and_then(|rest| rest.strip_prefix('.')) {
            self.collect(field, rest);
        }
    }

    fn add_leaves(&mut self, value: &Value) {
        match value {
            Value::Number(number) => self.numbers.extend(number.as_f64()),
            Value::Bool(boolean) => self.texts.push(boolean.to_string()),
            Value::String(text) if text.is_empty() => self.has_empty_text = true,
            Value::String(text) => self.texts.push(normalize(text)),
            Value::Array(items) => items.iter().for_each(|item| self.add_leaves(item)),
            Value::Null | Value::Object(_) => {}
        }
    }
}
