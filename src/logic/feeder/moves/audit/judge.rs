//! Which of the owners of a shard are wrong, when they do not all have the same documents. Never guessed: either more than
//! half of all owners have the same, or what differs is there in a way in which no write of ours leaves it, or an operator
//! says so.

use std::collections::BTreeMap;

/// What came of comparing two replicas of a shard while they stood still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Match {
    Equal,
    Unequal {
        /// Of the first node, of the second: every document that differs is there as nobody of us wrote it.
        is_explained: [bool; 2],
    },
    /// They could not be compared.
    Unknown,
}

/// By two nodes, the lower number first.
pub(super) type Matches = BTreeMap<[usize; 2], Match>;

/// Who is wrong where nothing else says so.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Doubt {
    /// Nobody knows.
    #[default]
    Open,
    /// This node, if it differs from somebody.
    Of(usize),
    /// Whoever differs from the first of these that was compared: any of them may be right, but they must be alike.
    AllButFirst(Vec<usize>),
}

/// See [`judge`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Judgement {
    /// Nodes that have the same, the largest group first. Those that were compared with nobody are left out.
    pub alike: Vec<Vec<usize>>,
    /// Nodes that are wrong; none when there is no sign.
    pub wrong: Vec<usize>,
}

impl Match {
    /// As seen by the other order of the two nodes.
    pub(super) fn turned(self) -> Self {
        match self {
            Self::Unequal { is_explained: [first, second] } => Self::Unequal { is_explained: [second, first] },
            Self::Equal | Self::Unknown => self,
        }
    }
}

/// The match of two nodes, seen from the first one.
fn of(matches: &Matches, first: usize, second: usize) -> Match {
    let found = matches.get(&[first.min(second), first.max(second)]).copied().unwrap_or(Match::Unknown);
    if first <= second { found } else { found.turned() }
}

/// `owners` are all owners of the shard, compared or not. The doubt counts if there is no other sign.
pub(super) fn judge(owners: &[usize], matches: &Matches, doubt: &Doubt) -> Judgement {
    let is_known =
        |&node: &usize| owners.iter().any(|&other| other != node && of(matches, node, other) != Match::Unknown);
    let mut alike: Vec<Vec<usize>> = Vec::new();
    for node in owners.iter().copied().filter(is_known) {
        let is_alike = |group: &&mut Vec<usize>| group.iter().all(|&other| of(matches, node, other) == Match::Equal);
        match alike.iter_mut().find(is_alike) {
            Some(group) => group.push(node),
            None => alike.push(vec![node]),
        }
    }
    alike.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let mut wrong = by_majority(owners.len(), &alike, matches).or_else(|| by_explanation(matches)).unwrap_or_default();
    if wrong.is_empty() {
        let is_unequal = |of: &Match| matches!(of, Match::Unequal { .. });
        let differs = |&node: &usize| matches.iter().any(|(pair, found)| pair.contains(&node) && is_unequal(found));
        match doubt {
            Doubt::Open => {}
            Doubt::Of(node) => wrong.extend(Some(*node).filter(differs)),
            Doubt::AllButFirst(order) => {
                let first = order.iter().copied().find(|node| owners.contains(node) && is_known(node));
                let is_other = |&node: &usize| first.is_some_and(|first| is_unequal(&of(matches, first, node)));
                wrong.extend(owners.iter().copied().filter(is_other));
            }
        }
    }
    Judgement { alike, wrong }
}

/// Those that differ from all of more than half of the owners.
fn by_majority(owners: usize, alike: &[Vec<usize>], matches: &Matches) -> Option<Vec<usize>> {
    let (most, others) = alike.split_first()?;
    if most.len() * 2 <= owners {
        return None;
    }
    let is_wrong = |&node: &usize| {
        let seen = || most.iter().map(|&other| of(matches, node, other)).filter(|found| *found != Match::Unknown);
        seen().count() > 0 && seen().all(|found| found != Match::Equal)
    };
    Some(others.iter().flatten().copied().filter(is_wrong).collect())
}

/// Every difference is explained by one of its two sides, and by that one alone.
fn by_explanation(matches: &Matches) -> Option<Vec<usize>> {
    let mut wrong = Vec::new();
    for (&[first, second], found) in matches {
        match found {
            Match::Unequal { is_explained: [true, false] } => wrong.push(first),
            Match::Unequal { is_explained: [false, true] } => wrong.push(second),
            Match::Unequal { is_explained: [true, true] | [false, false] } => return None,
            Match::Equal | Match::Unknown => {}
        }
    }
    wrong.sort_unstable();
    wrong.dedup();
    Some(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNEQUAL: Match = Match::Unequal { is_explained: [false, false] };
    const BY_FIRST: Match = Match::Unequal { is_explained: [true, false] };
    const BY_SECOND: Match = Match::Unequal { is_explained: [false, true] };
    const BY_BOTH: Match = Match::Unequal { is_explained: [true, true] };

    fn check(owners: usize, matches: &[([usize; 2], Match)], wrong: &[usize], groups: usize) {
        let owners: Vec<usize> = (0..owners).collect();
        let found = judge(&owners, &matches.iter().copied().collect(), &Doubt::Open);
        assert_eq!((&found.wrong[..], found.alike.len()), (wrong, groups), "{matches:?}");
    }

    #[test]
    fn of_two_nobody_is_wrong_without_a_sign() {
        check(2, &[([0, 1], UNEQUAL)], &[], 2);
        check(2, &[([0, 1], BY_FIRST)], &[0], 2);
        check(2, &[([0, 1], BY_SECOND)], &[1], 2);
        check(2, &[([0, 1], BY_BOTH)], &[], 2);
        check(2, &[([0, 1], Match::Unknown)], &[], 0);
    }

    #[test]
    fn more_than_half_of_all_owners_are_right() {
        use Match::{Equal, Unknown};
        for odd in 0..3 {
            let of = |pair: [usize; 2]| (pair, if pair.contains(&odd) { UNEQUAL } else { Equal });
            check(3, &[[0, 1], [0, 2], [1, 2]].map(of), &[odd], 2);
        }
        check(3, &[([0, 1], UNEQUAL), ([0, 2], UNEQUAL), ([1, 2], UNEQUAL)], &[], 3);
        // The third one is away: one against one, even if it had agreed with somebody.
        check(3, &[([0, 1], UNEQUAL), ([0, 2], Unknown), ([1, 2], Unknown)], &[], 2);
        // Two of four are not more than half.
        let pairs = [([0, 1], Equal), ([2, 3], Equal), ([0, 2], UNEQUAL), ([0, 3], UNEQUAL), ([1, 2], UNEQUAL)];
        check(4, &[&pairs[..], &[([1, 3], UNEQUAL)]].concat(), &[], 2);
        // Three of five are, and both others are wrong, alike or not.
        let mut pairs: Vec<_> = [[0, 1], [0, 2], [1, 2]].map(|pair| (pair, Equal)).to_vec();
        pairs.extend((0..3).flat_map(|right| [3, 4].map(|wrong| ([right, wrong], UNEQUAL))));
        check(5, &[&pairs[..], &[([3, 4], Equal)]].concat(), &[3, 4], 2);
        check(5, &[&pairs[..], &[([3, 4], UNEQUAL)]].concat(), &[3, 4], 3);
    }

    #[test]
    fn an_operator_decides_where_nothing_else_does() {
        let of = |owners: usize, matches: &[([usize; 2], Match)], distrusted: usize| {
            let owners: Vec<usize> = (0..owners).collect();
            judge(&owners, &matches.iter().copied().collect(), &Doubt::Of(distrusted)).wrong
        };
        assert_eq!(of(2, &[([0, 1], UNEQUAL)], 1), [1]);
        assert_eq!(of(2, &[([0, 1], BY_FIRST)], 1), [0]);
        assert_eq!(of(3, &[([0, 1], UNEQUAL), ([0, 2], Match::Equal), ([1, 2], UNEQUAL)], 0), [1]);
        // It was not found to differ from anybody.
        assert_eq!(of(3, &[([0, 1], UNEQUAL)], 2), [0; 0]);
    }

    #[test]
    fn after_a_restore_all_become_like_the_one_that_had_come_furthest() {
        let of = |owners: usize, matches: &[([usize; 2], Match)], order: &[usize]| {
            let owners: Vec<usize> = (0..owners).collect();
            judge(&owners, &matches.iter().copied().collect(), &Doubt::AllButFirst(order.to_vec())).wrong
        };
        assert_eq!(of(2, &[([0, 1], UNEQUAL)], &[1, 0]), [0]);
        assert_eq!(of(2, &[([0, 1], UNEQUAL)], &[7, 0, 1]), [1]);
        assert_eq!(of(2, &[([0, 1], Match::Equal)], &[1, 0]), [0; 0]);
        assert_eq!(of(3, &[([0, 1], UNEQUAL), ([0, 2], UNEQUAL), ([1, 2], UNEQUAL)], &[2, 1, 0]), [0, 1]);
        // A sign counts more.
        assert_eq!(of(2, &[([0, 1], BY_SECOND)], &[1, 0]), [1]);
    }

    #[test]
    fn what_contradicts_itself_is_no_sign() {
        use Match::Equal;
        // Somebody writes to the nodes meanwhile.
        check(3, &[([0, 1], Equal), ([1, 2], Equal), ([0, 2], UNEQUAL)], &[], 2);
        check(3, &[([0, 1], UNEQUAL), ([0, 2], BY_SECOND), ([1, 2], BY_SECOND)], &[], 3);
        check(3, &[([0, 1], BY_FIRST), ([0, 2], BY_FIRST), ([1, 2], Equal)], &[0], 2);
    }
}
