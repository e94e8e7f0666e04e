//! Parity: the same requests to one node and to Miroir over several; what clients see must be the same.
//!
//! Nodes are embedded ones, or real ones with `MIROIR_TEST_MEILISEARCH=/path/to/meilisearch`. `MIROIR_TEST_SEED` changes the
//! generated documents and queries. Every difference fails the test unless a rule in [`rules`] or a class in
//! [`harness::classes`] explains it, and all of these are bounded.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod compare;
mod corpus;
mod facet_search;
mod facets;
mod facets_by_count;
mod federation;
mod foreign_key_steps;
mod harness;
mod multi_search;
mod queries;
mod recall;
mod rules;
mod scenario;
mod search;
mod steps;
mod task_steps;
mod vector_lists;
mod vectors;
