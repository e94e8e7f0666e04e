//! `miroir-ctl nodes`: one line per node.

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
    ("WEIGHT", |node| cell(&node["weight"])),
    ("REACHABLE", |node| cell(&node["reachable"])),
    ("SHARDS", |node| cell(&node["shards"])),
    ("OUT OF SYNC", |node| cell(&node["outOfSync"])),
];

impl Nodes {
    /// The answer for people.
    pub(super) fn render(answer: &Value) -> String {
        table::render(answer, COLUMNS)
    }
}
