//! All documents of an index, or those that match, as dumps and exports have them.

use std::cell::RefCell;

use serde_json::{Value, json};

use super::{ResolveError, ResolveRequest, Resolver, Resolving};
use crate::control_plane::shard_reader::{ReadError, ShardReader};
use crate::dump::{DumpError, LinesWriter};
use crate::logic::id_list::IdList;
use crate::logic::json::{Malformed, ObjectWriter, members};
use crate::logic::marker;
use crate::logic::snapshot::CoverPart;
use crate::meili::error::ErrorBody;
use crate::meili::settings::Object;

/// After so many documents it is asked whether to stop.
const DOCUMENTS_PER_LOOK: u64 = 1_000;
/// Ids in memory at once, about.
const IDS_AT_ONCE: u64 = 1_000_000;

impl Resolver {
    /// Writes the documents of an index that match a filter, each from one replica in sync, and says how many, or why the
    /// filter is refused. Asks before each request whether to stop. What stands behind the lines that were there before is
    /// worth nothing after an error.
    pub fn read_all(
        &mut self,
        request: ResolveRequest<'_>,
        filter: Option<&Value>,
        stops: &dyn Fn() -> bool,
        lines: &mut LinesWriter,
    ) -> Result<Result<u64, ErrorBody>, ResolveError> {
        self.meet(request.fleet.nodes);
        let resolving = Resolving::new(self, request, stops);
        let fragmented = fragmented(request.settings);
        let lines = RefCell::new(lines);
        let read = |part: &CoverPart, filter: Option<&Value>| {
            resolving.read_part((part, filter), &fragmented, &mut lines.borrow_mut())
        };
        let counts = match filter {
            None => Ok(resolving.ask_all(|part, _: &[u64]| read(part, None))?),
            Some(filter) => resolving.ask_filtered(filter, |part, filter, _: &[u64]| read(part, Some(filter)))?,
        };
        Ok(counts.map(|counts| counts.into_iter().sum()))
    }
}

/// The documents of these shards that match, or all of them.
type Wanted<'a> = (&'a CoverPart, Option<&'a Value>);

impl Resolving<'_> {
    /// What a node does not give as a whole is asked of another one as a whole.
    fn read_part(&self, wanted: Wanted<'_>, fragmented: &[&str], lines: &mut LinesWriter) -> Result<u64, ResolveError> {
        let mark = lines.mark().map_err(|error| unwritable(&error))?;
        let read = self.copy_part(wanted, fragmented, lines);
        if read.is_err() {
            lines.go_back(mark).map_err(|error| unwritable(&error))?;
        }
        read
    }

    fn copy_part(
        &self,
        (part, filter): Wanted<'_>,
        fragmented: &[&str],
        lines: &mut LinesWriter,
    ) -> Result<u64, ResolveError> {
        // Before anything else: the filter is to be judged even if there are no documents.
        let found = filter.map(|filter| self.ids(part, filter)).transpose()?;
        // Without a primary key there are none.
        let Some(primary_key) = self.request.primary_key else { return Ok(0) };
        let node = self.id(part.node);
        let (.., client) = self.resolver.clients.get(&node).expect("every node of the request was met");
        let mut written = 0;
        let mut failure = None;
        let mut write = |document: &str| {
            if written % DOCUMENTS_PER_LOOK == 0 && (self.stops)() {
                return Err(ReadError::Unwanted);
            }
            let line = line(document, fragmented).map_err(|error| ReadError::Document(error.to_string()))?;
            written += 1;
            lines.push(&line).map_err(|error| {
                failure = Some(unwritable(&error));
                ReadError::Unwanted
            })
        };
        let reader = |shards| ShardReader {
            client,
            index: self.request.index,
            primary_key,
            shards,
            shard_count: self.shard_count(),
            part_max: 0,
        };
        let (total, read) = if let Some(found) = found {
            let mut lists = found.chunks(IDS_AT_ONCE as usize).map(id_list);
            (found.len() as u64, lists.try_for_each(|ids| reader(&part.shards).each_of(&ids, &mut write)))
        } else {
            let filter = json!(marker::filter_text(&part.shards, self.shard_count()));
            let total = self.fetch(part.node, (&filter, &[], 0..0))?.total;
            let groups = usize::try_from(total.div_ceil(IDS_AT_ONCE)).unwrap_or(usize::MAX).clamp(1, part.shards.len());
            let mut groups = part.shards.chunks(part.shards.len().div_ceil(groups));
            (total, groups.try_for_each(|shards| reader(shards).each(&mut write)))
        };
        read.map_err(|error| match (failure, error) {
            (Some(failure), _) => failure,
            (None, ReadError::Node(error)) => ResolveError::Node { node: node.clone(), error },
            (None, ReadError::Document(reason)) => ResolveError::Unreadable { node: node.clone(), reason },
            (None, ReadError::Missing { .. }) => ResolveError::Changed { node: node.clone() },
            (None, ReadError::Unwanted) => ResolveError::Stopping,
        })?;
        if written == total { Ok(written) } else { Err(ResolveError::Changed { node }) }
    }
}

fn id_list(ids: &[String]) -> IdList {
    let mut list = IdList::default();
    // A million of them has room: ids are at most 511 bytes long.
    ids.iter().all(|id| list.push(id).is_ok());
    list
}

fn unwritable(error: &DumpError) -> ResolveError {
    ResolveError::Unwritable(error.to_string())
}

/// Embedders that make vectors of fragments.
fn fragmented(settings: &Object) -> Vec<&str> {
    let embedders = settings.get("embedders").and_then(Value::as_object).into_iter().flatten();
    let has_fragments = |embedder: &Value| !embedder["indexingFragments"].is_null();
    embedders.filter(|(_, embedder)| has_fragments(embedder)).map(|(name, _)| name.as_str()).collect()
}

/// A document without the marker, and without vectors if it has none. Vectors of fragments are not made anew where the dump
/// is imported: one server says so in its dumps.
fn line(document: &str, fragmented: &[&str]) -> Result<String, Malformed> {
    let mut line = ObjectWriter::with_capacity(document.len());
    for member in members(document) {
        let member = member?;
        match member.key.as_ref() {
            marker::FIELD => {}
            "_vectors" if is_empty(member.value.text) => {}
            "_vectors" if !fragmented.is_empty() => {
                line.push("_vectors", &kept_vectors(member.value.text, fragmented)?);
            }
            _ => line.push_text(member.text),
        }
    }
    Ok(line.finish())
}

fn is_empty(object: &str) -> bool {
    object.bytes().filter(|byte| !byte.is_ascii_whitespace()).eq(*b"{}")
}

fn kept_vectors(vectors: &str, fragmented: &[&str]) -> Result<String, Malformed> {
    let mut kept = ObjectWriter::with_capacity(vectors.len());
    for embedder in members(vectors) {
        let embedder = embedder?;
        if !fragmented.contains(&embedder.key.as_ref()) {
            kept.push_text(embedder.text);
            continue;
        }
        let mut vector = ObjectWriter::with_capacity(embedder.value.text.len());
        for member in members(embedder.value.text) {
            let member = member?;
            let is_flag = member.key == "regenerate";
            if is_flag { vector.push("regenerate", "false") } else { vector.push_text(member.text) }
        }
        kept.push(&embedder.key, &vector.finish());
    }
    Ok(kept.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dumped_document_is_the_stored_one_without_what_only_nodes_know() {
        let stored = r#"{"_miroir":"a","id":1,"text":"\"_miroir\":1","_vectors":{},"b":{"_miroir":2}}"#;
        assert_eq!(line(stored, &[]).unwrap(), r#"{"id":1,"text":"\"_miroir\":1","b":{"_miroir":2}}"#);
        let stored = r#"{"id":1,"_vectors":{"a":{"embeddings":[[0.5]],"regenerate":true},"b":{"embeddings":[],"regenerate":true}}}"#;
        assert_eq!(line(stored, &[]).unwrap(), stored);
        let kept = r#"{"id":1,"_vectors":{"a":{"embeddings":[[0.5]],"regenerate":false},"b":{"embeddings":[],"regenerate":true}}}"#;
        assert_eq!(line(stored, &["a"]).unwrap(), kept);
    }

    #[test]
    fn embedders_with_fragments_are_known_by_their_settings() {
        let settings =
            json!({"embedders": {"a": {"indexingFragments": {"f": {}}}, "b": {"source": "rest"}, "c": null}});
        assert_eq!(fragmented(settings.as_object().unwrap()), ["a"]);
        assert!(fragmented(&Object::new()).is_empty());
    }
}
