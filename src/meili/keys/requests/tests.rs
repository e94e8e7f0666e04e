//! Bodies as clients send them, and what is said about bad ones.

use serde_json::json;

use super::*;

/// 2026-11-23T12:00:00Z.
const NOW: Timestamp = Timestamp(1_795_435_200_000_000);
const UID: &str = "6062abda-a5aa-4414-ac91-ecd7944c0f8d";

fn create(change: &[(&str, Value)]) -> Result<CreateKey, ApiError> {
    let mut body = json!({"actions": ["search"], "indexes": ["*"], "expiresAt": null});
    for (name, value) in change {
        body[*name] = value.clone();
    }
    CreateKey::parse(body.to_string().as_bytes(), NOW)
}

#[test]
fn a_whole_request_becomes_a_key() {
    let request = create(&[
        ("name", json!("a name")),
        ("uid", json!(UID)),
        ("actions", json!(["documents.*", "search"])),
        ("indexes", json!(["movies", "b*"])),
        ("expiresAt", json!("2050-01-02T03:04:05+01:00")),
    ])
    .expect("all is well");
    let uid = request.uid.expect("as given");
    let key = request.into_key(uid, NOW);
    assert_eq!(
        serde_json::to_value(key).unwrap(),
        json!({
            "name": "a name", "uid": UID, "actions": ["documents.*", "search"], "indexes": ["movies", "b*"],
            "expires_at": "2050-01-02T03:04:05+01:00",
            "created_at": "2026-11-23T12:00:00Z", "updated_at": "2026-11-23T12:00:00Z",
        })
    );
    assert_eq!(create(&[("description", Value::Null)]).expect("a null").uid, None);
}

#[test]
fn the_end_of_a_key_may_be_written_in_four_forms() {
    for (text, expected) in [
        ("2050-01-02T03:04:05Z", Some("2050-01-02T03:04:05Z")),
        ("2050-01-02T03:04:05", Some("2050-01-02T03:04:05Z")),
        ("2050-01-02 03:04:05", Some("2050-01-02T03:04:05Z")),
        ("2050-01-02", Some("2050-01-02T00:00:00Z")),
        ("2026-11-23T12:00:01Z", Some("2026-11-23T12:00:01Z")),
        ("2026-11-23T12:00:00Z", None),
        ("2020-01-01", None),
        ("2050", None),
        ("", None),
    ] {
        let end = create(&[("expiresAt", json!(text))]).ok().and_then(|request| request.expires_at);
        assert_eq!(end.map(|end| end.format(&Rfc3339).unwrap()).as_deref(), expected, "{text}");
    }
}

#[test]
fn bad_requests_are_refused_in_meilisearchs_words() {
    for (name, value, code, message) in [
        (
            "description",
            json!(5),
            Code::InvalidApiKeyDescription,
            "Invalid value type at `.description`: expected a string, but found a positive integer: `5`",
        ),
        (
            "name",
            json!([]),
            Code::InvalidApiKeyName,
            "Invalid value type at `.name`: expected a string, but found an array: `[]`",
        ),
        ("uid", json!("aaaaabbbbbccc"), Code::InvalidApiKeyUid, "Invalid value at `.uid`: invalid length: found 13"),
        ("uid", Value::Null, Code::InvalidApiKeyUid, "Invalid value type at `.uid`: expected a string, but found null"),
        (
            "actions",
            json!("search"),
            Code::InvalidApiKeyActions,
            "Invalid value type at `.actions`: expected an array, but found a string: `\"search\"`",
        ),
        (
            "actions",
            json!([5]),
            Code::InvalidApiKeyActions,
            "Invalid value type at `.actions[0]`: expected a string, but found a positive integer: `5`",
        ),
        (
            "indexes",
            json!({"a": 1}),
            Code::InvalidApiKeyIndexes,
            "Invalid value type at `.indexes`: expected an array, but found an object: `{\"a\":1}`",
        ),
        (
            "indexes",
            json!(["a", "invalid index # / \\name with spaces"]),
            Code::InvalidApiKeyIndexes,
            "Invalid value at `.indexes[1]`: `invalid index # / \\name with spaces` is not a valid index uid pattern. Index uid patterns can be an integer or a string containing only alphanumeric characters, hyphens (-), underscores (_), and optionally end with a star (*).",
        ),
        (
            "expiresAt",
            json!("2010-11-13T00:00:00Z"),
            Code::InvalidApiKeyExpiresAt,
            "Invalid value at `.expiresAt`: `2010-11-13T00:00:00Z` is not a valid date. It should follow the RFC 3339 format to represents a date or datetime in the future or specified as a null value. e.g. 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS'.\n",
        ),
        (
            "expiresAt",
            json!(5),
            Code::InvalidApiKeyExpiresAt,
            "Invalid value type at `.expiresAt`: expected a string, but found a positive integer: `5`",
        ),
        (
            "key",
            json!("x"),
            Code::BadRequest,
            "Unknown field `key`: expected one of `description`, `name`, `uid`, `actions`, `indexes`, `expiresAt`",
        ),
    ] {
        let error = create(&[(name, value)]).expect_err(name);
        assert_eq!((error.code, error.message.as_str()), (code, message));
    }
}

#[test]
fn unknown_actions_and_missing_fields_are_named() {
    let error = create(&[("actions", json!(["doc.add"]))]).expect_err("no action");
    assert_eq!(error.code, Code::InvalidApiKeyActions);
    let begin =
        "Unknown value `doc.add` at `.actions[0]`: expected one of `*`, `search`, `documents.*`, `documents.add`,";
    assert!(error.message.starts_with(begin), "{}", error.message);
    for (body, code) in [
        (json!({"indexes": [], "expiresAt": null}), Code::MissingApiKeyActions),
        (json!({"actions": [], "expiresAt": null}), Code::MissingApiKeyIndexes),
        (json!({"actions": [], "indexes": []}), Code::MissingApiKeyExpiresAt),
        (json!([]), Code::BadRequest),
    ] {
        assert_eq!(CreateKey::parse(body.to_string().as_bytes(), NOW).expect_err("incomplete").code, code);
    }
}

#[test]
fn what_concerns_the_whole_server_is_not_for_keys_of_some_indexes() {
    let scoped = |action: &str, indexes: Value| create(&[("actions", json!([action])), ("indexes", indexes)]);
    let error = scoped("dumps.create", json!(["a"])).expect_err("it concerns everything");
    assert_eq!(error.code, Code::IndexScopedApiKeyWithGlobalAction);
    assert_eq!(
        error.message,
        "cannot create index-scoped API key with global action `\"dumps.create\"`\n  - Hint: remove action `\"dumps.create\"` from the action list, or remove `indexes` to make the key global"
    );
    for (action, indexes) in [
        ("dumps.create", json!(["a", "*"])),
        ("dumps.create", json!([])),
        ("*", json!(["a"])),
        ("stats.*", json!(["a"])),
    ] {
        assert!(scoped(action, indexes).is_ok(), "{action}");
    }
}

#[test]
fn a_patch_changes_name_and_description_only() {
    let [mut key, ..] = ApiKey::defaults([Uuid::nil(); 4], Timestamp(0));
    PatchKey::parse(br#"{"name":null}"#).expect("a patch").apply(&mut key, NOW);
    assert_eq!((key.name.as_deref(), key.description.is_some()), (None, true));
    assert_eq!((key.created_at, key.updated_at), (date_of(Timestamp(0)), date_of(NOW)));
    PatchKey::parse(br#"{"description":"d","name":"n"}"#).expect("a patch").apply(&mut key, NOW);
    assert_eq!((key.name.as_deref(), key.description.as_deref()), (Some("n"), Some("d")));
    for (field, code) in [
        ("uid", Code::ImmutableApiKeyUid),
        ("actions", Code::ImmutableApiKeyActions),
        ("indexes", Code::ImmutableApiKeyIndexes),
        ("expiresAt", Code::ImmutableApiKeyExpiresAt),
        ("createdAt", Code::ImmutableApiKeyCreatedAt),
        ("updatedAt", Code::ImmutableApiKeyUpdatedAt),
    ] {
        let error = PatchKey::parse(json!({field: 1}).to_string().as_bytes()).expect_err(field);
        let message = format!("Immutable field `{field}`: expected one of `description`, `name`");
        assert_eq!((error.code, error.message), (code, message));
    }
    let error = PatchKey::parse(br#"{"key":1}"#).expect_err("unknown");
    assert_eq!(error.message, "Unknown field `key`: expected one of `description`, `name`");
    assert_eq!(PatchKey::parse(br#"{"name":5}"#).expect_err("a number").code, Code::InvalidApiKeyName);
}

#[test]
fn keys_are_listed_in_pages() {
    assert_eq!(KeyPaging::parse(""), Ok(KeyPaging { offset: 0, limit: 20 }));
    assert_eq!(KeyPaging::parse("limit=2&offset=1"), Ok(KeyPaging { offset: 1, limit: 2 }));
    for (query, code) in
        [("limit=-1", Code::InvalidApiKeyLimit), ("offset=x", Code::InvalidApiKeyOffset), ("page=1", Code::BadRequest)]
    {
        assert_eq!(KeyPaging::parse(query).expect_err(query).code, code);
    }
}
