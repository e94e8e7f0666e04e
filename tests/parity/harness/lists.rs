//! Plain lists of searches over all indexes: every answer is what that search alone is answered with.

use serde_json::{Value, json};

use super::case::Case;
use super::compare::{compare, compare_answers};
use super::outcome::{Answered, Outcome};
use super::queries::{Object, search};
use super::single::{detailed, in_body};
use super::world::{Asker, Searched};

/// Of a hundred searches in a list so many are spared what is wrong, or else few lists were answered.
const REPAIRED_PERCENT: usize = 85;

/// Up to five searches.
pub fn ask(asker: &mut Asker<'_>) -> Outcome {
    let sides = asker.sides();
    let queries: Vec<(&Searched<'_>, Object)> = (0..=asker.random.below(5)).map(|_| query(asker)).collect();
    let listed = |(searched, body): &(&Searched<'_>, Object)| {
        let mut body = detailed(searched.corpus, body);
        body.insert("indexUid".to_owned(), searched.corpus.index.clone().into());
        Value::from(body)
    };
    let request = json!({"queries": queries.iter().map(listed).collect::<Vec<_>>()});
    let (one, miroir) = (sides.one.post("/multi-search", &request), sides.miroir.post("/multi-search", &request));
    let mut outcome = Outcome::of(&one);
    let result = |answer: &Value, place: usize| answer["results"][place].clone();
    let is_answered = one.status == 200 && miroir.status == 200;
    for (place, (searched, body)) in queries.iter().enumerate() {
        let case = Case { corpus: searched.corpus, body };
        let (found, one, miroir) = if is_answered {
            let (one, miroir) = (result(&one.json, place), result(&miroir.json, place));
            (compare_answers(&case, &one, &miroir), one, miroir)
        } else if place == 0 {
            (compare(&case, &one, &miroir), one.json.clone(), miroir.json.clone())
        } else {
            break;
        };
        let approximate = if found.is_empty() { String::new() } else { approximate_parts(asker, searched, body) };
        let answered = Answered { searched, body, one: &one, miroir: &miroir, approximate: &approximate };
        answered.add_to(&mut outcome, sides, &found, &request);
    }
    outcome
}

/// A search of any index that will probably be answered.
pub fn query<'a>(asker: &mut Asker<'a>) -> (&'a Searched<'a>, Object) {
    let world = asker.world;
    let searched = asker.random.pick(&world.searched);
    let random = &mut asker.random;
    let mut body = search(random, searched.corpus);
    for _ in 0..4 {
        if random.percent(100 - REPAIRED_PERCENT) || in_body(world.sides.one, searched.corpus, &body).status == 200 {
            break;
        }
        body = search(random, searched.corpus);
    }
    (searched, body)
}

/// What of this search's answer is approximate where it is asked alone: the list's header is about all of them.
fn approximate_parts(asker: &Asker<'_>, searched: &Searched<'_>, body: &Object) -> String {
    let answer = in_body(asker.sides().miroir, searched.corpus, body);
    answer.header("x-miroir-approximate").unwrap_or_default().to_owned()
}
