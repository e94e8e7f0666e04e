//! A one-shot answer from a plain thread to a future on any executor.
//!
//! Cancel safety: dropping the future throws the answer away, nothing else. Dropping the [`Reply`] unanswered wakes the
//! future with `None`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    is_closed: bool,
    waker: Option<Waker>,
}

/// The sending end.
#[derive(Debug)]
pub struct Reply<T>(Arc<Mutex<Slot<T>>>);

/// The receiving end: `None` when the sender was dropped without an answer.
#[derive(Debug)]
pub struct ReplyFuture<T>(Arc<Mutex<Slot<T>>>);

/// A connected pair.
pub fn reply_channel<T>() -> (Reply<T>, ReplyFuture<T>) {
    let slot = Arc::new(Mutex::new(Slot { value: None, is_closed: false, waker: None }));
    (Reply(slot.clone()), ReplyFuture(slot))
}

impl<T> Reply<T> {
    /// Somebody still waits for it.
    pub fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Answers.
    pub fn send(self, value: T) {
        self.0.lock().value = Some(value);
        // The drop wakes the future.
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = self.0.lock();
            slot.is_closed = true;
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for ReplyFuture<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.0.lock();
        if slot.is_closed {
            return Poll::Ready(slot.value.take());
        }
        match &mut slot.waker {
            Some(waker) if waker.will_wake(context.waker()) => {}
            waker => *waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

impl<T> ReplyFuture<T> {
    /// Waits on a plain thread (tests, admin handlers off the executor), at most so long.
    pub fn wait(self, timeout: std::time::Duration) -> Option<T> {
        struct Unpark(std::thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Arc::new(Unpark(std::thread::current())).into();
        let mut context = Context::from_waker(&waker);
        let mut future = std::pin::pin!(self);
        let deadline = crate::telemetry::clock::instant() + timeout;
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return value;
            }
            let left = deadline.saturating_duration_since(crate::telemetry::clock::instant());
            if left.is_zero() {
                return None;
            }
            std::thread::park_timeout(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_answer_crosses_threads() {
        let (reply, future) = reply_channel();
        let thread = std::thread::spawn(move || reply.send(7));
        assert_eq!(future.wait(Duration::from_secs(5)), Some(7));
        thread.join().expect("the sender does not panic");
    }

    #[test]
    fn a_dropped_sender_ends_the_wait() {
        let (reply, future) = reply_channel::<u8>();
        drop(reply);
        assert_eq!(future.wait(Duration::from_secs(5)), None);
    }
}
