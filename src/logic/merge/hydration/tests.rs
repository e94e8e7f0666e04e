//! What is looked for, what is put in, and that nothing else of an answer changes.

use serde_json::{Value, json};

use super::*;

fn key(index_uid: &str, field: &str) -> ForeignKey {
    ForeignKey { index_uid: index_uid.to_owned(), field: field.to_owned() }
}

fn known(documents: &[(&str, &str)]) -> ForeignDocuments {
    documents.iter().map(|(id, document)| ((*id).to_owned(), (*document).to_owned())).collect()
}

fn answer(hits: &Value) -> String {
    json!({"hits": hits, "limit": 20}).to_string()
}

/// Authors `1` and `a2`; nobody else.
fn with_authors(hits: &Value, keys: Keys<'_>) -> Value {
    let body = answer(hits);
    let mut documents = known(&[("1", r#"{"name":"One"}"#), ("a2", r#"{"name":"Two","id":"a2"}"#)]);
    for id in wanted(&body, keys).expect("JSON").remove("authors").unwrap_or_default() {
        documents.entry(id).or_insert_with(|| NO_DOCUMENT.to_owned());
    }
    let text = hydrated(&body, keys, &[("authors", documents)].into(), 1_000).expect("small");
    serde_json::from_str::<Value>(&text).expect("JSON")["hits"].take()
}

/// As seen on 1.50.
#[test]
fn ids_at_the_path_are_looked_for() {
    for (hit, ids) in [
        (json!({"a": {"b": "x"}}), vec!["x"]),
        (json!({"a": {"b": 7}}), vec!["7"]),
        (json!({"a.b": "x"}), vec!["x"]),
        (json!({"a": {"b": ["x", 7, "no id", "y"]}}), vec!["7", "x"]),
        (json!({"a": [{"b": "x"}, 3, {"b": ["y"]}, [{"b": "z"}]]}), vec!["x", "y"]),
        (json!({"a": {"b": {"c": "x"}}}), vec![]),
        (json!({"a": {"b": [["x"], "y"]}}), vec![]),
        (json!({"a": "x", "b": "y"}), vec![]),
        (json!({"a": {"b": null}}), vec![]),
        (json!({"a": {"b": 1.5}}), vec![]),
        (json!({"c": 1, "_formatted": {"a": {"b": "x"}}}), vec![]),
    ] {
        let (body, keys) = (answer(&json!([hit])), [key("i", "a.b")]);
        let wanted = wanted(&body, Keys::OfIndex(&keys)).expect("JSON");
        let found: Vec<&str> = wanted.get("i").into_iter().flatten().map(String::as_str).collect();
        assert_eq!(found, ids, "{hit}");
    }
}

/// As seen on 1.50.
#[test]
fn what_was_looked_for_is_put_in_wherever_it_stands() {
    let keys = [key("authors", "author"), key("authors", "team.members")];
    let one = json!({"name": "One"});
    let two = json!({"name": "Two", "id": "a2"});
    for (hit, expected) in [
        (json!({"author": 1, "x": 1}), json!({"author": one, "x": 1})),
        (json!({"author": "nobody"}), json!({"author": {}})),
        (json!({"author": "1", "title": "a2"}), json!({"author": one, "title": "a2"})),
        (json!({"author": ["a2", "1", "no id", "z"]}), json!({"author": [two, one, "no id", "z"]})),
        (json!({"author": null, "author.x": "a2"}), json!({"author": null, "author.x": two})),
        (
            json!({"author": {"of": [["a2", 3]]}, "team": {"members": [1], "boss": 1}}),
            json!({"author": {"of": [[two, 3]]}, "team": {"members": [one], "boss": 1}}),
        ),
        (json!({"author": 1, "team": "1"}), json!({"author": one, "team": one})),
        (
            json!({"author": 1, "_formatted": {"author": "1", "title": "1", "_x": 1}, "_rankingScore": 1}),
            json!({"author": one, "_formatted": {"author": one, "title": "1", "_x": 1}, "_rankingScore": 1}),
        ),
        (
            json!({"_formatted": {"author": "<em>a2</em>", "team": {"members": ["z"]}}}),
            json!({"_formatted": {"author": "<em>a2</em>", "team": {"members": ["z"]}}}),
        ),
    ] {
        assert_eq!(with_authors(&json!([hit]), Keys::OfIndex(&keys)), json!([expected]), "{hit}");
    }
}

#[test]
fn each_hit_of_several_queries_has_the_keys_of_its_index() {
    let keys = [vec![key("authors", "author")], vec![], vec![key("authors", "by")]];
    let hit = |query: u64| json!({"author": 1, "by": 1, "_federation": {"indexUid": "x", "queriesPosition": query}});
    let hits = with_authors(&json!([hit(1), hit(0), hit(2), hit(9)]), Keys::OfQueries(&keys));
    let one = json!({"name": "One"});
    let shown: Vec<_> = (0..4).map(|place| (&hits[place]["author"], &hits[place]["by"])).collect();
    let id = json!(1);
    assert_eq!(shown, [(&id, &id), (&one, &id), (&id, &one), (&id, &id)]);
    assert!(wanted(&answer(&json!([{"author": 1}])), Keys::OfQueries(&keys)).is_err());
}

#[test]
fn later_keys_see_what_earlier_ones_have_put_in() {
    let hits = json!([{"author": "a2"}]);
    let keys = [key("authors", "author"), key("authors", "author.id")];
    let two = json!({"name": "Two", "id": "a2"});
    assert_eq!(with_authors(&hits, Keys::OfIndex(&keys)), json!([{"author": {"name": "Two", "id": two}}]));
}

#[test]
fn nothing_else_of_the_answer_changes() {
    let body =
        "{ \"q\" : \"a2\", \"hits\":[ {\"n\": 1.50e3, \"author\" :\"\\u0061\\u0032\" , \"x\":\"é\\/\"} ,{}],\"t\":0}";
    let keys = [key("authors", "author")];
    let documents = [("authors", known(&[("a2", "{\"name\": 2.0}")]))].into();
    let text = hydrated(body, Keys::OfIndex(&keys), &documents, 100).expect("small");
    assert_eq!(text, body.replace("\"\\u0061\\u0032\"", "{\"name\": 2.0}"));
    assert_eq!(
        hydrated(body, Keys::OfIndex(&keys), &BTreeMap::new(), 100).as_deref(),
        Ok(body),
        "what is not known stays"
    );
    assert_eq!(hydrated("{\"hits\":7}", Keys::OfIndex(&keys), &documents, 100), Err(HydrationError::Malformed));
}

#[test]
fn documents_may_come_to_so_many_bytes_only() {
    let keys = [key("authors", "author")];
    let documents = [("authors", known(&[("1", &format!("\"{}\"", "x".repeat(98)))]))].into();
    let hits = answer(&json!([{"author": [1, 1, 1]}, {"author": 1}]));
    let fill = |bytes_max| hydrated(&hits, Keys::OfIndex(&keys), &documents, bytes_max);
    assert_eq!(fill(396).map(|text| text.len()), Ok(hits.len() + 396));
    for bytes_max in [0, 100, 250, 395] {
        assert_eq!(fill(bytes_max), Err(HydrationError::TooLarge), "{bytes_max}");
    }
}

#[test]
fn an_answer_says_once_that_it_is_not_whole() {
    assert_eq!(degraded("{\"hits\":[],\"x\":1}".to_owned()), "{\"hits\":[],\"x\":1,\"degraded\":true}");
    let said = "{\"hits\":[],\"degraded\":true}";
    assert_eq!(degraded(said.to_owned()), said);
}

#[test]
fn documents_are_shown_as_their_index_displays_them() {
    let body = r#"{"results":[{"_miroir":"x","id":7,"a":{"b":1,"c":2}},{"id":"s","z":1.0}],"total":2}"#;
    let shown = |displayed: &Displayed| {
        let mut documents = ForeignDocuments::new();
        read_documents(body, "id", displayed, &mut documents).expect("JSON");
        (documents["7"].clone(), documents["s"].clone())
    };
    let whole = (r#"{"id":7,"a":{"b":1,"c":2}}"#.to_owned(), r#"{"id":"s","z":1.0}"#.to_owned());
    assert_eq!(shown(&Displayed::All), whole);
    assert_eq!(fetched_fields("id", &Displayed::All), None);
    let some = Displayed::Only(vec!["a.b".to_owned()]);
    assert_eq!(shown(&some), (r#"{"a":{"b":1}}"#.to_owned(), "{}".to_owned()));
    assert_eq!(fetched_fields("id", &some), Some(vec!["a.b".to_owned(), "id".to_owned()]));
    assert_eq!(shown(&Displayed::Only(vec!["id".to_owned(), "a".to_owned()])), whole);
}
