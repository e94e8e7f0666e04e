//! Random settings that fit a corpus. What is left out has its default.

use serde_json::{Map, Value, json};

use super::corpus::{Attribute, Corpus};
use super::features::{Feature, is_on};
use super::vectors;
use crate::support::Random;

/// Settings for the corpus.
pub fn generate(random: &mut Random, corpus: &Corpus) -> Map<String, Value> {
    let mut settings = Map::new();
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            settings.insert(key.to_owned(), value);
        }
    };
    set("searchableAttributes", random.percent(50).then(|| searchable(random, corpus)));
    set("filterableAttributes", random.percent(97).then(|| filterable(random, corpus)));
    set("sortableAttributes", random.percent(90).then(|| sortable(random, corpus)));
    set("displayedAttributes", random.percent(25).then(|| displayed(random, corpus)));
    set("rankingRules", random.percent(50).then(|| ranking_rules(random, corpus)));
    set("stopWords", random.percent(30).then(|| json!(some(random, &["the", "of", "and", "a", "to", "night"]))));
    set("synonyms", random.percent(35).then(|| synonyms(random, corpus)));
    set("typoTolerance", random.percent(30).then(|| typo_tolerance(random, corpus)));
    set("proximityPrecision", random.percent(20).then(|| json!(random.pick(&["byAttribute", "byWord"]))));
    set("separatorTokens", random.percent(8).then(|| json!(some(random, &["x", "||", "é"]))));
    set("nonSeparatorTokens", random.percent(10).then(|| json!(some(random, &["-", "+", "'", "_"]))));
    set("dictionary", random.percent(10).then(|| json!(some(random, &["C++", "mid-air", "3.14", "l'été"]))));
    set("faceting", random.percent(60).then(|| faceting(random, corpus)));
    set("pagination", random.percent(25).then(|| json!({"maxTotalHits": random.pick(&[1, 7, 40, 5_000])})));
    set("prefixSearch", random.percent(12).then(|| json!("disabled")));
    set("localizedAttributes", random.percent(10).then(|| localized(random)));
    set("facetSearch", random.percent(8).then(|| json!(false)));
    set("embedders", (!corpus.embedders.is_empty()).then(|| vectors::setting(random, &corpus.embedders)));
    if is_on(Feature::DistinctSetting) {
        set("distinctAttribute", random.percent(25).then(|| json!(path(random, &corpus.attributes))));
    }
    settings
}

/// Some of these, in another order.
fn some<'a>(random: &mut Random, items: &[&'a str]) -> Vec<&'a str> {
    let mut left = items.to_vec();
    let count = 1 + random.below(items.len());
    (0..count).map(|_| left.swap_remove(random.below(left.len()))).collect()
}

/// The path of some attribute.
pub fn path<'a>(random: &mut Random, attributes: &'a [Attribute]) -> &'a str {
    &random.pick(attributes).path
}

/// Each with so many percent, in random order.
fn part(random: &mut Random, corpus: &Corpus, percent: usize) -> Vec<String> {
    let mut chosen: Vec<String> = Vec::new();
    for attribute in &corpus.attributes {
        if random.percent(percent) {
            chosen.insert(random.below(chosen.len() + 1), attribute.path.clone());
        }
    }
    chosen
}

fn searchable(random: &mut Random, corpus: &Corpus) -> Value {
    let percent = *random.pick(&[25, 60, 90]);
    let mut names = part(random, corpus, percent);
    if names.is_empty() || random.percent(50) {
        names.retain(|name| name != "title");
        names.insert(0, "title".to_owned());
    }
    json!(names)
}

fn filterable(random: &mut Random, corpus: &Corpus) -> Value {
    let features = |random: &mut Random| {
        let comparison = random.percent(80);
        json!({"facetSearch": random.percent(70), "filter": {"equality": random.percent(95), "comparison": comparison}})
    };
    let mut rules: Vec<Value> = match random.below(6) {
        0 => vec![json!({"attributePatterns": ["*"], "features": features(random)})],
        1 => {
            let patterns = some(random, &["owner.*", "*ice", "p*", "tags", "k*", "code*", "*ed*"]);
            let mut rules = vec![json!({"attributePatterns": patterns, "features": features(random)})];
            rules.extend(part(random, corpus, 50).into_iter().map(Value::from));
            rules
        }
        2 => part(random, corpus, 40).into_iter().map(Value::from).collect(),
        _ => part(random, corpus, 90).into_iter().map(Value::from).collect(),
    };
    if corpus.has_places && random.percent(92) {
        rules.push(json!("_geo"));
    }
    rules.into()
}

fn sortable(random: &mut Random, corpus: &Corpus) -> Value {
    let mut names = part(random, corpus, 80);
    if corpus.has_places && random.percent(92) {
        names.push("_geo".to_owned());
    }
    json!(names)
}

fn displayed(random: &mut Random, corpus: &Corpus) -> Value {
    let mut names = part(random, corpus, 60);
    if random.percent(85) && !names.iter().any(|name| name == corpus.primary_key) {
        names.push(corpus.primary_key.to_owned());
    }
    if corpus.has_places && random.percent(50) {
        names.push("_geo".to_owned());
    }
    json!(names)
}

fn ranking_rules(random: &mut Random, corpus: &Corpus) -> Value {
    let of_attributes: &[&str] = if random.percent(50) { &["attribute"] } else { &["attributeRank", "wordPosition"] };
    let mut rules: Vec<String> = Vec::new();
    let in_order = random.percent(50);
    for rule in ["words", "typo", "proximity"].iter().chain(of_attributes).chain(&["sort", "exactness"]) {
        if random.percent(88) {
            let at = if in_order { rules.len() } else { random.below(rules.len() + 1) };
            rules.insert(at, (*rule).to_owned());
        }
    }
    for _ in 0..random.below(3) {
        let rule = format!("{}:{}", path(random, &corpus.attributes), random.pick(&["asc", "desc"]));
        let at = if random.percent(60) { rules.len() } else { random.below(rules.len() + 1) };
        rules.insert(at, rule);
    }
    json!(rules)
}

fn synonyms(random: &mut Random, corpus: &Corpus) -> Value {
    let mut synonyms = Map::new();
    for _ in 0..=random.below(5) {
        let phrase = |random: &mut Random| {
            let words = 1 + random.below(2);
            (0..words).map(|_| corpus.vocabulary.word(random).to_lowercase()).collect::<Vec<_>>().join(" ")
        };
        let others: Vec<String> = (0..=random.below(3)).map(|_| phrase(random)).collect();
        synonyms.insert(phrase(random), json!(others));
    }
    synonyms.into()
}

fn typo_tolerance(random: &mut Random, corpus: &Corpus) -> Value {
    match random.below(5) {
        0 => json!({"enabled": false}),
        1 => json!({"minWordSizeForTypos": {"oneTypo": random.between(2, 5), "twoTypos": random.between(5, 10)}}),
        2 => json!({"disableOnAttributes": part(random, corpus, 30)}),
        3 => json!({"disableOnNumbers": true}),
        _ => {
            let words: Vec<&str> = (0..4).map(|_| corpus.vocabulary.word(random)).collect();
            json!({"disableOnWords": words})
        }
    }
}

fn faceting(random: &mut Random, corpus: &Corpus) -> Value {
    let mut faceting = Map::new();
    if random.percent(70) {
        faceting.insert("maxValuesPerFacet".to_owned(), json!(random.pick(&[1, 2, 5, 20, 100, 100, 500, 5_000])));
    }
    if random.percent(70) {
        let mut orders = Map::new();
        if random.percent(60) {
            orders.insert("*".to_owned(), json!(random.pick(&["count", "alpha"])));
        }
        for _ in 0..random.below(4) {
            orders.insert(path(random, &corpus.attributes).to_owned(), json!(random.pick(&["count", "alpha"])));
        }
        faceting.insert("sortFacetValuesBy".to_owned(), orders.into());
    }
    faceting.into()
}

fn localized(random: &mut Random) -> Value {
    let locales = random.pick(&[["jpn", "eng"], ["cmn", "fra"], ["deu", "eng"]]);
    json!([{"attributePatterns": [random.pick(&["*", "title", "owner.*"])], "locales": locales}])
}
