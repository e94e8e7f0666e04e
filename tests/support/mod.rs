//! What the suites of real processes share: ports, processes that end with their test, an HTTP client, a whole fleet.
//!
//! The variables `MIROIR_TEST_…` are read here and nowhere else. Nothing sleeps: conditions are waited for, with a deadline.
#![allow(dead_code, unreachable_pub, reason = "each suite uses its part of this")]

pub mod client;
pub mod fleet;
pub mod model;
pub mod ports;
pub mod process;
pub mod random;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use client::{Answer, Client};
pub use fleet::{Fleet, FleetOptions};
pub use ports::Port;
pub use process::Process;
pub use random::Random;

/// A real Meilisearch to test with instead of embedded nodes.
pub fn real_meilisearch() -> Option<PathBuf> {
    variable("MIROIR_TEST_MEILISEARCH").map(PathBuf::from)
}

/// The seed of generated tests: fixed unless told otherwise, so that a run can be repeated.
pub fn seed() -> u64 {
    variable("MIROIR_TEST_SEED").map_or(1, |text| text.parse().expect("MIROIR_TEST_SEED is a number"))
}

/// Rounds of the kill tests, for longer runs by hand.
pub fn rounds(default: usize) -> usize {
    variable("MIROIR_TEST_ROUNDS").map_or(default, |text| text.parse().expect("MIROIR_TEST_ROUNDS is a number"))
}

/// How long the long run of faults takes.
pub fn minutes(default: u64) -> Duration {
    Duration::from_mins(number("MIROIR_TEST_MINUTES").unwrap_or(default))
}

/// Nodes of the long run of faults, and replicas.
pub fn size(nodes: usize, replicas: usize) -> (usize, usize) {
    let read = |name: &str, default: usize| number(name).map_or(default, |number| number as usize);
    (read("MIROIR_TEST_NODES", nodes), read("MIROIR_TEST_REPLICAS", replicas))
}

/// The only kinds of faults that are wanted, separated by commas.
pub fn only_faults() -> Option<String> {
    variable("MIROIR_TEST_FAULTS")
}

/// Another build of Miroir to test, a release build for long runs.
pub fn miroir_program() -> Option<PathBuf> {
    variable("MIROIR_TEST_PROGRAM").map(PathBuf::from)
}

/// Cases of the generated searches.
pub fn cases(default: usize) -> usize {
    variable("MIROIR_TEST_CASES").map_or(default, |text| text.parse().expect("MIROIR_TEST_CASES is a number"))
}

/// The only round of generated searches that is to be run.
pub fn only_round() -> Option<usize> {
    variable("MIROIR_TEST_ROUND").map(|text| text.parse().expect("MIROIR_TEST_ROUND is a number"))
}

/// Write golden files instead of comparing with them.
pub fn records() -> bool {
    variable("MIROIR_TEST_RECORD").is_some()
}

fn number(name: &str) -> Option<u64> {
    variable(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn variable(name: &str) -> Option<String> {
    std::env::vars_os().find(|(found, _)| found == name).map(|(_, value)| value.to_string_lossy().into_owned())
}

/// The clock of the tests.
#[expect(clippy::disallowed_methods, reason = "tests measure real processes in real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits until the condition gives a value.
///
/// # Panics
/// After `limit`, with `what` was waited for and the last thing that was seen instead.
pub fn wait_for<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Result<T, String>) -> T {
    const PAUSE: Duration = Duration::from_millis(10);
    let deadline = now() + limit;
    loop {
        match condition() {
            Ok(value) => return value,
            Err(seen) => assert!(now() < deadline, "waited {limit:?} in vain for {what}; last seen: {seen}"),
        }
        std::thread::park_timeout(PAUSE);
    }
}
