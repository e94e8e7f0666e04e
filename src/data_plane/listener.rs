//! The listening socket and the thread that accepts: each connection goes to the executor with the fewest.
//!
//! The socket is bound without `SO_REUSEPORT`, so the kernel itself refuses a second process on the same address. A plain
//! thread accepts, because a dropped `accept()` of the runtime may lose a connection and because it can balance.

use std::io::{self, ErrorKind, PipeReader, PipeWriter, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::connection::overloaded;
use super::mailbox::Mailbox;
use crate::telemetry::clock;

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 1024;
/// Pause after the system refused a file descriptor.
const BACKOFF_MS: u16 = 100;

/// Between two lines about refused connections.
const REFUSALS_TOLD_EVERY: Duration = Duration::from_secs(1);

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else has it.
    #[error(
        "cannot listen on {address}: the address is in use; stop the program that listens there (another miroir?) or \
         choose another address"
    )]
    InUse {
        /// Where.
        address: SocketAddr,
    },
    /// Ports below 1024.
    #[error("cannot listen on {address}: permission denied; use a port above 1023 or grant CAP_NET_BIND_SERVICE")]
    Denied {
        /// Where.
        address: SocketAddr,
    },
    /// Not an address of this machine.
    #[error("cannot listen on {address}: this machine has no such address; use one of its own, or 0.0.0.0 for all")]
    NotOurs {
        /// Where.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Failed {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl ListenError {
    fn from_system(address: SocketAddr, source: io::Error) -> Self {
        let kind = source.kind();
        if kind == ErrorKind::AddrInUse {
            Self::InUse { address }
        } else if kind == ErrorKind::PermissionDenied {
            Self::Denied { address }
        } else if kind == ErrorKind::AddrNotAvailable {
            Self::NotOurs { address }
        } else {
            Self::Failed { address, source }
        }
    }
}

/// Binds an address for this process alone. Port 0 lets the system choose.
pub fn bind(address: SocketAddr) -> Result<TcpListener, ListenError> {
    let bound = || -> io::Result<TcpListener> {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
        // Lets a restart bind while old connections linger; does not let two listeners share the address.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    bound().map_err(|source| ListenError::from_system(address, source))
}

/// The accepting thread.
#[derive(Debug)]
pub struct Acceptor {
    /// Closing it wakes the thread.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    /// Begins to accept.
    pub fn start(listener: TcpListener, mailboxes: Vec<Arc<Mailbox>>, connections_max: usize) -> io::Result<Self> {
        let (is_stopped, stop) = io::pipe()?;
        let thread = std::thread::Builder::new()
            .name("acceptor".to_owned())
            .spawn(move || accept_until_stopped(&listener, &is_stopped, &mailboxes, connections_max))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Closes the listening socket; connections that it has handed over go on.
    pub fn stop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the acceptor panicked");
        }
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.stop();
    }
}

fn accept_until_stopped(
    listener: &TcpListener,
    is_stopped: &PipeReader,
    mailboxes: &[Arc<Mailbox>],
    connections_max: usize,
) {
    let mut refusals = Refusals::default();
    // Looked at before each connection: those that wait never end on a busy server.
    while !wait(Some(listener), is_stopped, PollTimeout::NONE) {
        let error = match listener.accept() {
            Ok((stream, _)) => {
                if let Err(stream) = hand_over(stream, mailboxes, connections_max) {
                    refusals.note();
                    refuse(stream);
                }
                continue;
            }
            Err(error) => error,
        };
        let passes = [ErrorKind::WouldBlock, ErrorKind::Interrupted, ErrorKind::ConnectionAborted];
        if !passes.contains(&error.kind()) {
            // Mostly: no file descriptors left. Some will be closed soon.
            tracing::warn!(%error, "cannot accept connections for the moment");
            if wait(None, is_stopped, PollTimeout::from(BACKOFF_MS)) {
                return;
            }
        }
    }
}

/// Waits for a connection, for the end, or for the time-out; true when it is the end.
fn wait(listener: Option<&TcpListener>, is_stopped: &PipeReader, timeout: PollTimeout) -> bool {
    let mut files = vec![PollFd::new(is_stopped.as_fd(), PollFlags::POLLIN)];
    files.extend(listener.map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)));
    // An interrupted poll is looked at like one that timed out.
    let _ = poll(&mut files, timeout);
    files[0].any().unwrap_or(false)
}

/// Gives the connection back when it is one too many.
fn hand_over(stream: TcpStream, mailboxes: &[Arc<Mailbox>], connections_max: usize) -> Result<(), TcpStream> {
    let open: usize = mailboxes.iter().map(|mailbox| mailbox.connections()).sum();
    if open >= connections_max {
        return Err(stream);
    }
    // Answers are written whole: waiting for more only delays them. If it fails the connection is dead anyway.
    let _ = stream.set_nodelay(true);
    let least = mailboxes.iter().min_by_key(|mailbox| mailbox.connections());
    least.expect("there is at least one executor").deliver(stream);
    Ok(())
}

/// Says now and then how many were refused: a line for each would make the flood worse.
#[derive(Default)]
struct Refusals {
    count: u64,
    told_at: Option<Instant>,
}

impl Refusals {
    fn note(&mut self) {
        self.count += 1;
        let now = clock::instant();
        if self.told_at.is_none_or(|told_at| now - told_at >= REFUSALS_TOLD_EVERY) {
            tracing::warn!(refused = self.count, "too many connections: some were refused");
            *self = Self { count: 0, told_at: Some(now) };
        }
    }
}

/// A connection too many: it is told so as far as that does not block.
fn refuse(mut stream: TcpStream) {
    let body = overloaded("too many connections").body;
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    if stream.set_nonblocking(true).is_ok() {
        // The client may be gone, or its request may make the close a reset: it is refused either way.
        let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        let _ = stream.shutdown(Shutdown::Write);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_stop_is_heard_however_many_connections_wait() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mailbox = Arc::new(Mailbox::default());
        let mut acceptor = Acceptor::start(listener, vec![mailbox.clone()], 10).unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                // Fails once nobody listens any more.
                scope.spawn(|| {
                    while !is_over.load(Ordering::SeqCst) && TcpStream::connect(address).is_ok() {
                        std::thread::yield_now();
                    }
                });
            }
            let deadline = clock::instant() + Duration::from_secs(10);
            while mailbox.connections() < 10 {
                assert!(clock::instant() < deadline, "nothing is accepted");
                std::thread::yield_now();
            }
            acceptor.stop();
            is_over.store(true, Ordering::SeqCst);
        });
        assert_eq!(mailbox.connections(), 10);
    }

    #[test]
    fn a_second_bind_is_refused_with_cause_and_remedy() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let message = bind(first.local_addr().unwrap()).unwrap_err().to_string();
        assert!(message.contains("in use"), "{message}");
    }
}
