//! Whole fleets of real processes over real sockets: what the README promises, what happens when processes die, what no
//! client may see, and how mistakes of operators are answered.
//!
//! Every test has its own ports and folders and ends its processes. Nothing sleeps; conditions are waited for.

#[path = "../support/mod.rs"]
mod support;

mod backups;
mod cities;
mod compaction;
mod conversations;
mod crashes;
mod cut_off;
mod deaths;
mod denied;
mod dev;
mod distinct;
mod drift;
mod dump_import;
mod dumps;
mod edits;
mod embedders;
mod errors;
mod exports;
mod failover;
mod features;
mod foreign_keys;
mod hang;
mod history;
mod identity;
mod keys;
mod kill;
mod large;
mod logs;
mod losses;
mod marker;
mod moving_in;
mod names;
mod node_calls;
mod operator;
mod order;
mod overload;
mod rendering;
mod replicas;
mod rolling;
mod rules;
mod searchable;
mod topology;
mod upgrade;
mod upkeep;
mod verdicts;
mod verify;
mod versions;
mod webhooks;
mod writes;
mod zones;
