//! What the Meilisearch API is: error codes, requests and answers, settings, tasks.

pub mod attribute_pattern;
pub mod bad_value;
pub mod dates;
pub mod documents_query;
pub mod error;
pub mod facet_search;
pub mod facet_text;
pub mod fields;
pub mod filter;
pub mod filterable;
pub mod formats;
pub mod hidden_distinct;
pub mod index;
pub mod keys;
pub mod multi_search;
pub mod query_string;
pub mod search;
pub mod search_message;
pub mod settings;
pub mod similar;
pub mod task_query;
pub mod tasks;
pub mod unsearchable;
