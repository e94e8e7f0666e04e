//! Which attributes each node of a fleet knows: those of its documents. A node of which no document has an attribute says
//! nothing of it where one server, of which some document has it, does.

use std::collections::BTreeSet;

use serde_json::Value;

use super::corpus::{Corpus, paths_of};
use crate::support::Fleet;

/// Of one corpus.
#[derive(Debug)]
pub struct KnownAttributes {
    by_node: Vec<BTreeSet<String>>,
}

impl KnownAttributes {
    /// Asks every node for all of its documents.
    pub fn of(fleet: &Fleet, corpus: &Corpus) -> Self {
        let by_node = fleet.nodes.iter().map(|node| {
            let client = node.client();
            let indexes = client.get("/indexes?limit=1000").expect(200).json;
            let uids = indexes["results"].as_array().into_iter().flatten().filter_map(|index| index["uid"].as_str());
            let mut known = BTreeSet::new();
            for uid in uids.filter(|uid| uid.starts_with(&corpus.index)) {
                let documents = client.get(&format!("/indexes/{uid}/documents?limit=1000000")).expect(200).json;
                let documents = documents["results"].as_array().map(Vec::as_slice).unwrap_or_default();
                known.extend(paths_of(documents));
            }
            known
        });
        Self { by_node: by_node.collect() }
    }

    /// Whether some document has an attribute that this text names, and some node does not know it.
    pub fn is_partly_unknown(&self, text: &str) -> bool {
        // Without the length in `title:5`.
        let text = text.rsplit_once(':').map_or(text, |(name, _)| name);
        let is_below = |path: &str, above: &str| path.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'));
        let names = |path: &String| text.contains('*') || text == path || is_below(path, text) || is_below(text, path);
        let all: BTreeSet<&String> = self.by_node.iter().flatten().filter(|path| names(path)).collect();
        all.into_iter().any(|path| self.by_node.iter().any(|known| !known.contains(path)))
    }

    /// The same for any text in these parameters of a search.
    pub fn are_partly_unknown(&self, body: &super::queries::Object, parameters: &[&str]) -> bool {
        let texts = parameters.iter().filter_map(|name| body.get(*name)).flat_map(texts_of);
        texts.into_iter().any(|text| self.is_partly_unknown(text))
    }
}

fn texts_of(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts_of).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}
