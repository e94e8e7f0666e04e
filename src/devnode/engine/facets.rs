//! Facet values: the numbers and strings of attributes by which documents are filtered, sorted and counted.
//!
//! Strings are kept under their facet key (decomposed, lower case, trimmed); booleans are strings; numbers are f64.
//! Numbers come before strings in every order.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use roaring::RoaringBitmap;
use serde_json::{Map, Value};

use super::documents::Document;
use super::fields::{FieldId, Fields};
use super::geo::{self, Point};
use super::settings::Settings;
use crate::meili::attribute_pattern::Match;
use crate::meili::facet_text::stored_key;

/// A number with a total order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub(super) f64);

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The documents of one string value.
#[derive(Clone, Debug, Default)]
pub(super) struct StringValue {
    /// Who has it.
    pub(super) documents: RoaringBitmap,
    /// How each document writes it, where that differs from the key.
    originals: BTreeMap<u32, Box<str>>,
}

impl StringValue {
    /// How a document writes the value with this key.
    pub(super) fn original<'a>(&'a self, key: &'a str, document: u32) -> &'a str {
        self.originals.get(&document).map_or(key, |text| text)
    }
}

/// All values of one field.
#[derive(Clone, Debug, Default)]
pub(super) struct FieldFacets {
    /// Documents that have the field at all.
    pub(super) exists: RoaringBitmap,
    /// Documents where it is null.
    pub(super) null: RoaringBitmap,
    /// Documents where it is `""`, `[]` or `{}`.
    pub(super) empty: RoaringBitmap,
    /// Numbers.
    pub(super) numbers: BTreeMap<Number, RoaringBitmap>,
    /// Strings by key.
    pub(super) strings: BTreeMap<String, StringValue>,
}

/// Values of all fields, and positions on the globe.
#[derive(Clone, Debug, Default)]
pub(super) struct Facets {
    fields: HashMap<FieldId, FieldFacets>,
    points: HashMap<u32, Point>,
}

impl Facets {
    /// The values of a field.
    pub(super) fn field(&self, field: FieldId) -> Option<&FieldFacets> {
        self.fields.get(&field)
    }

    /// Where a document lies, if `_geo` is read.
    pub(super) fn point(&self, document: u32) -> Option<Point> {
        self.points.get(&document).copied()
    }

    /// Documents with a position.
    pub(super) fn with_points(&self) -> RoaringBitmap {
        self.points.keys().copied().collect()
    }

    /// Adds the values of a document. Its `_geo` must have been checked.
    pub(super) fn add(&mut self, number: u32, document: &Document, settings: &Settings, fields: &mut Fields) {
        each_value(document, settings, &mut |name, nested, value| {
            let facets = self.fields.entry(fields.id_or_insert(name)).or_default();
            facets.add(number, nested, value);
        });
        if settings.is_geo_enabled()
            && let Ok(Some(point)) = geo::document_point(document, "")
        {
            self.points.insert(number, point);
            for (name, value) in [("_geo.lat", point.latitude), ("_geo.lng", point.longitude)] {
                self.fields.entry(fields.id_or_insert(name)).or_default().add_number(number, value);
            }
        }
    }

    /// Takes the values of a document out; `document` must be what was added.
    pub(super) fn remove(&mut self, number: u32, document: &Document, settings: &Settings, fields: &mut Fields) {
        each_value(document, settings, &mut |name, _, value| {
            if let Some(facets) = self.fields.get_mut(&fields.id_or_insert(name)) {
                facets.remove(number, value);
            }
        });
        if let Some(point) = self.points.remove(&number) {
            for (name, value) in [("_geo.lat", point.latitude), ("_geo.lng", point.longitude)] {
                if let Some(facets) = self.fields.get_mut(&fields.id_or_insert(name)) {
                    facets.exists.remove(number);
                    facets.remove_number(number, value);
                }
            }
        }
    }
}

impl FieldFacets {
    pub(super) fn add(&mut self, document: u32, nested: bool, value: &Value) {
        self.exists.insert(document);
        match value {
            Value::Number(number) => {
                if let Some(number) = number.as_f64() {
                    self.add_number(document, number);
                }
            }
            Value::String(text) if !text.is_empty() => self.add_string(document, text),
            Value::Bool(flag) => self.add_string(document, if *flag { "true" } else { "false" }),
            Value::Null if !nested => {
                self.null.insert(document);
            }
            Value::String(_) if !nested => {
                self.empty.insert(document);
            }
            Value::Array(values) if values.is_empty() && !nested => {
                self.empty.insert(document);
            }
            Value::Object(object) if object.is_empty() && !nested => {
                self.empty.insert(document);
            }
            Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => {}
        }
    }

    fn add_number(&mut self, document: u32, number: f64) {
        self.exists.insert(document);
        self.numbers.entry(Number(number)).or_default().insert(document);
    }

    fn add_string(&mut self, document: u32, text: &str) {
        let key = stored_key(text);
        let differs = key != text;
        let value = self.strings.entry(key).or_default();
        value.documents.insert(document);
        if differs {
            value.originals.insert(document, text.into());
        } else {
            value.originals.remove(&document);
        }
    }

    fn remove(&mut self, document: u32, value: &Value) {
        self.exists.remove(document);
        self.null.remove(document);
        self.empty.remove(document);
        let key = match value {
            Value::Number(number) => {
                if let Some(number) = number.as_f64() {
                    self.remove_number(document, number);
                }
                return;
            }
            Value::String(text) => stored_key(text),
            Value::Bool(flag) => flag.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return,
        };
        if let Some(value) = self.strings.get_mut(&key) {
            value.documents.remove(document);
            value.originals.remove(&document);
            if value.documents.is_empty() {
                self.strings.remove(&key);
            }
        }
    }

    fn remove_number(&mut self, document: u32, number: f64) {
        if let Some(documents) = self.numbers.get_mut(&Number(number)) {
            documents.remove(document);
            if documents.is_empty() {
                self.numbers.remove(&Number(number));
            }
        }
    }
}

/// Visits every value of a document that belongs to a faceted name: the name, whether it stands inside an array, the
/// value. Objects and arrays are visited too (they exist), before and after what they hold.
fn each_value(document: &Document, settings: &Settings, visit: &mut dyn FnMut(&str, bool, &Value)) {
    for (name, value) in document {
        if matches!(name.as_str(), "_vectors" | "_geo" | "_geojson") {
            continue;
        }
        let matched = settings.faceted(name);
        if matched == Match::No {
            continue;
        }
        match value {
            Value::Object(object) => in_object(object, name, false, settings, visit),
            Value::Array(values) => in_array(values, name, false, settings, visit),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        if matched.is_yes() {
            visit(name, false, value);
        }
    }
}

fn in_object(
    object: &Map<String, Value>,
    base: &str,
    nested: bool,
    settings: &Settings,
    visit: &mut dyn FnMut(&str, bool, &Value),
) {
    if object.is_empty() && settings.faceted(base).is_yes() {
        visit(base, nested, &Value::Object(Map::new()));
    }
    for (key, value) in object {
        let name = format!("{base}.{key}");
        let matched = settings.faceted(&name);
        if matched.is_yes() {
            visit(&name, false, value);
        }
        if matched == Match::No {
            continue;
        }
        match value {
            Value::Object(object) => in_object(object, &name, false, settings, visit),
            Value::Array(values) => in_array(values, &name, false, settings, visit),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn in_array(
    values: &[Value],
    base: &str,
    nested: bool,
    settings: &Settings,
    visit: &mut dyn FnMut(&str, bool, &Value),
) {
    let covered = settings.faceted(base).is_yes();
    if values.is_empty() && covered {
        visit(base, nested, &Value::Array(Vec::new()));
    }
    for value in values {
        match value {
            Value::Object(object) => in_object(object, base, true, settings, visit),
            Value::Array(values) => in_array(values, base, true, settings, visit),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                if covered {
                    visit(base, true, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_come_and_go_with_their_document() {
        let settings = Settings::from_json(
            json!({"filterableAttributes": ["tags", "size", "o"], "sortableAttributes": ["_geo"]}).as_object().unwrap(),
        )
        .unwrap();
        let document = json!({"tags": ["Été", "x", null], "size": 3, "o": {}, "_geo": {"lat": 1, "lng": "2"}});
        let document = document.as_object().unwrap();
        let (mut facets, mut fields) = (Facets::default(), Fields::default());
        facets.add(7, document, &settings, &mut fields);
        let tags = facets.field(fields.id("tags").unwrap()).unwrap();
        assert_eq!(tags.strings.keys().collect::<Vec<_>>(), ["e\u{301}te\u{301}", "x"]);
        assert_eq!(tags.strings["e\u{301}te\u{301}"].original("", 7), "Été");
        assert!(tags.null.is_empty());
        assert!(facets.field(fields.id("o").unwrap()).unwrap().empty.contains(7));
        assert!(facets.point(7).is_some());
        facets.remove(7, document, &settings, &mut fields);
        for field in ["tags", "size", "o", "_geo.lat"] {
            let field = facets.field(fields.id(field).unwrap()).unwrap();
            assert!(field.exists.is_empty() && field.numbers.is_empty() && field.strings.is_empty());
        }
        assert_eq!(facets.point(7), None);
    }
}
