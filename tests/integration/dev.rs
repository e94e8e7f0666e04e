//! `miroir dev` as the README shows it.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::fleet::START_LIMIT;
use crate::support::process::{miroir, miroir_ctl};
use crate::support::{Client, Port, Process, wait_for};

struct Dev {
    process: Process,
    client: Client,
}

fn start(folder: &std::path::Path, port: &Port, admin: &Port, more: &[&str]) -> Dev {
    let mut command = miroir();
    command.args(["dev", "--listen", &port.address().to_string(), "--admin-listen", &admin.address().to_string()]);
    command.arg("--data-dir").arg(folder.join("data")).args(more);
    let process = Process::start("dev", command, folder);
    let client = Client::new(&port.url(), Some("dev-key"));
    wait_for("curl lines", START_LIMIT, || {
        let output = process.output();
        if output.contains("curl -X POST") { Ok(()) } else { Err(output) }
    });
    client.wait_until_healthy(START_LIMIT);
    Dev { process, client }
}

/// Goal: the seed example works word by word; Ctrl-C stops everything; a second start finds the data.
#[test]
fn the_example_of_the_readme_works_and_its_data_is_found_again() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let (port, admin) = (Port::reserve(), Port::reserve());
    let mut dev = start(folder.path(), &port, &admin, &[]);
    let movies = json!([{"id": 1, "title": "Inception"}, {"id": 2, "title": "Interstellar"}]);
    let answer = dev.client.post("/indexes/movies/documents", &movies).expect(202);
    let uid = answer.json["taskUid"].as_u64().expect("an integer");
    assert_eq!(dev.client.wait_for_task(uid)["status"], "succeeded");
    let find = |client: &Client| client.post("/indexes/movies/search", &json!({"q": "inception"})).expect(200).json;
    let found = find(&dev.client);
    assert_eq!(found["hits"], json!([{"id": 1, "title": "Inception"}]));

    let output = miroir_ctl().args(["--admin", &admin.url(), "shards"]).output().expect("miroir-ctl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("shards per node: node-0 "), "{text}");

    dev.process.signal(Signal::SIGINT);
    let status = dev.process.wait(Duration::from_mins(1));
    assert!(status.success(), "{status}: {}", dev.process.output());
    let again = start(folder.path(), &port, &admin, &[]);
    assert_eq!(find(&again.client)["hits"], found["hits"]);
    // New writes go on where the old ones ended.
    let answer = again.client.post("/indexes/movies/documents", &json!([{"id": 3, "title": "Tenet"}])).expect(202);
    assert_eq!(answer.json["taskUid"], uid + 1);
}

#[test]
fn the_sample_documents_are_found() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let (port, admin) = (Port::reserve(), Port::reserve());
    let dev = start(folder.path(), &port, &admin, &["--sample", "--nodes", "2", "--shards", "8"]);
    wait_for("the sample documents", START_LIMIT, || {
        let answer = dev.client.post("/indexes/films/search", &json!({"q": "lighthouse", "filter": "year > 1990"}));
        let title = answer.json["hits"][0]["title"].clone();
        if title == "東の灯台" { Ok(()) } else { Err(answer.text) }
    });
}
