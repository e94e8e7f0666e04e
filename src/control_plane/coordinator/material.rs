//! What a request to a node is made of: read from the journal, from the index records, or from what a mover has read.

use std::borrow::Cow;

use serde_json::json;

use super::Coordinator;
use super::index_book::settings_around;
use crate::control_plane::node_client::BodyParts;
use crate::logic::entry::{Entry, Operation, Resolution, StepKind};
use crate::logic::feeder::{Purpose, Send, TransferId};
use crate::logic::ids::NodeIndexUid;
use crate::logic::marker;
use crate::logic::payload::Payload;
use crate::meili::settings::{self, Object};

/// A write with everything that is in it.
pub(in crate::control_plane) enum Material {
    /// An index, with its primary key if that is known.
    Create(Option<String>),
    /// The primary key; none changes nothing.
    PrimaryKey(Option<String>),
    /// The node's settings, every key present.
    Settings(serde_json::Map<String, serde_json::Value>),
    /// Documents by lines, under this primary key.
    Put(BodyParts, Option<String>),
    /// Ids.
    Delete(BodyParts),
    /// A filter.
    DeleteByFilter(serde_json::Value),
    /// Nothing else is to be said.
    Plain,
}

impl Material {
    /// Bytes of the documents or ids.
    pub(in crate::control_plane) fn length(&self) -> u64 {
        match self {
            Self::Put(body, _) | Self::Delete(body) => body.len() as u64,
            Self::Create(_) | Self::PrimaryKey(_) | Self::Settings(_) | Self::DeleteByFilter(_) | Self::Plain => 0,
        }
    }
}

impl Coordinator {
    /// Reads what the request is made of, with the hashes of the ids that it touches, or says why it cannot be read now.
    pub(super) fn material(&self, send: &Send) -> Result<(Material, Vec<u64>), String> {
        match send.purpose {
            Purpose::Do | Purpose::Revert => self.step_material(send),
            Purpose::Bootstrap | Purpose::Mend => Ok((self.material_of_now(send)?, Vec::new())),
            Purpose::Copy { transfer, number } => Ok((self.chunk_material(&send.index, transfer, number)?, Vec::new())),
            Purpose::Mark => {
                let filter = if send.shards.is_empty() {
                    marker::unmarked_filter_text(self.shard_count)
                } else {
                    marker::filter_text(&send.shards, self.shard_count)
                };
                Ok((Material::DeleteByFilter(json!(filter)), Vec::new()))
            }
        }
    }

    fn step_material(&self, send: &Send) -> Result<(Material, Vec<u64>), String> {
        let entry = send.position.entry().and_then(|id| self.entry(id));
        let (entry, resolution) = entry.ok_or("an entry that a node needs is not in the journal, or cannot be read")?;
        let primary_key = key_of(&entry, send.purpose, resolution.as_deref());
        let mut payload = if send.kind.is_document() {
            let payload = self.payload(entry.id).map_err(|error| error.to_string())?;
            payload.ok_or("the documents that a node needs are not in the journal")?
        } else {
            Payload::default()
        };
        if let Some(Resolution::Edited { put, .. }) = resolution.as_deref() {
            let deletions = payload.sections.split_off(put.len().min(payload.sections.len()));
            if send.kind == StepKind::Delete {
                payload.sections = deletions;
            }
        }
        let wanted = |shard| send.shards.contains(&shard);
        let sections = payload.sections.iter().filter(|section| wanted(section.shard));
        let ids = sections.flat_map(|section| section.id_hashes.iter().copied()).collect();
        let material = match send.kind {
            StepKind::Create => Material::Create(primary_key),
            StepKind::PrimaryKey => Material::PrimaryKey(primary_key),
            StepKind::Settings => {
                let (before, after) = settings_around(&entry, resolution.as_deref()).unwrap_or_default();
                let wanted = if send.purpose == Purpose::Revert { before } else { after };
                let primary_key = self.state.lock().book.get(&send.index).and_then(|record| record.primary_key.clone());
                Material::Settings(settings::node_settings(&self.with_tie_rule(&wanted, primary_key.as_deref())))
            }
            StepKind::Put(_) => {
                let left_out = match resolution.as_deref() {
                    Some(Resolution::Existing { left_out, .. }) => &left_out[..],
                    Some(
                        Resolution::Ids { .. }
                        | Resolution::Edited { .. }
                        | Resolution::Count(_)
                        | Resolution::Settings { .. }
                        | Resolution::PrimaryKey { .. }
                        | Resolution::Failed(_),
                    )
                    | None => &[],
                };
                // An edit has documents only where there is a primary key.
                let of_index = || self.state.lock().book.get(&send.index).and_then(|record| record.primary_key.clone());
                let primary_key = primary_key.or_else(of_index);
                Material::Put(BodyParts::lines_without(&payload, wanted, left_out), primary_key)
            }
            StepKind::Delete => Material::Delete(BodyParts::array(&payload, wanted)),
            StepKind::Clear | StepKind::Drop => Material::Plain,
        };
        Ok((material, ids))
    }

    /// The index as it is now: what follows comes with the main stream.
    fn material_of_now(&self, send: &Send) -> Result<Material, String> {
        let record = self.state.lock().book.get(&send.index).cloned();
        let record = record.ok_or("the record of an index that a node needs is not there")?;
        Ok(match send.kind {
            StepKind::Create => Material::Create(record.primary_key),
            StepKind::Settings => {
                let wanted = self.with_tie_rule(&record.settings, record.primary_key.as_deref());
                Material::Settings(settings::node_settings(&wanted))
            }
            StepKind::PrimaryKey => Material::PrimaryKey(record.primary_key),
            StepKind::Put(_) | StepKind::Delete | StepKind::Clear | StepKind::Drop => Material::Plain,
        })
    }

    /// What the nodes' settings are derived from.
    pub(super) fn with_tie_rule<'a>(&self, user: &'a Object, primary_key: Option<&str>) -> Cow<'a, Object> {
        match primary_key.filter(|_| self.sort_ties_by_id) {
            Some(primary_key) => Cow::Owned(settings::with_tie_rule(user, primary_key)),
            None => Cow::Borrowed(user),
        }
    }

    fn chunk_material(&self, index: &NodeIndexUid, transfer: TransferId, number: u32) -> Result<Material, String> {
        let chunk = self.chunks.get(transfer, number).ok_or("a part of a copy is not there any more")?;
        let primary_key = self.state.lock().book.get(index).and_then(|record| record.primary_key.clone());
        Ok(Material::Put(BodyParts::whole(chunk.bytes), primary_key))
    }
}

/// The primary key that a request names.
fn key_of(entry: &Entry, purpose: Purpose, resolution: Option<&Resolution>) -> Option<String> {
    if let (Purpose::Revert, Some(Resolution::PrimaryKey { before })) = (purpose, resolution) {
        return before.clone();
    }
    match &entry.operation {
        Operation::PutDocuments { primary_key, .. }
        | Operation::CreateIndex { primary_key }
        | Operation::UpdateIndex { primary_key, .. } => primary_key.clone(),
        Operation::DeleteDocuments { .. }
        | Operation::DeleteByFilter { .. }
        | Operation::EditDocuments { .. }
        | Operation::ClearDocuments
        | Operation::DeleteIndex
        | Operation::UpdateSettings { .. }
        | Operation::SwapIndexes { .. }
        | Operation::CompactIndex
        | Operation::CreateSnapshot
        | Operation::ChangeRules(_)
        | Operation::CreateDump
        | Operation::Export(_)
        | Operation::CancelTasks { .. }
        | Operation::DeleteTasks { .. } => None,
    }
}
