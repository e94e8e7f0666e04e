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
        if request.target == "/stats" {
            let index = json!({"numberOfDocuments": 10, "avgDocumentSize": 7, "isIndexing": false,
                "fieldDistribution": {"_miroir": 10, "id": 10, "a": 4}});
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
