//! Documents near to one, out of the answers of all nodes.
//!
//! Nodes are asked for what is near to its vectors, one after the other, and find the document itself among it.

use std::collections::HashMap;

use serde_json::Value;

use super::MergeError;
use super::answer::NodeAnswer;
use super::documents::NodePage;
use super::hit::Hit;
use super::list::MergedHits;
use crate::logic::primary_key::id_in;

/// Which documents are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// By which hits are told apart.
    pub primary_key: &'a str,
    /// The canonical id of the document that the others are near to.
    pub id: &'a str,
    /// Hits to skip.
    pub offset: u64,
    /// Hits to return.
    pub limit: u64,
    /// Hits with a lower score are left out.
    pub threshold: Option<f64>,
    /// Nodes give what is near first; otherwise they give everything in another order.
    pub are_near_first: bool,
}

/// The page.
#[derive(Debug, Default)]
pub struct SimilarPage<'a> {
    /// In order.
    pub hits: Vec<Hit<'a>>,
    /// There is nothing behind these hits: the threshold was reached.
    pub is_cut: bool,
}

/// The vectors that an embedder has of the only document in an answer to `documents/fetch`; none where there is no document.
///
/// # Errors
/// [`MergeError::Malformed`].
pub fn vectors_of(body: &str, embedder: &str) -> Result<Option<Vec<Value>>, MergeError> {
    let page = NodePage::read(body)?;
    let Some(document) = page.documents.first() else { return Ok(None) };
    let mut document: Value = serde_json::from_str(document).map_err(|_| MergeError::Malformed)?;
    let embeddings = document["_vectors"][embedder]["embeddings"].take();
    match embeddings {
        Value::Array(vectors) => Ok(Some(vectors)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => Ok(Some(Vec::new())),
    }
}

impl<'a> SimilarPage<'a> {
    /// From the answers about each vector, of nodes that were asked for their first `asked` hits: a document counts with the
    /// vector that it is nearest to.
    ///
    /// # Errors
    /// [`MergeError`]; after `TooShallow` the nodes can be asked again.
    pub fn of(searches: &[Vec<NodeAnswer<'a>>], asked: u64, wanted: Wanted<'_>) -> Result<Self, MergeError> {
        let mut nearest: Vec<(f64, String, Hit<'a>)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for answers in searches {
            let mut hits = MergedHits::of(answers, asked);
            let mut taken = 0;
            while !wanted.are_near_first || taken < wanted.offset.saturating_add(wanted.limit) {
                let Some(ranked) = hits.next_hit()? else { break };
                let Some(similarity) = ranked.rank.similarity() else {
                    // Of what is near first documents without vectors come last.
                    if wanted.are_near_first {
                        break;
                    }
                    continue;
                };
                let id = id_in(wanted.primary_key, ranked.hit.text()).map_err(|_| MergeError::Malformed)?.into_owned();
                if id == wanted.id {
                    continue;
                }
                taken += 1;
                match places.get(&id) {
                    Some(&place) if similarity <= nearest[place].0 => {}
                    Some(&place) => nearest[place] = (similarity, id, ranked.hit),
                    None => {
                        places.insert(id.clone(), nearest.len());
                        nearest.push((similarity, id, ranked.hit));
                    }
                }
            }
        }
        nearest.sort_by(|left, right| right.0.total_cmp(&left.0));
        let mut page = Self::default();
        for (similarity, _, hit) in nearest.into_iter().skip(wanted.offset as usize).take(wanted.limit as usize) {
            if wanted.threshold.is_some_and(|threshold| similarity < threshold) {
                page.is_cut = true;
                break;
            }
            page.hits.push(hit);
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(hits: &[(u64, Option<f64>)]) -> String {
        let hit = |(id, similarity): &(u64, Option<f64>)| {
            let details =
                json!({"vectorSort": {"order": 0, "similarity": similarity}, "a:asc": {"order": 1, "value": 1}});
            json!({"id": id, "_rankingScoreDetails": details})
        };
        json!({"hits": hits.iter().map(hit).collect::<Vec<_>>(), "estimatedTotalHits": 9}).to_string()
    }

    const ALL: Wanted<'_> =
        Wanted { primary_key: "id", id: "7", offset: 0, limit: 9, threshold: None, are_near_first: true };

    fn page(searches: &[Vec<String>], asked: u64, wanted: Wanted<'_>) -> Result<(Vec<String>, bool), MergeError> {
        let mut answers = Vec::new();
        for bodies in searches {
            answers.push(bodies.iter().map(|body| NodeAnswer::read(body).unwrap()).collect());
        }
        let page = SimilarPage::of(&answers, asked, wanted)?;
        let ids = page.hits.iter().map(|hit| id_in("id", hit.text()).unwrap().into_owned()).collect();
        Ok((ids, page.is_cut))
    }

    #[test]
    fn the_nearest_of_all_nodes_come_first_without_the_document_itself() {
        let nodes =
            vec![answer(&[(7, Some(1.0)), (1, Some(0.8)), (2, None)]), answer(&[(3, Some(0.9)), (4, Some(0.1))])];
        let searches = [nodes];
        let ids = |wanted| page(&searches, 10, wanted).unwrap();
        assert_eq!(ids(ALL), (vec!["3".to_owned(), "1".to_owned(), "4".to_owned()], false));
        assert_eq!(ids(Wanted { offset: 1, limit: 1, ..ALL }), (vec!["1".to_owned()], false));
        assert_eq!(ids(Wanted { threshold: Some(0.85), ..ALL }), (vec!["3".to_owned()], true));
        assert_eq!(ids(Wanted { threshold: Some(0.85), limit: 1, ..ALL }), (vec!["3".to_owned()], false));
        assert_eq!(ids(Wanted { threshold: Some(0.85), offset: 2, ..ALL }), (vec![], true));
    }

    #[test]
    fn of_several_vectors_the_nearest_counts() {
        let first = vec![answer(&[(1, Some(0.8)), (3, Some(0.2))])];
        let second = vec![answer(&[(3, Some(0.9)), (1, Some(0.1))])];
        assert_eq!(page(&[first, second], 10, ALL), Ok((vec!["3".to_owned(), "1".to_owned()], false)));
    }

    #[test]
    fn lists_in_another_order_are_looked_at_whole() {
        let searches = [vec![answer(&[(1, Some(0.2)), (2, None), (3, Some(0.9))]), answer(&[(4, Some(0.5))])]];
        let whole = Wanted { limit: 2, are_near_first: false, ..ALL };
        assert_eq!(page(&searches, 10, whole), Ok((vec!["3".to_owned(), "4".to_owned()], false)));
        assert_eq!(page(&searches, 3, whole), Err(MergeError::TooShallow));
    }

    #[test]
    fn lists_that_are_too_short_are_asked_for_again() {
        let searches = [vec![answer(&[(7, Some(1.0)), (1, Some(0.8))])]];
        assert_eq!(page(&searches, 2, Wanted { limit: 1, ..ALL }), Ok((vec!["1".to_owned()], false)));
        assert_eq!(page(&searches, 2, Wanted { limit: 2, ..ALL }), Err(MergeError::TooShallow));
    }

    #[test]
    fn vectors_of_a_document_are_found_or_there_is_no_document() {
        let body = r#"{"results":[{"_vectors":{"e":{"embeddings":[[1.0,2.0]],"regenerate":false}}}],"total":1}"#;
        assert_eq!(vectors_of(body, "e"), Ok(Some(vec![json!([1.0, 2.0])])));
        assert_eq!(vectors_of(body, "f"), Ok(Some(vec![])));
        assert_eq!(vectors_of(r#"{"results":[{}],"total":1}"#, "e"), Ok(Some(vec![])));
        assert_eq!(vectors_of(r#"{"results":[],"total":0}"#, "e"), Ok(None));
    }
}
