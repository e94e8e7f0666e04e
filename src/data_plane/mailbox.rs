//! From plain threads to one executor: accepted connections, and the word to stop.
//!
//! The executor is the only reader and never blocks on the lock for longer than a push takes.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};

use parking_lot::Mutex;

/// What an executor is told.
#[derive(Debug)]
pub enum Mail {
    /// Serve this connection.
    Connection(TcpStream),
    /// Accept nothing more, end with what is in progress. Comes once, after all connections.
    Stop,
}

#[derive(Debug, Default)]
struct Waiting {
    connections: VecDeque<TcpStream>,
    is_stopping: bool,
    waker: Option<Waker>,
}

/// One per executor.
#[derive(Debug, Default)]
pub struct Mailbox {
    waiting: Mutex<Waiting>,
    /// Connections handed over and not closed yet: what the acceptor balances, and what a drain waits for.
    connections: AtomicUsize,
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub struct OpenConnection<'a>(&'a Mailbox);

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Release);
    }
}

impl Mailbox {
    /// Hands a connection over.
    pub fn deliver(&self, stream: TcpStream) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.change(|waiting| waiting.connections.push_back(stream));
    }

    /// Asks the executor to end.
    pub fn stop(&self) {
        self.change(|waiting| waiting.is_stopping = true);
    }

    /// Connections that are open or about to be.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// The executor takes the count of a connection that it received.
    pub fn opened(&self) -> OpenConnection<'_> {
        OpenConnection(self)
    }

    /// The next mail. Cancel safe: nothing is taken before it is returned.
    pub async fn receive(&self) -> Mail {
        poll_fn(|context| {
            let mut waiting = self.waiting.lock();
            if let Some(stream) = waiting.connections.pop_front() {
                return Poll::Ready(Mail::Connection(stream));
            }
            if waiting.is_stopping {
                return Poll::Ready(Mail::Stop);
            }
            waiting.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        let waker = {
            let mut waiting = self.waiting.lock();
            change(&mut waiting);
            waiting.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
