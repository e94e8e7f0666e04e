//! Webhooks of a fleet: every task is told of once, not once per node.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::support::fleet::START_LIMIT;
use crate::support::{Fleet, FleetOptions, real_meilisearch, wait_for};

const LIMIT: Duration = Duration::from_secs(30);

/// By task: how often it was told of, and how it was last.
type Told = Arc<Mutex<BTreeMap<u64, (usize, Value)>>>;

/// A server that takes note of tasks. Ends with the test.
fn listener() -> (String, Told) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    let told = Told::default();
    let noted = told.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let mut head = String::new();
            while stream.read_line(&mut head).expect("a head") > 2 {}
            let length = head
                .to_lowercase()
                .split("content-length: ")
                .nth(1)
                .map(|rest| rest.lines().next().unwrap_or_default().trim().parse::<usize>().expect("a number"));
            // Whoever was about to tell something was killed.
            let Some(length) = length else { continue };
            let mut body = vec![0; length];
            stream.read_exact(&mut body).expect("a body");
            let mut text = String::new();
            GzDecoder::new(&body[..]).read_to_string(&mut text).expect("gzip");
            for line in text.lines() {
                let task: Value = serde_json::from_str(line).expect("a task");
                let mut told = noted.lock().expect("no panics");
                let entry = told.entry(task["uid"].as_u64().expect("a number")).or_default();
                *entry = (entry.0 + 1, task);
            }
            let _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    (url, told)
}

/// Goal: every webhook hears of every task that finished once, with what `/tasks` shows. Method: one webhook of the
/// configuration and one of a client, over two replicas on three nodes; Miroir is stopped and started in between.
#[test]
fn every_task_is_told_of_once_and_not_once_per_node() {
    let (configured_url, configured) = listener();
    let (url, told) = listener();
    let configuration =
        format!("webhooks: {{url: '{configured_url}', authorization: Bearer k, private_addresses: on}}\n");
    let mut fleet =
        Fleet::start(&FleetOptions { configuration, meilisearch: real_meilisearch(), ..FleetOptions::new() });
    let client = fleet.client();
    client.post("/webhooks", &json!({"url": url, "headers": {"authorization": "x"}})).expect(201);
    let all = client.get("/webhooks").expect(200).json;
    assert_eq!(
        (&all["results"][0]["isEditable"], &all["results"][1]["headers"]["authorization"]),
        (&json!(false), &json!("XXX..."))
    );
    let put = |client: &crate::support::Client, id: u64| {
        let target = "/indexes/films/documents?customMetadata=mine";
        client.post(target, &json!([{"id": id}])).expect(202).json["taskUid"].as_u64().expect("a number")
    };
    let mut last = 0;
    for id in 0..10 {
        last = put(&client, id);
    }
    client.wait_for_task(last);
    await_told(&[&configured, &told], last);
    // What is told after them shows that it was kept that they were.
    let kept = last;
    last = put(&client, 10);
    await_told(&[&configured, &told], last);
    client.ask("DELETE", "/indexes/nowhere", None).expect(202);
    client.ask("POST", "/tasks/cancel?uids=0", None).expect(200);
    fleet.kill_miroir();
    fleet.start_miroir();
    let client = fleet.client();
    client.wait_until_healthy(START_LIMIT);
    last = put(&client, 11);
    client.wait_for_task(last);
    await_told(&[&configured, &told], last);
    for heard in [&configured, &told] {
        for (uid, (times, task)) in heard.lock().expect("no panics").iter() {
            // Those around the kill may be told of again.
            assert!(*times == 1 || (*uid > kept && *times == 2), "task {uid} was told of {times} times");
            assert_eq!(*task, client.get(&format!("/tasks/{uid}")).expect(200).json);
        }
    }
}

/// Waits until every one has heard of all tasks up to this one.
fn await_told(all: &[&Told], last: u64) {
    for told in all {
        wait_for("all tasks to be told of", LIMIT, || match told.lock().expect("no panics").len() as u64 {
            count if count == last + 1 => Ok(()),
            count => Err(format!("{count} of {}", last + 1)),
        });
    }
}
