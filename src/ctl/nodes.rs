//! `miroir-ctl nodes`: one line per node: what it holds, and how many entries it has yet to apply.

use argh::FromArgs;
use serde_json::Value;

use super::table::{self, Column, cell};

/// the nodes of the fleet
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "nodes")]
pub struct Nodes {}

const COLUMNS: &[Column] = &[
    ("NODE", |node| cell(&node["id"])),
    ("URL", |node| cell(&node["url"])),
    ("ZONE", |node| cell(&node["zone"])),
    ("REACHABLE", |node| cell(&node["reachable"])),
    ("SHARDS", |node| cell(&node["shards"].as_array().map_or(0, Vec::len).into())),
    ("DOCUMENTS", documents),
    ("LAG", |node| cell(&node["lag"])),
    ("VERSION", |node| cell(&node["version"])),
    ("OUT OF SYNC", |node| cell(&node["outOfSync"])),
    ("ERROR", |node| cell(&node["error"])),
];

/// A node is looked at every second or so; seconds that an older number has.
const OLD: u64 = 5;

/// `12402`, or `12402 (40 s ago)` when that was seen long ago.
fn documents(node: &Value) -> String {
    let count = cell(&node["documents"]);
    match node["documentsAge"].as_u64() {
        Some(age) if age >= OLD => format!("{count} ({age} s ago)"),
        Some(_) | None => count,
    }
}

impl Nodes {
    /// The answer for people.
    pub(super) fn render(answer: &Value) -> String {
        table::render(&answer["nodes"], COLUMNS)
    }
}
