//! What is known of a case with differences, and what more can be asked to find out where they come from.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use miroir::logic::merge::facets::normalize;
use serde_json::{Value, json};

use super::case::Case;
use super::classes::total;
use super::compare::rounded;
use super::dictionary::LazyDictionary;
use super::known::KnownAttributes;
use super::order::first_disorder;
use super::servers::Sides;
use super::walk::may_be_walks_of_the_same;

/// Of one case.
pub struct Evidence<'a> {
    /// The query and the corpus.
    pub case: Case<'a>,
    /// The words of the corpus.
    pub dictionary: &'a LazyDictionary<'a>,
    /// Which node knows which attributes.
    pub known: &'a KnownAttributes,
    /// Who answered.
    pub sides: Sides<'a>,
    /// The body of the server's answer.
    pub one: &'a Value,
    /// The body of Miroir's answer.
    pub miroir: &'a Value,
    /// What Miroir says of its answer: `facets`, `totals`.
    pub approximate: &'a str,
    /// The first hits of both, as many as can be had.
    pub first_hits: OnceCell<[Vec<Value>; 2]>,
}

/// So many hits are looked at for evidence.
const FIRST_HITS: u64 = 1_000;

/// Rules that look at the words of a document.
const RULES_OF_WORDS: [&str; 7] =
    ["words", "typo", "proximity", "attribute", "attributeRank", "wordPosition", "exactness"];

impl Evidence<'_> {
    /// Both lists from their beginnings, whatever page the case is about.
    fn first_hits(&self) -> &[Vec<Value>; 2] {
        self.first_hits.get_or_init(|| {
            let mut body = self.case.body.clone();
            body.retain(|name, _| !matches!(name.as_str(), "offset" | "page" | "hitsPerPage" | "facets"));
            body.insert("limit".to_owned(), json!(FIRST_HITS));
            body.insert("showRankingScoreDetails".to_owned(), json!(true));
            body.shift_remove("attributesToRetrieve");
            let target = format!("/indexes/{}/search", self.case.corpus.index);
            let hits = |answer: Value| answer["hits"].as_array().cloned().unwrap_or_default();
            let body = Value::from(body);
            [self.sides.one, self.sides.miroir].map(|client| hits(client.post(&target, &body).json))
        })
    }

    /// Whether nodes give documents other scores for their words than one server does, where Miroir sorts by the scores
    /// that the nodes give, and all agree about everything else.
    pub fn has_other_scores_of_words(&self) -> bool {
        let [one, miroir] = self.first_hits();
        let miroirs_page = self.miroir["hits"].as_array().map(Vec::as_slice).unwrap_or_default();
        if first_disorder(miroir).is_some() || first_disorder(miroirs_page).is_some() {
            return false;
        }
        let by_name: BTreeMap<String, &Value> = one.iter().map(|hit| (self.name(hit), hit)).collect();
        let mut has_other = false;
        for hit in miroir {
            let Some(other) = by_name.get(&self.name(hit)) else { continue };
            let (of_words, others) = differences(&other["_rankingScoreDetails"], &hit["_rankingScoreDetails"]);
            if others {
                return false;
            }
            has_other |= of_words;
        }
        has_other
    }

    /// Whether both have made distinct what they have found in a way that can be right.
    pub fn has_walks_of_the_same_hits(&self) -> bool {
        let [one, miroir] = self.first_hits();
        let limit = FIRST_HITS.min(self.case.hits_max()) as usize;
        first_disorder(miroir).is_none() && may_be_walks_of_the_same(&self.case, one, miroir, limit)
    }

    /// Whether the one server itself finds more hits by words and by the vector, each alone, than it counts here, where it
    /// goes from hit to hit until the threshold, and Miroir counts no fewer than those.
    pub fn has_near_hits_that_are_not_counted(&self) -> bool {
        let Some(threshold) = self.case.body.get("rankingScoreThreshold").and_then(Value::as_f64) else { return false };
        let Some(embedder) = self.case.embedder() else { return false };
        let ratio = self.case.body.get("hybrid").and_then(|hybrid| hybrid["semanticRatio"].as_f64());
        let is_by_vector = ratio == Some(1.0) || self.case.text("q").trim().is_empty();
        let ratios: &[f64] = if is_by_vector { &[1.0] } else { &[0.0, 1.0] };
        let target = format!("/indexes/{}/search", self.case.corpus.index);
        let found = |ratio: &f64| {
            let mut body = self.case.body.clone();
            let of_page = [
                "offset",
                "page",
                "hitsPerPage",
                "facets",
                "rankingScoreThreshold",
                "distinct",
                "attributesToRetrieve",
            ];
            body.retain(|name, _| !of_page.contains(&name.as_str()));
            body.insert("limit".to_owned(), json!(FIRST_HITS));
            body.insert("showRankingScore".to_owned(), json!(true));
            body.insert("hybrid".to_owned(), json!({"embedder": embedder.name, "semanticRatio": ratio}));
            let mut answer = self.sides.one.post(&target, &Value::from(body)).json;
            let hits = answer["hits"].as_array_mut().map(std::mem::take).unwrap_or_default().into_iter();
            let is_near = |hit: &Value| hit["_rankingScore"].as_f64().is_some_and(|score| score >= threshold);
            hits.filter(is_near).map(|hit| self.name(&hit)).collect::<BTreeSet<String>>()
        };
        let near = ratios.iter().flat_map(found).collect::<BTreeSet<String>>().len() as u64;
        (total(self.one)..=total(self.miroir)).contains(&near) && total(self.one) < near
    }

    /// Whether the one server refuses something, and, without what it blames, refuses what Miroir refuses: each names
    /// another one of two mistakes. Which of them comes to light first can depend on the documents that a server has: it does
    /// not look at conditions behind one that nothing meets.
    pub fn is_one_of_two_mistakes(&self) -> bool {
        let blamed = match self.one["code"].as_str() {
            Some("invalid_search_filter") => "filter",
            Some("invalid_search_sort") => "sort",
            Some("invalid_search_distinct") => "distinct",
            Some("invalid_search_attributes_to_search_on") => "attributesToSearchOn",
            Some(_) | None => return false,
        };
        let mut body = self.case.body.clone();
        body.shift_remove(blamed);
        let target = format!("/indexes/{}/search", self.case.corpus.index);
        let other = self.sides.one.post(&target, &Value::from(body)).json;
        ["code", "message"].iter().all(|name| other[name].is_string() && other[name] == self.miroir[name])
    }

    /// Whether Miroir's refusal is one that the one server gives, too, where there is nothing else to refuse: the filter
    /// names the hidden distinct attribute.
    pub fn is_about_hidden_distinct(&self) -> bool {
        let Some(distinct) = self.case.corpus.settings.get("distinctAttribute").and_then(Value::as_str) else {
            return false;
        };
        let target = format!("/indexes/{}/search", self.case.corpus.index);
        let alone = self.sides.one.post(&target, &json!({"filter": format!("\"{distinct}\" EXISTS")})).json;
        // The facet search does not say which index it is about.
        let message = |answer: &Value| {
            let message = answer["message"].as_str().unwrap_or_default();
            message.trim_start_matches(&format!("Index `{}`: ", self.case.corpus.index)).to_owned()
        };
        let (alone, miroir) = (message(&alone), message(self.miroir));
        let is_about_it = miroir.contains(&format!("Attribute `{distinct}` is not filterable."));
        is_about_it && self.one.get("code").is_some() && alone.starts_with(&miroir)
    }

    /// Whether Miroir counts no more documents of a facet's value than the one server does where hits are not distinct. A
    /// value that is not in a list which may be cut says nothing; the setting cannot be switched off.
    pub fn has_facets_of_a_part(&self) -> bool {
        if !self.case.has("distinct") || self.case.corpus.settings.contains_key("distinctAttribute") {
            return true;
        }
        let mut body = self.case.body.clone();
        body.shift_remove("distinct");
        let target = format!("/indexes/{}/search", self.case.corpus.index);
        let whole = self.sides.one.post(&target, &Value::from(body)).json;
        let facets = self.miroir["facetDistribution"].as_object().into_iter().flatten();
        let max = self.case.facet_values_max();
        facets.into_iter().all(|(facet, counts)| {
            let normalized = |counts: &Value| -> BTreeMap<String, u64> {
                let counts = counts.as_object().into_iter().flatten();
                counts.map(|(value, count)| (normalize(value), count.as_u64().unwrap_or(u64::MAX))).collect()
            };
            let (counts, whole) = (normalized(counts), normalized(&whole["facetDistribution"][facet]));
            let is_cut = whole.len() >= max;
            counts.iter().all(|(value, count)| whole.get(value).map_or(is_cut, |whole| count <= whole))
        })
    }

    /// Whether hits are sorted by their distance from a point, and at each place of the page both have hits whose distances
    /// differ by less than a metre.
    pub fn has_equal_distances(&self) -> bool {
        let distances = |answer: &Value| -> Vec<Vec<f64>> {
            let hits = answer["hits"].as_array().into_iter().flatten();
            let of_hit = |hit: &Value| {
                let details = hit["_rankingScoreDetails"].as_object().into_iter().flatten();
                let geographic = details.filter(|(name, _)| name.starts_with("_geoPoint("));
                geographic.filter_map(|(_, detail)| detail["distance"].as_f64()).collect()
            };
            hits.map(of_hit).collect()
        };
        let (one, miroir) = (distances(self.one), distances(self.miroir));
        let are_near = |(one, miroir): (&Vec<f64>, &Vec<f64>)| {
            one.len() == miroir.len() && one.iter().zip(miroir).all(|(one, miroir)| (one - miroir).abs() < 1.0)
        };
        one != miroir && one.len() == miroir.len() && one.iter().zip(&miroir).all(are_near)
    }

    /// What a hit is called: by its id, or, where that is not shown, by all that is shown.
    pub fn name(&self, hit: &Value) -> String {
        let body = || {
            let fields = hit.as_object().into_iter().flatten().filter(|(name, _)| !name.starts_with('_'));
            rounded(&fields.map(|(name, value)| (name.clone(), value.clone())).collect()).to_string()
        };
        hit.get(self.case.corpus.primary_key).map_or_else(body, ToString::to_string)
    }
}

/// Whether details differ in rules of words, and whether in others.
fn differences(one: &Value, miroir: &Value) -> (bool, bool) {
    let (mut of_words, mut others) = (false, false);
    let (one, miroir) = (rounded(one), rounded(miroir));
    let names = one.as_object().into_iter().chain(miroir.as_object()).flat_map(serde_json::Map::keys);
    for name in names.filter(|name| one.get(*name) != miroir.get(*name)) {
        if RULES_OF_WORDS.contains(&name.as_str()) { of_words = true } else { others = true }
    }
    (of_words, others)
}
