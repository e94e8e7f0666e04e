//! Moving in: what a Meilisearch has comes into Miroir, by Miroir's public API.
//!
//! [`Source`] is where it comes from (a running server, [`server`], or a dump, [`dump`]), [`Destination`] is Miroir. The steps: look at both and say
//! what cannot be brought along before anything is copied ([`plan`]), then features, keys, settings and documents ([`copy`]),
//! then compare ([`compare`]), last the webhooks.
//!
//! Nothing is remembered here: each put of documents carries in its task's `customMetadata` which stretch of which index it
//! is ([`stretch`]), so Miroir's journal knows how far an import is, and the same command goes on from there whoever runs it.

use std::io;

pub mod api;
pub mod compare;
pub mod copy;
pub mod destination;
pub mod dump;
pub mod plan;
pub mod report;
pub mod server;
pub mod source;
pub mod stretch;

pub use destination::Destination;
pub use dump::DumpFile;
pub use plan::{EmbedderKey, Wanted};
pub use report::Report;
pub use server::Server;
pub use source::Source;

use copy::Copier;
use plan::{Plan, WebhookCopy};

/// Why an import ended early. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The command makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A server does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// A server does not do this, or something is in the way.
    #[error("{0}")]
    Refused(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
    /// Nobody hears what is said.
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// How far the documents are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Progress<'a> {
    /// The index.
    pub index: &'a str,
    /// What is done with them: `copied`, `compared`.
    pub word: &'static str,
    /// Documents, of all indexes, earlier runs included.
    pub done: u64,
    /// Of these in this run.
    pub now: u64,
    /// As the source counted them at the beginning.
    pub all: u64,
}

/// Hears of what goes on.
pub trait Listener {
    /// A line.
    fn say(&mut self, line: &str) -> Result<(), ImportError>;
    /// Far more often than anybody wants to read it.
    fn progress(&mut self, progress: Progress<'_>) -> Result<(), ImportError>;
}

/// Does all of it. None: it was to be said only what would be done.
///
/// # Errors
/// Whatever ends it early; the same import goes on from there.
pub fn run(
    source: &dyn Source,
    destination: &Destination,
    wanted: &Wanted,
    listener: &mut dyn Listener,
) -> Result<Option<Report>, ImportError> {
    let plan = Plan::make(source, destination, wanted)?;
    for line in plan.lines() {
        listener.say(&line)?;
    }
    plan.check()?;
    if wanted.dry_run {
        return Ok(None);
    }
    let mut report = Report { notes: plan.notes.clone(), ..Report::default() };
    if !plan.features.is_empty() {
        destination.switch_on(&plan.features)?;
    }
    report.keys = copy::keys(destination, &plan.keys)?;
    let mut copier = Copier::new(source, destination, wanted.updates, &plan);
    for index in &plan.indexes {
        copier.copy(index, listener)?;
    }
    copier.finish(listener)?;
    if wanted.updates {
        copier.update(listener)?;
    }
    report.indexes = copier.compare(listener)?;
    // Last, so that nobody is told of the tasks of the import.
    for WebhookCopy { url, headers } in &plan.webhooks {
        destination.add_webhook(url, headers)?;
    }
    Ok(Some(report))
}

#[cfg(test)]
mod tests;
