//! Facets merged from lists that nodes have cut, against a model of one server that has all documents.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Values of one document: numbers and texts.
type Document = (Vec<i32>, Vec<String>);

/// How often each value is there, as the engine would list it: by count, or numbers by value and texts by text.
fn counts(documents: &[&Document], is_by_count: bool, values_max: usize) -> Vec<(String, u64)> {
    let mut numbers: BTreeMap<i32, u64> = BTreeMap::new();
    let mut texts: BTreeMap<&str, u64> = BTreeMap::new();
    for (own_numbers, own_texts) in documents {
        for number in own_numbers {
            *numbers.entry(*number).or_default() += 1;
        }
        for text in own_texts {
            *texts.entry(text).or_default() += 1;
        }
    }
    let mut numbers: Vec<(String, u64)> =
        numbers.into_iter().map(|(number, count)| (number.to_string(), count)).collect();
    let mut texts: Vec<(String, u64)> = texts.into_iter().map(|(text, count)| (text.to_owned(), count)).collect();
    if is_by_count {
        for list in [&mut numbers, &mut texts] {
            list.reverse();
            list.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        }
    } else {
        // So few documents are looked at one by one.
        numbers.sort();
        numbers.extend(texts);
        numbers.truncate(values_max);
        return numbers;
    }
    // The engine's limit is looked at only when something was put in.
    if values_max > 0 {
        numbers.truncate(values_max);
    }
    if numbers.len() < values_max {
        texts.truncate(values_max - numbers.len());
    }
    numbers.extend(texts);
    numbers
}

fn body_of(documents: &[&Document], is_by_count: bool, values_max: usize) -> String {
    let listed = counts(documents, is_by_count, values_max);
    let mut values = String::new();
    for (value, count) in &listed {
        write!(values, "{}{}:{count}", if values.is_empty() { "" } else { "," }, json!(value))
            .expect("strings take all");
    }
    let numbers: Vec<i32> = documents.iter().flat_map(|(numbers, _)| numbers).copied().collect();
    let stats = match (numbers.iter().min(), numbers.iter().max()) {
        (Some(min), Some(max)) => format!(r#""f":{{"min":{min}.0,"max":{max}.0}}"#),
        _ => String::new(),
    };
    let total = documents.len();
    format!(
        r#"{{"hits":[],"estimatedTotalHits":{total},"facetDistribution":{{"f":{{{values}}}}},"facetStats":{{{stats}}}}}"#
    )
}

fn limits(is_by_count: bool, values_max: u64, node_values_max: u64) -> FacetLimits {
    let by_count = [("f".to_owned(), is_by_count)].into();
    FacetLimits { values_max, node_values_max, by_count, hidden: None }
}

fn merge_of<'a>(bodies: &'a [String], limits: &FacetLimits) -> FacetMerge<'a> {
    let answers: Vec<NodeAnswer<'a>> = bodies.iter().map(|body| NodeAnswer::read(body).expect("an answer")).collect();
    FacetMerge::of(&answers, limits, &["f"]).expect("facets")
}

fn shown(merge: &FacetMerge<'_>) -> Vec<(String, u64)> {
    merge.facets["f"].shown().into_iter().map(|(value, count)| (value.to_owned(), count)).collect()
}

/// The values that the filter of a doubt names.
fn named(doubt: &Doubt) -> Vec<String> {
    let list = doubt.filter.strip_prefix("\"f\" IN ").expect("the facet's filter");
    serde_json::from_str(list).expect("plain texts are quoted as in JSON")
}

/// Asks the nodes for all doubts.
fn ask(merge: &FacetMerge<'_>, parts: &[Vec<&Document>], node_values_max: usize) -> Vec<Clarification> {
    let answer = |doubt: Doubt| {
        let values = named(&doubt);
        let has_one = |document: &&&Document| {
            document.0.iter().any(|number| values.contains(&number.to_string()))
                || document.1.iter().any(|text| values.contains(text))
        };
        let documents: Vec<&Document> = parts[doubt.answer].iter().filter(has_one).copied().collect();
        let bodies = vec![body_of(&documents, true, node_values_max)];
        Clarification { facet: doubt.facet, answer: doubt.answer, bodies }
    };
    merge.doubts().into_iter().map(answer).collect()
}

fn documents() -> impl Strategy<Value = Vec<Document>> {
    // Skewed: small numbers are more frequent.
    let number = (0..30_i32, 0..30_i32).prop_map(|(a, b)| a.min(b));
    let text = (0..60_u8, 0..60_u8).prop_map(|(a, b)| format!("t{:02}", a.min(b)));
    let document = (proptest::collection::vec(number, 0..2), proptest::collection::vec(text, 0..3));
    let document = document.prop_map(|(mut numbers, mut texts)| {
        numbers.dedup();
        texts.sort();
        texts.dedup();
        (numbers, texts)
    });
    proptest::collection::vec(document, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn lists_that_were_cut_give_the_whole_or_say_that_they_do_not(
        documents in documents(),
        nodes in 1..5_usize,
        values_max in 0..12_u64,
        more in 0..30_u64,
        is_by_count: bool,
    ) {
        let node_values_max = values_max + more;
        let parts: Vec<Vec<&Document>> = (0..nodes).map(|node| documents.iter().skip(node).step_by(nodes).collect()).collect();
        let bodies: Vec<String> = parts.iter().map(|part| body_of(part, is_by_count, node_values_max as usize)).collect();
        let limits = limits(is_by_count, values_max, node_values_max);
        let mut merge = merge_of(&bodies, &limits);
        let asked = ask(&merge, &parts, node_values_max as usize);
        merge.clarify(&asked, &limits).expect("answers");
        let is_exact = merge.is_exact();
        let whole: Vec<&Document> = documents.iter().collect();
        let expected = counts(&whole, is_by_count, values_max as usize);
        let found = shown(&merge);
        // Of equal counts at the end of a list any may be there.
        let of_list = |list: &[(String, u64)]| list.iter().map(|(_, count)| *count).collect::<Vec<_>>();
        let all = counts(&whole, is_by_count, usize::MAX);
        if is_exact {
            prop_assert_eq!(of_list(&found), of_list(&expected));
            prop_assert!(found.iter().all(|value| all.contains(value)), "{:?} of {:?}", found, all);
        }
        if !is_by_count {
            prop_assert!(is_exact);
        }
    }
}

#[test]
fn few_values_of_skewed_lists_are_asked_for() {
    // Value n is there 5000 / n times, spread over three nodes.
    let documents: Vec<Document> =
        (1..=2_000).flat_map(|n| (0..5_000 / n).map(move |_| (Vec::new(), vec![format!("v{n:04}")]))).collect();
    let parts: Vec<Vec<&Document>> = (0..3).map(|node| documents.iter().skip(node).step_by(3).collect()).collect();
    let bodies: Vec<String> = parts.iter().map(|part| body_of(part, true, 150)).collect();
    let mut merge = merge_of(&bodies, &limits(true, 100, 150));
    let doubts = merge.doubts();
    let values: usize = doubts.iter().map(|doubt| named(doubt).len()).sum();
    assert!(values < 40, "{values} values are asked for");
    assert_eq!(merge.is_exact(), doubts.is_empty());
    let asked = ask(&merge, &parts, 150);
    merge.clarify(&asked, &limits(true, 100, 150)).expect("answers");
    assert!(merge.is_exact());
    let whole: Vec<&Document> = documents.iter().collect();
    assert_eq!(shown(&merge), counts(&whole, true, 100));
}

#[test]
fn flat_lists_that_were_cut_are_called_approximate() {
    let documents: Vec<Document> = (0..600).map(|n| (Vec::new(), vec![format!("v{n:04}")])).collect();
    let parts: Vec<Vec<&Document>> = (0..3).map(|node| documents.iter().skip(node).step_by(3).collect()).collect();
    let body = |values_max: usize| parts.iter().map(|part| body_of(part, true, values_max)).collect::<Vec<_>>();
    let bodies = body(150);
    let mut merge = merge_of(&bodies, &limits(true, 100, 150));
    let asked = ask(&merge, &parts, 150);
    merge.clarify(&asked, &limits(true, 100, 150)).expect("answers");
    // Any value that no list names could be on all three nodes.
    assert!(!merge.is_exact());
    let bodies = body(201);
    let merge = merge_of(&bodies, &limits(true, 100, 201));
    assert!(merge.is_exact() && !merge.has_doubts(), "no list was cut");
}

#[test]
fn a_doubt_that_nobody_clarifies_stays_one() {
    let documents: Vec<Document> = (0..90).map(|n| (vec![n % 40, 100 + n % 3], Vec::new())).collect();
    let parts: Vec<Vec<&Document>> = (0..2).map(|node| documents.iter().skip(node).step_by(2).collect()).collect();
    let bodies: Vec<String> = parts.iter().map(|part| body_of(part, true, 4)).collect();
    let mut merge = merge_of(&bodies, &limits(true, 4, 4));
    assert!(!merge.doubts().is_empty());
    merge.clarify(&[], &limits(true, 4, 4)).expect("nothing");
    assert!(!merge.is_exact());
    merge.clarify(&ask(&merge, &parts, 100), &limits(true, 4, 4)).expect("answers");
    assert!(!merge.is_exact(), "4 values are not enough to be sure of the fourth");
    assert_eq!(shown(&merge)[..3], [("102".to_owned(), 30), ("101".to_owned(), 30), ("100".to_owned(), 30)]);
}

#[test]
fn numbers_that_fill_a_list_over_many_documents_let_all_texts_in() {
    let node = |numbers: &str, total: u64| {
        format!(
            r#"{{"hits":[],"estimatedTotalHits":{total},"facetDistribution":{{"f":{{{numbers},"s1":4,"s2":5,"s3":1}}}},"facetStats":{{"f":{{"min":0.0,"max":9.0}}}}}}"#
        )
    };
    let list = |bodies: &[String], values_max: u64| {
        let values = shown(&merge_of(bodies, &limits(false, values_max, 3_000)));
        values.into_iter().map(|(value, _)| value).collect::<Vec<_>>()
    };
    let many = [node(r#""0":1,"5":1"#, 2_000), node(r#""9":2"#, 2_000)];
    assert_eq!(list(&many, 3), ["0", "5", "9", "s1", "s2", "s3"]);
    assert_eq!(list(&many, 2), ["0", "5", "s1", "s2", "s3"]);
    assert_eq!(list(&many, 4), ["0", "5", "9", "s1"]);
    assert_eq!(list(&many, 0), ["0", "5", "9", "s1", "s2", "s3"]);
    let few = [node(r#""0":1,"5":1"#, 20), node(r#""9":2"#, 20)];
    assert_eq!(list(&few, 2), ["0", "5"]);
    assert_eq!(list(&few, 0), Vec::<String>::new());
}

#[test]
fn a_text_that_reads_as_a_number_takes_its_place() {
    let node = |values: &str, stats: &str| {
        format!(
            r#"{{"hits":[],"estimatedTotalHits":9,"facetDistribution":{{"f":{{{values}}}}},"facetStats":{{{stats}}}}}"#
        )
    };
    let bodies = [node(r#""1":3,"2":1"#, r#""f":{"min":1.0,"max":2.0}"#), node(r#""1":5,"x":1"#, "")];
    let merge = merge_of(&bodies, &limits(false, 9, 3_000));
    let expected = [("1", 5), ("2", 1), ("x", 1)];
    assert_eq!(shown(&merge), expected.map(|(value, count)| (value.to_owned(), count)));
}

#[test]
fn the_only_list_keeps_its_order_of_equal_counts() {
    let body =
        r#"{"hits":[],"estimatedTotalHits":9,"facetDistribution":{"f":{"b":2,"c":1,"a":1,"d":1}},"facetStats":{}}"#;
    let values = |bodies: &[String]| {
        let values = shown(&merge_of(bodies, &limits(true, 9, 20_000)));
        values.into_iter().map(|(value, _)| value).collect::<Vec<_>>()
    };
    assert_eq!(values(&[body.to_owned()]), ["b", "c", "a", "d"]);
    assert_eq!(values(&[body.to_owned(), body.to_owned()]), ["b", "d", "c", "a"]);
}

#[test]
fn long_and_oddly_spelled_texts_are_one_value_where_the_engine_takes_them_as_one() {
    let long = "é".repeat(400);
    let body = |text: &str| {
        let values = json!({ text: 2 });
        format!(r#"{{"hits":[],"estimatedTotalHits":9,"facetDistribution":{{"f":{values}}},"facetStats":{{}}}}"#)
    };
    for (one, other) in [("Éclair ", "e\u{301}clair"), (&*format!("{long}a"), &*format!("{long}B")), ("\u{a0}x", "X")]
    {
        let bodies = [body(one), body(other)];
        let merge = merge_of(&bodies, &limits(false, 9, 3_000));
        assert_eq!(shown(&merge), [(one.to_owned(), 4)]);
    }
}

#[test]
fn filters_name_any_text() {
    assert_eq!(filter_of("a\"b", &["c\\d".to_owned(), "e".to_owned()]), r#""a\"b" IN ["c\\d","e"]"#);
}

#[test]
fn a_facet_below_another_one_has_the_order_of_all() {
    let settings = json!({"faceting": {"sortFacetValuesBy": {"dog.age": "count"}}});
    let limits = FacetLimits::from_settings(settings.as_object().expect("an object"));
    assert!(limits.is_listed_by_count("dog.age", &["dog.age"]));
    assert!(limits.is_listed_by_count("dog.age", &["dog*"]));
    assert!(!limits.is_listed_by_count("dog.age", &["dog"]));
}

#[test]
fn a_node_with_older_settings_is_not_trusted_to_have_said_everything() {
    let body = |values: &str| {
        format!(r#"{{"hits":[],"estimatedTotalHits":9,"facetDistribution":{{"f":{{{values}}}}},"facetStats":{{}}}}"#)
    };
    // In alphabetical order, though counts are to decide.
    let bodies = [body(r#""a":1,"b":2,"c":1"#), body(r#""d":2"#)];
    let is_exact = |values_max: u64| merge_of(&bodies, &limits(true, values_max, 20_000)).is_exact();
    assert_eq!([is_exact(3), is_exact(4)], [false, true], "it lists at least as many as the user wants");
}
