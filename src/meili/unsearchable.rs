//! Attributes of `attributesToSearchOn` that a node refuses because none of its documents has them.
//!
//! Where `searchableAttributes` is set, one server takes what these name exactly, and what lies inside of them or matches a
//! pattern if a document has it. So a node may refuse what another one takes; all nodes together know what one server knows.

use std::collections::BTreeSet;

use serde_json::Value;

use super::error::{ApiError, Code, ErrorBody};

const PARAMETER: &str = "attributesToSearchOn";
const LISTED: &str = "` is not searchable. Available searchable attributes are: `";

/// What a node says about the first attribute that it refuses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsearchable {
    /// As the client wrote it.
    pub attribute: String,
    /// Searchable attributes that the node knows.
    known: BTreeSet<String>,
    /// The message before the list, and after it.
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
        let (_, attribute) = before.split_once("Attribute `")?;
        let (list, after) = rest.rsplit_once('`')?;
        let known = list.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Some(Self {
            attribute: attribute.to_owned(),
            known,
            around: (format!("{before}{LISTED}"), format!("`{after}")),
        })
    }

    /// A search, or a list of searches, without the attribute; none where it does not name it.
    pub fn left_out_of(&self, request: &[u8]) -> Option<Vec<u8>> {
        let mut request: Value = serde_json::from_slice(request).ok()?;
        let mut is_changed = self.leave_out(&mut request);
        for query in request.get_mut("queries").and_then(Value::as_array_mut).into_iter().flatten() {
            is_changed |= self.leave_out(query);
        }
        is_changed.then(|| request.to_string().into_bytes())
    }

    fn leave_out(&self, search: &mut Value) -> bool {
        let Some(names) = search.get_mut(PARAMETER).and_then(Value::as_array_mut) else { return false };
        let before = names.len();
        names.retain(|name| *name != self.attribute);
        names.len() < before
    }

    /// The error body of one server that knows what all these nodes know; none without nodes.
    pub fn united<'a>(all: impl IntoIterator<Item = &'a Self>) -> Option<Vec<u8>> {
        let mut all = all.into_iter();
        let mut first = all.next()?.clone();
        first.known.extend(all.flat_map(|other| other.known.iter().cloned()));
        let known = first.known.into_iter().collect::<Vec<_>>().join(", ");
        let (before, after) = first.around;
        let error = ApiError::new(Code::InvalidSearchAttributesToSearchOn, format!("{before}{known}{after}"));
        Some(serde_json::to_vec(&error.body()).expect("an error body can always be written"))
    }
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

    #[test]
    fn it_is_read_from_what_nodes_say_and_united() {
        let read = |attribute, known| Unsearchable::read(&refusal(attribute, known)).expect("is about an attribute");
        let all = [read("a.b", "x, y"), read("a.b", ""), read("a.b", "c, x")];
        assert!(all.iter().all(|refused| refused.attribute == "a.b"));
        assert_eq!(Unsearchable::united(&all), Some(refusal("a.b", "c, x, y")));
        assert_eq!(Unsearchable::united(&all[1..2]), Some(refusal("a.b", "")));
        assert_eq!(Unsearchable::united([]), None);
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
    fn it_is_left_out_of_searches_and_of_lists_of_them() {
        let refused = Unsearchable::read(&refusal("a.b", "x")).expect("is about an attribute");
        for (body, expected) in [
            (json!({"q": "w", PARAMETER: ["a.b", "x", "a.b"]}), Some(json!({"q": "w", PARAMETER: ["x"]}))),
            (json!({PARAMETER: ["a.b"]}), Some(json!({PARAMETER: []}))),
            (json!({PARAMETER: ["x"]}), None),
            (json!({"q": "a.b"}), None),
            (
                json!({"queries": [{PARAMETER: ["x", "a.b"]}, {"q": "w"}], "federation": {}}),
                Some(json!({"queries": [{PARAMETER: ["x"]}, {"q": "w"}], "federation": {}})),
            ),
        ] {
            let left = refused.left_out_of(body.to_string().as_bytes());
            let left = left.map(|left| serde_json::from_slice::<Value>(&left).expect("JSON"));
            assert_eq!(left, expected, "{body}");
        }
        assert_eq!(refused.left_out_of(b"no JSON"), None);
    }
}
