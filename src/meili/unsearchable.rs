//! Attributes of `attributesToSearchOn` that a node refuses because none of its documents has them.
//!
//! Where `searchableAttributes` is set, one server takes what these name exactly, and what lies inside of them or matches a
//! pattern if a document has it. So a node may refuse what another one takes; all nodes together know what one server knows.

use std::collections::BTreeSet;

use serde_json::Value;

use super::attribute_pattern;
use super::error::{ApiError, Code, ErrorBody};
use super::settings::Object;

const PARAMETER: &str = "attributesToSearchOn";
const LISTED: &str = "` is not searchable. Available searchable attributes are: `";

/// What a node says about the first attribute that it refuses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsearchable {
    /// As the client wrote it.
    attribute: String,
    /// Searchable attributes that the node knows.
    known: BTreeSet<String>,
    /// The message before the attribute, and after the list.
    around: (String, String),
}

impl Unsearchable {
    /// Reads a node's error body; none when it is about something else.
    pub fn read(body: &[u8]) -> Option<Self> {
        let error: ErrorBody = serde_json::from_slice(body).ok()?;
        if error.code != Code::InvalidSearchAttributesToSearchOn.name() {
            return None;
        }
        let (before, rest) = error.message.split_once(LISTED)?;
        let (before, attribute) = before.split_once("Attribute `")?;
        let (list, after) = rest.rsplit_once('`')?;
        let known = list.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let around = (format!("{before}Attribute `"), format!("`{after}"));
        Some(Self { attribute: attribute.to_owned(), known, around })
    }

    /// A search, or a list of searches, without what the node refuses, and that: each once, in the order of the request.
    /// None where the request does not name the attribute.
    pub fn left_out_of(&self, request: &[u8], user: &Object) -> Option<(Vec<u8>, Vec<String>)> {
        let user = user.get("searchableAttributes").and_then(Value::as_array);
        let is_taken = |name: &str| {
            let is_meant = |known: &String| known == name || attribute_pattern::wildcard(name, known).is_yes();
            name != self.attribute
                && (name == "*"
                    || user.into_iter().flatten().any(|own| own == name)
                    || self.known.contains(name)
                    || name.contains('*') && self.known.iter().any(is_meant))
        };
        let mut request: Value = serde_json::from_slice(request).ok()?;
        let mut refused = Vec::new();
        leave_out(&mut request, is_taken, &mut refused);
        for query in request.get_mut("queries").and_then(Value::as_array_mut).into_iter().flatten() {
            leave_out(query, is_taken, &mut refused);
        }
        refused.contains(&self.attribute).then(|| (request.to_string().into_bytes(), refused))
    }

    /// The error body of one server that knows what all these nodes know and that refuses this attribute; none without
    /// nodes.
    pub fn united<'a>(all: impl IntoIterator<Item = &'a Self>, attribute: &str) -> Option<Vec<u8>> {
        let mut all = all.into_iter();
        let mut first = all.next()?.clone();
        first.known.extend(all.flat_map(|other| other.known.iter().cloned()));
        let known = first.known.into_iter().collect::<Vec<_>>().join(", ");
        let (before, after) = first.around;
        let message = format!("{before}{attribute}{LISTED}{known}{after}");
        let error = ApiError::new(Code::InvalidSearchAttributesToSearchOn, message);
        Some(serde_json::to_vec(&error.body()).expect("an error body can always be written"))
    }
}

fn leave_out(search: &mut Value, is_taken: impl Fn(&str) -> bool, refused: &mut Vec<String>) {
    let Some(names) = search.get_mut(PARAMETER).and_then(Value::as_array_mut) else { return };
    let mut seen: BTreeSet<String> = refused.iter().cloned().collect();
    names.retain(|name| {
        let name = name.as_str().unwrap_or_default();
        let is_kept = is_taken(name);
        if !is_kept && seen.insert(name.to_owned()) {
            refused.push(name.to_owned());
        }
        is_kept
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(attribute: &str, known: &str) -> Vec<u8> {
        let message = format!("Index `m-1`: Attribute `{attribute}{LISTED}{known}`.");
        let error = ApiError::new(Code::InvalidSearchAttributesToSearchOn, message);
        serde_json::to_vec(&error.body()).expect("plain")
    }

    fn read(attribute: &str, known: &str) -> Unsearchable {
        Unsearchable::read(&refusal(attribute, known)).expect("is about an attribute")
    }

    #[test]
    fn it_is_read_from_what_nodes_say_and_united() {
        let all = [read("a.b", "x, y"), read("a.c", ""), read("a.b", "c, x")];
        assert_eq!(Unsearchable::united(&all, "a.b"), Some(refusal("a.b", "c, x, y")));
        assert_eq!(Unsearchable::united(&all[1..2], "a.d"), Some(refusal("a.d", "")));
        assert_eq!(Unsearchable::united([], "a"), None);
        assert_eq!(read("odd ` name", "x").attribute, "odd ` name");
    }

    #[test]
    fn other_errors_are_none() {
        let other = ApiError::new(Code::InvalidSearchFilter, format!("Attribute `a{LISTED}b`."));
        assert_eq!(Unsearchable::read(&serde_json::to_vec(&other.body()).expect("plain")), None);
        for body in [&b""[..], b"{}", b"[1", b"\"Attribute `a` is not searchable.\""] {
            assert_eq!(Unsearchable::read(body), None);
        }
        let cut = ApiError::new(Code::InvalidSearchAttributesToSearchOn, "Attribute `a` is not searchable.");
        assert_eq!(Unsearchable::read(&serde_json::to_vec(&cut.body()).expect("plain")), None);
    }

    #[test]
    fn all_that_the_node_refuses_is_left_out_of_searches_and_of_lists_of_them() {
        let refused = read("a.b", "x, y.z");
        let user = json!({"searchableAttributes": ["x", "own", "y"]});
        let user = user.as_object().expect("an object");
        for (body, expected, names) in [
            (
                json!({"q": "w", PARAMETER: ["a.b", "x", "*", "a.b", "c", "own", "y.*", "q*", "y.z"]}),
                json!({"q": "w", PARAMETER: ["x", "*", "own", "y.*", "y.z"]}),
                &["a.b", "c", "q*"][..],
            ),
            (json!({PARAMETER: ["a.b"]}), json!({PARAMETER: []}), &["a.b"]),
            (
                json!({"queries": [{PARAMETER: ["x", "c"]}, {"q": "w"}, {PARAMETER: ["a.b", "c"]}], "federation": {}}),
                json!({"queries": [{PARAMETER: ["x"]}, {"q": "w"}, {PARAMETER: []}], "federation": {}}),
                &["c", "a.b"],
            ),
        ] {
            let (left, found) = refused.left_out_of(body.to_string().as_bytes(), user).expect("names it");
            assert_eq!(serde_json::from_slice::<Value>(&left).expect("JSON"), expected, "{body}");
            assert_eq!(found, names, "{body}");
        }
        for other in [&b"no JSON"[..], br#"{"attributesToSearchOn": ["x"]}"#, br#"{"q": "a.b"}"#, b"[]"] {
            assert_eq!(refused.left_out_of(other, user), None);
        }
    }
}
