//! One round: a fleet of some size beside one server, some corpora loaded into both, and many searches of each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use super::corpus::{Corpus, generate};
use super::dictionary::LazyDictionary;
use super::forms;
use super::known::KnownAttributes;
use super::outcome::Outcome;
use super::servers::{Alone, Sides, load};
use super::world::{Asker, Searched, World};
use crate::support::{Fleet, FleetOptions, Random, now, real_meilisearch};

/// Indexes of a round.
const CORPORA: usize = 4;

/// Nodes and R, round by round.
const TOPOLOGIES: [(usize, usize); 11] =
    [(3, 2), (5, 1), (2, 1), (4, 3), (3, 1), (5, 2), (2, 2), (4, 1), (3, 3), (5, 3), (4, 2)];

/// Cases that are asked at the same time.
const THREADS: usize = 4;

/// Which of all rounds it is, and how many cases it has.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Of the whole run.
    pub seed: u64,
    /// From 0.
    pub number: usize,
    /// Over all its corpora.
    pub cases: usize,
}

/// What came of a round, or of all of them.
#[derive(Debug, Default)]
pub struct Tally {
    /// Cases in all.
    pub cases: usize,
    /// Of these, with hits on the one server.
    pub with_hits: usize,
    /// Of these, refused by the one server.
    pub refused: usize,
    /// Of these, with `matchingStrategy: frequency`.
    pub frequency: usize,
    /// Cases by their form.
    pub forms: BTreeMap<&'static str, usize>,
    /// Cases with explained differences, by class.
    pub explained: BTreeMap<&'static str, usize>,
    /// Differences that no class explains.
    pub unexplained: Vec<String>,
    /// Time spent on asking.
    pub asking: Duration,
}

impl Tally {
    fn add_case(&mut self, form: &'static str, outcome: Outcome) {
        self.cases += 1;
        *self.forms.entry(form).or_default() += 1;
        self.with_hits += usize::from(outcome.has_hits);
        self.refused += usize::from(outcome.is_refused);
        self.frequency += usize::from(outcome.has_frequency);
        self.unexplained.extend(outcome.unexplained);
        for class in outcome.explained {
            *self.explained.entry(class).or_default() += 1;
        }
    }

    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.with_hits += other.with_hits;
        self.refused += other.refused;
        self.frequency += other.frequency;
        self.asking += other.asking;
        self.unexplained.extend(other.unexplained);
        for (counts, more) in [(&mut self.explained, other.explained), (&mut self.forms, other.forms)] {
            for (name, count) in more {
                *counts.entry(name).or_default() += count;
            }
        }
    }
}

impl Round {
    fn options(self) -> FleetOptions {
        let random = &mut Random::new(self.seed_of(u64::MAX));
        let (nodes, replication_factor) = TOPOLOGIES[(self.seed as usize).wrapping_add(self.number) % TOPOLOGIES.len()];
        let shards = *random.pick(&[8, 16, 64]);
        let configuration = if self.sorts_ties() { "search: {sort_ties_by_id: on}\n" } else { "" }.to_owned();
        let meilisearch = real_meilisearch();
        FleetOptions { nodes, replication_factor, shards, meilisearch, configuration, ..FleetOptions::new() }
    }

    /// Whether ties come in the order of their ids: in every other round.
    fn sorts_ties(self) -> bool {
        self.number % 2 == 1
    }

    /// A seed of its own for each part of the round.
    fn seed_of(self, part: u64) -> u64 {
        let mut mixed = Random::new(self.seed ^ (self.number as u64).rotate_left(24) ^ part.rotate_left(48));
        mixed.next()
    }

    /// Starts everything, asks all cases, and says what came of them.
    pub fn run(self) -> Tally {
        let options = self.options();
        let corpora: Vec<Corpus> = (0..CORPORA)
            .map(|number| generate(&mut Random::new(self.seed_of(number as u64)), &format!("corpus-{number}")))
            .collect();
        let sizes: Vec<usize> = corpora.iter().map(|corpus| corpus.documents.len()).collect();
        let (nodes, replicas) = (options.nodes, options.replication_factor);
        eprintln!("round {}: {nodes} nodes, R = {replicas}; {sizes:?} documents", self.number);
        let started = now();
        let (alone, fleet) = (Alone::start(), Fleet::start(&options));
        let (one, miroir) = (alone.node.client(), fleet.client());
        std::thread::scope(|scope| {
            for (client, corpora) in [(&one, &corpora), (&miroir, &corpora)] {
                scope.spawn(move || {
                    for corpus in corpora {
                        load(client, corpus);
                    }
                });
            }
        });
        let loading = now() - started;
        let searched = corpora.iter().map(|corpus| Searched {
            corpus,
            dictionary: LazyDictionary::of(corpus),
            known: KnownAttributes::of(&fleet, corpus),
        });
        let world = World {
            searched: searched.collect(),
            sides: Sides {
                one: &one,
                miroir: &miroir,
                has_whole_nodes: nodes == replicas,
                sorts_ties: self.sorts_ties(),
            },
            may_change_ties: replicas > 1 && !self.sorts_ties(),
        };
        let mut tally = Tally::default();
        for number in 0..corpora.len() {
            tally.add(self.ask_all(number, &world));
        }
        if !tally.unexplained.is_empty() {
            for corpus in &corpora {
                keep(self, corpus);
            }
        }
        let (cases, asking) = (tally.cases, tally.asking.as_secs_f64());
        let per_second = cases as f64 / asking;
        eprintln!("  loaded in {:.0} s; {cases} cases, {per_second:.0} per second", loading.as_secs_f64());
        tally
    }

    fn ask_all(self, number: usize, world: &World<'_>) -> Tally {
        let started = now();
        let count = self.cases * (number + 1) / CORPORA - self.cases * number / CORPORA;
        let searched = &world.searched[number];
        let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    loop {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        if place >= count {
                            break;
                        }
                        let random = Random::new(self.seed_of((number << 32 | place) as u64 + 1_000));
                        let mut asker = Asker { random, world, searched };
                        let form = forms::pick(&mut asker);
                        let outcome = (form.ask)(&mut asker);
                        tally.lock().expect("no thread panics while it adds").add_case(form.name, outcome);
                    }
                });
            }
        });
        let mut tally = tally.into_inner().expect("all threads have ended");
        tally.asking = now() - started;
        let place = format!("round {}, {}", self.number, searched.corpus.index);
        tally.unexplained.iter_mut().for_each(|text| *text = format!("{place}: {text}"));
        tally
    }
}

/// Writes a corpus with differences to where it can be looked at.
fn keep(round: Round, corpus: &Corpus) {
    let name = format!("parity-{}-{}-{}.json", round.seed, round.number, corpus.index);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let key = corpus.primary_key;
    let text = json!({"settings": corpus.settings, "primaryKey": key, "documents": corpus.documents}).to_string();
    std::fs::write(&path, text).expect("the folder for tests is writable");
    eprintln!("  settings and documents of {}: {}", corpus.index, path.display());
}
