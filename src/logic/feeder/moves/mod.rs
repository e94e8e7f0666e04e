//! Moves: how a shard comes to a node and goes from one while clients read and write.
//!
//! A **job** brings one shard to one node, in steps that are stored before they have an effect: announce, copy, switched,
//! clean. The part of a job for one index is a **join**. What a join copies is read from a replica while both feeds are
//! **held** at one position ([`transfer`]), so the copy is exactly what the journal says up to there, and the main stream
//! of the target carries the shard from there on. What a node holds of a shard and should not is deleted by **marks**
//! ([`marks`]). The reasons for each step are in `docs/MOVE-PROTOCOL.md`.
//!
//! Whether a replica is good enough is asked again and again, and never the same is meant. All go back to `is_complete`: it is
//! read, and has all that it should have.
//!
//! | May … | Asked by | What is asked beside `is_complete` |
//! |---|---|---|
//! | a shard be read there now? | `is_source` | its node is a member, was there at the last look, and owns the shard or is still fed; a doubtful one is asked once more after the reading |
//! | a target take over? | `is_current` | its node answers as the one that it was, nothing is unclear there, and all that was reported is applied, in every index |
//! | an old owner, or a replica too many, stop? | `are_whole` | all other owners, in every index, on nodes that answer. One that must be rebuilt but is read, since nobody else has it, does as well: nothing better will come while it waits |
//! | what a node has be deleted for a rebuild? | `is_spared` | of each shard another one, old owners that are still fed among them, on a node that answers |
//! | a member be given up? | `last_copies` | the same of any index, but its node may be away: nothing is deleted |
//! | a replica that an audit found wrong be copied anew? | `begin_replicas` | another owner that is not wrong itself, on a node that answers |
//! | readers do without a replica? | `Fleet::has_cover` | nothing: another one that is read, and not to be rebuilt, will do |

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
