//! Which parameters a search has, what their values may be, and what is said about others.

use serde_json::{Map, Value};

use super::super::bad_value::{missing_field, unexpected, unknown_field, unknown_value, wrong_type};
use super::super::error::{ApiError, Code};
use super::super::settings::LOCALES;

/// What a value may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::meili) enum Shape {
    Text,
    PositiveInteger,
    Boolean,
    Texts,
    Numbers,
    Anything,
    Strategy,
    Threshold,
    Locales,
    Hybrid,
    Personalize,
}

/// One parameter.
pub(in crate::meili) struct Parameter {
    /// Its name in a JSON body.
    pub(in crate::meili) name: &'static str,
    pub(in crate::meili) shape: Shape,
    /// `null` is as good as absent.
    pub(in crate::meili) is_nullable: bool,
    pub(super) code: Code,
}

/// A parameter for which `null` is as good as nothing.
pub(in crate::meili) const fn nullable(name: &'static str, shape: Shape, code: Code) -> Parameter {
    Parameter { name, shape, is_nullable: true, code }
}

/// A parameter that must have a value where it stands.
pub(in crate::meili) const fn fixed(name: &'static str, shape: Shape, code: Code) -> Parameter {
    Parameter { name, shape, is_nullable: false, code }
}

/// All of them, in the order of error messages.
pub(in crate::meili) static PARAMETERS: [Parameter; 30] = [
    nullable("q", Shape::Text, Code::InvalidSearchQ),
    fixed("offset", Shape::PositiveInteger, Code::InvalidSearchOffset),
    fixed("limit", Shape::PositiveInteger, Code::InvalidSearchLimit),
    nullable("page", Shape::PositiveInteger, Code::InvalidSearchPage),
    nullable("hitsPerPage", Shape::PositiveInteger, Code::InvalidSearchHitsPerPage),
    nullable("attributesToRetrieve", Shape::Texts, Code::InvalidSearchAttributesToRetrieve),
    nullable("attributesToCrop", Shape::Texts, Code::InvalidSearchAttributesToCrop),
    fixed("cropLength", Shape::PositiveInteger, Code::InvalidSearchCropLength),
    fixed("cropMarker", Shape::Text, Code::InvalidSearchCropMarker),
    nullable("attributesToHighlight", Shape::Texts, Code::InvalidSearchAttributesToHighlight),
    fixed("highlightPreTag", Shape::Text, Code::InvalidSearchHighlightPreTag),
    fixed("highlightPostTag", Shape::Text, Code::InvalidSearchHighlightPostTag),
    fixed("showMatchesPosition", Shape::Boolean, Code::InvalidSearchShowMatchesPosition),
    nullable("filter", Shape::Anything, Code::InvalidSearchFilter),
    nullable("sort", Shape::Texts, Code::InvalidSearchSort),
    nullable("distinct", Shape::Text, Code::InvalidSearchDistinct),
    nullable("facets", Shape::Texts, Code::InvalidSearchFacets),
    fixed("matchingStrategy", Shape::Strategy, Code::InvalidSearchMatchingStrategy),
    nullable("attributesToSearchOn", Shape::Texts, Code::InvalidSearchAttributesToSearchOn),
    nullable("rankingScoreThreshold", Shape::Threshold, Code::InvalidSearchRankingScoreThreshold),
    nullable("locales", Shape::Locales, Code::InvalidSearchLocales),
    nullable("hybrid", Shape::Hybrid, Code::InvalidSearchHybridQuery),
    nullable("vector", Shape::Numbers, Code::InvalidSearchVector),
    fixed("retrieveVectors", Shape::Boolean, Code::InvalidSearchRetrieveVectors),
    nullable("media", Shape::Anything, Code::InvalidSearchMedia),
    nullable("personalize", Shape::Personalize, Code::InvalidSearchPersonalize),
    nullable("useNetwork", Shape::Boolean, Code::InvalidSearchUseNetwork),
    fixed("showRankingScore", Shape::Boolean, Code::InvalidSearchShowRankingScore),
    fixed("showRankingScoreDetails", Shape::Boolean, Code::InvalidSearchShowRankingScoreDetails),
    fixed("showPerformanceDetails", Shape::Boolean, Code::InvalidSearchShowPerformanceDetails),
];

/// The names that a JSON body may have, in the order of error messages.
pub fn parameter_names() -> [&'static str; 30] {
    PARAMETERS.each_ref().map(|parameter| parameter.name)
}

/// What a bad value of this parameter is answered with; none for an unknown one.
pub fn code_of_parameter(name: &str) -> Option<Code> {
    PARAMETERS.iter().find(|parameter| parameter.name == name).map(|parameter| parameter.code)
}

/// The matching strategies.
pub(super) const STRATEGIES: [&str; 3] = ["last", "all", "frequency"];

/// The text about a threshold out of range.
pub(super) const THRESHOLD_RANGE: &str =
    "the value of `rankingScoreThreshold` is invalid, expected a float between `0.0` and `1.0`.";

/// The text about a ratio out of range.
pub(super) const RATIO_RANGE: &str =
    "the value of `semanticRatio` is invalid, expected a float between `0.0` and `1.0`.";

/// A JSON body as checked parameters of a table, nulls left out.
pub(in crate::meili) fn read_body(body: Value, table: &[Parameter]) -> Result<Map<String, Value>, ApiError> {
    let Value::Object(fields) = body else { return Err(wrong_type(Code::BadRequest, "", "an object", &body)) };
    let mut parameters = Map::new();
    for (name, value) in fields {
        let Some(parameter) = table.iter().find(|parameter| parameter.name == name) else {
            let names: Vec<&str> = table.iter().map(|parameter| parameter.name).collect();
            return Err(unknown_field(Code::BadRequest, "", &name, &names));
        };
        if parameter.is_nullable && value.is_null() {
            continue;
        }
        parameter.check(&value, "")?;
        parameters.insert(name, value);
    }
    Ok(parameters)
}

impl Parameter {
    /// Checks a value that stands inside of `location`, which is empty for the whole body.
    pub(in crate::meili) fn check(&self, value: &Value, location: &str) -> Result<(), ApiError> {
        let location = format!("{location}.{}", self.name);
        let wrong = |accepted: &str| Err(wrong_type(self.code, &location, accepted, value));
        match self.shape {
            Shape::Anything => Ok(()),
            Shape::Text if value.is_string() => Ok(()),
            Shape::Text => wrong("a string"),
            Shape::PositiveInteger if value.is_u64() => Ok(()),
            Shape::PositiveInteger => wrong("a positive integer"),
            Shape::Boolean if value.is_boolean() => Ok(()),
            Shape::Boolean => wrong("a boolean"),
            Shape::Texts => self.check_items(value, &location, "a string", Value::is_string),
            Shape::Numbers => self.check_items(value, &location, "a number", Value::is_number),
            Shape::Strategy => self.check_choice(value, &location, &STRATEGIES),
            Shape::Threshold => match value.as_f64() {
                Some(threshold) if (0.0..=1.0).contains(&threshold) => Ok(()),
                Some(_) => Err(unexpected(self.code, &location, THRESHOLD_RANGE)),
                None => wrong("a number"),
            },
            Shape::Locales => {
                self.check_items(value, &location, "a string", Value::is_string)?;
                let items = value.as_array().into_iter().flatten().enumerate();
                items
                    .into_iter()
                    .try_for_each(|(place, locale)| self.check_choice(locale, &format!("{location}[{place}]"), LOCALES))
            }
            Shape::Hybrid => self.check_hybrid(value, &location),
            Shape::Personalize => self.check_personalize(value, &location),
        }
    }

    fn check_items(
        &self,
        value: &Value,
        location: &str,
        accepted: &str,
        is_fine: impl Fn(&Value) -> bool,
    ) -> Result<(), ApiError> {
        let Value::Array(items) = value else { return Err(wrong_type(self.code, location, "an array", value)) };
        match items.iter().position(|item| !is_fine(item)) {
            None => Ok(()),
            Some(place) => Err(wrong_type(self.code, &format!("{location}[{place}]"), accepted, &items[place])),
        }
    }

    fn check_choice(&self, value: &Value, location: &str, allowed: &[&str]) -> Result<(), ApiError> {
        match value.as_str() {
            None => Err(wrong_type(self.code, location, "a string", value)),
            Some(text) if allowed.contains(&text) => Ok(()),
            Some(text) => Err(unknown_value(self.code, location, text, allowed)),
        }
    }

    fn check_hybrid(&self, value: &Value, location: &str) -> Result<(), ApiError> {
        let Value::Object(fields) = value else { return Err(wrong_type(self.code, location, "an object", value)) };
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("embedder", Value::String(_)) => {}
                ("embedder", _) => {
                    return Err(wrong_type(
                        Code::InvalidSearchEmbedder,
                        &format!("{location}.embedder"),
                        "a string",
                        value,
                    ));
                }
                ("semanticRatio", Value::Number(ratio))
                    if ratio.as_f64().is_some_and(|ratio| (0.0..=1.0).contains(&ratio)) => {}
                ("semanticRatio", Value::Number(_)) => {
                    let location = format!("{location}.semanticRatio");
                    return Err(unexpected(Code::InvalidSearchSemanticRatio, &location, RATIO_RANGE));
                }
                ("semanticRatio", _) => {
                    let location = format!("{location}.semanticRatio");
                    return Err(wrong_type(Code::InvalidSearchSemanticRatio, &location, "a number", value));
                }
                _ => return Err(unknown_field(self.code, location, name, &["semanticRatio", "embedder"])),
            }
        }
        if fields.contains_key("embedder") { Ok(()) } else { Err(missing_field(self.code, location, "embedder")) }
    }

    fn check_personalize(&self, value: &Value, location: &str) -> Result<(), ApiError> {
        let Value::Object(fields) = value else { return Err(wrong_type(self.code, location, "an object", value)) };
        for (name, value) in fields {
            if name != "userContext" {
                return Err(unknown_field(self.code, location, name, &["userContext"]));
            }
            if !value.is_string() {
                let location = format!("{location}.userContext");
                return Err(wrong_type(Code::InvalidSearchPersonalizeUserContext, &location, "a string", value));
            }
        }
        if fields.contains_key("userContext") {
            Ok(())
        } else {
            Err(missing_field(Code::InvalidSearchPersonalizeUserContext, location, "userContext"))
        }
    }
}
