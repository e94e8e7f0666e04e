//! `miroir-ctl explain`: where a shard or a document is, and how well.

use std::fmt::Write;

use argh::FromArgs;
use serde_json::{Value, json};

use super::client::Call;
use super::rebalance::JOBS;
use super::segment;
use super::table::{self, Column, cell};
use crate::program::Failure;

/// where a shard or a document is, and how well
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "explain")]
pub struct Explain {
    /// what to explain
    #[argh(subcommand)]
    pub what: ExplainCommand,
}

/// The subcommands of `miroir-ctl explain`.
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand)]
pub enum ExplainCommand {
    /// See there.
    Shard(ExplainShard),
    /// See there.
    Document(ExplainDocument),
}

/// the owners of a shard, how far each index is on them, and what moves
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "shard")]
pub struct ExplainShard {
    /// its number, from 0 on
    #[argh(positional, from_str_fn(number))]
    pub shard: u16,
}

/// `7`.
fn number(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "write the number of a shard; the first one is 0".to_owned())
}

/// the shard of a document, and whether its owners have it: exit code 0 when one of them has, 3 when none has, 6 when those
/// that answer have not
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "document")]
pub struct ExplainDocument {
    /// the index
    #[argh(positional)]
    pub index: String,
    /// the document's id
    #[argh(positional)]
    pub id: String,
}

const REPLICAS: &[Column] = &[
    ("NODE", |replica| cell(&replica["node"])),
    ("REACHABLE", |replica| cell(&replica["reachable"])),
    ("INDEX", |replica| cell(&replica["index"])),
    ("IN SYNC", |replica| cell(&replica["inSync"])),
    ("REBUILD", |replica| cell(&replica["needsRebuild"])),
    ("APPLIED TASK", |replica| cell(&replica["appliedTask"])),
    ("LAG", |replica| cell(&replica["lag"])),
];

const DOCUMENTS: &[Column] = &[
    ("NODE", |replica| cell(&replica["node"])),
    ("FOUND", |replica| cell(&replica["found"])),
    ("CONTENT HASH", |replica| cell(&replica["contentHash"])),
    ("IN SYNC", |replica| cell(&replica["inSync"])),
    ("APPLIED TASK", |replica| cell(&replica["appliedTask"])),
    ("LAG", |replica| cell(&replica["lag"])),
    ("ERROR", |replica| cell(&replica["error"])),
];

impl ExplainCommand {
    pub(super) fn call(&self) -> Call {
        match self {
            Self::Shard(ExplainShard { shard }) => Call::get(format!("/shards/{shard}/explain")),
            Self::Document(ExplainDocument { index, id }) => {
                Call::get(format!("/indexes/{}/documents/{}/explain", segment(index), segment(id)))
            }
        }
    }

    /// What the exit code says.
    pub(super) fn verdict(&self, answer: &Value) -> Result<(), Failure> {
        match self {
            Self::Shard(_) => Ok(()),
            Self::Document(_) => is_found(answer)
                .map_or(Err(Failure::Unknown), |is_found| if is_found { Ok(()) } else { Err(Failure::No) }),
        }
    }

    /// The answer for people.
    pub(super) fn render(&self, answer: &Value) -> String {
        let mut text = format!("shard  {}\nplan   {}\n\n", cell(&answer["shard"]), cell(&answer["plan"]));
        match self {
            Self::Shard(_) => text.push_str(&table::render(&replicas(answer), REPLICAS)),
            Self::Document(_) => {
                text.push_str(&table::render(&answer["replicas"], DOCUMENTS));
                match is_found(answer) {
                    Some(true) => {}
                    Some(false) => text.push_str("\nno node has this document\n"),
                    None => text.push_str("\nno node that answers has this document\n"),
                }
            }
        }
        if answer["jobs"].as_array().is_some_and(|jobs| !jobs.is_empty()) {
            write!(text, "\n{}", table::render(&answer["jobs"], JOBS)).expect("writing to a text cannot fail");
        }
        text
    }
}

/// Whether any owner has the document; none when some could not be asked, and the others have not.
fn is_found(answer: &Value) -> Option<bool> {
    let seen = || answer["replicas"].as_array().into_iter().flatten().map(|replica| &replica["found"]);
    match (seen().any(|found| *found == true), seen().all(Value::is_boolean)) {
        (true, _) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
    }
}

/// One line per owner and index; one for an owner when there is no index.
fn replicas(answer: &Value) -> Value {
    let mut lines = Vec::new();
    for owner in answer["owners"].as_array().into_iter().flatten() {
        let line = |index: &Value| {
            let mut line = json!({"node": owner["node"], "reachable": owner["reachable"]});
            for (name, value) in index.as_object().into_iter().flatten() {
                line[name] = value.clone();
            }
            line
        };
        match owner["indexes"].as_array().map(Vec::as_slice) {
            None | Some([]) => lines.push(line(&Value::Null)),
            Some(indexes) => lines.extend(indexes.iter().map(line)),
        }
    }
    Value::Array(lines)
}
