//! A fleet of real processes: nodes (embedded or real ones) and Miroir in front of them, all ending with the test.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::process::miroir;
use super::{Client, Port, Process};

/// The key of clients.
pub const MASTER_KEY: &str = "test-master-key-0123";

/// The key of nodes.
pub const NODE_KEY: &str = "test-node-key-012345";

/// The key of operators.
pub const ADMIN_KEY: &str = "test-admin-key-01234";

/// How long a server may take to come up. Generous: the machine may be busy with other tests.
pub const START_LIMIT: Duration = Duration::from_mins(1);

/// What kind of fleet.
#[derive(Clone, Debug)]
pub struct FleetOptions {
    /// How many nodes.
    pub nodes: usize,
    /// R.
    pub replication_factor: usize,
    /// S.
    pub shards: usize,
    /// The nodes are in so many zones, in turn; 0: in none.
    pub zones: usize,
    /// A real Meilisearch instead of embedded nodes.
    pub meilisearch: Option<PathBuf>,
    /// Bytes of a body that each node takes; none: what it takes by itself.
    pub body_limit: Option<usize>,
    /// More lines for the configuration.
    pub configuration: String,
    /// Networks of their own for the first nodes; the others share that of the tests.
    pub networks: Vec<Network>,
}

/// A network namespace that is there already, in which a node is started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Network {
    /// What `ip netns` calls it.
    pub name: String,
    /// Where the node listens there.
    pub address: std::net::Ipv4Addr,
}

impl FleetOptions {
    /// Three nodes, R = 2, 16 shards, embedded nodes.
    pub fn new() -> Self {
        let configuration = String::new();
        Self {
            nodes: 3,
            replication_factor: 2,
            shards: 16,
            zones: 0,
            meilisearch: None,
            body_limit: None,
            configuration,
            networks: Vec::new(),
        }
    }
}

/// One node and, while it runs, its process.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub id: String,
    /// Where it listens, now and after every restart, unless it has a network of its own.
    pub port: Port,
    /// In which it runs; none: that of the tests.
    pub network: Option<Network>,
    /// None: killed.
    pub process: Option<Process>,
    folder: PathBuf,
    meilisearch: Option<PathBuf>,
    /// Bytes of a body that it takes.
    pub body_limit: Option<usize>,
    /// The version that an embedded node says it has; none: its own.
    pub version: Option<&'static str>,
}

impl Node {
    /// A node that does not run yet, with its data below `folder`.
    pub fn new(id: &str, folder: &Path, meilisearch: Option<PathBuf>) -> Self {
        let folder = folder.to_owned();
        Self {
            id: id.to_owned(),
            port: Port::reserve(),
            network: None,
            process: None,
            folder,
            meilisearch,
            body_limit: None,
            version: None,
        }
    }

    /// Where it keeps its data.
    pub fn data(&self) -> PathBuf {
        self.folder.join(&self.id)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        let mut address = self.port.address();
        if let Some(network) = &self.network {
            address.set_ip(network.address.into());
        }
        address
    }

    /// `http://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The program, in its network.
    fn command(&self, program: Command) -> Command {
        let Some(network) = &self.network else { return program };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &network.name]).arg(program.get_program());
        command
    }

    /// Starts it, without waiting until it answers.
    pub fn start(&mut self) {
        let data = self.data();
        let listen = self.address().to_string();
        let mut command = if let Some(program) = &self.meilisearch {
            let mut command = self.command(Command::new(program));
            command.current_dir(&self.folder).args([
                "--no-analytics",
                "--http-addr",
                &listen,
                "--master-key",
                NODE_KEY,
            ]);
            command.arg("--db-path").arg(&data).args(["--log-level", "WARN"]);
            // Searches by vectors look at every vector: what a graph leaves out would differ from server to server.
            command.env("MEILI_EXPERIMENTAL_HNSW_LINEAR_BELOW_RATIO", "1");
            // Embedders of tests are on this machine.
            command.env("MEILI_EXPERIMENTAL_ALLOWED_IP_NETWORKS", "any");
            command
        } else {
            let mut command = self.command(miroir());
            command.args(["node", "--listen", &listen, "--master-key", NODE_KEY, "--exit-with-parent"]);
            command.arg("--data-dir").arg(&data);
            command.args(self.version.iter().flat_map(|version| ["--claim-version", version]));
            command
        };
        if let Some(bytes) = self.body_limit {
            command.args(["--http-payload-size-limit", &bytes.to_string()]);
        }
        self.process = Some(Process::start(&self.id, command, &self.folder));
    }

    /// Is it a real Meilisearch?
    pub fn is_real(&self) -> bool {
        self.meilisearch.is_some()
    }

    /// Speaks to it directly, past Miroir.
    pub fn client(&self) -> Client {
        Client::new(&self.url(), Some(NODE_KEY))
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.take().expect("the node runs").kill();
    }

    /// As a lost disk would: nothing is left of its data. Kill it first.
    pub fn wipe(&self) {
        std::fs::remove_dir_all(self.folder.join(&self.id)).expect("it has data");
    }

    /// Keeps a copy of its data, in place of an earlier one. Kill it first, or the files do not fit together.
    pub fn back_up(&self) {
        let (data, copy) = (self.folder.join(&self.id), self.backup());
        if copy.exists() {
            std::fs::remove_dir_all(&copy).expect("the temporary folder is writable");
        }
        copy_folder(&data, &copy).expect("the temporary folder is writable");
    }

    /// Its data are as [`Self::back_up`] found them; what came since is gone. Kill it first.
    pub fn restore(&self) {
        let data = self.folder.join(&self.id);
        if data.exists() {
            std::fs::remove_dir_all(&data).expect("the temporary folder is writable");
        }
        copy_folder(&self.backup(), &data).expect("there is a backup");
    }

    fn backup(&self) -> PathBuf {
        self.folder.join(format!("{}.backup", self.id))
    }
}

/// What a node calls a client's index; none if it has no such index.
pub fn node_index(node: &Client, uid: &str) -> Option<String> {
    let indexes = node.get("/indexes?limit=1000").expect(200).json;
    let mut names = indexes["results"].as_array().into_iter().flatten().filter_map(|index| index["uid"].as_str());
    names.find(|name| name.rsplit_once('-').is_some_and(|(of, _)| of == uid)).map(str::to_owned)
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Everything together.
#[derive(Debug)]
pub struct Fleet {
    /// The nodes, in the order of the configuration.
    pub nodes: Vec<Node>,
    /// None: killed.
    pub miroir: Option<Process>,
    /// Where clients connect.
    pub port: Port,
    /// Where operators connect.
    pub admin_port: Port,
    /// What clients send.
    pub master_key: &'static str,
    /// Everything is below it.
    pub folder: tempfile::TempDir,
}

impl Fleet {
    /// Starts everything and waits until it answers.
    pub fn start(options: &FleetOptions) -> Self {
        Self::start_with_key(options, MASTER_KEY)
    }

    /// The same, with another key for clients.
    pub fn start_with_key(options: &FleetOptions, master_key: &'static str) -> Self {
        let mut fleet = Self::prepare(options, master_key);
        fleet.nodes.iter_mut().for_each(Node::start);
        for node in &fleet.nodes {
            node.client().wait_until_healthy(START_LIMIT);
        }
        fleet.start_miroir();
        fleet.client().wait_until_healthy(START_LIMIT);
        fleet
    }

    /// Writes the configuration, starts nothing.
    pub fn prepare(options: &FleetOptions, master_key: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let node = |number: usize| {
            let node = Node::new(&format!("node-{number}"), folder.path(), options.meilisearch.clone());
            Node { body_limit: options.body_limit, network: options.networks.get(number).cloned(), ..node }
        };
        let nodes = (0..options.nodes).map(node).collect();
        let fleet =
            Self { nodes, miroir: None, port: Port::reserve(), admin_port: Port::reserve(), master_key, folder };
        std::fs::write(fleet.config_path(), fleet.configuration(options)).expect("the temporary folder is writable");
        fleet
    }

    /// The file that Miroir is started with.
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("miroir.yaml")
    }

    fn configuration(&self, options: &FleetOptions) -> String {
        let mut yaml = String::new();
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            writeln!(yaml, "{key}: {value}").expect("writing to a text cannot fail");
        };
        line("listen", &self.port.address());
        line("admin", &format!("{{listen: '{}', key: {ADMIN_KEY}}}", self.admin_port.address()));
        line("master_key", &self.master_key);
        line("node_master_key", &NODE_KEY);
        line("data_dir", &self.folder.path().join("miroir").display());
        line("shards", &options.shards);
        line("replication_factor", &options.replication_factor);
        let node = |(number, node): (usize, &Node)| {
            let mut described = json!({"id": node.id, "url": node.url()});
            if let Some(zone) = number.checked_rem(options.zones) {
                described["zone"] = format!("zone-{zone}").into();
            }
            described
        };
        line("nodes", &self.nodes.iter().enumerate().map(node).collect::<Value>());
        yaml.push_str(&options.configuration);
        yaml
    }

    /// Starts Miroir, without waiting until it answers.
    pub fn start_miroir(&mut self) {
        let mut command = miroir();
        command.arg("serve").arg("--config").arg(self.config_path());
        self.miroir = Some(Process::start("miroir", command, self.folder.path()));
    }

    /// kill -9.
    pub fn kill_miroir(&mut self) {
        self.miroir.take().expect("Miroir runs").kill();
    }

    /// Speaks to Miroir as a client.
    pub fn client(&self) -> Client {
        Client::new(&self.port.url(), Some(self.master_key))
    }

    /// Speaks to Miroir as an operator.
    pub fn admin(&self) -> Client {
        Client::new(&self.admin_port.url(), Some(ADMIN_KEY))
    }
}
