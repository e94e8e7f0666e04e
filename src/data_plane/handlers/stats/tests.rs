//! Statistics against nodes played by a function.

use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::data_plane::fake::FakeUpstream;
use crate::data_plane::handlers::search::tests::{ask, down, fleet, json_of, ok};

/// Every node says that it has ten documents; a covering set counts what its filter keeps as five.
fn upstream(dead: &'static str) -> std::rc::Rc<FakeUpstream> {
    FakeUpstream::new(move |node, request| {
        if node.id.as_str() == dead {
            return down(node);
        }
        if request.target.starts_with("/stats") {
            let mut index = json!({"numberOfDocuments": 10, "rawDocumentDbSize": 1_000, "avgDocumentSize": 7,
                "isIndexing": false, "fieldDistribution": {"_miroir": 10, "id": 10, "a": 4}});
            if request.target.ends_with("?showInternalDatabaseSizes=true") {
                index["internalDatabaseSizes"] = json!({"main": 512, "documents": 1_024});
            }
            return ok(&json!({"databaseSize": 100, "usedDatabaseSize": 50, "indexes": {"movies-1": index}}));
        }
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        ok(&json!({"results": [], "total": if body.get("filter").is_some() { 5 } else { 10 }}))
    })
}

#[test]
fn every_document_is_counted_once() {
    let ring: [&[u16]; 3] = [&[0, 1], &[1, 2], &[2, 0]];
    for dead in ["", "n1"] {
        let response = ask(&upstream(dead), fleet(&ring, &[]), Request::new(Method::GET, "/indexes/movies/stats"));
        let stats = json_of(&response);
        assert_eq!((response.status, &stats["numberOfDocuments"]), (200, &json!(15)), "{dead}");
        assert_eq!(stats["fieldDistribution"], json!({"a": 6, "id": 15}), "{dead}");
    }
    let response = ask(&upstream(""), fleet(&ring, &[]), Request::new(Method::GET, "/stats"));
    let stats = json_of(&response);
    assert_eq!((&stats["databaseSize"], &stats["usedDatabaseSize"]), (&json!(300), &json!(150)));
    assert_eq!(stats["indexes"]["movies"]["numberOfDocuments"], json!(15));
    assert_eq!(stats["indexes"].as_object().map(serde_json::Map::len), Some(1));
}

#[test]
fn sizes_are_shown_as_they_are_asked_for() {
    let ring: [&[u16]; 3] = [&[0, 1], &[1, 2], &[2, 0]];
    let get = |target: &str| ask(&upstream(""), fleet(&ring, &[]), Request::new(Method::GET, target));
    let plain = json_of(&get("/indexes/movies/stats"));
    assert_eq!((&plain["rawDocumentDbSize"], plain.get("internalDatabaseSizes")), (&json!(3_000), None));
    let raw = json_of(&get("/indexes/movies/stats?showInternalDatabaseSizes=true&sizeFormat=raw"));
    assert_eq!(raw["internalDatabaseSizes"], json!({"main": 1_536, "documents": 3_072}), "of all nodes together");
    let human = json_of(&get("/stats?sizeFormat=human&showInternalDatabaseSizes=true"));
    assert_eq!((&human["databaseSize"], &human["usedDatabaseSize"]), (&json!("300 B"), &json!("150 B")));
    let index = &human["indexes"]["movies"];
    assert_eq!((&index["rawDocumentDbSize"], &index["avgDocumentSize"]), (&json!("2.93 KiB"), &json!("7 B")));
    assert_eq!(index["internalDatabaseSizes"], json!({"main": "1.5 KiB", "documents": "3 KiB"}));
    for (query, code, words) in [
        (
            "showInternalDatabaseSizes=yes",
            "invalid_stats_show_internal_database_sizes",
            "Invalid value in parameter `showInternalDatabaseSizes`: could not parse `yes` as a boolean",
        ),
        (
            "sizeFormat=humans",
            "invalid_stats_size_format",
            "Unknown value `humans` for parameter `sizeFormat`: did you mean `human`? expected one of `human`, `raw`",
        ),
    ] {
        for target in ["/stats", "/indexes/movies/stats"] {
            let response = get(&format!("{target}?{query}"));
            let error = json_of(&response);
            assert_eq!((response.status, &error["code"]), (400, &json!(code)));
            assert!(error["message"].as_str().is_some_and(|message| message.starts_with(words)), "{error}");
        }
    }
}
