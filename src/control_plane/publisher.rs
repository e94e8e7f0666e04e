//! Makes routing snapshots and hands them to the cores.
//!
//! Two sources change what a snapshot says: the coordinator (indexes, and which replicas may be read) and the prober
//! (addresses, reachability). Each publication takes what the other said last, has the next epoch, and wakes the cores.
//! Covering sets are computed here, once for each set of nodes that is out of sync or unreachable, not per request.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::bridge::Bridge;
use crate::logic::covering::{CoverInput, covering_sets};
use crate::logic::ids::{Epoch, IndexUid, NodeId, NodeIndexUid, NodeSlot, Timestamp};
use crate::logic::snapshot::{CoveringSet, IndexView, NodeView, RoutingSnapshot, UpdatedAt};
use crate::store::IndexRecord;

/// Covering sets that are kept, by who is out of sync while the same nodes are unreachable.
const COVERS_MAX: usize = 64;

/// Shared by the threads that publish.
#[derive(Debug)]
pub struct Publisher {
    bridge: Arc<Bridge>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    epoch: Epoch,
    nodes: Vec<NodeView>,
    placement: Vec<Vec<NodeSlot>>,
    indexes: HashMap<IndexUid, Arc<IndexView>>,
    covers: HashMap<Vec<NodeSlot>, Arc<[CoveringSet]>>,
}

impl Publisher {
    /// Nodes in the order of their slots; by shard, the nodes that hold it. Publishes nothing yet.
    pub fn new(bridge: Arc<Bridge>, nodes: Vec<NodeView>, placement: &[Vec<NodeId>]) -> Self {
        let slot = |id: &NodeId| nodes.iter().position(|node| node.id == *id).map(|slot| NodeSlot(slot as u16));
        let placement = placement.iter().map(|holders| holders.iter().filter_map(slot).collect()).collect();
        let state = State { epoch: Epoch(0), nodes, placement, indexes: HashMap::new(), covers: HashMap::new() };
        Self { bridge, state: Mutex::new(state) }
    }

    /// Publishes what readers see of the indexes: those records that are visible, read from every node that is not
    /// named with it in `out_of_sync`. Returns the epoch that shows it.
    pub fn publish_indexes(&self, records: &[IndexRecord], out_of_sync: &BTreeSet<(NodeId, NodeIndexUid)>) -> Epoch {
        let mut state = self.state.lock();
        let visible = records.iter().filter(|record| record.is_visible);
        let views = visible.map(|record| {
            let view = state.index_view(record, out_of_sync);
            (record.uid.clone(), Arc::new(view))
        });
        state.indexes = views.collect();
        self.publish(&mut state)
    }

    /// Shows that documents of an index changed, in the snapshot that is there.
    pub fn show_update(&self, uid: &IndexUid, node_uid: &NodeIndexUid, at: Timestamp) {
        let state = self.state.lock();
        if let Some(view) = state.indexes.get(uid).filter(|view| view.node_uid == *node_uid) {
            view.updated_at.raise(at);
        }
    }

    /// Lets `change` change what is known of a node; publishes if it did.
    pub fn publish_node(&self, id: &NodeId, change: impl FnOnce(&mut NodeView)) {
        let mut state = self.state.lock();
        let Some(node) = state.nodes.iter_mut().find(|node| node.id == *id) else { return };
        let before = node.clone();
        change(node);
        if *node == before {
            return;
        }
        if node.reachable != before.reachable {
            state.cover_again();
        }
        self.publish(&mut state);
    }

    fn publish(&self, state: &mut State) -> Epoch {
        state.epoch = Epoch(state.epoch.0 + 1);
        let snapshot = RoutingSnapshot {
            epoch: state.epoch,
            nodes: state.nodes.clone(),
            placement: state.placement.clone(),
            indexes: state.indexes.clone(),
        };
        // Under the lock: a later epoch is never replaced by an earlier one.
        self.bridge.publish(snapshot);
        state.epoch
    }
}

impl State {
    fn index_view(&mut self, record: &IndexRecord, out_of_sync: &BTreeSet<(NodeId, NodeIndexUid)>) -> IndexView {
        let is_out = |node: &NodeView| out_of_sync.contains(&(node.id.clone(), record.node_uid.clone()));
        let slots = self.nodes.iter().zip(0..).filter(|(node, _)| is_out(node));
        let out_of_sync: Vec<NodeSlot> = slots.map(|(_, slot)| NodeSlot(slot)).collect();
        let covers = self.covers(&out_of_sync);
        IndexView {
            uid: record.uid.clone(),
            node_uid: record.node_uid.clone(),
            primary_key: record.primary_key.as_deref().map(Arc::from),
            settings: Arc::new(record.settings.clone()),
            created_at: record.created_at,
            updated_at: UpdatedAt::new(record.updated_at),
            out_of_sync,
            covers,
        }
    }

    /// All indexes are covered anew: other nodes are reachable.
    fn cover_again(&mut self) {
        self.covers.clear();
        let indexes = std::mem::take(&mut self.indexes);
        let covered = indexes.into_iter().map(|(uid, view)| {
            let covers = self.covers(&view.out_of_sync);
            (uid, Arc::new(IndexView { covers, ..IndexView::clone(&view) }))
        });
        self.indexes = covered.collect();
    }

    fn covers(&mut self, out_of_sync: &[NodeSlot]) -> Arc<[CoveringSet]> {
        if let Some(covers) = self.covers.get(out_of_sync) {
            return covers.clone();
        }
        if self.covers.len() >= COVERS_MAX {
            self.covers.clear();
        }
        let slots = self.nodes.iter().zip(0..).filter(|(node, _)| !node.reachable);
        let unreachable: Vec<NodeSlot> = slots.map(|(_, slot)| NodeSlot(slot)).collect();
        let input =
            CoverInput { placement: &self.placement, out_of_sync, unreachable: &unreachable, may_hold_foreign: &[] };
        let covers = covering_sets(input);
        self.covers.insert(out_of_sync.to_vec(), covers.clone());
        covers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::ids::{EntryId, ShardId};

    fn node(id: &str) -> NodeView {
        NodeView {
            id: NodeId::new(id),
            url: format!("http://{id}"),
            address: None,
            zone: None,
            weight: 1.0,
            reachable: false,
        }
    }

    fn record(uid: &str, is_visible: bool) -> IndexRecord {
        IndexRecord {
            uid: IndexUid::new(uid),
            node_uid: NodeIndexUid::new(format!("{uid}-0")),
            created_by: EntryId(0),
            dropped_by: None,
            primary_key: Some("id".to_owned()),
            settings: serde_json::Map::new(),
            created_at: Timestamp(1),
            updated_at: Timestamp(1),
            is_visible,
        }
    }

    fn publisher() -> (Arc<Bridge>, Publisher) {
        let (bridge, _commands) = Bridge::new(1);
        let (n1, n2) = (NodeId::new("n1"), NodeId::new("n2"));
        let placement = [vec![n1.clone(), n2.clone()], vec![n2.clone(), n1], vec![n2]];
        let publisher = Publisher::new(bridge.clone(), vec![node("n1"), node("n2")], &placement);
        (bridge, publisher)
    }

    #[test]
    fn readers_see_visible_indexes_without_replicas_out_of_sync() {
        let (bridge, publisher) = publisher();
        let out = BTreeSet::from([(NodeId::new("n2"), NodeIndexUid::new("a-0"))]);
        let epoch = publisher.publish_indexes(&[record("a", true), record("b", true), record("c", false)], &out);
        let snapshot = bridge.snapshot.load_full();
        assert_eq!((snapshot.epoch, epoch), (Epoch(1), Epoch(1)));
        assert_eq!(snapshot.indexes.len(), 2);
        let a = &snapshot.indexes[&IndexUid::new("a")];
        assert_eq!(a.out_of_sync, [NodeSlot(1)]);
        assert!(a.covers.iter().all(|cover| cover.missing == [ShardId(2)]));
        let b = &snapshot.indexes[&IndexUid::new("b")];
        assert!(b.covers.iter().all(|cover| cover.missing.is_empty()));
    }

    #[test]
    fn an_update_shows_without_a_new_snapshot_and_never_goes_back() {
        let (bridge, publisher) = publisher();
        publisher.publish_indexes(&[record("a", true)], &BTreeSet::new());
        let snapshot = bridge.snapshot.load_full();
        let show = |node_uid: &str, at| {
            publisher.show_update(&IndexUid::new("a"), &NodeIndexUid::new(node_uid), Timestamp(at));
            snapshot.indexes[&IndexUid::new("a")].updated_at.get()
        };
        assert_eq!([show("a-0", 5), show("a-0", 4)], [Timestamp(5), Timestamp(5)]);
        assert_eq!(show("a-1", 9), Timestamp(5), "another index of that name");
    }

    #[test]
    fn a_node_is_published_only_when_it_changed() {
        let (bridge, publisher) = publisher();
        publisher.publish_indexes(&[record("a", true)], &BTreeSet::new());
        let seen = |reachable| publisher.publish_node(&NodeId::new("n1"), |node| node.reachable = reachable);
        seen(false);
        assert_eq!(bridge.snapshot.load().epoch, Epoch(1));
        seen(true);
        let snapshot = bridge.snapshot.load_full();
        assert_eq!(snapshot.epoch, Epoch(2));
        // The second node is not reachable: only its own shard is asked of it.
        let cover = &snapshot.indexes[&IndexUid::new("a")].covers[0];
        assert!(snapshot.nodes[0].reachable && cover.parts[0].node == NodeSlot(0) && cover.parts[0].shards.len() == 2);
    }
}
