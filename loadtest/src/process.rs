//! Processes that end with this one, and where they listen.

use std::net::{SocketAddr, TcpListener};
use std::process::Child;

/// A process that ends with its handle.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // nginx ends its workers on SIGTERM; a SIGKILL would leave them behind.
        let pid = nix::unistd::Pid::from_raw(self.0.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// A free address; whoever listens there next has it.
pub fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
