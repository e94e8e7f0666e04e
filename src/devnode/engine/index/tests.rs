//! Batches, settings and listings on small indexes.

use serde_json::{Value, json};

use super::{Document, DocumentsQuery, Index, Payload, Settings};

fn documents(value: Value) -> Vec<Document> {
    let Value::Array(list) = value else { panic!("an array") };
    list.into_iter().map(|document| document.as_object().unwrap().clone()).collect()
}

fn settings(value: &Value) -> Settings {
    Settings::from_json(value.as_object().unwrap()).unwrap()
}

fn ids(index: &Index) -> Vec<String> {
    let page = index.documents(&DocumentsQuery { limit: 100, ..DocumentsQuery::default() }).unwrap();
    page.results.iter().map(|document| document["id"].to_string()).collect()
}

#[test]
fn replace_update_delete_and_clear_do_what_they_say() {
    let mut index = Index::new(Some("id".to_owned()));
    let report = index
        .apply(&[
            Payload::Replace(documents(json!([{"b": 1, "id": 3}, {"id": 1}, {"id": 2}, {"id": 2}]))),
            Payload::Update(documents(json!([{"id": 3, "a": {"x": 1}}]))),
            Payload::Delete(vec!["1".to_owned(), "99".to_owned()]),
        ])
        .unwrap();
    assert_eq!(report.outcomes, [Ok(3), Ok(1), Ok(1)]);
    assert_eq!(report.changed, ["3", "2"]);
    assert_eq!(serde_json::to_string(&index.get("3").unwrap()).unwrap(), r#"{"id":3,"b":1,"a":{"x":1}}"#);
    assert_eq!(index.stats().field_distribution, [("a".into(), 1), ("b".into(), 1), ("id".into(), 2)].into());
    let report = index.apply(&[Payload::Replace(documents(json!([{"x": 1}]))), Payload::Clear]).unwrap();
    assert_eq!(report.outcomes, [Ok(0), Ok(2)]);
    assert_eq!((index.stats().number_of_documents, index.stats().field_distribution.len()), (0, 0));
}

#[test]
fn new_documents_take_the_lowest_free_numbers() {
    let mut index = Index::new(Some("id".to_owned()));
    index.apply(&[Payload::Replace(documents(json!([{"id": 3}, {"id": 1}, {"id": 2}])))]).unwrap();
    index.apply(&[Payload::Delete(vec!["1".to_owned()])]).unwrap();
    index.apply(&[Payload::Replace(documents(json!([{"id": 9}, {"id": 8}])))]).unwrap();
    assert_eq!(ids(&index), ["3", "9", "2", "8"]);
}

#[test]
fn a_payload_with_a_bad_id_fails_alone() {
    let mut index = Index::new(Some("id".to_owned()));
    let report = index
        .apply(&[
            Payload::Replace(documents(json!([{"id": 1}, {"id": "a b"}]))),
            Payload::Replace(documents(json!([{"id": 2}]))),
        ])
        .unwrap();
    assert_eq!(report.outcomes[0].as_ref().unwrap_err().code.name(), "invalid_document_id");
    assert_eq!(ids(&index), ["2"]);
}

#[test]
fn one_bad_position_fails_the_batch_unless_overwritten_in_it() {
    let mut index = Index::new(Some("id".to_owned()));
    index.set_settings(settings(&json!({"filterableAttributes": ["_geo"]}))).unwrap();
    let bad = Payload::Replace(documents(json!([{"id": 1, "_geo": {"lat": "x", "lng": 1}}, {"id": 2}])));
    let error = index.apply(std::slice::from_ref(&bad)).unwrap_err();
    assert_eq!(error.code.name(), "invalid_document_geo_field");
    assert_eq!(index.stats().number_of_documents, 0);
    index.apply(&[bad, Payload::Delete(vec!["1".to_owned()])]).unwrap();
    assert_eq!(ids(&index), ["2"]);
}

#[test]
fn a_stored_bad_position_keeps_geo_off() {
    let mut index = Index::new(Some("id".to_owned()));
    index.apply(&[Payload::Replace(documents(json!([{"id": 1, "_geo": 4}])))]).unwrap();
    let error = index.set_settings(settings(&json!({"sortableAttributes": ["_geo"]}))).unwrap_err();
    assert_eq!(error.code.name(), "invalid_document_geo_field");
    assert!(index.settings().sortable_attributes.is_empty());
}

#[test]
fn listings_filter_sort_and_select() {
    let mut index = Index::new(Some("id".to_owned()));
    index.set_settings(settings(&json!({"filterableAttributes": ["k"], "sortableAttributes": ["n"]}))).unwrap();
    index
        .apply(&[Payload::Replace(documents(json!([
            {"id": 1, "k": "a", "n": 2}, {"id": 2, "k": "b", "n": 1}, {"id": 3, "k": "A", "n": 1}, {"id": 4, "k": "a"}
        ])))])
        .unwrap();
    let page = index
        .documents(&DocumentsQuery {
            filter: Some(json!("k = a")),
            sort: vec!["n:asc".to_owned()],
            fields: Some(vec!["id".to_owned()]),
            limit: 2,
            ..DocumentsQuery::default()
        })
        .unwrap();
    assert_eq!(page.total, 3);
    assert_eq!(json!(page.results), json!([{"id": 3}, {"id": 1}]));
    assert_eq!(index.ids_matching(&json!([["k = b", "n = 2"]])).unwrap_err().code.name(), "invalid_document_filter");
    assert_eq!(index.ids_matching(&json!("k != a")).unwrap(), ["2"]);
}
