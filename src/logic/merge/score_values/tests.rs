//! Scores against what a real server said of the same hits to another server, and their comparison.

use super::*;
use crate::logic::json::{Part, elements};

/// Hits of Meilisearch 1.50: words with typos, phrases, prefixes and joined words; sort rules at various places between
/// the others; `values` are the merged scores that it sends to other servers of a network.
const RECORDED: &str = include_str!("recorded.ndjson");

fn numbers(array: &Part<'_>) -> Vec<f64> {
    elements(array.text).map(|number| number.unwrap().text.trim().parse().unwrap()).collect()
}

/// Details, score and merged scores of every recorded hit.
fn recorded() -> impl Iterator<Item = (&'static str, &'static str, Vec<f64>)> {
    RECORDED.lines().map(|line| {
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
        (details, score, expected)
    })
}

#[test]
fn merged_scores_are_those_of_the_engine_to_the_last_bit() {
    let (mut with_several, mut tries) = (0, 0);
    // Hits of many queries: as if they were those of one, what fits one hit must not spoil another.
    let mut of_all = Suppositions::default();
    for (details, score, expected) in recorded() {
        let mut suppositions = Suppositions::default();
        for suppositions in [&mut suppositions, &mut of_all] {
            let found: Vec<f64> = ScoreValues::read(details, score, suppositions).unwrap().scores().collect();
            assert_eq!(found, expected, "{details}");
        }
        with_several += usize::from(expected.len() > 1);
        tries = suppositions.tries().max(tries);
    }
    assert!(with_several > 40, "{with_several}");
    assert!(tries < 2_000, "a hit needs {tries} tries");
    let tries = of_all.tries();
    assert!(tries < 10_000, "all hits need {tries} tries");
}

fn compare(left: &str, right: &str, weights: [f64; 2]) -> Ordering {
    let left = ScoreValues::read(left, "0.5", &mut Suppositions::default()).unwrap();
    let right = ScoreValues::read(right, "0.75", &mut Suppositions::default()).unwrap();
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
    let scores: Vec<f64> = ScoreValues::read(odd, "0.3", &mut Suppositions::default()).unwrap().scores().collect();
    assert!((scores[0] - 0.061_728_394).abs() < 1e-3, "{scores:?}");
    assert!(ScoreValues::read("{}", "much", &mut Suppositions::default()).is_err());
}

#[test]
fn whatever_a_node_says_of_words_is_given_up_soon() {
    let odd = |words: u64, quotient: f64, shown: &str| {
        format!(
            r#"{{"words":{{"order":0,"matchingWords":{words},"maxMatchingWords":{words},"score":1}},"typo":{{"order":1,"typoCount":{words},"maxTypoCount":{words},"score":1}},"proximity":{{"order":2,"score":{quotient}}},"price:asc":{{"order":3,"value":1}},"attribute":{{"order":4,"attributeRankingOrderScore":{quotient},"queryWordDistanceScore":{quotient},"score":1}},"exactness":{{"order":5,"matchType":"noExactMatch",{shown}"score":1}}}}"#
        )
    };
    let mut suppositions = Suppositions::default();
    for words in [0, 1, 10, 16, 17, 1_000, u64::from(u32::MAX)] {
        for quotient in [1.0, 0.0, 0.5, -3.0, 1e300, 0.123_456_789] {
            for shown in [String::new(), format!(r#""matchingWords":{words},"maxMatchingWords":{words},"#)] {
                let details = odd(words, quotient, &shown);
                for score in ["0.314159", "-1e300"] {
                    let read = ScoreValues::read(&details, score, &mut suppositions).unwrap();
                    assert_eq!(read.scores().count(), 2, "{details}");
                }
            }
        }
    }
    let tries = suppositions.tries();
    assert!((20_000..=100_000).contains(&tries), "{tries}");
}
