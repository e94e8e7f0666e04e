//! What matters for the digest and what does not, by table and by property, and its golden vectors.

use proptest::prelude::*;

use super::*;

fn hash(document: &str) -> ContentHash {
    content_hash(document).unwrap()
}

#[test]
fn golden_vectors_hold() {
    let golden = include_str!("golden.txt");
    let mut checked = 0;
    for lines in golden.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().chunks(3) {
        let [document, text, hash] = lines else { panic!("a vector has three lines: {lines:?}") };
        assert_eq!(&canonical(document).unwrap().0, text, "{document}");
        assert_eq!(format!("{:032x}", ContentHash::of(text).value()), *hash, "{document}");
        checked += 1;
    }
    assert!(checked >= 8, "only {checked} vectors");
}

#[test]
fn spellings_of_one_content_are_equal() {
    let table = [
        (r#"{"id":1,"a":2}"#, r#" { "a" : 2 , "id" : 1 } "#),
        (r#"{"a":{"x":1,"y":[{"p":1,"q":2}]}}"#, r#"{"a":{"y":[{"q":2,"p":1}],"x":1}}"#),
        (r#"{"a":1.0}"#, r#"{"a":1e0}"#),
        (r#"{"a":1.0}"#, r#"{"a":10.00E-1}"#),
        (r#"{"a":-0}"#, r#"{"a":-0.0}"#),
        (r#"{"a":18446744073709551616}"#, r#"{"a":1.8446744073709552e+19}"#),
        (r#"{"a":"é\n"}"#, r#"{"\u0061":"\u00e9\u000A"}"#),
        (r#"{"a":1}"#, r#"{"a":1,"_miroir":"x"}"#),
        (r#"{"a":1}"#, r#"{"a":1,"\u005fmiroir":"x"}"#),
        (r#"{"a":1}"#, r#"{"a":1,"_vectors":{}}"#),
        (r#"{"a":1}"#, r#"{"a":1,"_vectors":{"e":{"embeddings":[[1,2]],"regenerate":true}}}"#),
        (
            r#"{"_vectors":{"e":{"embeddings":[[0.5009,1]],"regenerate":false}}}"#,
            r#"{"_vectors":{"e":{"regenerate":false,"embeddings":[[0.5008999705314636,1.0]]}}}"#,
        ),
    ];
    for (one, other) in table {
        assert_eq!(hash(one), hash(other), "{one} {other}");
    }
}

#[test]
fn contents_that_a_node_keeps_apart_differ() {
    let table = [
        (r#"{"a":1}"#, r#"{"a":1.0}"#),
        (r#"{"a":0}"#, r#"{"a":-0}"#),
        (r#"{"a":0.0}"#, r#"{"a":-0.0}"#),
        (r#"{"a":1}"#, r#"{"a":"1"}"#),
        (r#"{"a":1}"#, r#"{"a":[1]}"#),
        (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#),
        (r#"{"a":null}"#, "{}"),
        (r#"{"a":{"_miroir":"x"}}"#, r#"{"a":{}}"#),
        (r#"{"a":18446744073709551615}"#, r#"{"a":18446744073709551614}"#),
        (r#"{"a":9007199254740993}"#, r#"{"a":9007199254740992}"#),
        (r#"{"a":0.1}"#, r#"{"a":0.10000000000000002}"#),
        (r#"{"a":{"_vectors":{}}}"#, r#"{"a":{}}"#),
        (r#"{"_vectors":{"other":[1,2]}}"#, "{}"),
        (r#"{"_vectors":{"e":{"embeddings":[],"regenerate":false}}}"#, "{}"),
        (
            r#"{"_vectors":{"e":{"embeddings":[[0.5]],"regenerate":false}}}"#,
            r#"{"_vectors":{"e":{"embeddings":[[0.25]],"regenerate":false}}}"#,
        ),
        (r#"{"a":"b","c":"d"}"#, r#"{"a":"b\",\"c\":\"d"}"#),
    ];
    for (one, other) in table {
        assert_ne!(hash(one), hash(other), "{one} {other}");
    }
}

#[test]
fn the_id_is_found_by_the_primary_key() {
    let digest = document_digest(r#"{"meta":{"id":7},"a":1}"#, "meta.id").unwrap();
    assert_eq!(digest, document_digest(r#"{"a":1,"meta":{"id":7}}"#, "meta.id").unwrap());
    assert_eq!(digest.id_hash, id_hash("7"));
    assert_eq!(document_digest("{}", "id"), Err(DigestError::NoId { primary_key: "id".to_owned() }));
    assert!(matches!(document_digest("[1]", "id"), Err(DigestError::Malformed(_))));
    assert!(matches!(document_digest(r#"{"a":1e400}"#, "a"), Err(DigestError::Malformed(_))));
}

/// A real node gave the second number for the first one.
#[test]
fn a_float_that_a_node_reads_inexactly_is_equal_on_source_and_copy() {
    let table: [(f64, f64); 3] = [
        (2.670_895_993_505_566_2e-269, 2.670_895_993_505_566_5e-269),
        (4.862_842_295_576_314_4e207, 4.862_842_295_576_315e207),
        (6.291_292_313_948_761e-307, 6.291_292_313_948_761_6e-307),
    ];
    for (source, copy) in table {
        assert_eq!(copied(source).to_bits(), copy.to_bits());
        assert_eq!(settled(source).to_bits(), settled(copy).to_bits());
    }
    // These never settle, but alternate.
    let (one, other): (f64, f64) = (1.051_085_762_737_51e131, 1.051_085_762_737_510_1e131);
    assert_eq!(settled(one).to_bits(), settled(other).to_bits());
}

#[test]
fn differences_name_what_is_missing_and_what_is_other() {
    let digest =
        |id: u64, version: u64| document_digest(&format!(r#"{{"id":{id},"version":{version}}}"#), "id").unwrap();
    let first: ShardDigest = [digest(1, 1), digest(2, 1), digest(3, 1)].into_iter().collect();
    let second: ShardDigest = [digest(4, 1), digest(3, 2), digest(1, 1)].into_iter().collect();
    assert_eq!(differences(&first, &first), []);
    assert_eq!((first.len(), ShardDigest::default().is_empty()), (3, true));
    let mut expected = [
        Difference { id_hash: id_hash("2"), first: Some(digest(2, 1).content), second: None },
        Difference { id_hash: id_hash("3"), first: Some(digest(3, 1).content), second: Some(digest(3, 2).content) },
        Difference { id_hash: id_hash("4"), first: None, second: Some(digest(4, 1).content) },
    ];
    expected.sort_by_key(|difference| difference.id_hash);
    assert_eq!(differences(&first, &second), expected);
    assert_eq!(differences(&first, &ShardDigest::default()).len(), 3);
    assert_eq!(differences(&ShardDigest::default(), &second).len(), 3);
}

/// Any JSON value of some depth.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e12..1e12f64).prop_map(Value::from),
        "[a-c\"\\\\é\n]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[a-d]{0,2}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The same value with its keys turned round, written with white space.
fn turned_round(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.iter().rev().map(|(key, value)| (key.clone(), turned_round(value))).collect())
        }
        Value::Array(elements) => elements.iter().map(turned_round).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

proptest! {
    #[test]
    fn neither_order_of_keys_nor_white_space_matters(value in values()) {
        let document = serde_json::json!({ "id": 1, "value": value });
        let spaced = serde_json::to_string_pretty(&turned_round(&document)).unwrap();
        prop_assert_eq!(hash(&document.to_string()), hash(&spaced));
    }

    #[test]
    fn what_a_copy_gives_back_is_equal(exact in -1e12..1e12f64) {
        let source = copied(exact);
        prop_assert_eq!(source.to_bits(), copied(source).to_bits(), "of usual size: stable once a node has it");
        prop_assert_eq!(settled(source).to_bits(), settled(exact).to_bits());
    }

    #[test]
    fn the_canonical_text_is_its_own(value in values()) {
        let text = canonical(&serde_json::json!({ "value": value }).to_string()).unwrap().0;
        prop_assert_eq!(&canonical(&text).unwrap().0, &text);
    }
}
