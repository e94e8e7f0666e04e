//! Cutting a request's documents or ids by shard, by slicing bytes.
//!
//! Documents go in one by one ([`DocumentSplitter::push`]); what comes out is a [`Payload`] whose lines are the client's
//! own bytes behind the marker, line breaks between tokens turned into spaces. Work is done in steps, so that a large body
//! does not hold up other requests: the caller gives way between pushes, and [`Assembly::step`] joins shard by shard.
//!
//! Rules that are easy to miss:
//! * All lines of an id are kept, in order: a node applies them as one server does, and they are in one shard, hence in
//!   one chunk, so the verdict is the same everywhere. The id's hash is listed once.
//! * Of duplicate keys the last one counts. Nodes do that themselves, except for the keys that can hold the id: such a
//!   document is written anew. (In NDJSON one server refuses it as having several ids, and so do we.)
//! * `_miroir` as a top-level key refuses the request. Every other bad document makes the *entry* fail: splitting goes
//!   on, since what follows must still be well-formed, but nothing is kept.
//! * A bad `_vectors` does not matter if a later line of the same id hides it.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use bytes::Bytes;

use super::document_check::{DocumentError, FIELDS_MAX, check_readable, check_vectors};
use super::entry::PutMode;
use super::ids::ShardId;
use super::marker;
use super::payload::{Payload, Section};
use super::primary_key;
use super::shard_hash::{id_hash, shard_of_hash};
use crate::meili::formats::Field;

/// A top-level key of a document is Miroir's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("The field `_miroir` is reserved and cannot be part of a document.")]
pub struct ReservedField;

/// By what rules to split.
#[derive(Clone, Debug)]
pub struct SplitRules {
    /// Shards of the cluster.
    pub shard_count: u16,
    /// For what hides what.
    pub mode: PutMode,
    /// Of the index or of the request; none: infer it from the first document.
    pub primary_key: Option<String>,
    /// Keys that occur twice are merged before the id is looked for (JSON), or not (NDJSON, CSV).
    pub merges_duplicate_keys: bool,
}

/// XXH3 values need no further hashing.
#[derive(Default)]
struct HashIsKey(u64);

impl Hasher for HashIsKey {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("only u64 keys are hashed");
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

type ByHash = BuildHasherDefault<HashIsKey>;

/// What one shard gets, as it comes. Appending here and joining at the end reads the body once and in order; gathering the
/// lines at the end instead would read it in random order (measured: a third slower for documents of 100 bytes).
#[derive(Default)]
struct ShardBuffer {
    /// Lines.
    bytes: Vec<u8>,
    /// One a line, repeats included.
    id_hashes: Vec<u64>,
}

/// A bad field that a later line of the same id may hide.
struct Suspect {
    order: u64,
    error: DocumentError,
}

/// See the module.
pub struct DocumentSplitter {
    rules: SplitRules,
    received: u64,
    /// By shard.
    buffers: Vec<ShardBuffer>,
    /// By shard: the marker as a member.
    members: Vec<String>,
    bad_vectors: HashMap<u64, Suspect, ByHash>,
    rejection: Option<DocumentError>,
    bytes: usize,
}

impl DocumentSplitter {
    /// Nothing split yet.
    pub fn new(rules: SplitRules) -> Self {
        let shard_count = rules.shard_count;
        Self {
            rules,
            received: 0,
            buffers: (0..shard_count).map(|_| ShardBuffer::default()).collect(),
            members: (0..shard_count).map(|shard| marker::first_member(ShardId(shard), shard_count)).collect(),
            bad_vectors: HashMap::default(),
            rejection: None,
            bytes: 0,
        }
    }

    /// Bytes of what was split so far, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the next document with its top-level fields; `fields` may be changed.
    ///
    /// # Errors
    /// The request is to be refused.
    pub fn push(&mut self, document: &str, fields: &mut Vec<Field<'_>>) -> Result<(), ReservedField> {
        if fields.iter().any(|field| marker::is_reserved(&field.key)) {
            return Err(ReservedField);
        }
        self.received += 1;
        if self.rejection.is_none()
            && let Err(error) = self.take(document, fields)
        {
            self.rejection = Some(error);
            self.buffers = Vec::new();
        }
        Ok(())
    }

    fn take(&mut self, document: &str, fields: &mut Vec<Field<'_>>) -> Result<(), DocumentError> {
        if fields.len() > FIELDS_MAX {
            return Err(DocumentError::TooManyFields);
        }
        if self.rules.primary_key.is_none() {
            self.rules.primary_key = Some(primary_key::infer(fields)?);
        }
        let primary_key = self.rules.primary_key.as_deref().unwrap_or_default();
        let rewritten = (self.rules.merges_duplicate_keys && has_duplicate_id_keys(primary_key, fields)).then(|| {
            merge_duplicate_keys(fields);
            written(fields)
        });
        let id = primary_key::document_id(primary_key, fields, document)?;
        check_readable(document, fields)?;
        let hash = id_hash(&id);
        self.check_fields(&id, hash, fields);
        let place = usize::from(shard_of_hash(hash, self.rules.shard_count).0);
        let buffer = &mut self.buffers[place];
        let before = buffer.bytes.len();
        append_line(&mut buffer.bytes, &self.members[place], rewritten.as_deref().unwrap_or(document));
        buffer.id_hashes.push(hash);
        self.bytes += buffer.bytes.len() - before + size_of::<u64>();
        Ok(())
    }

    fn check_fields(&mut self, id: &str, hash: u64, fields: &[Field<'_>]) {
        let order = self.received;
        let last = fields.iter().rev().find(|field| field.key == "_vectors").map(|field| field.value);
        let hides_all = self.rules.mode == PutMode::Replace;
        note(&mut self.bad_vectors, (hash, order), hides_all, last.map(|json| check_vectors(id, json)));
    }

    /// No document follows.
    pub fn finish(mut self) -> SplitDocuments {
        if self.rejection.is_none() {
            let suspects = self.bad_vectors.into_values();
            self.rejection = suspects.min_by_key(|suspect| suspect.order).map(|suspect| suspect.error);
        }
        if self.rejection.is_some() {
            self.buffers = Vec::new();
        }
        SplitDocuments {
            received: self.received,
            primary_key: self.rules.primary_key,
            rejection: self.rejection,
            assembly: Assembly::new(self.buffers),
        }
    }
}

fn note(
    suspects: &mut HashMap<u64, Suspect, ByHash>,
    (hash, order): (u64, u64),
    hides_all: bool,
    checked: Option<Result<(), DocumentError>>,
) {
    match checked {
        Some(Err(error)) => {
            suspects.insert(hash, Suspect { order, error });
        }
        Some(Ok(())) => {
            suspects.remove(&hash);
        }
        None if hides_all => {
            suspects.remove(&hash);
        }
        None => {}
    }
}

fn has_duplicate_id_keys(primary_key: &str, fields: &[Field<'_>]) -> bool {
    let concerned = || fields.iter().filter(|field| primary_key::concerns(primary_key, &field.key));
    concerned().enumerate().any(|(place, field)| concerned().take(place).any(|earlier| earlier.key == field.key))
}

/// The last value of a key takes the place of the first.
fn merge_duplicate_keys(fields: &mut Vec<Field<'_>>) {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut merged: Vec<Field<'_>> = Vec::with_capacity(fields.len());
    for field in fields.drain(..) {
        if let Some(&place) = places.get(field.key.as_ref()) {
            merged[place].value = field.value;
        } else {
            places.insert(field.key.to_string(), merged.len());
            merged.push(field);
        }
    }
    *fields = merged;
}

fn written(fields: &[Field<'_>]) -> String {
    let mut text = String::from("{");
    for (place, field) in fields.iter().enumerate() {
        if place > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(&field.key).expect("a string can be serialized"));
        text.push(':');
        text.push_str(field.value);
    }
    text.push('}');
    text
}

/// What came out of a request's documents.
pub struct SplitDocuments {
    /// Documents in the request, duplicates counted.
    pub received: u64,
    /// Given or inferred; none when it was neither.
    pub primary_key: Option<String>,
    /// The entry fails with this; there is no payload then.
    pub rejection: Option<DocumentError>,
    /// The payload to be.
    pub assembly: Assembly,
}

/// Joins what the shards got.
pub struct Assembly {
    /// By shard; taken out one by one.
    buffers: Vec<ShardBuffer>,
    next: usize,
    sections: Vec<Section>,
    bytes: Vec<u8>,
}

impl Assembly {
    fn new(buffers: Vec<ShardBuffer>) -> Self {
        let total = buffers.iter().map(|buffer| buffer.bytes.len()).sum();
        Self { buffers, next: 0, sections: Vec::new(), bytes: Vec::with_capacity(total) }
    }

    /// Joins about so many bytes, whole shards at a time; true when all is joined.
    pub fn step(&mut self, bytes: usize) -> bool {
        let stop = self.bytes.len() + bytes;
        while self.bytes.len() < stop {
            let Some(buffer) = self.buffers.get_mut(self.next).map(std::mem::take) else { return true };
            if !buffer.bytes.is_empty() {
                let start = self.bytes.len() as u64;
                let length = buffer.bytes.len() as u64;
                self.bytes.extend_from_slice(&buffer.bytes);
                let id_hashes = without_repeats(buffer.id_hashes);
                self.sections.push(Section { shard: ShardId(self.next as u16), start, length, id_hashes });
            }
            self.next += 1;
        }
        false
    }

    /// The payload.
    ///
    /// # Panics
    /// If [`Self::step`] has not said that all is joined.
    pub fn into_payload(self) -> Payload {
        assert!(self.next == self.buffers.len(), "the payload is not complete");
        Payload { sections: self.sections, bytes: Bytes::from(self.bytes) }
    }
}

/// Each hash where it stands first.
fn without_repeats(mut hashes: Vec<u64>) -> Vec<u64> {
    let mut seen: HashSet<u64, ByHash> = HashSet::with_capacity_and_hasher(hashes.len(), ByHash::default());
    hashes.retain(|&hash| seen.insert(hash));
    hashes
}

/// Writes the document with the marker as its first member, on a line of its own.
fn append_line(bytes: &mut Vec<u8>, member: &str, document: &str) {
    bytes.push(b'{');
    bytes.extend_from_slice(member.as_bytes());
    let rest_start = bytes.len();
    bytes.extend_from_slice(&document.as_bytes()[1..]);
    // A raw line break lies between tokens only: within a string it would be written as an escape.
    let mut from = rest_start;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', &bytes[from..]) {
        bytes[from + at] = b' ';
        from += at + 1;
    }
    bytes.push(b'\n');
}

/// Cuts ids by shard, one after the other: canonical ids in, a deletion's payload out. Duplicates are dropped.
pub struct IdSplitter {
    seen: HashSet<u64, ByHash>,
    /// By shard: ids as JSON with commas between them.
    buffers: Vec<ShardBuffer>,
    bytes: usize,
}

impl IdSplitter {
    /// Nothing split yet.
    pub fn new(shard_count: u16) -> Self {
        let buffers = (0..shard_count).map(|_| ShardBuffer::default()).collect();
        Self { seen: HashSet::default(), buffers, bytes: 0 }
    }

    /// Bytes of what was split so far, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes one id.
    pub fn push(&mut self, id: &str) {
        let hash = id_hash(id);
        if !self.seen.insert(hash) {
            return;
        }
        let shard = shard_of_hash(hash, self.buffers.len() as u16);
        let buffer = &mut self.buffers[usize::from(shard.0)];
        if !buffer.bytes.is_empty() {
            buffer.bytes.push(b',');
        }
        serde_json::to_writer(&mut buffer.bytes, id).expect("writing to memory does not fail");
        buffer.id_hashes.push(hash);
        // Its hash is here twice.
        self.bytes += id.len() + 2 * size_of::<u64>();
    }

    /// All of them.
    pub fn finish(self) -> Payload {
        let mut sections = Vec::new();
        let mut bytes = Vec::with_capacity(self.buffers.iter().map(|buffer| buffer.bytes.len()).sum());
        for (buffer, shard) in self.buffers.into_iter().zip(0..).filter(|(buffer, _)| !buffer.bytes.is_empty()) {
            let (start, length) = (bytes.len() as u64, buffer.bytes.len() as u64);
            bytes.extend_from_slice(&buffer.bytes);
            sections.push(Section { shard: ShardId(shard), start, length, id_hashes: buffer.id_hashes });
        }
        Payload { sections, bytes: Bytes::from(bytes) }
    }
}

/// [`IdSplitter`] for ids that are all there.
pub fn split_ids<'a>(ids: impl IntoIterator<Item = &'a str>, shard_count: u16) -> Payload {
    let mut splitter = IdSplitter::new(shard_count);
    ids.into_iter().for_each(|id| splitter.push(id));
    splitter.finish()
}

#[cfg(test)]
mod tests;
