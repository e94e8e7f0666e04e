//! Requests to a core whose journal is a function.

mod access;
mod foreign_keys;
mod reads;
mod route_table;

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use super::route;
use super::routes::ROUTES;
use crate::bridge::{Accepted, Command, IndexHead, JournalHeads, NewWrite, WriteRefusal};
use crate::data_plane::core::{Core, CoreSettings, Timers};
use crate::data_plane::fake::{FakeUpstream, block_on, core_and_commands};
use crate::data_plane::upstream::LocalFuture;
use crate::http_types::{Request, Response};
use crate::logic::entry::Operation;
use crate::logic::ids::{EntryId, IndexUid, Monotonic, NodeId, NodeIndexUid, NodeSlot, ShardId, Timestamp};
use crate::logic::snapshot::{CoverPart, CoveringSet, IndexView, NodeView, RoutingSnapshot, UpdatedAt};
use crate::meili::batches::BatchPage;
use crate::meili::error::{ApiError, Code};
use crate::meili::features::Features;
use crate::meili::keys::key_not_found;
use crate::meili::tasks::{TaskPage, task_without_documents};

type Writes = Arc<Mutex<Vec<NewWrite>>>;
type Decide = Box<dyn FnMut(&NewWrite) -> Result<(), WriteRefusal> + Send>;

/// A core with the index `movies`, in front of a journal that commits what `decide` lets through.
struct Fixture {
    core: Option<Core>,
    writes: Writes,
    journal: Option<JoinHandle<()>>,
}

impl Fixture {
    fn new() -> Self {
        Self::with_journal(Box::new(|_| Ok(())))
    }

    fn with_journal(mut decide: Decide) -> Self {
        let settings = CoreSettings { master_key: Some("key".to_owned()), ..CoreSettings::default() };
        let (core, commands) = core_and_commands(FakeUpstream::refusing(), settings);
        core.bridge.heads.store(Arc::new(JournalHeads::from([(IndexUid::new("movies"), movies_head(Some("id")))])));
        core.bridge.snapshot.store(Arc::new(snapshot()));
        let writes = Writes::default();
        let kept = writes.clone();
        let journal = std::thread::spawn(move || {
            while let Ok(command) = commands.recv() {
                match command {
                    Command::Write(write, reply) => {
                        let decision = decide(&write.write);
                        let mut kept = kept.lock().expect("no panics");
                        let entry = EntryId(kept.len() as u64);
                        kept.push(write.write);
                        reply.send(decision.map(|()| Accepted { entry, enqueued_at: Timestamp(0) }));
                    }
                    Command::Tasks(query, reply) => {
                        let page = TaskPage { results: vec![], total: 0, limit: query.limit, from: None, next: None };
                        reply.send(Ok(page));
                    }
                    Command::Batches(query, reply) => {
                        let page = BatchPage { results: vec![], total: 0, limit: query.limit, from: None, next: None };
                        reply.send(Ok(page));
                    }
                    Command::TaskDocuments(entry, reply) => reply.send(Err(task_without_documents(entry.0))),
                    Command::MatchingTasks(_, reply) => reply.send(Ok(vec![EntryId(2), EntryId(5)])),
                    Command::Keys(_, reply) => reply.send(Err(key_not_found("x"))),
                    Command::Kept(_, reply) => reply.send(Ok(None)),
                    Command::Keep(_, reply) => reply.send(Ok(true)),
                    Command::Features(patch, reply) => reply.send(Ok(Features::default().patched(patch))),
                    Command::Fleet(reply)
                    | Command::CompactStore(reply)
                    | Command::Topology(_, reply)
                    | Command::Webhooks(_, reply) => {
                        reply.send(Ok(Value::Null));
                    }
                    Command::Task(entry, reply) => {
                        reply.send(Err(ApiError::new(Code::TaskNotFound, format!("Task `{entry}` not found."))));
                    }
                }
            }
        });
        Self { core: Some(core), writes, journal: Some(journal) }
    }

    fn send(&self, request: Request) -> Response {
        let core = self.core.as_ref().expect("taken in drop only");
        block_on(route(core, request.with_header(AUTHORIZATION, HeaderValue::from_static("Bearer key"))))
    }

    fn ask(&self, method: Method, target: &str, body: &str) -> (u16, Value) {
        let mut request = Request::new(method, target);
        if !body.is_empty() {
            request = request.with_json(body.to_owned());
        }
        shown(&self.send(request))
    }

    fn last_write(&self) -> NewWrite {
        self.writes.lock().expect("no panics").pop().expect("a write was handed over")
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // The queue closes with the core, and the thread with the queue.
        drop(self.core.take());
        if let Some(journal) = self.journal.take() {
            journal.join().expect("the journal does not panic");
        }
    }
}

fn movies_head(primary_key: Option<&str>) -> IndexHead {
    IndexHead { node_uid: NodeIndexUid::new("movies-0"), primary_key: primary_key.map(Arc::from) }
}

/// One node, which does not answer, holds all shards.
fn snapshot() -> RoutingSnapshot {
    let node = NodeView {
        id: NodeId::new("node-0"),
        url: "http://127.0.0.1:1".to_owned(),
        address: None,
        zone: None,
        weight: 1.0,
        reachable: false,
    };
    let part = CoverPart { node: NodeSlot(0), shards: (0..64).map(ShardId).collect(), filter: None };
    let settings = json!({"stopWords": ["the"], "displayedAttributes": ["title"]});
    let view = IndexView {
        uid: IndexUid::new("movies"),
        node_uid: NodeIndexUid::new("movies-0"),
        primary_key: Some(Arc::from("id")),
        settings: Arc::new(settings.as_object().expect("an object").clone()),
        created_at: Timestamp(0),
        updated_at: UpdatedAt::new(Timestamp(1_000_000)),
        out_of_sync: vec![],
        covers: Arc::from([CoveringSet { parts: vec![part], missing: vec![] }]),
    };
    RoutingSnapshot {
        nodes: vec![node],
        placement: vec![vec![NodeSlot(0)]; 64],
        indexes: [(view.uid.clone(), Arc::new(view))].into(),
        ..RoutingSnapshot::default()
    }
}

fn shown(response: &Response) -> (u16, Value) {
    (response.status, serde_json::from_slice(&response.body).unwrap_or(Value::Null))
}

#[test]
fn a_put_is_cut_by_shard_and_gets_its_number() {
    let fixture = Fixture::new();
    let (status, task) = fixture.ask(
        Method::POST,
        "/indexes/movies/documents?customMetadata=a%20b",
        r#"[{"id":1,"title":"Carol"},{"id":2},{"id":1}]"#,
    );
    let expected = json!({
        "taskUid": 0, "indexUid": "movies", "status": "enqueued", "type": "documentAdditionOrUpdate",
        "enqueuedAt": "1970-01-01T00:00:00Z", "customMetadata": "a b",
    });
    assert_eq!((status, task), (202, expected));
    let write = fixture.last_write();
    assert_eq!(write.assumed_head, Some(movies_head(Some("id"))));
    assert_eq!(write.payload.expect("documents").count(), 2);
    let Operation::PutDocuments { received, primary_key, .. } = write.operation else { panic!("no put") };
    assert_eq!((received, primary_key.as_deref(), write.rejection), (3, Some("id"), None));
}

#[test]
fn every_format_is_understood() {
    let fixture = Fixture::new();
    for (content_type, body) in [
        ("application/json", r#"[{"id":1},{"id":2}]"#),
        ("application/x-ndjson", "{\"id\":1}\n{\"id\":2}\n"),
        ("text/csv", "id:number,name\n1,a\n2,b\n"),
    ] {
        let request = Request { body: body.into(), ..Request::new(Method::PUT, "/indexes/movies/documents") };
        let response = fixture.send(request.with_header(CONTENT_TYPE, HeaderValue::from_static(content_type)));
        assert_eq!(response.status, 202, "{content_type}");
        assert_eq!(fixture.last_write().payload.expect("documents").count(), 2, "{content_type}");
    }
    let header_only = Request { body: "id,name\n".into(), ..Request::new(Method::POST, "/indexes/movies/documents") };
    let response = fixture.send(header_only.with_header(CONTENT_TYPE, HeaderValue::from_static("text/csv")));
    assert_eq!((response.status, fixture.last_write().payload.map(|payload| payload.count())), (202, Some(0)));
}

#[test]
fn a_bad_document_makes_a_task_that_fails_and_no_payload() {
    let fixture = Fixture::new();
    for (target, body, code) in [
        ("/indexes/movies/documents", r#"[{"id":1},{"id":"a b"}]"#, "invalid_document_id"),
        ("/indexes/movies/documents", r#"[{"x":1}]"#, "missing_document_id"),
        ("/indexes/movies/documents?primaryKey=x", r#"[{"x":1}]"#, "index_primary_key_already_exists"),
        ("/indexes/new/documents", r#"[{"x":1}]"#, "index_primary_key_no_candidate_found"),
        ("/indexes/new/documents", r#"[{"id":1,"uid":1}]"#, "index_primary_key_multiple_candidates_found"),
    ] {
        assert_eq!(fixture.ask(Method::POST, target, body).0, 202, "{body}");
        let write = fixture.last_write();
        assert_eq!(write.rejection.map(|error| error.code).as_deref(), Some(code), "{body}");
        assert!(write.payload.is_none());
        let Operation::PutDocuments { primary_key, creates_index, .. } = write.operation else { panic!("no put") };
        assert_eq!((primary_key, creates_index), (None, true), "{target}");
    }
    // Without documents nothing is wrong with another key.
    assert_eq!(fixture.ask(Method::POST, "/indexes/movies/documents?primaryKey=x", "[]").0, 202);
    assert_eq!(fixture.last_write().rejection, None);
}

#[test]
fn a_put_is_prepared_again_when_the_index_moved() {
    let mut refusals = vec![Some(movies_head(Some("key"))), Some(movies_head(None)), None];
    let fixture = Fixture::with_journal(Box::new(move |_| match refusals.pop() {
        Some(head) => Err(WriteRefusal::HeadMoved(head)),
        None => Ok(()),
    }));
    let (status, _) = fixture.ask(Method::POST, "/indexes/movies/documents", r#"[{"id":1,"key":"k"}]"#);
    assert_eq!(status, 202);
    let mut writes = fixture.writes.lock().expect("no panics");
    let seen: Vec<_> = writes
        .drain(..)
        .map(|write| {
            let Operation::PutDocuments { primary_key, .. } = write.operation else { panic!("no put") };
            (write.assumed_head, primary_key, write.rejection.map(|error| error.code))
        })
        .collect();
    let key = |key: &str| Some(key.to_owned());
    let expected = vec![
        (Some(movies_head(Some("id"))), key("id"), None),
        (None, key("id"), None),
        (Some(movies_head(None)), key("id"), None),
        (Some(movies_head(Some("key"))), key("key"), None),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn an_index_that_never_stands_still_is_given_up() {
    let fixture = Fixture::with_journal(Box::new(|write| {
        let key = if write.assumed_head == Some(movies_head(Some("id"))) { "key" } else { "id" };
        Err(WriteRefusal::HeadMoved(Some(movies_head(Some(key)))))
    }));
    let request = Request::new(Method::POST, "/indexes/movies/documents").with_json(r#"[{"id":1,"key":1}]"#);
    let response = fixture.send(request);
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
}

#[test]
fn deletions_carry_their_ids() {
    let fixture = Fixture::new();
    for (method, target, body, provided, count) in [
        (Method::POST, "/indexes/movies/documents/delete-batch", r#"[1,"2","1",null,1.5,"a b"]"#, 6, 3),
        (Method::DELETE, "/indexes/movies/documents/7", "", 1, 1),
        (Method::DELETE, "/indexes/movies/documents/a%20b", "", 1, 0),
    ] {
        assert_eq!(fixture.ask(method, target, body).0, 202, "{target}");
        let write = fixture.last_write();
        assert_eq!(write.operation, Operation::DeleteDocuments { provided });
        assert_eq!(write.payload.expect("ids").count(), count, "{target}");
    }
    let filter = r#"{"filter":[["a = 1"],"b = 2"]}"#;
    assert_eq!(fixture.ask(Method::POST, "/indexes/movies/documents/delete", filter).0, 202);
    assert_eq!(fixture.last_write().operation, Operation::DeleteByFilter { filter: json!([["a = 1"], "b = 2"]) });
    assert_eq!(fixture.ask(Method::DELETE, "/indexes/movies/documents", "").0, 202);
    assert_eq!(fixture.last_write().operation, Operation::ClearDocuments);
}

#[test]
fn users_see_their_own_settings() {
    let fixture = Fixture::new();
    let (status, settings) = fixture.ask(Method::GET, "/indexes/movies/settings", "");
    assert_eq!(
        (status, &settings["stopWords"], &settings["displayedAttributes"]),
        (200, &json!(["the"]), &json!(["title"]))
    );
    assert_eq!(settings["filterableAttributes"], json!([]));
    assert_eq!(fixture.ask(Method::GET, "/indexes/movies/settings/stop-words", ""), (200, json!(["the"])));
    assert_eq!(fixture.ask(Method::PUT, "/indexes/movies/settings/stop-words", r#"["b","a"]"#).0, 202);
    let Operation::UpdateSettings { patch, is_deletion, .. } = fixture.last_write().operation else { panic!("other") };
    assert_eq!((patch, is_deletion), (json!({"stopWords": ["a", "b"]}), false));
    assert_eq!(fixture.ask(Method::DELETE, "/indexes/movies/settings/stop-words", "").0, 202);
    let Operation::UpdateSettings { patch, is_deletion, .. } = fixture.last_write().operation else { panic!("other") };
    assert_eq!((patch, is_deletion), (json!({"stopWords": null}), true));
}

#[test]
fn indexes_are_shown_as_readers_see_them() {
    let fixture = Fixture::new();
    let movies = json!({
        "uid": "movies", "createdAt": "1970-01-01T00:00:00Z", "updatedAt": "1970-01-01T00:00:01Z", "primaryKey": "id",
    });
    assert_eq!(fixture.ask(Method::GET, "/indexes/movies", ""), (200, movies.clone()));
    let page = json!({"results": [movies], "offset": 0, "limit": 20, "total": 1});
    assert_eq!(fixture.ask(Method::GET, "/indexes", ""), (200, page));
    assert_eq!(fixture.ask(Method::GET, "/indexes?offset=1&limit=2", "").1["results"], json!([]));
}

#[test]
fn tasks_are_asked_of_the_journal() {
    let fixture = Fixture::new();
    let page = json!({"results": [], "total": 0, "limit": 3, "from": null, "next": null});
    assert_eq!(fixture.ask(Method::GET, "/tasks?limit=3", ""), (200, page));
    // 200 and not 202, as one server answers.
    assert_eq!(fixture.ask(Method::POST, "/tasks/cancel?uids=1&statuses=*", "").0, 200);
    let cancel = Operation::CancelTasks {
        original_filter: "?uids=1&statuses=*".to_owned(),
        matched: vec![EntryId(2), EntryId(5)],
    };
    assert_eq!(fixture.last_write().operation, cancel);
    assert_eq!(fixture.ask(Method::DELETE, "/tasks?uids=1", "").0, 200);
}

#[test]
fn every_route_asks_for_the_key_and_never_names_the_marker() {
    let fixture = Fixture::new();
    for route_entry in ROUTES.iter() {
        let path = route_entry.path.replace("{index}", "movies").replace("{document}", "1").replace("{task}", "1");
        let path = path.replace(['{', '}'], "");
        let method: Method = route_entry.method.parse().expect("a method");
        let core = fixture.core.as_ref().expect("there");
        let keyless = block_on(route(core, Request::new(method.clone(), &path)));
        let is_let_in = keyless.status != 401;
        assert_eq!(is_let_in, route_entry.actions.is_empty(), "{method} {path}");
        let response = fixture.send(Request::new(method.clone(), &path).with_json("{}"));
        let text = String::from_utf8_lossy(&response.body);
        assert!(!text.contains("_miroir"), "{method} {path}: {text}");
        assert!(![401, 403, 404, 405].contains(&response.status) || text.contains("not found"), "{method} {path}");
    }
    assert!(ROUTES.len() > 100, "the table was walked");
}

/// Method, target, content type, body; status, code.
type ErrorCase = (&'static str, &'static str, Option<&'static str>, &'static str, u16, &'static str);

const JSON: Option<&str> = Some("application/json");

#[rustfmt::skip]
const ERRORS: &[ErrorCase] = &[
    ("GET", "/nowhere", None, "", 404, ""),
    ("GET", "/indexes/movies/nowhere", None, "", 404, ""),
    ("PUT", "/indexes/movies/settings/nowhere", JSON, "{}", 404, ""),
    ("HEAD", "/health", None, "", 405, ""),
    ("OPTIONS", "/indexes", None, "", 405, ""),
    ("PUT", "/indexes", JSON, "{}", 405, ""),
    ("PATCH", "/indexes/movies/settings/stop-words", JSON, "[]", 405, ""),
    ("PUT", "/indexes/movies/settings/pagination", JSON, "{}", 405, ""),
    ("GET", "/indexes/none", None, "", 404, "index_not_found"),
    ("GET", "/indexes/none/settings", None, "", 404, "index_not_found"),
    ("GET", "/indexes/none/settings/synonyms", None, "", 404, "index_not_found"),
    ("GET", "/indexes/a%20b", None, "", 400, "invalid_index_uid"),
    ("DELETE", "/indexes/a%20b", None, "", 400, "invalid_index_uid"),
    ("POST", "/indexes/a%20b/documents", JSON, "[]", 400, "invalid_index_uid"),
    ("GET", "/indexes?limit=x", None, "", 400, "invalid_index_limit"),
    ("GET", "/indexes?offset=-1", None, "", 400, "invalid_index_offset"),
    ("GET", "/indexes?other=1", None, "", 400, "bad_request"),
    ("POST", "/indexes", JSON, "{}", 400, "missing_index_uid"),
    ("POST", "/indexes", JSON, r#"{"uid":5}"#, 400, "invalid_index_uid"),
    ("POST", "/indexes", JSON, r#"{"uid":"a b"}"#, 400, "invalid_index_uid"),
    ("POST", "/indexes", JSON, r#"{"uid":"a","primaryKey":5}"#, 400, "invalid_index_primary_key"),
    ("POST", "/indexes", JSON, r#"{"uid":"a","other":5}"#, 400, "bad_request"),
    ("POST", "/indexes", JSON, "[]", 400, "bad_request"),
    ("POST", "/indexes", JSON, "{", 400, "malformed_payload"),
    ("POST", "/indexes", JSON, "", 400, "missing_payload"),
    ("POST", "/indexes", None, "{}", 415, "missing_content_type"),
    ("POST", "/indexes", Some("text/plain"), "{}", 415, "invalid_content_type"),
    ("PATCH", "/indexes/movies", JSON, r#"{"createdAt":"x"}"#, 400, "immutable_index_created_at"),
    ("PATCH", "/indexes/movies", JSON, r#"{"updatedAt":"x"}"#, 400, "immutable_index_updated_at"),
    ("PATCH", "/indexes/movies", JSON, r#"{"uid":"a b"}"#, 400, "invalid_index_uid"),
    ("POST", "/indexes/movies/documents", None, "[]", 415, "missing_content_type"),
    ("POST", "/indexes/movies/documents", Some("text/plain"), "x", 415, "invalid_content_type"),
    ("POST", "/indexes/movies/documents", JSON, "", 400, "missing_payload"),
    ("POST", "/indexes/movies/documents", JSON, "5", 400, "malformed_payload"),
    ("POST", "/indexes/movies/documents", JSON, r#"[{"id":1},"#, 400, "malformed_payload"),
    ("POST", "/indexes/movies/documents", Some("application/x-ndjson"), "{", 400, "malformed_payload"),
    ("POST", "/indexes/movies/documents", Some("text/csv"), "id,a\n1\n", 400, "malformed_payload"),
    ("POST", "/indexes/movies/documents", Some("text/csv"), "", 400, "missing_payload"),
    ("POST", "/indexes/movies/documents?csvDelimiter=ab", Some("text/csv"), "id\n1", 400, "invalid_document_csv_delimiter"),
    ("POST", "/indexes/movies/documents?csvDelimiter=%C3%A9", Some("text/csv"), "id\n1", 400, "invalid_document_csv_delimiter"),
    ("POST", "/indexes/movies/documents?csvDelimiter=;", JSON, "[]", 415, "invalid_content_type"),
    ("POST", "/indexes/movies/documents?skipCreation=x", JSON, "[]", 400, "invalid_skip_creation"),
    ("POST", "/indexes/movies/documents?skipCreation=1", JSON, "[]", 400, "invalid_skip_creation"),
    ("POST", "/indexes/movies/documents?other=1", JSON, "[]", 400, "bad_request"),
    ("POST", "/indexes/movies/documents?primaryKey=_miroir", JSON, "[]", 400, "miroir_reserved_field"),
    ("POST", "/indexes/movies/documents", JSON, r#"[{"id":1,"_miroir":2}]"#, 400, "miroir_reserved_field"),
    ("PUT", "/indexes/movies/documents", JSON, r#"[{"id":1,"\u005fmiroir":2}]"#, 400, "miroir_reserved_field"),
    ("POST", "/indexes/movies/documents/delete-batch", JSON, "{}", 400, "bad_request"),
    ("POST", "/indexes/movies/documents/delete-batch", JSON, "[1", 400, "malformed_payload"),
    ("POST", "/indexes/movies/documents/delete-batch", JSON, "", 400, "missing_payload"),
    ("POST", "/indexes/movies/documents/delete-batch", Some("text/plain"), "[1]", 415, "invalid_content_type"),
    ("POST", "/indexes/movies/documents/delete", JSON, "{}", 400, "missing_document_filter"),
    ("POST", "/indexes/movies/documents/delete", JSON, r#"{"filter":5}"#, 400, "invalid_document_filter"),
    ("POST", "/indexes/movies/documents/delete", JSON, r#"{"filter":""}"#, 400, "invalid_document_filter"),
    ("POST", "/indexes/movies/documents/delete", JSON, r#"{"filter":"a ="}"#, 400, "invalid_document_filter"),
    ("POST", "/indexes/movies/documents/delete", JSON, r#"{"filter":"a = 1","b":1}"#, 400, "bad_request"),
    ("POST", "/indexes/movies/documents/delete", JSON, r#"{"filter":"_miroir = x"}"#, 400, "miroir_reserved_field"),
    ("POST", "/indexes/movies/documents/edit", JSON, r#"{"function":"x"}"#, 400, "feature_not_enabled"),
    ("PATCH", "/indexes/movies/settings", JSON, r#"{"other":1}"#, 400, "bad_request"),
    ("PATCH", "/indexes/movies/settings", JSON, r#"{"stopWords":5}"#, 400, "invalid_settings_stop_words"),
    ("PATCH", "/indexes/movies/settings", JSON, r#"{"filterableAttributes":["_miroir"]}"#, 400, "miroir_reserved_field"),
    ("PATCH", "/indexes/movies/settings", JSON, r#"{"distinctAttribute":7}"#, 400, "invalid_settings_distinct_attribute"),
    ("PUT", "/indexes/movies/settings/ranking-rules", JSON, r#"["x"]"#, 400, "invalid_settings_ranking_rules"),
    ("PUT", "/indexes/movies/settings/stop-words", JSON, "", 400, "missing_payload"),
    ("PUT", "/indexes/movies/settings/stop-words", Some("text/plain"), "[]", 415, "invalid_content_type"),
    ("GET", "/tasks?limit=x", None, "", 400, "invalid_task_limit"),
    ("GET", "/tasks?from=x", None, "", 400, "invalid_task_from"),
    ("GET", "/tasks?reverse=x", None, "", 400, "invalid_task_reverse"),
    ("GET", "/tasks?uids=x", None, "", 400, "invalid_task_uids"),
    ("GET", "/tasks?batchUids=x", None, "", 400, "invalid_batch_uids"),
    ("GET", "/tasks?canceledBy=x", None, "", 400, "invalid_task_canceled_by"),
    ("GET", "/tasks?types=x", None, "", 400, "invalid_task_types"),
    ("GET", "/tasks?statuses=x", None, "", 400, "invalid_task_statuses"),
    ("GET", "/tasks?indexUids=a%20b", None, "", 400, "invalid_index_uid"),
    ("GET", "/tasks?afterStartedAt=x", None, "", 400, "invalid_task_after_started_at"),
    ("GET", "/tasks?other=x", None, "", 400, "bad_request"),
    ("GET", "/tasks/7", None, "", 404, "task_not_found"),
    ("GET", "/tasks/x", None, "", 400, "invalid_task_uids"),
    ("POST", "/tasks/cancel", None, "", 400, "missing_task_filters"),
    ("DELETE", "/tasks", None, "", 400, "missing_task_filters"),
    ("DELETE", "/tasks?limit=1", None, "", 400, "bad_request"),
    ("POST", "/swap-indexes", JSON, "[{}]", 400, "missing_swap_indexes"),
    ("POST", "/swap-indexes", None, "[]", 415, "missing_content_type"),
    ("POST", "/webhooks", JSON, r#"{"uuid":"x"}"#, 400, "immutable_webhook_uuid"),
    ("PATCH", "/webhooks/x", JSON, "{}", 400, "invalid_webhook_uuid"),
    ("GET", "/webhooks/x", None, "", 400, "invalid_webhook_uuid"),
    ("GET", "/batches/x", None, "", 400, "invalid_batch_uids"),
    ("GET", "/batches/7", None, "", 404, "batch_not_found"),
    ("GET", "/batches?limit=-1", None, "", 400, "invalid_task_limit"),
    ("POST", "/multi-search", JSON, "{}", 400, "bad_request"),
    ("POST", "/multi-search", None, "{}", 415, "missing_content_type"),
    ("POST", "/multi-search", JSON, r#"{"queries":[{"indexUid":"nope"}]}"#, 400, "index_not_found"),
    // Bodies are looked at before features.
    ("POST", "/dynamic-search-rules", JSON, "", 400, "missing_payload"),
    ("POST", "/dynamic-search-rules", JSON, r#"{"x":1}"#, 400, "bad_request"),
    ("POST", "/dynamic-search-rules", JSON, r#"{"limit":"a"}"#, 400, "invalid_dynamic_search_rule_limit"),
    ("POST", "/dynamic-search-rules", JSON, "{}", 400, "feature_not_enabled"),
    ("PATCH", "/dynamic-search-rules/a", JSON, "[]", 400, "bad_request"),
    ("PATCH", "/dynamic-search-rules/a", JSON, "{}", 400, "feature_not_enabled"),
    ("POST", "/network/control", JSON, "{", 400, "malformed_payload"),
    ("POST", "/network/control", JSON, "{}", 400, "bad_request"),
    ("POST", "/network/control", JSON, r#"{"origin":1,"message":2}"#, 400, "feature_not_enabled"),
    ("PATCH", "/indexes/movies/settings/chat", JSON, r#"{"searchParameters":{"x":1}}"#, 400, "invalid_settings_index_chat"),
];

#[test]
fn every_client_error_has_its_status_code_type_and_link() {
    let fixture = Fixture::new();
    for (method, target, content_type, body, status, code) in ERRORS.iter().copied() {
        let mut request = Request { body: body.into(), ..Request::new(method.parse().expect("a method"), target) };
        if let Some(content_type) = content_type {
            request = request.with_header(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let response = fixture.send(request);
        assert_eq!(response.status, status, "{method} {target} {body}");
        assert!(fixture.writes.lock().expect("no panics").is_empty(), "{method} {target} {body} was handed over");
        if code.is_empty() {
            assert!(response.body.is_empty(), "{method} {target}");
            continue;
        }
        let (_, error) = shown(&response);
        assert_eq!(error["code"], code, "{method} {target} {body}: {error}");
        let kind = Code::from_name(code).expect("a known code").error_type().name();
        assert_eq!(
            (&error["type"], &error["link"]),
            (&json!(kind), &json!(format!("https://docs.meilisearch.com/errors#{code}")))
        );
        assert_eq!(error.as_object().map(serde_json::Map::len), Some(4));
    }
}

#[test]
fn what_is_wrong_with_the_filter_of_an_edit_names_the_index() {
    let fixture = Fixture::new();
    let on = Features::from_json(&json!({"editDocumentsByFunction": true}));
    fixture.core.as_ref().expect("taken in drop only").bridge.features.store(Arc::new(on));
    for (filter, message) in [
        (r#""a = ""#, "Index `movies`: Was expecting a value but instead got nothing.\n5:5 a = "),
        ("5", "Index `movies`: Invalid syntax for the filter parameter: `expected String, Array, found: 5`."),
        (r#""""#, "Sending an empty filter is forbidden."),
    ] {
        let body = format!(r#"{{"function":"doc.b = 1","filter":{filter}}}"#);
        let (status, error) = fixture.ask(Method::POST, "/indexes/movies/documents/edit", &body);
        assert_eq!(
            (status, &error["code"], &error["message"]),
            (400, &json!("invalid_document_filter"), &json!(message))
        );
    }
}

#[test]
fn a_wrong_method_says_which_are_right() {
    let fixture = Fixture::new();
    let response = fixture.send(Request::new(Method::PATCH, "/indexes/movies/documents"));
    assert_eq!((response.status, response.header("allow")), (405, Some("GET, POST, PUT, DELETE")));
    assert_eq!(fixture.send(Request::new(Method::GET, "//health/")).status, 200);
}

#[test]
fn a_journal_that_is_gone_is_an_overload() {
    let (core, commands) = core_and_commands(FakeUpstream::refusing(), CoreSettings::default());
    drop(commands);
    let request = Request::new(Method::POST, "/indexes").with_json(r#"{"uid":"a"}"#);
    let response = block_on(route(&core, request));
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
}

#[test]
fn who_has_no_key_is_refused_by_the_head_alone() {
    let fixture = Fixture::new();
    let core = fixture.core.as_ref().expect("it runs");
    let head = |path: &str| Request::new(Method::POST, path);
    let status = |head: &Request| super::admit(core, head).err().map(|response| response.status);
    let path = "/indexes/movies/documents";
    assert_eq!(status(&head(path)), Some(401));
    assert_eq!(status(&head(path).with_header(AUTHORIZATION, HeaderValue::from_static("Bearer other"))), Some(403));
    assert_eq!(status(&head(path).with_header(AUTHORIZATION, HeaderValue::from_static("Bearer key"))), None);
    assert_eq!(status(&head("/nothing")), Some(404));
}

/// Time that is over when somebody says so.
struct Hourglass(Arc<AtomicBool>);

impl Timers for Hourglass {
    fn now(&self) -> Monotonic {
        Monotonic(0)
    }

    fn sleep_until(&self, _deadline: Monotonic) -> LocalFuture<'static, ()> {
        // `block_on` polls every millisecond, so no waker is needed.
        let is_over = self.0.clone();
        let poll =
            move |_: &mut Context<'_>| if is_over.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending };
        Box::pin(std::future::poll_fn(poll))
    }

    fn yield_now(&self) -> LocalFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[test]
fn a_write_whose_time_is_over_is_taken_back_before_the_client_is_told() {
    let (mut core, commands) = core_and_commands(FakeUpstream::refusing(), CoreSettings::default());
    let is_over = Arc::new(AtomicBool::new(true));
    core.timers = Rc::new(Hourglass(is_over.clone()));
    let ask = || block_on(route(&core, Request::new(Method::DELETE, "/indexes/movies/documents")));
    let (status, error) = shown(&ask());
    assert_eq!(status, 503);
    assert_eq!(error["message"], "Miroir is overloaded: the write was not committed in time. Try again later.");
    let Ok(Command::Write(waiting, _reply)) = commands.try_recv() else { panic!("it waits for the journal") };
    assert!(!waiting.claim.take(), "the journal must not commit it");
    // The journal has begun with it, and does not end.
    is_over.store(false, Ordering::Release);
    let journal = std::thread::spawn(move || match commands.recv() {
        Ok(Command::Write(waiting, reply)) => {
            let is_begun = waiting.claim.take();
            is_over.store(true, Ordering::Release);
            (is_begun, reply)
        }
        other => panic!("{other:?}"),
    });
    let (status, error) = shown(&ask());
    assert_eq!(status, 503);
    let message = error["message"].as_str().expect("a text");
    assert!(message.contains("but may still be"), "{message}");
    assert!(journal.join().expect("no panics").0);
}
