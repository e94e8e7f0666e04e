//! What a sort rule sees of a document, where nodes give no score details: the engine's facet values.
//!
//! Of several values the first in the direction of the sort counts; numbers come before texts in both directions.

use std::borrow::Cow;

use serde_json::Value;

use super::facet_values::FacetValues;
use super::rank::SortValue;

/// Metres; the engine's mean radius of the earth.
const EARTH_RADIUS: f64 = 6_371_000.0;

/// The value of an attribute, given by its path.
pub fn sort_value(document: &Value, path: &str, is_ascending: bool) -> SortValue<'static> {
    let values = FacetValues::of(document, path);
    let pick_number = |numbers: &[f64]| {
        let numbers = numbers.iter().copied();
        if is_ascending { numbers.reduce(f64::min) } else { numbers.reduce(f64::max) }
    };
    if let Some(number) = pick_number(&values.numbers) {
        return SortValue::Number(number);
    }
    let text = if is_ascending { values.texts.into_iter().min() } else { values.texts.into_iter().max() };
    text.map_or(SortValue::Missing, |text| SortValue::Text(Cow::Owned(text)))
}

/// Metres between a document's `_geo` and a point, given as `latitude, longitude`.
pub fn distance_to(point: &str, document: &Value) -> Option<f64> {
    let (latitude, longitude) = point.split_once(',')?;
    let from = [latitude.trim().parse().ok()?, longitude.trim().parse().ok()?];
    let geo = document.get("_geo")?;
    Some(haversine(from, [coordinate(geo.get("lat")?)?, coordinate(geo.get("lng")?)?]))
}

/// A number, or a text that is one.
fn coordinate(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn haversine(from: [f64; 2], to: [f64; 2]) -> f64 {
    let [from_latitude, from_longitude] = from.map(f64::to_radians);
    let [to_latitude, to_longitude] = to.map(f64::to_radians);
    let latitude_part = ((to_latitude - from_latitude) / 2.0).sin().powi(2);
    let longitude_part = ((to_longitude - from_longitude) / 2.0).sin().powi(2);
    let chord = latitude_part + from_latitude.cos() * to_latitude.cos() * longitude_part;
    2.0 * EARTH_RADIUS * chord.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_found_wherever_the_engine_finds_them() {
        let document = json!({
            "n": {"a": [3, 1, "x"], "b": "É "}, "list": [{"c": 5}, {"c": 2}], "d.e": true, "none": null, "empty": "", "blank": " ",
        });
        let text = |text: &str| SortValue::Text(Cow::Owned(text.to_owned()));
        for (path, ascending, descending) in [
            ("n.a", SortValue::Number(1.0), SortValue::Number(3.0)),
            ("n.b", text("e\u{301}"), text("e\u{301}")),
            ("list.c", SortValue::Number(2.0), SortValue::Number(5.0)),
            ("d.e", text("true"), text("true")),
            ("none", SortValue::Missing, SortValue::Missing),
            ("empty", SortValue::Missing, SortValue::Missing),
            ("blank", text(""), text("")),
            ("n", SortValue::Missing, SortValue::Missing),
            ("nope", SortValue::Missing, SortValue::Missing),
        ] {
            assert_eq!(sort_value(&document, path, true), ascending, "{path}");
            assert_eq!(sort_value(&document, path, false), descending, "{path}");
        }
    }

    #[test]
    fn distances_are_great_circles() {
        let document = json!({"_geo": {"lat": "48.8566", "lng": 2.3522}});
        let metres = distance_to("51.5074, -0.1278", &document).expect("two points");
        assert!((metres - 343_500.0).abs() < 1_000.0, "{metres}");
        assert_eq!(distance_to("1, 2", &json!({})), None);
    }
}
