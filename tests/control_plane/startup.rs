//! Fleets that are accepted and fleets that are refused.

use std::time::Duration;

use miroir::config::{Secret, Settings};
use miroir::control_plane::node_client::{NodeClient, NodeWrite};
use miroir::control_plane::startup::settle;
use miroir::devnode::Server;
use miroir::logic::ids::{NodeId, NodeIndexUid, NodeTask};
use miroir::store::Store;

use crate::fleet::{ANSWER_TIMEOUT, Fleet, has_index, settings, task, until};

const PATIENCE: Duration = Duration::from_millis(100);

#[test]
fn a_new_fleet_is_placed_once_and_found_again() {
    let fleet = Fleet::start(3);
    let stored = settle(&fleet.settings(), &fleet.store(), PATIENCE).unwrap();
    assert_eq!((stored.tables.owners.len(), stored.cluster.shard_count), (8, 8));
    assert!(stored.tables.owners.iter().all(|owners| owners.len() == 2));
    assert_eq!(stored.tables.plan, stored.tables.owners);
    assert_eq!(settle(&fleet.settings(), &fleet.store(), PATIENCE).unwrap(), stored);
}

#[test]
fn task_numbers_go_on_where_an_empty_node_stands() {
    let fleet = Fleet::start(2);
    let client = NodeClient::new(fleet.nodes[1].url(), Some("node-key"));
    let index = NodeIndexUid::new("x-0");
    client.write(&index, &NodeWrite::CreateIndex { primary_key: None }, ANSWER_TIMEOUT);
    client.write(&index, &NodeWrite::DropIndex, ANSWER_TIMEOUT);
    until(|| task(&client, NodeTask(1)).is_some_and(|task| task.status.is_terminal()));
    let store = fleet.store();
    settle(&fleet.settings(), &store, PATIENCE).unwrap();
    let next_task = store.protocol_state().unwrap().next_task;
    assert_eq!((next_task[&NodeId::new("n0")], next_task[&NodeId::new("n1")]), (NodeTask(0), NodeTask(2)));
}

#[test]
fn what_cannot_be_continued_is_refused_with_the_remedy() {
    let fleet = Fleet::start(2);
    let urls: Vec<String> = fleet.nodes.iter().map(Server::url).collect();
    let same = |more: &str| settings(&urls, more);
    let refused = |settings: &Settings| settle(settings, &fleet.store(), PATIENCE).expect_err("refused").to_string();

    let mut wrong_key = fleet.settings();
    wrong_key.node_master_key = Some(Secret::new("wrong"));
    let text = refused(&wrong_key);
    assert!(text.contains("refuses node_master_key") && text.contains("set it to the master key"), "{text}");

    let gone = [urls[0].clone(), "http://127.0.0.1:9".to_owned()];
    let text = refused(&settings(&gone, "replication_factor: 1\n"));
    assert!(text.contains("n1 at http://127.0.0.1:9 does not answer") && text.contains("start it"), "{text}");

    // Another spelling of the same address.
    let twice = [urls[0].clone(), urls[0].replace("127.0.0.1", "127.1")];
    let text = refused(&settings(&twice, "replication_factor: 1\n"));
    assert!(text.contains("have the same address"), "{text}");

    let index = NodeIndexUid::new("foreign");
    let client = NodeClient::new(&*urls[1], Some("node-key"));
    client.write(&index, &NodeWrite::CreateIndex { primary_key: None }, ANSWER_TIMEOUT);
    until(|| has_index(&client, &index));
    let text = refused(&fleet.settings());
    assert!(text.contains("somebody else (foreign)") && text.contains("start with its data_dir"), "{text}");

    let alone = settings(&urls[..1], "shards: 8\nreplication_factor: 1\n");
    settle(&alone, &fleet.store(), PATIENCE).unwrap();
    let text = refused(&same("shards: 16\nreplication_factor: 1\n"));
    assert!(text.contains("shards is 16") && text.contains("set shards to 8"), "{text}");
    let text = refused(&same("shards: 8\nreplication_factor: 2\n"));
    assert!(text.contains("set replication_factor to 1"), "{text}");
    let mut renamed = alone.clone();
    renamed.nodes[0].id = NodeId::new("other");
    let text = refused(&renamed);
    assert!(text.contains("node n0 holds shards") && text.contains("put it back"), "{text}");
    settle(&same("shards: 8\nreplication_factor: 1\n"), &fleet.store(), PATIENCE).expect("a new node is no error");
}

#[test]
fn a_known_node_may_be_away_at_later_starts() {
    let mut fleet = Fleet::start(2);
    let settings = fleet.settings();
    let stored = settle(&settings, &fleet.store(), PATIENCE).unwrap();
    fleet.nodes.pop().expect("two of them").shutdown();
    assert_eq!(settle(&settings, &fleet.store(), PATIENCE).unwrap(), stored);
}
