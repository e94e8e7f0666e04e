//! Compares answers to a federated search. Hits are those of one search, each with its own query's rules; facets come by
//! index, or merged.

use serde_json::{Map, Value, json};

use super::super::case::Case;
use super::facets::{Order, compare_distributions, compare_facets};
use super::hits::Hits;
use super::{Aspect, Difference, compare_errors, compare_fields, difference, hits};
use crate::support::Answer;

/// What was asked.
pub struct Federated<'a> {
    /// The searches, each with the attribute that makes hits distinct in all of them, if there is one.
    pub cases: Vec<Case<'a>>,
    /// Of the federation: `offset`, `limit`, `mergeFacets`, …
    pub federation: Case<'a>,
}

impl Federated<'_> {
    /// The first hit and how many are asked for; fewer where an index has no more that can be reached.
    fn window(&self, shown: u64) -> (u64, u64) {
        let (offset, limit) = self.federation.unbounded_window();
        let reachable = self.cases.iter().map(Case::hits_max).min().unwrap_or_default();
        (offset, if offset + shown >= reachable { limit.min(shown) } else { limit })
    }

    /// How many values of a merged facet are shown, if they come in the order of their counts.
    fn merged_by_count_max(&self, facet: &str) -> Option<usize> {
        let own = self.federation.body.get("mergeFacets")?["maxValuesPerFacet"].as_u64();
        let max = own.map_or(100, |max| max as usize);
        // All indexes with the facet agree about the order, or else the request is refused.
        self.cases.iter().any(|case| case.is_by_count(facet)).then_some(max)
    }
}

/// All differences between two answers.
pub fn compare_federated(asked: &Federated<'_>, one: &Answer, miroir: &Answer) -> Vec<Difference> {
    if one.status != 200 || miroir.status != 200 {
        return compare_errors(one, miroir);
    }
    let (one, miroir) = (&one.json, &miroir.json);
    let mut found = Vec::new();
    compare_fields(one, miroir, &mut found);
    compare_by_index(asked, &one["facetsByIndex"], &miroir["facetsByIndex"], &mut found);
    compare_distributions(Order::OfSpellings, |facet| asked.merged_by_count_max(facet), one, miroir, &mut found);
    let (left, right) = (hits(one), hits(miroir));
    let is_one_walk = asked.federation.has("distinct");
    Hits { cases: &asked.cases, window: asked.window(left.len() as u64), is_one_walk, left, right }.compare(&mut found);
    found
}

fn compare_by_index(asked: &Federated<'_>, one: &Value, miroir: &Value, found: &mut Vec<Difference>) {
    let empty = Map::new();
    let (left, right) = (one.as_object().unwrap_or(&empty), miroir.as_object().unwrap_or(&empty));
    if !left.keys().eq(right.keys()) {
        found.push(difference(Aspect::Facets, "indexes with facets", one, miroir));
        return;
    }
    for ((index, left), right) in left.iter().zip(right.values()) {
        let Some(case) = asked.cases.iter().find(|case| case.corpus.index == *index) else { continue };
        let as_search =
            |facets: &Value| json!({"facetDistribution": facets["distribution"], "facetStats": facets["stats"]});
        compare_facets(case, &as_search(left), &as_search(right), found);
    }
}
