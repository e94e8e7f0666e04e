//! The thread that processes the queue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::batching::{self, Batch, IndexState};
use super::process::{self, Outcome};
use super::{BatchRecord, Content, Queue, State, Task};
use crate::devnode::Faults;
use crate::devnode::disk::QueueChange;
use crate::devnode::indexes::{Indexes, disk_error};
use crate::meili::error::ApiError;
use crate::meili::tasks::TaskStatus;
use crate::telemetry::clock;

/// Why the scheduler returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// [`Queue::stop`].
    Stopped,
    /// The kill point of [`Faults::die_after_commits`].
    Died,
}

/// What the next step does.
enum Step {
    Cancel(u64),
    Forget(Vec<u64>),
    Index { index_uid: String, batch: Batch, uids: Vec<u64> },
}

impl Step {
    fn uids(&self) -> Vec<u64> {
        match self {
            Self::Cancel(uid) => vec![*uid],
            Self::Forget(uids) | Self::Index { uids, .. } => uids.clone(),
        }
    }
}

/// Processes the queue, one batch at a time.
pub struct Scheduler {
    queue: Arc<Queue>,
    indexes: Arc<Indexes>,
    faults: Faults,
    commits: u64,
}

impl Scheduler {
    /// A scheduler that has not begun.
    pub fn new(queue: Arc<Queue>, indexes: Arc<Indexes>, faults: Faults) -> Self {
        Self { queue, indexes, faults, commits: 0 }
    }

    /// Runs until it is stopped or dies.
    pub fn run(mut self) -> Ended {
        loop {
            let Some((step, mut record)) = self.begin() else { return Ended::Stopped };
            match &step {
                Step::Cancel(uid) => self.cancel(*uid, &mut record),
                Step::Forget(uids) => self.forget(uids, &mut record),
                Step::Index { index_uid, batch, uids } => {
                    if !self.hold(&record) {
                        self.abandon(uids, &record);
                        continue;
                    }
                    let tasks = self.tasks(uids);
                    let outcomes = process::process(&self.indexes, index_uid, batch, &tasks, &|uid| {
                        self.queue.file.lock().payload(uid).map_err(|error| disk_error(&error))
                    });
                    self.commits += 1;
                    if self.faults.die_after_commits.is_some_and(|commits| self.commits >= commits) {
                        return Ended::Died;
                    }
                    self.finish(tasks, outcomes, &mut record);
                }
            }
        }
    }

    /// Waits for work, marks its tasks as being processed. `None` when stopped.
    fn begin(&self) -> Option<(Step, BatchRecord)> {
        let mut state = self.queue.state.lock();
        loop {
            if state.stopping {
                return None;
            }
            if let Some(step) = self.choose(&state) {
                let now = clock::timestamp().0;
                let mut record = BatchRecord::new(state.next_batch_uid, now);
                for uid in step.uids() {
                    let task = state.tasks.get_mut(&uid).expect("waiting tasks are known");
                    task.status = TaskStatus::Processing;
                    task.batch_uid = Some(record.uid);
                    task.started_at = Some(now);
                    record.add(task);
                }
                state.batches.insert(record.uid, record.clone());
                return Some((step, record));
            }
            self.queue.changed.wait(&mut state);
        }
    }

    fn choose(&self, state: &State) -> Option<Step> {
        let waiting = || state.waiting.iter().filter_map(|uid| state.tasks.get(uid));
        let last_cancel = waiting().rfind(|task| matches!(task.content, Content::CancelTasks { .. }));
        if let Some(task) = last_cancel {
            return Some(Step::Cancel(task.uid));
        }
        let deletions: Vec<u64> =
            waiting().filter(|task| matches!(task.content, Content::DeleteTasks { .. })).map(|task| task.uid).collect();
        if !deletions.is_empty() {
            return Some(Step::Forget(deletions));
        }
        // A compaction overtakes what waits for its index.
        let first_compaction = waiting().find(|task| matches!(task.content, Content::CompactIndex));
        let first = first_compaction.or_else(|| waiting().next())?;
        let index_uid = first.index_uid.clone().expect("tasks about tasks went first");
        let of_index: Vec<&Task> = waiting()
            .filter(|task| task.index_uid.as_ref() == Some(&index_uid))
            .filter(|task| first_compaction.is_none_or(|compaction| compaction.uid == task.uid))
            .take(self.faults.batch_tasks_max.unwrap_or(usize::MAX).max(1))
            .collect();
        let index = self.indexes.get(&index_uid).ok();
        let primary_key = index.as_ref().and_then(|index| index.read().engine.primary_key().map(str::to_owned));
        let index_state = IndexState { exists: index.is_some(), primary_key: primary_key.as_deref() };
        let batch = batching::choose(of_index.iter().map(|task| &task.content), index_state)?;
        let uids = of_index[..batch.length].iter().map(|task| task.uid).collect();
        Some(Step::Index { index_uid, batch, uids })
    }

    /// Lets the batch last as long as the faults want. False when it is to be abandoned.
    fn hold(&self, record: &BatchRecord) -> bool {
        let deadline = clock::instant() + self.faults.batch_time;
        let mut state = self.queue.state.lock();
        loop {
            let mut waiting = state.waiting.iter().filter_map(|uid| state.tasks.get(uid));
            let canceled = waiting.any(|task| matches!(task.content, Content::CancelTasks { .. }));
            if state.stopping || canceled && record.finished_at.is_none() {
                return false;
            }
            if self.faults.batch_time == Duration::ZERO
                || self.queue.changed.wait_until(&mut state, deadline).timed_out()
            {
                return true;
            }
        }
    }

    /// Puts the tasks of a batch back that has done nothing.
    fn abandon(&self, uids: &[u64], record: &BatchRecord) {
        let mut state = self.queue.state.lock();
        state.batches.remove(&record.uid);
        for uid in uids {
            if let Some(task) = state.tasks.get_mut(uid) {
                task.status = TaskStatus::Enqueued;
                task.batch_uid = None;
                task.started_at = None;
            }
        }
    }

    fn tasks(&self, uids: &[u64]) -> Vec<Task> {
        let state = self.queue.state.lock();
        uids.iter().filter_map(|uid| state.tasks.get(uid)).cloned().collect()
    }

    fn cancel(&self, uid: u64, record: &mut BatchRecord) {
        let task = self.tasks(&[uid]).remove(0);
        let Content::CancelTasks { uids: wanted, .. } = &task.content else { unreachable!("chosen by its kind") };
        let wanted: BTreeSet<u64> = wanted.iter().copied().collect();
        let waiting: Vec<u64> = self.queue.state.lock().waiting.intersection(&wanted).copied().collect();
        let now = clock::timestamp().0;
        let mut tasks = self.tasks(&waiting);
        for canceled in &mut tasks {
            canceled.status = TaskStatus::Canceled;
            canceled.canceled_by = Some(uid);
            canceled.batch_uid = Some(record.uid);
            canceled.started_at = Some(record.started_at);
            canceled.details = canceled.content.details(Some(0));
            canceled.finished_at = Some(now);
        }
        let mut task = task;
        task.finish(Ok(Some(tasks.len() as u64)));
        task.finished_at = Some(now);
        tasks.push(task);
        self.commit(tasks, Vec::new(), record);
    }

    fn forget(&self, uids: &[u64], record: &mut BatchRecord) {
        let mut tasks = self.tasks(uids);
        let now = clock::timestamp().0;
        let mut forgotten = BTreeSet::new();
        for task in &mut tasks {
            let Content::DeleteTasks { uids: wanted, .. } = &task.content else { unreachable!("chosen by its kind") };
            let before = forgotten.len();
            {
                let state = self.queue.state.lock();
                let finished = |uid: &&u64| state.tasks.get(uid).is_some_and(|task| task.status.is_terminal());
                forgotten.extend(wanted.iter().filter(finished).copied());
            }
            task.finish(Ok(Some((forgotten.len() - before) as u64)));
            task.finished_at = Some(now);
        }
        self.commit(tasks, forgotten.into_iter().collect(), record);
    }

    fn finish(&self, mut tasks: Vec<Task>, outcomes: Vec<Outcome>, record: &mut BatchRecord) {
        let now = clock::timestamp().0;
        for (task, outcome) in tasks.iter_mut().zip(outcomes) {
            task.finish(outcome);
            task.finished_at = Some(now);
        }
        self.commit(tasks, Vec::new(), record);
    }

    /// The second transaction: tasks in their final state, the batch, and what is forgotten.
    fn commit(&self, tasks: Vec<Task>, deleted_tasks: Vec<u64>, record: &mut BatchRecord) {
        let mut ended = BatchRecord::new(record.uid, record.started_at);
        ended.finished_at = Some(clock::timestamp().0);
        for task in &tasks {
            ended.add(task);
        }
        *record = ended;
        let mut file = self.queue.file.lock();
        let deleted_batches = self.empty_batches(&deleted_tasks);
        let change = QueueChange {
            tasks: tasks.iter().collect(),
            batch: Some(record),
            deleted_tasks: deleted_tasks.clone(),
            deleted_batches: deleted_batches.clone(),
        };
        if let Err(error) = file.apply(&change) {
            // As Meilisearch: what is not written is tried again, here at the next start.
            let error: ApiError = disk_error(&error);
            tracing::error!(%error, "the tasks of a batch could not be stored");
        }
        let mut state = self.queue.state.lock();
        for task in tasks {
            state.waiting.remove(&task.uid);
            state.tasks.insert(task.uid, task);
        }
        for uid in deleted_tasks {
            state.tasks.remove(&uid);
        }
        for uid in deleted_batches {
            state.batches.remove(&uid);
        }
        state.next_batch_uid = record.uid + 1;
        state.batches.insert(record.uid, record.clone());
        self.queue.changed.notify_all();
    }

    /// Batches that have no task left once these are forgotten.
    fn empty_batches(&self, deleted_tasks: &[u64]) -> Vec<u64> {
        let state = self.queue.state.lock();
        let deleted: BTreeSet<u64> = deleted_tasks.iter().copied().collect();
        let mut emptied: BTreeSet<u64> =
            deleted.iter().filter_map(|uid| state.tasks.get(uid)).filter_map(|task| task.batch_uid).collect();
        for task in state.tasks.values().filter(|task| !deleted.contains(&task.uid)) {
            if let Some(batch_uid) = task.batch_uid {
                emptied.remove(&batch_uid);
            }
        }
        emptied.into_iter().collect()
    }
}
