//! The order of hits that no ranking rule tells apart: the same each time, over pages, restarts and the loss of a node.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fleet::node_index;
use crate::support::{Client, Fleet, FleetOptions, real_meilisearch, wait_for};

/// All of them tie.
const DOCUMENTS: usize = 230;

fn documents() -> Value {
    (0..DOCUMENTS).map(|number| json!({"id": (number * 37) % DOCUMENTS, "title": "one and the same"})).collect()
}

fn page(client: &Client, offset: usize, limit: usize) -> Vec<u64> {
    let body = json!({"q": "same", "offset": offset, "limit": limit, "showRankingScoreDetails": true});
    let answer = client.post("/indexes/things/search", &body).expect(200);
    assert!(!answer.text.contains("id:asc"), "a rule that is not the user's: {}", answer.text);
    let hits = answer.json["hits"].as_array().expect("hits").iter();
    hits.map(|hit| hit["id"].as_u64().expect("an id")).collect()
}

fn pages(client: &Client, from: usize, to: usize, size: usize) -> Vec<u64> {
    (from..to).step_by(size).flat_map(|offset| page(client, offset, size)).collect()
}

/// Goal: on an unchanged fleet the order is always the same, whatever the page, and restarts of processes do not change it.
#[test]
fn ties_keep_their_order_over_pages_and_restarts() {
    let options = FleetOptions { replication_factor: 1, meilisearch: real_meilisearch(), ..FleetOptions::new() };
    let mut fleet = Fleet::start(&options);
    let client = fleet.client();
    client.write_well("POST", "/indexes/things/documents", Some(&documents()));
    let whole = page(&client, 0, DOCUMENTS);
    let mut ids = whole.clone();
    ids.sort_unstable();
    assert_eq!(ids, (0..DOCUMENTS as u64).collect::<Vec<_>>(), "every document once");
    assert_eq!(pages(&client, 0, DOCUMENTS, 7), whole);
    assert_eq!(pages(&client, 0, DOCUMENTS, 110), whole, "far pages are ranked without their documents");

    fleet.kill_miroir();
    fleet.start_miroir();
    fleet.client().wait_until_healthy(Duration::from_mins(1));
    for node in &mut fleet.nodes {
        node.kill();
        node.start();
    }
    let client = fleet.client();
    wait_for("all nodes are read again", Duration::from_mins(1), || {
        let body = json!({"page": 1, "hitsPerPage": 1});
        let answer = client.post("/indexes/things/search", &body);
        let is_whole = answer.status == 200 && answer.json["totalHits"] == DOCUMENTS;
        if is_whole && answer.json.get("degraded").is_none() { Ok(()) } else { Err(answer.text) }
    });
    assert_eq!(page(&client, 0, DOCUMENTS), whole);
}

/// Goal: with `search.sort_ties_by_id` pages go on where the last one ended though other replicas answer for the next.
#[test]
fn ties_sorted_by_id_keep_pages_together_when_a_node_dies() {
    let configuration = "search: {sort_ties_by_id: on}\ndrift: {interval: 1s}\n".to_owned();
    let options = FleetOptions { configuration, meilisearch: real_meilisearch(), ..FleetOptions::new() };
    let mut fleet = Fleet::start(&options);
    let client = fleet.client();
    client.write_well("POST", "/indexes/things/documents", Some(&documents()));
    for node in &fleet.nodes {
        let client = node.client();
        let index = node_index(&client, "things").expect("the node has the index");
        wait_for("the node has the rule", Duration::from_mins(2), || {
            let rules = client.get(&format!("/indexes/{index}/settings/ranking-rules")).json;
            let last = rules.as_array().and_then(|rules| rules.last());
            if last == Some(&json!("id:asc")) { Ok(()) } else { Err(rules.to_string()) }
        });
    }
    let sorted = |from: usize, to: usize| (from as u64..to as u64).collect::<Vec<_>>();
    assert_eq!(pages(&client, 0, 100, 20), sorted(0, 100));
    fleet.nodes[1].kill();
    assert_eq!(pages(&client, 100, DOCUMENTS, 20), sorted(100, DOCUMENTS));
    let rules = client.get("/indexes/things/settings/ranking-rules").json;
    assert_eq!(rules.as_array().map(Vec::len), Some(7), "{rules}");
}
