//! Watermarks, task numbers, the out-of-sync set, verdicts, decisions, outcomes and index records. Members and moves are
//! in `topology`.

use rusqlite::{OptionalExtension, Transaction, params};

use super::codes::status_code;
use super::{announcements, decode_json, encode_json, renaming, topology};
use crate::logic::ids::{EntryId, NodeId, NodeIndexUid, NodeTask, Position, ShardId};
use crate::store::{Decision, IndexRecord, Outcome, ProtocolDelta, ProtocolState, StoreError, Verdict};

pub(super) fn state(transaction: &Transaction<'_>) -> Result<ProtocolState, StoreError> {
    let mut state = ProtocolState::default();
    let mut statement = transaction.prepare("SELECT node, node_uid, position FROM watermarks")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key = (NodeId::new(row.get::<_, String>(0)?), NodeIndexUid::new(row.get::<_, String>(1)?));
        state.applied.insert(key, Position(row.get::<_, i64>(2)? as u64));
    }
    let mut statement = transaction.prepare("SELECT node, task FROM next_tasks")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        state.next_task.insert(NodeId::new(row.get::<_, String>(0)?), NodeTask(row.get::<_, i64>(1)? as u64));
    }
    for (table, set) in [("out_of_sync", &mut state.out_of_sync), ("needs_rebuild", &mut state.needs_rebuild)] {
        let mut statement = transaction.prepare(&format!("SELECT node, node_uid FROM {table}"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            set.insert((NodeId::new(row.get::<_, String>(0)?), NodeIndexUid::new(row.get::<_, String>(1)?)));
        }
    }
    let mut statement = transaction.prepare("SELECT position, shard, error FROM verdicts ORDER BY position, shard")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        state.verdicts.push(Verdict {
            position: Position(row.get::<_, i64>(0)? as u64),
            shard: ShardId(row.get(1)?),
            error: decode_json("verdict", &row.get::<_, String>(2)?)?,
        });
    }
    let mut statement = transaction.prepare("SELECT position, decision FROM decisions")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let decision = decode_json("decision", &row.get::<_, String>(1)?)?;
        state.decisions.insert(Position(row.get::<_, i64>(0)? as u64), decision);
    }
    topology::load(transaction, &mut state)?;
    Ok(state)
}

pub(super) fn indexes(transaction: &Transaction<'_>) -> Result<Vec<IndexRecord>, StoreError> {
    let mut statement = transaction.prepare_cached(
        "SELECT body, value FROM indexes LEFT JOIN meta ON key = 'updated_at ' || node_uid ORDER BY node_uid",
    )?;
    let mut rows = statement.query([])?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let mut record: IndexRecord = decode_json("index record", &row.get::<_, String>(0)?)?;
        if let Some(text) = row.get::<_, Option<String>>(1)? {
            record.updated_at = record.updated_at.max(decode_json("time of an index", &text)?);
        }
        records.push(record);
    }
    Ok(records)
}

pub(super) fn save_indexes(transaction: &Transaction<'_>, indexes: &[IndexRecord]) -> Result<(), StoreError> {
    let mut statement =
        transaction.prepare_cached("INSERT OR REPLACE INTO indexes (node_uid, body) VALUES (?1, ?2)")?;
    for record in indexes {
        statement.execute(params![record.node_uid.as_str(), encode_json(record)?])?;
    }
    Ok(())
}

pub(super) fn apply(transaction: &Transaction<'_>, delta: &ProtocolDelta) -> Result<(), StoreError> {
    save_watermarks(transaction, delta)?;
    for verdict in &delta.verdicts {
        // The first one stays: another replica's may only differ in wording.
        transaction
            .prepare_cached("INSERT OR IGNORE INTO verdicts (position, shard, error) VALUES (?1, ?2, ?3)")?
            .execute(params![verdict.position.0 as i64, verdict.shard.0, encode_json(&verdict.error)?])?;
    }
    for &(position, decision) in &delta.decisions {
        save_decision(transaction, position, decision)?;
    }
    for position in &delta.passed {
        transaction.prepare_cached("DELETE FROM decisions WHERE position = ?1")?.execute([position.0 as i64])?;
    }
    for (entry, started_at) in &delta.started {
        transaction
            .prepare_cached(
                "UPDATE entries SET started_at = ?2, status = 1 WHERE id = ?1 AND started_at IS NULL AND outcome IS NULL",
            )?
            .execute(params![entry.0 as i64, started_at.0])?;
    }
    for (entry, exchanged) in &delta.renamed {
        renaming::rename_tasks(transaction, *entry, exchanged)?;
    }
    for (entry, outcome) in &delta.outcomes {
        save_outcome(transaction, *entry, outcome)?;
    }
    announcements::note(transaction, delta.outcomes.iter().map(|(entry, _)| *entry))?;
    save_indexes(transaction, &delta.indexes)?;
    for (node_uid, at) in &delta.updated {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('updated_at ' || ?1, ?2)")?
            .execute(params![node_uid.as_str(), at.0.to_string()])?;
    }
    topology::apply(transaction, delta)?;
    for node_uid in &delta.forgotten_indexes {
        transaction.prepare_cached("DELETE FROM meta WHERE key = 'updated_at ' || ?1")?.execute([node_uid.as_str()])?;
        for table in ["indexes", "watermarks", "out_of_sync", "needs_rebuild", "joins", "bootstraps"] {
            transaction
                .prepare_cached(&format!("DELETE FROM {table} WHERE node_uid = ?1"))?
                .execute([node_uid.as_str()])?;
        }
    }
    Ok(())
}

fn save_watermarks(transaction: &Transaction<'_>, delta: &ProtocolDelta) -> Result<(), StoreError> {
    for (node, node_uid, position) in &delta.applied {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO watermarks (node, node_uid, position) VALUES (?1, ?2, ?3)")?
            .execute(params![node.as_str(), node_uid.as_str(), position.0 as i64])?;
    }
    for (node, task) in &delta.next_task {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO next_tasks (node, task) VALUES (?1, ?2)")?
            .execute(params![node.as_str(), task.0 as i64])?;
    }
    for (node, node_uid) in &delta.went_out {
        transaction
            .prepare_cached("INSERT OR IGNORE INTO out_of_sync (node, node_uid) VALUES (?1, ?2)")?
            .execute(params![node.as_str(), node_uid.as_str()])?;
    }
    for (node, node_uid) in &delta.rebuilt {
        transaction
            .prepare_cached("DELETE FROM needs_rebuild WHERE node = ?1 AND node_uid = ?2")?
            .execute(params![node.as_str(), node_uid.as_str()])?;
    }
    for (node, node_uid) in &delta.needs_rebuild {
        transaction
            .prepare_cached("INSERT OR IGNORE INTO needs_rebuild (node, node_uid) VALUES (?1, ?2)")?
            .execute(params![node.as_str(), node_uid.as_str()])?;
    }
    for (node, node_uid) in &delta.came_back {
        transaction
            .prepare_cached("DELETE FROM out_of_sync WHERE node = ?1 AND node_uid = ?2")?
            .execute(params![node.as_str(), node_uid.as_str()])?;
    }
    Ok(())
}

/// Writing the same decision again is harmless, another one is not.
fn save_decision(transaction: &Transaction<'_>, position: Position, decision: Decision) -> Result<(), StoreError> {
    let text = encode_json(&decision)?;
    let found: Option<String> = transaction
        .prepare_cached("SELECT decision FROM decisions WHERE position = ?1")?
        .query_row([position.0 as i64], |row| row.get(0))
        .optional()?;
    match found {
        Some(found) if found == text => Ok(()),
        Some(found) => Err(StoreError::Refused(format!("decision at {position} is {found} already"))),
        None => {
            transaction
                .prepare_cached("INSERT INTO decisions (position, decision) VALUES (?1, ?2)")?
                .execute(params![position.0 as i64, text])?;
            Ok(())
        }
    }
}

/// The verdicts of the entry are in its outcome now.
fn save_outcome(transaction: &Transaction<'_>, entry: EntryId, outcome: &Outcome) -> Result<(), StoreError> {
    if !outcome.status.is_terminal() {
        return Err(StoreError::Refused(format!("entry {entry}: {} is no outcome", outcome.status.name())));
    }
    let changed = transaction
        .prepare_cached(
            "UPDATE entries SET outcome = ?2, status = ?3, started_at = coalesce(?4, started_at, ?5), finished_at = ?5,
             canceled_by = ?6 WHERE id = ?1 AND outcome IS NULL",
        )?
        .execute(params![
            entry.0 as i64,
            encode_json(outcome)?,
            status_code(outcome.status),
            outcome.started_at.map(|at| at.0),
            outcome.finished_at.0,
            outcome.canceled_by.map(|entry| entry.0 as i64),
        ])?;
    if changed == 0 {
        return Err(StoreError::Refused(format!("entry {entry} does not exist or has its outcome already")));
    }
    let first = Position::of(entry, 0);
    transaction
        .prepare_cached("DELETE FROM verdicts WHERE position >= ?1 AND position < ?2")?
        .execute(params![first.0 as i64, (first.0 + Position::STEPS_PER_ENTRY) as i64])?;
    Ok(())
}
