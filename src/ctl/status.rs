//! `miroir-ctl status`: is all well?

use std::fmt::Write;

use argh::FromArgs;
use serde_json::Value;

use super::table::{self, Column, cell};

/// the cluster at a glance
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "status")]
pub struct Status {}

impl Status {
    /// The answer for people.
    pub(super) fn render(answer: &Value) -> String {
        let mut text = String::new();
        for (name, value) in answer.as_object().into_iter().flatten() {
            let count = |(name, value): (&String, &Value)| format!("{} {}", cell(value), words(name));
            let shown = match value {
                Value::Object(trouble) if trouble.contains_key("error") => {
                    format!("{} (since {})", cell(&value["error"]), cell(&value["since"]))
                }
                Value::Array(versions) if name == "nodeVersions" => node_versions(versions),
                Value::Object(counts) => counts.iter().map(count).collect::<Vec<_>>().join(", "),
                Value::Array(items) if items.is_empty() => "none".to_owned(),
                Value::Array(items) => format!("{}, see below", items.len()),
                Value::Null => "none".to_owned(),
                Value::Bool(_) | Value::Number(_) | Value::String(_) => cell(value),
            };
            writeln!(text, "{:<20}{shown}", words(name)).expect("writing to a text cannot fail");
        }
        if answer["heldUp"].as_array().is_some_and(|held_up| !held_up.is_empty()) {
            text.extend(["\n", &table::render(&answer["heldUp"], HELD_UP), HELD_UP_REMEDY]);
        }
        if answer["quarantines"].as_array().is_some_and(|quarantines| !quarantines.is_empty()) {
            text.extend(["\n", &table::render(&answer["quarantines"], QUARANTINES), QUARANTINES_WHY]);
        }
        if answer["differences"].as_u64().is_some_and(|count| count > 0) {
            text.push_str(DIFFERENCES_WHY);
        }
        if answer["drift"].as_array().is_some_and(|drift| !drift.is_empty()) {
            text.extend(["\n", &table::render(&answer["drift"], DRIFT), DRIFT_WHY]);
        }
        text
    }
}

const DRIFT: &[Column] = &[
    ("NODE", |found| cell(&found["node"])),
    ("INDEX", |found| cell(&found["index"])),
    ("INDEX ON THE NODE", |found| cell(&found["nodeIndex"])),
    ("WHAT", |found| what_differs(found)),
    ("STATE", |found| cell(&found["state"])),
    ("SINCE", |found| cell(&found["since"])),
];

const DRIFT_WHY: &str = "\
Somebody else has written to these nodes: their settings, or the indexes that they have, are not those that Miroir gave them
(drift.action says what is done about settings; docs/OPERATIONS.md what you can do about the rest).
";

/// The settings that differ, or that the whole index is not as it should be.
fn what_differs(found: &Value) -> String {
    match found["kind"].as_str() {
        Some("missing") => "is missing".to_owned(),
        Some("unknown") => "is not ours".to_owned(),
        Some(_) | None => cell(&found["settings"]),
    }
}

const QUARANTINES: &[Column] = &[("NODE", |wait| cell(&wait["node"])), ("UNTIL", |wait| cell(&wait["until"]))];

const QUARANTINES_WHY: &str = "\
These nodes get no writes for now: a request from before a restart, or one whose answer was lost, may still arrive there
(feeder.quarantine).
";

const DIFFERENCES_WHY: &str = "\
\nReplicas do not have the same documents: `miroir-ctl verify --last` says which.
";

const HELD_UP: &[Column] = &[
    ("INDEX", |held| cell(&held["index"])),
    ("TASK", |held| cell(&held["task"])),
    ("NODE", |held| cell(&held["node"])),
    ("SINCE", |held| cell(&held["since"])),
    ("FAILURES", |held| cell(&held["failures"])),
    ("ERROR", |held| cell(&held["error"])),
];

const HELD_UP_REMEDY: &str = "\
These writes are tried again until they succeed, and later ones of their index wait there. Look at the node's log, disk and
memory, and restart it if it does not recover; docs/ADMIN-API.md says more.
";

/// `1.50.0`, or `mixed: 1.50.0 (node-0, node-1), 1.51.0 (node-2; untested)`.
fn node_versions(versions: &[Value]) -> String {
    let state = |of: &Value| match of["fitness"].as_str() {
        Some("untested") => "untested",
        Some("tooOld") => "too old, not used",
        Some(_) | None => "",
    };
    match versions {
        [] => "unknown".to_owned(),
        [only] if state(only).is_empty() => cell(&only["version"]),
        [only] => format!("{} ({})", cell(&only["version"]), state(only)),
        several => {
            let words = several.iter().map(|of| {
                let (nodes, state) = (cell(&of["nodes"]).replace(',', ", "), state(of));
                let state = if state.is_empty() { String::new() } else { format!("; {state}") };
                format!("{} ({nodes}{state})", cell(&of["version"]))
            });
            format!("mixed: {}", words.collect::<Vec<_>>().join(", "))
        }
    }
}

/// `replicationFactor` as `replication factor`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}
