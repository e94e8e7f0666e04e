//! Fleets that are accepted and fleets that are refused.

use std::time::Duration;

use miroir::config::{Secret, Settings};
use miroir::control_plane::identity::Identity;
use miroir::control_plane::node_client::{BodyParts, NodeClient, NodeWrite};
use miroir::control_plane::startup::{node_views, settle};
use miroir::devnode::Server;
use miroir::logic::feeder::Bearer;
use miroir::logic::ids::{NodeId, NodeIndexUid, NodeTask};
use miroir::logic::topology::{NodeRecord, NodeState};
use miroir::store::{ProtocolDelta, Store};

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
}

#[test]
fn the_store_is_the_truth_about_members_and_replicas() {
    let fleet = Fleet::start(3);
    let urls: Vec<String> = fleet.nodes.iter().map(Server::url).collect();
    let store = fleet.store();
    let stored = settle(&settings(&urls[..2], "shards: 8\nreplication_factor: 1\n"), &store, PATIENCE).unwrap();
    // Another node, another number of replicas, and a member that is not configured any more.
    let mut other = settings(&urls, "shards: 8\nreplication_factor: 2\n");
    other.nodes.remove(0);
    assert_eq!(settle(&other, &store, PATIENCE).unwrap(), stored);
    let views = node_views(&stored);
    assert_eq!(
        views.iter().map(|view| (view.id.as_str(), &view.url)).collect::<Vec<_>>(),
        [("n0", &urls[0]), ("n1", &urls[1])]
    );

    let removed = NodeRecord { state: NodeState::Removed, ..stored.nodes[0].clone() };
    store.commit(&ProtocolDelta { nodes: vec![removed.clone()], ..ProtocolDelta::default() }).unwrap();
    let after = settle(&other, &store, PATIENCE).unwrap();
    assert_eq!(after.nodes, [removed, stored.nodes[1].clone()]);
    assert_eq!(node_views(&after).len(), 1, "nobody looks for what was removed");
}

#[test]
fn a_store_that_is_older_than_what_nodes_have_is_refused() {
    let fleet = Fleet::start(2);
    let store = fleet.store();
    settle(&fleet.settings(), &store, PATIENCE).unwrap();
    let cluster = store.cluster().unwrap().expect("it is settled").cluster_id;
    let (identity, client) =
        (Identity { cluster, node: NodeId::new("n1") }, NodeClient::new(fleet.nodes[1].url(), Some("node-key")));
    identity.tell(&client, 0, ANSWER_TIMEOUT);
    until(|| identity.ask(&client, ANSWER_TIMEOUT).is_ok_and(|who| who.bearer == Bearer::Node { life: 0 }));
    settle(&fleet.settings(), &store, PATIENCE).unwrap();
    let body = BodyParts::whole("[1]".into());
    client.write(&NodeIndexUid::new("a-0"), &NodeWrite::Delete { metadata: "miroir:7.1", body }, ANSWER_TIMEOUT);
    let text = settle(&fleet.settings(), &store, PATIENCE).expect_err("refused").to_string();
    assert!(text.contains("node n1 has documents of task 7") && text.contains("ends before task 0"), "{text}");
}

#[test]
fn a_member_that_moved_is_found_where_the_configuration_says() {
    let fleet = Fleet::start(3);
    let urls: Vec<String> = fleet.nodes.iter().map(Server::url).collect();
    let store = fleet.store();
    let first = settings(&urls[..2], "shards: 8\nreplication_factor: 2\n");
    let stored = settle(&first, &store, PATIENCE).unwrap();
    let moved = settings(&[urls[0].clone(), urls[2].clone()], "shards: 8\nreplication_factor: 2\n");
    let after = settle(&moved, &store, PATIENCE).unwrap();
    assert_eq!((after.nodes[1].url.as_str(), &after.tables), (urls[2].as_str(), &stored.tables));
    assert_eq!(store.protocol_state().unwrap().nodes, after.nodes);
    // Not where another member is.
    let mut same = first.clone();
    same.nodes.remove(0);
    same.nodes[0].url = urls[0].clone();
    let text = settle(&same, &store, PATIENCE).expect_err("refused").to_string();
    assert!(text.contains("nodes n0 and n1 have the same address"), "{text}");
    assert_eq!(store.protocol_state().unwrap().nodes, after.nodes, "a refused start stores nothing");
}

#[test]
fn members_of_a_store_of_schema_1_come_from_the_configuration_once() {
    let fleet = Fleet::start(4);
    let database = fleet.folder.path().join("miroir").join("miroir.db");
    std::fs::create_dir_all(database.parent().unwrap()).unwrap();
    let dump = include_str!("../../src/store/sqlite/tests/schema_1.sql");
    rusqlite::Connection::open(&database).unwrap().execute_batch(dump).unwrap();
    let store = fleet.store();

    let urls: Vec<String> = fleet.nodes.iter().map(Server::url).collect();
    let of = |urls: &[String]| settings(urls, "shards: 4\nreplication_factor: 2\n");
    let text = settle(&of(&urls[..2]), &store, PATIENCE).expect_err("n2 owns shards").to_string();
    assert!(text.contains("node n2 holds shards") && text.contains("put it back"), "{text}");

    let stored = settle(&of(&urls), &store, PATIENCE).unwrap();
    let known: Vec<_> = stored.nodes.iter().map(|node| (node.id.as_str(), &node.url)).collect();
    assert_eq!(known, [("n0", &urls[0]), ("n1", &urls[1]), ("n2", &urls[2])], "n3 owned nothing");
    assert_eq!(stored.tables.owners[0], [NodeId::new("n2"), NodeId::new("n1")]);
    assert_eq!(store.protocol_state().unwrap().nodes, stored.nodes);
    assert_eq!(settle(&of(&urls[..2]), &store, PATIENCE).unwrap(), stored, "n2 is known now");
}

#[test]
fn a_known_node_may_be_away_at_later_starts() {
    let mut fleet = Fleet::start(2);
    let settings = fleet.settings();
    let mut stored = settle(&settings, &fleet.store(), PATIENCE).unwrap();
    fleet.nodes.pop().expect("two of them").shutdown();
    assert_eq!(stored.present.len(), 2);
    stored.present.remove(&NodeId::new("n1"));
    assert_eq!(settle(&settings, &fleet.store(), PATIENCE).unwrap(), stored);
}

#[test]
fn a_server_is_who_its_documents_say_and_nobodys_with_two_names() {
    let fleet = Fleet::start(2);
    let client = NodeClient::new(fleet.nodes[0].url(), Some("node-key"));
    let of = |cluster: &str| Identity { cluster: cluster.to_owned(), node: NodeId::new("n9") };
    let bearer = |of: &Identity| of.ask(&client, ANSWER_TIMEOUT).expect("it answers").bearer;
    assert_eq!(bearer(&of("one")), Bearer::Nobody { is_empty: true });
    for life in [3, 2] {
        // A request for an earlier life that comes too late.
        of("one").tell(&client, life, ANSWER_TIMEOUT);
    }
    until(|| bearer(&of("one")) == (Bearer::Node { life: 3 }));
    assert_eq!(bearer(&of("other")), Bearer::Other);
    let text = settle(&fleet.settings(), &fleet.store(), PATIENCE).expect_err("refused").to_string();
    assert!(text.contains("is or was node n9 of another cluster (one)"), "{text}");
    of("other").tell(&client, 0, ANSWER_TIMEOUT);
    until(|| bearer(&of("one")) == Bearer::Other);
}
