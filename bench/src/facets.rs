//! How long facets in count order take to merge, by how many values nodes return.

use std::fmt::Write as _;

use miroir::logic::merge::answer::NodeAnswer;
use miroir::logic::merge::facets::{FacetLimits, FacetMerge};
use serde_json::json;

/// Answers without hits of so many nodes with so many values of one facet each, the most frequent ones first. Most values are
/// on every node, and there are a third more of them than one node returns.
pub fn answers(nodes: u64, values: u64) -> Vec<String> {
    let body = |node: u64| {
        let mut text = "{\"hits\":[],\"estimatedTotalHits\":1000000,\"facetDistribution\":{\"brand\":{".to_owned();
        for place in 0..values {
            let brand = place + (place * 7 + node * 13) % (values / 3 + 1);
            let comma = if place == 0 { "" } else { "," };
            write!(text, "{comma}\"Brand no. {brand:05}-{}\":{}", place % 2, 40_000 / (place + 1) + 1)
                .expect("strings take all");
        }
        text.push_str("}},\"facetStats\":{}}");
        text
    };
    (0..nodes).map(body).collect()
}

/// Merges them and writes the first hundred values; the answer's bytes.
pub fn merge(bodies: &[String]) -> usize {
    let settings = json!({"faceting": {"sortFacetValuesBy": {"brand": "count"}}});
    let limits = FacetLimits::from_settings(settings.as_object().expect("an object"));
    let answers: Vec<NodeAnswer<'_>> =
        bodies.iter().map(|body| NodeAnswer::read(body).expect("well-formed answers")).collect();
    let merged = FacetMerge::of(&answers, &limits, &["brand"]).expect("well-formed facets");
    let mut text = String::new();
    merged.write(&mut text);
    text.len() + merged.doubts().len()
}
