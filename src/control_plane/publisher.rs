//! Makes routing snapshots and hands them to the cores.
//!
//! Three sources change what a snapshot says: the coordinator (members, owners, indexes, and which replicas may be read),
//! the prober (addresses, reachability) and the key desk (who may do what). Each publication takes what the other said last, has the next epoch, and wakes the
//! cores. Covering sets are computed here, once for each set of nodes that is out of sync, not per request.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::bridge::Bridge;
use crate::logic::covering::{CoverInput, covering_sets};
use crate::logic::feeder::Publication;
use crate::logic::ids::{Epoch, IndexUid, NodeId, NodeIndexUid, NodeSlot, Timestamp};
use crate::logic::snapshot::{CoveringSet, IndexView, NodeView, RoutingSnapshot, UpdatedAt};
use crate::logic::topology::NodeRecord;
use crate::meili::keys::KeyRing;
use crate::store::IndexRecord;

/// Covering sets that are kept, by who is out of sync, while nothing else changes that they depend on.
const COVERS_MAX: usize = 64;

/// Shared by the threads that publish.
#[derive(Debug)]
pub struct Publisher {
    bridge: Arc<Bridge>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    epoch: Epoch,
    /// Nodes that a publication may name.
    known: HashMap<NodeId, NodeView>,
    table: Table,
    indexes: HashMap<IndexUid, Arc<IndexView>>,
    covers: HashMap<Vec<NodeSlot>, Arc<[CoveringSet]>>,
    keys: Arc<KeyRing>,
}

/// What the last publication said of the fleet.
#[derive(PartialEq, Debug, Default)]
struct Table {
    /// In the order of their slots.
    members: Vec<NodeId>,
    placement: Vec<Vec<NodeSlot>>,
    foreign: Vec<NodeSlot>,
}

impl Table {
    fn of(publication: &Publication) -> Self {
        let slots: HashMap<&NodeId, NodeSlot> = publication.nodes.iter().zip((0..).map(NodeSlot)).collect();
        let slot = |node: &NodeId| slots.get(node).copied();
        let placement = publication.owners.iter().map(|owners| owners.iter().filter_map(slot).collect()).collect();
        let foreign = publication.foreign.iter().filter_map(slot).collect();
        Self { members: publication.nodes.clone(), placement, foreign }
    }
}

impl Publisher {
    /// With nodes that publications may name. Publishes nothing yet.
    pub fn new(bridge: Arc<Bridge>, nodes: Vec<NodeView>) -> Self {
        let known = nodes.into_iter().map(|node| (node.id.clone(), node)).collect();
        Self { bridge, state: Mutex::new(State { known, ..State::default() }) }
    }

    /// Makes a node known, to be called before a publication names it; or changes its URL, zone or weight. A node with a new
    /// URL is asked again when its prober has found the address.
    pub fn set_node(&self, record: &NodeRecord) {
        let mut state = self.state.lock();
        let mut view = NodeView::of(record);
        let old = state.known.get(&record.id);
        if let Some(old) = old.filter(|old| old.url == view.url) {
            (view.address, view.reachable) = (old.address, old.reachable);
        }
        state.known.entry(record.id.clone()).or_insert_with(|| view.clone());
        self.change(&mut state, &record.id, |node| *node = view);
    }

    /// What is known of these nodes, in this order, nodes that are not known left out.
    pub fn nodes(&self, ids: &[NodeId]) -> Vec<NodeView> {
        let state = self.state.lock();
        ids.iter().filter_map(|id| state.known.get(id).cloned()).collect()
    }

    /// Publishes what readers see of the fleet and of the indexes: those records that are visible, read from the owners of
    /// each shard that are not named with the index as out of sync. Returns the epoch that shows it. A node that was a
    /// member and is not any more is forgotten.
    ///
    /// # Panics
    /// If a member was never made known.
    pub fn publish_indexes(&self, records: &[IndexRecord], publication: &Publication) -> Epoch {
        let mut state = self.state.lock();
        let table = Table::of(publication);
        if table != state.table {
            let old = std::mem::replace(&mut state.table, table);
            state.covers.clear();
            for id in old.members.iter().filter(|id| !publication.nodes.contains(id)) {
                state.known.remove(id);
            }
        }
        let visible = records.iter().filter(|record| record.is_visible);
        let views = visible.map(|record| {
            let view = state.index_view(record, &publication.out_of_sync);
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

    /// Publishes the keys of clients. Returns the epoch that shows them.
    pub fn publish_keys(&self, keys: KeyRing) -> Epoch {
        let mut state = self.state.lock();
        state.keys = Arc::new(keys);
        self.publish(&mut state)
    }

    /// Lets `change` change what is known of a node; publishes if it did and readers know the node.
    pub fn publish_node(&self, id: &NodeId, change: impl FnOnce(&mut NodeView)) {
        self.change(&mut self.state.lock(), id, change);
    }

    fn change(&self, state: &mut State, id: &NodeId, change: impl FnOnce(&mut NodeView)) {
        let Some(node) = state.known.get_mut(id) else { return };
        let before = node.clone();
        change(node);
        let is_other = *node != before;
        let is_covered_otherwise = node.reachable != before.reachable;
        if is_other && state.table.members.contains(id) {
            if is_covered_otherwise {
                state.cover_again();
            }
            self.publish(state);
        }
    }

    fn publish(&self, state: &mut State) -> Epoch {
        state.epoch = Epoch(state.epoch.0 + 1);
        // Under the lock: a later epoch is never replaced by an earlier one.
        self.bridge.publish(RoutingSnapshot {
            epoch: state.epoch,
            nodes: state.members().cloned().collect(),
            placement: state.table.placement.clone(),
            foreign: state.table.foreign.clone(),
            indexes: state.indexes.clone(),
            keys: state.keys.clone(),
        });
        state.epoch
    }
}

impl State {
    /// In the order of their slots.
    fn members(&self) -> impl Iterator<Item = &NodeView> {
        let members = self.table.members.iter();
        members.map(|id| self.known.get(id).expect("a node is made known before a publication names it"))
    }

    /// The slots of some members.
    fn slots(&self, is_wanted: impl Fn(&NodeView) -> bool) -> Vec<NodeSlot> {
        let slots = self.members().zip((0..).map(NodeSlot));
        slots.filter(|(node, _)| is_wanted(node)).map(|(_, slot)| slot).collect()
    }

    fn index_view(&mut self, record: &IndexRecord, out_of_sync: &BTreeSet<(NodeId, NodeIndexUid)>) -> IndexView {
        let out_of_sync = self.slots(|node| out_of_sync.contains(&(node.id.clone(), record.node_uid.clone())));
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
        let unreachable = self.slots(|node| !node.reachable);
        let Table { placement, foreign, .. } = &self.table;
        let covers =
            covering_sets(CoverInput { placement, out_of_sync, unreachable: &unreachable, may_hold_foreign: foreign });
        self.covers.insert(out_of_sync.to_vec(), covers.clone());
        covers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::ids::{EntryId, ShardId};
    use crate::logic::topology::NodeState;

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
        let publisher = Publisher::new(bridge.clone(), vec![node("n1"), node("n2")]);
        (bridge, publisher)
    }

    fn publication(members: &[&str], owners: &[&[&str]]) -> Publication {
        let named = |ids: &[&str]| ids.iter().map(|id| NodeId::new(*id)).collect::<Vec<_>>();
        let mut publication = Publication::default();
        publication.nodes = named(members);
        publication.owners = owners.iter().map(|ids| named(ids)).collect();
        publication
    }

    fn of_two() -> Publication {
        publication(&["n1", "n2"], &[&["n1", "n2"], &["n2", "n1"], &["n2"]])
    }

    #[test]
    fn readers_see_visible_indexes_without_replicas_out_of_sync() {
        let (bridge, publisher) = publisher();
        let mut out = of_two();
        out.out_of_sync.insert((NodeId::new("n2"), NodeIndexUid::new("a-0")));
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
        publisher.publish_indexes(&[record("a", true)], &of_two());
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
        publisher.publish_indexes(&[record("a", true)], &of_two());
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

    #[test]
    fn nodes_come_and_go_while_it_runs() {
        let (bridge, publisher) = publisher();
        let records = [record("a", true)];
        publisher.publish_indexes(&records, &of_two());
        let coming = NodeRecord {
            id: NodeId::new("n3"),
            url: "http://n3".to_owned(),
            zone: Some("here".into()),
            weight: 2.0,
            state: NodeState::Active,
            life: 0,
            has_identity: false,
        };
        publisher.set_node(&coming);
        let reach = |id: &str| publisher.publish_node(&NodeId::new(id), |node| node.reachable = true);
        reach("n3");
        assert_eq!(bridge.snapshot.load().epoch, Epoch(1), "no reader knows it yet");
        reach("n1");

        // First as one that may hold what it does not own, then as the owner of what the second had.
        let mut announced = publication(&["n1", "n2", "n3"], &[&["n1", "n2"], &["n2", "n1"], &["n2"]]);
        announced.foreign.insert(NodeId::new("n3"));
        publisher.publish_indexes(&records, &announced);
        let snapshot = bridge.snapshot.load_full();
        assert_eq!((&snapshot.foreign[..], snapshot.nodes[2].zone.as_deref()), (&[NodeSlot(2)][..], Some("here")));
        assert!(snapshot.nodes[2].reachable && snapshot.nodes[2].weight > 1.0);
        let mut switched = publication(&["n1", "n3"], &[&["n1", "n3"], &["n3", "n1"], &["n3"]]);
        switched.foreign = announced.foreign;
        publisher.publish_indexes(&records, &switched);
        let snapshot = bridge.snapshot.load_full();
        assert_eq!(snapshot.nodes.iter().map(|node| node.id.as_str()).collect::<Vec<_>>(), ["n1", "n3"]);
        let parts = || snapshot.indexes[&IndexUid::new("a")].covers.iter().flat_map(|cover| &cover.parts);
        let of_third = parts().filter(|part| part.node == NodeSlot(1)).collect::<Vec<_>>();
        assert!(!of_third.is_empty() && of_third.iter().all(|part| part.filter.is_some()), "{of_third:?}");
        let epoch = snapshot.epoch;
        reach("n2");
        assert_eq!(bridge.snapshot.load().epoch, epoch, "it is forgotten");

        // All is quiet again: it holds exactly its shards.
        switched.foreign.clear();
        publisher.publish_indexes(&records, &switched);
        let snapshot = bridge.snapshot.load_full();
        let covers = &snapshot.indexes[&IndexUid::new("a")].covers;
        assert!(covers.iter().any(|cover| cover.parts.len() == 1 && cover.parts[0].filter.is_none()));
        publisher.set_node(&NodeRecord { url: "http://elsewhere".to_owned(), ..coming });
        let moved = &bridge.snapshot.load().nodes[1];
        assert_eq!((&*moved.url, moved.address, moved.reachable), ("http://elsewhere", None, false));
    }
}
