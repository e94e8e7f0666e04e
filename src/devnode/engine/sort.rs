//! Sorting by values of attributes and by distance, for searches and for listings.
//!
//! Numbers come before strings whatever the direction, documents without a value last. A document with several values
//! stands where its first one in the direction puts it.

use roaring::RoaringBitmap;
use serde_json::Value;

use super::geo::Point;
use super::index::Index;
use crate::meili::attribute_pattern::is_at_or_below;

/// Distances that differ by less are equal.
const SAME_DISTANCE_M: f64 = 1.0;
/// Documents in one group of equal distance.
const SAME_DISTANCE_MAX: u64 = 1_000;
/// Up to this many documents the order of distances is that of whole metres.
const WHOLE_METRES_MAX: u64 = 1_000;

/// What to sort by.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum SortKey {
    /// The values of an attribute.
    Attribute(String),
    /// The distance to a point.
    Distance(Point),
}

/// One criterion.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Criterion {
    pub(super) key: SortKey,
    pub(super) is_ascending: bool,
}

/// Reads the texts of `sort`. The error is the message.
pub(super) fn parse(texts: &[String]) -> Result<Vec<Criterion>, String> {
    texts.iter().map(|text| criterion(text)).collect()
}

fn criterion(text: &str) -> Result<Criterion, String> {
    let (name, is_ascending) = match text.rsplit_once(':') {
        Some((name, "asc")) => (name, true),
        Some((name, "desc")) => (name, false),
        Some(_) | None => {
            return Err(format!(
                "Invalid syntax for the sort parameter: expected expression ending by `:asc` or `:desc`, found `{text}`."
            ));
        }
    };
    let key = match name.strip_prefix("_geoPoint(").and_then(|rest| rest.strip_suffix(')')) {
        Some(point) => SortKey::Distance(sort_point(point, name)?),
        None => SortKey::Attribute(attribute(name)?),
    };
    Ok(Criterion { key, is_ascending })
}

fn reserved(name: &str) -> String {
    let message = format!("`{name}` is a reserved keyword and thus can't be used as a sort expression.");
    if matches!(name, "_geo" | "_geoRadius" | "_geoBoundingBox") {
        return format!(
            "{message} Use the _geoPoint(latitude, longitude) built-in rule to sort on _geo field coordinates."
        );
    }
    message
}

fn attribute(name: &str) -> Result<String, String> {
    let is_reserved =
        matches!(name, "_geo" | "_geoDistance" | "_geoPoint" | "_geoRadius" | "_geoBoundingBox" | "_geoPolygon");
    if is_reserved {
        return Err(reserved(name));
    }
    for function in ["_geoRadius", "_geoBoundingBox", "_geo", "_geoDistance", "_geoPoint", "_geoPolygon"] {
        if name.strip_prefix(function).is_some_and(|rest| rest.starts_with('(')) {
            return Err(reserved(function));
        }
    }
    Ok(name.to_owned())
}

fn sort_point(text: &str, name: &str) -> Result<Point, String> {
    let numbers = text.split_once(',').and_then(|(latitude, longitude)| {
        Some((latitude.trim().parse::<f64>().ok()?, longitude.trim().parse::<f64>().ok()?))
    });
    let Some((latitude, longitude)) = numbers else {
        return Err(format!(
            "Invalid syntax for the geo parameter: expected expression formated like `_geoPoint(latitude, longitude)` \
             and ending by `:asc` or `:desc`, found `{name}`."
        ));
    };
    if !(-90.0..=90.0).contains(&latitude) {
        return Err(bad_latitude(latitude));
    }
    if !(-180.0..=180.0).contains(&longitude) {
        return Err(bad_longitude(longitude));
    }
    Ok(Point { latitude, longitude })
}

/// The message about a latitude out of range.
pub(super) fn bad_latitude(latitude: f64) -> String {
    format!("Bad latitude `{latitude}`. Latitude must be contained between -90 and 90 degrees.")
}

/// The message about a longitude out of range.
pub(super) fn bad_longitude(longitude: f64) -> String {
    let inside = (longitude + 180.0).rem_euclid(360.0) - 180.0;
    format!(
        "Bad longitude `{longitude}`. Longitude must be contained between -180 and 180 degrees. Hint: try using \
         `{inside}` instead."
    )
}

/// Whether the settings allow to sort by these. The error is the message.
pub(super) fn check(index: &Index, criteria: &[Criterion]) -> Result<(), String> {
    let sortable = &index.settings.sortable_attributes;
    for criterion in criteria {
        let name = match &criterion.key {
            SortKey::Attribute(name) if !sortable.iter().any(|allowed| is_at_or_below(name, allowed)) => name,
            SortKey::Distance(_) if !sortable.contains("_geo") => "_geo",
            SortKey::Attribute(_) | SortKey::Distance(_) => continue,
        };
        let available = if sortable.is_empty() {
            "This index does not have configured sortable attributes.".to_owned()
        } else {
            let names: Vec<&str> = sortable.iter().map(String::as_str).collect();
            format!("Available sortable attributes are: `{}`.", names.join(", "))
        };
        return Err(index.message(&format!("Attribute `{name}` is not sortable. {available}")));
    }
    Ok(())
}

/// The documents of a listing in order, ties by number. As on Meilisearch 1.50, documents whose attribute is there but
/// has no value to sort by (`[]`, `""`, null) are left out of a listing that sorts by it.
pub(super) fn ordered(index: &Index, criteria: &[Criterion], documents: &RoaringBitmap) -> Vec<u32> {
    let Some((first, rest)) = criteria.split_first() else { return documents.iter().collect() };
    let mut left = documents.clone();
    let groups: Vec<RoaringBitmap> = match &first.key {
        SortKey::Attribute(name) => {
            if let Some(facets) = index.fields.id(name).and_then(|field| index.facets.field(field)) {
                left -= &facets.exists;
            }
            value_groups(index, name, first.is_ascending, documents).map(|(_, group)| group).collect()
        }
        SortKey::Distance(point) => {
            let groups = distance_groups(index, *point, first.is_ascending, documents);
            groups.into_iter().map(|(_, group)| group).collect()
        }
    };
    let mut order = Vec::with_capacity(documents.len() as usize);
    for group in groups {
        left -= &group;
        order.extend(ordered(index, rest, &group));
    }
    order.extend(ordered(index, rest, &left));
    order
}

/// Documents by their value, in order; those without a value are left out. Groups are found as they are asked for.
pub(super) fn value_groups<'a>(
    index: &'a Index,
    name: &str,
    is_ascending: bool,
    documents: &RoaringBitmap,
) -> Box<dyn Iterator<Item = (Value, RoaringBitmap)> + 'a> {
    let facets = index.fields.id(name).and_then(|field| index.facets.field(field));
    let Some(facets) = facets else { return Box::new(std::iter::empty()) };
    let numbers = facets.numbers.iter().map(|(number, having)| {
        let value = serde_json::Number::from_f64(number.0).map_or(Value::Null, Value::Number);
        (value, having)
    });
    let strings = facets.strings.iter().map(|(key, value)| (key.as_str().into(), &value.documents));
    let values: Box<dyn Iterator<Item = (Value, &'a RoaringBitmap)> + 'a> =
        if is_ascending { Box::new(numbers.chain(strings)) } else { Box::new(numbers.rev().chain(strings.rev())) };
    let mut left = documents & &facets.exists;
    let mut values = values.fuse();
    Box::new(std::iter::from_fn(move || {
        while !left.is_empty() {
            let (value, having) = values.next()?;
            let group = having & &left;
            if !group.is_empty() {
                left -= &group;
                return Some((value, group));
            }
        }
        None
    }))
}

/// Documents by their distance to a point, each group with the position of its first document; those without a
/// position are left out.
pub(super) fn distance_groups(
    index: &Index,
    target: Point,
    is_ascending: bool,
    documents: &RoaringBitmap,
) -> Vec<(Point, RoaringBitmap)> {
    let with_position = documents.iter().filter_map(|document| Some((document, index.facets.point(document)?)));
    let mut placed: Vec<(u32, Point, f64)> =
        with_position.map(|(document, point)| (document, point, target.distance_m(point))).collect();
    if placed.len() as u64 <= WHOLE_METRES_MAX {
        placed.sort_by_key(|(_, _, distance)| *distance as u64);
    } else {
        placed.sort_by(|left, right| left.2.total_cmp(&right.2));
    }
    if !is_ascending {
        placed.reverse();
    }
    let mut groups: Vec<(Point, RoaringBitmap)> = Vec::new();
    let mut group_distance = 0.0;
    for (document, point, distance) in placed {
        match groups.last_mut() {
            Some((_, group))
                if f64::abs(group_distance - distance) <= SAME_DISTANCE_M && group.len() < SAME_DISTANCE_MAX =>
            {
                group.insert(document);
            }
            Some(_) | None => {
                group_distance = distance;
                groups.push((point, RoaringBitmap::from_iter([document])));
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn criteria_are_read_or_refused_in_meilisearch_s_words() {
        let parsed = parse(&["price:asc".to_owned(), "_geoPoint(48.8, 2.3):desc".to_owned()]).unwrap();
        assert_eq!(parsed[0], Criterion { key: SortKey::Attribute("price".to_owned()), is_ascending: true });
        let point = Point { latitude: 48.8, longitude: 2.3 };
        assert_eq!(parsed[1], Criterion { key: SortKey::Distance(point), is_ascending: false });
        let table = [
            ("price", "expected expression ending by"),
            ("_geo:asc", "Use the _geoPoint"),
            ("_geoPoint(100,3):asc", "Bad latitude `100`"),
            ("_geoPoint(10,181):asc", "Hint: try using `-179`"),
            ("_geoPoint(a,3):asc", "Invalid syntax for the geo parameter"),
            ("_geoRadius(1,2,3):asc", "Use the _geoPoint"),
        ];
        for (text, part) in table {
            let message = criterion(text).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}
