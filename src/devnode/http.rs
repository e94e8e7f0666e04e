//! Requests and answers of the embedded node over `may_minihttp`.
//!
//! Connections live on coroutines with small stacks, so they only read the request and write the answer; the work is
//! done by a pool of plain threads, which may block on locks and disk.
//!
//! Limits of `may_minihttp`: at most 16 headers, no chunked bodies (such a request is answered 411 where it can be),
//! no time-outs. Its accept loop has no stop: [`Listener::stop`] makes the service factory unwind, which drops the
//! loop with its socket. A connection of a stopped server is shut down, never answered by a dead node.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};
use flate2::read::GzDecoder;
use may_minihttp::{HttpService, HttpServiceFactory};
use nix::sys::socket::{self, AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, SockaddrIn, SockaddrIn6, sockopt};
use parking_lot::Mutex;
use serde::Serialize;

use crate::meili::error::{ApiError, Code};

/// Threads that run handlers.
const WORKERS: usize = 4;
/// Stack of a connection's coroutine, in machine words.
const COROUTINE_STACK_WORDS: usize = 0x8000;

/// One request, read whole.
pub struct Request {
    /// Upper case.
    pub method: String,
    /// The target up to `?`, as sent.
    pub path: String,
    /// The target after `?`, as sent.
    pub query: String,
    /// Value of `Content-Type`.
    pub content_type: Option<String>,
    /// Value of `Authorization`.
    pub authorization: Option<String>,
    /// The body; `Err` when it must not be looked at.
    pub body: Result<Vec<u8>, ApiError>,
}

/// One answer.
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// JSON, or empty.
    pub body: Vec<u8>,
    /// An `Allow` header line for 405.
    pub allow: Option<&'static str>,
}

impl Response {
    /// An answer with a JSON body.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("plain values with text keys serialize");
        Self { status, body, allow: None }
    }

    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self { status, body: Vec::new(), allow: None }
    }
}

impl From<ApiError> for Response {
    fn from(error: ApiError) -> Self {
        Self::json(error.status(), &error.body())
    }
}

/// What answers requests; runs on the pool's threads.
pub type Handler = Arc<dyn Fn(Request) -> Response + Send + Sync>;

struct Job {
    request: Request,
    reply: may::sync::mpsc::Sender<Response>,
}

/// State that the accept loop, the connections and the owner share.
struct Shared {
    stopping: AtomicBool,
    /// Sockets of live connections; a socket is in here only while its coroutine owns it.
    connections: Mutex<BTreeSet<i32>>,
    jobs: Mutex<Option<Sender<Job>>>,
    body_bytes_max: usize,
}

/// A listening socket with its accept loop and its threads.
pub struct Listener {
    address: SocketAddr,
    shared: Arc<Shared>,
    accept_loop: Option<may::coroutine::JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
}

impl Listener {
    /// Binds `address` (port 0 chooses a free one) and answers requests by `handler` until [`Listener::stop`].
    ///
    /// # Errors
    /// The address is in use or not ours.
    pub fn start(address: SocketAddr, handler: &Handler, body_bytes_max: usize) -> io::Result<Self> {
        may::config().set_stack_size(COROUTINE_STACK_WORDS);
        may::config().set_worker_pin(false);
        // may binds with SO_REUSEPORT: two servers would share a port silently. A plain bind finds out, and for port 0
        // a bound socket that never listens keeps the chosen number ours until may has it.
        drop(TcpListener::bind(address)?);
        let reserved = reserve(address)?;
        let (jobs, queue) = unbounded();
        let shared = Arc::new(Shared {
            stopping: AtomicBool::new(false),
            connections: Mutex::new(BTreeSet::new()),
            jobs: Mutex::new(Some(jobs)),
            body_bytes_max,
        });
        let workers =
            (0..WORKERS).map(|_| spawn_worker(queue.clone(), Arc::clone(handler))).collect::<Result<_, _>>()?;
        let accept_loop = Connections { shared: Arc::clone(&shared) }.start(reserved.address)?;
        Ok(Self { address: reserved.address, shared, accept_loop: Some(accept_loop), workers })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the socket and every connection, and waits for running handlers. Their answers are lost.
    pub fn stop(&mut self) {
        let Some(accept_loop) = self.accept_loop.take() else { return };
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the accept loop, whose next connection unwinds it.
        drop(TcpStream::connect_timeout(&wake_address(self.address), Duration::from_secs(5)));
        // The join answers with the payload of the unwinding.
        let _unwound = accept_loop.join();
        self.shared.jobs.lock().take();
        for &socket in self.shared.connections.lock().iter() {
            // A peer that is already gone is no problem.
            let _gone = socket::shutdown(socket, Shutdown::Both);
        }
        for worker in self.workers.drain(..) {
            // A worker that panicked has been reported by the panic itself.
            let _panicked = worker.join();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

fn wake_address(address: SocketAddr) -> SocketAddr {
    let mut wake = address;
    if address.ip().is_unspecified() {
        match address {
            SocketAddr::V4(_) => wake.set_ip(std::net::Ipv4Addr::LOCALHOST.into()),
            SocketAddr::V6(_) => wake.set_ip(std::net::Ipv6Addr::LOCALHOST.into()),
        }
    }
    wake
}

/// A bound socket that does not listen.
struct Reserved {
    address: SocketAddr,
    _socket: std::os::fd::OwnedFd,
}

fn reserve(address: SocketAddr) -> io::Result<Reserved> {
    use std::os::fd::AsRawFd;
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    socket::setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    socket::setsockopt(&socket, sockopt::ReusePort, &true)?;
    match address {
        SocketAddr::V4(address) => socket::bind(socket.as_raw_fd(), &SockaddrIn::from(address))?,
        SocketAddr::V6(address) => socket::bind(socket.as_raw_fd(), &SockaddrIn6::from(address))?,
    }
    // std reads the number that the kernel chose.
    let address = TcpListener::from(socket.try_clone()?).local_addr()?;
    Ok(Reserved { address, _socket: socket })
}

fn spawn_worker(queue: Receiver<Job>, handler: Handler) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("devnode-http".to_owned()).spawn(move || {
        while let Ok(job) = queue.recv() {
            let response = handler(job.request);
            // The connection may be gone.
            let _gone = job.reply.send(response);
        }
    })
}

/// Makes one service per connection.
struct Connections {
    shared: Arc<Shared>,
}

impl HttpServiceFactory for Connections {
    type Service = Connection;

    fn new_service(&self, id: usize) -> Connection {
        if self.shared.stopping.load(Ordering::SeqCst) {
            resume_unwind(Box::new("the server stops"));
        }
        let socket = i32::try_from(id).expect("the id is the socket's descriptor");
        self.shared.connections.lock().insert(socket);
        Connection { socket, shared: Arc::clone(&self.shared) }
    }
}

/// One connection, on its coroutine.
struct Connection {
    socket: i32,
    shared: Arc<Shared>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Before the stream is closed, so that a number in the set is always an open socket of ours.
        self.shared.connections.lock().remove(&self.socket);
    }
}

impl HttpService for Connection {
    fn call(&mut self, request: may_minihttp::Request, response: &mut may_minihttp::Response) -> io::Result<()> {
        let head_only = request.method() == "HEAD";
        let request = self.read(request)?;
        let answer = self.answer(request)?;
        response.status_code(usize::from(answer.status), reason(answer.status));
        if !answer.body.is_empty() {
            response.header("Content-Type: application/json");
        }
        if let Some(allow) = answer.allow {
            response.header(allow);
        }
        if !head_only {
            response.body_vec(answer.body);
        }
        Ok(())
    }
}

impl Connection {
    fn read(&self, request: may_minihttp::Request) -> io::Result<Request> {
        let (path, query) = request.path().split_once('?').unwrap_or((request.path(), ""));
        let mut read = Request {
            method: request.method().to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            content_type: None,
            authorization: None,
            body: Ok(Vec::new()),
        };
        let mut length = 0_usize;
        let (mut expects_continue, mut is_gzip) = (false, false);
        for header in request.headers() {
            let value = String::from_utf8_lossy(header.value).trim().to_owned();
            match header.name.to_ascii_lowercase().as_str() {
                "content-type" => read.content_type = Some(value),
                "authorization" => read.authorization = Some(value),
                "content-length" => length = value.parse().unwrap_or(0),
                "expect" => expects_continue = value.eq_ignore_ascii_case("100-continue"),
                "transfer-encoding" => {
                    read.body = Err(ApiError::new(Code::BadRequest, "The development node reads no chunked bodies."));
                }
                "content-encoding" if value.eq_ignore_ascii_case("gzip") => is_gzip = true,
                "content-encoding" if !value.eq_ignore_ascii_case("identity") => {
                    read.body = Err(ApiError::new(
                        Code::MiroirNotSupported,
                        "The development node reads no compressed bodies but those in gzip.",
                    ));
                }
                _ => {}
            }
        }
        if expects_continue && length > 0 {
            socket::send(self.socket, b"HTTP/1.1 100 Continue\r\n\r\n", MsgFlags::MSG_NOSIGNAL)?;
        }
        if length > self.shared.body_bytes_max {
            read.body = Err(ApiError::payload_too_large(self.shared.body_bytes_max as u64));
        }
        // Dropping the reader skips what is not read.
        let mut body = request.body();
        if let Ok(bytes) = &mut read.body {
            bytes.reserve_exact(length);
            body.read_to_end(bytes)?;
            if bytes.len() != length {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the client went away within its request"));
            }
        }
        if is_gzip {
            read.body = read.body.and_then(|bytes| plain(&bytes, self.shared.body_bytes_max));
        }
        Ok(read)
    }

    fn answer(&self, request: Request) -> io::Result<Response> {
        let (reply, answer) = may::sync::mpsc::channel();
        let sent = self.shared.jobs.lock().as_ref().is_some_and(|jobs| jobs.send(Job { request, reply }).is_ok());
        let answer = if sent { answer.recv().ok() } else { None };
        if self.shared.stopping.load(Ordering::SeqCst) {
            resume_unwind(Box::new("the server stops"));
        }
        answer.ok_or_else(|| io::Error::other("the handler failed"))
    }
}

fn plain(gzip: &[u8], bytes_max: usize) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    let read = GzDecoder::new(gzip).take(bytes_max as u64 + 1).read_to_end(&mut bytes);
    match read {
        Ok(length) if length > bytes_max => Err(ApiError::payload_too_large(bytes_max as u64)),
        Ok(_) => Ok(bytes),
        Err(error) => Err(ApiError::new(Code::BadRequest, format!("The body is no gzip: {error}"))),
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Payload Too Large",
        415 => "Unsupported Media Type",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Status",
    }
}
