//! The desk with a store in a folder and cores that acknowledge when they are told to.

use std::thread::JoinHandle;

use crossbeam::channel::{Sender, bounded, unbounded};

use super::*;
use crate::bridge::reply::{ReplyFuture, reply_channel};
use crate::meili::keys::{CreateKey, PatchKey};
use crate::store::sqlite::SqliteStore;

const PATIENCE: Duration = Duration::from_secs(10);

struct Desk {
    bridge: Arc<Bridge>,
    jobs: Option<Sender<KeyJob>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Desk {
    fn open(folder: &std::path::Path, cores: usize, master_key: Option<&str>) -> Self {
        let store = Arc::new(SqliteStore::open(folder).unwrap());
        let (bridge, _commands) = Bridge::new(cores);
        let publisher = Arc::new(Publisher::new(bridge.clone(), Vec::new()));
        let desk = KeyDesk::open(store, publisher, bridge.clone(), master_key.map(Secret::new)).unwrap();
        let (jobs, waiting) = bounded(JOBS_MAX);
        let (stop, stopped) = unbounded();
        let thread = std::thread::spawn(move || desk.run(&waiting, &stopped));
        Self { bridge, jobs: Some(jobs), stop: Some(stop), thread: Some(thread) }
    }

    fn send(&self, change: KeyChange) -> ReplyFuture<Result<ApiKey, ApiError>> {
        let (reply, answer) = reply_channel();
        self.jobs.as_ref().unwrap().send(KeyJob { change: Box::new(change), reply }).unwrap();
        answer
    }

    fn change(&self, change: KeyChange) -> Result<ApiKey, ApiError> {
        self.send(change).wait(PATIENCE).expect("an answer")
    }

    fn names(&self) -> Vec<Option<String>> {
        self.bridge.snapshot.load().keys.keys().map(|key| key.name.clone()).collect()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.stop.take();
        self.jobs.take();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn create(uid: Option<Uuid>) -> KeyChange {
    let mut body = serde_json::json!({"name": "new", "actions": ["search"], "indexes": ["*"], "expiresAt": null});
    if let Some(uid) = uid {
        body["uid"] = uid.to_string().into();
    }
    KeyChange::Create(CreateKey::parse(body.to_string().as_bytes(), clock::timestamp()).unwrap())
}

#[test]
fn default_keys_are_made_where_there_are_none_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let uids = || {
        let desk = Desk::open(folder.path(), 0, Some("master"));
        let snapshot = desk.bridge.snapshot.load_full();
        snapshot.keys.keys().map(|key| key.uid).collect::<Vec<_>>()
    };
    let first = uids();
    assert_eq!((first.len(), uids()), (4, first));
}

#[test]
fn keys_are_created_changed_and_deleted_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let uid = Uuid::from_u128(7);
    {
        let desk = Desk::open(folder.path(), 0, Some("master"));
        assert_eq!(desk.change(create(Some(uid))).unwrap().uid, uid);
        let error = desk.change(create(Some(uid))).expect_err("it is there");
        assert_eq!(error.code, Code::ApiKeyAlreadyExists);
        assert_eq!(error.message, format!("`uid` field value `{uid}` is already an existing API key."));
        let patch = PatchKey::parse(br#"{"name":"other"}"#).unwrap();
        assert_eq!(desk.change(KeyChange::Patch(uid, patch)).unwrap().name.as_deref(), Some("other"));
        let second = desk.change(create(None)).unwrap().uid;
        assert_eq!(desk.names()[..2], [Some("new".to_owned()), Some("other".to_owned())]);
        desk.change(KeyChange::Delete(second)).unwrap();
        let message = format!("API key `{second}` not found.");
        assert_eq!(desk.change(KeyChange::Delete(second)).expect_err("it is gone").message, message);
    }
    let desk = Desk::open(folder.path(), 0, Some("master"));
    assert_eq!((desk.names().len(), desk.names()[0].as_deref()), (5, Some("other")));
}

#[test]
fn a_change_is_answered_when_every_core_goes_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::open(folder.path(), 2, Some("master"));
    let mut answer = std::pin::pin!(desk.send(create(None)));
    let deadline = clock::instant() + PATIENCE;
    while desk.names().len() < 5 {
        assert!(clock::instant() < deadline, "it is not published");
        std::thread::yield_now();
    }
    let mut is_answered = || {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::future::Future::poll(answer.as_mut(), &mut context).is_ready()
    };
    let epoch = desk.bridge.snapshot.load().epoch;
    desk.bridge.acks.acknowledge(0, epoch);
    assert!(!is_answered(), "one core has not heard of it");
    desk.bridge.acks.acknowledge(1, epoch);
    while !is_answered() {
        assert!(clock::instant() < deadline, "it is not answered");
        std::thread::yield_now();
    }
}

#[test]
fn without_a_master_key_nobody_has_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::open(folder.path(), 0, None);
    assert!(desk.names().is_empty());
    drop(desk);
    assert_eq!(Desk::open(folder.path(), 0, Some("master")).names().len(), 4, "but they are there");
}
