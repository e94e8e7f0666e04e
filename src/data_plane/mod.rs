//! One executor per core: accept, authenticate, plan, scatter, merge, answer. Never imports the control plane.
//!
//! | module | what it is |
//! |---|---|
//! | [`core`] | what a handler gets: snapshot, bridge, nodes, time |
//! | [`upstream`], [`pool`] | the interface towards nodes, and connections to them |
//! | [`adoption`] | acknowledging snapshots |
//! | [`gather`], [`scatter`] | several sub-requests at once; one read over a covering set, with stand-ins for who fails |
//! | [`searching`], [`reading`] | one search over all shards, with a round before it for what its filter denies ([`denying`]) and one behind it for facets ([`clarifying`]); what every read does with answers and refusals |
//! | [`foreign_keys`] | what filters and hits say about documents of other indexes |
//! | [`forwarding`] | what any node can answer |
//! | [`trace`] | what a search asked of which node, for who wants to know |
//! | [`client_api`] | the handlers on one executor |
//! | [`handlers`] | one file per operation |
//! | [`rt`] | the runtime: executors, tasks, timers |
//! | [`cores`] | which processors the executors run on |
//! | [`http_server`] | an address with its executors: start, drain, stop |
//! | [`listener`], [`mailbox`] | accepting, and handing connections to executors |
//! | [`connection`], [`lifetime`] | one client's connection, its limits and deadlines |
//! | [`coding`] | compressed bodies |
//! | [`socket`] | a glommio stream as hyper wants it |

pub mod adoption;
pub mod body;
mod clarifying;
pub mod client_api;
pub mod coding;
pub mod connection;
pub mod core;
pub mod cores;
mod denying;
#[cfg(test)]
pub mod fake;
pub mod federating;
mod foreign_keys;
mod forwarding;
pub mod gather;
pub mod handlers;
pub mod http_server;
pub mod lifetime;
pub mod listener;
pub mod mailbox;
pub mod patience;
mod pieces;
pub mod places;
pub mod pool;
pub mod reading;
pub mod rt;
pub mod scatter;
pub mod searching;
pub mod similar;
pub mod socket;
pub mod trace;
pub mod upstream;
