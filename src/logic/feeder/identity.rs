//! Which server a node is. A URL says only where somebody answers: a typing error, two addresses that were swapped, or a
//! machine that was started with the disk of another one lead to a server that has other documents under the same names. So
//! each member carries a document that names its cluster, itself and its life, and it is asked for it before anything is read
//! or sent, after every interruption, and now and then.
//!
//! A member without that document gets it before its first step. From then on a server that carries another one, or none
//! though it has indexes, counts as a node that does not answer: nothing there is read, written or deleted. One that has
//! neither was emptied, and one in an earlier life is an old copy: both are rebuilt.

use super::node::{End, InFlight, SeenTask};
use super::{Action, Fleet};
use crate::logic::ids::{Monotonic, NodeTask};
use crate::logic::topology::NodeRecord;

/// The index that holds the document; no index of a client has such a name on a node.
pub const IDENTITY_INDEX: &str = "miroir-identity";

/// Whom a server says it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bearer {
    /// The node that was asked for.
    Node {
        /// When it was told so, see [`crate::logic::topology::NodeRecord::life`].
        life: u64,
    },
    /// It was never told.
    Nobody {
        /// It has no index either.
        is_empty: bool,
    },
    /// Another node, of this cluster or of another one.
    Other,
}

/// What follows from that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Judgement {
    /// It is the node. If it is to be told so yet, that can be done.
    Itself,
    /// It is where the node was, without what it had.
    Lost,
    /// It has nothing to do with the node.
    Stranger,
}

/// Whether somebody who answers at a member's address is the member, as far as that can be told from what it carries.
pub fn is_itself(record: &NodeRecord, bearer: Bearer) -> bool {
    judge(record, bearer) == Judgement::Itself
}

/// The task tells the node who it is, whoever has sent it.
pub(super) fn concerns_identity(task: &SeenTask) -> bool {
    task.index.as_ref().is_some_and(|uid| uid.as_str() == IDENTITY_INDEX)
}

fn judge(record: &NodeRecord, bearer: Bearer) -> Judgement {
    match bearer {
        Bearer::Other => Judgement::Stranger,
        // Nobody has told it yet, or nobody has heard that it was told.
        Bearer::Node { .. } | Bearer::Nobody { .. } if !record.has_identity => Judgement::Itself,
        Bearer::Node { life } if life == record.life => Judgement::Itself,
        Bearer::Node { .. } | Bearer::Nobody { is_empty: true } => Judgement::Lost,
        Bearer::Nobody { is_empty: false } => Judgement::Stranger,
    }
}

impl Fleet {
    /// Whether somebody who answers at the node's address is the node, as far as that can be told from what it carries.
    pub fn is_itself(&self, node: usize, bearer: Bearer) -> bool {
        is_itself(&self.nodes[node].record, bearer)
    }

    /// Somebody else may answer at the node's address: it is asked who it is before anything else.
    pub fn doubt(&mut self, node: usize) {
        self.nodes[node].is_doubtful = true;
    }

    /// Whom the server says it is, and the number after the newest task that it has. Nodes keep that whatever is deleted, so
    /// it is never older than what is known, unless the node was emptied, or went back to an older copy of its data.
    pub fn newest_answer(&mut self, node: usize, bearer: Bearer, next: NodeTask, now: Monotonic) {
        if !self.topology.is_member(node) {
            return;
        }
        let judgement = judge(&self.nodes[node].record, bearer);
        // Its disk may only not be there yet: as long as nobody else has all it had, it is waited for.
        let is_awaited = judgement == Judgement::Lost && !self.indexes.keys().all(|uid| self.is_spared(node, uid));
        if judgement == Judgement::Stranger || is_awaited {
            self.unreachable(node, now);
            return;
        }
        let state = &mut self.nodes[node];
        state.is_doubtful = false;
        if matches!(bearer, Bearer::Node { life } if life == state.record.life) && !state.record.has_identity {
            state.record.has_identity = true;
            self.pending.nodes.insert(node);
        }
        let state = &mut self.nodes[node];
        if judgement == Judgement::Lost || next < state.next_task {
            self.lost(node, Some(next));
        } else if std::mem::take(&mut state.is_missing) {
            self.lost(node, None);
        }
    }

    /// The node is to be told who it is, before it gets anything of the feeds.
    pub(super) fn turn_for_identity(&mut self, node: usize) -> Option<Action> {
        let state = &mut self.nodes[node];
        if state.record.has_identity {
            return None;
        }
        if state.identifying.is_some() {
            return Some(Action::Wait(state.poll_at));
        }
        state.in_flight = Some(InFlight::Identity);
        Some(Action::Identify { life: state.record.life })
    }

    /// Looks whether the node has got it. If so it is asked what it carries now, since the task may have failed.
    pub(super) fn collect_identity(
        &mut self,
        node: usize,
        asked: &[NodeTask],
        seen: &[SeenTask],
        now: Monotonic,
    ) -> bool {
        let pause = self.timing.backoff_ms.1;
        let state = &mut self.nodes[node];
        let Some(task) = state.identifying else { return false };
        let end = match seen.binary_search_by_key(&task, |seen| seen.task) {
            Ok(found) => seen[found].end.as_ref(),
            // Its end is not known, but it had its turn.
            Err(_) => asked.binary_search(&task).is_ok().then_some(&End::Succeeded),
        };
        let Some(end) = end else { return false };
        if *end != End::Succeeded {
            // No space, perhaps. Each try is a task there.
            state.wait_until = now.plus_ms(pause);
        }
        (state.identifying, state.is_doubtful) = (None, true);
        state.finished.push(task);
        true
    }
}
