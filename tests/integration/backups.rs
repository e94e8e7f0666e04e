//! Backups of Miroir's own store, made while clients write, and what becomes of a fleet whose store is restored from one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::replicas::wait_until_equal;
use crate::support::fleet::{ADMIN_KEY, START_LIMIT, node_index};
use crate::support::process::{miroir, miroir_ctl};
use crate::support::{Fleet, FleetOptions, real_meilisearch, wait_for};

/// For all replicas to be equal.
const LIMIT: Duration = Duration::from_mins(3);

/// In the index before the backup.
const DOCUMENTS: u64 = 200;

/// Numbers after a restore begin here.
const FAR: u64 = 1_000_000;

const QUICK: &str = "in_sync_timeout: 1s\nfeeder: {quarantine: 1s}\nprobe: {interval: 200ms, timeout: 2s}\n";

fn film(id: u64) -> Value {
    json!({"id": id, "title": format!("film {id}"), "year": 1900 + id % 100})
}

fn films(ids: std::ops::Range<u64>) -> Value {
    ids.map(film).collect()
}

fn filled(nodes: usize, more: &str) -> Fleet {
    let fleet = Fleet::start(&FleetOptions {
        nodes,
        shards: 8,
        meilisearch: real_meilisearch(),
        configuration: format!("{QUICK}{more}"),
        ..FleetOptions::new()
    });
    let client = fleet.client();
    client.write_well("PATCH", "/indexes/films/settings", Some(&json!({"filterableAttributes": ["year"]})));
    client.write_well("POST", "/indexes/films/documents", Some(&films(0..DOCUMENTS)));
    client.write_well("POST", "/indexes/books/documents", Some(&films(0..20)));
    fleet
}

fn back_up(fleet: &Fleet) -> Result<PathBuf, String> {
    let mut command = miroir_ctl();
    command.args(["--admin", &fleet.admin_port.url(), "--admin-key", ADMIN_KEY, "--json", "backup"]);
    let output = command.output().expect("miroir-ctl runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (answer, said) = (text(&output.stdout), text(&output.stderr));
    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}{said}"));
    match (output.status.success(), answer["state"].as_str()) {
        (true, Some("done")) => Ok(answer["path"].as_str().expect("a path").into()),
        (_, _) => Err(said),
    }
}

/// The store is lost, with the machine of Miroir, and comes from this backup. Gives what was said if it was refused.
fn restore(fleet: &Fleet, backup: &Path) -> Result<(), String> {
    let (data, saved) = (fleet.folder.path().join("miroir"), fleet.folder.path().join("saved"));
    if !saved.exists() {
        let copied = Command::new("cp").arg("-a").args([backup, &saved]).status().expect("cp runs");
        assert!(copied.success());
        std::fs::remove_dir_all(&data).expect("it is there");
    }
    let output = miroir().arg("restore").arg("--config").arg(fleet.config_path()).arg(&saved).output();
    let output = output.expect("miroir runs");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn wait_until_made_equal(fleet: &Fleet) {
    wait_for("replicas to be made equal", LIMIT, || {
        let output = fleet.miroir.as_ref().expect("it runs").output();
        if output.contains("all replicas are equal after the restore") { Ok(()) } else { Err(output) }
    });
}

/// What the start says that is refused.
fn refusal(fleet: &mut Fleet) -> String {
    fleet.start_miroir();
    let mut miroir = fleet.miroir.take().expect("it was started");
    assert!(!miroir.wait(START_LIMIT).success());
    miroir.output()
}

/// Writes until it is stopped; gives the numbers that clients got, and the ids that were there.
fn write_until(fleet: &Fleet, is_over: &AtomicBool, seen: &Mutex<BTreeSet<u64>>) {
    let client = fleet.client();
    for id in DOCUMENTS.. {
        if is_over.load(Ordering::Acquire) {
            break;
        }
        let uid = client.enqueue("POST", "/indexes/films/documents", &films(id..id + 1));
        assert!(seen.lock().expect("nobody panicked").insert(uid), "{uid} was given twice");
    }
}

/// Goal: what a backup promises, with nodes that have got all kinds of writes since.
/// Method: a backup under load, then a node dies, everything is changed, Miroir dies, its store is restored, and all is back.
#[test]
fn a_restored_store_and_nodes_that_went_on_agree_and_give_no_number_twice() {
    let mut fleet = filled(3, "");
    let (is_over, seen) = (AtomicBool::new(false), Mutex::new(BTreeSet::new()));
    let (backup, before) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&fleet, &is_over, &seen));
        wait_for("some writes", LIMIT, || {
            if seen.lock().expect("nobody panicked").len() > 20 { Ok(()) } else { Err(String::new()) }
        });
        let before = seen.lock().expect("nobody panicked").len() as u64;
        let backup = back_up(&fleet).expect("it is made");
        is_over.store(true, Ordering::Release);
        writer.join().expect("it writes");
        (backup, before)
    });
    let client = fleet.client();
    let last = change_everything(&mut fleet);
    fleet.kill_miroir();
    restore(&fleet, &backup).expect("it is whole");
    fleet.nodes[2].start();
    fleet.nodes[2].client().wait_until_healthy(START_LIMIT);
    fleet.start_miroir();
    client.wait_until_healthy(START_LIMIT);
    wait_until_made_equal(&fleet);

    // Settings, and what was there before, are back; what came later may be there, and is equal.
    let settings = client.get("/indexes/films/settings").expect(200).json;
    assert_eq!(settings["filterableAttributes"], json!(["year"]), "{settings}");
    let hashes = wait_until_equal(&fleet, "films", "id", 2);
    for id in (1..DOCUMENTS + before).filter(|id| *id != 7) {
        assert!(hashes.contains_key(&id.to_string()), "{id} was acknowledged before the backup");
    }
    let found = client.post("/indexes/films/search", &json!({"filter": "year = 1950", "limit": 1000})).expect(200);
    assert!(found.json["hits"].as_array().is_some_and(|hits| hits.len() >= 2), "{}", found.text);
    for node in &fleet.nodes {
        let node = node.client();
        let uid = node_index(&node, "films").expect("it is there");
        let settings = node.get(&format!("/indexes/{uid}/settings")).expect(200).json;
        assert_eq!(settings["rankingRules"][0], json!("words"), "{settings}");
    }
    // An index that was deleted is there without documents; one that came later is not, and its name is free.
    let books = client.get("/indexes/books/documents").expect(200).json;
    assert_eq!(books["total"], json!(0), "its documents are gone with it");
    client.write_well("POST", "/indexes/books/documents", Some(&films(0..5)));
    assert_eq!(wait_until_equal(&fleet, "books", "id", 2).len(), 5);
    client.get("/indexes/later").expect(404);
    let task = client.write_well("POST", "/indexes/later/documents", Some(&films(0..3)));
    let number = task["uid"].as_u64().expect("a number");
    assert!(number >= FAR && last < FAR, "{number} after {last}");
    // Nodes keep what the lost one had, under a name that nobody gives again.
    assert_eq!(client.get("/indexes/later/documents").expect(200).json["total"], json!(3));
    // A later start finds nothing strange.
    fleet.kill_miroir();
    fleet.start_miroir();
    client.wait_until_healthy(START_LIMIT);
    client.write_well("POST", "/indexes/films/documents", Some(&films(0..1)));
}

/// All kinds of writes, of which one node misses a part. Gives the last number.
fn change_everything(fleet: &mut Fleet) -> u64 {
    let client = fleet.client();
    client.write_well(
        "POST",
        "/indexes/films/documents",
        Some(&json!([{"id": 1, "title": "changed"}, {"id": 90_000}])),
    );
    client.write_well("DELETE", "/indexes/films/documents/7", None);
    let settings = json!({"filterableAttributes": ["title"], "rankingRules": ["typo"]});
    client.write_well("PATCH", "/indexes/films/settings", Some(&settings));
    client.write_well("POST", "/indexes/later/documents", Some(&films(0..50)));
    client.write_well("DELETE", "/indexes/books", None);
    fleet.nodes[2].kill();
    let task = client.write_well("POST", "/indexes/films/documents", Some(&films(1_000..1_050)));
    // Nobody waits for it.
    client
        .enqueue("POST", "/indexes/films/documents", &films(2_000..2_010))
        .max(task["uid"].as_u64().expect("a number"))
}

#[test]
fn a_lost_node_is_replaced_by_an_empty_one_and_a_fleet_of_empty_ones_is_refused() {
    let mut fleet = filled(3, "");
    let backup = back_up(&fleet).expect("it is made");
    fleet.kill_miroir();
    restore(&fleet, &backup).expect("it is whole");
    fleet.nodes[0].kill();
    let said = refusal(&mut fleet);
    assert!(
        said.contains("node node-0 cannot be asked") && said.contains("an empty Meilisearch in its place"),
        "{said}"
    );
    for node in &mut fleet.nodes[1..] {
        node.kill();
        std::fs::rename(node.data(), node.data().with_extension("kept")).expect("it is there");
    }
    fleet.nodes[0].wipe();
    start_all(&mut fleet);
    let said = refusal(&mut fleet);
    assert!(said.contains("nobody knows any more who has all of 8 shards") && said.contains("import a dump"), "{said}");
    for node in &mut fleet.nodes[1..] {
        node.kill();
        node.wipe();
        std::fs::rename(node.data().with_extension("kept"), node.data()).expect("it is there");
        node.start();
        node.client().wait_until_healthy(START_LIMIT);
    }
    fleet.start_miroir();
    fleet.client().wait_until_healthy(START_LIMIT);
    wait_until_made_equal(&fleet);
    assert_eq!(wait_until_equal(&fleet, "films", "id", 2).len() as u64, DOCUMENTS);
}

fn start_all(fleet: &mut Fleet) {
    for node in &mut fleet.nodes {
        if node.process.is_none() {
            node.start();
            node.client().wait_until_healthy(START_LIMIT);
        }
    }
}

#[test]
fn a_backup_from_before_shards_moved_changes_nothing() {
    let mut fleet = filled(3, "");
    let backup = back_up(&fleet).expect("it is made");
    fleet.admin().post("/nodes/node-0/drain", &json!({})).expect(200);
    wait_for("all shards to be where they are to be", LIMIT, || {
        let status = fleet.admin().get("/rebalance").expect(200).json;
        let is_over = status["state"] == "idle" && status["progress"].is_null();
        if is_over { Ok(()) } else { Err(status.to_string()) }
    });
    let later = back_up(&fleet).expect("it is made");
    let later_kept = fleet.folder.path().join("later");
    assert!(Command::new("cp").arg("-a").args([&later, &later_kept]).status().expect("cp runs").success());
    fleet.kill_miroir();
    restore(&fleet, &backup).expect("it is whole");
    let said = refusal(&mut fleet);
    assert!(said.contains("shards were moved to or from them") && said.contains("Restore a later backup"), "{said}");
    std::fs::remove_dir_all(fleet.folder.path().join("miroir")).expect("it is there");
    std::fs::remove_dir_all(fleet.folder.path().join("saved")).expect("it is there");
    std::fs::rename(later_kept, fleet.folder.path().join("saved")).expect("it is there");
    restore(&fleet, &later).expect("it is whole");
    fleet.start_miroir();
    fleet.client().wait_until_healthy(START_LIMIT);
    wait_until_made_equal(&fleet);
    assert_eq!(wait_until_equal(&fleet, "films", "id", 2).len() as u64, DOCUMENTS);
}

#[test]
fn a_full_disk_leaves_no_backup_and_harms_nothing() {
    let disk = tempfile::tempdir().expect("the temporary folder is writable");
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=64k", "miroir-test"]).arg(disk.path());
    if !mount.output().is_ok_and(|output| output.status.success()) {
        eprintln!("this needs the rights to mount a tmpfs");
        return;
    }
    let fleet = filled(3, &format!("backup_dir: {}\n", disk.path().display()));
    let said = back_up(&fleet).expect_err("there is no space");
    let left = std::fs::read_dir(disk.path()).expect("it is there").count();
    assert!(Command::new("umount").arg("-l").arg(disk.path()).status().expect("umount runs").success());
    assert!(said.contains("no backup was made: no space left"), "{said}");
    assert_eq!(left, 0, "half a backup");
    fleet.client().write_well("POST", "/indexes/films/documents", Some(&films(0..1)));
    back_up(&fleet).expect("there is space");
}
