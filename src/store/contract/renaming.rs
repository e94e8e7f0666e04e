//! What every store must know of indexes that get other names.

use super::{Harness, sample_entry, sample_put};
use crate::logic::entry::{Operation, Swap};
use crate::logic::ids::{EntryId, IndexUid, NodeIndexUid};
use crate::meili::tasks::TaskQuery;
use crate::store::{ProtocolDelta, Store};

fn swap(left: &str, right: &str) -> Operation {
    let indexes = (IndexUid::new(left), IndexUid::new(right));
    Operation::SwapIndexes { swaps: vec![Swap { indexes, is_rename: false }], names: Vec::new() }
}

/// By number: the name of each task's index.
fn named(store: &dyn Store) -> Vec<Option<String>> {
    let all = TaskQuery { limit: 20, reverse: true, ..TaskQuery::default() };
    let records = store.tasks(&all).unwrap().records;
    records.iter().map(|record| record.entry.index.as_ref().map(ToString::to_string)).collect()
}

fn of_index(store: &dyn Store, uid: &str) -> Vec<u64> {
    let query = TaskQuery { limit: 20, index_uids: Some(vec![uid.to_owned()]), ..TaskQuery::default() };
    store.tasks(&query).unwrap().records.iter().map(|record| record.entry.id.0).collect()
}

pub fn tasks_of_before_follow_their_index_to_its_new_name_once(harness: &dyn Harness) {
    let mut store = harness.open();
    let put = |id, index| sample_entry(id, index, sample_put());
    let mut first = sample_entry(2, "a", swap("a", "c"));
    let mut second = sample_entry(4, "a", swap("a", "b"));
    for entry in [&mut first, &mut second] {
        (entry.index, entry.target) = (None, None);
    }
    let entries = [put(0, "a"), put(1, "b"), first, put(3, "c"), second, put(5, "b")];
    store.append(&entries.map(|entry| (entry, None)), &[]).unwrap();
    let exchanged = vec![(IndexUid::new("a"), IndexUid::new("b"))];
    let delta = ProtocolDelta { renamed: vec![(EntryId(4), exchanged)], ..ProtocolDelta::default() };
    let expected = ["b", "a", "", "c", "", "b"].map(|uid| (!uid.is_empty()).then(|| uid.to_owned()));
    for _ in 0..2 {
        store.commit(&delta).unwrap();
        drop(store);
        store = harness.open();
        assert_eq!(named(&*store), expected);
    }
    assert_eq!((of_index(&*store, "a"), of_index(&*store, "b")), (vec![1], vec![5, 0]));
    let Operation::SwapIndexes { swaps, .. } = store.entry(EntryId(2)).unwrap().unwrap().entry.operation else {
        panic!("a swap");
    };
    assert_eq!(swaps[0].indexes, (IndexUid::new("b"), IndexUid::new("c")));
    // What nodes get goes by their own names.
    let records = store.index_entries_from(&NodeIndexUid::new("b-0"), EntryId(0), 10).unwrap();
    assert_eq!(records.iter().map(|record| record.entry.id.0).collect::<Vec<_>>(), [1, 5]);
}
