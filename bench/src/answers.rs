//! How long the merge of several nodes' answers takes, parsing included.

use miroir::logic::merge::{AnswerFrame, AnswerSettings, Question, merge};
use miroir::meili::search::{Asked, Retrieved, SearchRequest};
use serde_json::json;

/// Bodies of so many nodes with so many hits each, in order, as real nodes answer: about 600 bytes a hit.
pub fn answers(nodes: usize, hits: usize) -> Vec<String> {
    let hit = |node: usize, place: usize| {
        let proximity = 1.0 / (1.0 + (place * 3 + node % 3) as f64);
        json!({
            "_miroir": "\u{2E00}\u{2E01}",
            "id": node * 1000 + place,
            "title": format!("A film about node {node} and hit {place}"),
            "overview": "A thief who steals secrets through dreams is given the inverse task of planting an idea. ".repeat(2),
            "genres": ["Action", "Science Fiction"],
            "release_date": 1_279_238_400 + place,
            "_rankingScoreDetails": {
                "words": {"order": 0, "matchingWords": 2, "maxMatchingWords": 2, "score": 1.0},
                "typo": {"order": 1, "typoCount": place / 5, "maxTypoCount": 4, "score": 0.75},
                "proximity": {"order": 2, "score": proximity},
                "attributeRank": {"order": 3, "score": 0.9},
                "price:asc": {"order": 4, "value": place * 10 + node},
                "wordPosition": {"order": 5, "score": 0.8},
                "exactness": {"order": 6, "matchType": "noExactMatch", "matchingWords": 0, "maxMatchingWords": 2, "score": 0.3},
            },
        })
    };
    let body = |node: usize| {
        let hits: Vec<_> = (0..hits).map(|place| hit(node, place)).collect();
        json!({
            "hits": hits, "query": "film", "processingTimeMs": 1, "limit": hits.len(), "offset": 0,
            "estimatedTotalHits": 1000, "requestUid": "01a203d1-9b88-7950-a985-e8afba429a13",
        })
        .to_string()
    };
    (0..nodes).map(body).collect()
}

/// Merges them into a page of so many hits; the answer's bytes.
pub fn merge_answers(bodies: &[String], limit: usize) -> usize {
    let request = format!("{{\"q\":\"film\",\"limit\":{limit}}}");
    let request = SearchRequest::from_json(request.as_bytes()).expect("a valid search");
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let question = Question {
        request: &request,
        settings: &AnswerSettings::default(),
        asked: Asked::First(limit as u64),
        distinct: None,
        retrieved: &Retrieved::default(),
        hidden_rule: None,
    };
    merge(&question, &bodies, &AnswerFrame::default()).expect("well-formed answers").body.len()
}
