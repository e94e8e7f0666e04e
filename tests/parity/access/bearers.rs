//! Everybody who asks: keys for each action, on all indexes, on the right one and on another one, and tokens made of them.

use miroir::logic::ids::Timestamp;
use miroir::meili::dates::rfc3339;
use miroir::meili::keys::{Action, Scope};
use miroir::telemetry::clock;
use serde_json::{Value, json};

use super::tokens::Signer;
use crate::support::Client;
use crate::support::client::TASK_LIMIT;
use crate::support::wait_for;

/// Somebody who asks.
pub struct Bearer {
    /// How findings and recorded answers call it.
    pub name: String,
    /// What is sent behind `Bearer`; none: no header.
    pub value: Option<String>,
}

/// Makes keys on a server, always the same ones.
struct KeyMaker<'a> {
    client: &'a Client,
    made: u64,
}

impl KeyMaker<'_> {
    fn make(&mut self, actions: &[&str], indexes: &[&str], end: Option<&str>) -> Signer {
        self.made += 1;
        let uid = format!("00000000-0000-4000-8000-{:012}", self.made);
        let body = json!({"uid": uid, "actions": actions, "indexes": indexes, "expiresAt": end});
        let key = self.client.post("/keys", &body).expect(201).json;
        Signer { uid, value: key["key"].as_str().expect("a value").to_owned() }
    }
}

/// All of them; `client` has the master key, which is `master_key`.
pub fn bearers(client: &Client, master_key: &str) -> Vec<Bearer> {
    let mut maker = KeyMaker { client, made: 0 };
    let soon = Timestamp(clock::timestamp().0 + 1_000_000);
    let expired = maker.make(&["*"], &["*"], Some(&rfc3339(soon)));
    let mut all = vec![
        Bearer { name: "nobody".to_owned(), value: None },
        Bearer { name: "a wrong key".to_owned(), value: Some("wrong".to_owned()) },
        Bearer { name: "the master key".to_owned(), value: Some(master_key.to_owned()) },
        Bearer { name: "an expired key".to_owned(), value: Some(expired.value.clone()) },
    ];
    let mut add = |name: &str, value: String| all.push(Bearer { name: name.to_owned(), value: Some(value) });
    for action in Action::ALL {
        let places: &[&str] = if action.scope() == Scope::Server { &["*"] } else { &["*", "movies", "other"] };
        for index in places {
            add(&format!("{} on {index}", action.name()), maker.make(&[action.name()], &[index], None).value);
        }
    }
    for (actions, indexes) in [
        (&["search", "documents.*", "keys.get"][..], &["*"][..]),
        (&["search", "documents.*"], &["mov*", "other"]),
        (&["*.get", "search"], &["mov*"]),
        (&["settings.get", "documents.get"], &["movies"]),
        (&[], &["*"]),
        (&["*"], &[]),
    ] {
        let name = format!("{} on {}", actions.join(","), indexes.join(","));
        add(&name, maker.make(actions, indexes, None).value);
    }
    for (name, token) in tokens(&mut maker, &expired) {
        add(&name, token);
    }
    wait_for("a key to expire", TASK_LIMIT, || {
        let status = client.with_key(Some(&expired.value)).get("/version").status;
        if status == 403 { Ok(()) } else { Err(status.to_string()) }
    });
    all
}

fn tokens(maker: &mut KeyMaker<'_>, expired: &Signer) -> Vec<(String, String)> {
    let searching = maker.make(&["search"], &["*"], None);
    let elsewhere = maker.make(&["search"], &["other"], None);
    let reading = maker.make(&["documents.get"], &["*"], None);
    let everything = maker.make(&["*"], &["*"], None);
    let orphan = Signer { uid: "00000000-0000-4000-8000-999999999999".to_owned(), ..searching.clone() };
    let forged = Signer { value: "0".repeat(64), ..searching.clone() };
    let mut tokens: Vec<(String, String)> = [
        json!(["*"]),
        json!(["movies"]),
        json!(["mov*"]),
        json!(["other"]),
        json!({"*": {}}),
        json!({"movies": {"filter": "year > 2000"}}),
        json!({"movies": null}),
        json!({"other": {"filter": "year > 2000"}}),
        json!([]),
        json!("*"),
        Value::Null,
    ]
    .iter()
    .map(|rules| (format!("a token for {rules}"), searching.token(rules)))
    .collect();
    let mut add = |name: &str, token: String| tokens.push((name.to_owned(), token));
    let all = json!(["*"]);
    add("a token of a key for other", elsewhere.token(&all));
    add("a token of a key that may not search", reading.token(&all));
    add("a token of a key that may do everything", everything.token(&all));
    add("a token of an expired key", expired.token(&all));
    add("a token of no key", orphan.token(&all));
    add("a forged token", forged.token(&all));
    let claims = |more: Value| {
        let mut claims = json!({"searchRules": ["*"], "apiKeyUid": searching.uid});
        claims.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        claims
    };
    add("a token that has ended", searching.sign("HS256", &claims(json!({"exp": 1_000}))));
    add("a token that will end", searching.sign("HS256", &claims(json!({"exp": 9_999_999_999_u64}))));
    add("a token with exp as text", searching.sign("HS256", &claims(json!({"exp": "never"}))));
    add("a token for others", searching.sign("HS256", &claims(json!({"aud": "others"}))));
    add("a token with HS384", searching.sign("HS384", &claims(Value::Null)));
    add("a token with HS512", searching.sign("HS512", &claims(Value::Null)));
    add("a token with RS256", searching.sign("RS256", &claims(Value::Null)));
    add("a token without a signature", searching.sign("none", &claims(Value::Null)));
    add("three words between points", "a.b.c".to_owned());
    tokens
}
