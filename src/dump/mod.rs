//! Dumps as Meilisearch writes them, version 6: a gzipped tar with all that a server holds. Reading one and writing one.
//!
//! ```text
//! metadata.json                         version of the dump and of the server, date
//! instance_uid.uuid                     who wrote it
//! keys.jsonl                            API keys, without their values
//! experimental-features.json            which are switched on
//! webhooks.json
//! chat-completions-settings/NAME.json
//! network.json
//! tasks/queue.jsonl                     all tasks, with the documents of unfinished ones beside them:
//! tasks/update_files/TASK.jsonl
//! batches/queue.jsonl
//! indexes/NAME/metadata.json            uid, primary key, dates
//! indexes/NAME/settings.json            with secrets
//! indexes/NAME/documents.jsonl
//! ```
//!
//! Members come in any order, and which of them there are depends on the server's version. So a dump is unpacked before it is
//! read; what is unknown is left out. Documents are never all in memory.

use std::io;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

mod reader;
#[cfg(test)]
mod tests;
mod unpack;
mod writer;

pub use reader::{DumpReader, DumpedIndex, DumpedTask, JsonLines, Lines};
pub use writer::{DumpWriter, LinesWriter};

const METADATA: &str = "metadata.json";
const INSTANCE_UID: &str = "instance_uid.uuid";
const KEYS: &str = "keys.jsonl";
const FEATURES: &str = "experimental-features.json";
const WEBHOOKS: &str = "webhooks.json";
const CHATS: &str = "chat-completions-settings";
const TASKS: &str = "tasks/queue.jsonl";
const UPDATE_FILES: &str = "tasks/update_files";
const BATCHES: &str = "batches/queue.jsonl";
const INDEXES: &str = "indexes";
const SETTINGS: &str = "settings.json";
const DOCUMENTS: &str = "documents.jsonl";
/// What is written, and all that is read.
const VERSION: &str = "V6";

/// What a dump says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Of the format: `V6`.
    pub dump_version: String,
    /// Of the server that wrote it.
    pub db_version: String,
    /// When it was written.
    #[serde(with = "time::serde::rfc3339")]
    pub dump_date: OffsetDateTime,
}

impl Metadata {
    /// Of a dump that is written now, as a server of this version writes it.
    pub fn new(db_version: impl Into<String>, dump_date: OffsetDateTime) -> Self {
        Self { dump_version: VERSION.to_owned(), db_version: db_version.into(), dump_date }
    }
}

/// What a dump says of an index.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexMetadata {
    /// The clients' name.
    pub uid: String,
    /// None until it is known.
    pub primary_key: Option<String>,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When anything in it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Why a dump cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// A file of ours.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no gzipped tar, or it ends too early.
    #[error("the dump is damaged or no dump at all: {0}")]
    Archive(io::Error),
    /// It holds what no dump holds.
    #[error("`{member}` in the dump {problem}")]
    Member {
        /// Its path.
        member: String,
        /// A sentence without its subject.
        problem: String,
    },
    /// Another format.
    #[error(
        "the dump has version {0}, and only version V6 can be read: import it into a Meilisearch server of version 1, and \
         make a dump of that"
    )]
    Version(String),
    /// There is no room to unpack it.
    #[error("no room to unpack the dump: `{member}` has {size} bytes, and {available} are free")]
    NoRoom {
        /// Its path.
        member: String,
        /// Of it, in bytes.
        size: u64,
        /// On the disk, in bytes.
        available: u64,
    },
}

impl DumpError {
    fn member(member: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Member { member: member.into(), problem: problem.into() }
    }
}
