//! The order of hits: rule by rule, as the engine compares.
//!
//! A rank is read from a hit's `_rankingScoreDetails`. Word and typo counts are compared as integers; scores with the
//! engine's epsilon; values of sort rules by direction, numbers before strings in byte order, missing ones last; distances
//! likewise; similarities as numbers. A skipped rule (the search was cut off) is below everything.
//!
//! `_rankingScore` alone would not do: it ignores every sort rule.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use sonic_rs::{JsonValueTrait, LazyValue};

use super::MergeError;

/// Of one document by one rule. "Greater" is better.
#[derive(Clone, PartialEq, Debug)]
enum RuleScore<'a> {
    /// Counts; the more the better.
    Count(i64),
    /// Between 0 and 1; a second one decides between equals.
    Score(f64, f64),
    /// How near vectors are; none without one.
    Similarity(Option<f64>),
    /// A sort rule.
    Sort { is_ascending: bool, value: SortValue<'a> },
    /// A geo sort rule: metres.
    Distance { is_ascending: bool, metres: Option<f64> },
    /// Not evaluated for lack of time.
    Skipped,
    /// None: a rule has put it where it is.
    Pin(u32),
}

/// A value of a document for a sort rule.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum SortValue<'a> {
    /// Numbers come before texts.
    Number(f64),
    /// Normalised by the engine.
    Text(Cow<'a, str>),
    /// Always last.
    #[default]
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
    /// In the order of the rules, which is that of the details' members. Their numbers are not: a rule that is there
    /// twice has its first place and its second number.
    scores: Vec<RuleScore<'a>>,
}

impl<'a> Rank<'a> {
    /// Reads the value of `_rankingScoreDetails`.
    pub fn of_details(details: &'a str) -> Result<Self, MergeError> {
        sonic_rs::from_str(details).map_err(|_| MergeError::Malformed)
    }

    /// Whether a hit with this rank comes before one with the other.
    pub fn is_better_than(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Greater
    }

    /// Whether no rule had a say: every hit ties with it.
    pub fn is_unranked(&self) -> bool {
        self.scores.is_empty()
    }

    /// Whether vectors were compared.
    pub fn is_by_vector(&self) -> bool {
        self.scores.iter().any(|score| matches!(score, RuleScore::Similarity(_)))
    }

    /// How near the document's vector is, if vectors were compared and it has one.
    pub fn similarity(&self) -> Option<f64> {
        self.scores
            .iter()
            .find_map(|score| if let RuleScore::Similarity(similarity) = score { *similarity } else { None })
    }

    /// Whether the node ran out of time before it had looked at every rule.
    pub fn is_cut_off(&self) -> bool {
        self.scores.contains(&RuleScore::Skipped)
    }

    /// The place, or the mark of a node, that a rule has pinned the hit to.
    pub fn pin(&self) -> Option<u32> {
        match self.scores[..] {
            [RuleScore::Pin(position)] => Some(position),
            _ => None,
        }
    }

    /// `Greater` is better.
    pub fn compare(&self, other: &Self) -> Ordering {
        let pairs = self.scores.iter().zip(&other.scores);
        pairs.map(|(left, right)| left.compare(right)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
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
            (Self::Similarity(left), Self::Similarity(right)) => {
                compare_scores(left.unwrap_or(0.0), right.unwrap_or(0.0))
            }
            (Self::Sort { is_ascending, value: left }, Self::Sort { value: right, .. }) => {
                left.compare(right, *is_ascending).reverse()
            }
            (Self::Distance { is_ascending, metres: left }, Self::Distance { metres: right, .. }) => {
                compare_distances(*left, *right, *is_ascending).reverse()
            }
            (Self::Skipped, Self::Skipped) => Ordering::Equal,
            (Self::Skipped, _) => Ordering::Less,
            (_, Self::Skipped) => Ordering::Greater,
            (
                Self::Count(_)
                | Self::Score(..)
                | Self::Similarity(_)
                | Self::Sort { .. }
                | Self::Distance { .. }
                | Self::Pin(_),
                _,
            ) => Ordering::Equal,
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

impl<'de: 'a, 'a> Deserialize<'de> for Rank<'a> {
    fn deserialize<D: Deserializer<'de>>(details: D) -> Result<Self, D::Error> {
        struct Details;
        impl<'de> Visitor<'de> for Details {
            type Value = Rank<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("score details")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut rules: M) -> Result<Rank<'de>, M::Error> {
                let mut scores = Vec::with_capacity(8);
                while let Some((RuleName(name), rule)) = rules.next_entry::<RuleName<'de>, Rule<'de>>()? {
                    scores.push(rule.score_of(&name));
                }
                Ok(Rank { scores })
            }
        }
        details.deserialize_map(Details)
    }
}

#[derive(Deserialize)]
struct RuleName<'a>(#[serde(borrow)] Cow<'a, str>);

/// What the details say of one rule, whichever it is.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule<'a> {
    score: f64,
    matching_words: i64,
    typo_count: i64,
    attribute_ranking_order_score: f64,
    query_word_distance_score: f64,
    #[serde(borrow)]
    match_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: SortValue<'a>,
    distance: Option<f64>,
    similarity: Option<f64>,
    position: u32,
}

impl<'a> Rule<'a> {
    fn score_of(self, name: &str) -> RuleScore<'a> {
        match name {
            "words" => RuleScore::Count(self.matching_words),
            "typo" => RuleScore::Count(-self.typo_count),
            "attribute" => RuleScore::Score(self.attribute_ranking_order_score, self.query_word_distance_score),
            "exactness" => self.exactness(),
            "vectorSort" => RuleScore::Similarity(self.similarity),
            "skipped" => RuleScore::Skipped,
            "pin" => RuleScore::Pin(self.position),
            _ => match direction(name) {
                None => RuleScore::Score(self.score, 0.0),
                Some(is_ascending) if name.starts_with("_geoPoint(") => {
                    RuleScore::Distance { is_ascending, metres: self.distance }
                }
                Some(is_ascending) => RuleScore::Sort { is_ascending, value: self.value },
            },
        }
    }

    /// First how the attribute matches, then how many words of the query stand in it exactly.
    fn exactness(&self) -> RuleScore<'a> {
        match self.match_type.as_deref() {
            Some("exactMatch") => RuleScore::Score(3.0, 0.0),
            Some("matchesStart") => RuleScore::Score(2.0, 0.0),
            Some(_) | None => RuleScore::Score(1.0, self.matching_words as f64),
        }
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

/// Whatever is neither number nor text counts as missing; the value of a geo rule is a point, for example.
impl<'de: 'a, 'a> Deserialize<'de> for SortValue<'a> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        let json = LazyValue::deserialize(value)?;
        Ok(if json.is_number() {
            json.as_f64().map_or(Self::Missing, Self::Number)
        } else {
            json.as_str().map_or(Self::Missing, |text| Self::Text(Cow::Owned(text.to_owned())))
        })
    }
}
