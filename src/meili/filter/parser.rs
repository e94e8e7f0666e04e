//! Recursive descent over one filter expression.
//!
//! ```text
//! or        = and ("OR" and)*            and     = not ("AND" not)*           not = "NOT" not | primary
//! primary   = "(" or ")" | geo | vectors | foreign | value operation
//! operation = ("=" | "!=" | ">" | ">=" | "<" | "<=") value | ["NOT"] "IN" "[" values "]" | value "TO" value
//!           | ["NOT"] "EXISTS" | "IS" ["NOT"] ("NULL" | "EMPTY") | ["NOT"] ("CONTAINS" | "STARTS WITH") value
//! ```
//!
//! Recursion is bounded by [`DEPTH_MAX`], so that no text can exhaust the stack.

use std::ops::Range;
use std::sync::Arc;

use super::error::{FilterError, FilterErrorKind as Kind};
use super::{Comparison, Filter, Token, columns};

mod geo;
mod value;
mod vectors;

/// Levels of or, and, not and primary, each counted.
const DEPTH_MAX: usize = 150;

const COMPARISONS: [Comparison; 6] = [
    Comparison::LessOrEqual,
    Comparison::GreaterOrEqual,
    Comparison::NotEqual,
    Comparison::Less,
    Comparison::Greater,
    Comparison::Equal,
];

type Parsed<T> = Result<T, Fault>;

/// Where the reading stands.
pub(super) struct Parser<'a> {
    text: &'a str,
    source: Arc<str>,
    place: usize,
    /// The last `_foreign`.
    cited_from: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, source: text.into(), place: 0, cited_from: 0 }
    }

    /// The whole expression.
    pub(super) fn parse(mut self) -> Parsed<Filter> {
        let filter = self.or(0)?;
        if self.rest().is_empty() {
            Ok(filter)
        } else {
            Err(self.error(self.rest(), Kind::TrailingCharacters(escape(self.rest()))))
        }
    }

    fn or(&mut self, depth: usize) -> Parsed<Filter> {
        self.check_depth(depth)?;
        self.joined("OR", Filter::Or, |parser| parser.and(depth + 1))
    }

    fn and(&mut self, depth: usize) -> Parsed<Filter> {
        self.check_depth(depth)?;
        self.joined("AND", Filter::And, |parser| parser.not(depth + 1))
    }

    fn joined(
        &mut self,
        word: &str,
        join: fn(Vec<Filter>) -> Filter,
        mut next: impl FnMut(&mut Self) -> Parsed<Filter>,
    ) -> Parsed<Filter> {
        let first = next(self)?;
        let mut filters = vec![first];
        while self.take_word_between_spaces(word) {
            filters.push(next(self)?);
        }
        Ok(if filters.len() == 1 { filters.remove(0) } else { join(filters) })
    }

    fn not(&mut self, depth: usize) -> Parsed<Filter> {
        self.check_depth(depth)?;
        if self.take_word_between_spaces("NOT") {
            return Ok(negate(self.not(depth + 1)?));
        }
        self.primary(depth + 1)
    }

    fn primary(&mut self, depth: usize) -> Parsed<Filter> {
        self.check_depth(depth)?;
        let start = self.place;
        self.skip_spaces();
        if self.take("(") {
            self.skip_spaces();
            let filter = self.or(depth + 1)?;
            self.skip_spaces();
            if !self.take(")") {
                let expression = &self.text[start..];
                return Err(self.error(expression, Kind::MissingClosingDelimiter(escape(expression), ')')));
            }
            self.skip_spaces();
            return Ok(filter);
        }
        self.place = start;
        if let Some(filter) = self.geo_condition()? {
            return Ok(filter);
        }
        match self.operation() {
            Err(Failure::Fatal(error)) => Err(error),
            Ok(Some(filter)) => Ok(filter),
            recoverable @ (Ok(None) | Err(Failure::NoMatch(_))) => {
                self.place = start;
                if let Some(filter) = self.vector_condition()? {
                    return Ok(filter);
                }
                if let Some(filter) = self.foreign(depth)? {
                    return Ok(filter);
                }
                if let Err(Failure::NoMatch(fault @ Fault { kind: Kind::KeywordAsValue(_), .. })) = recoverable {
                    return Err(fault);
                }
                let rest = &self.text[start..];
                let found = if rest.trim().is_empty() {
                    "but instead got nothing.".to_owned()
                } else {
                    format!("at `{}`.", escape(rest))
                };
                Err(self.error(rest, Kind::NoOperation(found)))
            }
        }
    }

    /// `attribute operation`; none when an attribute is there but no operation.
    fn operation(&mut self) -> Result<Option<Filter>, Failure> {
        let attribute = self.value()?;
        let after_attribute = self.place;
        for comparison in COMPARISONS {
            if self.take(comparison.sign()) {
                let value = self.value().map_err(Failure::into_fatal)?;
                return Ok(Some(Filter::Compare { attribute, comparison, value }));
            }
        }
        let is_negated = self.take_word("NOT");
        self.skip_spaces();
        if self.take_word("IN") {
            self.skip_spaces();
            let values = self.in_values().map_err(Failure::Fatal)?;
            return Ok(Some(negate_if(is_negated, Filter::In { attribute, values })));
        }
        if self.names_vectors(&attribute) {
            self.place = after_attribute;
            return Ok(self.null_check(attribute));
        }
        if self.take("EXISTS") {
            return Ok(Some(negate_if(is_negated, Filter::Exists(attribute))));
        }
        let keyword_place = self.place;
        if self.take("CONTAINS") {
            let keyword = self.token(keyword_place, self.place, "CONTAINS");
            let value = self.value().map_err(Failure::into_fatal)?;
            return Ok(Some(negate_if(is_negated, Filter::Contains { attribute, keyword, value })));
        }
        if self.take("STARTS WITH") {
            let value = self.value().map_err(Failure::into_fatal)?;
            return Ok(Some(negate_if(is_negated, Filter::StartsWith { attribute, value })));
        }
        self.place = after_attribute;
        if is_negated {
            return Ok(None);
        }
        self.null_or_range(attribute)
    }

    /// Whether the attribute begins a vector condition, whose other operations [`vectors`] reads.
    fn names_vectors(&self, attribute: &Token) -> bool {
        let is_quoted = self.text[..attribute.place.start].ends_with(['\'', '"']);
        !is_quoted && (attribute.text == "_vectors" || attribute.text.starts_with("_vectors."))
    }

    /// `IS [NOT] NULL`, `IS [NOT] EMPTY`.
    fn null_check(&mut self, attribute: Token) -> Option<Filter> {
        if !(self.take("IS") && self.take_spaces()) {
            return None;
        }
        let is_negated = self.take("NOT") && self.take_spaces();
        let filter = if self.take("NULL") {
            Filter::IsNull(attribute)
        } else if self.take("EMPTY") {
            Filter::IsEmpty(attribute)
        } else {
            return None;
        };
        Some(negate_if(is_negated, filter))
    }

    /// `IS …` or `from TO to`.
    fn null_or_range(&mut self, attribute: Token) -> Result<Option<Filter>, Failure> {
        if value::word(self.rest()) == "IS" {
            return Ok(self.null_check(attribute));
        }
        let from = match self.value() {
            Ok(from) => from,
            Err(Failure::NoMatch(_)) => return Ok(None),
            Err(fatal @ Failure::Fatal(_)) => return Err(fatal),
        };
        if self.take("TO") && self.take_spaces() {
            let to = self.value().map_err(Failure::into_fatal)?;
            return Ok(Some(Filter::Between { attribute, from, to }));
        }
        Ok(None)
    }

    /// `[a, b,]` behind `IN`.
    fn in_values(&mut self) -> Parsed<Vec<Token>> {
        if !self.take("[") {
            return Err(self.error(self.rest(), Kind::InOpeningBracket));
        }
        let mut values = Vec::new();
        loop {
            let before = self.place;
            match self.value() {
                Ok(value) => values.push(value),
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::NoMatch(_)) => {
                    self.place = before;
                    break;
                }
            }
            self.skip_spaces();
            let before_comma = self.place;
            if !self.take(",") {
                break;
            }
            self.skip_spaces();
            // The last comma may have nothing behind it.
            if self.rest().is_empty() {
                self.place = before_comma + 1;
                break;
            }
        }
        let rest = self.rest();
        self.skip_spaces();
        if self.take("]") {
            self.skip_spaces();
            return Ok(values);
        }
        let kind = if rest.is_empty() {
            Kind::InClosingBracket
        } else if matches!(self.value(), Err(Failure::NoMatch(Fault { kind: Kind::KeywordAsValue(_), .. }))) {
            Kind::InKeyword(escape(rest))
        } else {
            Kind::InOther(escape(rest))
        };
        Err(self.error(rest, kind))
    }

    /// `_foreign(attribute, filter)`
    fn foreign(&mut self, depth: usize) -> Parsed<Option<Filter>> {
        let start = self.place;
        self.skip_spaces();
        let begin = self.place;
        if !self.take_word("_foreign") {
            self.place = start;
            return Ok(None);
        }
        self.cited_from = begin;
        let filter = self.foreign_arguments(depth, begin);
        filter
            .map(Some)
            .map_err(|fault| Fault { kind: Kind::Foreign(escape(&self.text[fault.place.clone()])), ..fault })
    }

    /// `start` is where the condition begins.
    fn foreign_arguments(&mut self, depth: usize, start: usize) -> Parsed<Filter> {
        self.take_in_foreign("(")?;
        self.skip_spaces();
        let attribute = self.value().map_err(|(Failure::NoMatch(fault) | Failure::Fatal(fault))| fault)?;
        self.take_in_foreign(",")?;
        self.skip_spaces();
        let inside = self.place;
        let filter = Box::new(self.or(depth + 1)?);
        let inside = inside..self.place;
        self.skip_spaces();
        self.take_in_foreign(")")?;
        Ok(Filter::Foreign { attribute, filter, places: [start..self.place, inside] })
    }

    fn take_in_foreign(&mut self, text: &str) -> Parsed<()> {
        if self.take(text) { Ok(()) } else { Err(self.error(self.rest(), Kind::Foreign(String::new()))) }
    }

    fn check_depth(&self, depth: usize) -> Parsed<()> {
        if depth > DEPTH_MAX { Err(self.error(self.rest(), Kind::TooDeep)) } else { Ok(()) }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.place..]
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.place += text.len();
        }
        found
    }

    /// A whole word, not the beginning of a longer one.
    fn take_word(&mut self, word: &str) -> bool {
        let found = value::word(self.rest()) == word;
        if found {
            self.place += word.len();
        }
        found
    }

    fn take_word_between_spaces(&mut self, word: &str) -> bool {
        let start = self.place;
        self.skip_spaces();
        let found = self.take_word(word);
        if found {
            self.skip_spaces();
        } else {
            self.place = start;
        }
        found
    }

    fn skip_spaces(&mut self) {
        self.take_spaces();
    }

    /// ASCII white space, as between words; whether there was some.
    fn take_spaces(&mut self) -> bool {
        let rest = self.rest();
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.place += rest.len() - trimmed.len();
        trimmed.len() < rest.len()
    }

    fn token(&self, start: usize, end: usize, text: &str) -> Token {
        Token { text: text.to_owned(), place: start..end, source: self.source.clone(), cited_from: self.cited_from }
    }

    /// What is wrong with a slice of the text.
    fn error(&self, part: &'a str, kind: Kind) -> Fault {
        let start = part.as_ptr() as usize - self.text.as_ptr() as usize;
        Fault { kind, place: start..start + part.len(), cited_from: self.cited_from }
    }
}

/// What is wrong where. A list of values ends with one, so it is cheap: lines and columns are counted in the one that
/// the client gets.
pub(super) struct Fault {
    kind: Kind,
    /// Bytes of the text.
    place: Range<usize>,
    cited_from: usize,
}

impl Fault {
    /// As the client gets it. `text` is the whole expression.
    pub(super) fn explain(self, text: &str) -> FilterError {
        let (column, end) = columns(text, self.place);
        FilterError::Syntax { kind: self.kind, column, end, source_text: text[self.cited_from..].to_owned() }
    }
}

/// Why something could not be read.
enum Failure {
    /// Something else may stand there.
    NoMatch(Fault),
    /// Nothing else can be meant.
    Fatal(Fault),
}

impl Failure {
    fn into_fatal(self) -> Self {
        match self {
            Self::NoMatch(error) | Self::Fatal(error) => Self::Fatal(error),
        }
    }
}

fn negate(filter: Filter) -> Filter {
    match filter {
        Filter::Not(inner) => *inner,
        other @ (Filter::And(_)
        | Filter::Or(_)
        | Filter::Compare { .. }
        | Filter::Between { .. }
        | Filter::In { .. }
        | Filter::Exists(_)
        | Filter::IsNull(_)
        | Filter::IsEmpty(_)
        | Filter::Contains { .. }
        | Filter::StartsWith { .. }
        | Filter::GeoRadius { .. }
        | Filter::GeoBoundingBox { .. }
        | Filter::GeoPolygon(_)
        | Filter::VectorExists { .. }
        | Filter::Foreign { .. }) => Filter::Not(Box::new(other)),
    }
}

fn negate_if(is_negated: bool, filter: Filter) -> Filter {
    if is_negated { negate(filter) } else { filter }
}

fn escape(text: &str) -> String {
    text.escape_debug().to_string()
}
