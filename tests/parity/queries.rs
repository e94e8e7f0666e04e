//! Searches generated from a corpus and a seed, one kind after the other, so that every kind is asked equally often.

use serde_json::{Map, Value, json};

use super::corpus::Corpus;
use crate::support::Random;

/// One search.
#[derive(Clone, Debug)]
pub struct Query {
    /// What it tries, for the report.
    pub kind: &'static str,
    /// The body.
    pub body: Map<String, Value>,
}

type Generator = fn(&mut Random, &Corpus, &mut Map<String, Value>);

/// Every kind. A generator that does not fit the corpus leaves the body empty, and the query is not asked.
const KINDS: &[(&str, Generator)] = &[
    ("nothing", |_, _, body| set(body, "q", "")),
    ("one word", |random, corpus, body| set(body, "q", words(random, corpus, 1))),
    ("two words", |random, corpus, body| set(body, "q", words(random, corpus, 2))),
    ("many words", |random, corpus, body| {
        let count = 3 + random.below(3);
        set(body, "q", words(random, corpus, count));
    }),
    ("all words", |random, corpus, body| {
        set(body, "q", words(random, corpus, 2));
        set(body, "matchingStrategy", "all");
    }),
    ("typo", |random, corpus, body| set(body, "q", typo(random, corpus))),
    ("typo in a phrase of words", |random, corpus, body| {
        set(body, "q", format!("{} {}", words(random, corpus, 1), typo(random, corpus)));
    }),
    ("prefix", |random, corpus, body| set(body, "q", prefix(random, corpus))),
    ("word and prefix", |random, corpus, body| {
        set(body, "q", format!("{} {}", words(random, corpus, 1), prefix(random, corpus)));
    }),
    ("phrase", |random, corpus, body| set(body, "q", format!("\"{}\"", neighbours(random, corpus)))),
    ("phrase and word", |random, corpus, body| {
        set(body, "q", format!("\"{}\" {}", neighbours(random, corpus), words(random, corpus, 1)));
    }),
    ("negative word", |random, corpus, body| {
        set(body, "q", format!("{} -{}", words(random, corpus, 1), words(random, corpus, 1)));
    }),
    ("negative phrase", |random, corpus, body| {
        set(body, "q", format!("{} -\"{}\"", words(random, corpus, 1), neighbours(random, corpus)));
    }),
    ("unknown word", |_, _, body| set(body, "q", "xylozzyqq")),
    ("filter", |random, corpus, body| set(body, "filter", filter(random, corpus))),
    ("filter and word", |random, corpus, body| {
        set(body, "q", words(random, corpus, 1));
        set(body, "filter", filter(random, corpus));
    }),
    ("nested filter", |random, corpus, body| {
        let (a, b, c) = (filter(random, corpus), filter(random, corpus), filter(random, corpus));
        set(body, "filter", format!("({a} OR {b}) AND NOT ({c})"));
    }),
    ("filter of arrays", |random, corpus, body| {
        let (a, b, c) = (filter(random, corpus), filter(random, corpus), filter(random, corpus));
        set(body, "filter", json!([[a, b], c]));
    }),
    ("facets", |random, corpus, body| {
        set(body, "q", words(random, corpus, 1));
        set(body, "facets", facets(corpus));
    }),
    ("facets with filter", |random, corpus, body| {
        set(body, "facets", facets(corpus));
        set(body, "filter", filter(random, corpus));
        set(body, "hitsPerPage", 5);
    }),
    ("sort", |random, corpus, body| set(body, "sort", sort(random, corpus))),
    ("sort with word", |random, corpus, body| {
        set(body, "q", words(random, corpus, 1));
        set(body, "sort", sort(random, corpus));
    }),
    ("near a place", |random, corpus, body| {
        if corpus.fields.has_places {
            let direction = *random.pick(&["asc", "desc"]);
            let (lat, lng) = place(random);
            set(body, "sort", json!([format!("_geoPoint({lat},{lng}):{direction}")]));
        }
    }),
    ("within a radius", |random, corpus, body| {
        if corpus.fields.has_places {
            let (lat, lng) = place(random);
            set(body, "filter", format!("_geoRadius({lat}, {lng}, {})", random.between(500_000, 5_000_000)));
            set(body, "sort", json!([format!("_geoPoint({lat},{lng}):asc")]));
        }
    }),
    ("within a box", |random, corpus, body| {
        if corpus.fields.has_places {
            let (lat, lng) = place(random);
            let (height, width) = (random.between(5, 40), random.between(5, 60));
            let (top, right) = ((lat + height as f64).min(89.0), (lng + width as f64).min(179.0));
            set(body, "filter", format!("_geoBoundingBox([{top}, {right}], [{lat}, {lng}])"));
            set(body, "q", words(random, corpus, 1));
        }
    }),
    ("offset and limit", |random, corpus, body| {
        set(body, "q", words(random, corpus, 1));
        set(body, "offset", random.below(30));
        set(body, "limit", random.below(30));
    }),
    ("page", |random, corpus, body| {
        set(body, "q", words(random, corpus, 1));
        set(body, "page", 1 + random.below(5));
        set(body, "hitsPerPage", 1 + random.below(12));
    }),
    ("page of everything", |random, _, body| {
        set(body, "page", 1 + random.below(20));
        set(body, "hitsPerPage", 1 + random.below(60));
    }),
    ("some attributes", |random, corpus, body| {
        set(body, "q", words(random, corpus, 1));
        set(body, "attributesToRetrieve", some(random, &corpus.fields.displayed));
    }),
    ("highlight", |random, corpus, body| {
        set(body, "q", words(random, corpus, 2));
        set(body, "attributesToHighlight", some(random, &corpus.fields.displayed));
        set(body, "highlightPreTag", "<b>");
        set(body, "highlightPostTag", "</b>");
    }),
    ("crop", |random, corpus, body| {
        set(body, "q", words(random, corpus, 2));
        set(body, "attributesToCrop", json!(["*"]));
        set(body, "cropLength", random.between(2, 9));
        set(body, "attributesToHighlight", json!(["*"]));
        set(body, "cropMarker", "[..]");
    }),
    ("matches", |random, corpus, body| {
        set(body, "q", format!("{} {}", words(random, corpus, 1), prefix(random, corpus)));
        set(body, "showMatchesPosition", true);
    }),
    ("ranking score", |random, corpus, body| {
        set(body, "q", words(random, corpus, 2));
        set(body, "showRankingScore", true);
    }),
    ("score details", |random, corpus, body| {
        set(body, "q", words(random, corpus, 3));
        set(body, "showRankingScoreDetails", true);
        set(body, "sort", sort(random, corpus));
    }),
    ("attributes to search on", |random, corpus, body| {
        set(body, "q", words(random, corpus, 1));
        set(body, "attributesToSearchOn", some(random, &corpus.fields.searchable));
    }),
    ("ranking score threshold", |random, corpus, body| {
        set(body, "q", words(random, corpus, 2));
        set(body, "rankingScoreThreshold", random.between(2, 9) as f64 / 10.0);
    }),
    ("everything at once", |random, corpus, body| {
        set(body, "q", format!("{} {}", words(random, corpus, 1), prefix(random, corpus)));
        set(body, "filter", filter(random, corpus));
        set(body, "sort", sort(random, corpus));
        set(body, "facets", facets(corpus));
        set(body, "attributesToHighlight", json!(["*"]));
        set(body, "showMatchesPosition", true);
        set(body, "page", 1);
        set(body, "hitsPerPage", 15);
    }),
    ("refused", |random, _, body| {
        let wrong = [
            ("filter", json!("nowhere = 1")),
            ("filter", json!("year > ")),
            ("sort", json!(["nowhere:asc"])),
            ("sort", json!(["year"])),
            ("limit", json!(-1)),
            ("limit", json!("many")),
            ("matchingStrategy", json!("some")),
            ("facets", json!(["nowhere"])),
            ("facets", json!(["*"])),
            ("attributesToSearchOn", json!(["nowhere"])),
            ("rankingScoreThreshold", json!(2)),
            ("colour", json!("red")),
        ];
        let (key, value) = random.pick(&wrong);
        set(body, key, value.clone());
    }),
];

/// So many queries of every kind that fits.
pub fn generate(seed: u64, corpus: &Corpus, rounds: usize) -> Vec<Query> {
    let random = &mut Random::new(seed ^ 0x9E1A);
    let mut queries = Vec::new();
    for _ in 0..rounds {
        for (kind, generator) in KINDS {
            let mut body = Map::new();
            generator(random, corpus, &mut body);
            if !body.is_empty() {
                queries.push(Query { kind, body });
            }
        }
    }
    queries
}

fn set(body: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    body.insert(key.to_owned(), value.into());
}

fn words(random: &mut Random, corpus: &Corpus, count: usize) -> String {
    let words: Vec<&str> = (0..count).map(|_| random.pick_skewed(&corpus.words).as_str()).collect();
    words.join(" ")
}

/// A long word with one letter dropped, doubled or replaced.
fn typo(random: &mut Random, corpus: &Corpus) -> String {
    let long: Vec<&String> = corpus.words.iter().filter(|word| word.is_ascii() && word.len() >= 6).collect();
    let mut letters: Vec<char> = random.pick(&long).chars().collect();
    let at = 1 + random.below(letters.len() - 1);
    match random.below(3) {
        0 => drop(letters.remove(at)),
        1 => letters.insert(at, letters[at]),
        _ => letters[at] = 'x',
    }
    letters.into_iter().collect()
}

fn prefix(random: &mut Random, corpus: &Corpus) -> String {
    let word: Vec<char> = random.pick_skewed(&corpus.words).chars().collect();
    word[..=random.below(word.len())].iter().collect()
}

/// Two words that stand beside each other in some document.
fn neighbours(random: &mut Random, corpus: &Corpus) -> String {
    let document = random.pick(&corpus.documents);
    let text = ["overview", "about"].iter().find_map(|field| document[*field].as_str()).unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().map(|word| word.trim_end_matches('.')).collect();
    let at = random.below(words.len() - 1);
    format!("{} {}", words[at], words[at + 1])
}

fn filter(random: &mut Random, corpus: &Corpus) -> String {
    let (text, values) = random.pick(&corpus.fields.texts);
    let (a, b) = (random.pick(values), random.pick(values));
    let (number, low, high) = *random.pick(&corpus.fields.numbers);
    let (x, y) = (random.between(low, high), random.between(low, high));
    match random.below(15) {
        0 => format!("{text} = '{a}'"),
        1 => format!("{text} != \"{a}\""),
        2 => format!("{text} IN ['{a}', '{b}']"),
        3 => format!("{text} NOT IN ['{a}', '{b}']"),
        4 => format!("{number} > {x}"),
        5 => format!("{number} <= {x}"),
        6 => format!("{number} {} TO {}", x.min(y), x.max(y)),
        7 => format!("{number} EXISTS"),
        8 => format!("{number} NOT EXISTS"),
        9 => format!("{number} IS NULL"),
        10 => format!("{number} IS NOT NULL"),
        11 => format!("{text} IS EMPTY"),
        12 => format!("{text} IS NOT EMPTY"),
        13 => format!("{number} = {x}"),
        _ => format!("{text} STARTS WITH '{}'", a.chars().take(2).collect::<String>()),
    }
}

fn facets(corpus: &Corpus) -> Value {
    let texts = corpus.fields.texts.iter().map(|(name, _)| *name);
    texts.chain(corpus.fields.numbers.iter().map(|(name, ..)| *name)).collect()
}

fn sort(random: &mut Random, corpus: &Corpus) -> Value {
    let fields = some_of(random, &corpus.fields.sortable);
    fields.iter().map(|field| format!("{field}:{}", random.pick(&["asc", "desc"]))).collect()
}

fn place(random: &mut Random) -> (f64, f64) {
    (random.between(-700, 700) as f64 / 10.0, random.between(-1700, 1700) as f64 / 10.0)
}

fn some_of<'a>(random: &mut Random, items: &[&'a str]) -> Vec<&'a str> {
    let first = random.below(items.len());
    let count = 1 + random.below(2);
    (0..count.min(items.len())).map(|step| items[(first + step) % items.len()]).collect()
}

fn some(random: &mut Random, items: &[&'static str]) -> Value {
    json!(some_of(random, items))
}
