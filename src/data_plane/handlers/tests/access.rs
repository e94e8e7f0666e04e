//! What handlers make of what the caller may do.

use super::*;
use crate::meili::keys::{ApiKey, KeyRing, KeyValue};

/// A fleet with the indexes `movies`, `new` and `shows`, and the value of its only key.
fn with_key(actions: &[&str], indexes: &[&str]) -> (Fixture, String) {
    let fixture = Fixture::new();
    let uid = "6062abda-a5aa-4414-ac91-ecd7944c0f8d".parse().expect("a uid");
    let key = json!({
        "uid": uid, "actions": actions, "indexes": indexes, "expires_at": null,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    });
    let key: ApiKey = serde_json::from_value(key).expect("a key");
    let mut snapshot = snapshot();
    let movies = snapshot.indexes.values().next().expect("an index").clone();
    for name in ["new", "shows"] {
        let index = IndexView { uid: IndexUid::new(name), ..IndexView::clone(&movies) };
        snapshot.indexes.insert(index.uid.clone(), Arc::new(index));
    }
    snapshot.keys = Arc::new(KeyRing::new([key], "key"));
    fixture.core.as_ref().expect("it runs").bridge.snapshot.store(Arc::new(snapshot));
    (fixture, KeyValue::derive(uid, "key").text())
}

fn ask(with: &(Fixture, String), method: Method, target: &str, body: &str) -> (u16, Value) {
    let (fixture, value) = with;
    let bearer = HeaderValue::from_str(&format!("Bearer {value}")).expect("a header");
    let request = Request::new(method, target).with_json(body.to_owned()).with_header(AUTHORIZATION, bearer);
    shown(&block_on(route(fixture.core.as_ref().expect("it runs"), request)))
}

#[test]
fn lists_show_what_the_key_is_for() {
    let with = with_key(&["*"], &["movies", "s*"]);
    let (status, page) = ask(&with, Method::GET, "/indexes?limit=1&offset=1", "");
    assert_eq!((status, &page["total"], &page["results"][0]["uid"]), (200, &json!(2), &json!("shows")));
    assert_eq!(ask(&with, Method::GET, "/indexes/new", "").0, 403);
    assert_eq!(ask(&with, Method::GET, "/version", "").0, 403, "it concerns everything");
}

#[test]
fn who_may_not_create_an_index_says_so_to_the_journal() {
    let documents = ("/indexes/new/documents", r#"[{"id":1}]"#);
    let settings = ("/indexes/new/settings/stop-words", r#"["a"]"#);
    for (actions, expected) in [(&["documents.add", "settings.update"][..], false), (&["*"], true)] {
        let with = with_key(actions, &["new"]);
        for (method, (target, body)) in [(Method::POST, documents), (Method::PUT, settings)] {
            assert_eq!(ask(&with, method, target, body).0, 202, "{target}");
            let (Operation::PutDocuments { creates_index: creates, .. }
            | Operation::UpdateSettings { creates_index: creates, .. }) = with.0.last_write().operation
            else {
                panic!("another operation")
            };
            assert_eq!(creates, expected, "{actions:?} {target}");
        }
    }
    let with = with_key(&["indexes.create"], &["n*"]);
    let create = |uid: &str| ask(&with, Method::POST, "/indexes", &json!({ "uid": uid }).to_string()).0;
    assert_eq!((create("new"), create("movies")), (202, 403));
}

#[test]
fn every_query_of_a_list_must_be_allowed() {
    let with = with_key(&["search"], &["movies"]);
    let queries = json!({"queries": [{"indexUid": "movies", "federationOptions": {}}, {"indexUid": "shows"}]});
    let (status, error) = ask(&with, Method::POST, "/multi-search", &queries.to_string());
    assert_eq!((status, error["code"].as_str()), (403, Some("invalid_api_key")));
    assert_eq!(error["message"], "Inside `.queries[1]`: The provided API key is invalid.");
}

#[test]
fn keys_are_shown_by_uid_and_by_value_with_their_value() {
    let with = with_key(&["keys.get"], &["*"]);
    let (status, page) = ask(&with, Method::GET, "/keys?limit=1", "");
    assert_eq!((status, &page["total"], &page["results"][0]["key"]), (200, &json!(1), &json!(with.1)));
    for name in ["6062abda-a5aa-4414-ac91-ecd7944c0f8d", "6062ABDAA5AA4414AC91ECD7944C0F8D", &with.1] {
        assert_eq!(ask(&with, Method::GET, &format!("/keys/{name}"), "").1["key"], json!(with.1), "{name}");
    }
    let (status, error) = ask(&with, Method::GET, "/keys/nobody", "");
    assert_eq!((status, error["message"].as_str()), (404, Some("API key `nobody` not found.")));
    assert_eq!(ask(&with, Method::POST, "/keys", "{}").0, 403);
}
