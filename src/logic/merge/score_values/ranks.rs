//! From the scores that a hit shows for each rule back to the ranks that the engine merged.
//!
//! What is not shown: of proximity, the rank of the attribute and the places of words only the quotient of rank and highest
//! rank. With `n` words left in the query the highest ranks are `1 + w · n` for the attribute (`w` the place of the last
//! searchable one), `1 + 10 · n` for places and `1 + n` for exactness; that of proximity is `1 + 3 · (n - 1)` unless words
//! were left out or joined. Of all ranks that fit every quotient, those are taken that the engine's arithmetic leads from
//! to the score as a whole, exactly.

/// Words that the engine reads of a query, with some room for what it makes of them.
const WORDS_MAX: u32 = 16;

/// Places of searchable attributes that are tried.
const FIELDS_MAX: u32 = 100;

/// Most that a word can be away from its place.
const POSITION_COST: u32 = 10;

/// What is shown of the rank of a hit under one rule.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum RankSource {
    Words {
        matching: u32,
        max: u32,
    },
    Typo {
        count: u32,
        max: u32,
    },
    /// A quotient.
    Proximity(f64),
    /// A quotient.
    Field(f64),
    /// A quotient.
    Position(f64),
    /// Two quotients: attribute and places.
    Attribute(f64, f64),
    /// The rank of the attribute among 3; the words that match exactly, if no attribute matches.
    Exactness {
        attribute: u32,
        words: Option<(u32, u32)>,
    },
    /// Not evaluated for lack of time.
    Skipped,
}

/// A place among `max`; the higher the better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Rank {
    rank: u32,
    max: u32,
}

impl Rank {
    fn score(self) -> f64 {
        f64::from(self.rank) / f64::from(self.max)
    }

    /// Both ranks, the first one deciding. The engine's numbers wrap around, too.
    fn then(self, inner: Self) -> Self {
        Self {
            rank: self.rank.saturating_sub(1).wrapping_mul(inner.max).wrapping_add(inner.rank),
            max: self.max.wrapping_mul(inner.max),
        }
    }

    /// The rank with this quotient, if there is one.
    fn of_quotient(quotient: f64, max: u32) -> Option<Self> {
        let rank = (quotient * f64::from(max)).round();
        let rank = Self { rank: rank as u32, max };
        (rank.score().to_bits() == quotient.to_bits()).then_some(rank)
    }
}

/// Highest ranks that are supposed.
#[derive(Clone, Copy, Debug)]
struct Supposed {
    words: u32,
    proximity: u32,
    fields: u32,
    /// Exact words of a hit that does not show them.
    exact: u32,
}

/// The merged score of every group of neighbouring rules. `global` is the score over all groups.
///
/// Where no ranks fit (the engine counts in a way that is not foreseen here), the scores of the rules are merged as if
/// every quotient had the smallest denominator that fits.
pub(super) fn merged_scores(groups: &[&[RankSource]], global: f64) -> Vec<f64> {
    let sources: Vec<RankSource> = groups.iter().copied().flatten().copied().collect();
    let supposed = find(&sources, global);
    let score = |group: &&[RankSource]| {
        let ranks = supposed.and_then(|supposed| merged(group, supposed));
        ranks.map_or_else(|| approximate(group), Rank::score)
    };
    groups.iter().map(score).collect()
}

/// Highest ranks with which everything fits.
fn find(sources: &[RankSource], global: f64) -> Option<Supposed> {
    let known_words = sources.iter().find_map(|source| {
        let RankSource::Exactness { words: Some((_, max)), .. } = source else { return None };
        Some(*max)
    });
    let matching_words = sources.iter().find_map(|source| {
        let RankSource::Words { matching, .. } = source else { return None };
        Some(*matching)
    });
    let all_words = 1..=WORDS_MAX;
    let words: Vec<u32> = match known_words {
        Some(words) => vec![words],
        None => matching_words.into_iter().chain(all_words.filter(|words| Some(*words) != matching_words)).collect(),
    };
    words.into_iter().find_map(|words| find_with(sources, global, words))
}

fn find_with(sources: &[RankSource], global: f64, words: u32) -> Option<Supposed> {
    let is_hidden = |source: &RankSource| matches!(source, RankSource::Exactness { words: None, .. });
    let exact_words: Vec<u32> = if sources.iter().any(is_hidden) { (0..=words).rev().collect() } else { vec![words] };
    let usual = 1 + 3 * words.saturating_sub(1);
    let unusual = (1..=1 + 4 * words).filter(|proximity| *proximity != usual);
    for proximity in std::iter::once(usual).chain(unusual) {
        for fields in 0..=FIELDS_MAX {
            for exact in &exact_words {
                let supposed = Supposed { words, proximity, fields, exact: *exact };
                let Some(rank) = merged(sources, supposed) else { break };
                if rank.score().to_bits() == global.to_bits() {
                    return Some(supposed);
                }
            }
        }
        // Without proximity nothing changes from here on.
        if !sources.iter().any(|source| matches!(source, RankSource::Proximity(_))) {
            return None;
        }
    }
    None
}

/// The ranks of these rules merged; none when a quotient does not fit.
fn merged(sources: &[RankSource], supposed: Supposed) -> Option<Rank> {
    let Supposed { words, proximity, fields, exact } = supposed;
    let field_max = 1 + fields * words;
    let position_max = 1 + POSITION_COST * words;
    let mut merged: Option<Rank> = None;
    let mut add = |rank: Rank| merged = Some(merged.map_or(rank, |outer| outer.then(rank)));
    for source in sources {
        match *source {
            RankSource::Words { matching, max } => add(Rank { rank: matching, max }),
            RankSource::Typo { count, max } => add(Rank { rank: (max + 1).saturating_sub(count), max: max + 1 }),
            RankSource::Proximity(quotient) => add(Rank::of_quotient(quotient, proximity)?),
            RankSource::Field(quotient) => add(Rank::of_quotient(quotient, field_max)?),
            RankSource::Position(quotient) => add(Rank::of_quotient(quotient, position_max)?),
            RankSource::Attribute(field, position) => {
                add(Rank::of_quotient(field, field_max)?);
                add(Rank::of_quotient(position, position_max)?);
            }
            RankSource::Exactness { attribute, words: shown } => {
                add(Rank { rank: attribute, max: 3 });
                let (matching, max) = shown.unwrap_or((exact, words));
                add(Rank { rank: matching + 1, max: max + 1 });
            }
            RankSource::Skipped => add(Rank { rank: 0, max: 1 }),
        }
    }
    merged
}

/// Merged with the smallest denominators.
fn approximate(group: &[RankSource]) -> f64 {
    let smallest = |quotient: f64| {
        let fits = (1..=1_000).find_map(|max| Rank::of_quotient(quotient, max));
        fits.unwrap_or(Rank { rank: (quotient * 1_000.0) as u32, max: 1_000 })
    };
    let mut score = (1.0, 1.0);
    let mut add = |rank: Rank| {
        // The part of the whole that one rank of the rules so far is worth.
        let worth = score.1;
        score = (score.0 - worth + worth * rank.score(), worth / f64::from(rank.max));
    };
    for source in group {
        match *source {
            RankSource::Words { matching, max } => add(Rank { rank: matching, max: max.max(1) }),
            RankSource::Typo { count, max } => add(Rank { rank: (max + 1).saturating_sub(count), max: max + 1 }),
            RankSource::Proximity(quotient) | RankSource::Field(quotient) | RankSource::Position(quotient) => {
                add(smallest(quotient));
            }
            RankSource::Attribute(field, position) => {
                add(smallest(field));
                add(smallest(position));
            }
            RankSource::Exactness { attribute, words } => {
                add(Rank { rank: attribute, max: 3 });
                if let Some((matching, max)) = words {
                    add(Rank { rank: matching + 1, max: max + 1 });
                }
            }
            RankSource::Skipped => add(Rank { rank: 0, max: 1 }),
        }
    }
    score.0
}
