//! What an entry turns into is stored once, before any node gets it.
//!
//! What depends on documents is the resolver thread's, or, if a client's function is to be run, the editor's: nodes are
//! asked, which may take long. What depends on earlier votes needs no node; the control thread does it, so that no index waits for the documents of another.

use std::sync::Arc;
use std::time::Duration;

use super::index_book::settings_around;
use super::{Coordinator, OpenEntry};
use crate::control_plane::resolver::{ReadableFleet, ResolveError, ResolveRequest, Resolved, Resolver};
use crate::logic::entry::{Entry, Operation, Resolution};
use crate::logic::feeder::{Needs, Publication, Resolve};
use crate::logic::ids::{NodeIndexUid, Position};
use crate::logic::payload::Payload;
use crate::meili::error::ApiError;
use crate::meili::settings;
use crate::store::{IndexRecord, StoreError};

/// Between two looks if nothing happens, and after a node did not answer.
const PAUSE: Duration = Duration::from_millis(100);

impl Coordinator {
    /// `is_mine` says what to resolve.
    pub(super) fn run_resolver(&self, resolver: &mut Resolver, is_mine: fn(&Operation) -> bool) {
        while !self.is_stopping() {
            let (due, readable, _held) = {
                let mut state = self.state.lock();
                // Held to the end, and older than the view: as long as it is, no replica in the view is deleted.
                let held = self.bridge.snapshot.load_full();
                let (fleet, journal) = state.split(&*self.store);
                let mut due = fleet.next_to_resolve(Needs::Documents, &journal).unwrap_or_default();
                due.retain(|due| state.open.get(&due.entry).is_some_and(|open| is_mine(&open.entry.operation)));
                let readable = if due.is_empty() { Publication::default() } else { state.fleet.view() };
                (due, readable, held)
            };
            let nodes = self.publisher.nodes(&readable.nodes);
            let fleet = ReadableFleet { readable: &readable, nodes: &nodes };
            let mut ask = |due: &Resolve| {
                self.resolve(due, |entry, record| self.ask(resolver, fleet, (&due.index, entry, record)))
            };
            let done = due.iter().filter(|due| ask(due)).count();
            if done == 0 {
                let mut state = self.state.lock();
                state.wait(&self.control, PAUSE);
            }
        }
    }

    /// Settings and primary keys, from those before them.
    pub(super) fn resolve_votes(&self, due: &[Resolve]) {
        for due in due {
            let find = |entry: &Entry, record: &IndexRecord| {
                Some(Resolved { resolution: before(entry, record), payload: None })
            };
            self.resolve(due, find);
        }
    }

    /// Returns whether it could be resolved.
    fn resolve(&self, due: &Resolve, find: impl FnOnce(&Entry, &IndexRecord) -> Option<Resolved>) -> bool {
        let (open, record) = {
            let state = self.state.lock();
            let Some(open) = state.open.get(&due.entry).cloned() else { return false };
            let Some(record) = state.book.get(&due.index).cloned() else { return false };
            (open, record)
        };
        let position = Position::of(due.entry, 0);
        let Some(resolved) = find(&open.entry, &record) else { return false };
        match self.store.resolve(due.entry, &resolved.resolution, resolved.payload.as_ref()) {
            Ok(()) => {}
            // As for protocol state: only a start can bring what is stored and what is believed together again.
            Err(StoreError::Refused(reason)) => panic!("the store refuses a resolution: {reason}"),
            Err(error @ (StoreError::Failed(_) | StoreError::Full(_) | StoreError::Damaged(_))) => {
                tracing::error!(%error, entry = due.entry.0, "a resolution cannot be stored");
                self.held_up((None, due.index.clone()), position, error.to_string());
                return false;
            }
        }
        self.troubles.got_on(&(None, due.index.clone()), position);
        let mut state = self.state.lock();
        state.fleet.resolved(&open.entry, &resolved.resolution);
        let resolution = Some(Arc::new(resolved.resolution));
        let documents = resolved.payload.map(|payload| payload.count());
        state.open.entry(due.entry).and_modify(|entry| *entry = OpenEntry { resolution, documents, ..open });
        self.wake(state, true);
        true
    }

    fn ask(
        &self,
        resolver: &mut Resolver,
        fleet: ReadableFleet<'_>,
        (index, entry, record): (&NodeIndexUid, &Entry, &IndexRecord),
    ) -> Option<Resolved> {
        let (primary_key, settings) = (record.primary_key.as_deref(), &record.settings);
        let documents = match self.documents_of(entry) {
            Ok(documents) => documents,
            Err(error) => {
                tracing::error!(%error, entry = entry.id.0, "documents to be looked for cannot be read");
                return None;
            }
        };
        let uid = entry.index.as_ref().unwrap_or(&record.uid);
        let request = ResolveRequest { entry, uid, index, primary_key, settings, fleet, documents: documents.as_ref() };
        match resolver.resolve(request, &|| self.is_stopping()) {
            Ok(resolved) => Some(self.bounded(resolved, record)),
            Err(ResolveError::Stopping) => None,
            Err(
                error @ (ResolveError::NotCovered(_)
                | ResolveError::Node { .. }
                | ResolveError::Changed { .. }
                | ResolveError::Unreadable { .. }
                | ResolveError::Moved
                | ResolveError::Unwritable(_)),
            ) => {
                tracing::warn!(%error, entry = entry.id.0, "an entry cannot be resolved now");
                self.held_up((None, index.clone()), Position::of(entry.id, 0), error.to_string());
                None
            }
        }
    }

    /// The documents of a put of which it is to be found out whether they exist.
    fn documents_of(&self, entry: &Entry) -> Result<Option<Payload>, StoreError> {
        match entry.operation {
            Operation::PutDocuments { .. } => self.store.payload(entry.id),
            Operation::DeleteDocuments { .. }
            | Operation::DeleteByFilter { .. }
            | Operation::EditDocuments { .. }
            | Operation::ClearDocuments
            | Operation::CreateIndex { .. }
            | Operation::UpdateIndex { .. }
            | Operation::DeleteIndex
            | Operation::UpdateSettings { .. }
            | Operation::SwapIndexes { .. }
            | Operation::CompactIndex
            | Operation::CreateSnapshot
            | Operation::ChangeRules(_)
            | Operation::CreateDump
            | Operation::Export(_)
            | Operation::CancelTasks { .. }
            | Operation::DeleteTasks { .. } => Ok(None),
        }
    }

    /// The ids of one shard go to its nodes in one request. More than they take cannot be deleted at once.
    fn bounded(&self, resolved: Resolved, record: &IndexRecord) -> Resolved {
        let is_larger = |payload: &Payload| payload.largest_body() > self.body_max;
        if !resolved.payload.as_ref().is_some_and(is_larger) {
            return resolved;
        }
        let mut error = ApiError::payload_too_large(self.body_max);
        let index = &record.uid;
        error.message.insert_str(0, &format!("Index `{index}`: the filter matches too many documents at once. "));
        Resolved { resolution: Resolution::Failed(error.body()), payload: None }
    }
}

/// May take as long as its function does, so nothing else is to wait for it.
pub(super) fn is_edit(operation: &Operation) -> bool {
    matches!(operation, Operation::EditDocuments { .. })
}

/// What is there before a vote.
fn before(entry: &Entry, record: &IndexRecord) -> Resolution {
    let Operation::UpdateSettings { patch, .. } = &entry.operation else {
        return Resolution::PrimaryKey { before: record.primary_key.clone() };
    };
    if let Some((before, after)) = settings_around(entry, None) {
        return Resolution::Settings { before, after };
    }
    let none = serde_json::Map::new();
    let after = settings::merge(&record.settings, patch.as_object().unwrap_or(&none));
    match settings::check_merged(&after) {
        Ok(()) => Resolution::Settings { before: record.settings.clone(), after },
        Err(mut error) => {
            error.message.insert_str(0, &format!("Index `{}`: ", record.uid));
            Resolution::Failed(error.body())
        }
    }
}
