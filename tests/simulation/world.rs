//! One run: clients write while nodes crash, answers get lost and the orchestrator restarts; then the faults stop and
//! everything must settle. The driver around [`Fleet`] is as asynchronous as the real one: a request, a commit, a
//! publication each end some time after they began, and a crash may fall in between.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use miroir::logic::feeder::{Alarm, Fleet, Publication, QUARANTINES_REMEMBERED, ReportStatus, SendOutcome, Timing};
use miroir::logic::ids::{EntryId, Epoch, Monotonic, NodeId, NodeIndexUid, ShardId};
use miroir::logic::topology::NodeRecord;

use crate::compaction::Compactor;
use crate::documents::IDS;
use crate::drift::Drift;
use crate::dumps::Dumps;
use crate::durable::Durable;
use crate::faults::{Loss, Rates};
use crate::mover::Mover;
use crate::node::Node;
use crate::options::{Options, Storm};
use crate::oracle::{Oracle, SHARDS};
use crate::random::Random;
use crate::reads::{Reads, View};
use crate::trimmer::Trimmer;
use crate::weather::Weather;

pub const QUARANTINE: u64 = 20;
pub const TIMING: Timing = Timing {
    quarantine_ms: QUARANTINE,
    in_sync_timeout_ms: 60,
    poll_idle_ms: 6,
    poll_busy_ms: (1, 4),
    backoff_ms: (1, 8),
    window: 4,
    housekeeping: 0,
    hold_ms: 200,
    keep_ms: QUARANTINE * QUARANTINES_REMEMBERED,
};

/// A broken invariant, with its name in the design.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation(pub String);

pub type Checked = Result<(), Violation>;

pub fn violated<T>(text: impl Into<String>) -> Result<T, Violation> {
    Err(Violation(text.into()))
}

pub struct World {
    pub options: Options,
    pub random: Random,
    pub now: u64,
    /// Replicas that the operator wants.
    pub replicas: usize,
    /// Servers, in the order of the fleet's numbers; the last ones may not be members yet.
    pub nodes: Vec<Node>,
    /// The names of the nodes.
    pub ids: Vec<NodeId>,
    /// So many have a number in this life of the orchestrator.
    pub members: usize,
    /// As the operator wants them, stored or not.
    pub wanted: Vec<NodeRecord>,
    pub durable: Durable,
    pub oracle: Oracle,
    pub fleet: Fleet,
    /// By node: a request whose answer is on its way.
    pub in_flight: Vec<Option<SendOutcome>>,
    /// A transaction that is durable, which the fleet does not know yet.
    pub committing: Option<u64>,
    pub publishing: Option<(Publication, BTreeMap<String, NodeIndexUid>)>,
    pub published: Rc<View>,
    pub cores: Vec<Rc<View>>,
    pub reads: Reads,
    pub mover: Mover,
    pub drift: Drift,
    pub dumps: Dumps,
    pub compactor: Compactor,
    pub trimmer: Trimmer,
    pub weather: Weather,
    /// As clients were told.
    pub reported: BTreeSet<EntryId>,
    /// What the disk has if the last transaction is lost.
    pub unsynced: Option<Durable>,
    /// What a late rejection or a revert that fails would show.
    pub alarms: Vec<Alarm>,
    /// Indexes with a verdict that a request far too late has changed.
    pub diverted: BTreeSet<NodeIndexUid>,
    /// Nothing goes wrong any more.
    pub is_quiet: bool,
    /// The orchestrator is about to end: answers do not reach it.
    pub is_dying: bool,
    /// The orchestrator restarts before it does anything else.
    pub is_doomed: bool,
    /// Servers that will never be up again.
    pub gone: BTreeSet<usize>,
    /// By node.
    pub losses: BTreeMap<usize, Loss>,
    /// The one replica of each shard that was damaged, whether it still is or not.
    pub damaged: BTreeMap<(NodeIndexUid, ShardId), usize>,
    pub rates: Rates,
    /// Clients' names of indexes.
    pub names: &'static [&'static str],
    /// What the orchestrator believes of `size_max` of the nodes.
    pub size_max: usize,
}

impl World {
    pub fn new(seed: u64, options: Options) -> Self {
        let mut random = Random::new(seed);
        let replicas = random.between(1, 3) as usize;
        let count = replicas.max(random.between(2, 3) as usize);
        let ids: Vec<NodeId> = (0..count).map(|node| NodeId::new(format!("n{node}"))).collect();
        let owners = |shard: usize| (0..replicas).map(|copy| ids[(shard + copy) % count].clone()).collect();
        let durable = Durable::new(&ids, (0..SHARDS).map(owners).collect());
        let hiccups = random.pick(&[0.0, 0.0, 0.02]);
        // The largest part of one shard has two ids.
        let size_max = random.pick(&[IDS, IDS, 2]);
        let failures = if options.storm == Storm::Embedders { random.pick(&[0.05, 0.1, 0.2]) } else { 0.0 };
        let node = || Node { is_up: true, hiccups, failures, size_max, ..Node::default() };
        let nodes = (0..count).map(|_| node()).collect();
        let rates = Rates::new(&mut random, options);
        let mut world = Self {
            options,
            now: 0,
            replicas,
            nodes,
            ids,
            members: count,
            wanted: Vec::new(),
            fleet: Fleet::start(&durable.start(), TIMING, options.rules, Monotonic(0)),
            durable,
            oracle: Oracle::default(),
            in_flight: vec![None; count],
            committing: None,
            publishing: None,
            published: Rc::default(),
            cores: Vec::new(),
            reads: Reads { random: Random::new(!seed), running: Vec::new() },
            mover: Mover::new(Random::new(seed ^ (1 << 63))),
            drift: Drift::new(Random::new(seed ^ (1 << 62))),
            dumps: Dumps::new(Random::new(seed ^ (1 << 60))),
            compactor: Compactor::new(Random::new(seed ^ (1 << 61))),
            trimmer: Trimmer::new(Random::new(seed ^ (1 << 59)), options.is_far),
            weather: Weather::new(Random::new(seed ^ (1 << 58))),
            reported: BTreeSet::new(),
            unsynced: None,
            alarms: Vec::new(),
            diverted: BTreeSet::new(),
            is_quiet: false,
            is_dying: false,
            is_doomed: false,
            gone: BTreeSet::new(),
            losses: BTreeMap::new(),
            damaged: BTreeMap::new(),
            rates,
            names: random.pick(&[&["a"][..], &["a", "b"][..]]),
            size_max: random.pick(&[IDS, size_max]),
            random,
        };
        if options.storm == Storm::Votes {
            world.size_max = IDS;
            world.nodes.iter_mut().for_each(|node| node.size_max = IDS);
        }
        if matches!(options.storm, Storm::Names | Storm::Dumps) {
            world.names = &["a", "b"];
        }
        world.boot();
        world
    }

    pub fn log(&self, text: impl FnOnce() -> String) {
        if self.options.is_traced {
            eprintln!("{:5} {}", self.now, text());
        }
    }

    /// Start after a crash: all volatile state is new; requests of the past life may still arrive.
    pub fn boot(&mut self) {
        if let Some(before) = self.unsynced.take().filter(|_| self.weather.random.chance(0.5)) {
            self.durable.take_back_to(before);
        }
        if !self.options.rules.outdur {
            self.durable.out.clear();
        }
        let start = self.durable.start();
        self.fleet = Fleet::start(&start, self.trimmer.timing(), self.options.rules, Monotonic(self.now));
        for record in self.durable.records.iter().filter(|record| record.outcome.is_none()) {
            self.fleet.load(&record.entry, record.resolution.as_ref());
        }
        self.fleet.end_needless_quarantine(&self.durable).expect("the simulated journal can be read");
        self.members = self.durable.nodes.len();
        self.wanted = self.durable.nodes.clone();
        self.mover.crash();
        self.drift.crash();
        self.dumps.crash();
        self.weather.crash();
        self.forget_unstored_losses();
        self.in_flight.iter_mut().for_each(|slot| *slot = None);
        self.committing = None;
        self.publishing = None;
        let shown = self.fleet.view();
        self.fleet.published(&shown, Epoch(1));
        let view = View::new((Epoch(1), self.now), &shown, self.names_now(), &self.ids);
        self.note_losses(&view);
        self.published = Rc::new(view);
        self.cores = vec![self.published.clone(); 2];
        self.reads.running.clear();
    }

    /// The number of a node.
    pub fn place(&self, id: &NodeId) -> Option<usize> {
        self.ids.iter().position(|other| other == id)
    }

    pub fn names_now(&self) -> BTreeMap<String, NodeIndexUid> {
        self.durable.visible.iter().map(|(uid, name)| (name.clone(), uid.clone())).collect()
    }

    pub fn tick(&mut self) -> Checked {
        self.now += 1;
        for node in 0..self.nodes.len() {
            let speed = if self.nodes[node].is_slow { 0.05 } else { 0.6 };
            for request in self.nodes[node].arrive(self.now) {
                if !self.options.is_far {
                    self.check_mark(node, &request)?;
                }
            }
            if self.nodes[node].is_up && self.nodes[node].trouble.lets_work() && self.random.chance(speed) {
                self.nodes[node].step(&mut self.random);
            }
        }
        let first = self.random.below(self.members);
        for offset in 0..self.members {
            // A node's thread begins when it is a member for good.
            let node = (first + offset) % self.members;
            if self.random.chance(0.8) && node < self.durable.nodes.len() {
                self.drive(node)?;
            }
        }
        if self.random.chance(0.6)
            && let Some(version) = self.committing.take()
        {
            self.fleet.stored(version);
        }
        if self.random.chance(self.rates.control) {
            self.control()?;
        }
        if self.random.chance(0.4) {
            self.resolve();
        }
        for core in 0..self.cores.len() {
            if self.random.chance(0.3) {
                self.cores[core] = self.published.clone();
            }
        }
        self.read()?;
        self.look();
        self.look_for_drift()?;
        self.dump()?;
        self.audit();
        self.compact();
        self.trim();
        if self.options.storm.has_plans() {
            self.operate()?;
        }
        if self.options.has_weather && !self.is_quiet {
            self.change_weather();
        }
        if self.is_doomed || !self.is_quiet && self.random.chance(self.rates.fault * 5.0) {
            self.fault()?;
        }
        Ok(())
    }

    /// The whole run.
    pub fn run(&mut self) -> Checked {
        while self.durable.records.len() < self.options.operations {
            if self.random.chance(self.rates.write) && !self.is_store_full() {
                self.write();
            }
            self.tick()?;
        }
        self.is_quiet = true;
        self.calm();
        self.run_without_a_node()?;
        for (number, node) in self.nodes.iter_mut().enumerate() {
            (node.is_up, node.is_replaced) = (!self.gone.contains(&number), false);
            node.is_slow = false;
            (node.hiccups, node.failures) = (0.0, 0.0);
        }
        self.settle()?;
        if self.options.storm == Storm::Damage {
            self.compare_all()?;
        }
        self.check_end()
    }

    /// Until everything has ended.
    pub fn settle(&mut self) -> Checked {
        let end = self.now + 12_000;
        while !self.is_settled() {
            if self.now > end {
                return violated(self.what_is_open());
            }
            self.tick()?;
        }
        Ok(())
    }

    pub fn what_is_open(&self) -> String {
        self.log(|| format!("{:#?}", self.fleet));
        let Durable { records, out, tables, jobs, joins, bootstraps, .. } = &self.durable;
        let open = records.iter().filter(|record| record.outcome.is_none());
        let open: Vec<EntryId> = open.map(|record| record.entry.id).collect();
        let jobs: Vec<_> = jobs.values().collect();
        let joins: Vec<_> = joins.values().collect();
        let (is_accounted, is_applied) = (self.is_accounted(), self.is_applied());
        format!(
            "liveness: entries {open:?} never end; out {out:?}, {tables:?}, {jobs:?}, {joins:?}, {:?}, \
             accounted {is_accounted}, applied {is_applied}, changes {}",
            bootstraps.values(),
            self.fleet.has_changes()
        )
    }

    pub fn is_reported(&self) -> bool {
        self.durable.records.iter().all(|record| record.outcome.is_some())
    }

    fn is_settled(&self) -> bool {
        let owners = self.durable.tables.owners.iter().zip(&self.durable.tables.plan);
        let is_as_planned = |(owners, plan): (&Vec<NodeId>, &Vec<NodeId>)| {
            owners.iter().collect::<BTreeSet<_>>() == plan.iter().collect::<BTreeSet<_>>()
        };
        let mut out = self.durable.out.difference(&self.durable.rebuild);
        self.is_reported()
            && out.all(|(node, _)| !self.durable.is_member(node))
            && self.member_nodes().all(|node| self.nodes[node].is_quiet())
            && self.in_flight.iter().all(Option::is_none)
            && !self.has_unstored()
            && owners.into_iter().all(is_as_planned)
            && self.durable.jobs.is_empty()
            && self.durable.bootstraps.is_empty()
            && (!self.options.rules.poll || self.is_accounted())
            && self.is_applied()
            && self.has_audited()
            && self.has_no_drift()
    }

    pub fn member_nodes(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|&node| self.durable.is_member(&self.ids[node]))
    }

    fn is_accounted(&self) -> bool {
        self.member_nodes().all(|node| {
            let next = self.durable.next_task.get(&self.ids[node]).map_or(0, |task| task.0);
            self.nodes[node].tasks.len() as u64 == next
        })
    }

    /// Every watermark is past every step that touches its node.
    fn is_applied(&self) -> bool {
        self.durable.records.iter().all(|record| {
            let Some(uid) = &record.entry.target else { return true };
            Durable::steps(record).iter().all(|step| {
                self.member_nodes().all(|node| {
                    let key = (self.ids[node].clone(), uid.clone());
                    let owned = self.durable.owned(&self.ids[node]);
                    let is_owned =
                        |shards: &std::sync::Arc<[ShardId]>| shards.iter().any(|shard| owned.contains(shard));
                    !step.shards.as_ref().is_none_or(is_owned)
                        || self.durable.rebuild.contains(&key)
                        || self.durable.forgotten.contains(uid)
                        || self.durable.applied.get(&key).is_some_and(|&applied| applied >= step.position)
                })
            })
        })
    }

    /// After a cancellation: the world without that entry.
    pub fn replay_oracle(&mut self) {
        self.oracle = Oracle::default();
        for record in &self.durable.records {
            if !matches!(record.outcome, Some(ReportStatus::Canceled(_))) {
                self.oracle.apply(record.entry.id, record.entry.target.as_ref(), &record.wish);
            }
        }
    }
}
