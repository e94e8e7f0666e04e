//! `miroir-ctl shards`: on which nodes each shard is, and how many each node holds.

use std::collections::BTreeMap;
use std::fmt::Write;

use argh::FromArgs;
use serde_json::Value;

use super::table::{self, Column, cell};

/// where each shard is
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "shards")]
pub struct Shards {}

const COLUMNS: &[Column] = &[("SHARD", |shard| cell(&shard["shard"])), ("NODES", |shard| cell(&shard["nodes"]))];

impl Shards {
    /// The answer for people.
    pub(super) fn render(answer: &Value) -> String {
        let mut text = table::render(&answer["results"], COLUMNS);
        let mut loads: BTreeMap<&str, usize> = BTreeMap::new();
        for shard in answer["results"].as_array().into_iter().flatten() {
            for node in shard["nodes"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                *loads.entry(node).or_default() += 1;
            }
        }
        let loads: Vec<String> = loads.iter().map(|(node, load)| format!("{node} {load}")).collect();
        writeln!(text, "\nshards per node: {}", loads.join(", ")).expect("writing to a text cannot fail");
        text
    }
}
