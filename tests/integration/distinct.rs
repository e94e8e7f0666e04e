//! Distinct hits by the index's setting, on fleets of which one node can answer alone.

use serde_json::{Value, json};

use crate::support::{Fleet, FleetOptions, real_meilisearch};

/// Goal: documents whose value is the empty text are each other's duplicates once, as one server has it by its setting: it
/// leaves out more of them only where the client names the attribute. Seen on one Meilisearch 1.50.
#[test]
fn empty_texts_are_distinct_by_the_setting_as_on_one_server_whoever_answers() {
    let values = [
        json!(""),
        json!(""),
        json!("a"),
        json!(""),
        json!(" "),
        json!("b"),
        json!("a"),
        json!(null),
        json!(["", "z"]),
    ];
    let mut documents: Vec<Value> = values.iter().enumerate().map(|(id, sku)| json!({"id": id, "sku": sku})).collect();
    documents.push(json!({"id": 20}));
    for (nodes, replication_factor) in [(1, 1), (2, 2), (3, 1)] {
        let options =
            FleetOptions { nodes, replication_factor, meilisearch: real_meilisearch(), ..FleetOptions::new() };
        let fleet = Fleet::start(&options);
        let client = fleet.client();
        let settings =
            json!({"distinctAttribute": "sku", "filterableAttributes": ["sku"], "sortableAttributes": ["id"]});
        client.write_well("PATCH", "/indexes/things/settings", Some(&settings));
        client.write_well("POST", "/indexes/things/documents?primaryKey=id", Some(&json!(documents)));
        let found = |body: Value| {
            let answer = client.post("/indexes/things/search", &body).expect(200).json;
            let hits = answer["hits"].as_array().expect("a list").clone();
            let ids: Vec<u64> = hits.iter().filter_map(|hit| hit["id"].as_u64()).collect();
            (ids, answer.get("totalHits").unwrap_or(&answer["estimatedTotalHits"]).clone())
        };
        let all = vec![0, 1, 2, 3, 4, 5, 7, 8, 20];
        for (body, expected) in [
            (json!({"sort": ["id:asc"]}), (all.clone(), json!(9))),
            (json!({"sort": ["id:asc"], "page": 1}), (all.clone(), json!(9))),
            (json!({"sort": ["id:asc"], "limit": 3}), (vec![0, 1, 2], json!(9))),
            (json!({"sort": ["id:asc"], "distinct": "sku"}), (vec![0, 2, 5, 7, 20], json!(5))),
            (json!({"sort": ["id:asc"], "distinct": "sku", "limit": 3}), (vec![0, 2], json!(8))),
        ] {
            assert_eq!(found(body.clone()), expected, "{body}, {nodes} nodes, R = {replication_factor}");
        }
    }
}
