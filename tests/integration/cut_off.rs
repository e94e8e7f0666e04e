//! Searches that nodes cut off (`searchCutoffMs`): what is not ranked to the end says so.

use serde_json::{Value, json};

use crate::support::{Fleet, FleetOptions, real_meilisearch};

/// Goal: an answer that a node had no time to rank is degraded, and none is that was ranked.
/// Method: no time at all, which only real nodes keep to.
#[test]
fn a_search_that_is_cut_off_is_degraded() {
    let Some(meilisearch) = real_meilisearch() else {
        eprintln!(
            "embedded nodes cut nothing off; MIROIR_TEST_MEILISEARCH=/path/to/meilisearch runs this on real ones"
        );
        return;
    };
    for replication_factor in [1, 3] {
        let options =
            FleetOptions { replication_factor, meilisearch: Some(meilisearch.clone()), ..FleetOptions::new() };
        let fleet = Fleet::start(&options);
        let client = fleet.client();
        let title = |id: usize| if id.is_multiple_of(2) { "red stone" } else { "stone and red" };
        let documents: Value = (0..300).map(|id| json!({"id": id, "title": title(id)})).collect();
        client.write_well("POST", "/indexes/things/documents", Some(&documents));
        let is_degraded = |query: &str| {
            let answer = client.post("/indexes/things/search", &json!({"q": query, "limit": 3})).expect(200).json;
            assert_eq!(answer["hits"].as_array().map(Vec::len), Some(3));
            answer.get("degraded") == Some(&json!(true))
        };
        assert!(!is_degraded("red stone"));
        client.write_well("PUT", "/indexes/things/settings/search-cutoff-ms", Some(&json!(0)));
        assert!(is_degraded("red stone"), "R = {replication_factor}");
        assert!(!is_degraded(""), "there is nothing to rank");
    }
}
