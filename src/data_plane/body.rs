//! Reading the body of a request: bounded in length, in what it comes to when it was compressed, and in the memory that it
//! takes together with all others.
//!
//! A client holds no more memory than it has sent. What a body becomes when it is read in one go, as JSON, is estimated
//! before it is: a few bytes of text may make a hundred in memory.
//!
//! Cancel safety: what was taken is given back when a read is dropped.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::coding::{Coding, Decoding};
use super::connection::overloaded;
use super::core::Timers;
use super::lifetime::HttpLimits;
use super::places::Places;
use super::rt::ExecutorTimers;
use crate::bridge::memory::{Memory, Share};
use crate::http_types::Response;
use crate::logic::json::ValueCount;
use crate::meili::error::{ApiError, Code};

/// Bytes that are set aside for a body of which little has come.
const RESERVED_MAX: u64 = 1024 * 1024;
/// Bytes in which values are counted before others get their turn.
const COUNTED_PER_TURN: usize = 128 * 1024;
/// Values of a body that is read in one go.
const VALUES_MAX: u64 = 1_000_000;
/// What a value takes in memory, about: a member of a small object.
const VALUE_BYTES: u64 = 160;

/// How a handler reads a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyUse {
    /// Piece by piece. The handler takes room for what it makes of it.
    InPieces,
    /// In one go, as JSON.
    AtOnce,
}

/// A body as it is handed on.
pub struct WholeBody {
    /// All of it, with its share.
    pub bytes: Bytes,
    /// For what becomes of it: to be kept as long as that is there.
    pub share: Share,
}

/// Why a body is not handed on.
pub enum Refused {
    /// The client's connection broke: there is nobody to answer.
    Broken(hyper::Error),
    /// It was not read to its end.
    Unread(Response),
    /// It was read to its end.
    Read(Response),
}

/// By what rules bodies are read.
pub struct BodyReader<'a> {
    /// Bounds.
    pub limits: &'a HttpLimits,
    /// Of all requests and answers.
    pub memory: &'a Arc<Memory>,
    /// Who may decompress.
    pub decoders: &'a Places,
    /// What is done with the body.
    pub body_use: BodyUse,
}

fn no_room() -> Response {
    overloaded("too much of requests and answers is in memory")
}

impl BodyReader<'_> {
    /// Reads a body.
    ///
    /// # Errors
    /// It is too long, cannot be decompressed, or finds no room; or the connection broke.
    pub async fn read(&self, body: Incoming, coding: Option<Coding>) -> Result<WholeBody, Refused> {
        let mut bytes = self.receive(body).await?;
        if let Some(coding) = coding {
            bytes = self.decode(coding, &bytes).await.map_err(Refused::Read)?;
        }
        let mut share = self.memory.share();
        if self.body_use == BodyUse::AtOnce {
            let values = count_values(&bytes).await;
            if values > VALUES_MAX {
                let message = format!("The provided payload holds more than {VALUES_MAX} values.");
                return Err(Refused::Read(Response::error(&ApiError::new(Code::PayloadTooLarge, message))));
            }
            if !share.grow(values * VALUE_BYTES) {
                return Err(Refused::Read(no_room()));
            }
        }
        Ok(WholeBody { bytes, share })
    }

    fn limit(&self) -> u64 {
        let HttpLimits { body_max_bytes, parsed_body_max_bytes, .. } = *self.limits;
        match self.body_use {
            BodyUse::InPieces => body_max_bytes,
            BodyUse::AtOnce => body_max_bytes.min(parsed_body_max_bytes),
        }
    }

    fn too_large(&self) -> Response {
        Response::error(&ApiError::payload_too_large(self.limit()))
    }

    async fn receive(&self, mut body: Incoming) -> Result<Bytes, Refused> {
        let announced = body.size_hint().exact();
        if announced.is_some_and(|length| length > self.limit()) {
            return Err(Refused::Unread(self.too_large()));
        }
        let mut share = self.memory.share();
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(Refused::Broken)?.into_data() else { continue };
            if whole.len() as u64 + data.len() as u64 > self.limit() {
                return Err(Refused::Unread(self.too_large()));
            }
            if !share.grow(data.len() as u64) {
                return Err(Refused::Unread(no_room()));
            }
            if announced == Some(data.len() as u64) {
                return Ok(share.carried_by(data));
            }
            if whole.is_empty() {
                // What was announced may never come.
                whole.reserve(announced.unwrap_or(0).min(RESERVED_MAX) as usize);
            }
            whole.extend_from_slice(&data);
        }
        Ok(share.carried_by(whole.freeze()))
    }

    /// What a compressed body comes to, bounded as a plain one is.
    async fn decode(&self, coding: Coding, body: &[u8]) -> Result<Bytes, Response> {
        let malformed = |error: std::io::Error| {
            tracing::debug!(%error, coding = coding.name(), "a compressed body cannot be read");
            let message = "The provided payload is incomplete and cannot be parsed";
            Response::error(&ApiError::new(Code::BadRequest, message))
        };
        let _place = self.decoders.enter().await;
        let mut share = self.memory.share();
        let mut decoding = Decoding::new(coding, body).map_err(malformed)?;
        let mut whole = 0;
        while let Some(bytes) = decoding.step().map_err(malformed)? {
            whole += bytes as u64;
            if whole > self.limit() {
                return Err(self.too_large());
            }
            if !share.grow(bytes as u64) {
                return Err(no_room());
            }
            ExecutorTimers.yield_now().await;
        }
        Ok(share.carried_by(decoding.into_decoded().into()))
    }
}

async fn count_values(body: &[u8]) -> u64 {
    let mut count = ValueCount::default();
    for piece in body.chunks(COUNTED_PER_TURN) {
        count.push(piece);
        if piece.len() == COUNTED_PER_TURN {
            ExecutorTimers.yield_now().await;
        }
    }
    count.values()
}
