//! Whether a node's settings are those that it was sent: its answer to `GET /settings` compared with what the derived
//! settings ([`node_settings`]) come to there.
//!
//! A node answers with every setting, defaults filled in, as one server shows them to a user; so what it should say is what
//! [`display`] makes of the derived settings. Settings that it does not name are not judged: an older one does not know
//! them. Nor are those that it names beyond ours: Miroir does not send them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{LOCALES, Object, SETTINGS, display, embedders, node_settings};

/// What a node should answer to `GET /settings` while these are the user's.
pub fn node_display(user: &Object) -> Object {
    let sent = node_settings(user).into_iter().filter_map(|(key, value)| Some((key, without_nulls(value)?)));
    display(&sent.collect())
}

/// The settings that a node does not have as it should while these are the user's, in the order of the table. `found` is its
/// answer.
pub fn differences(user: &Object, found: &Object) -> Vec<&'static str> {
    let expected = node_display(user);
    let differs = |key: &str| match (expected.get(key), found.get(key)) {
        (Some(expected), Some(found)) => !is_same(key, expected, found),
        (Some(_) | None, None) | (None, Some(_)) => false,
    };
    SETTINGS.iter().map(|setting| setting.key).filter(|key| differs(key)).collect()
}

/// What is sent as `null` has its default.
fn without_nulls(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(fields) => {
            let set = fields.into_iter().filter_map(|(key, value)| Some((key, without_nulls(value)?)));
            Some(Value::Object(set.collect()))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Some(value),
    }
}

/// Whether a node that says `found` does what it should.
fn is_same(key: &str, expected: &Value, found: &Value) -> bool {
    match (key, expected, found) {
        // The order of other lists counts.
        (
            "nonSeparatorTokens" | "separatorTokens" | "dictionary" | "sortableAttributes" | "disableOnAttributes",
            ..,
        ) => set_of(expected) == set_of(found),
        ("stopWords" | "disableOnWords", ..) => are_same_words(&set_of(expected), &set_of(found)),
        ("typoTolerance", Value::Object(expected), Value::Object(found)) => {
            expected.iter().all(|(name, value)| found.get(name).is_none_or(|found| is_same(name, value, found)))
        }
        ("filterableAttributes", Value::Array(expected), Value::Array(found)) => {
            expected.iter().map(whole_rule).eq(found.iter().map(whole_rule))
        }
        ("localizedAttributes", Value::Array(expected), Value::Array(found)) => {
            expected.iter().map(with_long_locales).eq(found.iter().map(with_long_locales))
        }
        ("embedders", ..) => embedders::are_same(expected, found),
        _ => expected == found,
    }
}

fn set_of(list: &Value) -> BTreeSet<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A node keeps these as its tokenizer writes them, which may be another spelling, or make one of two. Plain words stay as
/// they are: each must be there, and nothing more than can have come of the others.
fn are_same_words(expected: &BTreeSet<&str>, found: &BTreeSet<&str>) -> bool {
    let is_plain = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (plain, others): (Vec<&str>, Vec<&str>) = expected.iter().copied().partition(|word| is_plain(word));
    let has_plain = plain.iter().all(|word| found.contains(word));
    has_plain && found.len() <= plain.len() + others.len() && found.is_empty() == expected.is_empty()
}

/// Nodes know each language by three letters.
fn with_long_locales(rule: &Value) -> Value {
    let mut rule = rule.clone();
    for locale in rule["locales"].as_array_mut().into_iter().flatten() {
        if let Some(long) = locale.as_str().and_then(long_locale) {
            *locale = json!(long);
        }
    }
    rule
}

/// The name of three letters of a language that is named by two. They stand in the table in the same order.
pub fn long_locale(short: &str) -> Option<&'static str> {
    let (short_ones, long_ones): (Vec<&str>, Vec<&str>) = LOCALES.iter().copied().partition(|locale| locale.len() == 2);
    let place = short_ones.iter().position(|locale| *locale == short)?;
    long_ones.get(place).copied()
}

/// A rule with all its features.
fn whole_rule(rule: &Value) -> Value {
    let Some(patterns) = rule.get("attributePatterns") else { return rule.clone() };
    let flag = |value: &Value, default: bool| value.as_bool().unwrap_or(default);
    let features = &rule["features"];
    json!([
        patterns,
        flag(&features["facetSearch"], false),
        flag(&features["filter"]["equality"], true),
        flag(&features["filter"]["comparison"], false),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meili::settings::{merge, parse_patch};

    fn user(patch: &str) -> Object {
        merge(&Object::new(), &parse_patch(patch.as_bytes()).expect("a valid patch"))
    }

    #[test]
    fn a_node_should_show_what_was_derived_with_all_defaults() {
        let shown =
            node_display(&user(r#"{"displayedAttributes":["a"],"filterableAttributes":["b"],"stopWords":["x"]}"#));
        assert_eq!(shown["displayedAttributes"], json!(["*"]), "nodes show everything");
        assert_eq!(shown["filterableAttributes"][0]["attributePatterns"], json!(["_miroir"]));
        assert_eq!(shown["filterableAttributes"][1], json!("b"));
        assert_eq!(shown["faceting"], json!({"maxValuesPerFacet": 3000, "sortFacetValuesBy": {"*": "alpha"}}));
        assert_eq!(shown["typoTolerance"]["minWordSizeForTypos"], json!({"oneTypo": 5, "twoTypos": 9}));
        assert_eq!((&shown["stopWords"], &shown["localizedAttributes"]), (&json!(["x"]), &Value::Null));
        assert_eq!(shown.len(), 20);
    }

    /// What is done to the node's answer, and what is to be found then.
    type Meddling = (&'static str, fn(&mut Object), &'static [&'static str]);

    #[test]
    fn what_differs_is_named_and_nothing_else() {
        let user = user(
            r#"{"filterableAttributes":[{"attributePatterns":["a"]}],"stopWords":["off","é"],"typoTolerance":{"disableOnWords":["b","a"]}}"#,
        );
        let right = node_display(&user);
        assert_eq!(differences(&user, &right), [""; 0]);
        let table: &[Meddling] = &[
            ("an unknown setting", |found| found["rankingRules"] = json!(["words"]), &["rankingRules"]),
            ("a lost marker", |found| found["filterableAttributes"] = json!([]), &["filterableAttributes"]),
            (
                "another order of rules",
                |found| found["filterableAttributes"].as_array_mut().expect("a list").reverse(),
                &["filterableAttributes"],
            ),
            ("another word", |found| found["stopWords"] = json!(["of", "é"]), &["stopWords"]),
            ("one word less", |found| found["stopWords"] = json!(["é"]), &["stopWords"]),
            ("none", |found| found["stopWords"] = json!([]), &["stopWords"]),
            ("more words than came of it", |found| found["stopWords"] = json!(["e", "off", "x"]), &["stopWords"]),
            ("a word as the tokenizer writes it", |found| found["stopWords"] = json!(["e", "off"]), &[]),
            ("features left out", |found| found["filterableAttributes"][1] = json!({"attributePatterns": ["a"]}), &[]),
            ("a set in another order", |found| found["typoTolerance"]["disableOnWords"] = json!(["b", "a"]), &[]),
            ("a field within", |found| found["typoTolerance"]["enabled"] = json!(false), &["typoTolerance"]),
            ("a limit of our own", |found| found["faceting"]["maxValuesPerFacet"] = json!(100), &["faceting"]),
            ("a hidden attribute", |found| found["displayedAttributes"] = json!(["b"]), &["displayedAttributes"]),
            ("a setting that an older node does not know", |found| drop(found.shift_remove("facetSearch")), &[]),
            ("a setting that a newer node knows", |found| drop(found.insert("new".to_owned(), json!(1))), &[]),
            ("what only an experiment shows", |found| drop(found.insert("chat".to_owned(), json!({}))), &[]),
        ];
        for (what, change, expected) in table {
            let mut found = right.clone();
            change(&mut found);
            assert_eq!(differences(&user, &found), *expected, "{what}");
        }
    }
}
