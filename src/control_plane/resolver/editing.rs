//! Editing documents by a function: run here, once, on what one replica of each shard holds at the entry's position. What
//! comes of it is documents to put and ids to delete.

use bytes::Bytes;

use super::{ResolveError, Resolved, Resolving, shown_error};
use crate::control_plane::node_client::NodeError;
use crate::control_plane::threads::text_of;
use crate::logic::document_check::DocumentError;
use crate::logic::edit::{EditError, Edited, Editor};
use crate::logic::entry::{PutMode, Resolution};
use crate::logic::payload::Payload;
use crate::logic::primary_key::id_in;
use crate::logic::snapshot::CoverPart;
use crate::logic::split::{DocumentSplitter, SplitDocuments, SplitRules, split_ids};
use crate::meili::error::{ApiError, Code};
use crate::meili::formats::{DocumentFormat, DocumentReader};

/// Documents that are asked for at once.
const DOCUMENTS_AT_ONCE: usize = 500;
/// Documents between two looks whether to stop: a function may take a second for each.
const EDITED_AT_ONCE: usize = 20;
/// All that one entry makes of documents may be so long: it is in memory at once.
pub(super) const BYTES_MAX: usize = 1 << 30;
/// A function may call itself a thousand times.
const STACK_BYTES: usize = 512 << 20;

/// What came of some documents.
#[derive(Default)]
struct Edits {
    /// Documents that the function was run on.
    documents: u64,
    /// Those to put, a line each.
    lines: Vec<u8>,
    /// Ids of those to delete.
    deleted: Vec<String>,
    /// About what both have in memory.
    bytes: usize,
}

/// Why the entry fails.
enum Failure {
    Edit(EditError),
    Document(DocumentError),
    OtherId,
    /// More than so many bytes.
    TooLarge(usize),
    /// The language has a mistake.
    Panicked(String),
}

impl Failure {
    fn api_error(&self, uid: &str) -> ApiError {
        let of_function = |message: String| ApiError::new(Code::EditDocumentsByFunctionError, message);
        match self {
            Self::Edit(error @ EditError::Unreadable(_)) => ApiError::new(Code::Internal, error.to_string()),
            Self::Edit(error) => of_function(error.to_string()),
            Self::Document(error) => error.api_error(uid),
            Self::OtherId => of_function("Document editions cannot modify a document's primary key".to_owned()),
            Self::TooLarge(bytes_max) => ApiError::payload_too_large(*bytes_max as u64),
            Self::Panicked(text) => ApiError::new(Code::Internal, format!("the function panicked: {text}")),
        }
    }
}

/// Runs something that may need a deep stack. What a client has written must not end the process, so a panic is its failure.
fn on_deep_stack<T: Send>(run: impl FnOnce() -> Result<T, EditError> + Send) -> Result<T, Failure> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("edit".to_owned()).stack_size(STACK_BYTES);
        let running = thread.spawn_scoped(scope, run).expect("a thread can be started as the others were");
        match running.join() {
            Ok(done) => done.map_err(Failure::Edit),
            Err(panic) => Err(Failure::Panicked(text_of(&*panic))),
        }
    })
}

impl Resolving<'_> {
    pub(super) fn resolve_edit(
        &self,
        filter: Option<&serde_json::Value>,
        (function, context): (&str, Option<&serde_json::Map<String, serde_json::Value>>),
    ) -> Result<Resolved, ResolveError> {
        let editor = match on_deep_stack(|| Editor::new(function, context)) {
            Ok(editor) => editor,
            Err(failure) => return Ok(self.failed(&failure)),
        };
        let every = serde_json::Value::Array(Vec::new());
        let edit = |part: &CoverPart, filter: &serde_json::Value, others: &[Result<Edits, Failure>]| {
            if others.iter().any(Result::is_err) {
                return Ok(Ok(Edits::default())); // The entry fails.
            }
            let before = others.iter().flatten().map(|edits| edits.bytes).sum();
            self.edits(part, filter, (&editor, before))
        };
        let all = match self.ask_filtered(filter.unwrap_or(&every), edit)? {
            Ok(all) => all,
            Err(refused) => return Ok(Resolved { resolution: Resolution::Failed(refused), payload: None }),
        };
        let all: Result<Vec<Edits>, Failure> = all.into_iter().collect();
        Ok(all.and_then(|all| self.payload_of(all)).unwrap_or_else(|failure| self.failed(&failure)))
    }

    fn failed(&self, failure: &Failure) -> Resolved {
        let uid = self.request.entry.index.as_ref().map(ToString::to_string).unwrap_or_default();
        let error = failure.api_error(&uid).body();
        Resolved { resolution: Resolution::Failed(shown_error(self.request, &error)), payload: None }
    }

    /// Runs the function on the documents of one part that match. What came of other parts is so long.
    fn edits(
        &self,
        part: &CoverPart,
        filter: &serde_json::Value,
        (editor, before): (&Editor, usize),
    ) -> Result<Result<Edits, Failure>, ResolveError> {
        let ids = self.ids(part, filter)?;
        let node = self.id(part.node);
        let (.., client) = self.resolver.clients.get(&node).expect("every node of the request was met");
        let mut edits = Edits { documents: ids.len() as u64, ..Edits::default() };
        let (mut first, mut at_once) = (0, DOCUMENTS_AT_ONCE);
        while first < ids.len() {
            if (self.stops)() {
                return Err(ResolveError::Stopping);
            }
            let listed = &ids[first..ids.len().min(first + at_once)];
            let wanted = listed.iter().map(String::as_str);
            let documents = match client.fetch_stored(self.request.index, wanted, self.resolver.timeout) {
                Err(NodeError::TooLong(_)) if listed.len() > 1 => {
                    at_once = listed.len() / 2;
                    continue;
                }
                Err(error) => return Err(ResolveError::Node { node, error }),
                Ok(documents) => documents,
            };
            if documents.len() != listed.len() {
                return Err(ResolveError::Changed { node });
            }
            let texts: Vec<&str> = documents.iter().map(|document| document.get()).collect();
            for texts in texts.chunks(EDITED_AT_ONCE) {
                if (self.stops)() {
                    return Err(ResolveError::Stopping);
                }
                if let Err(failure) = edits.run(editor, self.request.primary_key.unwrap_or_default(), texts) {
                    return Ok(Err(failure));
                }
                if before + edits.bytes > self.resolver.edited_bytes_max {
                    return Ok(Err(Failure::TooLarge(self.resolver.edited_bytes_max)));
                }
            }
            first += listed.len();
        }
        Ok(Ok(edits))
    }

    /// Cuts what is put and what is deleted by shard, one behind the other.
    fn payload_of(&self, all: Vec<Edits>) -> Result<Resolved, Failure> {
        let documents = all.iter().map(|edits| edits.documents).sum();
        let mut splitter = DocumentSplitter::new(SplitRules {
            shard_count: self.shard_count(),
            mode: PutMode::Replace,
            primary_key: self.request.primary_key.map(str::to_owned),
            merges_duplicate_keys: false,
        });
        let unreadable = |error: &dyn std::fmt::Display| Failure::Edit(EditError::Runtime(error.to_string()));
        let mut deleted = Vec::new();
        for edits in all {
            deleted.extend(edits.deleted);
            if edits.lines.is_empty() {
                continue;
            }
            let reader = DocumentReader::new(&edits.lines, DocumentFormat::Ndjson);
            let mut reader = reader.map_err(|error| unreadable(&error))?;
            let mut fields = Vec::new();
            while let Some(document) = reader.next_document(&mut fields).map_err(|error| unreadable(&error))? {
                splitter.push(document, &mut fields).map_err(|error| unreadable(&error))?;
            }
        }
        let SplitDocuments { rejection, mut assembly, .. } = splitter.finish();
        if let Some(rejection) = rejection {
            return Err(Failure::Document(rejection));
        }
        while !assembly.step(BYTES_MAX) {}
        let put = assembly.into_payload();
        let deleted = split_ids(deleted.iter().map(String::as_str), self.shard_count());
        let resolution = Resolution::Edited { documents, put: put.shards(), deleted: deleted.shards() };
        let start = put.bytes.len() as u64;
        let mut sections = put.sections;
        sections.extend(deleted.sections.into_iter().map(|mut section| {
            section.start += start;
            section
        }));
        let bytes = Bytes::from([put.bytes, deleted.bytes].concat());
        Ok(Resolved { resolution, payload: Some(Payload { sections, bytes }) })
    }
}

impl Edits {
    fn run(&mut self, editor: &Editor, primary_key: &str, texts: &[&str]) -> Result<(), Failure> {
        let edited = on_deep_stack(|| texts.iter().map(|text| editor.edit(text)).collect::<Result<Vec<_>, _>>())?;
        texts.iter().zip(edited).try_for_each(|(stored, edited)| self.take(primary_key, stored, edited))
    }

    fn take(&mut self, primary_key: &str, stored: &str, edited: Edited) -> Result<(), Failure> {
        match edited {
            Edited::Same => {}
            Edited::Deleted => {
                let id = id_in(primary_key, stored).map_err(Failure::Document)?;
                self.bytes += id.len() + size_of::<String>();
                self.deleted.push(id.into_owned());
            }
            Edited::Replaced(text) => {
                let before = id_in(primary_key, stored).map_err(Failure::Document)?;
                let after = id_in(primary_key, &text).map_err(Failure::Document)?;
                if before != after {
                    return Err(Failure::OtherId);
                }
                self.lines.extend_from_slice(text.as_bytes());
                self.lines.push(b'\n');
                self.bytes += text.len() + 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_makes_the_language_panic_fails_its_task_alone() {
        let failure = on_deep_stack::<()>(|| panic!("of a mistake")).err().map(|failure| failure.api_error("a"));
        let error = failure.expect("it panicked");
        assert_eq!((error.code, &*error.message), (Code::Internal, "the function panicked: of a mistake"));
    }
}
