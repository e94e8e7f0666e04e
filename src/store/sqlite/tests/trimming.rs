//! What trimming does to the files.

use super::*;
use crate::logic::feeder::Needed;
use crate::logic::ids::NodeIndexUid;
use crate::meili::tasks::TaskStatus;
use crate::store::ProtocolDelta;
use crate::store::contract::sample_outcome;

fn needed_from(entry: u64) -> Needed {
    let from = [("a-0", entry), ("b-0", entry)].map(|(index, entry)| (NodeIndexUid::new(index), EntryId(entry)));
    Needed { from: from.into(), from_of_others: EntryId(entry) }
}

fn bytes_of(folder: &Folder) -> u64 {
    let files = ["miroir.db", "miroir.db-wal"].map(|name| folder.0.path().join(name));
    files.iter().map(|file| fs::metadata(file).map_or(0, |found| found.len())).sum()
}

#[test]
fn under_a_steady_load_the_files_do_not_grow() {
    const ROUND: u64 = 400;
    let folder = Folder::new();
    let store = folder.open();
    let mut sizes = Vec::new();
    for round in 0..12 {
        let ids = round * ROUND..(round + 1) * ROUND;
        let entry = |id: u64| {
            let index = if id.is_multiple_of(2) { "a" } else { "b" };
            // One in a hundred is in a file of its own.
            let bytes = if id.is_multiple_of(100) { 40_000 } else { 2_000 };
            (sample_entry(id, index, sample_put()), Some(sample_payload(bytes)))
        };
        let entries: Vec<_> = ids.clone().map(entry).collect();
        store.append(&entries, &[]).unwrap();
        let outcomes = ids.clone().map(|id| (EntryId(id), sample_outcome(TaskStatus::Succeeded)));
        store.commit(&ProtocolDelta { outcomes: outcomes.collect(), ..ProtocolDelta::default() }).unwrap();
        store.delete_tasks(&ids.clone().map(EntryId).collect::<Vec<_>>()).unwrap();
        store.trim(&needed_from(ids.end), &|| true).unwrap();
        sizes.push(bytes_of(&folder));
        assert_eq!(fs::read_dir(folder.0.path().join("payloads")).unwrap().count(), 0);
    }
    assert!(sizes[11] <= sizes[5], "{sizes:?}");
    assert_eq!(store.next_entry().unwrap(), EntryId(12 * ROUND));
}

#[test]
fn compaction_gives_space_back_and_changes_nothing_else() {
    const COUNT: u64 = 1_000;
    let folder = Folder::new();
    let store = folder.open();
    let entries = (0..COUNT).map(|id| (sample_entry(id, "a", sample_put()), Some(sample_payload(2_000))));
    store.append(&entries.collect::<Vec<_>>(), &[]).unwrap();
    let outcomes = (0..COUNT - 10).map(|id| (EntryId(id), sample_outcome(TaskStatus::Succeeded)));
    store.commit(&ProtocolDelta { outcomes: outcomes.collect(), ..ProtocolDelta::default() }).unwrap();
    store.trim(&needed_from(COUNT - 10), &|| true).unwrap();
    let before = bytes_of(&folder);
    let entries = |store: &dyn Store| {
        let all: Vec<_> = (0..COUNT).map(|id| (store.entry(EntryId(id)), store.payload(EntryId(id)))).collect();
        format!("{all:?}")
    };
    let records = entries(&*store);
    let compaction = store.compact().unwrap();
    assert_eq!((compaction.before, compaction.after), (before, bytes_of(&folder)));
    assert!(compaction.after < before / 2, "{compaction:?}");
    assert_eq!(entries(&*store), records);
    drop(store);
    let store = folder.open();
    assert_eq!(entries(&*store), records);
    store.append(&[(sample_entry(COUNT, "a", sample_put()), Some(sample_payload(10)))], &[]).unwrap();
}

#[test]
fn names_of_tasks_that_are_gone_go_too_and_those_in_swaps_stay() {
    let folder = Folder::new();
    let store = folder.open();
    let swap = crate::logic::entry::Operation::SwapIndexes {
        swaps: vec![crate::logic::entry::Swap {
            indexes: (crate::logic::ids::IndexUid::new("a"), crate::logic::ids::IndexUid::new("b")),
            is_rename: false,
        }],
        names: Vec::new(),
    };
    let of_none = crate::logic::entry::Entry { index: None, target: None, ..sample_entry(3, "a", swap) };
    let entries = [
        sample_entry(0, "a", sample_put()),
        sample_entry(1, "b", sample_put()),
        sample_entry(2, "c", sample_put()),
        of_none,
    ];
    store.append(&entries.map(|entry| (entry, None)), &[]).unwrap();
    let outcomes = (0..4).map(|id| (EntryId(id), sample_outcome(TaskStatus::Succeeded)));
    store.commit(&ProtocolDelta { outcomes: outcomes.collect(), ..ProtocolDelta::default() }).unwrap();
    let names = || -> Vec<String> {
        let connection = rusqlite::Connection::open(folder.database()).unwrap();
        let mut statement = connection.prepare("SELECT DISTINCT uid FROM lines ORDER BY uid").unwrap();
        let names = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>();
        names.unwrap()
    };
    assert_eq!(names(), ["a", "b", "c"]);
    store.delete_tasks(&[EntryId(0), EntryId(1), EntryId(2)]).unwrap();
    store.trim(&needed_from(4), &|| true).unwrap();
    assert_eq!(names(), ["a", "b"]);
    store.delete_tasks(&[EntryId(3)]).unwrap();
    store.trim(&needed_from(4), &|| true).unwrap();
    assert_eq!(names(), [""; 0]);
}
