//! Values from a plain thread to a future on any executor, one after the other, a few at a time.
//!
//! The thread waits while the pipe is full. Who receives may leave at any time: then whoever sends hears of it at once, even
//! if it waits for something else.
//!
//! Cancel safety: a value is taken when the future of [`PipeReceiver::receive`] is ready, not before.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use parking_lot::{Condvar, Mutex};

type OnLeave = Box<dyn FnOnce() + Send>;

struct State<T> {
    values: VecDeque<T>,
    waker: Option<Waker>,
    on_leave: Option<OnLeave>,
    is_sent: bool,
    is_left: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    room: usize,
}

/// The sending end. Its drop is the end.
pub struct PipeSender<T>(Arc<Shared<T>>);

/// The receiving end.
pub struct PipeReceiver<T>(Arc<Shared<T>>);

/// Nobody receives any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left;

/// A connected pair with room for so many values.
pub fn pipe<T>(room: usize) -> (PipeSender<T>, PipeReceiver<T>) {
    let state = State { values: VecDeque::new(), waker: None, on_leave: None, is_sent: false, is_left: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), room });
    (PipeSender(shared.clone()), PipeReceiver(shared))
}

impl<T> PipeSender<T> {
    /// Sends a value, as soon as there is room for it.
    pub fn send(&self, value: T) -> Result<(), Left> {
        let mut state = self.0.state.lock();
        while state.values.len() >= self.0.room && !state.is_left {
            self.0.changed.wait(&mut state);
        }
        if state.is_left {
            return Err(Left);
        }
        state.values.push_back(value);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// What to do when the receiver leaves; at once if it has.
    pub fn on_leave(&self, leave: impl FnOnce() + Send + 'static) {
        let mut state = self.0.state.lock();
        if state.is_left {
            drop(state);
            leave();
        } else {
            state.on_leave = Some(Box::new(leave));
        }
    }
}

impl<T> Drop for PipeSender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.0.state.lock();
            state.is_sent = true;
            state.on_leave = None;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> PipeReceiver<T> {
    /// The next value; none at the end.
    pub async fn receive(&mut self) -> Option<T> {
        poll_fn(|context| {
            let mut state = self.0.state.lock();
            if let Some(value) = state.values.pop_front() {
                self.0.changed.notify_all();
                return Poll::Ready(Some(value));
            }
            if state.is_sent {
                return Poll::Ready(None);
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl<T> Drop for PipeReceiver<T> {
    fn drop(&mut self) {
        let on_leave = {
            let mut state = self.0.state.lock();
            state.is_left = true;
            state.values.clear();
            state.on_leave.take()
        };
        self.0.changed.notify_all();
        if let Some(on_leave) = on_leave {
            on_leave();
        }
    }
}

impl<T> fmt::Debug for PipeSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PipeSender")
    }
}

impl<T> fmt::Debug for PipeReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PipeReceiver")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Context;

    use super::*;

    fn receive_now<T>(receiver: &mut PipeReceiver<T>) -> Poll<Option<T>> {
        let mut future = std::pin::pin!(receiver.receive());
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    use std::future::Future;

    #[test]
    fn who_sends_waits_for_room_and_what_was_sent_comes_in_order() {
        let (sender, mut receiver) = pipe(2);
        let thread = std::thread::spawn(move || (0..100).try_for_each(|value| sender.send(value)));
        let mut came = Vec::new();
        loop {
            assert!(receiver.0.state.lock().values.len() <= 2);
            match receive_now(&mut receiver) {
                Poll::Ready(Some(value)) => came.push(value),
                Poll::Ready(None) => break,
                Poll::Pending => std::thread::yield_now(),
            }
        }
        assert_eq!(came, (0..100).collect::<Vec<_>>());
        assert_eq!(thread.join().unwrap(), Ok(()));
    }

    #[test]
    fn who_leaves_is_not_waited_for_and_the_sender_hears_of_it() {
        let (sender, receiver) = pipe(1);
        let heard = Arc::new(AtomicBool::new(false));
        let hears = heard.clone();
        sender.on_leave(move || hears.store(true, Ordering::SeqCst));
        sender.send(1).unwrap();
        let thread = std::thread::spawn(move || sender.send(2).and_then(|()| sender.send(3)));
        drop(receiver);
        assert!(heard.load(Ordering::SeqCst));
        assert_eq!(thread.join().unwrap(), Err(Left));
    }
}
