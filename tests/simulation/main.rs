//! Seeded simulation of the feeder protocol: the very code of `logic::feeder` against simulated nodes with
//! Meilisearch's batch behaviour, lost answers, late requests and crashes, compared with one server that applies the
//! journal in order.
//!
//! `MIROIR_SIM_SEEDS=20000 cargo nextest run --test simulation` runs more seeds; a failing one prints the command that
//! repeats it with a trace (`MIROIR_SIM_SEED`).

mod checks;
mod documents;
mod durable;
mod node;
mod oracle;
mod random;
mod world;

use miroir::logic::feeder::Rules;
use world::{Options, Violation, World};

const SEEDS: u64 = 2_400;

const PLAIN: Options = Options { rules: Rules::ALL, is_far: false, operations: 25, is_traced: false };

fn one(seed: u64, options: Options) -> Result<(), Violation> {
    World::new(seed, options).run()
}

#[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs every `step`-th seed from `first` on.
fn run(first: u64, step: u64, options: Options, test: &str) {
    if let Some(seed) = number("MIROIR_SIM_SEED") {
        one(seed, Options { is_traced: true, ..options }).expect("the seed fails");
        return;
    }
    let seeds = number("MIROIR_SIM_SEEDS").unwrap_or(SEEDS);
    for seed in (first..seeds).step_by(step as usize) {
        if let Err(Violation(text)) = one(seed, options) {
            panic!("seed {seed}: {text}\nrepeat: MIROIR_SIM_SEED={seed} cargo nextest run --test simulation {test}");
        }
    }
}

#[test]
fn every_task_ends_as_on_one_server_whatever_fails() {
    run(0, 2, PLAIN, "every_task_ends_as_on_one_server_whatever_fails");
}

#[test]
fn replicas_agree_after_long_runs_whatever_fails() {
    run(1, 2, Options { operations: 35, ..PLAIN }, "replicas_agree_after_long_runs_whatever_fails");
}
