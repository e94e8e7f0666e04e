//! Steps as the protocol sees them: where they stand, whom they touch, and whether a node may have them yet.

use std::sync::Arc;

use crate::logic::entry::{Entry, Operation, Resolution, StepKind};
use crate::logic::ids::{NodeIndexUid, Position, ShardId};

/// One step, with all that the protocol needs to know of it. Payloads stay in the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepInfo {
    /// Its place in the journal.
    pub position: Position,
    /// What a node does.
    pub kind: StepKind,
    /// The shards it touches, ascending; none for index-wide steps, which touch every node.
    pub shards: Option<Arc<[ShardId]>>,
    /// What must be stored beside the entry before any node gets the step.
    pub needs: Needs,
    /// Its entry has failed since an embedder did: a replica that comes to it now may fare otherwise than its peers did.
    pub is_unsure: bool,
}

/// What a step waits for before it may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// Nothing, or it was stored.
    Nothing,
    /// The documents as they are at its position: every required replica has applied all before it.
    Documents,
    /// The settings or the primary key before it: every vote before it is decided.
    Before,
}

impl StepInfo {
    /// The fleet votes on it: nodes may reject it because of the documents that they hold.
    pub fn is_voted(&self) -> bool {
        is_voted(self.kind)
    }
}

/// See [`StepInfo::is_voted`].
pub(super) fn is_voted(kind: StepKind) -> bool {
    match kind {
        StepKind::Settings | StepKind::PrimaryKey => true,
        StepKind::Create | StepKind::Put(_) | StepKind::Delete | StepKind::Clear | StepKind::Drop => false,
    }
}

/// What must be resolved before the steps of this entry are sent.
fn needs_of(entry: &Entry) -> Needs {
    match &entry.operation {
        _ if entry.needs_resolution() => Needs::Documents,
        Operation::UpdateSettings { creates_index: false, .. } | Operation::UpdateIndex { .. } => Needs::Before,
        Operation::PutDocuments { .. }
        | Operation::DeleteDocuments { .. }
        | Operation::DeleteByFilter { .. }
        | Operation::EditDocuments { .. }
        | Operation::ClearDocuments
        | Operation::CreateIndex { .. }
        | Operation::DeleteIndex
        | Operation::UpdateSettings { .. }
        | Operation::SwapIndexes { .. }
        | Operation::CompactIndex
        | Operation::CreateSnapshot
        | Operation::ChangeRules(_)
        | Operation::CreateDump
        | Operation::Export(_)
        | Operation::CancelTasks { .. }
        | Operation::DeleteTasks { .. } => Needs::Nothing,
    }
}

/// The steps of an entry as it stands, in order. None when it was resolved to something that cannot be done.
pub fn steps_of(entry: &Entry, resolution: Option<&Resolution>) -> Vec<StepInfo> {
    let whole = &entry.shards;
    let (needs, put, deleted) = match resolution {
        Some(Resolution::Failed(_)) => return Vec::new(),
        Some(Resolution::Ids { shards, .. } | Resolution::Existing { shards, .. }) => (Needs::Nothing, shards, shards),
        Some(Resolution::Edited { put, deleted, .. }) => (Needs::Nothing, put, deleted),
        Some(Resolution::Count(_) | Resolution::Settings { .. } | Resolution::PrimaryKey { .. }) => {
            (Needs::Nothing, whole, whole)
        }
        None => (needs_of(entry), whole, whole),
    };
    let (put, deleted): (Arc<[ShardId]>, Arc<[ShardId]>) = (put.as_slice().into(), deleted.as_slice().into());
    let steps = entry.steps().into_iter();
    steps
        .map(|step| {
            // Before it is resolved nobody knows whom it touches: everybody waits for it.
            let is_cut = step.kind.is_document() && needs == Needs::Nothing;
            let shards = if step.kind == StepKind::Delete { &deleted } else { &put };
            let shards = is_cut.then(|| shards.clone());
            StepInfo { position: step.position, kind: step.kind, shards, needs, is_unsure: false }
        })
        .collect()
}

/// The journal could not be read; the caller tries again later.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the journal cannot be read")]
pub struct JournalUnavailable;

/// What the protocol sees of the journal beyond its own window: replays of nodes that lag.
pub trait JournalView {
    /// The steps of one index after a position, in order, at most `limit`; fewer only at the end. Canceled entries have
    /// none.
    fn steps(&self, index: &NodeIndexUid, after: Position, limit: usize) -> Result<Vec<StepInfo>, JournalUnavailable>;
}
