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

use crossbeam::channel::{Receiver, Sender, bounded};
use glommio::timer::Timer;
use glommio::{GlommioError, LocalExecutor, LocalExecutorBuilder, Placement, ReactorErrorKind};

use super::core::{Timers, race};
use super::upstream::LocalFuture;
use crate::logic::ids::Monotonic;
use crate::telemetry::clock;

/// Memory for io_uring buffers per executor. Sockets are read by plain calls and need none of it.
const IO_MEMORY_BYTES: usize = 64 * 1024;
/// How long a task may run before it is asked to yield.
///
/// When a thread gets no processor for so long just before it looks for tasks, glommio 0.9 takes "time is over" for "nothing
/// to do" and sleeps until something else wakes the executor (glommio/glommio#53). Where a timer goes off now and then that
/// is soon; an executor that has not begun yet has none, hence [`StartLimits`].
const PREEMPT_TIMER: Duration = Duration::from_millis(10);

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
    /// It is there, and runs nothing.
    #[error(
        "no executor began its work in time, {0} were started: the machine is overloaded, or its io_uring is not to be \
         trusted. Try again; give the process more processor time"
    )]
    Asleep(usize),
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

fn make(plan: &ExecutorPlan, preempt_timer: Duration) -> Result<LocalExecutor, RuntimeError> {
    let placement = plan.cpu.map_or(Placement::Unbound, Placement::Fixed);
    let builder =
        LocalExecutorBuilder::new(placement).name(&plan.name).io_memory(IO_MEMORY_BYTES).preempt_timer(preempt_timer);
    match catch_unwind(AssertUnwindSafe(|| builder.make())) {
        Ok(Ok(executor)) => Ok(executor),
        Ok(Err(error)) => Err(classify(&error)),
        Err(panic) => Err(RuntimeError::Failed(panic_text(panic.as_ref()))),
    }
}

/// How long an executor is waited for that does not begin. Then another one is started beside it, and whichever begins first
/// has the work.
#[derive(Clone, Copy, Debug)]
struct StartLimits {
    each: Duration,
    executors: usize,
}

const START: StartLimits = StartLimits { each: Duration::from_secs(5), executors: 3 };

/// What an executor is for. It is in a channel, so that only one of several gets it.
struct Work<M, E> {
    main: M,
    on_exit: E,
}

/// What threads say of themselves: their number, once they have the work.
type Began = Result<usize, RuntimeError>;

/// Starts an executor on a thread of its own and returns once its first task runs. `on_exit` hears how it ended: the text of
/// the panic if it died.
///
/// # Errors
/// When the kernel refuses, or no executor has begun within 15 seconds. Threads that never began are left behind.
pub fn start_executor<M, F>(
    plan: &ExecutorPlan,
    main: M,
    on_exit: impl FnOnce(Result<(), String>) + Send + 'static,
) -> Result<JoinHandle<()>, RuntimeError>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    first_to_begin(START, Work { main, on_exit }, |number, work, began| {
        spawn(plan, PREEMPT_TIMER, number, (work, began))
    })
}

/// A thread with an executor that takes the work with its first task.
fn spawn<M, F, E>(
    plan: &ExecutorPlan,
    preempt_timer: Duration,
    number: usize,
    (work, began): (Receiver<Work<M, E>>, Sender<Began>),
) -> Result<JoinHandle<()>, RuntimeError>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()> + 'static,
    E: FnOnce(Result<(), String>) + Send + 'static,
{
    let (builder, plan) = (std::thread::Builder::new().name(plan.name.clone()), plan.clone());
    let thread = builder.spawn(move || {
        // In both cases the other side may have given up; then there is nobody to tell.
        let executor = match make(&plan, preempt_timer) {
            Ok(executor) => executor,
            Err(error) => {
                let _ = began.send(Err(error));
                return;
            }
        };
        let mut on_exit = None;
        let life = async {
            if let Ok(work) = work.try_recv() {
                on_exit = Some(work.on_exit);
                let _ = began.send(Ok(number));
                (work.main)().await;
            }
        };
        let result = catch_unwind(AssertUnwindSafe(|| executor.run(life)));
        if let Some(on_exit) = on_exit {
            on_exit(result.map_err(|panic| panic_text(panic.as_ref())));
        }
    });
    thread.map_err(|error| RuntimeError::Failed(error.to_string()))
}

/// Spawns one thread after the other until one has the work.
fn first_to_begin<W>(
    limits: StartLimits,
    work: W,
    spawn: impl Fn(usize, Receiver<W>, Sender<Began>) -> Result<JoinHandle<()>, RuntimeError>,
) -> Result<JoinHandle<()>, RuntimeError> {
    let (begin, awaiting) = bounded(1);
    let (began, beginning) = bounded(limits.executors);
    begin.try_send(work).expect("there is room for it");
    let mut threads = Vec::new();
    for number in 0..limits.executors {
        threads.push(spawn(number, awaiting.clone(), began.clone())?);
        if let Ok(began) = beginning.recv_timeout(limits.each) {
            return began.map(|number| threads.swap_remove(number));
        }
        tracing::warn!(number, "an executor does not begin");
    }
    // Nobody is to begin any more, unless somebody just has.
    if awaiting.try_recv().is_ok() {
        return Err(RuntimeError::Asleep(limits.executors));
    }
    let began = beginning.recv().expect("a sender is here");
    began.map(|number| threads.swap_remove(number))
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
    let (exited, exit) = bounded(1);
    // Too late when it is not waited for any more.
    start_executor(&plan, || async {}, move |result| drop(exited.send(result)))?;
    match exit.recv_timeout(START.each) {
        Ok(result) => result.map_err(RuntimeError::Failed),
        Err(_) => Err(RuntimeError::Asleep(1)),
    }
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
        let thread = start_executor(&plan, || async { panic!("told to") }, move |result| exited.send(result).unwrap());
        assert_eq!(exit.recv_timeout(START.each).unwrap(), Err("told to".to_owned()));
        thread.unwrap().join().unwrap();
    }

    const IMPATIENT: StartLimits = StartLimits { each: Duration::from_millis(20), executors: 3 };

    #[test]
    fn of_several_executors_the_first_that_begins_has_the_work() {
        let (done, is_done) = bounded(IMPATIENT.executors);
        let thread = first_to_begin(IMPATIENT, 7, |number, work, began| {
            let done = done.clone();
            let thread = std::thread::spawn(move || {
                if number > 0
                    && let Ok(work) = work.try_recv()
                {
                    began.send(Ok(number)).unwrap();
                    done.send((number, work)).unwrap();
                }
            });
            Ok(thread)
        });
        thread.unwrap().join().unwrap();
        assert!(matches!(is_done.recv_timeout(START.each), Ok((1 | 2, 7))));
        assert!(is_done.try_recv().is_err(), "it is done once");
    }

    #[test]
    fn executors_that_never_begin_are_not_waited_for_and_get_nothing_later() {
        let (keep, kept) = bounded(IMPATIENT.executors);
        let refused = first_to_begin(IMPATIENT, 7, |_, work, began| {
            keep.send((work, began)).unwrap();
            Ok(std::thread::spawn(|| {}))
        });
        let error = refused.unwrap_err();
        assert_eq!(error, RuntimeError::Asleep(3));
        assert!(error.to_string().contains("3 were started"), "{error}");
        assert!(kept.try_iter().all(|(work, _)| work.try_recv().is_err()));
    }

    /// Goal: what once hung for ever comes up. Method: the time of the first executor's turns is over before they begin, as
    /// when its thread gets no processor for 10 ms; it sleeps with its work before it.
    #[test]
    fn another_executor_takes_the_work_over_which_the_first_fell_asleep() {
        let limits = StartLimits { each: Duration::from_millis(200), executors: 20 };
        let plan = ExecutorPlan { name: "sleepy".to_owned(), cpu: None };
        let (done, is_done) = bounded(1);
        let work = Work { main: move || async move { done.send(()).unwrap() }, on_exit: |_| {} };
        let thread = first_to_begin(limits, work, |number, work, began| {
            let preempt_timer = if number == 0 { Duration::from_nanos(1) } else { PREEMPT_TIMER };
            spawn(&plan, preempt_timer, number, (work, began))
        });
        thread.unwrap().join().unwrap();
        is_done.try_recv().unwrap();
    }
}
