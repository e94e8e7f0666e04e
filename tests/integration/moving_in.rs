//! A Meilisearch moves into Miroir (`miroir-ctl import`): everything is there and equal, an import that dies goes on, and what
//! is wrong is said. The source is a real Meilisearch if there is one (`MIROIR_TEST_MEILISEARCH`), else another Miroir.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fleet::{MASTER_KEY, NODE_KEY, Node, START_LIMIT};
use crate::support::process::miroir_ctl;
use crate::support::{Client, Fleet, FleetOptions, Process, real_meilisearch, wait_for};

pub const DOCUMENTS: usize = 3000;
const LIMIT: Duration = Duration::from_mins(1);

/// What moves, and its key.
pub struct Origin {
    pub client: Client,
    key: &'static str,
    address: SocketAddr,
    /// A real Meilisearch has more than Miroir takes.
    is_real: bool,
    keep: Kept,
}

enum Kept {
    Real { _node: Node, folder: tempfile::TempDir },
    Miroir { _fleet: Fleet },
}

pub fn small(nodes: usize) -> FleetOptions {
    FleetOptions { nodes, replication_factor: 1, shards: 4, ..FleetOptions::new() }
}

impl Origin {
    /// The folder that a real one is started in.
    pub fn folder(&self) -> Option<&std::path::Path> {
        match &self.keep {
            Kept::Real { folder, .. } => Some(folder.path()),
            Kept::Miroir { .. } => None,
        }
    }

    pub fn start() -> Self {
        if let Some(program) = real_meilisearch() {
            let folder = tempfile::tempdir().expect("the temporary folder is writable");
            let mut node = Node::new("origin", folder.path(), Some(program));
            node.start();
            node.client().wait_until_healthy(START_LIMIT);
            let (client, address) = (node.client(), node.port.address());
            return Self { client, key: NODE_KEY, address, is_real: true, keep: Kept::Real { _node: node, folder } };
        }
        let fleet = Fleet::start_with_key(&small(1), "another-master-key-01");
        let (client, address) = (fleet.client(), fleet.port.address());
        Self { client, key: fleet.master_key, address, is_real: false, keep: Kept::Miroir { _fleet: fleet } }
    }

    /// Films with settings, some vectors, synonyms, an index without documents, and keys.
    pub fn fill(&self) {
        let client = &self.client;
        client.ask("PATCH", "/experimental-features", Some(&json!({"containsFilter": true}))).expect(200);
        client.write_well("POST", "/indexes", Some(&json!({"uid": "films", "primaryKey": "number"})));
        client.write_well("POST", "/indexes", Some(&json!({"uid": "nothing yet".replace(' ', "-")})));
        let settings = json!({
            "filterableAttributes": ["kind", {"attributePatterns": ["t*"], "features": {"facetSearch": true, "filter": {"equality": true, "comparison": false}}}],
            "sortableAttributes": ["year", "number"],
            "displayedAttributes": ["title"],
            "synonyms": {"film": ["movie", "picture"], "movie": ["film"]},
            "stopWords": ["the", "a"],
            "rankingRules": ["words", "typo", "year:desc", "exactness"],
            "typoTolerance": {"disableOnWords": ["zebra"], "minWordSizeForTypos": {"oneTypo": 4}},
            "faceting": {"sortFacetValuesBy": {"kind": "count"}},
            "embedders": {"own": {"source": "userProvided", "dimensions": 3}},
        });
        client.write_well("PATCH", "/indexes/films/settings", Some(&settings));
        let document = |number: usize| {
            let mut film = json!({"number": number, "title": format!("The film {number} ümläut \u{1F3AC}"), "kind": if number.is_multiple_of(2) { "a" } else { "b" },
                "year": 1900 + number % 100, "rating": number as f64 / 7.0, "nested": {"deep": [1, {"x": null}]}});
            film["_vectors"] = if number.is_multiple_of(3) {
                json!({"own": [0.1, number as f32 / 10.0, -1.5]})
            } else {
                json!({"own": null})
            };
            film
        };
        let films: Vec<Value> = (0..DOCUMENTS).map(document).collect();
        client.write_well("POST", "/indexes/films/documents", Some(&json!(films)));
        let key = json!({"uid": "6062abda-a5aa-4414-ac91-ecd7944c0f8d", "name": "mine", "description": null,
            "actions": ["search", "documents.*"], "indexes": ["films", "c*"], "expiresAt": "2242-01-02T03:04:05Z"});
        client.post("/keys", &key).expect(201);
    }

    fn import_through(&self, address: SocketAddr, fleet: &Fleet, more: &[&str]) -> Command {
        let mut command = miroir_ctl();
        command.args(["import", "--from", &format!("http://{address}"), "--key", self.key]);
        command.args(["--to", &fleet.port.url(), "--to-key", fleet.master_key]).args(more);
        command
    }

    fn import(&self, fleet: &Fleet, more: &[&str]) -> (Option<i32>, String) {
        said(&mut self.import_through(self.address, fleet, more))
    }
}

/// How it ended, and all that it said.
pub fn said(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().expect("miroir-ctl runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// Puts of documents into the index, the oldest first: how many each.
fn puts(client: &Client, uid: &str) -> Vec<u64> {
    let tasks = client
        .get(&format!("/tasks?indexUids={uid}&types=documentAdditionOrUpdate&limit=1000&reverse=true"))
        .expect(200);
    let tasks = tasks.json["results"].as_array().cloned().unwrap_or_default();
    tasks.iter().filter_map(|task| task["details"]["receivedDocuments"].as_u64()).collect()
}

/// All documents of the films by number.
pub fn films(client: &Client) -> Vec<Value> {
    let answer = client.get("/indexes/films/documents?limit=10000&retrieveVectors=true").expect(200);
    let mut found = answer.json["results"].as_array().cloned().unwrap_or_default();
    found.sort_unstable_by_key(|film| film["number"].as_u64());
    found
}

#[test]
fn a_meilisearch_moves_in_and_is_the_same() {
    let origin = Origin::start();
    origin.fill();
    let fleet = Fleet::start(&small(2));
    let client = fleet.client();

    let (code, text) = origin.import(&fleet, &["--dry-run"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("2 indexes, 3000 documents"), "{text}");
    assert_eq!(client.get("/indexes").expect(200).json["total"], 0, "it was only to be said");

    let (code, text) = origin.import(&fleet, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("index `films`: 3000 documents, equal"), "{text}");
    assert!(text.contains("index `nothing-yet`: 0 documents, equal"), "{text}");
    assert!(text.contains("the master keys differ"), "{text}");

    assert_eq!(films(&client).len(), DOCUMENTS);
    assert!(films(&client) == films(&origin.client), "the same documents, vectors too");
    for path in ["/indexes/films/settings", "/indexes/nothing-yet/settings"] {
        assert_eq!(client.get(path).expect(200).json, origin.client.get(path).expect(200).json);
    }
    assert_eq!(client.get("/indexes/films").expect(200).json["primaryKey"], "number");
    let key = |client: &Client| {
        let mut key = client.get("/keys/6062abda-a5aa-4414-ac91-ecd7944c0f8d").expect(200).json;
        // The master keys differ, and dates are those of Miroir.
        for field in ["key", "createdAt", "updatedAt"] {
            key[field] = Value::Null;
        }
        key
    };
    assert_eq!(key(&client), key(&origin.client));
    assert_eq!(client.get("/experimental-features").expect(200).json["containsFilter"], true);

    // The same command again copies nothing again.
    let before = puts(&client, "films");
    let (code, text) = origin.import(&fleet, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(puts(&client, "films"), before);
}

#[test]
fn with_the_same_master_key_keys_keep_their_values() {
    let origin = Origin::start();
    let created = origin
        .client
        .post("/keys", &json!({"actions": ["search"], "indexes": ["*"], "expiresAt": null}))
        .expect(201)
        .json;
    let fleet = Fleet::start_with_key(&small(1), origin.key);
    let (code, text) = origin.import(&fleet, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("the master keys differ"), "{text}");
    let value = created["key"].as_str().expect("a key has a value");
    fleet.client().with_key(Some(value)).get("/indexes/none/search").expect(404);
}

/// Lets some requests for documents through, and holds the next ones until it is opened.
struct Gate {
    address: SocketAddr,
    state: Arc<(Mutex<bool>, Condvar)>,
    /// Requests for documents.
    asked: Arc<AtomicUsize>,
}

impl Gate {
    fn before(origin: &Origin, free: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new((Mutex::new(false), Condvar::new()));
        let asked = Arc::new(AtomicUsize::new(0));
        let (target, held, counter) = (origin.address, state.clone(), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (held, counter) = (held.clone(), counter.clone());
                std::thread::spawn(move || pass(stream, target, free, &held, &counter));
            }
        });
        Self { address, state, asked }
    }

    fn wait_until_held(&self, free: usize) {
        wait_for("a held request", LIMIT, || {
            let asked = self.asked.load(Ordering::SeqCst);
            if asked > free { Ok(()) } else { Err(asked.to_string()) }
        });
    }

    fn open(&self) {
        *self.state.0.lock().expect("no thread panics with it") = true;
        self.state.1.notify_all();
    }
}

/// One connection; requests have no bodies.
fn pass(mut client: TcpStream, target: SocketAddr, free: usize, held: &(Mutex<bool>, Condvar), asked: &AtomicUsize) {
    let Ok(mut server) = TcpStream::connect(target) else { return };
    let (Ok(mut answers), Ok(mut back)) = (server.try_clone(), client.try_clone()) else { return };
    std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
    let (mut head, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = client.read(&mut piece) {
        head.extend_from_slice(&piece[..length]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        if String::from_utf8_lossy(&head).contains("/documents?") && asked.fetch_add(1, Ordering::SeqCst) >= free {
            let is_open = held.0.lock().expect("no thread panics with it");
            drop(held.1.wait_while(is_open, |is_open| !*is_open));
        }
        if server.write_all(&head).is_err() {
            return;
        }
        head.clear();
    }
}

#[test]
fn an_import_that_was_killed_goes_on_where_it_was() {
    let origin = Origin::start();
    origin.fill();
    let fleet = Fleet::start(&small(2));
    let client = fleet.client();
    let gate = Gate::before(&origin, 2);
    let process = Process::start("import", origin.import_through(gate.address, &fleet, &[]), fleet.folder.path());
    gate.wait_until_held(2);
    wait_for("two puts", LIMIT, || match puts(&client, "films") {
        puts if puts.len() == 2 => Ok(()),
        puts => Err(format!("{puts:?}")),
    });
    process.kill();

    let (code, text) = origin.import(&fleet, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("goes on behind 500 documents"), "{text}");
    assert!(films(&client) == films(&origin.client));
    assert_eq!(puts(&client, "films").iter().sum::<u64>(), DOCUMENTS as u64, "nothing was copied twice");
}

#[test]
fn a_source_that_changes_meanwhile_is_told_of_and_caught_up_with() {
    let origin = Origin::start();
    origin.fill();
    let fleet = Fleet::start(&small(2));
    let gate = Gate::before(&origin, 2);
    let log = fleet.folder.path();
    let mut process = Process::start("import", origin.import_through(gate.address, &fleet, &[]), log);
    gate.wait_until_held(2);
    // Of those that were copied, one is gone, which moves the places of all others, and one has changed; one is new.
    let copied = origin.client.get("/indexes/films/documents?limit=2&fields=number").expect(200).json;
    let number = |place: usize| copied["results"][place]["number"].as_u64().expect("films are numbered");
    origin.client.write_well("POST", "/indexes/films/documents/delete-batch", Some(&json!([number(0)])));
    let changed = json!([{"number": number(1), "title": "other", "_vectors": {"own": null}}, {"number": 99_999, "_vectors": {"own": [1, 2, 3]}}]);
    origin.client.write_well("POST", "/indexes/films/documents", Some(&changed));
    gate.open();
    let status = process.wait(LIMIT);
    let text = process.output();
    assert_eq!(status.code(), Some(3), "{text}");
    let only = format!("in Miroir only, some: {}", number(0));
    for words in ["documents DIFFER", "was written to while it was copied", "--update", &only] {
        assert!(text.contains(words), "{words} in {text}");
    }

    let (code, text) = origin.import(&fleet, &["--update"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(films(&fleet.client()) == films(&origin.client));
}

#[test]
fn what_is_in_the_way_is_said_before_anything_is_copied() {
    let origin = Origin::start();
    let address = format!("http://{}", origin.address);
    let fleet = Fleet::start(&small(1));
    let client = fleet.client();
    let run = |from: &str, key: &str, to: &str| {
        said(miroir_ctl().args(["import", "--from", from, "--key", key, "--to", to, "--to-key", MASTER_KEY]))
    };
    let (code, text) = run(&address, "wrong", &fleet.port.url());
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("the source") && text.contains("refuses the key") && text.contains("--key"), "{text}");
    let (code, text) = run("http://127.0.0.1:1", "k", &fleet.port.url());
    assert_eq!(code, Some(5), "{text}");
    assert!(text.contains("127.0.0.1:1 does not answer") && text.contains("--from"), "{text}");
    let (code, text) = run(&address, origin.key, "http://127.0.0.1:1");
    assert_eq!(code, Some(5), "{text}");
    assert!(text.contains("Miroir") && text.contains("--to"), "{text}");

    client.write_well("POST", "/indexes/songs/documents", Some(&json!([{"id": 1}])));
    origin.client.write_well("POST", "/indexes/songs/documents", Some(&json!([{"id": 2}])));
    let (code, text) = origin.import(&fleet, &["--index", "so*"]);
    assert_eq!(code, Some(4), "{text}");
    for words in ["nothing was copied", "index `songs`: Miroir has one with 1 documents", "--update"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert_eq!(client.get("/indexes/songs/documents/1").expect(200).json["id"], 1);
    let (code, text) = origin.import(&fleet, &["--index", "none"]);
    assert!(code == Some(4) && text.contains("--index"), "{text}");
}

/// Only a real Meilisearch has what Miroir does not take.
#[test]
fn what_miroir_does_not_take_is_named_and_can_be_left_out() {
    let origin = Origin::start();
    if !origin.is_real {
        return;
    }
    let rest = json!({"embedders": {"far": {"source": "rest", "url": "http://127.0.0.1:1/", "apiKey": "a-very-secret-key-0123456789",
        "dimensions": 2, "request": {"input": "{{text}}"}, "response": {"data": "{{embedding}}"}, "documentTemplate": "{{ doc.title }}"}}});
    origin.client.write_well("PATCH", "/indexes/films/settings", Some(&rest));
    let features = json!({"foreignKeys": true, "legacySearch": true});
    origin.client.ask("PATCH", "/experimental-features", Some(&features)).expect(200);
    origin.client.write_well("POST", "/indexes", Some(&json!({"uid": "actors", "primaryKey": "id"})));
    let keys = json!({"foreignKeys": [{"foreignIndexUid": "actors", "fieldName": "actors"}]});
    origin.client.write_well("PATCH", "/indexes/films/settings", Some(&keys));

    let fleet = Fleet::start(&FleetOptions { meilisearch: real_meilisearch(), ..small(1) });
    let client = fleet.client();
    let (code, text) = origin.import(&fleet, &[]);
    assert_eq!(code, Some(4), "{text}");
    for words in ["nothing was copied", "films/far=KEY", "legacySearch", "--leave-out-unsupported"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert_eq!(client.get("/indexes").expect(200).json["total"], 0);

    let without = ["--leave-out-unsupported", "--embedder-key", "films/far=a-very-secret-key-0123456789"];
    let (code, text) = origin.import(&fleet, &without);
    assert_eq!(code, Some(0), "{text}");
    let embedder = |client: &Client| client.get("/indexes/films/settings").expect(200).json["embedders"].clone();
    assert_eq!(embedder(&client), embedder(&origin.client));
}
