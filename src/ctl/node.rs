//! `miroir-ctl node`: one node.

use std::fmt::Write;
use std::str::FromStr;

use argh::FromArgs;
use http::Method;
use serde_json::{Value, json};

use super::client::Call;
use super::table::{self, Column, cell};
use super::{rebalance, segment};
use crate::program::Failure;

/// one node
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "node")]
pub struct Node {
    /// what to do
    #[argh(subcommand)]
    pub command: NodeCommand,
}

/// The subcommands of `miroir-ctl node`.
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand)]
pub enum NodeCommand {
    /// See there.
    CanStop(CanStop),
    /// See there.
    Add(Add),
    /// See there.
    Remove(Remove),
    /// See there.
    Drain(Drain),
    /// See there.
    Replace(Replace),
    /// See there.
    Maintenance(Maintenance),
    /// See there.
    Compact(Compact),
}

/// give the disk space back that the indexes of a node do not use any more
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "compact")]
pub struct Compact {
    /// the node's id
    #[argh(positional)]
    pub id: String,
    /// only show what it would come to
    #[argh(switch)]
    pub dry_run: bool,
}

/// move all shards of a node to others, so that it can be removed
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "drain")]
pub struct Drain {
    /// the node's id
    #[argh(positional)]
    pub id: String,
    /// stay after all
    #[argh(switch)]
    pub undo: bool,
    /// only show what would move
    #[argh(switch)]
    pub dry_run: bool,
}

/// let a new, empty node get exactly what another one has, which is drained
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "replace")]
pub struct Replace {
    /// the id of the one that goes
    #[argh(positional)]
    pub old: String,
    /// the id of the one that comes, never given twice
    #[argh(positional)]
    pub new: String,
    /// where it is: http://HOST:PORT
    #[argh(positional)]
    pub url: String,
    /// rack or room (default: that of the old one)
    #[argh(option)]
    pub zone: Option<String>,
    /// share of shards relative to the others, 0.001 to 1000 (default: that of the old one)
    #[argh(option, from_str_fn(weight))]
    pub weight: Option<f64>,
    /// only show what would move
    #[argh(switch)]
    pub dry_run: bool,
}

/// for upgrades: a node in maintenance is not read, its shards stay, and writes are kept for it
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "maintenance")]
pub struct Maintenance {
    /// the node's id
    #[argh(positional)]
    pub id: String,
    /// on or off
    #[argh(positional)]
    pub state: OnOff,
    /// even if some documents are not found then
    #[argh(switch)]
    pub force: bool,
    /// only show what would not be found
    #[argh(switch)]
    pub dry_run: bool,
}

/// Whether something is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnOff {
    /// It is.
    On,
    /// It is not.
    Off,
}

impl FromStr for OnOff {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err("write on or off".to_owned()),
        }
    }
}

/// As the server takes it: what is no number at all would be lost on the way.
fn weight(text: &str) -> Result<f64, String> {
    let weight = text.parse().ok().filter(|weight| (0.001..=1000.0).contains(weight));
    weight.ok_or_else(|| "write a number from 0.001 to 1000".to_owned())
}

/// make an empty node a member; it gets every index, and no shard yet
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "add")]
pub struct Add {
    /// its id, never given twice
    #[argh(positional)]
    pub id: String,
    /// where it is: http://HOST:PORT
    #[argh(positional)]
    pub url: String,
    /// rack or room
    #[argh(option)]
    pub zone: Option<String>,
    /// share of shards relative to the others, 0.001 to 1000 (default 1)
    #[argh(option, default = "1.0", from_str_fn(weight))]
    pub weight: f64,
    /// only say whether it could be added
    #[argh(switch)]
    pub dry_run: bool,
}

/// take a node away that owns no shards, or, by force, one that is lost
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "remove")]
pub struct Remove {
    /// the node's id
    #[argh(positional)]
    pub id: String,
    /// whatever it owns: others have it too, and it never comes back with its data
    #[argh(switch)]
    pub force: bool,
    /// only show whether it could be, and with --force what would move
    #[argh(switch)]
    pub dry_run: bool,
}

/// whether every document is still found without this node: exit code 0 for yes, 3 for no
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "can-stop")]
pub struct CanStop {
    /// the node's id
    #[argh(positional)]
    pub id: String,
}

const IN_THE_WAY: &[Column] = &[
    ("SHARD", |shard| cell(&shard["shard"])),
    ("INDEXES", |shard| cell(&shard["indexes"])),
    ("OTHER REPLICAS", |shard| {
        let others: Vec<String> = shard["others"].as_array().into_iter().flatten().map(other).collect();
        if others.is_empty() { "-".to_owned() } else { others.join(", ") }
    }),
];

/// `node-1 (does not answer)`.
fn other(other: &Value) -> String {
    let reason = if other["reachable"] == Value::Bool(false) {
        "does not answer"
    } else if other["read"] == Value::Bool(false) {
        "in maintenance"
    } else {
        "out of sync"
    };
    format!("{} ({reason})", cell(&other["node"]))
}

impl Maintenance {
    fn render(&self, answer: &Value) -> String {
        let Self { id, state, dry_run, .. } = self;
        let is_read = answer["isRead"] == Value::Bool(true);
        let mut text = match (state, dry_run) {
            (OnOff::On, false) if is_read => format!(
                "{id} is in maintenance, but readers may still use it: say it again before you stop it; its writes wait for it\n"
            ),
            (OnOff::On, false) => format!("{id} is not read any more and can be stopped; its writes wait for it\n"),
            (OnOff::On, true) => {
                format!("{id} would not be read any more and could be stopped; its writes would wait for it\n")
            }
            (OnOff::Off, false) => format!("{id} is read again as soon as it has caught up\n"),
            (OnOff::Off, true) => format!("{id} would be read again as soon as it has caught up\n"),
        };
        if answer["notFound"].as_array().is_some_and(|shards| !shards.is_empty()) {
            let shards = cell(&answer["notFound"]);
            writeln!(text, "warning: while it is stopped documents of these shards are not found: {shards}")
                .expect("writing to a text cannot fail");
        }
        text
    }
}

impl NodeCommand {
    pub(super) fn call(&self) -> Call {
        match self {
            Self::CanStop(CanStop { id }) => Call::get(format!("/nodes/{}/can-stop", segment(id))),
            Self::Add(Add { id, url, zone, weight, dry_run }) => {
                let mut body = json!({"id": id, "url": url, "weight": weight, "dryRun": dry_run});
                if let Some(zone) = zone {
                    body["zone"] = zone.as_str().into();
                }
                Call::with(Method::POST, "/nodes", body)
            }
            Self::Drain(Drain { id, undo, dry_run }) => {
                let method = if *undo { Method::DELETE } else { Method::POST };
                Call::with(method, format!("/nodes/{}/drain", segment(id)), json!({"dryRun": dry_run}))
            }
            Self::Remove(Remove { id, force, dry_run }) => {
                let is_plain = !force && !dry_run;
                let query = if is_plain { String::new() } else { format!("?force={force}&dryRun={dry_run}") };
                Call { method: Method::DELETE, target: format!("/nodes/{}{query}", segment(id)), body: None }
            }
            Self::Replace(Replace { old, new, url, zone, weight, dry_run }) => {
                let mut body = json!({"id": new, "url": url, "dryRun": dry_run});
                if let Some(zone) = zone {
                    body["zone"] = zone.as_str().into();
                }
                if let Some(weight) = weight {
                    body["weight"] = (*weight).into();
                }
                Call::with(Method::POST, format!("/nodes/{}/replace", segment(old)), body)
            }
            Self::Maintenance(Maintenance { id, state, force, dry_run }) => {
                let body = json!({"on": *state == OnOff::On, "force": force, "dryRun": dry_run});
                Call::with(Method::PUT, format!("/nodes/{}/maintenance", segment(id)), body)
            }
            Self::Compact(Compact { id, dry_run }) => {
                Call::with(Method::POST, format!("/nodes/{}/compact", segment(id)), json!({"dryRun": dry_run}))
            }
        }
    }

    /// The answer for people.
    pub(super) fn render(&self, answer: &Value) -> String {
        match self {
            Self::Add(Add { id, dry_run, .. }) => {
                let done = if *dry_run { "can be added" } else { "is a member now; it owns no shards yet" };
                let warnings = answer["warnings"].as_array().into_iter().flatten();
                let warnings = warnings.map(|warning| format!("warning: {}\n", cell(warning)));
                format!("{id} {done}\n{}", warnings.collect::<String>())
            }
            Self::Remove(Remove { force: true, dry_run: true, .. }) => rebalance::started(answer, true),
            Self::Remove(Remove { id, dry_run: true, .. }) => format!("{id} can be removed\n"),
            Self::Remove(Remove { id, force, .. }) => {
                let rest = if *force { rebalance::started(answer, false) } else { String::new() };
                format!("{id} is not a member any more\n{rest}")
            }
            Self::Replace(Replace { dry_run, .. }) => rebalance::started(answer, *dry_run),
            Self::Maintenance(maintenance) => maintenance.render(answer),
            Self::Drain(Drain { dry_run, .. }) => rebalance::started(answer, *dry_run),
            Self::Compact(Compact { id, dry_run }) => {
                let (count, unused) = (cell(&answer["indexes"]), cell(&answer["unusedBytes"]));
                let (would, shown) =
                    if *dry_run { ("would compact", "") } else { ("compacts", "; `rebalance status` shows them") };
                format!(
                    "indexes that {id} {would}, one after the other: {count}{shown}\n\
                     bytes of its files that nothing uses: {unused}\n"
                )
            }
            Self::CanStop(CanStop { id }) if answer["ok"] == Value::Bool(true) => {
                format!("yes: every shard of {id} is read from another node too\n")
            }
            Self::CanStop(CanStop { id }) => {
                let mut text = format!("no: without {id} documents of these shards would not be found\n\n");
                write!(text, "{}", table::render(&answer["shards"], IN_THE_WAY))
                    .expect("writing to a text cannot fail");
                text
            }
        }
    }

    /// What the exit code says.
    pub(super) fn verdict(&self, answer: &Value) -> Result<(), Failure> {
        match self {
            Self::CanStop(_) if answer["ok"] == true => Ok(()),
            Self::CanStop(_) => Err(Failure::No),
            Self::Add(_)
            | Self::Remove(_)
            | Self::Drain(_)
            | Self::Replace(_)
            | Self::Maintenance(_)
            | Self::Compact(_) => Ok(()),
        }
    }
}
