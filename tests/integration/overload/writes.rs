//! More writes than the nodes take, until nothing more may wait for them.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::rig::{LIMIT, MB, Row, Target, check_error, documents};
use crate::support::{now, wait_for};

const DOCUMENTS: &str = "/indexes/things/documents";

/// What writers saw.
#[derive(Default)]
struct Seen {
    accepted: Mutex<Vec<u64>>,
    refused: AtomicUsize,
}

/// Writes from many connections until told to stop; each answer is 202 or 503.
fn write_until(target: &Target, body: &Value, writers: usize, seen: &Seen, is_over: impl Fn() -> bool + Sync) {
    let text = body.to_string();
    std::thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                let client = target.client();
                while !is_over() {
                    let answer =
                        client.send("PUT", DOCUMENTS, Some("application/json"), text.as_bytes()).expect("an answer");
                    if answer.status == 202 {
                        let task = answer.json["taskUid"].as_u64().expect("a number");
                        seen.accepted.lock().expect("nobody panics").push(task);
                    } else {
                        check_error(&answer, 503, "miroir_overloaded");
                        assert_eq!(answer.header("retry-after"), Some("1"));
                        seen.refused.fetch_add(1, Ordering::AcqRel);
                        std::thread::park_timeout(Duration::from_millis(10));
                    }
                }
            });
        }
    });
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

fn wait_until_applied(target: &Target, accepted: &[u64]) {
    let client = target.client();
    let last = accepted.iter().max().copied().expect("something was accepted");
    wait_for("the last task", 10 * LIMIT, || {
        let task = client.get(&format!("/tasks/{last}")).json;
        if task["finishedAt"].is_null() { Err(task.to_string()) } else { Ok(()) }
    });
    let unfinished = client.get("/tasks?statuses=enqueued,processing,failed&limit=1").expect(200);
    assert_eq!(unfinished.json["total"], 0, "{}", unfinished.text);
}

/// Goal: while the only node hangs, writes are accepted until as many wait as may, and refused then; searches of what is not
/// on that node, and everything about tasks, go on. When it goes on all accepted ones are applied, and others are accepted.
#[test]
fn writes_are_refused_when_as_many_wait_as_may() {
    let target = Target::start("backlog: {max_entries: 60}\n", (10, 10));
    let node = target.fleet.nodes[0].process.as_ref().expect("it runs");
    node.signal(Signal::SIGSTOP);
    let seen = Seen::default();
    let body = documents(10, 5_000);
    write_until(&target, &body, 4, &seen, || seen.refused.load(Ordering::Acquire) >= 100);
    let accepted = seen.accepted.lock().expect("nobody panics").clone();
    assert!((50..=70).contains(&accepted.len()), "{} accepted", accepted.len());
    assert_eq!(target.client().get("/tasks?limit=1").status, 200);
    node.signal(Signal::SIGCONT);
    wait_until_applied(&target, &accepted);
    let row = Row {
        test: "writes_are_refused_when_as_many_wait_as_may",
        thrown: "writes of 50 KB without end while the node hangs, where 60 may wait (`backlog.max_entries`)"
            .to_owned(),
        came_back: format!("{} × 202, all applied later; 503 `miroir_overloaded` with `Retry-After`", accepted.len()),
    };
    target.conclude(&row, 80);
}

/// Goal: the same for ten minutes, with a node that works: what waits, memory and disk stay bounded, searches go on, and
/// everything that was accepted is applied.
#[test]
#[ignore = "`make overload`"]
fn writes_beyond_what_nodes_take_in_full() {
    const BACKLOG_MB: usize = 100;
    let target = Target::start(&format!("backlog: {{max_bytes: {BACKLOG_MB}MB}}\n"), (10, 10));
    let seconds = crate::support::rounds(600);
    let seen = Seen::default();
    let body: Value = (0..10).map(|id| json!({"id": id, "text": "word ".repeat(10_000)})).collect();
    let size = body.to_string().len();
    let is_over = AtomicBool::new(false);
    let slowest = std::thread::scope(|scope| {
        let searching = scope.spawn(|| {
            let (client, mut slowest) = (target.client(), Duration::ZERO);
            while !is_over.load(Ordering::Acquire) {
                let begun = now();
                client.post("/indexes/things/search", &json!({"q": "", "limit": 1})).expect(200);
                slowest = slowest.max(begun.elapsed());
                std::thread::park_timeout(Duration::from_millis(100));
            }
            slowest
        });
        let end = now() + Duration::from_secs(seconds as u64);
        write_until(&target, &body, 8, &seen, || now() >= end);
        is_over.store(true, Ordering::Release);
        searching.join().expect("searches go on")
    });
    let disk = bytes_below(&target.fleet.folder.path().join("miroir"));
    let accepted = seen.accepted.lock().expect("nobody panics").clone();
    wait_until_applied(&target, &accepted);
    let refused = seen.refused.load(Ordering::Acquire);
    let row = Row {
        test: "writes_beyond_what_nodes_take_in_full",
        thrown: format!("writes of {} KB from 8 clients for {seconds} s, where {BACKLOG_MB} MB may wait", size / 1_000),
        came_back: format!(
            "{} × 202, all applied; {refused} × 503; journal {} MB; slowest search {} ms",
            accepted.len(),
            disk / MB as u64,
            slowest.as_millis()
        ),
    };
    target.conclude(&row, 400);
}
