//! All keys, ready to be checked on a core: immutable, part of the routing snapshot.

use std::cmp::Reverse;
use std::sync::Arc;

use uuid::Uuid;

use super::record::KeyValue;
use super::{Action, ActionSet, ApiKey, IndexPattern, Scope};
use crate::logic::ids::Timestamp;

/// A key with what follows from it.
#[derive(Debug)]
pub struct HeldKey {
    /// As stored.
    pub key: ApiKey,
    value: KeyValue,
    actions: ActionSet,
}

impl HeldKey {
    /// Does it allow this now? Without an index: for a route that has none in its path.
    pub fn allows(&self, action: Action, index: Option<&str>, now: Timestamp) -> bool {
        if !self.actions.has(action) || self.key.has_expired(now) {
            return false;
        }
        match index {
            _ if self.is_for_all_indexes() => true,
            Some(index) => self.is_for(index),
            None => action.scope() == Scope::Sifted && !self.key.indexes.is_empty(),
        }
    }

    /// Is it for this index?
    pub fn is_for(&self, index: &str) -> bool {
        self.key.indexes.iter().any(|pattern| pattern.matches(index))
    }

    /// Is it for whatever there is?
    pub fn is_for_all_indexes(&self) -> bool {
        self.key.indexes.iter().any(IndexPattern::is_all)
    }
}

/// See the module. Empty on a server without a master key.
#[derive(Debug, Default)]
pub struct KeyRing(Vec<Arc<HeldKey>>);

impl KeyRing {
    /// Of all keys that are stored.
    pub fn new(keys: impl IntoIterator<Item = ApiKey>, master_key: &str) -> Self {
        let held = keys.into_iter().map(|key| {
            let (value, actions) = (KeyValue::derive(key.uid, master_key), ActionSet::of(&key.actions));
            Arc::new(HeldKey { key, value, actions })
        });
        let mut keys: Vec<Arc<HeldKey>> = held.collect();
        keys.sort_by_key(|held| (Reverse(held.key.created_at), held.key.uid));
        Self(keys)
    }

    /// The newest first.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &ApiKey> {
        self.0.iter().map(|held| &held.key)
    }

    /// By its uid.
    pub fn by_uid(&self, uid: Uuid) -> Option<&Arc<HeldKey>> {
        self.0.iter().find(|held| held.key.uid == uid)
    }

    /// By its value. Every key is looked at, as long as it takes.
    pub fn by_value(&self, text: &str) -> Option<&Arc<HeldKey>> {
        let value = KeyValue::parse(text)?;
        self.0.iter().fold(None, |found, held| if held.value.is(&value) { Some(held) } else { found })
    }

    /// As clients name it in a path: by its uid or its value.
    pub fn named(&self, name: &str) -> Option<&Arc<HeldKey>> {
        match Uuid::parse_str(name) {
            Ok(uid) => self.by_uid(uid),
            Err(_) => self.by_value(name),
        }
    }
}
