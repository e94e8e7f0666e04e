//! Dumps of a whole fleet: what one server makes of them, and that they hold exactly what was written before them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use miroir::dump::DumpReader;
use serde_json::{Value, json};

use crate::support::fleet::{MASTER_KEY, START_LIMIT};
use crate::support::{Client, Fleet, FleetOptions, Port, Process, real_meilisearch, wait_for};

const SECRET: &str = "a-very-secret-key-of-ours";
const LIMIT: Duration = Duration::from_mins(2);

fn enqueue_dump(client: &Client) -> u64 {
    let accepted = client.ask("POST", "/dumps", None).expect(202).json;
    assert_eq!((&accepted["type"], &accepted["indexUid"]), (&json!("dumpCreation"), &Value::Null), "{accepted}");
    accepted["taskUid"].as_u64().expect("a number")
}

/// The file of a dump that succeeded.
fn place(fleet: &Fleet, task: &Value) -> PathBuf {
    assert_eq!(task["status"], "succeeded", "{task}");
    let uid = task["details"]["dumpUid"].as_str().expect("it is there now");
    fleet.folder.path().join("miroir/dumps").join(format!("{uid}.dump"))
}

fn read(fleet: &Fleet, task: &Value) -> DumpReader {
    let place = place(fleet, task);
    DumpReader::open(File::open(place).expect("the dump is there"), fleet.folder.path()).expect("it is whole")
}

/// A page of a list; these are short.
fn list(client: &Client, target: &str) -> Vec<Value> {
    client.get(target).expect(200).json["results"].as_array().expect("a list").clone()
}

/// All documents of an index, by their ids.
fn documents(client: &Client, index: &str) -> BTreeMap<String, Value> {
    let found = list(client, &format!("/indexes/{index}/documents?limit=10000&retrieveVectors=true"));
    found.into_iter().map(|document| (document["id"].to_string(), document)).collect()
}

/// The embedded node knows one source of vectors.
fn fill(client: &Client, source: &Value) {
    let films: Value = (0..700)
        .map(|id| json!({"id": id, "title": format!("film {id}"), "year": 1900 + id % 120, "n": 0.1}))
        .collect();
    client.write_well("POST", "/indexes/films/documents", Some(&films));
    client.write_well("POST", "/indexes", Some(&json!({"uid": "empty"})));
    let settings =
        json!({"filterableAttributes": ["year"], "stopWords": ["the"], "rankingRules": ["words", "year:asc"]});
    client.write_well("PATCH", "/indexes/films/settings", Some(&settings));
    let embedders = json!({
        "own": {"source": "userProvided", "dimensions": 2},
        "asked": source,
    });
    client.write_well("PATCH", "/indexes/vectors/settings", Some(&json!({"embedders": embedders})));
    let vectors = json!([
        {"id": "a", "_vectors": {"own": [0.5, 0.25], "asked": {"embeddings": [[1.0, 2.0]], "regenerate": false}}},
        {"id": "b", "_vectors": {"own": [[0.5, 0.5], [0.25, 0.5]], "asked": null}},
        {"id": "c", "_vectors": {"own": null, "asked": null}},
    ]);
    client.write_well("POST", "/indexes/vectors/documents", Some(&vectors));
    // A name that another index had.
    client.write_well("POST", "/indexes/old/documents", Some(&json!([{"id": 1}])));
    let swap = json!([{"indexes": ["old", "empty"]}]);
    client.write_well("POST", "/swap-indexes", Some(&swap));
    client.write_well("DELETE", "/indexes/old", None);
    client.write("POST", "/indexes/films/documents", Some(&json!([{"no": "id"}])));
    client.write_well("POST", "/indexes/films/documents/delete", Some(&json!({"filter": "year = 1905"})));
    client.write_well("POST", "/indexes/films/documents/delete-batch", Some(&json!([1, 2])));
    client.ask("POST", "/tasks/cancel?uids=0", None).expect(200);
    let key = json!({"name": "mine", "actions": ["documents.*"], "indexes": ["films"], "expiresAt": null});
    client.ask("POST", "/keys", Some(&key)).expect(201);
    client.ask("PATCH", "/experimental-features", Some(&json!({"containsFilter": true}))).expect(200);
    client.ask("POST", "/webhooks", Some(&json!({"url": "http://127.0.0.1:9/hook"}))).expect(201);
}

/// Goal: a dump of a fleet is one that a server takes, with the same documents, settings, keys and tasks. Method: with a real
/// Meilisearch, one with the same master key imports it, and is asked what Miroir is asked; without, the dump is read back.
#[test]
fn one_server_that_imports_a_dump_of_a_fleet_answers_as_the_fleet() {
    let fleet = Fleet::start(&FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() });
    let client = fleet.client();
    let asked = json!({
        "source": "rest", "url": "http://127.0.0.1:9/", "apiKey": SECRET, "dimensions": 2,
        "request": {"input": "{{text}}"}, "response": {"data": "{{embedding}}"},
    });
    let given = json!({"source": "userProvided", "dimensions": 2});
    fill(&client, if fleet.nodes[0].is_real() { &asked } else { &given });
    let task = client.wait_for_task(enqueue_dump(&client));
    let Some(meilisearch) = real_meilisearch() else {
        compare(&client, &read(&fleet, &task));
        return;
    };
    compare(&client, &read(&fleet, &task));
    let port = Port::reserve();
    let mut command = Command::new(meilisearch);
    command.current_dir(fleet.folder.path()).args([
        "--no-analytics",
        "--master-key",
        MASTER_KEY,
        "--log-level",
        "WARN",
    ]);
    command.arg("--http-addr").arg(port.address().to_string()).args(["--db-path", "imported"]);
    command.env("MEILI_EXPERIMENTAL_ALLOWED_IP_NETWORKS", "any");
    command.arg("--import-dump").arg(place(&fleet, &task));
    let _server = Process::start("imported", command, fleet.folder.path());
    let server = Client::new(&port.url(), Some(MASTER_KEY));
    server.wait_until_healthy(START_LIMIT);
    for index in ["films", "empty", "vectors"] {
        assert_eq!(documents(&server, index), documents(&client, index), "{index}");
        let target = format!("/indexes/{index}/settings");
        assert_eq!(server.get(&target).expect(200).json, client.get(&target).expect(200).json, "{target}");
    }
    for target in ["/keys", "/experimental-features", "/webhooks", "/indexes", "/tasks?limit=1000"] {
        let (there, here) = (server.get(target).expect(200).json, client.get(target).expect(200).json);
        assert_eq!(comparable(there), comparable(here), "{target}");
    }
    // It goes on from there.
    server.write_well("POST", "/indexes/films/documents", Some(&json!([{"id": 10_000}])));
    let found = server.post("/indexes/films/search", &json!({"q": "film", "filter": "year = 1910"})).expect(200).json;
    assert_eq!(found["estimatedTotalHits"], 6, "{found}");
}

/// A dump of Miroir has no batches, and for the server its indexes have changed when it imported them.
fn comparable(mut answer: Value) -> Value {
    for shown in answer["results"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        shown.remove("batchUid");
        if shown.get("type") == Some(&json!("dumpCreation")) {
            // It was written before it ended.
            shown.retain(|name, _| name != "finishedAt" && name != "duration");
        }
        if shown.contains_key("primaryKey") {
            shown.remove("updatedAt");
        }
    }
    answer
}

fn compare(client: &Client, dump: &DumpReader) {
    let indexes = dump.indexes().expect("all are whole");
    let uids: Vec<&str> = indexes.iter().map(|index| index.metadata.uid.as_str()).collect();
    assert_eq!(uids, ["empty", "films", "vectors"]);
    for index in &indexes {
        let uid = &index.metadata.uid;
        let parse = |line: String| serde_json::from_str::<Value>(&line).expect("a document");
        let lines = index.documents().expect("they are there").map(|line| parse(line.expect("a line")));
        let mut dumped: BTreeMap<String, Value> = lines.map(|found| (found["id"].to_string(), found)).collect();
        // Documents without vectors are shown with none.
        let has_vectors =
            |document: &Value| document["_vectors"].as_object().is_some_and(|vectors| !vectors.is_empty());
        let mut shown = documents(client, uid);
        for document in dumped.values_mut().chain(shown.values_mut()).filter(|document| !has_vectors(document)) {
            document.as_object_mut().expect("a document").remove("_vectors");
        }
        assert_eq!(dumped, shown, "{uid}");
    }
    let embedder = &indexes[2].settings().expect("they are there")["embedders"]["asked"];
    assert!(embedder["source"] == "userProvided" || embedder["apiKey"] == SECRET, "{embedder}");
    let keys: BTreeSet<String> =
        dump.keys().expect("there are").map(|key| key.expect("a key").uid.to_string()).collect();
    let shown: BTreeSet<String> =
        list(client, "/keys?limit=100").iter().map(|key| key["uid"].as_str().expect("a text").to_owned()).collect();
    assert_eq!(keys, shown);
    assert_eq!(dump.experimental_features().expect("they are there")["containsFilter"], true);
    assert_eq!(dump.webhooks().expect("they are there").len(), 1);
    let tasks: Vec<u64> = dump.tasks().expect("there are").map(|task| task.expect("a task").uid).collect();
    assert_eq!(tasks.len(), list(client, "/tasks?limit=1000").len());
    assert!(tasks.is_sorted());
}

/// Goal: a dump holds what was written before it and nothing of what was written after it, in all indexes, while writes are
/// accepted. Method: writers write numbers in sequence to several indexes; what a dump must hold follows from the numbers of
/// the tasks.
#[test]
fn a_dump_holds_exactly_what_was_written_before_it() {
    const INDEXES: [&str; 3] = ["a", "b", "c"];
    // Writes to one document go to a node one batch after the other.
    const SELDOM: usize = 10;
    let fleet = Fleet::start(&FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() });
    for index in INDEXES {
        fleet.client().write_well("POST", "/indexes", Some(&json!({"uid": index, "primaryKey": "id"})));
    }
    let is_over = AtomicBool::new(false);
    let most = if fleet.nodes[0].is_real() { 100 } else { usize::MAX };
    // By index: the task of each number.
    let (dumps, written) = std::thread::scope(|scope| {
        let write = |index: &'static str| {
            let (client, is_over) = (fleet.client(), &is_over);
            scope.spawn(move || {
                let mut tasks = Vec::new();
                while !is_over.load(Ordering::Acquire) && tasks.len() < most {
                    let number = tasks.len();
                    // Every number anew, and now and then one document that has had them all.
                    let mut documents = vec![json!({"id": number})];
                    if number % SELDOM == 0 {
                        documents.push(json!({"id": "last", "number": number}));
                    }
                    tasks.push(client.enqueue("POST", &format!("/indexes/{index}/documents"), &documents.into()));
                }
                tasks
            })
        };
        let writers = INDEXES.map(write);
        let client = fleet.client();
        let dumps: Vec<u64> = (0..3)
            .map(|_| {
                let task = enqueue_dump(&client);
                client.wait_for_task(task);
                task
            })
            .collect();
        is_over.store(true, Ordering::Release);
        (dumps, writers.map(|writer| writer.join().expect("writes are accepted all the time")))
    });
    let ends: Vec<u64> = written.iter().filter_map(|tasks| tasks.last().copied()).collect();
    for (index, end) in INDEXES.iter().zip(ends) {
        assert_eq!(fleet.client().wait_for_task(end)["status"], "succeeded", "{index}");
    }
    for dump in dumps {
        let task = fleet.client().get(&format!("/tasks/{dump}")).expect(200).json;
        let dumped = read(&fleet, &task);
        for ((index, tasks), found) in INDEXES.iter().zip(&written).zip(dumped.indexes().expect("all are whole")) {
            let count = tasks.iter().filter(|task| **task < dump).count();
            let last = (count > 0).then(|| json!({"id": "last", "number": (count - 1) / SELDOM * SELDOM}));
            let mut expected: BTreeSet<String> = (0..count).map(|number| json!({"id": number}).to_string()).collect();
            expected.extend(last.map(|last| last.to_string()));
            let lines: Vec<String> =
                found.documents().expect("they are there").map(|line| line.expect("a line")).collect();
            assert_eq!(lines.len(), expected.len(), "{index} of dump {dump}");
            assert_eq!(lines.into_iter().collect::<BTreeSet<_>>(), expected, "{index} of dump {dump}");
        }
        assert!(dumped.tasks().expect("there are").all(|task| task.expect("a task").uid <= dump));
    }
}

/// Goal: a dump is made in the end if Miroir dies while it makes it, and leaves nothing but itself; one that waits can be
/// canceled, and holds up nothing then; one that nobody can make fails, and holds up nothing either. Method: a node is down,
/// and no other one has its shards.
#[test]
fn a_dump_waits_is_canceled_fails_and_survives_a_crash() {
    let options = FleetOptions {
        nodes: 2,
        replication_factor: 1,
        meilisearch: real_meilisearch(),
        configuration: "feeder: {quarantine: 20s}\n".to_owned(),
        ..FleetOptions::new()
    };
    let mut fleet = Fleet::start(&options);
    let client = fleet.client();
    let documents: Value = (0..100).map(|id| json!({"id": id})).collect();
    client.write_well("POST", "/indexes/a/documents", Some(&documents));

    fleet.nodes[0].kill();
    let canceled = enqueue_dump(&client);
    client.ask("POST", &format!("/tasks/cancel?uids={canceled}"), None).expect(200);
    assert_eq!(client.wait_for_task(canceled)["status"], "canceled");
    let failed = enqueue_dump(&client);
    // All writes wait for it.
    let behind = client.enqueue("POST", "/indexes/a/documents", &json!([{"id": "behind"}]));
    let failed = client.wait_for_task(failed);
    assert_eq!(failed["error"]["code"], "dump_process_failed", "{failed}");
    assert_eq!(failed["details"]["dumpUid"], Value::Null);
    fleet.nodes[0].start();
    assert_eq!(client.wait_for_task(behind)["status"], "succeeded");

    // It cannot be begun before the node answers.
    fleet.nodes[1].kill();
    let dump = enqueue_dump(&client);
    fleet.kill_miroir();
    let folder = fleet.folder.path().join("miroir/dumps");
    std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
    std::fs::write(folder.join("20200101-000000000.dump.unfinished"), "of an earlier life").expect("the same");
    fleet.start_miroir();
    client.wait_until_healthy(START_LIMIT);
    fleet.nodes[1].start();
    let task = wait_for("the dump", LIMIT, || {
        let task = client.get(&format!("/tasks/{dump}")).expect(200).json;
        if task["finishedAt"].is_null() { Err(task.to_string()) } else { Ok(task) }
    });
    let dumped = read(&fleet, &task);
    assert_eq!(dumped.indexes().expect("it is whole")[0].documents().expect("they are there").count(), 101);
    let files: Vec<_> =
        std::fs::read_dir(&folder).expect("it is there").map(|file| file.expect("a file").path()).collect();
    assert_eq!(files, [place(&fleet, &task)]);
}
