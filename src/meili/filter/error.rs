//! Why a filter is refused, in Meilisearch's words.

use serde_json::Value;

/// A filter that cannot be read. Its text is the message that clients get.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum FilterError {
    /// Neither text nor array where one is needed.
    #[error("Invalid syntax for the filter parameter: `expected {}, found: {found}`.", .expected.join(", "))]
    WrongType {
        /// What would do.
        expected: &'static [&'static str],
        /// What is there.
        found: Value,
    },
    /// The text breaks the grammar.
    #[error("{kind}\n{column}:{end} {source_text}")]
    Syntax {
        /// What is wrong.
        kind: FilterErrorKind,
        /// First character of the offending part, from 1.
        column: usize,
        /// The character after its last.
        end: usize,
        /// The whole expression.
        source_text: String,
    },
}

impl FilterError {
    pub(super) fn wrong_type(expected: &'static [&'static str], found: &Value) -> Self {
        Self::WrongType { expected, found: found.clone() }
    }
}

/// What is wrong with an expression. Texts are escaped already.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what each is")]
pub enum FilterErrorKind {
    #[error("Was expecting a value but instead got nothing.")]
    MissingValue,
    #[error(
        "Was expecting a value but instead got `{0}`, which is a reserved keyword. To use `{0}` as a field name or a value, surround it by quotes."
    )]
    KeywordAsValue(String),
    #[error("Was expecting a value but instead got `{0}`.")]
    NoValue(String),
    #[error("Malformed value: `{0}`.")]
    MalformedValue(String),
    #[error("Found an invalid escaped sequence number: `{0}`.")]
    InvalidEscapedNumber(String),
    #[error("The filter is incomplete and requires Unknown additional bytes to be parsed.")]
    Incomplete,
    #[error("Expression `{0}` is missing the following closing delimiter: `{1}`.")]
    MissingClosingDelimiter(String, char),
    #[error(
        "Was expecting an operation `=`, `!=`, `>=`, `>`, `<=`, `<`, `IN`, `NOT IN`, `TO`, `EXISTS`, `NOT EXISTS`, `IS NULL`, `IS NOT NULL`, `IS EMPTY`, `IS NOT EMPTY`, `CONTAINS`, `NOT CONTAINS`, `STARTS WITH`, `NOT STARTS WITH`, `_geoRadius`, `_geoBoundingBox` or `_geoPolygon` {0}"
    )]
    NoOperation(String),
    #[error(
        "Found unexpected characters at the end of the filter: `{0}`. You probably forgot an `OR` or an `AND` rule."
    )]
    TrailingCharacters(String),
    #[error(
        "The `_geoRadius` filter must be in the form: `_geoRadius(latitude, longitude, radius, optionalResolution)`."
    )]
    GeoRadius,
    #[error("Was expecting 3 or 4 arguments for `_geoRadius`, but instead found {0}.")]
    GeoRadiusArguments(usize),
    #[error(
        "The `_geoBoundingBox` filter expects two pairs of arguments: `_geoBoundingBox([latitude, longitude], [latitude, longitude])`."
    )]
    GeoBoundingBox,
    #[error(
        "The `_geoPolygon` filter doesn't match the expected format: `_geoPolygon([latitude, longitude], [latitude, longitude])`."
    )]
    GeoPolygon,
    #[error("The `_geoPolygon` filter expects at least 3 points but only {0} were specified")]
    GeoPolygonPoints(usize),
    #[error("Was expecting 2 coordinates but instead found {0}.")]
    GeoCoordinates(usize),
    #[error(
        "`{0}` is a reserved keyword and thus can't be used as a filter expression. Use the `_geoRadius(latitude, longitude, distance)` or `_geoBoundingBox([latitude, longitude], [latitude, longitude])` built-in rules to filter on `_geo` coordinates."
    )]
    ReservedGeo(&'static str),
    #[error("The `_geoRadius` filter is an operation and can't be used as a value.")]
    MisusedGeoRadius,
    #[error("The `_geoBoundingBox` filter is an operation and can't be used as a value.")]
    MisusedGeoBoundingBox,
    #[error("Expected `[` after `IN` keyword.")]
    InOpeningBracket,
    #[error("Expected matching `]` after the list of field names given to `IN[`")]
    InClosingBracket,
    #[error(
        "Expected only comma-separated field names inside `IN[..]` but instead found `{0}`, which is a keyword. To use `{0}` as a field name or a value, surround it by quotes."
    )]
    InKeyword(String),
    #[error("Expected only comma-separated field names inside `IN[..]` but instead found `{0}`.")]
    InOther(String),
    #[error("Was expecting a field name and an condition inside `_foreign(..)` filter but instead found `{0}`.")]
    Foreign(String),
    #[error("Was expecting embedder name but found nothing.")]
    VectorMissingEmbedder,
    #[error("The vector filter's embedder name is invalid.")]
    VectorInvalidEmbedder,
    #[error("The vector filter is missing a fragment name.")]
    VectorMissingFragment,
    #[error("The vector filter's fragment name is invalid.")]
    VectorInvalidFragment,
    #[error("The quotes in one of the values are inconsistent.")]
    VectorInvalidQuotes,
    #[error(
        "Was expecting one of `.fragments`, `.userProvided`, `.documentTemplate`, `.regenerate` or nothing, but instead found a point without a valid value."
    )]
    VectorLonelyPoint,
    #[error(
        "Was expecting one of `fragments`, `userProvided`, `documentTemplate`, `regenerate` or nothing, but instead found `{0}`."
    )]
    VectorUnknownSuffix(String),
    #[error(
        "Vector filter can only accept one of `fragments`, `userProvided`, `documentTemplate` or `regenerate`, but found both `{0}` and `{1}`."
    )]
    VectorTwoSuffixes(&'static str, String),
    #[error("The vector filter has leftover tokens.")]
    VectorLeftover,
    #[error("Was expecting an operation like `EXISTS` or `NOT EXISTS` after the vector filter.")]
    VectorOperation,
    #[error(
        "The filter exceeded the maximum depth limit. Try rewriting the filter so that it contains fewer nested conditions."
    )]
    TooDeep,
}
