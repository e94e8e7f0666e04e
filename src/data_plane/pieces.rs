//! A body as hyper is to send it: in pieces, for hyper copies each into its buffer, and a large body would be in memory
//! twice.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Bytes of a piece.
const PIECE_BYTES: usize = 64 * 1024;

/// See the module. What hears of the end is dropped with it: when hyper has taken the last piece, or wants none.
pub struct Pieces<E> {
    rest: Bytes,
    _end: E,
}

impl<E> Pieces<E> {
    /// All of it is to be sent.
    pub fn new(body: Bytes, end: E) -> Self {
        Self { rest: body, _end: end }
    }
}

impl<E: Unpin> Body for Pieces<E> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        Poll::Ready((length > 0).then_some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
