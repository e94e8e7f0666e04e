//! A fleet that is about to be overloaded, raw sockets to do it with, and what is measured meanwhile.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::fleet::MASTER_KEY;
use crate::support::{Answer, Client, Fleet, FleetOptions, now, wait_for};

/// How long anything of a test may take.
pub const LIMIT: Duration = Duration::from_mins(3);

/// How long a search may take beside an overload: the machine is busy with the overload too.
const SEARCH_LIMIT: Duration = Duration::from_secs(20);

/// Bytes of a megabyte.
pub const MB: usize = 1_000_000;

/// How much is thrown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// In every test run.
    Short,
    /// By `make overload`.
    Full,
}

impl Scale {
    /// One of two.
    pub fn of<T>(self, short: T, full: T) -> T {
        match self {
            Self::Short => short,
            Self::Full => full,
        }
    }
}

/// Documents of the index: one word each, a long one.
pub fn documents(count: usize, bytes: usize) -> Value {
    (0..count).map(|id| json!({"id": id, "text": "x".repeat(bytes)})).collect()
}

/// One node, Miroir in front of it, and an index `things`.
pub struct Target {
    /// All of it.
    pub fleet: Fleet,
    descriptors_before: usize,
    resident_before: u64,
    documents: u64,
}

impl Target {
    /// Starts with this configuration; the documents are of so many bytes each.
    pub fn start(configuration: &str, (count, bytes): (usize, usize)) -> Self {
        raise_descriptors();
        // Idle connections to the node would look like those of clients that are still open.
        let upstream = "upstream: {max_connections: 8}\n";
        let configuration = format!("cores: [0, 1]\nlog: {{level: warn}}\n{upstream}{configuration}");
        let options = FleetOptions { nodes: 1, replication_factor: 1, shards: 4, configuration, ..FleetOptions::new() };
        let fleet = Fleet::start(&options);
        fleet.client().write_well("POST", "/indexes/things/documents?primaryKey=id", Some(&documents(count, bytes)));
        let mut target = Self { fleet, descriptors_before: 0, resident_before: 0, documents: count as u64 };
        target.check_service();
        target.descriptors_before = target.descriptors();
        target.resident_before = target.status("VmRSS");
        target.reset_peak();
        target
    }

    /// A client of its own connections.
    pub fn client(&self) -> Client {
        self.fleet.client()
    }

    /// A connection; nothing waits for longer than a minute.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.fleet.port.address()).expect("the server accepts");
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a valid time-out");
        stream.set_write_timeout(Some(Duration::from_mins(1))).expect("a valid time-out");
        stream
    }

    fn pid(&self) -> u32 {
        self.fleet.miroir.as_ref().expect("it runs").pid()
    }

    /// A line of `/proc/PID/status`, in kilobytes.
    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("such a line");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    }

    /// What counts as the peak of memory begins now.
    pub fn reset_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").expect("the peak can be reset");
    }

    /// The peak of memory beyond what there was before, in megabytes.
    pub fn peak_mb(&self) -> u64 {
        self.status("VmHWM").saturating_sub(self.resident_before) * 1024 / MB as u64
    }

    /// Open file descriptors.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the process is there").count()
    }

    /// Searches and writes are answered as ever.
    pub fn check_service(&self) {
        let client = self.client();
        let body = json!({"q": "", "page": 1, "hitsPerPage": 1});
        let found = client.post("/indexes/things/search", &body).expect(200);
        assert_eq!(found.json["totalHits"].as_u64(), Some(self.documents), "{}", found.text);
        let body = json!([{"id": 0, "at": "any time"}]);
        // What waits is not measured again for every refusal: it says when to come back.
        wait_for("room for a write", LIMIT, || {
            let answer = client.ask("PUT", "/indexes/things/documents", Some(&body));
            if answer.status == 503 { Err(answer.text) } else { Ok(()) }
        });
        client.write_well("PUT", "/indexes/things/documents", Some(&body));
    }

    /// The service is there, memory stayed below the bound, and no descriptor is left behind. Prints the row.
    #[track_caller]
    pub fn conclude(&self, row: &Row, bound_mb: u64) {
        let peak = self.peak_mb();
        self.check_service();
        self.wait_until_closed();
        let Row { test, thrown, came_back } = row;
        eprintln!("| {thrown} | {came_back} | {peak} of {bound_mb} MB | `{test}` |");
        assert!(peak <= bound_mb, "{test}: {peak} MB, at most {bound_mb}");
    }

    /// Waits until the server has closed what clients have opened, but for a few.
    pub fn wait_until_closed(&self) {
        wait_for("descriptors that are given back", LIMIT, || {
            let left = self.descriptors();
            if left <= self.descriptors_before + 24 { Ok(()) } else { Err(format!("{left} descriptors")) }
        });
    }

    /// Searches one after the other until the end; each must be answered well and soon.
    pub fn searched_meanwhile(&self) -> Meanwhile {
        let (is_over, client) = (Arc::new(AtomicBool::new(false)), self.client());
        let seen = is_over.clone();
        let thread = std::thread::spawn(move || {
            let mut slowest = Duration::ZERO;
            let mut count = 0;
            while !seen.load(Ordering::Acquire) {
                let begun = now();
                client.post("/indexes/things/search", &json!({"q": "", "limit": 1})).expect(200);
                slowest = slowest.max(begun.elapsed());
                count += 1;
                std::thread::park_timeout(Duration::from_millis(20));
            }
            (count, slowest)
        });
        Meanwhile { is_over, thread }
    }
}

/// Searches beside an overload.
pub struct Meanwhile {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Duration)>,
}

impl Meanwhile {
    /// What they came to, in words.
    ///
    /// # Panics
    /// One was refused, or took too long.
    #[track_caller]
    pub fn end(self) -> String {
        self.is_over.store(true, Ordering::Release);
        let (count, slowest) = self.thread.join().expect("every search is answered");
        assert!(count > 0 && slowest < SEARCH_LIMIT, "{count} searches, the slowest took {slowest:?}");
        format!("{count} searches meanwhile, slowest {} ms", slowest.as_millis())
    }
}

/// A row of the table, but for what is measured.
pub struct Row {
    /// The test.
    pub test: &'static str,
    /// What was thrown.
    pub thrown: String,
    /// What came back.
    pub came_back: String,
}

/// The beginning of a request, with the key; headers and the empty line are to follow.
pub fn line(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {MASTER_KEY}\r\n")
}

/// The whole head of a request with a JSON body of so many bytes.
pub fn json_head(method: &str, target: &str, bytes: usize) -> String {
    format!("{}content-type: application/json\r\ncontent-length: {bytes}\r\n\r\n", line(method, target))
}

/// The whole head of a request without a body.
pub fn get_head(target: &str) -> String {
    format!("{}\r\n", line("GET", target))
}

/// What a server said on a raw connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// It closed the connection.
    Closed,
    /// It answered.
    Answer {
        /// The status.
        status: u16,
        /// `code` of an error, or empty.
        code: String,
        /// It will close the connection.
        is_last: bool,
        /// Bytes of the body.
        length: usize,
    },
}

impl Reply {
    /// 0: closed.
    pub fn status(&self) -> u16 {
        match self {
            Self::Closed => 0,
            Self::Answer { status, .. } => *status,
        }
    }
}

/// Reads one answer.
///
/// # Panics
/// Nothing comes for a minute, or it is no answer.
#[track_caller]
pub fn read_reply(stream: &mut TcpStream) -> Reply {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(0) => return Reply::Closed,
            Ok(_) => head.push(byte[0]),
            Err(error) if is_end(error.kind()) => return Reply::Closed,
            Err(error) => panic!("no answer: {error}"),
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    if let Err(error) = stream.read_exact(&mut body) {
        assert!(is_end(error.kind()), "no body: {error}");
        return Reply::Closed;
    }
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    let code = json["code"].as_str().unwrap_or_default().to_owned();
    Reply::Answer { status, code, is_last: head.contains("connection: close"), length: body.len() }
}

fn is_end(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof)
}

/// Writes as much as the server takes; false if it closed the connection meanwhile.
pub fn write_all(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    match stream.write_all(bytes) {
        Ok(()) => true,
        Err(error) if is_end(error.kind()) => false,
        Err(error) => panic!("the server does not read: {error}"),
    }
}

/// An error in the shape of Meilisearch.
#[track_caller]
pub fn check_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text);
    assert!(answer.json["message"].as_str().is_some_and(|message| !message.is_empty()), "{}", answer.text);
    assert_eq!(answer.json["link"], format!("https://docs.meilisearch.com/errors#{code}"));
}

/// How many of each.
pub fn tally<T: Ord + std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut counts = std::collections::BTreeMap::new();
    items.into_iter().for_each(|item| *counts.entry(item).or_insert(0) += 1);
    counts.iter().map(|(item, count)| format!("{count} × {item}")).collect::<Vec<_>>().join(", ")
}

/// This process needs a descriptor for each connection, too.
fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit is known");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("it may be raised");
}
