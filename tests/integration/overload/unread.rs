//! Answers that clients do not read, or a byte a second: they take memory until they are gone.

use std::io::Read;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::rig::{Reply, Row, Scale, Target, get_head, read_reply, tally, write_all};
use crate::support::now;

/// Goal: an answer takes memory until it is read, so answers that are read a byte a second, or not at all, are bounded: who
/// comes when no more fit gets 503, and who reads too slowly is cut off.
fn unread_answers(scale: Scale, bytes_per_second: usize) {
    // Answers are 4 MB.
    let (clients, max_mb, timeout) = scale.of((60, 160, 2), (500, 400, 60));
    let configuration = format!(
        "http: {{max_memory: {max_mb}MB, max_body: 4200KB, body_timeout: {timeout}s, idle_timeout: {timeout}s}}\n"
    );
    let target = Target::start(&configuration, (40, 100_000));
    let (request, is_over) = (get_head("/indexes/things/documents?limit=1000"), AtomicBool::new(false));
    let begun = now();
    let (statuses, read) = std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..clients)
            .map(|_| {
                let mut stream = target.connect();
                assert!(write_all(&mut stream, request.as_bytes()));
                stream
            })
            .collect();
        let searching = scope.spawn(|| {
            // What is small finds its way beside what is large.
            while !is_over.load(Ordering::Acquire) {
                assert_eq!(target.client().get("/health").status, 200);
                std::thread::park_timeout(Duration::from_millis(50));
            }
        });
        let mut statuses: Vec<u16> = Vec::new();
        let mut large: Vec<TcpStream> = Vec::new();
        for mut stream in waiting {
            let mut begin = [0; 12];
            stream.peek(&mut begin).expect("an answer begins");
            let status = String::from_utf8_lossy(&begin)[9..].parse().expect("a status");
            statuses.push(status);
            if status == 200 {
                large.push(stream);
            } else {
                assert!(matches!(read_reply(&mut stream), Reply::Answer { code, .. } if code == "miroir_overloaded"));
            }
        }
        let read = drip(&target, &large, bytes_per_second);
        is_over.store(true, Ordering::Release);
        searching.join().expect("it is answered meanwhile");
        (statuses, read)
    });
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(4 * timeout + 20), "cut off after {took:?}");
    let how = if bytes_per_second == 0 { "never read their answers" } else { "read a byte a second" };
    let short =
        if bytes_per_second == 0 { "answers_that_are_never_read_are_bounded" } else { "slow_readers_are_bounded" };
    let full = if bytes_per_second == 0 { "answers_that_are_never_read_in_full" } else { "slow_readers_in_full" };
    let row = Row {
        test: scale.of(short, full),
        thrown: format!("{clients} clients that ask for 4 MB each and {how}"),
        came_back: format!(
            "{}; cut off after {} s, {read} bytes read; others are answered meanwhile",
            tally(statuses),
            took.as_secs()
        ),
    };
    target.conclude(&row, 2 * max_mb + scale.of(40, 60));
}

/// Reads for some seconds, then waits until the server has closed all; how many bytes were read.
fn drip(target: &Target, streams: &[TcpStream], bytes_per_second: usize) -> usize {
    let mut read = 0;
    if bytes_per_second > 0 {
        let deadline = now() + Duration::from_secs(3);
        while now() < deadline {
            for mut stream in streams {
                read += stream.read(&mut vec![0; bytes_per_second]).expect("there is more");
            }
            std::thread::park_timeout(Duration::from_secs(1));
        }
    }
    target.wait_until_closed();
    read
}

#[test]
fn slow_readers_are_bounded() {
    unread_answers(Scale::Short, 1);
}

#[test]
#[ignore = "`make overload`"]
fn slow_readers_in_full() {
    unread_answers(Scale::Full, 1);
}

#[test]
fn answers_that_are_never_read_are_bounded() {
    unread_answers(Scale::Short, 0);
}

#[test]
#[ignore = "`make overload`"]
fn answers_that_are_never_read_in_full() {
    unread_answers(Scale::Full, 0);
}
