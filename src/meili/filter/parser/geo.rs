//! Geo conditions, and the errors for geo words where none may stand.

use super::value::word;
use super::{Fault, Filter, Kind, Parsed, Parser, Token};
use crate::meili::filter::GeoPoint;

/// Words that look like geo conditions and are none.
const RESERVED: [&str; 3] = ["_geoPoint", "_geoDistance", "_geo"];

impl Parser<'_> {
    /// `_geoRadius`, `_geoBoundingBox` or `_geoPolygon`; none when something else stands there.
    pub(super) fn geo_condition(&mut self) -> Parsed<Option<Filter>> {
        let start = self.place;
        self.skip_spaces();
        let filter = if self.take_word("_geoRadius") {
            self.geo_radius()?
        } else if self.take_word("_geoBoundingBox") {
            self.geo_bounding_box()?
        } else if self.take_word("_geoPolygon") {
            self.geo_polygon()?
        } else {
            self.place = start;
            return Ok(None);
        };
        Ok(Some(filter))
    }

    /// Geo conditions and reserved geo words are no values.
    pub(super) fn refuse_geo_as_value(&self) -> Parsed<()> {
        let rest = self.rest();
        for name in RESERVED {
            // `_geo` is a word of its own only; the others are refused as beginnings too.
            let is_meant = if name == "_geo" { word(rest) == name } else { rest.starts_with(name) };
            if is_meant {
                return Err(self.error(rest, Kind::ReservedGeo(name)));
            }
        }
        match word(rest) {
            "_geoRadius" => Err(self.error(rest, Kind::MisusedGeoRadius)),
            "_geoBoundingBox" => Err(self.error(rest, Kind::MisusedGeoBoundingBox)),
            _ => Ok(()),
        }
    }

    fn geo_radius(&mut self) -> Parsed<Filter> {
        let arguments_start = self.rest();
        let arguments = self.numbers('(', ')').ok_or_else(|| self.error(arguments_start, Kind::GeoRadius))?;
        if !(3..=4).contains(&arguments.len()) {
            return Err(self.error(self.rest(), Kind::GeoRadiusArguments(arguments.len())));
        }
        let mut arguments = arguments.into_iter();
        let mut next = || arguments.next().expect("three or four, counted above");
        let (point, radius) = ([next(), next()], next());
        Ok(Filter::GeoRadius { point, radius, resolution: arguments.next() })
    }

    fn geo_bounding_box(&mut self) -> Parsed<Filter> {
        let arguments_start = self.rest();
        let points = self.points(false).ok_or_else(|| self.error(arguments_start, Kind::GeoBoundingBox))?;
        if points.len() != 2 {
            return Err(self.error(self.rest(), Kind::GeoBoundingBox));
        }
        let mut points = self.pairs(points)?.into_iter();
        let mut next = || points.next().expect("two, counted above");
        Ok(Filter::GeoBoundingBox { top_right: next(), bottom_left: next() })
    }

    fn geo_polygon(&mut self) -> Parsed<Filter> {
        let arguments_start = self.rest();
        let points = self.points(true).ok_or_else(|| self.error(arguments_start, Kind::GeoPolygon))?;
        if points.len() < 3 {
            return Err(self.error(self.rest(), Kind::GeoPolygonPoints(points.len())));
        }
        Ok(Filter::GeoPolygon(self.pairs(points)?))
    }

    fn pairs(&self, points: Vec<Vec<Token>>) -> Parsed<Vec<GeoPoint>> {
        let pair = |point: Vec<Token>| {
            <GeoPoint>::try_from(point).map_err(|point| {
                let kind = Kind::GeoCoordinates(point.len());
                match point.first() {
                    Some(first) => Fault { kind, place: first.place.clone(), cited_from: first.cited_from },
                    None => self.error(self.rest(), kind),
                }
            })
        };
        points.into_iter().map(pair).collect()
    }

    /// `([a, b], [c, d])`
    fn points(&mut self, allows_last_comma: bool) -> Option<Vec<Vec<Token>>> {
        if !self.take("(") {
            return None;
        }
        let mut points = Vec::new();
        loop {
            self.skip_spaces();
            if allows_last_comma && !points.is_empty() && self.take(")") {
                return Some(points);
            }
            points.push(self.numbers('[', ']')?);
            self.skip_spaces();
            if !self.take(",") {
                return self.take(")").then_some(points);
            }
        }
    }

    /// `(1, -2.5, 3e2)` with the given brackets; at least one number.
    fn numbers(&mut self, opening: char, closing: char) -> Option<Vec<Token>> {
        if !self.take(opening.encode_utf8(&mut [0; 4])) {
            return None;
        }
        let mut numbers = Vec::new();
        loop {
            self.skip_spaces();
            let start = self.place;
            self.place += number_length(self.rest())?;
            numbers.push(self.token(start, self.place, &self.text[start..self.place]));
            self.skip_spaces();
            if !self.take(",") {
                return self.take(closing.encode_utf8(&mut [0; 4])).then_some(numbers);
            }
        }
    }
}

/// Bytes of the number at the beginning: sign, digits with or without a point, exponent.
fn number_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits_from = |start: usize| bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let whole = digits_from(end);
    end += whole;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        fraction = digits_from(end + 1);
        if whole + fraction > 0 {
            end += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return None;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits_from((end + 1 + sign).min(bytes.len()));
        if exponent == 0 {
            return None;
        }
        end += 1 + sign + exponent;
    }
    Some(end)
}
