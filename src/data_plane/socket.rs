//! A glommio stream as hyper wants it.
//!
//! Each read and write is reported to a meter, which keeps the deadlines: the stream itself has no time-outs (a timed
//! read of the runtime may lose bytes when it is dropped). Dropping a `Socket` closes its connection.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use hyper::rt::{Read, ReadBufCursor, Write};

/// The most that one read takes.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// Between the runtime, which wants initialized memory, and hyper, which offers uninitialized. Never held across a
    /// wait.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// Hears what passes.
pub trait Meter {
    /// So many bytes came; 0 is the end.
    fn on_read(&self, bytes: usize);
    /// So many bytes were taken by the system.
    fn on_written(&self, bytes: usize);
    /// Everything written so far was taken by the system.
    fn on_flushed(&self);
}

/// See the module.
pub struct Socket<M> {
    stream: TcpStream,
    meter: Rc<M>,
}

impl<M: Meter> Socket<M> {
    /// Takes over an accepted connection. Must be called on the executor that will use it.
    pub fn accepted(stream: std::net::TcpStream, meter: Rc<M>) -> Self {
        Self { stream: TcpStream::from(socket2::Socket::from(stream)), meter }
    }

    /// Begins to connect and returns at once: the first write waits until the connection stands, or fails with the
    /// reason why it does not.
    pub fn connecting(address: SocketAddr, meter: Rc<M>) -> io::Result<Self> {
        /// "Has begun": the normal answer to a connect that does not wait.
        const EINPROGRESS: i32 = 115;
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(Self { stream: TcpStream::from(socket), meter })
    }

    /// Reads and throws away; 0 at the end.
    pub fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| Pin::new(&mut self.stream).poll_read(context, scratch))
    }
}

impl<M: Meter> Read for Socket<M> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let room = buffer.remaining().min(scratch.len());
            let count = ready!(Pin::new(&mut self.stream).poll_read(context, &mut scratch[..room]))?;
            buffer.put_slice(&scratch[..count]);
            self.meter.on_read(count);
            Poll::Ready(Ok(()))
        })
    }
}

impl<M: Meter> Write for Socket<M> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.meter.on_written(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.meter.on_flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}
