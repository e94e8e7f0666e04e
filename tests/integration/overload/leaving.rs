//! Clients that go away in the middle of what they send, or of what they asked for.

use std::io::Read;
use std::net::TcpStream;

use super::rig::{Row, Scale, Target, get_head, json_head, write_all};

/// Goal: what was taken for a client that goes away is given back at once. Method: rounds of clients that leave in the
/// middle of a body, of a large answer, and before any answer; memory for a few of them only.
fn leaving(scale: Scale) {
    let (rounds, each) = scale.of((4, 10), (60, 50));
    let target = Target::start("http: {max_memory: 40MB, max_body: 8MB}\n", (40, 100_000));
    let searched = target.searched_meanwhile();
    let body = vec![b' '; 4_000_000];
    let upload = json_head("POST", "/indexes/things/documents", 2 * body.len());
    let requests = [
        get_head("/indexes/things/documents?limit=1000"),
        get_head("/indexes/things/search?q=&limit=1000"),
        json_head("POST", "/multi-search", 45) + "{\"queries\":[{\"indexUid\":\"things\",\"limit\":500}]}",
    ];
    for round in 0..rounds {
        let mut streams: Vec<TcpStream> = (0..each).map(|_| target.connect()).collect();
        for (place, stream) in streams.iter_mut().enumerate() {
            match place % 4 {
                0 => {
                    write_all(stream, upload.as_bytes());
                    // One of them after the other finds room, or is refused.
                    write_all(stream, &body);
                }
                kind => {
                    write_all(stream, requests[kind - 1].as_bytes());
                    if round % 2 == 0 {
                        // Some go when the answer has begun.
                        stream.read_exact(&mut [0; 100]).expect("the answer begins");
                    }
                }
            }
        }
    }
    target.wait_until_closed();
    let row = Row {
        test: scale.of("clients_that_leave_leave_nothing_behind", "clients_that_leave_in_full"),
        thrown: format!("{} clients that go away in the middle of bodies and answers of 4 MB", rounds * each),
        came_back: format!("nobody is there to answer; {}", searched.end()),
    };
    target.conclude(&row, 130);
}

#[test]
fn clients_that_leave_leave_nothing_behind() {
    leaving(Scale::Short);
}

#[test]
#[ignore = "`make overload`"]
fn clients_that_leave_in_full() {
    leaving(Scale::Full);
}
