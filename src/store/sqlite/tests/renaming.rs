//! Names of indexes in a task list of any length.

use super::*;
use crate::logic::entry::{Operation, Swap};
use crate::logic::ids::{IndexUid, NodeIndexUid};
use crate::meili::tasks::TaskQuery;
use crate::store::ProtocolDelta;
use crate::telemetry::clock::monotonic;

fn swap(id: u64) -> crate::logic::entry::Entry {
    let indexes = (IndexUid::new("a"), IndexUid::new("b"));
    let swaps = vec![Swap { indexes, is_rename: false }];
    let mut entry = sample_entry(id, "a", Operation::SwapIndexes { swaps, names: Vec::new() });
    (entry.index, entry.target) = (None, None);
    // It is told from others by its names.
    if let Operation::SwapIndexes { names, .. } = &mut entry.operation {
        names.push((NodeIndexUid::new("a-0"), IndexUid::new("b")));
    }
    entry
}

fn exchange(store: &dyn Store, id: u64) {
    let exchanged = vec![(IndexUid::new("a"), IndexUid::new("b"))];
    store.commit(&ProtocolDelta { renamed: vec![(EntryId(id), exchanged)], ..ProtocolDelta::default() }).unwrap();
}

fn of_index(store: &dyn Store, uid: &str) -> Vec<u64> {
    let query = TaskQuery { limit: 20, reverse: true, index_uids: Some(vec![uid.to_owned()]), ..TaskQuery::default() };
    store.tasks(&query).unwrap().records.iter().map(|record| record.entry.id.0).collect()
}

/// Swaps that wait for their turn while more is written.
#[test]
fn what_comes_after_a_swap_that_is_not_done_keeps_its_name() {
    let folder = Folder::new();
    let store = folder.open();
    let put = |id, index| sample_entry(id, index, sample_put());
    let entries = [put(0, "a"), swap(1), put(2, "a"), put(3, "b"), swap(4), put(5, "a")];
    store.append(&entries.map(|entry| (entry, None)), &[]).unwrap();
    assert_eq!((of_index(&*store, "a"), of_index(&*store, "b")), (vec![0, 2, 5], vec![3]));
    exchange(&*store, 1);
    assert_eq!((of_index(&*store, "a"), of_index(&*store, "b")), (vec![2, 5], vec![0, 3]));
    exchange(&*store, 4);
    assert_eq!((of_index(&*store, "a"), of_index(&*store, "b")), (vec![0, 3, 5], vec![2]));
}

/// A store of schema 4 in which a swap is not done.
#[test]
fn names_within_tasks_become_lines() {
    let folder = Folder::new();
    {
        let store = folder.open();
        let put = |id, index| sample_entry(id, index, sample_put());
        let entries = [put(0, "b"), put(1, "a"), put(2, "a"), swap(3), put(4, "a")];
        store.append(&entries.map(|entry| (entry, None)), &[]).unwrap();
    }
    let connection = super::super::connect(folder.0.path()).unwrap();
    super::without_sums(&connection);
    connection
        .execute_batch(
            "DROP INDEX entries_deleted; DROP INDEX entries_payload; DROP INDEX entries_swapped;
             CREATE INDEX entries_deleted ON entries (id) WHERE is_deleted = 1;
             CREATE INDEX entries_payload ON entries (id, payload_bytes) WHERE payload_bytes > 0; DROP INDEX entries_line; ALTER TABLE entries DROP COLUMN line; ALTER TABLE entries DROP COLUMN swapped;
             DROP TABLE lines; ALTER TABLE entries ADD COLUMN index_uid TEXT;
             UPDATE entries SET index_uid = json_extract(body, '$.index');
             CREATE INDEX entries_index_uid ON entries (index_uid); PRAGMA user_version = 4;",
        )
        .unwrap();
    drop(connection);
    let store = folder.open();
    assert_eq!((of_index(&*store, "a"), of_index(&*store, "b")), (vec![1, 2, 4], vec![0]));
    exchange(&*store, 3);
    assert_eq!((of_index(&*store, "a"), of_index(&*store, "b")), (vec![0, 4], vec![1, 2]));
}

/// `cargo nextest run --release --run-ignored only -E 'test(a_swap_after_a_million_tasks)' --no-capture`
#[test]
#[ignore = "measures"]
fn a_swap_after_a_million_tasks() {
    let folder = Folder::new();
    let store = folder.open();
    let count = 1_000_000;
    for first in (0..count).step_by(10_000) {
        let put = |id| (sample_entry(id, if id % 2 == 0 { "a" } else { "b" }, sample_put()), None);
        store.append(&(first..first + 10_000).map(put).collect::<Vec<_>>(), &[]).unwrap();
    }
    store.append(&[(swap(count), None)], &[]).unwrap();
    let before = monotonic();
    exchange(&*store, count);
    let exchanged = monotonic();
    assert_eq!(of_index(&*store, "b")[0], 0);
    println!("{} ms, then a filtered page in {} ms", exchanged.0 - before.0, monotonic().0 - exchanged.0);
}
