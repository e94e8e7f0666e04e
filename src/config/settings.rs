//! The resolved configuration: typed, complete, checked. Made by [`super::resolve`] only.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::logic::ids::NodeId;
use crate::logic::topology::Pace;

/// Meilisearch's own minimum for a master key in production.
pub const MASTER_KEY_BYTES_MIN: usize = 16;

/// A key. Printing it shows that it is there, never what it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself: for headers and comparisons, never for messages.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// One node as configured.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeSettings {
    /// The operator's name; never changes.
    pub id: NodeId,
    /// `http://HOST:PORT`, without a slash at the end.
    pub url: String,
    /// Rack or room.
    pub zone: Option<Arc<str>>,
    /// Share of shards relative to the others.
    pub weight: f64,
}

/// On which cores clients are served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cores {
    /// As many as the process may use.
    Auto,
    /// These, by number, each once.
    List(Vec<usize>),
}

/// What a search answers when a shard cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartialPolicy {
    /// What there is, marked as degraded.
    Partial,
    /// 503.
    Error,
}

/// What the comparison of replicas in the background does about differences.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RepairPolicy {
    /// Puts right what is known to be wrong.
    Known,
    /// Reports.
    Never,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// From which level on lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogLevel {
    /// Something did not work and needs an operator.
    Error,
    /// Something is not as it should be.
    Warn,
    /// What changed.
    Info,
    /// Why.
    Debug,
    /// Everything.
    Trace,
}

/// `admin.*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminSettings {
    /// Where operators speak to us.
    pub listen: SocketAddr,
    /// None: everyone who reaches the address.
    pub key: Option<Secret>,
}

/// `search.*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SearchSettings {
    /// For one read, retries included.
    pub deadline: Duration,
    /// Unless the request chooses.
    pub partial: PartialPolicy,
    /// The primary key is the nodes' last ranking rule.
    pub sort_ties_by_id: bool,
}

/// `verify.*`: the comparison of replicas in the background.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifySettings {
    /// All once in this time; none: not in the background.
    pub interval: Option<Duration>,
    /// What is done then.
    pub repair: RepairPolicy,
}

/// `backlog.*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BacklogSettings {
    /// On disk.
    pub max_bytes: u64,
    /// In memory.
    pub max_entries: u64,
}

/// `tasks.*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskSettings {
    /// Tasks in the list.
    pub history_max: u64,
}

/// `feeder.*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeederSettings {
    /// How long a write whose answer was lost is waited for.
    pub quarantine: Duration,
    /// Bytes of a body that every node takes.
    pub max_body: u64,
}

/// `probe.*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeSettings {
    /// Between two looks at one node.
    pub interval: Duration,
    /// For one look.
    pub timeout: Duration,
}

/// What is done about settings that somebody else has changed on a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DriftAction {
    /// They are sent again.
    Repair,
    /// They are shown to operators.
    Report,
    /// Nobody looks, unless asked to.
    Off,
}

/// `drift.*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DriftSettings {
    /// What is done about it.
    pub action: DriftAction,
    /// Between two looks at the same index of a node.
    pub interval: Duration,
}

/// `upstream.*`: connections to nodes, per core and node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpstreamSettings {
    /// At most.
    pub max_connections: usize,
    /// For one attempt.
    pub connect_timeout: Duration,
    /// Then an unused one is closed.
    pub idle_timeout: Duration,
}

/// `http.*`: what clients may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpSettings {
    /// Bytes of a body.
    pub max_body: u64,
    /// Bytes of a body that is read in one go.
    pub max_json_body: u64,
    /// Bytes of requests and answers, all cores together.
    pub max_memory: u64,
    /// Headers of a request.
    pub max_headers: usize,
    /// Bytes of a head.
    pub max_header_bytes: usize,
    /// For the head.
    pub header_timeout: Duration,
    /// For the body.
    pub body_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// All cores together.
    pub max_connections: usize,
    /// All cores together.
    pub max_in_flight: usize,
}

/// `log.*`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogSettings {
    /// How lines look.
    pub format: LogFormat,
    /// Which lines there are.
    pub level: LogLevel,
}

/// `webhooks.*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebhookSettings {
    /// Who is told of finished tasks, besides those that clients name.
    pub url: Option<Secret>,
    /// The value of a header for it.
    pub authorization: Option<Secret>,
    /// Addresses that are not of the public internet are told, too, and get exports.
    pub may_be_private: bool,
}

/// `chats.*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChatSettings {
    /// At once.
    pub max_conversations: usize,
    /// How long a model may send nothing.
    pub timeout: Duration,
    /// Models may have addresses that are not of the public internet.
    pub may_be_private: bool,
}

/// The whole.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// Where clients speak to us.
    pub listen: SocketAddr,
    /// None: every client may do everything.
    pub master_key: Option<Secret>,
    /// The journal and all durable state.
    pub data_dir: PathBuf,
    /// Where dumps are put.
    pub dump_dir: PathBuf,
    /// Where backups of `data_dir` are put.
    pub backup_dir: PathBuf,
    /// The fleet; at least `replication_factor` of them.
    pub nodes: Vec<NodeSettings>,
    /// The nodes' master key.
    pub node_master_key: Option<Secret>,
    /// 1 to 4096.
    pub shards: u16,
    /// 1 to 5.
    pub replication_factor: usize,
    /// Where clients are served.
    pub cores: Cores,
    /// How long a node may lag behind its peers.
    pub in_sync_timeout: Duration,
    /// How long a member may stay away before its shards are copied to others.
    pub repair_delay: Duration,
    /// `verify.*`.
    pub verify: VerifySettings,
    /// `rebalance.*`: unless an operator has changed it while Miroir ran.
    pub rebalance: Pace,
    /// `backlog.*`.
    pub backlog: BacklogSettings,
    /// `tasks.*`.
    pub tasks: TaskSettings,
    /// `feeder.*`.
    pub feeder: FeederSettings,
    /// `probe.*`.
    pub probe: ProbeSettings,
    /// `drift.*`.
    pub drift: DriftSettings,
    /// `search.*`.
    pub search: SearchSettings,
    /// `write.deadline`.
    pub write_deadline: Duration,
    /// `upstream.*`.
    pub upstream: UpstreamSettings,
    /// `http.*`.
    pub http: HttpSettings,
    /// How long begun requests may take to end at a shutdown.
    pub shutdown_timeout: Duration,
    /// `admin.*`.
    pub admin: AdminSettings,
    /// `webhooks.*`.
    pub webhooks: WebhookSettings,
    /// `chats.*`.
    pub chats: ChatSettings,
    /// `log.*`.
    pub log: LogSettings,
}

impl Settings {
    /// What is allowed but not wise, one line each, for the log.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        match &self.master_key {
            None => warnings.push("no master_key: every client may do everything".to_owned()),
            Some(key) if key.expose().len() < MASTER_KEY_BYTES_MIN => warnings.push(format!(
                "master_key has fewer than {MASTER_KEY_BYTES_MIN} bytes: good enough for development only"
            )),
            Some(_) => {}
        }
        if self.node_master_key.is_none() {
            warnings.push("no node_master_key: everyone who reaches a node may write to it".to_owned());
        }
        if self.replication_factor == 1 {
            warnings.push("replication_factor is 1: while a node is away its documents are not found".to_owned());
        }
        warnings
    }
}
