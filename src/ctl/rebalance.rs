//! `miroir-ctl rebalance`: what moves.

use std::collections::BTreeMap;
use std::fmt::Write;

use argh::FromArgs;
use http::Method;
use serde_json::{Value, json};

use super::client::Call;
use super::progress;
use super::table::{self, Column, cell};

/// what moves between nodes
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "rebalance")]
pub struct Rebalance {
    /// what to do
    #[argh(subcommand)]
    pub command: RebalanceCommand,
}

/// The subcommands of `miroir-ctl rebalance`.
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand)]
pub enum RebalanceCommand {
    /// See there.
    Status(RebalanceStatus),
    /// See there.
    History(RebalanceHistory),
    /// See there.
    Plan(RebalancePlan),
    /// See there.
    Start(RebalanceStart),
    /// See there.
    Pause(RebalancePause),
    /// See there.
    Resume(RebalanceResume),
    /// See there.
    Abort(RebalanceAbort),
    /// See there.
    Limits(RebalanceLimits),
}

/// let shards move faster or slower, from now on; shows the limits that are in force
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "limits")]
pub struct RebalanceLimits {
    /// shards on their way to one node at once
    #[argh(option)]
    pub moves_per_node: Option<usize>,
    /// shards that are read while their source stands still
    #[argh(option)]
    pub shards_per_copy: Option<usize>,
    /// bytes per second, all moves together; 0: as much as goes
    #[argh(option)]
    pub bytes_per_second: Option<u64>,
    /// percent of its time that a node may spend on taking shards, 1 to 100
    #[argh(option)]
    pub busy_percent: Option<u8>,
    /// hours of the day (UTC) when moves may run: 22-6; 0-0: always
    #[argh(option, from_str_fn(hours))]
    pub hours: Option<(u8, u8)>,
    /// whether nodes give back the disk space of what they lost to others: on or off
    #[argh(option, from_str_fn(switch))]
    pub compact: Option<bool>,
    /// come back to the limits of the configuration, but for those that are given here
    #[argh(switch)]
    pub configured: bool,
    /// only show what they would be
    #[argh(switch)]
    pub dry_run: bool,
}

/// `3`.
pub(super) fn replicas(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|count| (1..=5).contains(count)).ok_or_else(|| "write a number from 1 to 5".to_owned())
}

/// `22-6`.
fn hours(text: &str) -> Result<(u8, u8), String> {
    let span = text.split_once('-').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    span.ok_or_else(|| "write two hours of the day, 22-6".to_owned())
}

/// `on` or `off`.
fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write on or off".to_owned()),
    }
}

impl RebalanceLimits {
    fn call(&self) -> Call {
        let mut body = serde_json::Map::new();
        let mut give = |name: &str, value: Option<Value>| body.extend(value.map(|value| (name.to_owned(), value)));
        give("movesPerNode", self.moves_per_node.map(Value::from));
        give("shardsPerCopy", self.shards_per_copy.map(Value::from));
        give("bytesPerSecond", self.bytes_per_second.map(|bytes| if bytes == 0 { Value::Null } else { bytes.into() }));
        give("compact", self.compact.map(Value::from));
        give("configured", self.configured.then_some(Value::Bool(true)));
        give("dryRun", self.dry_run.then_some(Value::Bool(true)));
        give("busyPercent", self.busy_percent.map(Value::from));
        give(
            "hours",
            self.hours.map(|(from, to)| if from == to { Value::Null } else { json!({"from": from, "to": to}) }),
        );
        Call::with(Method::PATCH, "/rebalance/limits", body.into())
    }
}

fn limits(answer: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{name:<20}{value}").expect("writing to a text cannot fail");
    };
    line("moves per node", cell(&answer["movesPerNode"]));
    line("shards per copy", cell(&answer["shardsPerCopy"]));
    line("bytes per second", cell(&answer["bytesPerSecond"]));
    line("busy percent", cell(&answer["busyPercent"]));
    line("compact", cell(&answer["compact"]));
    let hours = &answer["hours"];
    let hours = if hours.is_null() { "-".to_owned() } else { format!("{}-{}", hours["from"], hours["to"]) };
    line("hours (UTC)", hours);
    text
}

/// how far it is
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "status")]
pub struct RebalanceStatus {
    /// show it until it is over
    #[argh(switch)]
    pub follow: bool,
}

/// what became of the last plans
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "history")]
pub struct RebalanceHistory {}

/// spread the shards evenly over the active nodes
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "start")]
pub struct RebalanceStart {
    /// only show what would move
    #[argh(switch)]
    pub dry_run: bool,
}

/// begin no new moves until they are resumed
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "pause")]
pub struct RebalancePause {
    /// only show what would wait
    #[argh(switch)]
    pub dry_run: bool,
}

/// go on after a pause
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "resume")]
pub struct RebalanceResume {
    /// only show what would go on
    #[argh(switch)]
    pub dry_run: bool,
}

/// let every shard stay where it is now, and take back what is half moved
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "abort")]
pub struct RebalanceAbort {
    /// only show what would not move
    #[argh(switch)]
    pub dry_run: bool,
}

/// what would move, and what it would cost; changes nothing
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "plan")]
pub struct RebalancePlan {
    /// if each shard had so many replicas, 1 to 5
    #[argh(option, from_str_fn(replicas))]
    pub replication_factor: Option<u16>,
    /// if this node owned nothing; may be given again
    #[argh(option)]
    pub drain: Vec<String>,
    /// if a node of this name joined; may be given again
    #[argh(option)]
    pub add: Vec<String>,
}

/// Jobs, here and where a shard is explained.
pub(super) const JOBS: &[Column] = &[
    ("JOB", |job| cell(&job["id"])),
    ("KIND", |job| cell(&job["kind"])),
    ("SHARD", |job| cell(&job["shard"])),
    ("FROM", |job| cell(&job["from"])),
    ("TO", |job| cell(&job["to"])),
    ("STEP", |job| cell(&job["step"])),
    ("INDEXES", |job| indexes(&job["indexes"])),
];

const NODES: &[Column] = &[
    ("NODE", |node| cell(&node["node"])),
    ("STATE", |node| cell(&node["state"])),
    ("SHARDS", |node| cell(&node["shards"])),
    ("PLANNED", |node| cell(&node["planned"])),
];

const PLANNED: &[Column] = &[
    ("NODE", |node| cell(&node["node"])),
    ("SHARDS", |node| cell(&node["shards"])),
    ("PLANNED", |node| cell(&node["planned"])),
    ("DISK NOW", |node| cell(&node["disk"])),
    ("DISK AT MOST", |node| cell(&node["peakDisk"])),
];

const BOOTSTRAPS: &[Column] = &[
    ("NODE", |bootstrap| cell(&bootstrap["node"])),
    ("INDEX ON THE NODE", |bootstrap| cell(&bootstrap["nodeIndex"])),
    ("STAGE", |bootstrap| cell(&bootstrap["stage"])),
];

const PLANS: &[Column] = &[
    ("PLAN", |plan| cell(&plan["plan"])),
    ("BEGAN", |plan| cell(&plan["beganAt"])),
    ("ENDED", |plan| cell(&plan["endedAt"])),
    ("OUTCOME", |plan| cell(&plan["outcome"])),
    ("MOVED", |plan| format!("{} of {}", cell(&plan["moved"]), cell(&plan["planned"]))),
    ("DOCUMENTS", |plan| cell(&plan["documents"])),
    ("BYTES", |plan| cell(&plan["bytes"])),
];

const PROBLEMS: &[Column] = &[
    ("JOBS", |problem| cell(&problem["jobs"])),
    ("DO NOT GET ON, AND ARE TRIED AGAIN", |problem| cell(&problem["problem"])),
];

/// Each one once, with the jobs that have it.
fn problems(answer: &Value) -> Vec<Value> {
    let mut by_problem: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for job in answer["jobs"].as_array().into_iter().flatten() {
        if let Some(problem) = job["problem"].as_str() {
            by_problem.entry(problem).or_default().push(job["id"].clone());
        }
    }
    by_problem.into_iter().map(|(problem, jobs)| json!({"jobs": jobs, "problem": problem})).collect()
}

const COMPACTIONS: &[Column] = &[
    ("NODE", |compaction| cell(&compaction["node"])),
    ("INDEX ON THE NODE", |compaction| cell(&compaction["nodeIndex"])),
    ("DELETED DOCUMENTS", |compaction| cell(&compaction["deletedDocuments"])),
    ("COMPACTION", |compaction| if compaction["isRunning"] == true { "runs" } else { "waits" }.to_owned()),
];

/// `2 clear, 1 joined`.
fn indexes(counts: &Value) -> String {
    let counts = counts.as_object().into_iter().flatten().filter(|(_, count)| count.as_u64() != Some(0));
    let parts: Vec<String> = counts.map(|(state, count)| format!("{count} {state}")).collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
}

impl RebalanceCommand {
    pub(super) fn call(&self) -> Call {
        match self {
            Self::Status(_) => Call::get("/rebalance"),
            Self::History(_) => Call::get("/rebalance/history"),
            Self::Plan(RebalancePlan { replication_factor, drain, add }) => {
                let add: Vec<Value> = add.iter().map(|id| json!({ "id": id })).collect();
                let body = json!({"replicationFactor": replication_factor, "drain": drain, "add": add});
                Call::with(Method::POST, "/rebalance/plan", body)
            }
            Self::Start(RebalanceStart { dry_run }) => trial("/rebalance/start", *dry_run),
            Self::Pause(RebalancePause { dry_run }) => trial("/rebalance/pause", *dry_run),
            Self::Resume(RebalanceResume { dry_run }) => trial("/rebalance/resume", *dry_run),
            Self::Limits(limits) => limits.call(),
            Self::Abort(RebalanceAbort { dry_run }) => trial("/rebalance/abort", *dry_run),
        }
    }

    /// To be asked again until it is over.
    pub(super) fn is_followed(&self) -> bool {
        matches!(self, Self::Status(RebalanceStatus { follow: true }))
    }

    /// The answer for people.
    pub(super) fn render(&self, answer: &Value) -> String {
        match self {
            Self::Status(_) => status(answer),
            Self::History(_) => table::render(&answer["results"], PLANS),
            Self::Plan(_) => plan(answer),
            Self::Start(RebalanceStart { dry_run }) => started(answer, *dry_run),
            Self::Pause(RebalancePause { dry_run: false }) => {
                format!("paused: what is being copied is finished, nothing new begins; {}\n", left(answer))
            }
            Self::Pause(RebalancePause { dry_run: true }) => format!("nothing new would begin; {}\n", left(answer)),
            Self::Resume(RebalanceResume { dry_run: false }) => format!("resumed; {}\n", left(answer)),
            Self::Resume(RebalanceResume { dry_run: true }) => format!("moves would go on; {}\n", left(answer)),
            Self::Limits(RebalanceLimits { dry_run: false, .. }) => limits(answer),
            Self::Limits(RebalanceLimits { dry_run: true, .. }) => format!("they would be:\n{}", limits(answer)),
            Self::Abort(abort) => aborted(answer, abort.dry_run),
        }
    }
}

fn trial(path: &str, dry_run: bool) -> Call {
    Call::with(Method::POST, path, json!({ "dryRun": dry_run }))
}

/// `moves that are left: 8`.
fn left(answer: &Value) -> String {
    format!("moves that are left: {}", cell(&answer["left"]))
}

fn aborted(answer: &Value, is_trial: bool) -> String {
    let (dropped, taken_back) = (cell(&answer["dropped"]), cell(&answer["takenBack"]));
    let first = if is_trial { "every shard would stay where it is" } else { "aborted: every shard stays where it is" };
    format!("{first}; moves that are not made: {dropped}, taken back of these because they had begun: {taken_back}\n")
}

/// What a change of the plan comes to: all of it before, or that it has begun.
pub(super) fn started(answer: &Value, is_trial: bool) -> String {
    if is_trial {
        return plan(answer);
    }
    let (come, go) = (&answer["replicasToCome"], &answer["replicasToGo"]);
    let mut text = match (come.as_u64(), go.as_u64()) {
        (Some(0), Some(0)) => "nothing has to move\n".to_owned(),
        _ => format!(
            "started: {} replicas to come, {} to go; `rebalance status --follow` shows how far it is\n",
            cell(come),
            cell(go)
        ),
    };
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        writeln!(text, "warning: {}", cell(warning)).expect("writing to a text cannot fail");
    }
    text
}

fn plan(answer: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &Value| {
        writeln!(text, "{name:<20}{}", cell(value)).expect("writing to a text cannot fail");
    };
    line("replicas to come", &answer["replicasToCome"]);
    line("replicas to go", &answer["replicasToGo"]);
    line("documents to copy", &answer["documents"]);
    line("bytes to copy", &answer["bytes"]);
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        line("warning", warning);
    }
    text.extend(["\n", &table::render(&answer["nodes"], PLANNED)]);
    text
}

fn status(answer: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &Value| {
        writeln!(text, "{name:<20}{}", cell(value)).expect("writing to a text cannot fail");
    };
    line("state", &answer["state"]);
    line("replicas to come", &answer["replicasToCome"]);
    line("replicas to go", &answer["replicasToGo"]);
    line("replication factor", &answer["replicationFactor"]);
    line("table version", &answer["version"]);
    if answer["progress"].is_object() {
        line("progress", &progress::words(&answer["progress"]).into());
    }
    let is_there = |list: &&str| answer[*list].as_array().is_some_and(|items| !items.is_empty());
    if is_there(&"heldUpBy") {
        line("held up by", &answer["heldUpBy"]);
    }
    if answer["lackingReplicas"].as_u64().is_some_and(|shards| shards > 0) {
        line("shards that lack", &answer["lackingReplicas"]);
    }
    if is_there(&"absent") {
        line("waits for", &answer["absent"]);
    }
    if is_there(&"inMaintenance") {
        line("in maintenance", &answer["inMaintenance"]);
    }
    for owed in answer["owed"].as_array().into_iter().flatten() {
        let shards = owed["shards"].as_array().map_or(0, Vec::len);
        let node = cell(&owed["node"]);
        line("clean-up is owed", &format!("{shards} shards on {node}, done when it returns").into());
    }
    text.extend(["\n", &table::render(&answer["nodes"], NODES)]);
    for (list, columns) in [("jobs", JOBS), ("bootstraps", BOOTSTRAPS), ("compactions", COMPACTIONS)] {
        if answer[list].as_array().is_some_and(|items| !items.is_empty()) {
            text.extend(["\n", &table::render(&answer[list], columns)]);
        }
    }
    let problems = problems(answer);
    if !problems.is_empty() {
        text.extend(["\n", &table::render(&problems.into(), PROBLEMS)]);
    }
    text
}
