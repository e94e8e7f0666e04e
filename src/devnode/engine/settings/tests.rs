//! Settings: defaults, patches, round trips, refusals.

use serde_json::{Value, json};

use super::{Match, Settings};

fn parse(value: Value) -> Settings {
    let Value::Object(object) = value else { panic!("an object") };
    Settings::from_json(&object).unwrap()
}

#[test]
fn defaults_are_those_of_a_fresh_index() {
    let expected = r#"{"displayedAttributes":["*"],"searchableAttributes":["*"],"filterableAttributes":[],"sortableAttributes":[],"rankingRules":["words","typo","proximity","attributeRank","sort","wordPosition","exactness"],"stopWords":[],"nonSeparatorTokens":[],"separatorTokens":[],"dictionary":[],"synonyms":{},"distinctAttribute":null,"proximityPrecision":"byWord","typoTolerance":{"enabled":true,"minWordSizeForTypos":{"oneTypo":5,"twoTypos":9},"disableOnWords":[],"disableOnAttributes":[],"disableOnNumbers":false},"faceting":{"maxValuesPerFacet":100,"sortFacetValuesBy":{"*":"alpha"}},"pagination":{"maxTotalHits":1000},"embedders":{},"searchCutoffMs":null,"localizedAttributes":null,"facetSearch":true,"prefixSearch":"indexingTime"}"#;
    assert_eq!(serde_json::to_string(&Settings::default().to_json()).unwrap(), expected);
}

#[test]
fn what_is_written_is_read_back_equal() {
    let settings = parse(json!({
        "filterableAttributes": [
            {"attributePatterns": ["_miroir"], "features": {"facetSearch": false, "filter": {"equality": true, "comparison": false}}},
            "genre", {"attributePatterns": ["*_date", "x*"]}
        ],
        "sortableAttributes": ["b", "a"],
        "rankingRules": ["words", "price:asc", "attribute"],
        "typoTolerance": {"minWordSizeForTypos": {"oneTypo": 4}, "disableOnWords": ["prince"]},
        "faceting": {"sortFacetValuesBy": {"genre": "count"}},
        "pagination": {"maxTotalHits": 50},
        "searchableAttributes": ["title", "text"],
        "synonyms": {"a": ["b", "c"]},
        "prefixSearch": "disabled",
    }));
    assert_eq!(Settings::from_json(&settings.to_json()).unwrap(), settings);
}

#[test]
fn null_resets_and_a_missing_key_stays() {
    let settings = parse(json!({"stopWords": ["the"], "sortableAttributes": ["price"]}));
    let Value::Object(patch) = json!({"stopWords": null}) else { panic!("an object") };
    let settings = settings.patched(&patch).unwrap();
    assert!(settings.stop_words.is_empty());
    assert!(settings.sortable_attributes.contains("price"));
}

#[test]
fn wrong_shapes_are_refused_with_the_code_of_their_key() {
    let table = [
        (json!({"stopWords": "the"}), "invalid_settings_stop_words"),
        (json!({"rankingRules": ["wrods"]}), "invalid_settings_ranking_rules"),
        (json!({"typoTolerance": {"enabled": 1}}), "invalid_settings_typo_tolerance"),
        (json!({"typoTolerance": {"minWordSizeForTypos": {"oneTypo": 12}}}), "invalid_settings_typo_tolerance"),
        (json!({"filterableAttributes": [{"features": {}}]}), "invalid_settings_filterable_attributes"),
        (json!({"faceting": {"maxValuesPerFacet": -1}}), "invalid_settings_faceting"),
        (json!({"nonsense": 1}), "bad_request"),
    ];
    for (value, code) in table {
        let Value::Object(object) = &value else { panic!("an object") };
        assert_eq!(Settings::from_json(object).unwrap_err().code.name(), code, "{value}");
    }
}

#[test]
fn first_matching_filterable_rule_decides() {
    let settings = parse(json!({"filterableAttributes": [
        {"attributePatterns": ["_miroir"], "features": {"filter": {"equality": true, "comparison": false}}}, "*", "dog"
    ]}));
    let (place, features) = settings.filterable_rule("_miroir").unwrap();
    assert_eq!((place, features.comparison), (0, false));
    assert_eq!(settings.filterable_rule("dog.age").map(|(place, _)| place), Some(2));
    assert_eq!(settings.faceted("dog.age"), Match::Yes);
    assert_eq!(settings.faceted("cat"), Match::No);
}
