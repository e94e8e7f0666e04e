//! Random searches of random corpora under random settings, on one server and on Miroir over fleets of 2 to 5 nodes with R
//! from 1 to 3. `make parity SEED=… CASES=…` runs more of them; a round alone is repeated with `MIROIR_TEST_ROUND`.

mod case;
mod classes;
mod compare;
mod corpus;
mod dictionary;
mod evidence;
mod facet_search;
mod features;
mod federated;
mod filters;
mod forms;
mod known;
mod lists;
mod order;
mod outcome;
mod pages;
mod queries;
mod round;
mod servers;
mod settings;
mod similar;
mod single;
mod vectors;
mod vocabulary;
mod walk;
mod world;

use classes::CLASSES;
use forms::FORMS;
use round::{Round, Tally};
use servers::say_which_nodes;

use crate::support::{cases, only_round, seed};

/// Cases of an ordinary run of all tests.
const CASES_DEFAULT: usize = 1_000;

/// Cases of a round at most. Starting a fleet and loading it takes as long as many searches.
const CASES_OF_ROUND: usize = 1_000;

/// How many unexplained differences are printed.
const SHOWN_MAX: usize = 20;

/// Of a hundred cases without `frequency` so many may have an explained difference.
const EXPLAINED_PERCENT_MAX: usize = 1;

/// The same for short runs, where one corpus weighs more.
const EXPLAINED_PERCENT_MAX_OF_FEW: usize = 3;

/// Below that a run is short.
const MANY_CASES: usize = 10_000;

/// At least two rounds, so that fleets differ.
fn rounds(cases: usize) -> Vec<Round> {
    let size = CASES_OF_ROUND.min(cases.div_ceil(2)).max(1);
    let round = |number: usize| Round { seed: seed(), number, cases: size.min(cases - number * size) };
    let rounds = (0..cases.div_ceil(size)).map(round);
    rounds.filter(|round| only_round().is_none_or(|only| only == round.number)).collect()
}

fn report(tally: &Tally) {
    let Tally { cases, with_hits, refused, frequency, .. } = tally;
    eprintln!("{cases} cases, {with_hits} with hits, {refused} refused, {frequency} with `frequency`");
    for form in FORMS {
        eprintln!("  {} of the form: {}", tally.forms.get(form.name).copied().unwrap_or_default(), form.name);
    }
    for class in CLASSES {
        let count = tally.explained.get(class.name).copied().unwrap_or_default();
        eprintln!("{count} explained by {}: {}", class.name, class.reason);
    }
    for text in tally.unexplained.iter().take(SHOWN_MAX) {
        eprintln!("unexplained: {text}");
    }
    if !tally.unexplained.is_empty() {
        let path = format!("{}/parity-differences.txt", env!("CARGO_TARGET_TMPDIR"));
        std::fs::write(&path, tally.unexplained.join("\n")).expect("the folder for tests is writable");
        eprintln!("all of them: {path}");
    }
}

#[test]
fn random_searches_are_answered_as_by_one_server() {
    say_which_nodes();
    let cases = cases(CASES_DEFAULT);
    let mut tally = Tally::default();
    for round in rounds(cases) {
        let found = round.run();
        if !found.unexplained.is_empty() {
            let (seed, number) = (round.seed, round.number);
            let count = found.unexplained.len();
            eprintln!("  {count} unexplained; make parity SEED={seed} CASES={cases} ROUND={number} repeats this round");
        }
        tally.add(found);
    }
    report(&tally);
    assert!(tally.unexplained.is_empty(), "{} unexplained differences", tally.unexplained.len());
    assert!(tally.with_hits * 100 > tally.cases * 40, "too few cases find something to compare");
    let bounded = CLASSES.iter().filter(|class| class.is_bounded);
    let explained: usize = bounded.filter_map(|class| tally.explained.get(class.name)).sum();
    let percent_max = if cases < MANY_CASES { EXPLAINED_PERCENT_MAX_OF_FEW } else { EXPLAINED_PERCENT_MAX };
    let without_frequency = tally.cases - tally.frequency;
    assert!(
        explained * 100 <= without_frequency * percent_max,
        "{explained} explained differences in {without_frequency} cases without `frequency`"
    );
}
