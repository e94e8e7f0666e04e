//! Facets in count order with many values: 20,000, of which every node returns all, and more, of which nodes cut their lists.
//!
//! What is right is counted here. Of equal counts any value may be shown.

use std::cmp::Reverse;
use std::collections::HashMap;

use serde_json::{Value, json};

use super::search::{Alone, say_which_nodes};
use crate::support::{Answer, Client, Fleet, FleetOptions, Random, real_meilisearch, seed};

/// Header of an answer that may not be exact.
const APPROXIMATE: &str = "x-miroir-approximate";

/// Documents with values of several facets each.
struct Values {
    documents: Vec<Value>,
}

/// A facet: its name, how many values there are, and how many times a random number is multiplied with one to choose among
/// them (1: all are equally frequent).
type Facet = (&'static str, usize, u32);

impl Values {
    fn new(random: &mut Random, count: usize, values_each: usize, facets: &[Facet]) -> Self {
        let mut pick = |(name, values, skew): &Facet| {
            let share: f64 = (0..*skew).map(|_| random.below(1_000_000) as f64 / 1e6).product();
            format!("{name} {:06}", (share * *values as f64) as usize)
        };
        let document = |id: usize| {
            let mut document = json!({"id": id, "part": id % 100});
            for facet in facets {
                let mut values: Vec<String> = (0..values_each).map(|_| pick(facet)).collect();
                values.sort();
                values.dedup();
                document[facet.0] = json!(values);
            }
            document
        };
        Self { documents: (0..count).map(document).collect() }
    }

    fn load(&self, client: &Client, facets: &[Facet]) {
        let names: Vec<&str> = facets.iter().map(|(name, ..)| *name).chain(["part"]).collect();
        let settings = json!({"filterableAttributes": names, "searchableAttributes": ["id"], "faceting": {"sortFacetValuesBy": {"*": "count"}}});
        client.write_well("POST", "/indexes", Some(&json!({"uid": "many", "primaryKey": "id"})));
        client.write_well("PATCH", "/indexes/many/settings", Some(&settings));
        for chunk in self.documents.chunks(3_000) {
            client.write_well("POST", "/indexes/many/documents", Some(&chunk.to_vec().into()));
        }
    }

    /// How many documents below this part have each value.
    fn counts(&self, facet: &str, below: u64) -> HashMap<&str, u64> {
        let mut counts = HashMap::new();
        for document in self.documents.iter().filter(|document| document["part"].as_u64() < Some(below)) {
            for value in document[facet].as_array().into_iter().flatten().filter_map(Value::as_str) {
                *counts.entry(value).or_default() += 1;
            }
        }
        counts
    }

    /// Whether an answer shows the most frequent values with their counts.
    #[track_caller]
    fn check(&self, answer: &Answer, facet: &str, below: u64, values_max: usize) {
        let counts = self.counts(facet, below);
        let shown = answer.json["facetDistribution"][facet].as_object().expect("the facet was asked for");
        let found: Vec<u64> = shown.values().map(|count| count.as_u64().expect("a count")).collect();
        let mut expected: Vec<u64> = counts.values().copied().collect();
        expected.sort_unstable_by_key(|count| Reverse(*count));
        expected.truncate(values_max);
        assert!(found == expected, "{facet} below {below}: other counts (MIROIR_TEST_SEED={})", seed());
        for (value, count) in shown {
            assert_eq!(counts.get(value.as_str()), count.as_u64().as_ref(), "{value}");
        }
    }
}

fn ask(client: &Client, facet: &str, below: u64) -> Answer {
    let body = json!({"facets": [facet], "filter": format!("part < {below}"), "limit": 0});
    client.post("/indexes/many/search", &body).expect(200)
}

fn show(client: &Client, values_max: usize) {
    let faceting = json!({"faceting": {"maxValuesPerFacet": values_max}});
    client.write_well("PATCH", "/indexes/many/settings", Some(&faceting));
}

#[test]
fn facets_of_20_000_values_in_count_order_are_exact_whatever_the_counts() {
    const FACETS: [Facet; 4] = [("unique", 20_000, 1), ("flat", 4_000, 1), ("skewed", 20_000, 3), ("steep", 20_000, 8)];
    say_which_nodes();
    let values = Values::new(&mut Random::new(seed()), 6_000, 4, &FACETS);
    let options = FleetOptions { meilisearch: real_meilisearch(), ..FleetOptions::new() };
    let fleet = Fleet::start(&options);
    let alone = Alone::start();
    let (one, miroir) = (alone.node.client(), fleet.client());
    values.load(&one, &FACETS);
    values.load(&miroir, &FACETS);
    for values_max in [100, 1, 2_500, 25_000] {
        show(&one, values_max);
        show(&miroir, values_max);
        for (facet, ..) in FACETS {
            for below in [100, 37, 3] {
                let answer = ask(&miroir, facet, below);
                values.check(&answer, facet, below, values_max);
                assert_eq!(answer.header(APPROXIMATE), None, "{facet} below {below}");
                values.check(&ask(&one, facet, below), facet, below, values_max);
                let body = json!({"facetName": facet, "facetQuery": format!("{facet} 00"), "filter": format!("part < {below}")});
                let hits = |client: &Client| {
                    client.post("/indexes/many/facet-search", &body).expect(200).json["facetHits"].clone()
                };
                assert!(hits(&miroir) == hits(&one), "{body}, {values_max} values (MIROIR_TEST_SEED={})", seed());
            }
        }
    }
}

#[test]
fn facets_of_more_values_than_nodes_list_are_exact_where_counts_tell() {
    const FACETS: [Facet; 2] = [("unique", 10_000_000, 1), ("skewed", 200_000, 2)];
    say_which_nodes();
    let values = Values::new(&mut Random::new(seed()), 4_000, 25, &FACETS);
    let options = FleetOptions { replication_factor: 1, meilisearch: real_meilisearch(), ..FleetOptions::new() };
    let fleet = Fleet::start(&options);
    let miroir = fleet.client();
    values.load(&miroir, &FACETS);
    for values_max in [100, 400] {
        show(&miroir, values_max);
        let answer = ask(&miroir, "skewed", 100);
        assert!(answer.header(APPROXIMATE).is_none(), "{values_max}");
        values.check(&answer, "skewed", 100, values_max);
    }
    // Nearly every value is there once: one that no node names could be on all of them.
    assert_eq!(ask(&miroir, "unique", 100).header(APPROXIMATE), Some("facets"));
    assert_eq!(ask(&miroir, "unique", 50).header(APPROXIMATE), None, "few enough match");
    let body = json!({"facetName": "skewed", "facetQuery": "skewed 0"});
    let hits = miroir.post("/indexes/many/facet-search", &body).expect(200);
    assert_eq!(hits.header(APPROXIMATE), None);
    let counts = values.counts("skewed", 100);
    let mut expected: Vec<u64> = counts.values().copied().collect();
    expected.sort_unstable_by_key(|count| Reverse(*count));
    let found = hits.json["facetHits"].as_array().expect("hits");
    assert!(found.iter().zip(expected).all(|(hit, count)| hit["count"] == count) && found.len() == 400);
    assert!(
        found.iter().all(|hit| counts.get(hit["value"].as_str().expect("a text")) == hit["count"].as_u64().as_ref())
    );
}
