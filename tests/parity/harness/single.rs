//! One search, in a body or in a query string.

use serde_json::Value;

use super::case::Case;
use super::compare::{compare, compare_plain};
use super::corpus::Corpus;
use super::outcome::{Answered, Outcome, described};
use super::queries::{Object, search};
use super::world::Asker;
use crate::support::{Answer, Client};

/// Of so many hundred cases the plain answer is compared as well.
const PLAIN_PERCENT: usize = 30;

/// How a search is sent.
type Send = fn(client: &Client, corpus: &Corpus, body: &Object) -> Answer;

/// In a body.
pub fn post(asker: &mut Asker<'_>) -> Outcome {
    ask(asker, "search", in_body)
}

/// In a query string.
pub fn get(asker: &mut Asker<'_>) -> Outcome {
    ask(asker, "search in a query string", in_query_string)
}

/// With details in the answer and the key retrieved, so that hits can be compared one by one.
pub fn detailed(corpus: &Corpus, body: &Object) -> Object {
    let mut body = body.clone();
    body.insert("showRankingScoreDetails".to_owned(), true.into());
    body.insert("showRankingScore".to_owned(), true.into());
    if let Some(Value::Array(attributes)) = body.get_mut("attributesToRetrieve")
        && !attributes.iter().any(|name| *name == corpus.primary_key || *name == "*")
    {
        attributes.push(corpus.primary_key.into());
    }
    body
}

fn ask(asker: &mut Asker<'_>, form: &str, send: Send) -> Outcome {
    let (searched, sides) = (asker.searched, asker.sides());
    let corpus = searched.corpus;
    let body = search(&mut asker.random, corpus);
    let with_details = detailed(corpus, &body);
    let (one, miroir) = (send(sides.one, corpus, &with_details), send(sides.miroir, corpus, &with_details));
    let case = Case { corpus, body: &body };
    let mut found = compare(&case, &one, &miroir);
    if found.is_empty() && asker.random.percent(PLAIN_PERCENT) {
        let (one, plain) = (send(sides.one, corpus, &body), send(sides.miroir, corpus, &body));
        found = compare_plain(&case, &one, &plain, &miroir);
    }
    let mut outcome = Outcome::of(&one);
    let approximate = miroir.header("x-miroir-approximate").unwrap_or_default();
    let answered = Answered { searched, body: &body, one: &one.json, miroir: &miroir.json, approximate };
    answered.add_to(&mut outcome, sides, &found, &described(form, &corpus.index, &body));
    outcome
}

/// `POST /indexes/{uid}/search`.
pub fn in_body(client: &Client, corpus: &Corpus, body: &Object) -> Answer {
    client.post(&format!("/indexes/{}/search", corpus.index), &Value::from(body.clone()))
}

fn in_query_string(client: &Client, corpus: &Corpus, body: &Object) -> Answer {
    client.get(&format!("/indexes/{}/search?{}", corpus.index, query_string(body)))
}

/// Parameters with another name there.
const NAMES: [(&str, &str); 2] = [("embedder", "hybridEmbedder"), ("semanticRatio", "hybridSemanticRatio")];

/// The parameters as a query string.
pub fn query_string(body: &Object) -> String {
    let mut pairs: Vec<String> = Vec::new();
    let mut add = |name: &str, value: &Value| pairs.push(format!("{name}={}", escaped(&text(name, value))));
    for (name, value) in body {
        if let Some(parts) = value.as_object().filter(|_| name == "hybrid") {
            for (part, value) in parts {
                add(NAMES.iter().find(|(own, _)| own == part).map_or(part.as_str(), |(_, name)| name), value);
            }
        } else {
            add(name, value);
        }
    }
    pairs.join("&")
}

/// Lists are separated by commas, but for filters, which are JSON if they are no text.
fn text(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if name != "filter" => {
            items.iter().map(|item| text(name, item)).collect::<Vec<_>>().join(",")
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other.to_string()
        }
    }
}

fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_query_string_says_what_the_body_says() {
        let body = json!({
            "q": "été & co", "limit": 3, "facets": ["a", "b"], "filter": [["x = 1"]],
            "hybrid": {"embedder": "e", "semanticRatio": 0.5},
        });
        let expected = "q=%C3%A9t%C3%A9+%26+co&limit=3&facets=a%2Cb&filter=%5B%5B%22x+%3D+1%22%5D%5D&hybridEmbedder=e&hybridSemanticRatio=0.5";
        assert_eq!(query_string(body.as_object().unwrap()), expected);
    }
}
