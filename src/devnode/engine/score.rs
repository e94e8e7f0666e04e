//! Scores of hits: one entry per ranking rule, as Meilisearch shows and combines them.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use super::geo::Point;

/// How well a document does under one rule: 1 is the worst of `max`, `max` the best.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rank {
    pub(super) rank: u32,
    pub(super) max: u32,
}

impl Rank {
    fn score(self) -> f64 {
        f64::from(self.rank) / f64::from(self.max)
    }

    /// The rank under both rules, the first one deciding.
    fn then(self, inner: Self) -> Self {
        Self {
            rank: self.rank.saturating_sub(1).wrapping_mul(inner.max).wrapping_add(inner.rank),
            max: self.max.wrapping_mul(inner.max),
        }
    }

    fn combined(ranks: impl Iterator<Item = Self>) -> f64 {
        ranks.fold(Self { rank: 1, max: 1 }, Self::then).score()
    }
}

/// How a document's attribute compares to the whole query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ExactMatch {
    /// It is the query.
    Whole,
    /// It begins with the query.
    Start,
    /// Neither.
    No,
}

impl ExactMatch {
    fn rank(self) -> Rank {
        let rank = match self {
            Self::Whole => 3,
            Self::Start => 2,
            Self::No => 1,
        };
        Rank { rank, max: 3 }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Whole => "exactMatch",
            Self::Start => "matchesStart",
            Self::No => "noExactMatch",
        }
    }
}

/// The score of a document under one rule.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Score {
    /// `matchingWords` of `maxMatchingWords`.
    Words(Rank),
    /// `max - rank` typos of at most `max - 1`.
    Typo(Rank),
    Proximity(Rank),
    /// The rank of the attribute.
    Field(Rank),
    /// The places of the words.
    Position(Rank),
    ExactAttribute(ExactMatch),
    /// `rank - 1` exact words of at most `max - 1`.
    ExactWords(Rank),
    Sort {
        field: String,
        is_ascending: bool,
        /// A number, a facet key or null.
        value: Value,
        /// The attribute is not displayed.
        is_hidden: bool,
    },
    Geo {
        target: Point,
        is_ascending: bool,
        point: Option<Point>,
    },
    /// The similarity; `None` without a vector.
    Vector(Option<f32>),
}

impl Score {
    /// How near the vector is; 0 without one.
    fn similarity(&self) -> Option<f64> {
        if let Self::Vector(similarity) = self { Some(similarity.map_or(0.0, f64::from)) } else { None }
    }

    fn rank(&self) -> Option<Rank> {
        match self {
            Self::Words(rank)
            | Self::Typo(rank)
            | Self::Proximity(rank)
            | Self::Field(rank)
            | Self::Position(rank)
            | Self::ExactWords(rank) => Some(*rank),
            Self::ExactAttribute(exact) => Some(exact.rank()),
            Self::Sort { .. } | Self::Geo { .. } | Self::Vector(_) => None,
        }
    }
}

/// `_rankingScore`: all rules together, those that sort by values left out. A similarity stands for all of them.
pub(super) fn ranking_score(scores: &[Score]) -> f64 {
    let similarity = scores.iter().rev().find_map(Score::similarity);
    if let Some(similarity) = similarity {
        return similarity;
    }
    Rank::combined(scores.iter().filter_map(Score::rank))
}

/// Of one document: what decides about its place among hits of other queries.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct WeightedScore {
    /// `_rankingScore` times the weight of the query.
    pub(super) global: f64,
    /// Neighbouring ranks as one value, values of sort rules one by one.
    values: Vec<WeightedValue>,
}

#[derive(Clone, PartialEq, Debug)]
enum WeightedValue {
    /// Of neighbouring ranks, or a similarity.
    Score(f64),
    Sort {
        is_ascending: bool,
        value: Value,
    },
    Distance {
        is_ascending: bool,
        metres: Option<f64>,
    },
}

/// The scores of a document, counted by the weight of its query.
pub(super) fn weighted(scores: &[Score], weight: f64) -> WeightedScore {
    let mut values = Vec::new();
    let mut open: Option<Rank> = None;
    for score in scores {
        if let Some(rank) = score.rank() {
            open = Some(open.map_or(rank, |outer| outer.then(rank)));
            continue;
        }
        values.extend(open.take().map(|rank| WeightedValue::Score(rank.score() * weight)));
        match score {
            Score::Sort { is_ascending, value, .. } => {
                values.push(WeightedValue::Sort { is_ascending: *is_ascending, value: value.clone() });
            }
            Score::Geo { target, is_ascending, point } => {
                let metres = point.map(|point| target.distance_m(point));
                values.push(WeightedValue::Distance { is_ascending: *is_ascending, metres });
            }
            Score::Vector(similarity) => {
                values.push(WeightedValue::Score(similarity.map_or(0.0, f64::from) * weight));
            }
            Score::Words(_)
            | Score::Typo(_)
            | Score::Proximity(_)
            | Score::Field(_)
            | Score::Position(_)
            | Score::ExactAttribute(_)
            | Score::ExactWords(_) => {}
        }
    }
    values.extend(open.map(|rank| WeightedValue::Score(rank.score() * weight)));
    WeightedScore { global: ranking_score(scores) * weight, values }
}

impl WeightedScore {
    /// `Greater` is better. Where two values cannot be compared, who has more of them left is better, then who has the
    /// better score as a whole.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        for (place, (left, right)) in self.values.iter().zip(&other.values).enumerate() {
            match left.compare(right) {
                Some(Ordering::Equal) => {}
                Some(order) => return order,
                None => {
                    let left_over = |score: &Self| score.values.len() - place;
                    let by_score = self.global.partial_cmp(&other.global).unwrap_or(Ordering::Equal);
                    return left_over(self).cmp(&left_over(other)).then(by_score);
                }
            }
        }
        self.values.len().cmp(&other.values.len())
    }

    /// As the lists of words and of vectors of one search are compared; `Greater` is better.
    pub(super) fn compare_lists(&self, other: &Self) -> Ordering {
        use WeightedValue::{Distance, Score, Sort};
        let decided = self.values.iter().zip(&other.values).map(|pair| match pair {
            (Distance { is_ascending, metres: left }, Distance { metres: right, .. }) => match (left, right) {
                (Some(left), Some(right)) if *is_ascending => right.total_cmp(left),
                (left, right) => left.partial_cmp(right).unwrap_or(Ordering::Equal),
            },
            (Score(score), Sort { .. } | Distance { .. }) if *score == 0.0 => Ordering::Less,
            (Score(_), Sort { .. } | Distance { .. }) => Ordering::Greater,
            (Sort { .. } | Distance { .. }, Score(score)) if *score == 0.0 => Ordering::Greater,
            (Sort { .. } | Distance { .. }, Score(_)) => Ordering::Less,
            (left, right) => left.compare(right).unwrap_or(Ordering::Equal),
        });
        decided.fold(Ordering::Equal, Ordering::then).then(self.values.len().cmp(&other.values.len()))
    }
}

impl WeightedValue {
    /// None: they cannot be compared.
    fn compare(&self, other: &Self) -> Option<Ordering> {
        let by_number = |left: f64, right: f64| {
            if (left - right).abs() <= f64::EPSILON {
                Ordering::Equal
            } else {
                left.partial_cmp(&right).unwrap_or(Ordering::Equal)
            }
        };
        match (self, other) {
            (Self::Score(left), Self::Score(right)) => Some(by_number(*left, *right)),
            (Self::Sort { is_ascending, value: left }, Self::Sort { is_ascending: other, value: right })
                if is_ascending == other =>
            {
                Some(compare_sorted(left, right, *is_ascending))
            }
            // Whatever the direction, more metres are better: so does Meilisearch 1.50.
            (Self::Distance { is_ascending, metres: left }, Self::Distance { is_ascending: other, metres: right })
                if is_ascending == other =>
            {
                Some(match (left, right) {
                    (Some(left), Some(right)) => by_number(*left, *right),
                    (left, right) => left.is_some().cmp(&right.is_some()),
                })
            }
            (Self::Score(_) | Self::Sort { .. } | Self::Distance { .. }, _) => None,
        }
    }
}

/// Values of a sort rule; `Greater` comes first.
fn compare_sorted(left: &Value, right: &Value, is_ascending: bool) -> Ordering {
    let by_direction = |order: Ordering| if is_ascending { order.reverse() } else { order };
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => right.is_null().cmp(&left.is_null()),
        (Value::Number(left), Value::Number(right)) => {
            by_direction(left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal))
        }
        (Value::String(left), Value::String(right)) => by_direction(left.cmp(right)),
        (left, right) => left.is_number().cmp(&right.is_number()),
    }
}

/// `_rankingScoreDetails`. With `attributes_apart`, the rank of the attribute and the places of words are two rules.
pub(super) fn details(scores: &[Score], attributes_apart: bool) -> Map<String, Value> {
    let mut map = Map::new();
    let mut field_rank = None;
    for score in scores {
        let order = map.len();
        let (name, value) = match score {
            Score::Words(rank) => (
                "words".to_owned(),
                json!({"order": order, "matchingWords": rank.rank, "maxMatchingWords": rank.max, "score": rank.score()}),
            ),
            Score::Typo(rank) => (
                "typo".to_owned(),
                json!({
                    "order": order,
                    "typoCount": rank.max.saturating_sub(rank.rank),
                    "maxTypoCount": rank.max.saturating_sub(1),
                    "score": rank.score(),
                }),
            ),
            Score::Proximity(rank) => ("proximity".to_owned(), json!({"order": order, "score": rank.score()})),
            Score::Field(rank) if attributes_apart => {
                ("attributeRank".to_owned(), json!({"order": order, "score": rank.score()}))
            }
            Score::Field(rank) => {
                field_rank = Some(*rank);
                ("attribute".to_owned(), json!({"order": order, "attributeRankingOrderScore": rank.score()}))
            }
            Score::Position(rank) if attributes_apart => {
                ("wordPosition".to_owned(), json!({"order": order, "score": rank.score()}))
            }
            Score::Position(rank) => {
                add_position(&mut map, field_rank, *rank);
                continue;
            }
            Score::ExactAttribute(exact) => (
                "exactness".to_owned(),
                json!({"order": order, "matchType": exact.name(), "score": exact.rank().score()}),
            ),
            Score::ExactWords(rank) => {
                add_exact_words(&mut map, *rank);
                continue;
            }
            Score::Sort { is_hidden: true, .. } => {
                (format!("<hidden-rule-{order}>"), json!({"order": order, "value": "<hidden>"}))
            }
            Score::Sort { field, is_ascending, value, is_hidden: false } => {
                (format!("{field}:{}", direction(*is_ascending)), json!({"order": order, "value": value}))
            }
            Score::Vector(similarity) => ("vectorSort".to_owned(), json!({"order": order, "similarity": similarity})),
            Score::Geo { target, is_ascending, point } => (
                format!("_geoPoint({}, {}):{}", target.latitude, target.longitude, direction(*is_ascending)),
                json!({
                    "order": order,
                    "value": point.map(|point| json!({"lat": point.latitude, "lng": point.longitude})),
                    "distance": point.map(|point| target.distance_m(point)),
                }),
            ),
        };
        map.insert(name, value);
    }
    map
}

fn direction(is_ascending: bool) -> &'static str {
    if is_ascending { "asc" } else { "desc" }
}

/// `attribute` shows the rank of the attribute and the places of the words as one rule.
fn add_position(map: &mut Map<String, Value>, field_rank: Option<Rank>, position: Rank) {
    if let Some(Value::Object(attribute)) = map.get_mut("attribute") {
        attribute.insert("queryWordDistanceScore".to_owned(), position.score().into());
        let both = Rank::combined(field_rank.into_iter().chain([position]));
        attribute.insert("score".to_owned(), both.into());
    }
}

/// `exactness` counts words only where no attribute matches the query.
fn add_exact_words(map: &mut Map<String, Value>, words: Rank) {
    if let Some(Value::Object(exactness)) = map.get_mut("exactness")
        && exactness.get("matchType").and_then(Value::as_str) == Some(ExactMatch::No.name())
    {
        exactness.shift_remove("score");
        exactness.insert("matchingWords".to_owned(), words.rank.saturating_sub(1).into());
        exactness.insert("maxMatchingWords".to_owned(), words.max.saturating_sub(1).into());
        let both = Rank::combined([ExactMatch::No.rank(), words].into_iter());
        exactness.insert("score".to_owned(), both.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(rank: u32, max: u32) -> Rank {
        Rank { rank, max }
    }

    #[test]
    fn scores_combine_as_on_a_real_server() {
        // Seen on Meilisearch 1.50 for "harry poter" in a title that begins with "Harry Potter".
        let scores = [
            Score::Words(rank(2, 2)),
            Score::Typo(rank(2, 3)),
            Score::Proximity(rank(4, 4)),
            Score::Field(rank(1, 1)),
            Score::Position(rank(21, 21)),
            Score::ExactAttribute(ExactMatch::Start),
            Score::ExactWords(rank(2, 3)),
        ];
        assert!((ranking_score(&scores) - 0.832_451_499_118_165_7).abs() < 1e-12);
        let details = Value::Object(details(&scores, true));
        assert_eq!(details["typo"], json!({"order": 1, "typoCount": 1, "maxTypoCount": 2, "score": 2.0 / 3.0}));
        assert_eq!(details["exactness"], json!({"order": 5, "matchType": "matchesStart", "score": 2.0 / 3.0}));
    }

    #[test]
    fn hidden_and_missing_values_are_shown_as_such() {
        let sort = |value: Value, is_hidden| Score::Sort { field: "a".into(), is_ascending: true, value, is_hidden };
        let shown = details(&[sort(Value::Null, false), sort(json!(1), true)], true);
        let expected =
            json!({"a:asc": {"order": 0, "value": null}, "<hidden-rule-1>": {"order": 1, "value": "<hidden>"}});
        assert_eq!(Value::Object(shown), expected);
    }
}
