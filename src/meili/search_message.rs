//! Error messages of nodes in the words that are for clients: their names of indexes, nothing of the marker.
//!
//! A node's `filterableAttributes` begin with the rules that are not the user's: that for the marker, and that for a distinct
//! attribute which clients cannot filter by. Its messages list them, and number them from 0.

use super::error::{ApiError, Code, ErrorBody};
use super::search::Displayed;
use crate::logic::marker::FIELD;

/// Meilisearch lists attributes in several ways; without the marker nothing may be left to list.
const LISTS: [&str; 3] = [
    "Available filterable attribute patterns are: ",
    "Available filterable attributes patterns are: ",
    "Available filterable attributes are: ",
];

/// A node's error as the client gets it; none when the body is no error body or its code is not known. `hidden`: the distinct
/// attribute that clients cannot filter by.
pub fn client_error(body: &[u8], node_uid: &str, client_uid: &str, hidden: Option<&str>) -> Option<ApiError> {
    let error: ErrorBody = serde_json::from_slice(body).ok()?;
    let code = Code::from_name(&error.code)?;
    Some(ApiError::new(code, client_message(&error.message, node_uid, client_uid, hidden)))
}

/// The message alone.
pub fn client_message(message: &str, node_uid: &str, client_uid: &str, hidden: Option<&str>) -> String {
    let mut message = message.replace(&format!("`{node_uid}`"), &format!("`{client_uid}`"));
    // Clients know the attribute and may name it anywhere, so only the list is looked at, which comes last.
    if let Some(attribute) = hidden
        && let Some(place) = LISTS.iter().find_map(|list| message.find(list))
    {
        let listed = without_mention(&message[place..], attribute);
        message.replace_range(place.., &listed);
    }
    message = without_mention(&message, FIELD);
    if !message.contains("filterableAttributes") {
        return message;
    }
    renumbered(&message, 1 + u64::from(hidden.is_some()))
}

fn without_mention(message: &str, attribute: &str) -> String {
    let mut message = message.to_owned();
    for list in LISTS {
        let nothing = "This index does not have configured filterable attributes.";
        message = message.replace(&format!("{list}`{attribute}`."), nothing);
    }
    // Quoted one by one, or all together; others may begin or end with the same letters.
    for (mention, left) in [
        (format!("`{attribute}`, "), ""),
        (format!(", `{attribute}`"), ""),
        (format!("`{attribute}, "), "`"),
        (format!(", {attribute}, "), ", "),
        (format!(", {attribute}`"), "`"),
    ] {
        message = message.replace(&mention, left);
    }
    message
}

/// How searches list attributes, of which only displayed ones are named. Before the list, and what is said instead if there
/// is nothing to list.
const SHOWN_LISTS: [(&str, Option<&str>); 4] = [
    ("Available searchable attributes are: `", None),
    ("Available sortable attributes are: `", Some("This index does not have configured sortable attributes.")),
    (
        "and thus, cannot be used as distinct attribute. Available filterable attributes patterns are: `",
        Some(
            "and thus, cannot be used as distinct attribute. This index does not have configured filterable attributes.",
        ),
    ),
    (
        "Available facet-searchable attributes patterns are: `",
        Some("This index does not have configured facet-searchable attributes."),
    ),
];

/// The message of a search with displayed attributes only, as one server lists them, whose nodes display all.
pub fn without_hidden(message: &str, displayed: &Displayed) -> String {
    for (beginning, nothing) in SHOWN_LISTS {
        let Some((before, rest)) = message.split_once(beginning) else { continue };
        let Some((list, after)) = rest.split_once("`.") else { continue };
        let names = list.split(", ").filter(|name| !name.is_empty());
        let (shown, hidden): (Vec<&str>, Vec<&str>) = names.partition(|name| displayed.lists(name));
        if hidden.is_empty() {
            return message.to_owned();
        }
        return match nothing.filter(|_| shown.is_empty()) {
            Some(nothing) => format!("{before}{nothing}{after}"),
            None => format!("{before}{beginning}{}, <..hidden-attributes>`.{after}", shown.join(", ")),
        };
    }
    message.to_owned()
}

/// Numbers of rules as they are without the first ones.
fn renumbered(message: &str, hidden_rules: u64) -> String {
    const RULE: &str = "rule #";
    let mut parts = message.split(RULE);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|character: char| character.is_ascii_digit()).len();
        let (number, rest) = part.split_at(digits);
        let renumbered = number.parse::<u64>().ok().and_then(|number| number.checked_sub(hidden_rules));
        text.push_str(RULE);
        text.push_str(&renumbered.map_or_else(|| number.to_owned(), |number| number.to_string()));
        text.push_str(rest);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_lose_the_marker_and_get_the_clients_names() {
        for (message, expected) in [
            (
                "Index `movies-12`: Attribute `title` is not filterable. Available filterable attribute patterns are: `_miroir`, `genres`.\n2:7 \"title\" = \"1\"",
                "Index `movies`: Attribute `title` is not filterable. Available filterable attribute patterns are: `genres`.\n2:7 \"title\" = \"1\"",
            ),
            (
                "Index `movies-12`: Attribute `title` is not filterable. Available filterable attribute patterns are: `_miroir`.\n1:2 x",
                "Index `movies`: Attribute `title` is not filterable. This index does not have configured filterable attributes.\n1:2 x",
            ),
            (
                "Invalid facet distribution: Pattern `title` is not filterable. Available filterable attributes patterns are: `_miroir, genres`.",
                "Invalid facet distribution: Pattern `title` is not filterable. Available filterable attributes patterns are: `genres`.",
            ),
            (
                "Note: field `a` matched rule #10 in `filterableAttributes`\n  - Hint: enable comparison in rule #10, before rule #1",
                "Note: field `a` matched rule #9 in `filterableAttributes`\n  - Hint: enable comparison in rule #9, before rule #0",
            ),
            (
                "Available filterable attributes patterns are: `_miroir`.",
                "This index does not have configured filterable attributes.",
            ),
        ] {
            assert_eq!(client_message(message, "movies-12", "movies", None), expected);
        }
        let list = |names: &str| format!("Available filterable attributes patterns are: `{names}`.");
        for (listed, expected) in
            [("_miroir, a, parts, parts.color", "a, parts.color"), ("_miroir, a.parts, parts", "a.parts")]
        {
            assert_eq!(client_message(&list(listed), "movies-12", "movies", Some("parts")), list(expected));
        }
    }

    /// As seen on 1.50.
    #[test]
    fn searches_name_displayed_attributes_only() {
        let displayed = Displayed::Only(vec!["title".to_owned()]);
        let searchable = "Index `m`: Attribute `a` is not searchable. Available searchable attributes are: ";
        let sortable = "Index `m`: Attribute `a` is not sortable. ";
        let shown = |message: &str| without_hidden(message, &displayed);
        for (message, expected) in [
            (format!("{searchable}`secret, title`."), format!("{searchable}`title, <..hidden-attributes>`.")),
            (format!("{searchable}`secret`."), format!("{searchable}`, <..hidden-attributes>`.")),
            (format!("{searchable}`title`."), format!("{searchable}`title`.")),
            (format!("{searchable}``."), format!("{searchable}``.")),
            (
                format!("{sortable}Available sortable attributes are: `secret`."),
                format!("{sortable}This index does not have configured sortable attributes."),
            ),
        ] {
            assert_eq!(shown(&message), expected);
            assert_eq!(without_hidden(&message, &Displayed::All), message);
        }
    }

    #[test]
    fn codes_are_kept() {
        let body =
            br#"{"message":"Index `m-1` not found.","code":"index_not_found","type":"invalid_request","link":""}"#;
        let expected = ApiError::new(Code::IndexNotFound, "Index `m` not found.");
        assert_eq!(client_error(body, "m-1", "m", None), Some(expected));
        assert_eq!(client_error(b"oops", "m-1", "m", None), None);
    }

    #[test]
    fn an_attribute_that_only_nodes_filter_by_is_not_listed() {
        let say = |message: &str| client_message(message, "movies-1", "movies", Some("sku"));
        for (message, expected) in [
            (
                "Attribute `sku` is not x. Available filterable attribute patterns are: `_miroir`, `sku`, `genres`.",
                "Attribute `sku` is not x. Available filterable attribute patterns are: `genres`.",
            ),
            (
                "Available filterable attributes patterns are: `_miroir, sku`.",
                "This index does not have configured filterable attributes.",
            ),
            ("matched rule #4 in filterableAttributes", "matched rule #2 in filterableAttributes"),
        ] {
            assert_eq!(say(message), expected);
        }
    }
}
