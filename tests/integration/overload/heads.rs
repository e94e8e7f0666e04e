//! Heads of requests: floods, framing that two readers could read differently, and more requests than answers are read.

use std::io::Write;
use std::net::TcpStream;

use super::rig::{Reply, Row, Scale, Target, get_head, line, read_reply, tally, write_all};

/// Beyond what there was before, in megabytes, for floods of heads.
const HEADS_BOUND_MB: u64 = 60;

/// Goal: heads that are too long or too many headers are refused after what they may have, not after what they have.
fn header_floods(scale: Scale) {
    let target = Target::start("http: {header_timeout: 2s}\n", (10, 10));
    let each = scale.of(20, 500);
    let searched = target.searched_meanwhile();
    let begun = line("GET", "/health");
    let floods = [
        ("200 headers", format!("{begun}{}\r\n", "a: b\r\n".repeat(200)), 431),
        ("a header of 1 MB", format!("{begun}a: {}\r\n\r\n", "x".repeat(1_000_000)), 431),
        ("a request line of 1 MB", format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(1_000_000)), 431),
        ("headers that do not end", format!("{begun}{}", "name: value\r\n".repeat(100_000)), 431),
        ("a head that stops in the middle", format!("{begun}a: "), 0),
    ];
    let mut came_back = Vec::new();
    for (name, head, expected) in floods {
        let mut streams: Vec<TcpStream> = (0..each).map(|_| target.connect()).collect();
        // The server closes before it has read everything.
        for stream in &mut streams {
            write_all(stream, head.as_bytes());
        }
        let statuses: Vec<u16> = streams.iter_mut().map(|stream| read_reply(stream).status()).collect();
        // Where the rest of a flood arrives after the close, the answer is lost with the connection.
        let is_good = |status: &u16| [expected, 0].contains(status);
        assert!(statuses.iter().all(is_good) && statuses.contains(&expected), "{name}: {statuses:?}");
        came_back.push(expected);
    }
    let row = Row {
        test: scale.of("header_floods_are_cut_off", "header_floods_in_full"),
        thrown: format!("{each} each: 200 headers, a header of 1 MB, a line of 1 MB, headers without end, half a head"),
        came_back: format!("431, or closed after `http.header_timeout`; {}", searched.end()),
    };
    target.conclude(&row, HEADS_BOUND_MB);
}

#[test]
fn header_floods_are_cut_off() {
    header_floods(Scale::Short);
}

#[test]
#[ignore = "`make overload`"]
fn header_floods_in_full() {
    header_floods(Scale::Full);
}

/// The statuses of all answers to a request and to a plain one behind it, after which the connection is to end.
fn statuses(target: &Target, request: &str) -> Vec<u16> {
    let mut stream = target.connect();
    write_all(&mut stream, request.as_bytes());
    write_all(&mut stream, format!("{}connection: close\r\n\r\n", line("GET", "/version")).as_bytes());
    let mut statuses = Vec::new();
    while let Reply::Answer { status, .. } = read_reply(&mut stream) {
        statuses.push(status);
    }
    statuses
}

/// Goal: what one reader could take for one request and another for two is one request here, or none. Method: the
/// smuggled request would delete the index; each probe is followed by a plain request.
#[test]
fn requests_that_could_be_read_in_two_ways_are_refused_or_read_in_one() {
    let target = Target::start("", (10, 10));
    let smuggled = format!("{}content-length: 0\r\n\r\n", line("DELETE", "/indexes/things"));
    let post = line("POST", "/indexes/things/search") + "content-type: application/json\r\n";
    let long = smuggled.len() + 2;
    let chunked = "transfer-encoding: chunked\r\n";
    let probes: Vec<(&str, String, &[u16])> = vec![
        ("two lengths", format!("{post}content-length: 2\r\ncontent-length: {long}\r\n\r\n{{}}{smuggled}"), &[400]),
        ("a list of lengths", format!("{post}content-length: 2, {long}\r\n\r\n{{}}{smuggled}"), &[400]),
        ("a signed length", format!("{post}content-length: +2\r\n\r\n{{}}{smuggled}"), &[400]),
        ("a length behind a space", format!("{post}content-length : 2\r\n\r\n{{}}{smuggled}"), &[400]),
        ("a folded length", format!("{post}content-length:\r\n {long}\r\n\r\n{{}}{smuggled}"), &[400]),
        // The body is what is chunked, and the connection ends with it.
        (
            "length and chunks",
            format!("{post}content-length: {long}\r\n{chunked}\r\n2\r\n{{}}\r\n0\r\n\r\n{smuggled}"),
            &[200],
        ),
        (
            "chunks and length",
            format!("{post}{chunked}content-length: 0\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{smuggled}"),
            &[200],
        ),
        (
            "chunked, not last",
            format!("{post}transfer-encoding: chunked, gzip\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{smuggled}"),
            &[400],
        ),
        (
            "another coding",
            format!("{post}transfer-encoding: xchunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{smuggled}"),
            &[400],
        ),
        ("a chunk too long", format!("{post}{chunked}\r\nfffffffffffffffff\r\n{{}}\r\n0\r\n\r\n{smuggled}"), &[]),
        ("a negative chunk", format!("{post}{chunked}\r\n-2\r\n{{}}\r\n0\r\n\r\n{smuggled}"), &[]),
        ("a chunk that is no number", format!("{post}{chunked}\r\n0x2\r\n{{}}\r\n0\r\n\r\n{smuggled}"), &[]),
        ("a chunk that ends elsewhere", format!("{post}{chunked}\r\n1\r\n{{}}\r\n0\r\n\r\n{smuggled}"), &[]),
        (
            "a line feed in a chunk's extension",
            format!("{post}{chunked}\r\n2;a\nb\r\n{{}}\r\n0\r\n\r\n{smuggled}"),
            &[],
        ),
        ("an endless extension", format!("{post}{chunked}\r\n2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(100_000)), &[]),
        ("a chunk with an extension", format!("{post}{chunked}\r\n2;a=b\r\n{{}}\r\n0\r\n\r\n"), &[200, 200]),
        ("a null in a value", format!("{post}a: \0\r\ncontent-length: 2\r\n\r\n{{}}{smuggled}"), &[400]),
        // Lines may end with a line feed alone: read so by everyone who takes it at all.
        ("line feeds alone", post.replace("\r\n", "\n") + "content-length: 2\n\n{}", &[200, 200]),
    ];
    for (name, request, expected) in &probes {
        assert_eq!(statuses(&target, request), *expected, "{name}");
    }
    let row = Row {
        test: "requests_that_could_be_read_in_two_ways_are_refused_or_read_in_one",
        thrown: format!(
            "{} framings that two readers could read differently, with a request smuggled in",
            probes.len()
        ),
        came_back: "400 and closed, closed, or read by chunks alone and closed; nothing smuggled was done".to_owned(),
    };
    target.conclude(&row, HEADS_BOUND_MB);
}

/// Goal: who sends requests without end and reads no answers is held up by itself alone.
fn pipelining(scale: Scale) {
    let target = Target::start("http: {body_timeout: 2s}\n", (200, 100));
    let clients = scale.of(3, 200);
    let request = get_head("/indexes/things/documents?limit=200").repeat(1_000);
    let searched = target.searched_meanwhile();
    let threads: Vec<_> = (0..clients)
        .map(|_| {
            let (mut stream, request) = (target.connect(), request.clone());
            std::thread::spawn(move || {
                let mut sent = 0;
                // The server stops reading when it cannot write, and closes in the end.
                while stream.write_all(request.as_bytes()).is_ok() {
                    sent += 1_000;
                    assert!(sent < 100_000_000, "requests are read without end");
                }
                sent
            })
        })
        .collect();
    let sent: usize = threads.into_iter().map(|thread| thread.join().expect("it is cut off")).sum();
    let row = Row {
        test: scale.of("pipelining_floods_hold_up_nobody_else", "pipelining_floods_in_full"),
        thrown: format!("{clients} clients that pipeline requests without end and read nothing"),
        came_back: format!("{sent} requests taken, then closed after `http.body_timeout`; {}", searched.end()),
    };
    target.conclude(&row, scale.of(60, 100));
}

#[test]
fn pipelining_floods_hold_up_nobody_else() {
    pipelining(Scale::Short);
}

#[test]
#[ignore = "`make overload`"]
fn pipelining_floods_in_full() {
    pipelining(Scale::Full);
}

/// Goal: pipelined requests are answered in order, all of them, to a client that reads.
#[test]
fn pipelined_requests_are_all_answered_in_order() {
    let target = Target::start("", (10, 10));
    let mut stream = target.connect();
    let targets = ["/health", "/nowhere", "/version"];
    let mut writer = stream.try_clone().expect("a socket can be used twice");
    let flood: String = (0..3_000).map(|place| get_head(targets[place % 3])).collect();
    let thread = std::thread::spawn(move || write_all(&mut writer, flood.as_bytes()));
    let answered: Vec<u16> = (0..3_000).map(|_| read_reply(&mut stream).status()).collect();
    assert!(thread.join().expect("it is all taken"));
    assert!(answered.chunks(3).all(|three| three == [200, 404, 200]), "{}", tally(answered));
}
