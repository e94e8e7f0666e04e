//! Backups: whole or not there, and used as they were written or not at all.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::logic::feeder::Needed;
use crate::logic::ids::NodeIndexUid;
use crate::logic::restoring::{RESTORED, Restored};
use crate::meili::tasks::TaskStatus;
use crate::store::ProtocolDelta;
use crate::store::contract::sample_outcome;
use crate::store::sqlite::{BackupError, check_backup, restore_backup};

const LARGE: usize = 70_000;

/// A store with three entries, the second one with a payload file, and a backup of it.
fn with_backup() -> (Folder, tempfile::TempDir, PathBuf) {
    let (folder, backups) = (Folder::new(), tempfile::tempdir().unwrap());
    let store = folder.open();
    for (id, size) in [(0, 10), (1, LARGE), (2, 20)] {
        store.append(&[(sample_entry(id, "a", sample_put()), Some(sample_payload(size)))], &[]).unwrap();
    }
    store.save_cluster(&ClusterRecord { shard_count: 8, cluster_id: "c".to_owned() }).unwrap();
    let record = store.back_up(backups.path(), "b").unwrap();
    assert_eq!((record.next_entry, record.payload_files), (EntryId(3), 1));
    assert_eq!(record.cluster_id.as_deref(), Some("c"));
    let path = backups.path().join("b");
    (folder, backups, path)
}

fn end_all(store: &dyn Store, ids: std::ops::Range<u64>) {
    let outcomes = ids.map(|id| (EntryId(id), sample_outcome(TaskStatus::Succeeded))).collect();
    store.commit(&ProtocolDelta { outcomes, ..ProtocolDelta::default() }).unwrap();
}

/// Everything may be trimmed.
fn nothing_needed() -> Needed {
    Needed { from: [(NodeIndexUid::new("a-0"), EntryId(1 << 40))].into(), from_of_others: EntryId(1 << 40) }
}

#[test]
fn a_backup_has_what_was_there_and_nobody_else_may_read_it() {
    let (_folder, _backups, backup) = with_backup();
    let data = tempfile::tempdir().unwrap();
    restore_backup(&backup, &data.path().join("new")).unwrap();
    let restored = SqliteStore::open(&data.path().join("new")).unwrap();
    assert_eq!(restored.next_entry().unwrap(), EntryId(3));
    for (id, size) in [(0, 10), (1, LARGE), (2, 20)] {
        assert_eq!(restored.payload(EntryId(id)).unwrap().unwrap(), sample_payload(size), "{id}");
    }
    let kept = serde_json::from_value::<Restored>(restored.kept(RESTORED).unwrap().unwrap()).unwrap();
    assert_eq!(kept, Restored::Unprepared);
    for path in [backup.clone(), data.path().join("new")] {
        let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(""), mode("miroir.db")), (0o700, 0o600), "{}", path.display());
    }
}

#[test]
fn writers_go_on_and_trimming_takes_no_file_of_a_backup() {
    let (folder, backups) = (Folder::new(), tempfile::tempdir().unwrap());
    let store = folder.open();
    let is_over = AtomicBool::new(false);
    let acknowledged = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(Ordering::Acquire) {
                let size = if count % 3 == 0 { LARGE } else { 100 };
                store.append(&[(sample_entry(count, "a", sample_put()), Some(sample_payload(size)))], &[]).unwrap();
                end_all(&*store, count..count + 1);
                store.trim(&nothing_needed(), &|| true).unwrap();
                count += 1;
            }
            count
        });
        for number in 0..5 {
            let record = store.back_up(backups.path(), &number.to_string()).unwrap();
            assert_eq!(check_backup(&backups.path().join(number.to_string())).unwrap(), record);
        }
        is_over.store(true, Ordering::Release);
        writer.join().unwrap()
    });
    assert_eq!(store.next_entry().unwrap(), EntryId(acknowledged));
    store.trim(&nothing_needed(), &|| true).unwrap();
    let files = fs::read_dir(folder.0.path().join("payloads")).unwrap().count();
    assert_eq!(files, 0, "what was pinned is removed afterwards");
}

/// What is refused, and that nothing comes of it.
fn refusal(backup: &Path) -> BackupError {
    let data = tempfile::tempdir().unwrap();
    let error = restore_backup(backup, &data.path().join("new")).expect_err("it is damaged");
    assert!(!data.path().join("new").exists());
    error
}

#[test]
fn one_other_bit_anywhere_in_a_backup_is_found() {
    let (_folder, _backups, backup) = with_backup();
    let payload = fs::read_dir(backup.join("payloads")).unwrap().next().unwrap().unwrap().path();
    for path in [backup.join("miroir.db"), payload] {
        let bytes = fs::read(&path).unwrap();
        for place in [0, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            fs::remove_file(&path).unwrap();
            fs::write(&path, changed).unwrap();
            let error = refusal(&backup);
            assert!(matches!(error, BackupError::Damaged { .. }), "{} {place}: {error}", path.display());
            assert!(error.to_string().contains("use another backup"), "{error}");
        }
        fs::write(&path, bytes).unwrap();
    }
    check_backup(&backup).unwrap();
}

#[test]
fn a_backup_that_lacks_a_file_is_refused() {
    for name in ["miroir.db", "backup.json", "payloads"] {
        let (_folder, _backups, backup) = with_backup();
        let path = backup.join(name);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        assert!(matches!(refusal(&backup), BackupError::Damaged { .. }), "{name}");
    }
}

#[test]
fn nothing_is_written_over() {
    let (folder, backups, backup) = with_backup();
    let store = SqliteStore::open(folder.0.path()).unwrap();
    assert!(matches!(store.back_up(backups.path(), "b"), Err(StoreError::Refused(_))));
    check_backup(&backup).unwrap();
    drop(store);
    assert!(matches!(restore_backup(&backup, folder.0.path()), Err(BackupError::Occupied { .. })));
    assert_eq!(folder.open().next_entry().unwrap(), EntryId(3));
}

#[test]
fn what_is_not_finished_never_gets_the_name_and_goes_with_the_next_one() {
    let (folder, backups, _backup) = with_backup();
    fs::create_dir(backups.path().join(".unfinished-a")).unwrap();
    // A payload that cannot be copied: its file is gone.
    let store = SqliteStore::open(folder.0.path()).unwrap();
    fs::remove_file(fs::read_dir(folder.0.path().join("payloads")).unwrap().next().unwrap().unwrap().path()).unwrap();
    store.back_up(backups.path(), "c").unwrap_err();
    let names: Vec<_> = fs::read_dir(backups.path()).unwrap().map(|item| item.unwrap().file_name()).collect();
    assert_eq!(names, ["b"]);
}

#[test]
fn numbers_go_on_where_they_are_told_to_and_never_back() {
    let folder = Folder::new();
    let store = folder.open();
    store.append(&[(sample_entry(0, "a", sample_put()), Some(sample_payload(5)))], &[]).unwrap();
    let (first, second) = (serde_json::json!("first"), serde_json::json!("second"));
    store.go_on_at(EntryId(1_000_000), &ProtocolDelta::default(), ("leap", &first)).unwrap();
    let back = store.go_on_at(EntryId(5), &ProtocolDelta::default(), ("leap", &second));
    assert!(matches!(back, Err(StoreError::Refused(_))));
    assert_eq!(store.kept("leap").unwrap(), Some(first), "all or nothing");
    assert!(store.append(&[(sample_entry(1, "a", sample_put()), None)], &[]).is_err());
    store.append(&[(sample_entry(1_000_000, "a", sample_put()), None)], &[]).unwrap();
    drop(store);
    assert_eq!(folder.open().next_entry().unwrap(), EntryId(1_000_001));
}

/// `cargo nextest run --run-ignored only -E 'test(a_backup_of_a_million_tasks)' --no-capture`
#[test]
#[ignore = "measures"]
fn a_backup_of_a_million_tasks() {
    let (folder, backups) = (Folder::new(), tempfile::tempdir().unwrap());
    let store = folder.open();
    let count = 1_000_000;
    for first in (0..count).step_by(10_000) {
        let put = |id| (sample_entry(id, "a", sample_put()), None);
        store.append(&(first..first + 10_000).map(put).collect::<Vec<_>>(), &[]).unwrap();
        end_all(&*store, first..first + 10_000);
    }
    let milliseconds = || crate::telemetry::clock::monotonic().0;
    let longest_append = |is_over: &dyn Fn(u64) -> bool, next: &mut u64| {
        let (mut longest, mut appends) = (0, 0);
        while !is_over(appends) {
            let before = milliseconds();
            store.append(&[(sample_entry(*next, "a", sample_put()), Some(sample_payload(100)))], &[]).unwrap();
            longest = longest.max(milliseconds() - before);
            (*next, appends) = (*next + 1, appends + 1);
        }
        (appends, longest)
    };
    let mut next = count;
    let alone = longest_append(&|appends| appends == 2_000, &mut next);
    let before = milliseconds();
    std::thread::scope(|scope| {
        let backup = scope.spawn(|| store.back_up(backups.path(), "b").unwrap());
        let beside = longest_append(&|_| backup.is_finished(), &mut next);
        let (record, took) = (backup.join().unwrap(), milliseconds() - before);
        println!("{record:?} in {took} ms; appends and the longest in ms: {alone:?} before, {beside:?} beside it");
    });
}
