//! Federated searches: several searches of one index and of others, in one list of hits.

use serde_json::{Map, Value, json};

use super::case::Case;
use super::classes::{APPROXIMATE, DISTINCT_FEDERATED, FREQUENCY, OTHER_ERROR, SCATTERED_TIES, is_about_what_is_found};
use super::compare::{Aspect, Difference, Federated, compare, compare_federated, rounded};
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
        if matches!(difference.aspect, Aspect::Status | Aspect::Message)
            && let Some(class) = class_of_blamed(asker, &queries, &miroir)
        {
            outcome.explained.insert(class);
            continue;
        }
        let own = classes_of_hits(asker, &queries, difference, &one.json, &miroir.json);
        if !own.is_empty() {
            outcome.explained.extend(own);
            continue;
        }
        if difference.aspect == Aspect::Ties && are_found_by_their_searches(asker, &queries, &one.json, &miroir.json) {
            outcome.explained.insert(SCATTERED_TIES);
            continue;
        }
        let classes = of_queries.get_or_insert_with(|| {
            let (offset, limit) = asked.federation.unbounded_window();
            classes_of_queries(asker, &queries, (offset + limit) as usize)
        });
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

/// Whether the one server refuses something, and, without it, says what Miroir says: the order of merged facets, or
/// queries that cannot be compared.
fn is_other_error(asker: &Asker<'_>, request: &Value, one: &Answer, miroir: &Answer) -> bool {
    let mut repaired = request.clone();
    let queries = request["queries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let blamed = |(position, _): &(usize, &Value)| {
        let text = miroir.json["message"].as_str().unwrap_or_default();
        text.starts_with(&format!("Inside `.queries[{position}]`: "))
    };
    match (one.code(), queries.iter().enumerate().find(blamed)) {
        ("invalid_multi_search_facet_order", _) => {
            repaired["federation"].as_object_mut().map(|federation| federation.remove("mergeFacets"));
        }
        ("invalid_multi_search_query_ranking_rules", Some((_, query))) => repaired["queries"] = json!([query]),
        _ => return false,
    }
    let repaired = asker.sides().one.post("/multi-search", &repaired);
    // Alone the query has another number.
    let message = |answer: &Answer| {
        let message = answer.json["message"].as_str().unwrap_or_default().to_owned();
        message.split_once("`: ").map_or_else(|| message.clone(), |(_, rest)| rest.to_owned())
    };
    (repaired.status, repaired.code(), message(&repaired)) == (miroir.status, miroir.code(), message(miroir))
}

/// The class that explains why the query that Miroir refuses is, asked alone, refused differently.
fn class_of_blamed(asker: &Asker<'_>, queries: &[Query<'_>], miroir: &Answer) -> Option<&'static str> {
    let message = miroir.json["message"].as_str()?;
    let (position, _) = message.strip_prefix("Inside `.queries[")?.split_once("]`: ")?;
    let query = queries.get(position.parse::<usize>().ok()?)?;
    let is_refusal = |difference: &Difference| matches!(difference.aspect, Aspect::Status | Aspect::Message);
    with_alone(asker, query, FIRST_HITS, |answered, found| {
        let found: Vec<Difference> = found.iter().filter(|difference| is_refusal(difference)).cloned().collect();
        answered.explain(asker.sides(), &found).into_iter().flatten().next()
    })
}

fn is_said_to_be_approximate(difference: &Difference, approximate: &str) -> bool {
    match difference.aspect {
        Aspect::Facets => approximate.contains("facets"),
        Aspect::Total | Aspect::Estimate => approximate.contains("totals"),
        Aspect::Order | Aspect::Ties => approximate.contains("hits"),
        Aspect::Status | Aspect::Message | Aspect::Fields | Aspect::Body => false,
    }
}

/// Classes that explain how hits of the federation differ by what each of its searches has found of them.
fn classes_of_hits(
    asker: &Asker<'_>,
    queries: &[Query<'_>],
    difference: &Difference,
    one: &Value,
    miroir: &Value,
) -> Vec<&'static str> {
    if difference.aspect != Aspect::Body {
        return Vec::new();
    }
    let hits_of = |answer: &Value, position: usize| {
        let hits = answer["hits"].as_array().into_iter().flatten();
        let is_own = |hit: &&Value| hit["_federation"]["queriesPosition"] == position;
        json!({"hits": hits.filter(is_own).collect::<Vec<_>>()})
    };
    let mut classes = Vec::new();
    for (position, (searched, body)) in queries.iter().enumerate() {
        let (one, miroir) = (&hits_of(one, position), &hits_of(miroir, position));
        if one == miroir {
            continue;
        }
        let answered = Answered { searched, body, one, miroir, approximate: "" };
        let found = std::slice::from_ref(difference);
        let class = answered.explain(asker.sides(), found).into_iter().flatten().next();
        classes.extend(class);
    }
    classes
}

/// Classes that explain why searches of the federation, each asked alone, are answered differently: up to the end of the
/// federation's page, or as far as one can see.
fn classes_of_queries(asker: &Asker<'_>, queries: &[Query<'_>], end: usize) -> Vec<&'static str> {
    let of_query = |query: &Query<'_>| -> Vec<&'static str> {
        let explain = |answered: &Answered<'_>, found: &[Difference]| answered.explain(asker.sides(), found);
        let up_to = |limit| with_alone(asker, query, limit, explain).into_iter().flatten();
        up_to(end).chain(up_to(FIRST_HITS)).collect()
    };
    queries.iter().flat_map(of_query).collect()
}

/// Whether hits are distinct, and those of each search alone are, on both sides, what they can be.
fn are_walks(asker: &Asker<'_>, queries: &[Query<'_>]) -> bool {
    let mut distinct =
        queries.iter().filter(|(searched, body)| Case { corpus: searched.corpus, body }.distinct().is_some());
    let is_walk = |query| {
        with_alone(asker, query, FIRST_HITS, |answered, _| {
            answered.evidence(asker.sides()).has_walks_of_the_same_hits()
        })
    };
    distinct.clone().next().is_some() && distinct.all(is_walk)
}

/// Whether each hit that Miroir alone shows is one that the one server finds, too, by the same search asked alone, with the
/// same details.
fn are_found_by_their_searches(asker: &Asker<'_>, queries: &[Query<'_>], one: &Value, miroir: &Value) -> bool {
    let hits = |answer: &Value| answer["hits"].as_array().cloned().unwrap_or_default();
    let shown = hits(one);
    queries.iter().enumerate().all(|(position, query)| {
        let key = query.0.corpus.primary_key;
        let are_same = |left: &Value, right: &Value| left.get(key).is_some() && left.get(key) == right.get(key);
        let is_new = |hit: &Value| {
            hit["_federation"]["queriesPosition"] == position
                && !shown.iter().any(|other| {
                    other["_federation"]["indexUid"] == hit["_federation"]["indexUid"] && are_same(other, hit)
                })
        };
        let new: Vec<Value> = hits(miroir).into_iter().filter(is_new).collect();
        let is_found = |answered: &Answered<'_>| {
            let alone = hits(answered.one);
            new.iter().all(|hit| {
                alone.iter().any(|other| {
                    let details = |hit: &Value| rounded(&hit["_rankingScoreDetails"]);
                    are_same(other, hit) && details(other) == details(hit)
                })
            })
        };
        new.is_empty() || with_alone(asker, query, FIRST_HITS, |answered, _| is_found(answered))
    })
}

/// Looks at a search of the federation asked alone, and at its differences.
fn with_alone<T>(
    asker: &Asker<'_>,
    query: &Query<'_>,
    limit: usize,
    look: impl FnOnce(&Answered<'_>, &[Difference]) -> T,
) -> T {
    let sides = asker.sides();
    let (searched, body) = query;
    let mut body = body.clone();
    body.shift_remove("federationOptions");
    body.insert("limit".to_owned(), json!(limit));
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
