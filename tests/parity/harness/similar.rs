//! Questions for documents that are similar to one.

use serde_json::{Value, json};

use super::case::Case;
use super::compare::compare;
use super::filters::filter;
use super::outcome::{Answered, Outcome, described};
use super::queries::{Object, names};
use super::single::query_string;
use super::vectors;
use super::world::{Asker, Searched};
use crate::support::Random;

/// In a body, or in a query string.
pub fn ask(asker: &mut Asker<'_>) -> Outcome {
    let sides = asker.sides();
    let with_vectors: Vec<&Searched<'_>> =
        asker.world.searched.iter().filter(|searched| !searched.corpus.embedders.is_empty()).collect();
    // Where no index has an embedder, the refusal is compared.
    let searched =
        if with_vectors.is_empty() { asker.searched } else { asker.random.pick::<&Searched<'_>>(&with_vectors) };
    let body = question(&mut asker.random, searched);
    let target = format!("/indexes/{}/similar", searched.corpus.index);
    let is_in_body = asker.random.percent(70);
    let [one, miroir] = [sides.one, sides.miroir].map(|client| {
        if is_in_body {
            client.post(&target, &Value::from(body.clone()))
        } else {
            client.get(&format!("{target}?{}", query_string(&body)))
        }
    });
    let mut outcome = Outcome::of(&one);
    let found = compare(&Case { corpus: searched.corpus, body: &body }, &one, &miroir);
    let approximate = miroir.header("x-miroir-approximate").unwrap_or_default();
    let answered = Answered { searched, body: &body, one: &one.json, miroir: &miroir.json, approximate };
    answered.add_to(&mut outcome, sides, &found, &described("similar", &searched.corpus.index, &body));
    outcome
}

fn question(random: &mut Random, searched: &Searched<'_>) -> Object {
    let corpus = searched.corpus;
    let mut body = Object::new();
    let mut set = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    let document = corpus.documents.get(random.below(corpus.documents.len().max(1)));
    set("id", document.map_or(json!(1), |document| document[corpus.primary_key].clone()));
    let embedder = corpus.embedders.get(random.below(corpus.embedders.len().max(1)));
    set("embedder", json!(embedder.map_or("nobody", |embedder| embedder.name)));
    set("showRankingScoreDetails", json!(true));
    set("showRankingScore", json!(true));
    if random.percent(70) {
        set("limit", json!(random.below(40)));
    }
    if random.percent(30) {
        set("offset", json!(random.below(20)));
    }
    if random.percent(25) {
        set("filter", filter(random, corpus));
    }
    if random.percent(20) {
        set("rankingScoreThreshold", json!(random.between(6, 20) as f64 / 20.0));
    }
    if vectors::retrieves(random, corpus, 20) {
        set("retrieveVectors", json!(true));
    }
    if random.percent(15) {
        set("attributesToRetrieve", names(random, corpus, "*"));
    }
    if random.percent(4) {
        let wrong =
            [("id", json!("a b")), ("id", json!("nowhere")), ("limit", json!("x")), ("embedder", json!("nobody"))];
        let (name, value) = random.pick(&wrong);
        set(name, value.clone());
    }
    if let Some(Value::Array(attributes)) = body.get_mut("attributesToRetrieve") {
        attributes.push(corpus.primary_key.into());
    }
    body
}
