//! How long it takes to find the ranks behind the scores of the hits of one federated query.

use miroir::logic::merge::score_values::{ScoreValues, Suppositions};
use serde_json::json;

/// Details and score of each hit. Those of an honest node lead to the score; those of another one to nothing, however
/// many words are supposed.
pub fn details(hits: usize, is_honest: bool) -> Vec<(String, String)> {
    let hit = |place: usize| {
        let details = json!({
            "words": {"order": 0, "matchingWords": 2, "maxMatchingWords": 2, "score": 1.0},
            "price:asc": {"order": 1, "value": place},
            "proximity": {"order": 2, "score": 1.0},
            "attribute": {"order": 3, "attributeRankingOrderScore": 1.0, "queryWordDistanceScore": 1.0, "score": 1.0},
        });
        let score = if is_honest { 1.0 } else { 0.314_159 + place as f64 * 1e-7 };
        (details.to_string(), score.to_string())
    };
    (0..hits).map(hit).collect()
}

/// Reads them; how many scores there are.
pub fn read(details: &[(String, String)]) -> usize {
    let mut suppositions = Suppositions::default();
    let scores = details.iter().map(|(details, score)| {
        ScoreValues::read(details, score, &mut suppositions).expect("details of a hit").scores().count()
    });
    scores.sum()
}
