//! The primary key of an index: inferring it from the first document, and finding a document's id by it.
//!
//! The rules are Meilisearch's. Inference takes the one top-level key that ends in `id`, whatever its case. A key with
//! dots (`a.id`) matches a nested field, a flat field of that name, and everything in between; two matches are too many.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::document_check::DocumentError;
use super::document_id::canonical_id;
use crate::meili::formats::Field;

/// The primary key that one server would infer from its first document.
///
/// # Errors
/// No candidate, or several.
pub fn infer(first_document: &[Field<'_>]) -> Result<String, DocumentError> {
    let mut candidates: Vec<&str> = first_document
        .iter()
        .map(|field| field.key.as_ref())
        .filter(|key| key.to_lowercase().ends_with("id"))
        .collect();
    candidates.sort_unstable();
    candidates.dedup();
    match candidates[..] {
        [] => Err(DocumentError::NoPrimaryKeyCandidate),
        [only] => Ok(only.to_owned()),
        [first, second, ..] => Err(DocumentError::SeveralPrimaryKeyCandidates {
            count: candidates.len(),
            first: first.to_owned(),
            second: second.to_owned(),
        }),
    }
}

/// The ways in which a path can lie in a document: its first key and what is left of the path behind it.
fn splits(path: &str) -> impl Iterator<Item = (&str, &str)> {
    path.match_indices('.').map(|(at, _)| (&path[..at], &path[at + 1..])).chain(std::iter::once((path, "")))
}

/// Whether this top-level key can hold the id.
pub fn concerns(primary_key: &str, key: &str) -> bool {
    match primary_key.strip_prefix(key) {
        // A server matches no empty key.
        Some(rest) => !key.is_empty() && (rest.is_empty() || rest.starts_with('.')),
        None => false,
    }
}

/// The canonical id of a document with these fields. `document` is the whole, for messages.
///
/// # Errors
/// Missing, invalid or several ids.
pub fn document_id<'a>(
    primary_key: &str,
    fields: &[Field<'a>],
    document: &'a str,
) -> Result<Cow<'a, str>, DocumentError> {
    let mut found = None;
    for field in fields.iter().filter(|field| concerns(primary_key, &field.key)) {
        let rest = primary_key[field.key.len()..].strip_prefix('.').unwrap_or_default();
        match_value(field.value, rest, &mut found).map_err(|mismatch| mismatch.into_error(primary_key, document))?;
    }
    found.ok_or_else(|| DocumentError::missing_id(primary_key, document))
}

/// The canonical id of a document as a text.
///
/// # Errors
/// Missing, invalid or several ids; a text that is no object has none.
pub fn id_in<'a>(primary_key: &str, document: &'a str) -> Result<Cow<'a, str>, DocumentError> {
    let mut found = None;
    match_value(document, primary_key, &mut found).map_err(|mismatch| mismatch.into_error(primary_key, document))?;
    found.ok_or_else(|| DocumentError::missing_id(primary_key, document))
}

enum Mismatch {
    InvalidId(String),
    TooMany,
}

impl Mismatch {
    fn into_error(self, primary_key: &str, document: &str) -> DocumentError {
        match self {
            Self::InvalidId(value) => DocumentError::invalid_id(&value),
            Self::TooMany => DocumentError::too_many_ids(primary_key, document),
        }
    }
}

fn match_value<'a>(value: &'a str, rest: &str, found: &mut Option<Cow<'a, str>>) -> Result<(), Mismatch> {
    if rest.is_empty() {
        let id = canonical_id(value).map_err(|_| Mismatch::InvalidId(value.to_owned()))?;
        return if found.replace(id).is_some() { Err(Mismatch::TooMany) } else { Ok(()) };
    }
    // What is no object cannot hold the rest of the path: not an error, the id is elsewhere or missing.
    let mut members = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_str(value);
    if deserializer.deserialize_map(Members(&mut members)).is_err() {
        return Ok(());
    }
    for (key, member) in members {
        if let Some((_, rest)) = splits(rest).find(|(first, _)| *first == key.as_ref()) {
            match_value(member.get(), rest, found)?;
        }
    }
    Ok(())
}

struct Members<'v, 'a>(&'v mut Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Visitor<'a> for Members<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(member) = map.next_entry::<Cow<'a, str>, &'a RawValue>()? {
            self.0.push(member);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meili::formats::{DocumentFormat, DocumentReader};

    fn with_fields<T>(document: &str, use_fields: impl FnOnce(&[Field<'_>]) -> T) -> T {
        let mut fields = Vec::new();
        let mut reader = DocumentReader::new(document.as_bytes(), DocumentFormat::Json).expect("not empty");
        reader.next_document(&mut fields).expect("valid JSON");
        use_fields(&fields)
    }

    #[test]
    fn the_one_key_that_ends_in_id_is_taken() {
        for (document, expected) in [
            (r#"{"id":1,"name":2}"#, Ok("id")),
            (r#"{"movie_ID":1,"idle":2}"#, Ok("movie_ID")),
            (r#"{"\u0069d":1,"id":2}"#, Ok("id")),
            (r#"{"name":1}"#, Err("index_primary_key_no_candidate_found")),
            (r"{}", Err("index_primary_key_no_candidate_found")),
            (r#"{"id":1,"aid":2,"Bid":3}"#, Err("index_primary_key_multiple_candidates_found")),
        ] {
            let inferred = with_fields(document, infer).map_err(|error| error.api_error("i").code.name());
            assert_eq!(inferred.as_deref().map_err(|code| *code), expected, "{document}");
        }
    }

    #[test]
    fn several_candidates_are_named_in_byte_order() {
        let error = with_fields(r#"{"id":1,"movie_ID":1,"aid":2}"#, infer).expect_err("three");
        assert_eq!(
            error.api_error("i").message,
            "The primary key inference failed as the engine found 3 fields ending with `id` in their names: 'aid' and 'id'. \
             Please specify the primary key manually using the `primaryKey` query parameter."
        );
    }

    #[test]
    fn ids_are_found_as_one_server_finds_them() {
        for (primary_key, document, expected) in [
            ("id", r#"{"id":"a-1"}"#, Ok("a-1")),
            ("id", r#"{"x":1}"#, Err("missing_document_id")),
            ("id", r#"{"id":null}"#, Err("invalid_document_id")),
            ("id", r#"{"id":1,"id":2}"#, Err("invalid_document_id")),
            ("a.id", r#"{"a":{"id":7}}"#, Ok("7")),
            ("a.id", r#"{"a.id":7}"#, Ok("7")),
            ("a.id", r#"{"a.id":1,"a":{"id":2}}"#, Err("invalid_document_id")),
            ("a.id", r#"{"a":{"id":1,"id":3}}"#, Err("invalid_document_id")),
            ("a.id", r#"{"a":5}"#, Err("missing_document_id")),
            ("a.id", r#"{"a":[{"id":1}]}"#, Err("missing_document_id")),
            ("a.id", r#"{"a":{"id":{"x":1}}}"#, Err("invalid_document_id")),
            ("a.b.c", r#"{"a.b":{"c":1}}"#, Ok("1")),
            ("a.b.c", r#"{"a":{"b.c":1}}"#, Ok("1")),
            ("", r#"{"":1}"#, Err("missing_document_id")),
        ] {
            let id = with_fields(document, |fields| {
                document_id(primary_key, fields, document)
                    .map(Cow::into_owned)
                    .map_err(|error| error.api_error("i").code.name())
            });
            assert_eq!(id.as_deref().map_err(|code| *code), expected, "{primary_key} in {document}");
        }
    }
}
