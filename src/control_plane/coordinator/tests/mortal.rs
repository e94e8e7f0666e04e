//! A store whose process dies at one of its transactions.

use std::path::Path;
use std::sync::atomic::AtomicUsize;

use super::*;
use crate::logic::feeder::Needed;
use crate::logic::ids::NodeIndexUid;
use crate::meili::keys::ApiKey;
use crate::meili::tasks::TaskQuery;
use crate::meili::webhooks::Webhooks;
use crate::store::{
    BacklogSize, BackupRecord, BatchRecordPage, ClusterRecord, Compaction, HeadChange, HeadRecord, IndexRecord,
    KeyChanges, ProtocolState, TaskRecordPage,
};

/// On which side of a transaction the process dies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// It never took effect.
    Before,
    /// It took effect, but its caller never hears of it.
    After,
}

/// What one life of the process may use: gives and takes nothing any more once it has died.
pub(super) struct Mortal {
    store: Arc<dyn Store>,
    /// The transaction of a workflow, counted from 1, at which it dies.
    dies_at: Option<(usize, Side)>,
    steps: AtomicUsize,
    is_dead: AtomicBool,
}

impl Mortal {
    pub(super) fn new(store: Arc<dyn Store>, dies_at: Option<(usize, Side)>) -> Self {
        Self { store, dies_at, steps: AtomicUsize::new(0), is_dead: AtomicBool::new(false) }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Acquire)
    }

    fn living(&self) -> Result<&dyn Store, StoreError> {
        if self.is_dead() { Err(StoreError::Failed("the process has died".to_owned())) } else { Ok(&*self.store) }
    }
}

/// Whether it stores a step of a workflow.
fn is_step(delta: &ProtocolDelta) -> bool {
    let ProtocolDelta { nodes, tables, jobs, ended_jobs, joins, ended_joins, .. } = delta;
    let ProtocolDelta { bootstraps, ended_bootstraps, rebuilt, removed_nodes, .. } = delta;
    !(nodes.is_empty() && jobs.is_empty() && ended_jobs.is_empty() && joins.is_empty() && ended_joins.is_empty())
        || !(bootstraps.is_empty() && ended_bootstraps.is_empty() && rebuilt.is_empty() && removed_nodes.is_empty())
        || tables.is_some()
}

impl Store for Mortal {
    fn commit(&self, delta: &ProtocolDelta) -> Result<(), StoreError> {
        let store = self.living()?;
        if !is_step(delta) {
            return store.commit(delta);
        }
        let step = 1 + self.steps.fetch_add(1, Ordering::AcqRel);
        match self.dies_at {
            Some((at, Side::Before)) if at == step => {}
            Some((at, Side::After)) if at == step => store.commit(delta)?,
            Some(_) | None => return store.commit(delta),
        }
        self.is_dead.store(true, Ordering::Release);
        Err(StoreError::Failed("the process dies".to_owned()))
    }

    fn append(&self, entries: &[(Entry, Option<Payload>)], heads: &[HeadChange]) -> Result<(), StoreError> {
        self.living()?.append(entries, heads)
    }

    fn heads(&self) -> Result<BTreeMap<IndexUid, HeadRecord>, StoreError> {
        self.living()?.heads()
    }

    fn kept(&self, name: &str) -> Result<Option<serde_json::Value>, StoreError> {
        self.living()?.kept(name)
    }

    fn keep(&self, name: &str, value: &serde_json::Value) -> Result<(), StoreError> {
        self.living()?.keep(name, value)
    }

    fn back_up(&self, folder: &Path, name: &str) -> Result<BackupRecord, StoreError> {
        self.living()?.back_up(folder, name)
    }

    fn go_on_at(
        &self,
        next: EntryId,
        delta: &ProtocolDelta,
        kept: (&str, &serde_json::Value),
    ) -> Result<(), StoreError> {
        self.living()?.go_on_at(next, delta, kept)
    }

    fn next_entry(&self) -> Result<EntryId, StoreError> {
        self.living()?.next_entry()
    }

    fn index_entries_from(
        &self,
        index: &NodeIndexUid,
        first: EntryId,
        limit: usize,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        self.living()?.index_entries_from(index, first, limit)
    }

    fn unreported_from(&self, first: EntryId, limit: usize) -> Result<Vec<TaskRecord>, StoreError> {
        self.living()?.unreported_from(first, limit)
    }

    fn entry(&self, id: EntryId) -> Result<Option<TaskRecord>, StoreError> {
        self.living()?.entry(id)
    }

    fn payload(&self, id: EntryId) -> Result<Option<Payload>, StoreError> {
        self.living()?.payload(id)
    }

    fn tasks(&self, query: &TaskQuery) -> Result<TaskRecordPage, StoreError> {
        self.living()?.tasks(query)
    }

    fn batches(&self, query: &TaskQuery) -> Result<BatchRecordPage, StoreError> {
        self.living()?.batches(query)
    }

    fn matching_tasks(&self, query: &TaskQuery) -> Result<Vec<EntryId>, StoreError> {
        self.living()?.matching_tasks(query)
    }

    fn task_count(&self) -> Result<u64, StoreError> {
        self.living()?.task_count()
    }

    fn oldest_ended(&self, limit: usize) -> Result<Vec<EntryId>, StoreError> {
        self.living()?.oldest_ended(limit)
    }

    fn delete_tasks(&self, ids: &[EntryId]) -> Result<u64, StoreError> {
        self.living()?.delete_tasks(ids)
    }

    fn trim(&self, needed: &Needed, may_go_on: &dyn Fn() -> bool) -> Result<u64, StoreError> {
        self.living()?.trim(needed, may_go_on)
    }

    fn compact(&self) -> Result<Compaction, StoreError> {
        self.living()?.compact()
    }

    fn first_payload(&self, index: &NodeIndexUid) -> Result<Option<EntryId>, StoreError> {
        self.living()?.first_payload(index)
    }

    fn resolve(&self, id: EntryId, resolution: &Resolution, payload: Option<&Payload>) -> Result<(), StoreError> {
        self.living()?.resolve(id, resolution, payload)
    }

    fn protocol_state(&self) -> Result<ProtocolState, StoreError> {
        self.living()?.protocol_state()
    }

    fn indexes(&self) -> Result<Vec<IndexRecord>, StoreError> {
        self.living()?.indexes()
    }

    fn backlog(&self) -> Result<BacklogSize, StoreError> {
        self.living()?.backlog()
    }

    fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.living()?.keys()
    }

    fn change_keys(&self, changes: &KeyChanges) -> Result<(), StoreError> {
        self.living()?.change_keys(changes)
    }

    fn webhooks(&self) -> Result<Webhooks, StoreError> {
        self.living()?.webhooks()
    }

    fn save_webhooks(&self, webhooks: &Webhooks) -> Result<(), StoreError> {
        self.living()?.save_webhooks(webhooks)
    }

    fn unannounced(&self, limit: usize) -> Result<Vec<EntryId>, StoreError> {
        self.living()?.unannounced(limit)
    }

    fn announced(&self, entries: &[EntryId]) -> Result<(), StoreError> {
        self.living()?.announced(entries)
    }

    fn cluster(&self) -> Result<Option<ClusterRecord>, StoreError> {
        self.living()?.cluster()
    }

    fn save_cluster(&self, cluster: &ClusterRecord) -> Result<(), StoreError> {
        self.living()?.save_cluster(cluster)
    }
}
