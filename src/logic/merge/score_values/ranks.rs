//! From the scores that a hit shows for each rule back to the ranks that the engine merged.
//!
//! What is not shown: of proximity, the rank of the attribute and the places of words only the quotient of rank and highest
//! rank. With `n` words left in the query the highest ranks are `1 + w · n` for the attribute (`w` the place of the last
//! searchable one), `1 + 10 · n` for places and `1 + n` for exactness; that of proximity is `1 + 3 · (n - 1)` unless words
//! were left out or joined. Of all ranks that fit every quotient, those are taken that the engine's arithmetic leads from
//! to the score as a whole, exactly.
//!
//! What was found for one hit of a query fits most of the others, so it is tried first ([`Suppositions`]). What a node says
//! is not trusted: however many words it names, and however odd its scores are, all hits of a query together have so many
//! tries ([`TRIES`]).

/// Words that the engine reads of a query, with some room for what it makes of them.
const WORDS_MAX: u32 = 16;

/// Tries for all hits of a query beside those of what fitted before; a hit may take [`TRIES_OF_A_HIT`] of them. Hits of a
/// real server take a few hundred, and few hits of a query take any.
const TRIES: u32 = 100_000;

/// See [`TRIES`].
const TRIES_OF_A_HIT: u32 = 20_000;

/// Suppositions that are remembered.
const REMEMBERED_MAX: usize = 16;

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

impl RankSource {
    /// The quotient of this kind, if the rule shows one.
    fn proximity(&self) -> Option<f64> {
        match self {
            Self::Proximity(quotient) => Some(*quotient),
            Self::Words { .. }
            | Self::Typo { .. }
            | Self::Field(_)
            | Self::Position(_)
            | Self::Attribute(..)
            | Self::Exactness { .. }
            | Self::Skipped => None,
        }
    }

    /// The same.
    fn field(&self) -> Option<f64> {
        match self {
            Self::Field(quotient) | Self::Attribute(quotient, _) => Some(*quotient),
            Self::Words { .. }
            | Self::Typo { .. }
            | Self::Proximity(_)
            | Self::Position(_)
            | Self::Exactness { .. }
            | Self::Skipped => None,
        }
    }

    /// The same.
    fn position(&self) -> Option<f64> {
        match self {
            Self::Position(quotient) | Self::Attribute(_, quotient) => Some(*quotient),
            Self::Words { .. }
            | Self::Typo { .. }
            | Self::Proximity(_)
            | Self::Field(_)
            | Self::Exactness { .. }
            | Self::Skipped => None,
        }
    }
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

    /// A rank that begins at 0 as one that begins at 1.
    fn from_zero(rank: u32, max: u32) -> Self {
        Self { rank: rank.saturating_add(1), max: max.saturating_add(1) }
    }

    /// Typos are counted from the best rank down.
    fn of_typos(count: u32, max: u32) -> Self {
        let Self { max, .. } = Self::from_zero(0, max);
        Self { rank: max.saturating_sub(count), max }
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Supposed {
    words: u32,
    proximity: u32,
    fields: u32,
    /// Exact words of a hit that does not show them.
    exact: u32,
}

/// What fitted hits of one query, and how long may still be looked for what fits others.
#[derive(Clone, Debug)]
pub struct Suppositions {
    /// The last one that fitted comes first.
    remembered: Vec<Supposed>,
    tries_left: u32,
}

impl Default for Suppositions {
    fn default() -> Self {
        Self { remembered: Vec::new(), tries_left: TRIES }
    }
}

impl Suppositions {
    /// The merged score of every group of neighbouring rules. `global` is the score over all groups.
    ///
    /// Where no ranks fit (the engine counts in a way that is not foreseen here), or there are no tries left, the scores of
    /// the rules are merged as if every quotient had the smallest denominator that fits.
    pub(super) fn merged_scores(&mut self, groups: &[&[RankSource]], global: f64) -> Vec<f64> {
        let sources: Vec<RankSource> = groups.iter().copied().flatten().copied().collect();
        let supposed = self.find(&sources, global);
        let score = |group: &&[RankSource]| {
            let ranks = supposed.and_then(|supposed| merged(group, supposed));
            ranks.map_or_else(|| approximate(group), Rank::score)
        };
        groups.iter().map(score).collect()
    }

    /// How much was tried.
    #[cfg(test)]
    pub(super) fn tries(&self) -> u32 {
        TRIES - self.tries_left
    }

    /// Highest ranks with which everything fits.
    fn find(&mut self, sources: &[RankSource], global: f64) -> Option<Supposed> {
        let fits = |supposed: &Supposed| fits(sources, global, *supposed);
        let place = self.remembered.iter().position(fits);
        let supposed = match place {
            Some(place) => self.remembered.remove(place),
            None => self.search(sources, global)?,
        };
        self.remembered.truncate(REMEMBERED_MAX - 1);
        self.remembered.insert(0, supposed);
        Some(supposed)
    }

    /// The same among everything that can be supposed.
    fn search(&mut self, sources: &[RankSource], global: f64) -> Option<Supposed> {
        let known_words = sources.iter().find_map(|source| {
            let RankSource::Exactness { words: Some((_, max)), .. } = source else { return None };
            Some(*max)
        });
        let matching_words = sources.iter().find_map(|source| {
            let RankSource::Words { matching, .. } = source else { return None };
            Some(*matching)
        });
        let others = (1..=WORDS_MAX).filter(|words| Some(*words) != matching_words);
        let words: Vec<u32> = match known_words {
            Some(words) => vec![words],
            None => matching_words.into_iter().chain(others).collect(),
        };
        let mut tries = Tries { left: self.tries_left.min(TRIES_OF_A_HIT) };
        let before = tries.left;
        let mut words = words.into_iter().filter(|words| *words <= WORDS_MAX);
        let found = words.find_map(|words| search_with(sources, global, words, &mut tries));
        self.tries_left -= before - tries.left;
        found
    }
}

/// What may still be tried.
struct Tries {
    left: u32,
}

impl Tries {
    /// None: that is too much.
    fn take(&mut self, count: u32) -> Option<()> {
        self.left = self.left.checked_sub(count)?;
        Some(())
    }
}

/// What fits with so many words.
fn search_with(sources: &[RankSource], global: f64, words: u32, tries: &mut Tries) -> Option<Supposed> {
    let fit = |quotient: fn(&RankSource) -> Option<f64>, max: u32| {
        sources.iter().filter_map(quotient).all(|quotient| Rank::of_quotient(quotient, max).is_some())
    };
    let proximities_max = 1 + 4 * words;
    tries.take(1 + proximities_max + FIELDS_MAX)?;
    if !fit(RankSource::position, position_max(words)) {
        return None;
    }
    let usual = 1 + 3 * words.saturating_sub(1);
    let unusual = (1..=proximities_max).filter(|proximity| *proximity != usual);
    // Where nothing shows it, it changes nothing.
    let has_proximity = sources.iter().any(|source| source.proximity().is_some());
    let unusual = unusual.take_while(|_| has_proximity);
    let proximities = std::iter::once(usual).chain(unusual).filter(|max| fit(RankSource::proximity, *max));
    let fields: Vec<u32> =
        (0..=FIELDS_MAX).filter(|fields| fit(RankSource::field, field_max(*fields, words))).collect();
    let is_hidden = |source: &RankSource| matches!(source, RankSource::Exactness { words: None, .. });
    let exact_words = if sources.iter().any(is_hidden) { 0..=words } else { words..=words };
    for proximity in proximities {
        for fields in &fields {
            for exact in exact_words.clone().rev() {
                tries.take(1)?;
                let supposed = Supposed { words, proximity, fields: *fields, exact };
                if fits(sources, global, supposed) {
                    return Some(supposed);
                }
            }
        }
    }
    None
}

/// The highest rank of an attribute.
fn field_max(fields: u32, words: u32) -> u32 {
    1 + fields * words
}

/// The highest rank of places.
fn position_max(words: u32) -> u32 {
    1 + POSITION_COST * words
}

fn fits(sources: &[RankSource], global: f64, supposed: Supposed) -> bool {
    merged(sources, supposed).is_some_and(|rank| rank.score().to_bits() == global.to_bits())
}

/// The ranks of these rules merged; none when a quotient does not fit.
fn merged(sources: &[RankSource], supposed: Supposed) -> Option<Rank> {
    let Supposed { words, proximity, fields, exact } = supposed;
    let (field_max, position_max) = (field_max(fields, words), position_max(words));
    let mut merged: Option<Rank> = None;
    let mut add = |rank: Rank| merged = Some(merged.map_or(rank, |outer| outer.then(rank)));
    for source in sources {
        match *source {
            RankSource::Words { matching, max } => add(Rank { rank: matching, max }),
            RankSource::Typo { count, max } => add(Rank::of_typos(count, max)),
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
                add(Rank::from_zero(matching, max));
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
            RankSource::Typo { count, max } => add(Rank::of_typos(count, max)),
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
                    add(Rank::from_zero(matching, max));
                }
            }
            RankSource::Skipped => add(Rank { rank: 0, max: 1 }),
        }
    }
    score.0
}
