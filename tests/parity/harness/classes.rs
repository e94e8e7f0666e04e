//! Differences that are known and explained: each class says by what it is told from others (the query, the settings, the
//! words of the corpus, both answers), and why Miroir cannot answer the same.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::compare::{Aspect, rounded};
use super::dictionary::{WordSizes, words_of};
use super::evidence::Evidence;

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

/// All of them, the most specific one first.
pub const CLASSES: &[Class] = &[
    Class {
        name: "matchingStrategy: frequency",
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
        name: "approximate, as the answer says",
        reason: "where hits are distinct, facets and some totals are known to be near only: the header X-Miroir-Approximate names them",
        is_bounded: false,
        explains: |evidence, aspect| match aspect {
            Aspect::Facets => evidence.approximate.contains("facets"),
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
        name: "totals under a score threshold",
        reason: "a server counts what it has not looked at, behind a full page and before the offset; nodes look at more of it",
        is_bounded: true,
        explains: |evidence, aspect| {
            matches!(aspect, Aspect::Estimate | Aspect::Total | Aspect::Facets)
                && evidence.case.has("rankingScoreThreshold")
                && (is_full(evidence) || evidence.case.window().0 > 0)
                && counts_less(evidence)
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
        reason: "a node of which no document has the attribute formats nothing for it, and shows no empty object around it",
        is_bounded: true,
        explains: |evidence, aspect| {
            let formatted = ["attributesToHighlight", "attributesToCrop"];
            let is_known = |names: &[&str]| !evidence.known.are_partly_unknown(evidence.case.body, names);
            let is_equal_without = |fields: &[&str]| {
                let shown = |answer: &Value| without_empty(&json!(bodies_without(answer, fields)));
                shown(evidence.one) == shown(evidence.miroir)
            };
            aspect == Aspect::Body
                && (!is_known(&formatted) && is_equal_without(&["_formatted"])
                    || !is_known(&["attributesToRetrieve"]) && is_equal_without(&[]))
        },
    },
    Class {
        name: "indices of matches in lists of objects",
        reason: "an index counts the objects that are displayed; the nodes display all of them",
        is_bounded: true,
        explains: |evidence, aspect| {
            aspect == Aspect::Body
                && evidence.case.corpus.settings.contains_key("displayedAttributes")
                && without_indices(evidence.one) == without_indices(evidence.miroir)
        },
    },
    Class {
        name: "matches of words that the node has not indexed",
        reason: "a text is searched for what the query's words stand for in the node's dictionary, also where it is not searchable",
        is_bounded: true,
        explains: |evidence, aspect| aspect == Aspect::Body && are_fewer_matches(evidence),
    },
    Class {
        name: "lists of attributes in messages",
        reason: "a node lists the attributes that it knows, and shows everything",
        is_bounded: true,
        explains: |evidence, aspect| {
            let message = |answer: &Value| without_list(answer["message"].as_str().unwrap_or_default());
            aspect == Aspect::Message && message(evidence.one) == message(evidence.miroir)
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
fn is_about_what_is_found(aspect: Aspect) -> bool {
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

/// Miroir counts less than the server, but no less than it shows.
fn counts_less(evidence: &Evidence<'_>) -> bool {
    let total = |answer: &Value| {
        let total = answer.get("estimatedTotalHits").or_else(|| answer.get("totalHits"));
        total.and_then(Value::as_u64).unwrap_or_default()
    };
    let shown = evidence.miroir["hits"].as_array().map_or(0, |hits| hits.len() as u64);
    let (offset, _) = evidence.case.window();
    let least = if shown == 0 { 0 } else { offset + shown };
    (least..=total(evidence.one)).contains(&total(evidence.miroir))
}

/// All hits without their details and these fields, in no order.
fn bodies_without(answer: &Value, fields: &[&str]) -> Vec<Value> {
    let hits = answer["hits"].as_array().into_iter().flatten();
    let mut bodies: Vec<Value> = hits.map(|hit| without(hit, fields)).collect();
    bodies.sort_by_key(ToString::to_string);
    bodies
}

fn without(hit: &Value, fields: &[&str]) -> Value {
    let mut hit = hit.clone();
    for field in fields {
        hit.as_object_mut().map(|hit| hit.remove(*field));
    }
    rounded(&hit)
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

/// All hits without the indices in `_matchesPosition`.
fn without_indices(answer: &Value) -> Vec<Value> {
    let mut answer = answer.clone();
    for hit in answer["hits"].as_array_mut().into_iter().flatten() {
        let positions = hit.get_mut("_matchesPosition").and_then(Value::as_object_mut).into_iter();
        for matched in positions.flat_map(|positions| positions.values_mut()).filter_map(Value::as_array_mut).flatten()
        {
            matched.as_object_mut().map(|matched| matched.remove("indices"));
        }
    }
    bodies_without(&answer, &[])
}

/// A message without the attributes that are listed in it.
fn without_list(message: &str) -> String {
    let Some((before, rest)) = message.split_once("Available ") else { return message.to_owned() };
    let Some((what, list)) = rest.split_once(" are: `") else { return message.to_owned() };
    format!("{before}{what}{}", list.split_once('`').unwrap_or_default().1)
}

/// Only matches differ: in documents that both show Miroir has no match that the server does not have, and formats the
/// same texts.
fn are_fewer_matches(evidence: &Evidence<'_>) -> bool {
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
    let hits = |answer: &Value| answer["hits"].as_array().cloned().unwrap_or_default();
    let by_name: BTreeMap<String, Value> =
        hits(evidence.one).into_iter().map(|hit| (evidence.name(&hit), hit)).collect();
    hits(evidence.miroir).iter().all(|miroir| {
        let Some(one) = by_name.get(&evidence.name(miroir)) else { return true };
        let fields = miroir["_matchesPosition"].as_object().into_iter().flatten();
        let mut matches = fields.map(|(name, matches)| (&one["_matchesPosition"][name], matches));
        let is_part = matches.all(|(one, matches)| {
            let (one, matches) = (one.as_array(), matches.as_array());
            matches.into_iter().flatten().all(|found| one.is_some_and(|one| one.contains(found)))
        });
        let is_else_equal = without(one, &of_matches) == without(miroir, &of_matches);
        is_part && is_else_equal && (is_cropped || plain(one) == plain(miroir))
    })
}
