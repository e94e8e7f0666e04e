//! The embedded development node: speaks the part of the Meilisearch API that Miroir uses towards nodes, with the same
//! error codes and the same queue manners. For development and tests, never for production data.
//!
//! | module | what it is |
//! |---|---|
//! | [`engine`] | search over documents held in memory, pure |
//! | `server` | start, stop, lock of the data directory |
//! | `http` | requests and answers over may_minihttp, a pool of plain threads for the handlers |
//! | `routes` | what each route does |
//! | `queue` | the durable task queue: which tasks make a batch, what a batch does |
//! | `indexes` | the indexes in memory |
//! | `disk` | the two SQLite files: tasks, and documents with settings |
//!
//! Tasks and index state are two files and two transactions, as in Meilisearch: a kill between them runs the batch
//! again at the next start.

pub mod engine;

mod disk;
mod http;
mod indexes;
mod payload;
mod queue;
mod routes;
mod server;

pub use server::{Faults, Server, ServerOptions, StartError, run};

#[cfg(test)]
mod tests;
