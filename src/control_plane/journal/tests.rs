//! The journal writer and the task desk on a real store, with a coordinator that only takes notes.

use std::time::Duration;

use bytes::Bytes;
use crossbeam::channel::{bounded, unbounded};
use parking_lot::Mutex;

use super::*;
use crate::bridge::{IndexHead, NewWrite, reply::ReplyFuture};
use crate::control_plane::status::Looks;
use crate::control_plane::task_desk::{JOBS_MAX, TaskDesk};
use crate::control_plane::webhooks::Registry;
use crate::logic::entry::PutMode;
use crate::logic::ids::ShardId;
use crate::logic::payload::Section;
use crate::meili::tasks::{TaskPage, TaskQuery, TaskStatus, TaskView};
use crate::store::sqlite::SqliteStore;
use crate::store::{Outcome, OutcomeCounts, ProtocolDelta};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Remembers what it was told.
#[derive(Default)]
struct Notes(Mutex<Vec<EntryId>>);

impl Coordinator for Notes {
    fn entries_committed(&self, entries: Vec<Arc<Entry>>) {
        self.0.lock().extend(entries.iter().map(|entry| entry.id));
    }
}

/// Both threads, until dropped.
struct Desk {
    bridge: Arc<Bridge>,
    notes: Arc<Notes>,
    store: Arc<dyn Store>,
    stop: Option<Sender<()>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Desk {
    fn start(data_dir: &std::path::Path) -> Self {
        Self::start_with(data_dir, BacklogLimits { bytes: u64::MAX, entries: u64::MAX })
    }

    fn start_with(data_dir: &std::path::Path, backlog_limits: BacklogLimits) -> Self {
        Self::start_bounded(data_dir, backlog_limits, u64::MAX)
    }

    fn start_bounded(data_dir: &std::path::Path, backlog_limits: BacklogLimits, history_max: u64) -> Self {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(data_dir).unwrap());
        let (bridge, commands) = Bridge::new(0);
        let notes = Arc::new(Notes::default());
        let (desk, jobs) = bounded(JOBS_MAX);
        let (stop, stopped) = unbounded();
        let webhooks = Arc::new(Registry::open(store.clone(), None).unwrap());
        let task_desk = TaskDesk { store: store.clone(), bridge: bridge.clone(), looks: Looks::default(), webhooks };
        task_desk.resume().unwrap();
        let parts = JournalParts {
            store: store.clone(),
            bridge: bridge.clone(),
            coordinator: notes.clone(),
            desk,
            documents: bounded(0).0,
            keys: bounded(0).0,
            operator: bounded(0).0,
            features: bounded(0).0,
            backlog_limits,
            history_max,
        };
        let writer = JournalWriter::open(parts).unwrap();
        let stopped_too = stopped.clone();
        let threads = vec![
            std::thread::spawn(move || writer.run(&commands, &stopped)),
            std::thread::spawn(move || task_desk.run(&jobs, &stopped_too)),
        ];
        Self { bridge, notes, store, stop: Some(stop), threads }
    }

    fn send(&self, write: NewWrite) -> ReplyFuture<Result<Accepted, WriteRefusal>> {
        self.bridge.write(write).expect("the queue has room").0
    }

    fn write(&self, write: NewWrite) -> Result<Accepted, WriteRefusal> {
        self.send(write).wait(TIMEOUT).expect("an answer in time")
    }

    fn task(&self, id: u64) -> Result<TaskView, ApiError> {
        let ask = self.bridge.ask(|reply| Command::Task(EntryId(id), reply));
        ask.expect("the queue has room").wait(TIMEOUT).expect("an answer in time")
    }

    fn tasks(&self) -> TaskPage {
        let query = TaskQuery { limit: 20, ..TaskQuery::default() };
        let ask = self.bridge.ask(|reply| Command::Tasks(Box::new(query), reply));
        ask.expect("the queue has room").wait(TIMEOUT).expect("an answer in time").unwrap()
    }

    fn report(&self, id: u64) {
        let outcome = Outcome {
            status: TaskStatus::Succeeded,
            error: None,
            counts: OutcomeCounts::default(),
            canceled_by: None,
            started_at: None,
            finished_at: clock::timestamp(),
        };
        let delta = ProtocolDelta { outcomes: vec![(EntryId(id), outcome)], ..ProtocolDelta::default() };
        self.store.commit(&delta).unwrap();
    }

    /// Waits until a task has ended.
    fn ended(&self, id: u64) -> TaskView {
        let deadline = clock::instant() + TIMEOUT;
        loop {
            let view = self.task(id).unwrap();
            if view.status.is_terminal() {
                return view;
            }
            assert!(clock::instant() < deadline, "task {id} does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            thread.join().expect("the thread ends");
        }
    }
}

fn write(index: Option<&str>, operation: Operation, assumed_head: Option<IndexHead>) -> NewWrite {
    NewWrite {
        index: index.map(IndexUid::new),
        operation,
        assumed_head,
        payload: None,
        rejection: None,
        custom_metadata: None,
    }
}

fn put(desk: &Desk, index: &str, bytes: usize) -> NewWrite {
    let operation = Operation::PutDocuments {
        mode: PutMode::Replace,
        received: 1,
        primary_key: Some("id".to_owned()),
        creates_index: true,
        sets_primary_key: false,
        skips_missing: false,
    };
    let head = desk.bridge.heads.load().get(index).cloned();
    let section = Section { shard: ShardId(0), start: 0, length: bytes as u64, id_hashes: vec![1] };
    let payload = Payload { sections: vec![section], bytes: Bytes::from(vec![b' '; bytes]) };
    NewWrite { payload: Some(payload), ..write(Some(index), operation, head) }
}

#[test]
fn an_answered_write_is_durable_and_its_head_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    {
        let desk = Desk::start(folder.path());
        let accepted = desk.write(put(&desk, "a", 100)).unwrap();
        assert_eq!(accepted.entry, EntryId(0));
        let head = desk.bridge.heads.load().get("a").cloned().expect("the index exists for writers");
        assert_eq!(head.primary_key.as_deref(), Some("id"));
        assert_eq!(desk.write(put(&desk, "a", 100)).unwrap().entry, EntryId(1));
        assert_eq!(*desk.notes.0.lock(), [EntryId(0), EntryId(1)]);
    }
    let desk = Desk::start(folder.path());
    assert!(desk.bridge.heads.load().contains_key("a"));
    assert_eq!(desk.write(put(&desk, "a", 100)).unwrap().entry, EntryId(2));
    assert_eq!(desk.tasks().results.iter().map(|task| task.uid).collect::<Vec<_>>(), [2, 1, 0]);
}

#[test]
fn a_write_prepared_for_an_older_head_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::start(folder.path());
    let first = put(&desk, "a", 10);
    let second = put(&desk, "a", 10);
    desk.write(first).unwrap();
    let refusal = desk.write(second).expect_err("the index exists now");
    assert_eq!(refusal, WriteRefusal::HeadMoved(desk.bridge.heads.load().get("a").cloned()));
}

#[test]
fn many_writers_get_distinct_numbers_in_commit_order() {
    const WRITERS: u64 = 8;
    const WRITES: u64 = 25;
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::start(folder.path());
    desk.write(write(Some("a"), Operation::CreateIndex { primary_key: Some("id".to_owned()) }, None)).unwrap();
    let mut ids: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WRITERS)
            .map(|_| {
                scope
                    .spawn(|| (0..WRITES).map(|_| desk.write(put(&desk, "a", 10)).unwrap().entry.0).collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    ids.sort_unstable();
    assert_eq!(ids, (1..=WRITERS * WRITES).collect::<Vec<_>>());
    let committed = desk.notes.0.lock();
    assert!(committed.is_sorted());
    assert_eq!(committed.len() as u64, WRITERS * WRITES + 1);
}

fn is_refused(desk: &Desk, write: NewWrite) {
    let refusal = desk.write(write).expect_err("no room");
    let WriteRefusal::Error(error) = refusal else { panic!("{refusal:?}") };
    assert_eq!((error.code, error.status()), (Code::MiroirOverloaded, 503));
}

/// Until there is room again, which is not looked for at every refusal.
fn is_accepted(desk: &Desk, write: impl Fn() -> NewWrite) {
    let deadline = clock::instant() + TIMEOUT;
    while desk.write(write()).is_err() {
        assert!(clock::instant() < deadline, "no room");
        std::thread::yield_now();
    }
}

#[test]
fn a_full_backlog_refuses_writes_until_they_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::start_with(folder.path(), BacklogLimits { bytes: 10_000, entries: 1_000 });
    desk.write(put(&desk, "a", 9_000)).unwrap();
    is_refused(&desk, put(&desk, "a", 9_000));
    let words = "x".repeat(2_000);
    let patch = serde_json::json!({ "stopWords": [words] });
    let settings = Operation::UpdateSettings { patch, is_deletion: false, creates_index: true };
    is_refused(&desk, write(Some("a"), settings, None));
    let cancel = Operation::CancelTasks { original_filter: "?uids=0".to_owned(), matched: vec![EntryId(0)] };
    desk.write(write(None, cancel, None)).expect("task operations need no room");
    desk.report(0);
    is_accepted(&desk, || put(&desk, "a", 9_000));
}

#[test]
fn entries_without_documents_fill_the_backlog_too() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::start_with(folder.path(), BacklogLimits { bytes: u64::MAX, entries: 2 });
    let clear = || write(Some("a"), Operation::ClearDocuments, None);
    for _ in 0..2 {
        desk.write(clear()).unwrap();
    }
    is_refused(&desk, clear());
    desk.report(1);
    is_accepted(&desk, clear);
}

#[test]
fn ended_tasks_are_deleted_by_a_task() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::start(folder.path());
    for _ in 0..3 {
        desk.write(put(&desk, "a", 10)).unwrap();
    }
    desk.report(1);
    let delete = |matched: &[u64]| {
        let matched = matched.iter().copied().map(EntryId).collect();
        let delete = Operation::DeleteTasks { original_filter: "?y".to_owned(), matched };
        desk.write(write(None, delete, None)).unwrap();
    };
    // What waits is passed.
    delete(&[1, 2, 77]);
    let details = serde_json::json!({ "matchedTasks": 3, "deletedTasks": 1, "originalFilter": "?y" });
    assert_eq!(serde_json::Value::from(desk.ended(3).details.unwrap()), details);
    assert_eq!(desk.task(2).unwrap().status, TaskStatus::Enqueued);
    assert_eq!(desk.task(1).expect_err("it is deleted").code, Code::TaskNotFound);
    // What is worked on ends first.
    delete(&[0]);
    assert_eq!(desk.task(4).unwrap().status, TaskStatus::Enqueued);
    desk.report(0);
    assert_eq!(serde_json::Value::from(desk.ended(4).details.unwrap())["deletedTasks"], 1);
    assert_eq!(desk.task(0).expect_err("it is deleted").code, Code::TaskNotFound);
    assert_eq!(desk.task(99).expect_err("it never was").message, "Task `99` not found.");
}

#[test]
fn a_full_task_list_loses_its_oldest_tasks_that_have_ended() {
    let folder = tempfile::tempdir().unwrap();
    let limits = BacklogLimits { bytes: u64::MAX, entries: u64::MAX };
    let desk = Desk::start_bounded(folder.path(), limits, 20);
    for _ in 0..19 {
        desk.write(put(&desk, "a", 10)).unwrap();
    }
    // The first one has not ended.
    (1..10).for_each(|id| desk.report(id));
    assert_eq!(desk.tasks().total, 19);
    desk.write(put(&desk, "a", 10)).unwrap();
    let deletion = desk.ended(20);
    let details = serde_json::Value::from(deletion.details.unwrap());
    assert_eq!((&details["matchedTasks"], &details["deletedTasks"]), (&2.into(), &2.into()));
    let filter = details["originalFilter"].as_str().unwrap();
    assert!(filter.starts_with("?beforeEnqueuedAt=") && filter.ends_with("&statuses=succeeded,failed,canceled"));
    assert_eq!(desk.tasks().total, 19);
    for (task, is_there) in [(0, true), (1, false), (2, false), (3, true)] {
        assert_eq!(desk.task(task).is_ok(), is_there, "task {task}");
    }
    let heard: Vec<u64> = desk.notes.0.lock().iter().map(|entry| entry.0).collect();
    assert_eq!(heard, (0..=20).collect::<Vec<_>>(), "the coordinator hears of it as of any other");
}

#[test]
fn an_interrupted_task_operation_is_carried_out_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    {
        let store = SqliteStore::open(folder.path()).unwrap();
        let operation = Operation::DeleteTasks { original_filter: "?y".to_owned(), matched: vec![] };
        let stamp = Stamp { id: EntryId(0), at: Timestamp(1) };
        let admitted = admit(write(None, operation, None), &BTreeMap::new(), stamp).unwrap();
        store.append(&[(admitted.entry, None)], &[]).unwrap();
    }
    let desk = Desk::start(folder.path());
    assert_eq!(desk.task(0).unwrap().status, TaskStatus::Succeeded);
}

/// Prints what the journal commits per second; run by hand with `--run-ignored only --no-capture`.
#[test]
#[ignore = "a measurement"]
fn commit_rate() {
    for writers in [1_u64, 64] {
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::start(folder.path());
        desk.write(write(Some("a"), Operation::CreateIndex { primary_key: Some("id".to_owned()) }, None)).unwrap();
        desk.write(put(&desk, "a", 10)).unwrap();
        let begin = clock::instant();
        let count: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..writers)
                .map(|_| {
                    scope.spawn(|| {
                        let mut count = 0;
                        while begin.elapsed() < Duration::from_secs(3) {
                            desk.write(put(&desk, "a", 1_000)).unwrap();
                            count += 1;
                        }
                        count
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        println!("{writers} writers: {:.0} entries/s", count as f64 / begin.elapsed().as_secs_f64());
    }
}

#[test]
fn a_write_that_was_taken_back_gets_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::start(folder.path());
    let (kept, commands) = Bridge::new(0);
    let (desk_jobs, _jobs) = bounded(JOBS_MAX);
    let parts = JournalParts {
        store: desk.store.clone(),
        bridge: kept.clone(),
        coordinator: desk.notes.clone(),
        desk: desk_jobs,
        documents: bounded(0).0,
        keys: bounded(0).0,
        operator: bounded(0).0,
        features: bounded(0).0,
        backlog_limits: BacklogLimits { bytes: u64::MAX, entries: u64::MAX },
        history_max: u64::MAX,
    };
    let mut writer = JournalWriter::open(parts).unwrap();
    let (given_up, claim) = kept.write(put(&desk, "a", 10)).unwrap();
    assert!(claim.take());
    let (wanted, _) = kept.write(put(&desk, "b", 10)).unwrap();
    writer.take(commands.recv().unwrap(), &commands);
    assert_eq!(given_up.wait(TIMEOUT), None);
    assert_eq!(wanted.wait(TIMEOUT).expect("an answer").unwrap().entry, EntryId(0));
}
