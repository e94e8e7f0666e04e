//! One client's connection: hyper's HTTP/1 server, around it our limits, deadlines and the containment of panics.
//!
//! Framing, keep-alive and smuggling rules are hyper's. A body is read whole, bounded, before the handler runs; but only
//! after the handler has looked at the head. Who sends slowly holds up nobody: a request counts as worked on when all of
//! it is there.
//!
//! Cancel safety: when the client goes away, the handler's future is dropped where it waits.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_ENCODING, HeaderName, HeaderValue, RETRY_AFTER, VARY};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;

use super::body::{BodyReader, BodyUse, Refused};
use super::coding::{Accepted, Coding, Encoding, STEP_BYTES};
use super::core::Timers;
use super::lifetime::{HttpLimits, Lifetime, Lifetimes, Phase};
use super::pieces::{More, Pieces};
use super::places::Places;
use super::rt::{self, ExecutorTimers};
use super::socket::Socket;
use super::upstream::LocalFuture;
use crate::bridge::memory::{Memory, Share};
use crate::http_types::{Request, Response, Stream};
use crate::meili::error::{ApiError, Code};

/// Reads of unwanted bytes before others get their turn.
const DISCARDS_PER_TURN: usize = 8;
/// Decoders that a core has at work at a time; each may need 16 MiB.
const DECODERS_MAX: u32 = 4;
/// Shorter answers are sent as they are, unless the client takes no plain ones: it would cost more than it saves.
const COMPRESSED_FROM: usize = 256;

/// Answers requests; one per executor.
pub trait Handler {
    /// Whether the body of a request is worth reading, and how it will be read. The request has no body yet.
    ///
    /// # Errors
    /// The answer, as [`Self::handle`] would give it for any body.
    fn admit(&self, _head: &Request) -> Result<BodyUse, Response> {
        Ok(BodyUse::AtOnce)
    }

    /// What every answer to a request with this head carries besides, also one that refuses it.
    fn headers(&self, _head: &Request) -> Vec<(HeaderName, HeaderValue)> {
        Vec::new()
    }

    /// Answers one request.
    fn handle(&self, request: Request) -> LocalFuture<'_, Response>;
}

/// What all connections of one core share.
pub struct Listening {
    /// Bounds.
    pub limits: Rc<HttpLimits>,
    /// Who answers.
    pub handler: Rc<dyn Handler>,
    /// All connections.
    pub lifetimes: Lifetimes,
    /// Of the requests and answers of all cores.
    memory: Arc<Memory>,
    /// That are worked on.
    requests: Cell<usize>,
    decoders: Places,
}

impl Listening {
    /// No connections yet.
    pub fn new(limits: Rc<HttpLimits>, handler: Rc<dyn Handler>, memory: Arc<Memory>) -> Rc<Self> {
        let lifetimes = Lifetimes::default();
        let decoders = Places::new(DECODERS_MAX);
        Rc::new(Self { limits, handler, lifetimes, memory, requests: Cell::new(0), decoders })
    }

    fn is_full(&self) -> bool {
        self.requests.get() >= self.limits.requests_max_per_core
    }
}

/// The client's connection broke while a request was read: there is nobody to answer.
#[derive(Debug, thiserror::Error)]
#[error("the request was not read to its end: {0}")]
struct Unreadable(#[from] hyper::Error);

/// A request that is worked on.
struct Working(Rc<Listening>);

impl Working {
    fn begin(listening: &Rc<Listening>) -> Option<Self> {
        let has_place = !listening.is_full();
        has_place.then(|| {
            listening.requests.set(listening.requests.get() + 1);
            Self(listening.clone())
        })
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.requests.set(self.0.requests.get() - 1);
    }
}

/// An answer that hyper sends: its connection hears when the last piece is on its way.
struct Sending(Rc<Lifetime>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.answer_ends();
    }
}

struct RequestService {
    listening: Rc<Listening>,
    lifetime: Rc<Lifetime>,
    /// Set when an answer was given before the body was read.
    must_linger: Rc<Cell<bool>>,
}

impl Service<http::Request<Incoming>> for RequestService {
    type Response = http::Response<Pieces<Sending>>;
    type Error = Unreadable;
    type Future = LocalFuture<'static, Result<Self::Response, Unreadable>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let listening = self.listening.clone();
        let lifetime = self.lifetime.clone();
        let must_linger = self.must_linger.clone();
        Box::pin(async move {
            lifetime.enter(Phase::Body);
            let (request, body) = head_and_body(request);
            let headers = listening.handler.headers(&request);
            let has_body = !body.is_end_stream();
            let mut more = None;
            let response = match Accepted::of(&request.headers) {
                None if has_body => Err(not_acceptable()),
                None => Ok(not_acceptable()),
                Some(accepted) => match answer(&listening, &lifetime, (request, body)).await? {
                    Ok((response, None)) => Ok(sendable(&listening.memory, response, accepted).await),
                    Ok((response, rest)) => {
                        more = rest;
                        Ok(response)
                    }
                    Err(refusal) => Err(refusal),
                },
            };
            let mut response = response.unwrap_or_else(|refusal| {
                must_linger.set(true);
                refusal.with_header(CONNECTION, HeaderValue::from_static("close"))
            });
            response.headers.extend(headers);
            lifetime.enter(Phase::Answer);
            Ok(into_hyper(response, more, lifetime))
        })
    }
}

fn head_and_body(request: http::Request<Incoming>) -> (Request, Incoming) {
    let (head, body) = request.into_parts();
    let request = Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: Bytes::new(),
        stream: Stream::default(),
    };
    (request, body)
}

/// The handler's answer, with its rest if it is made while it is sent. As an error the answer to a request that was not read
/// to its end.
async fn answer(
    listening: &Rc<Listening>,
    lifetime: &Rc<Lifetime>,
    (mut request, body): (Request, Incoming),
) -> Result<Result<(Response, Option<More>), Response>, Unreadable> {
    let too_many = || overloaded("too many requests are in progress");
    // What is made of the body is gone when the handler has answered.
    let mut share = None;
    if !body.is_end_stream() {
        let body_use = match listening.handler.admit(&request) {
            Ok(_) if listening.is_full() => return Ok(Err(too_many())),
            Ok(body_use) => body_use,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Listening { limits, memory, decoders, .. } = &**listening;
        let reader = BodyReader { limits, memory, decoders, body_use };
        match reader.read(body, Coding::of_body(&request.headers)).await {
            Ok(whole) => (request.body, share) = (whole.bytes, Some(whole.share)),
            Err(Refused::Broken(error)) => return Err(error.into()),
            Err(Refused::Unread(refusal)) => return Ok(Err(refusal)),
            Err(Refused::Read(refusal)) => return Ok(Ok((refusal, None))),
        }
    }
    let Some(working) = Working::begin(listening) else { return Ok(Ok((too_many(), None))) };
    lifetime.enter(Phase::Handler);
    let stream = request.stream.clone();
    let work = Box::pin(handled(listening.clone(), request, (working, share)));
    Ok(Ok(begun(More { work, stream, lifetime: lifetime.clone() }).await))
}

async fn handled(listening: Rc<Listening>, request: Request, _held: (Working, Option<Share>)) -> Response {
    rt::contain(listening.handler.handle(request)).await.unwrap_or_else(|panic| {
        tracing::error!(panic, "a handler panicked");
        Response::error(&ApiError::new(Code::Internal, "An internal error has occurred."))
    })
}

/// The whole answer, or how it begins and who makes the rest.
async fn begun(more: More) -> (Response, Option<More>) {
    let mut more = Some(more);
    poll_fn(move |context| {
        let Some(begins) = &mut more else { return Poll::Pending };
        let polled = begins.work.as_mut().poll(context);
        let head = begins.stream.take_head();
        match (polled, head) {
            (Poll::Ready(response), head) => Poll::Ready((head.unwrap_or(response), None)),
            (Poll::Pending, Some(head)) => Poll::Ready((head, more.take())),
            (Poll::Pending, None) => Poll::Pending,
        }
    })
    .await
}

/// The answer as the client likes it best, with its share of the memory until it is sent.
async fn sendable(memory: &Arc<Memory>, response: Response, accepted: Accepted) -> Response {
    let sendable = match with_share(memory, response) {
        Some(response) => compressed(memory, response, accepted).await,
        None => None,
    };
    sendable.unwrap_or_else(|| overloaded("too much of requests and answers is in memory"))
}

fn with_share(memory: &Arc<Memory>, response: Response) -> Option<Response> {
    let body = memory.carry(response.body)?;
    Some(Response { body, ..response })
}

async fn compressed(memory: &Arc<Memory>, mut response: Response, accepted: Accepted) -> Option<Response> {
    let Accepted { coding: Some(coding), is_plain_accepted } = accepted else { return Some(response) };
    if response.body.is_empty() || (response.body.len() < COMPRESSED_FROM && is_plain_accepted) {
        return Some(response);
    }
    let Some(mut encoding) = Encoding::new(coding) else { return Some(response) };
    for piece in response.body.chunks(STEP_BYTES) {
        encoding.push(piece);
        ExecutorTimers.yield_now().await;
    }
    response.body = encoding.finish().into();
    let coding = HeaderValue::from_static(coding.name());
    let vary = HeaderValue::from_static("accept-encoding");
    with_share(memory, response.with_header(CONTENT_ENCODING, coding).with_header(VARY, vary))
}

/// The client takes nothing that can be sent.
fn not_acceptable() -> Response {
    let names = Coding::OF_ANSWERS.map(Coding::name).join(", ");
    Response { status: 406, headers: Vec::new(), body: names.into() }
        .with_header(VARY, HeaderValue::from_static("Accept-Encoding"))
}

/// 503 with a hint when to come back.
pub fn overloaded(reason: &str) -> Response {
    let message = format!("Miroir is overloaded: {reason}. Try again later.");
    let response = Response::error(&ApiError::new(Code::MiroirOverloaded, message));
    response.with_header(RETRY_AFTER, HeaderValue::from_static("1"))
}

fn into_hyper(response: Response, more: Option<More>, lifetime: Rc<Lifetime>) -> http::Response<Pieces<Sending>> {
    let mut converted = http::Response::new(Pieces::new(response.body, more, Sending(lifetime)));
    *converted.status_mut() =
        http::StatusCode::from_u16(response.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    converted.headers_mut().extend(response.headers.into_iter().map(|(name, value)| (Some(name), value)));
    converted
}

/// Serves a connection to its end: closed by either side, over a deadline, or drained.
pub async fn serve(stream: TcpStream, listening: Rc<Listening>) {
    let lifetime = Lifetime::new(listening.limits.clone());
    listening.lifetimes.watch(&lifetime);
    let must_linger = Rc::new(Cell::new(false));
    let service =
        RequestService { listening: listening.clone(), lifetime: lifetime.clone(), must_linger: must_linger.clone() };
    let socket = Socket::accepted(stream, lifetime.clone());
    let mut connection = http1::Builder::new()
        .max_headers(listening.limits.headers_max)
        .max_header_size(listening.limits.head_max_bytes)
        .max_buf_size(listening.limits.head_max_bytes.max(8192))
        .serve_connection(socket, service);
    let mut is_told = false;
    let end = poll_fn(|context: &mut Context<'_>| {
        if lifetime.is_over(context.waker()) {
            return Poll::Ready(None);
        }
        if listening.lifetimes.is_draining() && !is_told {
            is_told = true;
            std::pin::Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(context).map(Some)
    })
    .await;
    let Some(result) = end else {
        tracing::debug!(phase = ?lifetime.phase(), "a client's connection took too long");
        return;
    };
    let mut has_unread = must_linger.get();
    if let Err(error) = result {
        tracing::debug!(%error, "a client's connection broke");
        // Hyper has answered that.
        has_unread |= error.is_parse();
    }
    let mut socket = connection.into_parts().io;
    linger(&mut socket, &lifetime, has_unread).await;
}

/// Closes the writing side, and after an early answer throws away for a moment what the client still sends: a close with
/// unread bytes would be a reset, which may destroy the answer before it is read.
async fn linger(socket: &mut Socket<Lifetime>, lifetime: &Lifetime, has_unread: bool) {
    // The client may be gone already.
    let _ = poll_fn(|context| hyper::rt::Write::poll_shutdown(std::pin::Pin::new(socket), context)).await;
    if !has_unread {
        return;
    }
    lifetime.enter(Phase::Lingering);
    poll_fn(|context| {
        if lifetime.is_over(context.waker()) {
            return Poll::Ready(());
        }
        for _ in 0..DISCARDS_PER_TURN {
            match socket.poll_discard(context) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        // A fast sender must not keep the executor from its other tasks.
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
