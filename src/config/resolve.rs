//! From raw to resolved: types, ranges, and the rules that span several keys. Every problem is collected; a value that
//! cannot be read is replaced by its default for the rest of the checks, so that one mistake hides no other.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::keys::{Key, Kind, find};
use super::raw::{Given, Raw};
use super::settings::{
    AdminSettings, BacklogSettings, ChatSettings, DriftAction, DriftSettings, FeederSettings, HttpSettings, LogFormat,
    LogLevel, LogSettings, NodeSettings, PartialPolicy, ProbeSettings, RepairPolicy, SearchSettings, Secret, Settings,
    TaskSettings, UpstreamSettings, VerifySettings, WebhookSettings,
};
use super::value::{self, Parsed};
use super::{Problem, Problems};
use crate::logic::throttle::ThrottleLimits;
use crate::logic::topology::Pace;

/// A head shorter than this could not carry an ordinary request.
const HEADER_BYTES_MIN: u64 = 8 * 1024;

/// The largest head that the HTTP library is asked to keep.
const HEADER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Checks everything. See the module.
pub fn resolve(raw: Raw) -> Result<Settings, Problems> {
    let mut reader = Reader::new(raw);
    let settings = reader.settings();
    let mut problems = reader.problems;
    check_together(&settings, &mut problems);
    if problems.is_empty() { Ok(settings) } else { Err(Problems(problems)) }
}

/// Takes values out of a raw configuration.
pub(super) struct Reader {
    raw: Raw,
    problems: Vec<Problem>,
    /// What was asked for; a test compares it with the table.
    pub(super) asked: BTreeSet<&'static str>,
}

impl Reader {
    pub(super) fn new(mut raw: Raw) -> Self {
        let problems = std::mem::take(&mut raw.problems);
        Self { raw, problems, asked: BTreeSet::new() }
    }

    pub(super) fn settings(&mut self) -> Settings {
        let data_dir = self.required("data_dir", |_, value| value::text(value).map(PathBuf::from));
        Settings {
            listen: self.required("listen", |_, value| value::address(value)),
            master_key: self.secret("master_key"),
            dump_dir: match self.optional("dump_dir", |_, value| value::text(value).map(PathBuf::from)) {
                Some(folder) => folder,
                None => data_dir.join("dumps"),
            },
            backup_dir: match self.optional("backup_dir", |_, value| value::text(value).map(PathBuf::from)) {
                Some(folder) => folder,
                None => data_dir.join("backups"),
            },
            data_dir,
            nodes: self.nodes(),
            node_master_key: self.secret("node_master_key"),
            shards: self.integer("shards") as u16,
            replication_factor: self.integer("replication_factor"),
            cores: self.required("cores", |_, value| value::cores(value)),
            in_sync_timeout: self.duration("in_sync_timeout"),
            repair_delay: self.duration("repair_delay"),
            verify: VerifySettings {
                interval: self.required("verify.interval", |_, value| value::duration_or_off(value)),
                repair: self.choice("verify.repair", [RepairPolicy::Known, RepairPolicy::Never]),
            },
            rebalance: self.rebalance(),
            backlog: BacklogSettings {
                max_bytes: self.size("backlog.max_bytes"),
                max_entries: self.integer("backlog.max_entries") as u64,
            },
            tasks: TaskSettings { history_max: self.integer("tasks.history_max") as u64 },
            feeder: FeederSettings {
                quarantine: self.duration("feeder.quarantine"),
                max_body: self.size("feeder.max_body"),
            },
            probe: ProbeSettings { interval: self.duration("probe.interval"), timeout: self.duration("probe.timeout") },
            drift: DriftSettings {
                action: self.choice("drift.action", [DriftAction::Repair, DriftAction::Report, DriftAction::Off]),
                interval: self.duration("drift.interval"),
            },
            search: SearchSettings {
                deadline: self.duration("search.deadline"),
                partial: self.choice("search.partial", [PartialPolicy::Partial, PartialPolicy::Error]),
                sort_ties_by_id: self.choice("search.sort_ties_by_id", [true, false]),
            },
            write_deadline: self.duration("write.deadline"),
            upstream: UpstreamSettings {
                max_connections: self.integer("upstream.max_connections"),
                connect_timeout: self.duration("upstream.connect_timeout"),
                idle_timeout: self.duration("upstream.idle_timeout"),
            },
            http: self.http(),
            shutdown_timeout: self.duration("shutdown_timeout"),
            admin: AdminSettings {
                listen: self.required("admin.listen", |_, value| value::address(value)),
                key: self.secret("admin.key"),
            },
            webhooks: WebhookSettings {
                url: self.optional("webhooks.url", |_, value| value::url(value)),
                authorization: self.optional("webhooks.authorization", |_, value| value::header(value)),
                may_be_private: self.choice("webhooks.private_addresses", [true, false]),
            },
            chats: ChatSettings {
                max_conversations: self.integer("chats.max_conversations"),
                timeout: self.duration("chats.timeout"),
                may_be_private: self.choice("chats.private_addresses", [true, false]),
            },
            log: self.log(),
        }
    }

    fn http(&mut self) -> HttpSettings {
        HttpSettings {
            max_body: self.size("http.max_body"),
            max_json_body: self.size("http.max_json_body"),
            max_memory: self.size("http.max_memory"),
            max_headers: self.integer("http.max_headers"),
            max_header_bytes: self.required("http.max_header_bytes", |_, value| {
                let bytes = value::size(value)?;
                let is_good = (HEADER_BYTES_MIN..=HEADER_BYTES_MAX).contains(&bytes);
                if is_good { Ok(bytes as usize) } else { Err("must be between 8KiB and 16MiB".to_owned()) }
            }),
            header_timeout: self.duration("http.header_timeout"),
            body_timeout: self.duration("http.body_timeout"),
            idle_timeout: self.duration("http.idle_timeout"),
            max_connections: self.integer("http.max_connections"),
            max_in_flight: self.integer("http.max_in_flight"),
        }
    }

    fn rebalance(&mut self) -> Pace {
        Pace {
            moves_per_node: self.integer("rebalance.moves_per_node"),
            shards_per_copy: self.integer("rebalance.shards_per_copy"),
            compact: self.choice("rebalance.compact", [true, false]),
            throttle: ThrottleLimits {
                bytes_per_second: self.optional("rebalance.bytes_per_second", |_, value| value::size(value)),
                busy_percent: self.integer("rebalance.busy_percent") as u8,
                hours: self.optional("rebalance.hours", |_, value| value::hours(value)),
            },
        }
    }

    fn log(&mut self) -> LogSettings {
        LogSettings {
            format: self.choice("log.format", [LogFormat::Text, LogFormat::Json]),
            level: self.choice(
                "log.level",
                [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace],
            ),
        }
    }

    /// What was given for a key, if it can be read.
    fn optional<T>(&mut self, name: &'static str, parse: impl Fn(&Key, &Value) -> Parsed<T>) -> Option<T> {
        let key = find(name).expect("keys that are read are in the table");
        self.asked.insert(name);
        let Given { value, source } = self.raw.given.get(name)?;
        match parse(key, value) {
            Ok(read) => Some(read),
            Err(message) => {
                self.problems.push(Problem { key: name.to_owned(), message: format!("{message} (given in {source})") });
                None
            }
        }
    }

    /// The same, or the default.
    fn required<T>(&mut self, name: &'static str, parse: impl Fn(&Key, &Value) -> Parsed<T>) -> T {
        let given = self.optional(name, &parse);
        given.unwrap_or_else(|| {
            let key = find(name).expect("keys that are read are in the table");
            let default = key.default.expect("a key that must have a value has a default");
            parse(key, &Value::String(default.to_owned())).expect("every default is valid, as a test checks")
        })
    }

    fn secret(&mut self, name: &'static str) -> Option<Secret> {
        self.optional(name, |_, value| value::secret(value))
    }

    fn duration(&mut self, name: &'static str) -> Duration {
        self.required(name, |_, value| value::duration(value))
    }

    fn size(&mut self, name: &'static str) -> u64 {
        self.required(name, |_, value| value::size(value))
    }

    fn integer(&mut self, name: &'static str) -> usize {
        self.required(name, |key, value| {
            let Kind::Integer { min, max } = key.kind else { unreachable!("{name} is read as what the table says") };
            value::integer(value, min, max).map(|number| number as usize)
        })
    }

    /// The variants stand in the order of the table's words.
    fn choice<T: Copy, const N: usize>(&mut self, name: &'static str, variants: [T; N]) -> T {
        self.required(name, |key, value| {
            let Kind::Choice(words) = key.kind else { unreachable!("{name} is read as what the table says") };
            assert_eq!(words.len(), N, "one variant per word");
            value::choice(value, words).map(|place| variants[place])
        })
    }

    fn nodes(&mut self) -> Vec<NodeSettings> {
        self.asked.insert("nodes");
        let Some(Given { value, source }) = self.raw.given.get("nodes") else {
            let message = "is missing; list the Meilisearch servers of the fleet, each with `id` and `url`".to_owned();
            self.problems.push(Problem { key: "nodes".to_owned(), message });
            return Vec::new();
        };
        match value::nodes(value) {
            Ok(nodes) => nodes,
            Err(problems) => {
                self.problems.extend(problems.into_iter().map(|(place, message)| Problem {
                    key: format!("nodes{place}"),
                    message: format!("{message} (given in {source})"),
                }));
                Vec::new()
            }
        }
    }
}

/// The rules that span several keys.
fn check_together(settings: &Settings, problems: &mut Vec<Problem>) {
    let mut problem = |key: &str, message: String| problems.push(Problem { key: key.to_owned(), message });
    let nodes = settings.nodes.len();
    // No nodes at all is a problem that was reported before.
    if nodes > 0 && nodes < settings.replication_factor {
        let wanted = settings.replication_factor;
        problem(
            "replication_factor",
            format!("is {wanted}, but there are only {nodes} nodes; list more nodes or lower it"),
        );
    }
    if !settings.listen.ip().is_loopback() && settings.master_key.is_none() {
        let listen = settings.listen;
        problem(
            "master_key",
            format!("is missing while listen is the public address {listen}; set a key or listen on 127.0.0.1"),
        );
    }
    if !settings.admin.listen.ip().is_loopback() && settings.admin.key.is_none() {
        let listen = settings.admin.listen;
        problem(
            "admin.key",
            format!("is missing while admin.listen is the public address {listen}; set a key or listen on 127.0.0.1"),
        );
    }
    if settings.listen == settings.admin.listen && settings.listen.port() != 0 {
        problem("admin.listen", format!("is the same address as listen, {}; give each its own port", settings.listen));
    }
}
