//! The merge against tables, and against sorting everything.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::distinct::Walk;
use super::rank::Rank;
use super::*;

fn search(body: &str) -> SearchRequest {
    SearchRequest::from_json(body.as_bytes()).expect(body)
}

fn settings(value: &Value) -> AnswerSettings {
    AnswerSettings::from_settings(value.as_object().expect("an object"))
}

fn merged(request: &str, user_settings: &Value, answers: &[Value]) -> Value {
    let texts: Vec<String> = answers.iter().map(Value::to_string).collect();
    let bodies: Vec<&str> = texts.iter().map(String::as_str).collect();
    let frame = AnswerFrame { processing_time_ms: 7, ..AnswerFrame::default() };
    let (request, settings) = (search(request), settings(user_settings));
    let text = merge(&first_hits(&request, &settings), &bodies, &frame).expect("well-formed answers").body;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Nodes were asked for so many hits that their lists are all they have.
fn first_hits<'a>(request: &'a SearchRequest, settings: &'a AnswerSettings) -> Question<'a> {
    static NOTHING_ADDED: LazyLock<Retrieved> = LazyLock::new(Retrieved::default);
    Question {
        request,
        settings,
        asked: Asked::First(1_000),
        distinct: None,
        pinned: None,
        retrieved: &NOTHING_ADDED,
        hidden_rule: None,
        hides_score: false,
    }
}

fn ids(answer: &Value) -> Vec<u64> {
    answer["hits"].as_array().expect("hits").iter().map(|hit| hit["id"].as_u64().expect("an id")).collect()
}

/// A hit as a node returns it.
fn hit(id: u64, details: &Value) -> Value {
    json!({"_miroir": "x", "id": id, "_rankingScoreDetails": details})
}

fn answer(hits: &[Value]) -> Value {
    json!({"hits": hits, "query": "", "processingTimeMs": 0, "limit": 20, "offset": 0, "estimatedTotalHits": hits.len()})
}

#[test]
fn better_hits_come_first_by_the_first_rule_that_differs() {
    let words =
        |count: u64| json!({"words": {"order": 0, "matchingWords": count, "maxMatchingWords": 3, "score": 0.5}});
    let typos = |count: u64| json!({"typo": {"order": 0, "typoCount": count, "maxTypoCount": 2, "score": 0.5}});
    let score = |rule: &str, score: f64| json!({rule: {"order": 0, "score": score}});
    let sort = |rule: &str, value: Value| json!({rule: {"order": 0, "value": value}});
    let geo = |rule: &str, distance: Value| json!({rule: {"order": 0, "value": null, "distance": distance}});
    let exact = |kind: &str, words: u64| json!({"exactness": {"order": 0, "matchType": kind, "matchingWords": words, "score": 0.1}});
    for (better, worse) in [
        (words(2), words(1)),
        (typos(0), typos(1)),
        (score("proximity", 0.9), score("proximity", 0.8)),
        (score("wordPosition", 1.0), score("wordPosition", 0.99)),
        (sort("a:asc", json!(1.5)), sort("a:asc", json!(2))),
        (sort("a:asc", json!(9)), sort("a:asc", json!("1"))),
        (sort("a:asc", json!("z")), sort("a:asc", json!(null))),
        (sort("a:desc", json!("b")), sort("a:desc", json!("a"))),
        (sort("a:desc", json!(1)), sort("a:desc", json!("z"))),
        (sort("a:desc", json!(1)), sort("a:desc", json!(null))),
        (sort("a:asc", json!("Z\"")), sort("a:asc", json!("a"))),
        (geo("_geoPoint(1, 2):asc", json!(5)), geo("_geoPoint(1, 2):asc", json!(6))),
        (geo("_geoPoint(1, 2):desc", json!(6)), geo("_geoPoint(1, 2):desc", json!(5))),
        (geo("_geoPoint(1, 2):desc", json!(6)), geo("_geoPoint(1, 2):desc", json!(null))),
        (exact("exactMatch", 0), exact("matchesStart", 9)),
        (exact("noExactMatch", 2), exact("noExactMatch", 1)),
        (
            json!({"attribute": {"order": 0, "attributeRankingOrderScore": 1.0, "queryWordDistanceScore": 0.5, "score": 0.6}}),
            json!({"attribute": {"order": 0, "attributeRankingOrderScore": 1.0, "queryWordDistanceScore": 0.4, "score": 0.7}}),
        ),
        (score("proximity", 0.1), json!({"skipped": {"order": 0}})),
        (
            // The same point twice in `sort`: first place, second number.
            json!({"_geoPoint(1, 2):asc": {"order": 2, "distance": 1}, "b:asc": {"order": 1, "value": 1}}),
            json!({"_geoPoint(1, 2):asc": {"order": 2, "distance": 2}, "b:asc": {"order": 1, "value": 0}}),
        ),
    ] {
        for (first, second) in [(&better, &worse), (&worse, &better)] {
            let answers = [
                answer(&[hit(u64::from(first == &worse), first)]),
                answer(&[hit(u64::from(second == &worse), second)]),
            ];
            assert_eq!(ids(&merged("{}", &json!({}), &answers)), [0, 1], "{better} against {worse}");
        }
    }
}

#[test]
fn the_answer_has_one_servers_shape_and_nothing_of_ours() {
    let details = json!({"words": {"order": 0, "matchingWords": 1, "maxMatchingWords": 1, "score": 1.0}});
    let node = json!({
        "hits": [{"_miroir": "x", "id": 1, "_formatted": {"_miroir": "x", "id": "1"}, "_matchesPosition": {"_miroir": [], "t": []},
            "_rankingScore": 1.0, "_rankingScoreDetails": details}],
        "query": "a \"b\"", "processingTimeMs": 0, "limit": 20, "offset": 0, "estimatedTotalHits": 1,
        "facetDistribution": {"_miroir": {"x": 1}, "g": {"u": 1}}, "facetStats": {}, "requestUid": "some-uid",
    });
    let texts = [node.to_string(), node.to_string()];
    let bodies: Vec<&str> = texts.iter().map(String::as_str).collect();
    let frame = AnswerFrame { processing_time_ms: 7, is_degraded: true, ..AnswerFrame::default() };
    let request = search(r#"{"q":"a \"b\"","limit":1,"facets":["*"],"showRankingScore":true}"#);
    let settings = AnswerSettings::default();
    let text = merge(&first_hits(&request, &settings), &bodies, &frame).expect("well-formed answers").body;
    assert_eq!(
        text,
        r#"{"hits":[{"id":1,"_formatted":{"id":"1"},"_matchesPosition":{"t":[]},"_rankingScore":1.0}],"query":"a \"b\"","processingTimeMs":7,"limit":1,"offset":0,"estimatedTotalHits":2,"facetDistribution":{"g":{"u":2}},"facetStats":{},"requestUid":"some-uid","degraded":true}"#
    );
}

#[test]
fn totals_count_all_hits_whatever_can_be_paged_to() {
    let page =
        |total: u64| json!({"hits": [], "query": "", "hitsPerPage": 4, "page": 1, "totalPages": 1, "totalHits": total});
    let answers = [page(10), page(7)];
    let paged = merged(r#"{"page":2,"hitsPerPage":4}"#, &json!({}), &answers);
    assert_eq!((&paged["totalHits"], &paged["totalPages"], &paged["page"]), (&json!(17), &json!(5), &json!(2)));
    let limited = merged(r#"{"hitsPerPage":4}"#, &json!({"pagination": {"maxTotalHits": 9}}), &answers);
    assert_eq!((&limited["totalHits"], &limited["totalPages"]), (&json!(17), &json!(5)));
    let beyond = merged(r#"{"offset":50}"#, &json!({"pagination": {"maxTotalHits": 9}}), &[answer(&[])]);
    assert_eq!(beyond["offset"], json!(50));
    let none = merged(r#"{"hitsPerPage":0}"#, &json!({}), &answers);
    assert_eq!(none["totalPages"], json!(0));
}

#[test]
fn facets_are_summed_ordered_and_cut() {
    let node = |facets: Value, stats: Value| json!({"hits": [], "estimatedTotalHits": 5, "facetDistribution": facets, "facetStats": stats});
    let answers = [
        node(json!({"g": {"10": 1, "9": 2, "Éa": 1, "b": 4}}), json!({"g": {"min": 9.0, "max": 10.0}})),
        node(json!({"g": {"10": 1, "2": 1, "a": 1, "éa": 2}, "h": {"x": 1}}), json!({"g": {"min": 2.0, "max": 10.0}})),
    ];
    let text_of = |settings: Value, answers: &[Value]| {
        let answer = merged(r#"{"facets":["*"]}"#, &settings, answers);
        (answer["facetDistribution"].to_string(), answer["facetStats"].to_string())
    };
    let text = |settings: Value| text_of(settings, &answers);
    let (distribution, stats) = text(json!({}));
    assert_eq!(distribution, r#"{"g":{"10":2,"2":1,"9":2,"a":1,"b":4,"Éa":3},"h":{"x":1}}"#);
    assert_eq!(stats, r#"{"g":{"min":2.0,"max":10.0}}"#);
    let (cut, _) = text(json!({"faceting": {"maxValuesPerFacet": 4}}));
    assert_eq!(cut, r#"{"g":{"10":2,"2":1,"9":2,"a":1},"h":{"x":1}}"#);
    let falling = [
        node(json!({"g": {"9": 2, "10": 1, "b": 4, "Éa": 1}}), json!({"g": {"min": 9.0, "max": 10.0}})),
        node(json!({"g": {"10": 1, "2": 1, "éa": 2, "a": 1}, "h": {"x": 1}}), json!({"g": {"min": 2.0, "max": 10.0}})),
    ];
    let (by_count, _) = text_of(json!({"faceting": {"sortFacetValuesBy": {"g": "count"}}}), &falling);
    assert_eq!(by_count, r#"{"g":{"10":2,"9":2,"2":1,"b":4,"Éa":3,"a":1},"h":{"x":1}}"#);
}

#[test]
fn numbers_of_many_documents_are_ordered_by_value_though_some_nodes_have_few() {
    // 4,000 documents; the second node has few of them, and orders its numbers as texts.
    let node = |total: u64, values: Value| {
        json!({"hits": [], "estimatedTotalHits": total, "facetDistribution": {"g": values},
            "facetStats": {"g": {"min": 1.0, "max": 100.0}}})
    };
    let answers = [
        node(3_500, json!({"3": 1, "9": 1, "10": 2, "b": 1})),
        node(500, json!({"1": 5, "10": 1, "100": 1, "2": 1, "9": 1, "a": 1})),
    ];
    let settings = json!({"faceting": {"maxValuesPerFacet": 4}});
    let answer = merged(r#"{"facets":["*"]}"#, &settings, &answers);
    // As one server: numbers that fill the list do not keep texts out of it.
    assert_eq!(answer["facetDistribution"].to_string(), r#"{"g":{"1":5,"2":1,"3":1,"9":2,"a":1,"b":1}}"#);
}

#[test]
fn hidden_attributes_stay_hidden() {
    let details = json!({"secret:asc": {"order": 0, "value": 1}, "title:desc": {"order": 1, "value": "a"}});
    let node = json!({
        "hits": [{"title": "a", "_matchesPosition": {"title": [], "secret.x": []}, "_rankingScoreDetails": details}],
        "estimatedTotalHits": 1,
    });
    let shown = merged(r#"{"showRankingScoreDetails":true}"#, &json!({"displayedAttributes": ["title"]}), &[node]);
    assert_eq!(
        shown["hits"][0],
        json!({"title": "a", "_matchesPosition": {"title": []}, "_rankingScoreDetails": {
            "<hidden-rule-0>": {"order": 0, "value": "<hidden>"}, "title:desc": {"order": 1, "value": "a"}}})
    );
}

#[test]
fn broken_answers_are_noticed() {
    for body in [
        "",
        "[]",
        "{}",
        r#"{"hits":[{"a":1}"#,
        r#"{"hits":{},"estimatedTotalHits":1}"#,
        r#"{"hits":[]}"#,
        r#"{"estimatedTotalHits":1,"hits":[]}"#,
        r#"{"hits":[{"a":1],"estimatedTotalHits":1}"#,
        r#"{"hits":[1],"estimatedTotalHits":1}"#,
        r#"{"hits":[{"a":tru}],"estimatedTotalHits":1}"#,
        r#"{"hits":[{"_rankingScoreDetails":{"words":1}}],"estimatedTotalHits":1}"#,
        r#"{"hits":[],"estimatedTotalHits":-1}"#,
    ] {
        let (request, settings) = (search("{}"), AnswerSettings::default());
        let result = merge(&first_hits(&request, &settings), &[body, body], &AnswerFrame::default());
        assert_eq!(result, Err(MergeError::Malformed), "{body}");
    }
}

/// Random details with few values, so that ties are common.
fn details() -> impl Strategy<Value = Value> {
    let value = prop_oneof![Just(json!(null)), (0..3i32).prop_map(|n| json!(n)), "[ab]".prop_map(|text| json!(text))];
    (0..3u64, 0..2u64, 0..3u32, value, 0..2u32).prop_map(|(words, typos, proximity, value, skipped)| {
        let mut details = json!({
            "words": {"order": 0, "matchingWords": words, "maxMatchingWords": 3, "score": 1.0},
            "typo": {"order": 1, "typoCount": typos, "maxTypoCount": 3, "score": 1.0},
            "proximity": {"order": 2, "score": f64::from(proximity) / 3.0},
        });
        if skipped == 0 {
            details["skipped"] = json!({"order": 3});
        } else {
            details["price:desc"] = json!({"order": 3, "value": value});
        }
        details
    })
}

proptest! {
    #[test]
    fn merging_sorted_lists_equals_sorting_everything(
        nodes in proptest::collection::vec(proptest::collection::vec(details(), 0..12), 1..6),
        offset in 0usize..8,
        limit in 0usize..12,
    ) {
        let mut next_id = 0;
        let mut lists: Vec<Vec<(u64, String)>> = Vec::new();
        for node in nodes {
            let mut list: Vec<(u64, String)> = Vec::new();
            for details in node {
                list.push((next_id, details.to_string()));
                next_id += 1;
            }
            list.sort_by(|a, b| rank_of(&b.1).compare(&rank_of(&a.1)));
            lists.push(list);
        }
        let answers: Vec<Value> = lists
            .iter()
            .map(|list| {
                let hits = list.iter().map(|(id, details)| hit(*id, &serde_json::from_str(details).expect("JSON")));
                answer(&hits.collect::<Vec<_>>())
            })
            .collect();
        // Sorting is stable: equal hits stay in the order of nodes.
        let mut all: Vec<(u64, String)> = lists.concat();
        all.sort_by(|a, b| rank_of(&b.1).compare(&rank_of(&a.1)));
        let expected: Vec<u64> = all.iter().skip(offset).take(limit).map(|(id, _)| *id).collect();
        let request = format!("{{\"offset\":{offset},\"limit\":{limit}}}");
        prop_assert_eq!(ids(&merged(&request, &json!({}), &answers)), expected);
    }
}

fn rank_of(details: &str) -> Rank<'_> {
    Rank::of_details(details).expect("well-formed details")
}

/// A hit with a rank and values of `brand`.
fn branded(id: u64, words: u64, brand: &Value) -> Value {
    json!({"_miroir": "x", "id": id, "brand": brand, "_rankingScoreDetails": {"words": {"order": 0, "matchingWords": words}}})
}

fn walk(request: &str, answers: &[Value], asked: u64, walk: Walk) -> Result<Vec<u64>, MergeError> {
    let texts: Vec<String> = answers.iter().map(Value::to_string).collect();
    let bodies: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (request, settings) = (search(request), AnswerSettings::default());
    let counts = ValueCounts::read(&[], &[], "brand", 1).expect("nothing to read");
    let distinct = Some((Distinct { attribute: "brand", walk, is_parameter: true }, &counts));
    let question = Question { asked: Asked::First(asked), distinct, ..first_hits(&request, &settings) };
    let text = merge(&question, &bodies, &AnswerFrame::default())?.body;
    Ok(ids(&serde_json::from_str(&text).expect("JSON")))
}

#[test]
fn of_hits_with_a_common_value_only_the_best_is_kept() {
    let answers = [
        answer(&[branded(1, 9, &json!("Ä")), branded(2, 7, &json!([1, 2])), branded(3, 5, &json!(null))]),
        answer(&[branded(4, 8, &json!(" a\u{308}")), branded(5, 6, &json!(2.0)), branded(6, 4, &json!("2"))]),
    ];
    assert_eq!(walk("{}", &answers, 9, Walk::Here), Ok(vec![1, 2, 3, 6]));
    assert_eq!(walk(r#"{"offset":1,"limit":2}"#, &answers, 9, Walk::Here), Ok(vec![2, 3]));
}

/// As on 1.50, which walks first, and leaves out empty texts of what the page would be.
#[test]
fn a_page_shows_an_empty_text_once_and_is_short_for_it() {
    let brands = [json!(""), json!([]), json!([" "]), json!("a"), json!(["", "z"]), json!("b")];
    let hits: Vec<Value> =
        brands.iter().enumerate().map(|(place, brand)| branded(place as u64, 9 - place as u64, brand)).collect();
    let answers = [answer(&hits)];
    assert_eq!(walk("{}", &answers, 9, Walk::Here), Ok(vec![0, 1, 3, 5]));
    assert_eq!(walk(r#"{"hitsPerPage":4}"#, &answers, 9, Walk::Here), Ok(vec![0, 1, 3]));
    assert_eq!(walk(r#"{"offset":1,"limit":3}"#, &answers, 9, Walk::Here), Ok(vec![1, 3]));
    assert_eq!(
        walk("{}", &answers, 9, Walk::NodesFirst),
        Err(MergeError::HiddenByDropped),
        "the node has left some out itself"
    );
}

#[test]
fn a_page_that_the_lists_cannot_fill_needs_longer_lists() {
    let lists = |length: usize| {
        let brands = ["a", "a", "b"];
        let hits: Vec<Value> = (0..3).map(|place| branded(place, 9 - place, &json!(brands[place as usize]))).collect();
        [answer(&hits[..length]), answer(&[])]
    };
    assert_eq!(walk(r#"{"limit":2}"#, &lists(2), 2, Walk::Here), Err(MergeError::TooShallow));
    assert_eq!(walk(r#"{"hitsPerPage":2}"#, &lists(3), 3, Walk::Here), Ok(vec![0, 2]), "the page is full");
    assert_eq!(
        walk(r#"{"limit":2}"#, &lists(3), 3, Walk::Here),
        Err(MergeError::TooShallow),
        "what ties with it counts"
    );
    assert_eq!(walk(r#"{"limit":3}"#, &lists(3), 4, Walk::Here), Ok(vec![0, 2]), "there is no more");
    assert_eq!(walk(r#"{"limit":0}"#, &lists(0), 0, Walk::Here), Ok(vec![]));
}

#[test]
fn what_nodes_left_out_counts_only_if_it_would_be_left_out_of_the_whole() {
    let one_value = [answer(&[branded(1, 9, &json!("a"))]), answer(&[branded(2, 8, &json!("a"))])];
    assert_eq!(walk("{}", &one_value, 9, Walk::NodesFirst), Ok(vec![1]));
    // The second node may have left out a hit with `b` for the sake of this one.
    let two_values = [answer(&[branded(1, 9, &json!("a"))]), answer(&[branded(2, 8, &json!(["a", "b"]))])];
    assert_eq!(walk("{}", &two_values, 9, Walk::NodesFirst), Err(MergeError::HiddenByDropped));
    assert_eq!(walk("{}", &two_values, 9, Walk::Here), Ok(vec![1]));
    assert_eq!(walk("{}", &two_values, 9, Walk::NodesAnyway), Ok(vec![1]));
}

proptest! {
    #[test]
    fn walks_of_the_nodes_first_give_the_same_or_are_found_out(
        hits in proptest::collection::vec((0..4_u64, proptest::collection::vec(0..6_u8, 0..3)), 0..20),
        nodes in 1..4_usize,
    ) {
        let mut hits: Vec<(usize, u64, Vec<u8>)> =
            hits.into_iter().enumerate().map(|(id, (words, brands))| (id, words, brands)).collect();
        hits.sort_by_key(|(id, words, _)| (std::cmp::Reverse(*words), id % nodes, *id));
        let kept_of = |list: Vec<&(usize, u64, Vec<u8>)>| {
            let mut seen = Vec::new();
            let mut kept = Vec::new();
            for hit in list {
                if hit.2.iter().all(|brand| !seen.contains(brand)) {
                    seen.extend(hit.2.clone());
                    kept.push(hit.clone());
                }
            }
            kept
        };
        let expected: Vec<u64> = kept_of(hits.iter().collect()).iter().map(|hit| hit.0 as u64).collect();
        let list = |node: usize, is_pushed_down: bool| {
            let own: Vec<_> = hits.iter().filter(|hit| hit.0 % nodes == node).collect();
            let own = if is_pushed_down { kept_of(own) } else { own.into_iter().cloned().collect() };
            answer(&own.iter().map(|(id, words, brands)| branded(*id as u64, *words, &json!(brands))).collect::<Vec<_>>())
        };
        let answers = |is_pushed_down| (0..nodes).map(|node| list(node, is_pushed_down)).collect::<Vec<_>>();
        prop_assert_eq!(walk("{}", &answers(false), 100, Walk::Here), Ok(expected.clone()));
        let pushed_down = walk("{}", &answers(true), 100, Walk::NodesFirst);
        prop_assert!(pushed_down == Ok(expected) || pushed_down == Err(MergeError::HiddenByDropped));
    }
}

#[test]
fn distinct_totals_are_those_of_one_server() {
    let counted = |total: u64, values: Value| {
        json!({"hits": [], "page": 1, "totalHits": total, "facetDistribution": {"brand": values}}).to_string()
    };
    let counts = [counted(7, json!({"A": 3, "b": 2})), counted(6, json!({"a": 4, "c": 2}))];
    let bodies: Vec<&str> = counts.iter().map(String::as_str).collect();
    let without = [answer(&[]).to_string(), json!({"hits": [], "estimatedTotalHits": 2}).to_string()];
    let without: Vec<&str> = without.iter().map(String::as_str).collect();
    let counts = ValueCounts::read(&bodies, &without, "brand", 3).expect("well-formed answers");
    let total = |request: &str, hits: [&[Value]; 2]| {
        let texts: Vec<String> = hits.iter().map(|hits| answer(hits).to_string()).collect();
        let bodies: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (request, settings) = (search(request), AnswerSettings::default());
        let distinct = Some((Distinct { attribute: "brand", walk: Walk::Here, is_parameter: true }, &counts));
        let question = Question { distinct, ..first_hits(&request, &settings) };
        let merged = merge(&question, &bodies, &AnswerFrame::default()).expect("well-formed answers");
        let json: Value = serde_json::from_str(&merged.body).expect("JSON");
        let total = json.get("totalHits").or_else(|| json.get("estimatedTotalHits")).and_then(Value::as_u64);
        (total.expect("a total"), merged.approximate)
    };
    let (a, b, tie) = (branded(1, 9, &json!("a")), branded(2, 8, &json!("b")), branded(3, 9, &json!("c")));
    let unranked = json!({"id": 4, "brand": "a", "_rankingScoreDetails": {}});
    let several = branded(5, 9, &json!(["a", "c"]));
    let nothing: &[Value] = &[];
    // Three values, and two documents without one.
    assert_eq!(total(r#"{"page":1}"#, [nothing, nothing]), (5, vec![]));
    assert_eq!(total(r#"{"limit":0}"#, [&[a.clone(), b.clone()], nothing]), (13, vec![]), "nothing was looked at");
    assert_eq!(total(r#"{"limit":1}"#, [&[a.clone(), b.clone()], nothing]), (7, vec![]));
    assert_eq!(total(r#"{"limit":1}"#, [&[a, b], &[tie]]), (6, vec![]), "what ties with the last hit counts");
    assert_eq!(
        total(r#"{"limit":1}"#, [&[unranked.clone(), unranked], nothing]),
        (7, vec![Part::Totals]),
        "unless nothing ranks"
    );
    assert_eq!(total(r#"{"limit":1}"#, [&[several], nothing]).0, 6);
    // Three values and two without: nodes that give only one hit have kept back some.
    let texts = [answer(&[branded(1, 9, &json!("a"))]).to_string(), answer(&[]).to_string()];
    let few: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (request, settings) = (search("{}"), AnswerSettings::default());
    let of = |walk| {
        let distinct = Some((Distinct { attribute: "brand", walk, is_parameter: true }, &counts));
        merge(&Question { distinct, ..first_hits(&request, &settings) }, &few, &AnswerFrame::default())
    };
    assert_eq!(of(Walk::NodesFirst), Err(MergeError::HiddenByDropped));
    let whole = of(Walk::Here).expect("well-formed answers");
    assert!(whole.body.contains("\"estimatedTotalHits\":1") && whole.approximate.is_empty(), "{whole:?}");
    assert_eq!(of(Walk::NodesAnyway).expect("well-formed answers").approximate, [Part::Hits]);
    let cut = counts.clone().of_some_shards();
    let total = cut.total(search(r#"{"page":1}"#).paging, &distinct::Kept::default(), 9);
    assert_eq!((total.total, total.is_exact), (9, false), "the nodes' own totals where values were cut");
    let more = ValueCounts::read(&bodies, &without[..1], "brand", 3).expect("well-formed answers");
    let kept = distinct::Kept::default();
    assert!(!more.total(search(r#"{"page":1}"#).paging, &kept, 0).is_exact, "some documents have several values");
}

/// Ten documents with two values each, all of which the page has shown: nobody is left, but nobody is left out twice.
#[test]
fn documents_with_several_values_are_left_out_once() {
    let body = json!({"hits": [], "totalHits": 12, "facetDistribution": {"brand": {"a": 10, "b": 10}}}).to_string();
    let without = json!({"hits": [], "estimatedTotalHits": 2}).to_string();
    let counts = ValueCounts::read(&[&body], &[&without], "brand", 3).expect("well-formed answers");
    let total = |hits: &[Value]| {
        let texts = [answer(hits).to_string()];
        let bodies: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (request, settings) = (search(r#"{"limit":1}"#), AnswerSettings::default());
        let distinct = Some((Distinct { attribute: "brand", walk: Walk::Here, is_parameter: true }, &counts));
        let merged = merge(&Question { distinct, ..first_hits(&request, &settings) }, &bodies, &AnswerFrame::default());
        let merged = merged.expect("well-formed answers");
        assert_eq!(merged.approximate, [Part::Totals]);
        let json: Value = serde_json::from_str(&merged.body).expect("JSON");
        json["estimatedTotalHits"].as_u64().expect("a total")
    };
    assert_eq!(total(&[branded(1, 9, &json!(["a", "b"])), branded(2, 8, &json!("c"))]), 3, "9 of 10 are left out");
    assert_eq!(total(&[branded(1, 9, &json!("a")), branded(2, 8, &json!("c"))]), 8);
}

#[test]
fn a_rule_that_only_the_nodes_have_is_not_shown() {
    let details = |id: u64| json!({"words": {"order": 0, "matchingWords": 1}, "id:asc": {"order": 1, "value": id}});
    let answers = [answer(&[hit(7, &details(7))]), answer(&[hit(3, &details(3))])];
    let texts: Vec<String> = answers.iter().map(Value::to_string).collect();
    let bodies: Vec<&str> = texts.iter().map(String::as_str).collect();
    let (request, settings) = (search(r#"{"showRankingScoreDetails":true}"#), AnswerSettings::default());
    let question = Question { hidden_rule: Some("id:asc"), ..first_hits(&request, &settings) };
    let text = merge(&question, &bodies, &AnswerFrame::default()).expect("well-formed answers").body;
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    let shown = json!({"words": {"order": 0, "matchingWords": 1}});
    let hit = |id: u64| json!({"id": id, "_rankingScoreDetails": shown});
    assert_eq!(answer["hits"], json!([hit(3), hit(7)]));
}

#[test]
fn a_node_that_ran_out_of_time_makes_the_answer_degraded() {
    let cut_off = json!({"words": {"order": 0, "matchingWords": 1}, "skipped": {"order": 1}});
    let whole = json!({"words": {"order": 0, "matchingWords": 2}});
    let is_degraded = |first: &Value, second: &Value, asked: Asked, request: &str| {
        let texts = [answer(&[hit(1, first)]).to_string(), answer(&[hit(2, second)]).to_string()];
        let bodies: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (request, settings) = (search(request), AnswerSettings::default());
        let question = Question { asked, ..first_hits(&request, &settings) };
        let text = merge(&question, &bodies, &AnswerFrame::default()).expect("well-formed answers").body;
        serde_json::from_str::<Value>(&text).expect("JSON").get("degraded") == Some(&json!(true))
    };
    for asked in [Asked::First(20), Asked::Page] {
        assert!(is_degraded(&whole, &cut_off, asked, "{}"));
        assert!(is_degraded(&cut_off, &whole, asked, r#"{"limit":1}"#), "another order might have been right");
        assert!(!is_degraded(&whole, &whole, asked, "{}"));
    }
}
