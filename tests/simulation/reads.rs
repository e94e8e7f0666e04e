//! Readers: what a core goes by, and searches that take time. A search takes the snapshot of its core when it begins
//! and holds it to its end; each node is asked at a later moment, and another one is asked when that fails.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use miroir::logic::covering::{CoverInput, cover_again, covering_sets};
use miroir::logic::feeder::{Publication, ReaderProgress, ReportStatus};
use miroir::logic::ids::{EntryId, Epoch, NodeId, NodeIndexUid, NodeSlot, ShardId};
use miroir::logic::snapshot::CoverPart;

use crate::checks::touches;
use crate::documents::{Doc, IDS, is_between};
use crate::durable::Record;
use crate::options::Bug;
use crate::oracle::SHARDS;
use crate::random::Random;
use crate::world::{Checked, World, violated};

/// What a core goes by. Nodes are numbered as in the world.
#[derive(Clone, Default)]
pub struct View {
    pub epoch: Epoch,
    /// When it was published.
    pub since: u64,
    pub out: BTreeSet<(NodeId, NodeIndexUid)>,
    pub names: BTreeMap<String, NodeIndexUid>,
    /// By shard.
    pub owners: Vec<Vec<NodeSlot>>,
    /// Always asked with the filter.
    pub foreign: Vec<NodeSlot>,
}

/// Searches under way.
pub struct Reads {
    /// Not the world's: what is read changes nothing of what is written.
    pub random: Random,
    pub running: Vec<Read>,
}

/// A search.
pub struct Read {
    pub view: Rc<View>,
    pub index: NodeIndexUid,
    /// By document: the last entry that touches it and was reported when this began.
    since: Vec<Option<EntryId>>,
    /// The index had another name from this entry on, of which this does not know.
    before: Option<EntryId>,
    /// To be asked, and when.
    parts: Vec<(u64, CoverPart)>,
    failed: Vec<NodeSlot>,
    /// Shards that no node can answer for.
    missing: BTreeSet<ShardId>,
    found: BTreeMap<usize, (NodeSlot, Doc)>,
}

impl View {
    pub fn new(
        (epoch, since): (Epoch, u64),
        publication: &Publication,
        names: BTreeMap<String, NodeIndexUid>,
        ids: &[NodeId],
    ) -> Self {
        let slot = |id: &NodeId| {
            assert!(publication.nodes.contains(id), "readers are told only of members");
            NodeSlot(ids.iter().position(|other| other == id).expect("the world has all nodes") as u16)
        };
        Self {
            epoch,
            since,
            out: publication.out_of_sync.clone(),
            names,
            owners: publication.owners.iter().map(|owners| owners.iter().map(slot).collect()).collect(),
            foreign: publication.foreign.iter().map(slot).collect(),
        }
    }

    pub fn is_owner(&self, node: usize, shard: ShardId) -> bool {
        self.owners[usize::from(shard.0)].contains(&NodeSlot(node as u16))
    }
}

impl World {
    /// Searches begin and go on.
    pub fn read(&mut self) -> Checked {
        if self.options.is_without_oracle() {
            return Ok(()); // No rule closes this window, see docs/FEEDER-PROTOCOL.md.
        }
        if self.reads.random.chance(0.3) {
            self.begin_read()?;
        }
        for mut read in std::mem::take(&mut self.reads.running) {
            let (due, later): (Vec<_>, Vec<_>) = read.parts.drain(..).partition(|(at, _)| *at <= self.now);
            read.parts = later;
            for (_, part) in due {
                self.ask(&mut read, &part)?;
            }
            if read.parts.is_empty() {
                self.check_read(&read)?;
            } else {
                self.reads.running.push(read);
            }
        }
        Ok(())
    }

    /// What is acknowledged, and what no running search holds any more.
    pub fn progress(&self) -> ReaderProgress {
        let acknowledged = self.cores.iter().map(|core| core.epoch).min().expect("there are cores");
        let held = self.reads.running.iter().map(|read| read.view.epoch).chain(self.dumps.held()).min();
        ReaderProgress { acknowledged, drained: held.map_or(acknowledged, |held| held.min(acknowledged)) }
    }

    fn begin_read(&mut self) -> Checked {
        let view = self.cores[self.reads.random.below(self.cores.len())].clone();
        let name = self.reads.random.pick(&["a", "b"]);
        self.check_name(&view, name)?;
        let Some(index) = view.names.get(name).cloned() else { return Ok(()) };
        let is_done = |record: &&Record| {
            record.entry.target.as_ref() == Some(&index)
                && matches!(record.outcome, Some(ReportStatus::Succeeded | ReportStatus::Failed(_)))
        };
        let done: Vec<&Record> = self.durable.records.iter().filter(is_done).collect();
        let last = |doc| Some(done.iter().rfind(|record| touches(record, doc))?.entry.id);
        let since = (0..IDS).map(last).collect();
        let out = if self.options.bug == Bug::ReadsLagging { Vec::new() } else { self.slots_out(&view, &index) };
        // The prober may be wrong.
        let is_avoided = self.reads.random.chance(0.7);
        let down: Vec<NodeSlot> = self.slots().filter(|slot| !self.nodes[usize::from(slot.0)].answers()).collect();
        let unreachable = if is_avoided { &down[..] } else { &[] };
        let sets = covering_sets(input(&view, &out, unreachable));
        let set = sets[self.reads.random.below(sets.len())].clone();
        let parts = set.parts.into_iter().map(|part| (self.soon(), part)).collect();
        let missing = set.missing.into_iter().collect();
        let found = BTreeMap::new();
        let before = self.durable.unreported_renaming(&index, name);
        self.reads.running.push(Read { view, index, since, before, parts, failed: Vec::new(), missing, found });
        Ok(())
    }

    /// When a node is asked: mostly at once, sometimes much later.
    fn soon(&mut self) -> u64 {
        let most = if self.reads.random.chance(0.05) { 60 } else { 4 };
        self.now + self.reads.random.between(0, most)
    }

    fn slots(&self) -> impl Iterator<Item = NodeSlot> {
        (0..self.nodes.len() as u16).map(NodeSlot)
    }

    fn slots_out(&self, view: &View, index: &NodeIndexUid) -> Vec<NodeSlot> {
        let is_out = |slot: &NodeSlot| view.out.contains(&(self.ids[usize::from(slot.0)].clone(), index.clone()));
        self.slots().filter(is_out).collect()
    }

    /// R1: a core knows the index that was last reported.
    fn check_name(&self, view: &View, name: &str) -> Checked {
        let is_done = |record: &&Record| {
            record.entry.index.as_ref().is_some_and(|index| index.as_str() == name)
                && matches!(record.outcome, Some(ReportStatus::Succeeded | ReportStatus::Failed(_)))
        };
        let head = self.durable.head(name);
        if self.durable.are_names_settled() && view.names.get(name) != head.as_ref() {
            let known = view.names.get(name);
            return violated(format!("R1: a core reads {known:?} as {name}, which is {head:?}"));
        }
        let is_renamed = head.as_ref().is_some_and(|head| self.durable.unreported_renaming(head, "").is_some());
        let Some(last) = self.durable.records.iter().rev().find(is_done).filter(|_| !is_renamed) else {
            return Ok(());
        };
        if head.is_some() && last.entry.target == head && view.names.get(name) != head.as_ref() {
            return violated(format!(
                "R1: a core reads {:?}, entry {} is in {head:?}",
                view.names.get(name),
                last.entry.id
            ));
        }
        Ok(())
    }

    /// A node answers its part of a search.
    fn ask(&mut self, read: &mut Read, part: &CoverPart) -> Checked {
        let node = usize::from(part.node.0);
        if !self.nodes[node].answers() {
            read.failed.push(part.node);
            let out = self.slots_out(&read.view, &read.index);
            let again = cover_again(input(&read.view, &out, &[]), &part.shards, &read.failed);
            for part in again.parts {
                read.parts.push((self.soon(), part));
            }
            read.missing.extend(again.missing);
            return Ok(());
        }
        if self.is_deceived(&read.view, node, &read.index) {
            read.missing.extend(&part.shards);
            return Ok(());
        }
        let index = self.nodes[node].indexes.get(&read.index);
        if index.is_none() && !self.oracle.live.contains_key(&read.index) {
            // The search began before the index was hidden.
            read.missing.extend(&part.shards);
            return Ok(());
        }
        for (&id, &doc) in index.iter().flat_map(|index| &index.docs) {
            let is_wanted = part.shards.contains(&shard_of(id));
            if !is_wanted && part.filter.is_some() {
                continue;
            }
            let other = read.found.insert(id, (part.node, doc));
            if (!is_wanted || other.is_some()) && !self.is_damaged(&read.index, id) {
                let (index, epoch) = (&read.index, read.view.epoch);
                return violated(format!(
                    "R1/R4: n{node} asked for {:?} of {index} in epoch {epoch} answers document {id}, too: {other:?}",
                    part.shards
                ));
            }
        }
        Ok(())
    }

    /// R1 and read your writes: an answer has what was reported when the search began.
    fn check_read(&self, read: &Read) -> Checked {
        for id in (0..IDS).filter(|&id| !read.missing.contains(&shard_of(id))) {
            let seen = read.found.get(&id).copied();
            let since = read.since[id];
            let range = (since.unwrap_or_default(), read.before);
            let mut allowed = self.oracle.allowed_between(&read.index, id, range);
            // Not even the creation of the index was reported.
            allowed.extend(since.is_none().then_some(None));
            if !is_between(seen.map(|(_, doc)| doc), &allowed) && !self.is_damaged(&read.index, id) {
                let index = &read.index;
                return violated(format!(
                    "RYW read: {index} document {id} is {seen:?}, since entry {since:?}: {allowed:?}"
                ));
            }
        }
        Ok(())
    }
}

fn input<'a>(view: &'a View, out: &'a [NodeSlot], unreachable: &'a [NodeSlot]) -> CoverInput<'a> {
    CoverInput { placement: &view.owners, out_of_sync: out, unreachable, may_hold_foreign: &view.foreign }
}

pub fn shard_of(document: usize) -> ShardId {
    ShardId((document % SHARDS) as u16)
}
