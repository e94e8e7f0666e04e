//! `displayedAttributes`: nodes show everything, the user's list is applied here.
//!
//! A node returns hidden attributes only if it is asked for them, so the lists of a request are narrowed to what the user
//! may see. What a node shows unasked (matches, score details) is narrowed in the merge.

use serde_json::{Map, Value, json};

/// What the user's settings let be seen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Displayed {
    /// Everything.
    #[default]
    All,
    /// These attributes and what lies below them.
    Only(Vec<String>),
}

impl Displayed {
    /// From the user's settings: an absent key and a `*` in the list mean everything.
    pub fn from_settings(settings: &Map<String, Value>) -> Self {
        let Some(Value::Array(names)) = settings.get("displayedAttributes") else { return Self::All };
        let names: Vec<String> = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        if names.iter().any(|name| name == "*") { Self::All } else { Self::Only(names) }
    }

    /// Whether an attribute, given by its path, is shown.
    pub fn shows(&self, path: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|name| {
                path.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }),
        }
    }

    /// Whether exactly this attribute is in the list: what decides whether a sort rule is shown.
    pub fn lists(&self, attribute: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|name| name == attribute),
        }
    }

    /// Narrows the attribute lists of a search.
    pub(in crate::meili) fn restrict(&self, parameters: &mut Map<String, Value>) {
        let Self::Only(names) = self else { return };
        let retrieved = match parameters.get("attributesToRetrieve").and_then(Value::as_array) {
            Some(wanted) if !wanted.contains(&json!("*")) => {
                wanted.iter().filter(|wanted| names.iter().any(|name| *wanted == name)).cloned().collect()
            }
            Some(_) | None => names.iter().map(|name| json!(name)).collect(),
        };
        parameters.insert("attributesToRetrieve".to_owned(), Value::Array(retrieved));
        // A node adds `_vectors` to what is retrieved, whatever that is.
        if !names.iter().any(|name| name == "_vectors") {
            parameters.shift_remove("retrieveVectors");
        }
        for list in ["attributesToHighlight", "attributesToCrop"] {
            if let Some(Value::Array(wanted)) = parameters.get_mut(list) {
                *wanted = wanted.iter().filter_map(Value::as_str).flat_map(|wanted| expand(wanted, names)).collect();
            }
        }
    }
}

/// An attribute with or without a length behind a colon; `*` means every displayed one.
fn expand(wanted: &str, names: &[String]) -> Vec<Value> {
    let (attribute, length) = match wanted.rsplit_once(':') {
        Some((attribute, _)) => (attribute, &wanted[attribute.len()..]),
        None => (wanted, ""),
    };
    names
        .iter()
        .filter(|name| attribute == "*" || *name == attribute)
        .map(|name| Value::from(format!("{name}{length}")))
        .collect()
}
