//! Moves: how a shard comes to a node and goes from one while clients read and write.
//!
//! A **job** brings one shard to one node, in steps that are stored before they have an effect: announce, copy, switched,
//! clean. The part of a job for one index is a **join**. What a join copies is read from a replica while both feeds are
//! **held** at one position ([`transfer`]), so the copy is exactly what the journal says up to there, and the main stream
//! of the target carries the shard from there on. What a node holds of a shard and should not is deleted by **marks**
//! ([`marks`]). The reasons for each step are in `docs/MOVE-PROTOCOL.md`.

mod audit;
mod bootstrap;
mod job;
mod marks;
mod members;
mod rebuild;
mod send;
mod switch;
mod transfer;
mod workflow;

pub(super) use audit::Audit;
pub use audit::{
    AuditOrigin, AuditReport, AuditStage, BackgroundAudit, FoundStrays, NotCompared, RepairState, StrayDocuments,
    UnequalReplicas, UnequalShard,
};
pub(super) use bootstrap::Bootstrap;
pub(super) use job::{Job, Join};
pub use members::LastCopy;
pub(super) use transfer::Transfers;
pub use transfer::{LOOKS_AT_ONCE, Look, LookKind, LookOutcome, TransferId};
