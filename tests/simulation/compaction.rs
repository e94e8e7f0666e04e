//! The compactor: indexes are compacted when they are due, or for no reason at all. It must change nothing and hold up nothing.

use miroir::logic::feeder::{DueCompaction, SendOutcome};

use crate::node::Request;
use crate::random::Random;
use crate::world::{QUARANTINE, World};

/// How often it looks, and how often an operator asks for all of a node.
const LOOKS: f64 = 0.1;
const ASKED: f64 = 0.002;

pub struct Compactor {
    /// Not the world's, so that a seed stays what it is.
    random: Random,
}

impl Compactor {
    pub fn new(random: Random) -> Self {
        Self { random }
    }
}

impl World {
    /// One step of the compactor's thread.
    pub fn compact(&mut self) {
        if !self.options.has_upkeep || self.is_quiet {
            return;
        }
        if self.compactor.random.chance(ASKED) {
            let node = self.compactor.random.below(self.members);
            self.fleet.ask_compaction(&self.ids[node]);
        }
        if !self.compactor.random.chance(LOOKS) {
            return;
        }
        for due in self.fleet.compactions_due() {
            let DueCompaction { node, ref index, is_asked, .. } = due;
            if is_asked || self.compactor.random.chance(0.5) {
                let begins = self.fleet.compact(&due);
                self.log(|| format!("n{node} {index} is to be compacted: {begins}"));
            } else {
                self.fleet.leave_uncompacted(&due);
            }
        }
    }

    /// One request that belongs to no feed; the answer may get lost, and the request may then register now, later or never.
    pub fn send_apart(&mut self, node: usize, request: Request) {
        let what = format!("{:?} of {}", request.work, request.index);
        let random = &mut self.compactor.random;
        let is_lost = self.is_dying || !self.is_quiet && random.chance(self.rates.lost);
        let is_lost = is_lost || !self.nodes[node].trouble.lets_answer();
        let outcome = if !self.nodes[node].is_up {
            SendOutcome::NotSent
        } else if is_lost {
            match random.below(4) {
                0 => drop(self.nodes[node].register(request)),
                3 => {}
                _ => {
                    let at = self.now + random.between(1, QUARANTINE - 5);
                    self.nodes[node].late.push((at, request));
                }
            }
            SendOutcome::Unclear
        } else {
            SendOutcome::Registered(self.nodes[node].register(request))
        };
        self.log(|| format!("n{node} {what}: {outcome:?}"));
        self.in_flight[node] = Some(outcome);
    }
}
