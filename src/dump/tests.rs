//! What is written can be read, and what nobody should write is refused.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;
use time::macros::datetime;
use uuid::uuid;

use super::*;
use crate::logic::ids::Timestamp;
use crate::meili::keys::ApiKey;
use crate::meili::webhooks::Webhook;

fn metadata() -> Metadata {
    Metadata::new("1.50.0", datetime!(2026-11-23 12:00:00.5 UTC))
}

fn index(uid: &str, primary_key: Option<&str>) -> IndexMetadata {
    IndexMetadata {
        uid: uid.to_owned(),
        primary_key: primary_key.map(str::to_owned),
        created_at: datetime!(2026-11-22 00:00 UTC),
        updated_at: datetime!(2026-11-23 00:00 UTC),
    }
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("{value} is no object") };
    object
}

#[test]
fn a_dump_that_was_written_is_read_as_it_was() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("a.dump");
    let uid = uuid!("47c1a14b-ff83-41f1-8c6c-1a12fe1a61af");
    let keys = ApiKey::defaults([uid; 4], Timestamp(1_000)).to_vec();
    let webhook = Webhook { url: "http://a.b/".to_owned(), headers: [("x".to_owned(), "y".to_owned())].into() };
    let webhooks = [(uid, webhook)].into();
    let tasks = [json!({"uid": 3, "status": "succeeded"}), json!({"uid": 4, "status": "enqueued"})];
    let settings = object(json!({"embedders": {"e": {"apiKey": "secret"}}}));

    let mut writer = DumpWriter::create(place.clone(), &metadata()).unwrap();
    writer.instance_uid(uid).unwrap();
    writer.keys(&keys).unwrap();
    writer.experimental_features(&json!({"metrics": true})).unwrap();
    writer.webhooks(&webhooks).unwrap();
    writer.chat_settings("x.y", &json!({"source": "openAi"})).unwrap();
    let mut documents = writer.lines().unwrap();
    for task in &tasks {
        documents.push(&task.to_string()).unwrap();
    }
    writer.tasks(&mut documents).unwrap();
    for n in 0..3 {
        documents.push(&format!(r#"{{"id":{n},"text":"a\nb"}}"#)).unwrap();
    }
    let mark = documents.mark().unwrap();
    documents.push("{\"id\":\"not any more\"}").unwrap();
    documents.go_back(mark).unwrap();
    let long_name = "n".repeat(400);
    writer.index(&index(&long_name, Some("id")), &settings, &mut documents).unwrap();
    writer.index(&index("empty", None), &Map::new(), &mut documents).unwrap();
    documents.push("{\"id\":9}").unwrap();
    writer.index(&index("short", Some("id")), &Map::new(), &mut documents).unwrap();
    assert!(!place.exists(), "a dump that is there is whole");
    writer.finish().unwrap();
    drop(documents);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but the dump is left");

    let reader = DumpReader::open(File::open(place).unwrap(), folder.path()).unwrap();
    assert_eq!(reader.metadata(), &metadata());
    assert_eq!(reader.instance_uid().unwrap(), Some(uid));
    assert_eq!(reader.keys().unwrap().collect::<Result<Vec<_>, _>>().unwrap(), keys);
    assert_eq!(Value::from(reader.experimental_features().unwrap()), json!({"metrics": true}));
    assert_eq!(reader.webhooks().unwrap(), webhooks);
    assert_eq!(reader.chat_settings().unwrap(), [("x.y".to_owned(), object(json!({"source": "openAi"})))].into());
    let read: Vec<DumpedTask> = reader.tasks().unwrap().map(Result::unwrap).collect();
    assert_eq!(
        read.iter().map(|task| (task.uid, task.status.as_str())).collect::<Vec<_>>(),
        [(3, "succeeded"), (4, "enqueued")]
    );
    assert_eq!(reader.batches().unwrap().unwrap().count(), 0);
    let indexes = reader.indexes().unwrap();
    let documents = |at: usize| indexes[at].documents().unwrap().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(
        indexes.iter().map(|index| &index.metadata).collect::<Vec<_>>(),
        [&index("empty", None), &index(&long_name, Some("id")), &index("short", Some("id"))]
    );
    assert_eq!(indexes[1].settings().unwrap(), settings);
    assert!(documents(0).is_empty());
    assert_eq!(documents(1)[2], r#"{"id":2,"text":"a\nb"}"#);
    assert_eq!(documents(2), [r#"{"id":9}"#]);
    drop(indexes);
    drop(reader);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "what was unpacked is gone");
}

#[test]
fn a_dump_that_is_not_finished_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("a.dump");
    let writer = DumpWriter::create(place.clone(), &metadata()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    // A process that was killed does not drop anything.
    std::mem::forget(DumpWriter::create(place.clone(), &metadata()).unwrap());
    fs::write(folder.path().join("other.dump"), "").unwrap();
    DumpWriter::remove_unfinished(folder.path()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    DumpWriter::remove_unfinished(&folder.path().join("not there")).unwrap();
}

/// As a server of version 1.3 wrote it: the least there is.
const OLD: &[(&str, &str)] = &[
    ("indexes/test/documents.jsonl", "{\"id\":1,\"_vectors\":{\"a\":[0.5]}}\n\n{\"id\":2}"),
    (
        "indexes/test/metadata.json",
        r#"{"uid":"test","primaryKey":null,"createdAt":"2023-07-06T07:07:41.364694Z","updatedAt":"2023-07-06T07:07:41.396114Z"}"#,
    ),
    ("indexes/test/settings.json", r#"{"searchableAttributes":["*"]}"#),
    ("metadata.json", r#"{"dumpVersion":"V6","dbVersion":"1.3.0","dumpDate":"2023-07-06T07:10:27.21958Z"}"#),
    (
        "keys.jsonl",
        concat!(
            r#"{"description":null,"name":"Default Search API Key","uid":"db7bcc81-78a5-44ac-b1a7-7364c28d91ae","actions":["search"],"indexes":["*"],"expires_at":null,"created_at":"2023-07-06T07:05:24.146989Z","updated_at":"2023-07-06T07:05:24.146989Z"}"#,
            "\n"
        ),
    ),
    (
        "tasks/queue.jsonl",
        "{\"uid\":0,\"indexUid\":\"test\",\"status\":\"enqueued\",\"type\":{\"documentImport\":{}}}\n",
    ),
    ("tasks/update_files/0.jsonl", "{\"id\":3}\n"),
];

fn raw_archive(members: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in members {
        let mut header = Header::new_gnu();
        // As somebody who does not mind would write it.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_cksum();
        archive.append(&header, content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn changed(path: &str, content: Option<&'static str>) -> Vec<u8> {
    let kept = OLD.iter().filter(|(name, _)| *name != path).copied();
    raw_archive(&kept.chain(content.map(|content| (path, content))).collect::<Vec<_>>())
}

fn open(archive: &[u8]) -> (TempDir, Result<DumpReader, DumpError>) {
    let folder = TempDir::new().unwrap();
    let reader = DumpReader::open(archive, folder.path());
    (folder, reader)
}

/// What comes out if everything is read.
fn problem(archive: &[u8]) -> String {
    fn read_all(reader: &DumpReader) -> Result<(), DumpError> {
        reader.instance_uid()?;
        reader.keys()?.try_for_each(|key| key.map(drop))?;
        reader.experimental_features()?;
        reader.webhooks()?;
        reader.chat_settings()?;
        reader.tasks()?.try_for_each(|task| task.map(drop))?;
        reader.indexes()?.iter().try_for_each(|index| index.documents()?.try_for_each(|line| line.map(drop)))
    }
    let (folder, reader) = open(archive);
    let problem = reader.and_then(|reader| read_all(&reader)).err().map(|error| error.to_string());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    problem.unwrap_or_else(|| "none".to_owned())
}

#[test]
fn dumps_of_older_servers_are_read() {
    let (_folder, reader) = open(&raw_archive(OLD));
    let reader = reader.unwrap();
    assert_eq!(reader.metadata().db_version, "1.3.0");
    assert_eq!((reader.instance_uid().unwrap(), reader.batches().unwrap().is_none()), (None, true));
    assert!(reader.experimental_features().unwrap().is_empty() && reader.webhooks().unwrap().is_empty());
    assert!(reader.chat_settings().unwrap().is_empty());
    assert_eq!(reader.keys().unwrap().next().unwrap().unwrap().description, None);
    let task = reader.tasks().unwrap().next().unwrap().unwrap();
    assert_eq!((task.status.as_str(), task.has_documents), ("enqueued", true));
    assert_eq!(reader.task_documents(0).unwrap().next().unwrap().unwrap(), r#"{"id":3}"#);
    let index = reader.indexes().unwrap().remove(0);
    assert_eq!(
        index.documents().unwrap().map(Result::unwrap).collect::<Vec<_>>(),
        [r#"{"id":1,"_vectors":{"a":[0.5]}}"#, r#"{"id":2}"#]
    );
    // Unknown members are no error, wherever they are.
    assert_eq!(problem(&changed("indexes/test/facets.bin", Some("x"))), "none");
    assert_eq!(problem(&changed("./._metadata.json", Some("x"))), "none");
}

#[test]
fn what_is_no_dump_or_not_whole_is_refused_in_clear_words() {
    let metadata = |version: &str| format!(r#"{{"dumpVersion":"{version}","dbVersion":"0.28.0"}}"#);
    let v5 = metadata("V5");
    assert!(problem(&raw_archive(&[("metadata.json", &v5)])).starts_with("the dump has version V5, and only"));
    for (path, content, expected) in [
        ("metadata.json", None, "`metadata.json` in the dump is missing"),
        ("metadata.json", Some("{"), "`metadata.json` in the dump is malformed"),
        ("keys.jsonl", None, "`keys.jsonl` in the dump is missing"),
        ("keys.jsonl", Some("\n{\"uid\":1}\n"), "`keys.jsonl, line 2` in the dump is malformed"),
        ("tasks/queue.jsonl", None, "`tasks/queue.jsonl` in the dump is missing"),
        ("tasks/queue.jsonl", Some("{}"), "`tasks/queue.jsonl` in the dump has a task without"),
        ("indexes/test/documents.jsonl", None, "`indexes/test/documents.jsonl` in the dump is missing"),
        ("indexes/test/documents.jsonl", Some("\u{0}"), "none"),
        ("indexes/test/settings.json", None, "`indexes/test/settings.json` in the dump is missing"),
        ("indexes/test/settings.json", Some("[]"), "`indexes/test/settings.json` in the dump is malformed"),
        ("indexes/test/metadata.json", None, "`indexes/test/metadata.json` in the dump is missing"),
        ("webhooks.json", Some("{\"webhooks\":[]}"), "`webhooks.json` in the dump is malformed"),
        ("instance_uid.uuid", Some("x"), "`instance_uid.uuid` in the dump is malformed"),
        ("/etc/keys.jsonl", Some(""), "`/etc/keys.jsonl` in the dump has a path that leads out of it"),
        (
            "indexes/../../keys.jsonl",
            Some(""),
            "`indexes/../../keys.jsonl` in the dump has a path that leads out of it",
        ),
    ] {
        let problem = problem(&changed(path, content));
        assert!(problem.starts_with(expected), "{path}: {problem}");
    }
    let twice = [OLD, &OLD[..1]].concat();
    assert_eq!(problem(&raw_archive(&twice)), "`indexes/test/documents.jsonl` in the dump is there twice");
}

#[test]
fn archives_that_are_cut_or_lie_are_refused() {
    let whole = raw_archive(OLD);
    assert_eq!(problem(&whole), "none");
    for length in [0, 1, 9, whole.len() / 2, whole.len() - 1] {
        let problem = problem(&whole[..length]);
        assert!(problem.starts_with("the dump is damaged or no dump at all"), "{length}: {problem}");
    }
    assert!(problem(b"{\"id\":1}").starts_with("the dump is damaged or no dump at all"));

    // It promises more than any disk has.
    let mut header = Header::new_gnu();
    header.set_path("indexes/test/documents.jsonl").unwrap();
    header.set_size(1 << 60);
    header.set_cksum();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(header.as_bytes()).unwrap();
    assert!(problem(&gzip.finish().unwrap()).starts_with("no room to unpack the dump"));

    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    archive.append_link(&mut header, "keys.jsonl", Path::new("/etc/passwd")).unwrap();
    let link = archive.into_inner().unwrap().finish().unwrap();
    assert_eq!(problem(&link), "`keys.jsonl` in the dump is no plain file");
}

/// `MIROIR_TEST_DUMPS` names a folder with dumps of real servers; those in it whose name begins with `v6` must be readable.
#[test]
#[expect(clippy::disallowed_methods, reason = "a folder of this machine, for a run by hand")]
fn dumps_of_real_servers_are_read() {
    let Ok(folder) = std::env::var("MIROIR_TEST_DUMPS") else { return };
    let mut read = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let problem = problem(&fs::read(&path).unwrap());
        if name.starts_with("v6") {
            assert_eq!(problem, "none", "{name}");
            read += 1;
        } else {
            assert!(problem.starts_with("the dump has version V"), "{name}: {problem}");
        }
    }
    assert!(read > 0, "no dump of version 6");
}
