//! What the configuration says of a fleet that is stored.
//!
//! It describes machines: where a member is, its zone and weight follow the configuration, so that a machine that moved is
//! found by editing one file. Who is a member and how many replicas there are does not: only an operator's command, which
//! moves documents, changes that. So nothing here changes a state or a table.

use super::StoredFleet;
use crate::config::{NodeSettings, Settings};
use crate::logic::topology::{NodeRecord, NodeState};

/// Members that the configuration describes otherwise than the store, as they are from now on.
pub(super) fn described_anew(settings: &Settings, fleet: &StoredFleet) -> Vec<NodeRecord> {
    let mut changed = Vec::new();
    for stored in fleet.members() {
        let Some(node) = settings.nodes.iter().find(|node| node.id == stored.id) else { continue };
        let NodeSettings { url, zone, weight, .. } = node.clone();
        let record = NodeRecord { url, zone, weight, ..stored.clone() };
        if record != *stored {
            tracing::info!(
                node = %stored.id, url = record.url, zone = record.zone.as_deref(), weight = record.weight,
                stored_url = stored.url, stored_zone = stored.zone.as_deref(), stored_weight = stored.weight,
                "node is described otherwise than before; the configuration is taken over",
            );
            changed.push(record);
        }
    }
    changed
}

/// Where the configuration does not say what is done, one line each with the remedy.
pub(super) fn differences(settings: &Settings, fleet: &StoredFleet) -> Vec<String> {
    let mut found = Vec::new();
    for node in &settings.nodes {
        let id = &node.id;
        match fleet.nodes.iter().find(|stored| stored.id == *id).map(|stored| stored.state) {
            Some(NodeState::Active | NodeState::Draining | NodeState::Maintenance) => {}
            Some(NodeState::Removed) => found.push(format!(
                "node {id} is configured but was removed from the cluster: take it out of nodes; the machine can be added \
                 again, empty, under another name"
            )),
            None => found.push(format!(
                "node {id} is configured but not a member: add it with `miroir-ctl node add {id} {}`",
                node.url
            )),
        }
    }
    for member in fleet.members().filter(|member| settings.nodes.iter().all(|node| node.id != member.id)) {
        let (id, url) = (&member.id, &member.url);
        found.push(format!(
            "node {id} at {url} is a member but not configured: put it into nodes, or remove it with `miroir-ctl node \
             remove {id}` once it owns no shards"
        ));
    }
    let (configured, stored) = (settings.replication_factor, usize::from(fleet.tables.replication_factor));
    if configured != stored {
        found.push(format!(
            "replication_factor is {configured} in the configuration but {stored} in the store, which is the truth: set it \
             to {stored}, or change it with `miroir-ctl replication-factor {configured}`"
        ));
    }
    if fleet.tables.is_pace_set && fleet.tables.pace != settings.rebalance {
        found.push(
            "the limits of moves are those that were set while Miroir ran, not those of the configuration: `miroir-ctl \
             rebalance limits` shows them, `miroir-ctl rebalance limits --configured` comes back to the configuration"
                .to_owned(),
        );
    }
    found
}
