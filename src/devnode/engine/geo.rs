//! Positions on the globe: reading `_geo`, distances, and the errors of bad ones.

use serde_json::Value;

use super::documents::Document;
use crate::meili::error::{ApiError, Code};

/// Mean radius of the earth in metres, as Meilisearch's distances use it.
const EARTH_RADIUS_M: f64 = 6_371_000.0;

/// A position in degrees.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Point {
    /// North is positive.
    pub(super) latitude: f64,
    /// East is positive.
    pub(super) longitude: f64,
}

impl Point {
    /// Great-circle distance in metres, rounded to millimetres.
    pub(super) fn distance_m(self, other: Self) -> f64 {
        let half_versine = |angle: f64| (1.0 - angle.cos()) / 2.0;
        let (from, to) = (self.latitude.to_radians(), other.latitude.to_radians());
        let turn = other.longitude.to_radians() - self.longitude.to_radians();
        let total = half_versine(to - from) + from.cos() * to.cos() * half_versine(turn);
        (2.0 * EARTH_RADIUS_M * total.sqrt().asin() * 1000.0).round() / 1000.0
    }
}

/// The position of a document: `None` without `_geo` or with null.
///
/// # Errors
/// `invalid_document_geo_field`.
pub(super) fn document_point(document: &Document, id: &str) -> Result<Option<Point>, ApiError> {
    let id = Value::from(id);
    let geo = match document.get("_geo") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(geo)) => geo,
        Some(value) => {
            return Err(bad(format!(
                "The `_geo` field in the document with the id: `{id}` is not an object. Was expecting an object with \
                 the `_geo.lat` and `_geo.lng` fields but instead got `{value}`."
            )));
        }
    };
    let (lat, lng) = match (geo.get("lat"), geo.get("lng")) {
        (Some(lat), Some(lng)) => (lat, lng),
        (Some(_), None) => {
            return Err(bad(format!(
                "Could not find longitude in the document with the id: `{id}`. Was expecting a `_geo.lng` field."
            )));
        }
        (None, Some(_)) => {
            return Err(bad(format!(
                "Could not find latitude in the document with the id: `{id}`. Was expecting a `_geo.lat` field."
            )));
        }
        (None, None) => {
            return Err(bad(format!(
                "Could not find latitude nor longitude in the document with the id: `{id}`. Was expecting `_geo.lat` \
                 and `_geo.lng` fields."
            )));
        }
    };
    if geo.len() > 2 {
        let mut rest = geo.clone();
        rest.retain(|key, _| key != "lat" && key != "lng");
        let rest = Value::Object(rest);
        return Err(bad(format!(
            "The `_geo` field in the document with the id: `{id}` contains the following unexpected fields: `{rest}`."
        )));
    }
    match (degrees(lat), degrees(lng)) {
        (Some(latitude), Some(longitude)) => Ok(Some(Point { latitude, longitude })),
        (Some(_), None) => Err(bad(format!(
            "Could not parse longitude in the document with the id: `{id}`. Was expecting a finite number but instead \
             got `{lng}`."
        ))),
        (None, Some(_)) => Err(bad(format!(
            "Could not parse latitude in the document with the id: `{id}`. Was expecting a finite number but instead \
             got `{lat}`."
        ))),
        (None, None) => Err(bad(format!(
            "Could not parse latitude nor longitude in the document with the id: `{id}`. Was expecting finite numbers \
             but instead got `{lat}` and `{lng}`."
        ))),
    }
}

fn bad(message: String) -> ApiError {
    ApiError::new(Code::InvalidDocumentGeoField, message)
}

/// A finite number, written as a number or as a string.
pub(super) fn degrees(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bad_positions_are_named() {
        let table = [
            (json!({"_geo": 1}), "is not an object"),
            (json!({"_geo": {}}), "latitude nor longitude"),
            (json!({"_geo": {"lat": 1}}), "find longitude"),
            (json!({"_geo": {"lng": 1}}), "find latitude"),
            (json!({"_geo": {"lat": 1, "lng": 2, "x": 3}}), "unexpected fields: `{\"x\":3}`"),
            (json!({"_geo": {"lat": "a", "lng": 2}}), "parse latitude in"),
            (json!({"_geo": {"lat": "a", "lng": null}}), "got `\"a\"` and `null`"),
        ];
        for (document, part) in table {
            let error = document_point(document.as_object().unwrap(), "7").unwrap_err();
            assert_eq!(error.code.name(), "invalid_document_geo_field");
            assert!(error.message.contains(part) && error.message.contains("`\"7\"`"), "{}", error.message);
        }
        assert_eq!(document_point(json!({"_geo": null}).as_object().unwrap(), "7"), Ok(None));
    }

    #[test]
    fn paris_to_london_is_344_km() {
        let paris = Point { latitude: 48.8566, longitude: 2.3522 };
        let london = Point { latitude: 51.5074, longitude: -0.1278 };
        assert!((paris.distance_m(london) - 343_556.0).abs() < 100.0);
    }
}
