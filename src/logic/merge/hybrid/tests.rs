//! Two lists as one: against the walk over one server's lists, and the cases that one server was seen to have.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::distinct::Walk;
use super::super::page::Page;
use super::*;

fn by_words(id: u64, score: f64, brand: u64) -> Value {
    let details = json!({"proximity": {"order": 0, "score": score}});
    json!({"id": id, "b": brand, "_rankingScore": score, "_rankingScoreDetails": details})
}

fn by_vector(id: u64, similarity: Option<f64>, brand: u64) -> Value {
    let details = json!({"vectorSort": {"order": 0, "similarity": similarity}});
    json!({"id": id, "b": brand, "_rankingScore": similarity.unwrap_or(0.0), "_rankingScoreDetails": details})
}

fn answer(hits: &[Value]) -> String {
    json!({"hits": hits, "estimatedTotalHits": hits.len()}).to_string()
}

fn read(bodies: &[String]) -> Vec<NodeAnswer<'_>> {
    bodies.iter().map(|body| NodeAnswer::read(body).unwrap()).collect()
}

/// The ids of a page, and how many of them vectors brought.
fn combined(
    (vectors, words): (&[String], &[String]),
    ratio: f32,
    distinct: Option<&str>,
    (offset, limit): (u64, u64),
) -> (Vec<u64>, u64) {
    let common = Common {
        primary_key: "id",
        distinct: distinct.map(|attribute| Distinct { attribute, walk: Walk::Here, is_parameter: true }),
        hidden_rule: Some("id:asc"),
        pinned: None,
    };
    let (vectors, words) = (read(vectors), read(words));
    let vectors = ScoredHits::of(&vectors, Source::Vectors, common, 1_000, offset + limit).unwrap();
    let words = ScoredHits::of(&words, Source::Words, common, 1_000, offset + limit).unwrap();
    let combined = Combined::of(vectors, words, ratio, distinct, offset + limit).unwrap();
    let mut page = Page { hits: combined.hits, ..Page::default() };
    page.cut(common.distinct, offset).unwrap();
    let ids = page.hits.iter().map(|ranked| id_in("id", ranked.hit.text()).unwrap().parse().unwrap());
    (ids.collect(), page.semantic_hit_count())
}

#[test]
fn lists_are_weighed_and_a_document_is_shown_once() {
    let words = [answer(&[by_words(1, 1.0, 1), by_words(3, 0.4, 3)]), answer(&[by_words(2, 0.9, 2)])];
    let vectors =
        [answer(&[by_vector(2, Some(0.95), 2)]), answer(&[by_vector(4, Some(0.5), 4), by_vector(1, None, 1)])];
    assert_eq!(combined((&vectors, &words), 0.5, None, (0, 9)), (vec![1, 2, 4, 3], 2));
    assert_eq!(combined((&vectors, &words), 0.5, None, (1, 2)), (vec![2, 4], 2));
    assert_eq!(combined((&vectors, &words), 0.9, None, (0, 9)), (vec![2, 4, 1, 3], 2));
    assert_eq!(combined((&vectors, &words), 0.1, None, (0, 9)), (vec![1, 2, 3, 4], 1));
    assert_eq!(combined((&vectors, &words), 0.5, None, (0, 0)), (vec![], 0));
}

#[test]
fn hits_of_vectors_come_first_where_scores_are_equal() {
    let (words, vectors) = ([answer(&[by_words(1, 0.8, 1)])], [answer(&[by_vector(2, Some(0.8), 2)])]);
    assert_eq!(combined((&vectors, &words), 0.5, None, (0, 9)), (vec![2, 1], 1));
}

#[test]
fn a_rule_that_only_nodes_have_does_not_decide_between_the_lists() {
    let id = |order: u64, id: u64| json!({"order": order, "value": id});
    let hit = |id: u64, details: Value| json!({"id": id, "_rankingScore": 1.0, "_rankingScoreDetails": details});
    let words = [answer(&[hit(1, json!({"id:asc": id(0, 1)}))])];
    let vectors = [answer(&[hit(2, json!({"vectorSort": {"order": 0, "similarity": null}, "id:asc": id(1, 2)}))])];
    assert_eq!(combined((&vectors, &words), 0.5, None, (0, 9)), (vec![2, 1], 1));
}

#[test]
fn hits_that_only_words_brought_are_left_out_of_the_list_of_vectors() {
    let vectors = [answer(&[by_vector(1, Some(0.8), 1), by_words(2, 1.0, 2), by_vector(3, None, 3)])];
    assert_eq!(combined((&vectors, &[]), 0.5, None, (0, 9)), (vec![1, 3], 2));
}

#[test]
fn a_node_that_gave_all_it_was_asked_for_has_nothing_better_than_its_last_hit() {
    let words = [answer(&[by_words(1, 1.0, 1), by_words(2, 0.9, 1)]), answer(&[by_words(8, 0.7, 2)])];
    // The first node was asked for three, and its hits by words fill what its vectors leave.
    let first = answer(&[by_vector(3, Some(0.95), 3), by_words(1, 1.0, 1), by_words(2, 0.9, 1)]);
    let vectors = [first, answer(&[by_vector(5, Some(0.8), 5), by_vector(6, Some(0.6), 6)])];
    let page = |distinct: Option<&str>, wanted| {
        let common = Common {
            primary_key: "id",
            distinct: distinct.map(|attribute| Distinct { attribute, walk: Walk::Here, is_parameter: true }),
            hidden_rule: None,
            pinned: None,
        };
        let (vectors, words) = (read(&vectors), read(&words));
        let vectors = ScoredHits::of(&vectors, Source::Vectors, common, 3, wanted).unwrap();
        let words = ScoredHits::of(&words, Source::Words, common, 1_000, wanted).unwrap();
        let combined = Combined::of(vectors, words, 0.5, distinct, wanted)?;
        let ids = combined.hits.iter().map(|ranked| id_in("id", ranked.hit.text()).unwrap().into_owned());
        Ok(ids.collect::<Vec<_>>())
    };
    assert_eq!(page(None, 3), Ok(vec!["1".to_owned(), "3".to_owned(), "2".to_owned()]));
    // The third hit that is kept comes behind the last one of the first node, which may have another one before.
    assert_eq!(page(Some("b"), 3), Err(MergeError::TooShallow));
}

#[test]
fn one_hit_is_left_of_those_with_a_value_in_both_lists() {
    let words = [answer(&[by_words(1, 1.0, 7), by_words(2, 0.9, 8), by_words(3, 0.8, 7)])];
    let vectors = [answer(&[by_vector(4, Some(0.95), 7), by_vector(5, Some(0.3), 9), by_vector(6, Some(0.2), 8)])];
    assert_eq!(combined((&vectors, &words), 0.5, Some("b"), (0, 9)), (vec![1, 2, 5], 1));
    assert_eq!(combined((&vectors, &words), 0.9, Some("b"), (0, 9)), (vec![4, 5, 6], 3));
}

#[test]
fn words_are_enough_when_all_of_a_full_page_are_good() {
    let common = Common { primary_key: "id", distinct: None, hidden_rule: None, pinned: None };
    for (scores, wanted, ratio, is_enough) in [
        (&[1.0, 0.9][..], 2, 0.5, true),
        (&[1.0, 0.89], 2, 0.5, false),
        (&[1.0, 0.9], 3, 0.5, false),
        // In single precision 1 - 0.55 is a little less than 0.45.
        (&[1.0, 1.0], 2, 0.55, false),
        (&[1.0, 1.0], 2, 0.54, true),
        (&[], 0, 0.9, true),
    ] {
        let hits: Vec<Value> = scores.iter().zip(0..).map(|(score, id)| by_words(id, *score, 0)).collect();
        let bodies = [answer(&hits)];
        let hits = ScoredHits::of(&read(&bodies), Source::Words, common, 1_000, wanted).unwrap();
        assert_eq!(hits.are_good_enough(wanted, ratio), is_enough, "{scores:?} {wanted} {ratio}");
        assert!(can_words_be_enough(ratio) || !is_enough || wanted == 0);
    }
}

#[test]
fn values_of_sort_rules_come_before_how_much_a_list_counts() {
    let sorted = |mut hit: Value, year: u64| {
        let mut details = json!({"year:asc": {"order": 0, "value": year}});
        for (name, rule) in hit["_rankingScoreDetails"].as_object().unwrap() {
            details[name] = rule.clone();
            details[name]["order"] = 1.into();
        }
        hit["_rankingScoreDetails"] = details;
        hit
    };
    let words = [answer(&[sorted(by_words(1, 0.2, 1), 1990), sorted(by_words(2, 1.0, 1), 2000)])];
    let vectors = [answer(&[sorted(by_vector(3, Some(0.9), 1), 1995), sorted(by_vector(4, Some(0.1), 1), 2000)])];
    assert_eq!(combined((&vectors, &words), 0.5, None, (0, 9)), (vec![1, 3, 2, 4], 2));
}

proptest! {
    /// However documents lie on nodes, the page is that of one node which has them all.
    #[test]
    fn nodes_do_not_matter(
        scores in proptest::collection::vec((0..1000_u64, 0..1000_u64, 0..6_u64, 0..3_usize), 0..30),
        ratio in 1..100_u64,
        is_distinct: bool,
        offset in 0..5_u64,
        limit in 0..12_u64,
    ) {
        // Different scores, so that nothing ties.
        let documents: Vec<_> = scores.into_iter().enumerate().map(|(id, (word, vector, brand, node))| {
            let part = id as f64 / 100_000.0;
            (id as u64, (word as f64 / 1000.0 + part).min(1.0), (vector as f64 / 1000.0 + part).min(1.0), brand, node)
        }).collect();
        let list = |node: Option<usize>, is_of_words: bool| {
            let mut own: Vec<_> = documents.iter().filter(|document| node.is_none_or(|node| document.4 == node)).collect();
            let score = |document: &(u64, f64, f64, u64, usize)| if is_of_words { document.1 } else { document.2 };
            own.sort_by(|left, right| score(right).total_cmp(&score(left)));
            // Every third document has no words of the query.
            let own = own.into_iter().filter(|document| !is_of_words || document.0 % 3 > 0);
            let hits: Vec<Value> = own.map(|document| {
                if is_of_words {
                    by_words(document.0, document.1, document.3)
                } else {
                    by_vector(document.0, Some(document.2), document.3)
                }
            }).collect();
            answer(&hits)
        };
        let distinct = is_distinct.then_some("b");
        let page = |nodes: &[Option<usize>]| {
            let lists = |is_of_words| nodes.iter().map(|node| list(*node, is_of_words)).collect::<Vec<_>>();
            combined((&lists(false), &lists(true)), ratio as f32 / 100.0, distinct, (offset, limit))
        };
        prop_assert_eq!(page(&[Some(0), Some(1), Some(2)]), page(&[None]));
    }
}
