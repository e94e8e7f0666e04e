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

/// A rule that is left out, and what it takes to see why it is there.
struct Mutation {
    name: &'static str,
    options: Options,
    /// A violation comes up in the first so many seeds.
    seeds: u64,
}

fn mutations() -> Vec<Mutation> {
    let without = |leave_out: fn(&mut Rules)| {
        let mut rules = Rules::ALL;
        leave_out(&mut rules);
        Options { rules, operations: 35, ..PLAIN }
    };
    let far = |options| Options { is_far: true, ..options };
    let seeds = 400;
    vec![
        Mutation { name: "hide", options: without(|rules| rules.hide = false), seeds },
        Mutation { name: "map", options: without(|rules| rules.map = false), seeds },
        Mutation { name: "store", options: without(|rules| rules.store = false), seeds },
        Mutation { name: "outdur", options: without(|rules| rules.outdur = false), seeds },
        Mutation { name: "required", options: without(|rules| rules.required = false), seeds },
        Mutation { name: "revert", options: without(|rules| rules.revert = false), seeds },
        Mutation { name: "resolve", options: without(|rules| rules.resolve = false), seeds },
        Mutation { name: "decide", options: without(|rules| rules.decide = false), seeds },
        Mutation { name: "leave", options: without(|rules| rules.leave = false), seeds },
        Mutation { name: "poll", options: far(without(|rules| rules.poll = false)), seeds },
        Mutation { name: "far", options: far(without(|rules| rules.far = false)), seeds },
        Mutation { name: "idle", options: without(|rules| rules.idle = false), seeds },
        Mutation { name: "batch", options: without(|rules| rules.batch = false), seeds },
        Mutation { name: "hold", options: without(|rules| rules.hold = false), seeds },
        Mutation { name: "none, far", options: far(without(|_| {})), seeds },
    ]
}

/// How often each rule is missed: `MIROIR_SIM_SEEDS=3000 cargo test --test simulation survey -- --ignored --nocapture`.
#[test]
#[ignore = "a table for people"]
fn survey() {
    let seeds = number("MIROIR_SIM_SEEDS").unwrap_or(500);
    for mutation in mutations() {
        let failing: Vec<(u64, String)> =
            (0..seeds).filter_map(|seed| Some((seed, one(seed, mutation.options).err()?.0))).collect();
        let first = failing.first().map(|(seed, text)| format!("{seed}: {text}"));
        println!("{:10} {:5} of {seeds}, first {first:?}", mutation.name, failing.len());
    }
}
