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
    /// How often the operator changes something.
    pub fn plan_rate(&self) -> f64 {
        match self.options.storm {
            Storm::Plans => 0.006,
            Storm::Mixed | Storm::Restarts | Storm::Votes | Storm::Losses | Storm::Wipes => 0.0,
        }
    }

    /// One change by the operator.
    pub fn operate(&mut self) -> Checked {
        match self.mover.random.below(6) {
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
            _ => {}
        }
        self.plan();
        Ok(())
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
        let active = self.named(NodeState::Active);
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
