//! A part of a document by paths, as the engine selects it.

use serde_json::{Map, Value};

/// The members that the paths name. A path that ends inside a value selects what is below it; paths go through arrays of
/// objects; keys may have points in them. What has nothing selected is left out.
pub fn select(object: &Map<String, Value>, paths: &[&str]) -> Map<String, Value> {
    let mut selected = Map::new();
    for (key, value) in object {
        let is_whole =
            |path: &&str| key.strip_prefix(*path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if paths.iter().any(is_whole) {
            selected.insert(key.clone(), value.clone());
            continue;
        }
        let below = |path: &&'_ str| path.strip_prefix(key.as_str()).and_then(|rest| rest.strip_prefix('.')).is_some();
        let inner: Vec<&str> = paths.iter().filter(|path| below(path)).map(|path| &path[key.len() + 1..]).collect();
        if let Some(part) = select_within(value, &inner) {
            selected.insert(key.clone(), part);
        }
    }
    selected
}

fn select_within(value: &Value, paths: &[&str]) -> Option<Value> {
    if paths.is_empty() {
        return None;
    }
    match value {
        Value::Object(fields) => Some(select(fields, paths)).filter(|part| !part.is_empty()).map(Value::Object),
        Value::Array(items) => {
            let parts: Vec<Value> = items.iter().filter_map(|item| select_within(item, paths)).collect();
            (!parts.is_empty()).then_some(Value::Array(parts))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_select_what_they_name_and_what_is_below() {
        let document = json!({
            "a": {"b": 1, "c": {"d": 2, "e": 3}}, "a.b": 4, "l": [{"x": 1, "y": 2}, {"y": 3}, 7, [{"x": 5}]], "t": "text",
        });
        for (paths, expected) in [
            (vec!["a.b"], json!({"a": {"b": 1}, "a.b": 4})),
            (vec!["a"], json!({"a": {"b": 1, "c": {"d": 2, "e": 3}}, "a.b": 4})),
            (vec!["a.c.d", "t"], json!({"a": {"c": {"d": 2}}, "t": "text"})),
            (vec!["l.x"], json!({"l": [{"x": 1}, [{"x": 5}]]})),
            (vec!["t.x", "nope", "a.c.z"], json!({})),
            (vec![], json!({})),
        ] {
            let selected = select(document.as_object().expect("an object"), &paths);
            assert_eq!(Value::Object(selected), expected, "{paths:?}");
        }
    }
}
