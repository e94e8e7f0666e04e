//! What every store must know of batches.

use super::{Harness, report, sample_entry, sample_outcome, sample_put};
use crate::logic::entry::Operation;
use crate::logic::ids::{EntryId, Timestamp};
use crate::meili::tasks::{TaskKind, TaskQuery, TaskStatus, TimeRange};
use crate::store::{Outcome, ProtocolDelta, Store};

/// A succeeded put (0), a deletion (1) and a put (4) that the cancelations 3 and 5 took back, a put that waits (2), one
/// that is worked on (6), and a failed clearing (7).
fn fill(store: &dyn Store) {
    let cancel = |matched| Operation::CancelTasks { original_filter: String::new(), matched: vec![EntryId(matched)] };
    let operations = [
        sample_put(),
        Operation::DeleteIndex,
        sample_put(),
        cancel(1),
        sample_put(),
        cancel(4),
        sample_put(),
        Operation::ClearDocuments,
    ];
    let entries: Vec<_> = operations
        .into_iter()
        .zip(0..)
        .map(|(operation, id)| {
            let mut entry = sample_entry(id, if id < 2 { "a" } else { "b" }, operation);
            entry.index = entry.index.filter(|_| id != 3 && id != 5);
            (entry, None)
        })
        .collect();
    store.append(&entries, &[]).unwrap();
    for (id, status) in [(0, TaskStatus::Succeeded), (3, TaskStatus::Succeeded), (5, TaskStatus::Succeeded)] {
        report(store, id, status).unwrap();
    }
    report(store, 7, TaskStatus::Failed).unwrap();
    let canceled = |by| Outcome {
        canceled_by: Some(EntryId(by)),
        started_at: None,
        finished_at: Timestamp(7_000),
        ..sample_outcome(TaskStatus::Canceled)
    };
    let outcomes = vec![(EntryId(1), canceled(3)), (EntryId(4), canceled(5))];
    let started = vec![(EntryId(6), Timestamp(5_500))];
    store.commit(&ProtocolDelta { outcomes, started, ..ProtocolDelta::default() }).unwrap();
}

pub fn batches_are_read_off_the_tasks(harness: &dyn Harness) {
    let store = harness.open();
    fill(&*store);
    assert_eq!(store.delete_tasks(&[EntryId(5)]).unwrap(), 1);
    let all = || TaskQuery { limit: 20, ..TaskQuery::default() };
    let statuses = |statuses: &[TaskStatus]| Some(statuses.to_vec());
    let cases: Vec<(&str, TaskQuery, Vec<u64>)> = vec![
        ("all", all(), vec![7, 6, 5, 3, 0]),
        ("oldest first", TaskQuery { reverse: true, ..all() }, vec![0, 3, 5, 6, 7]),
        ("by number", TaskQuery { batch_uids: Some(vec![0, 1, 2, 3, 99]), ..all() }, vec![3, 0]),
        ("by task", TaskQuery { uids: Some(vec![1, 4, 6]), ..all() }, vec![6, 5, 3]),
        ("canceled tasks", TaskQuery { statuses: statuses(&[TaskStatus::Canceled]), ..all() }, vec![5, 3]),
        ("processing", TaskQuery { statuses: statuses(&[TaskStatus::Processing]), ..all() }, vec![6]),
        ("enqueued", TaskQuery { statuses: statuses(&[TaskStatus::Enqueued]), ..all() }, vec![]),
        (
            "each filter by another task",
            TaskQuery {
                statuses: statuses(&[TaskStatus::Succeeded]),
                types: Some(vec![TaskKind::IndexDeletion]),
                ..all()
            },
            vec![3],
        ),
        ("index", TaskQuery { index_uids: Some(vec!["b".to_owned()]), ..all() }, vec![7, 6]),
        ("canceled by", TaskQuery { canceled_by: Some(vec![3, 0]), ..all() }, vec![3]),
        (
            "enqueued after",
            TaskQuery { enqueued: TimeRange { after: Some(1_003), before: None }, ..all() },
            vec![7, 6, 5],
        ),
    ];
    for (name, query, expected) in cases {
        let page = store.batches(&query).unwrap();
        let found: Vec<u64> = page.batches.iter().map(|batch| batch.uid.0).collect();
        assert_eq!((found, page.total, page.next), (expected.clone(), expected.len() as u64, None), "{name}");
    }
    let page = store.batches(&TaskQuery { limit: 2, from: Some(5), ..TaskQuery::default() }).unwrap();
    let members: Vec<Vec<u64>> =
        page.batches.iter().map(|batch| batch.tasks.iter().map(|task| task.entry.id.0).collect()).collect();
    assert_eq!((members, page.total, page.next), (vec![vec![4], vec![1, 3]], 5, Some(EntryId(0))));
}
