//! Who is let in, by tables.

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::meili::dates::date_of;
use crate::meili::keys::record::{ApiKey, KeyValue};

const MASTER_KEY: &str = "masterKey";
const UID: Uuid = uuid::uuid!("6062abda-a5aa-4414-ac91-ecd7944c0f8d");

/// Made of the key with [`UID`]: for `movies` with a filter, and for all of `shows`.
const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzZWFyY2hSdWxlcyI6eyJtb3ZpZXMiOnsiZmlsdGVyIjoieWVhciA-IDIwMDAifSwic2hvd3MiOm51bGx9LCJhcGlLZXlVaWQiOiI2MDYyYWJkYS1hNWFhLTQ0MTQtYWM5MS1lY2Q3OTQ0YzBmOGQifQ.SP_fdsgld1xfUifpQvqib1MXQfxVPcOLBsy5lmV8fCY";
/// For everything, until the first second of 1970 is over.
const OLD_TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzZWFyY2hSdWxlcyI6WyIqIl0sImFwaUtleVVpZCI6IjYwNjJhYmRhLWE1YWEtNDQxNC1hYzkxLWVjZDc5NDRjMGY4ZCIsImV4cCI6MX0.EASs0JryoV10lEOt9xO_210W-AXbHZUz7iwxT4IiNvQ";
/// Rightly signed, of a key that is not there.
const ORPHAN_TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzZWFyY2hSdWxlcyI6WyIqIl0sImFwaUtleVVpZCI6IjExMTExMTExLTExMTEtNDExMS04MTExLTExMTExMTExMTExMSJ9.RK4dABIGGdNmMrHVR7SlTm7M5o6idPWk8jZFIAObRu0";

const INVALID: &str = "The provided API key is invalid.";
const NOW: Timestamp = Timestamp(5_000_000);

fn key(actions: &[Action], indexes: &[&str]) -> ApiKey {
    let [key, ..] = ApiKey::defaults([UID; 4], Timestamp(0));
    let indexes = indexes.iter().map(|pattern| IndexPattern::new(*pattern)).collect();
    ApiKey { actions: actions.to_vec(), indexes, ..key }
}

fn check(key: ApiKey, token: &str, action: Action, index: Option<&str>) -> Result<Grant, String> {
    let ring = KeyRing::new([key], MASTER_KEY);
    let check = AccessCheck { master_key: Some(MASTER_KEY), ring: &ring, now: NOW };
    let header = format!("Bearer {token}");
    let checked = check.check(Some(header.as_bytes()), Need { actions: &[action], index });
    checked.map_err(|error| {
        assert_eq!(error.code, Code::InvalidApiKey);
        error.message
    })
}

fn with_key(key: ApiKey, action: Action, index: Option<&str>) -> Result<Grant, String> {
    let value = KeyValue::derive(UID, MASTER_KEY).text();
    check(key, &value, action, index)
}

#[test]
fn a_key_allows_its_actions_on_its_indexes() {
    use Action::{DocumentsAdd, DocumentsGet, IndexesGet, Search, Version};
    const MOVIES: Option<&str> = Some("movies");
    for (actions, indexes, action, index, expected) in [
        (&[Search][..], &["*"][..], Search, MOVIES, None),
        (&[Search], &["*"], Search, None, None),
        (&[Search], &["mov*"], Search, MOVIES, None),
        (&[Search], &["movies"], Search, None, None),
        (&[Search], &["movies"], DocumentsGet, MOVIES, Some(INVALID)),
        (&[DocumentsAdd], &["movies"], DocumentsAdd, MOVIES, None),
        (&[DocumentsAdd], &["movies"], DocumentsAdd, None, Some(INVALID)),
        (&[Action::All], &["movies"], IndexesGet, None, None),
        (&[Action::All], &["movies"], Version, None, Some(INVALID)),
        (&[Action::All], &["*"], Version, None, None),
        (&[Action::All], &["*"], Action::DocumentsAll, MOVIES, None),
        (&[Action::DocumentsAll], &["*"], Action::DocumentsAll, MOVIES, Some(INVALID)),
        (&[], &["*"], Search, MOVIES, Some(INVALID)),
        (&[Search], &[], Search, None, Some(INVALID)),
        (
            &[Search],
            &["shows", "b*", "b*"],
            Search,
            MOVIES,
            Some("The API key cannot acces the index `movies`, authorized indexes are [\"b*\", \"shows\"]."),
        ),
        // The index comes first.
        (
            &[Search],
            &["shows"],
            DocumentsGet,
            MOVIES,
            Some("The API key cannot acces the index `movies`, authorized indexes are [\"shows\"]."),
        ),
    ] {
        let granted = with_key(key(actions, indexes), action, index);
        assert_eq!(granted.err().as_deref(), expected, "{actions:?} {indexes:?} {action:?} {index:?}");
    }
}

#[test]
fn an_expired_key_allows_nothing() {
    for (end, is_over) in [(4_999_999, true), (5_000_000, true), (5_000_001, false)] {
        let key = ApiKey { expires_at: Some(date_of(Timestamp(end))), ..key(&[Action::All], &["*"]) };
        let granted = with_key(key, Action::Search, None);
        assert_eq!(granted.err().as_deref(), is_over.then_some(INVALID), "{end}");
    }
}

#[test]
fn the_master_key_allows_everything() {
    for action in Action::ALL {
        let grant = check(key(&[], &[]), MASTER_KEY, *action, Some("any")).expect("the master key");
        assert!(grant.allows_all_indexes() && grant.may_create_index("any") && grant.filter_of("any").is_none());
    }
}

#[test]
fn a_grant_says_what_a_key_may_see_and_make() {
    let grant = with_key(key(&[Action::Search], &["a*", "b"]), Action::Search, None).expect("its action");
    assert_eq!(["a", "ab", "b", "bc"].map(|index| grant.allows_index(index)), [true, true, true, false]);
    assert!(!grant.allows_all_indexes() && !grant.may_create_index("a"));
    assert_eq!(grant.visible(), Some(vec![IndexPattern::new("a*"), IndexPattern::new("b")]));
    let actions = [Action::Search, Action::IndexesCreate];
    let grant = with_key(key(&actions, &["a*"]), Action::Search, None).expect("its action");
    assert!(grant.may_create_index("ab") && !grant.may_create_index("b"));
    assert!(with_key(key(&actions, &["a", "*"]), Action::Search, None).expect("its action").allows_all_indexes());
}

#[test]
fn a_token_opens_searches_and_nothing_else() {
    let searching = || key(&[Action::All], &["*"]);
    for action in Action::ALL {
        let granted = check(searching(), TOKEN, *action, Some("movies"));
        let is_open = matches!(action, Action::Search | Action::ChatCompletions);
        assert_eq!(granted.err().as_deref(), (!is_open).then_some(INVALID), "{action:?}");
    }
    let grant = check(searching(), TOKEN, Action::Search, None).expect("indexes are looked at later");
    assert_eq!(["movies", "shows", "books"].map(|index| grant.allows_index(index)), [true, true, false]);
    assert_eq!((grant.filter_of("movies"), grant.filter_of("shows")), (Some(&json!("year > 2000")), None));
}

#[test]
fn a_token_allows_no_more_than_its_key() {
    let movies = Some("movies");
    for (key, token, index, expected) in [
        (key(&[Action::Search], &["movies"]), TOKEN, movies, None),
        (key(&[Action::DocumentsGet], &["movies"]), TOKEN, movies, Some(INVALID)),
        (
            key(&[Action::Search], &["*"]),
            TOKEN,
            Some("books"),
            Some(
                "The provided tenant token cannot acces the index `books`, allowed indexes are [\"movies\", \"shows\"].",
            ),
        ),
        (
            key(&[Action::Search], &["shows"]),
            TOKEN,
            movies,
            Some("The API key used to generate this tenant token cannot acces the index `movies`."),
        ),
        (
            key(&[Action::Search], &["*"]),
            OLD_TOKEN,
            movies,
            Some("Tenant token expired. Was valid up to `1` and we're now `5`."),
        ),
        (key(&[Action::Search], &["*"]), ORPHAN_TOKEN, movies, Some(INVALID)),
    ] {
        assert_eq!(check(key, token, Action::Search, index).err().as_deref(), expected, "{token}");
    }
    let expired = ApiKey { expires_at: Some(date_of(NOW)), ..key(&[Action::Search], &["*"]) };
    assert_eq!(check(expired, TOKEN, Action::Search, movies).expect_err("an expired key"), INVALID);
}

#[test]
fn the_header_is_read_as_one_server_reads_it() {
    let ring = KeyRing::default();
    let code = |master_key: Option<&str>, header: Option<&str>, action: Action| {
        let check = AccessCheck { master_key, ring: &ring, now: NOW };
        check.check(header.map(str::as_bytes), Need { actions: &[action], index: None }).err().map(|error| error.code)
    };
    let missing = Some(Code::MissingAuthorizationHeader);
    for (header, expected) in [
        (Some("Bearer masterKey"), None),
        (None, missing),
        (Some(""), missing),
        (Some("masterKey"), missing),
        (Some("Basic masterKey"), missing),
        (Some("bearer masterKey"), missing),
        (Some("BearermasterKey"), missing),
        (Some("Bearer é"), missing),
        (Some("Bearer"), Some(Code::InvalidApiKey)),
        (Some("Bearer "), Some(Code::InvalidApiKey)),
        (Some("Bearer masterKe"), Some(Code::InvalidApiKey)),
        (Some("Bearer masterKey2"), Some(Code::InvalidApiKey)),
        (Some("Bearer  masterKey"), Some(Code::InvalidApiKey)),
    ] {
        assert_eq!(code(Some(MASTER_KEY), header, Action::Version), expected, "{header:?}");
    }
    for header in [None, Some("Bearer "), Some("Bearer x")] {
        assert_eq!(code(None, header, Action::Version), None, "{header:?}");
        assert_eq!(code(None, header, Action::KeysGet), Some(Code::MissingMasterKey), "{header:?}");
    }
    // What is no bearer's header is refused even there.
    assert_eq!(code(None, Some("Basic x"), Action::Version), missing);
}

#[test]
fn who_may_read_the_network_may_know_the_nodes_and_tenants_never() {
    let may_see = |key: ApiKey| with_key(key, Action::Search, Some("movies")).expect("it may search").may_see_fleet();
    assert!(Grant::everything().may_see_fleet());
    assert!(may_see(key(&[Action::All], &["*"])) && may_see(key(&[Action::Search, Action::NetworkGet], &["*"])));
    assert!(!may_see(key(&[Action::Search], &["*"])) && !may_see(key(&[Action::All], &["movies"])));
    let tenant = check(key(&[Action::All], &["*"]), TOKEN, Action::Search, Some("movies"));
    assert!(!tenant.expect("it may search").may_see_fleet());
}
