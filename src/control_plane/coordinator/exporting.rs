//! Sends exports: reads the documents of all indexes that are wanted where the export stands in the journal, as a dump does,
//! and gives them to another server, with settings where that is wanted.
//!
//! The thread is the one of dumps, and nothing is sent to nodes that comes after the export until it has ended. Each index is
//! read before the first of its documents is sent. One that is begun again, after a crash, sends everything again, which
//! changes nothing on the other side.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use super::Coordinator;
use super::dumping::{Dumper, Failure, PAUSE};
use crate::control_plane::features::KEPT_AS;
use crate::control_plane::remote_server::{RemoteError, RemoteServer};
use crate::dump::{DumpError, LinesWriter};
use crate::logic::entry::Entry;
use crate::logic::feeder::DueDump;
use crate::logic::ids::{EntryId, IndexUid};
use crate::meili::error::{ApiError, Code, ErrorBody};
use crate::meili::export::{Export, IndexExport};
use crate::meili::features::{Feature, Features};
use crate::meili::settings;
use crate::store::IndexRecord;
use crate::telemetry::clock;

/// Bytes of documents in one request, if the client does not say; and at most, since they are in memory.
const PAYLOAD_DEFAULT: u64 = 20 << 20;
const PAYLOAD_MAX: u64 = 64 << 20;

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Failed { error, .. } => Self::Refused(error),
            RemoteError::Unwanted => Self::Stopping,
        }
    }
}

impl Coordinator {
    pub(super) fn export(&self, dumper: &mut Dumper, due: &DueDump, (entry, export): (&Arc<Entry>, &Export)) {
        tracing::info!(entry = entry.id.0, "an export is begun");
        let sent = self.send_all(dumper, due, (entry, export));
        let (sent, error) = match sent {
            Ok(sent) => (sent, None),
            Err(Failure::Stopping) => return,
            Err(failure) => {
                let error = error_of(&failure);
                tracing::error!(error = error.message, entry = entry.id.0, "an export has failed");
                (BTreeMap::new(), Some(error))
            }
        };
        let mut state = self.state.lock();
        state.open.entry(due.entry).and_modify(|open| open.exported = sent);
        state.fleet.dumped(due.entry, error);
        self.wake(state, true);
    }

    /// How many documents of each index were sent.
    fn send_all(
        &self,
        dumper: &mut Dumper,
        due: &DueDump,
        (entry, export): (&Arc<Entry>, &Export),
    ) -> Result<BTreeMap<IndexUid, u64>, Failure> {
        let mut records: Vec<IndexRecord> = {
            let state = self.state.lock();
            due.indexes
                .iter()
                .filter_map(|uid| state.book.get(uid))
                .filter(|record| record.is_visible)
                .cloned()
                .collect()
        };
        records.sort_by(|left, right| left.uid.cmp(&right.uid));
        std::fs::create_dir_all(&dumper.folder).map_err(DumpError::Io)?;
        let mut lines = LinesWriter::create(&dumper.folder)?;
        let waits = |pause| self.is_wanted_after(due.entry, pause);
        let agent = dumper.agent.clone();
        let server = RemoteServer::new(&agent, (&export.url, export.api_key.as_deref()), &waits);
        let features = self.store.kept(KEPT_AS)?.map(|kept| Features::from_json(&kept)).unwrap_or_default();
        let mut sent = BTreeMap::new();
        for record in &records {
            let Some(wanted) = export.of_index(record.uid.as_str()) else { continue };
            let filter =
                wanted.filter(record.uid.as_str(), features).map_err(|error| Failure::Refused(error.body()))?;
            let count = self.read_index(&mut dumper.resolver, (entry, record), filter, &mut lines)?;
            prepare_index(&server, (record, features), wanted)?;
            let payload_max = export.payload_size.unwrap_or(PAYLOAD_DEFAULT).min(PAYLOAD_MAX);
            send_documents(&server, record.uid.as_str(), &mut lines, payload_max as usize)?;
            lines.go_back(0)?;
            sent.insert(record.uid.clone(), count);
        }
        Ok(sent)
    }

    /// Waits so long, but no longer than the export is wanted.
    fn is_wanted_after(&self, entry: EntryId, pause: Duration) -> bool {
        let until = clock::instant() + pause;
        loop {
            if !self.is_wanted(entry) {
                return false;
            }
            let left = until.saturating_duration_since(clock::instant());
            if left.is_zero() {
                return true;
            }
            let mut state = self.state.lock();
            state.wait(&self.control, left.min(PAUSE));
        }
    }
}

/// The index is there, with its primary key and its settings if they are to be those of here.
fn prepare_index(
    server: &RemoteServer<'_>,
    (record, features): (&IndexRecord, Features),
    wanted: &IndexExport,
) -> Result<(), Failure> {
    let (uid, primary_key) = (record.uid.as_str(), record.primary_key.as_deref());
    let is_there = server.has_index(uid)?;
    if is_there && !wanted.overrides_settings {
        return Ok(());
    }
    if is_there {
        server.set_primary_key(uid, primary_key)?;
    } else {
        server.create_index(uid, primary_key)?;
    }
    let mut settings = settings::dumped(&record.settings);
    // Settings of features that are off are not taken there either.
    for (name, feature) in [("chat", Feature::ChatCompletions), ("foreignKeys", Feature::ForeignKeys)] {
        if !features.has(feature) {
            settings.shift_remove(name);
        }
    }
    Ok(server.set_settings(uid, &settings)?)
}

/// In bodies of so many bytes at most, but of one document at least.
fn send_documents(
    server: &RemoteServer<'_>,
    uid: &str,
    lines: &mut LinesWriter,
    payload_max: usize,
) -> Result<(), Failure> {
    let mut payload = Vec::new();
    for line in lines.read()?.split(b'\n') {
        let line = line.map_err(DumpError::Io)?;
        if !payload.is_empty() && payload.len() + line.len() >= payload_max {
            server.put_documents(uid, &payload)?;
            payload.clear();
        }
        payload.extend(line);
        payload.push(b'\n');
    }
    if !payload.is_empty() {
        server.put_documents(uid, &payload)?;
    }
    Ok(())
}

fn error_of(failure: &Failure) -> ErrorBody {
    let code = match failure {
        Failure::Refused(error) => return error.clone(),
        Failure::Dump(DumpError::Io(error)) if error.kind() == std::io::ErrorKind::StorageFull => {
            Code::NoSpaceLeftOnDevice
        }
        Failure::Dump(_) | Failure::Store(_) | Failure::Documents { .. } | Failure::Stopping => Code::Internal,
    };
    ApiError::new(code, format!("The export cannot be made: {failure}")).body()
}
