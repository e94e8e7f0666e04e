//! The log of Miroir, read by a client over `/logs/stream`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::{Fleet, FleetOptions, wait_for};

const LIMIT: Duration = Duration::from_secs(30);
const TARGET: &str = "/logs/stream";

/// A client that reads along, and what it has got.
struct Reader {
    stream: TcpStream,
    came: Vec<u8>,
}

impl Reader {
    /// `Err`: the status line, if it is not let in.
    fn begin(fleet: &Fleet, body: &str) -> Result<Self, String> {
        let mut stream = TcpStream::connect(fleet.port.address()).expect("Miroir listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        let head = format!(
            "POST {TARGET} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            fleet.master_key,
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).expect("a request");
        let mut reader = Self { stream, came: Vec::new() };
        reader.await_text("\r\n");
        let status = reader.text().lines().next().unwrap_or_default().to_owned();
        if status == "HTTP/1.1 200 OK" { Ok(reader) } else { Err(status) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.came).into_owned()
    }

    fn await_text(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !self.text().contains(text) {
            let count = self.stream.read(&mut buffer).expect("more of the answer");
            assert!(count > 0, "no `{text}` in {}", self.text());
            self.came.extend_from_slice(&buffer[..count]);
        }
    }
}

/// Goal: one client at a time reads what Miroir writes into its log, until it leaves, is ended, or Miroir stops.
#[test]
fn one_client_reads_the_log_along() {
    let mut fleet = Fleet::start(&FleetOptions::new());
    let client = fleet.client();
    assert_eq!(client.post(TARGET, &json!({})).expect(400).code(), "feature_not_enabled");
    client.ask("PATCH", "/experimental-features", Some(&json!({"logsRoute": true}))).expect(200);
    for (body, status, code) in [
        (json!({"mode": "x"}), 400, "bad_request"),
        (json!({"target": ""}), 400, "bad_request"),
        (json!({"profileMemory": true}), 400, "invalid_settings_typo_tolerance"),
        (json!({"mode": "profile"}), 501, "miroir_not_supported"),
    ] {
        assert_eq!(client.post(TARGET, &body).expect(status).code(), code, "{body}");
    }

    let mut people = Reader::begin(&fleet, "{}").expect("nobody else reads");
    assert_eq!(client.post(TARGET, &json!({})).expect(400).code(), "bad_request");
    client.ask("POST", "/dumps", None).expect(202);
    people.await_text(": a dump is begun entry=");
    client.ask("DELETE", TARGET, None).expect(204);
    people.await_text("\r\n0\r\n\r\n");

    let form = r#"{"mode": "json", "target": "miroir=info"}"#;
    let mut programs = Reader::begin(&fleet, form).expect("nobody else reads");
    client.ask("POST", "/dumps", None).expect(202);
    programs.await_text("\"message\":\"a dump is begun\"");
    drop(programs);
    let mut last = wait_for("the place of the client that left", LIMIT, || Reader::begin(&fleet, "{}"));
    let mut miroir = fleet.miroir.take().expect("it runs");
    miroir.signal(Signal::SIGTERM);
    last.await_text("\r\n0\r\n\r\n");
    assert!(miroir.wait(LIMIT).success());
}
