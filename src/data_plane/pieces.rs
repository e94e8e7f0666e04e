//! A body as hyper is to send it: in pieces, for hyper copies each into its buffer, and a large body would be in memory
//! twice.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::lifetime::{Lifetime, Phase};
use super::upstream::LocalFuture;
use crate::http_types::{Response, Stream};

/// Bytes of a piece.
const PIECE_BYTES: usize = 64 * 1024;

/// See the module. What hears of the end is dropped with it: when hyper has taken the last piece, or wants none.
pub struct Pieces<E> {
    rest: Bytes,
    more: Option<More>,
    _end: E,
}

/// The handler of an answer that has begun, at work on the rest of it.
pub struct More {
    /// Its value is of no use any more.
    pub work: LocalFuture<'static, Response>,
    /// Where the pieces come out.
    pub stream: Stream,
    /// Told whether client or handler is waited for.
    pub lifetime: Rc<Lifetime>,
}

impl More {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let has_ended = self.work.as_mut().poll(context).is_ready();
        let piece = self.stream.take_piece();
        let is_ready = piece.is_some() || has_ended;
        self.lifetime.enter(if is_ready { Phase::Answer } else { Phase::Handler });
        if is_ready { Poll::Ready(piece) } else { Poll::Pending }
    }
}

impl<E> Pieces<E> {
    /// All of it is to be sent, and then what the handler makes.
    pub fn new(body: Bytes, more: Option<More>, end: E) -> Self {
        Self { rest: body, more, _end: end }
    }
}

impl<E: Unpin> Body for Pieces<E> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty()
            && let Some(more) = &mut self.more
        {
            match more.poll_piece(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(piece)) => self.rest = piece,
                Poll::Ready(None) => self.more = None,
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        Poll::Ready((length > 0).then_some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.more.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.more.is_some() { SizeHint::default() } else { SizeHint::with_exact(self.rest.len() as u64) }
    }
}
