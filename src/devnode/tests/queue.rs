//! The queue manners of Meilisearch that Miroir builds on, one by one.

use super::*;
use crate::devnode::queue::Queue;

const GEO_FILTERABLE: &str = "_geo";

/// A slow node whose index `a` exists (primary key `id`, `_geo` filterable), kept busy by another index, so that what
/// is sent next to `a` becomes one batch.
fn busy() -> Fixture {
    let mut node = Fixture::new();
    node.done("POST", "/indexes", &json!({ "uid": "a", "primaryKey": "id" }));
    node.done("PATCH", "/indexes/a/settings", &json!({ "filterableAttributes": [GEO_FILTERABLE] }));
    node.server.take();
    node.start(slow());
    node.enqueue("POST", "/indexes", &json!({ "uid": "plug" }));
    node
}

fn batch_uid(task: &Value) -> u64 {
    task["batchUid"].as_u64().unwrap()
}

#[test]
fn numbers_begin_at_zero_have_no_gaps_and_go_on_after_a_restart() {
    let mut node = Fixture::new();
    for expected in 0..3 {
        assert_eq!(node.enqueue("POST", "/indexes", &json!({ "uid": "a" })), expected);
    }
    node.wait(2);
    node.restart();
    assert_eq!(node.enqueue("POST", "/indexes", &json!({ "uid": "a" })), 3);
    assert_eq!(code(&node.wait(3)), "index_already_exists");
}

#[test]
fn neighbouring_document_tasks_are_one_batch_and_the_batch_counts_them() {
    let node = busy();
    node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": 1 }, { "id": 2 }]));
    node.enqueue("PUT", "/indexes/a/documents", &json!([{ "id": 1, "x": 1 }]));
    let uid = node.enqueue("POST", "/indexes/a/documents/delete-batch", &json!([2]));
    let last = node.wait(uid);
    let (_, batch) = node.get(&format!("/batches/{}", batch_uid(&last)));
    assert_eq!(batch["stats"]["totalNbTasks"], 3, "{batch}");
    assert_eq!(batch["stats"]["status"], json!({ "succeeded": 3 }));
    assert_eq!(node.documents("a"), [json!({ "id": 1, "x": 1 })]);
}

#[test]
fn the_index_of_the_lowest_waiting_task_goes_first_with_all_its_tasks() {
    let node = busy();
    let first_of_a = node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": 1 }]));
    let only_of_b = node.enqueue("POST", "/indexes/b/documents", &json!([{ "id": 1 }]));
    let second_of_a = node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": 2 }]));
    let [a, b, c] = [first_of_a, only_of_b, second_of_a].map(|uid| batch_uid(&node.wait(uid)));
    assert_eq!(a, c);
    assert!(b > a);
}

#[test]
fn a_bad_id_fails_its_own_task_only() {
    let node = busy();
    let bad = node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": 7 }, { "id": "a b" }]));
    let missing = node.enqueue("POST", "/indexes/a/documents", &json!([{ "x": 1 }]));
    let good = node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": 1 }]));
    let [bad, missing, good] = [bad, missing, good].map(|uid| node.wait(uid));
    assert_eq!(batch_uid(&bad), batch_uid(&good));
    assert_eq!((code(&bad), code(&missing)), ("invalid_document_id", "missing_document_id"));
    assert_eq!(bad["details"], json!({ "receivedDocuments": 2, "indexedDocuments": 0 }));
    assert_eq!(good["status"], "succeeded");
    assert_eq!(node.documents("a"), [json!({ "id": 1 })]);
}

#[test]
fn a_bad_geo_fails_every_task_of_its_batch_and_applies_nothing() {
    let node = busy();
    let good = node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": 1 }]));
    let bad = node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": 2, "_geo": "here" }]));
    let delete = node.enqueue("POST", "/indexes/a/documents/delete-batch", &json!([3]));
    for uid in [good, bad, delete] {
        assert_eq!(code(&node.wait(uid)), "invalid_document_geo_field");
    }
    assert_eq!(node.documents("a"), [json!(null); 0]);
}

#[test]
fn a_later_write_to_the_same_id_hides_a_bad_document() {
    let later: [(&str, &str, Value); 3] = [
        ("POST", "/indexes/a/documents", json!([{ "id": 1 }])),
        ("PUT", "/indexes/a/documents", json!([{ "id": 1, "_geo": null }])),
        ("POST", "/indexes/a/documents/delete-batch", json!([1])),
    ];
    for (method, path, body) in later {
        let node = busy();
        let bad = node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": 1, "_geo": "here" }, { "id": 2 }]));
        let hiding = node.enqueue(method, path, &body);
        assert_eq!(node.wait(bad)["status"], "succeeded", "{method} {path}");
        assert_eq!(node.wait(hiding)["status"], "succeeded");
        assert!(node.documents("a").contains(&json!({ "id": 2 })));
    }
}

#[test]
fn a_delete_by_a_filter_that_cannot_be_evaluated_fails_the_puts_behind_it() {
    let node = busy();
    let delete = node.enqueue("POST", "/indexes/a/documents/delete", &json!({ "filter": "color = red" }));
    let good = node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": 1 }]));
    let [delete, good] = [delete, good].map(|uid| node.wait(uid));
    assert_eq!((code(&delete), code(&good)), ("invalid_document_filter", "invalid_document_filter"));
    assert_eq!(batch_uid(&delete), batch_uid(&good));
    assert_eq!(node.documents("a"), [json!(null); 0]);
}

#[test]
fn a_delete_by_filter_among_deletes_only_fails_alone() {
    let node = busy();
    let by_filter = node.enqueue("POST", "/indexes/a/documents/delete", &json!({ "filter": "color = red" }));
    let by_id = node.enqueue("POST", "/indexes/a/documents/delete-batch", &json!([1]));
    assert_eq!(code(&node.wait(by_filter)), "invalid_document_filter");
    assert_eq!(node.wait(by_id)["status"], "succeeded");
}

#[test]
fn a_clear_hides_the_errors_of_the_puts_before_it() {
    let node = busy();
    let bad = node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": "a b" }]));
    let good = node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": 1 }]));
    let clear = node.enqueue("DELETE", "/indexes/a/documents", &null());
    let behind = node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": 2 }]));
    let [bad, good, clear, behind] = [bad, good, clear, behind].map(|uid| node.wait(uid));
    assert_eq!(bad["status"], "succeeded");
    assert_eq!(good["details"], json!({ "receivedDocuments": 1, "indexedDocuments": null }));
    assert_eq!(clear["details"], json!({ "deletedDocuments": 0 }));
    assert_eq!(batch_uid(&bad), batch_uid(&clear));
    assert!(batch_uid(&behind) > batch_uid(&clear));
    assert_eq!(node.documents("a"), [json!({ "id": 2 })]);
}

#[test]
fn settings_tasks_are_one_batch_apart_from_documents() {
    let node = busy();
    let put = node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": 1 }]));
    let first = node.enqueue("PUT", "/indexes/a/settings/stop-words", &json!(["the"]));
    let second = node.enqueue("PUT", "/indexes/a/settings/sortable-attributes", &json!(["x"]));
    let [put, first, second] = [put, first, second].map(|uid| node.wait(uid));
    assert_eq!(batch_uid(&first), batch_uid(&second));
    assert!(batch_uid(&first) > batch_uid(&put));
    let (_, settings) = node.get("/indexes/a/settings");
    assert_eq!((&settings["stopWords"], &settings["sortableAttributes"]), (&json!(["the"]), &json!(["x"])));
}

#[test]
fn settings_that_stored_documents_contradict_fail_and_change_nothing() {
    let node = Fixture::new();
    node.done("POST", "/indexes/a/documents", &json!([{ "id": 1, "_geo": "here" }, { "id": 2, "_geo": null }]));
    // Any change, even one that has nothing to do with it.
    for patch in [json!({ "filterableAttributes": ["_geo"] }), json!({ "stopWords": ["x"] }), json!({})] {
        let task = node.done("PATCH", "/indexes/a/settings", &patch);
        assert_eq!(code(&task), "invalid_document_geo_field", "{patch}");
    }
    assert_eq!(code(&node.done("DELETE", "/indexes/a/settings", &null())), "invalid_document_geo_field");
    assert_eq!(node.get("/indexes/a/settings/filterable-attributes").1, json!([]));
    node.done("POST", "/indexes/a/documents", &json!([{ "id": 1, "_geo": { "lat": "1.5", "lng": 2 } }]));
    let task = node.done("PATCH", "/indexes/a/settings", &json!({ "filterableAttributes": ["_geo"] }));
    assert_eq!(task["status"], "succeeded");
}

#[test]
fn a_put_creates_a_missing_index_and_a_delete_does_not() {
    let node = Fixture::new();
    for (method, path, body) in [
        ("DELETE", "/indexes/none/documents/1", null()),
        ("DELETE", "/indexes/none/documents", null()),
        ("POST", "/indexes/none/documents/delete-batch", json!([1])),
        ("DELETE", "/indexes/none/settings", null()),
    ] {
        assert_eq!(code(&node.done(method, path, &body)), "index_not_found", "{method} {path}");
    }
    let task = node.done("POST", "/indexes/a/documents", &json!({ "x": 1 }));
    assert_eq!(code(&task), "index_primary_key_no_candidate_found");
    assert_eq!(node.get("/indexes/a").1["primaryKey"], Value::Null);
    let task = node.done("POST", "/indexes/a/documents", &json!({ "xId": 1, "uid": 2 }));
    assert_eq!(code(&task), "index_primary_key_multiple_candidates_found");
    node.done("POST", "/indexes/a/documents", &json!({ "xId": 1 }));
    assert_eq!(node.get("/indexes/a").1["primaryKey"], "xId");
    let task = node.done("POST", "/indexes/a/documents?primaryKey=y", &json!({ "y": 1 }));
    assert_eq!(code(&task), "index_primary_key_already_exists");
}

#[test]
fn a_deletion_of_the_index_swallows_what_waits_before_it() {
    let node = busy();
    let put = node.enqueue("POST", "/indexes/fresh/documents", &json!([{ "id": "a b" }]));
    let drop = node.enqueue("DELETE", "/indexes/fresh", &null());
    let [put, drop] = [put, drop].map(|uid| node.wait(uid));
    assert_eq!((&put["status"], &drop["status"]), (&json!("succeeded"), &json!("succeeded")));
    assert_eq!(node.get("/indexes/fresh").0, 404);
}

#[test]
fn waiting_tasks_survive_a_restart() {
    let mut node = busy();
    let uid = node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": 1 }]));
    assert_eq!(node.get(&format!("/tasks/{uid}")).1["status"], "enqueued");
    node.restart();
    assert_eq!(node.wait(uid)["status"], "succeeded");
    assert_eq!(node.documents("a"), [json!({ "id": 1 })]);
}

/// Sends one request that is committed to its index and then, after a kill, processed again.
fn killed_after_commit(prepare: impl Fn(&Fixture), method: &str, path: &str, body: &Value) -> (Fixture, Value) {
    let mut node = Fixture::new();
    prepare(&node);
    node.server.take();
    node.start(Faults { die_after_commits: Some(1), ..Faults::default() });
    let uid = node.get("/tasks").1["total"].as_u64().unwrap();
    // The answer may be lost with the node.
    let _lost = node.try_request(method, path, "application/json", body.to_string().as_bytes());
    assert!(node.server().wait_dead(Duration::from_secs(20)));
    node.restart();
    let task = node.wait(uid);
    (node, task)
}

#[test]
fn a_batch_killed_after_its_index_commit_runs_again() {
    let create = json!({ "uid": "a" });
    let (node, task) = killed_after_commit(|_| (), "POST", "/indexes", &create);
    assert_eq!(code(&task), "index_already_exists");
    assert_eq!(node.get("/indexes/a").0, 200);

    let existing = |node: &Fixture| {
        node.done("POST", "/indexes", &create);
    };
    let (_, task) = killed_after_commit(existing, "DELETE", "/indexes/a", &null());
    assert_eq!(code(&task), "index_not_found");

    let (node, task) = killed_after_commit(existing, "POST", "/indexes/a/documents", &json!([{ "id": 1 }]));
    assert_eq!(task["status"], "succeeded");
    assert_eq!(node.documents("a"), [json!({ "id": 1 })]);
}

#[test]
fn finished_tasks_can_be_deleted_and_waiting_ones_not() {
    let node = busy();
    let waiting = node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": 1 }]));
    let deletion = node.enqueue("DELETE", "/tasks?uids=0,1,2,3,99", &null());
    let deletion = node.wait(deletion);
    // 2 is the plug, which had ended before the deletion went, 3 waits.
    assert_eq!(deletion["details"]["matchedTasks"], 4);
    assert_eq!(deletion["details"]["deletedTasks"], 3, "{deletion}");
    assert_eq!(deletion["details"]["originalFilter"], "?uids=0,1,2,3,99");
    assert_eq!(node.get("/tasks/0").0, 404);
    assert_eq!(node.get("/batches/0").0, 404);
    assert_eq!(node.wait(waiting)["status"], "succeeded");
}

#[test]
fn waiting_and_processing_tasks_can_be_canceled() {
    let node = busy();
    let put = node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": 1 }]));
    let cancel = node.enqueue("POST", "/tasks/cancel?statuses=enqueued,processing", &null());
    let [put, cancel] = [put, cancel].map(|uid| node.wait(uid));
    assert_eq!((&put["status"], &put["canceledBy"]), (&json!("canceled"), &cancel["uid"]));
    assert_eq!(put["details"], json!({ "receivedDocuments": 1, "indexedDocuments": 0 }));
    assert_eq!(batch_uid(&put), batch_uid(&cancel));
    assert!(put["startedAt"].is_string());
    assert_eq!(cancel["details"]["canceledTasks"], 2);
    assert_eq!(node.get("/indexes/plug").0, 404);
    assert_eq!(node.documents("a"), [json!(null); 0]);
}

#[test]
fn a_registered_task_is_on_disk_before_it_is_answered() {
    let node = busy();
    let uid = node.enqueue("POST", "/indexes/a/documents?customMetadata=miroir:1.1", &json!([{ "id": 1 }]));
    let copy = tempfile::tempdir().unwrap();
    for file in ["tasks.sqlite", "tasks.sqlite-wal"] {
        std::fs::copy(node.folder.path().join(file), copy.path().join(file)).unwrap();
    }
    let stored = Queue::open(copy.path()).unwrap().task(uid).unwrap();
    assert_eq!(stored.custom_metadata.as_deref(), Some("miroir:1.1"));
}

#[test]
fn batches_can_be_kept_small() {
    let mut node = busy();
    node.server.take();
    node.start(Faults { batch_tasks_max: Some(2), ..slow() });
    let uids: Vec<u64> =
        (0..3).map(|id| node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": id }]))).collect();
    let batches: Vec<u64> = uids.iter().map(|&uid| batch_uid(&node.wait(uid))).collect();
    assert_eq!(batches[0], batches[1]);
    assert!(batches[2] > batches[1]);
}

#[test]
fn a_compaction_overtakes_what_waits_and_stands_alone() {
    let node = busy();
    let put = node.enqueue("POST", "/indexes/a/documents", &json!([{ "id": 1 }]));
    let compaction = node.enqueue("POST", "/indexes/a/compact", &Value::Null);
    let missing = node.enqueue("POST", "/indexes/none/compact", &Value::Null);
    let [put, compaction, missing] = [put, compaction, missing].map(|uid| node.wait(uid));
    assert!(batch_uid(&compaction) < batch_uid(&missing) && batch_uid(&missing) < batch_uid(&put));
    assert_eq!((&compaction["type"], &compaction["status"]), (&json!("indexCompaction"), &json!("succeeded")));
    assert_eq!(code(&missing), "index_not_found");
    assert_eq!(node.documents("a"), [json!({ "id": 1 })]);
}
