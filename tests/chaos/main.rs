//! Faults on real processes: Miroir and its nodes are killed, paused, cut off, deprived of disk and data, while clients write,
//! search and change indexes. What they were told is recorded here, and compared all the time and at the end.
//!
//! `docs/RELIABILITY.md` says how to run it and what came of it.

#[path = "../support/mod.rs"]
mod support;

mod disks;
mod ending;
mod faults;
mod ledger;
mod ledger_tests;
mod network;
mod reading;
#[path = "../integration/replicas.rs"]
mod replicas;
mod run;
mod setting;
mod shelves;
mod stage;
mod writing;

use faults::Kind;
use run::Plan;

/// Goal: no acknowledged write is lost, no task has a wrong state, no answer lacks anything without saying so, and with one node
/// away none lacks anything at all. Method: one of each fault that needs no rights, in the order of the list.
#[test]
fn nobody_loses_anything_by_a_few_faults() {
    let kinds = vec![Kind::NodeKilled, Kind::MiroirKilled, Kind::NodePaused, Kind::StoreDamaged];
    Plan { nodes: 3, replicas: 2, meilisearch: support::real_meilisearch(), seed: 1, kinds, length: None }.run();
}

/// The same with all kinds of faults, again and again, by chance.
#[test]
#[ignore = "takes as long as it is told: make chaos"]
fn nobody_loses_anything_by_many_faults() {
    let only = support::only_faults();
    let is_wanted = |kind: &Kind| only.as_ref().is_none_or(|only| only.split(',').any(|name| name == kind.name()));
    let kinds = Kind::ALL.into_iter().filter(is_wanted).collect();
    let (nodes, replicas) = support::size(4, 2);
    let length = Some(support::minutes(10));
    Plan { nodes, replicas, meilisearch: support::real_meilisearch(), seed: support::seed(), kinds, length }.run();
}
