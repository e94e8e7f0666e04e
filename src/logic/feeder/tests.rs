//! Single situations of the protocol; long runs with faults are in `tests/simulation`.

mod embedding;
mod identity;
mod moves;
mod stuck_moves;
mod trimming;
mod upkeep;

use super::*;
use crate::logic::entry::PutMode;
use crate::logic::ids::Epoch;

const INDEX: &str = "a-0";
const START: Monotonic = Monotonic(1_000_000);

/// Every entry that was added, without resolutions.
#[derive(Default)]
struct Journal(Vec<Entry>);

impl JournalView for Journal {
    fn steps(&self, index: &NodeIndexUid, after: Position, limit: usize) -> Result<Vec<StepInfo>, JournalUnavailable> {
        let entries = self.0.iter().filter(|entry| entry.target.as_ref() == Some(index));
        let steps = entries.flat_map(|entry| steps_of(entry, None));
        Ok(steps.filter(|step| step.position > after).take(limit).collect())
    }
}

/// A fleet of nodes that do at once what they are asked.
struct World {
    fleet: Fleet,
    journal: Journal,
    now: Monotonic,
    /// By node: the number of its next task; none while it is down.
    nodes: Vec<Option<u64>>,
    reports: Vec<Report>,
    /// What each node has got.
    sent: Vec<(usize, Send)>,
    /// Steps whose decision is stored.
    decided: BTreeSet<Position>,
    /// What a node answers to this now, if it does not take it.
    answers: fn(usize, &Send) -> Option<SendOutcome>,
    /// Who answers at a node's address, in which life the node is.
    bearers: fn(usize, u64) -> Bearer,
}

impl World {
    /// One shard, on each of them.
    fn new(nodes: usize) -> Self {
        Self::with_owners(nodes, &[&(0..nodes).collect::<Vec<usize>>()])
    }

    /// By shard: who owns it.
    fn with_owners(nodes: usize, owners: &[&[usize]]) -> Self {
        let start = Start {
            nodes: (0..nodes).map(|node| marked(name(node))).collect(),
            tables: Tables::settled(table(owners), owners[0].len() as u16),
            ..Start::default()
        };
        let mut fleet = Fleet::start(&start, Timing::default(), Rules::ALL, START);
        let journal = Journal::default();
        fleet.end_needless_quarantine(&journal).unwrap();
        Self {
            fleet,
            journal,
            now: START,
            nodes: vec![Some(0); nodes],
            reports: Vec::new(),
            sent: Vec::new(),
            decided: BTreeSet::new(),
            answers: |_, _| None,
            bearers: |_, life| Bearer::Node { life },
        }
    }

    fn add(&mut self, operation: Operation) -> EntryId {
        self.add_to("a", &[0], operation)
    }

    fn add_to(&mut self, index: &str, shards: &[u16], operation: Operation) -> EntryId {
        let id = EntryId(self.journal.0.len() as u64);
        let is_of_an_index = !matches!(
            operation,
            Operation::CancelTasks { .. } | Operation::SwapIndexes { .. } | Operation::CreateSnapshot
        );
        let entry = Entry {
            id,
            enqueued_at: crate::logic::ids::Timestamp(0),
            index: is_of_an_index.then(|| IndexUid::new(index)),
            target: is_of_an_index.then(|| NodeIndexUid::new(format!("{index}-0"))),
            operation,
            shards: shards.iter().copied().map(ShardId).collect(),
            rejection: None,
            custom_metadata: None,
        };
        self.fleet.add(&entry);
        self.journal.0.push(entry);
        id
    }

    fn put(&mut self) -> EntryId {
        self.put_to(&[0])
    }

    fn put_to(&mut self, shards: &[u16]) -> EntryId {
        self.put_into("a", shards)
    }

    fn put_into(&mut self, index: &str, shards: &[u16]) -> EntryId {
        let primary_key = Some("id".to_owned());
        let (creates_index, sets_primary_key) = (false, false);
        let mode = PutMode::Replace;
        let put = Operation::PutDocuments {
            mode,
            received: 1,
            primary_key,
            creates_index,
            sets_primary_key,
            skips_missing: false,
        };
        self.add_to(index, shards, put)
    }

    fn create(&mut self) -> EntryId {
        self.add(Operation::CreateIndex { primary_key: None })
    }

    fn commit(&mut self) {
        let (changes, version) = self.fleet.take_changes();
        self.reports.extend(changes.reports);
        self.decided.extend(changes.decisions.iter().map(|(_, at, _)| *at));
        self.decided.retain(|at| !changes.passed.contains(at));
        self.fleet.stored(version);
        if let Some(publication) = self.fleet.publication() {
            self.fleet.published(&publication, Epoch(version));
        }
    }

    fn control(&mut self) {
        let latest = Epoch(u64::MAX);
        let progress = ReaderProgress { acknowledged: latest, drained: latest };
        self.fleet.control(self.now, progress, &self.journal);
        self.commit();
        for due in self.fleet.next_to_resolve(Needs::Before, &self.journal).unwrap() {
            let (before, after) = Default::default();
            let entry = self.journal.0[due.entry.0 as usize].clone();
            self.fleet.resolved(&entry, &Resolution::Settings { before, after });
        }
    }

    /// One action of a node. False when it has nothing to do.
    fn act(&mut self, node: usize) -> bool {
        if self.fleet.nodes[node].in_flight.is_some() {
            return false; // Nobody asks before it has ended.
        }
        let action = self.fleet.next(node, self.now, &self.journal);
        let Some(next) = self.nodes[node] else {
            if self.fleet.nodes[node].in_flight.is_some() {
                self.fleet.sent(node, SendOutcome::NotSent, self.now);
            } else if !matches!(action, Action::Wait(_)) {
                self.fleet.unreachable(node, self.now);
            }
            return false;
        };
        match action {
            Action::Wait(_) => return false,
            Action::Store => self.commit(),
            Action::AskNewest => {
                let bearer = (self.bearers)(node, self.fleet.nodes[node].record.life);
                self.fleet.newest_answer(node, bearer, NodeTask(next), self.now);
            }
            Action::Identify { .. } => {
                self.nodes[node] = Some(next + 1);
                self.fleet.sent(node, SendOutcome::Registered(NodeTask(next)), self.now);
            }
            Action::CheckIdle(uid) => self.fleet.idle_answer(node, &uid, true, self.now),
            Action::DeleteTasks(_) | Action::Maintain(_) => {
                self.fleet.sent(node, SendOutcome::Refused(no_reason()), self.now);
            }
            Action::Poll(asked) => {
                let seen = asked.iter().filter(|task| task.0 < next).map(|&task| done(task)).collect();
                self.fleet.polled(node, &asked, seen, self.now, &self.journal);
            }
            Action::Send(send) => {
                let now = (self.now, crate::logic::ids::Timestamp(0));
                if self.fleet.begin(node, &send, Vec::new(), now, &self.journal) {
                    if let Some(outcome) = (self.answers)(node, &send) {
                        self.fleet.sent(node, outcome, self.now);
                        return true;
                    }
                    self.nodes[node] = Some(next + 1);
                    self.sent.push((node, send));
                    self.fleet.sent(node, SendOutcome::Registered(NodeTask(next)), self.now);
                }
            }
        }
        true
    }

    /// Until every entry is reported.
    fn run(&mut self) {
        for _ in 0..10_000 {
            for node in 0..self.nodes.len() {
                while self.act(node) {}
            }
            self.control();
            if self.fleet.tasks.is_empty() {
                return;
            }
            self.now = self.now.plus_ms(10);
        }
        panic!("{} entries are not reported", self.fleet.tasks.len());
    }

    fn status(&self, entry: EntryId) -> &ReportStatus {
        &self.reports.iter().find(|report| report.entry == entry).expect("it is reported").status
    }
}

/// A member that carries who it is.
fn marked(id: NodeId) -> NodeRecord {
    NodeRecord { has_identity: true, ..NodeRecord::active(id, "") }
}

fn name(node: usize) -> NodeId {
    NodeId::new(format!("n{node}"))
}

fn table(by_shard: &[&[usize]]) -> Vec<Vec<NodeId>> {
    by_shard.iter().map(|nodes| nodes.iter().copied().map(name).collect()).collect()
}

fn no_reason() -> ErrorBody {
    crate::meili::error::ApiError::new(crate::meili::error::Code::Internal, "no").body()
}

fn done(task: NodeTask) -> SeenTask {
    SeenTask { end: Some(End::Succeeded), ..stranger(task, SeenKind::Housekeeping, None) }
}

/// An unfinished task that no answer named.
fn stranger(task: NodeTask, kind: SeenKind, label: Option<Label>) -> SeenTask {
    SeenTask {
        task,
        index: Some(NodeIndexUid::new(INDEX)),
        kind,
        label,
        end: None,
        batch: None,
        deleted: None,
        sizes: None,
    }
}

#[test]
fn a_clearing_is_not_canceled_since_the_primary_key_may_change_after_it() {
    let mut world = World::new(1);
    let entries = [world.create(), world.put()];
    world.nodes[0] = None;
    let cleared = world.add(Operation::ClearDocuments);
    let put = world.put();
    let matched = vec![cleared, put];
    world.add(Operation::CancelTasks { original_filter: String::new(), matched });
    world.control();
    assert!(!world.reports.iter().any(|report| report.entry == cleared));
    assert!(matches!(world.status(put), ReportStatus::Canceled(_)));
    assert!(!world.reports.iter().any(|report| entries.contains(&report.entry)));
}

#[test]
fn an_answer_that_a_node_is_idle_is_worth_nothing_once_an_unfinished_stranger_shows_up() {
    let mut world = World::new(1);
    world.create();
    let idle = Action::CheckIdle(NodeIndexUid::new(INDEX));
    while world.fleet.next(0, world.now, &world.journal) != idle {
        assert!(world.act(0));
    }
    world.act(0);
    let next = || (world.fleet.nodes[0].next_task, Position::of(EntryId(9), 0));
    let (task, position) = next();
    let label = Some(Label::Step { position, shard: None });
    world.nodes[0] = Some(task.0 + 1);
    world.fleet.polled(0, &[task], vec![stranger(task, SeenKind::Put, label)], world.now, &world.journal);
    assert_eq!(world.fleet.next(0, world.now, &world.journal), idle);
    world.run();
}

#[test]
fn replicas_that_stand_still_together_do_not_keep_each_other_in_sync() {
    for owners in [&[&[0, 1][..], &[0, 3], &[2, 1], &[2, 3]][..], &[&[0, 1, 2]]] {
        let mut world = World::with_owners(4, owners);
        world.create();
        world.run();
        (world.nodes[0], world.nodes[2]) = (None, None);
        let shards: Vec<u16> = (0..owners.len() as u16).collect();
        let put = world.put_to(&shards);
        let patch = serde_json::json!({});
        let settings = world.add(Operation::UpdateSettings { patch, is_deletion: false, creates_index: false });
        world.run();
        assert_eq!(
            [put, settings].map(|entry| world.status(entry).clone()),
            [ReportStatus::Succeeded, ReportStatus::Succeeded]
        );
    }
}

/// Goal: no shard becomes unreadable because the replica that answers lags behind one that does not. Method: node 1 stands
/// still while node 0 applies a put and dies; then node 1 goes on.
#[test]
fn a_replica_that_lags_is_read_as_long_as_its_peer_does_not_answer() {
    let mut world = World::new(2);
    world.create();
    world.run();
    let put = world.put();
    let uid = NodeIndexUid::new(INDEX);
    while world.fleet.feed(0, &uid).applied < Position::of(put, 0) {
        while world.act(0) {}
        world.control();
        world.now = world.now.plus_ms(10);
    }
    world.nodes[0] = None;
    world.fleet.unreachable(0, world.now);
    let is_read = |world: &World, node: usize| world.fleet.feed(node, &uid).is_in_sync();
    for _ in 0..4 {
        world.now = world.now.plus_ms(Timing::default().in_sync_timeout_ms);
        world.control();
        assert!(is_read(&world, 1));
    }
    // It is node 0 that leaves, once it is the one that lags.
    world.put();
    world.run();
    assert_eq!((is_read(&world, 0), is_read(&world, 1)), (false, true));
}

#[test]
fn decisions_are_kept_only_as_long_as_a_replica_may_come_to_them() {
    let mut world = World::new(2);
    world.create();
    for _ in 0..10 {
        world.add(Operation::UpdateSettings { patch: serde_json::json!({}), is_deletion: false, creates_index: false });
        world.put();
        world.run();
        // A request that comes too late may bring a replica back to the last one.
        assert_eq!(world.decided.len(), 1, "{:?}", world.decided);
    }
    world.add(Operation::DeleteIndex);
    world.control();
    let entry = world.journal.0.last().expect("just added").clone();
    world.fleet.resolved(&entry, &Resolution::Count(10));
    world.run();
    world.now = world.now.plus_ms(1 << 30);
    world.control();
    assert_eq!(world.decided, BTreeSet::new());
}

#[test]
fn a_control_round_looks_only_at_what_may_be_due() {
    let mut world = World::new(2);
    world.create();
    world.run();
    let tasks = world.nodes[1].take();
    for _ in 0..100 {
        world.put();
    }
    for _ in 0..100 {
        world.act(0);
    }
    let candidates = |world: &World| world.fleet.index(&NodeIndexUid::new(INDEX)).candidates.len();
    assert_eq!(candidates(&world), 100);
    world.control();
    assert_eq!(candidates(&world), 0, "all of them wait for the node that is away");
    world.nodes[1] = tasks;
    world.run();
}

#[test]
fn a_long_stretch_of_steps_for_others_is_searched_once() {
    let mut world = World::new(2);
    world.fleet.topology = Topology::new(vec![true; 2], vec![vec![1], vec![0]], vec![vec![1], vec![0]]);
    let created = world.create();
    world.run();
    let away = world.nodes[1].take();
    let puts: Vec<EntryId> = (0..200).map(|_| world.put()).collect();
    world.control();
    let known = |world: &World| world.fleet.feed(0, &NodeIndexUid::new(INDEX)).barren;
    let upto = |entry: EntryId| (Position::of(created, 1), Position::of(entry, 0));
    assert_eq!(known(&world), upto(puts[199]));
    let more = world.put();
    let for_all =
        world.add(Operation::UpdateSettings { patch: serde_json::json!({}), is_deletion: false, creates_index: false });
    world.control();
    assert_eq!(known(&world), upto(more));
    world.nodes[1] = away;
    world.run();
    assert_eq!(*world.status(for_all), ReportStatus::Succeeded);
}

/// Polls one node as if it had only these tasks.
fn poll_as_if(world: &mut World, seen: &[u64]) -> Action {
    let Some(newest) = world.fleet.nodes[0].newest_known() else { panic!("it has tasks") };
    let asked = [newest, NodeTask(newest.0 + 1)];
    let seen = seen.iter().map(|&task| done(NodeTask(task))).collect();
    world.fleet.polled(0, &asked, seen, world.now, &world.journal);
    world.fleet.next(0, world.now, &world.journal)
}

#[test]
fn a_node_without_its_newest_task_is_asked_for_what_it_has_and_given_up_if_that_is_older() {
    let mut world = World::new(2);
    world.create();
    world.put();
    world.run();
    let newest = world.fleet.nodes[0].newest_known().expect("it has tasks");
    assert_ne!(poll_as_if(&mut world, &[newest.0]), Action::AskNewest);
    // Our own deletions never take the newest, but the number of it may have been stored before they went on.
    assert_eq!(poll_as_if(&mut world, &[]), Action::AskNewest);
    world.fleet.newest_answer(0, Bearer::Node { life: 0 }, NodeTask(newest.0 + 100), world.now);
    assert!(world.fleet.take_alarms().is_empty());
    assert_eq!(poll_as_if(&mut world, &[]), Action::AskNewest);
    world.fleet.newest_answer(0, Bearer::Node { life: 0 }, NodeTask(0), world.now);
    let lost = Alarm::NodeLost { node: NodeId::new("n0") };
    assert_eq!(world.fleet.take_alarms(), [lost]);
    let put = world.put();
    world.run();
    assert_eq!(world.status(put), &ReportStatus::Succeeded, "its peer goes on without it");
}

#[test]
fn a_plan_that_names_nobody_for_a_shard_leaves_it_with_its_last_owner() {
    let mut world = World::new(2);
    // Nothing is taken away while a node does not answer.
    world.create();
    world.run();
    let both = world.fleet.tables_now().owners;
    world.fleet.set_plan(&[vec![NodeId::new("gone")]], 1);
    for _ in 0..10 {
        world.control();
        world.commit();
    }
    let owners = world.fleet.tables_now().owners;
    assert_eq!((both[0].len(), owners[0].len()), (2, 1));
}

#[test]
fn the_journal_is_not_searched_for_a_node_that_is_no_member_any_more() {
    struct Unread;
    impl JournalView for Unread {
        fn steps(&self, _: &NodeIndexUid, _: Position, _: usize) -> Result<Vec<StepInfo>, JournalUnavailable> {
            Err(JournalUnavailable)
        }
    }
    let nodes = ["n0", "n1"].map(|id| marked(NodeId::new(id)));
    let mut start = Start {
        nodes: nodes.to_vec(),
        tables: Tables::settled(vec![vec![nodes[0].id.clone()]], 1),
        next_entry: EntryId(1_000),
        ..Start::default()
    };
    start.nodes[1].state = crate::logic::topology::NodeState::Removed;
    let (index, created_by) = (NodeIndexUid::new(INDEX), EntryId(0));
    start.applied.insert((nodes[0].id.clone(), index.clone()), Position::of(EntryId(1_000), 0).before());
    start.indexes.push(IndexStart {
        index: index.clone(),
        created_by,
        dropped_by: None,
        top_reported: Position(0),
        needed_from: EntryId(0),
    });
    let mut fleet = Fleet::start(&start, Timing::default(), Rules::ALL, START);
    assert_eq!(fleet.due_steps(&index, &Unread), Ok(vec![None, None]));
}
