//! The steps of the scenario about tasks, batches, names of indexes, and what else has no place of its own, in order: each
//! builds on those before it.

use serde_json::json;

use super::steps::{Step, delete, get, patch, post, put, raw};

/// All of them.
pub fn task_steps() -> Vec<Step> {
    [batches(), swaps(), refused_swaps(), renames(), skipping(), fields(), cancelations(), webhooks(), others()]
        .into_iter()
        .flatten()
        .collect()
}

fn batches() -> Vec<Step> {
    vec![
        get("/batches"),
        post("/indexes", json!({"uid": "a", "primaryKey": "id"})),
        post("/indexes/a/documents?customMetadata=first%20one", json!([{"id": 1, "of": "a"}, {"id": 1, "of": "a"}])),
        post("/indexes/b/documents", json!([{"id": 1, "of": "b"}, {"id": 2}])),
        patch("/indexes/b/settings", json!({"filterableAttributes": ["of"], "stopWords": ["the"]})),
        post("/indexes/b/documents/delete", json!({"filter": "of = x"})),
        post("/indexes", json!({"uid": "b"})),
        delete("/indexes/nowhere"),
        get("/batches"),
        get("/batches/1"),
        get("/batches/3"),
        get("/batches/6"),
        get("/batches?limit=1"),
        get("/batches?limit=0"),
        get("/batches?from=3&limit=2"),
        get("/batches?reverse=true&limit=2"),
        get("/batches?reverse=true&from=4"),
        get("/batches?uids=1,2"),
        get("/batches?batchUids=0,5,77"),
        get("/batches?statuses=succeeded&types=indexCreation,settingsUpdate"),
        get("/batches?statuses=failed"),
        get("/batches?statuses=enqueued,processing"),
        get("/batches?indexUids=b&limit=2"),
        get("/batches?canceledBy=0"),
        get("/batches?afterEnqueuedAt=2000-01-01&beforeFinishedAt=2100-01-01&limit=1"),
        get("/batches?beforeStartedAt=2000-01-01"),
        get("/batches/99"),
        get("/batches/x"),
        get("/batches/4294967296"),
        get("/batches?limit=x"),
        get("/batches?from=x"),
        get("/batches?batchUids=x"),
        get("/batches?types=colour"),
        get("/batches?statuses=broken"),
        get("/batches?indexUids=a%20b"),
        get("/batches?afterFinishedAt=yesterday"),
        get("/batches?colour=red"),
        get("/tasks?batchUids=1,2"),
    ]
}

fn swaps() -> Vec<Step> {
    vec![
        post("/swap-indexes", json!([{"indexes": ["a", "b"]}])),
        get("/indexes/a/documents"),
        get("/indexes/b/documents"),
        get("/indexes"),
        get("/indexes/a/settings/stop-words"),
        get("/tasks?limit=30"),
        get("/tasks?indexUids=a"),
        post("/indexes/a/documents", json!([{"id": 3, "of": "b"}])),
        get("/indexes/a/documents/3"),
        get("/indexes/b/documents/3"),
        post("/indexes", json!({"uid": "c", "primaryKey": "id"})),
        post("/indexes", json!({"uid": "d", "primaryKey": "key"})),
        post("/swap-indexes", json!([{"indexes": ["c", "d"]}, {"indexes": ["b", "a"]}])),
        get("/indexes"),
        get("/tasks?types=indexSwap"),
        get("/tasks?uids=0,1,2"),
        post("/swap-indexes", json!([])),
    ]
}

fn refused_swaps() -> Vec<Step> {
    vec![
        post("/swap-indexes", json!([{"indexes": ["a", "nowhere"]}])),
        post("/swap-indexes", json!([{"indexes": ["nowhere", "nobody"]}, {"indexes": ["a", "none"]}])),
        post("/swap-indexes", json!([{"indexes": ["a", "b"], "rename": true}])),
        post(
            "/swap-indexes",
            json!([{"indexes": ["a", "b"], "rename": true}, {"indexes": ["c", "d"], "rename": true}]),
        ),
        post("/swap-indexes", json!([{"indexes": ["nowhere", "b"], "rename": true}])),
        post("/swap-indexes", json!("doggo")),
        post("/swap-indexes", json!(["doggo"])),
        post("/swap-indexes", json!([{}])),
        post("/swap-indexes", json!([{"indexes": "doggo"}])),
        post("/swap-indexes", json!([{"indexes": []}])),
        post("/swap-indexes", json!([{"indexes": ["a"]}])),
        post("/swap-indexes", json!([{"indexes": ["a", "b", "c"]}])),
        post("/swap-indexes", json!([{"indexes": ["a", 1]}])),
        post("/swap-indexes", json!([{"indexes": ["a b", "c"]}])),
        post("/swap-indexes", json!([{"indexes": ["a", "b"], "colour": 1}])),
        post("/swap-indexes", json!([{"indexes": ["a", "b"], "rename": "yes"}])),
        post("/swap-indexes", json!([{"indexes": ["a", "b"], "rename": null}])),
        post("/swap-indexes", json!([{"indexes": ["a", "a"]}])),
        post("/swap-indexes", json!([{"indexes": ["a", "b"]}, {"indexes": ["b", "a"]}])),
        raw("POST", "/swap-indexes", None, "[]"),
        raw("POST", "/swap-indexes", Some("application/json"), ""),
        raw("POST", "/swap-indexes", Some("application/json"), "[{"),
        get("/indexes"),
    ]
}

fn renames() -> Vec<Step> {
    vec![
        post("/swap-indexes", json!([{"indexes": ["c", "e"], "rename": true}])),
        get("/indexes/c"),
        get("/indexes/e"),
        patch("/indexes/d", json!({"uid": "f", "primaryKey": "other"})),
        get("/indexes/d"),
        get("/indexes/f"),
        patch("/indexes/f", json!({"uid": "f"})),
        patch("/indexes/f", json!({"uid": "a"})),
        patch("/indexes/nowhere", json!({"uid": "g"})),
        patch("/indexes/f", json!({"uid": "a b"})),
        patch("/indexes/f", json!({"uid": 3})),
        patch("/indexes/f", json!({"uid": null})),
        post("/indexes", json!({"uid": "d"})),
        delete("/indexes/e"),
        patch("/indexes/f", json!({"uid": "e"})),
        get("/indexes"),
        get("/tasks?types=indexUpdate,indexCreation,indexDeletion&limit=30"),
    ]
}

fn skipping() -> Vec<Step> {
    vec![
        post("/indexes/a/documents?skipCreation=true", json!([{"id": 1, "n": 1}, {"id": 7, "n": 1}, {"id": "new"}])),
        get("/indexes/a/documents?limit=10"),
        put("/indexes/a/documents?skipCreation=TRUE", json!([{"id": 1, "m": 1}, {"id": 8}, {"id": 1, "k": 1}])),
        get("/indexes/a/documents/1"),
        get("/indexes/a/documents/8"),
        post("/indexes/a/documents?skipCreation=true", json!([{"id": 9}])),
        post("/indexes/a/documents?skipCreation=true", json!([{"no": 9}])),
        post("/indexes/a/documents?skipCreation=false", json!([{"id": 9}])),
        get("/indexes/a/documents/9"),
        post("/indexes/skipped/documents?skipCreation=true", json!([{"id": 1}])),
        get("/indexes/skipped"),
        get("/indexes/skipped/documents"),
        post("/indexes/a/documents?skipCreation=1", json!([{"id": 1}])),
        post("/indexes/a/documents?skipCreation=", json!([{"id": 1}])),
        delete("/indexes/skipped"),
    ]
}

fn fields() -> Vec<Step> {
    let nested = json!([{"id": 1, "title": "x", "o": {"p": {"q": 1}, "r": [{"s": 2}]}, "xa": 1, "n": 2}]);
    let rule = json!({"attributePatterns": ["x*"], "features": {
        "facetSearch": true, "filter": {"equality": true, "comparison": false}}});
    let settings = json!({
        "filterableAttributes": ["n", rule], "sortableAttributes": ["o.p"], "displayedAttributes": ["n", "id", "o.r"],
        "searchableAttributes": ["title", "o"], "distinctAttribute": "xa", "rankingRules": ["words", "n:desc", "sort"],
        "localizedAttributes": [{"attributePatterns": ["t*"], "locales": ["fra"]}],
        "faceting": {"sortFacetValuesBy": {"n": "count", "*": "alpha"}},
    });
    let ask = |body| post("/indexes/fields/fields", body);
    vec![
        post("/indexes/fields/documents", nested),
        ask(json!({})),
        patch("/indexes/fields/settings", settings),
        ask(json!({})),
        ask(json!({"offset": 1, "limit": 2})),
        ask(json!({"limit": 0})),
        ask(json!({"filter": {"attributePatterns": ["o.*", "*itl*"]}})),
        ask(json!({"filter": {"attributePatterns": ["o"]}})),
        ask(json!({"filter": {"attributePatterns": []}})),
        ask(json!({"filter": {"displayed": true}})),
        ask(json!({"filter": {"searchable": true, "displayed": false}})),
        ask(json!({"filter": {"sortable": true}})),
        ask(json!({"filter": {"distinct": true}})),
        ask(json!({"filter": {"rankingRule": true}})),
        ask(json!({"filter": {"filterable": true}})),
        ask(json!({"filter": {"filterable": null}, "limit": 1})),
        ask(json!({"filter": null, "limit": 1})),
        ask(json!({"filter": 3})),
        ask(json!({"filter": {"colour": 1}})),
        ask(json!({"filter": {"displayed": 3}})),
        ask(json!({"filter": {"attributePatterns": "a"}})),
        ask(json!({"filter": {"attributePatterns": [1]}})),
        ask(json!({"limit": "a"})),
        ask(json!({"limit": -1})),
        ask(json!({"limit": 1.5})),
        ask(json!({"offset": null})),
        ask(json!({"colour": 1})),
        ask(json!([])),
        raw("POST", "/indexes/fields/fields", Some("application/json"), ""),
        raw("POST", "/indexes/fields/fields", None, "{}"),
        post("/indexes/nowhere/fields", json!({})),
    ]
}

fn cancelations() -> Vec<Step> {
    vec![
        raw("POST", "/tasks/cancel?uids=0,1", None, ""),
        get("/batches?types=taskCancelation"),
        delete("/tasks?uids=1"),
        get("/batches?types=taskDeletion"),
        get("/batches/1"),
        get("/batches?uids=1"),
        get("/tasks?types=taskCancelation,taskDeletion"),
        delete("/tasks?batchUids=0"),
        get("/batches/0"),
    ]
}

fn webhooks() -> Vec<Step> {
    let nil = "/webhooks/00000000-0000-0000-0000-000000000000";
    let unknown = "/webhooks/7f0a7c9d-0f3c-4b07-a8a5-6a5f6d7c2b11";
    vec![
        get("/webhooks"),
        post("/webhooks", json!({"url": "not-a-url"})),
        post("/webhooks", json!({"url": "http://"})),
        post("/webhooks", json!({"url": 3})),
        post("/webhooks", json!({"url": "http://a", "headers": {"bad name": "x"}})),
        post("/webhooks", json!({"url": "http://a", "headers": {"name": "x\ny"}})),
        post("/webhooks", json!({"url": "http://a", "headers": {"name": 1}})),
        post("/webhooks", json!({"url": "http://a", "headers": 1})),
        post("/webhooks", json!({"url": "http://a", "uuid": "x"})),
        post("/webhooks", json!({"url": "http://a", "isEditable": true})),
        post("/webhooks", json!({"url": "http://a", "colour": 1})),
        post("/webhooks", json!([])),
        raw("POST", "/webhooks", None, "{}"),
        get("/webhooks/x"),
        get(unknown),
        patch("/webhooks/x", json!({})),
        patch(unknown, json!({"url": "http://a"})),
        patch(nil, json!({"url": "http://a"})),
        delete("/webhooks/x"),
        delete(unknown),
        delete(nil),
        get(nil),
        post(
            "/webhooks",
            json!({"url": "http://127.0.0.1:9/x", "headers": {"authorization": "Bearer 0123456789ab", "a": "b"}}),
        ),
        get("/webhooks"),
    ]
}

fn others() -> Vec<Step> {
    vec![
        raw("POST", "/indexes/nowhere/compact", None, ""),
        raw("POST", "/indexes/a%20b/compact", None, ""),
        get("/tasks/0/documents"),
        raw("POST", "/tasks/compact", None, ""),
        raw("PUT", "/swap-indexes", None, ""),
        raw("PUT", "/batches", None, ""),
    ]
}
