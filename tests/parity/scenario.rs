//! The API beside searches, step by step: what a real Meilisearch answered is recorded in `golden/api.json`; Miroir must
//! answer the same, tasks included.
//!
//! `MIROIR_TEST_RECORD=1 MIROIR_TEST_MEILISEARCH=/path/to/meilisearch` records again. Only what measures time or space, or
//! numbers batches, is masked. Steps on which Miroir differs on purpose are listed with the reason.

use serde_json::{Map, Value, json};

use super::steps::{Body, Step, steps};
use crate::support::fleet::START_LIMIT;
use crate::support::fleet::{NODE_KEY, Node};
use crate::support::{Answer, Client, Fleet, FleetOptions, real_meilisearch, records};

/// Steps that Miroir answers in its own way, and why.
const DIFFERENT: &[(&str, &str)] = &[("GET /version", "Miroir tells its own version beside the one of the API")];

/// Fields that measure, or number batches. Their presence is compared.
const MASKED: &[&str] = &[
    "enqueuedAt",
    "startedAt",
    "finishedAt",
    "createdAt",
    "updatedAt",
    "lastUpdate",
    "duration",
    "batchUid",
    "processingTimeMs",
    "databaseSize",
    "usedDatabaseSize",
    "rawDocumentDbSize",
    "avgDocumentSize",
    "requestUid",
];

fn golden_path() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/golden/api.json")
}

fn masked(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(fields) => {
            let mask = |(name, value): (&String, &Value)| {
                let is_masked = MASKED.contains(&name.as_str()) && !value.is_null();
                (name.clone(), if is_masked { json!("(masked)") } else { masked(value) })
            };
            // Two servers number the fields of documents as they meet them: order is not part of the answer.
            let mut sorted: Vec<(String, Value)> = fields.iter().map(mask).collect();
            sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
            sorted.into_iter().collect::<Map<_, _>>().into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn send(client: &Client, step: &Step) -> Answer {
    let client = client.with_key(match step.key {
        None => Some(NODE_KEY),
        Some(key) => key,
    });
    let (content_type, body) = match &step.body {
        Body::None => (None, String::new()),
        Body::Json(value) => (Some("application/json"), value.to_string()),
        Body::Raw(content_type, text) => (*content_type, (*text).to_owned()),
    };
    let sent = client.send(step.method, step.target, content_type, body.as_bytes());
    sent.unwrap_or_else(|error| panic!("{}: {error}", step.name()))
}

/// The answer as it is compared: status, kind of content, body, and the task at its end.
fn outcome(client: &Client, step: &Step) -> Value {
    let answer = send(client, step);
    let body = if answer.json.is_null() { Value::from(answer.text.clone()) } else { masked(&answer.json) };
    let mut outcome = json!({"step": step.name(), "status": answer.status, "body": body});
    if let Some(uid) = answer.json["taskUid"].as_u64() {
        outcome["task"] = masked(&client.wait_for_task(uid));
    }
    outcome
}

fn record() {
    let meilisearch = real_meilisearch().expect("recording needs MIROIR_TEST_MEILISEARCH");
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let mut node = Node::new("alone", folder.path(), Some(meilisearch));
    node.start();
    node.client().wait_until_healthy(START_LIMIT);
    let outcomes: Vec<Value> = steps().iter().map(|step| outcome(&node.client(), step)).collect();
    let lines: Vec<String> = outcomes.iter().map(Value::to_string).collect();
    std::fs::write(golden_path(), format!("[\n{}\n]\n", lines.join(",\n"))).expect("the source tree is writable");
}

#[test]
fn the_api_answers_as_one_server_does() {
    if records() {
        record();
    }
    let golden = std::fs::read_to_string(golden_path()).expect("the recorded answers are part of the repository");
    let golden: Vec<Value> = serde_json::from_str(&golden).expect("the recorded answers are JSON");
    let steps = steps();
    assert_eq!(golden.len(), steps.len(), "record again: the steps have changed");
    let options = FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() };
    // Clients use the key that was used when recording.
    let fleet = Fleet::start_with_key(&options, NODE_KEY);
    let client = Client::new(&fleet.port.url(), Some(NODE_KEY));
    let mut findings = Vec::new();
    for (step, expected) in steps.iter().zip(&golden) {
        assert_eq!(expected["step"], step.name(), "record again: the steps have changed");
        let found = outcome(&client, step);
        if *expected != found && !DIFFERENT.iter().any(|(name, _)| *name == step.name()) {
            findings.push(format!("{}\n    one server: {expected}\n    miroir:     {found}", step.name()));
        }
    }
    assert!(findings.is_empty(), "{} of {} steps differ:\n{}", findings.len(), steps.len(), findings.join("\n"));
}
