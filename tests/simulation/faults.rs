//! What goes wrong, and how often.

use crate::options::Storm;
use crate::random::Random;
use crate::world::{Checked, World, violated};

/// How often what happens.
pub struct Rates {
    pub fault: f64,
    /// Answers that get lost.
    pub lost: f64,
    /// Documents that a node may reject.
    pub bad: f64,
    pub write: f64,
    /// How often the control thread gets its turn: what it has not stored is lost in a crash.
    pub control: f64,
    /// Faults that are restarts of the orchestrator.
    pub restarts: f64,
}

impl Rates {
    pub fn new(random: &mut Random, storm: Storm) -> Self {
        let mut rates = Self {
            fault: random.pick(&[0.0, 0.002, 0.005, 0.01, 0.02]),
            lost: random.pick(&[0.0, 0.05, 0.2]),
            bad: random.pick(&[0.0, 0.1, 0.3]),
            write: random.pick(&[0.05, 0.15, 0.5]),
            control: random.pick(&[0.5, 0.2, 0.04]),
            restarts: 0.25,
        };
        match storm {
            Storm::Mixed => {}
            Storm::Restarts | Storm::Votes => {
                rates.restarts = 0.7;
                rates.fault = 0.004;
                rates.control = 0.1;
                rates.bad = 0.3;
            }
            Storm::Losses => {
                rates.lost = 0.4;
                rates.fault = 0.002;
            }
        }
        rates
    }
}

impl World {
    pub fn fault(&mut self) -> Checked {
        let node = self.random.below(self.nodes.len());
        let is_restart = self.random.chance(self.rates.restarts) || self.is_doomed;
        self.is_doomed = false;
        match if is_restart { 3 } else { self.random.below(3) } {
            0 | 1 if self.nodes[node].is_up => {
                self.log(|| format!("n{node} crashes"));
                self.nodes[node].crash();
            }
            0 | 1 => {
                self.log(|| format!("n{node} starts"));
                self.nodes[node].is_up = true;
            }
            2 => self.nodes[node].is_slow = !self.nodes[node].is_slow,
            _ => {
                self.log(|| "the orchestrator restarts".into());
                // Requests may be on their way, transactions may just have been committed while the process dies.
                self.is_dying = true;
                for node in 0..self.nodes.len() {
                    if self.random.chance(0.7) {
                        self.drive(node)?;
                    }
                }
                if self.random.chance(0.3) {
                    self.resolve();
                }
                if self.random.chance(0.5) && self.fleet.has_changes() {
                    self.commit()?;
                }
                self.is_dying = false;
                self.boot();
            }
        }
        Ok(())
    }

    /// With a copy of every shard left, everything is reported while one node stays away.
    pub fn run_without_a_node(&mut self) -> Checked {
        if self.options.is_far || self.replicas == 1 || self.random.chance(0.5) {
            return Ok(());
        }
        let away = self.random.below(self.nodes.len());
        for (number, node) in self.nodes.iter_mut().enumerate() {
            node.is_slow = false;
            node.hiccups = 0.0;
            if number == away {
                node.crash();
            } else {
                node.is_up = true;
            }
        }
        let end = self.now + 6_000;
        while !self.is_reported() {
            if self.now > end {
                return violated(format!("liveness: n{away} stays away, and not all entries end"));
            }
            self.tick()?;
        }
        Ok(())
    }
}
