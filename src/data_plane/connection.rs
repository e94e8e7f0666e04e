//! One client's connection: hyper's HTTP/1 server, around it our limits, deadlines and the containment of panics.
//!
//! Framing, keep-alive and smuggling rules are hyper's. A body is read whole, bounded, before the handler runs; but only
//! after the handler has looked at the head, and a client holds no more of the room for bodies than it has sent.
//!
//! Cancel safety: when the client goes away, the handler's future is dropped where it waits.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::TcpStream;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_ENCODING, HeaderName, HeaderValue, RETRY_AFTER, VARY};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;

use super::coding::{Accepted, Coding, Decoding, Encoding, STEP_BYTES};
use super::core::Timers;
use super::lifetime::{HttpLimits, Lifetime, Lifetimes, Phase};
use super::places::Places;
use super::rt::{self, ExecutorTimers};
use super::socket::Socket;
use super::upstream::LocalFuture;
use crate::http_types::{Request, Response};
use crate::meili::error::{ApiError, Code};

/// Reads of unwanted bytes before others get their turn.
const DISCARDS_PER_TURN: usize = 8;
/// Bytes that are set aside for a body of which little has come.
const RESERVED_MAX: u64 = 1024 * 1024;
/// Decoders that a core has at work at a time; each may need 16 MiB.
const DECODERS_MAX: u32 = 4;
/// Shorter answers are sent as they are, unless the client takes no plain ones: it would cost more than it saves.
const COMPRESSED_FROM: usize = 256;

/// Answers requests; one per executor.
pub trait Handler {
    /// Whether the body of a request is worth reading. The request has no body yet.
    ///
    /// # Errors
    /// The answer, as [`Self::handle`] would give it for any body.
    fn admit(&self, _head: &Request) -> Result<(), Response> {
        Ok(())
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
    requests: Cell<usize>,
    body_bytes: Cell<u64>,
    decoders: Places,
}

impl Listening {
    /// No connections yet.
    pub fn new(limits: Rc<HttpLimits>, handler: Rc<dyn Handler>) -> Rc<Self> {
        let lifetimes = Lifetimes::default();
        let decoders = Places::new(DECODERS_MAX);
        Rc::new(Self { limits, handler, lifetimes, requests: Cell::new(0), body_bytes: Cell::new(0), decoders })
    }
}

/// The client's connection broke while a request was read: there is nobody to answer.
#[derive(Debug, thiserror::Error)]
#[error("the request was not read to its end: {0}")]
struct Unreadable(#[from] hyper::Error);

/// A request that is worked on: counts, and gives back what it took.
struct Admission {
    listening: Rc<Listening>,
    body_bytes: u64,
}

impl Admission {
    fn enter(listening: &Rc<Listening>) -> Option<Self> {
        let count = listening.requests.get();
        if count >= listening.limits.requests_max_per_core {
            return None;
        }
        listening.requests.set(count + 1);
        Some(Self { listening: listening.clone(), body_bytes: 0 })
    }

    /// Takes room for so many more bytes of body; false when the core has none left.
    fn take(&mut self, bytes: u64) -> bool {
        let taken = self.listening.body_bytes.get() + bytes;
        let has_room = taken <= self.listening.limits.bodies_max_bytes_per_core;
        if has_room {
            self.listening.body_bytes.set(taken);
            self.body_bytes += bytes;
        }
        has_room
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let listening = &self.listening;
        listening.requests.set(listening.requests.get() - 1);
        listening.body_bytes.set(listening.body_bytes.get() - self.body_bytes);
    }
}

/// What came of reading a body.
enum ReadBody {
    Whole(Bytes),
    /// Answer this and close: the rest of the body was not read.
    Refused(Response),
}

struct RequestService {
    listening: Rc<Listening>,
    lifetime: Rc<Lifetime>,
    /// Set when an answer was given before the body was read.
    must_linger: Rc<Cell<bool>>,
}

impl Service<http::Request<Incoming>> for RequestService {
    type Response = http::Response<Full<Bytes>>;
    type Error = Unreadable;
    type Future = LocalFuture<'static, Result<Self::Response, Unreadable>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let listening = self.listening.clone();
        let lifetime = self.lifetime.clone();
        let must_linger = self.must_linger.clone();
        Box::pin(async move {
            lifetime.enter(Phase::Body, 0);
            let (request, body) = head_and_body(request);
            let headers = listening.handler.headers(&request);
            let accepted = Accepted::of(&request.headers);
            let has_body = !body.is_end_stream();
            let refused = |refusal: Response| if has_body { Err(refusal) } else { Ok(refusal) };
            let response = match (Admission::enter(&listening), accepted) {
                (_, None) => refused(not_acceptable()),
                (None, Some(_)) => refused(overloaded("too many requests are in progress")),
                (Some(admission), Some(accepted)) => {
                    let response = answer(&listening, &lifetime, admission, (request, body)).await?;
                    match response {
                        Ok(response) => Ok(compressed(response, accepted).await),
                        refusal @ Err(_) => refusal,
                    }
                }
            };
            let mut response = response.unwrap_or_else(|refusal| {
                must_linger.set(true);
                refusal.with_header(CONNECTION, HeaderValue::from_static("close"))
            });
            response.headers.extend(headers);
            lifetime.enter(Phase::Answer, response.body.len() as u64);
            Ok(into_hyper(response))
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
    };
    (request, body)
}

/// The handler's answer, or as an error the answer to a request that was not read to its end.
async fn answer(
    listening: &Rc<Listening>,
    lifetime: &Lifetime,
    mut admission: Admission,
    (mut request, body): (Request, Incoming),
) -> Result<Result<Response, Response>, Unreadable> {
    if !body.is_end_stream() {
        if let Err(refusal) = listening.handler.admit(&request) {
            return Ok(Err(refusal));
        }
        request.body = match read_body(body, &mut admission).await? {
            ReadBody::Whole(body) => body,
            ReadBody::Refused(refusal) => return Ok(Err(refusal)),
        };
        if let Some(coding) = Coding::of_body(&request.headers) {
            match decoded(coding, &request.body, &mut admission).await {
                Ok(body) => request.body = body,
                Err(refusal) => return Ok(Ok(refusal)),
            }
        }
    }
    lifetime.enter(Phase::Handler, 0);
    let response = rt::contain(listening.handler.handle(request)).await.unwrap_or_else(|panic| {
        tracing::error!(panic, "a handler panicked");
        Response::error(&ApiError::new(Code::Internal, "An internal error has occurred."))
    });
    Ok(Ok(response))
}

async fn read_body(mut body: Incoming, admission: &mut Admission) -> Result<ReadBody, Unreadable> {
    let limit = admission.listening.limits.body_max_bytes;
    let announced = body.size_hint().exact();
    if announced.is_some_and(|length| length > limit) {
        return Ok(ReadBody::Refused(Response::error(&ApiError::payload_too_large(limit))));
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if whole.len() as u64 + data.len() as u64 > limit {
            return Ok(ReadBody::Refused(Response::error(&ApiError::payload_too_large(limit))));
        }
        if !admission.take(data.len() as u64) {
            return Ok(ReadBody::Refused(overloaded("too many request bodies are held in memory")));
        }
        if announced == Some(data.len() as u64) {
            return Ok(ReadBody::Whole(data));
        }
        if whole.is_empty() {
            // What was announced may never come.
            whole.reserve(announced.unwrap_or(0).min(RESERVED_MAX) as usize);
        }
        whole.extend_from_slice(&data);
    }
    Ok(ReadBody::Whole(whole.freeze()))
}

/// What a compressed body comes to, bounded as a plain one is, or the answer that refuses it.
async fn decoded(coding: Coding, body: &[u8], admission: &mut Admission) -> Result<Bytes, Response> {
    let malformed = |error: std::io::Error| {
        tracing::debug!(%error, coding = coding.name(), "a compressed body cannot be read");
        let message = "The provided payload is incomplete and cannot be parsed";
        Response::error(&ApiError::new(Code::BadRequest, message))
    };
    let listening = admission.listening.clone();
    let _place = listening.decoders.enter().await;
    let mut decoding = Decoding::new(coding, body).map_err(malformed)?;
    let mut whole = 0;
    while let Some(bytes) = decoding.step().map_err(malformed)? {
        whole += bytes as u64;
        if whole > listening.limits.body_max_bytes {
            return Err(Response::error(&ApiError::payload_too_large(listening.limits.body_max_bytes)));
        }
        if !admission.take(bytes as u64) {
            return Err(overloaded("too many request bodies are held in memory"));
        }
        ExecutorTimers.yield_now().await;
    }
    Ok(decoding.into_decoded().into())
}

/// The answer as the client likes it best.
async fn compressed(mut response: Response, accepted: Accepted) -> Response {
    let Accepted { coding: Some(coding), is_plain_accepted } = accepted else { return response };
    if response.body.is_empty() || (response.body.len() < COMPRESSED_FROM && is_plain_accepted) {
        return response;
    }
    let Some(mut encoding) = Encoding::new(coding) else { return response };
    for piece in response.body.chunks(STEP_BYTES) {
        encoding.push(piece);
        ExecutorTimers.yield_now().await;
    }
    response.body = encoding.finish().into();
    let coding = HeaderValue::from_static(coding.name());
    response.with_header(CONTENT_ENCODING, coding).with_header(VARY, HeaderValue::from_static("accept-encoding"))
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

fn into_hyper(response: Response) -> http::Response<Full<Bytes>> {
    let mut converted = http::Response::new(Full::new(response.body));
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
    if let Err(error) = result {
        tracing::debug!(%error, "a client's connection broke");
    }
    let mut socket = connection.into_parts().io;
    linger(&mut socket, &lifetime, must_linger.get()).await;
}

/// Closes the writing side, and after an early answer throws away for a moment what the client still sends: a close with
/// unread bytes would be a reset, which may destroy the answer before it is read.
async fn linger(socket: &mut Socket<Lifetime>, lifetime: &Lifetime, has_unread_body: bool) {
    // The client may be gone already.
    let _ = poll_fn(|context| hyper::rt::Write::poll_shutdown(std::pin::Pin::new(socket), context)).await;
    if !has_unread_body {
        return;
    }
    lifetime.enter(Phase::Lingering, 0);
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
