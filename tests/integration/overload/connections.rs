//! Connections: very many that are idle, and clients that send or read a byte a second.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use super::rig::{LIMIT, Reply, Row, Scale, Target, get_head, json_head, read_reply, write_all};
use crate::support::now;

/// Goal: idle connections cost little, and those past the limit are told so. Method: as many as there may be but for a
/// few, each of which has asked something once; then more than that.
fn idle_connections(scale: Scale) {
    let count = scale.of(1_000, 10_000);
    let max = count + 50;
    let target = Target::start(&format!("http: {{max_connections: {max}}}\n"), (10, 10));
    let mut idle: Vec<TcpStream> = (0..count)
        .map(|_| {
            let mut stream = target.connect();
            write_all(&mut stream, get_head("/health").as_bytes());
            stream
        })
        .collect();
    let answered = idle.iter_mut().map(read_reply).filter(|reply| reply.status() == 200).count();
    assert_eq!(answered, count);
    let descriptors = target.descriptors();
    target.check_service();
    let peak = target.peak_mb();
    let more: Vec<TcpStream> = (0..100).map(|_| target.connect()).collect();
    let refused = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a valid time-out");
        stream.peek(&mut [0]).is_ok()
    };
    let replies: Vec<Reply> =
        more.into_iter().filter_map(|mut stream| refused(&mut stream).then(|| read_reply(&mut stream))).collect();
    let is_clear =
        |reply: &Reply| matches!(reply, Reply::Answer { status: 503, code, .. } if code == "miroir_overloaded");
    assert!(replies.len() >= 50 && replies.iter().all(is_clear), "{replies:?}");
    drop(idle);
    let row = Row {
        test: scale.of("idle_connections_cost_little", "idle_connections_in_full"),
        thrown: format!("{count} idle connections, then 100 past `http.max_connections`"),
        came_back: format!(
            "200 to all, service meanwhile; then {} × 503; {peak} MB, {descriptors} descriptors while open",
            replies.len()
        ),
    };
    target.conclude(&row, scale.of(60, 250));
}

#[test]
fn idle_connections_cost_little() {
    idle_connections(Scale::Short);
}

#[test]
#[ignore = "`make overload`"]
fn idle_connections_in_full() {
    idle_connections(Scale::Full);
}

/// Goal: clients that send a byte a second hold up nobody, however many of them: not even when there are more of them than
/// requests that may be worked on. They are cut off in the end.
fn slow_writers(scale: Scale) {
    // So many connections, and fewer requests in progress.
    let (count, in_flight, timeout) = scale.of((200, 50, 2), (4_000, 2_000, 60));
    let configuration =
        format!("http: {{max_in_flight: {in_flight}, header_timeout: {timeout}s, body_timeout: {timeout}s}}\n");
    let target = Target::start(&configuration, (10, 10));
    let head = json_head("POST", "/indexes/things/documents", 100_000);
    let mut streams: Vec<TcpStream> = (0..count).map(|_| target.connect()).collect();
    for (place, stream) in streams.iter_mut().enumerate() {
        // Every other one is still at its head.
        let begun = if place % 2 == 0 { &head[..] } else { &head[..head.len() - 10] };
        assert!(write_all(stream, begun.as_bytes()));
    }
    let searched = target.searched_meanwhile();
    let (begun, mut cut_off) = (now(), 0);
    while !streams.is_empty() {
        assert!(begun.elapsed() < LIMIT, "{} are still open", streams.len());
        // Within a body white space, within a head a header.
        streams.retain_mut(|stream| stream.write_all(b" ").is_ok());
        cut_off = count - streams.len();
        target.client().write_well("PUT", "/indexes/things/documents", Some(&serde_json::json!([{"id": 1}])));
        std::thread::park_timeout(Duration::from_secs(1));
    }
    let row = Row {
        test: scale.of("slow_writers_hold_up_nobody", "slow_writers_in_full"),
        thrown: format!("{count} clients that send a byte a second, where {in_flight} requests may be in progress"),
        came_back: format!("{cut_off} closed after the time-outs ({timeout} s); writes and {}", searched.end()),
    };
    target.conclude(&row, scale.of(30, 150));
}

#[test]
fn slow_writers_hold_up_nobody() {
    slow_writers(Scale::Short);
}

#[test]
#[ignore = "`make overload`"]
fn slow_writers_in_full() {
    slow_writers(Scale::Full);
}
