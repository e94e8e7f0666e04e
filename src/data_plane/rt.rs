//! The runtime: executors, tasks, timers. The only file that names glommio beyond its sockets, so that another runtime
//! crate is a small change.
//!
//! Rules kept here (design section 13): default task queue only, small `io_memory`, preempt timer of 10 ms, no spinning,
//! every task wrapped so that a panic ends this task and nothing else.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::bounded;
use glommio::timer::Timer;
use glommio::{GlommioError, LocalExecutor, LocalExecutorBuilder, Placement, ReactorErrorKind};

use super::core::{Timers, race};
use super::upstream::LocalFuture;
use crate::logic::ids::Monotonic;
use crate::telemetry::clock;

/// Memory for io_uring buffers per executor. Sockets are read by plain calls and need none of it.
const IO_MEMORY_BYTES: usize = 64 * 1024;
/// How long a task may run before it is asked to yield.
const PREEMPT_TIMER: Duration = Duration::from_millis(10);
/// An executor that is not up by then never will be.
const START_TIMEOUT: Duration = Duration::from_secs(10);

const EPERM: i32 = 1;
const ENOMEM: i32 = 12;
const EACCES: i32 = 13;
const EMFILE: i32 = 24;
const ENOSYS: i32 = 38;

/// Why there is no executor. Each message names cause and remedy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The system call is forbidden.
    #[error(
        "io_uring is blocked on this machine: allow the io_uring_* system calls in the container's seccomp profile \
         (docker run --security-opt seccomp=...), and check that `sysctl kernel.io_uring_disabled` is 0"
    )]
    Blocked,
    /// The system call does not exist.
    #[error("this kernel has no io_uring: Linux 5.8 or newer is needed")]
    Missing,
    /// Too little lockable memory.
    #[error(
        "too little lockable memory for io_uring: raise `ulimit -l` (LimitMEMLOCK= in systemd) to 512 KiB per core"
    )]
    LockedMemory,
    /// Too few files.
    #[error("too few file descriptors for io_uring: raise `ulimit -n` (LimitNOFILE= in systemd)")]
    Files,
    /// Anything else.
    #[error("the executor could not be started: {0}")]
    Failed(String),
}

fn classify(error: &GlommioError<()>) -> RuntimeError {
    if let GlommioError::ReactorError(ReactorErrorKind::MemLockLimit(..)) = error {
        return RuntimeError::LockedMemory;
    }
    let code = if let GlommioError::IoError(error) = error { error.raw_os_error() } else { None };
    of_code(code, error)
}

fn of_code(code: Option<i32>, error: &dyn std::fmt::Display) -> RuntimeError {
    match code {
        Some(EPERM | EACCES) => RuntimeError::Blocked,
        Some(ENOSYS) => RuntimeError::Missing,
        Some(ENOMEM) => RuntimeError::LockedMemory,
        Some(EMFILE) => RuntimeError::Files,
        Some(_) | None => RuntimeError::Failed(error.to_string()),
    }
}

/// Where an executor runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExecutorPlan {
    /// Name of its thread, at most 15 bytes.
    pub name: String,
    /// The processor that it is pinned to.
    pub cpu: Option<usize>,
}

fn make(plan: &ExecutorPlan) -> Result<LocalExecutor, RuntimeError> {
    let placement = plan.cpu.map_or(Placement::Unbound, Placement::Fixed);
    let builder =
        LocalExecutorBuilder::new(placement).name(&plan.name).io_memory(IO_MEMORY_BYTES).preempt_timer(PREEMPT_TIMER);
    match catch_unwind(AssertUnwindSafe(|| builder.make())) {
        Ok(Ok(executor)) => Ok(executor),
        Ok(Err(error)) => Err(classify(&error)),
        Err(panic) => Err(RuntimeError::Failed(panic_text(panic.as_ref()))),
    }
}

/// Starts an executor on a thread of its own and returns once it is up. `on_exit` hears how it ended: the text of the
/// panic if it died.
pub fn start_executor<M, F>(
    plan: ExecutorPlan,
    main: M,
    on_exit: impl FnOnce(Result<(), String>) + Send + 'static,
) -> Result<JoinHandle<()>, RuntimeError>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let (ready, is_ready) = bounded(1);
    let builder = std::thread::Builder::new().name(plan.name.clone());
    let thread = builder.spawn(move || match make(&plan) {
        Ok(executor) => {
            // The other side may have given up; then there is nobody to tell.
            let _ = ready.send(Ok(()));
            let result = catch_unwind(AssertUnwindSafe(|| executor.run(async move { main().await })));
            on_exit(result.map_err(|panic| panic_text(panic.as_ref())));
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    });
    let thread = thread.map_err(|error| RuntimeError::Failed(error.to_string()))?;
    match is_ready.recv_timeout(START_TIMEOUT) {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(RuntimeError::Failed("it did not come up in time".to_owned())),
    }
}

/// Checks that this machine can run executors, before anything else is started.
pub fn preflight() -> Result<(), RuntimeError> {
    // The kernel is asked first: where io_uring is blocked the executor panics, and blames the kernel's age.
    let failed = |error: std::io::Error| of_code(error.raw_os_error(), &error);
    let ring = io_uring::IoUring::new(1).map_err(failed)?;
    // Came with 5.6.
    ring.submitter().register_probe(&mut io_uring::Probe::new()).map_err(|_| RuntimeError::Missing)?;
    drop(ring);
    let plan = ExecutorPlan { name: "preflight".to_owned(), cpu: None };
    let thread = start_executor(plan, || async {}, |_| {})?;
    thread.join().map_err(|panic| RuntimeError::Failed(panic_text(panic.as_ref())))
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a text".to_owned())
}

/// Runs a future to its end; a panic in it becomes an error. What the future held is dropped in either case.
pub async fn contain<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = Box::pin(future);
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(Err(panic_text(panic.as_ref()))),
    })
    .await
}

/// Runs a future beside the others of this executor. A panic in it is logged and contained.
pub fn spawn_detached(future: impl Future<Output = ()> + 'static) {
    let contained = async move {
        if let Err(panic) = contain(future).await {
            tracing::error!(panic, "a task panicked");
        }
    };
    glommio::spawn_local(contained).detach();
}

/// Ends after this time.
pub async fn sleep(duration: Duration) {
    Timer::new(duration).await;
}

/// The future's value, or none when the deadline comes first; the future is dropped then.
pub async fn before<T>(deadline: Monotonic, future: impl Future<Output = T>) -> Option<T> {
    race(future, || ExecutorTimers.sleep_until(deadline)).await
}

/// Time and tasks of the executor of this thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExecutorTimers;

impl Timers for ExecutorTimers {
    fn now(&self) -> Monotonic {
        clock::monotonic()
    }

    fn sleep_until(&self, deadline: Monotonic) -> LocalFuture<'static, ()> {
        let left = Duration::from_millis(deadline.0.saturating_sub(self.now().0));
        let timer = Timer::new(left);
        Box::pin(async move {
            timer.await;
        })
    }

    fn yield_now(&self) -> LocalFuture<'static, ()> {
        Box::pin(glommio::yield_if_needed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_passes_the_preflight() {
        preflight().unwrap();
    }

    #[test]
    fn refusals_of_the_kernel_name_cause_and_remedy() {
        let table = [
            (EPERM, "seccomp"),
            (ENOSYS, "Linux 5.8"),
            (ENOMEM, "ulimit -l"),
            (EMFILE, "ulimit -n"),
            (5, "could not be started"),
        ];
        for (code, words) in table {
            let message = classify(&std::io::Error::from_raw_os_error(code).into()).to_string();
            assert!(message.contains(words), "{code}: {message}");
        }
    }

    #[test]
    fn a_dead_executor_says_why() {
        let (exited, exit) = bounded(1);
        let plan = ExecutorPlan { name: "doomed".to_owned(), cpu: None };
        let thread = start_executor(plan, || async { panic!("told to") }, move |result| exited.send(result).unwrap());
        assert_eq!(exit.recv_timeout(START_TIMEOUT).unwrap(), Err("told to".to_owned()));
        thread.unwrap().join().unwrap();
    }
}
