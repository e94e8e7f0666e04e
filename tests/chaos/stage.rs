//! What all threads of a run share: what may fail at this moment, what was found, what happened when, and the counts.
//!
//! The first finding ends the run, so that everything is as it was when it happened.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::support::{Answer, Random, now};

/// Outside of faults.
pub const CALM: &str = "none";

/// How long after its begin a fault is new.
const NEW: Duration = Duration::from_secs(1);

/// What is going on, as far as it matters to clients.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The fault of now, or [`CALM`].
    pub fault: &'static str,
    /// It began then.
    pub since: Instant,
    /// Whether reads may fail, or lack documents if they say so.
    pub reads_may_fail: bool,
    /// Whether writes may be refused.
    pub writes_may_fail: bool,
    /// How often reads and writes came to be allowed to fail: a request may span such a time.
    lapses: [u64; 2],
}

/// Searches by fault, and whether it was new. Failures are among them.
type Latencies = BTreeMap<(&'static str, bool), Histogram<u64>>;

/// One of the runs.
pub struct Stage {
    begun: Instant,
    /// Between two writes of one thread, at most.
    rest: Duration,
    moment: Mutex<Moment>,
    is_over: AtomicBool,
    history: Mutex<Vec<String>>,
    findings: Mutex<Vec<String>>,
    counts: Mutex<BTreeMap<String, usize>>,
    latencies: Mutex<Latencies>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it has the lock")
}

impl Stage {
    /// All is calm.
    pub fn new(rest: Duration) -> Self {
        let moment =
            Moment { fault: CALM, since: now(), reads_may_fail: false, writes_may_fail: false, lapses: [0; 2] };
        Self {
            begun: now(),
            rest,
            moment: Mutex::new(moment),
            is_over: AtomicBool::new(false),
            history: Mutex::default(),
            findings: Mutex::default(),
            counts: Mutex::default(),
            latencies: Mutex::default(),
        }
    }

    /// What is going on.
    pub fn moment(&self) -> Moment {
        *locked(&self.moment)
    }

    /// A fault is about to begin.
    pub fn begin(&self, fault: &'static str, reads_may_fail: bool, writes_may_fail: bool) {
        let mut moment = locked(&self.moment);
        let lapses = [u64::from(reads_may_fail), u64::from(writes_may_fail)];
        let lapses = [moment.lapses[0] + lapses[0], moment.lapses[1] + lapses[1]];
        // What came before may not be over yet.
        let reads_may_fail = reads_may_fail || moment.reads_may_fail;
        let writes_may_fail = writes_may_fail || moment.writes_may_fail;
        *moment = Moment { fault, since: now(), reads_may_fail, writes_may_fail, lapses };
    }

    /// Miroir takes writes again.
    pub fn writes_go_on(&self) {
        locked(&self.moment).writes_may_fail = false;
    }

    /// Everything is in its place again.
    pub fn calm_down(&self) {
        let mut moment = locked(&self.moment);
        let lapses = moment.lapses;
        *moment = Moment { fault: CALM, since: now(), reads_may_fail: false, writes_may_fail: false, lapses };
    }

    /// May a read fail that began then and has just ended?
    pub fn excuses_read(&self, begun: &Moment) -> bool {
        let moment = self.moment();
        begun.reads_may_fail || moment.reads_may_fail || begun.lapses[0] != moment.lapses[0]
    }

    /// The same of a write.
    pub fn excuses_write(&self, begun: &Moment) -> bool {
        let moment = self.moment();
        begun.writes_may_fail || moment.writes_may_fail || begun.lapses[1] != moment.lapses[1]
    }

    /// Notes what must not be, and ends the run.
    pub fn find(&self, what: &str) {
        let line = self.tell(&format!("FINDING: {what}"));
        locked(&self.findings).push(line);
        self.end();
    }

    /// Notes an error, if it is one.
    pub fn judge(&self, what: &str, result: Result<(), String>) {
        if let Err(error) = result {
            self.find(&format!("{what}: {error}"));
        }
    }

    /// What a read came to: true, its answer is to be checked; else it has failed.
    pub fn accepts(&self, what: &str, begun: &Moment, answer: &Result<Answer, ureq::Error>) -> bool {
        let failure = match answer {
            Ok(answer) if answer.status == 200 || answer.code() == "document_not_found" => None,
            Ok(answer) => Some(format!("{}: {}", answer.status, answer.text)),
            Err(error) => Some(error.to_string()),
        };
        let Some(failure) = failure else { return true };
        self.count("reads that failed while they might");
        if !self.excuses_read(begun) {
            self.find(&format!("{what} failed during {}: {failure}", begun.fault));
        }
        false
    }

    /// Says it, and keeps it for the report of a failure.
    pub fn tell(&self, what: &str) -> String {
        let line = format!("{:8.3} {what}", self.begun.elapsed().as_secs_f64());
        eprintln!("{line}");
        locked(&self.history).push(line.clone());
        line
    }

    /// One more of these.
    pub fn count(&self, what: &str) {
        let mut counts = locked(&self.counts);
        match counts.get_mut(what) {
            Some(count) => *count += 1,
            None => _ = counts.insert(what.to_owned(), 1),
        }
    }

    /// A search that began then has ended.
    pub fn record(&self, begun: &Moment, elapsed: Duration) {
        let is_new = begun.fault != CALM && now() < begun.since + NEW + elapsed;
        let mut latencies = locked(&self.latencies);
        let histogram = latencies
            .entry((begun.fault, is_new))
            .or_insert_with(|| Histogram::new(3).expect("three digits are allowed"));
        histogram.record(elapsed.as_micros() as u64).expect("it grows as it has to");
    }

    /// No thread goes on.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// Does the run go on?
    pub fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Acquire)
    }

    /// Waits so long, or until the run is over.
    pub fn pause(&self, length: Duration) {
        const LOOK: Duration = Duration::from_millis(20);
        let end = now() + length;
        while self.goes_on() {
            let Some(rest) = end.checked_duration_since(now()).filter(|rest| !rest.is_zero()) else { return };
            std::thread::park_timeout(rest.min(LOOK));
        }
    }

    /// What a writer does between two writes.
    pub fn rest(&self, random: &mut Random) {
        self.pause(self.rest * random.below(100) as u32 / 100);
    }

    /// How long it has run.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What was found; empty if nothing.
    pub fn findings(&self) -> Vec<String> {
        locked(&self.findings).clone()
    }

    /// All that happened, with times.
    pub fn history(&self) -> String {
        locked(&self.history).join("\n")
    }

    /// The counts, and the searches by fault.
    pub fn report(&self) -> String {
        let mut text = String::from("counts:\n");
        for (what, count) in locked(&self.counts).iter() {
            writeln!(text, "  {count:8} {what}").expect("writing to a text cannot fail");
        }
        text.push_str("searches by fault, in ms:\n");
        writeln!(text, "  {:44} {:>8} {:>9} {:>9} {:>9}", "fault", "count", "p50", "p99", "max")
            .expect("writing to a text cannot fail");
        for ((fault, is_new), found) in locked(&self.latencies).iter() {
            let name = format!("{fault}{}", if *is_new { ", first second" } else { "" });
            let value = |quantile: f64| found.value_at_quantile(quantile) as f64 / 1000.0;
            let (half, most, max) = (value(0.5), value(0.99), found.max() as f64 / 1000.0);
            writeln!(text, "  {name:44} {:8} {half:9.1} {most:9.1} {max:9.1}", found.len())
                .expect("writing to a text cannot fail");
        }
        text
    }
}

/// Ends the run, also when a thread panics.
pub struct EndAtEnd<'a>(pub &'a Stage);

impl Drop for EndAtEnd<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
