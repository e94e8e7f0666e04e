//! Searches by words, by vectors and by both: which one is meant, and what the nodes are asked for each.
//!
//! A search by both is two searches, put together over all nodes. The one by vectors is asked for as one by both, with a ratio
//! so near to 1 that words never come before vectors: so it leaves out what negative words exclude, knows the words to
//! highlight, and counts what either of the two finds. (Its hits that only words brought are in the other list, too.)

use serde_json::{Map, Value, json};

use super::{Displayed, SearchRequest};
use crate::meili::error::{ApiError, Code};
use crate::meili::features::{Feature, Features};
use crate::meili::settings::{Object, dimensions_of_embedder};

/// How much vectors count where nobody says.
const RATIO_DEFAULT: f32 = 0.5;

/// The greatest ratio below 1.
const NEARLY_ONE: f32 = 1.0 - f32::EPSILON / 2.0;

/// What kind of search is meant.
#[derive(Clone, PartialEq, Debug)]
pub enum SearchKind {
    /// By words, or all documents.
    Words,
    /// By a vector.
    Vector(Semantic),
    /// By words and by a vector, which counts so much.
    Hybrid(Semantic, f32),
}

/// By which vectors to search.
#[derive(Clone, PartialEq, Debug)]
pub struct Semantic {
    /// Whose vectors.
    pub embedder: String,
    /// The client's; none: an embedder makes one of the words.
    pub vector: Option<Vec<f32>>,
}

/// What of a search by vectors decided in the end.
#[derive(Clone, PartialEq, Debug)]
pub enum Used {
    /// All that was asked for, if it was one by vectors.
    AsAsked,
    /// Words were enough, or there was no vector.
    Words,
    /// This vector, and nothing else.
    Vector(Vec<f32>),
    /// Words and this vector.
    Both(Vec<f32>),
}

impl SearchRequest {
    /// The same search, so that a node uses of it what was used over all nodes.
    #[must_use]
    pub fn by_used(&self, used: &Used) -> Self {
        match used {
            Used::AsAsked => self.clone(),
            Used::Words => self.by_words(),
            Used::Vector(vector) => self.by_vector(vector),
            Used::Both(vector) => self.beside_words(vector),
        }
    }

    /// What kind of search is meant, under these settings of the user.
    ///
    /// # Errors
    /// As one server where there is no such embedder, or the vector is no vector of it.
    pub fn kind(&self, user: &Object) -> Result<SearchKind, ApiError> {
        let Some(hybrid) = self.parameters.get("hybrid") else { return Ok(SearchKind::Words) };
        let ratio = self.semantic_ratio();
        let has_words = !self.text().trim().is_empty();
        let has_media = self.parameters.contains_key("media");
        if ratio <= 0.0 || !has_words && !has_media && self.vector().is_none() {
            return Ok(SearchKind::Words);
        }
        let semantic = self.semantic(hybrid["embedder"].as_str().unwrap_or_default(), user)?;
        let is_of_vectors = ratio >= 1.0 || !has_words;
        Ok(if is_of_vectors { SearchKind::Vector(semantic) } else { SearchKind::Hybrid(semantic, ratio) })
    }

    /// Whether media may be searched by while these experimental features are on.
    ///
    /// # Errors
    /// `feature_not_enabled`.
    pub fn check_media(&self, features: Features) -> Result<(), ApiError> {
        if !self.parameters.contains_key("media") {
            return Ok(());
        }
        features.require(Feature::Multimodal, "passing `media` in a search query")
    }

    fn semantic(&self, embedder: &str, user: &Object) -> Result<Semantic, ApiError> {
        let Some(dimensions) = dimensions_of_embedder(user, embedder) else {
            let message = format!("Cannot find embedder with name `{embedder}`.");
            return Err(ApiError::new(Code::InvalidSearchEmbedder, message));
        };
        let vector = self.vector();
        let found = vector.as_ref().map(|vector| vector.len() as u64);
        if let (Some(found), Some(expected)) = (found, dimensions)
            && found != expected
        {
            let message = format!("Invalid vector dimensions: expected: `{expected}`, found: `{found}`.");
            return Err(ApiError::new(Code::InvalidVectorDimensions, message));
        }
        Ok(Semantic { embedder: embedder.to_owned(), vector })
    }

    /// In the precision of the engine.
    fn vector(&self) -> Option<Vec<f32>> {
        let numbers = self.parameters.get("vector")?.as_array()?;
        Some(numbers.iter().map(|number| number.as_f64().unwrap_or(0.0) as f32).collect())
    }

    /// Whether the engine looks no further than the end of the page, whichever way pages are asked for: where vectors decide
    /// alone, and no threshold does. Asked of what nodes are asked.
    pub fn is_never_exhaustive(&self) -> bool {
        let ratio = self.semantic_ratio();
        let is_by_vector = ratio >= 1.0 || ratio > 0.0 && self.text().trim().is_empty();
        self.is_with_vector() && is_by_vector && !self.parameters.contains_key("rankingScoreThreshold")
    }

    /// In the precision of the engine.
    fn semantic_ratio(&self) -> f32 {
        let ratio = self.parameters.get("hybrid").and_then(|hybrid| hybrid.get("semanticRatio"));
        ratio.and_then(Value::as_f64).map_or(RATIO_DEFAULT, |ratio| ratio as f32)
    }

    /// Whether a vector has a say.
    pub fn is_with_vector(&self) -> bool {
        self.parameters.contains_key("vector") && self.parameters.contains_key("hybrid")
    }

    /// Whether the answer carries `queryVector`.
    pub fn retrieves_vectors(&self) -> bool {
        self.shows_query_vector
    }

    /// Whether nodes are asked for the vectors of their hits, and so for that of the query.
    pub fn retrieves_vectors_of_hits(&self, displayed: &Displayed) -> bool {
        self.is_on("retrieveVectors") && displayed.lists("_vectors")
    }

    /// The same search by words alone.
    #[must_use]
    pub fn by_words(&self) -> Self {
        let mut parameters = self.parameters.clone();
        for name in ["hybrid", "vector", "media"] {
            parameters.shift_remove(name);
        }
        Self { parameters, ..self.clone() }
    }

    /// The same search by this vector, if the client has not sent one.
    #[must_use]
    pub fn by_vector(&self, vector: &[f32]) -> Self {
        let mut parameters = self.parameters.clone();
        parameters.entry("vector").or_insert_with(|| vector_json(vector));
        // It is in the vector now.
        parameters.shift_remove("media");
        Self { parameters, ..self.clone() }
    }

    /// The part of a search by both that is by vectors.
    #[must_use]
    pub fn beside_words(&self, vector: &[f32]) -> Self {
        let mut request = self.by_vector(vector);
        request.parameters["hybrid"]["semanticRatio"] = vector_json(&[NEARLY_ONE])[0].take();
        request
    }

    /// The same search with `_rankingScore` in its hits.
    #[must_use]
    pub fn scored(mut self) -> Self {
        self.parameters.insert("showRankingScore".to_owned(), true.into());
        self
    }

    /// The body that makes a node say which vector an embedder makes of the words.
    pub fn embedding_body(&self, embedder: &str) -> Vec<u8> {
        let mut body = json!({
            "hybrid": {"embedder": embedder, "semanticRatio": 1.0}, "retrieveVectors": true, "limit": 0,
        });
        for name in ["q", "media"] {
            if let Some(given) = self.parameters.get(name) {
                body[name] = given.clone();
            }
        }
        body.to_string().into_bytes()
    }
}

/// A vector with no more digits than single precision has, as the engine shows it.
pub fn vector_json(vector: &[f32]) -> Value {
    vector.iter().map(|number| json!(number.to_string().parse::<f64>().ok())).collect()
}

/// A vector as the engine shows it.
pub fn query_vector_text(vector: &[f32]) -> String {
    serde_json::to_string(vector).expect("numbers can always be written")
}

/// Which vector an answer to [`SearchRequest::embedding_body`] shows; none where that is no such answer.
pub fn query_vector_of(body: &str) -> Option<Vec<f32>> {
    let mut answer: Map<String, Value> = serde_json::from_str(body).ok()?;
    let numbers = answer.remove("queryVector")?;
    Some(numbers.as_array()?.iter().map(|number| number.as_f64().unwrap_or(0.0) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::super::Widening;
    use super::*;

    fn request(body: &Value) -> SearchRequest {
        SearchRequest::from_json(body.to_string().as_bytes()).expect("valid")
    }

    fn user() -> Object {
        let embedders = json!({"e": {"source": "userProvided", "dimensions": 2}, "removed": null});
        Object::from_iter([("embedders".to_owned(), embedders)])
    }

    #[test]
    fn kinds_are_told_as_one_server_tells_them() {
        let e = |ratio: f64| json!({"embedder": "e", "semanticRatio": ratio});
        for (body, kind) in [
            (json!({"q": "a"}), "words"),
            (json!({"q": "a", "hybrid": e(0.0), "vector": [1]}), "words"),
            (json!({"q": "a", "hybrid": {"embedder": "x", "semanticRatio": 0}}), "words"),
            (json!({"q": " ", "hybrid": {"embedder": "x"}}), "words"),
            (json!({"q": " ", "hybrid": e(0.3), "vector": [1, 2]}), "vector"),
            (json!({"q": "a", "hybrid": e(1.0)}), "vector"),
            (json!({"q": "a", "hybrid": e(0.3), "vector": [1, 2]}), "both"),
            (json!({"q": "a", "hybrid": {"embedder": "e"}}), "both"),
        ] {
            let found = match request(&body).kind(&user()).expect("valid") {
                SearchKind::Words => "words",
                SearchKind::Vector(_) => "vector",
                SearchKind::Hybrid(_, ratio) => {
                    assert!(ratio > 0.2 && ratio < 0.6);
                    "both"
                }
            };
            assert_eq!(found, kind, "{body}");
        }
        for (body, code) in [
            (json!({"q": "a", "hybrid": {"embedder": "x"}}), Code::InvalidSearchEmbedder),
            (json!({"q": "a", "hybrid": {"embedder": "removed"}}), Code::InvalidSearchEmbedder),
            (json!({"hybrid": e(1.0), "vector": [1]}), Code::InvalidVectorDimensions),
        ] {
            assert_eq!(request(&body).kind(&user()).expect_err("bad").code, code, "{body}");
        }
        let media = request(&json!({"hybrid": e(0.5), "media": {"a": 1}}));
        assert!(media.check_media(Features::default()).is_err_and(|error| error.code == Code::FeatureNotEnabled));
        assert_eq!(media.kind(&user()), Ok(SearchKind::Vector(Semantic { embedder: "e".to_owned(), vector: None })));
        let embedding: Value = serde_json::from_slice(&media.embedding_body("e")).expect("JSON");
        assert_eq!((&embedding["media"], embedding.get("q")), (&json!({"a": 1}), None));
        assert!(!media.by_vector(&[1.0, 2.0]).parameters.contains_key("media"));
    }

    #[test]
    fn the_part_by_vectors_keeps_the_words_and_nearly_ignores_them() {
        let body = json!({"q": "a -b", "hybrid": {"embedder": "e", "semanticRatio": 0.3}, "limit": 2});
        let request = request(&body).beside_words(&[0.1, 1.0]);
        let asked = Value::Object(request.parameters);
        let expected = json!({
            "q": "a -b", "hybrid": {"embedder": "e", "semanticRatio": 0.999_999_94}, "limit": 2, "vector": [0.1, 1.0],
        });
        assert_eq!(asked, expected);
    }

    #[test]
    fn the_vector_of_the_query_is_shown_though_those_of_documents_are_hidden() {
        let displayed = Displayed::Only(vec!["title".to_owned()]);
        let request = request(&json!({"q": "a", "retrieveVectors": true}));
        let widening = Widening {
            displayed: &displayed,
            needed: &[],
            hits: 3,
            is_exhaustive: false,
            facets: None,
            distinct: None,
        };
        let (wide, _) = request.widened(&widening);
        assert!(wide.retrieves_vectors() && !wide.retrieves_vectors_of_hits(&Displayed::All));
    }

    #[test]
    fn vectors_are_written_with_the_digits_that_they_have() {
        assert_eq!(query_vector_text(&[0.1, 1.0, -0.5]), "[0.1,1.0,-0.5]");
        assert_eq!(query_vector_of(r#"{"hits":[],"queryVector":[0.1,2]}"#), Some(vec![0.1, 2.0]));
        assert_eq!(query_vector_of(r#"{"hits":[]}"#), None);
    }
}
