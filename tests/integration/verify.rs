//! Replicas that somebody has changed by hand, past Miroir, are found by command and in the background, while clients
//! write; they are put right where there is a sign which one is wrong.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use miroir::logic::shard_hash::shard_of;
use serde_json::{Value, json};

use crate::replicas::wait_until_equal;
use crate::support::fleet::{ADMIN_KEY, START_LIMIT, node_index};
use crate::support::process::miroir_ctl;
use crate::support::{Client, Fleet, FleetOptions, real_meilisearch, wait_for};

/// For what takes a few batches of busy nodes.
const LIMIT: Duration = Duration::from_mins(3);

const SHARDS: u16 = 8;

/// Documents that are there from the beginning, and that only damage changes.
const FIXED: u64 = 300;

const QUICK: &str = "in_sync_timeout: 2s\nfeeder: {quarantine: 2s}\nprobe: {interval: 200ms, timeout: 10s}\n";

fn filled(nodes: usize, replication_factor: usize, verify: &str) -> Fleet {
    let fleet = Fleet::start(&FleetOptions {
        nodes,
        replication_factor,
        shards: usize::from(SHARDS),
        meilisearch: real_meilisearch(),
        configuration: format!("{QUICK}verify: {verify}\n"),
        ..FleetOptions::new()
    });
    let fixed: Vec<Value> = (0..FIXED).map(film).collect();
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!(fixed)));
    fleet
}

fn film(id: u64) -> Value {
    json!({"id": id, "title": format!("film {id}"), "year": 1900 + id % 100})
}

fn shard(id: u64) -> u16 {
    shard_of(&id.to_string(), SHARDS).0
}

/// Documents of different shards that a node owns.
fn owned(fleet: &Fleet, node: &str) -> Vec<u64> {
    let shards = fleet.admin().get("/shards").expect(200).json["results"].clone();
    let is_owner =
        |id: &u64| shards[usize::from(shard(*id))]["nodes"].as_array().expect("a list").contains(&json!(node));
    let mut found: BTreeMap<u16, u64> = BTreeMap::new();
    (0..FIXED).filter(is_owner).for_each(|id| _ = found.entry(shard(id)).or_insert(id));
    found.into_values().collect()
}

/// Writes to a node as nobody should.
fn meddle(fleet: &Fleet, node: usize, method: &str, target: &str, body: Option<&Value>) {
    let node = fleet.nodes[node].client();
    let uid = node_index(&node, "films").expect("the index is there");
    node.write_well(method, &format!("/indexes/{uid}/documents{target}"), body);
}

/// Exit code, answer and what was said besides.
fn ctl(fleet: &Fleet, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = miroir_ctl();
    command.args(["--admin", &fleet.admin_port.url(), "--admin-key", ADMIN_KEY]).args(words);
    let output = command.output().expect("miroir-ctl runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Exit code and answer.
fn verify(fleet: &Fleet, words: &[&str]) -> (Option<i32>, Value) {
    let (code, answer, said) = ctl(fleet, &[&["--json", "verify"], words].concat());
    let answer = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}{said}"));
    (code, answer)
}

fn list<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer[name].as_array().expect("a list")
}

/// The shards that differ, ascending, with what is done about each.
fn unequal(answer: &Value) -> Vec<(u64, &str)> {
    let found = list(answer, "unequal").iter();
    found.map(|of| (of["shard"].as_u64().expect("a number"), of["repair"].as_str().expect("a word"))).collect()
}

fn expected<'a>(ids: &[(u64, &'a str)]) -> Vec<(u64, &'a str)> {
    let mut shards: Vec<_> = ids.iter().map(|(id, repair)| (u64::from(shard(*id)), *repair)).collect();
    shards.sort_unstable();
    shards
}

/// Adds, changes and deletes documents of its own until it is told to stop; gives what is there at the end.
fn write_until(client: &Client, is_over: &AtomicBool) -> BTreeMap<u64, Value> {
    let mut written = BTreeMap::new();
    for round in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let first = FIXED + round % 40 * 10;
        let films: Vec<Value> =
            (first..first + 10).map(|id| json!({"id": id, "title": "written", "round": round})).collect();
        client.write_well("POST", "/indexes/films/documents", Some(&json!(films)));
        written.extend((first..).zip(films));
        let gone = first + round % 10;
        client.write_well("DELETE", &format!("/indexes/films/documents/{gone}"), None);
        written.remove(&gone);
    }
    written
}

/// Runs with a writer beside it; afterwards replicas are equal, and everything acknowledged is there.
fn beside_a_writer(fleet: &Fleet, replicas: usize, work: impl FnOnce()) {
    struct AtEnd<'a>(&'a AtomicBool);
    impl Drop for AtEnd<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (client, is_over) = (fleet.client(), AtomicBool::new(false));
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&client, &is_over));
        let at_end = AtEnd(&is_over);
        work();
        drop(at_end);
        writer.join().expect("no write fails")
    });
    wait_until_equal(fleet, "films", "id", replicas);
    let mut there: BTreeMap<u64, Value> = (0..FIXED).map(|id| (id, film(id))).collect();
    there.extend(written);
    let all = client.get("/indexes/films/documents?limit=10000").expect(200).json;
    let found: BTreeMap<u64, Value> =
        list(&all, "results").iter().map(|film| (film["id"].as_u64().expect("a number"), film.clone())).collect();
    assert_eq!(found.len(), there.len());
    for (id, film) in &there {
        assert_eq!(&found[id], film);
    }
}

#[test]
fn a_damaged_replica_of_three_is_found_and_put_right_while_clients_write() {
    let fleet = filled(3, 3, "{interval: off}");
    beside_a_writer(&fleet, 3, || {
        let ids = owned(&fleet, "node-1");
        let (changed, deleted) = (ids[0], ids[1]);
        meddle(&fleet, 1, "PUT", "", Some(&json!([{"id": changed, "title": "changed by hand"}])));
        meddle(&fleet, 1, "DELETE", &format!("/{deleted}"), None);
        meddle(&fleet, 1, "POST", "", Some(&json!([{"id": "nobody", "title": "added by hand"}])));

        let (code, report) = verify(&fleet, &[]);
        assert_eq!(unequal(&report), expected(&[(changed, "notAsked"), (deleted, "notAsked")]), "{report}");
        for found in list(&report, "unequal") {
            let example = if found["shard"] == shard(changed) { changed } else { deleted };
            assert_eq!((&found["documents"], &found["examples"]), (&json!(1), &json!([example.to_string()])));
            assert_eq!((&found["index"], &found["wrong"]), (&json!("films"), &json!(["node-1"])));
            assert_eq!(found["alike"], json!([["node-0", "node-2"], ["node-1"]]));
        }
        let [stray] = list(&report, "strays") else { panic!("{report}") };
        assert_eq!((&stray["node"], &stray["shard"], &stray["documents"]), (&json!("node-1"), &json!(null), &json!(1)));
        assert_eq!((code, list(&report, "notCompared").len()), (Some(3), 0), "{report}");
        assert_eq!(fleet.admin().get("/status").json["differences"], 3);
        let (_, status, _) = ctl(&fleet, &["status"]);
        assert!(status.contains("differences         3\n") && status.contains("verify --last"), "{status}");

        let (code, report) = verify(&fleet, &["--repair"]);
        assert_eq!(unequal(&report), expected(&[(changed, "done"), (deleted, "done")]), "{report}");
        assert_eq!((code, &list(&report, "strays")[0]["repair"]), (Some(0), &json!("done")), "{report}");
        assert_eq!(fleet.admin().get("/status").json["differences"], 0);
    });
    let (code, text, said) = ctl(&fleet, &["verify"]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{text}");
    assert!(text.contains("unequal shards      none\n"), "{text}");
    let log = fleet.miroir.as_ref().expect("it runs").output();
    assert!(
        log.contains("replicas do not have the same documents") && log.contains("documents that do not belong"),
        "{log}"
    );
}

#[test]
fn of_two_replicas_the_damage_is_reported_until_an_operator_says_which_one_is_wrong() {
    let fleet = filled(3, 2, "{interval: off}");
    beside_a_writer(&fleet, 2, || {
        let ids = owned(&fleet, "node-1");
        let (changed, deleted, replaced) = (ids[0], ids[1], ids[2]);
        meddle(&fleet, 1, "PUT", "", Some(&json!([{"id": changed, "title": "changed by hand"}])));
        meddle(&fleet, 1, "DELETE", &format!("/{deleted}"), None);
        // Without a marker: whoever wrote it was not Miroir, and that is a sign.
        meddle(&fleet, 1, "POST", "", Some(&json!([{"id": replaced, "title": "put by hand"}])));
        let (code, report) = verify(&fleet, &["--repair"]);
        let all = [(changed, "noSign"), (deleted, "noSign"), (replaced, "done")];
        assert_eq!((code, unequal(&report)), (Some(3), expected(&all)), "{report}");
        let (_, text, _) = ctl(&fleet, &["verify", "--last"]);
        assert!(text.contains("no sign which is wrong") && text.contains("--distrust NODE"), "{text}");

        let (code, _, said) = ctl(&fleet, &["verify", "--repair", "--distrust", "node-7"]);
        assert!(code == Some(4) && said.contains("Its members are: node-0, node-1, node-2."), "{said}");
        let (code, report) = verify(&fleet, &["--repair", "--distrust", "node-1"]);
        assert_eq!((code, unequal(&report)), (Some(0), expected(&[(changed, "done"), (deleted, "done")])), "{report}");
    });
    assert_eq!(verify(&fleet, &[]).0, Some(0));
}

#[test]
fn replicas_are_compared_while_shards_move() {
    let fleet = filled(3, 2, "{interval: off}");
    beside_a_writer(&fleet, 2, || {
        fleet.admin().post("/nodes/node-2/drain", &json!({})).expect(200);
        // Beside the moves; what they keep busy for too long is named.
        let (code, report) = verify(&fleet, &["--repair"]);
        assert!(matches!(code, Some(0 | 6)), "{report}");
        assert_eq!((unequal(&report), list(&report, "strays")), (vec![], &[][..]), "{report}");
        let mut last = json!(null);
        wait_for("the moves", LIMIT, || {
            last = fleet.admin().get("/rebalance").expect(200).json;
            if last["state"] == "idle" { Ok(()) } else { Err(last.to_string()) }
        });
        assert_eq!(last["nodes"][2]["shards"], 0);
        let (code, report) = verify(&fleet, &[]);
        assert_eq!(code, Some(0), "{report}");
    });
}

#[test]
fn what_could_not_be_compared_is_named_with_the_reason() {
    let mut fleet = filled(3, 2, "{interval: off}");
    fleet.nodes[1].kill();
    wait_for("it is missed", LIMIT, || {
        let status = fleet.admin().get("/status").expect(200);
        if status.json["nodes"]["reachable"] == 2 { Ok(()) } else { Err(status.text) }
    });
    let (code, report) = verify(&fleet, &[]);
    let skipped = list(&report, "notCompared");
    assert!(skipped.iter().all(|of| of["nodes"].to_string().contains("node-1")), "{report}");
    assert!(skipped.iter().all(|of| of["reason"] == "node-1 does not answer"), "{report}");
    assert_eq!(code, Some(6), "{report}");
    // A third of the pairs, and two of three nodes, are left.
    assert!(report["progress"]["done"].as_u64().is_some_and(|done| (3..=6).contains(&done)), "{report}");
    let (code, text, said) = ctl(&fleet, &["verify", "--last"]);
    assert!(code == Some(6) && said.is_empty() && text.contains("node-1 does not answer"), "{text} {said}");

    fleet.nodes[1].start();
    fleet.nodes[1].client().wait_until_healthy(START_LIMIT);
    wait_for("all to be compared", LIMIT, || match verify(&fleet, &[]) {
        (Some(0), _) => Ok(()),
        (_, report) => Err(report.to_string()),
    });
}

#[test]
fn nothing_is_equal_to_nothing_and_two_operators_wait_for_one_comparison() {
    let options = FleetOptions { nodes: 2, shards: 4, meilisearch: real_meilisearch(), ..FleetOptions::new() };
    let fleet = Fleet::start(&FleetOptions { configuration: "verify: {interval: off}\n".to_owned(), ..options });
    let (code, report) = verify(&fleet, &["--last"]);
    assert_eq!((code, &report["state"], &report["number"]), (Some(6), &json!("never"), &json!(0)));
    let (code, text, said) = ctl(&fleet, &["verify"]);
    assert_eq!((code, said.as_str()), (Some(0), ""), "{text}");
    assert!(text.starts_with("warning: there is no index\nstate               done (by operator)\n"), "{text}");

    let films: Vec<Value> = (0..FIXED).map(film).collect();
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&json!(films)));
    let answers = std::thread::scope(|scope| {
        let threads = [(); 3].map(|()| scope.spawn(|| verify(&fleet, &[])));
        threads.map(|thread| thread.join().expect("it does not panic"))
    });
    for (code, report) in &answers {
        assert_eq!((*code, &report["state"]), (Some(0), &json!("done")), "{report}");
    }
    let (code, begun) = verify(&fleet, &["--no-wait"]);
    assert_eq!((code, &begun["joined"]), (Some(0), &json!(false)), "{begun}");
    wait_for("its end", LIMIT, || match verify(&fleet, &["--last"]) {
        (Some(0), report) if report["number"] == begun["number"] && report["state"] == "done" => Ok(()),
        (_, report) => Err(report.to_string()),
    });
}

#[test]
fn in_the_background_replicas_are_put_right_without_a_command() {
    let fleet = filled(3, 3, "{interval: 2s}");
    let id = owned(&fleet, "node-0")[0];
    meddle(&fleet, 0, "PUT", "", Some(&json!([{"id": id, "title": "changed by hand"}])));
    wait_for("the repair", LIMIT, || {
        let log = fleet.miroir.as_ref().expect("it runs").output();
        let is_found = log.contains("replicas do not have the same documents");
        let status = fleet.admin().get("/status").expect(200);
        if is_found && status.json["differences"] == 0 { Ok(()) } else { Err(status.text) }
    });
    wait_until_equal(&fleet, "films", "id", 3);
    assert_eq!(fleet.client().get(&format!("/indexes/films/documents/{id}")).expect(200).json, film(id));
    assert_eq!(verify(&fleet, &["--last"]).1["by"], "background");
}
