//! An API key: as it is stored, as it is shown, and its value.

use std::fmt;
use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::{Action, IndexPattern};
use crate::logic::ids::Timestamp;
use crate::meili::dates::date_of;

/// One key. Stored as a line of `keys` in a dump of Meilisearch is written; its value is not stored, since it follows from
/// the uid and the master key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApiKey {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// Never changes.
    pub uid: Uuid,
    /// What it allows, as it was asked for.
    pub actions: Vec<Action>,
    /// Where; no pattern, no index.
    pub indexes: Vec<IndexPattern>,
    /// From then on it allows nothing.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// Keys are listed by this, the newest first.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When name or description last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl ApiKey {
    /// As clients see it.
    pub fn shown(&self, master_key: &str) -> Value {
        json!({
            "name": self.name,
            "description": self.description,
            "key": KeyValue::derive(self.uid, master_key).text(),
            "uid": self.uid.to_string(),
            "actions": self.actions,
            "indexes": self.indexes,
            "expiresAt": self.expires_at.map(written),
            "createdAt": written(self.created_at),
            "updatedAt": written(self.updated_at),
        })
    }

    /// The keys that a server makes when it has none, the one that is listed last first. A moment lies between them, so
    /// that their order is kept.
    pub fn defaults(uids: [Uuid; 4], now: Timestamp) -> [Self; 4] {
        let made = [
            (
                "Default Chat API Key",
                "Use it to chat and search from the frontend",
                vec![Action::ChatCompletions, Action::Search],
            ),
            (
                "Default Read-Only Admin API Key",
                "Use it to read information across the whole database. Caution! Do not expose this key on a public frontend",
                vec![Action::AllGet, Action::KeysGet],
            ),
            (
                "Default Admin API Key",
                "Use it for anything that is not a search operation. Caution! Do not expose it on a public frontend",
                vec![Action::All],
            ),
            ("Default Search API Key", "Use it to search from the frontend", vec![Action::Search]),
        ];
        let mut moments = (now.0..).zip(uids);
        made.map(|(name, description, actions)| {
            let (moment, uid) = moments.next().expect("as many uids as keys");
            let at = date_of(Timestamp(moment));
            Self {
                description: Some(description.to_owned()),
                name: Some(name.to_owned()),
                uid,
                actions,
                indexes: vec![IndexPattern::new("*")],
                expires_at: None,
                created_at: at,
                updated_at: at,
            }
        })
    }

    /// Whether its time is over.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= date_of(now))
    }
}

fn written(date: OffsetDateTime) -> String {
    date.format(&Rfc3339).unwrap_or_default()
}

/// What a client sends for a key. Compared in a time that does not depend on what is equal.
#[derive(Clone, Copy)]
pub struct KeyValue([u8; 32]);

impl KeyValue {
    /// HMAC-SHA256 of the uid's text under the master key, as Meilisearch makes it.
    pub fn derive(uid: Uuid, master_key: &str) -> Self {
        let mac = Hmac::<Sha256>::new_from_slice(master_key.as_bytes()).expect("HMAC takes keys of any length");
        Self(mac.chain_update(uid.hyphenated().to_string()).finalize().into_bytes().into())
    }

    /// Reads its text: hexadecimal, in small letters or capitals.
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
        }
        Some(Self(bytes))
    }

    /// Its text, for clients.
    pub fn text(&self) -> String {
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("strings take all");
            text
        })
    }

    /// Are they the same?
    pub fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: Uuid = uuid::uuid!("6062abda-a5aa-4414-ac91-ecd7944c0f8d");

    #[test]
    fn the_value_is_what_meilisearch_makes_of_uid_and_master_key() {
        let value = KeyValue::derive(UID, "masterKey");
        assert_eq!(value.text(), "0d030b69eea2dde1af6e6b714146c4dc942d4b2725c173e5d132c60aad9782f5");
        assert!(KeyValue::parse(&value.text().to_uppercase()).is_some_and(|read| read.is(&value)));
        assert!(!KeyValue::derive(UID, "masterkey").is(&value));
        assert_eq!(format!("{value:?}"), "(hidden)");
        for text in ["", "00", &"0".repeat(63), &"g".repeat(64), &"é".repeat(32)] {
            assert!(KeyValue::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_key_is_stored_as_a_line_of_a_dump() {
        let line = r#"{"description":"Use it to search from the frontend","name":"Default Search API Key","uid":"6062abda-a5aa-4414-ac91-ecd7944c0f8d","actions":["search"],"indexes":["*"],"expires_at":null,"created_at":"2026-11-23T12:00:00.123456789Z","updated_at":"2026-11-23T12:00:00.123456789Z"}"#;
        let key: ApiKey = serde_json::from_str(line).expect("a line of a dump");
        assert_eq!(serde_json::to_string(&key).unwrap(), line);
        let shown = key.shown("masterKey");
        assert_eq!(
            (&shown["createdAt"], &shown["expiresAt"]),
            (&json!("2026-11-23T12:00:00.123456789Z"), &Value::Null)
        );
    }

    #[test]
    fn a_key_expires_at_its_moment() {
        let [mut key, ..] = ApiKey::defaults([UID; 4], Timestamp(1_000));
        assert!(!key.has_expired(Timestamp(i64::MAX)));
        key.expires_at = Some(date_of(Timestamp(2_000)));
        assert_eq!([1_999, 2_000].map(|now| key.has_expired(Timestamp(now))), [false, true]);
    }

    #[test]
    fn default_keys_come_in_the_order_of_one_server() {
        let mut keys = ApiKey::defaults([UID; 4], Timestamp(0));
        keys.sort_by_key(|key| std::cmp::Reverse(key.created_at));
        let names = keys.map(|key| key.name.unwrap());
        assert_eq!(
            names,
            [
                "Default Search API Key",
                "Default Admin API Key",
                "Default Read-Only Admin API Key",
                "Default Chat API Key"
            ]
        );
    }
}
