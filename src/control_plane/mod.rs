//! Plain threads with blocking calls: one file per duty. Never imports the data plane.

pub mod admin;
pub mod admission;
pub mod journal;
pub mod node_client;
pub mod prober;
pub mod publisher;
pub mod resolver;
pub mod task_desk;
pub mod task_view;
