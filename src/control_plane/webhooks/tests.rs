//! The thread against servers on sockets.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use crossbeam::channel::unbounded;
use flate2::read::GzDecoder;

use super::*;
use crate::logic::ids::EntryId;
use crate::meili::tasks::TaskStatus;
use crate::store::contract::{sample_entry, sample_outcome, sample_put};
use crate::store::sqlite::SqliteStore;
use crate::store::{Outcome, ProtocolDelta};

const TIMEOUT: Duration = Duration::from_secs(20);

/// What a webhook got: its head, and its body, unpacked.
type Got = (String, String);

/// A server that answers the first requests with these statuses, and all others with 200. Ends with the test.
fn listener(statuses: &'static [u16]) -> (String, Receiver<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, receiver) = unbounded();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while stream.read_line(&mut head).unwrap() > 2 {}
            let length = head
                .to_lowercase()
                .split("content-length: ")
                .nth(1)
                .map(|rest| rest.lines().next().unwrap().trim().parse::<usize>().unwrap());
            let mut body = vec![0; length.expect("the length is said")];
            stream.read_exact(&mut body).unwrap();
            let mut text = String::new();
            GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
            let status = statuses.get(number).unwrap_or(&200);
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            if sender.send((head, text)).is_err() {
                return;
            }
        }
    });
    (url, receiver)
}

/// A store with three entries, the thread, and how to end it.
struct Told {
    store: Arc<SqliteStore>,
    registry: Arc<Registry>,
    stop: Option<Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Told {
    fn start(configured: Option<Webhook>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(folder.path()).unwrap());
        let entries = [0, 1, 2].map(|id| (sample_entry(id, "movies", sample_put()), None));
        store.append(&entries, &[]).unwrap();
        let registry = Arc::new(Registry::open(store.clone(), configured).unwrap());
        let (stop, stopped) = bounded(0);
        let announcer = Announcer::new(registry.clone(), true);
        let thread = Some(std::thread::spawn(move || announcer.run(&stopped)));
        Self { store, registry, stop: Some(stop), thread, _folder: folder }
    }

    fn end(&self, ids: &[u64]) {
        let outcomes: Vec<(EntryId, Outcome)> =
            ids.iter().map(|id| (EntryId(*id), sample_outcome(TaskStatus::Succeeded))).collect();
        self.store.commit(&ProtocolDelta { outcomes, ..ProtocolDelta::default() }).unwrap();
    }

    fn create(&self, body: &str) -> Uuid {
        let settings = crate::meili::webhooks::WebhookSettings::parse(body.as_bytes()).unwrap();
        let shown = self.registry.answer(WebhookRequest::Create(settings)).unwrap();
        shown["uuid"].as_str().unwrap().parse().unwrap()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

fn uids(text: &str) -> Vec<u64> {
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["uid"].as_u64().unwrap()).collect()
}

#[test]
fn every_finished_task_is_told_once_and_again_where_that_failed() {
    let (url, got) = listener(&[500]);
    let (other_url, other) = listener(&[]);
    let configured = Webhook { url: other_url, headers: [("Authorization".to_owned(), "Bearer k".to_owned())].into() };
    let told = Told::start(Some(configured));
    told.create(&json!({ "url": url, "headers": { "x-mine": "1" } }).to_string());
    told.end(&[0, 1]);
    let (head, text) = other.recv_timeout(TIMEOUT).unwrap();
    let head = head.to_lowercase();
    assert!(head.starts_with("post /hook http/1.1"), "{head}");
    for expected in ["content-encoding: gzip", "content-type: application/x-ndjson", "authorization: bearer k"] {
        assert!(head.contains(expected), "{expected} in {head}");
    }
    assert_eq!(uids(&text), [0, 1]);
    let task: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&task["status"], &task["type"], &task["indexUid"]),
        (&json!("succeeded"), &json!("documentAdditionOrUpdate"), &json!("movies"))
    );
    // The one that failed got the same once more, with its own header.
    let [first, second] = [0, 1].map(|_| got.recv_timeout(TIMEOUT).unwrap());
    assert_eq!((uids(&first.1), uids(&second.1)), (vec![0, 1], vec![0, 1]));
    assert!(second.0.to_lowercase().contains("x-mine: 1"));
    told.end(&[2]);
    for receiver in [&got, &other] {
        assert_eq!(uids(&receiver.recv_timeout(TIMEOUT).unwrap().1), [2]);
        assert!(receiver.try_recv().is_err());
    }
}

/// Goal: who never answers holds up nobody else. Method: it takes the connection and keeps silent; one request waits for 30 s.
#[test]
fn a_silent_webhook_delays_no_other() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, got) = listener(&[]);
    let told = Told::start(Some(Webhook { url, headers: std::collections::BTreeMap::new() }));
    let uuid = told.create(&json!({ "url": format!("http://{}", silent.local_addr().unwrap()) }).to_string());
    for id in 0..3 {
        told.end(&[id]);
        assert_eq!(uids(&got.recv_timeout(TIMEOUT).unwrap().1), [id]);
    }
    assert_eq!(told.store.unannounced(10).unwrap().len(), 3, "the silent one may still hear of them");
    told.registry.answer(WebhookRequest::Delete(uuid)).unwrap();
    // Its request fails, and its thread ends.
    drop(silent);
}

#[test]
fn what_was_not_told_before_a_crash_is_told_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let (url, got) = listener(&[]);
    let webhook = Webhook { url, headers: std::collections::BTreeMap::new() };
    {
        let store = SqliteStore::open(folder.path()).unwrap();
        store
            .append(&[(sample_entry(0, "a", sample_put()), None), (sample_entry(1, "a", sample_put()), None)], &[])
            .unwrap();
        let outcome = |id| ProtocolDelta {
            outcomes: vec![(EntryId(id), sample_outcome(TaskStatus::Failed))],
            ..ProtocolDelta::default()
        };
        // Nobody wanted to hear of the first one.
        store.commit(&outcome(0)).unwrap();
        store.save_webhooks(&[(Uuid::max(), webhook)].into()).unwrap();
        store.commit(&outcome(1)).unwrap();
        assert_eq!(store.unannounced(10).unwrap(), [EntryId(1)]);
    }
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.path()).unwrap());
    let registry = Arc::new(Registry::open(store.clone(), None).unwrap());
    let (stop, stopped) = bounded(0);
    let announcer = Announcer::new(registry.clone(), true);
    let thread = std::thread::spawn(move || announcer.run(&stopped));
    assert_eq!(uids(&got.recv_timeout(TIMEOUT).unwrap().1), [1]);
    drop(stop);
    thread.join().unwrap();
    assert!(store.unannounced(10).unwrap().is_empty());
    registry.answer(WebhookRequest::Delete(Uuid::max())).unwrap();
    assert!(store.webhooks().unwrap().is_empty());
}

#[test]
fn the_webhook_of_the_configuration_is_shown_and_stays() {
    let configured = Webhook { url: "http://127.0.0.1:9".to_owned(), headers: std::collections::BTreeMap::new() };
    let told = Told::start(Some(configured));
    let code = |request| told.registry.answer(request).expect_err("refused").code.name();
    let nothing = crate::meili::webhooks::WebhookSettings::default;
    assert_eq!(code(WebhookRequest::Delete(Uuid::nil())), "immutable_webhook");
    assert_eq!(code(WebhookRequest::Change(Uuid::nil(), nothing())), "immutable_webhook");
    assert_eq!(code(WebhookRequest::Get(Uuid::max())), "webhook_not_found");
    assert_eq!(code(WebhookRequest::Change(Uuid::max(), nothing())), "webhook_not_found");
    assert_eq!(code(WebhookRequest::Create(nothing())), "invalid_webhook_url");
    let all = told.registry.answer(WebhookRequest::List).unwrap();
    assert_eq!(all["results"][0]["isEditable"], false);
    // Without it in the configuration it is gone.
    let registry = Registry::open(told.store.clone(), None).unwrap();
    assert_eq!(registry.answer(WebhookRequest::List).unwrap(), json!({ "results": [] }));
}
