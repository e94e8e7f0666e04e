//! Versions of Meilisearch: which ones can be nodes (`docs/decisions/0009-node-versions.md`).

use std::fmt;

use serde::Serialize;

/// What a Meilisearch says that it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeVersion {
    major: u64,
    minor: u64,
    patch: u64,
}

/// Whether a version can be a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Fitness {
    /// It lacks what Miroir needs.
    TooOld,
    /// Miroir is tested with it.
    Tested,
    /// It is newer than what Miroir is tested with.
    Untested,
}

impl NodeVersion {
    /// The least that can be a node.
    pub const LEAST: Self = Self { major: 1, minor: 50, patch: 0 };

    /// `1.50.0` and the like. What follows a `-` does not count: a preview of a version is taken for it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(['-', '+']).next()?.split('.');
        let mut next = || numbers.next()?.parse().ok();
        let version = Self { major: next()?, minor: next()?, patch: next()? };
        numbers.next().is_none().then_some(version)
    }

    /// See [`Fitness`].
    pub fn fitness(self) -> Fitness {
        if self < Self::LEAST {
            Fitness::TooOld
        } else if (self.major, self.minor) == (Self::LEAST.major, Self::LEAST.minor) {
            Fitness::Tested
        } else {
            Fitness::Untested
        }
    }
}

impl fmt::Display for NodeVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Of a version as a node tells it. One that cannot be read is of nobody knows when.
pub fn fitness_of(text: &str) -> Fitness {
    NodeVersion::parse(text).map_or(Fitness::Untested, NodeVersion::fitness)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_judged_by_their_numbers() {
        for (text, fitness) in [
            ("1.50.0", Fitness::Tested),
            ("1.50.12", Fitness::Tested),
            ("1.50.0-rc.1", Fitness::Tested),
            ("1.49.9", Fitness::TooOld),
            ("1.9.0", Fitness::TooOld),
            ("0.30.5", Fitness::TooOld),
            ("1.51.0", Fitness::Untested),
            ("1.100.0", Fitness::Untested),
            ("2.0.0", Fitness::Untested),
            ("next", Fitness::Untested),
        ] {
            assert_eq!(fitness_of(text), fitness, "{text}");
        }
    }
}
