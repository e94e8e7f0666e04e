//! The threads that tell webhooks of finished tasks: one that sees what has finished, and one for each webhook.
//!
//! The store notes every task that ends while there is a webhook, in the transaction that ends it. What is noted goes into the
//! line of each webhook, and the store forgets it when it has left all of them: a crash in between may tell of a task twice,
//! never not at all. Who cannot be told in [`ATTEMPTS`] tries is not told of these tasks. Who does not keep up is not told of
//! the oldest ones: a line holds [`LINE_MAX`] tasks. In neither case the others notice anything.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::sync::Arc;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use ureq::Agent;
use uuid::Uuid;

use super::Registry;
use crate::control_plane::public_addresses;
use crate::control_plane::task_view::task_view;
use crate::logic::ids::EntryId;
use crate::meili::webhooks::Webhook;
use crate::store::StoreError;

/// Tasks that are told of with one request.
const TASKS_MAX: usize = 1_000;
/// Bytes of a request from which on no more tasks are put into it.
const BODY_BYTES: usize = 1024 * 1024;
/// Tasks that wait for one webhook.
const LINE_MAX: usize = 10_000;
/// Threads that speak to webhooks: there may be 20, and one of the configuration; the others still speak to some that were
/// deleted.
const THREADS_MAX: usize = 32;
/// Between two looks at what has finished.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// For one request, as one server waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Tries for one webhook and the same tasks.
const ATTEMPTS: u32 = 4;
/// After the first try that failed; doubled after each.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// See the module.
pub struct Announcer {
    registry: Arc<Registry>,
    agent: Agent,
}

/// Tasks that wait for one webhook; dropped when the webhook is gone, and then its thread ends.
struct Line {
    tasks: Arc<Mutex<VecDeque<EntryId>>>,
    /// There is something in it.
    wake: Sender<()>,
}

impl Line {
    /// With what its thread waits for.
    fn new() -> (Self, Receiver<()>) {
        let (wake, woken) = bounded(1);
        (Self { tasks: Arc::default(), wake }, woken)
    }

    /// Puts a task at the end; the one that had to leave the line for it.
    fn push(&self, task: EntryId) -> Option<EntryId> {
        let mut tasks = self.tasks.lock();
        tasks.push_back(task);
        if tasks.len() > LINE_MAX { tasks.pop_front() } else { None }
    }
}

/// What is on its way.
#[derive(Default)]
struct Underway {
    lines: BTreeMap<Uuid, Line>,
    /// In so many lines, or with their threads.
    tasks: BTreeMap<EntryId, usize>,
    /// Have left all lines, and the store has not forgotten them yet.
    told: Vec<EntryId>,
}

impl Underway {
    /// Puts a task into all lines, unless it is there.
    fn add(&mut self, task: EntryId) {
        if self.tasks.contains_key(&task) || self.told.contains(&task) {
            return;
        }
        self.tasks.insert(task, self.lines.len());
        let pushed_out: Vec<(Uuid, EntryId)> =
            self.lines.iter().filter_map(|(uuid, line)| Some((*uuid, line.push(task)?))).collect();
        for (uuid, task) in pushed_out {
            tracing::error!(webhook = %uuid, task = task.0, "a webhook does not keep up: it is not told of its oldest task");
            self.leave([task]);
        }
    }

    /// These have left a line.
    fn leave(&mut self, tasks: impl IntoIterator<Item = EntryId>) {
        for task in tasks {
            let Some(lines) = self.tasks.get_mut(&task) else { continue };
            *lines -= 1;
            if *lines == 0 {
                self.tasks.remove(&task);
                self.told.push(task);
            }
        }
    }

    /// Nobody is told any more of what waits in this line.
    fn close(&mut self, uuid: Uuid) {
        if let Some(line) = self.lines.remove(&uuid) {
            let tasks = std::mem::take(&mut *line.tasks.lock());
            self.leave(tasks);
        }
    }
}

impl Announcer {
    /// `may_be_private`: whether addresses that are not of the public internet are told, too.
    pub fn new(registry: Arc<Registry>, may_be_private: bool) -> Self {
        let config = Agent::config_builder()
            .user_agent("miroir")
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(ANSWER_TIMEOUT))
            .build();
        Self { registry, agent: public_addresses::agent(config, may_be_private, "webhooks.private_addresses") }
    }

    /// Works until `stop` is closed.
    pub fn run(self, stop: &Receiver<()>) {
        let (left, leaving) = unbounded();
        let mut underway = std::thread::scope(|scope| self.look(scope, (&left, &leaving), stop));
        // What the others have told at last.
        leaving.try_iter().for_each(|tasks| underway.leave(tasks));
        if let Err(error) = self.registry.store.announced(&underway.told) {
            tracing::error!(%error, "webhooks will be told again of tasks that they were told of");
        }
    }

    /// What is left to be told when `stop` is closed.
    fn look<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        (left, leaving): (&Sender<Vec<EntryId>>, &Receiver<Vec<EntryId>>),
        stop: &'scope Receiver<()>,
    ) -> Underway {
        let mut underway = Underway::default();
        let mut threads: Vec<ScopedJoinHandle<'scope, ()>> = Vec::new();
        loop {
            reap(&mut threads);
            let wanted: Vec<Uuid> = self.registry.all.lock().keys().copied().collect();
            let gone: Vec<Uuid> = underway.lines.keys().filter(|uuid| !wanted.contains(uuid)).copied().collect();
            for uuid in gone {
                underway.close(uuid);
            }
            for &uuid in &wanted {
                if !underway.lines.contains_key(&uuid) && threads.len() < THREADS_MAX {
                    let (line, woken) = Line::new();
                    let (tasks, left) = (line.tasks.clone(), left.clone());
                    threads.push(scope.spawn(move || self.serve(uuid, (&tasks, &woken), &left, stop)));
                    underway.lines.insert(uuid, line);
                }
            }
            let is_over = if wanted.is_empty() {
                // The store has forgotten everything.
                underway = Underway::default();
                crossbeam::channel::select! {
                    recv(stop) -> _ => true,
                    recv(self.registry.changes) -> _ => false,
                }
            } else {
                leaving.try_iter().for_each(|tasks| underway.leave(tasks));
                if let Err(error) = self.hand_out(&mut underway) {
                    tracing::error!(%error, "webhooks cannot be told of finished tasks; trying again");
                }
                is_over_after(stop, LOOK_PAUSE)
            };
            if is_over {
                // Lets the threads end.
                underway.lines.clear();
                return underway;
            }
        }
    }

    /// Puts what has finished into the lines, and lets the store forget what has left them.
    fn hand_out(&self, underway: &mut Underway) -> Result<(), StoreError> {
        let store = &self.registry.store;
        if !underway.told.is_empty() {
            store.announced(&underway.told)?;
            underway.told.clear();
        }
        if underway.lines.is_empty() {
            return Ok(());
        }
        // What is under way is still noted.
        let noted = store.unannounced(underway.tasks.len() + TASKS_MAX)?;
        for task in noted {
            underway.add(task);
        }
        for line in underway.lines.values().filter(|line| !line.tasks.lock().is_empty()) {
            // A full channel says the same already.
            let _ = line.wake.try_send(());
        }
        Ok(())
    }

    /// The thread of one webhook: tells it of the tasks in its line, until that is closed.
    fn serve(
        &self,
        uuid: Uuid,
        (line, woken): (&Mutex<VecDeque<EntryId>>, &Receiver<()>),
        left: &Sender<Vec<EntryId>>,
        stop: &Receiver<()>,
    ) {
        while woken.recv().is_ok() {
            let mut waiting = VecDeque::new();
            loop {
                if waiting.is_empty() {
                    let mut line = line.lock();
                    let length = line.len().min(TASKS_MAX);
                    waiting.extend(line.drain(..length));
                }
                if waiting.is_empty() {
                    break;
                }
                match self.body(&mut waiting) {
                    // The other side is there for longer than this thread.
                    Ok((told, body)) if self.tell(uuid, &body, stop) => drop(left.send(told)),
                    // The process ends.
                    Ok(_) => return,
                    Err(error) => {
                        tracing::error!(%error, "a webhook cannot be told of finished tasks; trying again");
                        if is_over_after(stop, RETRY_PAUSE) {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// The first tasks as lines of JSON, compressed, as one server sends them.
    fn body(&self, waiting: &mut VecDeque<EntryId>) -> Result<(Vec<EntryId>, Vec<u8>), StoreError> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let failed = |error: std::io::Error| StoreError::Failed(error.to_string());
        let mut count = 0;
        for id in waiting.iter() {
            count += 1;
            // One that was deleted altogether has nothing left to tell.
            let Some(record) = self.registry.store.entry(*id)? else { continue };
            let line =
                serde_json::to_string(&task_view(&record)).map_err(|error| StoreError::Failed(error.to_string()))?;
            writeln!(encoder, "{line}").map_err(failed)?;
            if encoder.get_ref().len() >= BODY_BYTES {
                break;
            }
        }
        Ok((waiting.drain(..count).collect(), encoder.finish().map_err(failed)?))
    }

    /// Sends a body, again where that fails. False: the process ends, and it was not told.
    fn tell(&self, uuid: Uuid, body: &[u8], stop: &Receiver<()>) -> bool {
        let mut pause = RETRY_PAUSE;
        for attempt in 1..=ATTEMPTS {
            if is_over_after(stop, Duration::ZERO) {
                return false;
            }
            // As it is now; one that is gone wants to hear nothing.
            let Some(webhook) = self.registry.all.lock().get(&uuid).cloned() else { return true };
            let Err(reason) = self.send(&webhook, body) else { return true };
            tracing::warn!(webhook = %uuid, attempt, reason, "a webhook could not be told of finished tasks");
            if attempt < ATTEMPTS && is_over_after(stop, pause) {
                return false;
            }
            pause *= 2;
        }
        tracing::error!(webhook = %uuid, "a webhook was not told of finished tasks; they are given up there");
        true
    }

    fn send(&self, webhook: &Webhook, body: &[u8]) -> Result<(), String> {
        let mut request = self
            .agent
            .post(&webhook.url)
            .header("content-encoding", "gzip")
            .header("content-type", "application/x-ndjson");
        for (name, value) in &webhook.headers {
            request = request.header(name, value);
        }
        request.send(body).map(drop).map_err(|error| error.to_string())
    }
}

/// Takes those away that have ended. A panic is passed on.
fn reap(threads: &mut Vec<ScopedJoinHandle<'_, ()>>) {
    for thread in threads.extract_if(.., |thread| thread.is_finished()) {
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Waits; true when the thread is to end.
fn is_over_after(stop: &Receiver<()>, pause: Duration) -> bool {
    match stop.recv_timeout(pause) {
        Ok(()) | Err(RecvTimeoutError::Disconnected) => true,
        Err(RecvTimeoutError::Timeout) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_keep_up_loses_the_oldest_tasks_and_nobody_else_does() {
        let (slow, quick) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut underway = Underway::default();
        underway.lines.insert(slow, Line::new().0);
        underway.lines.insert(quick, Line::new().0);
        let mut heard = 0;
        for id in 0..LINE_MAX as u64 + 3 {
            underway.add(EntryId(id));
            underway.add(EntryId(id));
            let tasks = std::mem::take(&mut *underway.lines[&quick].tasks.lock());
            heard += tasks.len();
            underway.leave(tasks);
        }
        assert_eq!((heard, underway.tasks.len()), (LINE_MAX + 3, LINE_MAX));
        assert_eq!(underway.told, [0, 1, 2].map(EntryId));
        underway.close(slow);
        assert_eq!((underway.told.len(), underway.tasks.len()), (LINE_MAX + 3, 0), "who is gone holds up nothing");
    }
}
