//! Who may do what: every route asked with every kind of key and token, and what of several indexes each of them gets to see.
//!
//! What a real Meilisearch answered is recorded in `golden/access.json` and `golden/sifting.json`; with
//! `MIROIR_TEST_MEILISEARCH=/path/to/meilisearch` it is asked anew, so that the answers are compared with those of that server,
//! and with `MIROIR_TEST_RECORD=1` besides its answers are recorded.

mod bearers;
mod matrix;
mod sifting;
mod tokens;

use std::path::PathBuf;

use serde_json::Value;

use crate::support::fleet::{NODE_KEY, Node, START_LIMIT};
use crate::support::{Client, Fleet, FleetOptions, real_meilisearch, records};

/// What the real server says to the questions: now, if there is one, or when it was recorded.
fn expected(file: &str, ask: impl Fn(&Client) -> Vec<Value>) -> Vec<Value> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/parity/golden", file].iter().collect();
    let Some(meilisearch) = real_meilisearch() else {
        let text = std::fs::read_to_string(path).expect("the recorded answers are part of the repository");
        return serde_json::from_str(&text).expect("the recorded answers are JSON");
    };
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let mut node = Node::new("alone", folder.path(), Some(meilisearch));
    node.start();
    node.client().wait_until_healthy(START_LIMIT);
    let answers = ask(&node.client());
    if records() {
        let lines: Vec<String> = answers.iter().map(Value::to_string).collect();
        std::fs::write(path, format!("[\n{}\n]\n", lines.join(",\n"))).expect("the source tree is writable");
    }
    answers
}

/// A fleet whose master key is that of the server that was asked, so that keys and tokens are the same.
fn fleet() -> Fleet {
    Fleet::start_with_key(&FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() }, NODE_KEY)
}
