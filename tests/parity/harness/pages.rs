//! Walks over all pages of a search: put together they are what one server's pages are, and no hit comes twice.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::case::Case;
use super::classes::OTHER_REPLICAS;
use super::compare::{Aspect, Difference, compare_answers, compare_errors};
use super::outcome::{Answered, Outcome, described};
use super::queries::{Object, search};
use super::single::{detailed, in_body};
use super::world::Asker;
use crate::support::{Answer, Client};

/// So many hits are walked over at most, and so many pages are the most that they come on.
const HITS_MAX: usize = 600;
const PAGES_MAX: usize = 25;

/// So often a walk is made again where ties may change in between.
const WALKS_MAX: usize = 6;

/// What is the same on all pages, or has classes of its own.
const LEFT_OUT: [&str; 6] = ["offset", "limit", "page", "hitsPerPage", "facets", "rankingScoreThreshold"];

/// Both walk the same pages.
pub fn ask(asker: &mut Asker<'_>) -> Outcome {
    let (searched, sides) = (asker.searched, asker.sides());
    let corpus = searched.corpus;
    let mut body = search(&mut asker.random, corpus);
    body.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
    let mut whole = detailed(corpus, &body);
    whole.insert("limit".to_owned(), json!(HITS_MAX));
    let first = in_body(sides.one, corpus, &whole);
    let mut outcome = Outcome::of(&first);
    let count = hits(&first).len();
    let size = (1 + asker.random.below(20)).max(count.div_ceil(PAGES_MAX));
    let is_paged = asker.random.percent(50);
    let page = |client: &Client, number: usize| {
        let mut page = detailed(corpus, &body);
        let (place, length) = if is_paged { ("page", "hitsPerPage") } else { ("offset", "limit") };
        page.insert(place.to_owned(), json!(if is_paged { number + 1 } else { number * size }));
        page.insert(length.to_owned(), json!(size));
        in_body(client, corpus, &page)
    };
    // One more than is needed: nothing comes behind the last hit.
    let pages = count / size + 2;
    let walk = |client| (0..pages).map(|number| page(client, number)).collect::<Vec<Answer>>();
    let explaining = sides.miroir.with_header("x-miroir-explain", "true");
    let (one, mut miroir) = (walk(sides.one), walk(&explaining));
    if let [Some(one), Some(miroir)] = [&one, &miroir].map(|pages| pages.iter().find(|page| page.status != 200)) {
        let found = compare_errors(one, miroir);
        let answered = Answered { searched, body: &body, one: &one.json, miroir: &miroir.json, approximate: "" };
        answered.add_to(&mut outcome, sides, &found, &described("walk over pages", &corpus.index, &body));
        return outcome;
    }
    let one = joined(&one);
    let mut listed = body.clone();
    listed.insert("limit".to_owned(), json!(pages * size));
    let compare = |pages: &[Answer]| compare_answers(&Case { corpus, body: &listed }, &one, &joined(pages));
    let mut found = compare(&miroir);
    let has_other_ties = |found: &[Difference], miroir: &[Answer]| {
        found.iter().any(|difference| difference.aspect == Aspect::Ties) && are_of_several_replicas(miroir)
    };
    for _ in 0..WALKS_MAX {
        if !asker.world.may_change_ties || !has_other_ties(&found, &miroir) {
            break;
        }
        outcome.explained.insert(OTHER_REPLICAS);
        miroir = walk(&explaining);
        found = compare(&miroir);
    }
    if asker.world.may_change_ties && has_other_ties(&found, &miroir) {
        found.retain(|difference| difference.aspect != Aspect::Ties);
    }
    let approximate = miroir.iter().find_map(|answer| answer.header("x-miroir-approximate")).unwrap_or_default();
    let miroir = joined(&miroir);
    let answered = Answered { searched, body: &listed, one: &one, miroir: &miroir, approximate };
    let mut described = described("walk over pages", &corpus.index, &listed);
    described["pages"] = json!({"size": size, "isPaged": is_paged});
    answered.add_to(&mut outcome, sides, &found, &described);
    outcome
}

/// Whether not all pages come from the same replicas: one that is slow for a moment is passed over.
fn are_of_several_replicas(pages: &[Answer]) -> bool {
    let replicas = |page: &Answer| -> BTreeSet<String> {
        let requests = page.json["explain"]["requests"].as_array().into_iter().flatten();
        let is_search = |request: &Value| request["target"].as_str().is_some_and(|target| target.ends_with("/search"));
        let has_answered = |request: &&Value| is_search(request) && request["outcome"] == "status 200";
        requests.filter(has_answered).map(|request| format!("{} {}", request["node"], request["shards"])).collect()
    };
    pages.iter().map(replicas).collect::<BTreeSet<_>>().len() > 1
}

fn hits(answer: &Answer) -> &[Value] {
    answer.json["hits"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// All hits, and what was refused.
fn joined(pages: &[Answer]) -> Value {
    let hits: Vec<&Value> = pages.iter().flat_map(hits).collect();
    let refused: Vec<&Object> =
        pages.iter().filter(|page| page.status != 200).filter_map(|page| page.json.as_object()).collect();
    json!({"hits": hits, "refused": refused})
}
