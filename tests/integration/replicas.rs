//! What nodes really hold, read past Miroir: for checks that replicas are equal and that every document is there once.

use std::collections::BTreeMap;
use std::time::Duration;

use miroir::logic::digest::{ContentHash, content_hash};
use serde_json::{Value, json};

use crate::support::{Client, Fleet, wait_for};

/// How long replicas may take to agree.
const AGREE_LIMIT: Duration = Duration::from_secs(90);

/// Documents that one request asks a node for.
const PAGE: usize = 1000;

/// One stored document: its shard's marker and the hash of its content.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Stored {
    /// The value of `_miroir`.
    pub marker: String,
    /// Of its content.
    pub hash: ContentHash,
}

/// On one node, by canonical id.
pub type Contents = BTreeMap<String, Stored>;

/// The nodes' names of a client's index (without what older creations left behind).
fn node_indexes(client: &Client, index: &str) -> Result<Vec<String>, String> {
    let answer = client.try_ask("GET", "/indexes?limit=1000", None).map_err(|error| error.to_string())?;
    let results = answer.json["results"].as_array().ok_or(answer.text.clone())?;
    let prefix = format!("{index}-");
    let uids = results.iter().filter_map(|found| found["uid"].as_str());
    Ok(uids.filter(|uid| uid.starts_with(&prefix)).map(str::to_owned).collect())
}

/// Everything that a node holds of a client's index.
pub fn contents(client: &Client, index: &str, primary_key: &str) -> Result<Contents, String> {
    let mut contents = Contents::new();
    for uid in node_indexes(client, index)? {
        let mut offset = 0;
        loop {
            let body = json!({"offset": offset, "limit": PAGE});
            let target = format!("/indexes/{uid}/documents/fetch");
            let answer = client.try_ask("POST", &target, Some(&body)).map_err(|error| error.to_string())?;
            let results = answer.json["results"].as_array().ok_or(answer.text.clone())?;
            add(&mut contents, results, primary_key)?;
            offset += results.len();
            if results.len() < PAGE {
                break;
            }
        }
    }
    Ok(contents)
}

fn add(contents: &mut Contents, documents: &[Value], primary_key: &str) -> Result<(), String> {
    for document in documents {
        let (id, stored) = stored(document, primary_key)?;
        if contents.insert(id.clone(), stored).is_some() {
            return Err(format!("{id} is there twice on one node"));
        }
    }
    Ok(())
}

fn stored(document: &Value, primary_key: &str) -> Result<(String, Stored), String> {
    let fields = document.as_object().ok_or("a document is an object")?;
    let marker = fields.get("_miroir").and_then(Value::as_str).ok_or(format!("no marker in {document}"))?;
    let id = &fields[primary_key];
    let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    Ok((id, Stored { marker: marker.to_owned(), hash: hash(document) }))
}

/// Waits until every document is on exactly R nodes with equal content, and all documents of a shard on the same nodes.
/// Gives the document's hashes by id.
pub fn wait_until_equal(
    fleet: &Fleet,
    index: &str,
    primary_key: &str,
    replicas: usize,
) -> BTreeMap<String, ContentHash> {
    wait_for("replicas to be equal", AGREE_LIMIT, || {
        let mut nodes = Vec::new();
        for node in &fleet.nodes {
            nodes.push(contents(&node.client(), index, primary_key).map_err(|error| format!("{}: {error}", node.id))?);
        }
        check_equal(&nodes, replicas)
    })
}

fn check_equal(nodes: &[Contents], replicas: usize) -> Result<BTreeMap<String, ContentHash>, String> {
    let mut holders: BTreeMap<&String, Vec<(usize, &Stored)>> = BTreeMap::new();
    for (number, contents) in nodes.iter().enumerate() {
        for (id, stored) in contents {
            holders.entry(id).or_default().push((number, stored));
        }
    }
    let mut shards: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut hashes = BTreeMap::new();
    for (id, found) in holders {
        let on: Vec<usize> = found.iter().map(|(number, _)| *number).collect();
        if found.len() != replicas {
            return Err(format!("{id} is on nodes {on:?}, expected {replicas}"));
        }
        if found.iter().any(|(_, stored)| *stored != found[0].1) {
            return Err(format!("{id} differs between nodes {on:?}"));
        }
        let shard = shards.entry(&found[0].1.marker).or_insert_with(|| on.clone());
        if *shard != on {
            return Err(format!("shard of {id} is on {shard:?}, but the document on {on:?}"));
        }
        hashes.insert(id.clone(), found[0].1.hash);
    }
    Ok(hashes)
}

/// What a document comes to, however a node writes it.
pub fn hash(document: &Value) -> ContentHash {
    content_hash(&document.to_string()).expect("a document is an object")
}

/// Goal: the comparison of replicas bites. Method: equal replicas pass, then each kind of damage is done to them.
#[test]
fn the_comparison_of_replicas_finds_lost_doubled_and_diverged_documents() {
    let document =
        |id: u64, version: u64| json!({"id": id, "version": version, "_miroir": format!("shard {}", id % 2)});
    let node = |documents: &[Value]| {
        let mut contents = Contents::new();
        add(&mut contents, documents, "id").map(|()| contents)
    };
    let (one, two, three) = (document(1, 5), document(2, 5), document(3, 5));
    let odd = node(&[one.clone(), three.clone()]).expect("as stored");
    let all = node(&[one.clone(), two.clone(), three.clone()]).expect("as stored");
    let even = node(std::slice::from_ref(&two)).expect("as stored");
    let check = |nodes: [&Contents; 3]| check_equal(&nodes.map(Clone::clone), 2);
    assert_eq!(check([&odd, &all, &even]).expect("equal").len(), 3);
    let lost = node(std::slice::from_ref(&one)).expect("as stored");
    check([&lost, &all, &even]).expect_err("lost on one replica");
    check([&all, &all, &even]).expect_err("on one node too many");
    node(&[one.clone(), one.clone()]).expect_err("twice on one node");
    let diverged = node(&[one.clone(), document(3, 4)]).expect("as stored");
    check([&diverged, &all, &even]).expect_err("replicas differ");
    let elsewhere = node(&[two, three]).expect("as stored");
    let first = node(&[one]).expect("as stored");
    check([&first, &all, &elsewhere]).expect_err("a shard on more nodes than it has replicas");
    node(&[json!({"id": 1})]).expect_err("no marker");
}
