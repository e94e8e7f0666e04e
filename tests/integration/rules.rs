//! Dynamic search rules: pinned hits over several nodes are those of one server, and rules belong to the whole fleet.

use serde_json::{Value, json};

use crate::support::fleet::{Node, START_LIMIT};
use crate::support::{Client, Fleet, FleetOptions, real_meilisearch, wait_for};

const DOCUMENTS: u64 = 60;

fn pin(index: Option<&str>, id: u64, position: u64) -> Value {
    let selector = match index {
        Some(index) => json!({"indexUid": index, "id": id.to_string()}),
        None => json!({"id": id.to_string()}),
    };
    json!({"selector": selector, "action": {"type": "pin", "position": position}})
}

fn set(client: &Client, uid: &str, rule: &Value) {
    client.write_well("PATCH", &format!("/dynamic-search-rules/{uid}"), Some(rule));
}

fn switch_on(client: &Client) {
    client.ask("PATCH", "/experimental-features", Some(&json!({"dynamicSearchRules": true}))).expect(200);
}

/// Two indexes; every order of hits is decided by `n`.
fn load(client: &Client) {
    for (index, shift) in [("m", 0), ("n", 3)] {
        client.write_well("POST", "/indexes", Some(&json!({"uid": index, "primaryKey": "id"})));
        let settings = json!({
            "filterableAttributes": ["kind", "group", "id"], "sortableAttributes": ["n"],
            "rankingRules": ["words", "sort", "n:asc"],
        });
        client.write_well("PATCH", &format!("/indexes/{index}/settings"), Some(&settings));
        let words = ["batman", "returns", "forever"];
        let document = |id: u64| {
            let title: Vec<&str> = (0..3).filter(|bit| id >> bit & 1 == 1).map(|bit| words[bit as usize]).collect();
            let kind = ["red", "green", "blue"][id as usize % 3];
            json!({"id": id, "n": (id * 7 + shift) % DOCUMENTS, "title": title.join(" "), "kind": kind, "group": id % 7})
        };
        let documents: Value = (0..DOCUMENTS).map(document).collect();
        client.write_well("POST", &format!("/indexes/{index}/documents"), Some(&documents));
    }
}

/// Cases: rules by name, in the order in which they are made.
fn cases() -> Vec<(&'static str, Vec<(&'static str, Value)>)> {
    let rule = |more: &Value, actions: Vec<Value>| {
        let mut rule = more.clone();
        rule["actions"] = actions.into();
        rule
    };
    let none = json!({});
    let words = |words: &str| json!({"conditions": {"query": {"words": words}}});
    let empty = |is_empty: bool| json!({"conditions": {"query": {"isEmpty": is_empty}}});
    let time = |start: &str, end: &str| json!({"conditions": {"time": {"start": start, "end": end}}});
    let (past, soon, future) = ("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z", "2099-01-01T00:00:00Z");
    vec![
        ("none", vec![]),
        ("several places", vec![("a", rule(&none, vec![pin(None, 7, 0), pin(None, 8, 2), pin(None, 9, 2)]))]),
        (
            "one place, two rules",
            vec![
                ("b", rule(&none, vec![pin(None, 20, 1)])),
                ("a", rule(&none, vec![pin(None, 21, 1), pin(None, 7, 1), pin(None, 22, 1)])),
            ],
        ),
        (
            "precedence, and one document twice",
            vec![
                ("a", rule(&json!({"precedence": 5}), vec![pin(None, 20, 1), pin(None, 7, 0)])),
                ("b", rule(&json!({"precedence": 1}), vec![pin(None, 21, 1), pin(None, 7, 3)])),
                ("c", rule(&none, vec![pin(None, 5, 1)])),
            ],
        ),
        (
            "a late place before an early one",
            vec![
                ("a", rule(&json!({"precedence": 1}), vec![pin(None, 20, 5)])),
                ("b", rule(&json!({"precedence": 2}), vec![pin(None, 21, 0)])),
            ],
        ),
        ("beyond the end", vec![("a", rule(&none, vec![pin(None, 20, 100), pin(None, 21, 70)]))]),
        (
            "words",
            vec![
                ("a", rule(&words("batman"), vec![pin(None, 20, 0)])),
                ("b", rule(&words("Returns BATMAN"), vec![pin(None, 22, 0)])),
                ("c", rule(&empty(true), vec![pin(None, 23, 1)])),
                ("d", rule(&empty(false), vec![pin(None, 24, 1)])),
            ],
        ),
        (
            "times",
            vec![
                ("a", rule(&time(past, future), vec![pin(None, 20, 0)])),
                ("b", rule(&time(past, soon), vec![pin(None, 22, 0)])),
            ],
        ),
        (
            "indexes",
            vec![("a", rule(&none, vec![pin(Some("m"), 7, 0), pin(Some("n"), 8, 0), pin(Some("nowhere"), 9, 0)]))],
        ),
        (
            "not active",
            vec![
                ("a", rule(&none, vec![pin(None, 7, 0)])),
                ("b", rule(&json!({"active": false}), vec![pin(None, 8, 0)])),
                ("c", rule(&json!({"active": true}), vec![pin(None, 9, 3)])),
            ],
        ),
    ]
}

fn searches() -> Vec<(&'static str, Value)> {
    let mut all: Vec<(&str, Value)> = [
        json!({}),
        json!({"limit": 3}),
        json!({"offset": 5, "limit": 5}),
        json!({"q": "batman", "showRankingScore": true, "showRankingScoreDetails": true, "limit": 6}),
        json!({"q": "nothing of that", "matchingStrategy": "all"}),
        json!({"q": "batman returns", "filter": "kind = red", "limit": 50}),
        json!({"filter": "id = 7"}),
        json!({"filter": "id = 99"}),
        json!({"page": 2, "hitsPerPage": 4}),
        json!({"page": 3, "hitsPerPage": 7, "attributesToRetrieve": ["title"]}),
        json!({"limit": 0}),
        json!({"q": "batman", "facets": ["kind", "group"], "limit": 4}),
        json!({"sort": ["n:desc"], "limit": 8}),
        json!({"offset": 50, "limit": 30}),
        json!({"limit": 200}),
        json!({"distinct": "group", "limit": 5}),
        json!({"q": "batman", "distinct": "kind"}),
    ]
    .into_iter()
    .map(|search| ("/indexes/m/search", search))
    .collect();
    all.push(("/indexes/n/search", json!({"limit": 5})));
    let of = |index: &str, q: &str| json!({"indexUid": index, "q": q});
    for (federation, queries) in [
        (json!({}), json!([of("m", ""), of("n", "")])),
        (json!({"limit": 5}), json!([of("m", "batman"), of("m", "returns")])),
        (json!({"limit": 5, "offset": 3}), json!([of("m", "batman"), of("n", "returns")])),
        (json!({"facetsByIndex": {"m": ["kind"], "n": ["kind"]}}), json!([of("m", "batman"), of("n", "zzz")])),
        (json!({"page": 2, "hitsPerPage": 4}), json!([of("m", "batman"), of("m", "forever"), of("n", "returns")])),
    ] {
        all.push(("/multi-search", json!({"federation": federation, "queries": queries})));
    }
    all
}

fn comparable(mut answer: Value) -> Value {
    if let Some(answer) = answer.as_object_mut() {
        answer.remove("processingTimeMs");
        answer.remove("requestUid");
    }
    answer
}

/// Goal: whatever rules pin, hits, pages, totals and facets are those of one server, and none is said to be approximate.
/// Method: the same rules and searches on one real server and on Miroir over three, each shard on two of them.
#[test]
fn pinned_hits_are_those_of_one_server() {
    let Some(meilisearch) = real_meilisearch() else {
        eprintln!("embedded nodes pin nothing; MIROIR_TEST_MEILISEARCH=/path/to/meilisearch runs this on real ones");
        return;
    };
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let mut one = Node::new("alone", folder.path(), Some(meilisearch.clone()));
    one.start();
    let fleet =
        Fleet::start(&FleetOptions { replication_factor: 2, meilisearch: Some(meilisearch), ..FleetOptions::new() });
    let clients = [one.client(), fleet.client()];
    clients[0].wait_until_healthy(START_LIMIT);
    for client in &clients {
        switch_on(client);
        load(client);
    }
    for (case, rules) in cases() {
        for client in &clients {
            client.write_well("DELETE", "/dynamic-search-rules", None);
            for (uid, rule) in &rules {
                set(client, uid, rule);
            }
        }
        let listings =
            clients.each_ref().map(|client| client.post("/dynamic-search-rules", &json!({})).expect(200).json);
        assert_eq!(listings[0], listings[1], "{case}");
        for (target, search) in searches() {
            let [one, miroir] = clients.each_ref().map(|client| client.post(target, &search).expect(200));
            assert_eq!(miroir.header("x-miroir-approximate"), None, "{case}: {search}");
            assert_eq!(comparable(miroir.json), comparable(one.json), "{case}: {search}");
        }
    }
}

/// Goal: rules reach a node that was away, follow an index that changes its name, and outlive a restart of Miroir.
#[test]
fn rules_belong_to_the_fleet_and_follow_names_of_indexes() {
    let Some(meilisearch) = real_meilisearch() else {
        eprintln!("embedded nodes pin nothing; MIROIR_TEST_MEILISEARCH=/path/to/meilisearch runs this on real ones");
        return;
    };
    let options = FleetOptions { replication_factor: 2, meilisearch: Some(meilisearch), ..FleetOptions::new() };
    let mut fleet = Fleet::start(&options);
    let client = fleet.client();
    switch_on(&client);
    // Before the index is there.
    set(&client, "first", &json!({"actions": [pin(Some("m"), 40, 0), pin(Some("n"), 41, 0)]}));
    load(&client);
    let first = |client: &Client, index: &str| {
        // A search waits for nodes that are being told, but not as long as a busy machine may need.
        wait_for("nodes that know the rules", START_LIMIT, || {
            let answer = client.post(&format!("/indexes/{index}/search"), &json!({"limit": 1})).expect(200);
            match answer.header("x-miroir-approximate") {
                None => Ok(answer.json["hits"][0]["id"].as_u64()),
                Some(parts) => Err(parts.to_owned()),
            }
        })
    };
    assert_eq!((first(&client, "m"), first(&client, "n")), (Some(40), Some(41)), "whose index came later");
    client.write_well("POST", "/swap-indexes", Some(&json!([{"indexes": ["m", "n"]}])));
    assert_eq!((first(&client, "m"), first(&client, "n")), (Some(40), Some(41)));

    fleet.nodes[2].kill();
    set(&client, "first", &json!({"actions": [pin(None, 42, 0)]}));
    fleet.nodes[2].start();
    wait_for("the node that was away to have the rules", START_LIMIT, || {
        fleet.nodes[2].client().wait_until_healthy(START_LIMIT);
        let node = fleet.nodes[2].client().post("/dynamic-search-rules", &json!({})).json;
        if node["results"][0]["actions"][0]["selector"]["id"] == "42" { Ok(()) } else { Err(node.to_string()) }
    });
    fleet.kill_miroir();
    fleet.start_miroir();
    let client = fleet.client();
    client.wait_until_healthy(START_LIMIT);
    assert_eq!(client.get("/dynamic-search-rules/first").expect(200).json["actions"], json!([pin(None, 42, 0)]));
    assert_eq!(first(&client, "m"), Some(42));
    client.ask("PATCH", "/experimental-features", Some(&json!({"dynamicSearchRules": false}))).expect(200);
    assert_ne!(first(&client, "m"), Some(42), "switched off");
}

/// Goal: rules are kept, listed and deleted by tasks, whatever the nodes make of them.
#[test]
fn rules_are_changed_by_tasks() {
    let options = FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() };
    let mut fleet = Fleet::start(&options);
    let client = fleet.client();
    let refused = client.get("/dynamic-search-rules/a");
    assert_eq!((refused.status, refused.code()), (400, "feature_not_enabled"));
    switch_on(&client);
    let rule = json!({"description": "sale", "precedence": 3, "actions": [pin(None, 1, 0)]});
    let task = client.write_well("PATCH", "/dynamic-search-rules/a?customMetadata=why", Some(&rule));
    assert_eq!((&task["type"], &task["indexUid"]), (&json!("dsrUpdate"), &json!(".meili_dsr")));
    assert_eq!((&task["details"]["rule"], &task["customMetadata"]), (&rule, &json!("why")));
    set(&client, "b", &json!({"active": false}));
    // No rule named an index before; a node that was told so by a change could take no other change.
    set(&client, "a", &json!({"actions": [pin(Some("m"), 1, 0)]}));
    set(&client, "b", &json!({"active": true}));
    let missing = client.get("/dynamic-search-rules/nobody");
    assert_eq!((missing.status, missing.code()), (404, "dynamic_search_rule_not_found"));
    fleet.kill_miroir();
    fleet.start_miroir();
    let client = fleet.client();
    client.wait_until_healthy(START_LIMIT);
    let page = client.post("/dynamic-search-rules", &json!({"offset": 1, "limit": 1})).expect(200).json;
    assert_eq!((&page["total"], &page["results"][0]["uid"]), (&json!(2), &json!("b")));
    if fleet.nodes[0].is_real() {
        let found = client.post("/dynamic-search-rules", &json!({"filter": {"query": "sale"}})).expect(200).json;
        assert_eq!((&found["total"], &found["results"][0]["uid"]), (&json!(1), &json!("a")));
    }
    let task = client.write_well("DELETE", "/dynamic-search-rules/b", None);
    assert_eq!(task["details"], json!({"updatedRules": 1}));
    client.write_well("DELETE", "/dynamic-search-rules/nobody", None);
    let task = client.write_well("DELETE", "/dynamic-search-rules", None);
    assert_eq!((&task["type"], &task["details"]), (&json!("dsrClear"), &json!({"deletedDocuments": 1})));
}
