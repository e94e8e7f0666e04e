//! Federated searches: several searches of one index and of others, in one list of hits.

use serde_json::{Map, Value, json};

use super::case::Case;
use super::classes::{APPROXIMATE, DISTINCT_FEDERATED, FREQUENCY, OTHER_ERROR, is_about_what_is_found};
use super::compare::{Aspect, Difference, Federated, compare, compare_federated};
use super::features::{Feature, is_on};
use super::lists::query;
use super::outcome::{Answered, Outcome};
use super::queries::{Object, facets};
use super::settings::path;
use super::single::{detailed, in_body};
use super::world::{Asker, Searched};
use crate::support::{Answer, Random};

/// What searches of a federation must not have.
const OF_FEDERATION: [&str; 5] = ["offset", "limit", "page", "hitsPerPage", "facets"];

/// How often another request is made where the first ones are refused, of a hundred, and how often at most.
const REPAIRED_PERCENT: usize = 85;
const REPAIRS_MAX: usize = 4;

/// So many hits of each search are looked at for evidence.
const FIRST_HITS: usize = 1_000;

/// One query of a federation.
type Query<'a> = (&'a Searched<'a>, Object);

/// Up to five searches of up to three indexes.
pub fn ask(asker: &mut Asker<'_>) -> Outcome {
    let sides = asker.sides();
    let (mut queries, mut federation) = request(asker);
    for _ in 0..REPAIRS_MAX {
        let answer = sides.one.post("/multi-search", &json!({"queries": sent(&queries), "federation": federation}));
        if answer.status == 200 || asker.random.percent(100 - REPAIRED_PERCENT) {
            break;
        }
        (queries, federation) = request(asker);
    }
    let request = json!({"queries": sent(&queries), "federation": federation});
    let (one, miroir) = (sides.one.post("/multi-search", &request), sides.miroir.post("/multi-search", &request));
    if let Some(distinct) = federation.get("distinct") {
        for (_, body) in &mut queries {
            body.insert("distinct".to_owned(), distinct.clone());
        }
    }
    let cases = queries.iter().map(|(searched, body)| Case { corpus: searched.corpus, body }).collect();
    let asked = Federated { cases, federation: Case { corpus: asker.searched.corpus, body: &federation } };
    let found = compare_federated(&asked, &one, &miroir);
    let mut outcome = Outcome::of(&one);
    outcome.has_frequency =
        queries.iter().any(|(_, body)| body.get("matchingStrategy").is_some_and(|it| it == "frequency"));
    let approximate = miroir.header("x-miroir-approximate").unwrap_or_default();
    let mut of_queries: Option<Vec<&'static str>> = None;
    if !found.is_empty() && is_other_error(asker, &request, &one, &miroir) {
        outcome.explained.insert(OTHER_ERROR);
        return outcome;
    }
    for difference in &found {
        if is_said_to_be_approximate(difference, approximate) {
            outcome.explained.insert(APPROXIMATE);
            continue;
        }
        if outcome.has_frequency && is_about_what_is_found(difference.aspect) {
            outcome.explained.insert(FREQUENCY);
            continue;
        }
        let classes = of_queries.get_or_insert_with(|| classes_of_queries(asker, &queries));
        if matches!(difference.aspect, Aspect::Order | Aspect::Ties) && classes.is_empty() && are_walks(asker, &queries)
        {
            outcome.explained.insert(DISTINCT_FEDERATED);
            continue;
        }
        if classes.is_empty() || matches!(difference.aspect, Aspect::Status | Aspect::Message | Aspect::Fields) {
            outcome.add_unexplained(&request, difference, &one.json, &miroir.json);
        }
        outcome.explained.extend(classes.iter().copied());
    }
    outcome
}

/// Whether the one server refuses the order of merged facets, and, without them, says what Miroir says.
fn is_other_error(asker: &Asker<'_>, request: &Value, one: &Answer, miroir: &Answer) -> bool {
    if one.code() != "invalid_multi_search_facet_order" {
        return false;
    }
    let mut unmerged = request.clone();
    unmerged["federation"].as_object_mut().map(|federation| federation.remove("mergeFacets"));
    let unmerged = asker.sides().one.post("/multi-search", &unmerged);
    (unmerged.status, &unmerged.json) == (miroir.status, &miroir.json)
}

fn is_said_to_be_approximate(difference: &Difference, approximate: &str) -> bool {
    match difference.aspect {
        Aspect::Facets => approximate.contains("facets"),
        Aspect::Total | Aspect::Estimate => approximate.contains("totals"),
        Aspect::Order | Aspect::Ties => approximate.contains("hits"),
        Aspect::Status | Aspect::Message | Aspect::Fields | Aspect::Body => false,
    }
}

/// Classes that explain why searches of the federation, each asked alone, are answered differently.
fn classes_of_queries(asker: &Asker<'_>, queries: &[Query<'_>]) -> Vec<&'static str> {
    let of_query = |query: &Query<'_>| {
        with_alone(asker, query, |answered, found| {
            answered.explain(asker.sides(), found).into_iter().flatten().collect()
        })
    };
    queries.iter().flat_map(|query| -> Vec<&'static str> { of_query(query) }).collect()
}

/// Whether hits are distinct, and those of each search alone are, on both sides, what they can be.
fn are_walks(asker: &Asker<'_>, queries: &[Query<'_>]) -> bool {
    let mut distinct =
        queries.iter().filter(|(searched, body)| Case { corpus: searched.corpus, body }.distinct().is_some());
    let is_walk =
        |query| with_alone(asker, query, |answered, _| answered.evidence(asker.sides()).has_walks_of_the_same_hits());
    distinct.clone().next().is_some() && distinct.all(is_walk)
}

/// Looks at a search of the federation asked alone, and at its differences.
fn with_alone<T>(asker: &Asker<'_>, query: &Query<'_>, look: impl FnOnce(&Answered<'_>, &[Difference]) -> T) -> T {
    let sides = asker.sides();
    let (searched, body) = query;
    let mut body = body.clone();
    body.shift_remove("federationOptions");
    body.insert("limit".to_owned(), json!(FIRST_HITS));
    let sent = detailed(searched.corpus, &body);
    let [one, miroir] = [sides.one, sides.miroir].map(|client| in_body(client, searched.corpus, &sent));
    let found = compare(&Case { corpus: searched.corpus, body: &body }, &one, &miroir);
    let approximate = miroir.header("x-miroir-approximate").unwrap_or_default();
    look(&Answered { searched, body: &body, one: &one.json, miroir: &miroir.json, approximate }, &found)
}

/// The queries with details, so that hits can be compared one by one.
fn sent(queries: &[Query<'_>]) -> Value {
    let listed = |(searched, body): &Query<'_>| {
        let mut body = detailed(searched.corpus, body);
        body.insert("indexUid".to_owned(), searched.corpus.index.clone().into());
        Value::from(body)
    };
    queries.iter().map(listed).collect()
}

fn request<'a>(asker: &mut Asker<'a>) -> (Vec<Query<'a>>, Object) {
    let count = 1 + asker.random.below(5);
    let mut queries: Vec<Query<'a>> = Vec::new();
    for _ in 0..count {
        let (mut searched, mut body) = query(asker);
        if let Some((first, _)) = queries.first()
            && asker.random.percent(40)
        {
            // Another one of the same index; what it asks for may be refused there.
            (searched, body) = (first, super::queries::search(&mut asker.random, first.corpus));
        }
        let random = &mut asker.random;
        body.retain(|name, _| !OF_FEDERATION.contains(&name.as_str()) || random.percent(1));
        if !is_on(Feature::QueryVectors) {
            body.shift_remove("retrieveVectors");
        }
        // Rules of queries must be of the same kinds, and few queries are distinct by themselves.
        for (name, percent) in [("sort", 75), ("distinct", 80)] {
            if random.percent(percent) {
                body.shift_remove(name);
            }
        }
        if random.percent(50) {
            let weight = *random.pick(&[0.0, 0.25, 0.5, 0.9, 1.0, 1.1, 3.0]);
            body.insert("federationOptions".to_owned(), json!({"weight": weight}));
        }
        queries.push((searched, body));
    }
    let federation = federation(&mut asker.random, &queries);
    (queries, federation)
}

fn federation(random: &mut Random, queries: &[Query<'_>]) -> Object {
    let mut federation = Map::new();
    let mut set = |name: &str, value: Value| drop(federation.insert(name.to_owned(), value));
    match random.below(6) {
        0 => set("offset", json!(random.below(20))),
        1 => {
            set("offset", json!(random.below(20)));
            set("limit", json!(*random.pick(&[0, 1, 7, 30, 300, 2_000])));
        }
        2 => set("page", json!(random.below(4))),
        3 => {
            set("page", json!(1 + random.below(3)));
            set("hitsPerPage", json!(random.below(25)));
        }
        _ => {}
    }
    if random.percent(35) {
        let of_index = |(searched, _): &Query<'_>| (searched.corpus.index.clone(), facets(random, searched.corpus));
        set("facetsByIndex", queries.iter().map(of_index).collect::<Map<_, _>>().into());
        match random.below(4) {
            0 => set("mergeFacets", json!({})),
            1 => set("mergeFacets", json!({"maxValuesPerFacet": *random.pick(&[1, 5, 50, 1_000])})),
            _ => {}
        }
    }
    if random.percent(15) {
        let (searched, _) = random.pick(queries);
        set("distinct", json!(path(random, &searched.corpus.attributes)));
    }
    federation
}
