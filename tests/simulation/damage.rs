//! Replicas that are not what was written to them, behind everybody's back, and the comparison that finds them.
//!
//! At most one replica of each shard is damaged in a run, so the others are right. What is read of such a shard is not
//! checked any more; at the end it is right everywhere, or known to differ.

use std::collections::BTreeSet;

use miroir::logic::feeder::AuditReport;
use miroir::logic::ids::{NodeIndexUid, ShardId};

use crate::documents::{Doc, Geo, IDS};
use crate::options::Storm;
use crate::oracle::SHARDS;
use crate::reads::shard_of;
use crate::world::{Checked, World, violated};

/// No client writes this.
const NEVER_WRITTEN: u64 = 1 << 40;

impl World {
    /// Now and then somebody wants all replicas compared.
    pub fn audit(&mut self) {
        if self.is_quiet || !self.options.storm.has_audits() {
            return;
        }
        if self.mover.random.chance(0.005) {
            let is_repairing = self.mover.random.chance(0.7);
            self.log(|| format!("audit, repairing: {is_repairing}"));
            self.fleet.begin_audit(is_repairing, None);
        }
        if self.options.storm == Storm::Damage && self.mover.random.chance(0.02) {
            self.damage_document();
        }
    }

    fn damage_document(&mut self) {
        let node = self.mover.random.below(self.nodes.len());
        let live: Vec<NodeIndexUid> = self.oracle.live.keys().cloned().collect();
        let id = self.mover.random.below(IDS);
        if live.is_empty() {
            return;
        }
        let uid = live[self.mover.random.below(live.len())].clone();
        let key = (uid.clone(), shard_of(id));
        let Some(docs) = self.nodes[node].indexes.get_mut(&uid).map(|index| &mut index.docs) else { return };
        let old = docs.get(&id).copied();
        let is_plain = old.is_none_or(|doc| matches!(doc.geo, None | Some(Geo::Null)));
        if !is_plain || self.damaged.contains_key(&key) {
            return; // Others would have to be asked whether they take settings.
        }
        let new = match old {
            Some(_) if self.mover.random.chance(0.5) => None,
            Some(doc) => Some(Doc { x: Some(NEVER_WRITTEN), ..doc }),
            None => Some(Doc { x: Some(NEVER_WRITTEN), ..Doc::default() }),
        };
        match new {
            Some(doc) => docs.insert(id, doc),
            None => docs.remove(&id),
        };
        self.log(|| format!("n{node} has document {id} of {uid} as {new:?} instead of {old:?}"));
        self.damaged.insert(key, node);
    }

    /// A document of a shard of which a replica was damaged.
    pub fn is_damaged(&self, uid: &NodeIndexUid, id: usize) -> bool {
        self.damaged.contains_key(&(uid.clone(), shard_of(id)))
    }

    /// Everything has ended: one more comparison, and what it finds is put right.
    pub fn compare_all(&mut self) -> Checked {
        // Of one that is under way nobody knows what it has looked at.
        self.end_audit()?;
        self.fleet.begin_audit(true, None);
        self.end_audit()?;
        self.settle()?;
        let report = self.fleet.audit_report();
        if !report.not_compared.is_empty() {
            return violated(format!("not all replicas were compared: {report:?}"));
        }
        let copies = self.durable.tables.owners[0].len();
        let differing = self.differing();
        for (uid, shard) in &differing {
            let is_known = is_reported(&report, uid, *shard);
            // With one there is nothing to compare with; with two there is no sign which is right.
            if copies > 2 || copies == 2 && !is_known {
                return violated(format!("shard {shard} of {uid} differs, known: {is_known}, {report:?}"));
            }
        }
        Ok(())
    }

    fn end_audit(&mut self) -> Checked {
        let end = self.now + 12_000;
        while !self.fleet.audit_report().is_over() {
            if self.now > end {
                return violated(format!("the audit never ends: {:?}", self.fleet.audit_report()));
            }
            self.tick()?;
        }
        Ok(())
    }

    /// Shards of which the damaged replica is not right.
    fn differing(&self) -> BTreeSet<(NodeIndexUid, ShardId)> {
        let is_right = |((uid, shard), node): &(&(NodeIndexUid, ShardId), &usize)| {
            let (Some(want), Some(have)) = (self.oracle.live.get(uid), self.nodes[**node].indexes.get(uid)) else {
                return true;
            };
            let is_owned = self.durable.owned(&self.ids[**node]).contains(shard);
            (0..IDS).filter(|&id| shard_of(id) == *shard).all(|id| {
                let want = want.docs.get(&id).filter(|_| is_owned);
                want == have.docs.get(&id)
            })
        };
        self.damaged.iter().filter(|of| !is_right(of)).map(|(key, _)| key.clone()).collect()
    }
}

fn is_reported(report: &AuditReport, uid: &NodeIndexUid, shard: ShardId) -> bool {
    assert!(usize::from(shard.0) < SHARDS);
    let mut unequal = report.unequal.iter().map(|found| (&found.index, Some(found.shard)));
    let mut strays = report.strays.iter().map(|found| (&found.index, found.shard));
    let is_it = |(index, of): (&NodeIndexUid, Option<ShardId>)| index == uid && of == Some(shard);
    unequal.any(is_it) || strays.any(is_it)
}
