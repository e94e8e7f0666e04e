//! More searches than the nodes can answer, and searches for more than fits.

use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use super::rig::{MB, Reply, Row, Scale, Target, check_error, json_head, read_reply, tally, write_all};
use crate::support::now;

fn search_request(place: usize) -> String {
    let body = json!({"q": "", "page": 1, "hitsPerPage": place % 10}).to_string();
    json_head("POST", "/indexes/things/search", body.len()) + body.as_str()
}

/// The statuses of requests that are sent on all connections at once, several times.
fn flood(target: &Target, connections: usize, rounds: usize) -> Vec<u16> {
    let mut streams: Vec<TcpStream> = (0..connections).map(|_| target.connect()).collect();
    let mut statuses = Vec::new();
    for _ in 0..rounds {
        for (place, stream) in streams.iter_mut().enumerate() {
            assert!(write_all(stream, search_request(place).as_bytes()));
        }
        for stream in &mut streams {
            let reply = read_reply(stream);
            let is_clear = matches!(&reply, Reply::Answer { status: 200, .. })
                || matches!(&reply, Reply::Answer { status: 503, code, .. } if code.starts_with("miroir_"));
            assert!(is_clear, "{reply:?}");
            statuses.push(reply.status());
            if matches!(reply, Reply::Answer { is_last: true, .. }) {
                // Its body was not read.
                *stream = target.connect();
            }
        }
    }
    statuses
}

/// Goal: searches beyond what may be in progress are refused at once, the others are answered; so it is while the node
/// hangs, when all of them end at the deadline, and it is over when the node goes on.
fn search_flood(scale: Scale) {
    let (connections, in_flight, rounds) = scale.of((200, 60, 3), (5_000, 2_000, 10));
    let configuration = format!("http: {{max_in_flight: {in_flight}}}\nsearch: {{deadline: {}s}}\n", scale.of(2, 10));
    let target = Target::start(&configuration, (50, 1_000));
    let well = flood(&target, connections, rounds);
    assert!(well.contains(&200), "nobody is answered");
    let node = target.fleet.nodes[0].process.as_ref().expect("it runs");
    node.signal(Signal::SIGSTOP);
    let begun = now();
    let hanging = flood(&target, connections, 1);
    let took = begun.elapsed();
    // The first ones may have been answered before it hung.
    let answered = hanging.iter().filter(|status| **status == 200).count();
    assert!(answered < connections / 4 && took < Duration::from_secs(40), "{answered} are answered, {took:?}");
    node.signal(Signal::SIGCONT);
    target.fleet.nodes[0].client().wait_until_healthy(super::rig::LIMIT);
    let row = Row {
        test: scale.of("search_floods_are_refused_or_answered", "search_floods_in_full"),
        thrown: format!(
            "{connections} searches at once, {rounds} times, where {in_flight} may be in progress; then all while the node hangs"
        ),
        came_back: format!("{}; {} within {} s", tally(well), tally(hanging), took.as_secs()),
    };
    crate::support::wait_for("service as ever", super::rig::LIMIT, || {
        let answer = target.client().post("/indexes/things/search", &json!({"limit": 1}));
        if answer.status == 200 && answer.header("x-miroir-degraded").is_none() { Ok(()) } else { Err(answer.text) }
    });
    target.conclude(&row, scale.of(60, 400));
}

#[test]
fn search_floods_are_refused_or_answered() {
    search_flood(Scale::Short);
}

#[test]
#[ignore = "`make overload`"]
fn search_floods_in_full() {
    search_flood(Scale::Full);
}

/// Goal: searches of one request that find more than fits into memory, or take longer than they may, end with a clear
/// error and not with the process.
fn large_multi_searches(scale: Scale) {
    let (max_mb, count) = scale.of((32, 3), (256, 12));
    let configuration =
        format!("http: {{max_memory: {max_mb}MB, max_body: 6MB}}\nsearch: {{deadline: {}s}}\n", scale.of(2, 10));
    let target = Target::start(&configuration, (40, 100_000));
    let client = target.client();
    let many = |queries: usize, limit: usize| -> serde_json::Value {
        let query = json!({"indexUid": "things", "limit": limit});
        json!({"queries": vec![query; queries]})
    };
    assert_eq!(client.post("/multi-search", &many(3, 1)).status, 200);
    let body = many(scale.of(30, 300), 1_000).to_string();
    let request = json_head("POST", "/multi-search", body.len()) + body.as_str();
    let mut streams: Vec<TcpStream> = (0..count).map(|_| target.connect()).collect();
    for stream in &mut streams {
        assert!(write_all(stream, request.as_bytes()));
    }
    let statuses: Vec<u16> = streams.iter_mut().map(|stream| read_reply(stream).status()).collect();
    assert!(statuses.iter().all(|status| *status == 503), "{statuses:?}");
    // As many queries as a body may hold: they have the time of one search.
    let queries = scale.of(20_000, 10 * 1024 * 1024 / 40);
    let begun = now();
    let answer = client.post("/multi-search", &many(queries, 0));
    let took = begun.elapsed();
    assert!(matches!(answer.status, 200 | 503), "{}", answer.text);
    if answer.status == 503 {
        check_error(&answer, 503, answer.code());
    }
    let row = Row {
        test: scale.of("multi_searches_that_find_too_much_are_refused", "large_multi_searches_in_full"),
        thrown: format!(
            "{count} multi-searches at once of {} queries that find 4 MB each, where {max_mb} MB may be in memory; one of {queries} queries ({} MB)",
            scale.of(30, 300),
            many(queries, 0).to_string().len() / MB
        ),
        came_back: format!("{}; {} after {} s", tally(statuses), answer.status, took.as_secs()),
    };
    target.conclude(&row, 2 * max_mb + scale.of(100, 300));
}

#[test]
fn multi_searches_that_find_too_much_are_refused() {
    large_multi_searches(Scale::Short);
}

#[test]
#[ignore = "`make overload`"]
fn large_multi_searches_in_full() {
    large_multi_searches(Scale::Full);
}
