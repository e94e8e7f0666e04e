//! Filters on documents of another index, which a field names: `_foreign(author, name = Alice)`.
//!
//! No node has all documents of the other index, so none is asked such a condition. It is asked for the ids of the
//! documents that the filter inside finds, and then for `"author" IN ["1", "2"]`.

use std::fmt::Write as _;
use std::ops::Range;

use serde_json::Value;

use super::{Filter, Token, quoted};

/// A condition of a client's filter on documents of another index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForeignCondition {
    /// The field that names them.
    pub attribute: String,
    /// What they must match. It stands at the same lines and columns as in the client's text: what comes before it is
    /// blank.
    pub filter: String,
    /// The client's text as one server cites it.
    pub cited: String,
    /// There is another one inside.
    pub is_nested: bool,
}

/// The conditions of a filter, in the order of the text. What cannot be read has none: that is told elsewhere.
pub fn foreign_conditions(filter: &Value) -> Vec<ForeignCondition> {
    match filter {
        Value::String(text) => {
            let mut found = Vec::new();
            visit(text, &mut |attribute, filter, [whole, inside]| {
                found.push(ForeignCondition {
                    attribute: attribute.text.clone(),
                    filter: format!("{}{}", blank(&text[..inside.start]), &text[inside.clone()]),
                    cited: text[whole.start..].to_owned(),
                    is_nested: is_foreign(filter),
                });
            });
            found
        }
        Value::Array(items) => items.iter().flat_map(foreign_conditions).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

/// The filter with its conditions, in the order of the text, turned into lists of these ids.
#[must_use]
pub fn with_ids<'a>(filter: Value, ids: &mut impl Iterator<Item = &'a [String]>) -> Value {
    match filter {
        Value::String(text) => {
            let (mut changed, mut done) = (String::new(), 0);
            visit(&text, &mut |attribute, _, [whole, _]| {
                let values: Vec<String> = ids.next().unwrap_or_default().iter().map(|id| quoted(id)).collect();
                changed.push_str(&text[done..whole.start]);
                write!(changed, "{} IN [{}]", quoted(&attribute.text), values.join(", ")).expect("strings take all");
                done = whole.end;
            });
            changed.push_str(&text[done..]);
            Value::String(changed)
        }
        Value::Array(items) => items.into_iter().map(|item| with_ids(item, ids)).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => other,
    }
}

/// Bytes of the whole condition, and of the filter inside.
type Places = [Range<usize>; 2];

/// Visits the conditions of one text: the field, the filter inside, and where both stand.
fn visit(text: &str, found: &mut dyn FnMut(&Token, &Filter, &Places)) {
    if !text.contains("_foreign") {
        return;
    }
    if let Ok(Some(filter)) = Filter::parse_text(text) {
        visit_filter(&filter, found);
    }
}

/// The same of a filter that was read.
pub(super) fn visit_filter(filter: &Filter, found: &mut dyn FnMut(&Token, &Filter, &Places)) {
    match filter {
        Filter::Not(filter) => visit_filter(filter, found),
        Filter::And(filters) | Filter::Or(filters) => filters.iter().for_each(|filter| visit_filter(filter, found)),
        Filter::Foreign { attribute, filter, places } => found(attribute, filter, places),
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
        | Filter::VectorExists { .. } => {}
    }
}

fn is_foreign(filter: &Filter) -> bool {
    let mut is_foreign = false;
    visit_filter(filter, &mut |_, _, _| is_foreign = true);
    is_foreign
}

/// White space of as many lines and columns.
fn blank(text: &str) -> String {
    text.chars().map(|character| if character == '\n' { '\n' } else { ' ' }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_become_lists_of_ids() {
        let ids = [vec!["1".to_owned(), "a-b".to_owned()], vec![], vec!["x".to_owned()]];
        for (filter, expected) in [
            (json!("_foreign(a, x = 1)"), json!("\"a\" IN [\"1\", \"a-b\"]")),
            (
                json!("b = 'ü' AND NOT  _foreign( 'a \"b' , (x = 1 OR y = 2) ) OR _foreign(c, z EXISTS)"),
                json!("b = 'ü' AND NOT  \"a \\\"b\" IN [\"1\", \"a-b\"] OR \"c\" IN []"),
            ),
            (
                json!(["_foreign(a, x = 1)", ["c = 1", "_foreign(b, y = 1) AND d = 1"], "_foreign(c, y = 1)"]),
                json!(["\"a\" IN [\"1\", \"a-b\"]", ["c = 1", "\"b\" IN [] AND d = 1"], "\"c\" IN [\"x\"]"]),
            ),
            (json!("a = '_foreign(a, x = 1)'"), json!("a = '_foreign(a, x = 1)'")),
            (json!("_foreign(a"), json!("_foreign(a")),
            (json!(7), json!(7)),
        ] {
            let changed = with_ids(filter.clone(), &mut ids.iter().map(Vec::as_slice));
            assert_eq!(changed, expected, "{filter}");
            assert!(foreign_conditions(&changed).is_empty(), "{changed}");
            assert_eq!(Filter::parse(&changed).is_ok(), Filter::parse(&filter).is_ok(), "{changed}");
        }
    }

    #[test]
    fn what_is_inside_stands_where_it_stood() {
        let filter = json!(["a = 1", "é = 1 AND\n_foreign(author, name = 'é') AND b = 2"]);
        let condition = ForeignCondition {
            attribute: "author".to_owned(),
            filter: "         \n                 name = 'é'".to_owned(),
            cited: "_foreign(author, name = 'é') AND b = 2".to_owned(),
            is_nested: false,
        };
        assert_eq!(foreign_conditions(&filter), [condition]);
        let nested = foreign_conditions(&json!("_foreign(a, x = 1 AND NOT _foreign(b, y = 1))"));
        assert_eq!((nested.len(), nested[0].is_nested), (1, true));
    }
}
