//! A whole zone is lost under load, and comes back.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{FleetOptions, real_meilisearch};
use crate::topology::{CONFIGURATION, Operator, under_load};
use crate::writes::Shape;

/// Of the four nodes.
const ZONES: [[&str; 2]; 2] = [["node-0", "node-2"], ["node-1", "node-3"]];

/// Every shard has a replica in each zone.
fn check_zones(operator: &Operator<'_>) {
    let shards = operator.fleet.admin().get("/_miroir/shards").expect(200).json["results"].clone();
    for shard in shards.as_array().expect("a list") {
        let owners: Vec<&str> = shard["nodes"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        let zones = owners.iter().filter_map(|owner| ZONES.iter().position(|zone| zone.contains(owner)));
        assert_eq!(zones.collect::<BTreeSet<usize>>().len(), ZONES.len(), "{shard}");
    }
}

/// Goal: with two zones and two replicas the loss of either zone costs no read and no acknowledged write, and what was written
/// meanwhile is there when it is back. Method: that of the test with nodes that come and go; all nodes of a zone are killed at
/// once, some writes and reads go on, then they are started again; first the one zone, then the other.
#[test]
fn either_of_two_zones_may_be_lost_while_clients_read_and_write() {
    let options = FleetOptions {
        nodes: 4,
        zones: ZONES.len(),
        configuration: CONFIGURATION.to_owned(),
        meilisearch: real_meilisearch(),
        ..FleetOptions::new()
    };
    under_load(&options, Shape { ids: 2_000, groups: 100, batch: 20 }, |operator| {
        check_zones(operator);
        for zone in ZONES {
            operator.phase("a zone is lost and comes back", |operator| operator.kill_and_restart(&zone));
        }
        check_zones(operator);
        operator.steady();
    });
}
