//! Vectors in documents, searches by them, both kinds together, and what is near to a document.

use serde_json::{Map, Value, json};

use super::{distance, dot};
use crate::devnode::engine::{Document, Index, Payload, SearchQuery, Settings};
use crate::meili::similar::SimilarRequest;

fn documents(documents: &Value) -> Vec<Document> {
    documents.as_array().unwrap().iter().map(|document| document.as_object().unwrap().clone()).collect()
}

fn index(settings: &Value) -> Index {
    let mut index = Index::new(Some("id".to_owned()));
    index.set_settings(Settings::from_json(settings.as_object().unwrap()).unwrap()).unwrap();
    index
}

fn embedder(dimensions: usize) -> Value {
    json!({"embedders": {"e": {"source": "userProvided", "dimensions": dimensions}}})
}

fn put(index: &mut Index, list: &Value) -> Result<(), String> {
    index.apply(&[Payload::Replace(documents(list))]).map(|_| ()).map_err(|error| error.code.name().to_owned())
}

fn vectors(index: &Index, id: &str) -> Value {
    index.get(id).unwrap().get("_vectors").cloned().unwrap_or_default()
}

fn search(index: &Index, query: &Value) -> Map<String, Value> {
    index.search(&SearchQuery::from_json(query.as_object().unwrap()).unwrap()).unwrap().to_json(0)
}

fn ids(answer: &Map<String, Value>) -> Vec<u64> {
    answer["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_u64().unwrap()).collect()
}

/// Twelve documents on a fan, one that has opted out and one with two vectors: as seen on a real server.
fn fan() -> Index {
    let mut settings = embedder(2);
    settings["filterableAttributes"] = json!(["g"]);
    let mut index = index(&settings);
    let texts = ["alpha beta", "alpha", "beta gamma", "delta"];
    let mut list: Vec<Value> = (0..12_u32)
        .map(|id| json!({"id": id, "t": texts[id as usize % 4], "g": id % 3, "_vectors": {"e": [1.0, f64::from(id) / 7.0]}}))
        .collect();
    list.push(json!({"id": 20, "t": "alpha", "_vectors": {"e": null}}));
    list.push(json!({"id": 21, "t": "epsilon", "_vectors": {"e": [[1, 0.05], [0, 1]]}}));
    put(&mut index, &list.into()).unwrap();
    index
}

#[test]
fn vectors_are_read_kept_and_refused_as_on_a_real_server() {
    let mut index = index(&embedder(2));
    let shown = |embeddings: Value| json!({"e": {"embeddings": embeddings, "regenerate": false}});
    for (given, expected) in [
        (json!([1, 0]), shown(json!([[1.0, 0.0]]))),
        (json!([[1, 0], [0, 1]]), shown(json!([[1.0, 0.0], [0.0, 1.0]]))),
        (json!(null), shown(json!([]))),
        (json!({"regenerate": false, "embeddings": [1, 0.3]}), shown(json!([[1.0, 0.300_000_011_920_928_96]]))),
        (json!({"regenerate": false}), shown(json!([[1.0, 0.300_000_011_920_928_96]]))),
    ] {
        put(&mut index, &json!([{"id": 1, "_vectors": {"e": given}}])).unwrap();
        assert_eq!(vectors(&index, "1"), expected, "{given}");
    }
    for (document, code) in [
        (json!({"id": 2}), "vector_embedding_error"),
        (json!({"id": 2, "_vectors": {"f": [1, 2]}}), "vector_embedding_error"),
        (json!({"id": 2, "_vectors": {"e": {"regenerate": true}}}), "vector_embedding_error"),
        (json!({"id": 2, "_vectors": {"e": [1, 2, 3]}}), "invalid_vector_dimensions"),
        (json!({"id": 2, "_vectors": {"e": [[1, 2], [3]]}}), "invalid_vector_dimensions"),
        (json!({"id": 2, "_vectors": {"e": [1, "a"]}}), "invalid_vectors_type"),
        (json!({"id": 2, "_vectors": {"e": 5}}), "invalid_vectors_type"),
        (json!({"id": 2, "_vectors": {"f": {"embeddings": []}}}), "invalid_vectors_type"),
    ] {
        assert_eq!(put(&mut index, &json!([document])).unwrap_err(), code, "{document}");
        assert_eq!(index.get("2"), None);
    }
    // A document that is put without vectors keeps them; those of other embedders stay as they were written.
    put(&mut index, &json!([{"id": 1, "_vectors": {"e": [3, 4], "f": ["x"]}}])).unwrap();
    assert_eq!(vectors(&index, "1"), json!({"f": ["x"], "e": {"embeddings": [[3.0, 4.0]], "regenerate": false}}));
    put(&mut index, &json!([{"id": 1, "t": 1}])).unwrap();
    assert_eq!(vectors(&index, "1"), shown(json!([[3.0, 4.0]])));
    assert_eq!(index.stats().number_of_embeddings, 1);
    index.apply(&[Payload::Delete(vec!["1".to_owned()])]).unwrap();
    assert_eq!(put(&mut index, &json!([{"id": 1}])).unwrap_err(), "vector_embedding_error");
}

#[test]
fn embedders_take_vectors_from_stored_documents_and_give_them_back() {
    let mut index = index(&json!({}));
    put(&mut index, &json!([{"id": 1, "_vectors": {"e": [1, 2]}}, {"id": 2}])).unwrap();
    let settings = Settings::from_json(embedder(2).as_object().unwrap()).unwrap();
    assert_eq!(index.set_settings(settings.clone()).unwrap_err().code.name(), "vector_embedding_error");
    assert_eq!(vectors(&index, "1"), json!({"e": [1, 2]}));
    put(&mut index, &json!([{"id": 2, "_vectors": {"e": null}}])).unwrap();
    index.set_settings(settings).unwrap();
    assert_eq!(index.stats().number_of_embedded_documents, 1);
    let wrong = Settings::from_json(embedder(3).as_object().unwrap()).unwrap();
    assert_eq!(index.set_settings(wrong).unwrap_err().code.name(), "invalid_vector_dimensions");
    index.set_settings(Settings::default()).unwrap();
    assert_eq!(vectors(&index, "1"), json!({"e": {"embeddings": [[1.0, 2.0]], "regenerate": false}}));
    assert_eq!(index.stats().number_of_embeddings, 0);
}

#[test]
fn a_vector_finds_every_document_the_nearest_first() {
    let index = fan();
    let hybrid = json!({"embedder": "e", "semanticRatio": 1});
    let mut query = json!({"vector": [1, 0.1], "hybrid": hybrid, "limit": 4, "showRankingScoreDetails": true});
    let answer = search(&index, &query);
    assert_eq!(ids(&answer), [1, 21, 0, 2]);
    // Seen on Meilisearch 1.50.
    let details = &answer["hits"][0]["_rankingScoreDetails"];
    assert_eq!(*details, json!({"vectorSort": {"order": 0, "similarity": 0.999_554_157_257_080_1}}));
    assert_eq!((&answer["estimatedTotalHits"], &answer["semanticHitCount"]), (&json!(14), &json!(4)));
    query["retrieveVectors"] = true.into();
    query["limit"] = 20.into();
    let answer = search(&index, &query);
    assert_eq!(answer["queryVector"], json!([1.0, 0.1]));
    assert_eq!(ids(&answer).last(), Some(&20), "who has no vector comes last");
    assert_eq!(answer["hits"][13]["_vectors"], json!({"e": {"embeddings": [], "regenerate": false}}));
    assert_eq!(answer["hits"][13]["_rankingScoreDetails"]["vectorSort"]["similarity"], Value::Null);
    query["rankingScoreThreshold"] = 0.99.into();
    assert_eq!(ids(&search(&index, &query)), [1, 21, 0, 2]);
    query["distinct"] = "g".into();
    assert_eq!(ids(&search(&index, &query)), [1, 21, 0, 2]);
}

#[test]
fn words_and_vectors_are_weighed_against_each_other() {
    let index = fan();
    let query = |changes: Value| {
        let mut query = json!({"q": "alpha", "vector": [1, 0.1], "hybrid": {"embedder": "e"}, "limit": 14});
        query.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        search(&index, &query)
    };
    let answer = query(json!({}));
    assert_eq!(ids(&answer)[..8], [1, 5, 9, 20, 21, 0, 2, 4]);
    assert_eq!((&answer["estimatedTotalHits"], &answer["semanticHitCount"]), (&json!(14), &json!(8)));
    let enough = query(json!({"limit": 4}));
    assert_eq!((&enough["estimatedTotalHits"], &enough["semanticHitCount"]), (&json!(7), &json!(0)));
    let words = query(json!({"hybrid": {"embedder": "nobody", "semanticRatio": 0}}));
    assert_eq!(words.get("semanticHitCount"), None);
    let without = query(json!({"q": "alpha -beta"}));
    assert_eq!((ids(&without).len(), &without["semanticHitCount"]), (8, &json!(4)));
    let distinct = query(json!({"distinct": "g"}));
    assert_eq!(ids(&distinct), [1, 5, 9, 20, 21]);
    assert_eq!((&distinct["estimatedTotalHits"], &distinct["semanticHitCount"]), (&json!(5), &json!(1)));
    // Nobody makes a vector of the words.
    let unembedded = query(json!({"vector": null}));
    assert_eq!((ids(&unembedded).len(), &unembedded["semanticHitCount"]), (7, &json!(0)));
}

#[test]
fn searches_that_cannot_be_meant_are_refused() {
    let index = fan();
    for (query, code) in [
        (json!({"vector": [1, 2]}), "missing_search_hybrid"),
        (json!({"media": {}}), "missing_search_hybrid"),
        (json!({"q": "a", "hybrid": {"embedder": "x"}}), "invalid_search_embedder"),
        (json!({"vector": [1], "hybrid": {"embedder": "e"}}), "invalid_vector_dimensions"),
        (json!({"q": "a", "hybrid": {"embedder": "e", "semanticRatio": 1}}), "vector_embedding_error"),
        (json!({"vector": [1, 2], "media": {}, "hybrid": {"embedder": "e"}}), "invalid_search_media_and_vector"),
        (json!({"q": "a", "media": {}, "hybrid": {"embedder": "e"}}), "feature_not_enabled"),
        (json!({"filter": "_vectors.e EXISTS"}), "feature_not_enabled"),
    ] {
        let parsed = SearchQuery::from_json(query.as_object().unwrap()).unwrap();
        assert_eq!(index.search(&parsed).unwrap_err().code.name(), code, "{query}");
    }
}

#[test]
fn similar_documents_are_compared_vector_by_vector() {
    let index = fan();
    let query = |id: &str, limit: usize, threshold: Option<f64>| {
        let body = json!({"id": id, "embedder": "e", "limit": limit, "rankingScoreThreshold": threshold});
        SimilarRequest::from_value(body).unwrap()
    };
    let found = |query: &SimilarRequest| {
        let result = index.similar(query).unwrap();
        let ids: Vec<u64> = result.hits.iter().map(|hit| hit.fields["id"].as_u64().unwrap()).collect();
        (ids, result.estimated_total_hits)
    };
    assert_eq!(found(&query("1", 3, None)), (vec![21, 2, 0], 13));
    // No other document has a second vector.
    assert_eq!(found(&query("21", 3, None)), (vec![0, 1, 2], 13));
    assert_eq!(found(&query("20", 3, None)), (vec![], 13));
    assert_eq!(found(&query("1", 10, Some(0.997))), (vec![21], 1));
    let filtered = json!({"id": 1, "embedder": "e", "limit": 2, "filter": "g = 1"});
    let filtered = SimilarRequest::from_value(filtered).unwrap();
    assert_eq!(found(&filtered), (vec![4, 7], 3));
    assert_eq!(index.similar(&query("99", 1, None)).unwrap_err().code.name(), "not_found_similar_id");
}

#[test]
fn a_distribution_moves_similarities() {
    let mut settings = embedder(2);
    settings["embedders"]["e"]["distribution"] = json!({"mean": 0.75, "sigma": 0.1});
    let mut index = index(&settings);
    put(&mut index, &json!([{"id": 1, "_vectors": {"e": [1, 0]}}, {"id": 2, "_vectors": {"e": [0, 1]}}])).unwrap();
    let hybrid = json!({"embedder": "e", "semanticRatio": 1});
    let answer = search(&index, &json!({"vector": [1, 0], "hybrid": hybrid, "showRankingScore": true}));
    assert_eq!(answer["hits"][0]["_rankingScore"], 1.0);
    assert_eq!(answer["hits"][1]["_rankingScore"], f64::from(f32::EPSILON));
}

#[test]
fn long_vectors_are_summed_in_lanes() {
    for length in [3, 16, 17, 31, 32, 40, 100] {
        let left: Vec<f32> = (0..length).map(|place| (place % 7) as f32).collect();
        let right: Vec<f32> = (0..length).map(|place| (place % 5) as f32).collect();
        let plain: f32 = left.iter().zip(&right).map(|(left, right)| left * right).sum();
        assert!((dot(&left, &right) - plain).abs() < f32::EPSILON, "whole numbers have one sum: {length}");
        assert!(distance(&left, &left) < 1e-6);
    }
    assert!((distance(&[1.0, 0.0], &[-1.0, 0.0]) - 1.0).abs() < 1e-6);
    assert!(distance(&[1.0, 0.0], &[0.0, 0.0]) < 1e-6);
}
