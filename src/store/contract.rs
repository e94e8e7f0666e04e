//! What every store must do, written once and run on each implementation by [`contract_tests!`].
//!
//! A harness opens the same durable state again and again; "restart" here means dropping a store and opening it anew.

#![expect(missing_docs, reason = "the names of the rules are sentences")]

use bytes::Bytes;
use uuid::Uuid;

use super::{
    BacklogSize, Decision, HeadChange, HeadRecord, IndexRecord, KeyChanges, Outcome, OutcomeCounts, ProtocolDelta,
    Store, StoreError, TaskRecord, Verdict,
};
use crate::logic::entry::{Entry, Operation, PutMode, Resolution};
use crate::logic::feeder::Needed;
use crate::logic::ids::{EntryId, IndexUid, NodeId, NodeIndexUid, NodeTask, Position, ShardId, Timestamp};
use crate::logic::payload::{Payload, Section};
use crate::meili::error::{ApiError, Code};
use crate::meili::keys::ApiKey;
use crate::meili::tasks::{TaskKind, TaskQuery, TaskStatus, TimeRange};
use crate::store::ClusterRecord;

mod batches;
mod renaming;
mod topology;

pub use batches::batches_are_read_off_the_tasks;
pub use renaming::tasks_of_before_follow_their_index_to_its_new_name_once;
pub use topology::{
    a_forgotten_index_takes_its_joins_and_bootstraps_along, a_switch_is_all_or_nothing,
    members_tables_jobs_joins_and_bootstraps_survive_a_restart, of_a_removed_node_only_its_record_stays,
    what_ended_goes_and_job_numbers_are_not_given_again, what_was_rebuilt_is_not_rebuilt_again,
};

/// One durable state that can be opened again.
pub trait Harness {
    /// Opens it; the store opened before is gone.
    fn open(&self) -> Box<dyn Store>;
}

/// The whole suite for one kind of harness: `contract_tests!(expression that makes a new Harness);`
#[macro_export]
macro_rules! contract_tests {
    ($harness:expr) => {
        $crate::contract_tests!(
            $harness,
            entries_are_numbered_without_gaps_and_survive_a_restart,
            payloads_small_and_large_survive_a_restart,
            an_append_is_all_or_nothing,
            outcomes_are_written_once,
            resolutions_are_written_once_and_narrow_the_shards,
            decisions_are_written_once,
            protocol_state_survives_a_restart,
            verdicts_go_when_the_entry_is_reported,
            tasks_are_filtered_and_paged,
            batches_are_read_off_the_tasks,
            tasks_of_before_follow_their_index_to_its_new_name_once,
            deleted_tasks_leave_the_list_but_not_the_journal,
            trimming_keeps_what_is_unreported_and_never_reuses_numbers,
            heads_change_with_the_append_only,
            index_records_are_replaced_and_forgotten,
            the_cluster_record_is_kept,
            keys_are_written_over_and_removed,
            what_has_a_name_is_kept_by_it,
            members_tables_jobs_joins_and_bootstraps_survive_a_restart,
            a_switch_is_all_or_nothing,
            what_ended_goes_and_job_numbers_are_not_given_again,
            a_forgotten_index_takes_its_joins_and_bootstraps_along,
            of_a_removed_node_only_its_record_stays,
            what_was_rebuilt_is_not_rebuilt_again,
            the_backlog_counts_entries_with_all_their_text_until_they_end,
            readers_see_whole_appends_while_a_writer_works
        );
    };
    ($harness:expr, $($name:ident),+) => {
        $(
            #[test]
            fn $name() {
                $crate::store::contract::$name(&$harness);
            }
        )+
    };
}

/// An entry of this kind, nothing special about it.
pub fn sample_entry(id: u64, index: &str, operation: Operation) -> Entry {
    Entry {
        id: EntryId(id),
        enqueued_at: Timestamp(1_000 + id as i64),
        index: Some(IndexUid::new(index)),
        target: Some(NodeIndexUid::new(format!("{index}-0"))),
        operation,
        shards: vec![ShardId(0), ShardId(3)],
        rejection: None,
        custom_metadata: None,
    }
}

/// A put of two documents.
pub fn sample_put() -> Operation {
    Operation::PutDocuments {
        mode: PutMode::Replace,
        received: 2,
        primary_key: Some("id".to_owned()),
        creates_index: false,
        sets_primary_key: false,
        skips_missing: false,
    }
}

/// Two sections of so many bytes each.
pub fn sample_payload(section_bytes: usize) -> Payload {
    let length = section_bytes as u64;
    Payload {
        sections: vec![
            Section { shard: ShardId(0), start: 0, length, id_hashes: vec![7, u64::MAX] },
            Section { shard: ShardId(3), start: length, length, id_hashes: vec![8] },
        ],
        bytes: Bytes::from((0..section_bytes * 2).map(|i| i as u8).collect::<Vec<_>>()),
    }
}

/// An end without anything special.
pub fn sample_outcome(status: TaskStatus) -> Outcome {
    Outcome {
        status,
        error: (status == TaskStatus::Failed).then(|| ApiError::new(Code::Internal, "no").body()),
        counts: OutcomeCounts { indexed: Some(2), ..OutcomeCounts::default() },
        canceled_by: None,
        started_at: Some(Timestamp(5_000)),
        finished_at: Timestamp(6_000),
    }
}

fn append_puts(store: &dyn Store, count: u64) {
    let entries: Vec<_> =
        (0..count).map(|id| (sample_entry(id, "a", sample_put()), Some(sample_payload(10)))).collect();
    store.append(&entries, &[]).unwrap();
}

fn entries_from(store: &dyn Store, first: EntryId, limit: usize) -> Result<Vec<TaskRecord>, StoreError> {
    store.index_entries_from(&NodeIndexUid::new("a-0"), first, limit)
}

fn report(store: &dyn Store, id: u64, status: TaskStatus) -> Result<(), StoreError> {
    store.commit(&ProtocolDelta { outcomes: vec![(EntryId(id), sample_outcome(status))], ..ProtocolDelta::default() })
}

fn is_refused<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> bool {
    match result {
        Err(StoreError::Refused(_)) => true,
        Err(StoreError::Failed(_) | StoreError::Full(_) | StoreError::Damaged(_)) | Ok(_) => false,
    }
}

pub fn entries_are_numbered_without_gaps_and_survive_a_restart(harness: &dyn Harness) {
    let store = harness.open();
    assert_eq!(store.next_entry().unwrap(), EntryId(0));
    append_puts(&*store, 3);
    assert!(is_refused(&store.append(&[(sample_entry(4, "a", sample_put()), None)], &[])));
    assert!(is_refused(&store.append(&[(sample_entry(2, "a", sample_put()), Some(sample_payload(99_000)))], &[])));
    drop(store);
    let store = harness.open();
    assert_eq!(store.next_entry().unwrap(), EntryId(3));
    let records = entries_from(&*store, EntryId(1), 10).unwrap();
    assert_eq!(records.iter().map(|record| record.entry.id.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(records[0].entry, sample_entry(1, "a", sample_put()));
    assert_eq!(entries_from(&*store, EntryId(0), 2).unwrap().len(), 2);
    assert_eq!(store.entry(EntryId(9)).unwrap(), None);
}

pub fn payloads_small_and_large_survive_a_restart(harness: &dyn Harness) {
    let sizes = [0, 1, 30_000, 40_000, 2_000_000];
    let store = harness.open();
    let entries: Vec<_> = sizes
        .iter()
        .zip(0..)
        .map(|(&size, id)| (sample_entry(id, "a", sample_put()), Some(sample_payload(size))))
        .chain([(sample_entry(5, "a", Operation::ClearDocuments), None)])
        .collect();
    store.append(&entries, &[]).unwrap();
    drop(store);
    let store = harness.open();
    for (entry, payload) in &entries {
        assert_eq!(&store.payload(entry.id).unwrap(), payload, "entry {}", entry.id);
    }
    assert_eq!(store.payload(EntryId(77)).unwrap(), None);
}

pub fn an_append_is_all_or_nothing(harness: &dyn Harness) {
    let store = harness.open();
    let entries = [
        (sample_entry(0, "a", sample_put()), Some(sample_payload(50_000))),
        (sample_entry(2, "a", sample_put()), None),
    ];
    assert!(is_refused(&store.append(&entries, &[])));
    assert_eq!(store.next_entry().unwrap(), EntryId(0));
    assert_eq!(entries_from(&*store, EntryId(0), 10).unwrap(), []);
    assert_eq!(store.payload(EntryId(0)).unwrap(), None);
    // The number is free for another entry, with another payload.
    store.append(&[(sample_entry(0, "b", sample_put()), Some(sample_payload(60_000)))], &[]).unwrap();
    assert_eq!(store.payload(EntryId(0)).unwrap(), Some(sample_payload(60_000)));
}

pub fn outcomes_are_written_once(harness: &dyn Harness) {
    let store = harness.open();
    append_puts(&*store, 2);
    store.commit(&ProtocolDelta { started: vec![(EntryId(0), Timestamp(4_000))], ..ProtocolDelta::default() }).unwrap();
    assert_eq!(store.entry(EntryId(0)).unwrap().unwrap().started_at, Some(Timestamp(4_000)));
    report(&*store, 0, TaskStatus::Failed).unwrap();
    assert!(is_refused(&report(&*store, 0, TaskStatus::Succeeded)));
    assert!(is_refused(&report(&*store, 9, TaskStatus::Succeeded)));
    assert!(is_refused(&report(&*store, 1, TaskStatus::Processing)));
    // A delta that holds a refused outcome changes nothing at all.
    let delta = ProtocolDelta {
        next_task: vec![(NodeId::new("n"), NodeTask(5))],
        outcomes: vec![(EntryId(0), sample_outcome(TaskStatus::Succeeded))],
        ..ProtocolDelta::default()
    };
    assert!(is_refused(&store.commit(&delta)));
    drop(store);
    let store = harness.open();
    assert_eq!(store.entry(EntryId(0)).unwrap().unwrap().outcome, Some(sample_outcome(TaskStatus::Failed)));
    assert!(store.protocol_state().unwrap().next_task.is_empty());
    let unreported = store.unreported_from(EntryId(0), 10).unwrap();
    assert_eq!(unreported.iter().map(|record| record.entry.id.0).collect::<Vec<_>>(), [1]);
}

pub fn resolutions_are_written_once_and_narrow_the_shards(harness: &dyn Harness) {
    let store = harness.open();
    let operation = Operation::DeleteByFilter { filter: "x = 1".into() };
    store.append(&[(sample_entry(0, "a", operation), None)], &[]).unwrap();
    let resolution = Resolution::Ids { count: 3, shards: vec![ShardId(3)] };
    store.resolve(EntryId(0), &resolution, Some(&sample_payload(80_000))).unwrap();
    assert!(is_refused(&store.resolve(EntryId(0), &Resolution::Count(1), None)));
    assert!(is_refused(&store.resolve(EntryId(4), &Resolution::Count(1), None)));
    drop(store);
    let store = harness.open();
    let record = store.entry(EntryId(0)).unwrap().unwrap();
    assert_eq!((record.resolution, record.entry.shards), (Some(resolution), vec![ShardId(3)]));
    assert_eq!(store.payload(EntryId(0)).unwrap(), Some(sample_payload(80_000)));
}

pub fn decisions_are_written_once(harness: &dyn Harness) {
    let store = harness.open();
    let at = Position::of(EntryId(0), 0);
    let decide =
        |decision| store.commit(&ProtocolDelta { decisions: vec![(at, decision)], ..ProtocolDelta::default() });
    decide(Decision::Abort).unwrap();
    decide(Decision::Abort).unwrap();
    assert!(is_refused(&decide(Decision::Commit)));
    assert_eq!(store.protocol_state().unwrap().decisions.get(&at), Some(&Decision::Abort));
    store.commit(&ProtocolDelta { passed: vec![at], ..ProtocolDelta::default() }).unwrap();
    assert_eq!(store.protocol_state().unwrap().decisions.get(&at), None);
}

pub fn protocol_state_survives_a_restart(harness: &dyn Harness) {
    let store = harness.open();
    let (n1, n2) = (NodeId::new("n1"), NodeId::new("n2"));
    let (a, b) = (NodeIndexUid::new("a-0"), NodeIndexUid::new("b-1"));
    let first = ProtocolDelta {
        applied: vec![(n1.clone(), a.clone(), Position(8)), (n2.clone(), b.clone(), Position(4))],
        next_task: vec![(n1.clone(), NodeTask(3)), (n2.clone(), NodeTask(1))],
        went_out: vec![(n1.clone(), a.clone()), (n2.clone(), b.clone())],
        ..ProtocolDelta::default()
    };
    store.commit(&first).unwrap();
    let second = ProtocolDelta {
        applied: vec![(n1.clone(), a.clone(), Position(7))],
        next_task: vec![(n2.clone(), NodeTask(2))],
        came_back: vec![(n2.clone(), b.clone())],
        needs_rebuild: vec![(n1.clone(), a.clone())],
        ..ProtocolDelta::default()
    };
    store.commit(&second).unwrap();
    drop(store);
    let state = harness.open().protocol_state().unwrap();
    assert_eq!(
        state.applied.into_iter().collect::<Vec<_>>(),
        [((n1.clone(), a.clone()), Position(7)), ((n2.clone(), b), Position(4))]
    );
    assert_eq!(state.next_task.into_iter().collect::<Vec<_>>(), [(n1.clone(), NodeTask(3)), (n2, NodeTask(2))]);
    assert_eq!(state.out_of_sync.into_iter().collect::<Vec<_>>(), [(n1.clone(), a.clone())]);
    assert_eq!(state.needs_rebuild.into_iter().collect::<Vec<_>>(), [(n1, a)]);
}

pub fn verdicts_go_when_the_entry_is_reported(harness: &dyn Harness) {
    let store = harness.open();
    append_puts(&*store, 2);
    let verdict = |entry, message: &str| Verdict {
        position: Position::of(EntryId(entry), 0),
        shard: ShardId(3),
        error: ApiError::new(Code::InvalidDocumentGeoField, message).body(),
    };
    let delta = ProtocolDelta { verdicts: vec![verdict(0, "first"), verdict(1, "first")], ..ProtocolDelta::default() };
    store.commit(&delta).unwrap();
    store.commit(&ProtocolDelta { verdicts: vec![verdict(1, "second")], ..ProtocolDelta::default() }).unwrap();
    assert_eq!(store.protocol_state().unwrap().verdicts, [verdict(0, "first"), verdict(1, "first")]);
    report(&*store, 0, TaskStatus::Failed).unwrap();
    assert_eq!(store.protocol_state().unwrap().verdicts, [verdict(1, "first")]);
}

pub fn tasks_are_filtered_and_paged(harness: &dyn Harness) {
    let store = harness.open();
    let kinds = [sample_put(), Operation::DeleteIndex, sample_put(), Operation::ClearDocuments, sample_put()];
    let entries: Vec<_> = kinds
        .into_iter()
        .zip(0..)
        .map(|(kind, id)| (sample_entry(id, if id < 2 { "a" } else { "b" }, kind), None))
        .collect();
    store.append(&entries, &[]).unwrap();
    report(&*store, 0, TaskStatus::Succeeded).unwrap();
    report(&*store, 3, TaskStatus::Failed).unwrap();
    store.commit(&ProtocolDelta { started: vec![(EntryId(4), Timestamp(5_500))], ..ProtocolDelta::default() }).unwrap();
    let canceled = Outcome {
        canceled_by: Some(EntryId(9)),
        started_at: None,
        finished_at: Timestamp(7_000),
        ..sample_outcome(TaskStatus::Canceled)
    };
    store.commit(&ProtocolDelta { outcomes: vec![(EntryId(1), canceled)], ..ProtocolDelta::default() }).unwrap();

    let all = || TaskQuery { limit: 20, ..TaskQuery::default() };
    let many = || Some((0..5_000).collect::<Vec<u64>>());
    let cases: Vec<(&str, TaskQuery, Vec<u64>)> = vec![
        ("all", all(), vec![4, 3, 2, 1, 0]),
        ("oldest first", TaskQuery { reverse: true, ..all() }, vec![0, 1, 2, 3, 4]),
        ("uids", TaskQuery { uids: Some(vec![1, 4, 77, u64::MAX]), ..all() }, vec![4, 1]),
        ("thousands of uids", TaskQuery { uids: many(), ..all() }, vec![4, 3, 2, 1, 0]),
        ("no uid", TaskQuery { uids: Some(vec![]), ..all() }, vec![]),
        ("batches", TaskQuery { batch_uids: many(), ..all() }, vec![4, 3, 1, 0]),
        ("canceled by", TaskQuery { canceled_by: Some(vec![9]), ..all() }, vec![1]),
        (
            "types",
            TaskQuery { types: Some(vec![TaskKind::IndexDeletion, TaskKind::DocumentDeletion]), ..all() },
            vec![3, 1],
        ),
        ("processing", TaskQuery { statuses: Some(vec![TaskStatus::Processing]), ..all() }, vec![4]),
        (
            "enqueued or done",
            TaskQuery { statuses: Some(vec![TaskStatus::Enqueued, TaskStatus::Succeeded]), ..all() },
            vec![2, 0],
        ),
        (
            "index",
            TaskQuery { index_uids: Some(vec!["b".to_owned(), "it's \"c\"".to_owned()]), ..all() },
            vec![4, 3, 2],
        ),
        ("enqueued after", TaskQuery { enqueued: TimeRange { after: Some(1_002), before: None }, ..all() }, vec![4, 3]),
        (
            "enqueued between",
            TaskQuery { enqueued: TimeRange { after: Some(1_000), before: Some(1_003) }, ..all() },
            vec![2, 1],
        ),
        ("started before", TaskQuery { started: TimeRange { after: None, before: Some(5_001) }, ..all() }, vec![3, 0]),
        ("finished after", TaskQuery { finished: TimeRange { after: Some(6_000), before: None }, ..all() }, vec![1]),
        ("both", TaskQuery { index_uids: Some(vec!["b".to_owned()]), uids: Some(vec![0, 2]), ..all() }, vec![2]),
    ];
    for (name, query, expected) in cases {
        let page = store.tasks(&query).unwrap();
        let found: Vec<u64> = page.records.iter().map(|record| record.entry.id.0).collect();
        assert_eq!((found, page.total, page.next), (expected.clone(), expected.len() as u64, None), "{name}");
        let mut expected: Vec<_> = expected.into_iter().map(EntryId).collect();
        expected.sort_unstable();
        assert_eq!(store.matching_tasks(&TaskQuery { limit: 1, ..query }).unwrap(), expected, "{name}");
    }
    let page = store.tasks(&TaskQuery { limit: 2, from: Some(3), ..TaskQuery::default() }).unwrap();
    let found: Vec<u64> = page.records.iter().map(|record| record.entry.id.0).collect();
    assert_eq!((found, page.total, page.next), (vec![3, 2], 5, Some(EntryId(1))));
    let query = TaskQuery { limit: 2, from: Some(3), reverse: true, ..TaskQuery::default() };
    let page = store.tasks(&query).unwrap();
    assert_eq!((page.records.len(), page.total, page.next), (2, 5, None));
    let page = store.tasks(&TaskQuery { limit: 0, ..TaskQuery::default() }).unwrap();
    assert_eq!((page.records.len(), page.total, page.next), (0, 5, Some(EntryId(4))));
}

pub fn deleted_tasks_leave_the_list_but_not_the_journal(harness: &dyn Harness) {
    let store = harness.open();
    append_puts(&*store, 3);
    report(&*store, 0, TaskStatus::Succeeded).unwrap();
    assert_eq!(store.delete_tasks(&[EntryId(0), EntryId(1), EntryId(50)]).unwrap(), 1, "1 has not ended");
    assert_eq!(store.delete_tasks(&[EntryId(0)]).unwrap(), 0);
    let page = store.tasks(&TaskQuery { limit: 20, ..TaskQuery::default() }).unwrap();
    assert_eq!((page.records.len(), page.total), (2, 2));
    let records = entries_from(&*store, EntryId(0), 10).unwrap();
    assert_eq!(records.iter().map(|record| record.is_deleted).collect::<Vec<_>>(), [true, false, false]);
    assert!(store.payload(EntryId(0)).unwrap().is_some());
}

fn needed_from(entry: u64) -> Needed {
    Needed { from: [(NodeIndexUid::new("a-0"), EntryId(entry))].into(), from_of_others: EntryId(0) }
}

pub fn trimming_keeps_what_is_unreported_and_never_reuses_numbers(harness: &dyn Harness) {
    let store = harness.open();
    let entries: Vec<_> =
        (0..3).map(|id| (sample_entry(id, "a", sample_put()), Some(sample_payload(70_000)))).collect();
    store.append(&entries, &[]).unwrap();
    for id in [0, 2] {
        report(&*store, id, TaskStatus::Succeeded).unwrap();
    }
    store.delete_tasks(&[EntryId(0), EntryId(2)]).unwrap();
    assert_eq!(store.first_payload(&NodeIndexUid::new("a-0")).unwrap(), Some(EntryId(0)));
    assert_eq!(store.trim(&Needed::default(), &|| true).unwrap(), 0);
    // A payload and a row.
    assert_eq!(store.trim(&needed_from(2), &|| true).unwrap(), 2);
    assert_eq!(store.entry(EntryId(0)).unwrap(), None);
    assert_eq!(store.payload(EntryId(0)).unwrap(), None);
    assert!(store.payload(EntryId(1)).unwrap().is_some());
    assert!(store.payload(EntryId(2)).unwrap().is_some());
    report(&*store, 1, TaskStatus::Succeeded).unwrap();
    assert_eq!(store.first_payload(&NodeIndexUid::new("a-0")).unwrap(), Some(EntryId(1)));
    assert_eq!(store.trim(&needed_from(3), &|| false).unwrap(), 0);
    assert_eq!(store.trim(&needed_from(3), &|| true).unwrap(), 3);
    assert_eq!(store.first_payload(&NodeIndexUid::new("a-0")).unwrap(), None);
    assert_eq!(store.payload(EntryId(1)).unwrap(), None);
    assert!(store.entry(EntryId(1)).unwrap().is_some());
    drop(store);
    let store = harness.open();
    assert_eq!(store.next_entry().unwrap(), EntryId(3));
}

pub fn heads_change_with_the_append_only(harness: &dyn Harness) {
    let store = harness.open();
    let change = |uid: &str, key: Option<&str>| HeadChange {
        uid: IndexUid::new(uid),
        head: Some(HeadRecord {
            node_uid: NodeIndexUid::new(format!("{uid}-0")),
            primary_key: key.map(str::to_owned),
            may_hold_documents: false,
        }),
    };
    let entry = |id| [(sample_entry(id, "a", sample_put()), None)];
    store.append(&entry(0), &[change("a", None), change("b", None)]).unwrap();
    assert!(is_refused(&store.append(&entry(7), &[change("c", None)])));
    store.append(&entry(1), &[change("a", Some("id")), HeadChange { uid: IndexUid::new("b"), head: None }]).unwrap();
    drop(store);
    let heads = harness.open().heads().unwrap();
    assert_eq!(heads.into_iter().collect::<Vec<_>>(), [(IndexUid::new("a"), change("a", Some("id")).head.unwrap())]);
}

pub fn index_records_are_replaced_and_forgotten(harness: &dyn Harness) {
    let store = harness.open();
    let record = |node_uid: &str, is_visible| IndexRecord {
        uid: IndexUid::new("a"),
        node_uid: NodeIndexUid::new(node_uid),
        created_by: EntryId(0),
        dropped_by: None,
        primary_key: None,
        settings: serde_json::Map::new(),
        created_at: Timestamp(1),
        updated_at: Timestamp(2),
        is_visible,
    };
    let delta = ProtocolDelta {
        indexes: vec![record("a-0", true), record("a-1", false)],
        applied: vec![(NodeId::new("n"), NodeIndexUid::new("a-0"), Position(4))],
        went_out: vec![(NodeId::new("n"), NodeIndexUid::new("a-0"))],
        ..ProtocolDelta::default()
    };
    store.commit(&delta).unwrap();
    assert_eq!(store.indexes().unwrap(), [record("a-0", true), record("a-1", false)]);
    let updated = [("a-0", 3), ("a-1", 3)].map(|(index, at)| (NodeIndexUid::new(index), Timestamp(at)));
    store.commit(&ProtocolDelta { updated: updated.into(), ..ProtocolDelta::default() }).unwrap();
    let updated = |record| IndexRecord { updated_at: Timestamp(3), ..record };
    assert_eq!(store.indexes().unwrap(), [updated(record("a-0", true)), updated(record("a-1", false))]);
    let forget = ProtocolDelta { forgotten_indexes: vec![NodeIndexUid::new("a-0")], ..ProtocolDelta::default() };
    store.commit(&forget).unwrap();
    drop(store);
    let store = harness.open();
    assert_eq!(store.indexes().unwrap(), [updated(record("a-1", false))]);
    store.commit(&ProtocolDelta { indexes: vec![record("a-0", true)], ..ProtocolDelta::default() }).unwrap();
    assert_eq!(
        store.indexes().unwrap(),
        [record("a-0", true), updated(record("a-1", false))],
        "forgotten with its time"
    );
    let state = store.protocol_state().unwrap();
    assert!(state.applied.is_empty() && state.out_of_sync.is_empty());
}

pub fn what_has_a_name_is_kept_by_it(harness: &dyn Harness) {
    let store = harness.open();
    let value = serde_json::json!({"a": [1, null]});
    assert_eq!(store.kept("one").unwrap(), None);
    store.keep("one", &serde_json::json!(1)).unwrap();
    store.keep("one", &value).unwrap();
    drop(store);
    let store = harness.open();
    assert_eq!((store.kept("one").unwrap(), store.kept("cluster").unwrap()), (Some(value), None));
}

pub fn the_cluster_record_is_kept(harness: &dyn Harness) {
    let store = harness.open();
    assert_eq!(store.cluster().unwrap(), None);
    let mut cluster = ClusterRecord { shard_count: 2, cluster_id: "c".to_owned() };
    store.save_cluster(&cluster).unwrap();
    cluster.cluster_id = "d".to_owned();
    store.save_cluster(&cluster).unwrap();
    drop(store);
    assert_eq!(harness.open().cluster().unwrap(), Some(cluster));
}

pub fn keys_are_written_over_and_removed(harness: &dyn Harness) {
    let store = harness.open();
    assert_eq!(store.keys().unwrap(), []);
    let uids = [1, 2, 3, 4].map(Uuid::from_u128);
    let mut keys = ApiKey::defaults(uids, Timestamp(1_000)).to_vec();
    let write = |store: &dyn Store, written: &[ApiKey], removed: &[Uuid]| {
        store.change_keys(&KeyChanges { written: written.to_vec(), removed: removed.to_vec() }).unwrap();
    };
    write(&*store, &keys, &[]);
    keys[1].name = None;
    // One that is removed and written anew stays.
    write(&*store, &keys[1..2], &[uids[0], uids[1], Uuid::from_u128(9)]);
    drop(store);
    assert_eq!(harness.open().keys().unwrap(), keys[1..]);
}

pub fn the_backlog_counts_entries_with_all_their_text_until_they_end(harness: &dyn Harness) {
    let store = harness.open();
    assert_eq!(store.backlog().unwrap(), BacklogSize::default());
    append_puts(&*store, 3);
    let before = store.backlog().unwrap();
    let text = |id| serde_json::to_string(&store.entry(EntryId(id)).unwrap().unwrap().entry).unwrap().len() as u64;
    assert_eq!(before, BacklogSize { entries: 3, bytes: 60 + text(0) + text(1) + text(2) });
    let after = serde_json::Map::from_iter([("stopWords".to_owned(), vec!["x".repeat(500)].into())]);
    store.resolve(EntryId(1), &Resolution::Settings { before: serde_json::Map::new(), after }, None).unwrap();
    assert!(store.backlog().unwrap().bytes > before.bytes + 500);
    report(&*store, 1, TaskStatus::Succeeded).unwrap();
    assert_eq!(store.backlog().unwrap(), BacklogSize { entries: 2, bytes: 40 + text(0) + text(2) });
}

pub fn readers_see_whole_appends_while_a_writer_works(harness: &dyn Harness) {
    const ROUNDS: u64 = 20;
    let store = harness.open();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 0..ROUNDS {
                let entries: Vec<_> = (0..3)
                    .map(|i| (sample_entry(round * 3 + i, "a", sample_put()), Some(sample_payload(100))))
                    .collect();
                store.append(&entries, &[]).unwrap();
            }
        });
        while !writer.is_finished() {
            let records = entries_from(&*store, EntryId(0), usize::MAX).unwrap();
            assert_eq!(records.len() % 3, 0);
        }
        writer.join().unwrap();
    });
    assert_eq!(store.next_entry().unwrap(), EntryId(ROUNDS * 3));
}
