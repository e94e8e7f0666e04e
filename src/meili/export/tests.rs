//! What bodies are taken and refused, and what tasks show of them.

use super::*;

fn parsed(body: &Value) -> Result<Export, ApiError> {
    Export::parse(body.to_string().as_bytes())
}

#[test]
fn a_wrong_body_is_answered_as_one_server_answers() {
    let key = |key: &str| {
        format!(
            "Invalid value at `.indexes`: the key \"{key}\" could not be deserialized into the key type \
             `meilisearch_types::index_uid_pattern::IndexUidPattern`"
        )
    };
    let size = "invalid_export_payload_size";
    for (body, code, message) in [
        (json!([]), "bad_request", "Invalid value type: expected an object, but found an array: `[]`".to_owned()),
        (json!({"url": null}), "invalid_export_url", "Invalid value type at `.url`: expected a string, but found null".to_owned()),
        (
            json!({"apiKey": 3, "url": 1}),
            "invalid_export_api_key",
            "Invalid value type at `.apiKey`: expected a string, but found a positive integer: `3`".to_owned(),
        ),
        (json!({"payloadSize": "abc"}), size, "Invalid value at `.payloadSize`: the character 'a' is not a number".to_owned()),
        (json!({"payloadSize": "1 é"}), size, "Invalid value at `.payloadSize`: the character 'é' is not a number".to_owned()),
        (json!({"payloadSize": ""}), size, "Invalid value at `.payloadSize`: no value can be found".to_owned()),
        (
            json!({"payloadSize": "99999999999999999999999"}),
            size,
            "Invalid value at `.payloadSize`: the value 99999999999999999999999 exceeds the valid range".to_owned(),
        ),
        (
            json!({"payloadSize": -1}),
            size,
            "Invalid value type at `.payloadSize`: expected a positive integer or a string, but found a negative integer: `-1`"
                .to_owned(),
        ),
        (
            json!({"payloadSize": 1.5}),
            size,
            "Invalid value type at `.payloadSize`: expected a positive integer or a string, but found a number: `1.5`".to_owned(),
        ),
        (
            json!({"payload_size": 1}),
            "bad_request",
            "Unknown field `payload_size`: did you mean `payloadSize`? expected one of `url`, `apiKey`, `payloadSize`, `indexes`"
                .to_owned(),
        ),
        (
            json!({"indexes": []}),
            "bad_request",
            "Invalid value type at `.indexes`: expected an object, but found an array: `[]`".to_owned(),
        ),
        (json!({"indexes": {"a b": {}}}), "bad_request", key("a b")),
        (json!({"indexes": {"a*b": {}}}), "bad_request", key("a*b")),
        (json!({"indexes": {"": {}}}), "bad_request", key("")),
        (
            json!({"indexes": {"a": null}}),
            "bad_request",
            "Invalid value type at `.indexes.a`: expected an object, but found null".to_owned(),
        ),
        (
            json!({"indexes": {"a": {"filtr": 3}}}),
            "bad_request",
            "Unknown field `filtr` inside `.indexes.a`: did you mean `filter`? expected one of `filter`, `overrideSettings`"
                .to_owned(),
        ),
        (
            json!({"indexes": {"a": {"overrideSettings": null}}}),
            "invalid_export_index_override_settings",
            "Invalid value type at `.indexes.a.overrideSettings`: expected a boolean, but found null".to_owned(),
        ),
    ] {
        let error = parsed(&body).expect_err("it is wrong");
        assert_eq!((error.code.name(), error.message), (code, message), "{body}");
    }
}

#[test]
fn sizes_are_numbers_or_texts() {
    for (size, bytes, shown) in [
        (json!(0), 0, "0 B"),
        (json!("1KiB"), 1_024, "1 KiB"),
        // Bits.
        (json!("8 Kib"), 1_024, "1 KiB"),
        (json!(123_456_789), 123_456_789, "117.73756885528564 MiB"),
    ] {
        let export = parsed(&json!({"payloadSize": size})).expect("a size");
        assert_eq!(export.payload_size, Some(bytes), "{size}");
        assert_eq!(export.details(None::<std::iter::Empty<_>>)["payloadSize"], shown);
    }
    let error = parsed(&json!({"payloadSize": "1 XB"})).expect_err("no unit");
    let expected = "('B', 'K', 'M', 'G', 'T', 'P', 'E' or no character or no character is expected)";
    let message = format!("Invalid value at `.payloadSize`: the character 'X' is incorrect {expected}");
    assert_eq!(error.message, message);
}

#[test]
fn details_show_patterns_first_and_indexes_in_the_end() {
    let body = json!({"url": "http://a", "apiKey": "0123456789012345678901", "payloadSize": null, "indexes": {
        "n*": {"overrideSettings": true}, "m": {"filter": ["a = 1"]}, "b": {"filter": null},
    }});
    let export = parsed(&body).expect("all of it is right");
    let shown = json!({"url": "http://a", "apiKey": "012XXXXX...", "indexes": {
        "b": {"filter": null, "overrideSettings": false},
        "m": {"filter": ["a = 1"], "overrideSettings": false},
        "n*": {"filter": null, "overrideSettings": true},
    }});
    assert_eq!(export.details(None::<std::iter::Empty<_>>), shown);
    let sent = [("m", 3), ("nn", 0)].into_iter();
    let shown = json!({"url": "http://a", "apiKey": "012XXXXX...", "indexes": {
        "m": {"filter": ["a = 1"], "overrideSettings": false, "matched_documents": 3},
        "nn": {"filter": null, "overrideSettings": true, "matched_documents": 0},
    }});
    assert_eq!(export.details(Some(sent)), shown);
    assert!(!format!("{export:?}").contains("0123"), "{export:?}");
}

#[test]
fn without_indexes_all_are_sent_and_the_first_pattern_counts() {
    let all = parsed(&json!({})).expect("all of it is missing");
    assert_eq!((all.url.as_str(), all.of_index("any")), ("", Some(&IndexExport::default())));
    let some = parsed(&json!({"indexes": {"ab": {"overrideSettings": true}, "a*": {}}})).expect("two patterns");
    let overrides = |uid| some.of_index(uid).map(|export| export.overrides_settings);
    // In the order of the alphabet, and a star comes before letters.
    assert_eq!((overrides("ab"), overrides("ac"), overrides("b")), (Some(false), Some(false), None));
    assert_eq!(parsed(&json!({"indexes": {}})).expect("none").of_index("a"), None);
    for (filter, says) in [(json!(""), false), (json!([]), false), (json!("a = 1"), true), (json!(["a = 1"]), true)] {
        let export = IndexExport { filter: Some(filter.clone()), overrides_settings: false };
        assert_eq!(export.filter("a", Features::default()).expect("a filter").is_some(), says, "{filter}");
    }
    for (filter, code, message) in [
        (
            json!(3),
            "invalid_document_filter",
            "Invalid syntax for the filter parameter: `expected String, Array, found: 3`.",
        ),
        (json!("a = "), "invalid_document_filter", "Was expecting a value but instead got nothing.\n5:5 a = "),
        (json!("_miroir = 1"), "miroir_reserved_field", ""),
        (json!("a CONTAINS b"), "feature_not_enabled", "Using `CONTAINS` in a filter requires"),
    ] {
        let export = IndexExport { filter: Some(filter), overrides_settings: false };
        let error = export.filter("a", Features::default()).expect_err("no filter");
        assert_eq!(error.code.name(), code);
        let message = if message.is_empty() { message.to_owned() } else { format!("Index `a`: {message}") };
        assert!(error.message.starts_with(&message), "{}", error.message);
    }
}
