//! The load generator: searches over kept connections, closed loop or open loop.
//!
//! Closed loop: each connection sends the next request when it has the answer; this shows throughput. Open loop (`--rate`):
//! requests have times at which they should begin, and latency counts from that time, so that a stall is seen by all
//! requests that it delayed.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use argh::FromArgs;
use hdrhistogram::Histogram;
use may::net::TcpStream;
use miroir::telemetry::clock;

/// What is asked, again and again.
const BODY: &str = r#"{"q":"storm film","limit":20}"#;

/// put load on one address
#[derive(FromArgs)]
#[argh(subcommand, name = "load")]
pub struct Load {
    /// whom to ask
    #[argh(option)]
    target: SocketAddr,
    /// connections (default 32)
    #[argh(option, default = "32")]
    connections: usize,
    /// seconds (default 10)
    #[argh(option, default = "10.0")]
    seconds: f64,
    /// requests per second over all connections; without it as fast as the answers come
    #[argh(option)]
    rate: Option<f64>,
    /// the path (default /indexes/bench/search)
    #[argh(option, default = "\"/indexes/bench/search\".to_owned()")]
    path: String,
}

/// What one run is.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to ask.
    pub target: SocketAddr,
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// How long.
    pub duration: Duration,
    /// Requests per second over all connections; none: closed loop.
    pub rate: Option<f64>,
    /// The path.
    pub path: String,
}

/// What came of it.
#[derive(Debug)]
pub struct Measured {
    /// Microseconds.
    pub latency: Histogram<u64>,
    /// Of the requests themselves.
    pub elapsed: Duration,
    /// Bytes of one answer's body.
    pub answer_bytes: usize,
    /// Answers with another status than 200, and broken connections.
    pub errors: u64,
}

impl Measured {
    /// Requests per second.
    pub fn rate(&self) -> f64 {
        self.latency.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// A percentile in microseconds.
    pub fn percentile(&self, percent: f64) -> u64 {
        self.latency.value_at_quantile(percent / 100.0)
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are valid")
}

/// Reads one answer into `buffer`; its status and the length of its body.
fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<(u16, usize)> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut filled = 0;
    loop {
        if buffer.len() < filled + 16 * 1024 {
            buffer.resize(filled + 64 * 1024, 0);
        }
        let count = stream.read(&mut buffer[filled..])?;
        if count == 0 {
            return Err(broken("closed"));
        }
        filled += count;
        let Some(head_end) = memchr::memmem::find(&buffer[..filled], b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..head_end]).map_err(|_| broken("head"))?;
        let status = head.get(9..12).and_then(|text| text.parse().ok()).ok_or_else(|| broken("status"))?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let length = length.ok_or_else(|| broken("length"))?;
        while filled < head_end + 4 + length {
            if buffer.len() < head_end + 4 + length {
                buffer.resize(head_end + 4 + length, 0);
            }
            let count = stream.read(&mut buffer[filled..])?;
            if count == 0 {
                return Err(broken("closed"));
            }
            filled += count;
        }
        return Ok((status, length));
    }
}

struct Counted {
    latency: Histogram<u64>,
    answer_bytes: usize,
    errors: u64,
}

fn one_connection(plan: &Plan, number: usize, begun: Instant) -> Counted {
    let mut counted = Counted { latency: histogram(), answer_bytes: 0, errors: 0 };
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
        plan.path,
        plan.target,
        BODY.len()
    );
    let connect = || {
        let stream = TcpStream::connect(plan.target)?;
        stream.set_nodelay(true)?;
        Ok::<_, io::Error>(stream)
    };
    let interval = plan.rate.map(|rate| Duration::from_secs_f64(plan.connections as f64 / rate));
    let mut due =
        begun + interval.map_or(Duration::ZERO, |interval| interval * number as u32 / plan.connections as u32);
    let mut buffer = Vec::new();
    let Ok(mut stream) = connect() else {
        counted.errors += 1;
        return counted;
    };
    while begun.elapsed() < plan.duration {
        if let Some(interval) = interval {
            may::coroutine::sleep(due.saturating_duration_since(clock::instant()));
            due += interval;
        }
        let started = interval.map_or_else(clock::instant, |interval| due - interval);
        let answer = stream.write_all(request.as_bytes()).and_then(|()| read_answer(&mut stream, &mut buffer));
        if let Ok((200, length)) = answer {
            counted.answer_bytes = length;
        } else {
            counted.errors += 1;
            if answer.is_err() {
                let Ok(fresh) = connect() else { break };
                stream = fresh;
            }
        }
        counted.latency.saturating_record(started.elapsed().as_micros() as u64);
    }
    counted
}

/// Runs a plan to its end.
pub fn run(plan: &Plan) -> Measured {
    let begun = clock::instant();
    let connections: Vec<_> = (0..plan.connections)
        .map(|number| {
            let plan = plan.clone();
            may::go!(may::coroutine::Builder::new().stack_size(0x4000), move || one_connection(&plan, number, begun))
                .expect("a coroutine needs only memory")
        })
        .collect();
    let mut measured = Measured { latency: histogram(), elapsed: Duration::ZERO, answer_bytes: 0, errors: 0 };
    for connection in connections {
        let counted = connection.join().expect("a connection does not panic");
        measured.latency.add(&counted.latency).expect("the bounds are the same");
        measured.answer_bytes = measured.answer_bytes.max(counted.answer_bytes);
        measured.errors += counted.errors;
    }
    measured.elapsed = begun.elapsed();
    measured
}

/// One thread for all connections, so that the generator takes as little as it can from the others.
pub fn configure() {
    may::config().set_workers(1).set_worker_pin(false);
}

impl Load {
    /// Puts load and prints what it saw.
    pub fn run(self) -> crate::Outcome {
        configure();
        let plan = Plan {
            target: self.target,
            connections: self.connections,
            duration: Duration::from_secs_f64(self.seconds),
            rate: self.rate,
            path: self.path,
        };
        let measured = run(&plan);
        println!(
            "{:.0} requests/s, p50 {} us, p99 {} us, max {} us, {} bytes per answer, {} errors",
            measured.rate(),
            measured.percentile(50.0),
            measured.percentile(99.0),
            measured.latency.max(),
            measured.answer_bytes,
            measured.errors
        );
        Ok(())
    }
}
