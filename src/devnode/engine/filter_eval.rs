//! Which documents a filter matches.
//!
//! The filter is read by `meili::filter`; here are the rules about attributes (which may be filtered, with which
//! operators) and the evaluation over facet values.

use std::ops::Bound;

use roaring::RoaringBitmap;
use serde_json::Value;

use super::facets::{FieldFacets, Number};
use super::geo::Point;
use super::index::Index;
use super::sort::{bad_latitude, bad_longitude};
use crate::meili::error::{ApiError, Code};
use crate::meili::facet_text::facet_key;
use crate::meili::features::Features;
use crate::meili::filter::{Comparison, Filter, FilterError, Token};
use crate::meili::filterable::FilterFeatures;

/// The matching documents, or `None` when the filter asks for nothing.
///
/// # Errors
/// `code` (`invalid_search_filter` or `invalid_document_filter`), `feature_not_enabled`.
pub(super) fn evaluate(index: &Index, filter: &Value, code: Code) -> Result<Option<RoaringBitmap>, ApiError> {
    let parsed = Filter::parse(filter).map_err(|error| {
        let message = match &error {
            FilterError::WrongType { expected, found } => {
                let expected = expected.join(", ");
                format!("Invalid syntax for the filter parameter: `expected {expected}, found: {found}`.")
            }
            FilterError::Syntax { .. } => error.to_string(),
        };
        ApiError::new(code, message)
    })?;
    let Some(filter) = parsed else { return Ok(None) };
    let evaluation = Evaluation { index, code };
    evaluation.check(&filter)?;
    evaluation.matching(&filter).map(Some)
}

struct Evaluation<'a> {
    index: &'a Index,
    code: Code,
}

impl Evaluation<'_> {
    fn refused(&self, message: &str) -> ApiError {
        ApiError::new(self.code, self.index.message(message))
    }

    /// Every attribute must be filterable, and only known operators may be used, wherever they stand.
    fn check(&self, filter: &Filter) -> Result<(), ApiError> {
        match filter {
            Filter::Not(inner) => self.check(inner),
            Filter::And(list) | Filter::Or(list) => list.iter().try_for_each(|inner| self.check(inner)),
            Filter::Contains { keyword, .. } => {
                let message = "Using `CONTAINS` in a filter requires enabling the `contains filter` experimental \
                               feature. See https://github.com/orgs/meilisearch/discussions/763";
                Err(ApiError::new(Code::FeatureNotEnabled, keyword.explain(message)))
            }
            Filter::Compare { attribute, .. }
            | Filter::Between { attribute, .. }
            | Filter::In { attribute, .. }
            | Filter::StartsWith { attribute, .. }
            | Filter::Exists(attribute)
            | Filter::IsNull(attribute)
            | Filter::IsEmpty(attribute) => {
                let rule = self.index.settings.filterable_rule(&attribute.text);
                match rule {
                    Some((_, features)) if features.is_filterable() => Ok(()),
                    Some(_) | None => Err(self.not_filterable(&attribute.text, attribute)),
                }
            }
            Filter::GeoRadius { .. } | Filter::GeoBoundingBox { .. } => Ok(()),
            Filter::GeoPolygon(points) => match points.first() {
                Some([latitude, _]) => Err(self.not_filterable("_geojson", latitude)),
                None => Ok(()),
            },
            Filter::VectorExists { keyword, .. } => {
                let message = "using a vector filter requires enabling the `multimodal` experimental feature. See \
                               https://github.com/orgs/meilisearch/discussions/846";
                Err(ApiError::new(Code::FeatureNotEnabled, keyword.explain(message)))
            }
            Filter::Foreign { .. } => filter.check_features(Features::default()),
        }
    }

    fn not_filterable(&self, attribute: &str, token: &Token) -> ApiError {
        let names = self.index.settings.filterable_names();
        let available = if names.is_empty() {
            "This index does not have configured filterable attributes.".to_owned()
        } else {
            let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("Available filterable attribute patterns are: {}.", quoted.join(", "))
        };
        self.refused(&token.explain(format_args!("Attribute `{attribute}` is not filterable. {available}")))
    }

    fn matching(&self, filter: &Filter) -> Result<RoaringBitmap, ApiError> {
        match filter {
            Filter::Not(inner) => Ok(&self.index.all - self.matching(inner)?),
            Filter::And(list) => {
                let mut found = self.index.all.clone();
                for inner in list {
                    if found.is_empty() {
                        break;
                    }
                    found &= self.matching(inner)?;
                }
                Ok(found)
            }
            Filter::Or(list) => {
                let mut found = RoaringBitmap::new();
                for inner in list {
                    found |= self.matching(inner)?;
                }
                Ok(found)
            }
            Filter::GeoRadius { point, radius, .. } => self.in_radius(point, radius),
            Filter::GeoBoundingBox { top_right, bottom_left } => self.in_box(top_right, bottom_left),
            Filter::Compare { attribute, .. }
            | Filter::Between { attribute, .. }
            | Filter::In { attribute, .. }
            | Filter::StartsWith { attribute, .. }
            | Filter::Exists(attribute)
            | Filter::IsNull(attribute)
            | Filter::IsEmpty(attribute) => self.by_attribute(attribute, filter),
            Filter::Contains { .. } | Filter::GeoPolygon(_) | Filter::VectorExists { .. } | Filter::Foreign { .. } => {
                unreachable!("refused by the check before")
            }
        }
    }

    fn by_attribute(&self, attribute: &Token, filter: &Filter) -> Result<RoaringBitmap, ApiError> {
        let name = attribute.text.as_str();
        // A name that no document ever had matches nothing, `!=` included.
        let Some(field) = self.index.fields.id(name) else { return Ok(RoaringBitmap::new()) };
        let Some((place, features)) = self.index.settings.filterable_rule(name) else {
            return Ok(RoaringBitmap::new());
        };
        if let Some((operator, feature)) = forbidden_operator(filter, features) {
            return Err(self.refused(&operator_refusal(name, operator, feature, place, features)));
        }
        let nothing = FieldFacets::default();
        let facets = self.index.facets.field(field).unwrap_or(&nothing);
        Ok(match filter {
            Filter::Exists(_) => facets.exists.clone(),
            Filter::IsNull(_) => facets.null.clone(),
            Filter::IsEmpty(_) => facets.empty.clone(),
            Filter::In { values, .. } => {
                values.iter().fold(RoaringBitmap::new(), |found, value| found | equal(facets, value))
            }
            Filter::StartsWith { value, .. } => starting_with(facets, &value.text),
            Filter::Between { from, to, .. } => {
                let numbers = from.number().zip(to.number());
                let numbers = numbers.map(|(from, to)| (Bound::Included(from), Bound::Included(to)));
                let strings = (Bound::Included(facet_key(&from.text)), Bound::Included(facet_key(&to.text)));
                in_range(facets, numbers, strings)
            }
            Filter::Compare { comparison: Comparison::Equal, value, .. } => equal(facets, value),
            Filter::Compare { comparison: Comparison::NotEqual, value, .. } => &self.index.all - equal(facets, value),
            Filter::Compare { comparison, value, .. } => compared(facets, *comparison, value),
            Filter::Not(_)
            | Filter::And(_)
            | Filter::Or(_)
            | Filter::Contains { .. }
            | Filter::GeoRadius { .. }
            | Filter::GeoBoundingBox { .. }
            | Filter::GeoPolygon(_)
            | Filter::VectorExists { .. }
            | Filter::Foreign { .. } => unreachable!("has no attribute"),
        })
    }

    fn coordinates(&self, [latitude, longitude]: &[Token; 2]) -> Result<Point, ApiError> {
        let point = Point { latitude: self.float(latitude)?, longitude: self.float(longitude)? };
        if !(-90.0..=90.0).contains(&point.latitude) {
            return Err(self.refused(&latitude.explain(bad_latitude(point.latitude))));
        }
        if !(-180.0..=180.0).contains(&point.longitude) {
            return Err(self.refused(&longitude.explain(bad_longitude(point.longitude))));
        }
        Ok(point)
    }

    fn float(&self, token: &Token) -> Result<f64, ApiError> {
        let parsed: Result<f64, _> = token.text.parse();
        match parsed {
            Ok(number) if number.is_finite() => Ok(number),
            Ok(_) => Err(self.refused(&token.explain("Non finite floats are not supported"))),
            Err(error) => Err(self.refused(&token.explain(error))),
        }
    }

    fn require_geo(&self, token: &Token) -> Result<(), ApiError> {
        if self.index.settings.is_geo_filterable() {
            return Ok(());
        }
        Err(self.not_filterable("_geo/_geojson", token))
    }

    fn in_radius(&self, point: &[Token; 2], radius: &Token) -> Result<RoaringBitmap, ApiError> {
        let centre = self.coordinates(point)?;
        let metres = self.float(radius)?;
        self.require_geo(&point[0])?;
        Ok(self.points(|point| centre.distance_m(point) <= metres + f64::EPSILON))
    }

    fn in_box(&self, top_right: &[Token; 2], bottom_left: &[Token; 2]) -> Result<RoaringBitmap, ApiError> {
        let (top, bottom) = (self.coordinates(top_right)?, self.coordinates(bottom_left)?);
        if top.latitude < bottom.latitude {
            let message =
                format!("The top latitude `{}` is below the bottom latitude `{}`.", top.latitude, bottom.latitude);
            return Err(self.refused(&bottom_left[1].explain(message)));
        }
        self.require_geo(&top_right[0])?;
        let around_the_back = top.longitude < bottom.longitude;
        Ok(self.points(|point| {
            let longitude = if around_the_back {
                point.longitude >= bottom.longitude || point.longitude <= top.longitude
            } else {
                (bottom.longitude..=top.longitude).contains(&point.longitude)
            };
            longitude && (bottom.latitude..=top.latitude).contains(&point.latitude)
        }))
    }

    fn points(&self, matches: impl Fn(Point) -> bool) -> RoaringBitmap {
        let with_points = self.index.facets.with_points();
        with_points.iter().filter(|document| self.index.facets.point(*document).is_some_and(&matches)).collect()
    }
}

/// The operator of a condition that the rule does not allow, and the feature that would.
fn forbidden_operator(filter: &Filter, features: FilterFeatures) -> Option<(&'static str, &'static str)> {
    match filter {
        Filter::Compare { comparison, .. } => {
            let is_equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
            let (allowed, feature) =
                if is_equality { (features.equality, "equality") } else { (features.comparison, "comparison") };
            (!allowed).then(|| (comparison.sign(), feature))
        }
        Filter::In { values, .. } => (!features.equality && !values.is_empty()).then_some(("=", "equality")),
        Filter::Between { .. } => (!features.comparison).then_some(("TO", "comparison")),
        Filter::Exists(_)
        | Filter::IsNull(_)
        | Filter::IsEmpty(_)
        | Filter::StartsWith { .. }
        | Filter::Not(_)
        | Filter::And(_)
        | Filter::Or(_)
        | Filter::Contains { .. }
        | Filter::GeoRadius { .. }
        | Filter::GeoBoundingBox { .. }
        | Filter::GeoPolygon(_)
        | Filter::VectorExists { .. }
        | Filter::Foreign { .. } => None,
    }
}

fn operator_refusal(name: &str, operator: &str, feature: &str, place: usize, features: FilterFeatures) -> String {
    let mut allowed = vec!["OR", "AND", "NOT"];
    if features.equality {
        allowed.extend(["=", "!=", "IN"]);
    }
    if features.comparison {
        allowed.extend(["<", ">", "<=", ">=", "TO"]);
    }
    allowed.extend(["IS EMPTY", "IS NULL", "EXISTS"]);
    let allowed = allowed.join(", ");
    format!(
        "Filter operator `{operator}` is not allowed for the attribute `{name}`.\n  - Note: allowed operators: \
         {allowed}.\n  - Note: field `{name}` matched rule #{place} in `filterableAttributes`\n  - Hint: enable \
         {feature} in rule #{place} by modifying the features.filter object\n  - Hint: prepend another rule matching \
         `{name}` with appropriate filter features before rule #{place}"
    )
}

fn equal(facets: &FieldFacets, value: &Token) -> RoaringBitmap {
    let mut found =
        facets.strings.get(&facet_key(&value.text)).map(|value| value.documents.clone()).unwrap_or_default();
    if let Some(documents) = value.number().and_then(|number| facets.numbers.get(&Number(number))) {
        found |= documents;
    }
    found
}

fn compared(facets: &FieldFacets, comparison: Comparison, value: &Token) -> RoaringBitmap {
    let (number, key) = (value.number(), facet_key(&value.text));
    let (least, most) = (Bound::Included(f64::MIN), Bound::Included(f64::MAX));
    let (numbers, strings) = match comparison {
        Comparison::Greater => {
            (number.map(|number| (Bound::Excluded(number), most)), (Bound::Excluded(key), Bound::Unbounded))
        }
        Comparison::GreaterOrEqual => {
            (number.map(|number| (Bound::Included(number), most)), (Bound::Included(key), Bound::Unbounded))
        }
        Comparison::Less => {
            (number.map(|number| (least, Bound::Excluded(number))), (Bound::Unbounded, Bound::Excluded(key)))
        }
        Comparison::LessOrEqual => {
            (number.map(|number| (least, Bound::Included(number))), (Bound::Unbounded, Bound::Included(key)))
        }
        Comparison::Equal | Comparison::NotEqual => unreachable!("handled by the caller"),
    };
    in_range(facets, numbers, strings)
}

type Range<T> = (Bound<T>, Bound<T>);

fn in_range(facets: &FieldFacets, numbers: Option<Range<f64>>, strings: Range<String>) -> RoaringBitmap {
    let mut found = RoaringBitmap::new();
    if let Some((from, to)) = numbers {
        let range = (from.map(Number), to.map(Number));
        if !is_empty_range(&range) {
            facets.numbers.range(range).for_each(|(_, documents)| found |= documents);
        }
    }
    if !is_empty_range(&strings) {
        facets.strings.range(strings).for_each(|(_, value)| found |= &value.documents);
    }
    found
}

/// Ranges that hold nothing; the standard library panics on some of them.
fn is_empty_range<T: Ord>(range: &Range<T>) -> bool {
    match range {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}

fn starting_with(facets: &FieldFacets, prefix: &str) -> RoaringBitmap {
    let key = facet_key(prefix);
    if key.is_empty() {
        return facets.exists.clone();
    }
    let from_key = facets.strings.range(key.clone()..).take_while(|(value, _)| value.starts_with(&key));
    from_key.fold(RoaringBitmap::new(), |found, (_, value)| found | &value.documents)
}
