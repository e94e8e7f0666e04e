//! A soak of the runtime crate alone: what a server does to it for weeks, in minutes.
//!
//! Panicking tasks beside others, very many accepted and closed connections, timers that are dropped or awaited, wakes
//! from other threads, and a shutdown with tasks left over. Prints rates, memory and open files, so that a leak shows.
//! Uses the runtime crate directly and nothing of Miroir, so that two crates can be compared with one program.

#![expect(clippy::disallowed_methods, reason = "nothing of Miroir is used here, not even its clock")]

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use argh::FromArgs;
use glommio::timer::Timer;
use glommio::{LocalExecutorBuilder, Placement};

/// soak the runtime crate
#[derive(FromArgs)]
#[argh(subcommand, name = "soak")]
pub struct Soak {
    /// connections to accept and close (default 1000000)
    #[argh(option, default = "1000000")]
    connections: u64,
}

/// Every so many connections one task panics.
const PANIC_EVERY: u64 = 1000;
/// Every so many connections one task waits for a timer.
const TIMER_EVERY: u64 = 10;
/// Tasks that are still waiting when the executor ends.
const LEFT_OVER: usize = 100;

/// Sockets on their way to the executor.
#[derive(Default)]
struct Inbox {
    state: Mutex<(Vec<TcpStream>, Option<Waker>)>,
    is_closed: AtomicBool,
}

impl Inbox {
    fn push(&self, stream: Option<TcpStream>) {
        let waker = {
            let mut state = self.state.lock().expect("nobody panics with the lock");
            state.0.extend(stream);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn take(&self) -> Option<Vec<TcpStream>> {
        std::future::poll_fn(|context| {
            let mut state = self.state.lock().expect("nobody panics with the lock");
            if !state.0.is_empty() {
                return Poll::Ready(Some(std::mem::take(&mut state.0)));
            }
            if self.is_closed.load(Ordering::Acquire) {
                return Poll::Ready(None);
            }
            state.1 = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

#[derive(Default)]
struct Counters {
    served: AtomicU64,
    panicked: AtomicU64,
    dropped: AtomicU64,
}

/// Counts its own drop.
struct Witness(Arc<Counters>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

async fn echo_one_byte(stream: TcpStream, number: u64) -> std::io::Result<()> {
    let mut stream = glommio::net::TcpStream::from(socket2::Socket::from(stream));
    let mut byte = [0];
    // A timer that is made, polled by nobody, and dropped.
    let unused = Timer::new(Duration::from_secs(60));
    std::future::poll_fn(|context| futures_io::AsyncRead::poll_read(Pin::new(&mut stream), context, &mut byte)).await?;
    drop(unused);
    if number.is_multiple_of(TIMER_EVERY) {
        Timer::new(Duration::from_micros(500)).await;
    }
    assert!(!number.is_multiple_of(PANIC_EVERY), "every so many connections one task panics");
    std::future::poll_fn(|context| futures_io::AsyncWrite::poll_write(Pin::new(&mut stream), context, &byte)).await?;
    Ok(())
}

async fn serve(inbox: Arc<Inbox>, counters: Arc<Counters>) {
    for _ in 0..LEFT_OVER {
        let witness = Witness(counters.clone());
        let left_over = async move {
            let _witness = witness;
            std::future::pending::<()>().await;
        };
        glommio::spawn_local(left_over).detach();
    }
    let in_progress = Rc::new(Cell::new(0_u64));
    let mut number = 0;
    while let Some(streams) = inbox.take().await {
        for stream in streams {
            number += 1;
            let (counters, in_progress) = (counters.clone(), in_progress.clone());
            let mut task = Box::pin(echo_one_byte(stream, number));
            in_progress.set(in_progress.get() + 1);
            let contained = std::future::poll_fn(move |context| {
                let Ok(poll) = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context))) else {
                    counters.panicked.fetch_add(1, Ordering::Relaxed);
                    in_progress.set(in_progress.get() - 1);
                    return Poll::Ready(());
                };
                poll.map(|_| {
                    counters.served.fetch_add(1, Ordering::Relaxed);
                    in_progress.set(in_progress.get() - 1);
                })
            });
            glommio::spawn_local(contained).detach();
        }
    }
    while in_progress.get() > 0 {
        Timer::new(Duration::from_millis(5)).await;
    }
}

fn accept(listener: &TcpListener, inbox: &Inbox, count: u64) {
    for stream in listener.incoming().take(count as usize) {
        inbox.push(stream.ok());
    }
}

/// Connects, sends a byte, reads until it comes back or the connection ends, and resets, so that no port is kept.
fn connect(address: SocketAddr, count: u64) {
    for _ in 0..count {
        let Ok(mut stream) = TcpStream::connect(address) else { continue };
        let _ = stream.write_all(b"x").and_then(|()| stream.read(&mut [0]));
        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

impl Soak {
    /// Runs it and prints what it saw.
    pub fn run(self) -> crate::Outcome {
        // Panics are part of the plan: no reports.
        std::panic::set_hook(Box::new(|_| {}));
        let (inbox, counters) = (Arc::new(Inbox::default()), Arc::new(Counters::default()));
        let (executor_inbox, executor_counters) = (inbox.clone(), counters.clone());
        let executor = std::thread::spawn(move || {
            let executor = LocalExecutorBuilder::new(Placement::Unbound)
                .io_memory(64 * 1024)
                .make()
                .expect("this machine has io_uring");
            executor.run(serve(executor_inbox, executor_counters));
        });
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let accepting_inbox = inbox.clone();
        let count = self.connections;
        let acceptor = std::thread::spawn(move || accept(&listener, &accepting_inbox, count));
        let begun = Instant::now();
        let clients: Vec<_> = (0..2).map(|_| std::thread::spawn(move || connect(address, count / 2))).collect();
        let mut next_report = 0;
        while !clients.iter().all(std::thread::JoinHandle::is_finished) {
            let served = counters.served.load(Ordering::Relaxed);
            if served >= next_report {
                println!("{served} served, {} KiB, {} files", resident_kib(), open_files());
                next_report = served + count / 10;
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        let elapsed = begun.elapsed();
        for client in clients {
            client.join().map_err(|_| "a client panicked")?;
        }
        acceptor.join().map_err(|_| "the acceptor panicked")?;
        let stop = Instant::now();
        inbox.is_closed.store(true, Ordering::Release);
        inbox.push(None);
        let result = executor.join();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        println!(
            "{} served, {} panicked, {:.0} connections/s; stopped in {:?}: {}; {} of {LEFT_OVER} left-over tasks dropped; \
             {} KiB, {} files",
            count(&counters.served),
            count(&counters.panicked),
            self.connections as f64 / elapsed.as_secs_f64(),
            stop.elapsed(),
            if result.is_ok() { "cleanly" } else { "the executor died" },
            count(&counters.dropped),
            resident_kib(),
            open_files()
        );
        Ok(())
    }
}
