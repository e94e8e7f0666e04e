//! Documents in and out.

use super::*;

#[test]
fn documents_come_as_json_ndjson_and_csv() {
    let node = Fixture::new();
    let put = |content_type: &str, query: &str, body: &str| {
        let path = format!("/indexes/a/documents{query}");
        let (status, answer) = node.request("POST", &path, content_type, body.as_bytes());
        assert_eq!(status, 202, "{answer}");
        node.wait(answer["taskUid"].as_u64().unwrap())
    };
    assert_eq!(put("application/json", "", r#"{"id":1}"#)["details"]["indexedDocuments"], 1);
    put("application/json; charset=utf-8", "", r#"[{"id":2,"x":[1.5,{"y":null}]}]"#);
    put("application/x-ndjson", "?customMetadata=m", "{\"id\":3}\n\n{\"id\":4}");
    put("text/csv", "", "id:number,name,ok:boolean,n:number\n5,\"a,b\",true,1.5\n6,,,\n");
    put("text/csv", "?csvDelimiter=;", "id;name\nx7;y\n");
    let expected = [
        json!({ "id": "x7", "name": "y" }),
        json!({ "id": 1 }),
        json!({ "id": 2, "x": [1.5, { "y": null }] }),
        json!({ "id": 3 }),
        json!({ "id": 4 }),
        json!({ "id": 5, "name": "a,b", "ok": true, "n": 1.5 }),
        json!({ "id": 6, "name": null, "ok": null, "n": null }),
    ];
    assert_eq!(node.documents("a"), expected);
    assert_eq!(node.get("/tasks?limit=1&from=2").1["results"][0]["customMetadata"], "m");
}

#[test]
fn documents_are_replaced_updated_and_deleted() {
    let node = Fixture::new();
    let task = node.done("POST", "/indexes/a/documents", &json!([{ "id": 1, "x": 1 }, { "id": "1", "y": 2 }]));
    assert_eq!(task["details"], json!({ "receivedDocuments": 2, "indexedDocuments": 1 }));
    node.done("PUT", "/indexes/a/documents", &json!([{ "id": 1, "z": 3 }]));
    assert_eq!(node.documents("a"), [json!({ "id": 1, "y": 2, "z": 3 })]);
    node.done("POST", "/indexes/a/documents", &json!([{ "id": 1, "n": 1 }, { "id": 2 }, { "id": 3 }, { "id": 4 }]));
    let task = node.done("POST", "/indexes/a/documents/delete-batch", &json!([2, "3", 3, 99]));
    assert_eq!(task["details"], json!({ "providedIds": 4, "deletedDocuments": 2, "originalFilter": null }));
    let task = node.done("DELETE", "/indexes/a/documents/4", &null());
    assert_eq!(task["details"]["deletedDocuments"], 1);
    assert_eq!(node.get("/indexes/a/documents/1"), (200, json!({ "id": 1, "n": 1 })));
    assert_eq!(node.get("/indexes/a/documents/1?fields=n"), (200, json!({ "n": 1 })));
    let (status, answer) = node.get("/indexes/a/documents/4");
    assert_eq!((status, code(&answer)), (404, "document_not_found"));
    let task = node.done("DELETE", "/indexes/a/documents", &null());
    assert_eq!(task["details"], json!({ "deletedDocuments": 1 }));
}

#[test]
fn documents_are_deleted_and_fetched_by_filter() {
    let node = Fixture::new();
    node.done("PATCH", "/indexes/a/settings", &json!({ "filterableAttributes": ["n"], "sortableAttributes": ["n"] }));
    let documents: Vec<Value> = (0..10).map(|id| json!({ "id": id, "n": 10 - id, "x": "y" })).collect();
    node.done("POST", "/indexes/a/documents", &json!(documents));
    let body = json!({ "filter": "n > 3", "sort": ["n:asc"], "fields": ["id"], "limit": 2, "offset": 1 });
    let (status, page) = node.send("POST", "/indexes/a/documents/fetch", &body);
    assert_eq!(status, 200, "{page}");
    assert_eq!(page, json!({ "results": [{ "id": 5 }, { "id": 4 }], "offset": 1, "limit": 2, "total": 7 }));
    let (_, page) = node.send("POST", "/indexes/a/documents/fetch", &json!({ "ids": [3, "4", 77] }));
    assert_eq!(page["total"], 2);
    let (_, page) = node.get("/indexes/a/documents?filter=n%3D3&fields=id,n");
    assert_eq!(page["results"], json!([{ "id": 7, "n": 3 }]));
    let task = node.done("POST", "/indexes/a/documents/delete", &json!({ "filter": "n > 3" }));
    let details = json!({ "providedIds": 0, "deletedDocuments": 7, "originalFilter": "\"n > 3\"" });
    assert_eq!(task["details"], details);
    assert_eq!(node.documents("a").len(), 3);
}

#[test]
fn skip_creation_updates_only_what_is_there() {
    let node = Fixture::new();
    node.done("POST", "/indexes/a/documents", &json!([{ "id": 1 }]));
    node.done("PUT", "/indexes/a/documents?skipCreation=true", &json!([{ "id": 1, "x": 1 }, { "id": 2, "x": 1 }]));
    assert_eq!(node.documents("a"), [json!({ "id": 1, "x": 1 })]);
}

#[test]
fn documents_and_settings_survive_a_restart() {
    let mut node = Fixture::new();
    let settings =
        json!({ "filterableAttributes": ["n"], "typoTolerance": { "enabled": false }, "stopWords": ["the"] });
    node.done("PATCH", "/indexes/a/settings", &settings);
    node.done("POST", "/indexes/a/documents", &json!([{ "id": 1, "n": 1 }, { "id": 2, "n": 2 }, { "id": 3 }]));
    node.done("DELETE", "/indexes/a/documents/3", &null());
    let before = [node.get("/indexes/a"), node.get("/indexes/a/settings"), node.get("/indexes/a/stats")];
    let documents = node.documents("a");
    node.restart();
    let after = [node.get("/indexes/a"), node.get("/indexes/a/settings"), node.get("/indexes/a/stats")];
    assert_eq!(before, after);
    assert_eq!(documents, node.documents("a"));
    let (_, found) = node.send("POST", "/indexes/a/documents/fetch", &json!({ "filter": "n = 2" }));
    assert_eq!(found["total"], 1);
}

#[test]
fn the_order_of_documents_survives_a_restart() {
    let mut node = Fixture::new();
    let put = |node: &Fixture, ids: &[u64]| {
        let documents: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        node.done("POST", "/indexes/a/documents", &json!(documents));
    };
    let order = |node: &Fixture| node.get("/indexes/a/documents?limit=100").1["results"].clone();
    put(&node, &[5, 3, 1, 2]);
    node.done("POST", "/indexes/a/documents/delete-batch", &json!([3, 1]));
    put(&node, &[9]);
    let before = order(&node);
    assert_eq!(before, json!([{ "id": 5 }, { "id": 9 }, { "id": 2 }]));
    node.restart();
    assert_eq!(order(&node), before);
    put(&node, &[7, 8]);
    node.done("DELETE", "/indexes/a/documents/7", &null());
    put(&node, &[4, 6]);
    let before = order(&node);
    node.restart();
    assert_eq!(order(&node), before);
}

#[test]
fn a_body_of_75_megabytes_is_read_whole() {
    let node = Fixture::new();
    let filler = "x".repeat(1 << 20);
    let documents: Vec<Value> = (0..75).map(|id| json!({ "id": id, "data": filler })).collect();
    // `data` is not to be searched: the time would go into words.
    node.done("PATCH", "/indexes/a/settings", &json!({ "searchableAttributes": ["id"] }));
    let uid = node.enqueue("POST", "/indexes/a/documents", &json!(documents));
    assert_eq!(node.wait(uid)["details"]["indexedDocuments"], 75);
    let (_, page) = node.get("/indexes/a/documents?limit=75");
    assert_eq!(page["results"].as_array().unwrap().len(), 75);
    assert_eq!(page["results"][74]["data"].as_str().unwrap().len(), 1 << 20);
}

#[test]
fn settings_have_routes_of_their_own() {
    let node = Fixture::new();
    let task = node.done("PUT", "/indexes/a/settings/searchable-attributes", &json!(["title"]));
    assert_eq!(task["details"], json!({ "searchableAttributes": ["title"] }));
    assert_eq!(node.get("/indexes/a/settings/searchable-attributes"), (200, json!(["title"])));
    let task = node.done("DELETE", "/indexes/a/settings/searchable-attributes", &null());
    assert_eq!(task["details"], json!({ "searchableAttributes": ["*"] }));
    node.done("PATCH", "/indexes/a/settings/typo-tolerance", &json!({ "minWordSizeForTypos": { "oneTypo": 3 } }));
    let (_, typo) = node.get("/indexes/a/settings/typo-tolerance");
    assert_eq!(typo["minWordSizeForTypos"], json!({ "oneTypo": 3, "twoTypos": 9 }));
    assert_eq!(node.request("PATCH", "/indexes/a/settings/stop-words", "", b"").0, 405);
    let (status, answer) = node.send("PUT", "/indexes/a/settings/stop-words", &json!([1]));
    assert_eq!((status, code(&answer)), (400, "invalid_settings_stop_words"));
    let (status, answer) = node.send("PATCH", "/indexes/a/settings", &json!({ "nope": 1 }));
    assert_eq!((status, code(&answer)), (400, "bad_request"));
    node.done("DELETE", "/indexes/a/settings", &null());
    assert_eq!(node.get("/indexes/a/settings").1["typoTolerance"]["minWordSizeForTypos"]["oneTypo"], 5);
}

#[test]
fn searches_are_answered_by_post_and_get() {
    let node = Fixture::new();
    node.done("PATCH", "/indexes/a/settings", &json!({ "filterableAttributes": ["n"] }));
    node.done(
        "POST",
        "/indexes/a/documents",
        &json!([{ "id": 1, "title": "a blue boat", "n": 1 }, { "id": 2, "title": "a red boat", "n": 2 }]),
    );
    let (status, found) = node.send("POST", "/indexes/a/search", &json!({ "q": "boat", "filter": "n = 2" }));
    assert_eq!(status, 200, "{found}");
    assert_eq!((&found["hits"][0]["id"], &found["estimatedTotalHits"]), (&json!(2), &json!(1)));
    let path = "/indexes/a/search?q=blue&attributesToRetrieve=id&showRankingScore=true&limit=1";
    let (status, found) = node.get(path);
    assert_eq!(status, 200, "{found}");
    assert_eq!(found["hits"][0]["id"], 1);
    assert!(found["hits"][0]["_rankingScore"].is_number());
    let (status, answer) = node.send("POST", "/indexes/a/search", &json!({ "filter": "x = 1" }));
    assert_eq!((status, code(&answer)), (400, "invalid_search_filter"));
    let (status, answer) = node.send("POST", "/indexes/none/search", &json!({}));
    assert_eq!((status, code(&answer)), (404, "index_not_found"));
}
