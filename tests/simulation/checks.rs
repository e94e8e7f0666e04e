//! The invariants, named as in the design.

use miroir::logic::feeder::{Alarm, Changes, Report, ReportStatus};
use miroir::logic::ids::{EntryId, NodeId, NodeIndexUid};
use miroir::logic::topology::Tables;

use crate::audits::CLAIMED;
use crate::documents::{Doc, Docs, IDS, is_between};
use crate::durable::Record;
use crate::node::{Index, Request, Work};
use crate::options::Storm;
use crate::oracle::{SHARDS, Wish};
use crate::reads::{View, shard_of};
use crate::world::{Checked, World, violated};

impl World {
    /// J4: a task ends as on one server, and every replica that may be read shows it.
    pub fn check_report(&mut self, report: &Report) -> Checked {
        let id = report.entry;
        let expected = self.oracle.succeeded.get(&id).copied();
        let is_success = match report.status {
            ReportStatus::Canceled(_) => {
                self.replay_oracle();
                return Ok(());
            }
            ReportStatus::Succeeded => true,
            // Somebody was away for too long.
            ReportStatus::Failed(_) if self.durable.record(id).wish == Wish::Dump => return Ok(()),
            ReportStatus::Failed(_) => false,
        };
        if expected != Some(is_success) && self.options.is_without_oracle() {
            // What comes too late may have been in a batch with this, or in its way, before anybody could see it.
            if !self.options.is_strict {
                self.diverted.extend(self.durable.record(id).entry.target.clone());
            }
        } else if expected != Some(is_success) {
            return violated(format!("J4: entry {id} reported {is_success}, one server says {expected:?}"));
        }
        let record = self.durable.record(id);
        let Some(uid) = record.entry.target.clone() else { return Ok(()) };
        if record.wish == Wish::Drop || self.oracle_name(record).as_ref() != Some(&uid) {
            return Ok(());
        }
        for core in &self.cores {
            for node in 0..self.nodes.len() {
                for doc in 0..IDS {
                    if self.is_read(core, node, &uid, doc) && touches(record, doc) {
                        self.check_document(node, &uid, doc, id)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn oracle_name(&self, record: &Record) -> Option<NodeIndexUid> {
        self.durable.head(record.entry.index.as_ref()?.as_str())
    }

    fn is_read(&self, core: &View, node: usize, uid: &NodeIndexUid, doc: usize) -> bool {
        let is_out = core.out.contains(&(self.ids[node].clone(), uid.clone()));
        let is_there = !self.gone.contains(&node) && !self.is_deceived(core, node, uid);
        core.is_owner(node, shard_of(doc)) && !is_out && is_there
    }

    fn check_document(&self, node: usize, uid: &NodeIndexUid, doc: usize, since: EntryId) -> Checked {
        // No rule closes the window of requests far too late, see docs/FEEDER-PROTOCOL.md.
        if self.options.is_without_oracle() || self.is_damaged(uid, doc) {
            return Ok(());
        }
        let seen = self.nodes[node].indexes.get(uid).and_then(|index| index.docs.get(&doc).copied());
        let allowed = self.oracle.allowed(uid, doc, since);
        if is_between(seen, &allowed) {
            return Ok(());
        }
        violated(format!("J4 at the report: n{node} {uid} document {doc} is {seen:?}, since entry {since} {allowed:?}"))
    }

    /// M1: no switch leaves a shard with fewer replicas in sync than it had, or than it is to have.
    pub fn check_switch(&self, before: &Tables, changes: &Changes) -> Checked {
        let Tables { owners, plan, .. } = &self.durable.tables;
        let pairs = before.owners.iter().zip(owners).enumerate();
        for (shard, (old_owners, new_owners)) in pairs.filter(|(_, (old, new))| old != new) {
            // The plan may have changed after the switch in the same transaction.
            let wanted = plan[shard].len().min(before.plan[shard].len());
            for uid in self.oracle.live.keys() {
                let is_in = |id: &&NodeId| {
                    let key = ((*id).clone(), uid.clone());
                    // It may have left after the switch in the same transaction.
                    !self.durable.out.contains(&key) || changes.went_out.contains(&key)
                };
                let (old, new) = (
                    old_owners.iter().filter(is_in).filter(|id| self.durable.is_member(id)).count(),
                    new_owners.iter().filter(is_in).count(),
                );
                if new < old.min(wanted) {
                    let out = &self.durable.out;
                    return violated(format!(
                        "M1: shard {shard} of {uid}: {old_owners:?} to {new_owners:?}, out {out:?}"
                    ));
                }
            }
        }
        let mut owners = owners.iter().flatten();
        match owners.find(|owner| !self.durable.is_member(owner)) {
            Some(owner) => violated(format!("C1: {owner} owns a shard and is no member")),
            None => Ok(()),
        }
    }

    /// M2: documents are deleted by marker only where nobody reads them.
    pub fn check_mark(&self, node: usize, request: &Request) -> Checked {
        let (Work::Mark(shards), index) = (&request.work, &request.index) else { return Ok(()) };
        let key = (self.ids[node].clone(), index.clone());
        let running = self.reads.running.iter().filter(|read| read.index == *index).map(|read| &read.view);
        let cores = self.cores.iter().filter(|view| view.names.values().any(|uid| uid == index));
        for view in cores.chain(running).filter(|view| !view.out.contains(&key)) {
            if let Some(shard) = shards.iter().find(|shard| view.is_owner(node, **shard)) {
                let epoch = view.epoch;
                return violated(format!(
                    "M2: a mark of shard {shard} of {index} on n{node}, which is read in epoch {epoch}"
                ));
            }
        }
        Ok(())
    }

    /// C1: replicas are equal to what one server has, and have nothing else. C2: what was deleted is gone. Alarms that must not be.
    pub fn check_end(&self) -> Checked {
        for alarm in &self.alarms {
            let is_given_up = match alarm {
                Alarm::Retried { .. } => continue,
                Alarm::FarStranger { .. } => self.options.is_far,
                Alarm::LateRejection { .. } if self.options.storm == Storm::Embedders => continue,
                Alarm::LateRejection { node, index, .. } | Alarm::Stuck { node, index, .. } => {
                    self.durable.rebuild.contains(&(node.clone(), index.clone())) || self.is_given_up(index)
                }
                Alarm::NodeLost { node } if self.place(node).is_some_and(|node| self.losses.contains_key(&node)) => {
                    continue;
                }
                Alarm::NodeLost { .. } | Alarm::Foreign { .. } => self.options.is_far,
                // A node is down; a chunk fails with its neighbours.
                Alarm::LookFailed { .. } | Alarm::CopyFailed { .. } => continue,
                // A bad document makes a node reject all settings, those that it has too.
                Alarm::Mended { .. } | Alarm::MendRejected { .. } | Alarm::NotCompacted { .. } => continue,
                // One shard's part always fits.
                Alarm::TooLarge { .. } => false,
                Alarm::CopyDiffers { .. } if self.options.storm == Storm::Slips => continue,
                // The source was touched behind a barrier.
                Alarm::CopyDiffers { index, .. } => self.is_given_up(index),
                // It was claimed, and nothing else may be found.
                Alarm::ReplicasDiffer { documents: CLAIMED, .. } => continue,
                Alarm::ReplicasDiffer { index, shard, .. } | Alarm::Strays { index, shard: Some(shard), .. }
                    if self.damaged.contains_key(&(index.clone(), *shard)) =>
                {
                    continue;
                }
                Alarm::ReplicasDiffer { .. } | Alarm::Strays { .. } => false,
                Alarm::Audited { .. } => continue,
            };
            if !(is_given_up && self.options.is_far) {
                return violated(format!("J3: {alarm:?}"));
            }
        }
        for node in self.member_nodes() {
            let id = &self.ids[node];
            for (uid, want) in &self.oracle.live {
                if self.durable.rebuild.contains(&(id.clone(), uid.clone())) || self.is_given_up(uid) {
                    continue;
                }
                if self.diverted.contains(uid) || self.options.storm == Storm::Embedders {
                    self.check_peers(node, uid)?;
                    continue;
                }
                let owned = self.durable.owned(id);
                let is_owned = |(doc, _): &(&usize, &Doc)| owned.contains(&shard_of(**doc));
                let docs: Docs = want.docs.iter().filter(is_owned).map(|(&id, &doc)| (id, doc)).collect();
                let have = self.nodes[node].indexes.get(uid);
                let is_right = |have: &Index| {
                    let is_due = |id: &usize| self.damaged.get(&(uid.clone(), shard_of(*id))) != Some(&node);
                    let seen = have.docs.iter().filter(|(id, _)| is_due(id));
                    seen.eq(docs.iter().filter(|(id, _)| is_due(id))) && have.is_strict == want.is_strict
                };
                if !have.is_some_and(is_right) {
                    let strict = want.is_strict;
                    return violated(format!("C1: n{node} {uid} has {have:?}, should have {docs:?} strict {strict}"));
                }
            }
            for uid in self.nodes[node].indexes.keys() {
                // Nobody looks for what was deleted long before a node came back with older data.
                let is_of_old = self.losses.contains_key(&node) && self.durable.forgotten.contains(uid);
                let is_excused = self.is_given_up(uid) || self.diverted.contains(uid) || is_of_old;
                if !self.oracle.live.contains_key(uid) && !is_excused {
                    return violated(format!("C2: deleted index {uid} is back on n{node}"));
                }
            }
        }
        Ok(())
    }

    /// C1 where the oracle cannot tell: replicas are equal to each other.
    fn check_peers(&self, node: usize, uid: &NodeIndexUid) -> Checked {
        let index = |node: usize| self.nodes[node].indexes.get(uid);
        let is_held = |node: usize, doc| self.durable.owned(&self.ids[node]).contains(&shard_of(doc));
        for peer in (0..node).filter(|&peer| !self.durable.rebuild.contains(&(self.ids[peer].clone(), uid.clone()))) {
            let docs = |of: usize| -> Vec<Option<Doc>> {
                let shared = (0..IDS).filter(|&doc| is_held(node, doc) && is_held(peer, doc));
                shared.map(|doc| index(of).and_then(|index| index.docs.get(&doc).copied())).collect()
            };
            let strict = |of: usize| index(of).map(|index| index.is_strict);
            if docs(node) != docs(peer) || strict(node) != strict(peer) {
                let (one, other) = (index(node), index(peer));
                return violated(format!("C1: {uid} on n{node} is {one:?}, on n{peer} {other:?}"));
            }
        }
        Ok(())
    }

    /// A far stranger met a replica without peers: only the operator can help.
    fn is_given_up(&self, uid: &NodeIndexUid) -> bool {
        let is_far = |alarm: &Alarm| match alarm {
            Alarm::FarStranger { index, .. } => index == uid,
            Alarm::LateRejection { index, .. } => self.options.is_far && index == uid,
            Alarm::Stuck { .. }
            | Alarm::TooLarge { .. }
            | Alarm::Retried { .. }
            | Alarm::NodeLost { .. }
            | Alarm::LookFailed { .. }
            | Alarm::CopyFailed { .. }
            | Alarm::CopyDiffers { .. }
            | Alarm::ReplicasDiffer { .. }
            | Alarm::Strays { .. }
            | Alarm::Audited { .. }
            | Alarm::Mended { .. }
            | Alarm::MendRejected { .. }
            | Alarm::NotCompacted { .. }
            | Alarm::Foreign { .. } => false,
        };
        self.alarms.iter().any(is_far)
    }
}

pub fn touches(record: &Record, doc: usize) -> bool {
    match &record.wish {
        Wish::Documents(change) | Wish::CreateAndPut(change) => {
            change.ids().iter().any(|id| id % SHARDS == doc % SHARDS)
        }
        Wish::Create | Wish::Drop | Wish::Clear | Wish::Settings(_) | Wish::DeleteByFilter => true,
        Wish::Cancel(_) | Wish::Rename(_) | Wish::Dump => false,
    }
}
