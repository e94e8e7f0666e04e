//! `_vectors EXISTS`, `_vectors.EMBEDDER.userProvided NOT EXISTS` and the like.

use super::value::{unescape, word};
use super::{Failure, Filter, Kind, Parsed, Parser, Token, negate_if};
use crate::meili::filter::VectorCondition;

impl Parser<'_> {
    /// A vector condition; none when something else stands there.
    pub(super) fn vector_condition(&mut self) -> Parsed<Option<Filter>> {
        let start = self.place;
        self.skip_spaces();
        let keyword_start = self.place;
        if !self.take("_vectors") {
            self.place = start;
            return Ok(None);
        }
        let keyword = self.token(keyword_start, self.place, "_vectors");
        let (embedder, condition) = if self.take_spaces() {
            (None, VectorCondition::Any)
        } else if self.take(".") {
            let (embedder, condition) = self.vector_path()?;
            (Some(embedder), condition)
        } else {
            self.place = start;
            return Ok(None);
        };
        let is_negated = self.rest().starts_with("NOT");
        if is_negated {
            self.take("NOT");
            self.skip_spaces();
        }
        if !self.take("EXISTS") {
            return Err(self.error(self.rest(), Kind::VectorOperation));
        }
        Ok(Some(negate_if(is_negated, Filter::VectorExists { keyword, embedder, condition })))
    }

    /// Behind the first point, up to and including the white space before the operation.
    fn vector_path(&mut self) -> Parsed<(Token, VectorCondition)> {
        if self.rest().starts_with(' ') {
            return Err(self.error(&self.rest()[..1], Kind::VectorMissingEmbedder));
        }
        let embedder = self.vector_name(Kind::VectorInvalidEmbedder)?;
        let (condition, name) = if self.take(".fragments") {
            if !self.take(".") {
                return Err(self.error(self.rest(), Kind::VectorMissingFragment));
            }
            (VectorCondition::Fragment(self.vector_name(Kind::VectorInvalidFragment)?), Some("fragments"))
        } else if self.take(".userProvided") {
            (VectorCondition::UserProvided, Some("userProvided"))
        } else if self.take(".documentTemplate") {
            (VectorCondition::DocumentTemplate, Some("documentTemplate"))
        } else if self.take(".regenerate") {
            (VectorCondition::Regenerate, Some("regenerate"))
        } else {
            (VectorCondition::Any, None)
        };
        let point = self.rest();
        if self.take(".") {
            let suffix_start = self.rest();
            let suffix = self.vector_name(Kind::VectorLonelyPoint).ok().map(|token| token.text);
            let kind = match (name, suffix) {
                (_, None) => Kind::VectorLonelyPoint,
                (None, Some(suffix)) => Kind::VectorUnknownSuffix(suffix),
                (Some(name), Some(suffix)) => Kind::VectorTwoSuffixes(name, suffix),
            };
            let part = if kind == Kind::VectorLonelyPoint { &point[..1] } else { word(suffix_start) };
            return Err(self.error(part, kind));
        }
        if !self.take_spaces() {
            return Err(self.error(self.rest(), Kind::VectorLeftover));
        }
        Ok((embedder, condition))
    }

    /// A word without points, or a quoted text.
    fn vector_name(&mut self, otherwise: Kind) -> Parsed<Token> {
        let rest = self.rest();
        let token = if let Some(quote @ ('\'' | '"')) = rest.chars().next() {
            self.quoted(quote).map_err(|_| self.error(rest, Kind::VectorInvalidQuotes))?
        } else {
            let name = word(rest).split('.').next().unwrap_or_default();
            if name.is_empty() {
                return Err(self.error(rest, otherwise));
            }
            let start = self.place;
            self.place += name.len();
            self.token(start, self.place, name)
        };
        unescape(token).map_err(|failure| match failure {
            Failure::NoMatch(error) | Failure::Fatal(error) => error,
        })
    }
}
