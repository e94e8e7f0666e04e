//! Marks, what they stand for, and how a node comes to the rules that it is to have.

use super::*;
use crate::meili::search_rules::{RulesChange, parse_rule};

fn pin(index: Option<&str>, id: &str, position: u32) -> Value {
    let mut selector = json!({"id": id});
    if let Some(index) = index {
        selector["indexUid"] = index.into();
    }
    json!({"selector": selector, "action": {"type": "pin", "position": position}})
}

fn rules(all: &[(&str, Value)]) -> SearchRules {
    let mut rules = SearchRules::default();
    for (uid, body) in all {
        let fields = parse_rule(body.to_string().as_bytes()).expect("a good rule");
        rules.apply(&RulesChange::Set { uid: (*uid).to_owned(), fields });
    }
    rules
}

fn names(all: &[(&str, &str)]) -> NodeNames {
    all.iter().map(|(uid, node_uid)| (IndexUid::new(*uid), NodeIndexUid::new(*node_uid))).collect()
}

/// Places and whether that is sure.
fn found(book: &PinBook, index: &str, id: &str, mark: u32) -> Option<(usize, u32, bool)> {
    book.find(index, id, mark).map(|pin| (pin.order, pin.position, pin.is_sure))
}

#[test]
fn marks_tell_the_pins_of_one_document_apart() {
    let rules = rules(&[
        ("late", json!({"precedence": 2, "actions": [pin(None, "1", 7), pin(Some("m"), "2", 9)]})),
        ("first", json!({"precedence": 1, "actions": [pin(Some("m"), "1", 7), pin(Some("n"), "1", 3)]})),
    ]);
    let told = ToldRules::of(&rules, &names(&[("m", "m-0"), ("n", "n-4")]));
    let actions: Vec<&Value> = told.shown.iter().map(|rule| &rule["actions"]).collect();
    assert_eq!(*actions[1], json!([pin(Some("m-0"), "1", 0), pin(Some("n-4"), "1", 0)]));
    assert_eq!(*actions[0], json!([pin(None, "1", 1), pin(Some("m-0"), "2", 0)]));
    let book = &told.book;
    assert_eq!(found(book, "m", "1", 0), Some((0, 7, true)));
    assert_eq!(found(book, "n", "1", 0), Some((1, 3, true)));
    assert_eq!(found(book, "m", "1", 1), Some((2, 7, true)));
    assert_eq!(found(book, "other", "1", 1), Some((2, 7, true)), "it is for all indexes");
    assert_eq!((found(book, "n", "2", 0), found(book, "m", "3", 0)), (None, None));
    assert!(book.concerns("other") && !book.names("other"));
}

#[test]
fn a_document_with_more_pins_than_marks_may_be_mistaken_and_says_so() {
    let all: Vec<(String, Value)> =
        (0..20).map(|number| (format!("r{number}"), json!({"actions": [pin(None, "1", number % 17)]}))).collect();
    let all: Vec<(&str, Value)> = all.iter().map(|(uid, body)| (uid.as_str(), body.clone())).collect();
    let book = ToldRules::of(&rules(&all), &NodeNames::new()).book;
    assert_eq!(found(&book, "m", "1", 5), Some((5, 5, true)));
    assert_eq!(found(&book, "m", "1", 0), Some((0, 0, false)), "the eighteenth has the same place");
    assert_eq!(found(&book, "m", "1", 15).map(|found| found.2), Some(false));
    assert_eq!(book.marks(), u64::from(MARKS_MAX) - 1);
}

#[test]
fn pins_of_indexes_that_are_not_there_are_told_so_that_no_index_has_them() {
    let rules = rules(&[("a", json!({"actions": [pin(Some("m"), "1", 7)]}))]);
    let told = ToldRules::of(&rules, &NodeNames::new());
    assert_eq!(told.shown[0]["actions"], json!([pin(Some(NOWHERE), "1", 0)]));
    assert!(told.book.names("m"), "searches wait for it to be told");
}

#[test]
fn rules_that_are_not_active_are_told_so_and_pin_nothing() {
    let rules = rules(&[
        ("a", json!({"actions": [pin(None, "1", 7)]})),
        ("b", json!({"actions": [pin(None, "2", 7)], "active": true})),
    ]);
    let told = ToldRules::of(&rules, &NodeNames::new());
    assert_eq!((&told.shown[0]["active"], &told.shown[1]["active"]), (&json!(false), &json!(true)));
    assert!(found(&told.book, "m", "1", 0).is_none() && found(&told.book, "m", "2", 0).is_some());
    assert_eq!(told.shown[0]["precedence"], json!(u64::MAX), "never null: one server would not follow the rule");
}

/// As a node does it: a new rule takes the first free place, and places are free once deletions have ended.
fn node_after(places: &mut Vec<Option<Value>>, steps: &[RulesStep]) {
    let is = |rule: &Option<Value>, uid: &str| rule.as_ref().is_some_and(|rule| rule["uid"] == uid);
    for step in steps {
        match step {
            RulesStep::Clear => places.clear(),
            RulesStep::Delete(uid) => {
                let rule = places.iter_mut().find(|rule| is(rule, uid)).expect("it is there");
                *rule = None;
            }
            RulesStep::Make(uid, fields) => {
                assert!(!places.iter().any(|rule| is(rule, uid)), "a node may break when {uid} is changed");
                let mut rule = json!({"uid": uid});
                fields.as_object().into_iter().flatten().for_each(|(name, value)| rule[name] = value.clone());
                let place = places.iter().position(Option::is_none).unwrap_or(places.len());
                places.resize_with(places.len().max(place + 1), || None);
                places[place] = Some(rule);
            }
        }
    }
}

#[test]
fn a_node_comes_to_the_wanted_rules_in_their_order_whatever_it_has() {
    let rule = |uid: &str, position: u32| json!({"uid": uid, "active": true, "actions": [pin(None, "1", position)]});
    let (a, b, c, d) = (rule("a", 0), rule("b", 0), rule("c", 0), rule("d", 0));
    for (wanted, found, turns_max) in [
        (vec![a.clone(), b.clone()], vec![], 1),
        (vec![a.clone(), b.clone()], vec![Some(a.clone()), Some(b.clone())], 0),
        (vec![a.clone(), rule("b", 1)], vec![Some(a.clone()), Some(b.clone())], 2),
        (vec![rule("a", 1), b.clone(), rule("c", 1)], vec![Some(a.clone()), Some(b.clone()), Some(c.clone())], 2),
        (vec![], vec![Some(a.clone()), None, Some(b.clone())], 1),
        (vec![a.clone(), c.clone()], vec![Some(a.clone()), Some(b.clone())], 2),
        // The new one takes the place of one that was deleted.
        (vec![d.clone(), b.clone()], vec![None, Some(b.clone())], 1),
        // The node has no free place there, or the wrong order: it begins anew.
        (vec![d.clone(), b.clone()], vec![Some(b.clone())], 3),
        (vec![a.clone(), b.clone()], vec![Some(b.clone()), Some(a.clone())], 2),
    ] {
        let mut places = found.clone();
        let mut turns = 0;
        loop {
            let shown: Vec<Value> = places.iter().flatten().cloned().collect();
            if shown == wanted {
                break;
            }
            turns += 1;
            assert!(turns <= turns_max, "{found:?} to {wanted:?} is {places:?}");
            let steps = steps_to(&wanted, &shown);
            node_after(&mut places, &steps);
        }
    }
}
