//! What a stored document comes to, so that replicas can be compared without sending them.
//!
//! Two nodes give the same document with different key order, and never the bytes that were put. So the content is the
//! hash of a canonical text (golden vectors: `digest/golden.txt`):
//!
//! * Objects have their keys sorted, at every depth; arrays keep their order; no white space.
//! * Integers from `i64::MIN` to `u64::MAX` stay integers, whatever else is a number is a float: a node gives back `1`
//!   and `1.0` as they came, hence they differ, while `1.0` and `1e0` are one, as are `-0` and `-0.0`.
//! * Floats are [`settled`]: a node reads some of them not quite exactly, so that a copy has a neighbour of the number
//!   that its source has.
//! * The marker field is left out: it follows from the id.
//! * In `_vectors` numbers are 32-bit floats, as a node keeps them; an embedder whose vectors the nodes make themselves
//!   (`regenerate: true`) is left out, and the whole field when nothing is left of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_128;

use super::marker;
use super::primary_key::id_in;
use super::shard_hash::id_hash;

/// Where vectors are.
const VECTORS: &str = "_vectors";
/// Far more steps than numbers of usual size take: one.
const SETTLING_STEPS_MAX: usize = 64;

/// No digest can be made.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum DigestError {
    /// The text is no JSON object.
    #[error("not a JSON object: {0}")]
    Malformed(String),
    /// It has no id by the primary key, or several.
    #[error("no single valid id by `{primary_key}`")]
    NoId {
        /// The one that was looked for.
        primary_key: String,
    },
}

/// XXH3-128 of the canonical text of a document.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ContentHash {
    high: u64,
    low: u64,
}

impl ContentHash {
    fn of(canonical: &str) -> Self {
        let hash = xxh3_128(canonical.as_bytes());
        Self { high: (hash >> 64) as u64, low: hash as u64 }
    }

    /// As one number.
    pub fn value(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }
}

/// One document. 24 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DocumentDigest {
    /// XXH3-64 of the canonical id, as in the sections of payloads.
    pub id_hash: u64,
    /// Of everything in it.
    pub content: ContentHash,
}

/// The digest of a document as a node gives it.
///
/// # Errors
/// No JSON object, or no single id.
pub fn document_digest(document: &str, primary_key: &str) -> Result<DocumentDigest, DigestError> {
    Ok(stored_digest(document, primary_key)?.0)
}

/// The same, and the document's marker if that is a text.
///
/// # Errors
/// No JSON object, or no single id.
pub fn stored_digest(document: &str, primary_key: &str) -> Result<(DocumentDigest, Option<String>), DigestError> {
    let (text, marker) = canonical(document)?;
    let content = ContentHash::of(&text);
    let id = id_in(primary_key, document).map_err(|_| DigestError::NoId { primary_key: primary_key.to_owned() })?;
    Ok((DocumentDigest { id_hash: id_hash(&id), content }, marker))
}

/// The content alone, whatever the id.
///
/// # Errors
/// No JSON object.
pub fn content_hash(document: &str) -> Result<ContentHash, DigestError> {
    Ok(ContentHash::of(&canonical(document)?.0))
}

/// With the marker.
fn canonical(document: &str) -> Result<(String, Option<String>), DigestError> {
    let mut fields: Map<String, Value> =
        serde_json::from_str(document).map_err(|error| DigestError::Malformed(error.to_string()))?;
    let marker = fields.shift_remove(marker::FIELD).and_then(|marker| marker.as_str().map(str::to_owned));
    let vectors = fields.shift_remove(VECTORS).and_then(compared_vectors);
    let mut text = String::with_capacity(document.len());
    write_object(&mut text, &fields, vectors.as_ref());
    Ok((text, marker))
}

/// What is left of the vectors of a document, if anything.
fn compared_vectors(vectors: Value) -> Option<Value> {
    let Value::Object(mut embedders) = vectors else { return Some(vectors) };
    embedders.retain(|_, embedder| match embedder {
        Value::Object(embedder) => embedder.get("regenerate") == Some(&Value::Bool(false)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => true,
    });
    (!embedders.is_empty()).then_some(Value::Object(embedders))
}

/// How numbers are written.
#[derive(Clone, Copy)]
enum Numbers {
    Settled,
    Single,
}

fn write_object(text: &mut String, fields: &Map<String, Value>, vectors: Option<&Value>) {
    let mut sorted: BTreeMap<&str, (&Value, Numbers)> =
        fields.iter().map(|(key, value)| (key.as_str(), (value, Numbers::Settled))).collect();
    sorted.extend(vectors.map(|vectors| (VECTORS, (vectors, Numbers::Single))));
    write_members(text, sorted.into_iter());
}

fn write_members<'a>(text: &mut String, members: impl Iterator<Item = (&'a str, (&'a Value, Numbers))>) {
    text.push('{');
    for (place, (key, (value, numbers))) in members.enumerate() {
        if place > 0 {
            text.push(',');
        }
        write_string(text, key);
        text.push(':');
        write_value(text, value, numbers);
    }
    text.push('}');
}

fn write_value(text: &mut String, value: &Value, numbers: Numbers) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => write_number(text, number, numbers),
        Value::String(string) => write_string(text, string),
        Value::Array(elements) => {
            text.push('[');
            for (place, element) in elements.iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                write_value(text, element, numbers);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<(&str, (&Value, Numbers))> =
                fields.iter().map(|(key, value)| (key.as_str(), (value, numbers))).collect();
            sorted.sort_unstable_by_key(|(key, _)| *key);
            write_members(text, sorted.into_iter());
        }
    }
}

fn write_string(text: &mut String, string: &str) {
    text.push_str(&serde_json::to_string(string).expect("a string is always valid JSON"));
}

fn write_number(text: &mut String, number: &serde_json::Number, numbers: Numbers) {
    let write = match (numbers, number.as_f64()) {
        (Numbers::Single, Some(float)) => write!(text, "{:?}", float as f32),
        (Numbers::Settled, Some(float)) if number.is_f64() => write!(text, "{:?}", settled(float)),
        (Numbers::Settled | Numbers::Single, _) => write!(text, "{number}"),
    };
    write.expect("writing to a text cannot fail");
}

/// Where a float ends up that is copied from node to node again and again.
///
/// A node writes the shortest text of a float and reads texts with the usual, not quite exact method (`serde_json` without
/// `float_roundtrip`, which is used here too): about one float of ten changes by its last bit when it is put first. What
/// a node has of usual size is stable from then on; very large and very small numbers may change with further copies
/// before they settle, or alternate between a few: then the least of these stands for all.
fn settled(float: f64) -> f64 {
    let mut seen = vec![float];
    while seen.len() < SETTLING_STEPS_MAX {
        let next = copied(seen[seen.len() - 1]);
        if let Some(first) = seen.iter().position(|number| number.to_bits() == next.to_bits()) {
            return seen[first..].iter().copied().min_by(f64::total_cmp).unwrap_or(next);
        }
        seen.push(next);
    }
    seen[seen.len() - 1]
}

/// As a node gives it that was given this.
fn copied(float: f64) -> f64 {
    let text = serde_json::to_string(&float).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(float)
}

/// The documents of one shard of one index on one node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ShardDigest {
    /// Sorted.
    documents: Vec<DocumentDigest>,
}

/// A document that two nodes do not have alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Which.
    pub id_hash: u64,
    /// None: the first node does not have it.
    pub first: Option<ContentHash>,
    /// None: the second node does not have it.
    pub second: Option<ContentHash>,
}

impl ShardDigest {
    /// Documents.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }
}

impl FromIterator<DocumentDigest> for ShardDigest {
    fn from_iter<T: IntoIterator<Item = DocumentDigest>>(documents: T) -> Self {
        let mut documents: Vec<DocumentDigest> = documents.into_iter().collect();
        documents.sort_unstable();
        Self { documents }
    }
}

/// What differs, by id hash. Two documents with the same id hash in one shard are told apart by their contents.
pub fn differences(first: &ShardDigest, second: &ShardDigest) -> Vec<Difference> {
    let mut found = Vec::new();
    let (mut left, mut right) = (&first.documents[..], &second.documents[..]);
    loop {
        match (left.split_first(), right.split_first()) {
            (Some((a, left_rest)), Some((b, right_rest))) if a.id_hash == b.id_hash => {
                if a.content != b.content {
                    let (first, second) = (Some(a.content), Some(b.content));
                    found.push(Difference { id_hash: a.id_hash, first, second });
                }
                (left, right) = (left_rest, right_rest);
            }
            (Some((a, rest)), b) if b.is_none_or(|(b, _)| a.id_hash < b.id_hash) => {
                found.push(Difference { id_hash: a.id_hash, first: Some(a.content), second: None });
                left = rest;
            }
            (_, Some((b, rest))) => {
                found.push(Difference { id_hash: b.id_hash, first: None, second: Some(b.content) });
                right = rest;
            }
            (_, None) => return found,
        }
    }
}

#[cfg(test)]
mod tests;
