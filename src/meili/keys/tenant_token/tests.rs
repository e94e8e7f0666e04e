//! Tokens that were made by another program, and what becomes of them.

use serde_json::json;

use super::*;

const UID: Uuid = uuid::uuid!("6062abda-a5aa-4414-ac91-ecd7944c0f8d");

const SET_256: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzZWFyY2hSdWxlcyI6WyIqIl0sImFwaUtleVVpZCI6IjYwNjJhYmRhLWE1YWEtNDQxNC1hYzkxLWVjZDc5NDRjMGY4ZCIsImV4cCI6MjAwMH0.5_7SVgtNxoxteVEzJxCD0zmNaJgEa_kyVBn3teoe1Pk";
const MAP_384: &str = "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJzZWFyY2hSdWxlcyI6eyJhIjp7ImZpbHRlciI6InggPSAxIn0sImEqIjp7ImZpbHRlciI6WyJ5ID0gMiIsWyJ6ID0gMyJdXX0sIioiOm51bGx9LCJhcGlLZXlVaWQiOiI2MDYyYWJkYS1hNWFhLTQ0MTQtYWM5MS1lY2Q3OTQ0YzBmOGQifQ.v9Jit7f0VziCI9m-7uYhe8gbEba1A4PJyzIcbUrTsZXxVj7rPjeRIi0c3LAFgo__";
const MAP_512: &str = "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJzZWFyY2hSdWxlcyI6eyJiIjp7fSwiYyI6eyJmaWx0ZXIiOm51bGx9fSwiYXBpS2V5VWlkIjoiNjA2MmFiZGEtYTVhYS00NDE0LWFjOTEtZWNkNzk0NGMwZjhkIn0.d8W-EGP6LYsFUB5ijqZQ3OSob7CjVc3JqZN5BChtVB7XhhbC_hIQSRvvlPWaL_tcgACUbc6uaf3etcoBIVCFFQ";
const OTHER_KEY: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzZWFyY2hSdWxlcyI6WyIqIl0sImFwaUtleVVpZCI6IjYwNjJhYmRhLWE1YWEtNDQxNC1hYzkxLWVjZDc5NDRjMGY4ZCJ9.tS8jZr6OIiNF8mViERd__Tuv4E-kFhIH0a77ez4xkbU";
const BAD_RULES: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzZWFyY2hSdWxlcyI6IioiLCJhcGlLZXlVaWQiOiI2MDYyYWJkYS1hNWFhLTQ0MTQtYWM5MS1lY2Q3OTQ0YzBmOGQifQ.MzdttF21YJgUHjQmOyN_GqWVRn5_INjWY0B1BeUUTPo";
const NO_ALGORITHM: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzZWFyY2hSdWxlcyI6WyIqIl0sImFwaUtleVVpZCI6IjYwNjJhYmRhLWE1YWEtNDQxNC1hYzkxLWVjZDc5NDRjMGY4ZCJ9.2L-gm8YJORf5E2K9LjfnDKNcpEEvyjQsnGL6kuVTYwQ";
const RSA: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzZWFyY2hSdWxlcyI6WyIqIl0sImFwaUtleVVpZCI6IjYwNjJhYmRhLWE1YWEtNDQxNC1hYzkxLWVjZDc5NDRjMGY4ZCJ9.-gAh49IagYQM_UrVSSeWaQexy9hXpu_eHn0fzAwfUsc";
const AUDIENCE: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzZWFyY2hSdWxlcyI6WyIqIl0sImFwaUtleVVpZCI6IjYwNjJhYmRhLWE1YWEtNDQxNC1hYzkxLWVjZDc5NDRjMGY4ZCIsImF1ZCI6Im90aGVycyJ9.TGzNS2jJJsiO53zI4NgCs9K3k3RRjZjvyRa0VHbXpbI";
const NO_KEY: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzZWFyY2hSdWxlcyI6WyIqIl0sImFwaUtleVVpZCI6IjYwNjJhYmRhIn0.3fWTsysbVMjVmqWxeHbaPvU0beCaVieVK8irjuC4CRg";

fn read(text: &str, second: i64) -> Result<SearchRules, String> {
    let read = TenantToken::read(text, "masterKey", Timestamp(second * 1_000_000 + 999_999));
    read.map(|token| {
        assert_eq!(token.key, UID);
        token.rules
    })
    .map_err(|error| error.to_string())
}

#[test]
fn a_token_that_the_key_has_signed_is_read() {
    for (token, patterns) in [(SET_256, &["*"][..]), (MAP_384, &["*", "a", "a*"]), (MAP_512, &["b", "c"])] {
        let rules = read(token, 2_000).expect(token);
        assert_eq!(rules.patterns().map(IndexPattern::as_str).collect::<Vec<_>>(), patterns);
    }
}

#[test]
fn the_rule_that_names_an_index_most_closely_counts() {
    let rules = read(MAP_384, 0).expect("a token");
    for (index, expected) in [("a", Some(json!("x = 1"))), ("ab", Some(json!(["y = 2", ["z = 3"]]))), ("b", None)] {
        assert_eq!(rules.filter_of(index), expected.as_ref(), "{index}");
    }
    let rules = read(MAP_512, 0).expect("a token");
    assert_eq!((rules.filter_of("b"), rules.filter_of("c"), rules.filter_of("d")), (None, None, None));
}

#[test]
fn a_token_ends_after_its_last_second() {
    let message = "Tenant token expired. Was valid up to `2000` and we're now `2001`.";
    assert_eq!(read(SET_256, 2_001).expect_err("its time is over"), message);
}

#[test]
fn what_is_wrong_with_a_token_is_said_as_one_server_says_it() {
    for (token, message) in [
        ("", "no token"),
        ("0d030b69eea2dde1af6e6b714146c4dc942d4b2725c173e5d132c60aad9782f5", "no token"),
        ("a.b", "no token"),
        (OTHER_KEY, "Could not decode tenant token, InvalidSignature."),
        (RSA, "Could not decode tenant token, InvalidAlgorithm."),
        (AUDIENCE, "Could not decode tenant token, InvalidAudience."),
        (
            BAD_RULES,
            "Could not decode tenant token, JSON error: data did not match any variant of untagged enum SearchRules at \
             line 1 column 18.",
        ),
        (
            NO_ALGORITHM,
            "Could not decode tenant token, JSON error: unknown variant `none`, expected one of `HS256`, `HS384`, `HS512`, \
             `ES256`, `ES384`, `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `EdDSA` at line 1 column 13.",
        ),
        ("a.b.c", "Could not decode tenant token, Base64 error: Invalid input length: 1."),
    ] {
        assert_eq!(read(token, 0).expect_err(token), message);
    }
    assert!(read(NO_KEY, 0).expect_err("no uid").contains("UUID parsing failed"));
}

#[test]
fn a_token_is_worth_nothing_under_another_master_key() {
    let error = TenantToken::read(SET_256, "masterkey", Timestamp(0)).expect_err("another secret");
    assert_eq!(error.to_string(), "Could not decode tenant token, InvalidSignature.");
}
