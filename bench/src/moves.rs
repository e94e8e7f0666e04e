//! What moves cost under the lock of the protocol's state: many shards on their way to one node, many indexes.
//!
//! The nodes do at once what they are asked, so that what is left is the protocol's own time, and the journal counts the
//! steps that are read from it, each of which is read from the disk in a running Miroir.

use std::cell::Cell;
use std::collections::BTreeMap;

use miroir::logic::entry::{Entry, Operation, PutMode};
use miroir::logic::feeder::{
    Action, Bearer, End, Fleet, IndexStart, JournalUnavailable, JournalView, LookKind, LookOutcome, ReaderProgress,
    Rules, SeenKind, SeenTask, SendOutcome, Start, StepInfo, Timing, steps_of,
};
use miroir::logic::ids::{
    EntryId, Epoch, IndexUid, Monotonic, NodeId, NodeIndexUid, NodeTask, Position, ShardId, Timestamp,
};
use miroir::logic::topology::{NodeRecord, Pace, Tables};

/// How large it is.
#[derive(Clone, Copy, Debug)]
pub struct MoveShape {
    /// Members; all shards go from the others to the last one, which owns nothing at first.
    pub nodes: usize,
    /// Each one is a job.
    pub shards: u16,
    /// With documents in all shards.
    pub indexes: usize,
    /// Writes to each index before, all of them reported.
    pub writes: usize,
}

/// A fleet about to move its shards.
pub struct Moves {
    fleet: Fleet,
    journal: Journal,
    shape: MoveShape,
    now: Monotonic,
    /// By node: the number of its next task.
    next_task: Vec<u64>,
    /// Jobs that are done.
    ended: usize,
}

struct Journal {
    steps: BTreeMap<NodeIndexUid, Vec<StepInfo>>,
    read: Cell<usize>,
}

impl JournalView for Journal {
    fn steps(&self, index: &NodeIndexUid, after: Position, limit: usize) -> Result<Vec<StepInfo>, JournalUnavailable> {
        let steps = self.steps.get(index).map_or(&[][..], Vec::as_slice);
        let first = steps.partition_point(|step| step.position <= after);
        let found: Vec<StepInfo> = steps[first..].iter().take(limit).cloned().collect();
        self.read.set(self.read.get() + found.len());
        Ok(found)
    }
}

fn node(number: usize) -> NodeId {
    NodeId::new(format!("node-{number}"))
}

fn entry(id: u64, index: usize, operation: Operation, shards: Vec<ShardId>) -> Entry {
    Entry {
        id: EntryId(id),
        enqueued_at: Timestamp(0),
        index: Some(IndexUid::new(format!("index-{index}"))),
        target: Some(NodeIndexUid::new(format!("index-{index}-0"))),
        operation,
        shards,
        rejection: None,
        custom_metadata: None,
    }
}

impl Moves {
    /// Everything that was written is applied everywhere.
    pub fn new(shape: MoveShape) -> Self {
        let mut steps: BTreeMap<NodeIndexUid, Vec<StepInfo>> = BTreeMap::new();
        let mut next = 0;
        let mut write = |index: usize, operation: Operation, shards: Vec<ShardId>| {
            let entry = entry(next, index, operation, shards);
            next += 1;
            let uid = entry.target.clone().expect("it has one");
            steps.entry(uid).or_default().extend(steps_of(&entry, None));
        };
        (0..shape.indexes).for_each(|index| write(index, Operation::CreateIndex { primary_key: None }, Vec::new()));
        for number in 0..shape.writes * shape.indexes {
            let operation = Operation::PutDocuments {
                mode: PutMode::Replace,
                received: 1,
                primary_key: Some("id".to_owned()),
                creates_index: false,
                sets_primary_key: false,
                skips_missing: false,
            };
            write(number % shape.indexes, operation, vec![ShardId((number / shape.indexes) as u16 % shape.shards)]);
        }
        let head = Position::of(EntryId(next), 0).before();
        let owners = (0..usize::from(shape.shards)).map(|shard| vec![node(shard % (shape.nodes - 1))]);
        let mut start = Start {
            nodes: (0..shape.nodes)
                .map(|number| NodeRecord { has_identity: true, ..NodeRecord::active(node(number), "") })
                .collect(),
            tables: Tables {
                pace: Pace { moves_per_node: usize::from(shape.shards), ..Pace::default() },
                ..Tables::settled(owners.collect(), 1)
            },
            next_entry: EntryId(next),
            ..Start::default()
        };
        for uid in steps.keys() {
            let created_by = steps[uid][0].position.entry().expect("a step has one");
            for member in 0..shape.nodes {
                // No document has ever touched the last one.
                let applied = if member + 1 < shape.nodes { head } else { Position::of(created_by, 3) };
                start.applied.insert((node(member), uid.clone()), applied);
            }
            let (index, top_reported, needed_from) = (uid.clone(), head, EntryId(0));
            start.indexes.push(IndexStart { index, created_by, dropped_by: None, top_reported, needed_from });
        }
        let journal = Journal { steps, read: Cell::new(0) };
        let now = Monotonic(1_000_000);
        let mut fleet = Fleet::start(&start, Timing::default(), Rules::ALL, now);
        fleet.end_needless_quarantine(&journal).expect("this journal can be read");
        let next_task = vec![0; shape.nodes];
        Self { fleet, journal, shape, now, next_task, ended: 0 }
    }

    /// From here on all shards are to go to the last node.
    fn plan(&mut self) {
        let last = node(self.shape.nodes - 1);
        self.fleet.set_plan(&vec![vec![last]; usize::from(self.shape.shards)], 1);
    }

    /// All jobs are there, nothing is left of their shards on the last node, and it takes no copies for the time being.
    pub fn wait_for_turn(&mut self) {
        self.plan();
        self.fleet.rest(&node(self.shape.nodes - 1), Monotonic(u64::MAX));
        for _ in 0..20 {
            self.round();
        }
    }

    /// All shards go over; the steps that were read from the journal meanwhile.
    ///
    /// # Panics
    /// If it does not end.
    pub fn rebalance(&mut self) -> usize {
        let before = self.journal.read.get();
        self.plan();
        for _ in 0..100_000 {
            self.round();
            if self.ended == usize::from(self.shape.shards) {
                return self.journal.read.get() - before;
            }
        }
        panic!("the moves do not end");
    }

    /// Every node does what it can do now, everything is read that can be, then the control step.
    fn round(&mut self) {
        self.now = self.now.plus_ms(5);
        for number in 0..self.shape.nodes {
            while self.act(number) {}
        }
        while let Some(look) = self.fleet.next_look(self.now, &self.journal).expect("this journal can be read") {
            let outcome = match look.kind {
                LookKind::Copy { .. } => {
                    self.fleet.offer(look.transfer, 0);
                    LookOutcome::Copied { chunks: 1 }
                }
                LookKind::Compare { .. } => LookOutcome::Compared { unequal: Vec::new() },
                LookKind::Strays { .. } => LookOutcome::Strays { found: Vec::new() },
            };
            self.fleet.looked(look.transfer, outcome, self.now);
        }
        self.control();
    }

    /// One control step, and its transaction.
    pub fn control(&mut self) {
        let latest = Epoch(u64::MAX);
        let progress = ReaderProgress { acknowledged: latest, drained: latest };
        self.fleet.control(self.now, progress, &self.journal);
        self.commit();
    }

    fn commit(&mut self) {
        let (changes, version) = self.fleet.take_changes();
        self.ended += changes.ended_jobs.len();
        self.fleet.stored(version);
        if let Some(publication) = self.fleet.publication() {
            self.fleet.published(&publication, Epoch(version));
        }
    }

    fn act(&mut self, number: usize) -> bool {
        let next = self.next_task[number];
        match self.fleet.next(number, self.now, &self.journal) {
            Action::Wait(_) => return false,
            Action::Store => self.commit(),
            Action::AskNewest => self.fleet.newest_answer(number, Bearer::Node { life: 0 }, NodeTask(next), self.now),
            Action::CheckIdle(uid) => self.fleet.idle_answer(number, &uid, true, self.now),
            Action::DeleteTasks(_) | Action::Maintain(_) | Action::Identify { .. } => {
                self.next_task[number] += 1;
                self.fleet.sent(number, SendOutcome::Registered(NodeTask(next)), self.now);
            }
            Action::Poll(asked) => {
                let seen = asked.iter().filter(|task| task.0 < next).map(|&task| done(task)).collect();
                self.fleet.polled(number, &asked, seen, self.now, &self.journal);
            }
            Action::Send(send) => {
                if self.fleet.begin(number, &send, Vec::new(), (self.now, Timestamp(0)), &self.journal) {
                    self.next_task[number] += 1;
                    self.fleet.sent(number, SendOutcome::Registered(NodeTask(next)), self.now);
                }
            }
        }
        true
    }
}

fn done(task: NodeTask) -> SeenTask {
    let end = Some(End::Succeeded);
    SeenTask {
        task,
        index: None,
        kind: SeenKind::Housekeeping,
        label: None,
        end,
        batch: None,
        deleted: None,
        sizes: None,
    }
}
