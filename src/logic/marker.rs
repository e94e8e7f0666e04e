//! The marker: how a stored document carries its shard.
//!
//! Every stored document has one extra top-level field, [`FIELD`], whose value is the shard number in base 16, written
//! with sixteen characters that are separators for Meilisearch's tokenizer and stable under its facet normalisation: no
//! search finds them. Two characters up to 256 shards, three beyond. No client ever sees the field; keys are compared
//! decoded, so `"\u005fmiroir"` is the same key.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::ids::ShardId;
use super::json::{Malformed, ObjectWriter, members};

/// The name of the field.
pub const FIELD: &str = "_miroir";

/// The sixteen digits, least first. Also the characters that settings may not turn into words.
pub const DIGITS: [char; 16] = [
    '\u{2E00}', '\u{2E01}', '\u{2E06}', '\u{2E07}', '\u{2E08}', '\u{2E0B}', '\u{2E0E}', '\u{2E0F}', '\u{2E10}',
    '\u{2E11}', '\u{2E12}', '\u{2E13}', '\u{2E14}', '\u{2E15}', '\u{2E16}', '\u{2E18}',
];

/// Up to this many shards two digits are enough.
const SHARDS_WITH_TWO_DIGITS: u16 = 256;

/// The marker of a shard: two or three of [`DIGITS`].
pub fn marker(shard: ShardId, shard_count: u16) -> String {
    let digit = |shift: u16| DIGITS[usize::from((shard.0 >> shift) & 15)];
    if shard_count > SHARDS_WITH_TWO_DIGITS {
        [digit(8), digit(4), digit(0)].iter().collect()
    } else {
        [digit(4), digit(0)].iter().collect()
    }
}

/// The shard that a marker names; none if it is no marker of a cluster with so many shards.
pub fn parse(text: &str, shard_count: u16) -> Option<ShardId> {
    let digits_expected = if shard_count > SHARDS_WITH_TWO_DIGITS { 3 } else { 2 };
    let mut shard = 0;
    let mut digits_seen = 0;
    for character in text.chars() {
        let digit = DIGITS.iter().position(|&digit| digit == character)?;
        shard = shard * 16 + digit;
        digits_seen += 1;
        if digits_seen > digits_expected {
            return None;
        }
    }
    (digits_seen == digits_expected && shard < usize::from(shard_count)).then_some(ShardId(shard as u16))
}

/// The marker as a JSON member with the comma after it, to be written behind the `{` of a document that has other
/// members: `"_miroir":"…",`.
pub fn first_member(shard: ShardId, shard_count: u16) -> String {
    format!("\"{FIELD}\":\"{}\",", marker(shard, shard_count))
}

/// The filter that keeps the documents of these shards: `_miroir IN ["…","…"]`.
pub fn filter_text(shards: &[ShardId], shard_count: u16) -> String {
    let mut text = format!("{FIELD} IN [");
    for (place, &shard) in shards.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        write!(text, "{comma}\"{}\"", marker(shard, shard_count)).expect("writing to a string does not fail");
    }
    text.push(']');
    text
}

/// The filter that keeps the documents without a valid marker: none of ours.
pub fn unmarked_filter_text(shard_count: u16) -> String {
    let all: Vec<ShardId> = (0..shard_count).map(ShardId).collect();
    format!("NOT {}", filter_text(&all, shard_count))
}

/// Whether a text that names an attribute, with or without a path behind it (`_miroir`, `_miroir.x`), means the marker.
pub fn is_reserved(attribute: &str) -> bool {
    attribute.strip_prefix(FIELD).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The object without its top-level [`FIELD`], and without it in `_formatted` and `_matchesPosition`. Borrows when there
/// is nothing to take away.
pub fn strip(object: &str) -> Result<Cow<'_, str>, Malformed> {
    if !may_name_marker(object) {
        return Ok(Cow::Borrowed(object));
    }
    let mut stripped = ObjectWriter::with_capacity(object.len());
    for member in members(object) {
        let member = member?;
        match member.key.as_ref() {
            FIELD => {}
            "_formatted" | "_matchesPosition" => match strip_top_level(member.value.text)? {
                Cow::Borrowed(_) => stripped.push_text(member.text),
                Cow::Owned(value) => stripped.push(&member.key, &value),
            },
            _ => stripped.push_text(member.text),
        }
    }
    Ok(Cow::Owned(stripped.finish()))
}

/// The object without its top-level [`FIELD`]; what is no object is left as it is.
fn strip_top_level(object: &str) -> Result<Cow<'_, str>, Malformed> {
    if !object.starts_with('{') || !may_name_marker(object) {
        return Ok(Cow::Borrowed(object));
    }
    let mut stripped = ObjectWriter::with_capacity(object.len());
    for member in members(object) {
        let member = member?;
        if member.key != FIELD && !member.key.starts_with("_miroir.") {
            stripped.push_text(member.text);
        }
    }
    Ok(Cow::Owned(stripped.finish()))
}

/// Fast and never wrong in saying no: the key stands there as it is, or with an escape.
fn may_name_marker(json: &str) -> bool {
    memchr::memmem::find(json.as_bytes(), b"_miroir").is_some()
        || memchr::memmem::find(json.as_bytes(), b"\\u00").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_distinct_and_read_back() {
        for shard_count in [1, 2, 64, 256, 257, 4096] {
            let mut seen = std::collections::HashSet::new();
            for shard in (0..shard_count).map(ShardId) {
                let text = marker(shard, shard_count);
                assert_eq!(text.chars().count(), if shard_count > 256 { 3 } else { 2 });
                assert_eq!(parse(&text, shard_count), Some(shard));
                assert!(seen.insert(text));
            }
        }
        assert_eq!(marker(ShardId(0x1F), 64), "\u{2E01}\u{2E18}");
    }

    #[test]
    fn what_is_no_marker_is_not_read() {
        let two = marker(ShardId(3), 64);
        assert_eq!(parse(&marker(ShardId(70), 256), 64), None, "beyond the count");
        for text in ["", "a", "00", &two[..3], &format!("{two}{two}")] {
            assert_eq!(parse(text, 64), None, "{text:?}");
        }
        assert_eq!(parse(&two, 4096), None);
    }

    #[test]
    fn filter_names_every_shard() {
        let expected = format!("_miroir IN [\"{}\",\"{}\"]", marker(ShardId(1), 64), marker(ShardId(9), 64));
        assert_eq!(filter_text(&[ShardId(1), ShardId(9)], 64), expected);
    }

    #[test]
    fn strip_takes_the_field_from_everywhere_a_client_could_see_it() {
        for (object, expected) in [
            (r#"{"id":1}"#, r#"{"id":1}"#),
            (r#"{"_miroir":"x","id":1}"#, r#"{"id":1}"#),
            (r#"{"id":1,"_miroir":"x"}"#, r#"{"id":1}"#),
            (r#"{ "id" : 1 , "_miroir" : "x" , "b" : [ 1 ] }"#, r#"{"id" : 1,"b" : [ 1 ]}"#),
            (r#"{"_miroir":"x"}"#, "{}"),
            (r#"{"_\u006diroir":"x","id":1}"#, r#"{"id":1}"#),
            (r#"{"_miroir":1,"a":2,"_miroir":3}"#, r#"{"a":2}"#),
            (
                r#"{"a":"é","_formatted":{"a":"é","_miroir":"x"},"_matchesPosition":{"_miroir":[],"a":[]}}"#,
                r#"{"a":"é","_formatted":{"a":"é"},"_matchesPosition":{"a":[]}}"#,
            ),
            (r#"{"nested":{"_miroir":"theirs"},"_miroir":"x"}"#, r#"{"nested":{"_miroir":"theirs"}}"#),
            (r#"{"text":"say _miroir","_formatted":"_miroir"}"#, r#"{"text":"say _miroir","_formatted":"_miroir"}"#),
        ] {
            assert_eq!(strip(object).as_deref(), Ok(expected), "{object}");
        }
        assert!(strip("[\"_miroir\"]").is_err());
    }

    #[test]
    fn reserved_names_include_paths() {
        assert!(is_reserved("_miroir") && is_reserved("_miroir.a"));
        assert!(!is_reserved("_miroirs") && !is_reserved("a._miroir"));
    }
}
