//! A disk that gives back other bytes than were written: what is opened all the same answers as before, or says so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::*;
use crate::logic::ids::{NodeIndexUid, Position, ShardId};
use crate::meili::error::{ApiError, Code};
use crate::meili::tasks::{TaskQuery, TaskStatus};
use crate::store::contract::sample_outcome;
use crate::store::{Decision, ProtocolDelta, Verdict};

/// Positions of flips and cuts, spread over the file.
const FLIPS: usize = 400;
const CUTS: usize = 40;

/// Some of everything.
fn filled() -> Folder {
    let folder = Folder::new();
    let store = folder.open();
    let put = |id: u64| {
        let bytes = if id == 7 { 50_000 } else { 300 };
        (sample_entry(id, if id.is_multiple_of(3) { "a" } else { "b" }, sample_put()), Some(sample_payload(bytes)))
    };
    store.append(&(0..60).map(put).collect::<Vec<_>>(), &[]).unwrap();
    let [key, ..] = ApiKey::defaults([uuid::Uuid::from_u128(7); 4], Timestamp(0));
    store.change_keys(&KeyChanges { written: vec![key], ..KeyChanges::default() }).unwrap();
    let cluster_id = "feb3e8ed-95a9-458c-97a8-128d6371bfd1".to_owned();
    store.save_cluster(&ClusterRecord { shard_count: 4, cluster_id }).unwrap();
    store.keep("something", &serde_json::json!({"a": [1, 2, 3]})).unwrap();
    let nodes = [0, 1, 2].map(|number| NodeId::new(format!("n{number}")));
    let index = NodeIndexUid::new("a-0");
    let error = ApiError::new(Code::Internal, "no").body();
    let delta = ProtocolDelta {
        outcomes: (0..40).map(|id| (EntryId(id), sample_outcome(TaskStatus::Succeeded))).collect(),
        applied: nodes.iter().map(|node| (node.clone(), index.clone(), Position::of(EntryId(40), 0))).collect(),
        next_task: nodes.iter().map(|node| (node.clone(), NodeTask(77))).collect(),
        decisions: vec![(Position::of(EntryId(41), 0), Decision::Commit)],
        verdicts: vec![Verdict { position: Position::of(EntryId(42), 0), shard: ShardId(1), error }],
        tables: Some(Tables::settled(vec![nodes[..2].to_vec(); 4], 2)),
        ..ProtocolDelta::default()
    };
    store.commit(&delta).unwrap();
    drop(store);
    folder
}

/// All that can be asked; none when the store says that it is damaged.
fn answers(path: &Path) -> Option<String> {
    let store = SqliteStore::open(path).ok()?;
    let ask = || -> Result<String, StoreError> {
        let mut found = vec![format!("{:?} {:?}", store.next_entry()?, store.heads()?)];
        for id in 0..60 {
            found.push(format!("{:?} {:?}", store.entry(EntryId(id))?, store.payload(EntryId(id))?));
        }
        for index in ["a-0", "b-0"] {
            let index = NodeIndexUid::new(index);
            let entries = store.index_entries_from(&index, EntryId(0), 99)?;
            found.push(format!("{entries:?} {:?}", store.first_payload(&index)?));
        }
        let all = TaskQuery { limit: 99, ..TaskQuery::default() };
        for query in [
            all.clone(),
            TaskQuery { statuses: Some(vec![TaskStatus::Succeeded]), ..all.clone() },
            TaskQuery { index_uids: Some(vec!["a".to_owned()]), ..all },
        ] {
            found.push(format!("{:?}", store.tasks(&query)?));
        }
        found.push(format!("{:?} {:?}", store.unreported_from(EntryId(0), 99)?, store.protocol_state()?));
        found.push(format!("{:?} {:?} {:?}", store.keys()?, store.cluster()?, store.kept("something")?));
        Ok(found.join("\n"))
    };
    ask().ok()
}

/// With another file in the place of the database, or of a payload.
fn answers_with(folder: &Folder, file: &Path, bytes: &[u8]) -> Option<String> {
    let copy = Folder::new();
    let from = folder.0.path();
    fs::create_dir(copy.0.path().join("payloads")).unwrap();
    for source in [folder.database()].into_iter().chain(payloads_of(folder)) {
        fs::copy(&source, copy.0.path().join(source.strip_prefix(from).unwrap())).unwrap();
    }
    fs::write(copy.0.path().join(file.strip_prefix(from).unwrap()), bytes).unwrap();
    let asked = catch_unwind(AssertUnwindSafe(|| answers(copy.0.path())));
    asked.expect("whatever is on the disk, nothing panics")
}

fn payloads_of(folder: &Folder) -> Vec<std::path::PathBuf> {
    fs::read_dir(folder.0.path().join("payloads")).unwrap().map(|item| item.unwrap().path()).collect()
}

#[test]
fn one_other_bit_changes_no_answer_or_is_refused() {
    let folder = filled();
    let expected = answers(folder.0.path()).expect("it is as it was written");
    let mut refused = 0;
    for file in [folder.database()].into_iter().chain(payloads_of(&folder)) {
        let bytes = fs::read(&file).unwrap();
        let step = bytes.len() / FLIPS;
        for number in 0..FLIPS {
            let mut other = bytes.clone();
            // Another bit each time; the first ones are in the header.
            let place = if number < 100 { number } else { number * step + number % step };
            other[place] ^= 1 << (number % 8);
            match answers_with(&folder, &file, &other) {
                Some(found) => assert!(found == expected, "bit {} of byte {place} of {}", number % 8, file.display()),
                None => refused += 1,
            }
        }
    }
    assert!(refused > FLIPS, "most of it was looked at: {refused}");
}

#[test]
fn a_file_that_was_cut_is_refused() {
    let folder = filled();
    let expected = answers(folder.0.path()).expect("it is as it was written");
    for file in [folder.database()].into_iter().chain(payloads_of(&folder)) {
        let bytes = fs::read(&file).unwrap();
        for number in 0..CUTS {
            let length = (bytes.len() - 1) * (number + 1) / CUTS;
            // Behind the last page that is used there may be nothing.
            let found = answers_with(&folder, &file, &bytes[..length]);
            assert!(found.is_none_or(|found| found == expected), "{} at {length}", file.display());
        }
    }
}

#[test]
fn a_row_that_somebody_else_has_changed_is_named_with_the_remedy() {
    let folder = filled();
    let connection = super::super::connect(folder.0.path()).unwrap();
    connection.execute_batch("DROP TRIGGER entries_updated; UPDATE entries SET status = 3 WHERE id = 5").unwrap();
    drop(connection);
    let text = folder.open_error().to_string();
    assert!(text.contains("1 rows of the table entries are not as they were written"), "{text}");
    assert!(text.contains("restore data_dir from a backup"), "{text}");
}

/// `cargo nextest run --release --run-ignored only -E 'test(a_start_with_a_million_tasks)' --no-capture`
#[test]
#[ignore = "measures"]
fn a_start_with_a_million_tasks() {
    let folder = Folder::new();
    let count = 1_000_000;
    {
        let store = folder.open();
        for first in (0..count).step_by(10_000) {
            let put = |id| (sample_entry(id, "a", sample_put()), None);
            store.append(&(first..first + 10_000).map(put).collect::<Vec<_>>(), &[]).unwrap();
            let outcomes = (first..first + 10_000).map(|id| (EntryId(id), sample_outcome(TaskStatus::Succeeded)));
            store.commit(&ProtocolDelta { outcomes: outcomes.collect(), ..ProtocolDelta::default() }).unwrap();
        }
    }
    let bytes = fs::metadata(folder.database()).unwrap().len();
    let before = crate::telemetry::clock::monotonic();
    folder.open();
    println!("{bytes} bytes looked at in {} ms", crate::telemetry::clock::monotonic().0 - before.0);
}
