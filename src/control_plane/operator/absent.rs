//! Members that stay away for longer than `repair_delay`: the plan does without them, if the others allow as many replicas as
//! are wanted, until they answer again.
//!
//! Whether there is something to plan is looked at whenever the circumstances have changed: who is away, who the members are
//! and what operators want of them, how many replicas are wanted. A plan that could not be stored is made again.
//!
//! They stay active members: nothing is lost when they return. Who is left out is not stored; after a restart of Miroir the
//! delay begins anew, and a node that returned meanwhile gets shards with the next start of a rebalance.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use super::Operator;
use super::picture::Picture;
use crate::bridge::topology::WhatIf;
use crate::logic::ids::NodeId;
use crate::logic::topology::{NodeRecord, NodeState};
use crate::meili::error::{ApiError, Code};

/// See the module.
#[derive(Debug)]
pub struct Absent {
    delay: Duration,
    now: RefCell<BTreeSet<NodeId>>,
    planned_for: RefCell<Circumstances>,
}

/// What a plan for nodes that are away, or back, depends on.
#[derive(Clone, PartialEq, Debug, Default)]
struct Circumstances {
    away: BTreeSet<NodeId>,
    members: Vec<NodeRecord>,
    replication_factor: u16,
}

impl Absent {
    /// Nobody yet; from this delay on.
    pub fn new(delay: Duration) -> Self {
        Self { delay, now: RefCell::default(), planned_for: RefCell::default() }
    }

    /// Those that have been away for the delay.
    pub(super) fn now(&self) -> BTreeSet<NodeId> {
        self.now.borrow().clone()
    }

    /// What an operator wants of it has changed: it is looked at anew.
    pub(super) fn forget(&self, node: &NodeId) {
        self.now.borrow_mut().remove(node);
        self.planned_for.borrow_mut().away.remove(node);
    }
}

impl Operator {
    /// Makes another plan when members have stayed away, or are back.
    pub(super) fn look_for_absent(&self) {
        let limit = self.absent.delay.as_millis();
        let away = self.members.away().into_iter().filter(|(_, since)| u128::from(*since) >= limit);
        let away: BTreeSet<NodeId> = away.map(|(id, _)| id).collect();
        self.absent.now.replace(away.clone());
        let before = self.absent.planned_for.borrow().clone();
        if away.is_empty() && before.away.is_empty() {
            return;
        }
        let picture = match self.picture() {
            Ok(picture) => picture,
            Err(error) => return tracing::error!(%error, "no plan can be made for nodes that are away; trying again"),
        };
        let members = picture.members().cloned().collect();
        let replication_factor = picture.protocol.tables.replication_factor;
        let now = Circumstances { away, members, replication_factor };
        if now == before {
            return;
        }
        match self.do_without(&picture, &before.away, &now.away) {
            Ok(()) => {}
            Err(error) if error.code == Code::MiroirPlanImpossible => {
                tracing::error!(error = error.message, "no plan can be made for nodes that are away or back");
            }
            Err(error) => {
                tracing::error!(error = error.message, "a plan for nodes that are away or back failed; trying again");
                return;
            }
        }
        self.absent.planned_for.replace(now);
    }

    fn do_without(
        &self,
        picture: &Picture,
        before: &BTreeSet<NodeId>,
        away: &BTreeSet<NodeId>,
    ) -> Result<(), ApiError> {
        let is_active = |id: &&NodeId| picture.members().any(|node| node.id == **id && node.state == NodeState::Active);
        let is_planned = |id: &&NodeId| picture.protocol.tables.plan.iter().flatten().any(|planned| planned == *id);
        let gone: Vec<&NodeId> = away.iter().filter(is_active).filter(is_planned).collect();
        let back: Vec<&NodeId> = before.difference(away).filter(is_active).collect();
        if gone.is_empty() && back.is_empty() {
            return Ok(());
        }
        let mut next = self.next(picture, &WhatIf::default())?;
        for node in &back {
            tracing::info!(%node, "the node is back, and planned with again");
        }
        for node in &gone {
            if next.is_without_absent {
                tracing::warn!(%node, "the node stays away; its shards are copied to others");
            } else {
                tracing::warn!(%node, "the node stays away, and too few are left to copy its shards to");
            }
        }
        if back.is_empty() && !next.is_without_absent {
            return Ok(());
        }
        if picture.protocol.tables.is_paused {
            tracing::warn!("moves are paused; nothing is copied before they are resumed");
        }
        self.change(|fleet| fleet.set_plan(&next.plan, next.replication_factor))?;
        self.begun(picture, &mut next)?;
        Ok(())
    }
}
