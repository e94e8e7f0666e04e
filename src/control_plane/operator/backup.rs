//! Backups of the store, by command, each on a thread of its own: the operator's thread goes on answering.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};

use crate::logic::ids::Timestamp;
use crate::meili::dates::{dump_uid, rfc3339};
use crate::meili::error::{ApiError, Code};
use crate::store::{BackupRecord, Store, StoreError};
use crate::telemetry::clock;

/// The backup that is being made, or the last one.
#[derive(Debug)]
pub struct Backups {
    folder: PathBuf,
    last: Mutex<Last>,
}

#[derive(Debug)]
enum Last {
    /// None since Miroir started.
    Never,
    Running {
        name: String,
        began: Timestamp,
        work: JoinHandle<Made>,
    },
    Ended(BackupStatus),
}

/// What came of it, and after how many seconds.
type Made = (Result<BackupRecord, StoreError>, f64);

/// The answer.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BackupStatus {
    /// `never`, `running`, `done`, `failed`.
    state: &'static str,
    /// The folder on Miroir's machine.
    path: Option<PathBuf>,
    began: Option<String>,
    seconds: Option<f64>,
    #[serde(flatten)]
    record: Option<BackupRecord>,
    /// Why it failed.
    error: Option<String>,
}

impl Backups {
    /// They are put into this folder.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, last: Mutex::new(Last::Never) }
    }

    /// Begins one; while one is under way its name is answered.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn begin(&self, store: &Arc<dyn Store>) -> Result<Value, ApiError> {
        let joined = self.status().state == "running";
        let mut last = self.last.lock();
        if !joined {
            let began = clock::timestamp();
            let (store, folder, name) = (store.clone(), self.folder.clone(), dump_uid(began));
            let new_name = name.clone();
            let work = move || {
                tracing::info!(folder = %folder.display(), name, "a backup is being made");
                let made = store.back_up(&folder, &name);
                let seconds = since(began);
                match &made {
                    Ok(record) => tracing::info!(name, seconds, ?record, "a backup was made"),
                    Err(error) => tracing::error!(name, %error, "no backup was made"),
                }
                (made, seconds)
            };
            let failed = |error| ApiError::new(Code::Internal, format!("a thread cannot be started: {error}"));
            let work = std::thread::Builder::new().name("backup".to_owned()).spawn(work).map_err(failed)?;
            *last = Last::Running { name: new_name, began, work };
        }
        let Last::Running { name, .. } = &*last else { return Ok(Value::Null) };
        Ok(json!({ "name": name, "path": self.folder.join(name), "joined": joined }))
    }

    pub(super) fn status(&self) -> BackupStatus {
        let mut last = self.last.lock();
        *last = match std::mem::replace(&mut *last, Last::Never) {
            Last::Running { name, began, work } if work.is_finished() => {
                Last::Ended(ended(self.folder.join(name), began, work.join().ok()))
            }
            same @ (Last::Never | Last::Running { .. } | Last::Ended(_)) => same,
        };
        match &*last {
            Last::Never => BackupStatus { state: "never", ..BackupStatus::default() },
            Last::Running { name, began, .. } => BackupStatus {
                state: "running",
                path: Some(self.folder.join(name)),
                began: Some(rfc3339(*began)),
                seconds: Some(since(*began)),
                ..BackupStatus::default()
            },
            Last::Ended(status) => status.clone(),
        }
    }
}

/// None: its thread panicked.
fn ended(path: PathBuf, began: Timestamp, made: Option<Made>) -> BackupStatus {
    let seconds = made.as_ref().map(|(_, seconds)| *seconds);
    let (state, record, error) = match made {
        Some((Ok(record), _)) => ("done", Some(record), None),
        Some((Err(error), _)) => ("failed", None, Some(error.to_string())),
        None => ("failed", None, Some("it panicked; see the log".to_owned())),
    };
    BackupStatus { state, path: Some(path), began: Some(rfc3339(began)), seconds, record, error }
}

fn since(began: Timestamp) -> f64 {
    clock::timestamp().0.saturating_sub(began.0) as f64 / 1e6
}
