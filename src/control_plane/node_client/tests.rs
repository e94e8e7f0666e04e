//! What became of a write, over real sockets with a scripted server: each exchange is one connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use bytes::Bytes;

use super::*;
use crate::logic::entry::PutMode;
use crate::logic::ids::{NodeIndexUid, NodeTask, ShardId};
use crate::logic::payload::Payload;
use crate::meili::tasks::TaskStatus;

const TIMEOUT: Duration = Duration::from_secs(10);

fn index() -> NodeIndexUid {
    NodeIndexUid::new("a-0")
}

/// A request as it arrived.
struct Seen {
    head: String,
    body: Vec<u8>,
}

fn read_request(stream: &TcpStream) -> Seen {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "the head ends: {head}");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Seen { head, body }
}

/// Reads one request, answers with these bytes, closes.
fn serve_once(answer: impl Into<Vec<u8>>) -> (NodeClient, JoinHandle<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = NodeClient::new(format!("http://{}", listener.local_addr().unwrap()), Some("key"));
    let answer = answer.into();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let seen = read_request(&stream);
        stream.write_all(&answer).unwrap();
        seen
    });
    (client, server)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

fn error_text(code: &str) -> String {
    format!(r#"{{"message":"no","code":"{code}","type":"invalid_request","link":"l"}}"#)
}

fn outcome_of(answer: impl Into<Vec<u8>>) -> SendOutcome {
    let (client, server) = serve_once(answer);
    let outcome = client.write(&index(), &NodeWrite::Clear { metadata: "m" }, TIMEOUT);
    server.join().unwrap();
    outcome
}

fn payload() -> Payload {
    use crate::logic::payload::Section;
    let section = |shard, start, length| Section { shard: ShardId(shard), start, length, id_hashes: vec![] };
    Payload {
        sections: vec![section(0, 0, 2), section(3, 2, 3), section(9, 5, 4)],
        bytes: Bytes::from_static(b"aabbbcccc"),
    }
}

#[test]
fn a_registered_write_gives_the_task_number() {
    let body = r#"{"taskUid":77,"indexUid":"a","status":"enqueued"}"#;
    assert_eq!(outcome_of(answer("202 Accepted", "", body)), SendOutcome::Registered(NodeTask(77)));
}

/// More than fits into the sockets' buffers, so that the node can break off within it.
fn large() -> NodeWrite<'static> {
    let section = crate::logic::payload::Section { shard: ShardId(0), start: 0, length: 64 << 20, id_hashes: vec![] };
    let payload = Payload { sections: vec![section], bytes: vec![b'x'; 64 << 20].into() };
    NodeWrite::Delete { metadata: "m", body: BodyParts::array(&payload, |_| true) }
}

#[test]
fn a_body_that_the_node_does_not_read_to_its_end_was_not_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = NodeClient::new(format!("http://{}", listener.local_addr().unwrap()), Some("key"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 1000]).unwrap();
        stream.write_all(answer("413 Payload Too Large", "", &error_text("payload_too_large")).as_bytes()).unwrap();
    });
    let outcome = client.write(&index(), &large(), TIMEOUT);
    server.join().unwrap();
    // Whether the answer is still read depends on when the connection breaks.
    let is_refused = matches!(outcome, SendOutcome::Refused { status: 413, .. });
    assert!(is_refused || matches!(outcome, SendOutcome::CutOff(_)), "{outcome:?}");
}

#[test]
fn what_is_not_certain_is_unclear() {
    let whole = answer("202 Accepted", "", r#"{"taskUid":77}"#);
    let answers = [
        ("no answer at all", String::new()),
        ("half a head", whole[..20].to_owned()),
        ("half a body", whole[..whole.len() - 3].to_owned()),
        ("no task number", answer("202 Accepted", "", "{}")),
        ("redirect", answer("307 Temporary Redirect", "location: http://127.0.0.1:1/\r\n", "")),
        ("a proxy's error page", answer("404 Not Found", "", "<html>not found</html>")),
        ("internal error", answer("500 Internal Server Error", "", &error_text("internal"))),
        ("gateway", answer("502 Bad Gateway", "", "")),
    ];
    for (name, text) in answers {
        let outcome = outcome_of(text);
        assert!(matches!(outcome, SendOutcome::Unclear(_)), "{name}: {outcome:?}");
    }
}

#[test]
fn a_refused_connection_was_never_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = NodeClient::new(format!("http://{address}"), None);
    let outcome = client.write(&index(), &NodeWrite::Clear { metadata: "m" }, TIMEOUT);
    assert!(matches!(outcome, SendOutcome::NotSent(_)), "{outcome:?}");
    assert!(matches!(client.health(TIMEOUT), Err(NodeError::Unreachable(_))));
}

#[test]
fn a_silent_node_is_unclear_after_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = NodeClient::new(format!("http://{}", listener.local_addr().unwrap()), None);
    let outcome = client.write(&index(), &NodeWrite::Clear { metadata: "m" }, Duration::from_millis(50));
    assert!(matches!(outcome, SendOutcome::Unclear(_)), "{outcome:?}");
}

#[test]
fn a_full_or_busy_node_is_told_from_a_refusal() {
    let busy = [
        answer("429 Too Many Requests", "Retry-After: 7\r\n", ""),
        answer("503 Service Unavailable", "retry-after: 7\r\n", "nginx"),
        answer("422 Unprocessable Entity", "retry-after: 7\r\n", &error_text("no_space_left_on_device")),
    ];
    for text in busy {
        let outcome = outcome_of(text);
        assert!(matches!(outcome, SendOutcome::Busy(_)), "{outcome:?}");
    }
    let outcome = outcome_of(answer("400 Bad Request", "", &error_text("invalid_settings_synonyms")));
    let SendOutcome::Refused { status: 400, error } = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.code, "invalid_settings_synonyms");
}

#[test]
fn documents_go_out_with_key_metadata_and_only_the_wanted_shards() {
    let (client, server) = serve_once(answer("202 Accepted", "", r#"{"taskUid":0}"#));
    let body = BodyParts::lines(&payload(), |shard| shard != ShardId(3));
    let write = NodeWrite::Put { mode: PutMode::Update, primary_key: Some("my id"), metadata: "miroir:7.2.9", body };
    assert_eq!(client.write(&index(), &write, TIMEOUT), SendOutcome::Registered(NodeTask(0)));
    let seen = server.join().unwrap();
    let first = "PUT /indexes/a-0/documents?customMetadata=miroir%3A7%2E2%2E9&primaryKey=my%20id HTTP/1.1\r\n";
    assert!(seen.head.starts_with(first), "{}", seen.head);
    assert!(seen.head.contains("authorization: Bearer key\r\n"), "{}", seen.head);
    assert!(seen.head.contains("content-type: application/x-ndjson\r\n"), "{}", seen.head);
    assert!(!seen.head.to_lowercase().contains("transfer-encoding"), "{}", seen.head);
    assert_eq!(seen.body, b"aacccc");
}

#[test]
fn ids_go_out_as_one_array() {
    let (client, server) = serve_once(answer("202 Accepted", "", r#"{"taskUid":0}"#));
    let body = BodyParts::array(&payload(), |_| true);
    client.write(&index(), &NodeWrite::Delete { metadata: "m", body }, TIMEOUT);
    assert_eq!(server.join().unwrap().body, b"[aa,bbb,cccc]");
}

#[test]
fn task_questions_name_what_they_select() {
    let query = NodeTaskQuery {
        from: Some(NodeTask(4)),
        limit: 2,
        reverse: true,
        statuses: vec![TaskStatus::Enqueued, TaskStatus::Processing],
        index: Some(index()),
        uids: vec![NodeTask(7), NodeTask(8)],
    };
    let path = "/tasks?limit=2&reverse=true&from=4&statuses=enqueued,processing&indexUids=a-0&uids=7,8";
    assert_eq!(query.path(), path);
}
