//! Scores against what a real server said of the same hits to another server, and their comparison.

use super::*;
use crate::logic::json::{Part, elements};

/// Hits of Meilisearch 1.50: words with typos, phrases, prefixes and joined words; sort rules at various places between
/// the others; `values` are the merged scores that it sends to other servers of a network.
const RECORDED: &str = include_str!("recorded.ndjson");

fn numbers(array: &Part<'_>) -> Vec<f64> {
    elements(array.text).map(|number| number.unwrap().text.trim().parse().unwrap()).collect()
}

#[test]
fn merged_scores_are_those_of_the_engine_to_the_last_bit() {
    let mut with_several = 0;
    for line in RECORDED.lines() {
        let (mut details, mut score, mut expected) = ("", "", Vec::new());
        for member in members(line) {
            let member = member.unwrap();
            match member.key.as_ref() {
                "details" => details = member.value.text,
                "score" => score = member.value.text,
                "values" => expected = numbers(&member.value),
                _ => {}
            }
        }
        let found: Vec<f64> = ScoreValues::read(details, score).unwrap().scores().collect();
        assert_eq!(found, expected, "{line}");
        with_several += usize::from(expected.len() > 1);
    }
    assert!(with_several > 40, "{with_several}");
}

fn compare(left: &str, right: &str, weights: [f64; 2]) -> Ordering {
    let left = ScoreValues::read(left, "0.5").unwrap();
    let right = ScoreValues::read(right, "0.75").unwrap();
    let order = left.compare(weights[0], &right, weights[1]);
    assert_eq!(order, right.compare(weights[1], &left, weights[0]).reverse());
    order
}

const WORDS: &str = r#"{"words":{"order":0,"matchingWords":1,"maxMatchingWords":2,"score":0.5}}"#;
const SORTED: &str = r#"{"price:asc":{"order":0,"value":3}}"#;
const DEAR: &str = r#"{"price:asc":{"order":0,"value":4}}"#;
const PRICELESS: &str = r#"{"price:asc":{"order":0,"value":null}}"#;
const NEAR: &str = r#"{"_geoPoint(1, 2):asc":{"order":0,"value":{"lat":1,"lng":2},"distance":10.5}}"#;
const FAR: &str = r#"{"_geoPoint(1, 2):asc":{"order":0,"value":{"lat":1,"lng":3},"distance":99}}"#;
const ALIKE: &str = r#"{"vectorSort":{"order":0,"similarity":0.9}}"#;

#[test]
fn weights_decide_about_scores_and_not_about_values() {
    assert_eq!(compare(WORDS, WORDS, [1.0, 1.0]), Ordering::Less);
    assert_eq!(compare(WORDS, WORDS, [1.5, 1.0]), Ordering::Equal);
    assert_eq!(compare(WORDS, WORDS, [2.0, 1.0]), Ordering::Greater);
    assert_eq!(compare(WORDS, WORDS, [0.0, 0.0]), Ordering::Equal);
    assert_eq!(compare(SORTED, DEAR, [0.1, 5.0]), Ordering::Greater);
    assert_eq!(compare(SORTED, PRICELESS, [1.0, 1.0]), Ordering::Greater);
    assert_eq!(compare(ALIKE, WORDS, [1.0, 1.0]), Ordering::Greater);
}

#[test]
fn more_metres_are_better_between_queries() {
    assert_eq!(compare(NEAR, FAR, [1.0, 1.0]), Ordering::Less);
}

#[test]
fn more_rules_win_and_then_the_score_as_a_whole() {
    // Values of different kinds cannot be compared.
    assert_eq!(compare(SORTED, WORDS, [1.0, 1.0]), Ordering::Less);
    assert_eq!(compare(SORTED, WORDS, [1.0, 0.5]), Ordering::Greater);
    let more = r#"{"price:asc":{"order":0,"value":3},"size:asc":{"order":1,"value":3}}"#;
    assert_eq!(compare(more, WORDS, [1.0, 1.0]), Ordering::Greater);
    assert_eq!(compare(more, SORTED, [1.0, 1.0]), Ordering::Greater);
}

#[test]
fn scores_that_no_ranks_lead_to_are_merged_all_the_same() {
    let odd = r#"{"words":{"order":0,"matchingWords":1,"maxMatchingWords":2,"score":0.5},"proximity":{"order":1,"score":0.123456789},"price:asc":{"order":2,"value":1},"exactness":{"order":3,"matchType":"noExactMatch","matchingWords":1,"maxMatchingWords":2,"score":0.3}}"#;
    let scores: Vec<f64> = ScoreValues::read(odd, "0.3").unwrap().scores().collect();
    assert!((scores[0] - 0.061_728_394).abs() < 1e-3, "{scores:?}");
    assert!(ScoreValues::read("{}", "much").is_err());
}
