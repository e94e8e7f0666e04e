//! What goes wrong and is tried again, for operators: noted by the coordinator, shown by the admin API.
//!
//! A trouble is one thing that does not get on: the store that cannot be written, or a write of an index that a node (or,
//! before it is sent, the fleet) does not take. It is dated from its first failure and forgotten once it gets on. In
//! memory only: after a restart it is found again by being tried.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Serialize, Serializer};

use super::drift::Drifts;
use crate::logic::ids::{EntryId, IndexUid, NodeId, NodeIndexUid, Position, Timestamp};
use crate::meili::dates::rfc3339;

/// Shared by the coordinator and the admin API.
#[derive(Clone, Debug, Default)]
pub struct Troubles(Arc<Mutex<Noted>>, Drifts);

/// By place: the node (none while it concerns the fleet) and the index.
pub type Place = (Option<NodeId>, NodeIndexUid);

#[derive(Debug, Default)]
struct Noted {
    store: Option<StoreTrouble>,
    quarantines: Vec<Quarantine>,
    differences: usize,
    writes: BTreeMap<Place, (Position, HeldUp)>,
}

/// The store cannot be written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct StoreTrouble {
    /// What it said last.
    pub error: String,
    /// The first failure.
    #[serde(serialize_with = "as_date")]
    pub since: Timestamp,
}

/// A node that gets nothing for a while: a request whose answer is not known may still arrive there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Quarantine {
    /// Which.
    pub node: NodeId,
    /// Earlier, when the request turns up.
    #[serde(serialize_with = "as_date")]
    pub until: Timestamp,
}

/// A write that is tried again and again; later ones of its index wait behind it there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HeldUp {
    /// Where; none: before any node got it.
    pub node: Option<NodeId>,
    /// The client's name.
    pub index: IndexUid,
    /// The client's `taskUid`.
    pub task: Option<EntryId>,
    /// What was said last.
    pub error: String,
    /// The first failure.
    #[serde(serialize_with = "as_date")]
    pub since: Timestamp,
    /// How often.
    pub failures: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn as_date<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at))
}

impl Troubles {
    /// What nodes have otherwise than Miroir made it.
    pub fn drifts(&self) -> &Drifts {
        &self.1
    }

    /// The store failed.
    pub fn store_failed(&self, error: String, at: Timestamp) {
        let mut noted = self.0.lock();
        let since = noted.store.as_ref().map_or(at, |trouble| trouble.since);
        noted.store = Some(StoreTrouble { error, since });
    }

    /// The store works.
    pub fn store_works(&self) {
        self.0.lock().store = None;
    }

    /// What is wrong with the store.
    pub fn store(&self) -> Option<StoreTrouble> {
        self.0.lock().store.clone()
    }

    /// All nodes that wait.
    pub fn wait(&self, quarantines: Vec<Quarantine>) {
        self.0.lock().quarantines = quarantines;
    }

    /// Nodes that get nothing for a while.
    pub fn quarantines(&self) -> Vec<Quarantine> {
        self.0.lock().quarantines.clone()
    }

    /// So many shards, or places, are known not to be as they should be ([`crate::logic::feeder::Fleet::differing`]).
    pub fn differ(&self, differences: usize) {
        self.0.lock().differences = differences;
    }

    /// How many.
    pub fn differences(&self) -> usize {
        self.0.lock().differences
    }

    /// A step failed at a node, or, without one, could not be made ready.
    pub fn held_up(&self, place: Place, position: Position, (index, error): (IndexUid, String), at: Timestamp) {
        let mut noted = self.0.lock();
        let before = noted.writes.get(&place).filter(|(before, _)| *before == position);
        let (since, failures) = before.map_or((at, 0), |(_, held)| (held.since, held.failures));
        let node = place.0.clone();
        let held = HeldUp { node, index, task: position.entry(), error, since, failures: failures + 1 };
        noted.writes.insert(place, (position, held));
    }

    /// Everything up to this position got on there.
    pub fn got_on(&self, place: &Place, position: Position) {
        let mut noted = self.0.lock();
        if noted.writes.get(place).is_some_and(|(held_up, _)| *held_up <= position) {
            noted.writes.remove(place);
        }
    }

    /// The index is gone.
    pub fn forget(&self, index: &NodeIndexUid) {
        self.0.lock().writes.retain(|(_, other), _| other != index);
    }

    /// The node is no member any more.
    pub fn forget_node(&self, node: &NodeId) {
        self.0.lock().writes.retain(|(other, _), _| other.as_ref() != Some(node));
    }

    /// Writes that do not get on.
    pub fn writes(&self) -> Vec<HeldUp> {
        self.0.lock().writes.values().map(|(_, held)| held.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_dated_from_its_first_failure_and_ends_when_it_gets_on() {
        let troubles = Troubles::default();
        let place = (Some(NodeId::new("n1")), NodeIndexUid::new("a-0"));
        let (first, second) = (Position::of(EntryId(3), 0), Position::of(EntryId(4), 0));
        let fail = |position, error: &str, at| {
            let what = (IndexUid::new("a"), error.to_owned());
            troubles.held_up(place.clone(), position, what, Timestamp(at));
        };
        fail(first, "disk full", 1_000_000);
        fail(first, "internal", 2_000_000);
        let shown = serde_json::to_value(troubles.writes()).unwrap();
        let expected = serde_json::json!([{
            "node": "n1", "index": "a", "task": 3, "error": "internal", "since": "1970-01-01T00:00:01Z", "failures": 2,
        }]);
        assert_eq!(shown, expected);
        fail(second, "internal", 3_000_000);
        assert_eq!(troubles.writes()[0].since, Timestamp(3_000_000), "another write, another trouble");
        troubles.got_on(&place, first);
        assert_eq!(troubles.writes().len(), 1);
        troubles.got_on(&place, second);
        assert_eq!(troubles.writes(), []);
        fail(first, "internal", 4_000_000);
        troubles.forget(&place.1);
        assert_eq!(troubles.writes(), []);

        fail(first, "internal", 5_000_000);
        troubles.forget_node(&NodeId::new("n2"));
        assert_eq!(troubles.writes().len(), 1);
        troubles.forget_node(&NodeId::new("n1"));
        assert_eq!(troubles.writes(), []);

        troubles.store_failed("full".to_owned(), Timestamp(1));
        troubles.store_failed("still full".to_owned(), Timestamp(2));
        let store = troubles.store().expect("it fails");
        assert_eq!((store.error.as_str(), store.since), ("still full", Timestamp(1)));
        troubles.store_works();
        assert_eq!(troubles.store(), None);
    }
}
