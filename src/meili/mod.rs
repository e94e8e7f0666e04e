//! What the Meilisearch API is: error codes, requests and answers, settings, tasks.

pub mod attribute_pattern;
pub mod bad_value;
pub mod batches;
pub mod chat;
pub mod dates;
pub mod documents_query;
pub mod embedding_failure;
pub mod error;
pub mod export;
pub mod facet_search;
pub mod facet_text;
pub mod features;
pub mod fields;
pub mod filter;
pub mod filterable;
pub mod formats;
pub mod hidden_distinct;
pub mod index;
pub mod index_fields;
pub mod keys;
pub mod multi_search;
pub mod node_version;
pub mod query_string;
pub mod search;
pub mod search_message;
pub mod search_rules;
mod secret;
pub mod settings;
pub mod similar;
pub mod sizes;
pub mod swaps;
pub mod task_query;
pub mod tasks;
pub mod template;
pub mod unsearchable;
pub mod webhooks;

/// Of the server whose API this is: what `/version` and dumps say.
pub const MEILISEARCH_VERSION: &str = "1.50.0";
