//! The control plane against embedded nodes over real sockets.

#![expect(clippy::unwrap_used, reason = "tests")]

mod admin_api;
mod fleet;
mod nodes;
mod resolver;
mod startup;
