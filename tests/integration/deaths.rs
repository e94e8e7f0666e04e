//! A thread that Miroir cannot go on without dies: the process ends, says why, and a supervisor sees it by the exit code.
//! No node that hangs holds up the end, whatever its reason.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Fleet, FleetOptions, wait_for};

/// How long the end may take.
const LIMIT: Duration = Duration::from_mins(1);

/// How long it may take once it has begun; a request to a node that hangs takes 30 s.
const END_LIMIT: Duration = Duration::from_secs(15);

/// Gives a write the outcome of the first, behind Miroir's back.
fn give_an_outcome(fleet: &Fleet, task: &serde_json::Value) {
    let database =
        miroir::store::sqlite::connect(&fleet.folder.path().join("miroir")).expect("Miroir's store is a database");
    database.busy_timeout(LIMIT).expect("a setting of this connection");
    let copy = format!("UPDATE entries SET outcome = (SELECT outcome FROM entries WHERE id = 0) WHERE id = {task}");
    database.execute_batch(&copy).expect("the first entry has an outcome");
}

/// Goal: a dead thread of the coordinator ends the process. Method: while its node is away, a write is given an outcome
/// behind Miroir's back; reporting it again is refused by the store, which nothing can go on from.
#[test]
fn a_dead_thread_ends_the_process_with_a_message_and_an_exit_code() {
    // The second life must not wait long for requests of the first.
    let configuration = "feeder: {quarantine: 1s}\n".to_owned();
    let options = FleetOptions { nodes: 1, replication_factor: 1, shards: 4, configuration, ..FleetOptions::new() };
    let mut fleet = Fleet::start(&options);
    let documents = json!([{"id": 1}]);
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&documents));
    fleet.nodes[0].kill();
    let task = fleet.client().post("/indexes/films/documents", &documents).expect(202).json["taskUid"].clone();
    give_an_outcome(&fleet, &task);

    fleet.nodes[0].start();
    let process = fleet.miroir.as_mut().expect("it runs");
    let status = process.wait(LIMIT);
    let said = process.output();
    assert_eq!(status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    for word in ["the thread ", " died: the store refuses", "start miroir again"] {
        assert!(last.contains(word), "{word} is not in: {last}");
    }
    // What is stored is the truth: the next life goes on from there.
    fleet.start_miroir();
    let again = fleet.client();
    again.wait_until_healthy(LIMIT);
    again.write_well("POST", "/indexes/films/documents", Some(&documents));
}

/// Goal: neither a dead thread nor SIGTERM waits for a request to a node that hangs. Method: as above, while a second
/// node, which nobody waits for any more, has a request and does not answer.
#[test]
fn a_node_that_hangs_does_not_hold_up_the_end() {
    let configuration = "in_sync_timeout: 1s\nshutdown_timeout: 1s\nfeeder: {quarantine: 1s}\n".to_owned();
    let options = FleetOptions { nodes: 2, replication_factor: 2, shards: 4, configuration, ..FleetOptions::new() };
    let mut fleet = Fleet::start(&options);
    let documents = json!([{"id": 1}]);
    let path = "/indexes/films/documents";
    fleet.client().write_well("POST", path, Some(&documents));
    fleet.nodes[0].kill();
    fleet.nodes[1].process.as_ref().expect("it runs").signal(Signal::SIGSTOP);
    let task = fleet.client().post(path, &documents).expect(202).json["taskUid"].clone();
    give_an_outcome(&fleet, &task);
    fleet.nodes[0].start();
    let process = fleet.miroir.as_mut().expect("it runs");
    wait_for("the death of a thread", LIMIT, || {
        let said = process.output();
        if said.contains("a thread of the control plane died") { Ok(()) } else { Err(said) }
    });
    let status = process.wait(END_LIMIT);
    let said = process.output();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("not waited for") && said.contains("feeder-node-1"), "{said}");

    fleet.nodes[1].process.as_ref().expect("it runs").signal(Signal::SIGCONT);
    fleet.start_miroir();
    fleet.client().wait_until_healthy(LIMIT);
    fleet.client().write_well("POST", path, Some(&documents));
    fleet.nodes[1].process.as_ref().expect("it runs").signal(Signal::SIGSTOP);
    let task = fleet.client().post(path, &documents).expect(202).json["taskUid"].clone();
    // The other node has it, so this one was asked too.
    fleet.client().wait_for_task(task.as_u64().expect("a number"));
    let process = fleet.miroir.as_mut().expect("it runs");
    process.signal(Signal::SIGTERM);
    let status = process.wait(END_LIMIT);
    assert_eq!(status.code(), Some(0), "{}", process.output());
}
