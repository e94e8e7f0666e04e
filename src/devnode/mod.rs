//! The embedded development node: speaks the part of the Meilisearch API that Miroir uses towards nodes. For
//! development and tests, never for production data.

pub mod engine;
