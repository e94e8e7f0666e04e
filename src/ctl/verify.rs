//! `miroir-ctl verify`: do all replicas have the same documents?

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

use argh::FromArgs;
use http::Method;
use serde_json::{Value, json};

use super::client::{Call, Client};
use super::progress::{bar, pause};
use super::table::{self, Column, cell};
use crate::program::Failure;

/// whether all replicas have the same documents, compared while everything goes on: exit code 0 for yes, 3 for no, 6 when
/// nothing is known to differ but not all could be compared
#[derive(FromArgs, PartialEq, Debug)]
#[argh(subcommand, name = "verify")]
pub struct Verify {
    /// put right what is known to be wrong
    #[argh(switch)]
    pub repair: bool,
    /// with --repair: this node is wrong where nothing else says which one is
    #[argh(option)]
    pub distrust: Option<String>,
    /// only begin, without waiting for the end
    #[argh(switch)]
    pub no_wait: bool,
    /// begin nothing: show the comparison under way, or the last one
    #[argh(switch)]
    pub last: bool,
}

impl Verify {
    pub(super) fn call(&self) -> Call {
        if self.last {
            return Call::get("/verify");
        }
        let mut body = json!({ "repair": self.repair });
        if let Some(node) = &self.distrust {
            body["distrust"] = node.as_str().into();
        }
        Call::with(Method::POST, "/verify", body)
    }

    /// Asks, waits if that is wanted, and prints what came of it.
    pub(super) fn run(&self, client: &Client, out: &mut impl Write, json: bool) -> Result<(), Failure> {
        let begun = client.send(&self.call())?;
        let answer = if self.last {
            begun
        } else if self.no_wait {
            let text = if json { format!("{begun}\n") } else { started(&begun) };
            write!(out, "{text}")?;
            return Ok(());
        } else {
            if !json {
                write!(out, "{}", warnings(&begun))?;
            }
            wait(client, begun["number"].as_u64().unwrap_or_default(), out, json)?
        };
        if json {
            writeln!(out, "{answer}")?;
        } else {
            write!(out, "{}", render(&answer))?;
        }
        verdict(&answer)
    }
}

/// Asks until a comparison has ended.
fn wait(client: &Client, number: u64, out: &mut impl Write, json: bool) -> Result<Value, Failure> {
    let is_terminal = std::io::stdout().is_terminal() && !json;
    loop {
        let answer = client.send(&Call::get("/verify"))?;
        let seen = answer["number"].as_u64().unwrap_or_default();
        if seen < number {
            let message = "Miroir was restarted meanwhile, and has forgotten what it had compared; ask again";
            return Err(Failure::Operation(message.to_owned()));
        }
        let is_over = seen > number || answer["state"] == "done";
        if is_terminal {
            // To the beginning of the line, and clear it.
            let line = if is_over { String::new() } else { progress(&answer) };
            write!(out, "\r\x1b[2K{line}")?;
            out.flush()?;
        }
        if is_over {
            return Ok(answer);
        }
        pause();
    }
}

fn progress(answer: &Value) -> String {
    if answer["state"] == "repairing" {
        return "compared; what is wrong is put right".to_owned();
    }
    let count = |name: &str| answer["progress"][name].as_u64().unwrap_or_default();
    format!("{} {} of {} comparisons", bar(count("done"), count("total")), count("done"), count("total"))
}

/// What the exit code says.
pub(super) fn verdict(answer: &Value) -> Result<(), Failure> {
    let list = |name: &str| answer[name].as_array().into_iter().flatten();
    if list("unequal").chain(list("strays")).any(is_open) {
        return Err(Failure::No);
    }
    if answer["state"] == "never" || list("notCompared").next().is_some() {
        return Err(Failure::Unknown);
    }
    Ok(())
}

/// It is as it was found.
fn is_open(found: &Value) -> bool {
    !matches!(found["repair"].as_str(), Some("done" | "moved"))
}

fn started(begun: &Value) -> String {
    let word = if begun["joined"] == true { "under way already" } else { "begun" };
    format!("{word}; `verify --last` shows how far it is\n{}", warnings(begun))
}

fn warnings(begun: &Value) -> String {
    let mut text = String::new();
    for warning in begun["warnings"].as_array().into_iter().flatten() {
        writeln!(text, "warning: {}", cell(warning)).expect("writing to a text cannot fail");
    }
    text
}

const UNEQUAL: &[Column] = &[
    ("INDEX", index),
    ("SHARD", |found| cell(&found["shard"])),
    ("DOCUMENTS", |found| cell(&found["documents"])),
    ("ALIKE", alike),
    ("WRONG", |found| cell(&found["wrong"])),
    ("REPAIR", |found| repair(&found["repair"])),
    ("EXAMPLES", |found| cell(&found["examples"])),
];

const STRAYS: &[Column] = &[
    ("INDEX", index),
    ("NODE", |found| cell(&found["node"])),
    ("OF SHARD", |found| cell(&found["shard"])),
    ("DOCUMENTS", |found| cell(&found["documents"])),
    ("REPAIR", |found| repair(&found["repair"])),
    ("EXAMPLES", |found| cell(&found["examples"])),
];

const NOT_COMPARED: &[Column] = &[
    ("INDEX", index),
    ("NODES", |skipped| cell(&skipped["nodes"])),
    ("SHARDS", |skipped| cell(&skipped["shards"].as_array().map_or(0, Vec::len).into())),
    ("REASON", |skipped| cell(&skipped["reason"])),
];

const UNEQUAL_WHY: &str = "\
These shards are not the same on all of their nodes; nodes with the same documents stand together. `explain document INDEX ID`
shows one of them on each node. Where no node is known to be wrong, write the documents once more, or name a node that is:
`verify --repair --distrust NODE`.
";

const STRAYS_WHY: &str = "\
These documents belong to no shard which the node has; searches may find them. `verify --repair` deletes them.
";

fn index(found: &Value) -> String {
    cell(if found["index"].is_null() { &found["nodeIndex"] } else { &found["index"] })
}

/// `node-0+node-2, node-1`.
fn alike(found: &Value) -> String {
    let group = |nodes: &Value| nodes.as_array().into_iter().flatten().map(cell).collect::<Vec<_>>().join("+");
    found["alike"].as_array().into_iter().flatten().map(group).collect::<Vec<_>>().join(", ")
}

fn repair(state: &Value) -> String {
    let words = match state.as_str() {
        Some("notAsked") => "not asked for",
        Some("noSign") => "no sign which is wrong",
        Some("noOther") => "no other replica is complete",
        Some("moved") => "moved meanwhile",
        Some("waiting") => "waits for its turn",
        Some("underWay") => "under way",
        Some("done") => "done",
        Some(_) | None => return cell(state),
    };
    words.to_owned()
}

/// They are compared by themselves, and change nothing of the exit code.
fn settings(seen: &Value) -> String {
    match (seen["drifting"].as_u64(), seen["checkedAt"].as_str()) {
        (Some(1..), _) => format!("indexes of nodes that differ: {}; `miroir-ctl status` says which", seen["drifting"]),
        (_, Some(at)) => format!("equal when they were looked at, {at}"),
        (_, None) => "not looked at so far".to_owned(),
    }
}

/// The answer for people.
pub(super) fn render(answer: &Value) -> String {
    let count = |name: &str| answer[name].as_array().map_or(0, Vec::len);
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{name:<20}{value}").expect("writing to a text cannot fail");
    };
    line("state", format!("{} (by {})", cell(&answer["state"]), cell(&answer["by"])));
    if answer["state"] != "never" {
        line("comparisons", format!("{} of {}", cell(&answer["progress"]["done"]), cell(&answer["progress"]["total"])));
        line("began, ended", format!("{}, {}", cell(&answer["began"]), cell(&answer["ended"])));
        let holds = &answer["holds"];
        line(
            "writes held up",
            format!("{} times, {} s at most", cell(&holds["count"]), cell(&holds["longestSeconds"])),
        );
    }
    for (name, list) in [("unequal shards", "unequal"), ("strays", "strays"), ("not compared", "notCompared")] {
        line(name, if count(list) == 0 { "none".to_owned() } else { format!("{}, see below", count(list)) });
    }
    line("settings", settings(&answer["settings"]));
    for (list, columns, why) in
        [("unequal", UNEQUAL, UNEQUAL_WHY), ("strays", STRAYS, STRAYS_WHY), ("notCompared", NOT_COMPARED, "")]
    {
        if count(list) > 0 {
            text.extend(["\n", &table::render(&answer[list], columns)]);
            if answer[list].as_array().into_iter().flatten().any(is_open) {
                text.push_str(why);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Value {
        json!({
            "number": 1, "state": "done", "by": "operator", "repair": true, "began": "B", "ended": "E",
            "progress": {"done": 18, "total": 19}, "holds": {"count": 2, "longestSeconds": 0.25},
            "unequal": [
                {"index": "films", "nodeIndex": "films-0", "shard": 3, "documents": 2, "examples": ["1", "x"],
                 "alike": [["a", "c"], ["b"]], "wrong": ["b"], "repair": "done"},
                {"index": null, "nodeIndex": "gone-1", "shard": 4, "documents": 1, "examples": [],
                 "alike": [["a"], ["b"]], "wrong": [], "repair": "noSign"},
            ],
            "strays": [],
            "notCompared": [
                {"index": "films", "nodeIndex": "films-0", "nodes": ["a", "b"], "shards": [0, 7], "reason": "b does not answer"},
            ],
            "settings": {"checkedAt": "C", "drifting": 2},
        })
    }

    #[test]
    fn a_report_is_a_summary_and_tables() {
        let expected = "\
state               done (by operator)
comparisons         18 of 19
began, ended        B, E
writes held up      2 times, 0.25 s at most
unequal shards      2, see below
strays              none
not compared        1, see below
settings            indexes of nodes that differ: 2; `miroir-ctl status` says which

INDEX   SHARD  DOCUMENTS  ALIKE   WRONG  REPAIR                  EXAMPLES
films   3      2          a+c, b  b      done                    1,x
gone-1  4      1          a, b    -      no sign which is wrong  -
These shards";
        let text = render(&answer());
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("\nINDEX  NODES  SHARDS  REASON\nfilms  a,b    2       b does not answer\n"), "{text}");
    }

    #[test]
    fn the_exit_code_says_what_is_left() {
        let mut of = answer();
        assert!(matches!(verdict(&of), Err(Failure::No)));
        of["unequal"][1]["repair"] = "done".into();
        assert!(matches!(verdict(&of), Err(Failure::Unknown)));
        of["notCompared"] = json!([]);
        assert!(verdict(&of).is_ok());
        of["strays"] = json!([{ "repair": "notAsked" }]);
        assert!(matches!(verdict(&of), Err(Failure::No)));
        assert!(matches!(verdict(&json!({ "state": "never" })), Err(Failure::Unknown)));
    }
}
