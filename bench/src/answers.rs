//! How long the merge of several nodes' answers takes, parsing included.

use miroir::logic::merge::{AnswerFrame, AnswerSettings, Question, merge};
use miroir::meili::search::{Asked, Retrieved, SearchRequest};
use serde_json::json;

/// What nodes answer.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// So many answers.
    pub nodes: usize,
    /// Of so many hits each, in order.
    pub hits: usize,
    /// Bytes of each hit, about; the keys and score details alone make 450.
    pub hit_bytes: usize,
}

/// Their bodies, as real nodes answer.
pub fn answers(shape: Shape) -> Vec<String> {
    let text = "A thief who steals secrets through dreams is given the inverse task of planting an idea. ";
    let overview: String = text.chars().cycle().take(shape.hit_bytes.saturating_sub(450)).collect();
    let hit = |node: usize, place: usize| {
        let proximity = 1.0 / (1.0 + (place * 3 + node % 3) as f64);
        let details = json!({
            "words": {"order": 0, "matchingWords": 2, "maxMatchingWords": 2, "score": 1.0},
            "typo": {"order": 1, "typoCount": place / 5, "maxTypoCount": 4, "score": 0.75},
            "proximity": {"order": 2, "score": proximity},
            "attributeRank": {"order": 3, "score": 0.9},
            "price:asc": {"order": 4, "value": place * 10 + node},
            "wordPosition": {"order": 5, "score": 0.8},
            "exactness": {"order": 6, "matchType": "noExactMatch", "matchingWords": 0, "maxMatchingWords": 2, "score": 0.3},
        });
        let mut hit = json!({"_miroir": "\u{2E00}\u{2E01}", "id": node * 10_000 + place});
        if !overview.is_empty() {
            hit["overview"] = overview.as_str().into();
            hit["genres"] = json!(["Action", "Science Fiction"]);
        }
        hit["_rankingScoreDetails"] = details;
        hit
    };
    let body = |node: usize| {
        let hits: Vec<_> = (0..shape.hits).map(|place| hit(node, place)).collect();
        json!({
            "hits": hits, "query": "film", "processingTimeMs": 1, "limit": hits.len(), "offset": 0,
            "estimatedTotalHits": 1000, "requestUid": "01a203d1-9b88-7950-a985-e8afba429a13",
        })
        .to_string()
    };
    (0..shape.nodes).map(body).collect()
}

/// Merges them into the page from `offset` on; the answer's bytes.
pub fn merge_answers(bodies: &[String], offset: usize, limit: usize) -> usize {
    let request = format!("{{\"q\":\"film\",\"offset\":{offset},\"limit\":{limit}}}");
    let request = SearchRequest::from_json(request.as_bytes()).expect("a valid search");
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let question = Question {
        request: &request,
        settings: &AnswerSettings { max_total_hits: Some(10_000), ..AnswerSettings::default() },
        asked: Asked::First((offset + limit) as u64),
        distinct: None,
        retrieved: &Retrieved::default(),
        hidden_rule: None,
        pinned: None,
        hides_score: false,
    };
    merge(&question, &bodies, &AnswerFrame::default()).expect("well-formed answers").body.len()
}
