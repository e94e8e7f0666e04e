//! The API beside searches, step by step: what a real Meilisearch answered is recorded in `golden/api.json`; Miroir must
//! answer the same, tasks included.
//!
//! `MIROIR_TEST_RECORD=1 MIROIR_TEST_MEILISEARCH=/path/to/meilisearch` records again. Only what measures time or space, or
//! numbers batches, is masked. Steps on which Miroir differs on purpose are listed with the reason.

use serde_json::{Map, Value, json};

use super::compare::IGNORED;
use super::foreign_key_steps::foreign_key_steps;
use super::steps::{Body, Key, Step, steps};
use super::task_steps::task_steps;
use crate::support::fleet::START_LIMIT;
use crate::support::fleet::{NODE_KEY, Node};
use crate::support::{Answer, Client, Fleet, FleetOptions, real_meilisearch, records};

/// In what an answer may differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Differs {
    /// In everything.
    Whole,
    /// In the words of the message; status, code, type and link are the same.
    Words,
    /// In the order of the documents.
    Order,
    /// In how many there are of what is shown page by page.
    Total,
}

/// Steps that Miroir answers in its own way, and why.
const DIFFERENT: &[(&str, Differs, &str)] = &[
    ("GET /version", Differs::Whole, "Miroir tells its own version beside the one of the API"),
    ("POST /indexes/films/documents [1,2]", Differs::Words, "where the parser stopped is the parser's own affair"),
    (
        "POST /indexes/films/documents application/x-ndjson \"{\\\"id\\\": 1}\\nnonsense\\n\"",
        Differs::Words,
        "where the parser stopped is the parser's own affair",
    ),
    (
        "POST /indexes/films/documents/delete-batch {\"ids\":[1]}",
        Differs::Words,
        "where the parser stopped is the parser's own affair",
    ),
    (
        "POST /indexes/films/search {\"filter\":\"title = x\"}",
        Differs::Words,
        "the message points into the filter as it was rewritten there, and as it was written here",
    ),
    (
        "GET /indexes/films/documents?fields=id&ids=1,2,a-b_c",
        Differs::Order,
        "documents come in the order of each node, node by node",
    ),
    (
        "POST /indexes/books/search {\"filter\":\"_foreign(author, birth IS NULL) AND title = 3\",\"sort\":[\"id:asc\"]}",
        Differs::Words,
        "the message points into the filter as it was rewritten there, and as embedded nodes are asked here",
    ),
    (
        "POST /indexes/books/documents/fetch {\"filter\":\"_foreign(author, birth IS NULL) AND title = 3\"}",
        Differs::Words,
        "the message points into the filter as it was written there, and as nodes are asked here",
    ),
    (
        "POST /indexes/books/documents/fetch {\"filter\":\"_foreign(author, birth=1902) AND NOT _foreign(related, birth=1906)\",\"fields\":[\"id\"]}",
        Differs::Whole,
        "one server takes what the one condition finds for what the other does",
    ),
    ("POST /indexes/films/search {\"attributesToSearchOn\":[\"colour\"]}", Differs::Order, "all of them are ties"),
    ("GET /tasks?indexUids=a", Differs::Total, "one server counts the swap among them, and does not show it"),
];

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
    "batchStrategy",
    "uuid",
    "preCompactionSize",
    "postCompactionSize",
];

/// What one server shows of its inner work, and nobody can compare.
const INNER: &[&str] = &["progressTrace", "writeChannelCongestion", "internalDatabaseSizes"];

/// Steps, and where what one server answered is recorded.
struct Scenario {
    golden: &'static str,
    steps: Vec<Step>,
}

impl Scenario {
    fn path(&self) -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/golden").join(self.golden)
    }
}

/// Without what measures time or space, or numbers batches; fields sorted by name.
pub fn masked(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(fields) => {
            let mask = |(name, value): (&String, &Value)| {
                let is_masked = MASKED.contains(&name.as_str()) && !value.is_null();
                (name.clone(), if is_masked { json!("(masked)") } else { masked(value) })
            };
            // Two servers number the fields of documents as they meet them: order is not part of the answer.
            let mut sorted: Vec<(String, Value)> =
                fields.iter().filter(|(name, _)| !is_ignored(name)).map(mask).collect();
            sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
            sorted.into_iter().collect::<Map<_, _>>().into()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn is_ignored(name: &str) -> bool {
    IGNORED.contains(&name) || INNER.contains(&name)
}

fn send(client: &Client, step: &Step) -> Answer {
    let client = client.with_key(match step.key {
        Key::Right => Some(NODE_KEY),
        Key::Wrong => Some("wrong"),
        Key::None => None,
    });
    let (content_type, body) = match &step.body {
        Body::None => (None, String::new()),
        Body::Json(value) => (Some("application/json"), value.to_string()),
        Body::Raw(content_type, text) => (*content_type, (*text).to_owned()),
    };
    let sent = client.send(step.method, step.target, content_type, body.as_bytes());
    sent.unwrap_or_else(|error| panic!("{}: {error}", step.name()))
}

/// What is left to compare of a step whose answer may differ.
fn leniently(outcome: &Value, differs: Differs) -> Value {
    let mut outcome = outcome.clone();
    match differs {
        Differs::Whole => outcome = Value::Null,
        Differs::Words => outcome["body"]["message"] = Value::Null,
        Differs::Total => outcome["body"]["total"] = Value::Null,
        Differs::Order => {
            for list in ["hits", "results"] {
                if let Some(documents) = outcome["body"][list].as_array_mut() {
                    documents.sort_by_key(ToString::to_string);
                }
            }
        }
    }
    outcome
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

fn record(scenario: &Scenario) {
    let meilisearch = real_meilisearch().expect("recording needs MIROIR_TEST_MEILISEARCH");
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let mut node = Node::new("alone", folder.path(), Some(meilisearch));
    node.start();
    node.client().wait_until_healthy(START_LIMIT);
    let outcomes: Vec<Value> = scenario.steps.iter().map(|step| outcome(&node.client(), step)).collect();
    let lines: Vec<String> = outcomes.iter().map(Value::to_string).collect();
    std::fs::write(scenario.path(), format!("[\n{}\n]\n", lines.join(",\n"))).expect("the source tree is writable");
}

#[test]
fn the_api_answers_as_one_server_does() {
    check(&Scenario { golden: "api.json", steps: steps() });
}

#[test]
fn tasks_batches_and_names_are_as_on_one_server() {
    check(&Scenario { golden: "tasks.json", steps: task_steps() });
}

#[test]
fn foreign_keys_are_as_on_one_server() {
    check(&Scenario { golden: "foreign-keys.json", steps: foreign_key_steps() });
}

fn check(scenario: &Scenario) {
    if records() {
        record(scenario);
    }
    let golden = std::fs::read_to_string(scenario.path()).expect("the recorded answers are part of the repository");
    let golden: Vec<Value> = serde_json::from_str(&golden).expect("the recorded answers are JSON");
    let steps = &scenario.steps;
    assert_eq!(golden.len(), steps.len(), "record again: the steps have changed");
    let options = FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() };
    // Clients use the key that was used when recording.
    let fleet = Fleet::start_with_key(&options, NODE_KEY);
    let client = Client::new(&fleet.port.url(), Some(NODE_KEY));
    let mut findings = Vec::new();
    for (step, expected) in steps.iter().zip(&golden) {
        assert_eq!(expected["step"], step.name(), "record again: the steps have changed");
        let found = outcome(&client, step);
        let is_equal = match DIFFERENT.iter().find(|(name, ..)| *name == step.name()) {
            Some((_, differs, _)) => leniently(&masked(expected), *differs) == leniently(&found, *differs),
            None => masked(expected) == found,
        };
        if !is_equal {
            findings.push(format!("{}\n    one server: {expected}\n    miroir:     {found}", step.name()));
        }
    }
    assert!(findings.is_empty(), "{} of {} steps differ:\n{}", findings.len(), steps.len(), findings.join("\n"));
}
