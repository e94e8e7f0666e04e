//! All documents of an index, as a dump has them.

use std::cell::RefCell;

use serde_json::{Value, json};

use super::{ResolveError, ResolveRequest, Resolver, Resolving};
use crate::control_plane::shard_reader::{ReadError, ShardReader};
use crate::dump::{DumpError, LinesWriter};
use crate::logic::json::{Malformed, ObjectWriter, members};
use crate::logic::marker;
use crate::logic::snapshot::CoverPart;
use crate::meili::settings::Object;

/// After so many documents it is asked whether to stop.
const DOCUMENTS_PER_LOOK: u64 = 1_000;
/// Ids in memory at once, about.
const IDS_AT_ONCE: u64 = 1_000_000;

impl Resolver {
    /// Writes all documents of the index of a dump, each from one replica in sync. Asks before each request whether to stop.
    /// What stands behind the lines that were there before is worth nothing after an error.
    pub fn read_all(
        &mut self,
        request: ResolveRequest<'_>,
        stops: &dyn Fn() -> bool,
        lines: &mut LinesWriter,
    ) -> Result<(), ResolveError> {
        self.meet(request.fleet.nodes);
        let resolving = Resolving::new(self, request, stops);
        let fragmented = fragmented(request.settings);
        let lines = RefCell::new(lines);
        let read = |part: &CoverPart, _: &[()]| resolving.read_part(part, &fragmented, &mut lines.borrow_mut());
        resolving.ask_all(read).map(|_| ())
    }
}

impl Resolving<'_> {
    /// What a node does not give as a whole is asked of another one as a whole.
    fn read_part(&self, part: &CoverPart, fragmented: &[&str], lines: &mut LinesWriter) -> Result<(), ResolveError> {
        // Without a primary key there are no documents.
        let Some(primary_key) = self.request.primary_key else { return Ok(()) };
        let mark = lines.mark().map_err(|error| unwritable(&error))?;
        let read = self.copy_part(part, (primary_key, fragmented), lines);
        if read.is_err() {
            lines.go_back(mark).map_err(|error| unwritable(&error))?;
        }
        read
    }

    fn copy_part(
        &self,
        part: &CoverPart,
        (primary_key, fragmented): (&str, &[&str]),
        lines: &mut LinesWriter,
    ) -> Result<(), ResolveError> {
        let filter = json!(marker::filter_text(&part.shards, self.shard_count()));
        let total = self.fetch(part.node, (&filter, &[], 0..0))?.total;
        if total == 0 {
            return Ok(());
        }
        let node = self.id(part.node);
        let (.., client) = self.resolver.clients.get(&node).expect("every node of the request was met");
        let groups = usize::try_from(total.div_ceil(IDS_AT_ONCE)).unwrap_or(usize::MAX).min(part.shards.len());
        let mut written = 0;
        for shards in part.shards.chunks(part.shards.len().div_ceil(groups)) {
            let mut failure = None;
            let reader = ShardReader {
                client,
                index: self.request.index,
                primary_key,
                shards,
                shard_count: self.shard_count(),
                part_max: 0,
            };
            let read = reader.each(|document| {
                if written % DOCUMENTS_PER_LOOK == 0 && (self.stops)() {
                    return Err(ReadError::Unwanted);
                }
                let line = line(document, fragmented).map_err(|error| ReadError::Document(error.to_string()))?;
                written += 1;
                lines.push(&line).map_err(|error| {
                    failure = Some(unwritable(&error));
                    ReadError::Unwanted
                })
            });
            read.map_err(|error| match (failure, error) {
                (Some(failure), _) => failure,
                (None, ReadError::Node(error)) => ResolveError::Node { node: node.clone(), error },
                (None, ReadError::Document(reason)) => ResolveError::Unreadable { node: node.clone(), reason },
                (None, ReadError::Missing { .. }) => ResolveError::Changed { node: node.clone() },
                (None, ReadError::Unwanted) => ResolveError::Stopping,
            })?;
        }
        if written == total { Ok(()) } else { Err(ResolveError::Changed { node }) }
    }
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
