//! `attributesToSearchOn` with attributes that few documents have: what lies inside of a searchable attribute may be named as
//! soon as one document has it, on whatever node that lies.

use serde_json::{Value, json};

use crate::support::{Fleet, FleetOptions, real_meilisearch};

/// Goal: what one node knows is searched on, by all kinds of searches; what nobody knows is refused with all names there are.
#[test]
fn an_attribute_is_searched_on_when_any_node_knows_it() {
    let options = FleetOptions { replication_factor: 1, meilisearch: real_meilisearch(), ..FleetOptions::new() };
    let fleet = Fleet::start(&options);
    let client = fleet.client();
    client.write_well("POST", "/indexes", Some(&json!({"uid": "things", "primaryKey": "id"})));
    let settings = json!({"searchableAttributes": ["owner", "title"], "filterableAttributes": ["kind"]});
    client.write_well("PATCH", "/indexes/things/settings", Some(&settings));
    let mut documents: Vec<Value> = (0..30).map(|id| json!({"id": id, "title": "word", "kind": "plain"})).collect();
    documents.push(json!({"id": 30, "owner": {"name": "word"}, "kind": "owned"}));
    client.write_well("POST", "/indexes/things/documents", Some(&Value::from(documents)));

    let one = json!({"q": "word", "attributesToSearchOn": ["owner.name"]});
    let both = json!({"q": "word", "attributesToSearchOn": ["owner.*", "title"], "limit": 50});
    let hits = |body: &Value| client.post("/indexes/things/search", body).expect(200).json["hits"].clone();
    assert_eq!(hits(&one), json!([{"id": 30, "owner": {"name": "word"}, "kind": "owned"}]));
    assert_eq!(hits(&both).as_array().map(Vec::len), Some(31));

    let facets = json!({"facetName": "kind", "q": "word", "attributesToSearchOn": ["owner.name"]});
    let facets = client.post("/indexes/things/facet-search", &facets).expect(200);
    assert_eq!(facets.json["facetHits"], json!([{"value": "owned", "count": 1}]));

    let query = |body: &Value| {
        let mut query = body.clone();
        query["indexUid"] = json!("things");
        query.as_object_mut().expect("an object").remove("limit");
        query
    };
    let queries = json!({"federation": {"limit": 50}, "queries": [query(&one), query(&both)]});
    let federated = client.post("/multi-search", &queries).expect(200);
    assert_eq!(federated.json["hits"].as_array().map(Vec::len), Some(31), "{}", federated.json);
    assert_eq!(federated.json["estimatedTotalHits"], json!(31));

    let nowhere = json!({"q": "word", "attributesToSearchOn": ["owner.name", "nowhere"]});
    let refused = client.post("/indexes/things/search", &nowhere);
    assert_eq!((refused.status, refused.code()), (400, "invalid_search_attributes_to_search_on"));
    let message = "Index `things`: Attribute `nowhere` is not searchable. Available searchable attributes are: \
                   `owner, owner.name, title`.";
    assert_eq!(refused.json["message"], json!(message));
}
