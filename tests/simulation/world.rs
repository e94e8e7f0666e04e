//! One run: clients write while nodes crash, answers get lost and the orchestrator restarts; then the faults stop and
//! everything must settle. The driver around [`Fleet`] is as asynchronous as the real one: a request, a commit, a
//! publication each end some time after they began, and a crash may fall in between.

use std::collections::{BTreeMap, BTreeSet};

use miroir::logic::entry::Resolution;
use miroir::logic::feeder::{
    Action, Alarm, Fleet, Holdings, Needs, Publication, ReaderProgress, ReportStatus, Send, SendOutcome, Timing,
};
use miroir::logic::ids::{EntryId, Epoch, Monotonic, NodeId, NodeIndexUid, Timestamp};

use crate::documents::{Change, Doc, Docs, Geo, IDS};
use crate::durable::Durable;
use crate::node::Node;
use crate::options::{Options, Storm};
use crate::oracle::{Oracle, SHARDS, Wish, matching};
use crate::random::Random;

const QUARANTINE: u64 = 20;
pub const TIMING: Timing = Timing {
    quarantine_ms: QUARANTINE,
    in_sync_timeout_ms: 60,
    poll_idle_ms: 6,
    poll_busy_ms: (1, 4),
    backoff_ms: (1, 8),
    window: 4,
    housekeeping: 0,
};

/// A broken invariant, with its name in the design.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation(pub String);

pub type Checked = Result<(), Violation>;

pub fn violated<T>(text: impl Into<String>) -> Result<T, Violation> {
    Err(Violation(text.into()))
}

/// What a core goes by.
#[derive(Clone, Default)]
pub struct View {
    pub epoch: Epoch,
    pub out: BTreeSet<(NodeId, NodeIndexUid)>,
    pub names: BTreeMap<String, NodeIndexUid>,
}

pub struct World {
    pub options: Options,
    pub random: Random,
    pub now: u64,
    replicas: usize,
    pub nodes: Vec<Node>,
    pub ids: Vec<NodeId>,
    pub holdings: Holdings,
    pub durable: Durable,
    pub oracle: Oracle,
    pub fleet: Fleet,
    /// By node: a request whose answer is on its way.
    in_flight: Vec<Option<SendOutcome>>,
    /// A transaction that is durable, which the fleet does not know yet.
    committing: Option<u64>,
    publishing: Option<(Publication, BTreeMap<String, NodeIndexUid>)>,
    published: View,
    pub cores: Vec<View>,
    /// What a late rejection or a revert that fails would show.
    pub alarms: Vec<Alarm>,
    /// Indexes with a verdict that a request far too late has changed.
    pub diverted: BTreeSet<NodeIndexUid>,
    is_quiet: bool,
    is_dying: bool,
    fault_rate: f64,
    lost_rate: f64,
    bad_rate: f64,
    write_rate: f64,
    /// How often the control thread gets its turn: what it has not stored is lost in a crash.
    control_rate: f64,
    /// Faults that are restarts of the orchestrator.
    restart_share: f64,
    names: &'static [&'static str],
    /// What the orchestrator believes of `size_max` of the nodes.
    size_max: usize,
}

impl World {
    pub fn new(seed: u64, options: Options) -> Self {
        let mut random = Random::new(seed);
        let replicas = random.between(1, 3) as usize;
        let count = replicas.max(random.between(2, 3) as usize);
        let by_shard = (0..SHARDS).map(|shard| (0..replicas).map(|copy| (shard + copy) % count).collect()).collect();
        let holdings = Holdings::new(count, by_shard);
        let ids: Vec<NodeId> = (0..count).map(|node| NodeId::new(format!("n{node}"))).collect();
        let hiccups = random.pick(&[0.0, 0.0, 0.02]);
        // The largest part of one shard has two ids.
        let size_max = random.pick(&[IDS, IDS, 2]);
        let nodes = (0..count).map(|_| Node { is_up: true, hiccups, size_max, ..Node::default() }).collect();
        let durable = Durable::default();
        let fleet = Fleet::start(&durable.start(&ids), holdings.clone(), TIMING, options.rules, Monotonic(0));
        let mut world = Self {
            options,
            now: 0,
            replicas,
            nodes,
            ids,
            holdings,
            durable,
            oracle: Oracle::default(),
            fleet,
            in_flight: vec![None; count],
            committing: None,
            publishing: None,
            published: View::default(),
            cores: Vec::new(),
            alarms: Vec::new(),
            diverted: BTreeSet::new(),
            is_quiet: false,
            is_dying: false,
            fault_rate: random.pick(&[0.0, 0.002, 0.005, 0.01, 0.02]),
            lost_rate: random.pick(&[0.0, 0.05, 0.2]),
            bad_rate: random.pick(&[0.0, 0.1, 0.3]),
            write_rate: random.pick(&[0.05, 0.15, 0.5]),
            restart_share: 0.25,
            control_rate: random.pick(&[0.5, 0.2, 0.04]),
            names: random.pick(&[&["a"][..], &["a", "b"][..]]),
            size_max: random.pick(&[IDS, size_max]),
            random,
        };
        world.storm();
        world.boot();
        world
    }

    fn storm(&mut self) {
        if self.options.storm == Storm::Votes {
            self.size_max = IDS;
            self.nodes.iter_mut().for_each(|node| node.size_max = IDS);
        }
        match self.options.storm {
            Storm::Mixed => {}
            Storm::Restarts | Storm::Votes => {
                self.restart_share = 0.7;
                self.fault_rate = 0.004;
                self.control_rate = 0.1;
                self.bad_rate = 0.3;
            }
            Storm::Losses => {
                self.lost_rate = 0.4;
                self.fault_rate = 0.002;
            }
        }
    }

    pub fn log(&self, text: impl FnOnce() -> String) {
        if self.options.is_traced {
            eprintln!("{:5} {}", self.now, text());
        }
    }

    /// Start after a crash: all volatile state is new; requests of the past life may still arrive.
    fn boot(&mut self) {
        if !self.options.rules.outdur {
            self.durable.out.clear();
        }
        let start = self.durable.start(&self.ids);
        self.fleet = Fleet::start(&start, self.holdings.clone(), TIMING, self.options.rules, Monotonic(self.now));
        for record in self.durable.records.iter().filter(|record| record.outcome.is_none()) {
            self.fleet.load(&record.entry, record.resolution.as_ref());
        }
        self.fleet.end_needless_quarantine(&self.durable).expect("the simulated journal can be read");
        self.in_flight.iter_mut().for_each(|slot| *slot = None);
        self.committing = None;
        self.publishing = None;
        self.published = View { epoch: Epoch(1), out: self.fleet.view().out_of_sync, names: self.names_now() };
        self.cores = vec![self.published.clone(); 2];
    }

    fn names_now(&self) -> BTreeMap<String, NodeIndexUid> {
        self.durable.visible.iter().map(|(uid, name)| (name.clone(), uid.clone())).collect()
    }

    /// A client writes; names are resolved in journal order.
    fn write(&mut self) {
        let name = self.random.pick(self.names);
        let head = self.durable.head(name);
        let wish = self.wish(head.is_some());
        let target = match (&wish, head) {
            (Wish::Cancel(_), _) => None,
            (_, Some(head)) => Some(head),
            (_, None) => Some(NodeIndexUid::new(format!("{name}-{}", self.durable.records.len()))),
        };
        let entry = self.durable.append(name, target, wish.clone());
        self.oracle.apply(entry.id, entry.target.as_ref(), &wish);
        self.log(|| {
            format!("journal {} {:?} {wish:?} -> {}", entry.id, entry.target, self.oracle.succeeded[&entry.id])
        });
        self.fleet.add(&entry);
    }

    fn wish(&mut self, exists: bool) -> Wish {
        if !exists {
            return if self.random.chance(0.5) { Wish::Create } else { Wish::CreateAndPut(self.put()) };
        }
        let is_barrier = match self.options.storm {
            Storm::Mixed | Storm::Restarts => false,
            Storm::Votes => self.random.chance(0.4),
            Storm::Losses => self.random.chance(0.25),
        };
        match if is_barrier { 17 } else { self.random.below(22) } {
            0..12 => Wish::Documents(self.put()),
            12..16 => {
                let count = self.random.between(1, 3) as usize;
                Wish::Documents(Change::Delete { ids: self.random.sample(IDS, count) })
            }
            16 => Wish::Clear,
            17 | 18 => Wish::Settings(self.random.chance(0.6)),
            19 => Wish::Drop,
            20 => Wish::DeleteByFilter,
            _ => {
                let count = self.durable.records.len();
                let recent = (count.saturating_sub(3)..count).map(|id| EntryId(id as u64));
                Wish::Cancel(recent.collect())
            }
        }
    }

    fn put(&mut self) -> Change {
        let entry = self.durable.records.len() as u64;
        let count = self.random.between(1, 3) as usize;
        let mut docs = Docs::new();
        for id in self.random.sample(IDS, count) {
            let mut doc = Doc::default();
            let field = if self.random.chance(0.5) { &mut doc.x } else { &mut doc.y };
            *field = Some(entry);
            if self.random.chance(self.bad_rate) {
                doc.geo = Some(self.random.pick(&[Geo::Poison, Geo::Bad, Geo::Bad, Geo::Stubborn]));
            } else if self.random.chance(0.3) {
                doc.geo = Some(Geo::Null);
            }
            docs.insert(id, doc);
        }
        Change::Put { docs, is_merge: self.random.chance(0.5) }
    }

    /// One step of the thread of a node.
    fn drive(&mut self, node: usize) -> Checked {
        let now = Monotonic(self.now);
        if let Some(outcome) = self.in_flight[node].take() {
            self.fleet.sent(node, outcome, now);
            return Ok(());
        }
        let action = self.fleet.next(node, now, &self.durable);
        match action {
            Action::Wait(_) => {}
            Action::Poll(asked) => {
                if self.nodes[node].is_up {
                    let seen = self.nodes[node].list(&asked);
                    self.fleet.polled(node, &asked, seen, now, &self.durable);
                } else {
                    self.fleet.unreachable(node, now);
                }
            }
            Action::CheckIdle(index) => {
                if self.nodes[node].is_up {
                    let is_idle = !self.nodes[node].is_pending(&index);
                    self.fleet.idle_answer(node, &index, is_idle, now);
                } else {
                    self.fleet.unreachable(node, now);
                }
            }
            Action::AskNewest => unreachable!("nobody deletes tasks here"),
            Action::Store => self.commit()?,
            Action::Send(send) => self.send(node, &send),
            Action::DeleteTasks(_) => self.fleet.sent(node, SendOutcome::Busy, now),
        }
        self.alarms.extend(self.fleet.take_alarms());
        Ok(())
    }

    /// One request; the answer may get lost, and the request may then register now, later or never.
    fn send(&mut self, node: usize, send: &Send) {
        let now = Monotonic(self.now);
        let request = self.durable.request(send);
        if request.size() > self.size_max && send.shards.len() > 1 {
            self.fleet.too_large(node, send, now, &self.durable);
            return;
        }
        if !self.fleet.begin(node, send, self.durable.ids(send), (now, Timestamp(0)), &self.durable) {
            return;
        }
        let is_lost = self.is_dying || !self.is_quiet && self.random.chance(self.lost_rate);
        let outcome = if !self.nodes[node].is_up {
            SendOutcome::NotSent
        } else if request.size() > self.nodes[node].size_max {
            SendOutcome::TooLarge("payload_too_large".into())
        } else if is_lost {
            let fate = self.random.below(4);
            self.log(|| format!("n{node} send unclear {send:?} fate {fate}"));
            if fate == 0 {
                self.nodes[node].register(request);
            } else if fate < 3 {
                let most = if self.options.is_far { QUARANTINE * 4 } else { QUARANTINE - 5 };
                let at = self.now + self.random.between(1, most);
                self.nodes[node].late.push((at, request));
            }
            SendOutcome::Unclear
        } else if !self.is_quiet && self.random.chance(0.02) {
            SendOutcome::Busy
        } else {
            let task = self.nodes[node].register(request);
            self.log(|| format!("n{node} task {task} {send:?}"));
            SendOutcome::Registered(task)
        };
        self.in_flight[node] = Some(outcome);
    }

    /// Makes all changes durable; the fleet learns of it later.
    fn commit(&mut self) -> Checked {
        if self.committing.is_some() {
            return Ok(());
        }
        let (changes, version) = self.fleet.take_changes();
        self.log(|| format!("commit {version} {changes:?}"));
        self.durable.commit(&changes);
        self.committing = Some(version);
        for report in changes.reports {
            self.durable.records[report.entry.0 as usize].outcome = Some(report.status.clone());
            self.check_report(&report)?;
        }
        Ok(())
    }

    /// One step of the control thread.
    fn control(&mut self) -> Checked {
        if let Some((publication, names)) = self.publishing.take() {
            let epoch = Epoch(self.published.epoch.0 + 1);
            self.published = View { epoch, out: publication.out_of_sync.clone(), names };
            self.fleet.published(&publication, epoch);
            return Ok(());
        }
        let acknowledged = self.cores.iter().map(|core| core.epoch).min().expect("there are cores");
        // Reads take no time here.
        let progress = ReaderProgress { acknowledged, drained: acknowledged };
        self.fleet.control(Monotonic(self.now), progress, &self.durable);
        if self.fleet.has_changes() {
            self.commit()?;
        }
        if let Some(publication) = self.fleet.publication() {
            self.publishing = Some((publication, self.names_now()));
        }
        Ok(())
    }

    /// One step of the resolver.
    fn resolve(&mut self) {
        let mut due = Vec::new();
        for wanted in [Needs::Before, Needs::Documents] {
            let found = self.fleet.next_to_resolve(wanted, &self.durable);
            due.extend(found.expect("the simulated journal can be read"));
        }
        for due in due {
            let resolution = match due.needs {
                Needs::Nothing => continue,
                Needs::Before => self.durable.settings_resolution(due.entry),
                Needs::Documents => match self.look(&due.index, due.entry) {
                    Some(resolution) => resolution,
                    None => continue,
                },
            };
            self.log(|| format!("resolved {} {resolution:?}", due.entry));
            let record = &mut self.durable.records[due.entry.0 as usize];
            record.resolution = Some(resolution.clone());
            let entry = record.entry.clone();
            if !self.is_dying {
                self.fleet.resolved(&entry, &resolution);
            }
        }
    }

    /// Reads one in-sync replica of each shard; none when one is away.
    fn look(&mut self, uid: &NodeIndexUid, entry: EntryId) -> Option<Resolution> {
        let mut docs = Docs::new();
        for shard in 0..SHARDS {
            let is_readable = |node: &usize| {
                let is_out = self.published.out.contains(&(self.ids[*node].clone(), uid.clone()));
                self.holdings.of(*node).iter().any(|held| usize::from(held.0) == shard)
                    && !is_out
                    && self.nodes[*node].is_up
            };
            let readable: Vec<usize> = (0..self.nodes.len()).filter(is_readable).collect();
            if readable.is_empty() {
                return None;
            }
            let node = self.random.pick(&readable);
            let index = self.nodes[node].indexes.get(uid)?;
            docs.extend(index.docs.iter().filter(|(id, _)| *id % SHARDS == shard).map(|(&id, &doc)| (id, doc)));
        }
        Some(match self.durable.record(entry).wish {
            Wish::DeleteByFilter => self.durable.ids_resolution(entry, matching(&docs)),
            Wish::Create
            | Wish::CreateAndPut(_)
            | Wish::Drop
            | Wish::Clear
            | Wish::Settings(_)
            | Wish::Documents(_)
            | Wish::Cancel(_) => Resolution::Count(docs.len() as u64),
        })
    }

    fn tick(&mut self) -> Checked {
        self.now += 1;
        for node in 0..self.nodes.len() {
            let speed = if self.nodes[node].is_slow { 0.05 } else { 0.6 };
            self.nodes[node].arrive(self.now);
            if self.nodes[node].is_up && self.random.chance(speed) {
                self.nodes[node].step(&mut self.random);
            }
        }
        let first = self.random.below(self.nodes.len());
        for offset in 0..self.nodes.len() {
            if self.random.chance(0.8) {
                self.drive((first + offset) % self.nodes.len())?;
            }
        }
        if self.random.chance(0.6)
            && let Some(version) = self.committing.take()
        {
            self.fleet.stored(version);
        }
        if self.random.chance(self.control_rate) {
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
        self.check_read()?;
        if !self.is_quiet && self.random.chance(self.fault_rate * 5.0) {
            self.fault()?;
        }
        Ok(())
    }

    fn fault(&mut self) -> Checked {
        let node = self.random.below(self.nodes.len());
        let is_restart = self.random.chance(self.restart_share);
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

    /// The whole run.
    pub fn run(&mut self) -> Checked {
        while self.durable.records.len() < self.options.operations {
            if self.random.chance(self.write_rate) {
                self.write();
            }
            self.tick()?;
        }
        self.is_quiet = true;
        self.run_without_a_node()?;
        for node in &mut self.nodes {
            node.is_up = true;
            node.is_slow = false;
            node.hiccups = 0.0;
        }
        let end = self.now + 12_000;
        while !self.is_settled() {
            if self.now > end {
                let open = self.durable.records.iter().filter(|record| record.outcome.is_none());
                let open: Vec<EntryId> = open.map(|record| record.entry.id).collect();
                return violated(format!("liveness: entries {open:?} never end; out {:?}", self.durable.out));
            }
            self.tick()?;
        }
        self.check_end()
    }

    /// With a copy of every shard left, everything is reported while one node stays away.
    fn run_without_a_node(&mut self) -> Checked {
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

    fn is_reported(&self) -> bool {
        self.durable.records.iter().all(|record| record.outcome.is_some())
    }

    fn is_settled(&self) -> bool {
        self.is_reported()
            && self.durable.out.is_subset(&self.durable.rebuild)
            && self.nodes.iter().all(Node::is_quiet)
            && self.in_flight.iter().all(Option::is_none)
            && !self.fleet.has_changes()
            && (!self.options.rules.poll || self.is_accounted())
            && self.is_applied()
    }

    fn is_accounted(&self) -> bool {
        self.nodes
            .iter()
            .zip(&self.ids)
            .all(|(node, id)| node.tasks.len() as u64 == self.durable.next_task.get(id).map_or(0, |task| task.0))
    }

    /// Every watermark is past every step that touches its node.
    fn is_applied(&self) -> bool {
        self.durable.records.iter().all(|record| {
            let Some(uid) = &record.entry.target else { return true };
            Durable::steps(record).iter().all(|step| {
                (0..self.nodes.len()).all(|node| {
                    let key = (self.ids[node].clone(), uid.clone());
                    let held = self.holdings.of(node);
                    let is_touched = step
                        .shards
                        .as_ref()
                        .map_or(!held.is_empty(), |shards| shards.iter().any(|shard| held.contains(shard)));
                    !is_touched
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
