//! What a write becomes when it is committed: an entry, and what it makes of its index's head. Pure.
//!
//! Cores prepare writes against the heads that they see; here is decided with the heads as they are. What does not
//! depend on the head is decided here alone; a write whose preparation depends on it (documents, rejections) is sent back
//! when the head has moved. Operations that cannot succeed are accepted all the same and fail as tasks, as on one
//! server.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bridge::{IndexHead, NewWrite, WriteRefusal};
use crate::logic::entry::{Entry, Operation};
use crate::logic::ids::{EntryId, IndexUid, NodeIndexUid, Timestamp};
use crate::logic::payload::Payload;
use crate::meili::error::{ApiError, Code, ErrorBody};
use crate::store::{HeadChange, HeadRecord};

mod renaming;

/// Bytes of the client's name that a node's name begins with: leaves room for the number within the limit of 400.
const NODE_UID_PREFIX_BYTES_MAX: usize = 300;

/// The number and the time that the next entry gets.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Its number.
    pub id: EntryId,
    /// When it is accepted.
    pub at: Timestamp,
}

/// A write as it will be committed.
#[derive(Debug)]
pub struct Admitted {
    /// The entry.
    pub entry: Entry,
    /// Its documents or ids.
    pub payload: Option<Payload>,
    /// Heads that do not stay as they are.
    pub changes: Vec<HeadChange>,
}

/// The nodes' name of an index: fresh at each creation, since entry numbers are never used again.
pub fn node_index_uid(uid: &IndexUid, created_by: EntryId) -> NodeIndexUid {
    let text = uid.as_str();
    let end = text.floor_char_boundary(NODE_UID_PREFIX_BYTES_MAX);
    NodeIndexUid::new(format!("{}-{created_by}", &text[..end]))
}

/// How cores see a head.
pub fn shown_head(head: &HeadRecord) -> IndexHead {
    IndexHead { node_uid: head.node_uid.clone(), primary_key: head.primary_key.as_deref().map(Arc::from) }
}

/// Makes an entry of a write, given all indexes as they are.
pub fn admit(
    mut write: NewWrite,
    heads: &BTreeMap<IndexUid, HeadRecord>,
    stamp: Stamp,
) -> Result<Admitted, WriteRefusal> {
    if let Operation::SwapIndexes { swaps, .. } = &mut write.operation {
        let swaps = std::mem::take(swaps);
        return Ok(renaming::admit_swap(write, swaps, heads, stamp));
    }
    let head = write.index.as_ref().and_then(|uid| heads.get(uid));
    let current = head.map(shown_head);
    if depends_on_head(&write) && write.assumed_head != current {
        return Err(WriteRefusal::HeadMoved(current));
    }
    let NewWrite { index, mut operation, payload, rejection, custom_metadata, .. } = write;
    let own = index.as_ref().and_then(|uid| rejection_of(uid, &operation, head, heads));
    // What is wrong with documents does not matter where there is no index for them.
    let rejection = if head.is_none() { own.or(rejection) } else { rejection.or(own) };
    fit_to_head(&mut operation, head, rejection.is_some());
    let creates = creates_index(&operation) && !is_refused_creation(&operation, rejection.as_ref());
    let target = match (&index, head) {
        (Some(uid), None) if creates => Some(node_index_uid(uid, stamp.id)),
        (Some(_), Some(head)) => Some(head.node_uid.clone()),
        (Some(_) | None, _) => None,
    };
    let changes = match (&index, &target) {
        (Some(uid), Some(target)) => changes_of(uid, target, &operation, head, rejection.is_some()),
        (Some(_) | None, _) => Vec::new(),
    };
    // A rejected entry sends no documents to any node, so none are kept.
    let payload = payload.filter(|_| rejection.is_none());
    let shards = payload.as_ref().map(Payload::shards).unwrap_or_default();
    let entry =
        Entry { id: stamp.id, enqueued_at: stamp.at, index, target, operation, shards, rejection, custom_metadata };
    Ok(Admitted { entry, payload, changes })
}

/// Whether the core's preparation is void when the head is another.
fn depends_on_head(write: &NewWrite) -> bool {
    match &write.operation {
        Operation::PutDocuments { .. } => true,
        Operation::SwapIndexes { .. }
        | Operation::CompactIndex
        | Operation::CreateSnapshot
        | Operation::ChangeRules(_)
        | Operation::CreateDump
        | Operation::Export(_)
        | Operation::CancelTasks { .. }
        | Operation::DeleteTasks { .. } => false,
        Operation::DeleteDocuments { .. }
        | Operation::DeleteByFilter { .. }
        | Operation::EditDocuments { .. }
        | Operation::ClearDocuments
        | Operation::CreateIndex { .. }
        | Operation::UpdateIndex { .. }
        | Operation::DeleteIndex
        | Operation::UpdateSettings { .. } => write.rejection.is_some(),
    }
}

/// Why it cannot succeed, in the words of one server.
fn rejection_of(
    uid: &IndexUid,
    operation: &Operation,
    head: Option<&HeadRecord>,
    heads: &BTreeMap<IndexUid, HeadRecord>,
) -> Option<ErrorBody> {
    let exists =
        |uid: &IndexUid| Some(ApiError::new(Code::IndexAlreadyExists, format!("Index `{uid}` already exists.")).body());
    let not_found = || Some(ApiError::new(Code::IndexNotFound, format!("Index `{uid}` not found.")).body());
    let has_key = |prefix: String, key: &str| {
        let message = format!("{prefix}Index already has a primary key: `{key}`.");
        Some(ApiError::new(Code::IndexPrimaryKeyAlreadyExists, message).body())
    };
    match (operation, head) {
        (Operation::CreateIndex { .. }, Some(_)) => exists(uid),
        (Operation::UpdateIndex { rename: Some((_, new)), .. }, Some(_)) if new != uid && heads.contains_key(new) => {
            exists(new)
        }
        (Operation::PutDocuments { primary_key: Some(asked), .. }, Some(head)) => match &head.primary_key {
            Some(key) if key != asked => has_key(String::new(), key),
            Some(_) | None => None,
        },
        (Operation::UpdateIndex { primary_key: Some(asked), rename }, Some(head)) => match &head.primary_key {
            Some(key) if key != asked && head.may_hold_documents => {
                has_key(format!("Index `{}`: ", rename.as_ref().map_or(uid, |(_, new)| new)), key)
            }
            Some(_) | None => None,
        },
        (Operation::UpdateSettings { creates_index: true, .. }, None) => None,
        (
            Operation::PutDocuments { creates_index: false, .. }
            | Operation::DeleteDocuments { .. }
            | Operation::DeleteByFilter { .. }
            | Operation::EditDocuments { .. }
            | Operation::ClearDocuments
            | Operation::UpdateIndex { .. }
            | Operation::DeleteIndex
            | Operation::CompactIndex
            | Operation::UpdateSettings { .. },
            None,
        ) => not_found(),
        (
            Operation::DeleteDocuments { .. }
            | Operation::DeleteByFilter { .. }
            | Operation::EditDocuments { .. }
            | Operation::ClearDocuments
            | Operation::UpdateIndex { .. }
            | Operation::DeleteIndex
            | Operation::CompactIndex
            | Operation::UpdateSettings { .. },
            Some(_),
        )
        | (
            Operation::CreateIndex { .. }
            | Operation::PutDocuments { .. }
            | Operation::SwapIndexes { .. }
            | Operation::CreateSnapshot
            | Operation::ChangeRules(_)
            | Operation::CreateDump
            | Operation::Export(_)
            | Operation::CancelTasks { .. }
            | Operation::DeleteTasks { .. },
            _,
        ) => None,
    }
}

/// Says in the operation what its steps depend on.
fn fit_to_head(operation: &mut Operation, head: Option<&HeadRecord>, is_rejected: bool) {
    match operation {
        Operation::PutDocuments { primary_key, creates_index, sets_primary_key, .. } => {
            *creates_index &= head.is_none();
            *sets_primary_key =
                !is_rejected && primary_key.is_some() && head.is_some_and(|head| head.primary_key.is_none());
        }
        Operation::UpdateSettings { creates_index, .. } => *creates_index &= head.is_none(),
        Operation::DeleteDocuments { .. }
        | Operation::DeleteByFilter { .. }
        | Operation::EditDocuments { .. }
        | Operation::ClearDocuments
        | Operation::CreateIndex { .. }
        | Operation::UpdateIndex { .. }
        | Operation::DeleteIndex
        | Operation::SwapIndexes { .. }
        | Operation::CompactIndex
        | Operation::CreateSnapshot
        | Operation::ChangeRules(_)
        | Operation::CreateDump
        | Operation::Export(_)
        | Operation::CancelTasks { .. }
        | Operation::DeleteTasks { .. } => {}
    }
}

fn creates_index(operation: &Operation) -> bool {
    match operation {
        Operation::CreateIndex { .. } => true,
        Operation::PutDocuments { creates_index, .. } | Operation::UpdateSettings { creates_index, .. } => {
            *creates_index
        }
        Operation::DeleteDocuments { .. }
        | Operation::DeleteByFilter { .. }
        | Operation::EditDocuments { .. }
        | Operation::ClearDocuments
        | Operation::UpdateIndex { .. }
        | Operation::DeleteIndex
        | Operation::SwapIndexes { .. }
        | Operation::CompactIndex
        | Operation::CreateSnapshot
        | Operation::ChangeRules(_)
        | Operation::CreateDump
        | Operation::Export(_)
        | Operation::CancelTasks { .. }
        | Operation::DeleteTasks { .. } => false,
    }
}

/// Refused documents leave the index behind that they would have created; other refused operations leave nothing.
fn is_refused_creation(operation: &Operation, rejection: Option<&ErrorBody>) -> bool {
    rejection.is_some() && !matches!(operation, Operation::PutDocuments { .. })
}

fn changes_of(
    uid: &IndexUid,
    target: &NodeIndexUid,
    operation: &Operation,
    head: Option<&HeadRecord>,
    is_rejected: bool,
) -> Vec<HeadChange> {
    let before = head.cloned();
    let mut after = before.clone().unwrap_or_else(|| HeadRecord {
        node_uid: target.clone(),
        primary_key: None,
        may_hold_documents: false,
    });
    let mut name = Some(uid);
    if !is_rejected {
        match operation {
            Operation::PutDocuments { primary_key, .. } => {
                after.primary_key = after.primary_key.or_else(|| primary_key.clone());
                after.may_hold_documents = true;
            }
            Operation::CreateIndex { primary_key } => after.primary_key.clone_from(primary_key),
            Operation::UpdateIndex { primary_key, rename } => {
                after.primary_key = primary_key.clone().or(after.primary_key);
                name = rename.as_ref().map(|(_, new)| new).or(name);
            }
            Operation::ClearDocuments => after.may_hold_documents = false,
            Operation::DeleteIndex => name = None,
            Operation::DeleteDocuments { .. }
            | Operation::DeleteByFilter { .. }
            | Operation::EditDocuments { .. }
            | Operation::UpdateSettings { .. }
            | Operation::SwapIndexes { .. }
            | Operation::CompactIndex
            | Operation::CreateSnapshot
            | Operation::ChangeRules(_)
            | Operation::CreateDump
            | Operation::Export(_)
            | Operation::CancelTasks { .. }
            | Operation::DeleteTasks { .. } => {}
        }
    }
    if name == Some(uid) {
        let is_other = before.as_ref() != Some(&after);
        return is_other.then(|| HeadChange { uid: uid.clone(), head: Some(after) }).into_iter().collect();
    }
    let mut changes = vec![HeadChange { uid: uid.clone(), head: None }];
    changes.extend(name.map(|name| HeadChange { uid: name.clone(), head: Some(after) }));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::entry::{PutMode, StepKind};

    const STAMP: Stamp = Stamp { id: EntryId(7), at: Timestamp(1) };

    fn head(primary_key: Option<&str>, may_hold_documents: bool) -> HeadRecord {
        HeadRecord {
            node_uid: NodeIndexUid::new("a-2"),
            primary_key: primary_key.map(str::to_owned),
            may_hold_documents,
        }
    }

    fn put(primary_key: Option<&str>) -> Operation {
        Operation::PutDocuments {
            mode: PutMode::Replace,
            received: 1,
            primary_key: primary_key.map(str::to_owned),
            creates_index: true,
            sets_primary_key: false,
            skips_missing: false,
        }
    }

    fn settings(is_deletion: bool) -> Operation {
        Operation::UpdateSettings { patch: serde_json::json!({}), is_deletion, creates_index: !is_deletion }
    }

    fn write(operation: Operation, assumed: Option<&HeadRecord>) -> NewWrite {
        NewWrite {
            index: Some(IndexUid::new("a")),
            operation,
            assumed_head: assumed.map(shown_head),
            payload: None,
            rejection: None,
            custom_metadata: None,
        }
    }

    fn admit(write: NewWrite, head: Option<&HeadRecord>, stamp: Stamp) -> Result<Admitted, WriteRefusal> {
        let heads = head.map(|head| (IndexUid::new("a"), head.clone())).into_iter().collect();
        super::admit(write, &heads, stamp)
    }

    fn new_head(admitted: &Admitted) -> Option<HeadRecord> {
        admitted.changes.first().and_then(|change| change.head.clone())
    }

    fn kinds(entry: &Entry) -> Vec<StepKind> {
        entry.steps().iter().map(|step| step.kind).collect()
    }

    #[test]
    fn each_operation_does_on_a_missing_index_what_one_server_does() {
        use StepKind::{Create, Put, Settings};
        let cases = [
            (put(Some("id")), vec![Create, Settings, Put(PutMode::Replace)], None),
            (settings(false), vec![Create, Settings], None),
            (Operation::CreateIndex { primary_key: None }, vec![Create, Settings], None),
            (settings(true), vec![], Some("index_not_found")),
            (Operation::DeleteIndex, vec![], Some("index_not_found")),
            (Operation::ClearDocuments, vec![], Some("index_not_found")),
            (Operation::DeleteDocuments { provided: 1 }, vec![], Some("index_not_found")),
            (Operation::DeleteByFilter { filter: "x = 1".into() }, vec![], Some("index_not_found")),
            (
                Operation::UpdateIndex { primary_key: Some("x".to_owned()), rename: None },
                vec![],
                Some("index_not_found"),
            ),
        ];
        for (operation, steps, code) in cases {
            let name = format!("{operation:?}");
            let admitted = admit(write(operation, None), None, STAMP).expect("the head has not moved");
            assert_eq!(kinds(&admitted.entry), steps, "{name}");
            assert_eq!(admitted.entry.rejection.as_ref().map(|error| error.code.as_str()), code, "{name}");
            let target = code.is_none().then(|| NodeIndexUid::new("a-7"));
            assert_eq!(admitted.entry.target, target, "{name}");
            let new_head = new_head(&admitted).map(|head| head.node_uid);
            assert_eq!(new_head, target, "{name}");
        }
    }

    #[test]
    fn who_may_not_create_indexes_finds_none() {
        let patch = serde_json::json!({});
        let mut put = put(Some("id"));
        let Operation::PutDocuments { creates_index, .. } = &mut put else { unreachable!("it is a put") };
        *creates_index = false;
        for operation in [put, Operation::UpdateSettings { patch, is_deletion: false, creates_index: false }] {
            let mut refused = write(operation.clone(), None);
            refused.rejection = matches!(operation, Operation::PutDocuments { .. })
                .then(|| ApiError::new(Code::MissingDocumentId, "no id").body());
            let Admitted { entry, changes, .. } = admit(refused, None, STAMP).expect("the head has not moved");
            assert_eq!(entry.rejection.map(|error| error.code).as_deref(), Some("index_not_found"));
            assert!(changes.is_empty());
            let there = head(Some("id"), true);
            let admitted = admit(write(operation, Some(&there)), Some(&there), STAMP).expect("same head");
            assert_eq!(admitted.entry.rejection, None, "there is nothing to be created");
        }
    }

    #[test]
    fn documents_prepared_for_another_head_are_sent_back() {
        let (old, new) = (head(None, false), head(Some("id"), true));
        for (assumed, current) in [(None, Some(&new)), (Some(&old), Some(&new)), (Some(&old), None)] {
            let refusal = admit(write(put(Some("id")), assumed), current, STAMP).expect_err("the head moved");
            assert_eq!(refusal, WriteRefusal::HeadMoved(current.map(shown_head)));
        }
        // What does not depend on the head is never sent back.
        admit(write(Operation::ClearDocuments, None), Some(&new), STAMP).expect("no preparation");
    }

    #[test]
    fn refused_documents_leave_an_index_without_a_primary_key() {
        let mut rejected = write(put(None), None);
        rejected.rejection = Some(ApiError::new(Code::MissingDocumentId, "no id").body());
        rejected.payload = Some(Payload::default());
        let admitted = admit(rejected, None, STAMP).expect("the head has not moved");
        assert_eq!(kinds(&admitted.entry), [StepKind::Create, StepKind::Settings]);
        assert_eq!(admitted.payload, None);
        let created = HeadRecord { node_uid: NodeIndexUid::new("a-7"), ..head(None, false) };
        assert_eq!(new_head(&admitted), Some(created));
    }

    #[test]
    fn primary_keys_are_set_once_documents_may_be_there() {
        let keyless = head(None, false);
        let admitted = admit(write(put(Some("id")), Some(&keyless)), Some(&keyless), STAMP).expect("same head");
        assert_eq!(kinds(&admitted.entry), [StepKind::PrimaryKey, StepKind::Put(PutMode::Replace)]);
        assert_eq!(new_head(&admitted), Some(head(Some("id"), true)));

        let code = |operation: Operation, head: &HeadRecord| {
            let admitted = admit(write(operation, Some(head)), Some(head), STAMP).expect("same head");
            (admitted.entry.rejection.map(|error| error.message), !admitted.changes.is_empty())
        };
        let update = || Operation::UpdateIndex { primary_key: Some("x".to_owned()), rename: None };
        assert_eq!(code(update(), &head(Some("id"), false)), (None, true));
        let message = "Index `a`: Index already has a primary key: `id`.".to_owned();
        assert_eq!(code(update(), &head(Some("id"), true)), (Some(message), false));
        let message = "Index already has a primary key: `id`.".to_owned();
        assert_eq!(code(put(Some("x")), &head(Some("id"), false)), (Some(message), false));
    }

    #[test]
    fn creation_and_deletion_change_the_head() {
        let there = head(None, true);
        let create = || Operation::CreateIndex { primary_key: None };
        let again = admit(write(create(), None), Some(&there), STAMP).expect("no preparation");
        assert_eq!(again.entry.rejection.map(|error| error.code).as_deref(), Some("index_already_exists"));
        assert!(again.changes.is_empty());
        let gone = admit(write(Operation::DeleteIndex, None), Some(&there), STAMP).expect("no preparation");
        assert_eq!(gone.changes, [HeadChange { uid: IndexUid::new("a"), head: None }]);
        assert_eq!(gone.entry.target, Some(NodeIndexUid::new("a-2")));
    }

    #[test]
    fn a_renamed_index_keeps_what_it_is_and_its_new_name_must_be_free() {
        let there = head(None, true);
        let heads: BTreeMap<_, _> = ["a", "b"].map(|uid| (IndexUid::new(uid), there.clone())).into();
        let rename = |to: &str, key: Option<&str>| {
            let primary_key = key.map(str::to_owned);
            let operation =
                Operation::UpdateIndex { primary_key, rename: Some((IndexUid::new("a"), IndexUid::new(to))) };
            super::admit(write(operation, None), &heads, STAMP).expect("no preparation")
        };
        let renamed = rename("c", Some("k"));
        let old = HeadChange { uid: IndexUid::new("a"), head: None };
        let new = HeadChange { uid: IndexUid::new("c"), head: Some(head(Some("k"), true)) };
        assert_eq!(renamed.changes, [old, new]);
        assert_eq!(renamed.entry.new_names(), [(NodeIndexUid::new("a-2"), IndexUid::new("c"))]);
        let refused = rename("b", None);
        assert_eq!(refused.entry.rejection.map(|error| error.message).as_deref(), Some("Index `b` already exists."));
        assert!(refused.changes.is_empty());
        let same = rename("a", None);
        assert!(same.changes.is_empty() && same.entry.rejection.is_none() && same.entry.new_names().is_empty());
    }

    #[test]
    fn node_names_are_fresh_and_short_enough() {
        let long = IndexUid::new("x".repeat(400));
        let name = node_index_uid(&long, EntryId(u64::MAX));
        assert!(name.as_str().len() <= 400 && name.as_str().ends_with("-18446744073709551615"));
    }
}
