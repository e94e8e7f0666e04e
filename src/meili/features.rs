//! Experimental features: what can be switched on while the server runs, `GET` and `PATCH /experimental-features`.
//!
//! One table says how each is called in JSON, what an error says that asks for it, and who acts on it: a feature of the nodes
//! is switched on there too.

use serde_json::{Map, Value};

use super::bad_value::{parse_json, unknown_field, wrong_type};
use super::error::{ApiError, Code};

macro_rules! features {
    ($($(#[doc = $doc:literal])* $name:ident, $key:literal, $words:literal, $link:literal, $is_of_nodes:literal;)*) => {
        /// What can be switched on.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Feature {
            $($(#[doc = $doc])* $name,)*
        }

        impl Feature {
            /// All of them, in the order in which they are shown.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// In JSON.
            pub fn key(self) -> &'static str {
                match self {
                    $(Self::$name => $key,)*
                }
            }

            /// In errors.
            fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                }
            }

            /// Where it is explained.
            fn link(self) -> &'static str {
                match self {
                    $(Self::$name => $link,)*
                }
            }

            /// The nodes act on it, and must have it as the fleet has it.
            pub fn is_of_nodes(self) -> bool {
                match self {
                    $(Self::$name => $is_of_nodes,)*
                }
            }
        }
    };
}

features! {
    /// `/metrics`
    Metrics, "metrics", "metrics", "meilisearch/product/discussions/625", false;
    /// `/logs/*`
    LogsRoute, "logsRoute", "logs route", "orgs/meilisearch/discussions/721", false;
    /// `/indexes/{index}/documents/edit`
    EditDocumentsByFunction, "editDocumentsByFunction", "edit documents by function", "orgs/meilisearch/discussions/762", false;
    /// `CONTAINS` in filters.
    ContainsFilter, "containsFilter", "contains filter", "orgs/meilisearch/discussions/763", true;
    /// `/dynamic-search-rules`
    DynamicSearchRules, "dynamicSearchRules", "dynamic search rules", "orgs/meilisearch/discussions/884", true;
    /// `/network`, which Miroir answers itself.
    Network, "network", "network", "orgs/meilisearch/discussions/805", false;
    /// `/tasks/{task}/documents`
    GetTaskDocumentsRoute, "getTaskDocumentsRoute", "get task documents route", "orgs/meilisearch/discussions/808", false;
    /// `/tasks/compact`
    TaskQueueCompactionRoute, "taskQueueCompactionRoute", "task queue compaction route", "orgs/meilisearch/discussions/883", false;
    /// Embedders with one source for documents and one for searches.
    CompositeEmbedders, "compositeEmbedders", "composite embedders", "orgs/meilisearch/discussions/816", true;
    /// `/chats`
    ChatCompletions, "chatCompletions", "chat completions", "orgs/meilisearch/discussions/835", true;
    /// Fragments of embedders, `media` in searches.
    Multimodal, "multimodal", "multimodal", "orgs/meilisearch/discussions/846", true;
    /// The setting `foreignKeys`.
    ForeignKeys, "foreignKeys", "foreign_keys", "orgs/meilisearch/discussions/873", false;
    /// Documents are fetched beside the queue of searches.
    DisableDocumentsFetchQueue, "disableDocumentsFetchQueue", "disable documents fetch queue", "", true;
    /// The way in which older versions searched.
    LegacySearch, "legacySearch", "legacy search", "", false;
    /// `/render-template`
    RenderRoute, "renderRoute", "render_route", "orgs/meilisearch/discussions/888", true;
}

/// Which features are switched on; none at first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features(u32);

/// Which features are to be switched on or off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FeaturesPatch {
    on: u32,
    off: u32,
}

impl FeaturesPatch {
    /// The body of `PATCH /experimental-features`.
    ///
    /// # Errors
    /// `bad_request`, `malformed_payload`, `missing_payload`; `miroir_not_supported` for what answers of a fleet cannot
    /// follow.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let value = parse_json(body)?;
        let Value::Object(fields) = value else { return Err(wrong_type(Code::BadRequest, "", "an object", &value)) };
        let mut patch = Self::default();
        for (key, value) in &fields {
            let Some(feature) = Feature::ALL.iter().copied().find(|feature| feature.key() == key) else {
                let keys: Vec<&str> = Feature::ALL.iter().map(|feature| feature.key()).collect();
                return Err(unknown_field(Code::BadRequest, "", key, &keys));
            };
            match value {
                Value::Null => {}
                Value::Bool(true) => patch.on |= bit(feature),
                Value::Bool(false) => patch.off |= bit(feature),
                Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                    return Err(wrong_type(Code::BadRequest, &format!(".{key}"), "a boolean", value));
                }
            }
        }
        if patch.on & bit(Feature::LegacySearch) != 0 {
            let message = "Miroir does not support `legacySearch`: answers of several nodes are put together as the newer way \
                           of searching does it.";
            return Err(ApiError::new(Code::MiroirNotSupported, message));
        }
        Ok(patch)
    }
}

fn bit(feature: Feature) -> u32 {
    1 << feature as u32
}

impl Features {
    /// Those that are kept so ([`Self::to_json`]); what is not named is off.
    pub fn from_json(kept: &Value) -> Self {
        let is_on = |feature: &&Feature| kept[feature.key()] == Value::Bool(true);
        Self(Feature::ALL.iter().filter(is_on).map(|feature| bit(*feature)).sum())
    }

    /// Every one.
    pub fn all() -> Self {
        Self(Feature::ALL.iter().map(|feature| bit(*feature)).sum())
    }

    /// As clients are shown them.
    pub fn to_json(self) -> Value {
        let shown = |feature: &Feature| (feature.key().to_owned(), Value::Bool(self.has(*feature)));
        Value::Object(Feature::ALL.iter().map(shown).collect())
    }

    /// What a node is told: those that it acts on, and nothing of the others.
    pub fn node_json(self) -> Map<String, Value> {
        let told = Feature::ALL.iter().filter(|feature| feature.is_of_nodes());
        told.map(|feature| (feature.key().to_owned(), Value::Bool(self.has(*feature)))).collect()
    }

    /// Whether a node that shows this has what it must have. What it does not know is not missed.
    pub fn are_on_node(self, shown: &Map<String, Value>) -> bool {
        self.node_json().iter().all(|(key, value)| shown.get(key).is_none_or(|shown| shown == value))
    }

    /// After a patch.
    #[must_use]
    pub fn patched(self, patch: FeaturesPatch) -> Self {
        Self((self.0 | patch.on) & !patch.off)
    }

    /// Whether this one is on.
    pub fn has(self, feature: Feature) -> bool {
        self.0 & bit(feature) != 0
    }

    /// The error of a request that needs a feature which is off. `doing` begins the message.
    ///
    /// # Errors
    /// `feature_not_enabled`.
    pub fn require(self, feature: Feature, doing: &str) -> Result<(), ApiError> {
        if self.has(feature) {
            return Ok(());
        }
        let (words, link) = (feature.words(), feature.link());
        let message =
            format!("{doing} requires enabling the `{words}` experimental feature. See https://github.com/{link}");
        Err(ApiError::new(Code::FeatureNotEnabled, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_changes_what_it_names() {
        let patch = |body: &str| FeaturesPatch::parse(body.as_bytes()).expect("a good patch");
        let features = Features::default().patched(patch(r#"{"metrics": true, "containsFilter": true}"#));
        let features = features.patched(patch(r#"{"metrics": false, "multimodal": null}"#));
        assert!(features.has(Feature::ContainsFilter) && !features.has(Feature::Metrics));
        assert_eq!(Features::from_json(&features.to_json()), features);
        assert_eq!(features.to_json().as_object().map(Map::len), Some(Feature::ALL.len()));
        assert!(!features.node_json().contains_key("network"));
        assert!(features.are_on_node(&features.node_json()) && features.are_on_node(&Map::new()));
        assert!(!features.are_on_node(&Features::default().node_json()));
    }

    #[test]
    fn a_patch_with_anything_else_is_refused_in_the_words_of_one_server() {
        let error = |body: &str| FeaturesPatch::parse(body.as_bytes()).expect_err("a bad patch");
        let unknown = error(r#"{"metric": true}"#);
        assert!(
            unknown
                .message
                .starts_with("Unknown field `metric`: did you mean `metrics`? expected one of `metrics`, `logsRoute`")
        );
        assert_eq!(
            error(r#"{"metrics": "on"}"#).message,
            "Invalid value type at `.metrics`: expected a boolean, but found a string: `\"on\"`"
        );
        assert_eq!(error("[]").code, Code::BadRequest);
        assert_eq!(error(r#"{"legacySearch": true}"#).code, Code::MiroirNotSupported);
    }

    #[test]
    fn what_is_off_says_how_to_get_it() {
        let error = Features::default().require(Feature::Metrics, "Getting metrics").expect_err("it is off");
        assert_eq!(error.code, Code::FeatureNotEnabled);
        assert_eq!(
            error.message,
            "Getting metrics requires enabling the `metrics` experimental feature. See \
             https://github.com/meilisearch/product/discussions/625"
        );
    }
}
