//! `miroir-ctl tasks`: the newest tasks, one line each.

use argh::FromArgs;
use serde_json::Value;

use super::table::{self, Column, cell};

/// the newest tasks
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "tasks")]
pub struct Tasks {
    /// how many (default 20)
    #[argh(option, default = "20")]
    pub limit: u32,
}

const COLUMNS: &[Column] = &[
    ("TASK", |task| cell(&task["uid"])),
    ("INDEX", |task| cell(&task["indexUid"])),
    ("TYPE", |task| cell(&task["type"])),
    ("STATUS", |task| cell(&task["status"])),
    ("ENQUEUED", |task| cell(&task["enqueuedAt"])),
    ("DURATION", |task| cell(&task["duration"])),
    ("ERROR", |task| cell(&task["error"]["message"])),
];

impl Tasks {
    /// Path and query of the request.
    pub(super) fn target(&self) -> String {
        format!("/tasks?limit={}", self.limit)
    }

    /// The answer for people.
    pub(super) fn render(answer: &Value) -> String {
        table::render(&answer["results"], COLUMNS)
    }
}
