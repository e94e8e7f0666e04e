//! The one table of configuration keys. Defaults, the reference page, the example file and the names of the environment
//! variables come from here; `config::tests` checks that every key is read and that every default is valid.

/// What a key's value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `IP:PORT`.
    Address,
    /// A text that is never shown.
    Secret,
    /// A path.
    Path,
    /// A whole number in a range, both ends included.
    Integer {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// A number with a unit of time, never zero.
    Duration,
    /// The same, or `off`.
    DurationOrOff,
    /// A number with a unit of size.
    Size,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `auto` or a list of core numbers.
    Cores,
    /// Two hours of the day.
    Hours,
    /// A list of nodes.
    Nodes,
}

/// One key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// As in the file, levels joined by dots.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// As it would be written; none: not set.
    pub default: Option<&'static str>,
    /// For `examples/dev-config.yaml`, as YAML; none: the example leaves it out.
    pub example: Option<&'static str>,
    /// For people: what it does, and when to change it.
    pub description: &'static str,
}

impl Key {
    /// The variable that sets it: `MIROIR_` and the name in capitals, dots as underscores.
    pub fn variable(&self) -> String {
        format!("{}{}", super::environment::PREFIX, self.name.to_ascii_uppercase().replace('.', "_"))
    }
}

/// The key with this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

const fn key(name: &'static str, kind: Kind, default: &'static str, description: &'static str) -> Key {
    Key { name, kind, default: Some(default), example: None, description }
}

const fn unset(name: &'static str, kind: Kind, description: &'static str) -> Key {
    Key { name, kind, default: None, example: None, description }
}

const fn shown(key: Key, example: &'static str) -> Key {
    Key { example: Some(example), ..key }
}

/// All keys, in the order of the reference page.
pub const KEYS: &[Key] = &[
    shown(
        key(
            "listen",
            Kind::Address,
            "127.0.0.1:7700",
            "Where clients speak the Meilisearch API. A public address needs `master_key`.",
        ),
        "127.0.0.1:7700",
    ),
    shown(
        unset(
            "master_key",
            Kind::Secret,
            "The key that allows clients everything; they send it, an API key or a tenant token as `Authorization: Bearer KEY`. The values of API keys follow from it: with another one all of them change. Without it every client may do everything, and `/keys` answers `missing_master_key`. At least 16 bytes outside of development.",
        ),
        "dev-key",
    ),
    shown(
        key(
            "data_dir",
            Kind::Path,
            "./miroir-data",
            "The journal and all durable state. One running Miroir per directory; it is created when missing.",
        ),
        "./miroir-data",
    ),
    unset(
        "dump_dir",
        Kind::Path,
        "Where `POST /dumps` puts dumps; `dumps` in `data_dir` when not set. Nobody else writes there. It is created when missing.",
    ),
    unset(
        "backup_dir",
        Kind::Path,
        "Where `miroir-ctl backup` puts backups of `data_dir`; `backups` in `data_dir` when not set. On a disk of its own they survive that of `data_dir`. Nobody else writes there. It is created when missing.",
    ),
    shown(
        unset(
            "nodes",
            Kind::Nodes,
            "The Meilisearch servers of the fleet: `id` (a name that never changes: letters, digits, `-` and `_`), `url` (`http://HOST:PORT`), and optionally `zone` (replicas of a shard are spread over zones first) and `weight` (its share of shards relative to the others; 1 when left out). Only Miroir may write to them. This is the fleet of the first start; later `data_dir` says who is a member, and an entry here only says where a member is: a changed `url`, `zone` or `weight` is taken over at the next start. A server that cannot show that it is the node is not used: [OPERATIONS.md](OPERATIONS.md) says what to do.",
        ),
        "\n  - id: node-0\n    url: http://127.0.0.1:7710\n    zone: rack-a\n  - id: node-1\n    url: http://127.0.0.1:7711\n    zone: rack-b\n  - id: node-2\n    url: http://127.0.0.1:7712\n    zone: rack-b\n    weight: 1",
    ),
    shown(
        unset(
            "node_master_key",
            Kind::Secret,
            "The master key of the nodes, the same for all. No client ever sees it.",
        ),
        "dev-node-key-0123",
    ),
    shown(
        key(
            "shards",
            Kind::Integer { min: 1, max: 4096 },
            "64",
            "Into how many slices every index is cut. Fixed once the cluster has started for the first time.",
        ),
        "64",
    ),
    shown(
        key(
            "replication_factor",
            Kind::Integer { min: 1, max: 5 },
            "2",
            "How many nodes hold each shard. There must be at least so many nodes. What `data_dir` says counts after the first start.",
        ),
        "2",
    ),
    key(
        "cores",
        Kind::Cores,
        "auto",
        "On which cores clients are served, one executor each: `auto` (what the process may use) or a list of core numbers, `[0, 1]`; in the environment `0,1`.",
    ),
    key(
        "in_sync_timeout",
        Kind::Duration,
        "10s",
        "How long a node may lag behind its peers before it is no longer read and no longer waited for, as long as other replicas cover its shards.",
    ),
    key(
        "repair_delay",
        Kind::Duration,
        "10m",
        "How long a member may stay away before its shards are copied to others, when these allow as many replicas as are wanted. One that returns later is planned with again at once.",
    ),
    key(
        "verify.interval",
        Kind::DurationOrOff,
        "24h",
        "In this time the replicas of every shard are compared once, in the background; `off`: only when `miroir-ctl verify` asks for it. The comparisons are spread over the interval, and nodes are read for them no longer than `rebalance limits --busy-percent` allows; during `--hours` only, and not while shards move.",
    ),
    key(
        "verify.repair",
        Kind::Choice(&["known", "never"]),
        "known",
        "What the comparison in the background does about differences: `known` puts right what is known to be wrong (more than half of the replicas agree, or documents are there that Miroir cannot have written so), `never` only reports. Both log it and count it in `miroir-ctl status`.",
    ),
    key(
        "rebalance.moves_per_node",
        Kind::Integer { min: 1, max: 4096 },
        "32",
        "How many shards are on their way to one node at once. This and the other limits of moves hold from the start on, unless `miroir-ctl rebalance limits` has changed any of them: then all are kept in `data_dir`, and `rebalance limits --configured` comes back to these.",
    ),
    key(
        "rebalance.shards_per_copy",
        Kind::Integer { min: 1, max: 4096 },
        "16",
        "How many shards are read at once while writes of their index to the source and the target are held up.",
    ),
    unset(
        "rebalance.bytes_per_second",
        Kind::Size,
        "How many bytes per second are copied, all moves together, over many copies: each one goes as fast as it can, since writes wait for it, and the next ones wait until it is paid for; without it as many as go.",
    ),
    key(
        "rebalance.busy_percent",
        Kind::Integer { min: 1, max: 100 },
        "25",
        "How much of its time a node may spend on taking shards. This is what searches feel.",
    ),
    unset(
        "rebalance.hours",
        Kind::Hours,
        "The hours of the day (UTC) when shards may move and indexes be compacted: `22-6` is from 22:00 to 6:00. Without it always. A shard with fewer replicas on nodes that are there than are wanted gets the others at any hour.",
    ),
    key(
        "rebalance.compact",
        Kind::Choice(&["on", "off"]),
        "on",
        "Whether an index is compacted on a node that has lost at least a tenth of its documents to others: only this gives their space back to the disk. It needs as much free disk as the index uses; searches there pause for a moment, and writes to the node wait for about 2 s per GB.",
    ),
    key(
        "backlog.max_bytes",
        Kind::Size,
        "10GB",
        "How many bytes of unapplied writes (documents, ids, settings, filters) are kept on disk for the nodes. Past it new writes get 503 with `Retry-After`.",
    ),
    key(
        "backlog.max_entries",
        Kind::Integer { min: 1, max: 100_000_000 },
        "250000",
        "How many unapplied writes are kept for the nodes. Each takes about 1.5 KB of memory until it has ended, settings and filters more. Past it new writes get 503 with `Retry-After`.",
    ),
    key(
        "tasks.history_max",
        Kind::Integer { min: 10, max: 100_000_000 },
        "1000000",
        "How many tasks the task list holds. When it is full, the oldest tenth of them is deleted, as far as they have ended, by a task of the type `taskDeletion`; one server does so at 1,000,000.",
    ),
    key(
        "feeder.quarantine",
        Kind::Duration,
        "30s",
        "How long a write to a node whose answer was lost is waited for before it is sent again.",
    ),
    key(
        "feeder.max_body",
        Kind::Size,
        "100MiB",
        "The largest body that every node takes (`--http-payload-size-limit` of Meilisearch, 100 MiB unless set). Larger parts of a write go to a node in several requests; documents that make more than this for one shard are refused with 413 `payload_too_large`.",
    ),
    key("probe.interval", Kind::Duration, "1s", "How often the health of each node is looked at."),
    key("probe.timeout", Kind::Duration, "2s", "How long a node may take to answer that."),
    key(
        "drift.action",
        Kind::Choice(&["repair", "report", "off"]),
        "repair",
        "What is done when the settings or the primary key of an index on a node are not those that Miroir gave it (somebody has changed them there): `repair` (they are sent again), `report` (`miroir-ctl status` shows it) or `off` (nobody looks). Indexes that are missing on a node, or that Miroir does not know, are reported only.",
    ),
    key(
        "drift.interval",
        Kind::Duration,
        "10m",
        "How often the settings of each index are compared with those that each node has: one request per index and node, spread over half of this time.",
    ),
    key(
        "search.deadline",
        Kind::Duration,
        "10s",
        "How long a search or a document read may take, retries on other replicas included.",
    ),
    key(
        "search.partial",
        Kind::Choice(&["partial", "error"]),
        "partial",
        "What a search answers when a shard has no replica that can be read: `partial` (what there is, marked as degraded) or `error` (503). One request can choose with `X-Miroir-Partial: allow` or `deny`.",
    ),
    key(
        "search.sort_ties_by_id",
        Kind::Choice(&["on", "off"]),
        "off",
        "Whether hits that no ranking rule tells apart come in the order of their ids (`on`), so that pages fit together even when other replicas answer for the next one; or in the order in which each node got them (`off`), as on one server. On makes every search somewhat slower and needs room on the nodes for one more sorted attribute. Nodes are told within `drift.interval`, unless `drift.action` is not `repair`.",
    ),
    key(
        "write.deadline",
        Kind::Duration,
        "30s",
        "How long a write may wait to be committed to the journal before it is answered with 503. It is taken back then, unless the answer says that it may still be committed.",
    ),
    key(
        "upstream.max_connections",
        Kind::Integer { min: 1, max: 4096 },
        "64",
        "Connections that each core keeps open to each node while nothing is asked over them. As many as there are requests under way are open besides, up to 512; requests past that wait for their turn, and get 503 when it does not come in time.",
    ),
    key(
        "upstream.connect_timeout",
        Kind::Duration,
        "1s",
        "How long connecting to a node may take before another replica is asked.",
    ),
    key("upstream.idle_timeout", Kind::Duration, "30s", "After how long an unused connection to a node is closed."),
    key(
        "http.max_body",
        Kind::Size,
        "100MiB",
        "The largest request body (documents, or ids of documents to be deleted), also after it was decompressed; larger ones get 413 `payload_too_large`.",
    ),
    key(
        "http.max_json_body",
        Kind::Size,
        "10MiB",
        "The same for all other bodies: searches, settings, filters, keys. These are read in one go, and take many times their length in memory. A million values in one of them are too many whatever its length.",
    ),
    key(
        "http.max_memory",
        Kind::Size,
        "1GiB",
        "How much of requests and answers may be in memory at once, all cores together: bodies as they come, what is made of them, answers of nodes, answers to clients until they are sent. What finds no room gets 503 with `Retry-After`. At least five times `http.max_body`, whatever is written here: documents are in memory several times while they are cut by shard.",
    ),
    key(
        "http.max_headers",
        Kind::Integer { min: 8, max: 1024 },
        "100",
        "How many headers a request may have; more get 431.",
    ),
    key(
        "http.max_header_bytes",
        Kind::Size,
        "64KiB",
        "How long the head of a request may be; longer ones get 431. At least 8KiB.",
    ),
    key("http.header_timeout", Kind::Duration, "10s", "How long a client may take to send the head of a request."),
    key("http.body_timeout", Kind::Duration, "60s", "How long a client may take to send the body of a request."),
    key("http.idle_timeout", Kind::Duration, "75s", "After how long an idle connection of a client is closed."),
    key(
        "http.max_connections",
        Kind::Integer { min: 1, max: 1_000_000 },
        "10000",
        "How many connections of clients are open at most, all cores together; more get 503 and are closed.",
    ),
    key(
        "http.max_in_flight",
        Kind::Integer { min: 1, max: 1_000_000 },
        "2000",
        "How many requests are worked on at once, all cores together; more get 503.",
    ),
    key(
        "shutdown_timeout",
        Kind::Duration,
        "30s",
        "How long requests that have begun may take to end after SIGTERM or Ctrl-C. At most 10 s later the process has ended, whatever hangs.",
    ),
    shown(
        key(
            "admin.listen",
            Kind::Address,
            "127.0.0.1:7701",
            "Where operators (`miroir-ctl`) speak to Miroir. A public address needs `admin.key`.",
        ),
        "127.0.0.1:7701",
    ),
    shown(
        unset("admin.key", Kind::Secret, "The key that operators send as `Authorization: Bearer KEY`."),
        "dev-admin-key",
    ),
    unset(
        "webhooks.url",
        Kind::Secret,
        "Who is told of every finished task: `http://` or `https://` and what follows. Clients see it in `/webhooks`, where they add others, and cannot change it. `--task-webhook-url` of Meilisearch.",
    ),
    unset(
        "webhooks.authorization",
        Kind::Secret,
        "What is sent there as `Authorization`, `Bearer KEY` for example. `--task-webhook-authorization-header` of Meilisearch.",
    ),
    key(
        "webhooks.private_addresses",
        Kind::Choice(&["on", "off"]),
        "off",
        "Whether webhooks, and the destinations of exports, may have addresses that are not of the public internet (loopback, private networks). Off: who may make webhooks or exports cannot make Miroir send requests to what only it can reach.",
    ),
    key(
        "chats.max_conversations",
        Kind::Integer { min: 1, max: 4096 },
        "64",
        "How many conversations (`/chats/{workspace}/chat/completions`) there are at once, all cores together; more get 503. Each has a thread while it waits for its language model.",
    ),
    key(
        "chats.timeout",
        Kind::Duration,
        "120s",
        "How long a language model may send nothing before its conversation ends with an error.",
    ),
    key(
        "chats.private_addresses",
        Kind::Choice(&["on", "off"]),
        "off",
        "Whether language models of conversations may have addresses that are not of the public internet (loopback, private networks). Off: who may change the settings of chats cannot make Miroir send requests to what only it can reach.",
    ),
    key(
        "log.format",
        Kind::Choice(&["text", "json"]),
        "text",
        "How log lines look, on standard error: `text` for people, `json` for programs.",
    ),
    key(
        "log.level",
        Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        "info",
        "From which level on lines are written.",
    ),
];
