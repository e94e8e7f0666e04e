//! What goes wrong, and how often.

use std::collections::{BTreeMap, BTreeSet};

use miroir::logic::ids::{EntryId, NodeId, NodeIndexUid, ShardId};
use miroir::logic::topology::{JobRecord, JobStep, Tables};

use crate::durable::Durable;
use crate::node::{Disk, Node, Work};
use crate::options::{Options, Storm};
use crate::random::Random;
use crate::reads::View;
use crate::world::{Checked, World, violated};

/// A node lost its data, or went back to an older copy.
pub struct Loss {
    /// Counts how often it had before, as far as that was stored.
    pub life: u64,
    /// Nothing that was stored of it: nobody counts on what it lost, and after a start nobody knows of it.
    pub is_unknown: bool,
    /// The first entry after it was noticed.
    pub noticed_before: Option<EntryId>,
    /// By index: since when readers know.
    pub shown: BTreeMap<NodeIndexUid, u64>,
}

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
    /// Changes of settings, beside the usual ones.
    pub votes: f64,
}

impl Rates {
    pub fn new(random: &mut Random, options: Options) -> Self {
        let mut rates = Self {
            fault: random.pick(&[0.0, 0.002, 0.005, 0.01, 0.02]),
            lost: random.pick(&[0.0, 0.05, 0.2]),
            bad: random.pick(&[0.0, 0.1, 0.3]),
            write: random.pick(&[0.05, 0.15, 0.5]),
            control: random.pick(&[0.5, 0.2, 0.04]),
            restarts: 0.25,
            votes: 0.0,
        };
        match options.storm {
            Storm::Mixed | Storm::Names | Storm::Dumps | Storm::Damage | Storm::Embedders => {}
            Storm::Wipes => rates.fault = 0.005,
            Storm::Plans | Storm::Upheaval | Storm::Slips | Storm::Audits => {
                rates.write = rates.write.min(0.15);
                rates.votes = random.pick(&[0.0, 0.0, 0.3]);
                if options.is_far {
                    rates.lost = 0.2;
                }
            }
            Storm::Restarts | Storm::Votes => {
                rates.restarts = 0.7;
                rates.fault = 0.004;
                rates.control = 0.1;
                rates.bad = 0.3;
                rates.votes = 0.4;
            }
            Storm::Losses => {
                rates.lost = 0.4;
                rates.votes = 0.25;
                rates.fault = 0.002;
            }
        }
        rates
    }
}

impl World {
    pub fn fault(&mut self) -> Checked {
        let node = self.random.below(self.nodes.len());
        if self.options.storm.has_losses_of_data() && self.random.chance(0.3) {
            let taken_over = if self.mover.random.chance(0.5) { self.has_taken_over() } else { None };
            self.damage(taken_over.unwrap_or(node));
            return Ok(());
        }
        let is_restart = self.random.chance(self.rates.restarts) || self.is_doomed;
        self.is_doomed = false;
        match if is_restart { 3 } else { self.random.below(3) } {
            0 | 1 if self.nodes[node].is_up => {
                self.nodes[node].crash();
                let is_known = node < self.fleet.members().len();
                let is_replaced = self.options.has_upkeep && is_known && self.now.is_multiple_of(4);
                self.log(|| format!("n{node} crashes, replaced {is_replaced}"));
                if is_replaced {
                    // As a prober would.
                    self.nodes[node].is_replaced = true;
                    self.fleet.doubt(node);
                }
            }
            0 | 1 if self.gone.contains(&node) => {}
            0 | 1 => {
                self.log(|| format!("n{node} starts"));
                (self.nodes[node].is_up, self.nodes[node].is_replaced) = (true, false);
            }
            2 => self.nodes[node].is_slow = !self.nodes[node].is_slow,
            _ => {
                self.log(|| "the orchestrator restarts".into());
                // Requests may be on their way, transactions may just have been committed while the process dies.
                self.is_dying = true;
                for node in 0..self.members {
                    if self.random.chance(0.7) {
                        self.drive(node)?;
                    }
                }
                if self.random.chance(0.3) {
                    self.resolve();
                }
                if self.random.chance(0.5) && self.has_unstored() {
                    self.commit()?;
                }
                self.is_dying = false;
                self.boot();
            }
        }
        Ok(())
    }

    /// After a start: that a node has lost its data is known if its new life was stored, or that all of it is out.
    pub fn forget_unstored_losses(&mut self) {
        let indexes: BTreeSet<NodeIndexUid> =
            self.durable.records.iter().filter_map(|record| record.entry.target.clone()).collect();
        let Durable { nodes, out, forgotten, .. } = &self.durable;
        for (&node, loss) in &mut self.losses {
            let id = &self.ids[node];
            let is_born = nodes.iter().any(|of| of.id == *id && of.life > loss.life);
            let is_out = |uid: &NodeIndexUid| forgotten.contains(uid) || out.contains(&(id.clone(), uid.clone()));
            if !is_born && !indexes.iter().all(is_out) {
                loss.noticed_before = None;
            }
        }
    }

    /// A node that readers ask instead of an old owner since a moment ago.
    fn has_taken_over(&self) -> Option<usize> {
        let is_switched = |job: &&JobRecord| job.step == JobStep::Switched;
        let mut jobs = self.durable.jobs.values().filter(is_switched);
        jobs.find_map(|job| self.place(job.target.as_ref()?))
    }

    /// A node comes back without its data, or with data of an earlier moment. Only when the others have everything: what
    /// nobody has is lost, whatever the rules.
    fn damage(&mut self, node: usize) {
        let (tasks, copied) = (self.nodes[node].tasks.len(), self.nodes[node].copy.task_count());
        let is_wipe = self.random.chance(0.5);
        if !is_wipe && (copied == 0 || copied == tasks) {
            self.nodes[node].copy();
            return;
        }
        let has_data = self.nodes[node].tasks.iter().any(|task| !matches!(task.request.work, Work::Identity(_)));
        if !has_data || !self.is_spared(node) || self.has_surprises() {
            return;
        }
        self.log(|| format!("n{node} goes back from {tasks} tasks to {}", if is_wipe { 0 } else { copied }));
        let disk = if is_wipe { Disk::default() } else { self.nodes[node].copy.clone() };
        let stored = self.durable.next_task.get(&self.ids[node]).copied().unwrap_or_default();
        let is_unknown = disk.task_count() as u64 >= stored.0;
        let life = self.durable.nodes.iter().find(|of| of.id == self.ids[node]).map_or(0, |of| of.life);
        self.nodes[node].lose(disk);
        self.losses.insert(node, Loss { life, is_unknown, noticed_before: None, shown: BTreeMap::new() });
    }

    /// A request far too late may yet show that some replica must be rebuilt: from the one that is lost meanwhile.
    pub fn has_surprises(&self) -> bool {
        let is_known = |(node, id): (&Node, &NodeId)| {
            let stored = self.durable.next_task.get(id).map_or(0, |task| task.0);
            node.late.is_empty() && node.tasks.len() as u64 <= stored
        };
        self.options.is_far && !self.nodes.iter().zip(&self.ids).all(is_known)
    }

    /// Every document is on another node that has not lost anything itself, and that is read or was until a switch.
    pub fn is_spared(&self, node: usize) -> bool {
        self.is_elsewhere(node, true)
    }

    fn is_elsewhere(&self, node: usize, with_old_owners: bool) -> bool {
        let out = self.fleet.view().out_of_sync;
        let has = |other: usize, index: &NodeIndexUid| {
            let is_gone = self.gone.contains(&other);
            let is_lost = is_gone || self.losses.get(&other).is_some_and(|loss| loss.noticed_before.is_none());
            let key = (self.ids[other].clone(), index.clone());
            other != node && !is_lost && !out.contains(&key) && !self.durable.out.contains(&key)
        };
        let indexes: BTreeSet<&NodeIndexUid> =
            self.durable.records.iter().filter_map(|record| record.entry.target.as_ref()).collect();
        let is_elsewhere = |shard: ShardId, index: &NodeIndexUid| {
            let owners: Vec<usize> =
                (0..self.nodes.len()).filter(|&other| self.durable.owned(&self.ids[other]).contains(&shard)).collect();
            let is_out = |&owner: &usize| {
                let key = (self.ids[owner].clone(), index.clone());
                owner != node && self.durable.out.contains(&key)
            };
            // An old owner is fed until every owner is in sync.
            let is_old =
                |job: &&JobRecord| job.shard == shard && job.step == JobStep::Switched && job.hollow.is_empty();
            let old = self.durable.jobs.values().filter(is_old).filter_map(|job| self.place(job.old_owner.as_ref()?));
            owners.iter().any(|&owner| has(owner, index))
                || with_old_owners
                    && owners.iter().any(is_out)
                    && !self.has_unstored()
                    && old.into_iter().any(|old| has(old, index))
        };
        let mut owned = self.durable.owned(&self.ids[node]);
        let is_left =
            |job: &&JobRecord| job.step == JobStep::Switched && job.old_owner.as_ref() == Some(&self.ids[node]);
        owned.extend(self.durable.jobs.values().filter(is_left).map(|job| job.shard));
        owned.into_iter().all(|shard| indexes.iter().all(|index| is_elsewhere(shard, index)))
    }

    /// The node lost data, and this view is from before anybody could know: no rule helps.
    pub fn is_deceived(&self, view: &View, node: usize, index: &NodeIndexUid) -> bool {
        let Some(loss) = self.losses.get(&node).filter(|loss| !loss.is_unknown) else { return false };
        let record = self.durable.records.iter().find(|record| record.entry.target.as_ref() == Some(index));
        let is_later = record.is_some_and(|record| loss.noticed_before.is_some_and(|entry| record.entry.id >= entry));
        !is_later && loss.shown.get(index).is_none_or(|&shown| view.since < shown)
    }

    /// Readers are told from now on what they are told. What was out already says nothing of a loss that nobody has noticed:
    /// it may come back by what was stored before.
    pub fn note_losses(&mut self, view: &View) {
        for (node, index) in &view.out {
            let loss = self.place(node).and_then(|node| self.losses.get_mut(&node));
            if let Some(loss) = loss.filter(|loss| loss.noticed_before.is_some()) {
                loss.shown.entry(index.clone()).or_insert(view.since);
            }
        }
    }

    /// With a copy of every shard left, everything is reported while one node stays away.
    pub fn run_without_a_node(&mut self) -> Checked {
        if self.options.is_far || self.replicas == 1 || self.random.chance(0.5) {
            return Ok(());
        }
        let away = self.random.below(self.members);
        if self.member_nodes().any(|node| self.gone.contains(&node)) {
            return Ok(());
        }
        // Others may have lost what they had, or are made anew: their copies may wait for a vote, and that for the one that is
        // away, or be made of its documents.
        let is_whole = self.losses.is_empty() && self.durable.rebuild.is_empty() && self.durable.joins.is_empty();
        if !is_whole && !self.is_elsewhere(away, false) {
            return Ok(());
        }
        // A replica that is put right is not there meanwhile.
        if self.options.storm == Storm::Audits && !(self.fleet.audit_report().is_over() && self.is_spared(away)) {
            return Ok(());
        }
        let Tables { owners, plan, .. } = &self.durable.tables;
        if owners.iter().chain(plan).any(|nodes| nodes.iter().all(|node| *node == self.ids[away])) {
            return Ok(());
        }
        for (number, node) in self.nodes.iter_mut().enumerate() {
            node.is_slow = false;
            (node.hiccups, node.failures) = (0.0, 0.0);
            if number == away {
                node.crash();
            } else if !self.gone.contains(&number) {
                (node.is_up, node.is_replaced) = (true, false);
            }
        }
        let end = self.now + 6_000;
        while !self.is_reported() {
            if self.now > end {
                return violated(format!("n{away} stays away; {}", self.what_is_open()));
            }
            self.tick()?;
        }
        Ok(())
    }
}
