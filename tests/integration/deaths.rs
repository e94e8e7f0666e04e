//! A thread that Miroir cannot go on without dies: the process ends, says why, and a supervisor sees it by the exit code.

use std::time::Duration;

use serde_json::json;

use crate::support::{Fleet, FleetOptions};

/// How long the end may take.
const LIMIT: Duration = Duration::from_mins(1);

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
    let database = fleet.folder.path().join("miroir").join("miroir.db");
    let database = rusqlite::Connection::open(database).expect("Miroir's store is a database");
    database.busy_timeout(LIMIT).expect("a setting of this connection");
    let copy = format!("UPDATE entries SET outcome = (SELECT outcome FROM entries WHERE id = 0) WHERE id = {task}");
    database.execute_batch(&copy).expect("the first entry has an outcome");

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
