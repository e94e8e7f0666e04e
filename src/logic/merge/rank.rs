//! The order of hits: rule by rule, as the engine compares.
//!
//! A rank is read from a hit's `_rankingScoreDetails`. Word and typo counts are compared as integers; scores with the
//! engine's epsilon; values of sort rules by direction, numbers before strings in byte order, missing ones last; distances
//! likewise; similarities as numbers. A skipped rule (the search was cut off) is below everything.
//!
//! `_rankingScore` alone would not do: it ignores every sort rule.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::MergeError;
use crate::logic::marker::members;

/// Of one document by one rule. "Greater" is better.
#[derive(Clone, PartialEq, Debug)]
enum RuleScore<'a> {
    /// Counts; the more the better.
    Count(i64),
    /// Between 0 and 1; a second one decides between equals.
    Score(f64, f64),
    /// A sort rule.
    Sort { is_ascending: bool, value: SortValue<'a> },
    /// A geo sort rule: metres.
    Distance { is_ascending: bool, metres: Option<f64> },
    /// Not evaluated for lack of time.
    Skipped,
}

/// A value of a document for a sort rule.
#[derive(Clone, PartialEq, Debug)]
pub enum SortValue<'a> {
    /// Numbers come before texts.
    Number(f64),
    /// Normalised by the engine.
    Text(Cow<'a, str>),
    /// Always last.
    Missing,
}

impl SortValue<'_> {
    /// `Less` when this one comes first.
    pub fn compare(&self, other: &Self, is_ascending: bool) -> Ordering {
        let by_direction = |order: Ordering| if is_ascending { order } else { order.reverse() };
        match (self, other) {
            (Self::Missing, Self::Missing) => Ordering::Equal,
            (Self::Missing, Self::Number(_) | Self::Text(_)) => Ordering::Greater,
            (Self::Number(_) | Self::Text(_), Self::Missing) => Ordering::Less,
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
            (Self::Number(left), Self::Number(right)) => {
                by_direction(left.partial_cmp(right).unwrap_or(Ordering::Equal))
            }
            (Self::Text(left), Self::Text(right)) => by_direction(left.as_bytes().cmp(right.as_bytes())),
        }
    }
}

/// Distances in the order of a geo sort, `Less` when the left one comes first; a missing one is last.
pub fn compare_distances(left: Option<f64>, right: Option<f64>, is_ascending: bool) -> Ordering {
    match (left, right) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(left), Some(right)) => {
            let order = left.partial_cmp(&right).unwrap_or(Ordering::Equal);
            if is_ascending { order } else { order.reverse() }
        }
    }
}

/// Of one hit.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Rank<'a> {
    /// By the place of the rule.
    scores: Vec<(u64, RuleScore<'a>)>,
}

impl<'a> Rank<'a> {
    /// Reads the rank of a hit; of one without details an empty rank, equal to every other.
    pub fn of_hit(hit: &'a str) -> Result<Self, MergeError> {
        let mut details = None;
        for member in members(hit) {
            let member = member?;
            // A document may have a field of that name: the engine's comes last.
            if member.key == "_rankingScoreDetails" {
                details = Some(member.value);
            }
        }
        details.map_or_else(|| Ok(Self::default()), Self::of_details)
    }

    /// Reads the value of `_rankingScoreDetails`.
    pub fn of_details(details: &'a str) -> Result<Self, MergeError> {
        let mut scores = Vec::with_capacity(8);
        for member in members(details) {
            let member = member?;
            scores.push(read_rule(&member.key, member.value)?);
        }
        scores.sort_by_key(|(order, _)| *order);
        Ok(Self { scores })
    }

    /// Whether a hit with this rank comes before one with the other.
    pub fn is_better_than(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Greater
    }

    /// `Greater` is better.
    pub fn compare(&self, other: &Self) -> Ordering {
        let pairs = self.scores.iter().zip(&other.scores);
        pairs.map(|((_, left), (_, right))| left.compare(right)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl RuleScore<'_> {
    /// `Greater` is better. Scores of different kinds never meet in answers to one query.
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Count(left), Self::Count(right)) => left.cmp(right),
            (Self::Score(left, left_second), Self::Score(right, right_second)) => {
                compare_scores(*left, *right).then_with(|| compare_scores(*left_second, *right_second))
            }
            (Self::Sort { is_ascending, value: left }, Self::Sort { value: right, .. }) => {
                left.compare(right, *is_ascending).reverse()
            }
            (Self::Distance { is_ascending, metres: left }, Self::Distance { metres: right, .. }) => {
                compare_distances(*left, *right, *is_ascending).reverse()
            }
            (Self::Skipped, Self::Skipped) => Ordering::Equal,
            (Self::Skipped, Self::Count(_) | Self::Score(..) | Self::Sort { .. } | Self::Distance { .. }) => {
                Ordering::Less
            }
            (Self::Count(_) | Self::Score(..) | Self::Sort { .. } | Self::Distance { .. }, Self::Skipped) => {
                Ordering::Greater
            }
            (Self::Count(_) | Self::Score(..) | Self::Sort { .. } | Self::Distance { .. }, _) => Ordering::Equal,
        }
    }
}

fn compare_scores(left: f64, right: f64) -> Ordering {
    if (left - right).abs() <= f64::EPSILON {
        Ordering::Equal
    } else {
        left.partial_cmp(&right).unwrap_or(Ordering::Equal)
    }
}

/// What the details say of one rule, whichever it is.
#[derive(Default)]
struct RuleFields<'a> {
    order: u64,
    score: f64,
    matching_words: i64,
    typo_count: i64,
    attribute_order: f64,
    word_distance: f64,
    match_type: &'a str,
    value: &'a str,
    distance: Option<f64>,
    similarity: Option<f64>,
}

impl<'a> RuleFields<'a> {
    fn read(details: &'a str) -> Result<Self, MergeError> {
        let mut fields = Self::default();
        for member in members(details) {
            let member = member?;
            let value = member.value;
            match member.key.as_ref() {
                "order" => fields.order = number(value)?,
                "score" => fields.score = number(value)?,
                "matchingWords" => fields.matching_words = number(value)?,
                "typoCount" => fields.typo_count = number(value)?,
                "attributeRankingOrderScore" => fields.attribute_order = number(value)?,
                "queryWordDistanceScore" => fields.word_distance = number(value)?,
                "matchType" => fields.match_type = value,
                "value" => fields.value = value,
                "distance" => fields.distance = optional_number(value)?,
                "similarity" => fields.similarity = optional_number(value)?,
                _ => {}
            }
        }
        Ok(fields)
    }
}

fn number<T: std::str::FromStr>(json: &str) -> Result<T, MergeError> {
    json.parse().map_err(|_| MergeError::Malformed)
}

fn optional_number(json: &str) -> Result<Option<f64>, MergeError> {
    if json == "null" { Ok(None) } else { number(json).map(Some) }
}

fn read_rule<'a>(name: &str, details: &'a str) -> Result<(u64, RuleScore<'a>), MergeError> {
    let fields = RuleFields::read(details)?;
    let score = match name {
        "words" => RuleScore::Count(fields.matching_words),
        "typo" => RuleScore::Count(-fields.typo_count),
        "attribute" => RuleScore::Score(fields.attribute_order, fields.word_distance),
        "exactness" => exactness(&fields),
        "vectorSort" => RuleScore::Score(fields.similarity.unwrap_or(0.0), 0.0),
        "skipped" => RuleScore::Skipped,
        _ => match direction(name) {
            None => RuleScore::Score(fields.score, 0.0),
            Some(is_ascending) if name.starts_with("_geoPoint(") => {
                RuleScore::Distance { is_ascending, metres: fields.distance }
            }
            Some(is_ascending) => RuleScore::Sort { is_ascending, value: sort_value(fields.value)? },
        },
    };
    Ok((fields.order, score))
}

/// First how the attribute matches, then how many words of the query stand in it exactly.
fn exactness<'a>(fields: &RuleFields<'_>) -> RuleScore<'a> {
    match fields.match_type {
        "\"exactMatch\"" => RuleScore::Score(3.0, 0.0),
        "\"matchesStart\"" => RuleScore::Score(2.0, 0.0),
        _ => RuleScore::Score(1.0, fields.matching_words as f64),
    }
}

fn direction(name: &str) -> Option<bool> {
    if name.ends_with(":asc") {
        Some(true)
    } else if name.ends_with(":desc") {
        Some(false)
    } else {
        None
    }
}

fn sort_value(json: &str) -> Result<SortValue<'_>, MergeError> {
    match json.as_bytes().first() {
        Some(b'"') if !json.contains('\\') => Ok(SortValue::Text(Cow::Borrowed(&json[1..json.len() - 1]))),
        Some(b'"') => {
            let text = serde_json::from_str(json).map_err(|_| MergeError::Malformed)?;
            Ok(SortValue::Text(Cow::Owned(text)))
        }
        Some(b'-' | b'0'..=b'9') => Ok(SortValue::Number(number(json)?)),
        Some(_) | None => Ok(SortValue::Missing),
    }
}
