//! One round: a fleet of some size beside one server, some corpora loaded into both, and many searches of each.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::case::Case;
use super::classes::CLASSES;
use super::compare::{Difference, compare, compare_plain, shortened};
use super::corpus::{Corpus, generate};
use super::dictionary::LazyDictionary;
use super::evidence::Evidence;
use super::known::KnownAttributes;
use super::queries::{Object, search};
use super::servers::{Alone, Sides, load};
use crate::support::{Answer, Fleet, FleetOptions, Random, now, real_meilisearch};

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
    /// Cases with explained differences, by class.
    pub explained: BTreeMap<&'static str, usize>,
    /// Differences that no class explains.
    pub unexplained: Vec<String>,
    /// Time spent on asking.
    pub asking: Duration,
}

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.with_hits += other.with_hits;
        self.refused += other.refused;
        self.frequency += other.frequency;
        self.asking += other.asking;
        self.unexplained.extend(other.unexplained);
        for (class, count) in other.explained {
            *self.explained.entry(class).or_default() += count;
        }
    }
}

impl Round {
    fn options(self) -> FleetOptions {
        let random = &mut Random::new(self.seed_of(u64::MAX));
        let (nodes, replication_factor) = TOPOLOGIES[(self.seed as usize).wrapping_add(self.number) % TOPOLOGIES.len()];
        let shards = *random.pick(&[8, 16, 64]);
        FleetOptions { nodes, replication_factor, shards, meilisearch: real_meilisearch(), ..FleetOptions::new() }
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
        let mut tally = Tally::default();
        for (number, corpus) in corpora.iter().enumerate() {
            let known = KnownAttributes::of(&fleet, corpus);
            let sides = Sides { one: &one, miroir: &miroir };
            let found = self.ask_all(number, corpus, sides, &known);
            if !found.unexplained.is_empty() {
                keep(self, corpus);
            }
            tally.add(found);
        }
        let (cases, asking) = (tally.cases, tally.asking.as_secs_f64());
        let per_second = cases as f64 / asking;
        eprintln!("  loaded in {:.0} s; {cases} cases, {per_second:.0} per second", loading.as_secs_f64());
        tally
    }

    fn ask_all(self, number: usize, corpus: &Corpus, sides: Sides<'_>, known: &KnownAttributes) -> Tally {
        let started = now();
        let count = self.cases * (number + 1) / CORPORA - self.cases * number / CORPORA;
        let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let dictionary = LazyDictionary::of(corpus);
                    loop {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        if place >= count {
                            break;
                        }
                        let random = &mut Random::new(self.seed_of((number << 32 | place) as u64 + 1_000));
                        let found = ask(random, known, &dictionary, sides);
                        tally.lock().expect("no thread panics while it adds").add(found);
                    }
                });
            }
        });
        let mut tally = tally.into_inner().expect("all threads have ended");
        tally.asking = now() - started;
        let place = format!("round {}, {}", self.number, corpus.index);
        tally.unexplained.iter_mut().for_each(|text| *text = format!("{place}: {text}"));
        tally
    }
}

/// With details in the answer and the key retrieved, so that hits can be compared one by one.
fn detailed(corpus: &Corpus, body: &Object) -> Value {
    let mut body = body.clone();
    body.insert("showRankingScoreDetails".to_owned(), true.into());
    body.insert("showRankingScore".to_owned(), true.into());
    if let Some(Value::Array(attributes)) = body.get_mut("attributesToRetrieve")
        && !attributes.iter().any(|name| *name == corpus.primary_key || *name == "*")
    {
        attributes.push(corpus.primary_key.into());
    }
    body.into()
}

/// Asks one case and looks at what came back.
fn ask(random: &mut Random, known: &KnownAttributes, dictionary: &LazyDictionary<'_>, sides: Sides<'_>) -> Tally {
    let corpus = dictionary.corpus;
    let body = search(random, corpus);
    let case = Case { corpus, body: &body };
    let target = format!("/indexes/{}/search", corpus.index);
    let with_details = detailed(corpus, &body);
    let (one, miroir) = (sides.one.post(&target, &with_details), sides.miroir.post(&target, &with_details));
    let mut found = compare(&case, &one, &miroir);
    if found.is_empty() && random.percent(30) {
        let plain = Value::from(body.clone());
        let (one, plain) = (sides.one.post(&target, &plain), sides.miroir.post(&target, &plain));
        found = compare_plain(&case, &one, &plain, &miroir);
    }
    let mut tally = Tally { cases: 1, ..Tally::default() };
    tally.with_hits = usize::from(one.json["hits"].as_array().is_some_and(|hits| !hits.is_empty()));
    tally.refused = usize::from(one.status != 200);
    tally.frequency = usize::from(case.text("matchingStrategy") == "frequency");
    let evidence = Evidence {
        case,
        dictionary,
        known,
        sides,
        one: &one.json,
        miroir: &miroir.json,
        approximate: miroir.header("x-miroir-approximate").unwrap_or_default(),
        first_hits: OnceCell::new(),
    };
    for difference in &found {
        match CLASSES.iter().find(|class| (class.explains)(&evidence, difference.aspect)) {
            Some(class) => *tally.explained.entry(class.name).or_default() = 1,
            None => tally.unexplained.push(describe(&body, difference, &one, &miroir)),
        }
    }
    tally
}

fn describe(body: &Object, difference: &Difference, one: &Answer, miroir: &Answer) -> String {
    let Difference { aspect, text } = difference;
    let sides = format!("one server: {}\n    miroir: {}", shortened(&one.json), shortened(&miroir.json));
    format!("{}\n    {aspect:?}: {text}\n    {sides}", json!(body))
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
