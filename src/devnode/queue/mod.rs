//! The task queue of the embedded node: tasks are stored before they are answered, numbered without gaps, and
//! processed by one thread, batch by batch.
//!
//! The index of the lowest waiting task goes first with all its neighbouring tasks ([`batching`]); cancelations and
//! task deletions jump the queue. On disk a task waits until its batch has ended, so whatever a kill interrupts is
//! processed again at the next start, even when its index had been committed.

mod batching;
mod process;
mod scheduler;
mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use scheduler::{Ended, Scheduler};
pub use task::{Content, PutMethod, Task, date, duration};

use super::disk::QueueFile;
use super::indexes::disk_error;
use crate::meili::error::ApiError;
use crate::meili::tasks::{TaskKind, TaskPage, TaskQuery, TaskStatus, TimeRange};
use crate::telemetry::clock;

/// One batch, as it is kept and shown. Times are microseconds since the Unix epoch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BatchRecord {
    /// From 0.
    pub uid: u64,
    /// Details of its tasks, added up.
    pub details: Map<String, Value>,
    /// Tasks it took.
    pub total: u64,
    /// Tasks by status.
    pub statuses: BTreeMap<String, u64>,
    /// Tasks by type.
    pub types: BTreeMap<String, u64>,
    /// Tasks by index.
    pub index_uids: BTreeMap<String, u64>,
    /// When it began.
    pub started_at: i64,
    /// When it ended.
    pub finished_at: Option<i64>,
}

impl BatchRecord {
    fn new(uid: u64, started_at: i64) -> Self {
        Self {
            uid,
            details: Map::new(),
            total: 0,
            statuses: BTreeMap::new(),
            types: BTreeMap::new(),
            index_uids: BTreeMap::new(),
            started_at,
            finished_at: None,
        }
    }

    fn add(&mut self, task: &Task) {
        self.total += 1;
        *self.statuses.entry(task.status.name().to_owned()).or_default() += 1;
        let kind = json!(task.content.kind()).as_str().unwrap_or_default().to_owned();
        *self.types.entry(kind).or_default() += 1;
        if let Some(index_uid) = &task.index_uid {
            *self.index_uids.entry(index_uid.clone()).or_default() += 1;
        }
        for (key, value) in &task.details {
            // Only settings are shown when they are null.
            if value.is_null() && task.content.kind() != TaskKind::SettingsUpdate {
                continue;
            }
            let sum = match (self.details.get(key), value) {
                (Some(Value::Number(sum)), Value::Number(count)) => {
                    json!(sum.as_u64().unwrap_or_default() + count.as_u64().unwrap_or_default())
                }
                (Some(Value::String(before)), Value::String(text)) if key == "originalFilter" => {
                    json!(format!("{before}&{text}"))
                }
                (_, value) => value.clone(),
            };
            self.details.insert(key.clone(), sum);
        }
    }

    /// As `GET /batches/{uid}` shows it.
    pub fn view(&self) -> Value {
        let progress = self.finished_at.is_none().then(|| json!({ "steps": [], "percentage": 0.0 }));
        json!({
            "uid": self.uid,
            "progress": progress,
            "details": self.details,
            "stats": {
                "totalNbTasks": self.total,
                "status": self.statuses,
                "types": self.types,
                "indexUids": self.index_uids,
            },
            "duration": self.finished_at.map(|end| duration(end - self.started_at)),
            "startedAt": date(self.started_at),
            "finishedAt": self.finished_at.map(date),
            "batchStrategy": "development node",
        })
    }
}

#[derive(Default)]
struct State {
    tasks: BTreeMap<u64, Task>,
    batches: BTreeMap<u64, BatchRecord>,
    /// Enqueued and processing tasks.
    waiting: BTreeSet<u64>,
    next_uid: u64,
    next_batch_uid: u64,
    stopping: bool,
}

/// The queue.
pub struct Queue {
    /// Locked before `state` where both are needed.
    file: Mutex<QueueFile>,
    state: Mutex<State>,
    /// Told of every new task and of the stop.
    changed: Condvar,
}

impl Queue {
    /// Reads the queue from the file in `folder`.
    pub fn open(folder: &Path) -> rusqlite::Result<Self> {
        let file = QueueFile::open(folder)?;
        let (tasks, batches) = file.load()?;
        let mut state = State::default();
        for task in tasks {
            state.next_uid = task.uid + 1;
            if !task.status.is_terminal() {
                state.waiting.insert(task.uid);
            }
            state.tasks.insert(task.uid, task);
        }
        for batch in batches {
            state.next_batch_uid = batch.uid + 1;
            state.batches.insert(batch.uid, batch);
        }
        Ok(Self { file: Mutex::new(file), state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Stores a new task; it is durable when this returns. The answer is the body for 202.
    ///
    /// # Errors
    /// `internal`, `no_space_left_on_device`.
    pub fn register(
        &self,
        index_uid: Option<&str>,
        content: Content,
        custom_metadata: Option<String>,
        payload: Option<&[u8]>,
    ) -> Result<Value, ApiError> {
        // Held from the choice of the number to the commit: numbers have no gaps and follow the order of commits.
        let mut file = self.file.lock();
        let task = Task {
            uid: self.state.lock().next_uid,
            index_uid: index_uid.map(str::to_owned),
            details: content.details(None),
            content,
            custom_metadata,
            status: TaskStatus::Enqueued,
            batch_uid: None,
            canceled_by: None,
            error: None,
            enqueued_at: clock::timestamp().0,
            started_at: None,
            finished_at: None,
        };
        file.register(&task, payload).map_err(|error| disk_error(&error))?;
        let summary = task.summary();
        let mut state = self.state.lock();
        state.next_uid += 1;
        state.waiting.insert(task.uid);
        state.tasks.insert(task.uid, task);
        self.changed.notify_all();
        Ok(summary)
    }

    /// One task.
    pub fn task(&self, uid: u64) -> Option<Task> {
        self.state.lock().tasks.get(&uid).cloned()
    }

    /// One batch.
    pub fn batch(&self, uid: u64) -> Option<BatchRecord> {
        self.state.lock().batches.get(&uid).cloned()
    }

    /// One page of tasks.
    pub fn tasks(&self, query: &TaskQuery) -> TaskPage {
        let state = self.state.lock();
        let matching: Vec<&Task> = state.tasks.values().filter(|task| matches(task, query)).collect();
        let total = matching.len() as u64;
        let (page, next) = page(&matching, query, |task| task.uid);
        let results: Vec<_> = page.into_iter().map(Task::view).collect();
        TaskPage { from: results.first().map(|task| task.uid), results, total, limit: query.limit, next }
    }

    /// Numbers of all tasks that match, whatever the page.
    pub fn matching(&self, query: &TaskQuery) -> Vec<u64> {
        let state = self.state.lock();
        state.tasks.values().filter(|task| matches(task, query)).map(|task| task.uid).collect()
    }

    /// One page of batches: those with a task that matches.
    pub fn batches(&self, query: &TaskQuery) -> Value {
        let state = self.state.lock();
        let restricted = TaskQuery { limit: 0, from: None, reverse: false, ..query.clone() } != TaskQuery::default();
        let wanted: BTreeSet<u64> =
            state.tasks.values().filter(|task| matches(task, query)).filter_map(|task| task.batch_uid).collect();
        let matching: Vec<&BatchRecord> =
            state.batches.values().filter(|batch| !restricted || wanted.contains(&batch.uid)).collect();
        let (page, next) = page(&matching, query, |batch| batch.uid);
        json!({
            "results": page.iter().map(|batch| batch.view()).collect::<Vec<_>>(),
            "total": matching.len(),
            "limit": query.limit,
            "from": page.first().map(|batch| batch.uid),
            "next": next,
        })
    }

    /// Is a task of this index being processed?
    pub fn is_indexing(&self, index_uid: &str) -> bool {
        let state = self.state.lock();
        let mut waiting = state.waiting.iter().filter_map(|uid| state.tasks.get(uid));
        waiting.any(|task| task.status == TaskStatus::Processing && task.index_uid.as_deref() == Some(index_uid))
    }

    /// Makes the scheduler return at its next step.
    pub fn stop(&self) {
        self.state.lock().stopping = true;
        self.changed.notify_all();
    }
}

/// The page that `query` asks for, and the number that the next page begins with.
fn page<'a, T>(matching: &[&'a T], query: &TaskQuery, uid: impl Fn(&T) -> u64) -> (Vec<&'a T>, Option<u64>) {
    let starts = |item: &&T| match (query.from, query.reverse) {
        (None, _) => true,
        (Some(from), true) => uid(item) >= from,
        (Some(from), false) => uid(item) <= from,
    };
    let mut ordered: Vec<&'a T> = matching.iter().copied().filter(starts).collect();
    if !query.reverse {
        ordered.reverse();
    }
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let next = ordered.get(limit).map(|item| uid(item));
    ordered.truncate(limit);
    (ordered, next)
}

fn matches(task: &Task, query: &TaskQuery) -> bool {
    fn within(at: Option<i64>, range: TimeRange) -> bool {
        if range == TimeRange::default() {
            return true;
        }
        at.is_some_and(|at| range.after.is_none_or(|after| at > after) && range.before.is_none_or(|before| at < before))
    }
    fn listed<T: PartialEq>(value: Option<&T>, list: Option<&Vec<T>>) -> bool {
        list.is_none_or(|list| value.is_some_and(|value| list.contains(value)))
    }
    listed(Some(&task.uid), query.uids.as_ref())
        && listed(task.batch_uid.as_ref(), query.batch_uids.as_ref())
        && listed(task.canceled_by.as_ref(), query.canceled_by.as_ref())
        && listed(Some(&task.content.kind()), query.types.as_ref())
        && listed(Some(&task.status), query.statuses.as_ref())
        && listed(task.index_uid.as_ref(), query.index_uids.as_ref())
        && within(Some(task.enqueued_at), query.enqueued)
        && within(task.started_at, query.started)
        && within(task.finished_at, query.finished)
}
