//! How far a rebalance is, shown until it is over: one line that is written over on a terminal, else a line for each change.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crossbeam::channel::after;
use serde_json::Value;

use super::client::{Call, Client};
use super::table::cell;
use crate::program::Failure;

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(500);
/// Of the bar.
const WIDTH: u64 = 30;

/// Asks until nothing moves any more.
pub(super) fn follow(client: &Client, call: &Call, out: &mut impl Write, json: bool) -> Result<(), Failure> {
    let is_terminal = std::io::stdout().is_terminal() && !json;
    let mut last = Vec::new();
    loop {
        let answer = client.send(call)?;
        let line = if json { answer.to_string() } else { line(&answer) };
        let seen = if json { vec![answer.clone()] } else { what_changes(&answer).to_vec() };
        if is_terminal {
            // To the beginning of the line, and clear it.
            write!(out, "\r\x1b[2K{line}")?;
        } else if seen != last {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        last = seen;
        if answer["progress"].is_null() {
            break;
        }
        pause();
    }
    if is_terminal {
        writeln!(out)?;
    }
    Ok(())
}

/// All but what time changes by itself.
fn what_changes(answer: &Value) -> [Value; 5] {
    let (progress, state, absent) = (&answer["progress"], &answer["state"], &answer["absent"]);
    [&progress["done"], &progress["left"], &progress["documents"], state, absent].map(Value::clone)
}

/// Until the next look.
pub(super) fn pause() {
    let _ = after(INTERVAL).recv();
}

/// `[###---]`.
pub(super) fn bar(done: u64, all: u64) -> String {
    let filled = (done * WIDTH).checked_div(all).unwrap_or(WIDTH);
    let bar: String = (0..WIDTH).map(|place| if place < filled { '#' } else { '-' }).collect();
    format!("[{bar}]")
}

fn line(answer: &Value) -> String {
    let progress = &answer["progress"];
    if progress.is_null() {
        return "all shards are where they are to be".to_owned();
    }
    let (done, left) = (count(progress, "done"), count(progress, "left"));
    let mut line = format!("{} {}", bar(done, done + left), words(progress));
    if answer["state"] == "paused" {
        line.push_str(", paused");
    }
    for list in ["absent", "inMaintenance"] {
        if answer[list].as_array().is_some_and(|nodes| !nodes.is_empty()) {
            line.extend([", waits for ", &cell(&answer[list])]);
        }
    }
    line
}

/// `3 of 8 moves, 5200 of about 9000 documents, 830 per second, about 10 s left`.
pub(super) fn words(progress: &Value) -> String {
    let (done, left) = (count(progress, "done"), count(progress, "left"));
    let mut text = format!("{done} of {} moves", done + left);
    if left == 0 {
        return text + ", cleaning up";
    }
    let (documents, planned) = (count(progress, "documents"), count(progress, "documentsPlanned"));
    let seconds = progress["seconds"].as_f64().unwrap_or_default();
    if documents > 0 && seconds > 0.0 {
        // What was sent again, or written meanwhile, is more than what was expected.
        let of = if documents < planned { format!(" of about {planned}") } else { String::new() };
        text.extend([format!(", {documents}{of} documents, {:.0} per second", documents as f64 / seconds)]);
    }
    if let Some(remaining) = progress["remainingSeconds"].as_f64() {
        text.extend([format!(", about {} s left", remaining.ceil())]);
    }
    text
}

fn count(progress: &Value, name: &str) -> u64 {
    progress[name].as_u64().unwrap_or_default()
}
