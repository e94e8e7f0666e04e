//! Embedded nodes and the settings of a Miroir in front of them.

use std::time::Duration;

use miroir::config::environment::Environment;
use miroir::config::{self, Settings};
use miroir::control_plane::node_client::{NodeClient, NodeTaskQuery};
use miroir::devnode::{Server, ServerOptions};
use miroir::logic::ids::{NodeIndexUid, NodeTask};
use miroir::meili::tasks::TaskView;
use miroir::store::sqlite::SqliteStore;
use miroir::telemetry::clock;

/// For one answer of a node.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// For anything that takes its time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Nodes `n0`, `n1` … and a data folder.
pub struct Fleet {
    pub folder: tempfile::TempDir,
    pub nodes: Vec<Server>,
}

impl Fleet {
    pub fn start(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let start = |i| {
            let data_dir = folder.path().join(format!("n{i}"));
            Server::start(ServerOptions::new("127.0.0.1:0", data_dir, Some("node-key".to_owned()))).unwrap()
        };
        let nodes = (0..count).map(start).collect();
        Self { folder, nodes }
    }

    /// Eight shards, twice.
    pub fn settings(&self) -> Settings {
        let urls: Vec<String> = self.nodes.iter().map(Server::url).collect();
        let mut settings = settings(&urls, "shards: 8\nreplication_factor: 2\n");
        settings.data_dir = self.folder.path().join("miroir");
        settings
    }

    pub fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.folder.path().join("miroir")).unwrap()
    }
}

/// A task of a node; none when it does not know it (any more).
pub fn task(client: &NodeClient, task: NodeTask) -> Option<TaskView> {
    let query = NodeTaskQuery { uids: vec![task], limit: 1, ..NodeTaskQuery::default() };
    client.tasks(&query, ANSWER_TIMEOUT).unwrap().results.pop()
}

/// Whether a node has this index.
pub fn has_index(client: &NodeClient, index: &NodeIndexUid) -> bool {
    client.stats(ANSWER_TIMEOUT).unwrap().indexes.contains_key(index.as_str())
}

/// Nodes `n0`, `n1` … at these addresses.
pub fn settings(urls: &[String], more: &str) -> Settings {
    let node = |(i, url): (usize, &String)| format!("  - {{id: n{i}, url: '{url}'}}\n");
    let nodes: String = urls.iter().enumerate().map(node).collect();
    let yaml = format!("node_master_key: node-key\n{more}nodes:\n{nodes}");
    config::load_text(&yaml, &Environment::default(), &[]).unwrap()
}

/// Waits until something holds.
pub fn until(mut holds: impl FnMut() -> bool) {
    let deadline = clock::instant() + PATIENCE;
    while !holds() {
        assert!(clock::instant() < deadline, "it does not come true");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
