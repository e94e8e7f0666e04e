//! API keys of a running fleet: every core goes by a change once it is answered, and nothing that was answered is lost.

use serde_json::{Value, json};

use crate::support::fleet::{MASTER_KEY, START_LIMIT};
use crate::support::{Client, Fleet, FleetOptions};

/// Connections that ask at a time: more than there are cores.
const CLIENTS: usize = 8;

fn create(client: &Client) -> (String, String) {
    let body = json!({"actions": ["indexes.get"], "indexes": ["*"], "expiresAt": null});
    let key = client.post("/keys", &body).expect(201).json;
    let text = |name: &str| key[name].as_str().expect("a text").to_owned();
    (text("uid"), text("key"))
}

/// What this key gets over many connections, each of its own and all of them open.
fn statuses(fleet: &Fleet, key: &str) -> Vec<u16> {
    let clients: Vec<Client> = (0..CLIENTS).map(|_| Client::new(&fleet.port.url(), Some(key))).collect();
    clients.iter().map(|client| client.get("/indexes").status).collect()
}

fn uids(client: &Client) -> Vec<Value> {
    let page = client.get("/keys?limit=1000").expect(200).json;
    page["results"].as_array().expect("a list").iter().map(|key| key["uid"].clone()).collect()
}

#[test]
fn an_answered_change_of_keys_holds_on_every_connection_and_after_a_kill() {
    let mut fleet = Fleet::start(&FleetOptions::new());
    let client = fleet.client();
    for _ in 0..20 {
        let (uid, key) = create(&client);
        assert_eq!(statuses(&fleet, &key), [200; CLIENTS], "a new key is known everywhere");
        client.ask("DELETE", &format!("/keys/{uid}"), None).expect(204);
        assert_eq!(statuses(&fleet, &key), [403; CLIENTS], "a deleted one is known nowhere");
    }
    let (kept, key) = create(&client);
    let (deleted, gone) = create(&client);
    client.ask("PATCH", &format!("/keys/{kept}"), Some(&json!({"name": "kept"}))).expect(200);
    client.ask("DELETE", &format!("/keys/{deleted}"), None).expect(204);
    let before = uids(&client);
    assert_eq!((before.len(), &before[0]), (5, &json!(kept)));
    fleet.kill_miroir();
    fleet.start_miroir();
    client.wait_until_healthy(START_LIMIT);
    assert_eq!(uids(&client), before);
    assert_eq!(client.get(&format!("/keys/{key}")).expect(200).json["name"], "kept");
    assert_eq!((statuses(&fleet, &key), statuses(&fleet, &gone)), (vec![200; CLIENTS], vec![403; CLIENTS]));
    for node in &fleet.nodes {
        assert_eq!(node.client().with_key(Some(&key)).get("/indexes").status, 403, "nodes know none of them");
        assert_eq!(node.client().with_key(Some(MASTER_KEY)).get("/indexes").status, 403);
    }
}
