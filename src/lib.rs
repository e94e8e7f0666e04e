//! Miroir: a fleet of small Meilisearch servers that looks like one big, fault-tolerant Meilisearch.
//!
//! The parts, from the bottom up; a module may use only modules above its own line:
//!
//! | module | what it is |
//! |---|---|
//! | [`logic`] | pure rules: ids, hashing, placement, covering sets, the feeder protocol, merge. No I/O, no clock |
//! | [`meili`] | what the Meilisearch API is: error codes, requests, settings, tasks as JSON |
//! | [`dump`] | reading and writing dumps in Meilisearch's format |
//! | [`config`] | configuration: raw, then resolved |
//! | [`telemetry`] | the clock, logging |
//! | [`store`] | durable state: the `Store` trait and its SQLite implementation |
//! | [`http_types`] | a request and an answer as handlers see them |
//! | [`bridge`] | the only place where the two planes meet |
//! | [`data_plane`] | one executor per core: clients' requests, searches, document reads |
//! | [`control_plane`] | plain threads: journal writer, feeders, prober, publisher, admin API |
//! | [`devnode`] | the embedded development node; uses `meili` and `telemetry` only |
//! | [`import`] | moving in: what a Meilisearch has comes into Miroir by its public API |
//! | [`server`] | a whole Miroir in this process: the only place that imports both planes |
//! | [`program`] | what each subcommand of `miroir` does: puts the parts together |
//! | [`ctl`] | the operator's command line, a client of the admin API |
//!
//! `logic` may use the types of `meili`; the two planes never import each other. `tests/tidy` checks all of this.

pub mod bridge;
pub mod config;
pub mod control_plane;
pub mod ctl;
pub mod data_plane;
pub mod devnode;
pub mod dump;
pub mod http_types;
pub mod import;
pub mod logic;
pub mod meili;
pub mod program;
pub mod server;
pub mod store;
pub mod telemetry;
