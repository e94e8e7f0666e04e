//! Nodes come and go and the number of replicas changes while one client writes and another reads and compares.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use miroir::meili::settings::{Object, differences, display, merge, node_display, parse_patch};
use serde_json::{Value, json};

use crate::history::{History, Read};
use crate::replicas::{hash, wait_until_equal};
use crate::support::fleet::{Node, START_LIMIT, node_index};
use crate::support::{Client, Fleet, FleetOptions, Random, now, real_meilisearch, seed, wait_for};
use crate::writes::{Document, INDEX, Shape, Write};

/// How long a change of the fleet may take.
const MOVE_LIMIT: Duration = Duration::from_mins(5);
/// The same on real servers, where every batch takes a second or two.
const MOVE_LIMIT_REAL: Duration = Duration::from_mins(30);

/// Writes that are not reported yet, at most.
const UNDER_WAY: usize = 8;

/// Documents in one write of the first load.
const LOAD: usize = 5_000;

/// Writes and reads that each phase waits for before its change, besides those during it.
const STEADY: usize = 20;

/// Quick with a node that is gone, patient with nodes that are slow because the machine is busy: when the prober holds all
/// for unreachable, searches do not wait for them long, and lack shards.
pub const CONFIGURATION: &str = "in_sync_timeout: 2s\nfeeder: {quarantine: 2s}\nprobe: {interval: 200ms, timeout: 10s}\n\
    search: {deadline: 50s}\n";

/// What the threads share.
struct Load {
    client: Client,
    shape: Shape,
    history: Mutex<History>,
    stop: AtomicBool,
    written: AtomicUsize,
    read: AtomicUsize,
    /// Of a read since the phase began, in microseconds.
    slowest_read: AtomicUsize,
}

/// Ends the threads, also when the operator panics.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Load {
    fn new(client: Client, shape: Shape) -> Self {
        let count = || AtomicUsize::new(0);
        let (written, read, slowest_read) = (count(), count(), count());
        let history = Mutex::new(History::new(shape));
        Self { client, shape, history, stop: AtomicBool::new(false), written, read, slowest_read }
    }

    fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().expect("no thread panics while it has the lock")
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    /// Notes and sends one write; its number and its task.
    fn send(&self, write: &Write) -> (u64, u64) {
        let number = self.history().send(write);
        let answer = write.send(&self.client, self.shape).unwrap_or_else(|error| panic!("{write:?}: {error}"));
        let answer = answer.expect(202);
        (number, answer.json["taskUid"].as_u64().expect("an integer"))
    }

    /// All documents, in a few large writes.
    fn fill(&self) {
        let ids: Vec<usize> = (0..self.shape.ids).collect();
        for ids in ids.chunks(LOAD) {
            let (number, task) = self.send(&Write::Put(ids.to_vec(), 0));
            let task = self.client.wait_for_task(task);
            assert_eq!(task["status"], "succeeded", "{task}");
            self.history().report(number);
        }
    }

    /// Writes until it is told to stop, a few writes ahead of what is reported. All are reported at the end.
    fn write(&self, random: &mut Random) {
        let mut under_way = VecDeque::new();
        for version in 1.. {
            if !self.goes_on() {
                break;
            }
            under_way.push_back(self.send(&Write::random(random, version, self.shape)));
            self.written.fetch_add(1, Ordering::AcqRel);
            self.settle(&mut under_way, UNDER_WAY);
        }
        self.settle(&mut under_way, 0);
    }

    /// Notes what is reported, and waits until no more than so many are not.
    fn settle(&self, under_way: &mut VecDeque<(u64, u64)>, most: usize) {
        while let Some((number, task)) = under_way.front().copied() {
            let answer = self.client.get(&format!("/tasks/{task}")).expect(200).json;
            match answer["status"].as_str() {
                Some("succeeded") => {
                    self.history().report(number);
                    under_way.pop_front();
                }
                Some("enqueued" | "processing") if under_way.len() <= most => return,
                Some("enqueued" | "processing") => _ = self.client.wait_for_task(task),
                _ => panic!("an acknowledged write failed: {answer}"),
            }
        }
    }

    /// Reads and compares until it is told to stop.
    fn read(&self, random: &mut Random) {
        while self.goes_on() {
            let read = Read::random(random, self.shape);
            let reported = self.history().reported();
            let begun = now();
            let answer = read.send(&self.client).unwrap_or_else(|error| panic!("{read:?}: {error}"));
            let micros = begun.elapsed().as_micros() as usize;
            self.slowest_read.fetch_max(micros, Ordering::AcqRel);
            let checked = read.check(&answer, self.history().since(reported));
            if let Err(error) = checked {
                panic!("{read:?}: {error}\n{}", answer.text);
            }
            self.read.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Changes the fleet, and waits for what comes of it.
pub struct Operator<'a> {
    pub fleet: Fleet,
    load: &'a Load,
    begun: Instant,
}

impl Operator<'_> {
    /// One change: some steady load first, then the change, then everything in its place.
    pub fn phase(&mut self, name: &str, change: impl FnOnce(&mut Self)) {
        self.steady();
        let (begun, count) =
            (now(), || (self.load.written.load(Ordering::Acquire), self.load.read.load(Ordering::Acquire)));
        let (written, read) = count();
        self.load.slowest_read.store(0, Ordering::Release);
        change(self);
        self.wait_until_in_place();
        let slowest = Duration::from_micros(self.load.slowest_read.load(Ordering::Acquire) as u64);
        let ((now_written, now_read), took, since) = (count(), begun.elapsed(), self.begun.elapsed());
        let (writes, reads) = (now_written - written, now_read - read);
        eprintln!("{since:.1?}: {name}: {took:.1?}, {writes} writes, {reads} reads, slowest {slowest:.1?}");
    }

    fn limit(&self) -> Duration {
        if self.fleet.nodes[0].is_real() { MOVE_LIMIT_REAL } else { MOVE_LIMIT }
    }

    /// Waits for a condition as long as the load goes on.
    fn wait_for(&self, what: &str, mut condition: impl FnMut() -> Result<(), String>) {
        wait_for(what, self.limit(), || if self.load.goes_on() { condition() } else { Ok(()) });
        assert!(self.load.goes_on(), "the load has ended while waiting for {what}");
    }

    pub fn steady(&self) {
        for counter in [&self.load.written, &self.load.read] {
            let goal = counter.load(Ordering::Acquire) + STEADY;
            self.wait_for("the load", || match counter.load(Ordering::Acquire) {
                count if count >= goal => Ok(()),
                count => Err(format!("{count} of {goal}")),
            });
        }
    }

    fn wait_until_in_place(&self) {
        let admin = self.fleet.admin();
        self.wait_for("all replicas in their places", || {
            let status = admin.try_ask("GET", "/_miroir/rebalance", None).map_err(|error| error.to_string())?;
            let is_over = ["owed", "bootstraps"].iter().all(|list| status.json[*list] == json!([]));
            let is_over = is_over && status.json["state"] == "idle";
            let nodes = admin.try_ask("GET", "/_miroir/status", None).map_err(|error| error.to_string())?;
            if nodes.json["nodes"]["outOfSync"] != 0 {
                return Err(nodes.text);
            }
            if is_over { Ok(()) } else { Err(status.text) }
        });
    }

    fn ask(&self, method: &str, target: &str, body: Option<&Value>) {
        self.fleet.admin().ask(method, &format!("/_miroir{target}"), body).expect(200);
    }

    /// Starts an empty node; gives what operators say of it.
    fn start(&mut self, id: &str) -> Value {
        let mut node = Node::new(id, self.fleet.folder.path(), real_meilisearch());
        node.start();
        node.client().wait_until_healthy(START_LIMIT);
        let body = json!({"id": id, "url": node.port.url()});
        self.fleet.nodes.push(node);
        body
    }

    fn add(&mut self, id: &str) {
        let body = self.start(id);
        self.ask("POST", "/nodes", Some(&body));
        self.ask("POST", "/rebalance/start", Some(&json!({})));
    }

    /// Another node gets what this one has.
    fn replace(&mut self, id: &str, by: &str) {
        let body = self.start(by);
        self.ask("POST", &format!("/nodes/{id}/replace"), Some(&body));
    }

    /// kill -9, and it never comes back.
    fn lose(&mut self, id: &str) {
        self.fleet.nodes.retain(|node| node.id != id);
        self.steady();
        self.ask("DELETE", &format!("/nodes/{id}?force=true"), None);
    }

    /// kill -9 of some nodes at once.
    fn kill(&mut self, ids: &[&str]) {
        self.fleet.nodes.iter_mut().filter(|node| ids.contains(&node.id.as_str())).for_each(Node::kill);
    }

    fn restart(&mut self, ids: &[&str]) {
        for node in self.fleet.nodes.iter_mut().filter(|node| ids.contains(&node.id.as_str())) {
            node.start();
            node.client().wait_until_healthy(START_LIMIT);
        }
    }

    /// Some nodes die at once; some reads and writes without them, and they are back.
    pub fn kill_and_restart(&mut self, ids: &[&str]) {
        self.kill(ids);
        self.steady();
        self.restart(ids);
    }

    /// A node joins, and while shards move to it another one is away. What is copied first uses up the bytes of hours: the
    /// moves cannot be over before the node dies.
    fn add_and_kill(&mut self, id: &str, dies: &str) {
        let limits = |operator: &Self, limits: &Value| operator.ask("PATCH", "/rebalance/limits", Some(limits));
        limits(self, &json!({"bytesPerSecond": 1, "shardsPerCopy": 1}));
        self.add(id);
        self.wait_for("copies", || is_copying(&self.fleet, dies));
        self.kill(&[dies]);
        is_copying(&self.fleet, dies).expect("shards move at the moment of the kill");
        limits(self, &json!({"configured": true}));
        self.steady();
        self.restart(&[dies]);
    }

    /// Moves everything away from a node.
    fn drain(&self, id: &str) {
        self.ask("POST", &format!("/nodes/{id}/drain"), Some(&json!({})));
    }

    /// Takes a drained node away, and ends it.
    fn remove(&mut self, id: &str) {
        self.ask("DELETE", &format!("/nodes/{id}"), None);
        self.fleet.nodes.retain(|node| node.id != id);
    }

    fn replicas(&self, count: usize) {
        self.ask("PUT", "/replication-factor", Some(&json!({"value": count})));
    }
}

/// Every shard has so many owners, and no node more than one shard more than another.
fn check_placement(fleet: &Fleet, replicas: usize) {
    let shards = fleet.admin().get("/_miroir/shards").expect(200).json["results"].clone();
    let owners: Vec<Vec<&str>> = shards.as_array().expect("a list").iter().map(owners_of).collect();
    let count = |id: &str| owners.iter().flatten().filter(|owner| **owner == id).count();
    let counts: Vec<usize> = fleet.nodes.iter().map(|node| count(&node.id)).collect();
    assert_eq!(counts.iter().sum::<usize>(), owners.len() * replicas, "{shards}");
    assert!(counts.iter().max() <= counts.iter().min().map(|least| least + 1).as_ref(), "{counts:?}");
    for mut owners in owners {
        owners.sort_unstable();
        owners.dedup();
        assert_eq!(owners.len(), replicas, "{shards}");
    }
}

fn owners_of(shard: &Value) -> Vec<&str> {
    let nodes = shard["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    nodes.iter().filter_map(Value::as_str).collect()
}

/// Copies are under way, also of shards that this node has.
fn is_copying(fleet: &Fleet, node: &str) -> Result<(), String> {
    let status = fleet.admin().get("/_miroir/rebalance").expect(200);
    let shards = fleet.admin().get("/_miroir/shards").expect(200).json["results"].clone();
    let has = |job: &Value| {
        let owners =
            shards.as_array().expect("a list").iter().find(|shard| shard["shard"] == job["shard"]).map(owners_of);
        owners.is_some_and(|owners| owners.contains(&node))
    };
    let jobs = status.json["jobs"].as_array().expect("a list");
    let is_right = status.json["state"] == "running" && jobs.iter().any(|job| job["step"] == "copy" && has(job));
    if is_right { Ok(()) } else { Err(status.text) }
}

/// The settings of the index are those that were written last: for clients, and on every node.
fn check_settings(fleet: &Fleet, history: &History) {
    let written = Object::from_iter(history.settings().map(|stop_words| ("stopWords".to_owned(), stop_words)));
    let first = parse_patch(settings().to_string().as_bytes()).expect("they are right");
    let expected = merge(&merge(&Object::new(), &first), &written);
    let shown = fleet.client().get(&format!("/indexes/{INDEX}/settings")).expect(200).json;
    assert_eq!(shown, Value::from(display(&expected)));
    for node in &fleet.nodes {
        check_settings_of(&expected, &settings_of(&node.client()))
            .unwrap_or_else(|error| panic!("{}: {error}", node.id));
    }
}

fn check_settings_of(expected: &Object, found: &Value) -> Result<(), String> {
    let different = differences(expected, found.as_object().ok_or("no settings")?);
    // By themselves, whatever is derived from the others.
    let stop_words = expected.get("stopWords").cloned().unwrap_or_else(|| json!([]));
    let is_right = different.is_empty() && found["stopWords"] == stop_words;
    if is_right { Ok(()) } else { Err(format!("{different:?} differ: {found} for {expected:?}")) }
}

fn settings_of(node: &Client) -> Value {
    let uid = node_index(node, "things").expect("it is there");
    node.get(&format!("/indexes/{uid}/settings")).expect(200).json
}

/// With which the index begins.
fn settings() -> Value {
    json!({"filterableAttributes": ["group", "id"], "sortableAttributes": ["id"],
        "searchableAttributes": ["word"], "pagination": {"maxTotalHits": 1_000_000}})
}

fn set_up(client: &Client) {
    client.write_well("POST", "/indexes", Some(&json!({"uid": INDEX, "primaryKey": "id"})));
    client.write_well("PATCH", &format!("/indexes/{INDEX}/settings"), Some(&settings()));
}

/// The changes of the fleet, from 3 nodes with one replica to 3 others with two.
fn change_everything(operator: &mut Operator<'_>) {
    operator.phase("from 3 to 4 nodes", |operator| operator.add("node-3"));
    operator.phase("from 1 to 2 replicas", |operator| operator.replicas(2));
    operator.phase("from 4 to 5 nodes, and a node is away for a while", |operator| {
        operator.add_and_kill("node-4", "node-1");
    });
    operator.phase("from 2 to 3 replicas", |operator| operator.replicas(3));
    operator.phase("one of 5 nodes is replaced", |operator| operator.replace("node-0", "node-5"));
    operator.remove("node-0");
    operator.phase("one of 5 nodes is lost", |operator| operator.lose("node-1"));
    operator.phase("from 3 to 2 replicas", |operator| operator.replicas(2));
    operator.phase("a drain, to 3 nodes", |operator| operator.drain("node-2"));
    operator.remove("node-2");
    operator.steady();
}

/// Writes and reads go on while an operator, or fate, changes the fleet; then everything must be as it was written.
pub fn under_load(options: &FleetOptions, shape: Shape, change: impl FnOnce(&mut Operator<'_>)) {
    let seed = seed();
    eprintln!("seed {seed}, {shape:?}");
    let fleet = Fleet::start(options);
    let load = Load::new(fleet.client(), shape);
    set_up(&load.client);
    load.fill();
    let fleet = std::thread::scope(|scope| {
        let _stop = StopAtEnd(&load.stop);
        let threads = [
            scope.spawn(|| {
                let _stop = StopAtEnd(&load.stop);
                load.write(&mut Random::new(seed));
            }),
            scope.spawn(|| {
                let _stop = StopAtEnd(&load.stop);
                load.read(&mut Random::new(!seed));
            }),
        ];
        let mut operator = Operator { fleet, load: &load, begun: now() };
        change(&mut operator);
        load.stop.store(true, Ordering::Release);
        for thread in threads {
            thread.join().expect("the load saw only what it may see");
        }
        operator.fleet
    });
    check_the_end(&fleet, &load);
}

/// Three nodes and one replica.
fn options() -> FleetOptions {
    FleetOptions {
        replication_factor: 1,
        configuration: CONFIGURATION.to_owned(),
        meilisearch: real_meilisearch(),
        ..FleetOptions::new()
    }
}

/// All that was written is there, on both owners of its shard and nowhere else; clients see just that.
fn check_the_end(fleet: &Fleet, load: &Load) {
    const REPLICAS: usize = 2;
    check_placement(fleet, REPLICAS);
    let history = load.history();
    check_settings(fleet, &history);
    let found = wait_until_equal(fleet, INDEX, "id", REPLICAS);
    let window = history.since(history.reported());
    for id in 0..load.shape.ids {
        let expected: Vec<Option<Document>> = window.allowed(id).collect();
        let [expected] = expected[..] else { panic!("document {id}: all is reported, but {expected:?}") };
        let expected = expected.map(|document| hash(&document.json(id, load.shape)));
        assert_eq!(found.get(&id.to_string()).copied(), expected, "document {id}");
    }
    let (total, _) = window.total();
    assert_eq!(found.len(), total, "nobody has written other documents");
    let answer = load.client.post(&format!("/indexes/{INDEX}/documents/fetch"), &json!({"limit": 0})).expect(200);
    assert_eq!(answer.json["total"], total);
    let failed = load.client.get("/tasks?statuses=failed,canceled,enqueued,processing&limit=5").expect(200);
    assert_eq!(failed.json["total"], 0, "{}", failed.text);
    let (written, read) = (load.written.load(Ordering::Acquire), load.read.load(Ordering::Acquire));
    eprintln!("{written} writes, {read} reads, {total} documents at the end");
}

/// Goal: what operators do to the fleet costs clients nothing. Method: one client writes without a pause (puts, updates,
/// deletes by id and by filter, settings), another reads and compares every answer with what it may be, while nodes are added
/// and drained and the number of replicas changes; at the end every document is on its nodes as it was written last.
#[test]
fn nobody_notices_that_nodes_come_and_go() {
    under_load(&options(), Shape { ids: 5_000, groups: 250, batch: 20 }, change_everything);
}

/// The same with more than 50,000 documents all the time.
#[test]
#[ignore = "takes minutes: make topology"]
fn nobody_notices_that_nodes_come_and_go_with_many_documents() {
    under_load(&options(), Shape { ids: 60_000, groups: 1_000, batch: 20 }, change_everything);
}

/// Goal: the check of settings bites. Method: what a node should show passes, then each kind of damage is done to it.
#[test]
fn the_check_of_settings_finds_old_lost_and_foreign_ones() {
    let patch = parse_patch(json!({"sortableAttributes": ["id"], "stopWords": ["word7"]}).to_string().as_bytes());
    let expected = merge(&Object::new(), &patch.expect("they are right"));
    let right = Value::from(node_display(&expected));
    check_settings_of(&expected, &right).expect("as derived");
    for (key, value) in [
        ("stopWords", json!(["word6"])),
        ("stopWords", json!([])),
        ("sortableAttributes", json!([])),
        ("filterableAttributes", json!(["group"])),
        ("synonyms", json!({"a": ["b"]})),
    ] {
        let mut found = right.clone();
        found[key] = value;
        check_settings_of(&expected, &found).expect_err(key);
    }
}
