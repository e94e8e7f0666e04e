//! The one table of settings: key, route, method, error code, shape and default of each. It drives parsing, the single
//! routes, what is shown and what the nodes get.

use serde_json::{Value, json};

use super::Object;
use super::embedders::{self, EMBEDDERS};
use super::shape::{FACETING, LOCALIZED_RULE, PAGINATION, Place, SEARCH_PARAMETERS, Shape, TYPO_TOLERANCE};
use crate::meili::error::{ApiError, Code};

/// The method that changes a setting by its own route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// The value is replaced.
    Put,
    /// Its fields are changed one by one.
    Patch,
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// In JSON.
    pub key: &'static str,
    /// In paths.
    pub route: &'static str,
    /// See [`Verb`].
    pub verb: Verb,
    /// `GET /settings` shows it.
    pub is_listed: bool,
    code: Code,
    shape: Shape,
    default: fn() -> Value,
}

impl Setting {
    /// A value of it in the form in which it is kept; `null` resets.
    ///
    /// # Errors
    /// `invalid_settings_...`, `miroir_reserved_field`.
    pub fn check(&self, value: Value, location: &str) -> Result<Value, ApiError> {
        if value.is_null() {
            return Ok(value);
        }
        let place = Place { code: self.code, location };
        let value = self.shape.check(value, place)?;
        if self.key == "embedders" {
            embedders::check(&value, place)?;
        }
        if self.key == "rankingRules" {
            check_no_mix(&value)?;
        }
        Ok(value)
    }

    /// What it is under these user's settings, defaults filled in.
    pub fn display(&self, user: &Object) -> Value {
        let default = (self.default)();
        match (user.get(self.key), default) {
            (None, default) => default,
            (Some(set), _) if self.key == "embedders" => embedders::display(set),
            (Some(Value::Object(set)), Value::Object(default)) => with_defaults(set, default),
            (Some(set), _) => set.clone(),
        }
    }
}

/// Fields that were set over fields that were not.
fn with_defaults(set: &Object, mut default: Object) -> Value {
    for (key, value) in set {
        let shown = match (value, default.get(key)) {
            (Value::Object(set), Some(Value::Object(default))) => with_defaults(set, default.clone()),
            (value, _) => value.clone(),
        };
        default.insert(key.clone(), shown);
    }
    Value::Object(default)
}

fn check_no_mix(rules: &Value) -> Result<(), ApiError> {
    let has = |name: &str| rules.as_array().is_some_and(|rules| rules.iter().any(|rule| rule == name));
    if has("attribute") && (has("attributeRank") || has("wordPosition")) {
        let message = "Mixed usage of the attribute, attributeRank, and wordPosition ranking rules. You must either use the \
                       attribute ranking rule alone or the attributeRank and wordPosition ranking rules.";
        return Err(ApiError::new(Code::InvalidSettingsRankingRules, message));
    }
    Ok(())
}

macro_rules! settings {
    ($(($key:literal, $route:literal, $verb:ident, $code:ident, $is_listed:literal, $shape:expr, $default:expr),)*) => {
        /// Every setting, in the order in which Meilisearch shows them.
        pub const SETTINGS: &[Setting] = &[$(Setting {
            key: $key,
            route: $route,
            verb: Verb::$verb,
            is_listed: $is_listed,
            code: Code::$code,
            shape: $shape,
            default: || $default,
        },)*];
    };
}

const ATTRIBUTES: Shape = Shape::List(&Shape::Attribute);
const ATTRIBUTE_SET: Shape = Shape::Set(&Shape::Attribute);
const TEXT_SET: Shape = Shape::Set(&Shape::Text);
const WORD_SET: Shape = Shape::Set(&Shape::Word);
const SYNONYMS: Shape = Shape::MapOf { keys: &Shape::Text, values: &Shape::List(&Shape::Text) };
const FOREIGN_KEYS: Shape =
    Shape::List(&Shape::Required(&[("foreignIndexUid", Shape::Text), ("fieldName", Shape::Attribute)]));
const CHAT: Shape = Shape::Fields(&[
    ("description", Shape::Text),
    ("documentTemplate", Shape::Text),
    ("documentTemplateMaxBytes", Shape::Integer { min: 0, max: u64::MAX }),
    ("searchParameters", SEARCH_PARAMETERS),
]);
const PROXIMITY: Shape = Shape::OneOf(&["byWord", "byAttribute"]);
const PREFIX_SEARCH: Shape = Shape::OneOf(&["indexingTime", "disabled"]);
const CUTOFF: Shape = Shape::Integer { min: 0, max: u64::MAX };

#[rustfmt::skip]
settings! {
    ("displayedAttributes", "displayed-attributes", Put, InvalidSettingsDisplayedAttributes, true, ATTRIBUTES, json!(["*"])),
    ("searchableAttributes", "searchable-attributes", Put, InvalidSettingsSearchableAttributes, true, ATTRIBUTES, json!(["*"])),
    ("filterableAttributes", "filterable-attributes", Put, InvalidSettingsFilterableAttributes, true, Shape::List(&Shape::FilterableRule), json!([])),
    ("sortableAttributes", "sortable-attributes", Put, InvalidSettingsSortableAttributes, true, ATTRIBUTE_SET, json!([])),
    ("foreignKeys", "foreign-keys", Put, InvalidSettingsForeignKeys, false, FOREIGN_KEYS, json!([])),
    ("rankingRules", "ranking-rules", Put, InvalidSettingsRankingRules, true, Shape::List(&Shape::RankingRule), json!(["words", "typo", "proximity", "attributeRank", "sort", "wordPosition", "exactness"])),
    ("stopWords", "stop-words", Put, InvalidSettingsStopWords, true, TEXT_SET, json!([])),
    ("nonSeparatorTokens", "non-separator-tokens", Put, InvalidSettingsNonSeparatorTokens, true, WORD_SET, json!([])),
    ("separatorTokens", "separator-tokens", Put, InvalidSettingsSeparatorTokens, true, TEXT_SET, json!([])),
    ("dictionary", "dictionary", Put, InvalidSettingsDictionary, true, WORD_SET, json!([])),
    ("synonyms", "synonyms", Put, InvalidSettingsSynonyms, true, SYNONYMS, json!({})),
    ("distinctAttribute", "distinct-attribute", Put, InvalidSettingsDistinctAttribute, true, Shape::Attribute, Value::Null),
    ("proximityPrecision", "proximity-precision", Put, InvalidSettingsProximityPrecision, true, PROXIMITY, json!("byWord")),
    ("typoTolerance", "typo-tolerance", Patch, InvalidSettingsTypoTolerance, true, TYPO_TOLERANCE, json!({"enabled": true, "minWordSizeForTypos": {"oneTypo": 5, "twoTypos": 9}, "disableOnWords": [], "disableOnAttributes": [], "disableOnNumbers": false})),
    ("faceting", "faceting", Patch, InvalidSettingsFaceting, true, FACETING, json!({"maxValuesPerFacet": 100, "sortFacetValuesBy": {"*": "alpha"}})),
    ("pagination", "pagination", Patch, InvalidSettingsPagination, true, PAGINATION, json!({"maxTotalHits": 1000})),
    ("embedders", "embedders", Patch, InvalidSettingsEmbedders, true, EMBEDDERS, json!({})),
    ("searchCutoffMs", "search-cutoff-ms", Put, InvalidSettingsSearchCutoffMs, true, CUTOFF, Value::Null),
    ("localizedAttributes", "localized-attributes", Put, InvalidSettingsLocalizedAttributes, true, Shape::List(&LOCALIZED_RULE), Value::Null),
    ("facetSearch", "facet-search", Put, InvalidSettingsFacetSearch, true, Shape::Boolean, json!(true)),
    ("prefixSearch", "prefix-search", Put, InvalidSettingsPrefixSearch, true, PREFIX_SEARCH, json!("indexingTime")),
    ("chat", "chat", Patch, InvalidSettingsIndexChat, false, CHAT, json!({"description": "", "documentTemplate": "{% for field in fields %}{% if field.is_searchable and field.value != nil %}{{ field.name }}: {{ field.value }}\n{% endif %}{% endfor %}", "documentTemplateMaxBytes": 400, "searchParameters": {}})),
}

/// The languages that Meilisearch knows, by ISO 639-1 and 639-3.
pub const LOCALES: &[&str] = &[
    "af", "ak", "am", "ar", "az", "be", "bn", "bg", "ca", "cs", "da", "de", "el", "en", "eo", "et", "fi", "fr", "gu",
    "he", "hi", "hr", "hu", "hy", "id", "it", "jv", "ja", "kn", "ka", "km", "ko", "la", "lv", "lt", "ml", "mr", "mk",
    "my", "ne", "nl", "nb", "or", "pa", "fa", "pl", "pt", "ro", "ru", "si", "sk", "sl", "sn", "es", "sr", "sv", "ta",
    "te", "tl", "th", "tk", "tr", "uk", "ur", "uz", "vi", "yi", "zh", "zu", "afr", "aka", "amh", "ara", "aze", "bel",
    "ben", "bul", "cat", "ces", "dan", "deu", "ell", "eng", "epo", "est", "fin", "fra", "guj", "heb", "hin", "hrv",
    "hun", "hye", "ind", "ita", "jav", "jpn", "kan", "kat", "khm", "kor", "lat", "lav", "lit", "mal", "mar", "mkd",
    "mya", "nep", "nld", "nob", "ori", "pan", "pes", "pol", "por", "ron", "rus", "sin", "slk", "slv", "sna", "spa",
    "srp", "swe", "tam", "tel", "tgl", "tha", "tuk", "tur", "ukr", "urd", "uzb", "vie", "yid", "zho", "zul", "cmn",
];
