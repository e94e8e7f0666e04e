//! A simulated Meilisearch node: tasks in order per index, neighbouring document tasks in one batch that fails
//! together, the index committed before the task table, crashes in between, requests that arrive late.

use std::collections::{BTreeMap, BTreeSet};

use miroir::logic::feeder::{Bearer, End, Label, SeenKind, SeenTask, Send};
use miroir::logic::ids::{NodeIndexUid, NodeTask, ShardId};
use miroir::meili::error::{ApiError, Code, ErrorBody};

use crate::documents::{Change, Docs, has_bad};
use crate::random::Random;
use crate::reads::shard_of;
use crate::weather::Trouble;

#[derive(Clone, PartialEq, Debug)]
pub enum Work {
    Create,
    Drop,
    Clear,
    Settings(bool),
    Documents(Change),
    /// Deletion by the marker, which needs the setting that every index gets after its creation.
    Mark(Vec<ShardId>),
    /// Changes nothing.
    Compact,
    /// It learns who it is, in this life.
    Identity(u64),
}

impl Work {
    fn may_share_a_batch(&self) -> bool {
        matches!(self, Self::Documents(_) | Self::Clear | Self::Mark(_))
    }

    fn is_put(&self) -> bool {
        matches!(self, Self::Documents(Change::Put { .. }))
    }

    fn is_mark(&self) -> bool {
        matches!(self, Self::Mark(_))
    }
}

#[derive(Clone, Debug)]
pub struct Request {
    pub index: NodeIndexUid,
    pub work: Work,
    /// Only where the real route takes one.
    pub label: Option<Label>,
}

#[derive(Clone, Debug)]
pub struct Task {
    pub request: Request,
    pub end: Option<Result<u64, Failure>>,
    pub batch: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    User(&'static str),
    /// Of a service that it asks.
    Service,
    /// Its own fault.
    Node,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Index {
    pub docs: Docs,
    pub is_strict: bool,
    /// Its documents can be found by their marker.
    pub has_marker: bool,
}

pub struct Batch {
    tasks: Vec<usize>,
    result: Result<Option<Index>, Failure>,
    deleted: Vec<u64>,
    is_committed: bool,
}

/// What a node had on its disk at some moment.
#[derive(Clone, Default)]
pub struct Disk {
    indexes: BTreeMap<NodeIndexUid, Index>,
    tasks: Vec<Task>,
    batches: u64,
    identity: Option<u64>,
}

#[derive(Default)]
pub struct Node {
    pub is_up: bool,
    pub is_slow: bool,
    pub indexes: BTreeMap<NodeIndexUid, Index>,
    pub tasks: Vec<Task>,
    /// Deleted from the task list.
    pub forgotten: BTreeSet<usize>,
    /// Requests on their way: when they register.
    pub late: Vec<(u64, Request)>,
    pub batch: Option<Batch>,
    pub batches: u64,
    /// The largest body that it takes.
    pub size_max: usize,
    /// How often a batch fails for no fault of the documents.
    pub hiccups: f64,
    /// How often the service fails that it asks about documents to put, and about settings.
    pub failures: f64,
    /// The life in which it was told who it is.
    pub identity: Option<u64>,
    /// While it is down another server answers in its place.
    pub is_replaced: bool,
    /// An older copy of its data.
    pub copy: Disk,
    /// What is wrong with it.
    pub trouble: Trouble,
}

impl Disk {
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }
}

impl Request {
    pub fn new(send: &Send, work: Work) -> Self {
        let has_label = work.may_share_a_batch();
        Self { index: send.index.clone(), work, label: has_label.then(|| send.label()) }
    }

    /// The ids that it touches.
    pub fn ids(&self) -> Vec<u64> {
        match &self.work {
            Work::Documents(change) => change.ids().into_iter().map(|id| id as u64).collect(),
            Work::Create
            | Work::Drop
            | Work::Clear
            | Work::Settings(_)
            | Work::Mark(_)
            | Work::Compact
            | Work::Identity(_) => Vec::new(),
        }
    }

    /// What stands for the bytes of a body.
    pub fn size(&self) -> usize {
        self.ids().len()
    }
}

impl Node {
    pub fn register(&mut self, request: Request) -> NodeTask {
        self.tasks.push(Task { request, end: None, batch: None });
        NodeTask(self.tasks.len() as u64 - 1)
    }

    /// Whoever asks it gets an answer.
    pub fn answers(&self) -> bool {
        self.is_up && self.trouble.lets_answer()
    }

    /// Whom who answers at its address says it is; none if nobody answers.
    pub fn bearer(&self) -> Option<Bearer> {
        match self.identity {
            _ if self.is_replaced => Some(Bearer::Other),
            _ if !self.answers() => None,
            Some(life) => Some(Bearer::Node { life }),
            None => Some(Bearer::Nobody { is_empty: self.indexes.is_empty() }),
        }
    }

    pub fn is_pending(&self, index: &NodeIndexUid) -> bool {
        self.tasks.iter().any(|task| task.end.is_none() && task.request.index == *index)
    }

    pub fn is_quiet(&self) -> bool {
        self.late.is_empty() && self.batch.is_none() && self.tasks.iter().all(|task| task.end.is_some())
    }

    pub fn crash(&mut self) {
        (self.is_up, self.is_replaced) = (false, false);
        self.batch = None;
        self.late.clear();
    }

    /// Keeps a copy of what is on its disk.
    pub fn copy(&mut self) {
        let Self { indexes, tasks, batches, identity, .. } = self;
        self.copy = Disk { indexes: indexes.clone(), tasks: tasks.clone(), batches: *batches, identity: *identity };
    }

    /// It is down and will come back with the data of that moment, or with none.
    pub fn lose(&mut self, disk: Disk) {
        self.crash();
        let Disk { indexes, tasks, batches, identity } = disk;
        (self.indexes, self.tasks, self.batches, self.identity) = (indexes, tasks, batches, identity);
        self.forgotten.clear();
        self.copy();
    }

    /// Requests that register at last.
    pub fn arrive(&mut self, now: u64) -> Vec<Request> {
        let mut due = Vec::new();
        self.late.retain(|(at, request)| {
            let is_due = *at <= now;
            if is_due {
                due.push(request.clone());
            }
            !is_due
        });
        for request in &due {
            self.register(request.clone());
        }
        due
    }

    /// Picks a batch; commits the index; commits the task table: three steps, so that a crash can fall in between.
    pub fn step(&mut self, random: &mut Random) {
        match &mut self.batch {
            None => self.batch = self.pick(random),
            Some(batch) if !batch.is_committed => {
                let index = &self.tasks[batch.tasks[0]].request.index;
                match &batch.result {
                    Ok(Some(state)) => {
                        self.indexes.insert(index.clone(), state.clone());
                    }
                    Ok(None) => {
                        if let Work::Identity(life) = self.tasks[batch.tasks[0]].request.work {
                            self.identity = self.identity.max(Some(life));
                        }
                        self.indexes.remove(index);
                    }
                    Err(_) => {}
                }
                batch.is_committed = true;
            }
            Some(_) => {
                let batch = self.batch.take().expect("just seen");
                for (&task, &deleted) in batch.tasks.iter().zip(&batch.deleted) {
                    self.tasks[task].end = Some(batch.result.as_ref().map(|_| deleted).map_err(|&failure| failure));
                    self.tasks[task].batch = Some(self.batches);
                }
                self.batches += 1;
            }
        }
    }

    fn pick(&self, random: &mut Random) -> Option<Batch> {
        let pending: Vec<usize> = (0..self.tasks.len()).filter(|&task| self.tasks[task].end.is_none()).collect();
        let names: BTreeSet<&NodeIndexUid> = pending.iter().map(|&task| &self.tasks[task].request.index).collect();
        let names: Vec<&NodeIndexUid> = names.into_iter().collect();
        if names.is_empty() {
            return None;
        }
        let name = names[random.below(names.len())];
        let queue: Vec<usize> = pending.into_iter().filter(|&task| self.tasks[task].request.index == *name).collect();
        let works = || queue.iter().map(|&task| &self.tasks[task].request.work);
        let shared = works().take_while(|work| work.may_share_a_batch()).count();
        // Seen: a deletion by filter is never in a batch with puts before it.
        let first_put = works().position(Work::is_put).unwrap_or(shared);
        let cut = works().skip(first_put).position(Work::is_mark).map_or(shared, |place| first_put + place);
        let shared = shared.min(cut);
        let size = if shared > 0 { random.between(1, shared as u64) as usize } else { 1 };
        let tasks = queue[..size].to_vec();
        let (mut result, deleted) = self.run(&tasks);
        let asks = |&task: &usize| {
            let work = &self.tasks[task].request.work;
            work.is_put() || matches!(work, Work::Settings(_))
        };
        if self.failures > 0.0 && result.is_ok() && tasks.iter().any(asks) && random.chance(self.failures) {
            result = Err(Failure::Service);
        }
        if random.chance(self.hiccups) || self.trouble == Trouble::Full {
            result = Err(Failure::Node);
        }
        Some(Batch { tasks, result, deleted, is_committed: false })
    }

    fn run(&self, tasks: &[usize]) -> (Result<Option<Index>, Failure>, Vec<u64>) {
        let first = &self.tasks[tasks[0]].request;
        let old = self.indexes.get(&first.index);
        let none = vec![0; tasks.len()];
        match (&first.work, old) {
            (Work::Create, Some(_)) => return (Err(Failure::User("index_already_exists")), none),
            (Work::Create, None) => return (Ok(Some(Index::default())), none),
            (Work::Drop, Some(_)) | (Work::Identity(_), _) => return (Ok(None), none),
            (Work::Compact, Some(index)) => return (Ok(Some(index.clone())), none),
            (Work::Drop | Work::Compact, None) => return (Err(Failure::User("index_not_found")), none),
            (Work::Settings(is_strict), _) => {
                // Settings create a missing index, too.
                let mut new = old.cloned().unwrap_or_default();
                (new.is_strict, new.has_marker) = (*is_strict, true);
                let is_refused = new.docs.values().any(|doc| doc.is_against_settings(*is_strict));
                return (if is_refused { Err(Failure::User("bad_document_stored")) } else { Ok(Some(new)) }, none);
            }
            (Work::Clear | Work::Documents(_) | Work::Mark(_), _) => {}
        }
        let works: Vec<&Work> = tasks.iter().map(|&task| &self.tasks[task].request.work).collect();
        if old.is_none() && !works.iter().any(|work| matches!(work, Work::Documents(Change::Put { .. }))) {
            return (Err(Failure::User("index_not_found")), none);
        }
        let mut new = old.cloned().unwrap_or_default();
        let mut touched = BTreeSet::new();
        let mut deleted = Vec::new();
        if !new.has_marker && works.iter().any(|work| work.is_mark()) {
            return (Err(Failure::User("invalid_document_filter")), none);
        }
        for work in works {
            let before = new.docs.len() as u64;
            match work {
                Work::Documents(change) => {
                    deleted.push(change.apply(&mut new.docs));
                    touched.extend(change.ids());
                }
                Work::Mark(shards) => {
                    new.docs.retain(|&id, _| !shards.contains(&shard_of(id)));
                    deleted.push(before - new.docs.len() as u64);
                }
                Work::Clear | Work::Create | Work::Drop | Work::Settings(_) | Work::Compact | Work::Identity(_) => {
                    deleted.push(before);
                    new.docs.clear();
                    touched.clear();
                }
            }
        }
        // Only the last state of each id is judged.
        let is_bad = has_bad(&new.docs, touched, new.is_strict);
        (if is_bad { Err(Failure::User("bad_document")) } else { Ok(Some(new)) }, deleted)
    }

    /// The tasks with these numbers, as the task list shows them.
    pub fn list(&self, asked: &[NodeTask]) -> Vec<SeenTask> {
        let known = asked.iter().filter(|task| !self.forgotten.contains(&(task.0 as usize)));
        known
            .filter_map(|&task| Some((task, self.tasks.get(task.0 as usize)?)))
            .map(|(task, at)| at.seen(task))
            .collect()
    }
}

impl Task {
    fn seen(&self, task: NodeTask) -> SeenTask {
        let kind = match &self.request.work {
            Work::Create => SeenKind::Create,
            Work::Drop => SeenKind::Drop,
            Work::Clear | Work::Mark(_) | Work::Documents(Change::Delete { .. }) => SeenKind::Deletion,
            Work::Documents(Change::Put { .. }) => SeenKind::Put,
            Work::Settings(_) => SeenKind::Settings,
            Work::Compact => SeenKind::Upkeep,
            Work::Identity(_) => SeenKind::Put,
        };
        let end = self.end.map(|end| match end {
            Ok(_) => End::Succeeded,
            Err(Failure::User(text)) => End::Rejected(body(text)),
            Err(Failure::Service) => {
                End::Rejected(ApiError::new(Code::VectorEmbeddingError, "x: user error: could not authenticate").body())
            }
            Err(Failure::Node) => End::Retry("the node has a hiccup".into()),
        });
        SeenTask {
            task,
            index: Some(self.request.index.clone()),
            kind,
            label: self.request.label.clone(),
            end,
            batch: self.batch,
            deleted: self.end.and_then(Result::ok),
            sizes: None,
        }
    }
}

pub fn body(text: &str) -> ErrorBody {
    ApiError::new(Code::InvalidDocumentGeoField, text).body()
}
