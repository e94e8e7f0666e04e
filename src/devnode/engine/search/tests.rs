//! Searches on small indexes, rule by rule.

use serde_json::{Value, json};

use crate::devnode::engine::{Index, Payload, SearchQuery, Settings};

fn index(settings: &Value, documents: &Value) -> Index {
    let mut index = Index::new(Some("id".to_owned()));
    index.set_settings(Settings::from_json(settings.as_object().unwrap()).unwrap()).unwrap();
    let documents = documents.as_array().unwrap().iter().map(|document| document.as_object().unwrap().clone());
    index.apply(&[Payload::Replace(documents.collect())]).unwrap();
    index
}

fn titles(texts: &[&str]) -> Value {
    let documents = texts.iter().enumerate().map(|(id, text)| json!({"id": id, "t": text}));
    documents.collect::<Vec<_>>().into()
}

fn search(index: &Index, query: &Value) -> Value {
    let query = SearchQuery::from_json(query.as_object().unwrap()).unwrap();
    Value::Object(index.search(&query).unwrap().to_json(0))
}

fn ids(answer: &Value) -> Vec<u64> {
    answer["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_u64().unwrap()).collect()
}

fn found(index: &Index, q: &str) -> Vec<u64> {
    ids(&search(index, &json!({"q": q})))
}

#[test]
fn more_words_come_first_and_words_are_dropped_from_the_end() {
    let index = index(&json!({}), &titles(&["red cat", "cat", "red", "blue cat red fox", "red dog"]));
    assert_eq!(found(&index, "red cat "), [0, 3, 2, 4]);
    assert_eq!(ids(&search(&index, &json!({"q": "red cat ", "matchingStrategy": "all"}))), [0, 3]);
    // `red` is in more documents than `cat`, so it is dropped first.
    assert_eq!(ids(&search(&index, &json!({"q": "red cat ", "matchingStrategy": "frequency"}))), [0, 3, 1]);
}

#[test]
fn typos_are_forgiven_by_length_and_the_first_letter_counts_twice() {
    let index = index(&json!({}), &titles(&["wonderful", "hello", "jello", "hell"]));
    assert_eq!(found(&index, "helo "), [] as [u64; 0]);
    assert_eq!(found(&index, "helli "), [1, 3]);
    assert_eq!(found(&index, "wunderfol "), [0]);
    assert_eq!(found(&index, "bonderful "), [0]);
    let answer = search(&index, &json!({"q": "wonderfol ", "showRankingScoreDetails": true}));
    assert_eq!(answer["hits"][0]["_rankingScoreDetails"]["typo"]["typoCount"], 1);
}

#[test]
fn the_last_word_is_a_prefix_unless_a_space_follows() {
    let index = index(&json!({}), &titles(&["telephone", "tele"]));
    assert_eq!(found(&index, "tele"), [1, 0]);
    assert_eq!(found(&index, "tele "), [1]);
    assert_eq!(found(&index, "elephone"), [] as [u64; 0]);
}

#[test]
fn nearer_words_come_first_and_order_matters_by_one() {
    let index = index(&json!({}), &titles(&["sun is a flower", "flower sun", "sun flower", "sunflower"]));
    assert_eq!(found(&index, "sun flower "), [2, 1, 0, 3]);
}

#[test]
fn words_are_joined_and_split() {
    let index = index(&json!({}), &titles(&["whiteboard", "white board", "board of white"]));
    assert_eq!(found(&index, "white board "), [1, 2, 0]);
    assert_eq!(found(&index, "whiteboard "), [0, 1]);
}

#[test]
fn phrases_and_negations() {
    let index = index(&json!({}), &titles(&["to be or not", "be to", "not to be", "or"]));
    assert_eq!(found(&index, "\"to be\""), [0, 2]);
    assert_eq!(found(&index, "be -or"), [1, 2]);
    assert_eq!(found(&index, "-\"to be\""), [1, 3]);
}

#[test]
fn attributes_count_by_their_rank_then_by_place() {
    let documents = json!([{"id": 1, "b": "x cat"}, {"id": 2, "a": "y y cat"}, {"id": 3, "a": "cat"}]);
    let index = index(&json!({"searchableAttributes": ["a", "b"]}), &documents);
    assert_eq!(found(&index, "cat"), [3, 2, 1]);
    assert_eq!(ids(&search(&index, &json!({"q": "cat", "attributesToSearchOn": ["b"]}))), [1]);
}

#[test]
fn exactness_prefers_the_whole_attribute_then_its_start() {
    let settings = json!({"rankingRules": ["words", "exactness"]});
    let index = index(&settings, &titles(&["a new red cat", "red cats", "red cat food", "red cat"]));
    let answer = search(&index, &json!({"q": "red cat", "showRankingScoreDetails": true}));
    assert_eq!(ids(&answer), [3, 2, 0, 1]);
    let kinds: Vec<&Value> = (0..4).map(|hit| &answer["hits"][hit]["_rankingScoreDetails"]["exactness"]).collect();
    assert_eq!(kinds[0]["matchType"], "exactMatch");
    assert_eq!(kinds[1]["matchType"], "matchesStart");
    assert_eq!(kinds[2]["matchingWords"], 2);
    assert_eq!(kinds[3]["matchingWords"], 1);
}

#[test]
fn sort_puts_numbers_before_strings_and_missing_values_last() {
    let documents = json!([
        {"id": 1, "n": "b"}, {"id": 2}, {"id": 3, "n": 10}, {"id": 4, "n": 9}, {"id": 5, "n": "A"}, {"id": 6, "n": ""}
    ]);
    let index = index(&json!({"sortableAttributes": ["n"]}), &documents);
    assert_eq!(ids(&search(&index, &json!({"sort": ["n:asc"]}))), [4, 3, 5, 1, 2, 6]);
    let answer = search(&index, &json!({"sort": ["n:desc"], "showRankingScoreDetails": true}));
    assert_eq!(ids(&answer), [3, 4, 1, 5, 2, 6]);
    assert_eq!(answer["hits"][3]["_rankingScoreDetails"]["n:desc"], json!({"order": 0, "value": "a"}));
    assert_eq!(answer["hits"][5]["_rankingScoreDetails"]["n:desc"]["value"], Value::Null);
}

#[test]
fn distances_sort_and_are_shown() {
    let documents = json!([
        {"id": 1, "_geo": {"lat": 10, "lng": 10}}, {"id": 2}, {"id": 3, "_geo": {"lat": "0.5", "lng": 0}}
    ]);
    let settings = json!({"sortableAttributes": ["_geo"], "filterableAttributes": ["_geo"]});
    let index = index(&settings, &documents);
    let answer = search(&index, &json!({"sort": ["_geoPoint(0,0):asc"], "showRankingScoreDetails": true}));
    assert_eq!(ids(&answer), [3, 1, 2]);
    assert_eq!(answer["hits"][0]["_geoDistance"], 55597);
    let details = &answer["hits"][0]["_rankingScoreDetails"]["_geoPoint(0, 0):asc"];
    assert_eq!(details["value"], json!({"lat": 0.5, "lng": 0.0}));
    assert_eq!(ids(&search(&index, &json!({"filter": "_geoRadius(0, 0, 60000)"}))), [3]);
    assert_eq!(ids(&search(&index, &json!({"filter": "_geoBoundingBox([11, 11], [9, 9])"}))), [1]);
}

#[test]
fn filters_choose_and_refuse() {
    let documents = json!([
        {"id": 1, "k": "Été", "n": 5}, {"id": 2, "k": ["x", "y"], "n": 7.5}, {"id": 3, "k": null}, {"id": 4, "k": []}
    ]);
    let settings = json!({"filterableAttributes": [
        "k", {"attributePatterns": ["p*"], "features": {"filter": {"equality": true, "comparison": false}}}, "n"
    ]});
    let index = index(&settings, &documents);
    let table: [(Value, &[u64]); 12] = [
        (json!("k = ÉTÉ"), &[1]),
        (json!("k IN [x, été]"), &[1, 2]),
        (json!("k != x"), &[1, 3, 4]),
        (json!("n > 5"), &[2]),
        (json!("n 5 TO 7.5"), &[1, 2]),
        (json!("k EXISTS AND NOT n EXISTS"), &[3, 4]),
        (json!("k IS NULL"), &[3]),
        (json!("k IS EMPTY"), &[4]),
        (json!("k STARTS WITH é"), &[1]),
        (json!(["n >= 5", ["k = x", "k = y"]]), &[2]),
        (json!(""), &[1, 2, 3, 4]),
        (json!("missing = 1 OR k = x"), &[]),
    ];
    for (filter, expected) in &table[..11] {
        assert_eq!(&ids(&search(&index, &json!({"filter": filter}))), expected, "{filter}");
    }
    let refused = |filter: Value| {
        let query = json!({"filter": filter});
        index.search(&SearchQuery::from_json(query.as_object().unwrap()).unwrap()).unwrap_err()
    };
    let error = refused(table[11].0.clone());
    assert_eq!(error.code.name(), "invalid_search_filter");
    assert!(error.message.starts_with(
        "Attribute `missing` is not filterable. Available filterable attribute patterns are: `k`, `n`, `p*`."
    ));
    assert_eq!(refused(json!("k CONTAINS x")).code.name(), "feature_not_enabled");
    assert_eq!(refused(json!("k = ")).code.name(), "invalid_search_filter");
    assert_eq!(
        refused(json!(4)).message,
        "Invalid syntax for the filter parameter: `expected String, Array, found: 4`."
    );
}

#[test]
fn facet_values_keep_the_writing_of_the_first_document() {
    let documents = json!([
        {"id": 1, "k": "B", "n": 10}, {"id": 2, "k": ["b", "a"], "n": 9}, {"id": 3, "k": "c", "n": 9}, {"id": 4, "n": "z"}
    ]);
    let index = index(&json!({"filterableAttributes": ["k", "n"]}), &documents);
    let answer = search(&index, &json!({"facets": ["k", "n"], "limit": 0}));
    let expected = r#"{"k":{"a":1,"B":2,"c":1},"n":{"10":1,"9":2,"z":1}}"#;
    assert_eq!(serde_json::to_string(&answer["facetDistribution"]).unwrap(), expected);
    assert_eq!(answer["facetStats"], json!({"n": {"min": 9.0, "max": 10.0}}));
    assert_eq!(answer["estimatedTotalHits"], 4);
    let none = search(&index, &json!({"facets": []}));
    assert_eq!((none.get("facetDistribution"), none.get("facetStats")), (None, None));
}

#[test]
fn pages_are_exhaustive_and_offsets_are_not_past_the_end() {
    let index = index(&json!({}), &titles(&["a", "a b", "a c", "a d", "b"]));
    let answer = search(&index, &json!({"q": "a", "page": 2, "hitsPerPage": 3}));
    assert_eq!(ids(&answer), [3]);
    assert_eq!((&answer["totalHits"], &answer["totalPages"]), (&json!(4), &json!(2)));
    assert_eq!(ids(&search(&index, &json!({"q": "a", "offset": 3, "limit": 5}))), [3]);
    assert_eq!(ids(&search(&index, &json!({"q": "a", "offset": 9}))), [] as [u64; 0]);
}

#[test]
fn distinct_shows_each_value_once() {
    let documents = json!([{"id": 1, "k": "x"}, {"id": 2, "k": "y"}, {"id": 3, "k": "X"}, {"id": 4}]);
    let index = index(&json!({"filterableAttributes": ["k"]}), &documents);
    let answer = search(&index, &json!({"distinct": "k", "hitsPerPage": 10}));
    assert_eq!(ids(&answer), [1, 2, 4]);
    assert_eq!(answer["totalHits"], 3);
}

#[test]
fn matches_are_highlighted_cropped_and_located() {
    let text = "The quick brown fox jumps over the lazy dog, then sleeps all day long";
    let index = index(&json!({}), &json!([{"id": 1, "t": text, "l": ["a fox", {"x": "foxes"}], "n": 12}]));
    let answer = search(
        &index,
        &json!({
            "q": "lazy fox", "attributesToHighlight": ["*"], "attributesToCrop": ["t:5"], "showMatchesPosition": true
        }),
    );
    let hit = &answer["hits"][0];
    assert_eq!(hit["_formatted"]["t"], "…<em>fox</em> jumps over the <em>lazy</em>…");
    assert_eq!(hit["_formatted"]["l"], json!(["a <em>fox</em>", {"x": "<em>fox</em>es"}]));
    assert_eq!(hit["_formatted"]["n"], "12");
    let expected = json!({
        "l": [{"start": 2, "length": 3, "indices": [0]}], "l.x": [{"start": 0, "length": 3, "indices": [1]}],
        "t": [{"start": 16, "length": 3}, {"start": 35, "length": 4}]
    });
    assert_eq!(hit["_matchesPosition"], expected);
}

#[test]
fn synonyms_find_each_other_as_written() {
    let settings = json!({"synonyms": {"car": ["automobile"], "new york": ["ny"]}});
    let index = index(&settings, &titles(&["automobile", "car", "ny pizza", "new york"]));
    assert_eq!(found(&index, "car "), [1, 0]);
    assert_eq!(found(&index, "new york "), [3, 2]);
}

#[test]
fn settings_of_typos_are_obeyed() {
    let settings = json!({"typoTolerance": {"disableOnWords": ["hello"], "disableOnAttributes": ["u"]}});
    let documents = json!([{"id": 1, "t": "hella wonders"}, {"id": 2, "u": "wonders"}]);
    let index = index(&settings, &documents);
    assert_eq!(found(&index, "hello "), [] as [u64; 0]);
    assert_eq!(found(&index, "wander "), [] as [u64; 0]);
    assert_eq!(found(&index, "wanders "), [1]);
    assert_eq!(found(&index, "wonders "), [2, 1]);
}

#[test]
fn hits_below_the_score_threshold_are_left_out() {
    let index = index(&json!({}), &titles(&["red cat", "red"]));
    let answer = search(&index, &json!({"q": "red cat ", "rankingScoreThreshold": 0.9}));
    assert_eq!(ids(&answer), [0]);
    assert_eq!(answer["estimatedTotalHits"], 1);
}
