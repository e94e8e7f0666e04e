//! All documents of some shards of an index on one node: in parts to be put on another node, or as digests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::chunks::Chunk;
use super::node_client::{FetchedDocuments, NodeClient, NodeError};
use crate::logic::digest::{DocumentDigest, ShardDigest, stored_digest};
use crate::logic::id_list::IdList;
use crate::logic::ids::{NodeIndexUid, ShardId};
use crate::logic::json::{Malformed, ObjectWriter, members};
use crate::logic::marker;
use crate::logic::primary_key::id_in;
use crate::logic::shard_hash::{id_hash, shard_of_hash};

/// Documents asked for with one request, at most.
const IDS_AT_ONCE: usize = 1_000;
/// With the first request, which tells how long documents are.
const IDS_AT_FIRST: usize = 16;
/// An answer is to be about so long. Bytes.
const ANSWER_BYTES: usize = 16 << 20;
/// For one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the documents cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The node did not answer as it should.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A document that is none.
    #[error("a node gave a document that cannot be read: {0}")]
    Document(String),
    /// It gave fewer documents than it had listed a moment before.
    #[error("{got} documents came of {listed} that were listed")]
    Missing {
        /// That came.
        got: usize,
        /// That were listed.
        listed: usize,
    },
    /// Nobody wants them any more.
    #[error("given up")]
    Unwanted,
}

/// What shards hold on a node.
#[derive(Debug, Default)]
pub(super) struct Digests {
    /// By marker.
    pub shards: BTreeMap<ShardId, ShardDigest>,
    /// Documents, by the hash of their id, with the marker of another shard than their own.
    pub misplaced: BTreeSet<u64>,
}

/// Documents of a shard, or without a marker, where they do not belong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Strays {
    pub shard: Option<ShardId>,
    pub documents: u64,
    /// The first of them.
    pub ids: Vec<String>,
}

/// Which documents, and where.
pub(super) struct ShardReader<'a> {
    pub client: &'a NodeClient,
    pub index: &'a NodeIndexUid,
    pub primary_key: &'a str,
    /// Ascending.
    pub shards: &'a [ShardId],
    /// Of all.
    pub shard_count: u16,
    /// A part is never made longer than this, if it can be cut. Bytes.
    pub part_max: usize,
}

impl ShardReader<'_> {
    /// Gives the documents part by part, each as lines for a put; stops when `take` says no. Returns how many parts.
    pub(super) fn copy(&self, mut take: impl FnMut(u32, Chunk) -> bool) -> Result<u32, ReadError> {
        let mut parts = 0;
        let (mut part, mut documents): (Vec<u8>, u32) = (Vec::new(), 0);
        let mut close = |part: &mut Vec<u8>, documents: &mut u32| {
            let chunk = Chunk { bytes: Bytes::from(std::mem::take(part)), documents: std::mem::take(documents) };
            parts += 1;
            if take(parts - 1, chunk) { Ok(()) } else { Err(ReadError::Unwanted) }
        };
        self.each(|document| {
            let line = line(document).map_err(|error| ReadError::Document(error.to_string()))?;
            if documents > 0 && part.len() + line.len() > self.part_max {
                close(&mut part, &mut documents)?;
            }
            part.extend_from_slice(line.as_bytes());
            part.push(b'\n');
            documents += 1;
            Ok(())
        })?;
        if documents > 0 {
            close(&mut part, &mut documents)?;
        }
        Ok(parts)
    }

    /// What each shard holds.
    pub(super) fn digests(&self) -> Result<Digests, ReadError> {
        let mut found: BTreeMap<ShardId, Vec<DocumentDigest>> = BTreeMap::new();
        let mut misplaced = BTreeSet::new();
        self.each(|document| {
            let digest = stored_digest(document, self.primary_key);
            let (digest, marker) = digest.map_err(|error| ReadError::Document(error.to_string()))?;
            let own = shard_of_hash(digest.id_hash, self.shard_count);
            let marked = marker.and_then(|marker| marker::parse(&marker, self.shard_count)).unwrap_or(own);
            if marked != own {
                misplaced.insert(digest.id_hash);
            }
            found.entry(marked).or_default().push(digest);
            Ok(())
        })?;
        let shards = found.into_iter().map(|(shard, documents)| (shard, documents.into_iter().collect()));
        Ok(Digests { shards: shards.collect(), misplaced })
    }

    /// The ids with these hashes, as far as they are there.
    pub(super) fn named(&self, hashes: &BTreeSet<u64>) -> Result<Vec<String>, ReadError> {
        let ids = self.ids()?;
        let wanted = ids.range(0..ids.len()).filter(|id| hashes.contains(&id_hash(id)));
        Ok(wanted.map(str::to_owned).collect())
    }

    /// What there is of the shards, and without a valid marker of any: documents that do not belong there.
    pub(super) fn strays(&self) -> Result<Vec<Strays>, ReadError> {
        let mut found = Vec::new();
        let mut left = self.shards.to_vec();
        while !left.is_empty() {
            let first = self.first_of(&marker::filter_text(&left, self.shard_count))?;
            let markers = first.results.iter().filter_map(|document| document[marker::FIELD].as_str());
            let mut shards: Vec<ShardId> =
                markers.filter_map(|marker| marker::parse(marker, self.shard_count)).collect();
            shards.retain(|shard| left.contains(shard));
            shards.sort_unstable();
            shards.dedup();
            left.retain(|shard| !shards.contains(shard));
            if shards.is_empty() {
                break;
            }
            for shard in shards {
                let of_shard = self.first_of(&marker::filter_text(&[shard], self.shard_count))?;
                found.push(self.strays_of(Some(shard), &of_shard));
            }
        }
        let unmarked = self.first_of(&marker::unmarked_filter_text(self.shard_count))?;
        found.push(self.strays_of(None, &unmarked));
        found.retain(|strays| strays.documents > 0);
        Ok(found)
    }

    fn strays_of(&self, shard: Option<ShardId>, found: &FetchedDocuments) -> Strays {
        let texts = found.results.iter().map(|fields| serde_json::Value::Object(fields.clone()).to_string());
        let ids = texts.filter_map(|text| id_in(self.primary_key, &text).ok().map(|id| id.to_string()));
        Strays { shard, documents: found.total, ids: ids.collect() }
    }

    fn first_of(&self, filter: &str) -> Result<FetchedDocuments, ReadError> {
        let fields = [self.primary_key, marker::FIELD];
        let places = 0..IDS_AT_ONCE as u64;
        Ok(self.client.fetch_documents(self.index, Some(&json!(filter)), &fields, places, ANSWER_TIMEOUT)?)
    }

    /// Gives all documents as they are stored, as long as it takes them.
    pub(super) fn each(&self, take: impl FnMut(&str) -> Result<(), ReadError>) -> Result<(), ReadError> {
        self.each_of(&self.ids()?, take)
    }

    /// The same of these documents, which are there.
    pub(super) fn each_of(
        &self,
        ids: &IdList,
        mut take: impl FnMut(&str) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let (mut first, mut at_once) = (0, IDS_AT_FIRST);
        while first < ids.len() {
            let range = first..ids.len().min(first + at_once);
            let listed = range.len();
            let documents = match self.client.fetch_stored(self.index, ids.range(range), ANSWER_TIMEOUT) {
                Err(NodeError::TooLong(_)) if listed > 1 => {
                    at_once = listed / 2;
                    continue;
                }
                documents => documents?,
            };
            // The node stands still: all that it has listed is there.
            if documents.len() != listed {
                return Err(ReadError::Missing { got: documents.len(), listed });
            }
            documents.iter().try_for_each(|document| take(document.get()))?;
            first += listed;
            at_once = next_at_once(listed, documents.iter().map(|document| document.get().len()).sum());
        }
        Ok(())
    }

    fn ids(&self) -> Result<IdList, ReadError> {
        let filter = json!(marker::filter_text(self.shards, self.shard_count));
        Ok(self.client.fetch_ids(self.index, &filter, self.primary_key, ANSWER_TIMEOUT)?)
    }
}

/// How many documents are asked for after so many came that have so many bytes.
fn next_at_once(count: usize, bytes: usize) -> usize {
    let fit = ANSWER_BYTES.saturating_mul(count) / bytes.max(1);
    fit.clamp(1, IDS_AT_ONCE)
}

/// A document as it is put: without vectors if it has none, which a node would refuse in an index without embedders.
fn line(document: &str) -> Result<String, Malformed> {
    let mut line = ObjectWriter::with_capacity(document.len());
    for member in members(document) {
        let member = member?;
        let is_empty = |text: &str| text.bytes().filter(|byte| !byte.is_ascii_whitespace()).eq(*b"{}");
        if member.key != "_vectors" || !is_empty(member.value.text) {
            line.push_text(member.text);
        }
    }
    Ok(line.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_long_documents_are_asked_for_at_once() {
        const MIB: usize = 1 << 20;
        for (count, bytes, next) in
            [(16, 16 * 500, 1_000), (16, 16 * MIB, 16), (1_000, 4 * MIB, 1_000), (16, 160 * MIB, 1), (16, 400 * MIB, 1)]
        {
            assert_eq!(next_at_once(count, bytes), next, "{count} documents, {bytes} bytes");
        }
        assert_eq!(next_at_once(1, 0), IDS_AT_ONCE);
    }

    #[test]
    fn empty_vectors_are_left_out_and_all_else_stays_as_it_is() {
        let kept = r#"{"_miroir":"a","id":1,"text":"\"_vectors\":{}","_vectors":{"e":{"embeddings":[[0.5]]}}}"#;
        assert_eq!(line(kept).unwrap(), kept);
        assert_eq!(line(r#"{"id":1, "_vectors" : { },"b":[ 1 ]}"#).unwrap(), r#"{"id":1,"b":[ 1 ]}"#);
    }
}
