//! Nothing that a client can call shows `_miroir`: a walk over every route, and every place where a client could name it.

use serde_json::{Value, json};

use crate::support::{Answer, Client, Fleet, FleetOptions};

const SETTINGS: &[&str] = &[
    "ranking-rules",
    "searchable-attributes",
    "displayed-attributes",
    "filterable-attributes",
    "sortable-attributes",
    "stop-words",
    "synonyms",
    "distinct-attribute",
    "typo-tolerance",
    "faceting",
    "pagination",
    "separator-tokens",
    "non-separator-tokens",
    "dictionary",
    "proximity-precision",
    "search-cutoff-ms",
    "localized-attributes",
    "prefix-search",
    "facet-search",
    "embedders",
    "chat",
];

/// Neither the name nor one of the sixteen letters that markers are written with.
fn is_clean(text: &str) -> bool {
    let letters = "\u{2E00}\u{2E01}\u{2E06}\u{2E07}\u{2E08}\u{2E0B}\u{2E0E}\u{2E0F}\u{2E10}\u{2E11}\u{2E12}\u{2E13}\u{2E14}\u{2E15}\u{2E16}\u{2E18}";
    !text.contains("_miroir") && !text.contains(|letter| letters.contains(letter))
}

#[track_caller]
fn clean(what: &str, answer: &Answer) {
    assert!(is_clean(&answer.text), "{what} shows the marker: {}", answer.text);
    for (name, value) in &answer.headers {
        assert!(is_clean(value), "{what} shows the marker in {name}: {value}");
    }
}

fn prepare(client: &Client, index: &str, settings: &Value) {
    client.write_well("PATCH", &format!("/indexes/{index}/settings"), Some(settings));
    let documents: Vec<Value> = (0..40)
        .map(|id| json!({"id": id, "title": format!("title {id}"), "year": 1990 + id % 9, "a": {"b": id}}))
        .collect();
    client.write_well("POST", &format!("/indexes/{index}/documents"), Some(&documents.into()));
}

#[test]
fn no_route_shows_the_marker() {
    let fleet = Fleet::start(&FleetOptions::new());
    let client = fleet.client();
    prepare(&client, "plain", &json!({"filterableAttributes": ["year", "id"], "sortableAttributes": ["year", "id"]}));
    let all = json!([{"attributePatterns": ["*"]}]);
    prepare(&client, "star", &json!({"filterableAttributes": all, "sortableAttributes": ["year"]}));
    for index in ["plain", "star"] {
        reads(&client, index);
    }
    for target in [
        "/health",
        "/version",
        "/stats",
        "/indexes",
        "/tasks",
        "/tasks/0",
        "/batches",
        "/batches/0",
        "/keys",
        "/network",
        "/experimental-features",
        "/metrics",
        "/webhooks",
    ] {
        clean(target, &client.get(target));
    }
    for (method, target) in [
        ("POST", "/dumps"),
        ("POST", "/snapshots"),
        ("POST", "/multi-search"),
        ("POST", "/swap-indexes"),
        ("POST", "/export"),
    ] {
        clean(target, &client.ask(method, target, Some(&json!({}))));
    }
    lists_of_searches(&client);
    // Answers of errors that nodes give list attributes.
    let wrong = [
        json!({"filter": "nowhere = 1"}),
        json!({"sort": ["nowhere:asc"]}),
        json!({"facets": ["nowhere"]}),
        json!({"attributesToSearchOn": ["nowhere"]}),
        json!({"filter": "year >"}),
    ];
    for body in &wrong {
        clean(&body.to_string(), &client.post("/indexes/plain/search", body));
        clean(&body.to_string(), &client.post("/indexes/plain/documents/fetch", body));
    }
    let task = client.write("POST", "/indexes/plain/documents/delete", Some(&json!({"filter": "nowhere = 1"})));
    assert!(is_clean(&task.to_string()), "{task}");
    let task = client.write("POST", "/indexes/plain/documents/delete", Some(&json!({"filter": "year = 1990"})));
    assert!(is_clean(&task.to_string()), "{task}");
    clean("/tasks", &client.get("/tasks?limit=1000"));
}

/// Plain and federated; all but the marker comes through.
fn lists_of_searches(client: &Client) {
    let queries = json!([
        {"indexUid": "plain", "q": "title", "showRankingScoreDetails": true, "attributesToHighlight": ["*"]},
        {"indexUid": "plain", "filter": "year > 1990"},
        {"indexUid": "star", "showMatchesPosition": true, "filter": "nowhere = 1 OR year != 1990"},
    ]);
    for (federation, status) in [
        (Value::Null, 200),
        (json!({}), 200),
        (json!({"facetsByIndex": {"plain": ["year"], "star": ["*"]}, "distinct": "year"}), 200),
        (json!({"facetsByIndex": {"star": ["*"]}, "mergeFacets": {}, "page": 1}), 200),
        (json!({"facetsByIndex": {"plain": ["nowhere"], "star": ["*"]}, "mergeFacets": {}}), 400),
        (json!({"distinct": "nowhere"}), 400),
    ] {
        let body = json!({"queries": queries, "federation": federation});
        let answer = client.post("/multi-search", &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        clean(&body.to_string(), &answer);
        let results = answer.json["results"].as_array().cloned().unwrap_or_else(|| vec![answer.json.clone()]);
        for hit in results.iter().filter_map(|result| result["hits"].as_array()).flatten() {
            let lacks = ["id", "title", "year", "a"].into_iter().find(|name| hit.get(name).is_none());
            assert_eq!(lacks, None, "{body}: {hit}");
        }
    }
}

fn reads(client: &Client, index: &str) {
    let searches = [
        json!({}),
        json!({"q": "title", "attributesToHighlight": ["*"], "attributesToCrop": ["*"], "showMatchesPosition": true}),
        json!({"q": "title 7", "showRankingScore": true, "showRankingScoreDetails": true, "attributesToRetrieve": ["*"]}),
        json!({"facets": ["*"], "hitsPerPage": 3}),
        json!({"facets": ["year"], "sort": ["year:desc"]}),
        json!({"q": "\u{2E00}\u{2E01}"}),
        json!({"q": "_miroi"}),
        json!({"filter": "id = 3"}),
    ];
    for body in &searches {
        let answer = client.post(&format!("/indexes/{index}/search"), body);
        // The text of a query comes back with the answer.
        let mut json = answer.json.clone();
        if let Some(fields) = json.as_object_mut() {
            fields.remove("query");
        }
        assert!(is_clean(&json.to_string()), "{body} shows the marker: {json}");
    }
    let hits = client.post(&format!("/indexes/{index}/search"), &json!({"q": "\u{2E00}"})).json["hits"].clone();
    assert!(hits.as_array().is_some_and(|hits| hits.len() == 20), "a separator alone is an empty query: {hits}");
    let get = |target: &str| clean(target, &client.get(&format!("/indexes/{index}{target}")));
    for target in [
        "",
        "/stats",
        "/documents",
        "/documents?limit=100",
        "/documents/3",
        "/documents/3?fields=*",
        "/documents?fields=id",
        "/search?q=title",
        "/search?facets=*",
        "/settings",
        "/fields",
        "/similar?id=1",
    ] {
        get(target);
    }
    for name in SETTINGS {
        get(&format!("/settings/{name}"));
    }
    for target in ["/documents/fetch", "/facet-search", "/similar", "/fields"] {
        clean(target, &client.post(&format!("/indexes/{index}{target}"), &json!({"facetName": "_miroi", "id": 1})));
    }
}

#[test]
fn naming_the_marker_is_refused() {
    let fleet = Fleet::start(&FleetOptions { nodes: 1, replication_factor: 1, shards: 4, ..FleetOptions::new() });
    let client = fleet.client();
    prepare(&client, "films", &json!({"filterableAttributes": ["year"], "sortableAttributes": ["year"]}));
    let search = "/indexes/films/search";
    let refused = [
        (search, json!({"filter": "_miroir = x"})),
        (search, json!({"filter": [["year = 1", "_miroir EXISTS"]]})),
        (search, json!({"sort": ["_miroir:asc"]})),
        (search, json!({"facets": ["_miroir"]})),
        (search, json!({"attributesToRetrieve": ["_miroir"]})),
        (search, json!({"attributesToHighlight": ["_miroir"]})),
        (search, json!({"attributesToCrop": ["_miroir:3"]})),
        (search, json!({"attributesToSearchOn": ["_miroir"]})),
        ("/multi-search", json!({"queries": [{"indexUid": "films", "filter": "_miroir = x"}]})),
        ("/multi-search", json!({"queries": [{"indexUid": "films", "sort": ["_miroir:asc"]}], "federation": {}})),
        ("/multi-search", json!({"queries": [], "federation": {"facetsByIndex": {"films": ["_miroir"]}}})),
        ("/multi-search", json!({"queries": [], "federation": {"distinct": "_miroir"}})),
        ("/indexes/films/documents/fetch", json!({"fields": ["_miroir"]})),
        ("/indexes/films/documents/fetch", json!({"filter": "_miroir = x"})),
        ("/indexes/films/documents/delete", json!({"filter": "_miroir EXISTS"})),
    ];
    for (target, body) in &refused {
        let answer = client.post(target, body);
        assert_eq!((answer.status, answer.code()), (400, "miroir_reserved_field"), "{target} {body}: {}", answer.text);
    }
    let settings = [
        json!({"filterableAttributes": ["_miroir"]}),
        json!({"sortableAttributes": ["_miroir"]}),
        json!({"searchableAttributes": ["_miroir"]}),
        json!({"displayedAttributes": ["_miroir"]}),
        json!({"rankingRules": ["_miroir:asc"]}),
        json!({"typoTolerance": {"disableOnAttributes": ["_miroir"]}}),
        json!({"localizedAttributes": [{"attributePatterns": ["_miroir"], "locales": ["eng"]}]}),
    ];
    for body in &settings {
        let answer = client.ask("PATCH", "/indexes/films/settings", Some(body));
        assert_eq!((answer.status, answer.code()), (400, "miroir_reserved_field"), "{body}: {}", answer.text);
    }
    // As a top-level key of a document, however it is written.
    for text in ["[{\"id\": 1, \"_miroir\": \"x\"}]", "[{\"id\": 1, \"\\u005fmiroir\": \"x\"}]"] {
        let answer = client.send("POST", "/indexes/films/documents", Some("application/json"), text.as_bytes());
        let answer = answer.expect("the server answers");
        let code = match answer.status {
            202 => client.wait_for_task(answer.json["taskUid"].as_u64().expect("an integer"))["error"]["code"].clone(),
            _ => answer.json["code"].clone(),
        };
        assert_eq!(code, "miroir_reserved_field", "{text}: {}", answer.text);
    }
}
