//! What a round asks about: corpora that are on both sides, and what is known of each.

use super::corpus::Corpus;
use super::dictionary::LazyDictionary;
use super::known::KnownAttributes;
use super::servers::Sides;
use crate::support::Random;

/// A corpus that is on both sides.
pub struct Searched<'a> {
    /// Its documents and settings.
    pub corpus: &'a Corpus,
    /// Its words.
    pub dictionary: LazyDictionary<'a>,
    /// Which node knows which attributes.
    pub known: KnownAttributes,
}

/// All of them, and who is asked.
pub struct World<'a> {
    /// One for each index.
    pub searched: Vec<Searched<'a>>,
    /// One server and Miroir.
    pub sides: Sides<'a>,
    /// Another replica may answer for the next page, and order ties differently.
    pub may_change_ties: bool,
}

/// One case: chance, and the corpus that it is about, or mostly about.
pub struct Asker<'a> {
    /// Decides what is asked.
    pub random: Random,
    /// All that can be asked.
    pub world: &'a World<'a>,
    /// The one that is meant.
    pub searched: &'a Searched<'a>,
}

impl<'a> Asker<'a> {
    /// The one server and Miroir.
    pub fn sides(&self) -> Sides<'a> {
        self.world.sides
    }
}
