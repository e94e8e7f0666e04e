//! Replicas that somebody changed by hand are found, and put right where there is a sign.

use bytes::Bytes;

use super::*;
use crate::control_plane::node_client::{BodyParts, NodeWrite, SendOutcome};
use crate::logic::feeder::{AuditReport, BackgroundAudit, RepairState};
use crate::logic::ids::NodeIndexUid;

/// Many enough for every node to be first, second and third owner of several shards.
const DOCUMENTS: usize = 120;

impl Fixture {
    fn filled(nodes: usize, replicas: usize) -> Self {
        let mut fleet = Self::new(nodes, replicas);
        let filled = fleet.put("a", PutMode::Replace, &documents(0, DOCUMENTS, "one"));
        fleet.succeeded(filled);
        fleet
    }

    pub(super) fn coordinator(&self) -> Arc<Coordinator> {
        self.running.as_ref().unwrap().coordinator()
    }

    pub(super) fn report(&self) -> AuditReport {
        self.coordinator().state.lock().fleet.audit_report()
    }

    fn begin_audit(&self, is_repairing: bool) -> u64 {
        self.coordinator().change_fleet(|state| state.begin_audit(is_repairing, None)).unwrap()
    }

    /// Compares all replicas, and waits for the end of it.
    fn audited(&self, is_repairing: bool) -> AuditReport {
        let number = self.begin_audit(is_repairing);
        wait_for("the audit", || self.report().is_over());
        let report = self.report();
        assert_eq!(report.number, number);
        report
    }

    /// Waits until nothing moves and everything is read.
    fn settled(&self) {
        let state = || self.store.protocol_state().unwrap();
        wait_for("the repair", || state().jobs.is_empty() && state().bootstraps.is_empty() && self.out_of_sync() == 0);
    }

    fn uid(&self) -> NodeIndexUid {
        self.store.heads().unwrap()[&IndexUid::new("a")].node_uid.clone()
    }

    /// Writes to a node as nobody should, and waits until that is done.
    fn meddle(&self, node: usize, write: &NodeWrite<'_>) {
        let client = NodeClient::new(format!("http://{}", self.listens[node]), Some(KEY));
        let SendOutcome::Registered(task) = client.write(&self.uid(), write, PATIENCE) else {
            panic!("the node did not take it");
        };
        let query = crate::control_plane::node_client::NodeTaskQuery {
            uids: vec![task],
            limit: 1,
            // It may be deleted when it has ended.
            statuses: vec![TaskStatus::Enqueued, TaskStatus::Processing],
            ..Default::default()
        };
        wait_for("the task", || client.tasks(&query, PATIENCE).unwrap().results.is_empty());
    }

    pub(super) fn change(&self, node: usize, mode: PutMode, document: &Value) {
        let body = BodyParts::whole(Bytes::from(document.to_string()));
        self.meddle(node, &NodeWrite::Put { mode, primary_key: Some("id"), metadata: "somebody", body });
    }

    fn remove(&self, node: usize, id: &str) {
        let body = BodyParts::whole(Bytes::from(json!([id]).to_string()));
        self.meddle(node, &NodeWrite::Delete { metadata: "somebody", body });
    }
}

/// Documents of different shards that the node owns, the one after the other.
fn owned(fleet: &Fixture, node: usize) -> Vec<String> {
    let owners = fleet.store.protocol_state().unwrap().tables.owners;
    let name = NodeId::new(format!("n{node}"));
    let mut shards = std::collections::BTreeSet::new();
    let ids = (0..DOCUMENTS).map(|id| format!("d{id}"));
    ids.filter(|id| owners[usize::from(shard_of(id))].contains(&name) && shards.insert(shard_of(id))).collect()
}

fn shards_of(ids: &[String]) -> Vec<ShardId> {
    let mut shards: Vec<ShardId> = ids.iter().map(|id| ShardId(shard_of(id))).collect();
    shards.sort_unstable();
    shards
}

fn unequal(report: &AuditReport) -> Vec<ShardId> {
    report.unequal.iter().map(|found| found.shard).collect()
}

#[test]
fn the_odd_one_of_three_is_put_right_whichever_it_is() {
    let fleet = Fixture::filled(3, 3);
    let report = fleet.audited(false);
    assert!(report.unequal.is_empty() && report.not_compared.is_empty() && report.strays.is_empty(), "{report:?}");
    // Three searches for strays, and two comparisons of each shard.
    assert_eq!((report.done, report.total), (3 + 2 * usize::from(SHARDS), 3 + 2 * usize::from(SHARDS)));
    for node in 0..3 {
        let ids = owned(&fleet, node);
        fleet.change(node, PutMode::Update, &json!({ "id": ids[0], "text": "changed by hand" }));
        fleet.remove(node, &ids[1]);
        fleet.change(node, PutMode::Replace, &json!({ "id": format!("nobody{node}") }));
        let report = fleet.audited(false);
        assert_eq!(unequal(&report), shards_of(&ids[..2]), "{report:?}");
        for found in &report.unequal {
            assert_eq!(found.wrong, [NodeId::new(format!("n{node}"))]);
            assert_eq!((found.documents, found.repair), (1, RepairState::NotAsked));
            assert!(ids[..2].contains(&found.examples[0]) && found.examples.len() == 1, "{found:?}");
        }
        let [stray] = &report.strays[..] else { panic!("{report:?}") };
        assert_eq!((&stray.examples[..], stray.shard), (&[format!("nobody{node}")][..], None));

        let report = fleet.audited(true);
        assert!(report.unequal.iter().all(|found| found.repair == RepairState::Done), "{report:?}");
        assert_eq!(report.strays[0].repair, RepairState::Done);
        fleet.settled();
        fleet.check_replicas("a");
        let report = fleet.audited(false);
        assert!(report.unequal.is_empty() && report.strays.is_empty(), "{report:?}");
    }
}

#[test]
fn of_two_replicas_the_difference_is_reported_unless_one_has_what_nobody_of_us_wrote() {
    let mut fleet = Fixture::filled(3, 2);
    let ids = owned(&fleet, 1);
    fleet.change(1, PutMode::Update, &json!({ "id": ids[0], "text": "changed by hand" }));
    fleet.remove(1, &ids[1]);
    // Without a marker: it takes the place of what was there.
    fleet.change(1, PutMode::Replace, &json!({ "id": ids[2], "text": "put by hand" }));
    // Of a shard that the node does not own.
    let owners = fleet.store.protocol_state().unwrap().tables.owners;
    let other = owners.iter().position(|owners| !owners.contains(&NodeId::new("n1"))).expect("one of three");
    let other = ShardId(other as u16);
    fleet.change(1, PutMode::Replace, &json!({ "id": "nobody", marker::FIELD: marker::marker(other, SHARDS) }));
    let report = fleet.audited(true);
    let of = |id: &String| {
        let shard = ShardId(shard_of(id));
        let found = report.unequal.iter().find(|found| found.shard == shard).expect("it is found");
        (found.repair, found.wrong.len(), found.alike.len())
    };
    assert_eq!(of(&ids[0]), (RepairState::NoSign, 0, 2), "{report:?}");
    assert_eq!(of(&ids[1]), (RepairState::NoSign, 0, 2));
    assert_eq!(of(&ids[2]), (RepairState::Done, 1, 2));
    let strays: Vec<_> = report.strays.iter().map(|found| (found.shard, found.repair)).collect();
    assert_eq!(strays, [(None, RepairState::Done), (Some(other), RepairState::Done)]);
    fleet.settled();
    let report = fleet.audited(false);
    assert_eq!((unequal(&report), report.strays.len()), (shards_of(&ids[..2]), 0));

    // Who knows what is right writes it once more, or says who is wrong.
    let number: usize = ids[0][1..].parse().unwrap();
    let again = fleet.put("a", PutMode::Replace, &documents(number, number + 1, "one"));
    fleet.succeeded(again);
    assert_eq!(unequal(&fleet.audited(true)), shards_of(&ids[1..2]));
    let wrong = NodeId::new("n1");
    fleet.coordinator().change_fleet(|state| state.begin_audit(true, Some(&wrong))).unwrap();
    wait_for("the audit", || fleet.report().is_over());
    assert_eq!(fleet.report().unequal[0].repair, RepairState::Done);
    fleet.settled();
    fleet.check_replicas("a");
}

#[test]
fn replicas_are_compared_and_put_right_while_writes_go_on_and_the_process_dies() {
    let mut fleet = Fixture::filled(3, 3);
    for round in 0..6 {
        let node = round % 3;
        let ids = owned(&fleet, node);
        fleet.change(node, PutMode::Update, &json!({ "id": ids[round], "text": "changed by hand" }));
        fleet.begin_audit(true);
        let mut entries = Vec::new();
        for number in 0..10 {
            // Never the damaged document: that would put it right.
            let documents = documents(1_000 + number, 1_010 + number, &format!("round {round}"));
            entries.push(fleet.put("a", PutMode::Replace, &documents));
            entries.push(fleet.delete("a", &[&format!("d{}", 1_005 + number)]));
        }
        for entry in entries {
            fleet.succeeded(entry);
        }
        if round % 2 == 0 {
            wait_for("the audit", || fleet.report().is_over());
        } else {
            // Whatever has begun goes on; what has not is found again.
            fleet.kill();
            fleet.start();
            fleet.audited(true);
        }
        fleet.settled();
        fleet.check_replicas("a");
    }
}

#[test]
fn in_the_background_it_goes_on_and_on() {
    let fleet = Fixture::filled(3, 3);
    let ids = owned(&fleet, 2);
    fleet.change(2, PutMode::Update, &json!({ "id": ids[0], "text": "changed by hand" }));
    let background = Some(BackgroundAudit { interval_ms: 500, is_repairing: false });
    fleet.coordinator().change_fleet(|state| state.set_background_audit(background)).unwrap();
    wait_for("the difference", || fleet.report().number > 2 && fleet.report().unequal.len() == 1);
    let background = Some(BackgroundAudit { interval_ms: 500, is_repairing: true });
    fleet.coordinator().change_fleet(|state| state.set_background_audit(background)).unwrap();
    let number = fleet.report().number;
    wait_for("the repair", || fleet.report().number > number + 2 && fleet.report().unequal.is_empty());
    wait_for("all in sync", || fleet.out_of_sync() == 0);
    fleet.check_replicas("a");
}

#[test]
fn what_cannot_be_compared_is_named() {
    let mut fleet = Fixture::filled(3, 2);
    fleet.stop_node(1);
    wait_for("it is missed", || !fleet.coordinator().away().is_empty());
    let report = fleet.audited(true);
    let skipped: usize = report.not_compared.iter().map(|of| of.shards.len()).sum();
    let concerned = report.not_compared.iter().filter(|of| of.nodes.contains(&NodeId::new("n1"))).count();
    // Of 8 shards those that it has, and the search for strays.
    assert_eq!((concerned, skipped), (report.not_compared.len(), 6), "{report:?}");
    assert!(report.not_compared.iter().all(|of| of.reason == "n1 does not answer"), "{report:?}");
    assert_eq!(report.done, 2 + usize::from(SHARDS) - skipped);
}
