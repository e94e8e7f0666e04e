//! Filters that deny a value of an attribute which few documents have, or none: on one server `!=` finds nothing where no
//! document has the attribute, and a fleet must mean the same by it.

use serde_json::{Value, json};

use crate::support::{Client, Fleet, FleetOptions, real_meilisearch};

fn total(client: &Client, filter: &str) -> u64 {
    let body = json!({"filter": filter, "page": 1, "hitsPerPage": 1});
    let answer = client.post("/indexes/things/search", &body).expect(200);
    answer.json["totalHits"].as_u64().expect("an integer")
}

/// What every route that reads counts with a filter.
fn totals(client: &Client, filter: &str) -> [u64; 4] {
    let count = |answer: Value, name: &str| answer[name].as_u64().expect("an integer");
    let listed =
        client.get(&format!("/indexes/things/documents?filter={}", filter.replace(' ', "%20"))).expect(200).json;
    let body = json!({"filter": filter, "sort": ["id:asc"]});
    let fetched = client.post("/indexes/things/documents/fetch", &body).expect(200).json;
    let values =
        client.post("/indexes/things/facet-search", &json!({"facetName": "kind", "filter": filter})).expect(200);
    let values = values.json["facetHits"].as_array().expect("a list").iter();
    let values = values.map(|value| value["count"].as_u64().expect("an integer")).sum();
    [total(client, filter), count(listed, "total"), count(fetched, "total"), values]
}

/// Goal: searches, lists, facet searches and deletes by `!=` find what one server finds: nothing while nobody has the attribute, and all that
/// have another value or none as soon as one document has it, on whatever node it lies.
#[test]
fn what_is_not_equal_is_found_as_on_one_server() {
    let options = FleetOptions { replication_factor: 1, meilisearch: real_meilisearch(), ..FleetOptions::new() };
    let fleet = Fleet::start(&options);
    let client = fleet.client();
    let documents: Value = (0..60).map(|id| json!({"id": id, "group": id % 3, "kind": "any"})).collect();
    client.write_well("POST", "/indexes/things/documents", Some(&documents));
    client.write_well(
        "PUT",
        "/indexes/things/settings/filterable-attributes",
        Some(&json!(["status", "group", "kind"])),
    );
    client.write_well("PUT", "/indexes/things/settings/sortable-attributes", Some(&json!(["id"])));
    assert_eq!(totals(&client, "status != 'gone'"), [0; 4]);
    assert_eq!(total(&client, "NOT status = 'gone'"), 60);
    let deleted =
        client.write_well("POST", "/indexes/things/documents/delete", Some(&json!({"filter": "status != 'gone'"})));
    assert_eq!(deleted["details"]["deletedDocuments"], json!(0), "nothing may be deleted: {deleted}");
    assert_eq!(total(&client, "group >= 0"), 60);

    client.write_well("PUT", "/indexes/things/documents", Some(&json!([{"id": 7, "status": "gone"}])));
    assert_eq!(totals(&client, "status != 'gone'"), [59; 4]);
    for (target, body) in [
        ("/indexes/things/documents/fetch", json!({"filter": "nowhere != 1"})),
        ("/indexes/things/facet-search", json!({"facetName": "kind", "filter": "nowhere != 1"})),
    ] {
        let refused = client.post(target, &body);
        assert_eq!((refused.status, refused.text.contains("NOT")), (400, false), "in other words: {}", refused.text);
    }
    let filter = json!({"filter": "status != 'gone' AND group = 0"});
    let deleted = client.write_well("POST", "/indexes/things/documents/delete", Some(&filter));
    assert_eq!(deleted["details"]["deletedDocuments"], json!(20), "{deleted}");
    assert_eq!(total(&client, "group >= 0"), 40);
}

/// Goal: an attribute that documents once had is denied as on one server, which never forgets it: by searches, lists of
/// documents and deletes.
#[test]
fn an_attribute_that_nobody_has_any_more_can_be_denied() {
    let options = FleetOptions { replication_factor: 1, meilisearch: real_meilisearch(), ..FleetOptions::new() };
    let fleet = Fleet::start(&options);
    let client = fleet.client();
    client.write_well("PATCH", "/indexes/things/settings", Some(&json!({"filterableAttributes": ["rare"]})));
    let mut documents: Vec<Value> = (0..40).map(|id| json!({"id": id})).collect();
    documents.push(json!({"id": 40, "rare": 5}));
    client.write_well("POST", "/indexes/things/documents", Some(&Value::from(documents)));
    client.write_well("DELETE", "/indexes/things/documents/40", None);
    assert_eq!(total(&client, "rare != 5"), 40);
    let listed =
        client.post("/indexes/things/documents/fetch", &json!({"filter": "rare != 5", "limit": 1})).expect(200);
    assert_eq!(listed.json["total"], json!(40));
    let deleted = client.write_well("POST", "/indexes/things/documents/delete", Some(&json!({"filter": "rare != 5"})));
    assert_eq!(deleted["details"]["deletedDocuments"], json!(40), "{deleted}");
}

/// Goal: what only the nodes can filter by, to tell hits apart, deletes nothing either.
#[test]
fn nothing_is_deleted_by_a_distinct_attribute_that_is_not_filterable() {
    let fleet = Fleet::start(&FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() });
    let client = fleet.client();
    client.write_well("POST", "/indexes/things/documents", Some(&json!([{"id": 1, "sku": 1}, {"id": 2, "sku": 1}])));
    client.write_well("PUT", "/indexes/things/settings/distinct-attribute", Some(&json!("sku")));
    let hits = |body: &Value| client.post("/indexes/things/search", body).expect(200).json["hits"].clone();
    assert_eq!(hits(&json!({})).as_array().map(Vec::len), Some(1));
    let task = client.write("POST", "/indexes/things/documents/delete", Some(&json!({"filter": "sku = 1"})));
    assert_eq!(
        (&task["status"], &task["error"]["code"]),
        (&json!("failed"), &json!("invalid_document_filter")),
        "{task}"
    );
    let refused = client.post("/indexes/things/documents/fetch", &json!({"filter": "sku = 1"}));
    assert_eq!((refused.status, refused.code()), (400, "invalid_document_filter"));
    assert_eq!(client.get("/indexes/things/stats").json["numberOfDocuments"], json!(2));
}
