//! The admin API against its description.

use std::collections::BTreeSet;

use miroir::control_plane::admin::ROUTES;
use serde_json::Value;

/// Keys of a path item that are methods; OpenAPI has more kinds of keys.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

#[test]
fn every_route_is_described_and_every_described_route_exists() {
    let text = include_str!("../../docs/admin-api.yaml");
    let description: Value = serde_saphyr::from_str(text).expect("it is YAML");
    let mut described = BTreeSet::new();
    for (path, item) in description["paths"].as_object().expect("paths") {
        for method in METHODS.iter().filter(|method| item.get(**method).is_some()) {
            described.insert((method.to_uppercase(), path.clone()));
        }
    }
    let served: BTreeSet<(String, String)> =
        ROUTES.iter().map(|route| (route.method.to_string(), route.path.to_owned())).collect();
    assert_eq!(described, served);
}

#[test]
fn the_description_refers_to_what_it_has() {
    let text = include_str!("../../docs/admin-api.yaml");
    let description: Value = serde_saphyr::from_str(text).expect("it is YAML");
    let mut waiting = vec![&description];
    let mut references = 0;
    while let Some(value) = waiting.pop() {
        if let Some(reference) = value["$ref"].as_str() {
            references += 1;
            let pointer = reference.strip_prefix('#').expect("in the same file");
            assert!(description.pointer(pointer).is_some(), "{reference}");
        }
        waiting.extend(value.as_object().into_iter().flatten().map(|(_, inner)| inner));
        waiting.extend(value.as_array().into_iter().flatten());
    }
    assert!(references > 20, "only {references} references");
}
