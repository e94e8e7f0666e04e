//! One case: a corpus and a search of it, and what both say about the answer that is to be expected.

use miroir::logic::merge::facet_values::FacetValues;
use serde_json::Value;

use super::corpus::Corpus;
use super::queries::Object;
use super::vectors::Embedder;

/// Hits that are returned when nothing else is asked.
const LIMIT_DEFAULT: u64 = 20;

/// Most hits that can be reached, unless the settings say otherwise.
const MAX_TOTAL_HITS_DEFAULT: u64 = 1_000;

/// A search of a corpus.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// What is searched.
    pub corpus: &'a Corpus,
    /// The search's body.
    pub body: &'a Object,
}

/// A rule that sorts by the values of an attribute.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SortRule {
    /// Its path.
    pub attribute: String,
    /// From the smallest on.
    pub is_ascending: bool,
}

impl Case<'_> {
    /// A parameter that is a text.
    pub fn text(&self, name: &str) -> &str {
        self.body.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether a parameter is there and not null.
    pub fn has(&self, name: &str) -> bool {
        self.body.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether the answer has exhaustive totals.
    pub fn is_paged(&self) -> bool {
        self.has("page") || self.has("hitsPerPage")
    }

    /// The first hit and the number of hits that are asked for, neither beyond what the settings allow.
    pub fn window(&self) -> (u64, u64) {
        let (offset, limit) = self.unbounded_window();
        let max = self.hits_max();
        let offset = offset.min(max);
        (offset, limit.min(max - offset))
    }

    /// The first hit and the number of hits that are asked for.
    pub fn unbounded_window(&self) -> (u64, u64) {
        let number = |name: &str| self.body.get(name).and_then(Value::as_u64);
        if self.is_paged() {
            let limit = number("hitsPerPage").unwrap_or(LIMIT_DEFAULT);
            match number("page").unwrap_or(1) {
                0 => (0, 0),
                page => ((page - 1) * limit, limit),
            }
        } else {
            (number("offset").unwrap_or(0), number("limit").unwrap_or(LIMIT_DEFAULT))
        }
    }

    /// Most hits that can be reached, as the settings say.
    pub fn hits_max(&self) -> u64 {
        let max = self.corpus.settings.get("pagination").and_then(|setting| setting["maxTotalHits"].as_u64());
        max.unwrap_or(MAX_TOTAL_HITS_DEFAULT)
    }

    /// The rules that sort by values, the most significant first: those of the query where the settings have `sort`, and
    /// those of the settings. Of an attribute the first one counts.
    pub fn sort_rules(&self) -> Vec<SortRule> {
        let own: Vec<&str> =
            self.body.get("sort").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let settings = self.corpus.setting_texts("rankingRules").unwrap_or_else(|| vec!["sort"]);
        let mut rules: Vec<SortRule> = Vec::new();
        let all = settings.into_iter().flat_map(|rule| if rule == "sort" { own.clone() } else { vec![rule] });
        for (attribute, direction) in all.filter_map(|rule| rule.rsplit_once(':')) {
            let is_new = !rules.iter().any(|rule| rule.attribute == attribute);
            if is_new && !attribute.starts_with("_geoPoint(") {
                rules.push(SortRule { attribute: attribute.to_owned(), is_ascending: direction == "asc" });
            }
        }
        rules
    }

    /// The attribute whose values make hits distinct.
    pub fn distinct(&self) -> Option<&str> {
        let own = self.body.get("distinct").filter(|value| !value.is_null());
        own.or_else(|| self.corpus.settings.get("distinctAttribute"))?.as_str()
    }

    /// Documents of which a page shows one only, for their empty text, though they are not alike to the walk: where the
    /// search names the attribute.
    pub fn documents_with_blank_distinct_texts(&self) -> Vec<&Value> {
        let Some(attribute) = self.distinct().filter(|_| self.has("distinct")) else { return Vec::new() };
        let has_blank = |document: &&Value| FacetValues::of(document, attribute).has_empty_text;
        self.corpus.documents.iter().filter(has_blank).collect()
    }

    /// The embedder by whose vectors it searches, or asks for what is similar.
    pub fn embedder(&self) -> Option<&Embedder> {
        let name = self.body.get("embedder").or_else(|| self.body.get("hybrid")?.get("embedder"))?;
        self.corpus.embedders.iter().find(|embedder| *name == embedder.name)
    }

    /// Whether the values of a facet come in the order of their counts.
    pub fn is_by_count(&self, facet: &str) -> bool {
        let orders = &self.faceting()["sortFacetValuesBy"];
        orders.get(facet).or_else(|| orders.get("*")).is_some_and(|order| order == "count")
    }

    /// So many values of a facet are shown.
    pub fn facet_values_max(&self) -> usize {
        self.faceting()["maxValuesPerFacet"].as_u64().unwrap_or(100) as usize
    }

    fn faceting(&self) -> &Value {
        self.corpus.settings.get("faceting").unwrap_or(&Value::Null)
    }
}
