//! Meilisearch's filter language: text or nested arrays in, a tree out.
//!
//! The same texts are accepted and refused as by Meilisearch 1.50, with errors in the same words and with the same
//! positions (`1:5`, counted in characters from 1). The tree says what was asked; whether an attribute is filterable, and
//! what a comparison means for a value, is the business of who evaluates it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use super::error::{ApiError, Code};
use super::features::{Feature, Features};

mod error;
mod foreign_form;
mod node_form;
mod of_documents;
mod parser;

pub use error::{FilterError, FilterErrorKind};
pub use foreign_form::{ForeignCondition, foreign_conditions, with_ids};
pub use node_form::{denied_attributes, knows_attribute, node_form, quoted};
pub use of_documents::check_of_documents;

/// Two filters as they are sent, both of which must hold: the conditions of the second behind those of the first.
pub fn both(first: Option<Value>, second: &Value) -> Value {
    let conditions = |filter: Value| if let Value::Array(conditions) = filter { conditions } else { vec![filter] };
    match first {
        None => second.clone(),
        Some(first) => Value::Array([conditions(first), conditions(second.clone())].concat()),
    }
}

/// A word or quoted text of a filter, with where it stands.
#[derive(Clone, Debug)]
pub struct Token {
    /// What it says, without quotes and escapes.
    pub text: String,
    /// Its bytes in `source`, as written, without quotes.
    pub place: Range<usize>,
    /// The whole expression.
    pub source: Arc<str>,
    /// Where messages begin to repeat it: at the last `_foreign` before.
    pub cited_from: usize,
}

impl Token {
    /// The text as a finite number, as numeric comparisons need it.
    pub fn number(&self) -> Option<f64> {
        self.text.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// A message about this token as Meilisearch writes it: the message, then a line with place and expression.
    pub fn explain(&self, message: impl fmt::Display) -> String {
        let (start, end) = columns(&self.source, self.place.clone());
        format!("{message}\n{start}:{end} {}", &self.source[self.cited_from..])
    }
}

/// The first character of a part and the one after its last, counted from the beginning of the line that it begins in,
/// from 1. Reads the text up to there: for messages only, not for every word.
fn columns(text: &str, part: Range<usize>) -> (usize, usize) {
    let start = text[..part.start].rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (start, start + text[part].chars().count())
}

/// Tokens are equal when they say the same.
impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// How an attribute's values are compared with a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

impl Comparison {
    /// As written in a filter.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }
}

/// What a `_vectors` filter asks for.
#[derive(Clone, PartialEq, Debug)]
pub enum VectorCondition {
    /// Some vector.
    Any,
    /// `.fragments.NAME`
    Fragment(Token),
    /// `.documentTemplate`
    DocumentTemplate,
    /// `.userProvided`
    UserProvided,
    /// `.regenerate`
    Regenerate,
}

/// Latitude and longitude, or whatever number the text says.
pub type GeoPoint = [Token; 2];

/// A condition on documents.
#[derive(Clone, PartialEq, Debug)]
pub enum Filter {
    /// `NOT …`
    Not(Box<Filter>),
    /// All of them; at least two.
    And(Vec<Filter>),
    /// One of them; at least two.
    Or(Vec<Filter>),
    /// `attribute = value` and the like.
    Compare {
        /// Left.
        attribute: Token,
        /// Between.
        comparison: Comparison,
        /// Right.
        value: Token,
    },
    /// `attribute from TO to`, both included.
    Between {
        /// Whose values.
        attribute: Token,
        /// Lower bound.
        from: Token,
        /// Upper bound.
        to: Token,
    },
    /// `attribute IN [values]`
    In {
        /// Whose values.
        attribute: Token,
        /// May be empty: then nothing matches.
        values: Vec<Token>,
    },
    /// `attribute EXISTS`
    Exists(Token),
    /// `attribute IS NULL`
    IsNull(Token),
    /// `attribute IS EMPTY`
    IsEmpty(Token),
    /// `attribute CONTAINS value`
    Contains {
        /// Whose values.
        attribute: Token,
        /// The operator, for messages.
        keyword: Token,
        /// The part.
        value: Token,
    },
    /// `attribute STARTS WITH value`
    StartsWith {
        /// Whose values.
        attribute: Token,
        /// The prefix.
        value: Token,
    },
    /// `_geoRadius(lat, lng, metres, resolution)`
    GeoRadius {
        /// The centre.
        point: GeoPoint,
        /// Metres.
        radius: Token,
        /// For shapes.
        resolution: Option<Token>,
    },
    /// `_geoBoundingBox([lat, lng], [lat, lng])`
    GeoBoundingBox {
        /// First pair.
        top_right: GeoPoint,
        /// Second pair.
        bottom_left: GeoPoint,
    },
    /// `_geoPolygon([lat, lng], …)`
    GeoPolygon(Vec<GeoPoint>),
    /// `_vectors.EMBEDDER EXISTS`
    VectorExists {
        /// The word `_vectors`, for messages.
        keyword: Token,
        /// None: any.
        embedder: Option<Token>,
        /// Which vectors.
        condition: VectorCondition,
    },
    /// `_foreign(attribute, filter)`
    Foreign {
        /// The foreign key.
        attribute: Token,
        /// On the foreign document.
        filter: Box<Filter>,
        /// Bytes of the whole condition in the expression, and of the filter inside.
        places: [Range<usize>; 2],
    },
}

impl Filter {
    /// Reads a filter as a request carries it: a text, or an array (and) of texts and arrays (or) of texts. None when it
    /// asks for nothing (empty texts and arrays).
    pub fn parse(filter: &Value) -> Result<Option<Self>, FilterError> {
        match filter {
            Value::String(text) => Self::parse_text(text),
            Value::Array(items) => {
                // What cannot be a filter is told before what is wrong with a filter.
                items.iter().try_for_each(Self::check_item)?;
                let mut all = Vec::with_capacity(items.len());
                for item in items {
                    all.extend(Self::parse_item(item)?);
                }
                Ok(Self::join(all, Self::And))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                Err(FilterError::wrong_type(&["String", "Array"], filter))
            }
        }
    }

    /// Reads one expression.
    pub fn parse_text(text: &str) -> Result<Option<Self>, FilterError> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        parser::Parser::new(text).parse().map(Some).map_err(|fault| fault.explain(text))
    }

    fn check_item(item: &Value) -> Result<(), FilterError> {
        match item {
            Value::String(_) => Ok(()),
            Value::Array(items) => items
                .iter()
                .find(|item| !item.is_string())
                .map_or(Ok(()), |other| Err(FilterError::wrong_type(&["String"], other))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
                Err(FilterError::wrong_type(&["String", "[String]"], item))
            }
        }
    }

    /// An item of the outer array, checked: a text, or texts of which one must hold.
    fn parse_item(item: &Value) -> Result<Option<Self>, FilterError> {
        let texts = item.as_array().map_or(std::slice::from_ref(item), Vec::as_slice);
        let mut any = Vec::with_capacity(texts.len());
        for text in texts.iter().filter_map(Value::as_str) {
            any.extend(Self::parse_text(text)?);
        }
        Ok(Self::join(any, Self::Or))
    }

    fn join(mut filters: Vec<Self>, join: impl FnOnce(Vec<Self>) -> Self) -> Option<Self> {
        if filters.len() > 1 { Some(join(filters)) } else { filters.pop() }
    }

    /// Whether it may be used while these experimental features are on.
    ///
    /// # Errors
    /// `feature_not_enabled`.
    pub fn check_features(&self, features: Features) -> Result<(), ApiError> {
        let (keyword, feature, doing) = match self {
            Self::Not(filter) => return filter.check_features(features),
            Self::Foreign { filter, .. } if features.has(Feature::ForeignKeys) => {
                return filter.check_features(features);
            }
            Self::And(filters) | Self::Or(filters) => {
                return filters.iter().try_for_each(|filter| filter.check_features(features));
            }
            Self::Contains { keyword, .. } => (keyword, Feature::ContainsFilter, "Using `CONTAINS` in a filter"),
            Self::VectorExists { keyword, .. } => (keyword, Feature::Multimodal, "using a vector filter"),
            Self::Foreign { attribute, .. } => (attribute, Feature::ForeignKeys, "using a foreign filter"),
            Self::Compare { .. }
            | Self::Between { .. }
            | Self::In { .. }
            | Self::Exists(_)
            | Self::IsNull(_)
            | Self::IsEmpty(_)
            | Self::StartsWith { .. }
            | Self::GeoRadius { .. }
            | Self::GeoBoundingBox { .. }
            | Self::GeoPolygon(_) => return Ok(()),
        };
        features.require(feature, doing).map_err(|error| ApiError::new(error.code, keyword.explain(error.message)))
    }

    /// Whether it is about documents of one index alone.
    ///
    /// # Errors
    /// `invalid_document_filter`.
    pub fn check_no_foreign(&self) -> Result<(), ApiError> {
        let mut refusal = Ok(());
        foreign_form::visit_filter(self, &mut |attribute, _, _| {
            let message = attribute.explain("Filter condition `_foreign` is not supported for this endpoint.");
            refusal = refusal.clone().and(Err(ApiError::new(Code::InvalidDocumentFilter, message)));
        });
        refusal
    }

    /// Every attribute that it names, in the order of the text, repeats included. Geo and vector conditions name `_geo`
    /// and `_vectors`.
    pub fn attributes(&self) -> impl Iterator<Item = &str> {
        let mut names = Vec::new();
        self.collect_attributes(&mut names);
        names.into_iter()
    }

    fn collect_attributes<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Not(filter) => filter.collect_attributes(names),
            Self::And(filters) | Self::Or(filters) => {
                for filter in filters {
                    filter.collect_attributes(names);
                }
            }
            Self::Compare { attribute, .. }
            | Self::Between { attribute, .. }
            | Self::In { attribute, .. }
            | Self::Exists(attribute)
            | Self::IsNull(attribute)
            | Self::IsEmpty(attribute)
            | Self::Contains { attribute, .. }
            | Self::StartsWith { attribute, .. } => names.push(&attribute.text),
            Self::GeoRadius { .. } | Self::GeoBoundingBox { .. } | Self::GeoPolygon(_) => names.push("_geo"),
            Self::VectorExists { .. } => names.push("_vectors"),
            Self::Foreign { attribute, filter, .. } => {
                names.push(&attribute.text);
                filter.collect_attributes(names);
            }
        }
    }
}

#[cfg(test)]
mod tests;
