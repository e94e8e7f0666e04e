//! The `fields` parameter: which parts of a document a client sees.
//!
//! The same parts as one server shows. The embedded node selects with it; so does Miroir when it had to ask a node for
//! more fields than the client did.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Only the fields that the names reach; dots go into objects and through arrays. Branches that end up empty are left
/// out.
pub fn select(document: &Map<String, Value>, names: &BTreeSet<&str>) -> Map<String, Value> {
    let mut selected = Map::new();
    for (key, value) in document {
        if names.contains(key.as_str()) {
            selected.insert(key.clone(), value.clone());
            continue;
        }
        let inner: BTreeSet<&str> =
            names.iter().filter_map(|name| name.strip_prefix(key.as_str())?.strip_prefix('.')).collect();
        if inner.is_empty() {
            continue;
        }
        match value {
            Value::Object(object) => {
                let object = select(object, &inner);
                if !object.is_empty() {
                    selected.insert(key.clone(), Value::Object(object));
                }
            }
            Value::Array(values) => {
                let values = select_in_array(values, &inner);
                if !values.is_empty() {
                    selected.insert(key.clone(), Value::Array(values));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    selected
}

fn select_in_array(values: &[Value], names: &BTreeSet<&str>) -> Vec<Value> {
    values
        .iter()
        .filter_map(|value| match value {
            Value::Object(object) => {
                let object = select(object, names);
                (!object.is_empty()).then_some(Value::Object(object))
            }
            Value::Array(values) => {
                let values = select_in_array(values, names);
                (!values.is_empty()).then_some(Value::Array(values))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selection_reaches_through_objects_and_arrays() {
        let document = json!({"a": {"b": 1, "c": 2}, "l": [{"x": 1, "y": 2}, 3], "z": 1});
        let selected = select(document.as_object().unwrap(), &["a.c", "l.x", "nope"].into());
        assert_eq!(Value::Object(selected), json!({"a": {"c": 2}, "l": [{"x": 1}]}));
    }
}
