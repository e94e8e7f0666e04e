//! kill -9 of Miroir after every step that it stores while the fleet changes, under writes.
//!
//! `coordinator/tests/crashes.rs` does the same step by step, with a store that stops; here it is the process that ends, at
//! the moment at which another process sees that the stored jobs have changed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use miroir::logic::ids::ShardId;
use miroir::logic::marker::marker;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::kill::{Model, SHAPE, options, set_up, settle};
use crate::replicas::wait_until_equal;
use crate::support::fleet::{Node, START_LIMIT, node_index};
use crate::support::{Client, Fleet, FleetOptions, Random, now, real_meilisearch, seed, wait_for};
use crate::writes::Write;

/// One change of the fleet, all crashes included.
const LIMIT: Duration = Duration::from_mins(5);
/// The same on real servers.
const LIMIT_REAL: Duration = Duration::from_mins(30);

const SHARDS: u16 = 4;

/// What Miroir has stored of its topology, as a reader beside it sees it.
struct Stored(Connection);

impl Stored {
    fn open(fleet: &Fleet) -> Self {
        let path = fleet.folder.path().join("miroir").join("miroir.db");
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
        let connection = connection.expect("Miroir has made it");
        connection.busy_timeout(Duration::from_secs(5)).expect("a plain setting");
        Self(connection)
    }

    /// All records of nodes, jobs, joins and bootstraps, and the tables of the fleet, in one text.
    fn text(&self) -> String {
        let sql = "SELECT group_concat(body, char(10)) FROM (SELECT body FROM nodes UNION ALL SELECT body FROM jobs \
            UNION ALL SELECT body FROM joins UNION ALL SELECT body FROM bootstraps \
            UNION ALL SELECT value FROM meta WHERE key = 'tables')";
        let text: Option<String> = self.0.query_row(sql, [], |row| row.get(0)).expect("the store can be read");
        text.unwrap_or_default()
    }

    /// Waits until the records are others (false), or nothing is left to do (true).
    fn is_over_or_changes(&self, last: &mut String, admin: &Client, deadline: Instant) -> bool {
        // Asked when it has been quiet for so many looks: the changes are what must not be missed.
        const QUIET: usize = 100;
        for looks in 1.. {
            let text = self.text();
            if text != *last {
                *last = text;
                return false;
            }
            if looks % QUIET == 0 {
                let status = admin.try_ask("GET", "/_miroir/rebalance", None).ok();
                let status = status.map(|answer| answer.json).unwrap_or_default();
                let is_quiet = status["state"] == "idle" && status["bootstraps"] == json!([]) && !is_verifying(admin);
                if is_quiet && self.text() == *last {
                    return true;
                }
                assert!(now() < deadline, "the change does not end: {status}");
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        unreachable!("the loop ends")
    }
}

/// Replicas are compared, or what was found is put right.
fn is_verifying(admin: &Client) -> bool {
    let report = admin.try_ask("GET", "/_miroir/verify", None).map(|answer| answer.json);
    report.is_ok_and(|report| report["state"] == "comparing" || report["state"] == "repairing")
}

/// The steps and stages that records are in.
fn stages(text: &str) -> BTreeSet<String> {
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let stage =
        |record: Value| ["step", "stage", "state"].iter().find_map(|key| record[key].as_str().map(str::to_owned));
    records.filter_map(stage).collect()
}

/// What was done so far.
#[derive(Default)]
struct Crashes {
    count: usize,
    /// In which the process was killed.
    stages: BTreeSet<String>,
}

impl Crashes {
    /// Kills Miroir when what it stores has changed, again and again, until everything is in its place. Later lives see
    /// more changes each, in case that something begins anew in each life.
    fn crash_until_in_place(&mut self, fleet: &mut Fleet, name: &str) {
        let (stored, begun, before) = (Stored::open(fleet), now(), self.count);
        let limit = if real_meilisearch().is_some() { LIMIT_REAL } else { LIMIT };
        let mut last = stored.text();
        loop {
            let changes = 1 + (self.count - before) / 8;
            let is_over = (0..changes).any(|_| stored.is_over_or_changes(&mut last, &fleet.admin(), begun + limit));
            self.stages.extend(stages(&last));
            if is_over {
                break;
            }
            fleet.kill_miroir();
            self.count += 1;
            fleet.start_miroir();
        }
        eprintln!("{name}: {} crashes, {:.1?}", self.count - before, begun.elapsed());
    }
}

/// Ends the writer, also when a change fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Writes until it is told to stop, a few writes ahead of what has ended.
fn write_until(stop: &AtomicBool, client: &Client, random: &mut Random) -> Model {
    const AHEAD: u64 = 8;
    let mut model = Model::new();
    for version in 0.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        if !model.write(client, &Write::random(random, version, SHAPE)) {
            client.wait_until_healthy(START_LIMIT);
        }
        wait_for("tasks to end", LIMIT_REAL, || {
            let answer = client.try_ask("GET", "/tasks?statuses=enqueued,processing&limit=1", None);
            let unfinished = answer.ok().and_then(|answer| answer.json["total"].as_u64());
            let goes_on = unfinished.is_some_and(|count| count < AHEAD) || stop.load(Ordering::Acquire);
            if goes_on { Ok(()) } else { Err(format!("{unfinished:?} unfinished")) }
        });
    }
    model
}

fn change(fleet: &Fleet, method: &str, target: &str, body: Option<&Value>) {
    fleet.admin().wait_until_healthy(START_LIMIT);
    fleet.admin().ask(method, &format!("/_miroir{target}"), body).expect(200);
}

/// Writes a document to a node as nobody should, of a shard that it does not own.
fn leave_stray(fleet: &Fleet, node: usize) {
    let (name, client) = (&fleet.nodes[node].id, fleet.nodes[node].client());
    let shards = fleet.admin().get("/_miroir/shards").expect(200).json["results"].clone();
    let mut others = shards.as_array().expect("a list").iter();
    let other = others.find(|shard| !shard["nodes"].as_array().expect("a list").contains(&json!(name)));
    let shard = other.expect("not all are on one node")["shard"].as_u64().expect("a number") as u16;
    let index = node_index(&client, "things").expect("it is there");
    let stray = json!([{"id": 1_000_000, "_miroir": marker(ShardId(shard), SHARDS)}]);
    client.write_well("POST", &format!("/indexes/{index}/documents"), Some(&stray));
}

/// Searches for strays and has them deleted, as often as it takes: a new life knows of no search.
fn clear_strays(fleet: &mut Fleet, crashes: &mut Crashes) {
    let deadline = now() + LIMIT_REAL;
    loop {
        change(fleet, "POST", "/verify", Some(&json!({"repair": true})));
        crashes.crash_until_in_place(fleet, "a search for strays");
        let report = wait_for("the search", LIMIT, || {
            let answer = fleet.admin().try_ask("GET", "/_miroir/verify", None).map_err(|error| error.to_string())?;
            let is_over = ["never", "done"].iter().any(|state| answer.json["state"] == *state);
            if is_over { Ok(answer.json) } else { Err(answer.text) }
        });
        if report["state"] == "done" && report["notCompared"] == json!([]) {
            let strays = report["strays"].as_array().expect("a list");
            assert!(strays.iter().all(|found| found["repair"] == "done"), "{report}");
            return;
        }
        assert!(now() < deadline, "{report}");
    }
}

fn change_everything(fleet: &mut Fleet, crashes: &mut Crashes) {
    let mut node = Node::new("node-3", fleet.folder.path(), real_meilisearch());
    node.start();
    node.client().wait_until_healthy(START_LIMIT);
    change(fleet, "POST", "/nodes", Some(&json!({"id": node.id, "url": node.port.url()})));
    fleet.nodes.push(node);
    crashes.crash_until_in_place(fleet, "a node joins");
    change(fleet, "POST", "/rebalance/start", Some(&json!({})));
    crashes.crash_until_in_place(fleet, "from 3 to 4 nodes");

    change(fleet, "POST", "/nodes/node-0/drain", Some(&json!({})));
    crashes.crash_until_in_place(fleet, "a drain");
    change(fleet, "DELETE", "/nodes/node-0", None);
    fleet.nodes.retain(|node| node.id != "node-0");

    leave_stray(fleet, 0);
    clear_strays(fleet, crashes);
    for (is_on, name) in [(true, "a maintenance begins"), (false, "a maintenance ends")] {
        let target = format!("/nodes/{}/maintenance", fleet.nodes[1].id);
        change(fleet, "PUT", &target, Some(&json!({"on": is_on, "force": true})));
        crashes.crash_until_in_place(fleet, name);
    }
    change(fleet, "POST", &format!("/nodes/{}/compact", fleet.nodes[1].id), Some(&json!({})));
    crashes.crash_until_in_place(fleet, "a compaction");

    fleet.nodes.retain(|node| node.id != "node-1");
    wait_for("the others to have all documents", LIMIT, || {
        let answer = fleet.admin().ask("DELETE", "/_miroir/nodes/node-1?force=true", None);
        if answer.status == 200 { Ok(()) } else { Err(answer.text) }
    });
    crashes.crash_until_in_place(fleet, "a lost node is removed");

    for (value, name) in [(1, "from 2 replicas to 1"), (2, "from 1 replica to 2")] {
        change(fleet, "PUT", "/replication-factor", Some(&json!({"value": value})));
        crashes.crash_until_in_place(fleet, name);
    }
}

/// Goal: a crash at any stored step of a change ends well. Method: see [`Crashes`]; one thread writes all the time. At the
/// end every document is what the acknowledged writes made of it, on each of its nodes and on no other.
#[test]
fn a_crash_after_any_stored_step_ends_well() {
    let seed = seed();
    eprintln!("seed {seed}");
    let mut fleet = Fleet::start(&FleetOptions { shards: usize::from(SHARDS), ..options() });
    let client = fleet.client();
    set_up(&client);
    let (stop, random) = (AtomicBool::new(false), &mut Random::new(seed));
    let mut crashes = Crashes::default();
    let model = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&stop, &client, random));
        let end = StopAtEnd(&stop);
        change_everything(&mut fleet, &mut crashes);
        drop(end);
        writer.join().expect("the writer saw only what it may see")
    });
    settle(&client, &model);
    let found = wait_until_equal(&fleet, "things", "id", fleet.nodes.len());
    model.check(&found).expect("documents are what was written");
    let (acknowledged, Crashes { count, stages }) = (model.acknowledged.len(), crashes);
    eprintln!("{count} crashes, {acknowledged} writes acknowledged; killed in {stages:?}");
    // The others are over in less than it takes to see them, mostly.
    for stage in ["copy", "clean", "clear", "joined"] {
        assert!(stages.contains(stage), "no crash in {stage:?}: {stages:?}");
    }
}
