//! Scores of hits of different queries, compared as the engine compares them.
//!
//! The engine merges the ranks of neighbouring rules about words into one score and compares scores, values of sort rules
//! and distances one by one; where two of them cannot be compared, who has more left is better, then who has the better
//! score as a whole. (Within one query the order is that of [`super::rank`].)
//!
//! A node shows the score as a whole and a score for every rule, but not the merged ones. They are the same where no sort
//! rule stands between rules about words. Where one does, the ranks behind the scores are found again: ranks are whole
//! numbers, how large they can be follows from the number of words, and the engine's own arithmetic must lead from them to
//! the score as a whole, to the last bit.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde::Deserialize;

use super::MergeError;
use super::rank::{SortValue, compare_distances};
use crate::logic::json::members;

mod ranks;

pub use ranks::Suppositions;

use ranks::RankSource;

/// The scores of one hit.
#[derive(Clone, PartialEq, Debug)]
pub struct ScoreValues<'a> {
    /// `_rankingScore`.
    pub global: f64,
    /// Vectors were compared.
    pub is_semantic: bool,
    values: Vec<ScoreValue<'a>>,
}

/// What decides, in the order of the rules.
#[derive(Clone, PartialEq, Debug)]
enum ScoreValue<'a> {
    /// Of rules about words, merged; or a similarity of vectors.
    Score(f64),
    Sort {
        is_ascending: bool,
        value: SortValue<'a>,
    },
    Distance {
        is_ascending: bool,
        metres: Option<f64>,
    },
}

/// One rule of the details.
enum Rule<'a> {
    Ranked(RankSource),
    Value(ScoreValue<'a>),
}

impl<'a> ScoreValues<'a> {
    /// From the values of `_rankingScoreDetails`, without the rule that only nodes have, and `_rankingScore`; `suppositions`
    /// are those of the query.
    ///
    /// # Errors
    /// [`MergeError::Malformed`].
    pub fn read_without(
        hidden_rule: Option<&str>,
        details: &'a str,
        ranking_score: &str,
        suppositions: &mut Suppositions,
    ) -> Result<Self, MergeError> {
        let global = ranking_score.parse().map_err(|_| MergeError::Malformed)?;
        let mut rules = Vec::with_capacity(8);
        let mut is_semantic = false;
        for member in members(details) {
            let member = member?;
            if hidden_rule == Some(member.key.as_ref()) {
                continue;
            }
            let fields: Fields<'a> = sonic_rs::from_str(member.value.text).map_err(|_| MergeError::Malformed)?;
            is_semantic |= member.key == "vectorSort";
            rules.push((fields.order, member.key, fields));
        }
        rules.sort_by_key(|(order, ..)| *order);
        let mut groups: Vec<Result<Vec<RankSource>, ScoreValue<'a>>> = Vec::new();
        for (_, name, fields) in rules {
            match (fields.rule(&name), groups.last_mut()) {
                (Rule::Ranked(source), Some(Ok(group))) => group.push(source),
                (Rule::Ranked(source), _) => groups.push(Ok(vec![source])),
                (Rule::Value(value), _) => groups.push(Err(value)),
            }
        }
        let sources: Vec<&[RankSource]> = groups.iter().filter_map(|group| group.as_deref().ok()).collect();
        // One group of ranks is the score as a whole.
        let merged = if sources.len() > 1 { suppositions.merged_scores(&sources, global) } else { vec![global] };
        let mut merged = merged.into_iter();
        let values = groups.into_iter().map(|group| match group {
            Ok(_) => ScoreValue::Score(merged.next().unwrap_or(global)),
            Err(value) => value,
        });
        Ok(Self { global, is_semantic, values: values.collect() })
    }

    /// The same with all rules.
    ///
    /// # Errors
    /// [`MergeError::Malformed`].
    pub fn read(details: &'a str, ranking_score: &str, suppositions: &mut Suppositions) -> Result<Self, MergeError> {
        Self::read_without(None, details, ranking_score, suppositions)
    }

    /// Of a hit that a rule has pinned: it has none but the one that is shown.
    ///
    /// # Errors
    /// [`MergeError::Malformed`].
    pub fn of_pin(ranking_score: &str) -> Result<Self, MergeError> {
        let global = ranking_score.parse().map_err(|_| MergeError::Malformed)?;
        Ok(Self { global, is_semantic: false, values: Vec::new() })
    }

    /// The scores of rules about words and vectors, neighbouring rules merged, in order.
    pub fn scores(&self) -> impl Iterator<Item = f64> {
        self.values.iter().filter_map(|value| {
            let ScoreValue::Score(score) = value else { return None };
            Some(*score)
        })
    }

    /// Compares hits of two queries with their weights; `Greater` comes first.
    pub fn compare(&self, weight: f64, other: &Self, other_weight: f64) -> Ordering {
        for (place, (left, right)) in self.values.iter().zip(&other.values).enumerate() {
            match left.compare(weight, right, other_weight) {
                Some(Ordering::Equal) => {}
                Some(order) => return order,
                None => {
                    let left_over = |score: &Self| score.values.len() - place;
                    let (left, right) = (self.global * weight, other.global * other_weight);
                    let by_score = left.partial_cmp(&right).unwrap_or(Ordering::Equal);
                    return left_over(self).cmp(&left_over(other)).then(by_score);
                }
            }
        }
        self.values.len().cmp(&other.values.len())
    }

    /// Compares hits of two lists of one query, one by words and one by vectors, with how much their lists count; `Greater`
    /// comes first.
    pub fn compare_lists(&self, weight: f64, other: &Self, other_weight: f64) -> Ordering {
        use ScoreValue::{Distance, Score, Sort};
        let pairs = self.values.iter().zip(&other.values).map(|pair| match pair {
            (Distance { is_ascending, metres: left }, Distance { metres: right, .. }) => {
                compare_distances(*left, *right, *is_ascending).reverse()
            }
            (Score(score), Sort { .. } | Distance { .. }) if *score == 0.0 => Ordering::Less,
            (Score(_), Sort { .. } | Distance { .. }) => Ordering::Greater,
            (Sort { .. } | Distance { .. }, Score(score)) if *score == 0.0 => Ordering::Greater,
            (Sort { .. } | Distance { .. }, Score(_)) => Ordering::Less,
            (left, right) => left.compare(weight, right, other_weight).unwrap_or(Ordering::Equal),
        });
        pairs.fold(Ordering::Equal, Ordering::then).then(self.values.len().cmp(&other.values.len()))
    }
}

impl ScoreValue<'_> {
    /// None: they cannot be compared.
    fn compare(&self, weight: f64, other: &Self, other_weight: f64) -> Option<Ordering> {
        match (self, other) {
            (Self::Score(left), Self::Score(right)) => Some(compare_numbers(left * weight, right * other_weight)),
            (Self::Sort { is_ascending, value: left }, Self::Sort { is_ascending: other, value: right })
                if is_ascending == other =>
            {
                Some(left.compare(right, *is_ascending).reverse())
            }
            // Whatever the direction, more metres are better: so does Meilisearch 1.50.
            (Self::Distance { is_ascending, metres: left }, Self::Distance { is_ascending: other, metres: right })
                if is_ascending == other =>
            {
                Some(match (left, right) {
                    (Some(left), Some(right)) => compare_numbers(*left, *right),
                    (left, right) => left.is_some().cmp(&right.is_some()),
                })
            }
            (Self::Score(_) | Self::Sort { .. } | Self::Distance { .. }, _) => None,
        }
    }
}

fn compare_numbers(left: f64, right: f64) -> Ordering {
    if (left - right).abs() <= f64::EPSILON {
        Ordering::Equal
    } else {
        left.partial_cmp(&right).unwrap_or(Ordering::Equal)
    }
}

/// What the details say of one rule, whichever it is.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Fields<'a> {
    order: u64,
    score: f64,
    matching_words: Option<u32>,
    max_matching_words: u32,
    typo_count: u32,
    max_typo_count: u32,
    attribute_ranking_order_score: f64,
    query_word_distance_score: f64,
    #[serde(borrow)]
    match_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: SortValue<'a>,
    distance: Option<f64>,
    /// The engine has it in single precision.
    similarity: Option<f32>,
}

impl<'a> Fields<'a> {
    fn rule(self, name: &str) -> Rule<'a> {
        Rule::Ranked(match name {
            "words" => RankSource::Words { matching: self.matching_words.unwrap_or(0), max: self.max_matching_words },
            "typo" => RankSource::Typo { count: self.typo_count, max: self.max_typo_count },
            "proximity" => RankSource::Proximity(self.score),
            "attributeRank" => RankSource::Field(self.score),
            "wordPosition" => RankSource::Position(self.score),
            "attribute" => RankSource::Attribute(self.attribute_ranking_order_score, self.query_word_distance_score),
            "exactness" => RankSource::Exactness {
                attribute: match self.match_type.as_deref() {
                    Some("exactMatch") => 3,
                    Some("matchesStart") => 2,
                    Some(_) | None => 1,
                },
                words: self.matching_words.map(|matching| (matching, self.max_matching_words)),
            },
            "skipped" => RankSource::Skipped,
            "vectorSort" => return Rule::Value(ScoreValue::Score(f64::from(self.similarity.unwrap_or(0.0)))),
            _ => {
                let is_ascending = name.ends_with(":asc");
                let value = if name.starts_with("_geoPoint(") {
                    ScoreValue::Distance { is_ascending, metres: self.distance }
                } else {
                    ScoreValue::Sort { is_ascending, value: self.value }
                };
                return Rule::Value(value);
            }
        })
    }
}

#[cfg(test)]
mod tests;
