//! The operator: nodes are added, drained and removed, and replicas become more or fewer, while everything else goes on.

use miroir::logic::ids::{Monotonic, NodeId, NodeTask, ShardId};
use miroir::logic::topology::{NodeRecord, NodeState};

use crate::durable::member;
use crate::node::Node;
use crate::options::Storm;
use crate::oracle::SHARDS;
use crate::world::{Checked, World, violated};

/// Nodes at most, removed ones included.
const NODES: usize = 6;

impl World {
    /// What the operator does now.
    pub fn operate(&mut self) -> Checked {
        if !self.gone.is_empty() && self.mover.random.chance(0.02) {
            self.give_up_gone();
        }
        if self.options.storm == Storm::Audits && self.mover.random.chance(0.02) {
            self.begin_audit();
        }
        if self.is_quiet {
            for id in self.named(NodeState::Maintenance) {
                self.set_state(&id, NodeState::Active);
            }
        } else if self.mover.random.chance(0.006) {
            self.change()?;
        }
        Ok(())
    }

    fn change(&mut self) -> Checked {
        match self.mover.random.below(8) {
            0 | 1 if self.ids.len() < NODES || self.members < self.ids.len() => self.add_node()?,
            2 => {
                let active = self.named(NodeState::Active);
                if active.len() > 1 {
                    let id = active[self.mover.random.below(active.len())].clone();
                    self.log(|| format!("drain {id}"));
                    self.set_state(&id, NodeState::Draining);
                }
            }
            3 => {
                for id in self.named(NodeState::Draining) {
                    let is_removed = self.fleet.remove(&id);
                    self.log(|| format!("remove {id}: {is_removed}"));
                    if is_removed {
                        self.set_state(&id, NodeState::Removed);
                    }
                }
            }
            4 => self.replicas = self.mover.random.between(1, 3) as usize,
            5 if self.options.storm == Storm::Upheaval => {
                self.stand_aside();
                return Ok(());
            }
            6 if self.options.storm == Storm::Upheaval => {
                let node = self.mover.random.below(self.members);
                let id = &self.ids[node];
                let owners = &self.durable.tables.owners;
                let is_alone = owners.iter().any(|owners| owners.len() == 1 && owners.contains(id));
                if self.durable.is_member(id) && !is_alone && self.is_spared(node) && !self.has_surprises() {
                    self.log(|| format!("n{node} is gone for good"));
                    self.nodes[node].crash();
                    self.gone.insert(node);
                }
                return Ok(());
            }
            _ => {}
        }
        self.plan();
        Ok(())
    }

    /// Members that will never come back.
    fn give_up_gone(&mut self) {
        for node in self.gone.clone() {
            let id = self.ids[node].clone();
            let is_wanted = self.wanted.iter().any(|of| of.id == id && of.state.is_member());
            if node < self.members && is_wanted {
                let outcome = self.fleet.remove_by_force(&id);
                self.log(|| format!("remove {id} by force: {outcome:?}"));
                if outcome.is_ok() {
                    self.set_state(&id, NodeState::Removed);
                    self.plan();
                }
            }
        }
    }

    /// One node at a time.
    fn stand_aside(&mut self) {
        let aside = self.named(NodeState::Maintenance);
        let active = self.named(NodeState::Active);
        let (id, state) = match aside.first() {
            Some(id) => (id.clone(), NodeState::Active),
            None if active.is_empty() => return,
            None => (active[self.mover.random.below(active.len())].clone(), NodeState::Maintenance),
        };
        self.log(|| format!("{id} is to be {state:?}"));
        self.set_state(&id, state);
    }

    fn add_node(&mut self) -> Checked {
        let node = self.members;
        if node == self.nodes.len() {
            let first = &self.nodes[0];
            let new = Node { is_up: true, hiccups: first.hiccups, size_max: first.size_max, ..Node::default() };
            self.nodes.push(new);
            self.ids.push(NodeId::new(format!("n{node}")));
            self.in_flight.push(None);
        }
        if !self.nodes[node].tasks.is_empty() || !self.nodes[node].late.is_empty() {
            return violated(format!("n{node} got something before it was a member"));
        }
        let record = member(&self.ids[node]);
        self.log(|| format!("enrol {}", record.id));
        let number = self.fleet.enrol(record.clone(), NodeTask(0), Monotonic(self.now));
        self.wanted.push(record);
        self.members += 1;
        if number == node { Ok(()) } else { violated(format!("n{node} got the number {number}")) }
    }

    /// As the operator has asked for, stored or not.
    fn named(&self, state: NodeState) -> Vec<NodeId> {
        let nodes = self.wanted.iter().filter(|node| node.state == state);
        nodes.map(|node: &NodeRecord| node.id.clone()).collect()
    }

    fn set_state(&mut self, id: &NodeId, state: NodeState) {
        if state != NodeState::Removed {
            self.fleet.set_node_state(id, state);
        }
        let record = self.wanted.iter_mut().find(|node| node.id == *id);
        record.expect("only members are named").state = state;
    }

    /// Any table over the active nodes: the protocol must not care.
    fn plan(&mut self) {
        let mut active = self.named(NodeState::Active);
        active.extend(self.named(NodeState::Maintenance));
        if active.is_empty() {
            active = self.named(NodeState::Draining);
        }
        active.retain(|id| !self.place(id).is_some_and(|node| self.gone.contains(&node)));
        if active.is_empty() {
            return;
        }
        let count = self.replicas.min(active.len());
        let plan: Vec<Vec<NodeId>> = (0..SHARDS as u16)
            .map(ShardId)
            .map(|_| {
                self.mover.random.sample(active.len(), count).into_iter().map(|node| active[node].clone()).collect()
            })
            .collect();
        self.log(|| format!("plan {plan:?}"));
        self.fleet.set_plan(&plan, count as u16);
    }
}
