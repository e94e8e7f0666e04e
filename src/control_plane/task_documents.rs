//! The thread that shows the documents of unfinished tasks. They may be many megabytes, and nobody waits for them who asks
//! for something else.

use std::sync::Arc;

use bytes::Bytes;
use crossbeam::channel::Receiver;

use super::task_desk::api_error;
use crate::bridge::Bridge;
use crate::bridge::reply::Reply;
use crate::logic::entry::Operation;
use crate::logic::ids::EntryId;
use crate::meili::error::{ApiError, Code};
use crate::meili::tasks::{task_not_found, task_without_documents};
use crate::store::Store;

/// Questions that may wait; past this they are refused.
pub const JOBS_MAX: usize = 16;

/// A question: whose documents, as NDJSON.
#[derive(Debug)]
pub struct DocumentsJob {
    /// The task.
    pub entry: EntryId,
    /// To whom it is answered.
    pub reply: Reply<Result<Bytes, ApiError>>,
}

impl DocumentsJob {
    /// Answers that there is no time for it.
    pub fn refuse(self) {
        self.reply.send(Err(ApiError::overloaded("too many requests for documents of tasks wait")));
    }
}

/// The state of the thread.
pub struct TaskDocuments {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// For room in memory.
    pub bridge: Arc<Bridge>,
}

impl TaskDocuments {
    /// Works until `stop` is closed.
    pub fn run(&self, jobs: &Receiver<DocumentsJob>, stop: &Receiver<()>) {
        loop {
            crossbeam::channel::select! {
                recv(stop) -> _ => return,
                recv(jobs) -> job => match job {
                    // Who has waited for too long is gone.
                    Ok(job) if job.reply.is_awaited() => job.reply.send(self.documents(job.entry)),
                    Ok(_) => {}
                    Err(_) => {
                        // The journal died, and is mourned under its own name.
                        let _ = stop.recv();
                        return;
                    }
                },
            }
        }
    }

    fn documents(&self, id: EntryId) -> Result<Bytes, ApiError> {
        let record = self.store.entry(id).map_err(|error| api_error(&error))?;
        let record = record.filter(|record| !record.is_deleted).ok_or_else(|| task_not_found(id.0))?;
        let is_pending = matches!(record.entry.operation, Operation::PutDocuments { .. }) && record.outcome.is_none();
        let payload = if is_pending { self.store.payload(id).map_err(|error| api_error(&error))? } else { None };
        let payload = payload.ok_or_else(|| task_without_documents(id.0))?;
        let mut share = self.bridge.memory.share();
        if !share.grow(payload.bytes.len() as u64) {
            return Err(ApiError::overloaded("too much of requests and answers is in memory"));
        }
        let documents = payload.unmarked().map_err(|error| ApiError::new(Code::Internal, error.to_string()))?;
        Ok(share.carried_by(documents))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossbeam::channel::bounded;

    use super::*;
    use crate::bridge::reply::reply_channel;
    use crate::store::sqlite::SqliteStore;

    #[test]
    fn who_does_not_wait_any_more_is_passed_and_tasks_that_are_not_there_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let (bridge, _commands) = Bridge::new(0);
        let documents = TaskDocuments { store: Arc::new(SqliteStore::open(folder.path()).unwrap()), bridge };
        let (ask, jobs) = bounded(JOBS_MAX);
        let (reply, gone) = reply_channel();
        drop(gone);
        ask.send(DocumentsJob { entry: EntryId(1), reply }).unwrap();
        let (reply, answer) = reply_channel();
        ask.send(DocumentsJob { entry: EntryId(2), reply }).unwrap();
        let (stop, stopped) = bounded(0);
        let thread = std::thread::spawn(move || documents.run(&jobs, &stopped));
        let answer = answer.wait(Duration::from_secs(10)).expect("an answer");
        assert_eq!(answer, Err(task_not_found(2)));
        drop(stop);
        thread.join().unwrap();
    }
}
