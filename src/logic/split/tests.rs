//! Cutting by shard: no document lost, none changed, none in the wrong section.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::*;
use crate::logic::shard_hash::shard_of;
use crate::meili::formats::{DocumentFormat, DocumentReader};

struct Case<'a> {
    body: &'a str,
    format: DocumentFormat,
    primary_key: Option<&'a str>,
    mode: PutMode,
}

impl<'a> Case<'a> {
    fn json(body: &'a str) -> Self {
        Self { body, format: DocumentFormat::Json, primary_key: None, mode: PutMode::Replace }
    }
}

type Outcome = (u64, Option<String>, Result<Payload, DocumentError>);

fn split(case: &Case<'_>) -> Result<Outcome, ReservedField> {
    let mut splitter = DocumentSplitter::new(SplitRules {
        shard_count: 64,
        mode: case.mode,
        primary_key: case.primary_key.map(str::to_owned),
        merges_duplicate_keys: case.format == DocumentFormat::Json,
    });
    let mut reader = DocumentReader::new(case.body.as_bytes(), case.format).expect("not empty");
    let mut fields = Vec::new();
    while let Some(document) = reader.next_document(&mut fields).expect("well-formed") {
        splitter.push(document, &mut fields)?;
    }
    let SplitDocuments { received, primary_key, rejection, mut assembly } = splitter.finish();
    while !assembly.step(7) {}
    Ok((received, primary_key, rejection.map_or_else(|| Ok(assembly.into_payload()), Err)))
}

fn payload(body: &str) -> Payload {
    split(&Case::json(body)).expect("no reserved field").2.expect("good documents")
}

fn rejection(case: &Case<'_>) -> Option<&'static str> {
    split(case).expect("no reserved field").2.err().map(|error| error.api_error("i").code.name())
}

#[test]
fn every_document_is_a_line_of_its_shard_behind_the_marker() {
    let payload = payload("[{\"id\":1,\n \"a\":\"x\\ny\"}, {\"b\":[1,\r\n2],\"id\":\"1\"},{\"id\":\"z\"}]");
    assert_eq!(payload.count(), 2);
    let mut lines = BTreeMap::new();
    for section in &payload.sections {
        let start = section.start as usize;
        let text = std::str::from_utf8(&payload.bytes[start..start + section.length as usize]).expect("UTF-8");
        let member = marker::first_member(section.shard, 64);
        for line in text.split_terminator('\n') {
            let rest = line.strip_prefix(&format!("{{{member}")).expect("the marker comes first");
            lines.entry(section.shard).or_insert_with(Vec::new).push(rest.to_owned());
        }
    }
    let expected = BTreeMap::from([
        (shard_of("1", 64), vec!["\"id\":1,  \"a\":\"x\\ny\"}".to_owned(), "\"b\":[1,  2],\"id\":\"1\"}".to_owned()]),
        (shard_of("z", 64), vec!["\"id\":\"z\"}".to_owned()]),
    ]);
    assert_eq!(lines, expected);
}

#[test]
fn of_duplicate_keys_the_last_one_is_the_id() {
    let payload = payload(r#"[{"id":"a b","x":1,"\u0069d":7}]"#);
    assert_eq!(payload.shards(), vec![shard_of("7", 64)]);
    let line = String::from_utf8(payload.bytes.to_vec()).expect("UTF-8");
    assert!(line.ends_with(",\"id\":7,\"x\":1}\n"), "{line}");
    let ndjson = Case { format: DocumentFormat::Ndjson, primary_key: Some("id"), ..Case::json(r#"{"id":1,"id":2}"#) };
    assert_eq!(rejection(&ndjson), Some("invalid_document_id"));
}

#[test]
fn the_marker_may_not_be_sent_however_it_is_written() {
    for body in
        [r#"[{"id":1},{"id":2,"_miroir":"x"}]"#, r#"[{"id":1,"\u005fmiroir":1}]"#, r#"[{"x":1},{"_miroir.x":1}]"#]
    {
        assert!(split(&Case::json(body)).is_err(), "{body}");
    }
    assert_eq!(payload(r#"[{"id":1,"a":{"_miroir":1}}]"#).count(), 1, "nested it is an ordinary name");
}

#[test]
fn one_bad_document_rejects_all() {
    for (body, expected) in [
        (r#"[{"id":1},{"x":1}]"#, Some("missing_document_id")),
        (r#"[{"id":1},{"id":"a b"},{"x":1}]"#, Some("invalid_document_id")),
        (r#"[{"x":1},{"id":"a b"}]"#, Some("index_primary_key_no_candidate_found")),
        (r#"[{"id":1,"uid":1}]"#, Some("index_primary_key_multiple_candidates_found")),
        (r#"[{"id":1,"_vectors":5}]"#, Some("invalid_vectors_type")),
        (r#"[{"id":1,"_vectors":5},{"id":1}]"#, None),
        (r#"[{"id":1},{"id":1,"_vectors":5}]"#, Some("invalid_vectors_type")),
        // Whether it is bad depends on settings that may still be on their way.
        (r#"[{"id":1,"_geo":5}]"#, None),
        ("[]", None),
    ] {
        assert_eq!(rejection(&Case::json(body)), expected, "{body}");
    }
}

#[test]
fn an_update_hides_only_what_it_writes_over() {
    let update = |body| Case { mode: PutMode::Update, ..Case::json(body) };
    assert_eq!(rejection(&update(r#"[{"id":1,"_vectors":5},{"id":1}]"#)), Some("invalid_vectors_type"));
    assert_eq!(rejection(&update(r#"[{"id":1,"_vectors":5},{"id":1,"_vectors":{}}]"#)), None);
}

#[test]
fn all_documents_are_counted_even_when_one_is_bad() {
    let (received, primary_key, result) =
        split(&Case::json(r#"[{"id":1},{"x":1},{"id":3}]"#)).expect("nothing reserved");
    assert_eq!((received, primary_key.as_deref(), result.is_err()), (3, Some("id"), true));
}

#[test]
fn ids_are_listed_once_by_shard() {
    let payload = split_ids(["1", "b", "1", "c", "-7"], 2);
    let mut ids: Vec<String> = Vec::new();
    for section in &payload.sections {
        let start = section.start as usize;
        let text = std::str::from_utf8(&payload.bytes[start..start + section.length as usize]).expect("UTF-8");
        let list: Vec<String> = serde_json::from_str(&format!("[{text}]")).expect("a list of ids");
        assert!(list.iter().all(|id| shard_of(id, 2) == section.shard));
        assert_eq!(list.len(), section.id_hashes.len());
        ids.extend(list);
    }
    ids.sort();
    assert_eq!(ids, ["-7", "1", "b", "c"]);
}

#[test]
fn no_document_is_lost_or_changed() {
    proptest::proptest!(|(
        documents in proptest::collection::vec(("[a-zA-Z0-9_-]{1,3}", ".{0,12}", -5i64..5), 0..40),
        shard_count in 1u16..300,
        pretty in proptest::bool::ANY,
    )| {
        let values: Vec<Value> = documents.iter().map(|(id, text, number)| json!({"t": text, "id": id, "n": [number]})).collect();
        let body = if pretty { serde_json::to_string_pretty(&values) } else { serde_json::to_string(&values) }.expect("JSON");
        let mut splitter = DocumentSplitter::new(SplitRules {
            shard_count, mode: PutMode::Replace, primary_key: Some("id".into()), merges_duplicate_keys: true,
        });
        let mut reader = DocumentReader::new(body.as_bytes(), DocumentFormat::Json).expect("not empty");
        let mut fields = Vec::new();
        while let Some(document) = reader.next_document(&mut fields).expect("well-formed") {
            splitter.push(document, &mut fields).expect("nothing reserved");
        }
        let mut assembly = splitter.finish().assembly;
        while !assembly.step(100) {}
        let payload = assembly.into_payload();
        let mut stored: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
        for section in &payload.sections {
            let start = section.start as usize;
            let text = std::str::from_utf8(&payload.bytes[start..start + section.length as usize]).expect("UTF-8");
            for line in text.split_terminator('\n') {
                let mut document: Map<String, Value> = serde_json::from_str(line).expect("JSON");
                let marker = document.shift_remove("_miroir").expect("marked");
                proptest::prop_assert_eq!(marker, Value::from(marker::marker(section.shard, shard_count)));
                let id = document["id"].as_str().expect("text").to_owned();
                proptest::prop_assert_eq!(shard_of(&id, shard_count), section.shard);
                stored.insert(id, document);
            }
        }
        let mut expected: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
        for value in &values {
            let Value::Object(document) = value else { unreachable!() };
            expected.insert(document["id"].as_str().expect("text").to_owned(), document.clone());
        }
        proptest::prop_assert_eq!(payload.count(), expected.len() as u64);
        proptest::prop_assert_eq!(stored, expected);
    });
}
