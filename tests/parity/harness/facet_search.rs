//! Facet search: values that begin with a text, with their counts.

use miroir::logic::merge::facets::normalize;
use serde_json::{Value, json};

use super::case::Case;
use super::compare::{Aspect, Counts, Difference, are_equal_by_count, compare_errors, difference, field_names};
use super::outcome::{Answered, Outcome, described};
use super::queries::{Object, search};
use super::settings::path;
use super::vocabulary::{prefix, typo};
use super::world::{Asker, Searched};
use crate::support::{Answer, Random};

/// What a facet search takes of a search.
const OF_SEARCH: [&str; 8] =
    ["q", "filter", "matchingStrategy", "attributesToSearchOn", "rankingScoreThreshold", "locales", "hybrid", "vector"];

/// The first so many letters of a value are enough: what may be meant by a long text takes long to work out.
const LETTERS_MAX: usize = 60;

/// One of them.
pub fn ask(asker: &mut Asker<'_>) -> Outcome {
    let (searched, sides) = (asker.searched, asker.sides());
    let body = request(&mut asker.random, searched);
    let index = &searched.corpus.index;
    let (target, sent) = (format!("/indexes/{index}/facet-search"), Value::from(body.clone()));
    let (one, miroir) = (sides.one.post(&target, &sent), sides.miroir.post(&target, &sent));
    let mut outcome = Outcome::of(&one);
    let case = Case { corpus: searched.corpus, body: &body };
    let found = differences(&case, &one, &miroir);
    let approximate = miroir.header("x-miroir-approximate").unwrap_or_default();
    let answered = Answered { searched, body: &body, one: &one.json, miroir: &miroir.json, approximate };
    answered.add_to(&mut outcome, sides, &found, &described("facet search", index, &body));
    outcome
}

fn differences(case: &Case<'_>, one: &Answer, miroir: &Answer) -> Vec<Difference> {
    if one.status != 200 || miroir.status != 200 {
        return compare_errors(one, miroir);
    }
    let (left, right) = (field_names(&one.json), field_names(&miroir.json));
    if left != right {
        return vec![difference(Aspect::Fields, "fields", &json!(left), &json!(right))];
    }
    if one.json["facetQuery"] != miroir.json["facetQuery"] {
        return vec![difference(Aspect::Fields, "facetQuery", &one.json["facetQuery"], &miroir.json["facetQuery"])];
    }
    let (left, right) = (counts(&one.json), counts(&miroir.json));
    let is_by_count = case.is_by_count(case.text("facetName"));
    if left == right || is_by_count && are_equal_by_count(&left, &right, case.facet_values_max()) {
        return Vec::new();
    }
    let at = left.iter().zip(&right).take_while(|(left, right)| left == right).count();
    let from = |counts: &Counts| json!(counts.iter().skip(at).take(5).collect::<Vec<_>>());
    let what = format!("{} against {} values, from {at} on", left.len(), right.len());
    vec![difference(Aspect::Facets, &what, &from(&left), &from(&right))]
}

/// Values, normalised: of several spellings of one value any may be shown.
fn counts(answer: &Value) -> Counts {
    let hits = answer["facetHits"].as_array().into_iter().flatten();
    let count = |hit: &Value| hit["count"].as_u64().unwrap_or(u64::MAX);
    hits.map(|hit| (normalize(hit["value"].as_str().unwrap_or_default()), count(hit))).collect()
}

fn request(random: &mut Random, searched: &Searched<'_>) -> Object {
    let corpus = searched.corpus;
    let mut body = search(random, corpus);
    body.retain(|name, _| OF_SEARCH.contains(&name.as_str()));
    if random.percent(40) {
        body.shift_remove("q");
    }
    let filterable = corpus.setting_texts("filterableAttributes").unwrap_or_default();
    let facet = if filterable.is_empty() || random.percent(8) {
        path(random, &corpus.attributes)
    } else {
        random.pick::<&str>(&filterable)
    };
    if random.percent(85) {
        body.insert("facetQuery".to_owned(), json!(facet_query(random, searched, facet)));
    }
    if random.percent(20) {
        body.insert("exhaustiveFacetCount".to_owned(), json!(random.percent(60)));
    }
    body.insert("facetName".to_owned(), json!(facet));
    body
}

/// The beginning of one of the facet's values, perhaps with a typo.
fn facet_query(random: &mut Random, searched: &Searched<'_>, facet: &str) -> String {
    let attribute = searched.corpus.attributes.iter().find(|attribute| attribute.path == facet);
    let values = attribute.map(|attribute| attribute.values.as_slice()).unwrap_or_default();
    let text = match values.get(random.below(values.len().max(1))) {
        Some(Value::String(text)) if !text.is_empty() => text.clone(),
        Some(other @ (Value::Number(_) | Value::Bool(_))) => other.to_string(),
        _ => searched.corpus.vocabulary.word(random).to_owned(),
    };
    let text: String = text.chars().take(LETTERS_MAX).collect();
    match random.below(10) {
        0 => String::new(),
        1 => text,
        2 => typo(random, &text),
        3 => text.to_uppercase(),
        _ => prefix(random, &text),
    }
}
