//! `miroir-ctl status`: is all well?

use std::fmt::Write;

use argh::FromArgs;
use serde_json::Value;

use super::table::cell;

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
            let shown = match value.as_object() {
                Some(counts) => counts.iter().map(count).collect::<Vec<_>>().join(", "),
                None => cell(value),
            };
            writeln!(text, "{:<20}{shown}", words(name)).expect("writing to a text cannot fail");
        }
        text
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
