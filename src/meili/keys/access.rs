//! Who may do what: the check of each request, and what it leaves to its handler.
//!
//! A server without a master key lets everybody do everything, but for what is about keys. Otherwise whoever has the master
//! key may do everything, whoever has a key what it says, and whoever has a tenant token may search. What a request may see of several
//! indexes is sifted by its handler, which gets a [`Grant`].

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use subtle::ConstantTimeEq;

use super::ring::{HeldKey, KeyRing};
use super::tenant_token::{SearchRules, TenantToken, TokenError};
use super::{Action, IndexPattern};
use crate::logic::ids::Timestamp;
use crate::meili::error::{ApiError, Code};

/// What a request may do beyond its route.
#[derive(Clone, Debug)]
pub struct Grant(Option<Limits>);

#[derive(Clone, Debug)]
struct Limits {
    key: Arc<HeldKey>,
    /// Of a tenant token.
    rules: Option<Arc<SearchRules>>,
    may_create: bool,
    may_see_fleet: bool,
}

impl Grant {
    /// Everything: that of the master key.
    pub fn everything() -> Self {
        Self(None)
    }

    /// May it see or use this index?
    pub fn allows_index(&self, index: &str) -> bool {
        self.0.as_ref().is_none_or(|limits| limits.key.is_for(index) && limits.rules_allow(index))
    }

    /// May it see or use every index there is, and what belongs to none?
    pub fn allows_all_indexes(&self) -> bool {
        self.visible().is_none()
    }

    /// The indexes that it may see; none: all, and what belongs to no index.
    pub fn visible(&self) -> Option<Vec<IndexPattern>> {
        let limits = self.0.as_ref().filter(|limits| !limits.key.is_for_all_indexes())?;
        Some(limits.key.key.indexes.clone())
    }

    /// May it make this index by writing to it?
    pub fn may_create_index(&self, index: &str) -> bool {
        self.0.as_ref().is_none_or(|limits| limits.may_create) && self.allows_index(index)
    }

    /// May it know which nodes there are? Whoever may read the network.
    pub fn may_see_fleet(&self) -> bool {
        self.0.as_ref().is_none_or(|limits| limits.may_see_fleet)
    }

    /// Which documents of an index a search may find, if not all of them.
    pub fn filter_of(&self, index: &str) -> Option<&Value> {
        self.0.as_ref()?.rules.as_ref()?.filter_of(index)
    }

    /// What a handler answers where it does not allow an index.
    pub fn refusal() -> ApiError {
        invalid_key()
    }
}

impl Limits {
    fn rules_allow(&self, index: &str) -> bool {
        self.rules.as_ref().is_none_or(|rules| rules.patterns().any(|pattern| pattern.matches(index)))
    }

    /// The index in the path of a route. A tenant may know what its token is for, but not what the key of the token is for.
    fn check(&self, index: &str) -> Result<(), ApiError> {
        let refuse = |message| Err(ApiError::new(Code::InvalidApiKey, message));
        if let Some(rules) = self.rules.as_ref().filter(|_| !self.rules_allow(index)) {
            let allowed = listed(rules.patterns());
            return refuse(format!(
                "The provided tenant token cannot acces the index `{index}`, allowed indexes are {allowed}."
            ));
        }
        if self.key.is_for(index) {
            return Ok(());
        }
        if self.rules.is_some() {
            return refuse(format!("The API key used to generate this tenant token cannot acces the index `{index}`."));
        }
        let allowed = listed(self.key.key.indexes.iter());
        refuse(format!("The API key cannot acces the index `{index}`, authorized indexes are {allowed}."))
    }
}

fn listed<'a>(patterns: impl Iterator<Item = &'a IndexPattern>) -> String {
    let patterns: BTreeSet<&str> = patterns.map(IndexPattern::as_str).collect();
    format!("{:?}", patterns.into_iter().collect::<Vec<_>>())
}

fn invalid_key() -> ApiError {
    ApiError::new(Code::InvalidApiKey, "The provided API key is invalid.")
}

/// What a route asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Need<'a> {
    /// All of them.
    pub actions: &'a [Action],
    /// The one in the path, as it stands there.
    pub index: Option<&'a str>,
}

/// Checks requests by what is known now.
#[derive(Clone, Copy, Debug)]
pub struct AccessCheck<'a> {
    /// None: nobody is asked for a key.
    pub master_key: Option<&'a str>,
    /// The others.
    pub ring: &'a KeyRing,
    /// For what expires.
    pub now: Timestamp,
}

impl AccessCheck<'_> {
    /// What the bearer of this `Authorization` header may do.
    ///
    /// # Errors
    /// `missing_authorization_header`, `invalid_api_key`, `missing_master_key`.
    pub fn check(&self, header: Option<&[u8]>, need: Need<'_>) -> Result<Grant, ApiError> {
        let token = header.map(bearer_token).transpose()?;
        let granted = self.grant(token.unwrap_or_default(), need);
        granted.map_err(|refusal| match (self.master_key, token) {
            (None, _) => {
                let message = "Meilisearch is running without a master key. To access this API endpoint, you must have set a \
                               master key at launch.";
                ApiError::new(Code::MissingMasterKey, message)
            }
            (Some(_), None) => missing_header(),
            (Some(_), Some(_)) => refusal,
        })
    }

    fn grant(&self, token: &str, need: Need<'_>) -> Result<Grant, ApiError> {
        let Some(master_key) = self.master_key else {
            let is_open = !need.actions.iter().any(|action| action.is_about_keys());
            return if is_open { Ok(Grant::everything()) } else { Err(invalid_key()) };
        };
        if token.as_bytes().ct_eq(master_key.as_bytes()).into() {
            return Ok(Grant::everything());
        }
        let (key, rules) = self.bearer(token, master_key, need.actions)?;
        let may_create = key.allows(Action::IndexesCreate, None, self.now);
        let may_see_fleet = rules.is_none() && key.allows(Action::NetworkGet, None, self.now);
        let limits = Limits { key, rules, may_create, may_see_fleet };
        need.index.map_or(Ok(()), |index| limits.check(index))?;
        let allows = |action: &Action| limits.key.allows(*action, need.index, self.now);
        if need.actions.iter().all(allows) { Ok(Grant(Some(limits))) } else { Err(invalid_key()) }
    }

    /// The key that was sent, or that a token was made of; tokens count for searches only.
    fn bearer(
        &self,
        token: &str,
        master_key: &str,
        actions: &[Action],
    ) -> Result<(Arc<HeldKey>, Option<Arc<SearchRules>>), ApiError> {
        if actions.iter().all(|action| matches!(action, Action::Search | Action::ChatCompletions)) {
            match TenantToken::read(token, master_key, self.now) {
                Ok(TenantToken { key, rules }) => {
                    let key = self.ring.by_uid(key).ok_or_else(invalid_key)?;
                    return Ok((key.clone(), Some(Arc::new(rules))));
                }
                Err(TokenError::NoToken) => {}
                Err(error @ (TokenError::NotDecoded(_) | TokenError::Expired { .. })) => {
                    return Err(ApiError::new(Code::InvalidApiKey, error.to_string()));
                }
            }
        }
        let key = self.ring.by_value(token).ok_or_else(invalid_key)?;
        Ok((key.clone(), None))
    }
}

fn missing_header() -> ApiError {
    let message = "The Authorization header is missing. It must use the bearer authorization method.";
    ApiError::new(Code::MissingAuthorizationHeader, message)
}

/// What stands behind `Bearer` and one space.
fn bearer_token(header: &[u8]) -> Result<&str, ApiError> {
    let is_plain = |text: &&str| text.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    let header = std::str::from_utf8(header).ok().filter(is_plain).unwrap_or_default();
    match header.split_once(' ') {
        Some(("Bearer", token)) => Ok(token),
        None if header == "Bearer" => Err(invalid_key()),
        Some(_) | None => Err(missing_header()),
    }
}

#[cfg(test)]
mod tests;
