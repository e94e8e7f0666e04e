//! kill -9, again and again, under writes: no acknowledged document may be missing, none twice, replicas equal at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::replicas::{expected, wait_until_equal};
use crate::support::fleet::START_LIMIT;
use crate::support::{Client, Fleet, FleetOptions, Random, rounds, seed, wait_for};

/// How long all tasks may take to end once everything runs again.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

/// Documents per write.
const BATCH: usize = 4;

/// How many different ids there are: small enough that documents are overwritten and deleted.
const IDS: usize = 300;

/// What the test knows: the documents as of the last acknowledged write, and those that a write without an answer touched.
#[derive(Default)]
struct Model {
    documents: BTreeMap<String, Value>,
    /// Values that an unanswered write may have left; the last acknowledged value is always possible too.
    unsure: BTreeMap<String, Vec<Option<Value>>>,
    version: usize,
    acknowledged: Vec<u64>,
}

impl Model {
    /// One random write; what comes of it depends on whether it is answered.
    fn write(&mut self, client: &Client, random: &mut Random) {
        self.version += 1;
        let is_deletion = random.percent(15);
        let ids: Vec<usize> = (0..BATCH).map(|_| random.below(IDS)).collect();
        let version = self.version;
        let value = |id: usize| json!({"id": id, "version": version, "text": format!("words of {id}")});
        let (target, body): (&str, Value) = if is_deletion {
            ("/indexes/things/documents/delete-batch", json!(ids))
        } else {
            ("/indexes/things/documents", ids.iter().map(|id| value(*id)).collect())
        };
        let answer = client.try_ask("POST", target, Some(&body));
        let new = |id: usize| if is_deletion { None } else { Some(value(id)) };
        match answer {
            Ok(answer) if answer.status == 202 => {
                let uid = answer.json["taskUid"].as_u64().expect("an integer");
                assert!(self.acknowledged.last().is_none_or(|last| *last < uid), "task numbers grow: {}", answer.text);
                self.acknowledged.push(uid);
                for id in ids {
                    self.unsure.remove(&id.to_string());
                    match new(id) {
                        Some(value) => drop(self.documents.insert(id.to_string(), value)),
                        None => drop(self.documents.remove(&id.to_string())),
                    }
                }
            }
            // Refused: nothing happened.
            Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.text),
            // Nobody knows; and it is older than every later write, which makes it certain again.
            Err(_) => {
                for id in ids {
                    self.unsure.entry(id.to_string()).or_default().push(new(id));
                }
            }
        }
    }

    /// Compares with what the nodes hold.
    fn check(&self, found: &BTreeMap<String, u64>) {
        let certain = expected(&self.documents);
        for id in (0..IDS).map(|id| id.to_string()) {
            let possible = self.unsure.get(&id).map(Vec::as_slice).unwrap_or_default();
            let hash = |value: &Value| expected(&BTreeMap::from([(id.clone(), value.clone())]))[&id];
            let mut allowed: Vec<Option<u64>> = possible.iter().map(|value| value.as_ref().map(hash)).collect();
            allowed.push(certain.get(&id).copied());
            let found = found.get(&id).copied();
            let known = (self.documents.get(&id), possible);
            assert!(allowed.contains(&found), "document {id}: found {found:?}, allowed {allowed:?}, known {known:?}");
        }
    }
}

fn options() -> FleetOptions {
    let configuration =
        "in_sync_timeout: 500ms\nfeeder: {quarantine: 1s}\nprobe: {interval: 200ms, timeout: 500ms}\n".to_owned();
    FleetOptions { shards: 8, configuration, ..FleetOptions::new() }
}

/// Waits until every acknowledged task has ended, and well.
fn settle(client: &Client, model: &Model) {
    wait_for("all tasks to end", SETTLE_LIMIT, || {
        let answer = client
            .try_ask("GET", "/tasks?statuses=enqueued,processing&limit=1", None)
            .map_err(|error| error.to_string())?;
        if answer.json["total"] == 0 { Ok(()) } else { Err(answer.text) }
    });
    let failed = client.get("/tasks?statuses=failed,canceled&limit=5").expect(200);
    assert_eq!(failed.json["total"], 0, "{}", failed.text);
    for uid in &model.acknowledged {
        let task = client.get(&format!("/tasks/{uid}"));
        assert_eq!(task.json["status"], "succeeded", "acknowledged task {uid}: {}", task.text);
    }
}

/// Goal: acceptance 5 of the issue. Method: in each round a few writes go out, then Miroir or a node is killed with -9 and
/// started again while writes go on; at the end every document is what the last acknowledged write made of it.
#[test]
fn nothing_acknowledged_is_lost_over_many_kills() {
    let rounds = rounds(50);
    let seed = seed();
    println!("seed {seed}, {rounds} rounds");
    let random = &mut Random::new(seed);
    let mut fleet = Fleet::start(&options());
    let client = fleet.client();
    client.write_well("POST", "/indexes", Some(&json!({"uid": "things", "primaryKey": "id"})));
    let mut model = Model::default();
    for round in 0..rounds {
        for _ in 0..=random.below(4) {
            model.write(&client, random);
        }
        if round % 2 == 0 {
            fleet.kill_miroir();
            fleet.start_miroir();
            client.wait_until_healthy(START_LIMIT);
        } else {
            let node = random.below(fleet.nodes.len());
            fleet.nodes[node].kill();
            for _ in 0..=random.below(3) {
                model.write(&client, random);
            }
            fleet.nodes[node].start();
            fleet.nodes[node].client().wait_until_healthy(START_LIMIT);
        }
    }
    settle(&client, &model);
    let found = wait_until_equal(&fleet, "things", "id", 2);
    model.check(&found);
    // And clients see just that.
    let answer = client.post("/indexes/things/documents/fetch", &json!({"limit": 0})).expect(200);
    assert_eq!(answer.json["total"], found.len());
    println!("{} writes acknowledged, {} documents", model.acknowledged.len(), found.len());
}
