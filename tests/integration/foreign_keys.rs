//! Documents of other indexes, which are on other nodes, while nodes die.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Client, Fleet, FleetOptions, real_meilisearch};

const BOOKS: u64 = 300;
const AUTHORS: u64 = 120;

fn author_of(book: u64) -> Value {
    // Some name nobody.
    let author = book % (AUTHORS + 5);
    if author < AUTHORS {
        json!({"id": author, "name": format!("author {author}"), "decade": author / 10})
    } else {
        json!({})
    }
}

fn search(client: &Client, filter: &str) -> (Vec<Value>, bool) {
    let body = json!({"filter": filter, "limit": BOOKS, "attributesToHighlight": ["title"]});
    let answer = client.post("/indexes/books/search", &body).expect(200);
    let degraded = answer.header("x-miroir-degraded").is_some();
    assert_eq!(answer.json["degraded"] == json!(true), degraded, "{}", answer.text);
    (answer.json["hits"].as_array().expect("hits").clone(), degraded)
}

fn start(replication_factor: usize) -> Fleet {
    let options = FleetOptions { meilisearch: real_meilisearch(), replication_factor, ..FleetOptions::new() };
    let fleet = Fleet::start(&options);
    let client = fleet.client();
    client.ask("PATCH", "/experimental-features", Some(&json!({"foreignKeys": true}))).expect(200);
    let authors: Value = (0..AUTHORS).map(author_of).collect();
    client.write_well("POST", "/indexes/authors/documents", Some(&authors));
    client.write_well("PATCH", "/indexes/authors/settings", Some(&json!({"filterableAttributes": ["decade"]})));
    let settings = json!({
        "foreignKeys": [{"foreignIndexUid": "authors", "fieldName": "author"}],
        "filterableAttributes": ["author", "id"],
    });
    client.write_well("PATCH", "/indexes/books/settings", Some(&settings));
    let book = |id: u64| json!({"id": id, "title": format!("book {id}"), "author": id % (AUTHORS + 5)});
    let books: Value = (0..BOOKS).map(book).collect();
    client.write_well("POST", "/indexes/books/documents?primaryKey=id", Some(&books));
    fleet
}

/// Goal: with two replicas a death changes neither the documents that are put in nor what filters on them find.
#[test]
fn documents_of_other_indexes_are_there_when_a_node_dies() {
    let mut fleet = start(2);
    let client = fleet.client();
    for is_dead in [false, true] {
        let (hits, degraded) = search(&client, "id >= 0");
        assert!(!degraded && hits.len() as u64 == BOOKS, "{is_dead}: {} hits", hits.len());
        for hit in &hits {
            let author = author_of(hit["id"].as_u64().expect("an id"));
            assert_eq!((&hit["author"], &hit["_formatted"]["author"]), (&author, &author), "{is_dead}: {hit}");
        }
        let (hits, degraded) = search(&client, "_foreign(author, decade = 3) AND id < 200");
        let found: BTreeSet<u64> = hits.iter().filter_map(|hit| hit["id"].as_u64()).collect();
        let expected = (0..200).filter(|id| (30..40).contains(&(id % (AUTHORS + 5)))).collect();
        assert_eq!((found, degraded), (expected, false), "{is_dead}");
        if !is_dead {
            fleet.nodes[1].kill();
        }
    }
}

/// Goal: without a second copy what is missing of the other index stays an id, and the answer says that it is not whole.
#[test]
fn documents_that_nobody_has_any_more_stay_ids() {
    let mut fleet = start(1);
    let client = fleet.client();
    fleet.nodes[1].kill();
    let (hits, degraded) = search(&client, "id >= 0");
    assert!(degraded && (1..BOOKS as usize).contains(&hits.len()), "{} hits", hits.len());
    let (mut put_in, mut left) = (0, 0);
    for hit in &hits {
        let id = hit["id"].as_u64().expect("an id");
        if hit["author"].is_object() {
            put_in += 1;
            assert_eq!(hit["author"], author_of(id));
        } else {
            left += 1;
            assert_eq!(hit["author"], json!(id % (AUTHORS + 5)));
        }
    }
    assert!(put_in > 0 && left > 0, "{put_in} documents, {left} ids");
    let (_, degraded) = search(&client, "_foreign(author, decade = 3)");
    assert!(degraded);
    let strict = client.with_header("x-miroir-partial", "deny");
    let refused = strict.post("/indexes/books/search", &json!({"filter": "_foreign(author, decade = 3)"}));
    assert_eq!((refused.status, refused.code()), (503, "miroir_shard_unavailable"));
}
