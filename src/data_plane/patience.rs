//! How long a node is waited for that the prober cannot reach, when nobody can stand in for it.
//!
//! It may be dead, or only slow. So it gets all the time that is left, like any other, until it has let such a time pass in
//! silence: from then on it gets a small part, or a dead node would hold up every answer. Now and then one request is
//! patient again, and any answer makes an end of it.

use std::cell::RefCell;
use std::collections::HashMap;

use super::upstream::{NodeResponse, UpstreamError};
use crate::logic::ids::{Monotonic, NodeId};
use crate::logic::snapshot::NodeView;

/// The part of the time left that a silent node gets.
const SILENT_SHARE: u64 = 20;

/// Between two patient requests to a silent node, in milliseconds.
const PATIENT_EVERY_MS: u64 = 30_000;

/// What a core remembers of nodes that it waited for in vain.
#[derive(Debug, Default)]
pub struct Patience {
    /// When the next request to it is patient again.
    silent: RefCell<HashMap<NodeId, Monotonic>>,
}

impl Patience {
    /// Until when to wait for an answer of this node that is needed before the deadline.
    pub fn with(&self, node: &NodeView, now: Monotonic, deadline: Monotonic) -> Monotonic {
        if node.reachable {
            return deadline;
        }
        match self.silent.borrow_mut().get_mut(&node.id) {
            None => deadline,
            Some(again) if *again <= now => {
                *again = now.plus_ms(PATIENT_EVERY_MS);
                deadline
            }
            Some(_) => now.plus_ms(deadline.0.saturating_sub(now.0) / SILENT_SHARE),
        }
    }

    /// What came of a request that was waited for until then.
    pub fn note(&self, node: &NodeId, outcome: &Result<NodeResponse, UpstreamError>, now: Monotonic) {
        match outcome {
            Ok(_) => drop(self.silent.borrow_mut().remove(node)),
            Err(UpstreamError::TimedOut { .. }) => {
                self.silent.borrow_mut().entry(node.clone()).or_insert(now.plus_ms(PATIENT_EVERY_MS));
            }
            // It says something, or nothing was sent to it: that takes no time.
            Err(
                UpstreamError::Unresolved { .. }
                | UpstreamError::Unreachable { .. }
                | UpstreamError::Broken { .. }
                | UpstreamError::Busy { .. }
                | UpstreamError::TooLarge { .. },
            ) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Monotonic = Monotonic(1_000_000);

    fn deadline(now: Monotonic) -> Monotonic {
        now.plus_ms(10_000)
    }

    fn node(reachable: bool) -> NodeView {
        let (id, url) = (NodeId::new("n"), "http://n".to_owned());
        NodeView { id, url, address: None, zone: None, weight: 1.0, reachable }
    }

    #[test]
    fn a_node_has_all_the_time_until_it_has_let_it_pass_in_silence() {
        let patience = Patience::default();
        let wait = |now: Monotonic| patience.with(&node(false), now, deadline(now)).0 - now.0;
        let note = |outcome: Result<NodeResponse, UpstreamError>, now| patience.note(&node(false).id, &outcome, now);
        let timed_out = || Err(UpstreamError::TimedOut { node: node(false).id });
        assert_eq!(wait(NOW), 10_000, "it may only be slow");
        note(Err(UpstreamError::Unreachable { node: node(false).id, reason: "refused".to_owned() }), NOW);
        assert_eq!(wait(NOW), 10_000);
        note(timed_out(), deadline(NOW));
        assert_eq!(wait(deadline(NOW)), 500);
        assert_eq!(patience.with(&node(true), NOW, deadline(NOW)), deadline(NOW), "the prober has reached it");
        // A short try that comes to nothing does not put off the next patient one.
        note(timed_out(), deadline(NOW).plus_ms(20_000));
        let later = deadline(NOW).plus_ms(PATIENT_EVERY_MS);
        assert_eq!((wait(later), wait(later)), (10_000, 500), "one of many");
        note(Ok(NodeResponse { status: 200, body: "{}".into() }), later);
        assert_eq!(wait(later), 10_000);
    }
}
