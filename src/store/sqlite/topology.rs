//! Members of the fleet and moves of shards.

use rusqlite::{Transaction, params};
use serde::de::DeserializeOwned;

use super::{decode_json, encode_json, meta, save_meta};
use crate::logic::ids::JobId;
use crate::store::{ProtocolDelta, ProtocolState, StoreError};

pub(super) fn load(transaction: &Transaction<'_>, state: &mut ProtocolState) -> Result<(), StoreError> {
    state.nodes = bodies(transaction, "nodes", "number")?;
    state.jobs = bodies(transaction, "jobs", "id")?;
    state.joins = bodies(transaction, "joins", "job, node_uid")?;
    state.bootstraps = bodies(transaction, "bootstraps", "node, node_uid")?;
    state.tables = meta(transaction, "tables")?.unwrap_or_default();
    state.next_job = next_job(transaction)?;
    state.plans = meta(transaction, "plans")?.unwrap_or_default();
    Ok(())
}

fn bodies<T: DeserializeOwned>(transaction: &Transaction<'_>, table: &str, order: &str) -> Result<Vec<T>, StoreError> {
    let mut statement = transaction.prepare(&format!("SELECT body FROM {table} ORDER BY {order}"))?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(decode_json(table, &row.get::<_, String>(0)?)?);
    }
    Ok(found)
}

fn next_job(transaction: &Transaction<'_>) -> Result<JobId, StoreError> {
    Ok(meta(transaction, "next_job")?.unwrap_or_default())
}

/// First what is written, then what goes: a row that ends in the transaction that began it is not left behind. Bootstraps
/// the other way round, since one may be begun anew.
pub(super) fn apply(transaction: &Transaction<'_>, delta: &ProtocolDelta) -> Result<(), StoreError> {
    for node in &delta.nodes {
        transaction
            .prepare_cached("INSERT INTO nodes (id, body) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET body = ?2")?
            .execute(params![node.id.as_str(), encode_json(node)?])?;
    }
    if let Some(tables) = &delta.tables {
        save_meta(transaction, "tables", tables)?;
    }
    if let Some(plans) = &delta.plans {
        save_meta(transaction, "plans", plans)?;
    }
    save_jobs(transaction, delta)?;
    for (node, node_uid) in &delta.ended_bootstraps {
        transaction
            .prepare_cached("DELETE FROM bootstraps WHERE node = ?1 AND node_uid = ?2")?
            .execute(params![node.as_str(), node_uid.as_str()])?;
    }
    for bootstrap in &delta.bootstraps {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO bootstraps (node, node_uid, body) VALUES (?1, ?2, ?3)")?
            .execute(params![bootstrap.node.as_str(), bootstrap.index.as_str(), encode_json(bootstrap)?])?;
    }
    for node in &delta.removed_nodes {
        for table in ["watermarks", "next_tasks", "out_of_sync", "needs_rebuild", "bootstraps"] {
            transaction.prepare_cached(&format!("DELETE FROM {table} WHERE node = ?1"))?.execute([node.as_str()])?;
        }
    }
    Ok(())
}

fn save_jobs(transaction: &Transaction<'_>, delta: &ProtocolDelta) -> Result<(), StoreError> {
    for job in &delta.jobs {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO jobs (id, body) VALUES (?1, ?2)")?
            .execute(params![job.id.0 as i64, encode_json(job)?])?;
    }
    if let Some(last) = delta.jobs.iter().map(|job| job.id).max() {
        let next = next_job(transaction)?.max(JobId(last.0 + 1));
        save_meta(transaction, "next_job", &next)?;
    }
    for join in &delta.joins {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO joins (job, node_uid, body) VALUES (?1, ?2, ?3)")?
            .execute(params![join.job.0 as i64, join.index.as_str(), encode_json(join)?])?;
    }
    for (job, node_uid) in &delta.ended_joins {
        transaction
            .prepare_cached("DELETE FROM joins WHERE job = ?1 AND node_uid = ?2")?
            .execute(params![job.0 as i64, node_uid.as_str()])?;
    }
    for job in &delta.ended_jobs {
        for sql in ["DELETE FROM jobs WHERE id = ?1", "DELETE FROM joins WHERE job = ?1"] {
            transaction.prepare_cached(sql)?.execute([job.0 as i64])?;
        }
    }
    Ok(())
}
