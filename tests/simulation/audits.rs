//! Audits: all replicas are compared while everything else goes on.
//!
//! Replicas never differ here, unless a rule is left out. So the mover claims of some replica that it does, and that it is
//! the one that is wrong; what follows must leave everything as it was.

use miroir::logic::feeder::{Look, LookKind, UnequalShard};
use miroir::logic::ids::ShardId;

use crate::options::Storm;
use crate::oracle::SHARDS;
use crate::world::World;

/// Documents that differ, as the mover claims: more than there are.
pub const CLAIMED: u64 = 1_000;

/// A replica that is claimed to be wrong.
#[derive(Clone, Copy)]
pub struct Claim {
    node: usize,
    shard: ShardId,
}

impl World {
    /// An operator compares all replicas; when everything else has ended, once more.
    pub fn begin_audit(&mut self) {
        let is_complete = self.member_nodes().all(|node| self.nodes[node].answers());
        if !self.fleet.audit_report().is_over() || self.is_quiet && (self.mover.is_audited || !is_complete) {
            return;
        }
        self.mover.is_audited = self.is_quiet;
        let node = self.mover.random.below(self.members);
        let shard = ShardId(self.mover.random.below(SHARDS) as u16);
        self.mover.claim = Some(Claim { node, shard });
        let number = self.fleet.begin_audit(true, None);
        self.log(|| format!("audit {number}, claiming that n{node} is wrong about shard {shard}"));
    }

    /// Nothing is being compared or put right.
    pub fn has_audited(&self) -> bool {
        self.options.storm != Storm::Audits || self.mover.is_audited && self.fleet.audit_report().is_over()
    }

    /// What two replicas differ in, and what is claimed besides. Glances are left as they are but for the claim, which is
    /// looked at once more then; comparisons of copies are left as they are.
    pub fn with_claim(&self, look: &Look, mut unequal: Vec<UnequalShard>) -> Vec<UnequalShard> {
        let (Some(Claim { node, shard }), LookKind::Compare { nodes }) = (self.mover.claim, look.kind) else {
            return unequal;
        };
        let target = &self.ids[nodes[1]];
        let is_copy = self.durable.jobs.values().any(|job| job.target.as_ref() == Some(target) && job.shard == shard);
        let is_known = unequal.iter().any(|found| found.shard == shard);
        if nodes.contains(&node) && look.shards.contains(&shard) && !is_known && !(is_copy && look.at.is_some()) {
            let misplaced = nodes.map(|of| if of == node { CLAIMED } else { 0 });
            unequal.push(UnequalShard { documents: CLAIMED, misplaced, ..shard.into() });
        }
        unequal
    }
}
