//! Deletions by marker: of shards whose documents on a node are worth nothing.
//!
//! One mechanism for the beginning of a copy, for the clean-up of an old owner, and for a move that is taken back: what is
//! *dirty* on a (node, index) is deleted with one request. Before the fleet votes on settings nothing may be dirty, or
//! documents that nobody reads would have a say. A mark of no shards deletes what has no valid marker: nothing of ours.

use crate::logic::feeder::Fleet;
use crate::logic::feeder::feed::{Feed, Purpose, Sent, SentEnd};
use crate::logic::feeder::node::End;
use crate::logic::ids::{JobId, NodeIndexUid, ShardId};
use crate::logic::topology::JobStep;

/// Shards in one request.
const MARKED_AT_ONCE: usize = 64;

impl Fleet {
    /// Shards of an index whose documents on a node are to be deleted, ascending.
    pub(in crate::logic::feeder) fn dirty(&self, node: usize, uid: &NodeIndexUid) -> Vec<ShardId> {
        let (dropped, feed) = (self.index(uid).dropped, self.feed(node, uid));
        if dropped.is_some_and(|dropped| feed.applied >= dropped) {
            return Vec::new();
        }
        self.topology.dirty(node, uid)
    }

    /// What a node is to delete of an index now, if anything; no shards: what has no marker. None while an earlier deletion
    /// is under way.
    pub(in crate::logic::feeder) fn due_mark(
        &self,
        node: usize,
        uid: &NodeIndexUid,
        feed: &Feed,
    ) -> Option<Vec<ShardId>> {
        if feed.sent.iter().any(|sent| sent.purpose == Purpose::Mark) {
            return None;
        }
        let mut shards = self.dirty(node, uid);
        shards.truncate(MARKED_AT_ONCE);
        (!shards.is_empty() || self.audit.is_swept(node, uid)).then_some(shards)
    }

    /// What is deleted for good, not to be copied anew, is stored as such: in the next life it is not taken for lost.
    pub(in crate::logic::feeder) fn is_stored_as_dirty(
        &self,
        node: usize,
        uid: &NodeIndexUid,
        shards: &[ShardId],
    ) -> bool {
        let mut jobs = self.topology.jobs.values().filter(|job| job.cleans_in(uid) == Some(node));
        jobs.all(|job| job.stage.stored_in <= self.stored || !shards.contains(&job.shard))
    }

    /// No vote comes from documents of a shard that is on its way to a node, or from it. That follows from the order in
    /// which things are sent: a vote waits until all that was sent has ended, and for the hold of a copy; and what is dirty
    /// is deleted before anything else is sent.
    pub(in crate::logic::feeder) fn is_fit_to_vote(&self, node: usize, uid: &NodeIndexUid) -> bool {
        let has_begun = |join: &super::Join| join.filling.is_some_and(|id| self.has_begun(id));
        self.dirty(node, uid).is_empty() && !self.topology.joins_of(node, uid).any(|(_, join)| has_begun(join))
    }

    pub(in crate::logic::feeder) fn mark_ended(&mut self, node: usize, uid: &NodeIndexUid, sent: &Sent) {
        let Some(SentEnd { end, was_shared, deleted }) = &sent.end else { return };
        if sent.is_void {
            return;
        }
        match end {
            End::Succeeded => self.note_deleted(node, uid, deleted.unwrap_or(0)),
            // It failed with its neighbours: again, and alone.
            End::Rejected(_) if *was_shared => {
                self.feed_mut(node, uid).is_apart = true;
                return;
            }
            // The index is not there, or it has no marker: nor has it any such document.
            End::Rejected(_) => {}
            End::Retry(_) => return,
        }
        self.feed_mut(node, uid).is_apart = false;
        if sent.shards.is_empty() {
            self.audit.swept(node, uid);
        }
        let mut cleaned: Vec<JobId> = Vec::new();
        for (&id, job) in &mut self.topology.jobs {
            if !sent.shards.contains(&job.shard) {
                continue;
            }
            if job.cleans_in(uid) == Some(node) && job.step == JobStep::Switched {
                job.emptied.insert(uid.clone());
            } else if job.cleans_in(uid) == Some(node) {
                job.cleaned.insert(uid.clone());
                cleaned.push(id);
            } else if job.step == JobStep::Copy
                && job.target == Some(node)
                && let Some(join) = job.joins.get_mut(uid).filter(|join| join.is_dirty())
            {
                join.is_marked = true;
            }
        }
        self.pending.jobs.extend(cleaned);
    }
}
