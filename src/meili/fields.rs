//! A part of a document by paths, as the engine selects it: `fields`, `attributesToRetrieve`, `_formatted`.
//!
//! The embedded node selects with it; so does Miroir when it had to ask a node for more than the client did.

use serde_json::{Map, Value};

/// How the engine selects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selection {
    /// Of documents and hits: only members of objects are left out, whatever else a path leads through stays.
    Document,
    /// Of `_formatted`: a list keeps lists, and objects of which something is left.
    Formatted,
}

/// The members that the paths name. A path that ends inside a value selects what is below it; paths go through arrays of
/// objects; keys may have points in them. Objects and lists that a path leads into stay, however little is left of them.
pub fn select(object: &Map<String, Value>, paths: &[&str], selection: Selection) -> Map<String, Value> {
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
        if !inner.is_empty()
            && let Some(part) = select_within(value, &inner, selection)
        {
            selected.insert(key.clone(), part);
        }
    }
    selected
}

fn select_within(value: &Value, paths: &[&str], selection: Selection) -> Option<Value> {
    match value {
        Value::Object(fields) => Some(select(fields, paths, selection).into()),
        Value::Array(items) => {
            let parts = items.iter().filter_map(|item| select_within(item, paths, selection));
            let is_kept =
                |part: &Value| selection == Selection::Document || part.as_object().is_none_or(|part| !part.is_empty());
            Some(parts.filter(is_kept).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            (selection == Selection::Document).then(|| value.clone())
        }
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
            (vec!["a.z"], json!({"a": {}})),
            (vec!["nope"], json!({})),
            (vec![], json!({})),
        ] {
            for selection in [Selection::Document, Selection::Formatted] {
                let selected = select(document.as_object().expect("an object"), &paths, selection);
                assert_eq!(Value::Object(selected), expected, "{paths:?}");
            }
        }
    }

    /// As seen on 1.50.
    #[test]
    fn documents_keep_what_formatted_ones_lose() {
        let document = json!({"p": [{"c": 1, "d": 2}, {"d": 3}, 7, [{"d": 1}], [{"c": 1}], []], "q": 5, "r": []});
        let paths = ["p.c", "q.c", "r.c"];
        let select_from =
            |selection| Value::Object(select(document.as_object().expect("an object"), &paths, selection));
        let whole = json!({"p": [{"c": 1}, {}, 7, [{}], [{"c": 1}], []], "q": 5, "r": []});
        assert_eq!(select_from(Selection::Document), whole);
        let formatted = json!({"p": [{"c": 1}, [], [{"c": 1}], []], "r": []});
        assert_eq!(select_from(Selection::Formatted), formatted);
    }
}
