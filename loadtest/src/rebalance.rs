//! What searches feel while shards move: the same open-loop searches and writes before, during and after one node more comes
//! or goes. On one machine each node that is there takes its part of every write from all: what a node costs shows in the
//! steady phases, what moving costs in the one between them.
//!
//! Latency counts from the time at which a search should have begun, so that a stall is seen by all that it delayed. Each
//! round has fresh servers; of several the medians count. An answer that lacks shards is an error too, in its own column.

use std::fmt;
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
use crate::fleet::{Node, Nodes, Server};

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
    /// nodes at first (default 3); with --drain one more
    #[argh(option, default = "3")]
    nodes: usize,
    /// the last node is there at first and is drained, instead of coming
    #[argh(switch)]
    drain: bool,
    /// rounds, each with fresh servers; the medians count (default 1)
    #[argh(option, default = "1")]
    rounds: usize,
    /// percent of its time that a target may spend on moves; the default limit when left out
    #[argh(option)]
    busy_percent: Option<u8>,
    /// a Meilisearch server; embedded nodes without it
    #[argh(option)]
    meilisearch: Option<PathBuf>,
}

/// What came of a search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Right,
    /// It lacks shards.
    Degraded,
    Failed,
}

/// One search: when it was due, and how long it took from then.
struct Sample {
    due: Instant,
    latency: Duration,
    outcome: Outcome,
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
            let outcome = match self.front.ask_whole("POST", "/indexes/bench/search", Some(body)) {
                Ok(answer) if answer.is_degraded => Outcome::Degraded,
                Ok(_) => Outcome::Right,
                Err(_) => Outcome::Failed,
            };
            samples.push(Sample { due, latency: due.elapsed(), outcome });
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

/// The phases of a round, in their order.
const PHASES: [&str; 3] = ["before", "rebalance", "after"];

/// What searches of one phase felt. Times are in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Phase {
    seconds: f64,
    searches: u64,
    errors: usize,
    degraded: usize,
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Phase {
    fn of(samples: &[Sample], from: Instant, to: Instant) -> Self {
        let mut latency = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).expect("the bounds are valid");
        let of_phase = || samples.iter().filter(|sample| (from..to).contains(&sample.due));
        of_phase().for_each(|sample| latency.saturating_record(sample.latency.as_micros() as u64));
        let count = |outcome: Outcome| of_phase().filter(|sample| sample.outcome == outcome).count();
        let ms = |micros: u64| micros as f64 / 1000.0;
        let quantile = |quantile: f64| ms(latency.value_at_quantile(quantile));
        Self {
            seconds: (to - from).as_secs_f64(),
            searches: latency.len(),
            errors: count(Outcome::Failed),
            degraded: count(Outcome::Degraded),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            max: ms(latency.max()),
        }
    }

    fn print(&self, name: &str) {
        let Self { seconds, searches, errors, degraded, p50, p90, p99, max } = self;
        println!(
            "| {name} | {seconds:.0} | {searches} | {errors} | {degraded} | {p50:.1} | {p90:.1} | {p99:.1} | {max:.1} |"
        );
    }
}

/// The middle one of some numbers, the least and the greatest.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(numbers: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.collect();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = ((sorted.len() - 1) / 2, sorted.len() / 2);
        let median = f64::midpoint(sorted[low], sorted[high]);
        Self { median, least: sorted[0], most: sorted[sorted.len() - 1] }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.2} ({:.2} to {:.2})", self.median, self.least, self.most)
    }
}

/// At most so much of the p99 before is wanted during a rebalance.
const GOAL: f64 = 1.5;

/// Medians over the rounds, each with the least and the greatest.
fn summary(rounds: &[[Phase; 3]]) -> String {
    let mut text = format!("{} rounds, medians (least to greatest)\n", rounds.len());
    for (number, name) in PHASES.into_iter().enumerate() {
        text += &format!("p99 ms {name}: {}\n", Spread::of(rounds.iter().map(|round| round[number].p99)));
    }
    let ratio = |one: usize, other: usize| Spread::of(rounds.iter().map(|round| round[one].p99 / round[other].p99));
    let of_before = ratio(1, 0);
    text += &format!("p99 after of before: {}\np99 during of after: {}\n", ratio(2, 0), ratio(1, 2));
    let verdict = if of_before.median <= GOAL { "met" } else { "not met" };
    text += &format!("p99 during of before: {of_before}; at most {GOAL} is {verdict}\n");
    let count = |of: fn(&Phase) -> usize| rounds.iter().flatten().map(of).sum::<usize>();
    text += &format!("{} errors, {} degraded", count(|phase| phase.errors), count(|phase| phase.degraded));
    text
}

impl Rebalance {
    /// Measures and prints.
    pub fn run(self) -> crate::Outcome {
        if self.rounds == 0 || self.nodes == 0 {
            return Err("--rounds and --nodes must be at least 1".into());
        }
        let kind = if self.meilisearch.is_some() { "Meilisearch" } else { "embedded nodes" };
        let Self { documents, replicas, searches, writes, nodes, .. } = &self;
        let (from, to) = if self.drain { (nodes + 1, *nodes) } else { (*nodes, nodes + 1) };
        println!(
            "{kind}, {documents} documents, {replicas} replicas, {searches} searches/s, {writes} writes/s of {BATCH}; from {from} \
             to {to} nodes"
        );
        let mut rounds = Vec::new();
        for number in 1..=self.rounds {
            println!(
                "\n| round {number} | seconds | searches | errors | degraded | p50 ms | p90 ms | p99 ms | max ms |"
            );
            println!("|---|---|---|---|---|---|---|---|---|");
            rounds.push(self.round()?);
        }
        println!("\n{}", summary(&rounds));
        Ok(())
    }

    /// One round with fresh servers.
    fn round(&self) -> Result<[Phase; 3], Failure> {
        let nodes = Nodes::new(self.meilisearch.clone())?;
        let start = |number: usize| nodes.start(&format!("node-{number}"));
        let mut members = (0..self.nodes).map(start).collect::<Result<Vec<Node>, Failure>>()?;
        let more = start(self.nodes)?;
        let (last, mut newcomer) = (more.id.clone(), Some(more));
        if self.drain {
            members.extend(newcomer.take());
        }
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
        let (times, samples) = self.under_load(&load, || match &newcomer {
            Some(node) => {
                front.add(node)?;
                front.rebalance("POST", "/_miroir/rebalance/start", &json!({}))
            }
            None => front.rebalance("POST", &format!("/_miroir/nodes/{last}/drain"), &json!({})),
        })?;
        let phases = [0, 1, 2].map(|number| Phase::of(&samples, times[number], times[number + 1]));
        PHASES.iter().zip(&phases).for_each(|(name, phase)| phase.print(name));
        println!("\n{} writes refused", load.refused_writes.load(Ordering::Relaxed));
        Ok(phases)
    }

    /// Searches and writes until the change and the phase after it are over.
    fn under_load(
        &self,
        load: &Load<'_>,
        change: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<([Instant; 4], Vec<Sample>), Failure> {
        let (searches, writes, documents) = (self.searches, self.writes, self.documents);
        std::thread::scope(|scope| {
            let stop = StopAtEnd(&load.stop);
            let searchers: Vec<_> = (0..SEARCHERS)
                .map(|number| {
                    let phase = number as f64 / SEARCHERS as f64;
                    scope.spawn(move || load.search(searches / SEARCHERS as f64, phase))
                })
                .collect();
            scope.spawn(|| load.write(writes, documents));
            let times = self.phases(change);
            drop(stop);
            let samples = searchers.into_iter().flat_map(|thread| thread.join().expect("a searcher does not panic"));
            let samples = samples.collect();
            Ok((times?, samples))
        })
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(begin: Instant) -> Vec<Sample> {
        let sample = |ms: u64| {
            let outcome = match ms {
                10 => Outcome::Degraded,
                20 => Outcome::Failed,
                _ => Outcome::Right,
            };
            Sample { due: begin + Duration::from_millis(ms), latency: Duration::from_millis(ms + 1), outcome }
        };
        (0..200).map(sample).collect()
    }

    #[test]
    fn answers_that_lack_shards_and_errors_are_counted_in_their_phase() {
        let begin = clock::instant();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let samples = samples(begin);
        let first = Phase::of(&samples, at(0), at(100));
        assert_eq!((first.searches, first.errors, first.degraded), (100, 1, 1));
        assert!((first.p99 - 99.0).abs() < 0.5 && (first.max - 100.0).abs() < 0.5, "{first:?}");
        let second = Phase::of(&samples, at(100), at(200));
        assert_eq!((second.searches, second.errors, second.degraded), (100, 0, 0));
    }

    #[test]
    fn of_several_rounds_the_medians_count() {
        let spread = |numbers: &[f64]| Spread::of(numbers.iter().copied());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Spread { median: 2.0, least: 1.0, most: 3.0 });
        assert_eq!(spread(&[4.0, 1.0]), Spread { median: 2.5, least: 1.0, most: 4.0 });
        let phase =
            |p99: f64| Phase { seconds: 1.0, searches: 1, errors: 1, degraded: 2, p50: 1.0, p90: 1.0, p99, max: p99 };
        let round = |before: f64, during: f64| [before, during, 20.0].map(phase);
        let text = summary(&[round(10.0, 12.0), round(10.0, 30.0), round(20.0, 28.0)]);
        assert!(text.contains("p99 during of before: 1.40 (1.20 to 3.00); at most 1.5 is met"), "{text}");
        assert!(text.ends_with("9 errors, 18 degraded"), "{text}");
        let text = summary(&[round(10.0, 16.0)]);
        assert!(text.contains("1.60 (1.60 to 1.60); at most 1.5 is not met"), "{text}");
    }
}
