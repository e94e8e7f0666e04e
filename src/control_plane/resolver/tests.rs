//! Filters and messages; the questions themselves are tested against embedded nodes in `control_plane::tests`.

use super::*;
use crate::logic::ids::{EntryId, IndexUid, Timestamp};
use crate::meili::settings::Object;

#[test]
fn the_users_filter_is_narrowed_to_the_shards() {
    let marker = json!(marker::filter_text(&[ShardId(1)], 64));
    let cases = [
        (json!("a = 1 OR b = 2"), json!([marker, "a = 1 OR b = 2"])),
        (json!(["a = 1", ["b = 2", "c = 3"]]), json!([marker, "a = 1", ["b = 2", "c = 3"]])),
    ];
    for (filter, expected) in cases {
        assert_eq!(and_marker(&filter, &[ShardId(1)], 64), expected);
    }
}

#[test]
fn a_refusal_names_the_clients_index_and_never_the_marker() {
    let entry = Entry {
        id: EntryId(3),
        enqueued_at: Timestamp(0),
        index: Some(IndexUid::new("a")),
        target: Some(NodeIndexUid::new("a-0")),
        operation: Operation::DeleteByFilter { filter: json!("x = 1") },
        shards: vec![],
        rejection: None,
        custom_metadata: None,
    };
    let index = NodeIndexUid::new("a-0");
    let readable = Publication::default();
    let fleet = ReadableFleet { readable: &readable, nodes: &[] };
    let request = ResolveRequest {
        entry: &entry,
        uid: &IndexUid::new("a"),
        index: &index,
        primary_key: None,
        settings: &Object::new(),
        fleet,
        documents: None,
    };
    let start = "Attribute `x` is not filterable.";
    let cases = [
        (
            " Available filterable attribute patterns are: `_miroir`.",
            " This index does not have configured filterable attributes.",
        ),
        (
            " Available filterable attribute patterns are: `A`, `_miroir`, `y`.",
            " Available filterable attribute patterns are: `A`, `y`.",
        ),
    ];
    for (said, shown) in cases {
        for prefix in ["", "Index `a-0`: "] {
            let error = ApiError::new(Code::InvalidDocumentFilter, format!("{prefix}{start}{said}\n1:2 x = 1")).body();
            let error = shown_error(request, &error);
            assert_eq!(error.message, format!("Index `a`: {start}{shown}\n1:2 x = 1"));
            assert_eq!(error.code, "invalid_document_filter");
        }
    }
}

#[test]
fn numbers_and_texts_are_the_same_ids() {
    let document = |value: Value| serde_json::Map::from_iter([("id".to_owned(), value)]);
    assert_eq!(id_of(&document(json!(7)), Some("id")), Some("7".to_owned()));
    assert_eq!(id_of(&document(json!("7")), Some("id")), Some("7".to_owned()));
    assert_eq!(id_of(&document(json!(7)), None), None);
}

#[test]
fn an_id_is_found_where_the_primary_key_points() {
    let document = json!({ "id": 1, "meta": { "id": "a" } });
    let document = document.as_object().expect("an object");
    for (key, id) in [("id", Some("1")), ("meta.id", Some("a")), ("none", None)] {
        assert_eq!(id_of(document, Some(key)).as_deref(), id, "{key}");
    }
    assert_eq!(id_of(document, None), None);
}
