//! Pins of several nodes as one list: cases, and against the list of one server.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::logic::merge::{AnswerFrame, AnswerSettings, MergeError, Merged, Question, merge};
use crate::logic::pins::{NodeNames, ToldRules};
use crate::meili::search::{Asked, Retrieved, SearchRequest};
use crate::meili::search_rules::{RulesChange, SearchRules, parse_rule};

/// The book of rules that are always active, each with its pins: documents and places.
fn book(rules: &[&[(u64, u32)]]) -> PinBook {
    let mut all = SearchRules::default();
    for (number, pins) in rules.iter().enumerate() {
        let pins: Vec<Value> = pins
            .iter()
            .map(|(id, position)| {
                json!({"selector": {"id": id.to_string()}, "action": {"type": "pin", "position": position}})
            })
            .collect();
        let fields = parse_rule(json!({"actions": pins}).to_string().as_bytes()).expect("a good rule");
        all.apply(&RulesChange::Set { uid: format!("r{number}"), fields });
    }
    ToldRules::of(&all, &NodeNames::new()).book
}

/// What one server shows of pins, by document in the order of their rules, and of others in their order.
fn one_server(pins: &[(u64, u32)], others: &[u64], wanted: usize) -> Vec<u64> {
    fn put(pins: &[(u64, u32)], others: &[u64], wanted: usize) -> Vec<u64> {
        let (mut pins, mut others) = (pins.iter().peekable(), others.iter());
        let mut list = Vec::new();
        while list.len() < wanted {
            let due = pins.next_if(|(_, position)| *position as usize <= list.len()).map(|(id, _)| id);
            let Some(next) = due.or_else(|| others.next()).or_else(|| pins.next().map(|(id, _)| id)) else { break };
            list.push(*next);
        }
        list
    }
    let shown = put(pins, others, wanted);
    let mut pins: Vec<(u64, u32)> = pins.iter().filter(|(id, _)| shown.contains(id)).copied().collect();
    pins.sort_by_key(|(_, position)| *position);
    let others: Vec<u64> = others.iter().filter(|id| shown.contains(id)).copied().collect();
    put(&pins, &others, wanted)
}

fn pinned_hit(id: u64, mark: u32) -> Value {
    json!({"id": id, "_rankingScoreDetails": {"pin": {"order": 0, "position": mark}}})
}

fn other_hit(id: u64) -> Value {
    json!({"id": id, "_rankingScoreDetails": {"n:asc": {"order": 0, "value": id}}})
}

fn merged(book: &PinBook, bodies: &[String], asked: u64, request: &Value) -> Result<(Value, Merged), MergeError> {
    static NOTHING_ADDED: LazyLock<Retrieved> = LazyLock::new(Retrieved::default);
    let request = SearchRequest::from_json(request.to_string().as_bytes()).expect("a good request");
    let settings = AnswerSettings::default();
    let question = Question {
        request: &request,
        settings: &settings,
        asked: Asked::First(asked),
        distinct: None,
        pinned: Some(Pinned { book, uid: "m", primary_key: "id" }),
        retrieved: &NOTHING_ADDED,
        hidden_rule: None,
        hides_score: false,
    };
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let merged = merge(&question, &bodies, &AnswerFrame::default())?;
    Ok((serde_json::from_str(&merged.body).expect("JSON"), merged))
}

fn body(hits: &[Value]) -> String {
    json!({"hits": hits, "query": "", "estimatedTotalHits": hits.len()}).to_string()
}

fn ids(answer: &Value) -> Vec<u64> {
    answer["hits"].as_array().expect("hits").iter().map(|hit| hit["id"].as_u64().expect("an id")).collect()
}

#[test]
fn pins_of_several_nodes_are_put_in_their_places() {
    let book = book(&[&[(10, 1), (11, 1)], &[(12, 0), (13, 50)]]);
    let nodes = [
        body(&[pinned_hit(11, 0), pinned_hit(13, 0), other_hit(1), other_hit(3)]),
        body(&[pinned_hit(10, 0), pinned_hit(12, 0), other_hit(2)]),
    ];
    let (answer, merged) =
        self::merged(&book, &nodes, 20, &json!({"showRankingScoreDetails": true})).expect("good answers");
    assert_eq!(ids(&answer), [12, 10, 11, 1, 2, 3, 13]);
    assert_eq!(answer["hits"][2]["_rankingScoreDetails"], json!({"pin": {"order": 0, "position": 1}}), "not the mark");
    assert_eq!((merged.approximate.as_slice(), &answer["estimatedTotalHits"]), (&[][..], &json!(7)));
    let (page, _) = self::merged(&book, &nodes, 20, &json!({"offset": 1, "limit": 3})).expect("good answers");
    assert_eq!(ids(&page), [10, 11, 1]);
}

#[test]
fn a_node_that_may_have_more_pins_is_asked_for_them() {
    let book = book(&[&[(10, 0), (11, 0), (12, 0)]]);
    let nodes = [body(&[pinned_hit(10, 0), pinned_hit(11, 0)])];
    assert_eq!(merged(&book, &nodes, 2, &json!({"limit": 1})).map(|_| ()), Err(MergeError::TooShallow));
    assert!(merged(&book, &nodes, 3, &json!({"limit": 1})).is_ok());
}

#[test]
fn a_pin_that_no_rule_is_known_for_is_shown_and_makes_the_hits_approximate() {
    let book = book(&[&[(10, 0)]]);
    let nodes = [body(&[pinned_hit(10, 0), pinned_hit(11, 3), other_hit(1)])];
    let (answer, merged) = merged(&book, &nodes, 20, &json!({})).expect("good answers");
    assert_eq!(ids(&answer), [10, 1, 11]);
    assert_eq!(merged.approximate, [crate::logic::merge::Part::Hits]);
}

proptest! {
    /// Goal: however pins and other hits lie on nodes, a page is that of one server.
    /// Method: some rules pin each some of the first documents; three nodes; compared with the list made in one piece.
    #[test]
    fn a_page_with_pins_is_that_of_one_server(
        places in proptest::collection::vec(0..30_u32, 0..8),
        nodes in proptest::collection::vec(0..3_usize, 30),
        others in 0..22_usize,
        (offset, limit) in (0..12_usize, 1..12_usize),
    ) {
        let pins: Vec<(u64, u32)> = places.iter().zip(100..).map(|(place, id)| (id, *place)).collect();
        let rules: Vec<&[(u64, u32)]> = pins.chunks(3).collect();
        let book = book(&rules);
        let others: Vec<u64> = (0..others as u64).collect();
        let mut hits = vec![Vec::new(); 3];
        for ((id, _), node) in pins.iter().zip(&nodes[22..]) {
            hits[*node].push(pinned_hit(*id, 0));
        }
        for (id, node) in others.iter().zip(&nodes) {
            hits[*node].push(other_hit(*id));
        }
        let expected = one_server(&pins, &others, offset + limit);
        let expected: Vec<u64> = expected.into_iter().skip(offset).collect();
        let mut asked = offset + limit;
        let found = loop {
            let bodies: Vec<String> =
                hits.iter().map(|hits| body(&hits[..hits.len().min(asked)])).collect();
            match merged(&book, &bodies, asked as u64, &json!({"offset": offset, "limit": limit})) {
                Err(MergeError::TooShallow) => asked *= 4,
                merged => break ids(&merged.expect("good answers").0),
            }
        };
        prop_assert_eq!(found, expected);
    }
}
