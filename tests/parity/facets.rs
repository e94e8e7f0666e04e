//! Facets of numbers with more values than are shown, over more documents than the engine counts one by one: up to 3,000 it
//! orders numbers as texts, beyond by value, and a fleet's nodes are below that before the whole is.

use serde_json::{Value, json};

use super::corpus::prices;
use super::search::{Alone, load, say_which_nodes};
use crate::support::{Client, Fleet, FleetOptions, real_meilisearch, seed};

/// More than 3,000 in the whole, fewer on each of three nodes.
const DOCUMENTS: usize = 6_600;

fn facets_of(client: &Client, filter: &Value) -> (u64, String, String) {
    let body = json!({"facets": ["price", "code", "label", "stock"], "filter": filter, "page": 1, "hitsPerPage": 1});
    let answer = client.post("/indexes/prices/search", &body).expect(200).json;
    let total = answer["totalHits"].as_u64().expect("an integer");
    // As texts: the order of values counts.
    (total, answer["facetDistribution"].to_string(), answer["facetStats"].to_string())
}

fn compare(one: &Client, other: &Client) {
    let mut has_few_and_many = [false; 2];
    for part in [100, 1, 20, 40, 44, 45, 46, 47, 50, 70, 90] {
        let filter = json!(format!("part < {part}"));
        let expected = facets_of(one, &filter);
        has_few_and_many[usize::from(expected.0 > 3_000)] = true;
        assert_eq!(facets_of(other, &filter), expected, "{filter} (MIROIR_TEST_SEED={})", seed());
    }
    assert_eq!(has_few_and_many, [true; 2]);
}

fn run(replication_factor: usize) {
    say_which_nodes();
    let corpus = prices(seed(), DOCUMENTS);
    let alone = Alone::start();
    let options = FleetOptions { replication_factor, meilisearch: real_meilisearch(), ..FleetOptions::new() };
    let fleet = Fleet::start(&options);
    load(&alone.node.client(), &corpus);
    load(&fleet.client(), &corpus);
    compare(&alone.node.client(), &fleet.client());
}

#[test]
fn facets_of_numbers_are_those_of_one_server_with_one_replica() {
    run(1);
}

#[test]
fn facets_of_numbers_are_those_of_one_server_with_two_replicas() {
    run(2);
}

#[test]
fn an_embedded_node_orders_facets_of_numbers_as_a_real_one() {
    say_which_nodes();
    let Some(meilisearch) = real_meilisearch() else { return };
    let (real, embedded) = (Alone::of(Some(meilisearch)), Alone::of(None));
    let corpus = prices(seed(), DOCUMENTS);
    load(&real.node.client(), &corpus);
    load(&embedded.node.client(), &corpus);
    compare(&real.node.client(), &embedded.node.client());
}
