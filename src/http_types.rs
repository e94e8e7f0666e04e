//! A request and an answer as handlers see them: whole in memory, framing already done. An answer that is made little by
//! little is the exception; see [`Stream`].
//!
//! Shared by the data plane and the admin listener. Nothing here knows sockets; handlers are tested with these alone.
//! Bodies are bounded before they get here: a request that is too large was answered by the server.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde::Serialize;

use crate::meili::error::ApiError;

/// A client's request, read to its end.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// The path as sent, not decoded, without the query. Begins with a slash.
    pub path: String,
    /// What follows the `?`, not decoded; empty when there is none.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, at most as long as configured.
    pub body: Bytes,
    /// For an answer that is sent while it is made.
    pub stream: Stream,
}

impl Request {
    /// A request without headers and body, mostly for tests. `target` is a path with or without a query.
    pub fn new(method: Method, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            stream: Stream::default(),
        }
    }

    /// The same with a JSON body.
    #[must_use]
    pub fn with_json(mut self, body: impl Into<Bytes>) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = body.into();
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// The text of a header; none when it is absent or not ASCII text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An answer that its handler makes little by little, while the client reads. The server polls the handler for as long as the
/// client takes more: who goes away ends it, and a handler is never more than one piece ahead.
#[derive(Clone, Debug, Default)]
pub struct Stream(Rc<RefCell<Streamed>>);

#[derive(Debug, Default)]
struct Streamed {
    head: Option<Response>,
    piece: Option<Bytes>,
}

impl Stream {
    /// Begins the answer: status, headers, and what the body begins with. What the handler returns later goes to nobody.
    pub fn begin(&self, head: Response) {
        self.0.borrow_mut().head = Some(head);
    }

    /// The next piece; ready when the server has taken it.
    pub async fn send(&self, piece: Bytes) {
        self.0.borrow_mut().piece = Some(piece);
        poll_fn(|_| if self.0.borrow().piece.is_none() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// For the server: how the answer begins, once it has begun.
    pub fn take_head(&self) -> Option<Response> {
        self.0.borrow_mut().head.take()
    }

    /// For the server: a piece that is to be sent. The handler goes on when it is polled then.
    pub fn take_piece(&self) -> Option<Bytes> {
        self.0.borrow_mut().piece.take()
    }
}

/// An answer. The server adds `content-length`, `date` and what the connection needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// A valid status, 200 to 599.
    pub status: u16,
    /// Headers, `content-type` included.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The whole body.
    pub body: Bytes,
}

impl Response {
    /// A JSON text that is already serialized.
    pub fn json_bytes(status: u16, body: impl Into<Bytes>) -> Self {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        Self { status, headers, body: body.into() }
    }

    /// A value as JSON.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("types of answers have text keys and cannot fail to serialize");
        Self::json_bytes(status, body)
    }

    /// An error in Meilisearch's shape, with its status.
    pub fn error(error: &ApiError) -> Self {
        Self::json(error.status(), &error.body())
    }

    /// `204 No Content`.
    pub fn no_content() -> Self {
        Self { status: 204, headers: Vec::new(), body: Bytes::new() }
    }

    /// A status alone, for example 404 of an unknown route.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// A plain text.
    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))];
        Self { status, headers, body: body.into() }
    }

    /// JSON values, a line each.
    pub fn ndjson(status: u16, body: impl Into<Bytes>) -> Self {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))];
        Self { status, headers, body: body.into() }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The text of a header; none when it is absent or not ASCII text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name)?.1.to_str().ok()
    }
}

impl From<Result<Response, ApiError>> for Response {
    fn from(result: Result<Response, ApiError>) -> Self {
        result.unwrap_or_else(|error| Self::error(&error))
    }
}
