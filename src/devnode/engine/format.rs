//! How hits are shown: chosen fields, `_formatted`, `_matchesPosition`, scores.

mod crop;
mod matching;
mod text;

pub(super) use matching::MatchingWords;

use std::collections::{BTreeMap, BTreeSet};

use charabia::Tokenizer;
use serde_json::{Map, Value};

use self::text::{Markup, TextMatches};
use super::documents::Document;
use super::geo::{Point, degrees};
use super::index::Index;
use super::query::{Hit, SearchQuery};
use super::score::{self, Score};
use super::settings::RankingRule;
use super::sort::{Criterion, SortKey};
use super::vectors::VECTORS;
use crate::meili::attribute_pattern::is_at_or_below;
use crate::meili::fields::{Selection, select};

/// What to do with a field in `_formatted`.
#[derive(Clone, Copy, Default, Debug)]
struct FieldFormat {
    highlight: bool,
    /// Words to keep.
    crop: Option<usize>,
}

impl FieldFormat {
    fn is_plain(self) -> bool {
        !self.highlight && self.crop.is_none()
    }

    fn merged(self, other: Self) -> Self {
        Self { highlight: self.highlight || other.highlight, crop: self.crop.or(other.crop) }
    }
}

/// Makes the hits of one search.
pub(super) struct HitMaker<'a, 'r, 't> {
    index: &'a Index,
    query: &'a SearchQuery,
    tokenizer: &'r Tokenizer<'t>,
    words: MatchingWords,
    displayed: BTreeSet<&'a str>,
    retrieved: BTreeSet<&'a str>,
    formats: BTreeMap<&'a str, FieldFormat>,
    /// The first point of `sort`, for `_geoDistance`.
    point: Option<Point>,
    attributes_apart: bool,
}

impl<'a, 'r, 't> HitMaker<'a, 'r, 't> {
    pub(super) fn new(
        index: &'a Index,
        query: &'a SearchQuery,
        tokenizer: &'r Tokenizer<'t>,
        words: MatchingWords,
        criteria: &[Criterion],
    ) -> Self {
        let known: BTreeSet<&str> = index.fields.iter().map(|(_, name)| name).collect();
        let displayed: BTreeSet<&str> = match &index.settings.displayed_attributes {
            Some(list) => list.iter().map(String::as_str).filter(|name| known.contains(name)).collect(),
            None => known,
        };
        let retrieved = match &query.attributes_to_retrieve {
            Some(list) if !list.iter().any(|name| name == "*") => {
                list.iter().map(String::as_str).filter(|name| displayed.contains(name)).collect()
            }
            Some(_) | None => displayed.clone(),
        };
        let formats = formats(query, &displayed, &retrieved);
        let point = criteria.iter().find_map(|criterion| match criterion.key {
            SortKey::Distance(point) => Some(point),
            SortKey::Attribute(_) => None,
        });
        let attributes_apart = index
            .settings
            .ranking_rules
            .iter()
            .any(|rule| matches!(rule, RankingRule::AttributeRank | RankingRule::WordPosition));
        Self { index, query, tokenizer, words, displayed, retrieved, formats, point, attributes_apart }
    }

    /// The hit of a stored document.
    pub(super) fn hit(&self, number: u32, scores: &[Score]) -> Hit {
        self.make(number, scores, None)
    }

    /// The hit of a stored document with its `_federation`.
    pub(super) fn federated_hit(&self, number: u32, scores: &[Score], federation: Value) -> Hit {
        self.make(number, scores, Some(federation))
    }

    fn make(&self, number: u32, scores: &[Score], federation: Option<Value>) -> Hit {
        let empty = Document::new();
        let document = self.index.document(number).unwrap_or(&empty);
        let mut fields = select(document, &self.retrieved.iter().copied().collect::<Vec<_>>(), Selection::Document);
        fields.shift_remove(VECTORS);
        let displayed = self.index.settings.displayed_attributes.as_ref();
        if self.query.retrieve_vectors && displayed.is_none_or(|names| names.iter().any(|name| name == VECTORS)) {
            let vectors = self.index.with_vectors(number).and_then(|mut document| document.shift_remove(VECTORS));
            fields.insert(VECTORS.to_owned(), vectors.unwrap_or_else(|| Map::new().into()));
        }
        if let Some(target) = self.point
            && let Some(Value::Object(geo)) = fields.get("_geo")
            && let (Some(latitude), Some(longitude)) =
                (geo.get("lat").and_then(degrees), geo.get("lng").and_then(degrees))
        {
            let metres = target.distance_m(Point { latitude, longitude }).round() as u64;
            fields.insert("_geoDistance".to_owned(), metres.into());
        }
        if let Some(federation) = federation {
            fields.insert("_federation".to_owned(), federation);
        }
        if self.query.show_matches_position || !self.formats.is_empty() {
            let (formatted, positions) = self.formatted(document);
            if !formatted.is_empty() {
                fields.insert("_formatted".to_owned(), formatted.into());
            }
            if self.query.show_matches_position {
                let positions: Map<String, Value> = positions.into_iter().collect();
                fields.insert("_matchesPosition".to_owned(), positions.into());
            }
        }
        if self.query.show_ranking_score {
            fields.insert("_rankingScore".to_owned(), score::ranking_score(scores).into());
        }
        if self.query.show_ranking_score_details {
            let details = score::details(scores, self.attributes_apart);
            fields.insert("_rankingScoreDetails".to_owned(), details.into());
        }
        Hit { fields }
    }

    fn formatted(&self, document: &Document) -> (Document, BTreeMap<String, Value>) {
        let mut positions = BTreeMap::new();
        let formatted: Vec<&str> = self.formats.keys().copied().collect();
        let visible =
            if self.query.show_matches_position { &self.displayed.iter().copied().collect() } else { &formatted };
        let visible = select(document, visible, Selection::Document);
        let values = visible
            .into_iter()
            .map(|(name, value)| {
                let value = self.value(&name, value, &mut Vec::new(), &mut positions);
                (name, value)
            })
            .collect();
        (select(&values, &formatted, Selection::Formatted), positions)
    }

    fn value(
        &self,
        name: &str,
        value: Value,
        places: &mut Vec<usize>,
        positions: &mut BTreeMap<String, Value>,
    ) -> Value {
        match value {
            Value::Object(object) => Value::Object(
                object
                    .into_iter()
                    .map(|(key, value)| {
                        let value = self.value(&format!("{name}.{key}"), value, places, positions);
                        (key, value)
                    })
                    .collect(),
            ),
            Value::Array(values) => Value::Array(
                values
                    .into_iter()
                    .enumerate()
                    .map(|(place, value)| {
                        places.push(place);
                        let value = self.value(name, value, places, positions);
                        places.pop();
                        value
                    })
                    .collect(),
            ),
            Value::String(text) => self.text(name, text, places, positions).into(),
            Value::Number(number) => self.text(name, number.to_string(), places, positions).into(),
            Value::Null | Value::Bool(_) => value,
        }
    }

    fn text(&self, name: &str, text: String, places: &[usize], positions: &mut BTreeMap<String, Value>) -> String {
        let format = self
            .formats
            .iter()
            .filter(|(_, format)| !format.is_plain())
            .filter(|(field, _)| is_at_or_below(field, name) || is_at_or_below(name, field))
            .map(|(_, format)| *format)
            .reduce(FieldFormat::merged);
        if format.is_none() && !self.query.show_matches_position {
            return text;
        }
        let matches = TextMatches::new(&text, self.tokenizer, &self.words);
        if self.query.show_matches_position && !matches.is_empty() {
            let list = positions.entry(name.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.extend(matches.bounds(places));
            }
        }
        let Some(format) = format else { return text };
        let markup = Markup {
            before: &self.query.highlight_pre_tag,
            after: &self.query.highlight_post_tag,
            crop_marker: &self.query.crop_marker,
        };
        matches.format(format.highlight, format.crop, &markup)
    }
}

/// How each field is formatted; empty when no field is highlighted or cropped.
fn formats<'a>(
    query: &'a SearchQuery,
    displayed: &BTreeSet<&'a str>,
    retrieved: &BTreeSet<&'a str>,
) -> BTreeMap<&'a str, FieldFormat> {
    let mut formats: BTreeMap<&str, FieldFormat> = BTreeMap::new();
    let covered = |wanted: &str| -> Vec<&'a str> {
        displayed.iter().copied().filter(|name| wanted == "*" || *name == wanted).collect()
    };
    for wanted in &query.attributes_to_highlight {
        for name in covered(wanted) {
            formats.entry(name).or_default().highlight = true;
        }
    }
    for wanted in &query.attributes_to_crop {
        let (wanted, length) = match wanted.rsplit_once(':') {
            Some((name, length)) => (name, length.parse().unwrap_or(query.crop_length)),
            None => (wanted.as_str(), query.crop_length),
        };
        for name in covered(wanted) {
            formats.entry(name).or_default().crop = Some(length);
        }
    }
    if !formats.is_empty() {
        for name in retrieved {
            formats.entry(name).or_default();
        }
    }
    formats
}
