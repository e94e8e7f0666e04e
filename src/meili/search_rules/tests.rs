//! Bodies as clients send them, and what comes of changes.

use super::*;

fn pin(id: &str, position: u32) -> Value {
    json!({"selector": {"id": id}, "action": {"type": "pin", "position": position}})
}

fn fields(body: &Value) -> Map<String, Value> {
    parse_rule(body.to_string().as_bytes()).expect("a good rule")
}

fn set(rules: &mut SearchRules, uid: &str, body: &Value) {
    rules.apply(&RulesChange::Set { uid: uid.to_owned(), fields: fields(body) });
}

fn uids<'a>(rules: impl IntoIterator<Item = &'a SearchRule>) -> Vec<&'a str> {
    rules.into_iter().map(|rule| rule.uid.as_str()).collect()
}

#[test]
fn what_is_wrong_with_a_rule_is_said_in_the_words_of_one_server() {
    let action = |action: &Value| json!({"actions": [{"selector": {"id": "1"}, "action": action}]});
    let times = json!({"start": "2025-01-02T00:00:00Z", "end": "2025-01-01T00:00:00+01:00"});
    let (rule, conditions, actions) =
        ("bad_request", "invalid_dynamic_search_rule_conditions", "invalid_dynamic_search_rule_actions");
    for (body, code, message) in [
        (json!([]), rule, "Invalid value type: expected an object, but found an array: `[]`"),
        (
            json!({"uid": "x"}),
            rule,
            "Unknown field `uid`: expected one of `description`, `precedence`, `active`, `conditions`, `actions`",
        ),
        (
            json!({"precedence": -1}),
            "invalid_dynamic_search_rule_priority",
            "Invalid value type at `.precedence`: expected a positive integer, but found a negative integer: `-1`",
        ),
        (
            json!({"conditions": {"x": 1}}),
            conditions,
            "Unknown field `x` inside `.conditions`: expected one of `time`, `query`",
        ),
        (
            json!({"conditions": {"query": {"words": "a", "isEmpty": true}, "time": times}}),
            rule,
            "Invalid value at `.conditions.query`: either `isEmpty` or `words` can be used, not both at once",
        ),
        (
            json!({"conditions": {"time": times}}),
            rule,
            "Invalid value at `.conditions.time`: `end` (`2025-01-01 0:00:00.0 +01:00:00`) should be later than `start` \
             (`2025-01-02 0:00:00.0 +00:00:00`)",
        ),
        (json!({"actions": [{}]}), actions, "Missing field `selector` inside `.actions[0]`"),
        (
            json!({"actions": [{"selector": {"id": "1", "indexUid": 1}}]}),
            actions,
            "Invalid value type at `.actions[0].selector.indexUid`: expected a string, but found a positive integer: `1`",
        ),
        (action(&json!({"type": "boost"})), actions, "Invalid value at `.actions[0].action`: Incorrect tag value"),
        (
            action(&json!({"type": "pin", "position": 1, "x": 1})),
            actions,
            "Unknown field `x` inside `.actions[0].action`: expected one of `position`",
        ),
        (
            action(&json!({"type": "pin", "position": 4_294_967_296_u64})),
            actions,
            "Invalid value at `.actions[0].action.position`: value: `4294967296` is too large to be deserialized, maximum \
             value authorized is `4294967295`",
        ),
    ] {
        let error = parse_rule(body.to_string().as_bytes()).expect_err("a bad rule");
        assert_eq!((error.code.name(), error.message.as_str()), (code, message), "{body}");
    }
}

#[test]
fn what_is_wrong_with_a_listing_is_said_in_the_words_of_one_server() {
    for (body, code) in [
        (json!({"x": 1}), "bad_request"),
        (json!({"limit": null}), "invalid_dynamic_search_rule_limit"),
        (json!({"offset": -1}), "invalid_dynamic_search_rule_offset"),
        (json!({"filter": {"x": 1}}), "invalid_dynamic_search_rule_filter"),
        (json!({"filter": {"query": 1}}), "invalid_dynamic_search_rule_filter_query"),
        (json!({"filter": {"active": 1}}), "invalid_dynamic_search_rule_filter_active"),
    ] {
        let error = RulesListing::parse(body.to_string().as_bytes()).expect_err("a bad listing");
        assert_eq!(error.code.name(), code, "{body}");
    }
}

#[test]
fn fields_are_set_and_reset_one_by_one_and_shown_as_one_server_shows_them() {
    let mut rules = SearchRules::default();
    let time = json!({"start": null, "end": "2025-11-28T23:59:59.120+02:00", "other": 1});
    let conditions = json!({"query": {"words": null, "isEmpty": true}, "time": time});
    set(&mut rules, "a", &json!({"actions": [pin("1", 2)], "description": "d", "conditions": conditions}));
    set(&mut rules, "a", &json!({"precedence": 5, "description": null}));
    let shown = json!({
        "uid": "a",
        "precedence": 5,
        "active": true,
        "conditions": {"time": {"end": "2025-11-28T23:59:59.12+02:00"}, "query": {"isEmpty": true}},
        "actions": [pin("1", 2)],
    });
    assert_eq!(rules.get("a").map(SearchRule::shown), Some(shown.clone()));
    assert_eq!(rules.get("a").map(|rule| rule.shown().to_string()), Some(shown.to_string()), "in this order");
    set(&mut rules, "a", &json!({"conditions": null, "actions": null, "active": null, "precedence": null}));
    let shown = json!({"uid": "a", "active": true, "conditions": {}, "actions": []});
    assert_eq!(rules.get("a").map(SearchRule::shown), Some(shown));
}

#[test]
fn a_new_rule_takes_the_first_free_place_and_precedence_decides_first() {
    let mut rules = SearchRules::default();
    for uid in ["a", "b", "c"] {
        set(&mut rules, uid, &json!({}));
    }
    rules.apply(&RulesChange::Delete { uid: "a".to_owned() });
    rules.apply(&RulesChange::Delete { uid: "nobody".to_owned() });
    set(&mut rules, "d", &json!({}));
    assert_eq!(uids(rules.iter()), ["d", "b", "c"]);
    set(&mut rules, "c", &json!({"precedence": 3}));
    set(&mut rules, "b", &json!({"precedence": 3}));
    assert_eq!(uids(rules.by_precedence()), ["b", "c", "d"]);
    assert_eq!(rules.apply(&RulesChange::Clear), Some(3));
    assert!(rules.is_empty());
}

#[test]
fn rules_that_say_nothing_are_active_until_some_rule_says_it() {
    let mut rules = SearchRules::default();
    let active = |rules: &SearchRules| {
        let listing = RulesListing::parse(br#"{"filter": {"active": true}}"#).expect("a good listing");
        listing.page(rules)["total"].clone()
    };
    set(&mut rules, "a", &json!({}));
    assert_eq!(active(&rules), 1);
    set(&mut rules, "b", &json!({"active": false}));
    assert_eq!(active(&rules), 0);
    rules.apply(&RulesChange::Delete { uid: "b".to_owned() });
    assert_eq!(active(&rules), 0, "it was said");
    rules.apply(&RulesChange::Clear);
    set(&mut rules, "a", &json!({}));
    assert_eq!(active(&rules), 1);
}
