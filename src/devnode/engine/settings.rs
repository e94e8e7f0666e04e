//! The settings of one index, with Meilisearch's defaults.

use serde_json::{Map, Value};

use crate::meili::error::{ApiError, Code};

/// Parsed settings. [`Settings::default`] is what a fresh index has.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Settings {}

impl Settings {
    /// The settings after `patch` (the body of `PATCH /settings`): a missing key keeps its value, `null` resets it;
    /// `typoTolerance`, `faceting`, `pagination` and `embedders` are patched key by key.
    ///
    /// # Errors
    /// `invalid_settings_...` for the first key with a wrong shape, `bad_request` for an unknown key.
    pub fn patched(&self, patch: &Map<String, Value>) -> Result<Self, ApiError> {
        let _ = patch;
        Err(ApiError::new(Code::MiroirNotSupported, "not there yet"))
    }

    /// Settings from an object, other keys at their defaults.
    ///
    /// # Errors
    /// As [`Settings::patched`].
    pub fn from_json(value: &Map<String, Value>) -> Result<Self, ApiError> {
        Self::default().patched(value)
    }

    /// The answer of `GET /settings`, keys in Meilisearch's order.
    pub fn to_json(&self) -> Map<String, Value> {
        Map::new()
    }
}
