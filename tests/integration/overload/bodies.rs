//! Bodies: as long as they may be and one byte longer, of what becomes large only in memory, compressed, and many at once.

use std::fmt::Write as _;
use std::net::TcpStream;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::rig::{MB, Reply, Row, Scale, Target, check_error, json_head, read_reply, tally, write_all};
use crate::support::Client;

const DOCUMENTS: &str = "/indexes/things/documents";
const SEARCH: &str = "/indexes/things/search";

/// A JSON body of so many bytes with documents of about 10 KB.
fn documents_of(bytes: usize) -> Vec<u8> {
    let mut body = String::from("[");
    let mut id = 1;
    while body.len() + 30_000 < bytes {
        write!(body, "{{\"id\":{id},\"text\":\"{}\"}},", "y".repeat(10_000)).expect("writing to a text cannot fail");
        // Not more documents than there are.
        id = id % 9 + 1;
    }
    let last =
        format!("{{\"id\":1,\"text\":\"{}\"}}]", "z".repeat(bytes - body.len() - "{\"id\":1,\"text\":\"\"}]".len()));
    body.push_str(&last);
    assert_eq!(body.len(), bytes);
    body.into_bytes()
}

fn send(client: &Client, target: &str, kind: &str, body: &[u8]) -> crate::support::Answer {
    client.send("POST", target, Some(kind), body).expect("an answer")
}

/// Goal: a body of documents may be as long as configured, and not a byte longer, whatever its framing and format.
fn documents_at_the_limit(scale: Scale) {
    let limit = scale.of(4 * MB, 100 * 1024 * 1024);
    let target = Target::start(&format!("http: {{max_body: {limit}, max_memory: {}}}\n", limit * 5), (10, 10));
    let searched = target.searched_meanwhile();
    let client = target.client();
    let body = documents_of(limit);
    let task = send(&client, DOCUMENTS, "application/json", &body).expect(202).json["taskUid"].as_u64();
    let longer = [&body[..], b" "].concat();
    for kind in ["application/json", "application/x-ndjson", "text/csv"] {
        check_error(&send(&client, DOCUMENTS, kind, &longer), 413, "payload_too_large");
    }
    // The same in chunks, whose sum nobody announces.
    let mut stream = target.connect();
    let head =
        super::rig::line("POST", DOCUMENTS) + "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    write_all(&mut stream, format!("{head}{:x}\r\n", longer.len()).as_bytes());
    write_all(&mut stream, &longer);
    assert_eq!(read_reply(&mut stream).status(), 413);
    let finished = client.wait_for_task(task.expect("a number"));
    assert_eq!(finished["status"], "succeeded", "{finished}");
    let row = Row {
        test: scale.of("documents_may_be_as_long_as_configured", "documents_of_100_mb_in_full"),
        thrown: format!("a body of documents of {limit} bytes (`http.max_body`), and four of one byte more"),
        came_back: format!("202 and indexed; 413 `payload_too_large`; {}", searched.end()),
    };
    target.conclude(&row, scale.of(60, 800));
}

#[test]
fn documents_may_be_as_long_as_configured() {
    documents_at_the_limit(Scale::Short);
}

#[test]
#[ignore = "`make overload`"]
fn documents_of_100_mb_in_full() {
    documents_at_the_limit(Scale::Full);
}

/// Goal: many long bodies at once take no more memory than they may: some are taken, others get 503, none is lost.
fn many_bodies_at_once(scale: Scale) {
    let (count, each, max) = scale.of((12, 2 * MB, 16 * MB), (40, 50 * MB, 500 * MB));
    let target = Target::start(&format!("http: {{max_body: {each}, max_memory: {max}}}\n"), (10, 10));
    let searched = target.searched_meanwhile();
    let body = documents_of(each);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let (target, body) = (&target, &body);
        let threads: Vec<_> = (0..count)
            .map(|_| scope.spawn(move || send(&target.client(), DOCUMENTS, "application/json", body)))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    let client = target.client();
    for answer in &answers {
        if answer.status == 202 {
            let task = client.wait_for_task(answer.json["taskUid"].as_u64().expect("a number"));
            assert_eq!(task["status"], "succeeded", "{task}");
        } else {
            check_error(answer, 503, "miroir_overloaded");
        }
    }
    let row = Row {
        test: scale.of("many_bodies_at_once_take_no_more_than_they_may", "many_bodies_in_full"),
        thrown: format!(
            "{count} bodies of {} MB at once, where {} MB may be in memory (`http.max_memory`)",
            each / MB,
            max / MB
        ),
        came_back: format!(
            "{}, all taken ones indexed; {}",
            tally(answers.iter().map(|answer| answer.status)),
            searched.end()
        ),
    };
    target.conclude(&row, 2 * (max / MB) as u64 + 60);
}

#[test]
fn many_bodies_at_once_take_no_more_than_they_may() {
    many_bodies_at_once(Scale::Short);
}

#[test]
#[ignore = "`make overload`"]
fn many_bodies_in_full() {
    many_bodies_at_once(Scale::Full);
}

/// Goal: bodies that are read in one go are bounded in length and in what they become, on every route. Method: as long as
/// they may be and one byte longer; a million values and more; a million levels.
fn other_json(scale: Scale) {
    let limit = scale.of(MB, 10 * 1024 * 1024);
    let target = Target::start(&format!("http: {{max_json_body: {limit}}}\n"), (10, 10));
    let searched = target.searched_meanwhile();
    let client = target.client();
    let post = |target: &str, body: &str| send(&client, target, "application/json", body.as_bytes());
    let long = |bytes: usize| format!("{{\"q\":\"{}\"}}", "x".repeat(bytes - 8));
    assert_eq!(post(SEARCH, &long(limit)).status, 200);
    for target in [SEARCH, "/multi-search", "/indexes", "/indexes/things/documents/delete", "/swap-indexes", "/keys"] {
        check_error(&post(target, &long(limit + 1)), 413, "payload_too_large");
    }
    let depth = scale.of(100_000, 1_000_000);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let fits = (limit - 10) / (open.len() + 1);
        check_error(&post(SEARCH, &deep(fits.min(depth - 10))), 400, "malformed_payload");
        let answer = post(DOCUMENTS, &format!("[{{\"id\":1,\"a\":{}}}]", deep(depth))).expect(202);
        let task = client.wait_for_task(answer.json["taskUid"].as_u64().expect("a number"));
        assert_eq!(
            task["error"]["message"].as_str().map(|text| text.contains("recursion limit")),
            Some(true),
            "{task}"
        );
        check_error(
            &post(&format!("{DOCUMENTS}/delete-batch"), &format!("[{}]", deep(depth))),
            400,
            "malformed_payload",
        );
    }
    let numbers = |count: usize| format!("{{\"attributesToRetrieve\":[{}1]}}", "1,".repeat(count));
    check_error(
        &post(SEARCH, &numbers(limit / 2 - 100)),
        scale.of(400, 413),
        scale.of("invalid_search_attributes_to_retrieve", "payload_too_large"),
    );
    check_error(&post(SEARCH, &numbers(limit.min(2 * MB) / 2 - 200)), 400, "invalid_search_attributes_to_retrieve");
    let row = Row {
        test: scale.of("bodies_that_are_read_in_one_go_are_bounded", "other_json_in_full"),
        thrown: format!(
            "JSON of {limit} bytes (`http.max_json_body`) and one more on six routes; {depth} levels; {} numbers",
            limit / 2
        ),
        came_back: format!(
            "200; 413 `payload_too_large`; 400 `malformed_payload`, failed tasks; {}; {}",
            scale.of("400", "413"),
            searched.end()
        ),
    };
    target.conclude(&row, scale.of(200, 300));
}

#[test]
fn bodies_that_are_read_in_one_go_are_bounded() {
    other_json(Scale::Short);
}

#[test]
#[ignore = "`make overload`"]
fn other_json_in_full() {
    other_json(Scale::Full);
}

/// Goal: documents and lists of ids that would be many times as long as a tree of values are never made one.
fn dense_documents(scale: Scale) {
    let bytes = scale.of(4 * MB, 100 * MB);
    let target = Target::start(&format!("http: {{max_body: {}}}\n", bytes + 1_000), (10, 10));
    let searched = target.searched_meanwhile();
    let client = target.client();
    let post = |target: &str, body: &str| send(&client, target, "application/json", body.as_bytes());
    let failed = |body: &str, code: &str| {
        let answer = post(DOCUMENTS, body).expect(202);
        let task = client.wait_for_task(answer.json["taskUid"].as_u64().expect("a number"));
        assert_eq!((&task["status"], &task["error"]["code"]), (&json!("failed"), &json!(code)));
        assert!(task.to_string().len() < 100_000, "{} bytes", task.to_string().len());
    };
    let numbers = "1,".repeat(bytes / 2 - 100);
    // Quoted by the error; read to its depths; read for its vectors; too many fields.
    failed(&format!("[{{\"a\":[{numbers}1]}}]"), "missing_document_id");
    failed(&format!("[{{\"id\":1,\"a\":[{}1e999]}}]", "[1],".repeat(bytes / 4 - 100)), "internal");
    failed(&format!("[{{\"id\":1,\"a\":1{}}}]", ",\"a\":1".repeat(bytes / 6 - 100)), "max_fields_limit_exceeded");
    if scale == Scale::Full {
        failed(&format!("[{{\"id\":1,\"_vectors\":{{\"a\":[{numbers}1]}}}}]"), "invalid_vectors_type");
    }
    let batch = format!("{DOCUMENTS}/delete-batch");
    assert_eq!(post(&batch, &format!("[[{numbers}1]]")).status, 202);
    check_error(&post(&batch, &format!("[{numbers}x]")), 400, "malformed_payload");
    let columns = format!("id{}\n1", ",a".repeat(bytes / 2 - 100));
    check_error(&send(&client, DOCUMENTS, "text/csv", columns.as_bytes()), 400, "malformed_payload");
    let row = Row {
        test: scale.of("dense_documents_are_never_made_trees_of_values", "dense_documents_in_full"),
        thrown: format!(
            "bodies of {} MB: documents, lists of ids and tables of numbers, fields and columns alone",
            bytes / MB
        ),
        came_back: format!("tasks failed as on one server, 400 `malformed_payload`, 202; {}", searched.end()),
    };
    target.conclude(&row, scale.of(80, 900));
}

#[test]
fn dense_documents_are_never_made_trees_of_values() {
    dense_documents(Scale::Short);
}

#[test]
#[ignore = "`make overload`"]
fn dense_documents_in_full() {
    dense_documents(Scale::Full);
}

fn bombs(bytes: usize) -> Vec<(&'static str, Vec<u8>)> {
    let zeros = vec![b' '; MB];
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let mut zstd = zstd::stream::Encoder::new(Vec::new(), 3).expect("a valid level");
    let mut brotli = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 24);
    for _ in 0..bytes / MB {
        let writers: [&mut dyn std::io::Write; 3] = [&mut gzip, &mut zstd, &mut brotli];
        for writer in writers {
            writer.write_all(&zeros).expect("writing to memory does not fail");
        }
    }
    let gzip = gzip.finish().expect("writing to memory does not fail");
    let zstd = zstd.finish().expect("writing to memory does not fail");
    vec![("gzip", gzip), ("zstd", zstd), ("br", brotli.into_inner())]
}

/// Goal: what a few bytes come to is bounded while it grows, however many come at once, and holds up nobody.
fn decompression_bombs(scale: Scale) {
    let (bytes, each) = scale.of((40 * MB, 4), (2_000 * MB, 20));
    let target = Target::start("http: {max_body: 20MB, max_memory: 200MB}\n", (10, 10));
    let searched = target.searched_meanwhile();
    let mut came_back = Vec::new();
    let mut sizes = Vec::new();
    for (coding, bomb) in bombs(bytes) {
        sizes.push(format!("{} KB of {coding}", bomb.len() / 1_000));
        for path in [DOCUMENTS, SEARCH] {
            let head = json_head("POST", path, bomb.len())
                .replace("host: x", &format!("host: x\r\ncontent-encoding: {coding}"));
            let mut streams: Vec<TcpStream> = (0..each).map(|_| target.connect()).collect();
            for stream in &mut streams {
                write_all(stream, head.as_bytes());
                write_all(stream, &bomb);
            }
            for stream in &mut streams {
                let reply = read_reply(stream);
                let is_clear = matches!(&reply, Reply::Answer { status: 413, code, .. } if code == "payload_too_large");
                assert!(is_clear, "{coding} to {path}: {reply:?}");
                came_back.push(reply.status());
            }
        }
    }
    let row = Row {
        test: scale.of("decompression_bombs_do_not_go_off", "decompression_bombs_in_full"),
        thrown: format!("{each} at once of {}, which come to {} MB each", sizes.join(", "), bytes / MB),
        came_back: format!("{}; {}", tally(came_back), searched.end()),
    };
    target.conclude(&row, scale.of(250, 300));
}

#[test]
fn decompression_bombs_do_not_go_off() {
    decompression_bombs(Scale::Short);
}

#[test]
#[ignore = "`make overload`"]
fn decompression_bombs_in_full() {
    decompression_bombs(Scale::Full);
}
