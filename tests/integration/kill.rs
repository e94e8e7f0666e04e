//! kill -9, again and again, under writes: no acknowledged document may be missing, none twice, replicas equal at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use miroir::logic::digest::ContentHash;
use serde_json::json;

use crate::replicas::{hash, wait_until_equal};
use crate::support::fleet::START_LIMIT;
use crate::support::{Client, Fleet, FleetOptions, Random, now, real_meilisearch, rounds, seed, wait_for};
use crate::writes::{Document, Shape, Write};

/// How long all tasks may take to end once everything runs again.
const SETTLE_LIMIT: Duration = Duration::from_mins(2);
/// The same on real servers, which sync the disk for every batch.
const SETTLE_LIMIT_REAL: Duration = Duration::from_mins(15);

/// What is written.
pub const SHAPE: Shape = Shape { ids: 300, groups: 30, batch: 4 };

/// Writes before the kills begin.
const SETUP_WRITES: u64 = 2;

/// What every document may be. A write without an answer happened or did not; it is before all later ones either way.
pub struct Model {
    possible: BTreeMap<usize, BTreeSet<Option<Document>>>,
    pub acknowledged: Vec<u64>,
    pub unanswered: usize,
}

impl Model {
    pub fn new() -> Self {
        let possible = (0..SHAPE.ids).map(|id| (id, BTreeSet::from([None]))).collect();
        Self { possible, acknowledged: Vec::new(), unanswered: 0 }
    }

    fn happened(&mut self, write: &Write) {
        for id in write.ids(SHAPE) {
            let possible = self.possible.entry(id).or_default();
            *possible = possible.iter().map(|before| write.apply(*before)).collect();
        }
    }

    fn perhaps_happened(&mut self, write: &Write) {
        self.unanswered += 1;
        for id in write.ids(SHAPE) {
            let possible = self.possible.entry(id).or_default();
            let more: Vec<_> = possible.iter().map(|before| write.apply(*before)).collect();
            possible.extend(more);
        }
    }

    /// Sends one write and notes what is known of it. False: nobody listens.
    pub fn write(&mut self, client: &Client, write: &Write) -> bool {
        match write.send(client, SHAPE) {
            Ok(answer) if answer.status == 202 => {
                let uid = answer.json["taskUid"].as_u64().expect("an integer");
                assert!(self.acknowledged.last().is_none_or(|last| *last < uid), "task numbers grow: {}", answer.text);
                self.acknowledged.push(uid);
                self.happened(write);
                true
            }
            // Refused for now: nothing happened. Or it waited too long, and nobody knows.
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{}", answer.text);
                self.perhaps_happened(write);
                true
            }
            Err(ureq::Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => false,
            Err(_) => {
                self.perhaps_happened(write);
                false
            }
        }
    }

    /// Compares with what the nodes hold: nothing lost, nothing changed, nothing that was never written.
    pub fn check(&self, found: &BTreeMap<String, ContentHash>) -> Result<(), String> {
        for (id, possible) in &self.possible {
            let hashed = |document: &Document| hash(&document.json(*id, SHAPE));
            let allowed: BTreeSet<Option<ContentHash>> =
                possible.iter().map(|value| value.as_ref().map(hashed)).collect();
            let found = found.get(&id.to_string()).copied();
            if !allowed.contains(&found) {
                return Err(format!("document {id} is {found:?}, but may only be one of {possible:?}"));
            }
        }
        let is_foreign = |id: &&String| id.parse().map_or(true, |id: usize| !self.possible.contains_key(&id));
        found.keys().find(is_foreign).map_or(Ok(()), |id| Err(format!("nobody has written document {id}")))
    }

    /// Every write is one task: none lost, none journalled twice.
    fn check_tasks(&self, total: u64) -> Result<(), String> {
        let least = SETUP_WRITES + self.acknowledged.len() as u64;
        let allowed = least..=least + self.unanswered as u64;
        if allowed.contains(&total) { Ok(()) } else { Err(format!("{total} tasks, but {allowed:?} were written")) }
    }
}

/// Writes until it is told to stop; counts what it did, so that kills fall between and into writes.
fn write_until(stop: &AtomicBool, written: &AtomicUsize, client: &Client, random: &mut Random) -> Model {
    let mut model = Model::new();
    for version in 0.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        if !model.write(client, &Write::random(random, version, SHAPE)) {
            client.wait_until_healthy(START_LIMIT);
        }
        written.fetch_add(1, Ordering::AcqRel);
    }
    model
}

pub fn options() -> FleetOptions {
    let configuration =
        "in_sync_timeout: 500ms\nfeeder: {quarantine: 1s}\nprobe: {interval: 200ms, timeout: 500ms}\n".to_owned();
    FleetOptions { shards: 8, configuration, meilisearch: real_meilisearch(), ..FleetOptions::new() }
}

/// The [`SETUP_WRITES`].
pub fn set_up(client: &Client) {
    client.write_well("POST", "/indexes", Some(&json!({"uid": "things", "primaryKey": "id"})));
    client.write_well("PUT", "/indexes/things/settings/filterable-attributes", Some(&json!(["group"])));
}

/// Waits until every acknowledged task has ended, and well.
pub fn settle(client: &Client, model: &Model) {
    let limit = if real_meilisearch().is_some() { SETTLE_LIMIT_REAL } else { SETTLE_LIMIT };
    wait_for("all tasks to end", limit, || {
        let target = "/tasks?statuses=enqueued,processing&limit=1";
        let answer = client.try_ask("GET", target, None).map_err(|error| error.to_string())?;
        if answer.json["total"] == 0 { Ok(()) } else { Err(answer.text) }
    });
    let failed = client.get("/tasks?statuses=failed,canceled&limit=5").expect(200);
    assert_eq!(failed.json["total"], 0, "{}", failed.text);
    let total = client.get("/tasks?limit=1").expect(200).json["total"].as_u64().expect("a number");
    model.check_tasks(total).expect("one task for each write");
    for uid in &model.acknowledged {
        let task = client.get(&format!("/tasks/{uid}"));
        assert_eq!(task.json["status"], "succeeded", "acknowledged task {uid}: {}", task.text);
    }
}

/// Kills Miroir or a node at some moment, and starts it again at some later one.
fn kill_and_restart(fleet: &mut Fleet, round: usize, random: &mut Random, wait_for_writes: &dyn Fn(usize)) {
    wait_for_writes(random.below(6));
    if round.is_multiple_of(2) {
        fleet.kill_miroir();
        fleet.start_miroir();
        fleet.client().wait_until_healthy(START_LIMIT);
    } else {
        let node = random.below(fleet.nodes.len());
        fleet.nodes[node].kill();
        wait_for_writes(random.below(4));
        fleet.nodes[node].start();
        fleet.nodes[node].client().wait_until_healthy(START_LIMIT);
    }
}

/// Goal: acceptance 5 of the issue. Method: one thread writes without a pause (puts, updates, deletes by id and by filter,
/// settings) while Miroir and the nodes are killed with -9 in turns and started again; at the end every document is what the
/// acknowledged writes made of it, on both of its nodes.
#[test]
fn nothing_acknowledged_is_lost_over_many_kills() {
    let (rounds, seed) = (rounds(50), seed());
    eprintln!("seed {seed}, {rounds} rounds");
    let random = &mut Random::new(seed);
    let mut fleet = Fleet::start(&options());
    let client = fleet.client();
    set_up(&client);
    let mut writer_random = Random::new(seed ^ 0x51DE);
    let (stop, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let model = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&stop, &written, &client, &mut writer_random));
        let wait_for_writes = |count: usize| {
            let goal = written.load(Ordering::Acquire) + count;
            wait_for("writes to go on", START_LIMIT, || {
                let now = written.load(Ordering::Acquire);
                if now >= goal || writer.is_finished() { Ok(()) } else { Err(format!("{now} of {goal}")) }
            });
        };
        for round in 0..rounds {
            if writer.is_finished() {
                break;
            }
            kill_and_restart(&mut fleet, round, random, &wait_for_writes);
        }
        stop.store(true, Ordering::Release);
        writer.join().expect("the writer saw only what it may see")
    });
    let begin = now();
    settle(&client, &model);
    eprintln!("settled after {:.1} s", begin.elapsed().as_secs_f32());
    let found = wait_until_equal(&fleet, "things", "id", 2);
    model.check(&found).expect("documents are what was written");
    // And clients see just that.
    let answer = client.post("/indexes/things/documents/fetch", &json!({"limit": 0})).expect(200);
    assert_eq!(answer.json["total"], found.len());
    let (acknowledged, unanswered) = (model.acknowledged.len(), model.unanswered);
    eprintln!(
        "{acknowledged} writes acknowledged, {unanswered} without an answer, {} documents at the end",
        found.len()
    );
}

/// A model of three documents, of which the last one may also have been deleted: that write got no answer.
fn small_model() -> (Model, BTreeMap<String, ContentHash>) {
    let mut model = Model::new();
    model.happened(&Write::Put(vec![1, 2, 3], 7));
    model.happened(&Write::Update(vec![2], 8));
    model.acknowledged = vec![2, 3];
    model.perhaps_happened(&Write::Delete(vec![3]));
    let written = [(1, None), (2, Some(8)), (3, None)];
    let value = |id, updated| hash(&Document { put: Some(7), updated }.json(id, SHAPE));
    let found = written.into_iter().map(|(id, updated)| (id.to_string(), value(id, updated))).collect();
    (model, found)
}

/// Goal: the check after the kills bites. Method: right contents pass, then each kind of damage is done to them.
#[test]
fn the_check_after_kills_finds_lost_stale_and_foreign_documents() {
    let (model, right) = small_model();
    model.check(&right).expect("as written");
    let with = |change: &dyn Fn(&mut BTreeMap<String, ContentHash>)| {
        let mut found = right.clone();
        change(&mut found);
        model.check(&found)
    };
    with(&|found| _ = found.remove("3")).expect("its deletion may have happened");
    with(&|found| _ = found.remove("1")).expect_err("a lost document");
    let stale = hash(&Document { put: Some(7), updated: None }.json(2, SHAPE));
    with(&|found| _ = found.insert("2".to_owned(), stale)).expect_err("a lost update");
    with(&|found| _ = found.insert("4".to_owned(), stale)).expect_err("one that nobody wrote");
    with(&|found| _ = found.insert("3000".to_owned(), stale)).expect_err("one that nobody could write");
    for (total, is_right) in [(3, false), (4, true), (5, true), (6, false)] {
        assert_eq!(model.check_tasks(total).is_ok(), is_right, "{total} tasks");
    }
}
