//! The pure rules of Miroir: no sockets, files, threads, clock or randomness. Time and seeds are arguments, so that
//! every rule can be tested by table, by property and by simulation.

pub mod covering;
pub mod digest;
pub mod document_check;
pub mod document_id;
pub mod edit;
pub mod entry;
pub mod feeder;
pub mod id_list;
pub mod ids;
pub mod json;
pub mod marker;
pub mod merge;
pub mod payload;
pub mod pins;
pub mod placement;
pub mod plan_history;
pub mod primary_key;
pub mod replica_choice;
pub mod restoring;
pub mod shard_hash;
pub mod snapshot;
pub mod split;
pub mod throttle;
pub mod topology;
