//! Differences that are known and explained: each class says by what it is told from others (the query, the settings, the
//! words of the corpus, both answers), and why Miroir cannot answer the same.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::compare::{Aspect, field_names, rounded};
use super::dictionary::{WordSizes, words_of};
use super::evidence::Evidence;
use super::queries::Object;

/// One explained class of differences.
pub struct Class {
    /// For the report.
    pub name: &'static str,
    /// Why Miroir cannot answer the same.
    pub reason: &'static str,
    /// Counts towards the bound of all classes.
    pub is_bounded: bool,
    /// Whether it explains a difference.
    pub explains: fn(evidence: &Evidence<'_>, aspect: Aspect) -> bool,
}

/// The class of searches whose strategy goes by how frequent words are.
pub const FREQUENCY: &str = "matchingStrategy: frequency";

/// The class of what Miroir says itself.
pub const APPROXIMATE: &str = "approximate, as the answer says";

/// The class of distinct hits of a federated search.
pub const DISTINCT_FEDERATED: &str = "distinct hits of a federated search";

/// The class of ties of a federated search that do not stand beside each other.
pub const SCATTERED_TIES: &str = "ties among searches that are compared by different rules";

/// The class of federated requests that are wrong in two ways.
pub const OTHER_ERROR: &str = "one of two things that are wrong";

/// The class of walks that another replica answered.
pub const OTHER_REPLICAS: &str = "pages over ties from other replicas";

/// The form of the case looks for the class itself.
const BY_FORM: fn(&Evidence<'_>, Aspect) -> bool = |_, _| false;

/// All of them, the most specific one first.
pub const CLASSES: &[Class] = &[
    Class {
        name: FREQUENCY,
        reason: "which words are left out goes by how frequent they are on the node",
        is_bounded: false,
        explains: |evidence, aspect| {
            let is_asked = evidence.case.text("matchingStrategy") == "frequency";
            // Without spaces between words, how many there are is the engine's affair.
            let text = evidence.case.text("q");
            is_asked && (words_of(text).len() > 1 || !text.is_ascii()) && is_about_what_is_found(aspect)
        },
    },
    Class {
        name: APPROXIMATE,
        reason: "where hits are distinct, facets and some totals are known to be near only: the header X-Miroir-Approximate names them",
        is_bounded: false,
        explains: |evidence, aspect| match aspect {
            Aspect::Facets => evidence.approximate.contains("facets") && evidence.has_facets_of_a_part(),
            Aspect::Total | Aspect::Estimate => evidence.approximate.contains("totals"),
            Aspect::Status | Aspect::Message | Aspect::Fields | Aspect::Order | Aspect::Ties | Aspect::Body => false,
        },
    },
    Class {
        name: "distinct documents with several values",
        reason: "which of several ties comes first decides about others that share only one of its values",
        is_bounded: false,
        explains: |evidence, aspect| aspect == Aspect::Order && evidence.has_walks_of_the_same_hits(),
    },
    Class {
        name: "distinct documents with an empty text",
        reason: "where the search names the attribute they are not alike to the walk and alike on a page: how many are left out goes by which ties are on it",
        is_bounded: true,
        explains: |evidence, aspect| {
            let blanks = evidence.case.documents_with_blank_distinct_texts().len() as u64;
            let (one, miroir) = (total(evidence.one), total(evidence.miroir));
            matches!(aspect, Aspect::Total | Aspect::Estimate) && one.abs_diff(miroir) <= blanks
        },
    },
    Class {
        name: "distinct hits of a node that has all documents",
        reason: "it answers alone, as one server with other internal numbers does: which of several ties stands for a value is chance",
        is_bounded: false,
        explains: |evidence, aspect| {
            evidence.sides.has_whole_nodes
                && evidence.case.distinct().is_some()
                && match aspect {
                    Aspect::Facets => evidence.has_facets_of_a_part(),
                    Aspect::Total | Aspect::Estimate => true,
                    Aspect::Status | Aspect::Message | Aspect::Fields | Aspect::Order | Aspect::Ties | Aspect::Body => {
                        false
                    }
                }
        },
    },
    Class {
        name: DISTINCT_FEDERATED,
        reason: "which of several ties stands for a value decides where hits that other queries find as well stand",
        is_bounded: true,
        explains: BY_FORM,
    },
    Class {
        name: SCATTERED_TIES,
        reason: "hits of other searches come between them, whichever of them is the first; that is chance",
        is_bounded: true,
        explains: BY_FORM,
    },
    Class {
        name: "points less than a metre apart",
        reason: "one server takes them as equally far, as far as its documents lie; Miroir knows only what the nodes found",
        is_bounded: true,
        explains: |evidence, aspect| matches!(aspect, Aspect::Order | Aspect::Ties) && evidence.has_equal_distances(),
    },
    Class {
        name: "documents with several vectors",
        reason: "one server compares the first ones with the first ones, the second with the second; and shows hits too early where it looks for more of them",
        is_bounded: true,
        explains: |evidence, aspect| {
            is_about_what_is_found(aspect)
                && evidence.case.embedder().is_some_and(|embedder| embedder.has_several)
                && (evidence.case.has("id")
                    || evidence.case.distinct().is_some()
                    || evidence.case.has("rankingScoreThreshold"))
        },
    },
    Class {
        name: "filters by a distinct attribute that clients cannot filter by",
        reason: "nodes can; so Miroir refuses it itself, before nodes find what else is wrong, and does not say where in the filter it stands",
        is_bounded: true,
        explains: |evidence, aspect| {
            matches!(aspect, Aspect::Status | Aspect::Message) && evidence.is_about_hidden_distinct()
        },
    },
    Class {
        name: "searchable attributes of an index without documents",
        reason: "a server that has none of the attributes that are searchable takes all for it, once settings have changed",
        is_bounded: true,
        explains: |evidence, aspect| {
            matches!(aspect, Aspect::Status | Aspect::Message)
                && evidence.case.corpus.documents.is_empty()
                && evidence.one["code"] == "invalid_search_attributes_to_search_on"
        },
    },
    Class {
        name: "near documents that one server does not count",
        reason: "it asks its index of vectors for a few at a time until it has none under the threshold, and stops too early",
        is_bounded: true,
        explains: |evidence, aspect| {
            matches!(aspect, Aspect::Total | Aspect::Estimate | Aspect::Facets)
                && evidence.has_near_hits_that_are_not_counted()
        },
    },
    Class {
        name: "documents without vectors, found by no word",
        reason: "where ties are sorted by id, nodes compare a rule of words with none, and take such documents from the words' list",
        is_bounded: true,
        explains: |evidence, aspect| {
            matches!(aspect, Aspect::Order | Aspect::Ties)
                && evidence.sides.sorts_ties
                && evidence.case.has("hybrid")
                && words_of(evidence.case.text("q")).is_empty()
        },
    },
    Class {
        name: "vectors where displayedAttributes is set",
        reason: "once a document had vectors, one server shows them where its list lacks `_vectors` and hides them where it has it, and says the query's vector; Miroir goes by the list",
        is_bounded: true,
        explains: |evidence, aspect| {
            let is_asked = evidence.case.has("retrieveVectors") && !evidence.case.corpus.embedders.is_empty();
            let fields = |answer: &Value| -> Vec<String> {
                let names = field_names(answer).into_iter().filter(|name| *name != "queryVector");
                names.map(str::to_owned).collect()
            };
            is_asked
                && evidence.case.corpus.settings.contains_key("displayedAttributes")
                && match aspect {
                    Aspect::Body => are_equal_hits(evidence, |hit| without(hit, &["_vectors"])),
                    Aspect::Fields => fields(evidence.one) == fields(evidence.miroir),
                    Aspect::Status
                    | Aspect::Message
                    | Aspect::Order
                    | Aspect::Ties
                    | Aspect::Facets
                    | Aspect::Total
                    | Aspect::Estimate => false,
                }
        },
    },
    Class {
        name: "facet search for ids that were sorted by before they could be searched",
        reason: "1.50 does not find values in facet search that it had as sortable ones when they became facets; where ties are sorted by id, nodes have ids as such",
        is_bounded: true,
        explains: |evidence, aspect| {
            let corpus = evidence.case.corpus;
            aspect == Aspect::Facets
                && evidence.case.text("facetName") == corpus.primary_key
                && evidence.sides.sorts_ties
                && corpus.has_late_settings()
        },
    },
    Class {
        name: "similar documents that Miroir does not find",
        reason: "where the first ranking rule is about an attribute, or none is about words, one server sorts by that before similarity",
        is_bounded: true,
        explains: |evidence, aspect| {
            aspect == Aspect::Status && evidence.case.has("id") && evidence.miroir["code"] == "miroir_not_supported"
        },
    },
    Class {
        name: OTHER_ERROR,
        reason: "what only nodes know is wrong is found when they answer; one server goes from query to query",
        is_bounded: true,
        explains: |evidence, aspect| {
            matches!(aspect, Aspect::Status | Aspect::Message) && evidence.is_one_of_two_mistakes()
        },
    },
    Class {
        name: OTHER_REPLICAS,
        reason: "without ties sorted by id every node orders them by its own internal numbers; another walk is whole",
        is_bounded: true,
        explains: BY_FORM,
    },
    Class {
        name: "totals under a score threshold",
        reason: "a server counts what it has not looked at, behind a full page and before the offset; nodes look at more of it",
        is_bounded: true,
        explains: |evidence, aspect| {
            matches!(aspect, Aspect::Estimate | Aspect::Total | Aspect::Facets)
                && evidence.case.has("rankingScoreThreshold")
                && if evidence.case.has("facetName") {
                    counts_fewer_values(evidence)
                } else {
                    (is_full(evidence) || evidence.case.window().0 > 0) && counts_less(evidence)
                }
        },
    },
    Class {
        name: "pages under a score threshold",
        reason: "what a server passes over before the offset counts even where it is under the threshold",
        is_bounded: true,
        explains: |evidence, aspect| {
            matches!(aspect, Aspect::Order | Aspect::Ties)
                && evidence.case.has("rankingScoreThreshold")
                && evidence.case.window().0 > 0
                && counts_less(evidence)
        },
    },
    Class {
        name: "other scores for the same words",
        reason: "what a word may stand for, and which ways through a query lead to documents, goes by the documents of the node",
        is_bounded: true,
        explains: |evidence, aspect| {
            matches!(aspect, Aspect::Order | Aspect::Ties | Aspect::Body) && evidence.has_other_scores_of_words()
        },
    },
    Class {
        name: "attributes that a node does not know",
        reason: "a node of which no document has the attribute formats nothing for it, and shows nothing of what is around it",
        is_bounded: true,
        explains: |evidence, aspect| {
            let formatted = ["attributesToHighlight", "attributesToCrop"];
            let is_known = |names: &[&str]| !evidence.known.are_partly_unknown(evidence.case.body, names);
            let is_equal_without =
                |fields: &[&str]| are_equal_hits(evidence, |hit| without_empty(&without(hit, fields)));
            aspect == Aspect::Body
                && (!is_known(&formatted) && is_equal_without(&["_formatted"])
                    || !is_known(&["attributesToRetrieve"]) && is_equal_without(&retrieved_roots(evidence.case.body)))
        },
    },
    Class {
        name: "indices of matches in lists of objects",
        reason: "an index counts the objects that are displayed; the nodes display all of them",
        is_bounded: true,
        explains: |evidence, aspect| {
            aspect == Aspect::Body
                && evidence.case.corpus.settings.contains_key("displayedAttributes")
                && are_equal_hits(evidence, without_indices)
        },
    },
    Class {
        name: "matches of words that the node has not indexed",
        reason: "a text is searched for what the query's words stand for in the node's dictionary, also where it is not searchable",
        is_bounded: true,
        explains: |evidence, aspect| {
            aspect == Aspect::Body && only_matches_differ(evidence, |[one, miroir]| (miroir, one))
        },
    },
    Class {
        name: "matches of a prefix that a hundred words have",
        reason: "it is kept ready-made, and nothing is said of what it matches; on a node fewer words have it",
        is_bounded: true,
        explains: |evidence, aspect| {
            aspect == Aspect::Body
                && evidence.dictionary.get().has_ready_made_prefix(evidence.case.text("q"))
                && only_matches_differ(evidence, |[one, miroir]| (one, miroir))
        },
    },
    Class {
        name: "more typos than are taken",
        reason: "of the words that a word with typos may stand for the first 150 (50 with two typos) of the node's own are taken",
        is_bounded: true,
        explains: |evidence, aspect| {
            let sizes = WordSizes::of(evidence.case.corpus);
            is_about_what_is_found(aspect)
                && evidence.dictionary.get().has_too_many_typos(evidence.case.text("q"), sizes)
        },
    },
    Class {
        name: "several ways to split a word",
        reason: "a word is split where both parts stand beside each other most often on the node",
        is_bounded: true,
        explains: |evidence, aspect| {
            is_about_what_is_found(aspect) && evidence.dictionary.get().has_several_splits(evidence.case.text("q"))
        },
    },
];

/// What depends on which documents are found, and how.
pub fn is_about_what_is_found(aspect: Aspect) -> bool {
    match aspect {
        Aspect::Order | Aspect::Ties | Aspect::Body | Aspect::Facets | Aspect::Total | Aspect::Estimate => true,
        Aspect::Status | Aspect::Message | Aspect::Fields => false,
    }
}

/// Whether the page of the one server has all hits that were asked for.
fn is_full(evidence: &Evidence<'_>) -> bool {
    let (_, limit) = evidence.case.window();
    evidence.one["hits"].as_array().is_some_and(|hits| hits.len() as u64 == limit)
}

/// `totalHits` or `estimatedTotalHits`.
pub fn total(answer: &Value) -> u64 {
    let total = answer.get("estimatedTotalHits").or_else(|| answer.get("totalHits"));
    total.and_then(Value::as_u64).unwrap_or_default()
}

/// Miroir counts less than the server, but no less than it shows.
fn counts_less(evidence: &Evidence<'_>) -> bool {
    let shown = evidence.miroir["hits"].as_array().map_or(0, |hits| hits.len() as u64);
    let (offset, _) = evidence.case.window();
    let least = if shown == 0 { 0 } else { offset + shown };
    (least..=total(evidence.one)).contains(&total(evidence.miroir))
}

/// A facet search in which Miroir counts no more documents of any value than the server.
fn counts_fewer_values(evidence: &Evidence<'_>) -> bool {
    let counts = |answer: &Value| -> BTreeMap<String, u64> {
        let hits = answer["facetHits"].as_array().into_iter().flatten();
        hits.map(|hit| (hit["value"].to_string(), hit["count"].as_u64().unwrap_or(u64::MAX))).collect()
    };
    let one = counts(evidence.one);
    counts(evidence.miroir).iter().all(|(value, count)| one.get(value).is_some_and(|one| count <= one))
}

/// Pairs of the hits that both show: those with the same id, or, where that is not shown, those that look alike and stand
/// in the same place.
fn common_hits(evidence: &Evidence<'_>) -> Vec<[Value; 2]> {
    let hits = |answer: &Value| answer["hits"].as_array().cloned().unwrap_or_default();
    let (one, miroir) = (hits(evidence.one), hits(evidence.miroir));
    let has_id = |hit: &Value| hit.get(evidence.case.corpus.primary_key).is_some();
    if !miroir.iter().all(has_id) {
        let pairs = one.into_iter().zip(miroir);
        return pairs.filter(|(one, miroir)| evidence.name(one) == evidence.name(miroir)).map(Into::into).collect();
    }
    let mut by_name: BTreeMap<String, Value> = one.into_iter().map(|hit| (evidence.name(&hit), hit)).collect();
    miroir.into_iter().filter_map(|hit| Some([by_name.remove(&evidence.name(&hit))?, hit])).collect()
}

/// Whether what is looked at is equal in all hits that both show.
fn are_equal_hits(evidence: &Evidence<'_>, looked_at: impl Fn(&Value) -> Value) -> bool {
    common_hits(evidence).iter().all(|[one, miroir]| looked_at(one) == looked_at(miroir))
}

fn without(hit: &Value, fields: &[&str]) -> Value {
    let mut hit = hit.clone();
    for field in fields {
        hit.as_object_mut().map(|hit| hit.remove(*field));
    }
    rounded(&hit)
}

/// The fields that what lies inside of is retrieved alone.
fn retrieved_roots(body: &Object) -> Vec<&str> {
    let names = body.get("attributesToRetrieve").and_then(Value::as_array).into_iter().flatten();
    names.filter_map(|name| Some(name.as_str()?.split_once('.')?.0)).collect()
}

/// Without objects and lists in which nothing is left, and fields with nothing else.
fn without_empty(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let left = fields.iter().map(|(name, value)| (name.clone(), without_empty(value)));
            left.filter(|(_, value)| *value != json!({}) && *value != json!([])).collect()
        }
        Value::Array(items) => {
            items.iter().map(without_empty).filter(|item| *item != json!({}) && *item != json!([])).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Without the indices in `_matchesPosition`.
fn without_indices(hit: &Value) -> Value {
    let mut hit = hit.clone();
    let positions = hit.get_mut("_matchesPosition").and_then(Value::as_object_mut).into_iter();
    for matched in positions.flat_map(|positions| positions.values_mut()).filter_map(Value::as_array_mut).flatten() {
        matched.as_object_mut().map(|matched| matched.remove("indices"));
    }
    rounded(&hit)
}

/// Only matches differ in documents that both show: the lesser of the two has no match that the other one does not have, and
/// both format the same texts.
fn only_matches_differ(evidence: &Evidence<'_>, lesser: impl Fn(&[Value; 2]) -> (&Value, &Value)) -> bool {
    let of_matches = ["_formatted", "_matchesPosition"];
    let is_cropped = evidence.case.has("attributesToCrop");
    let tag = |name: &str, default| evidence.case.body.get(name).and_then(Value::as_str).unwrap_or(default).to_owned();
    let tags = [tag("highlightPreTag", "<em>"), tag("highlightPostTag", "</em>")];
    let plain = |hit: &Value| {
        // Tags as they stand in JSON.
        let text = hit["_formatted"].to_string();
        let text = tags.iter().fold(text, |text, tag| text.replace(json!(tag).to_string().trim_matches('"'), ""));
        rounded(&serde_json::from_str(&text).unwrap_or_default())
    };
    common_hits(evidence).iter().all(|hits| {
        let (lesser, other) = lesser(hits);
        let fields = lesser["_matchesPosition"].as_object().into_iter().flatten();
        let is_part = fields.into_iter().all(|(name, matches)| {
            let others = other["_matchesPosition"][name].as_array();
            let mut matches = matches.as_array().into_iter().flatten();
            matches.all(|found| others.is_some_and(|others| others.contains(found)))
        });
        let is_else_equal = without(lesser, &of_matches) == without(other, &of_matches);
        is_part && is_else_equal && (is_cropped || plain(lesser) == plain(other))
    })
}
