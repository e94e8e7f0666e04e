//! What searches feel while shards move: the same open-loop searches and writes before, during and after a fourth node
//! comes or goes. On one machine each node that is there takes its part of every write from all: what a node costs shows in
//! the steady phases, what moving costs in the one between them.
//!
//! Latency counts from the time at which a search should have begun, so that a stall is seen by all that it delayed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use argh::FromArgs;
use hdrhistogram::Histogram;
use miroir::telemetry::clock;
use serde_json::json;

use crate::Failure;
use crate::copy_rate::load;
use crate::corpus;
use crate::fleet::{Nodes, Server};

/// Threads that search; more than are ever busy at the rates that two processors bear.
const SEARCHERS: u64 = 16;

/// Documents in one write.
const BATCH: usize = 20;

/// measure searches before, during and after a rebalance
#[derive(FromArgs)]
#[argh(subcommand, name = "rebalance")]
pub struct Rebalance {
    /// documents (default 50000)
    #[argh(option, default = "50_000")]
    documents: usize,
    /// replicas of each shard (default 2)
    #[argh(option, default = "2")]
    replicas: u16,
    /// searches per second (default 40)
    #[argh(option, default = "40.0")]
    searches: f64,
    /// writes of 20 documents per second (default 1)
    #[argh(option, default = "1.0")]
    writes: f64,
    /// seconds before and after (default 60)
    #[argh(option, default = "60.0")]
    seconds: f64,
    /// the fourth node is there at first and is drained, instead of coming
    #[argh(switch)]
    drain: bool,
    /// percent of its time that a target may spend on moves; the default limit when left out
    #[argh(option)]
    busy_percent: Option<u8>,
    /// a Meilisearch server; embedded nodes without it
    #[argh(option)]
    meilisearch: Option<PathBuf>,
}

/// One search: when it was due, and how long it took from then.
struct Sample {
    due: Instant,
    latency: Duration,
    is_error: bool,
}

fn wait_until(due: Instant) {
    while let Some(rest) = due.checked_duration_since(clock::instant()).filter(|rest| !rest.is_zero()) {
        std::thread::park_timeout(rest);
    }
}

/// Does something so many times per second, in this thread, until it is told to stop.
fn at_rate(rate: f64, phase: f64, stop: &AtomicBool, mut act: impl FnMut(Instant)) {
    let interval = Duration::from_secs_f64(1.0 / rate);
    let mut due = clock::instant() + interval.mul_f64(phase);
    while !stop.load(Ordering::Acquire) {
        wait_until(due);
        act(due);
        due += interval;
    }
}

struct Load<'a> {
    front: &'a Server,
    stop: AtomicBool,
    searched: AtomicU64,
    refused_writes: AtomicU64,
}

/// Ends the threads, also when an operation fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Load<'_> {
    fn search(&self, rate: f64, phase: f64) -> Vec<Sample> {
        let mut samples = Vec::new();
        at_rate(rate, phase, &self.stop, |due| {
            let body = corpus::search(self.searched.fetch_add(1, Ordering::Relaxed));
            let answer = self.front.ask("POST", "/indexes/bench/search", Some(body));
            samples.push(Sample { due, latency: due.elapsed(), is_error: answer.is_err() });
        });
        samples
    }

    fn write(&self, rate: f64, documents: usize) {
        let mut number = 0;
        at_rate(rate, 0.0, &self.stop, |_| {
            number += 1;
            let ids = (0..BATCH).map(|place| (number * 7_919 + place * 613) % documents);
            let body = corpus::documents(ids, number as u64);
            if self.front.write("POST", "/indexes/bench/documents", body).is_err() {
                self.refused_writes.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

fn row(name: &str, samples: &[Sample], from: Instant, to: Instant) -> f64 {
    let mut latency = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).expect("the bounds are valid");
    let mut errors = 0;
    for sample in samples.iter().filter(|sample| (from..to).contains(&sample.due)) {
        latency.saturating_record(sample.latency.as_micros() as u64);
        errors += u64::from(sample.is_error);
    }
    let ms = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1000.0;
    let (seconds, p99) = ((to - from).as_secs_f64(), ms(0.99));
    println!(
        "| {name} | {seconds:.0} | {} | {errors} | {:.1} | {:.1} | {p99:.1} | {:.1} |",
        latency.len(),
        ms(0.5),
        ms(0.9),
        latency.max() as f64 / 1000.0
    );
    p99
}

impl Rebalance {
    /// Measures and prints.
    pub fn run(self) -> crate::Outcome {
        let nodes = Nodes::new(self.meilisearch.clone())?;
        let mut members = vec![nodes.start("node-0")?, nodes.start("node-1")?, nodes.start("node-2")?];
        let fourth = nodes.start("node-3")?;
        let newcomer = if self.drain {
            members.push(fourth);
            None
        } else {
            Some(fourth)
        };
        let front = nodes.front(&members, self.replicas)?;
        if let Some(percent) = self.busy_percent {
            front.admin.json("PATCH", "/_miroir/rebalance/limits", Some(json!({"busyPercent": percent})))?;
        }
        load(&front.server, self.documents)?;
        let load = Load {
            front: &front.server,
            stop: AtomicBool::new(false),
            searched: AtomicU64::new(0),
            refused_writes: AtomicU64::new(0),
        };
        let (searches, writes, documents) = (self.searches, self.writes, self.documents);
        let (times, samples) = std::thread::scope(|scope| {
            let stop = StopAtEnd(&load.stop);
            let searchers: Vec<_> = (0..SEARCHERS)
                .map(|number| {
                    let (load, phase) = (&load, number as f64 / SEARCHERS as f64);
                    scope.spawn(move || load.search(searches / SEARCHERS as f64, phase))
                })
                .collect();
            scope.spawn(|| load.write(writes, documents));
            let times = self.phases(|| match &newcomer {
                Some(node) => {
                    front.add(node)?;
                    front.rebalance("POST", "/_miroir/rebalance/start", &json!({}))
                }
                None => front.rebalance("POST", "/_miroir/nodes/node-3/drain", &json!({})),
            });
            drop(stop);
            let samples = searchers.into_iter().flat_map(|thread| thread.join().expect("a searcher does not panic"));
            (times, samples.collect::<Vec<_>>())
        });
        self.print(nodes.kind(), &times?, &samples);
        println!("{} writes refused", load.refused_writes.load(Ordering::Relaxed));
        Ok(())
    }

    /// The times at which the load had become steady, the change began and ended, and all was over.
    fn phases(&self, change: impl FnOnce() -> Result<(), Failure>) -> Result<[Instant; 4], Failure> {
        let steady = Duration::from_secs_f64(self.seconds);
        wait_until(clock::instant() + steady / 6);
        let begun = clock::instant();
        wait_until(begun + steady);
        let changed = clock::instant();
        change()?;
        let done = clock::instant();
        wait_until(done + steady);
        Ok([begun, changed, done, clock::instant()])
    }

    fn print(&self, kind: &str, times: &[Instant; 4], samples: &[Sample]) {
        let Self { documents, replicas, searches, writes, .. } = self;
        let change = if self.drain { "from 4 to 3 nodes" } else { "from 3 to 4 nodes" };
        println!(
            "{kind}, {documents} documents, {replicas} replicas, {searches} searches/s, {writes} writes/s of {BATCH}; {change}\n"
        );
        println!(
            "| phase | seconds | searches | errors | p50 ms | p90 ms | p99 ms | max ms |\n|---|---|---|---|---|---|---|---|"
        );
        let before = row("before", samples, times[0], times[1]);
        let during = row("rebalance", samples, times[1], times[2]);
        row("after", samples, times[2], times[3]);
        println!("\np99 during the rebalance: {:.2} of that before it", during / before);
    }
}
