//! Random searches over all parameters, put together from parts that are each there or not.

use serde_json::{Map, Value, json};

use super::corpus::{Attribute, Corpus};
use super::features::{Feature, is_on};
use super::filters::{filter, place};
use super::settings::path;
use super::vectors;
use super::vocabulary::{prefix, typo};
use crate::support::Random;

/// A JSON object.
pub type Object = Map<String, Value>;

/// A search of this corpus.
pub fn search(random: &mut Random, corpus: &Corpus) -> Object {
    let mut body = Object::new();
    if random.percent(75) {
        body.insert("q".to_owned(), json!(text(random, corpus)));
    }
    if random.percent(30) {
        body.insert("filter".to_owned(), filter(random, corpus));
    }
    let can_sort = corpus.settings.contains_key("sortableAttributes");
    if random.percent(if can_sort { 35 } else { 2 }) {
        body.insert("sort".to_owned(), sort(random, corpus));
    }
    if random.percent(30) {
        body.insert("facets".to_owned(), facets(random, corpus));
    }
    if is_on(Feature::Distinct) && random.percent(15) {
        body.insert("distinct".to_owned(), json!(path(random, &corpus.attributes)));
    }
    if random.percent(35) {
        vectors::add_to(random, corpus, &mut body);
    }
    paging(random, &mut body);
    matching(random, corpus, &mut body);
    showing(random, corpus, &mut body);
    if random.percent(2) {
        spoil(random, &mut body);
    }
    body
}

fn paging(random: &mut Random, body: &mut Object) {
    let mut set = |key: &str, value: usize| body.insert(key.to_owned(), json!(value));
    match random.below(10) {
        0 => {
            set("offset", *random.pick(&[0, 1, 2, 5, 30, 1_001]));
        }
        1 | 2 => {
            set("offset", random.below(15));
            set("limit", random.below(30));
        }
        3 => {
            set("limit", *random.pick(&[0, 1, 200, 1_000, 3_000]));
        }
        4 => {
            set("page", random.below(3));
        }
        5 => {
            set("hitsPerPage", *random.pick(&[0, 1, 7, 100]));
        }
        6 | 7 => {
            set("page", 1 + random.below(3));
            set("hitsPerPage", 1 + random.below(20));
        }
        _ => {}
    }
}

fn matching(random: &mut Random, corpus: &Corpus, body: &mut Object) {
    let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
    if random.percent(30) {
        set("matchingStrategy", json!(random.pick(&["last", "all", "frequency"])));
    }
    if random.percent(8) {
        set("attributesToSearchOn", attributes_to_search_on(random, corpus));
    }
    if random.percent(3) {
        set("rankingScoreThreshold", json!(random.between(0, 20) as f64 / 20.0));
    }
    if random.percent(3) {
        set("locales", json!([random.pick(&["eng", "jpn", "cmn", "de"])]));
    }
}

fn attributes_to_search_on(random: &mut Random, corpus: &Corpus) -> Value {
    let searchable = corpus.setting_texts("searchableAttributes").unwrap_or_default();
    let name = |random: &mut Random| match random.below(20) {
        0 => path(random, &corpus.attributes).to_owned(),
        1 | 2 => inside(random, corpus, &searchable),
        3 => (*random.pick(&["owner.*", "parts.*", "t*", "*o*", "*"])).to_owned(),
        _ if searchable.is_empty() => path(random, &corpus.attributes).to_owned(),
        _ => (*random.pick(&searchable)).to_owned(),
    };
    (0..=random.below(3)).map(|_| name(random)).map(Value::from).collect()
}

/// An attribute inside of one of these.
fn inside(random: &mut Random, corpus: &Corpus, outer: &[&str]) -> String {
    let is_inside =
        |path: &str| outer.iter().any(|outer| path.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.')));
    let inner: Vec<&str> =
        corpus.attributes.iter().map(|attribute| attribute.path.as_str()).filter(|path| is_inside(path)).collect();
    if inner.is_empty() { path(random, &corpus.attributes).to_owned() } else { (*random.pick(&inner)).to_owned() }
}

fn showing(random: &mut Random, corpus: &Corpus, body: &mut Object) {
    let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
    if random.percent(25) {
        set("attributesToRetrieve", names(random, corpus, "*"));
    }
    if random.percent(12) {
        set("attributesToHighlight", names(random, corpus, "*"));
        if random.percent(30) {
            set("highlightPreTag", json!("<b class=\"x\">"));
            set("highlightPostTag", json!("</b>"));
        }
    }
    if random.percent(10) {
        let length = random.between(0, 9);
        let name = |name: &str| if length % 3 == 0 { format!("{name}:{length}") } else { name.to_owned() };
        set("attributesToCrop", json!([name(random.pick::<&str>(&["*", "title", "body", "owner.name"]))]));
        if random.percent(60) {
            set("cropLength", json!(random.between(0, 12)));
        }
        if random.percent(30) {
            set("cropMarker", json!("[..]"));
        }
    }
    for (name, percent) in [("showMatchesPosition", 8), ("showRankingScore", 10), ("showRankingScoreDetails", 10)] {
        if random.percent(percent) {
            set(name, json!(true));
        }
    }
    if vectors::retrieves(random, corpus, 2) {
        set("retrieveVectors", json!(true));
    }
}

/// Some attributes, or all, or some that are not there.
pub fn names(random: &mut Random, corpus: &Corpus, all: &str) -> Value {
    match random.below(10) {
        0..=2 => json!([all]),
        3 => json!([]),
        4 => json!(["nowhere", path(random, &corpus.attributes)]),
        5 => json!([all, path(random, &corpus.attributes)]),
        _ => (0..=random.below(4)).map(|_| Value::from(path(random, &corpus.attributes))).collect(),
    }
}

/// What is searched for.
fn text(random: &mut Random, corpus: &Corpus) -> String {
    let vocabulary = &corpus.vocabulary;
    let word = vocabulary.word(random);
    let words =
        |random: &mut Random, count: usize| (0..count).map(|_| vocabulary.word(random)).collect::<Vec<_>>().join(" ");
    match random.below(30) {
        0 => String::new(),
        1..=4 => words(random, 1),
        5..=7 => words(random, 2),
        8 => words(random, 3),
        9 => neighbours(random, corpus, 3),
        10 => {
            let count = 4 + random.below(8);
            neighbours(random, corpus, count)
        }
        11 | 12 => typo(random, word),
        13 => format!("{} {}", words(random, 1), typo(random, word)),
        14 => {
            let once = typo(random, word);
            typo(random, &once)
        }
        15 | 16 => prefix(random, word),
        17 | 18 => format!("{} {}", words(random, 1), prefix(random, word)),
        19 | 20 => format!("\"{}\"", neighbours(random, corpus, 2)),
        21 => format!("\"{}\" {}", neighbours(random, corpus, 2), words(random, 1)),
        22 => format!("{} -{}", words(random, 1), words(random, 1)),
        23 => format!("{} -\"{}\"", words(random, 1), neighbours(random, corpus, 2)),
        24 => neighbours(random, corpus, 2).replace(' ', ""),
        25 => {
            let letters: Vec<char> = word.chars().collect();
            let at = random.below(letters.len());
            format!("{} {}", letters[..at].iter().collect::<String>(), letters[at..].iter().collect::<String>())
        }
        26 => words(random, 1).to_uppercase(),
        27 => format!("the {} of", words(random, 1)),
        28 => (*random.pick(&["xylozzyqq", "12", "3.14", "\"", "-", "the", "東京都", "?!", "c1", "tru"])).to_owned(),
        _ => vocabulary.any_word(random).to_owned(),
    }
}

/// Words that stand beside each other in some document.
fn neighbours(random: &mut Random, corpus: &Corpus, count: usize) -> String {
    let document = corpus.documents.get(random.below(corpus.documents.len().max(1)));
    let text = document.and_then(|document| {
        let fields = ["body", "title", "comment"];
        fields.iter().skip(random.below(2)).find_map(|field| document[*field].as_str())
    });
    let words: Vec<&str> = text.unwrap_or("silent night").split_whitespace().collect();
    let at = random.below(words.len().max(1));
    words.iter().skip(at).take(count).copied().collect::<Vec<_>>().join(" ")
}

fn sort(random: &mut Random, corpus: &Corpus) -> Value {
    let sortable = corpus.setting_texts("sortableAttributes").unwrap_or_default();
    let rule = |random: &mut Random| {
        let direction = *random.pick(&["asc", "desc"]);
        if corpus.has_places && random.percent(25) {
            let (lat, lng) = place(random);
            return json!(format!("_geoPoint({lat}, {lng}):{direction}"));
        }
        if sortable.is_empty() || random.percent(1) {
            return json!(format!("{}:{direction}", path(random, &corpus.attributes)));
        }
        match *random.pick(&sortable) {
            "_geo" => json!(format!("_geoPoint(10.5,20):{direction}")),
            name => json!(format!("{name}:{direction}")),
        }
    };
    (0..=random.below(3)).map(|_| rule(random)).collect()
}

/// Names and patterns for `facets`.
pub fn facets(random: &mut Random, corpus: &Corpus) -> Value {
    let filterable = corpus.setting_texts("filterableAttributes").unwrap_or_default();
    let name = |random: &mut Random| {
        if filterable.is_empty() || random.percent(2) {
            path(random, &corpus.attributes).to_owned()
        } else {
            (*random.pick(&filterable)).to_owned()
        }
    };
    let is_wanted = |name: &String| {
        let attribute = corpus.attributes.iter().find(|attribute| attribute.path == *name);
        name != "_geo" && (is_on(Feature::MixedFacets) || !attribute.is_some_and(Attribute::is_mixed))
    };
    match random.below(12) {
        0 if is_on(Feature::MixedFacets) => json!(["*"]),
        1 if is_on(Feature::MixedFacets) => json!([random.pick(&["owner*", "own*", "*s", "t*"])]),
        2 => json!([]),
        _ => (0..=random.below(4)).map(|_| name(random)).filter(is_wanted).map(Value::from).collect(),
    }
}

/// Something that no server takes.
fn spoil(random: &mut Random, body: &mut Object) {
    let wrong = [
        ("filter", json!("nowhere = 1")),
        ("filter", json!("price > ")),
        ("filter", json!("_geoRadius(1, 2)")),
        ("filter", json!("_geoBoundingBox([1, 2], [3, 4])")),
        ("filter", json!({"price": 1})),
        ("filter", json!("title CONTAINS x")),
        ("sort", json!(["nowhere:asc"])),
        ("sort", json!(["price"])),
        ("sort", json!(["_geoPoint(1):asc"])),
        ("limit", json!(-1)),
        ("limit", json!("many")),
        ("page", json!(1.5)),
        ("matchingStrategy", json!("some")),
        ("facets", json!(["nowhere"])),
        ("facets", json!("title")),
        ("attributesToSearchOn", json!(["nowhere"])),
        ("rankingScoreThreshold", json!(2)),
        ("locales", json!(["klingon"])),
        ("distinct", json!(["price"])),
        ("colour", json!("red")),
        ("q", json!(7)),
    ];
    let (key, value) = random.pick(&wrong);
    body.insert((*key).to_owned(), value.clone());
}
