//! Rule 4 of the write path: a failure inside a node's shared batch is no verdict.

use serde_json::{Value, json};

use crate::replicas::wait_until_equal;
use crate::support::fleet::{Node, START_LIMIT};
use crate::support::{Fleet, FleetOptions, Random, real_meilisearch, seed};

/// Documents that keep the nodes busy, so that what follows piles up into batches.
const BALLAST: usize = 3000;

/// Writes after them.
const WRITES: usize = 100;

/// How many different ids they touch.
const IDS: usize = 40;

/// One write: method, path, body.
type Write = (&'static str, &'static str, Value);

/// The index is made, filled and given its settings, then good and bad documents and deletions are mixed.
fn writes(random: &mut Random) -> Vec<Write> {
    const DOCUMENTS: &str = "/indexes/things/documents";
    let ballast: Value = (1000..1000 + BALLAST).map(|id| json!({"id": id, "text": format!("ballast {id}")})).collect();
    let mut writes = vec![
        ("POST", "/indexes", json!({"uid": "things", "primaryKey": "id"})),
        ("POST", DOCUMENTS, ballast),
        ("PUT", "/indexes/things/settings/filterable-attributes", json!(["_geo"])),
    ];
    for version in 0..WRITES {
        let ids: Vec<usize> = (0..=random.below(4)).map(|_| random.below(IDS)).collect();
        let method = *random.pick(&["POST", "PUT"]);
        let bad = if random.percent(25) { random.below(ids.len()) } else { usize::MAX };
        let place = |number: usize| if number == bad { json!("nowhere") } else { json!({"lat": 1, "lng": number}) };
        let document = |(number, id): (usize, &usize)| json!({"id": id, "version": version, "_geo": place(number)});
        writes.push(if random.percent(15) {
            ("POST", "/indexes/things/documents/delete-batch", json!(ids))
        } else {
            (method, DOCUMENTS, ids.iter().enumerate().map(document).collect())
        });
    }
    writes
}

/// What clients learn of a task, without what measures. Counts of deleted documents are left out: an entry that nodes reject
/// is applied in the shards that have no bad document (docs/KNOWN-LIMITS.md), so that more may be there to delete.
fn verdict(task: &Value) -> Value {
    let received = &task["details"]["receivedDocuments"];
    json!({"uid": task["uid"], "status": task["status"], "code": task["error"]["code"], "received": received})
}

/// Goal: every verdict is that of one server that is given the entries one by one, and replicas are equal. Method: Miroir
/// gets them all at once behind a large write, so that nodes process them in batches with bad documents inside.
#[test]
fn verdicts_are_those_of_entries_sent_one_by_one() {
    let writes = writes(&mut Random::new(seed()));
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let mut alone = Node::new("alone", folder.path(), real_meilisearch());
    alone.start();
    let one = alone.client();
    one.wait_until_healthy(START_LIMIT);
    let expected: Vec<Value> =
        writes.iter().map(|(method, target, body)| verdict(&one.write(method, target, Some(body)))).collect();
    assert!(expected.iter().filter(|verdict| verdict["status"] == "failed").count() > WRITES / 10, "some are bad");

    let fleet = Fleet::start(&FleetOptions { shards: 8, meilisearch: real_meilisearch(), ..FleetOptions::new() });
    let miroir = fleet.client();
    let accept = |(method, target, body): &Write| {
        miroir.ask(method, target, Some(body)).expect(202).json["taskUid"].as_u64().expect("an integer")
    };
    let uids: Vec<u64> = writes.iter().map(accept).collect();
    for (uid, (expected, write)) in uids.iter().zip(expected.iter().zip(&writes)) {
        let found = verdict(&miroir.wait_for_task(*uid));
        assert_eq!(found, *expected, "{} {} {:.300}", write.0, write.1, write.2.to_string());
    }
    let found = wait_until_equal(&fleet, "things", "id", 2);
    assert!((BALLAST..=BALLAST + IDS).contains(&found.len()), "{} documents", found.len());
}
