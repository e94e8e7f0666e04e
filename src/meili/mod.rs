//! What the Meilisearch API is: error codes, requests and answers, settings, tasks.

pub mod bad_value;
pub mod error;
pub mod filter;
pub mod formats;
pub mod settings;
pub mod tasks;
