//! A dump moves in: by `miroir-ctl import FILE`, and by `miroir serve --import-dump FILE` before anybody is served. The dump is
//! a real Meilisearch's if there is one (`MIROIR_TEST_MEILISEARCH`), else one that Miroir's own writer makes.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use miroir::dump::{DumpWriter, IndexMetadata, Metadata};
use miroir::meili::keys::ApiKey;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::moving_in::{DOCUMENTS, Origin, films, said, small};
use crate::support::fleet::{MASTER_KEY, START_LIMIT};
use crate::support::process::{miroir, miroir_ctl};
use crate::support::{Client, Fleet, FleetOptions, Process, wait_for};

const LIMIT: Duration = Duration::from_mins(2);
const KEY: &str = "/keys/6062abda-a5aa-4414-ac91-ecd7944c0f8d";

/// What the source has, as a dump.
fn dump_of(origin: &Origin, folder: &Path) -> PathBuf {
    if let Some(place) = origin.folder() {
        let task = origin.client.write_well("POST", "/dumps", None);
        let uid = task["details"]["dumpUid"].as_str().expect("a dump has a name");
        return place.join("dumps").join(format!("{uid}.dump"));
    }
    let place = folder.join("some.dump");
    let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let mut writer = DumpWriter::create(place.clone(), &Metadata::new("1.50.0", now)).expect("the folder is writable");
    let keys = origin.client.get("/keys").expect(200).json["results"].as_array().cloned().unwrap_or_default();
    let key = |key: &Value| -> ApiKey {
        let mut key = key.clone();
        for (shown, kept) in [("expiresAt", "expires_at"), ("createdAt", "created_at"), ("updatedAt", "updated_at")] {
            key[kept] = key[shown].clone();
        }
        serde_json::from_value(key).expect("it is a key")
    };
    writer.keys(&keys.iter().map(key).collect::<Vec<_>>()).expect("the folder is writable");
    writer.experimental_features(&json!({"containsFilter": true})).expect("the folder is writable");
    let mut tasks = writer.lines().expect("the folder is writable");
    writer.tasks(&mut tasks).expect("the folder is writable");
    for (uid, primary_key, documents) in
        [("films", Some("number"), films(&origin.client)), ("nothing-yet", None, vec![])]
    {
        let mut lines = writer.lines().expect("the folder is writable");
        for document in documents {
            lines.push(&document.to_string()).expect("the folder is writable");
        }
        let settings = origin.client.get(&format!("/indexes/{uid}/settings")).expect(200).json;
        let primary_key = primary_key.map(str::to_owned);
        let metadata = IndexMetadata { uid: uid.to_owned(), primary_key, created_at: now, updated_at: now };
        let settings = settings.as_object().expect("settings are an object");
        writer.index(&metadata, settings, &mut lines).expect("the folder is writable");
    }
    writer.finish().expect("the folder is writable");
    place
}

#[track_caller]
fn assert_same(client: &Client, origin: &Origin) {
    assert_eq!(films(client).len(), DOCUMENTS);
    assert!(films(client) == films(&origin.client), "the same documents, vectors too");
    for path in ["/indexes/films/settings", "/indexes/nothing-yet/settings"] {
        assert_eq!(client.get(path).expect(200).json, origin.client.get(path).expect(200).json);
    }
    let key = |client: &Client| {
        let mut key = client.get(KEY).expect(200).json;
        for field in ["key", "createdAt", "updatedAt"] {
            key[field] = Value::Null;
        }
        key
    };
    assert_eq!(key(client), key(&origin.client));
    assert_eq!(client.get("/experimental-features").expect(200).json["containsFilter"], true);
}

#[test]
fn a_dump_is_imported_and_is_the_same() {
    let origin = Origin::start();
    origin.fill();
    let fleet = Fleet::start(&small(2));
    let dump = dump_of(&origin, fleet.folder.path());
    let import = || {
        let mut command = miroir_ctl();
        command.arg("import").arg(&dump).args(["--to", &fleet.port.url(), "--to-key", MASTER_KEY]);
        said(&mut command)
    };
    let (code, text) = import();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("index `films`: 3000 documents, equal"), "{text}");
    assert_same(&fleet.client(), &origin);
    let tasks = fleet.client().get("/tasks?types=documentAdditionOrUpdate").expect(200).json["total"].clone();
    let (code, text) = import();
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(fleet.client().get("/tasks?types=documentAdditionOrUpdate").expect(200).json["total"], tasks);

    let (code, text) = said(miroir_ctl().args(["import", "/none.dump", "--to", &fleet.port.url()]));
    assert!(code == Some(4) || code == Some(1), "{text}");
    assert!(text.contains("/none.dump"), "{text}");
    let (code, text) = said(miroir_ctl().args(["import"]));
    assert!(code == Some(2) && text.contains("--from"), "{text}");
}

fn serve(fleet: &mut Fleet, more: &[&str]) {
    let mut command = miroir();
    command.arg("serve").arg("--config").arg(fleet.config_path()).args(more);
    fleet.miroir = Some(Process::start("miroir", command, fleet.folder.path()));
}

/// How it ends, and all that was said so far.
fn end(fleet: &mut Fleet) -> (ExitStatus, String) {
    let process = fleet.miroir.as_mut().expect("just started");
    (process.wait(LIMIT), process.output())
}

fn prepared() -> Fleet {
    let options = FleetOptions { configuration: "feeder: {quarantine: 1s}\n".to_owned(), ..small(2) };
    let mut fleet = Fleet::prepare(&options, MASTER_KEY);
    fleet.nodes.iter_mut().for_each(crate::support::fleet::Node::start);
    fleet.nodes.iter().for_each(|node| node.client().wait_until_healthy(START_LIMIT));
    fleet
}

#[test]
fn a_server_starts_with_a_dump_once() {
    let origin = Origin::start();
    origin.fill();
    let mut fleet = prepared();
    let dump = dump_of(&origin, fleet.folder.path()).display().to_string();

    serve(&mut fleet, &["--import-dump", "/none.dump"]);
    let (status, said) = end(&mut fleet);
    assert!(status.code() == Some(1) && said.contains("--ignore-missing-dump"), "{said}");

    serve(&mut fleet, &["--import-dump", &dump]);
    fleet.client().wait_until_healthy(LIMIT);
    assert_same(&fleet.client(), &origin);
    fleet.kill_miroir();

    serve(&mut fleet, &["--import-dump", &dump]);
    let (status, said) = end(&mut fleet);
    assert!(status.code() == Some(1) && said.contains("--ignore-dump-if-db-exists"), "{said}");
    serve(&mut fleet, &["--import-dump", &dump, "--ignore-dump-if-db-exists"]);
    fleet.client().wait_until_healthy(LIMIT);
    assert_same(&fleet.client(), &origin);
}

#[test]
fn half_a_dump_is_never_taken_for_a_whole_one() {
    let origin = Origin::start();
    origin.fill();
    let mut fleet = prepared();
    let dump = dump_of(&origin, fleet.folder.path()).display().to_string();
    serve(&mut fleet, &["--import-dump", &dump]);
    wait_for("the import to be under way", LIMIT, || {
        let said = fleet.miroir.as_ref().expect("just started").output();
        if said.contains("documents are copied") { Ok(()) } else { Err(said) }
    });
    assert!(fleet.client().try_ask("GET", "/health", None).is_err(), "nobody is served meanwhile");
    fleet.kill_miroir();

    serve(&mut fleet, &[]);
    let (status, said) = end(&mut fleet);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("has begun") && said.contains("not ended") && said.contains("empty data_dir"), "{said}");

    serve(&mut fleet, &["--import-dump", &dump]);
    fleet.client().wait_until_healthy(LIMIT);
    assert_same(&fleet.client(), &origin);
}

/// An operator sees what is wrong with a dump, and starts anew with a better one.
#[test]
fn a_damaged_dump_ends_the_start_before_anything_is_stored() {
    let mut fleet = prepared();
    let dump = fleet.folder.path().join("damaged.dump");
    std::fs::write(&dump, "this is no dump").expect("the folder is writable");
    serve(&mut fleet, &["--import-dump", &dump.display().to_string()]);
    let (status, said) = end(&mut fleet);
    assert!(status.code() == Some(1) && said.contains("damaged"), "{said}");
    serve(&mut fleet, &[]);
    fleet.client().wait_until_healthy(LIMIT);
}
