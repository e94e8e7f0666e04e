//! Checking, merging, showing and deriving settings.

use super::*;

fn object(value: Value) -> Object {
    let Value::Object(object) = value else { panic!("no object: {value}") };
    object
}

fn patched(user: Value, patch: &str) -> Object {
    merge(&object(user), &parse_patch(patch.as_bytes()).expect("a valid patch"))
}

#[test]
fn bad_values_are_refused_in_meilisearchs_words() {
    for (patch, code, message) in [
        ("[]", Code::BadRequest, "Invalid value type: expected an object, but found an array: `[]`"),
        (
            r#"{"displayedAttributes":[1]}"#,
            Code::InvalidSettingsDisplayedAttributes,
            "Invalid value type at `.displayedAttributes[0]`: expected a string, but found a positive integer: `1`",
        ),
        (
            r#"{"filterableAttributes":[{"features":{}}]}"#,
            Code::InvalidSettingsFilterableAttributes,
            "Missing field `attributePatterns` inside `.filterableAttributes[0]`",
        ),
        (
            r#"{"filterableAttributes":[{"attributePatterns":["a"],"features":{"filter":5}}]}"#,
            Code::InvalidSettingsFilterableAttributes,
            "Invalid value type at `.filterableAttributes[0].features.filter`: expected an object, but found a positive integer: `5`",
        ),
        (
            r#"{"rankingRules":["foo"]}"#,
            Code::InvalidSettingsRankingRules,
            "Invalid value at `.rankingRules[0]`: `foo` ranking rule is invalid. Valid ranking rules are words, typo, sort, proximity, attribute, exactness and custom ranking rules.",
        ),
        (
            r#"{"rankingRules":["_geoPoint(1,2):asc"]}"#,
            Code::InvalidSettingsRankingRules,
            "Invalid value at `.rankingRules[0]`: `_geoPoint` is a reserved keyword and thus can't be used as a ranking rule. `_geoPoint` can only be used for sorting at search time",
        ),
        (
            r#"{"typoTolerance":{"minWordSizeForTypos":{"oneTypo":300}}}"#,
            Code::InvalidSettingsTypoTolerance,
            "Invalid value at `.typoTolerance.minWordSizeForTypos.oneTypo`: value: `300` is too large to be deserialized, maximum value authorized is `255`",
        ),
        (
            r#"{"pagination":{"maxTotalHits":0}}"#,
            Code::InvalidSettingsPagination,
            "Invalid value at `.pagination.maxTotalHits`: a non-zero integer value lower than `18446744073709551615` was expected, but found a zero",
        ),
        (
            r#"{"prefixSearch":"foo"}"#,
            Code::InvalidSettingsPrefixSearch,
            "Unknown value `foo` at `.prefixSearch`: expected one of `indexingTime`, `disabled`",
        ),
        (
            r#"{"localizedAttributes":[{"locales":["jpn"]}]}"#,
            Code::InvalidSettingsLocalizedAttributes,
            "Missing field `attributePatterns` inside `.localizedAttributes[0]`",
        ),
        (
            r#"{"synonyms":{"a":"b"}}"#,
            Code::InvalidSettingsSynonyms,
            "Invalid value type at `.synonyms.a`: expected an array, but found a string: `\"b\"`",
        ),
        (
            r#"{"stopWords":[null]}"#,
            Code::InvalidSettingsStopWords,
            "Invalid value type at `.stopWords[0]`: expected a string, but found null",
        ),
    ] {
        let error = parse_patch(patch.as_bytes()).expect_err(patch);
        assert_eq!((error.code, error.message.as_str()), (code, message), "{patch}");
    }
    let error = parse_single(by_route("typo-tolerance").expect("known"), br#"{"x":1}"#).expect_err("unknown field");
    assert!(error.message.starts_with("Unknown field `x`: expected one of `enabled`"), "{}", error.message);
}

#[test]
fn the_marker_cannot_be_named_in_any_setting() {
    for patch in [
        r#"{"displayedAttributes":["_miroir"]}"#,
        r#"{"searchableAttributes":["\u005fmiroir"]}"#,
        r#"{"filterableAttributes":["_miroir"]}"#,
        r#"{"filterableAttributes":[{"attributePatterns":["a","_miroir"]}]}"#,
        r#"{"sortableAttributes":["_miroir"]}"#,
        r#"{"rankingRules":["_miroir:asc"]}"#,
        r#"{"distinctAttribute":"_miroir"}"#,
        r#"{"typoTolerance":{"disableOnAttributes":["_miroir"]}}"#,
        r#"{"faceting":{"sortFacetValuesBy":{"_miroir":"count"}}}"#,
        r#"{"localizedAttributes":[{"attributePatterns":["_miroir"],"locales":["jpn"]}]}"#,
        "{\"dictionary\":[\"a\u{2E00}\"]}",
        "{\"nonSeparatorTokens\":[\"\u{2E18}\"]}",
    ] {
        assert_eq!(parse_patch(patch.as_bytes()).expect_err(patch).code, Code::MiroirReservedField, "{patch}");
    }
}

#[test]
fn what_is_not_there_yet_is_refused() {
    for (patch, code) in [
        (r#"{"embedders":{"a":{"source":"rest"}}}"#, Code::InvalidSettingsEmbedders),
        (r#"{"embedders":{"a":{"source":"userProvided"}}}"#, Code::InvalidSettingsEmbedders),
        (r#"{"embedders":{"a":{"source":"userProvided","dimensions":0}}}"#, Code::InvalidSettingsEmbedders),
        (r#"{"embedders":{"a":{"source":"userProvided","dimensions":1,"model":"x"}}}"#, Code::InvalidSettingsEmbedders),
        (r#"{"embedders":{"a":{"documentTemplate":"{{ doc }}"}}}"#, Code::MiroirNotSupported),
        (r#"{"embedders":{"a":{"documentTemplate":"{{ doc._miroir }}"}}}"#, Code::MiroirReservedField),
        (r#"{"embedders":{"a":{"distribution":{"mean":2,"sigma":0.1}}}}"#, Code::InvalidSettingsEmbedders),
        (r#"{"embedders":{"a":{"colour":"x"}}}"#, Code::InvalidSettingsEmbedders),
    ] {
        assert_eq!(parse_patch(patch.as_bytes()).expect_err(patch).code, code, "{patch}");
    }
    for patch in [
        r#"{"chat":{"description":"d"}}"#,
        r#"{"foreignKeys":[{"foreignIndexUid":"a","fieldName":"b"}]}"#,
        r#"{"embedders":{"a":{"source":"composite","searchEmbedder":{"source":"openAi"},"indexingEmbedder":{"source":"openAi"}}}}"#,
        r#"{"embedders":{"a":{"searchFragments":{"x":{"value":"{{media.x}}"}}}}}"#,
    ] {
        let patch = parse_patch(patch.as_bytes()).expect(patch);
        let error = check_features(&patch, Features::default()).expect_err("it is off");
        assert_eq!(error.code, Code::FeatureNotEnabled, "{patch:?}");
    }
    let resets = r#"{"distinctAttribute":null,"embedders":{"a":null},"chat":null,"foreignKeys":null}"#;
    assert!(parse_patch(resets.as_bytes()).is_ok());
}

#[test]
fn what_is_wrong_with_parts_of_composite_embedders_is_said_as_one_server_says_it() {
    let available = "\n  - note: available fields for source `openAi` for the search embedder: `source`, `model`, `apiKey`, \
                     `dimensions`, `url`";
    for (part, message) in [
        (
            r#"{"source":"openAi","x":1}"#,
            "Unknown field `x` inside `.embedders.e.searchEmbedder`: expected one of `source`, `model`, `revision`, \
             `pooling`, `apiKey`, `dimensions`, `documentTemplate`, `documentTemplateMaxBytes`, `url`, `indexingFragments`, \
             `searchFragments`, `request`, `response`, `headers`, `distribution`, `binaryQuantized`, `searchEmbedder`, \
             `indexingEmbedder`"
                .to_owned(),
        ),
        (
            r#"{"source":"openAi","model":5}"#,
            "Invalid value type at `.embedders.e.searchEmbedder.model`: expected a string, but found a positive integer: `5`"
                .to_owned(),
        ),
        ("5", "Invalid value type at `.embedders.e.searchEmbedder`: expected an object, but found a positive integer: `5`".to_owned()),
        (
            r#"{"source":"rest"}"#,
            "`.embedders.e`: Missing field `url` (note: this field is mandatory for source `rest`)".to_owned(),
        ),
        (
            r#"{"source":"openAi","documentTemplate":"x"}"#,
            format!(
                "`.embedders.e.searchEmbedder`: Field `documentTemplate` unavailable for source `openAi` for the search \
                 embedder.{available}\n  - note: `documentTemplate` is available when source `openAi` is not for the search \
                 embedder"
            ),
        ),
        (
            r#"{"source":"openAi","searchEmbedder":{"source":"openAi"}}"#,
            format!(
                "`.embedders.e.searchEmbedder`: Field `searchEmbedder` unavailable for source `openAi` for the search \
                 embedder.\n  - note: `searchEmbedder` is available for sources: `composite`{available}"
            ),
        ),
    ] {
        let composite = format!(r#"{{"source":"composite","searchEmbedder":{part},"indexingEmbedder":{{"source":"openAi"}}}}"#);
        let patch = format!(r#"{{"embedders":{{"e":{composite}}}}}"#);
        let error = parse_patch(patch.as_bytes()).expect_err(part);
        assert_eq!((error.code, error.message), (Code::InvalidSettingsEmbedders, message));
    }
}

#[test]
fn search_parameters_of_chats_are_checked_and_kept_one_by_one() {
    for (parameters, message) in [
        (
            r#"{"limitt":1}"#,
            "Unknown field `limitt` inside `.chat.searchParameters`: did you mean `limit`? expected one of `hybrid`, `limit`, \
             `sort`, `distinct`, `matchingStrategy`, `attributesToSearchOn`, `rankingScoreThreshold`",
        ),
        (r#"{"hybrid":{"semanticRatio":0.3}}"#, "Missing field `embedder` inside `.chat.searchParameters.hybrid`"),
        (
            r#"{"rankingScoreThreshold":3}"#,
            "Invalid value at `.chat.searchParameters.rankingScoreThreshold`: the value of `rankingScoreThreshold` is \
             invalid, expected a float between `0.0` and `1.0`.",
        ),
        (
            r#"{"sort":["a",5]}"#,
            "Invalid value type at `.chat.searchParameters.sort[1]`: expected a string, but found a positive integer: `5`",
        ),
    ] {
        let patch = format!(r#"{{"chat":{{"searchParameters":{parameters}}}}}"#);
        let error = parse_patch(patch.as_bytes()).expect_err(parameters);
        assert_eq!((error.code, error.message.as_str()), (Code::InvalidSettingsIndexChat, message));
    }
    let user = patched(json!({}), r#"{"chat":{"searchParameters":{"limit":5,"hybrid":{"embedder":"e"}}}}"#);
    let user = patched(Value::Object(user), r#"{"chat":{"searchParameters":{"limit":null,"distinct":"a"}}}"#);
    let expected = json!({"hybrid": {"semanticRatio": 0.5, "embedder": "e"}, "distinct": "a"});
    assert_eq!(chat(&user)["searchParameters"], expected);
}

#[test]
fn a_patch_changes_only_what_it_names() {
    let user = json!({"typoTolerance": {"enabled": false, "minWordSizeForTypos": {"oneTypo": 4}}, "stopWords": ["a"]});
    let merged = patched(
        user,
        r#"{"typoTolerance":{"minWordSizeForTypos":{"twoTypos":8},"enabled":null},"synonyms":{"b":["c"],"a":[]}}"#,
    );
    let expected = json!({
        "typoTolerance": {"minWordSizeForTypos": {"oneTypo": 4, "twoTypos": 8}},
        "stopWords": ["a"],
        "synonyms": {"a": [], "b": ["c"]},
    });
    assert_eq!(Value::Object(merged), expected);
    let user = json!({"faceting": {"sortFacetValuesBy": {"a": "count"}}, "displayedAttributes": ["a"]});
    let merged = patched(user, r#"{"faceting":{"sortFacetValuesBy":{"b":"count"}},"displayedAttributes":["*","x"]}"#);
    assert_eq!(Value::Object(merged), json!({"faceting": {"sortFacetValuesBy": {"b": "count"}}}));
    assert!(patched(json!({"pagination": {"maxTotalHits": 5}}), r#"{"pagination":{"maxTotalHits":null}}"#).is_empty());
}

#[test]
fn values_are_kept_as_the_engine_keeps_them() {
    let patch = r#"{"displayedAttributes":["b","a","b"],"typoTolerance":{"disableOnWords":["B","a"]}}"#;
    let merged = patched(json!({}), patch);
    assert_eq!(merged["displayedAttributes"], json!(["b", "a"]));
    assert_eq!(merged["typoTolerance"]["disableOnWords"], json!(["a", "b"]));
    let details = task_details(&parse_patch(patch.as_bytes()).expect("a valid patch"));
    assert_eq!(details["typoTolerance"]["disableOnWords"], json!(["B", "a"]));
}

#[test]
fn defaults_show_where_nothing_is_set() {
    let shown = Value::Object(display(&object(json!({"faceting": {"sortFacetValuesBy": {"b": "count"}}}))));
    assert_eq!(shown["faceting"], json!({"maxValuesPerFacet": 100, "sortFacetValuesBy": {"*": "alpha", "b": "count"}}));
    assert_eq!(shown["displayedAttributes"], json!(["*"]));
    assert_eq!(shown["localizedAttributes"], Value::Null);
    assert_eq!(shown.as_object().map(Map::len), Some(20));
    assert_eq!(shown.get("chat"), None);
}

#[test]
fn nodes_get_every_key_with_the_marker_first() {
    let user = object(json!({
        "filterableAttributes": ["*"], "displayedAttributes": ["a"], "typoTolerance": {"enabled": false},
        "pagination": {"maxTotalHits": 7}, "foreignKeys": [{"foreignIndexUid": "a", "fieldName": "b"}],
    }));
    let key = ForeignKey { index_uid: "a".to_owned(), field: "b".to_owned() };
    assert_eq!(foreign_keys(&user), [key]);
    let node = Value::Object(node_settings(&user));
    assert_eq!(node.as_object().map(Map::len), Some(SETTINGS.len()));
    assert_eq!(node["filterableAttributes"][0]["attributePatterns"], json!(["_miroir"]));
    assert_eq!(node["filterableAttributes"][1], json!("*"));
    assert_eq!(node["displayedAttributes"], json!(["*"]));
    assert_eq!((&node["stopWords"], &node["foreignKeys"]), (&Value::Null, &Value::Null));
    let typo = json!({
        "enabled": false, "minWordSizeForTypos": {"oneTypo": null, "twoTypos": null}, "disableOnWords": null,
        "disableOnAttributes": null, "disableOnNumbers": null,
    });
    assert_eq!(node["typoTolerance"], typo);
    assert_eq!(node["pagination"], json!({"maxTotalHits": NODE_TOTAL_HITS}));
    assert_eq!(node["faceting"], json!({"maxValuesPerFacet": FACET_NUMBERS_AS_TEXTS, "sortFacetValuesBy": null}));
    let by_count = node_settings(&object(json!({"faceting": {"sortFacetValuesBy": {"a": "count"}}})));
    let orders = json!({"*": "alpha", "a": "count"});
    assert_eq!(by_count["faceting"], json!({"maxValuesPerFacet": FACET_VALUES_BY_COUNT, "sortFacetValuesBy": orders}));
}

#[test]
fn node_settings_do_not_depend_on_how_the_user_got_there() {
    let first =
        patched(json!({}), r#"{"typoTolerance":{"enabled":false,"disableOnNumbers":true},"stopWords":["b","a"]}"#);
    let again = patched(
        Value::Object(patched(json!({}), r#"{"stopWords":["x"],"typoTolerance":{"disableOnNumbers":true}}"#)),
        r#"{"stopWords":["a","b","a"],"typoTolerance":{"enabled":false}}"#,
    );
    let text = |user| serde_json::to_string(&node_settings(user)).expect("JSON");
    assert_eq!(text(&first), text(&again));
}

#[test]
fn embedders_are_patched_by_field_and_forgotten_on_nodes() {
    let given = json!({"source": "userProvided", "dimensions": 3});
    let both = patched(
        json!({}),
        r#"{"embedders":{"b":{"source":"userProvided","dimensions":2},"a":{"source":"userProvided","dimensions":3}}}"#,
    );
    assert_eq!(display(&both)["embedders"]["a"], given);
    let changed = patched(
        Value::Object(both),
        r#"{"embedders":{"a":{"distribution":{"mean":0.5,"sigma":0.1},"binaryQuantized":null},"b":null,"never":null}}"#,
    );
    check_merged(&changed).expect("it is whole");
    let node = &node_settings(&changed)["embedders"];
    let distribution = json!({"mean": 0.5, "sigma": 0.1});
    let expected = json!({
        "a": {"source": "userProvided", "dimensions": 3, "distribution": distribution}, "b": null,
    });
    assert_eq!(*node, expected);
    assert_eq!(
        display(&changed)["embedders"],
        json!({"a": {"source": "userProvided", "dimensions": 3, "distribution": distribution}})
    );
    assert_eq!(node_display(&changed)["embedders"], display(&changed)["embedders"]);
    let none = patched(Value::Object(changed.clone()), r#"{"embedders":{"a":null}}"#);
    assert_eq!(node_settings(&none)["embedders"], Value::Null, "all are forgotten");
    assert_eq!(display(&none)["embedders"], json!({}));
    let incomplete = patched(Value::Object(changed), r#"{"embedders":{"a":{"dimensions":null}}}"#);
    assert_eq!(check_merged(&incomplete).expect_err("bad").code, Code::InvalidSettingsEmbedders);
    let unknown = patched(json!({}), r#"{"embedders":{"c":{"dimensions":3}}}"#);
    assert_eq!(unknown["embedders"]["c"]["source"], "openAi");
}

#[test]
fn a_dump_has_whole_keys_and_the_defaults_of_now() {
    let user = json!({
        "embedders": {
            "asked": {"source": "rest", "url": "http://a/", "apiKey": "a-secret-of-some-length", "request": "{{text}}", "response": "{{embedding}}"},
            "local": {"source": "huggingFace"},
        },
        "foreignKeys": [],
    });
    let dumped = dumped(user.as_object().unwrap());
    assert_eq!(dumped["embedders"]["asked"]["apiKey"], "a-secret-of-some-length");
    // Without it a server takes the embedder for one of a version that made other vectors.
    assert_eq!(dumped["embedders"]["local"]["pooling"], "useModel");
    assert_eq!((&dumped["rankingRules"][0], dumped.contains_key("foreignKeys")), (&json!("words"), true));
    assert!(!dumped.contains_key("chat"), "it was not set");
}

#[test]
fn keys_are_kept_for_the_nodes_and_shown_shortened() {
    let key = "sk-0123456789012345678901234567890";
    let patch = format!(r#"{{"embedders":{{"o":{{"source":"openAi","apiKey":"{key}"}}}}}}"#);
    let details = Value::Object(task_details(&parse_patch(patch.as_bytes()).expect("a valid patch")));
    assert_eq!(details["embedders"]["o"], json!({"source": "openAi", "apiKey": "sk-01XXXXXX..."}));
    let user = patched(json!({}), &patch);
    let shown = &display(&user)["embedders"]["o"];
    assert_eq!((&shown["apiKey"], &shown["model"]), (&json!("sk-01XXXXXX..."), &json!("text-embedding-3-small")));
    assert!(!shown["documentTemplate"].to_string().contains("_miroir"));
    let node = &node_settings(&user)["embedders"]["o"];
    assert_eq!((&node["apiKey"], &node["model"]), (&json!(key), &Value::Null));
    assert!(node["documentTemplate"].as_str().is_some_and(|template| template.contains("_miroir")));
    assert!(node.get("request").is_none() && node.get("binaryQuantized").is_none());
    let mut found = node_display(&user);
    assert_eq!(differences(&user, &found), [""; 0]);
    found["embedders"]["o"]["url"] = json!("shown by a newer node");
    assert_eq!(differences(&user, &found), [""; 0]);
    found["embedders"]["o"]["documentTemplate"] = json!("{{doc.a}}");
    assert_eq!(differences(&user, &found), ["embedders"]);
    for (key, short) in [("", "XXX..."), ("abcdefghijkl", "abXXXX..."), ("éééééééééééé", "ééXXXXX...")] {
        let patch = json!({"embedders": {"o": {"apiKey": key}}}).to_string();
        assert_eq!(display(&patched(json!({}), &patch))["embedders"]["o"]["apiKey"], short, "{key}");
    }
}

#[test]
fn another_source_forgets_what_it_does_not_take() {
    let rest = r#"{"embedders":{"r":{"source":"rest","url":"http://a","request":"{{text}}","response":"{{embedding}}",
        "apiKey":"k","documentTemplate":"{{doc.a}}","dimensions":3,"headers":{"x":"y"}}}}"#;
    let rest = patched(json!({}), rest);
    check_merged(&rest).expect("it is whole");
    let open_ai = patched(Value::Object(rest.clone()), r#"{"embedders":{"r":{"source":"openAi"}}}"#);
    let expected = json!({"source": "openAi", "apiKey": "k", "documentTemplate": "{{doc.a}}"});
    assert_eq!(open_ai["embedders"]["r"], expected);
    let same = patched(Value::Object(rest.clone()), r#"{"embedders":{"r":{"dimensions":null,"url":"http://b"}}}"#);
    assert_eq!((&same["embedders"]["r"]["url"], same["embedders"]["r"].get("dimensions")), (&json!("http://b"), None));
    let fragments = r#"{"embedders":{"r":{"documentTemplate":null,"indexingFragments":{"a":{"value":"{{doc.a}}"},"b":{"value":1}},
        "searchFragments":{"s":{"value":"{{media.s}}"}}}}}"#;
    let fragments = patched(Value::Object(rest), fragments);
    let fewer = patched(Value::Object(fragments), r#"{"embedders":{"r":{"indexingFragments":{"b":null}}}}"#);
    let shown = &display(&fewer)["embedders"]["r"];
    assert_eq!(shown["indexingFragments"], json!({"a": {"value": "{{doc.a}}"}}));
    assert_eq!(shown.get("documentTemplate"), None);
    assert_eq!(node_settings(&fewer)["embedders"]["r"]["documentTemplate"], Value::Null);
}

#[test]
fn word_sizes_are_checked_in_the_whole() {
    let error = check_merged(&patched(json!({}), r#"{"typoTolerance":{"minWordSizeForTypos":{"oneTypo":10}}}"#));
    assert_eq!(error.map_err(|error| error.code), Err(Code::InvalidSettingsTypoTolerance));
    let direct =
        parse_patch(br#"{"typoTolerance":{"minWordSizeForTypos":{"oneTypo":10,"twoTypos":3}}}"#).expect_err("bad");
    assert!(
        direct.message.starts_with("Invalid value at `.typoTolerance.minWordSizeForTypos`: `minWordSize"),
        "{}",
        direct.message
    );
}

#[test]
fn details_show_the_patch_in_the_order_of_the_table() {
    let details = task_details(&reset_patch(None));
    assert_eq!(details.keys().next().map(String::as_str), Some("displayedAttributes"));
    assert_eq!(details["displayedAttributes"], json!(["*"]));
    assert_eq!(details["stopWords"], Value::Null);
    assert_eq!(details.len(), SETTINGS.len());
    assert_eq!(task_details(&reset_patch(by_route("stop-words"))).len(), 1);
}

#[test]
fn a_last_rule_tells_all_hits_apart_unless_one_does_already() {
    let rules = |user: Value| with_tie_rule(&object(user), "id").get("rankingRules").cloned();
    let default = rules(json!({})).expect("it is set");
    assert_eq!(default[0], "words");
    assert_eq!(default.as_array().and_then(|rules| rules.last()), Some(&json!("id:asc")));
    assert_eq!(rules(json!({"rankingRules": ["words", "id:desc"]})), Some(json!(["words", "id:desc"])));
    assert_eq!(rules(json!({"rankingRules": []})), Some(json!(["id:asc"])));
    let user = object(json!({"stopWords": ["a"]}));
    let found = node_display(&with_tie_rule(&user, "id"));
    assert_eq!(differences(&with_tie_rule(&user, "id"), &found), [""; 0]);
    assert_eq!(differences(&user, &found), ["rankingRules"]);
}

#[test]
fn nodes_are_never_told_of_foreign_keys() {
    // None of them is what Miroir takes, and what a node without the feature refuses.
    let user = Object::from_iter([("foreignKeys".to_owned(), json!([]))]);
    assert_eq!(node_settings(&user)["foreignKeys"], Value::Null);
}
