//! A corpus of the size of the world's cities on three nodes, two replicas: placement, counts, and a node that dies.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::replicas::{contents, wait_until_equal};
use crate::support::{Client, Fleet, FleetOptions, Random, seed};

/// As many as the list of world cities has.
const COUNT: usize = 4449;

/// Documents per request.
const BATCH: usize = 1500;

fn city(random: &mut Random, number: usize) -> Value {
    const NAMES: &[&str] =
        &["Alba", "Brook", "Cedar", "Dover", "Elm", "Fair", "Green", "High", "Iron", "King", "Lake", "Mill"];
    const ENDINGS: &[&str] = &["ton", "ville", "burg", "ford", "haven", "port", "field", "mouth"];
    const COUNTRIES: &[&str] = &["France", "Japan", "Brazil", "Kenya", "Iceland", "Peru", "Chad", "Norway"];
    json!({
        "id": number,
        "name": format!("{}{}", random.pick(NAMES), random.pick(ENDINGS)),
        "country": random.pick_skewed(COUNTRIES),
        "population": random.between(1, 30_000_000),
        "_geo": {"lat": random.between(-8000, 8000) as f64 / 100.0, "lng": random.between(-17_000, 17_000) as f64 / 100.0},
    })
}

fn searches() -> Vec<Value> {
    vec![
        json!({"q": "", "page": 1, "hitsPerPage": 20, "sort": ["population:desc"]}),
        json!({"q": "cedarton", "page": 1, "hitsPerPage": 50, "sort": ["id:asc"]}),
        json!({"q": "lakehavn", "page": 1, "hitsPerPage": 50, "sort": ["id:asc"]}),
        json!({"q": "mil", "page": 2, "hitsPerPage": 10, "sort": ["id:asc"], "facets": ["country"]}),
        json!({"filter": "country = Japan AND population > 1000000", "page": 1, "hitsPerPage": 100, "sort": ["id:desc"]}),
        json!({"filter": "_geoRadius(10, 20, 2000000)", "page": 1, "hitsPerPage": 100, "sort": ["_geoPoint(10,20):asc"]}),
        json!({"facets": ["country"], "page": 1, "hitsPerPage": 1, "sort": ["id:asc"]}),
    ]
}

/// The answers without what measures. Sorted by id or by what no two cities share, so that nothing is a tie.
fn answers(client: &Client) -> Vec<Value> {
    let ask = |body: &Value| {
        let mut answer = client.post("/indexes/cities/search", body).expect(200).json;
        answer.as_object_mut().expect("an answer is an object").remove("processingTimeMs");
        answer
    };
    searches().iter().map(ask).collect()
}

/// Goal: acceptance 2 of the issue. Method: 4,449 documents on three nodes with 64 shards and two replicas; placement is read
/// from the admin API, the counts from the nodes themselves; then one node is killed with -9.
#[test]
fn cities_are_spread_evenly_and_survive_the_death_of_a_node() {
    let mut fleet = Fleet::start(&FleetOptions { shards: 64, ..FleetOptions::new() });
    let client = fleet.client();
    let random = &mut Random::new(seed());
    let documents: Vec<Value> = (0..COUNT).map(|number| city(random, number)).collect();
    let settings = json!({"filterableAttributes": ["country", "population", "_geo"], "sortableAttributes": ["population", "id", "_geo"]});
    client.write_well("POST", "/indexes", Some(&json!({"uid": "cities", "primaryKey": "id"})));
    client.write_well("PATCH", "/indexes/cities/settings", Some(&settings));
    for batch in documents.chunks(BATCH) {
        let task = client.write_well("POST", "/indexes/cities/documents", Some(&batch.into()));
        assert_eq!(task["details"]["indexedDocuments"], batch.len());
    }
    let stats = client.get("/indexes/cities/stats").expect(200).json;
    assert_eq!(stats["numberOfDocuments"], COUNT);

    check_placement(&fleet);
    let before = answers(&client);
    assert!(
        before.iter().all(|answer| !answer["hits"].as_array().expect("hits").is_empty()),
        "every search finds something"
    );

    fleet.nodes[1].kill();
    for (search, (before, after)) in searches().iter().zip(before.iter().zip(answers(&client))) {
        assert_eq!(*before, after, "{search}");
    }
}

fn check_placement(fleet: &Fleet) {
    let shards = fleet.admin().get("/shards").expect(200).json;
    let shards = shards["results"].as_array().expect("a list");
    assert_eq!(shards.len(), 64);
    let mut loads: BTreeMap<String, usize> = BTreeMap::new();
    for shard in shards {
        let nodes = shard["nodes"].as_array().expect("a list");
        assert_eq!(nodes.len(), 2, "{shard}");
        assert_ne!(nodes[0], nodes[1], "{shard}");
        for node in nodes {
            *loads.entry(node.as_str().expect("a name").to_owned()).or_default() += 1;
        }
    }
    assert_eq!(loads.len(), 3, "{loads:?}");
    let (least, most) = (loads.values().min().expect("three"), loads.values().max().expect("three"));
    assert!(most - least <= 1, "{loads:?}");

    // What placement says a node holds is what it holds.
    let hashes = wait_until_equal(fleet, "cities", "id", 2);
    assert_eq!(hashes.len(), COUNT);
    let all: Vec<_> =
        fleet.nodes.iter().map(|node| contents(&node.client(), "cities", "id").expect("the node runs")).collect();
    for (node, contents) in fleet.nodes.iter().zip(&all) {
        let mut markers: Vec<&str> = contents.values().map(|stored| stored.marker.as_str()).collect();
        markers.sort_unstable();
        markers.dedup();
        assert_eq!(markers.len(), loads[&node.id], "with so many documents no shard is empty: {}", node.id);
    }
}
