//! Real sockets against a real server with a handler that does what the path says.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use super::*;
use crate::data_plane::body::BodyUse;
use crate::data_plane::coding::{Coding, Decoding, Encoding};
use crate::data_plane::core::Timers;
use crate::data_plane::rt::ExecutorTimers;
use crate::data_plane::upstream::LocalFuture;
use crate::http_types::{Request, Response};

#[derive(Default)]
struct Scripted {
    /// Slow requests that were begun.
    slow: Arc<AtomicUsize>,
}

impl Handler for Scripted {
    fn admit(&self, head: &Request) -> Result<BodyUse, Response> {
        match head.path.as_str() {
            "/secret" => Err(Response::text(401, "no key")),
            "/json" => Ok(BodyUse::AtOnce),
            _ => Ok(BodyUse::InPieces),
        }
    }

    fn handle(&self, request: Request) -> LocalFuture<'_, Response> {
        Box::pin(async move {
            match request.path.as_str() {
                "/panic" => panic!("told to"),
                "/slow" => {
                    self.slow.fetch_add(1, Ordering::SeqCst);
                    let timers = ExecutorTimers;
                    timers.sleep_until(timers.now().plus_ms(300)).await;
                    Response::text(200, "slow")
                }
                "/large" => Response::text(200, vec![b'x'; 4 * 1024 * 1024]),
                _ => Response::text(200, format!("{} {} {}", request.method, request.path, request.body.len())),
            }
        })
    }
}

fn start_with(limits: HttpLimits, executors: usize) -> HttpServer {
    start_counting(limits, executors).0
}

/// The server, and how many slow requests it has begun.
fn start_counting(limits: HttpLimits, executors: usize) -> (HttpServer, Arc<AtomicUsize>) {
    start_within(limits, executors, Memory::new(1 << 30))
}

fn start_within(limits: HttpLimits, executors: usize, memory: Arc<Memory>) -> (HttpServer, Arc<AtomicUsize>) {
    let slow = Arc::new(AtomicUsize::new(0));
    let count = slow.clone();
    let address = "127.0.0.1:0".parse().unwrap();
    let options = ServerOptions { address, cores: Cores::Unpinned(executors), name: "test", limits, memory };
    let factory: HandlerFactory = Arc::new(move |_| Rc::new(Scripted { slow: count.clone() }));
    (BoundServer::bind(options).unwrap().start(&factory).unwrap(), slow)
}

fn start() -> HttpServer {
    start_with(HttpLimits::default(), 1)
}

fn connect(server: &HttpServer) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// One answer: status line and headers, and the body by its content-length.
fn read_answer(stream: &mut TcpStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).expect("a whole body");
    (head, String::from_utf8(body).unwrap())
}

fn ask(stream: &mut TcpStream, request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).unwrap();
    read_answer(stream)
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = clock::instant() + Duration::from_secs(10);
    while !condition() {
        assert!(clock::instant() < deadline, "{what} did not happen in time");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

#[test]
fn a_connection_is_kept_and_requests_may_be_pipelined() {
    let server = start();
    let mut stream = connect(&server);
    assert_eq!(ask(&mut stream, "GET /a HTTP/1.1\r\nhost: x\r\n\r\n").1, "GET /a 0");
    assert_eq!(ask(&mut stream, "POST /b?q HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc").1, "POST /b 3");
    let two = "GET /c HTTP/1.1\r\nhost: x\r\n\r\nGET /d HTTP/1.1\r\nhost: x\r\n\r\n";
    assert_eq!(ask(&mut stream, two).1, "GET /c 0");
    assert_eq!(read_answer(&mut stream).1, "GET /d 0");
    let chunked = "PUT /e HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n";
    assert_eq!(ask(&mut stream, chunked).1, "PUT /e 5");
}

#[test]
fn a_body_over_the_limit_is_refused_and_the_answer_arrives() {
    let server = start_with(HttpLimits { body_max_bytes: 1024 * 1024, ..HttpLimits::default() }, 1);
    let body = "x".repeat(3 * 1024 * 1024);
    for framing in
        [format!("content-length: {}\r\n\r\n", body.len()), "transfer-encoding: chunked\r\n\r\n300000\r\n".into()]
    {
        let mut stream = connect(&server);
        stream.write_all(format!("POST /a HTTP/1.1\r\nhost: x\r\n{framing}").as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).expect("the server reads on while the client writes");
        let (head, body) = read_answer(&mut stream);
        assert!(head.starts_with("HTTP/1.1 413"), "{head}");
        assert_eq!(
            body,
            r#"{"message":"The provided payload reached the size limit. The maximum accepted payload size is 1 MiB.","code":"payload_too_large","type":"invalid_request","link":"https://docs.meilisearch.com/errors#payload_too_large"}"#
        );
    }
}

#[test]
fn an_announced_body_that_does_not_come_keeps_nobody_else_out() {
    let (server, _) = start_within(HttpLimits::default(), 1, Memory::new(100));
    let _waiting: Vec<TcpStream> = (0..5)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 80\r\n\r\nab").unwrap();
            stream
        })
        .collect();
    wait_for("the connections", || server.connections() == 5);
    let body = "x".repeat(60);
    let request = format!("POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 60\r\n\r\n{body}");
    assert_eq!(ask(&mut connect(&server), &request).1, "POST /b 60");
    // What has come counts.
    let (head, _) = ask(&mut connect(&server), &request.replace("60", "99").replace(&body, &"x".repeat(99)));
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
}

#[test]
fn who_may_not_ask_is_answered_before_the_body_has_come() {
    let server = start_with(HttpLimits { body_max_bytes: 1024, ..HttpLimits::default() }, 1);
    let mut stream = connect(&server);
    let (head, body) = ask(&mut stream, "POST /secret HTTP/1.1\r\nhost: x\r\ncontent-length: 2000\r\n\r\nab");
    assert!(head.starts_with("HTTP/1.1 401") && head.contains("connection: close"), "{head}");
    assert_eq!(body, "no key");
    assert!(is_closed(&mut stream));
}

#[test]
fn malformed_requests_are_refused_and_the_connection_is_closed() {
    let many_headers = "h: x\r\n".repeat(200);
    let table = [
        ("nonsense\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\n{many_headers}\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", "x".repeat(200_000)), "431"),
    ];
    let server = start();
    for (request, status) in table {
        let mut stream = connect(&server);
        // The server may close before it has read everything.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let shown: String = request.chars().take(60).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown}: {answer}");
    }
    assert_eq!(ask(&mut connect(&server), "GET /a HTTP/1.1\r\nhost: x\r\n\r\n").1, "GET /a 0");
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_nothing_behind() {
    let server = start();
    for part in
        ["POST /a HTTP/1.1\r\nhost: x\r\ncontent-le", "POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab"]
    {
        let mut stream = connect(&server);
        stream.write_all(part.as_bytes()).unwrap();
        wait_for("the connection", || server.connections() == 1);
        drop(stream);
        wait_for("the end of the connection", || server.connections() == 0);
    }
    let mut stream = connect(&server);
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    drop(stream);
    wait_for("the end of the connection", || server.connections() == 0);
}

#[test]
fn slow_clients_are_cut_off() {
    let limits = HttpLimits {
        head_timeout_ms: 200,
        idle_timeout_ms: 200,
        transfer_timeout_ms: 200,
        bytes_per_ms_min: 1_000_000,
        ..HttpLimits::default()
    };
    let server = start_with(limits, 1);
    for part in ["", "GET / HT", "POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab"] {
        let mut stream = connect(&server);
        stream.write_all(part.as_bytes()).unwrap();
        assert!(is_closed(&mut stream), "{part:?}");
    }
    // A client that does not read its answer: more than the socket buffers take.
    let mut stream = connect(&server);
    for _ in 0..8 {
        stream.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    }
    wait_for("the end of the connection", || server.connections() == 0);
}

#[test]
fn a_panic_is_an_answer_and_the_server_goes_on() {
    let server = start();
    let mut stream = connect(&server);
    let (head, body) = ask(&mut stream, "GET /panic HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 500"), "{head}");
    assert!(body.contains(r#""code":"internal","type":"internal""#), "{body}");
    assert_eq!(ask(&mut stream, "GET /a HTTP/1.1\r\nhost: x\r\n\r\n").1, "GET /a 0");
    assert!(server.deaths().is_empty());
}

#[test]
fn a_stop_answers_what_is_in_progress_and_closes_the_rest() {
    let (mut server, begun_slow) = start_counting(HttpLimits::default(), 2);
    let mut idle = connect(&server);
    ask(&mut idle, "GET /a HTTP/1.1\r\nhost: x\r\n\r\n");
    let mut busy = connect(&server);
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    wait_for("the slow request", || begun_slow.load(Ordering::SeqCst) == 1);
    assert_eq!(server.connections(), 2);
    let address = server.address();
    let begun: Instant = clock::instant();
    server.stop(Duration::from_secs(10));
    assert!(begun.elapsed() < Duration::from_secs(5));
    let (head, body) = read_answer(&mut busy);
    assert_eq!(body, "slow");
    assert!(head.contains("connection: close"), "{head}");
    assert!(is_closed(&mut idle));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_drain_ends_at_its_deadline() {
    let mut server = start();
    let mut stuck = connect(&server);
    stuck.write_all(b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab").unwrap();
    wait_for("the connection", || server.connections() == 1);
    let begun = clock::instant();
    server.stop(Duration::from_millis(200));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(is_closed(&mut stuck));
}

#[test]
fn a_second_start_on_the_address_is_refused() {
    let server = start();
    let options = ServerOptions {
        address: server.address(),
        cores: Cores::Unpinned(1),
        name: "second",
        limits: HttpLimits::default(),
        memory: Memory::new(1 << 30),
    };
    let error = BoundServer::bind(options).unwrap_err();
    assert!(matches!(error, ServeError::Listen(ListenError::InUse { .. })), "{error}");
}

#[test]
fn too_much_at_once_is_answered_with_503() {
    let limits = HttpLimits { connections_max: 3, requests_max_per_core: 1, ..HttpLimits::default() };
    let (server, begun_slow) = start_counting(limits, 1);
    let mut first = connect(&server);
    first.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    wait_for("the slow request", || begun_slow.load(Ordering::SeqCst) == 1);
    let mut second = connect(&server);
    let (head, body) = ask(&mut second, "GET /a HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 503") && head.contains("retry-after"), "{head}");
    assert!(body.contains("miroir_overloaded"), "{body}");
    assert_eq!(read_answer(&mut first).1, "slow");
    let _third = connect(&server);
    wait_for("as many connections as allowed", || server.connections() == 3);
    let (head, body) = read_answer(&mut connect(&server));
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
}

#[test]
fn connections_are_spread_over_the_executors() {
    let server = start_with(HttpLimits::default(), 2);
    let _open: Vec<_> = (0..6)
        .map(|_| {
            let mut stream = connect(&server);
            ask(&mut stream, "GET /a HTTP/1.1\r\nhost: x\r\n\r\n");
            stream
        })
        .collect();
    assert_eq!(server.mailboxes.iter().map(|mailbox| mailbox.connections()).collect::<Vec<_>>(), [3, 3]);
}

/// Goal: compressed bodies are read, bounded by what they come to, and answers are compressed for who likes that.
#[test]
fn bodies_are_compressed_both_ways() {
    let limits = HttpLimits { body_max_bytes: 100_000, ..HttpLimits::default() };
    let server = start_with(limits, 1);
    let post = |coding: &str, body: &[u8]| {
        let mut stream = connect(&server);
        let head = format!("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-encoding: {coding}\r\n");
        write!(stream, "{head}content-length: {}\r\n\r\n", body.len()).unwrap();
        stream.write_all(body).unwrap();
        read_answer(&mut stream)
    };
    let mut encoding = Encoding::new(Coding::Gzip).unwrap();
    encoding.push(&vec![b' '; 100_000]);
    let mut body = encoding.finish();
    assert_eq!(post("gzip", &body).1, "POST /echo 100000");
    assert_eq!(post("lz4", &body).1, format!("POST /echo {}", body.len()), "what nobody knows is not decoded");
    body.truncate(body.len() - 3);
    let (head, answer) = post("gzip", &body);
    assert!(head.starts_with("HTTP/1.1 400") && answer.contains("incomplete"), "{head}{answer}");
    let bomb = zstd::stream::encode_all(&vec![0; 100_001][..], 19).unwrap();
    let (head, answer) = post("zstd", &bomb);
    assert!(head.starts_with("HTTP/1.1 413") && answer.contains("payload_too_large"), "{head}{answer}");

    let get = |accepted: &str| {
        let mut stream = connect(&server);
        write!(stream, "GET /large HTTP/1.1\r\nhost: a\r\naccept-encoding: {accepted}\r\n\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        (head, body)
    };
    for coding in Coding::OF_ANSWERS {
        let (head, body) = get(coding.name());
        assert!(head.contains(&format!("content-encoding: {}\r\nvary: accept-encoding", coding.name())), "{head}");
        let mut decoding = Decoding::new(coding, &body).unwrap();
        while decoding.step().unwrap().is_some() {}
        assert_eq!(decoding.into_decoded(), vec![b'x'; 4 * 1024 * 1024]);
    }
    assert!(get("*;q=0").0.starts_with("HTTP/1.1 406"));
    assert!(!get("identity").0.contains("content-encoding"));
}
