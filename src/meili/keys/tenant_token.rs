//! Tenant tokens: JSON Web Tokens that whoever has a key makes of it, to let others search a part of what it may search.

use std::collections::{BTreeMap, BTreeSet};

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::record::KeyValue;
use super::{IndexPattern, signatures};
use crate::logic::ids::Timestamp;

/// Which indexes a token is for, and which documents of them.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(untagged)]
pub enum SearchRules {
    /// All documents of these.
    Set(BTreeSet<IndexPattern>),
    /// Of each those that its rule lets pass; all without one.
    Map(BTreeMap<IndexPattern, Option<IndexRule>>),
}

/// The rule for an index.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct IndexRule {
    /// Joined with that of each request.
    filter: Option<Value>,
}

impl SearchRules {
    /// As they are written.
    pub fn patterns(&self) -> impl Iterator<Item = &IndexPattern> {
        let (set, map) = match self {
            Self::Set(set) => (Some(set), None),
            Self::Map(map) => (None, Some(map)),
        };
        set.into_iter().flatten().chain(map.into_iter().flat_map(BTreeMap::keys))
    }

    /// The filter for an index that is among them: of several rules the one that names it most closely counts.
    pub fn filter_of(&self, index: &str) -> Option<&Value> {
        match self {
            Self::Set(_) => None,
            Self::Map(map) => {
                let fitting = map.iter().filter(|(pattern, _)| pattern.matches(index));
                let closest = fitting.max_by_key(|(pattern, _)| (pattern.is_exact(), pattern.as_str().len()));
                closest.and_then(|(_, rule)| rule.as_ref()?.filter.as_ref())
            }
        }
    }
}

/// What a token says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    search_rules: SearchRules,
    /// Seconds since the Unix epoch.
    exp: Option<i64>,
    api_key_uid: Uuid,
}

/// A token that was signed with the key that it names.
#[derive(Clone, PartialEq, Debug)]
pub struct TenantToken {
    /// The key.
    pub key: Uuid,
    /// What it allows.
    pub rules: SearchRules,
}

/// Why a token does not count.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    /// It has not the form of one: perhaps it is a key.
    #[error("no token")]
    NoToken,
    /// It has the form, but cannot be read, or its signature is wrong.
    #[error("Could not decode tenant token, {0}.")]
    NotDecoded(Error),
    /// Its time is over.
    #[error("Tenant token expired. Was valid up to `{end}` and we're now `{now}`.")]
    Expired {
        /// Its last second.
        end: i64,
        /// In seconds.
        now: i64,
    },
}

impl From<Error> for TokenError {
    fn from(error: Error) -> Self {
        if *error.kind() == ErrorKind::InvalidToken { Self::NoToken } else { Self::NotDecoded(error) }
    }
}

impl TenantToken {
    /// Reads a token and checks its signature and its time; not whether there is such a key.
    ///
    /// # Errors
    /// See there.
    pub fn read(text: &str, master_key: &str, now: Timestamp) -> Result<Self, TokenError> {
        signatures::install();
        let named = jsonwebtoken::dangerous::insecure_decode::<Claims>(text)?.claims.api_key_uid;
        let secret = KeyValue::derive(named, master_key).text();
        let mut rules = Validation::new(Algorithm::HS256);
        rules.algorithms = vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        // Checked below: the end is a whole second, without leeway, and may be left out.
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        let key = DecodingKey::from_secret(secret.as_bytes());
        let Claims { search_rules, exp, api_key_uid } = jsonwebtoken::decode(text, &key, &rules)?.claims;
        let now = now.0.div_euclid(1_000_000);
        match exp {
            Some(end) if now > end => Err(TokenError::Expired { end, now }),
            Some(_) | None => Ok(Self { key: api_key_uid, rules: search_rules }),
        }
    }
}

#[cfg(test)]
mod tests;
