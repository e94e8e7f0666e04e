//! A node hangs: its connections stay open, and nothing comes back (SIGSTOP).

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Fleet, FleetOptions, now, wait_for};

/// `search.deadline` of these tests.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long the prober may take to notice.
const NOTICE_LIMIT: Duration = Duration::from_mins(1);

fn fleet_of(nodes: usize, replication_factor: usize) -> Fleet {
    patient_fleet_of(nodes, replication_factor, DEADLINE)
}

fn patient_fleet_of(nodes: usize, replication_factor: usize, deadline: Duration) -> Fleet {
    let configuration = format!("search: {{deadline: {}s}}\n", deadline.as_secs());
    let fleet = Fleet::start(&FleetOptions { nodes, replication_factor, configuration, ..FleetOptions::new() });
    let documents: Value = (0..200).map(|id| json!({"id": id, "title": format!("number {id}")})).collect();
    fleet.client().write_well("POST", "/indexes/things/documents", Some(&documents));
    fleet
}

fn hang(fleet: &Fleet, node: usize) {
    fleet.nodes[node].process.as_ref().expect("it runs").signal(Signal::SIGSTOP);
}

fn search(client: &Client, query: usize) -> (Answer, Duration) {
    let begun = now();
    let body = json!({"q": "", "page": 1, "hitsPerPage": query % 7});
    let answer = client.post("/indexes/things/search", &body).expect(200);
    (answer, begun.elapsed())
}

/// Goal: with two replicas a node that hangs costs neither hits nor the deadline, before and after the prober noticed.
#[test]
fn with_two_replicas_a_node_that_hangs_is_gone_round() {
    let fleet = fleet_of(3, 2);
    let client = fleet.client();
    for node in 0..2 {
        hang(&fleet, node);
        for query in 0..30 {
            let (answer, elapsed) = search(&client, query);
            assert_eq!(answer.json["totalHits"], 200, "{}", answer.text);
            assert_eq!(answer.header("x-miroir-degraded"), None);
            assert!(elapsed < DEADLINE / 2, "search {query} took {elapsed:?}");
            let id = query * 6;
            let begun = now();
            assert_eq!(client.get(&format!("/indexes/things/documents/{id}")).expect(200).json["id"], id);
            assert!(begun.elapsed() < DEADLINE / 2, "document {id} took {:?}", begun.elapsed());
        }
        fleet.nodes[node].process.as_ref().expect("it runs").signal(Signal::SIGCONT);
        fleet.nodes[node].client().wait_until_healthy(NOTICE_LIMIT);
    }
}

/// Goal: with one replica a node that hangs makes answers degraded, and soon not slow any more.
#[test]
fn with_one_replica_a_node_that_hangs_degrades_answers_and_does_not_hold_them_up() {
    let fleet = fleet_of(2, 1);
    let client = fleet.client();
    hang(&fleet, 1);
    wait_for("degraded answers before half of the deadline", NOTICE_LIMIT, || {
        let (answer, elapsed) = search(&client, 1);
        assert_eq!(answer.json["degraded"], true, "{}", answer.text);
        if elapsed < DEADLINE / 2 { Ok(()) } else { Err(format!("{elapsed:?}")) }
    });
    fleet.nodes[1].process.as_ref().expect("it runs").signal(Signal::SIGCONT);
    wait_for("complete answers", NOTICE_LIMIT, || {
        let (answer, _) = search(&client, 1);
        if answer.json["totalHits"] == 200 && answer.json["degraded"].is_null() { Ok(()) } else { Err(answer.text) }
    });
}

/// Goal: whoever deletes what readers were sent to can tell that the last of them has its answer.
#[test]
fn a_request_under_way_holds_back_the_drained_epoch() {
    let fleet = patient_fleet_of(1, 1, NOTICE_LIMIT);
    let (client, admin) = (fleet.client(), fleet.admin());
    let epochs = || {
        let status = admin.get("/status").expect(200).json;
        ["epoch", "acknowledgedEpoch", "drainedEpoch"].map(|name| status[name].as_u64().expect("a number"))
    };
    let [before, ..] = wait_for("quiet", NOTICE_LIMIT, || {
        let found = epochs();
        if found == [found[0]; 3] { Ok(found) } else { Err(format!("{found:?}")) }
    });
    hang(&fleet, 0);
    let waiting = std::thread::spawn(move || search(&client, 1));
    // The prober notices, and that is published.
    wait_for("cores that are ahead of the request", NOTICE_LIMIT, || {
        let [epoch, acknowledged, drained] = epochs();
        if epoch > before && acknowledged == epoch && drained == before { Ok(()) } else { Err(format!("{drained}")) }
    });
    fleet.nodes[0].process.as_ref().expect("it runs").signal(Signal::SIGCONT);
    let (answer, _) = waiting.join().expect("the search is answered");
    assert_eq!((&answer.json["totalHits"], answer.header("x-miroir-degraded")), (&json!(200), None), "{}", answer.text);
    wait_for("nothing older than the last epoch", NOTICE_LIMIT, || {
        let found = epochs();
        if found == [found[0]; 3] { Ok(()) } else { Err(format!("{found:?}")) }
    });
}
