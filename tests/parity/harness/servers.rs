//! The two sides: one server alone, and Miroir in front of a fleet; and how an index gets onto them.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::corpus::Corpus;
use super::vectors;
use crate::support::fleet::{Node, START_LIMIT};
use crate::support::{Client, real_meilisearch};

/// One server, alone.
pub struct Alone {
    /// It.
    pub node: Node,
    _folder: tempfile::TempDir,
}

impl Alone {
    /// Of the kind that the fleet has.
    pub fn start() -> Self {
        Self::of(real_meilisearch())
    }

    /// A real one, or an embedded one.
    pub fn of(meilisearch: Option<PathBuf>) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let mut node = Node::new("alone", folder.path(), meilisearch);
        node.start();
        node.client().wait_until_healthy(START_LIMIT);
        Self { node, _folder: folder }
    }
}

/// Who is asked.
#[derive(Clone, Copy)]
pub struct Sides<'a> {
    /// The server alone.
    pub one: &'a Client,
    /// Miroir.
    pub miroir: &'a Client,
    /// Every node has all documents, so that one of them answers alone.
    pub has_whole_nodes: bool,
    /// Nodes sort ties by id.
    pub sorts_ties: bool,
}

/// For who reads the output of a test.
pub fn say_which_nodes() {
    match real_meilisearch() {
        Some(path) => eprintln!("parity on real nodes: {}", path.display()),
        None => {
            eprintln!("parity on embedded nodes; MIROIR_TEST_MEILISEARCH=/path/to/meilisearch runs it on real ones");
        }
    }
}

/// Documents that are there for a while and then deleted, so that internal numbers have gaps.
const GHOSTS: usize = 9;

/// Makes the corpus' index: several tasks, an update of documents that are there already, deletions.
pub fn load(client: &Client, corpus: &Corpus) {
    let index = format!("/indexes/{}", corpus.index);
    let documents = format!("{index}/documents");
    let create = json!({"uid": corpus.index, "primaryKey": corpus.primary_key});
    let settings = Value::from(corpus.settings.clone());
    let (first, second) = corpus.documents.split_at(corpus.documents.len() / 2);
    let again: Vec<Value> = corpus.documents.iter().step_by(7).cloned().collect();
    let ghost_ids: Vec<String> = (0..GHOSTS).map(|number| format!("ghost-{number}")).collect();
    let ghost = |id: &String| {
        let mut ghost = json!({(corpus.primary_key): id});
        if !corpus.embedders.is_empty() {
            ghost["_vectors"] = vectors::nothing(&corpus.embedders);
        }
        ghost
    };
    let ghosts: Vec<Value> = ghost_ids.iter().map(ghost).collect();
    let mut tasks = vec![client.enqueue("POST", "/indexes", &create)];
    if !corpus.has_late_settings() {
        tasks.push(client.enqueue("PATCH", &format!("{index}/settings"), &settings));
    }
    tasks.push(client.enqueue("POST", &documents, &first.into()));
    tasks.push(client.enqueue("POST", &documents, &ghosts.into()));
    if corpus.has_late_settings() {
        tasks.push(client.enqueue("PATCH", &format!("{index}/settings"), &settings));
    }
    tasks.push(client.enqueue("POST", &documents, &second.into()));
    tasks.push(client.enqueue("PUT", &documents, &again.into()));
    tasks.push(client.enqueue("POST", &format!("{documents}/delete-batch"), &json!(ghost_ids)));
    for uid in tasks {
        let task = client.wait_for_task(uid);
        assert_eq!(task["status"], "succeeded", "{task}");
    }
}
