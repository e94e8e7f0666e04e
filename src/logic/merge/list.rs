//! Hits of several answers in one order: a k-way merge of lists that are each in order already.
//!
//! Every list is a node's first hits, as many as it was asked for. When a list ends that is as long as that, its node may
//! have more: whoever needs the next hit then has to ask deeper ([`MergeError::TooShallow`]) and begin again.

use super::MergeError;
use super::answer::NodeAnswer;
use super::hit::{Hit, Hits};
use super::rank::Rank;

/// A hit at its place in the order of all.
#[derive(Debug)]
pub struct RankedHit<'a> {
    /// The hit.
    pub hit: Hit<'a>,
    /// What decided its place.
    pub rank: Rank<'a>,
    /// Which answer it is from.
    pub answer: usize,
    /// The place that a rule has pinned it to.
    pub pin: Option<u32>,
}

/// The hits of all answers, the best first, without those that are pinned. Equal ones keep their node's order, node by node in the order of the answers.
#[derive(Debug)]
pub struct MergedHits<'a> {
    lists: Vec<HitList<'a>>,
    is_cut_off: bool,
    /// See [`Self::ends`].
    ends: Vec<&'a str>,
}

/// One node's hits from the first one on that was not taken yet.
#[derive(Debug)]
struct HitList<'a> {
    head: Head<'a>,
    rest: Hits<'a>,
    /// So many hits may still come before the node was not asked for more.
    asked_left: u64,
    /// Hits that no vector was compared for are passed over.
    only_by_vector: bool,
    /// The last hit that was read.
    last: Option<&'a str>,
}

#[derive(Debug)]
enum Head<'a> {
    /// Nobody has looked yet.
    Unread,
    Hit(Hit<'a>, Rank<'a>),
    /// The node has no more.
    End,
    /// The node was asked for no more.
    Full,
}

impl HitList<'_> {
    /// Reads the next hit; says whether the node ran out of time before it ranked it.
    fn read_head(&mut self) -> Result<bool, MergeError> {
        let mut is_cut_off = false;
        loop {
            let next = self.rest.next_hit()?;
            self.head = match next {
                Some((hit, rank)) => {
                    is_cut_off |= rank.is_cut_off();
                    self.asked_left = self.asked_left.saturating_sub(1);
                    if rank.pin().is_some() {
                        continue; // Put in its place by `pins`.
                    }
                    self.last = Some(hit.text());
                    if self.only_by_vector && !rank.is_by_vector() {
                        continue;
                    }
                    Head::Hit(hit, rank)
                }
                None if self.asked_left == 0 => Head::Full,
                None => Head::End,
            };
            return Ok(is_cut_off);
        }
    }
}

impl<'a> MergedHits<'a> {
    /// Of nodes that were asked for their first `asked` hits.
    pub fn of(answers: &[NodeAnswer<'a>], asked: u64) -> Self {
        Self::of_lists(answers, asked, false)
    }

    /// The same, without the hits that no vector was compared for. A list that is as long as its node was asked for just ends
    /// (see [`Self::ends`]).
    pub fn by_vector(answers: &[NodeAnswer<'a>], asked: u64) -> Self {
        Self::of_lists(answers, asked, true)
    }

    fn of_lists(answers: &[NodeAnswer<'a>], asked: u64, only_by_vector: bool) -> Self {
        let list = |answer: &NodeAnswer<'a>| HitList {
            head: Head::Unread,
            rest: Hits::new(answer.hits),
            asked_left: asked,
            only_by_vector,
            last: None,
        };
        Self { lists: answers.iter().map(list).collect(), is_cut_off: false, ends: Vec::new() }
    }

    /// The next hit; none behind the last one.
    ///
    /// # Errors
    /// [`MergeError::TooShallow`] when a node has to be asked for more, [`MergeError::Malformed`].
    pub fn next_hit(&mut self) -> Result<Option<RankedHit<'a>>, MergeError> {
        for list in &mut self.lists {
            if matches!(list.head, Head::Unread) {
                self.is_cut_off |= list.read_head()?;
            }
            if matches!(list.head, Head::Full) {
                if !list.only_by_vector {
                    return Err(MergeError::TooShallow);
                }
                list.head = Head::End;
                self.ends.extend(list.last);
            }
        }
        let Some(answer) = self.best() else { return Ok(None) };
        match std::mem::replace(&mut self.lists[answer].head, Head::Unread) {
            Head::Hit(hit, rank) => Ok(Some(RankedHit { hit, rank, answer, pin: None })),
            Head::Unread | Head::End | Head::Full => Err(MergeError::Malformed),
        }
    }

    /// Whether one of the hits that were looked at was not ranked to the end for lack of time.
    pub fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// The last hits of nodes that may have more behind them which are missing here: no better ones than these.
    pub fn ends(&self) -> &[&'a str] {
        &self.ends
    }

    /// The list whose head is the first of the best.
    fn best(&self) -> Option<usize> {
        let mut best: Option<(usize, &Rank<'_>)> = None;
        for (place, list) in self.lists.iter().enumerate() {
            if let Head::Hit(_, rank) = &list.head
                && best.is_none_or(|(_, best_rank)| rank.is_better_than(best_rank))
            {
                best = Some((place, rank));
            }
        }
        best.map(|(place, _)| place)
    }
}
