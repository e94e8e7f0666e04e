//! The record bites: right contents and task lists pass, then each kind of damage is done to them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::ledger::{Effect, Ledger, Outcome};
use crate::support::now;

fn document(id: u64, version: u64) -> Value {
    json!({"id": id, "version": version})
}

fn put(id: u64, version: u64) -> Vec<(u64, Effect)> {
    vec![(id, Effect::Put(document(id, version)))]
}

/// Document 1 is reported, then updated, and the update is under way; 2 is deleted and reported; the put of 3 had no answer;
/// that of 4 failed as it must; that of 5 was canceled; that of 6 was refused.
fn written() -> (Ledger, Instant, Instant) {
    let mut ledger = Ledger::new("lane");
    let begun = now();
    let later = begun + Duration::from_secs(1);
    let mut sent = |expected, may_be_canceled, changes| ledger.send(expected, may_be_canceled, changes);
    let both = [put(1, 1), put(2, 1)].concat();
    for (number, changes) in [both, vec![(2, Effect::Delete)], put(3, 1)].into_iter().enumerate() {
        assert_eq!(sent(Outcome::Succeeded, false, changes), number);
    }
    sent(Outcome::Failed, false, put(4, 1));
    sent(Outcome::Succeeded, true, put(5, 1));
    sent(Outcome::Succeeded, false, put(6, 1));
    let fields = json!({"more": true}).as_object().expect("an object").clone();
    sent(Outcome::Succeeded, false, vec![(1, Effect::Update(fields))]);
    for (write, task) in [(0, 10), (1, 11), (3, 13), (4, 14), (6, 16)] {
        ledger.acknowledge(write, task).expect("they grow");
    }
    ledger.refuse(5);
    let ends = [
        (0, 10, Outcome::Succeeded),
        (1, 11, Outcome::Succeeded),
        (3, 13, Outcome::Failed),
        (4, 14, Outcome::Canceled),
    ];
    for (write, task, outcome) in ends {
        ledger.end(write, task, outcome, begun).expect("as expected");
    }
    (ledger, begun, later)
}

/// Goal: what readers are shown is judged rightly. Method: see the name.
#[test]
fn a_lost_stale_undead_failed_canceled_or_doubled_document_is_found() {
    let (mut ledger, begun, later) = written();
    let updated = json!({"id": 1, "version": 1, "more": true});
    {
        let check = |shown: &[Value]| ledger.check(&[1, 2, 3, 4, 5, 6], shown, begun, true);
        check(&[document(1, 1)]).expect("as reported");
        check(std::slice::from_ref(&updated)).expect("as sent");
        check(&[document(1, 1), document(3, 1)]).expect("that write may have happened");
        check(&[]).expect_err("an acknowledged document is lost");
        check(&[document(1, 1), document(2, 1)]).expect_err("a deleted document is back");
        check(&[document(1, 1), document(4, 1)]).expect_err("a failed write holds");
        check(&[document(1, 1), document(5, 1)]).expect_err("a canceled write holds");
        check(&[document(1, 1), document(6, 1)]).expect_err("a refused write holds");
        check(&[document(1, 2)]).expect_err("nobody wrote this version");
        check(&[document(1, 1), updated.clone()]).expect_err("one document twice");
        check(&[document(1, 1), document(7, 1)]).expect_err("nobody asked for this one");
        ledger.check(&[1, 2], &[], begun, false).expect("an answer that says that it is a part");
        ledger.check(&[1, 2], &[document(2, 1)], begun, false).expect_err("a part with a deleted document");
    }
    ledger.end(6, 16, Outcome::Succeeded, later).expect("as expected");
    ledger.check(&[1], &[document(1, 1)], begun, true).expect("the request began before the report");
    ledger.check(&[1], &[document(1, 1)], later, true).expect_err("the reported update is lost");
    ledger.check(&[1], &[updated], later, true).expect("as reported");
    ledger.end(6, 16, Outcome::Failed, later).expect_err("it must succeed");
    ledger.end(6, 16, Outcome::Canceled, later).expect_err("nobody has canceled it");
    ledger.acknowledge(6, 14).expect_err("numbers of tasks grow");
}

fn tasks(of: &[(&str, u64, &str)]) -> BTreeMap<String, Vec<Value>> {
    let mut tasks: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (label, uid, status) in of {
        tasks.entry((*label).to_owned()).or_default().push(json!({"uid": uid, "status": status}));
    }
    tasks
}

/// Goal: wrong states of tasks are found at the end. Method: see the name.
#[test]
fn a_lost_doubled_unfinished_changed_or_foreign_task_is_found() {
    const RIGHT: [(&str, u64, &str); 6] = [
        ("lane-0", 10, "succeeded"),
        ("lane-1", 11, "succeeded"),
        ("lane-2", 12, "succeeded"),
        ("lane-3", 13, "failed"),
        ("lane-4", 14, "canceled"),
        ("lane-6", 16, "succeeded"),
    ];
    let settle = |of: &[(&str, u64, &str)]| {
        let (mut ledger, _, later) = written();
        ledger.settle(&tasks(of), later).map(|count| (count, ledger, later))
    };
    let (count, ledger, later) = settle(&RIGHT).expect("as it was");
    assert_eq!((count, ledger.acknowledged()), (6, 6));
    // What had no answer is known now.
    assert_eq!(ledger.allowed(3, later), [Some(document(3, 1))]);
    let without: Vec<_> = RIGHT.iter().filter(|task| task.1 != 12).copied().collect();
    let (_, ledger, later) = settle(&without).expect("it did not happen");
    assert_eq!(ledger.allowed(3, later), [None]);
    let with = |place: usize, task: (&'static str, u64, &'static str)| {
        let mut of = RIGHT.to_vec();
        of[place] = task;
        settle(&of).map(|_| ())
    };
    with(0, ("other-0", 10, "succeeded")).expect_err("an acknowledged task is lost");
    with(2, ("lane-0", 12, "succeeded")).expect_err("one write is two tasks");
    with(5, ("lane-6", 16, "enqueued")).expect_err("it has not ended");
    with(5, ("lane-6", 16, "failed")).expect_err("an acknowledged write failed");
    with(5, ("lane-6", 17, "succeeded")).expect_err("it is another task");
    with(0, ("lane-0", 10, "failed")).expect_err("a state has changed");
    with(3, ("lane-3", 13, "succeeded")).expect_err("a wrong write succeeded");
    with(2, ("lane-5", 15, "succeeded")).expect_err("a refused write happened");
    with(2, ("lane-9", 12, "succeeded")).expect_err("nobody has sent it");
}
