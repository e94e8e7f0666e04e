//! Documents edited by a function.

use serde_json::{Value, json};

use crate::support::{Fleet, FleetOptions, real_meilisearch};

/// Goal: an edit changes, deletes and leaves alone as one server does, on every replica; what is wrong with it changes
/// nothing.
#[test]
fn a_function_edits_documents_on_all_replicas_alike() {
    let options = FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() };
    let fleet = Fleet::start(&options);
    let client = fleet.client();
    let edit = |body: &Value| client.write("POST", "/indexes/books/documents/edit", Some(body));
    let function = json!({"function": "doc.title = doc.title.to_upper()"});
    assert_eq!(client.post("/indexes/books/documents/edit", &function).code(), "feature_not_enabled");
    client.ask("PATCH", "/experimental-features", Some(&json!({"editDocumentsByFunction": true}))).expect(200);
    assert_eq!(edit(&function)["error"]["code"], "index_not_found");

    let settings = json!({"filterableAttributes": ["id", "kind"]});
    client.write_well("PATCH", "/indexes/books/settings", Some(&settings));
    let kind = |id: u32| if u32::is_multiple_of(id, 2) { "even" } else { "odd" };
    let documents: Vec<Value> = (0..100).map(|id| json!({"id": id, "title": "a", "kind": kind(id)})).collect();
    client.write_well("POST", "/indexes/books/documents", Some(&Value::from(documents)));

    let body = json!({
        "filter": "kind = even",
        "context": {"limit": 50, "word": "z"},
        "function": "if doc.id >= context.limit { doc = () } else { doc.title = context.word; doc.seen = doc.contains(\"_miroir\") }",
    });
    let task = edit(&body);
    assert_eq!(task["status"], "succeeded", "{task}");
    assert_eq!(task["type"], "documentEdition");
    let details = &task["details"];
    assert_eq!((&details["editedDocuments"], &details["originalFilter"]), (&json!(50), &json!("\"kind = even\"")));
    let found = client.get("/indexes/books/documents?limit=100").expect(200).json;
    assert_eq!(found["total"], json!(75));
    for document in found["results"].as_array().expect("a list") {
        let id = document["id"].as_u64().expect("an id");
        let expected = if id % 2 == 0 {
            json!({"id": id, "title": "z", "kind": "even", "seen": false})
        } else {
            json!({"id": id, "title": "a", "kind": "odd"})
        };
        assert_eq!(document, &expected);
    }
    let per_node: Vec<u64> = fleet
        .nodes
        .iter()
        .map(|node| {
            let stats = node.client().get("/stats").expect(200).json;
            let indexes = stats["indexes"].as_object().expect("indexes");
            let books = indexes.iter().filter(|(name, _)| name.starts_with("books-"));
            books.map(|(_, stats)| stats["numberOfDocuments"].as_u64().expect("a number")).sum()
        })
        .collect();
    assert_eq!(per_node.iter().sum::<u64>(), 150, "two replicas of each: {per_node:?}");

    for (function, code) in [
        ("doc.id = 5", "edit_documents_by_function_error"),
        ("doc.remove(\"id\")", "missing_document_id"),
        ("doc = 5", "edit_documents_by_function_error"),
        ("throw 1", "edit_documents_by_function_error"),
        ("doc._miroir = 1", "edit_documents_by_function_error"),
        ("fn f(n) { f(n + 1) } f(0)", "edit_documents_by_function_error"),
    ] {
        let task = edit(&json!({"function": function}));
        assert_eq!((&task["status"], &task["error"]["code"]), (&json!("failed"), &json!(code)), "{function}: {task}");
    }
    let refused = client.post("/indexes/books/documents/edit", &json!({"function": "doc."}));
    assert_eq!((refused.status, refused.code()), (400, "bad_request"));
    let nothing = edit(&json!({"filter": "kind = none", "function": "doc.a = 1"}));
    assert_eq!((&nothing["status"], &nothing["details"]["editedDocuments"]), (&json!("succeeded"), &json!(0)));
    assert_eq!(client.get("/indexes/books/documents?limit=1").expect(200).json["total"], json!(75));
}
