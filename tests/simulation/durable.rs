//! What survives a crash of the orchestrator: the journal and the committed changes, nothing else.

use std::collections::{BTreeMap, BTreeSet};

use miroir::logic::entry::{Entry, Operation, PutMode, Resolution, StepKind, Swap};
use miroir::logic::feeder::{
    Changes, IndexStart, JournalUnavailable, JournalView, Purpose, ReportStatus, Send, Start, StepInfo, steps_of,
};
use miroir::logic::ids::{EntryId, IndexUid, JobId, NodeId, NodeIndexUid, NodeTask, Position, ShardId, Timestamp};
use miroir::logic::topology::{BootstrapRecord, JobRecord, JoinRecord, NodeRecord, Tables};
use miroir::meili::embedding_failure::embedding_failure;
use miroir::meili::error::ErrorBody;

use crate::documents::Change;
use crate::node::{Request, Work};
use crate::oracle::{SHARDS, Wish};

#[derive(Clone, Debug)]
pub struct Record {
    pub entry: Entry,
    pub wish: Wish,
    pub resolution: Option<Resolution>,
    /// The ids of a resolved deletion by filter.
    pub resolved_ids: Vec<usize>,
    pub outcome: Option<ReportStatus>,
}

#[derive(Clone)]
pub struct Durable {
    pub nodes: Vec<NodeRecord>,
    pub tables: Tables,
    pub jobs: BTreeMap<JobId, JobRecord>,
    pub joins: BTreeMap<(JobId, NodeIndexUid), JoinRecord>,
    pub bootstraps: BTreeMap<(NodeId, NodeIndexUid), BootstrapRecord>,
    next_job: JobId,
    pub records: Vec<Record>,
    pub applied: BTreeMap<(NodeId, NodeIndexUid), Position>,
    pub next_task: BTreeMap<NodeId, NodeTask>,
    pub out: BTreeSet<(NodeId, NodeIndexUid)>,
    pub rebuild: BTreeSet<(NodeId, NodeIndexUid)>,
    pub verdicts: Vec<(Position, ShardId, ErrorBody)>,
    pub decisions: BTreeMap<Position, bool>,
    /// What readers see: the client's name of each visible index.
    pub visible: BTreeMap<NodeIndexUid, String>,
    /// The user's settings as of each commit.
    pub strict: BTreeMap<NodeIndexUid, BTreeMap<Position, bool>>,
    pub forgotten: BTreeSet<NodeIndexUid>,
    /// Entries without their payload, and of those the ones of which nothing is left.
    pub trimmed: BTreeMap<EntryId, bool>,
}

impl Durable {
    pub fn new(ids: &[NodeId], owners: Vec<Vec<NodeId>>) -> Self {
        let replication_factor = owners[0].len() as u16;
        Self {
            nodes: ids.iter().map(member).collect(),
            tables: Tables::settled(owners, replication_factor),
            jobs: BTreeMap::new(),
            joins: BTreeMap::new(),
            bootstraps: BTreeMap::new(),
            next_job: JobId(0),
            records: Vec::new(),
            applied: BTreeMap::new(),
            next_task: BTreeMap::new(),
            out: BTreeSet::new(),
            rebuild: BTreeSet::new(),
            verdicts: Vec::new(),
            decisions: BTreeMap::new(),
            visible: BTreeMap::new(),
            strict: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            trimmed: BTreeMap::new(),
        }
    }

    /// The protocol's state is that of an earlier moment; the entries stay.
    pub fn take_back_to(&mut self, before: Self) {
        let records = std::mem::replace(self, before).records;
        let old = std::mem::replace(&mut self.records, records);
        for (record, old) in self.records.iter_mut().zip(old) {
            record.outcome = old.outcome;
        }
    }

    pub fn is_member(&self, id: &NodeId) -> bool {
        self.nodes.iter().any(|node| node.id == *id && node.state.is_member())
    }

    /// The shards of a node by the table.
    pub fn owned(&self, node: &NodeId) -> Vec<ShardId> {
        let is_owner = |shard: &ShardId| self.tables.owners[usize::from(shard.0)].contains(node);
        (0..SHARDS as u16).map(ShardId).filter(is_owner).collect()
    }

    /// The index of that name as of the end of the journal.
    pub fn head(&self, name: &str) -> Option<NodeIndexUid> {
        self.heads().remove(name)
    }

    /// All indexes as of the end of the journal, by name.
    pub fn heads(&self) -> BTreeMap<String, NodeIndexUid> {
        let mut heads = BTreeMap::new();
        for record in &self.records {
            match (&record.wish, &record.entry.index, &record.entry.target) {
                (Wish::Create | Wish::CreateAndPut(_), Some(name), Some(target)) => {
                    heads.insert(name.as_str().to_owned(), target.clone());
                }
                (Wish::Drop, Some(name), _) => drop(heads.remove(name.as_str())),
                (Wish::Rename(names), _, _) => {
                    heads.retain(|_, index| names.iter().all(|(renamed, _)| renamed != index));
                    heads.extend(names.iter().map(|(index, name)| ((*name).to_owned(), index.clone())));
                }
                (_, _, _) => {}
            }
        }
        heads
    }

    /// The first renaming that readers who know an index by this name do not know, as far as they may not.
    pub fn unreported_renaming(&self, index: &NodeIndexUid, name: &str) -> Option<EntryId> {
        let renames = |record: &&Record| {
            let Wish::Rename(names) = &record.wish else { return false };
            names.iter().any(|(renamed, new)| renamed == index && *new != name)
        };
        self.records.iter().filter(|record| record.outcome.is_none()).find(renames).map(|record| record.entry.id)
    }

    /// No name is about to belong to another index.
    pub fn are_names_settled(&self) -> bool {
        let changes_names = |record: &&Record| {
            matches!(record.wish, Wish::Create | Wish::CreateAndPut(_) | Wish::Drop | Wish::Rename(_))
        };
        self.records.iter().filter(changes_names).all(|record| record.outcome.is_some())
    }

    /// Appends an operation and returns its entry.
    pub fn append(&mut self, name: &str, target: Option<NodeIndexUid>, wish: Wish) -> Entry {
        let id = EntryId(self.records.len() as u64);
        let (operation, shards) = operation_of(&wish);
        let entry = Entry {
            id,
            enqueued_at: Timestamp(0),
            index: target.is_some().then(|| IndexUid::new(name)),
            target,
            operation,
            shards,
            rejection: None,
            custom_metadata: None,
        };
        self.records.push(Record { entry: entry.clone(), wish, resolution: None, resolved_ids: vec![], outcome: None });
        entry
    }

    pub fn record(&self, id: EntryId) -> &Record {
        &self.records[id.0 as usize]
    }

    fn index_of(&self, at: Position) -> Option<NodeIndexUid> {
        let entry = at.entry().expect("steps lie within entries");
        self.record(entry).entry.target.clone().filter(|_| !self.is_gone(entry))
    }

    /// Nothing is left of it, but that it was there.
    fn is_gone(&self, entry: EntryId) -> bool {
        self.trimmed.get(&entry) == Some(&true)
    }

    /// Whether what a request is made of is still there.
    pub fn has(&self, send: &Send) -> bool {
        let of_journal = matches!(send.purpose, Purpose::Do | Purpose::Revert);
        let entry = send.position.entry().filter(|_| of_journal);
        entry.is_none_or(|entry| match self.trimmed.get(&entry) {
            Some(is_gone) => !is_gone && !matches!(send.kind, StepKind::Put(_) | StepKind::Delete),
            None => true,
        })
    }

    /// As the store finds it: the first entry of an index that has a payload.
    fn first_payload(&self, index: &NodeIndexUid) -> EntryId {
        let has_payload = |record: &&Record| {
            let steps = Self::steps(record);
            let is_there = steps.iter().any(|step| matches!(step.kind, StepKind::Put(_) | StepKind::Delete));
            record.entry.target.as_ref() == Some(index) && is_there && !self.trimmed.contains_key(&record.entry.id)
        };
        let first = self.records.iter().find(has_payload).map(|record| record.entry.id);
        first.unwrap_or(EntryId(self.records.len() as u64))
    }

    pub fn steps(record: &Record) -> Vec<StepInfo> {
        let is_unsure = match &record.outcome {
            Some(ReportStatus::Canceled(_)) => return Vec::new(),
            Some(ReportStatus::Failed(error)) => embedding_failure(error).is_some(),
            Some(ReportStatus::Succeeded) | None => false,
        };
        let steps = steps_of(&record.entry, record.resolution.as_ref());
        steps.into_iter().map(|step| StepInfo { is_unsure, ..step }).collect()
    }

    /// What a start finds.
    pub fn start(&self) -> Start {
        let mut indexes: BTreeMap<NodeIndexUid, IndexStart> = BTreeMap::new();
        for record in &self.records {
            let Some(uid) = record.entry.target.clone() else { continue };
            let id = record.entry.id;
            let index = indexes.entry(uid.clone()).or_insert(IndexStart {
                index: uid,
                created_by: id,
                dropped_by: None,
                top_reported: Position(0),
                needed_from: EntryId(0),
            });
            if record.wish == Wish::Drop {
                index.dropped_by = Some(id);
            }
            let steps = if self.is_gone(id) { Vec::new() } else { Self::steps(record) };
            if let (Some(_), Some(last)) = (&record.outcome, steps.last()) {
                index.top_reported = index.top_reported.max(last.position);
            }
        }
        for index in indexes.values_mut() {
            index.needed_from = self.first_payload(&index.index);
        }
        Start {
            nodes: self.nodes.clone(),
            tables: self.tables.clone(),
            jobs: self.jobs.values().cloned().collect(),
            joins: self.joins.values().cloned().collect(),
            bootstraps: self.bootstraps.values().cloned().collect(),
            next_job: self.next_job,
            applied: self.applied.clone(),
            next_task: self.next_task.clone(),
            out_of_sync: self.out.clone(),
            needs_rebuild: self.rebuild.clone(),
            verdicts: self.verdicts.clone(),
            decisions: self
                .decisions
                .iter()
                .filter_map(|(&at, &is_commit)| Some((at, (self.index_of(at)?, is_commit))))
                .collect(),
            indexes: indexes.into_values().filter(|index| !self.forgotten.contains(&index.index)).collect(),
            next_entry: EntryId(self.records.len() as u64),
        }
    }

    /// One transaction, without the reports, which the caller checks and stores.
    pub fn commit(&mut self, changes: &Changes) {
        for (node, uid, position) in &changes.applied {
            self.applied.insert((node.clone(), uid.clone()), *position);
        }
        self.next_task.extend(changes.next_task.iter().cloned());
        self.out.extend(changes.went_out.iter().cloned());
        for key in &changes.came_back {
            self.out.remove(key);
        }
        for key in &changes.rebuilt {
            self.rebuild.remove(key);
        }
        self.rebuild.extend(changes.needs_rebuild.iter().cloned());
        self.verdicts.extend(changes.verdicts.iter().cloned());
        for (uid, position, is_commit) in &changes.decisions {
            let old = self.decisions.insert(*position, *is_commit);
            assert!(old.is_none_or(|old| old == *is_commit), "a decision is written once");
            let record = self.record(position.entry().expect("steps lie within entries"));
            if let (true, Some(Resolution::Settings { after, .. })) = (*is_commit, &record.resolution) {
                let is_strict = after["strict"] == true;
                self.strict.entry(uid.clone()).or_default().insert(*position, is_strict);
            }
        }
        for at in &changes.passed {
            self.decisions.remove(at);
        }
        for (uid, is_visible) in &changes.visible {
            if *is_visible {
                let record = self.records.iter().find(|record| record.entry.target.as_ref() == Some(uid));
                let name = record.and_then(|record| record.entry.index.clone()).expect("indexes come from entries");
                self.visible.insert(uid.clone(), name.as_str().to_owned());
            } else {
                self.visible.remove(uid);
            }
        }
        for (index, name) in changes.renamed.iter().flat_map(|renaming| &renaming.names) {
            let old = self.visible.insert(index.clone(), name.as_str().to_owned());
            assert!(old.is_some(), "an index is seen before it is renamed");
        }
        self.commit_jobs(changes);
        if !changes.nodes.is_empty() {
            self.forget_removed();
        }
        for uid in &changes.forgotten {
            self.out.retain(|(_, other)| other != uid);
            self.rebuild.retain(|(_, other)| other != uid);
            self.applied.retain(|(_, other), _| other != uid);
            self.joins.retain(|(_, other), _| other != uid);
            self.bootstraps.retain(|(_, other), _| other != uid);
            self.forgotten.insert(uid.clone());
        }
    }

    /// Members and moves, in the order of the store.
    fn commit_jobs(&mut self, changes: &Changes) {
        for record in &changes.nodes {
            match self.nodes.iter_mut().find(|node| node.id == record.id) {
                Some(node) => node.clone_from(record),
                None => self.nodes.push(record.clone()),
            }
        }
        self.tables = changes.tables.clone().unwrap_or_else(|| std::mem::take(&mut self.tables));
        for job in &changes.jobs {
            self.next_job = self.next_job.max(JobId(job.id.0 + 1));
            self.jobs.insert(job.id, job.clone());
        }
        for join in &changes.joins {
            self.joins.insert((join.job, join.index.clone()), join.clone());
        }
        for ended in &changes.ended_jobs {
            self.jobs.remove(ended);
            self.joins.retain(|(job, _), _| job != ended);
        }
        for key in &changes.ended_bootstraps {
            self.bootstraps.remove(key);
        }
        for bootstrap in &changes.bootstraps {
            self.bootstraps.insert((bootstrap.node.clone(), bootstrap.index.clone()), bootstrap.clone());
        }
    }

    /// Of removed nodes only the record is kept.
    fn forget_removed(&mut self) {
        let removed: Vec<NodeId> =
            self.nodes.iter().filter(|node| !node.state.is_member()).map(|node| node.id.clone()).collect();
        self.applied.retain(|(node, _), _| !removed.contains(node));
        self.next_task.retain(|node, _| !removed.contains(node));
        self.out.retain(|(node, _)| !removed.contains(node));
        self.rebuild.retain(|(node, _)| !removed.contains(node));
        self.bootstraps.retain(|(node, _), _| !removed.contains(node));
    }

    /// The settings before and after an entry, for its resolution.
    pub fn settings_resolution(&self, id: EntryId) -> Resolution {
        let record = self.record(id);
        let Wish::Settings(after) = record.wish else { panic!("only settings are resolved so") };
        let uid = record.entry.target.as_ref().expect("settings have an index");
        let before = self.strict_at(uid, Position(u64::MAX));
        let map = |is_strict: bool| serde_json::Map::from_iter([("strict".to_owned(), is_strict.into())]);
        Resolution::Settings { before: map(before), after: map(after) }
    }

    /// The user's settings as of a position.
    pub fn strict_at(&self, uid: &NodeIndexUid, at: Position) -> bool {
        let changes = self.strict.get(uid);
        changes.and_then(|changes| changes.range(..=at).next_back()).is_some_and(|(_, is_strict)| *is_strict)
    }

    pub fn ids_resolution(&mut self, id: EntryId, ids: Vec<usize>) -> Resolution {
        let shards = shards_of(&ids);
        let resolution = Resolution::Ids { count: ids.len() as u64, shards };
        self.records[id.0 as usize].resolved_ids = ids;
        resolution
    }

    /// What goes over the wire, except for chunks of a copy.
    pub fn request(&self, send: &Send) -> Request {
        let work = match send.purpose {
            Purpose::Do | Purpose::Revert => self.step(send),
            Purpose::Mark => Work::Mark(send.shards.clone()),
            Purpose::Bootstrap => match send.kind {
                StepKind::Create => Work::Create,
                StepKind::Drop => Work::Drop,
                StepKind::Settings => Work::Settings(self.strict_at(&send.index, send.position)),
                StepKind::PrimaryKey | StepKind::Put(_) | StepKind::Delete | StepKind::Clear => {
                    panic!("no part of a bootstrap")
                }
            },
            Purpose::Mend => Work::Settings(self.strict_at(&send.index, Position(u64::MAX))),
            Purpose::Copy { .. } => panic!("the mover has it"),
        };
        Request::new(send, work)
    }

    fn step(&self, send: &Send) -> Work {
        let record = self.record(send.position.entry().expect("steps lie within entries"));
        let is_wanted = |id: usize| send.shards.contains(&ShardId((id % SHARDS) as u16));
        match send.kind {
            StepKind::Create => Work::Create,
            StepKind::Drop => Work::Drop,
            StepKind::Clear => Work::Clear,
            StepKind::Settings => Work::Settings(match (&record.resolution, send.purpose) {
                (Some(Resolution::Settings { after, .. }), Purpose::Do) => after["strict"] == true,
                (Some(Resolution::Settings { before, .. }), Purpose::Revert) => before["strict"] == true,
                (Some(_) | None, _) => false,
            }),
            StepKind::PrimaryKey => panic!("not simulated"),
            StepKind::Put(_) | StepKind::Delete => Work::Documents(change(record).cut(is_wanted)),
        }
    }
}

pub fn member(id: &NodeId) -> NodeRecord {
    NodeRecord::active(id.clone(), format!("http://{id}"))
}

fn change(record: &Record) -> Change {
    match &record.wish {
        Wish::Documents(change) | Wish::CreateAndPut(change) => change.clone(),
        Wish::DeleteByFilter => Change::Delete { ids: record.resolved_ids.clone() },
        Wish::Create
        | Wish::Drop
        | Wish::Clear
        | Wish::Settings(_)
        | Wish::Cancel(_)
        | Wish::Rename(_)
        | Wish::Dump => {
            panic!("has no documents")
        }
    }
}

impl JournalView for Durable {
    fn steps(&self, index: &NodeIndexUid, after: Position, limit: usize) -> Result<Vec<StepInfo>, JournalUnavailable> {
        let first = after.entry().map_or(0, |entry| entry.0 as usize).min(self.records.len());
        let of_index = self.records[first..].iter().filter(|record| record.entry.target.as_ref() == Some(index));
        let left = of_index.filter(|record| !self.is_gone(record.entry.id));
        let steps = left.flat_map(Self::steps).filter(|step| step.position > after);
        Ok(steps.take(limit).collect())
    }
}

pub fn shards_of(ids: &[usize]) -> Vec<ShardId> {
    let shards: BTreeSet<u16> = ids.iter().map(|id| (id % SHARDS) as u16).collect();
    shards.into_iter().map(ShardId).collect()
}

fn operation_of(wish: &Wish) -> (Operation, Vec<ShardId>) {
    let put = |change: &Change, creates_index| {
        let Change::Put { docs, is_merge } = change else { panic!("a put") };
        let mode = if *is_merge { PutMode::Update } else { PutMode::Replace };
        let received = docs.len() as u64;
        let primary_key = Some("id".to_owned());
        Operation::PutDocuments {
            mode,
            received,
            primary_key,
            creates_index,
            sets_primary_key: false,
            skips_missing: false,
        }
    };
    match wish {
        Wish::Create => (Operation::CreateIndex { primary_key: None }, vec![]),
        Wish::CreateAndPut(change) => (put(change, true), shards_of(&change.ids())),
        Wish::Documents(change @ Change::Put { .. }) => (put(change, false), shards_of(&change.ids())),
        Wish::Documents(change @ Change::Delete { ids }) => {
            (Operation::DeleteDocuments { provided: ids.len() as u64 }, shards_of(&change.ids()))
        }
        Wish::DeleteByFilter => (Operation::DeleteByFilter { filter: "x EXISTS".into() }, vec![]),
        Wish::Clear => (Operation::ClearDocuments, vec![]),
        Wish::Drop => (Operation::DeleteIndex, vec![]),
        Wish::Settings(is_strict) => {
            let patch = serde_json::json!({ "strict": is_strict });
            (Operation::UpdateSettings { patch, is_deletion: false, creates_index: false }, vec![])
        }
        Wish::Rename(names) => {
            let named = |(index, name): &(NodeIndexUid, &'static str)| (index.clone(), IndexUid::new(*name));
            let swap = Swap { indexes: (IndexUid::new("a"), IndexUid::new("b")), is_rename: names.len() == 1 };
            (Operation::SwapIndexes { swaps: vec![swap], names: names.iter().map(named).collect() }, vec![])
        }
        Wish::Dump => (Operation::CreateDump, vec![]),
        Wish::Cancel(matched) => {
            (Operation::CancelTasks { original_filter: "?".into(), matched: matched.clone() }, vec![])
        }
    }
}
