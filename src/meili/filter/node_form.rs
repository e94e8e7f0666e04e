//! Filters as nodes are asked, where the client's own form would mean something else there.
//!
//! To a server of which no document ever had an attribute, every condition on that attribute is false, `!=` too. One of
//! many nodes may be such a server although the fleet is not. `NOT` around a condition is true there, as it is to one
//! server that has documents with the attribute: so `a != 1` goes to the nodes as `NOT a = 1`.
//! To a fleet of which no document ever had the attribute it must stay as it is.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;

use super::{Comparison, Filter, Token};

/// A text that is no value of any document.
const NO_VALUE: &str = "miroir: no document has this value 5b0c7f1e-9d43-4c0a-8e52-0f6e6c1d7a94";

/// The filter of a request, in the form in which nodes are asked, when no node knows these attributes.
/// What cannot be read stays as it is.
pub fn node_form(filter: Value, unknown: &[String]) -> Value {
    match filter {
        Value::String(text) => match rewritten(&text, unknown) {
            Cow::Borrowed(_) => Value::String(text),
            Cow::Owned(text) => Value::String(text),
        },
        Value::Array(items) => items.into_iter().map(|item| node_form(item, unknown)).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => other,
    }
}

/// The attributes of which it must be known whether some document of the fleet ever had them, each once.
pub fn denied_attributes(filter: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match filter {
        Value::String(text) if text.contains("!=") => {
            let mut inequalities = Vec::new();
            if let Ok(Some(filter)) = Filter::parse_text(text) {
                collect(&filter, &mut inequalities);
            }
            found.extend(inequalities.into_iter().map(|inequality| inequality.attribute));
        }
        Value::Array(items) => found.extend(items.iter().flat_map(denied_attributes)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {}
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The filter that finds every document of a node that knows an attribute, and none of any other. A node goes on knowing
/// it when the documents that had it are gone.
pub fn knows_attribute(attribute: &str) -> String {
    format!("{} != \"{NO_VALUE}\"", quoted(attribute))
}

/// The name of an attribute as it can stand in a filter.
pub fn quoted(attribute: &str) -> String {
    format!("\"{}\"", attribute.replace('\\', "\\\\").replace('"', "\\\""))
}

fn rewritten<'a>(text: &'a str, unknown: &[String]) -> Cow<'a, str> {
    if !text.contains("!=") {
        return Cow::Borrowed(text);
    }
    let Ok(Some(filter)) = Filter::parse_text(text) else { return Cow::Borrowed(text) };
    let mut found = Vec::new();
    collect(&filter, &mut found);
    found.retain(|condition| !unknown.contains(&condition.attribute));
    found.sort_by_key(|condition| condition.start);
    let mut changed = String::with_capacity(text.len() + 4 * found.len());
    let mut done = 0;
    for Inequality { start, sign, .. } in found {
        changed.push_str(&text[done..start]);
        changed.push_str("NOT ");
        changed.push_str(&text[start..sign.start]);
        changed.push('=');
        done = sign.end;
    }
    changed.push_str(&text[done..]);
    Cow::Owned(changed)
}

/// Where an `attribute != value` stands.
struct Inequality {
    attribute: String,
    start: usize,
    /// Of `!=`.
    sign: Range<usize>,
}

fn collect(filter: &Filter, found: &mut Vec<Inequality>) {
    match filter {
        Filter::Not(filter) => collect(filter, found),
        Filter::And(filters) | Filter::Or(filters) => filters.iter().for_each(|filter| collect(filter, found)),
        Filter::Compare { attribute, comparison: Comparison::NotEqual, .. } => found.extend(inequality(attribute)),
        Filter::Compare { .. }
        | Filter::Between { .. }
        | Filter::In { .. }
        | Filter::Exists(_)
        | Filter::IsNull(_)
        | Filter::IsEmpty(_)
        | Filter::Contains { .. }
        | Filter::StartsWith { .. }
        | Filter::GeoRadius { .. }
        | Filter::GeoBoundingBox { .. }
        | Filter::GeoPolygon(_)
        | Filter::VectorExists { .. }
        | Filter::Foreign { .. } => {}
    }
}

fn inequality(attribute: &Token) -> Option<Inequality> {
    let Range { start, end } = attribute.place;
    let is_quoted = attribute.source[..start].ends_with(['\'', '"']);
    let sign = end + attribute.source[end..].find("!=")?;
    let name = attribute.text.clone();
    Some(Inequality { attribute: name, start: start - usize::from(is_quoted), sign: sign..sign + 2 })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_that_is_not_wanted_is_denied_from_outside() {
        for (filter, expected) in [
            (json!("a != 1"), json!("NOT a = 1")),
            (json!("a!=1"), json!("NOT a=1")),
            (json!("NOT a != '!='"), json!("NOT NOT a = '!='")),
            (json!("\"a b\" != 1 OR (c != d AND e = '!=')"), json!("NOT \"a b\" = 1 OR (NOT c = d AND e = '!=')")),
            (json!(["größe != 'x'", ["a != 1", "b = 2"]]), json!(["NOT größe = 'x'", ["NOT a = 1", "b = 2"]])),
            (json!("a = '!='"), json!("a = '!='")),
            (json!("a != "), json!("a != ")),
            (json!(7), json!(7)),
        ] {
            assert_eq!(node_form(filter.clone(), &[]), expected, "{filter}");
            let read = Filter::parse(&expected).ok().flatten();
            assert_eq!(read.is_some(), Filter::parse(&filter).is_ok_and(|read| read.is_some()), "{expected}");
        }
    }

    #[test]
    fn what_nobody_has_is_denied_as_the_client_does() {
        let filter = json!(["a != 1", ["\"b c\" != 2 AND NOT a != 3"], "d = 4"]);
        assert_eq!(denied_attributes(&filter), ["a", "b c"]);
        let asked = node_form(filter, &["a".to_owned()]);
        assert_eq!(asked, json!(["a != 1", ["NOT \"b c\" = 2 AND NOT a != 3"], "d = 4"]));
        let asked = knows_attribute("b \" \\c");
        assert!(asked.starts_with("\"b \\\" \\\\c\" != \""), "{asked}");
        assert_eq!(denied_attributes(&json!(asked)), ["b \" \\c"]);
    }
}
