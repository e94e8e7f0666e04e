//! Makes dumps: reads the documents of all indexes where the dump stands in the journal, and writes them into one file with
//! everything else that a server's dump has.
//!
//! The protocol sees to it that nothing moves meanwhile (`logic/feeder/dumping.rs`). A dump that is in its folder is whole. One
//! that is begun again, after a crash or because a node failed, has the same name, which is its time.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Coordinator;
use crate::bridge::CHATS;
use crate::control_plane::dumped_task::dumped_task;
use crate::control_plane::features::KEPT_AS;
use crate::control_plane::resolver::{ReadableFleet, ResolveError, ResolveRequest, Resolver};
use crate::dump::{DumpError, DumpWriter, IndexMetadata, LinesWriter, Metadata};
use crate::logic::entry::{Entry, Operation};
use crate::logic::feeder::DueDump;
use crate::logic::ids::{EntryId, Timestamp};
use crate::meili::MEILISEARCH_VERSION;
use crate::meili::dates::{date_of, dump_uid};
use crate::meili::error::{ApiError, Code, ErrorBody};
use crate::meili::features::Features;
use crate::meili::settings;
use crate::meili::tasks::{TaskQuery, TaskStatus};
use crate::store::{IndexRecord, Outcome, OutcomeCounts, StoreError, TaskRecord};
use crate::telemetry::clock;

/// Between two looks if nothing happens.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// After a node did not give its documents.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How often an index is read before the dump fails: all writes wait for it.
const TRIES_MAX: u32 = 20;
/// Tasks read at once.
const TASKS_AT_ONCE: u64 = 1_000;

/// What the thread is made with.
pub(super) struct Dumper {
    /// Where dumps are put.
    pub folder: PathBuf,
    pub resolver: Resolver,
    /// For exports.
    pub agent: ureq::Agent,
}

/// Why a dump is not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Dump(#[from] DumpError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the documents of index `{index}` cannot be read: {error}")]
    Documents { index: String, error: String },
    /// The task fails with this.
    #[error("{}", .0.message)]
    Refused(ErrorBody),
    /// Nobody wants it any more.
    #[error("stopping")]
    Stopping,
}

impl Coordinator {
    pub(super) fn run_dumper(&self, dumper: &mut Dumper) {
        if let Err(error) = DumpWriter::remove_unfinished(&dumper.folder) {
            tracing::warn!(%error, folder = %dumper.folder.display(), "unfinished dumps cannot be removed");
        }
        while !self.is_stopping() {
            let mut state = self.state.lock();
            match state.fleet.due_dump() {
                Some(due) => {
                    drop(state);
                    self.make(dumper, &due);
                }
                None => state.wait(&self.control, PAUSE),
            }
        }
    }

    fn make(&self, dumper: &mut Dumper, due: &DueDump) {
        let open = self.state.lock().open.get(&due.entry).cloned();
        let Some((entry, Some(started_at))) = open.map(|open| (open.entry, open.started_at)) else { return };
        if let Operation::Export(export) = &entry.operation {
            self.export(dumper, due, (&entry, export));
        } else {
            self.dump(dumper, due, (&entry, started_at));
        }
    }

    fn dump(&self, dumper: &mut Dumper, due: &DueDump, (entry, started_at): (&Entry, Timestamp)) {
        let place = dumper.folder.join(format!("{}.dump", dump_uid(started_at)));
        tracing::info!(entry = entry.id.0, place = %place.display(), "a dump is begun");
        let made = self.make_dump(dumper, due, (entry, started_at), place.clone());
        let error = match made {
            Ok(()) => None,
            Err(Failure::Stopping) => return,
            Err(failure) => {
                tracing::error!(error = %failure, entry = entry.id.0, "a dump cannot be made");
                Some(error_of(&failure))
            }
        };
        let is_made = error.is_none();
        let mut state = self.state.lock();
        let is_wanted = state.fleet.dumped(due.entry, error);
        self.wake(state, true);
        if is_made && !is_wanted {
            // It was canceled at the last moment. Whoever reads folders sees at worst a dump that is whole.
            let _ = std::fs::remove_file(place);
        }
    }

    fn make_dump(
        &self,
        dumper: &mut Dumper,
        due: &DueDump,
        (entry, started_at): (&Entry, Timestamp),
        place: PathBuf,
    ) -> Result<(), Failure> {
        std::fs::create_dir_all(&dumper.folder).map_err(DumpError::Io)?;
        let mut writer = DumpWriter::create(place, &Metadata::new(MEILISEARCH_VERSION, date_of(started_at)))?;
        self.dump_what_is_kept(&mut writer)?;
        let mut lines = writer.lines()?;
        self.dump_tasks((entry, started_at), &mut lines)?;
        writer.tasks(&mut lines)?;
        for uid in &due.indexes {
            // What is not there was never created: its entry failed.
            let Some(record) = self.state.lock().book.get(uid).cloned().filter(|record| record.is_visible) else {
                continue;
            };
            self.read_index(&mut dumper.resolver, (entry, &record), None, &mut lines)?;
            let metadata = IndexMetadata {
                uid: record.uid.to_string(),
                primary_key: record.primary_key.clone(),
                created_at: date_of(record.created_at),
                updated_at: date_of(record.updated_at),
            };
            writer.index(&metadata, &settings::dumped(&record.settings), &mut lines)?;
        }
        if !self.is_wanted(due.entry) {
            return Err(Failure::Stopping);
        }
        Ok(writer.finish()?)
    }

    /// What is no part of the journal: as it is now.
    fn dump_what_is_kept(&self, writer: &mut DumpWriter) -> Result<(), Failure> {
        if let Ok(uid) = Uuid::parse_str(&self.cluster_id) {
            writer.instance_uid(uid)?;
        }
        writer.keys(&self.store.keys()?)?;
        let features = self.store.kept(KEPT_AS)?.map(|kept| Features::from_json(&kept));
        writer.experimental_features(&features.unwrap_or_default().to_json())?;
        writer.webhooks(&self.store.webhooks()?)?;
        let chats = self.store.kept(CHATS)?;
        for (workspace, settings) in chats.as_ref().and_then(Value::as_object).into_iter().flatten() {
            writer.chat_settings(workspace, &chat_settings(settings))?;
        }
        Ok(())
    }

    /// The tasks before the dump, all of which have ended, and itself, which has when somebody reads that.
    fn dump_tasks(&self, (entry, started_at): (&Entry, Timestamp), lines: &mut LinesWriter) -> Result<(), Failure> {
        let mut query = TaskQuery { limit: TASKS_AT_ONCE, reverse: true, ..TaskQuery::default() };
        loop {
            if !self.is_wanted(entry.id) {
                return Err(Failure::Stopping);
            }
            let page = self.store.tasks(&query)?;
            let earlier = page.records.iter().filter(|record| record.entry.id < entry.id && record.outcome.is_some());
            for record in earlier {
                lines.push(&dumped_task(record).to_string())?;
            }
            match page.next {
                Some(next) if next < entry.id => query.from = Some(next.0),
                Some(_) | None => break,
            }
        }
        let outcome = Outcome {
            status: TaskStatus::Succeeded,
            error: None,
            counts: OutcomeCounts::default(),
            canceled_by: None,
            started_at: Some(started_at),
            finished_at: clock::timestamp().max(started_at),
        };
        let own = TaskRecord {
            entry: entry.clone(),
            started_at: Some(started_at),
            resolution: None,
            outcome: Some(outcome),
            is_deleted: false,
        };
        Ok(lines.push(&dumped_task(&own).to_string())?)
    }

    /// Its documents that match, each once, as they are at the entry, and how many they are. A replica that was sent anything again meanwhile may have shown
    /// what was before: then all of it is read again.
    pub(super) fn read_index(
        &self,
        resolver: &mut Resolver,
        (entry, record): (&Entry, &IndexRecord),
        filter: Option<&Value>,
        lines: &mut LinesWriter,
    ) -> Result<u64, Failure> {
        let index = &record.node_uid;
        let mut tries = 0;
        loop {
            let (readable, reading, _held) = {
                let state = self.state.lock();
                // Held to the end, and older than the view: as long as it is, no replica in the view is deleted.
                let held = self.bridge.snapshot.load_full();
                (state.fleet.view(), state.fleet.begin_reading(index), held)
            };
            let nodes = self.publisher.nodes(&readable.nodes);
            let request = ResolveRequest {
                entry,
                uid: &record.uid,
                index,
                primary_key: record.primary_key.as_deref(),
                settings: &record.settings,
                fleet: ReadableFleet { readable: &readable, nodes: &nodes },
                documents: None,
            };
            let read = resolver.read_all(request, filter, &|| !self.is_wanted(entry.id), lines);
            let error = match read {
                Ok(Err(refused)) => return Err(Failure::Refused(refused)),
                Ok(Ok(count)) if self.state.lock().fleet.was_still(index, &reading) => return Ok(count),
                Ok(Ok(_)) => ResolveError::Moved,
                Err(ResolveError::Stopping) => return Err(Failure::Stopping),
                Err(ResolveError::Unwritable(reason)) => {
                    return Err(DumpError::Io(std::io::Error::other(reason)).into());
                }
                Err(error) => error,
            };
            lines.go_back(0)?;
            tracing::warn!(%error, %index, "an index cannot be read now for a dump or an export");
            tries += 1;
            if tries == TRIES_MAX {
                return Err(Failure::Documents { index: record.uid.to_string(), error: error.to_string() });
            }
            let mut state = self.state.lock();
            state.wait(&self.stopping, RETRY_PAUSE);
        }
    }

    pub(super) fn is_wanted(&self, entry: EntryId) -> bool {
        !self.is_stopping() && self.state.lock().fleet.is_dump_wanted(entry)
    }
}

/// What was set, without what was reset, and with the one field that no dump lacks.
fn chat_settings(kept: &Value) -> Value {
    let set = |settings: &Value| -> Map<String, Value> {
        let fields = settings.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        fields.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let mut settings = set(kept);
    settings.entry("source").or_insert(json!("openAi"));
    if let Some(prompts) = settings.get_mut("prompts") {
        *prompts = Value::Object(set(prompts));
    }
    Value::Object(settings)
}

fn error_of(failure: &Failure) -> ErrorBody {
    let code = match failure {
        Failure::Refused(error) => return error.clone(),
        Failure::Dump(DumpError::Io(error)) if error.kind() == std::io::ErrorKind::StorageFull => {
            Code::NoSpaceLeftOnDevice
        }
        Failure::Dump(_) | Failure::Store(_) | Failure::Documents { .. } | Failure::Stopping => Code::DumpProcessFailed,
    };
    ApiError::new(code, format!("The dump cannot be made: {failure}")).body()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chat_settings_are_dumped_as_far_as_they_are_set() {
        assert_eq!(chat_settings(&json!({})), json!({"source": "openAi"}));
        let kept = json!({"source": "vLlm", "apiKey": "secret", "orgId": null, "prompts": {"system": "x", "searchQParam": null}});
        let dumped = json!({"source": "vLlm", "apiKey": "secret", "prompts": {"system": "x"}});
        assert_eq!(chat_settings(&kept), dumped);
    }
}
