//! The numbers of a facet, or its texts, added up over all answers, with what is not known of them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use super::list::KindList;

/// One value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::logic::merge) struct FacetValue<'a> {
    /// As the first answer spells it.
    pub shown: Cow<'a, str>,
    /// In how many documents, as far as known.
    pub count: u64,
    /// Where it was first met: the order of the only list, if there is one.
    pub place: usize,
}

/// A list that may lack values which its node has.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Cut<'a> {
    /// Of which answer.
    answer: usize,
    /// A value that is not known may be there so often.
    unlisted_max: u64,
    /// What is known of that answer: keys.
    known: HashSet<Cow<'a, str>>,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::logic::merge) struct Kind<'a> {
    /// By key.
    values: HashMap<Cow<'a, str>, FacetValue<'a>>,
    cuts: Vec<Cut<'a>>,
}

/// A value with its key.
pub(in crate::logic::merge) type Keyed<'v, 'a> = (&'v str, &'v FacetValue<'a>);

impl<'a> Kind<'a> {
    /// The value with this key.
    pub(in crate::logic::merge) fn get(&self, key: &str) -> Option<&FacetValue<'a>> {
        self.values.get(key)
    }

    /// All of them, in no order.
    pub(in crate::logic::merge) fn iter(&self) -> impl Iterator<Item = Keyed<'_, 'a>> {
        self.values.iter().map(|(key, value)| (key.as_ref(), value))
    }

    /// So many different ones.
    pub(in crate::logic::merge) fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether some list lacks values.
    pub(in crate::logic::merge) fn is_cut(&self) -> bool {
        !self.cuts.is_empty()
    }

    /// Adds the list of one answer.
    pub(in crate::logic::merge) fn add(&mut self, answer: usize, list: KindList<'a>) {
        if list.is_cut {
            let known = list.values.iter().map(|value| value.key.clone()).collect();
            self.cuts.push(Cut { answer, unlisted_max: list.unlisted_max(), known });
        }
        self.values.reserve(list.values.len().saturating_sub(self.values.len()));
        for value in list.values {
            let place = self.values.len();
            let own = self.values.entry(value.key);
            own.or_insert(FacetValue { shown: value.shown, count: 0, place }).count += value.count;
        }
    }

    /// The first so many in this order.
    pub(in crate::logic::merge) fn first(
        &self,
        count: usize,
        order: impl Fn(&Keyed<'_, 'a>, &Keyed<'_, 'a>) -> Ordering,
    ) -> Vec<Keyed<'_, 'a>> {
        let mut values: Vec<Keyed<'_, 'a>> = self.iter().collect();
        if count < values.len() {
            if count > 0 {
                values.select_nth_unstable_by(count - 1, &order);
            }
            values.truncate(count);
        }
        values.sort_unstable_by(order);
        values
    }

    /// Whether nothing that is not known could be among those that are `shown`, or change their counts. `wanted`: so many are
    /// shown where there are so many. Values that are no more frequent than the last one shown do not count: which of equal
    /// counts are shown is each server's own (docs/EXACTNESS.md).
    pub(in crate::logic::merge) fn is_certain(&self, shown: &[Keyed<'_, 'a>], wanted: usize) -> bool {
        let least = least_shown(shown, wanted);
        let unseen: u64 = self.cuts.iter().map(|cut| cut.unlisted_max).sum();
        unseen <= least && self.doubtful(shown, wanted).is_empty()
    }

    /// Values that may be among those that are shown, or are, and whose count is not known; those that may be most frequent
    /// first.
    pub(in crate::logic::merge) fn doubtful(&self, shown: &[Keyed<'_, 'a>], wanted: usize) -> Vec<&str> {
        let unseen: u64 = self.cuts.iter().map(|cut| cut.unlisted_max).sum();
        if unseen == 0 {
            return Vec::new();
        }
        let least = least_shown(shown, wanted);
        let shown: HashSet<&str> = shown.iter().map(|(key, _)| *key).collect();
        let mut doubtful: Vec<(u64, &str)> = Vec::new();
        for (key, value) in &self.values {
            let is_shown = shown.contains(key.as_ref());
            if !is_shown && value.count + unseen <= least {
                continue;
            }
            let lacking = self.cuts.iter().filter(|cut| !cut.known.contains(key));
            let more_max: u64 = lacking.map(|cut| cut.unlisted_max).sum();
            if more_max > 0 && (is_shown || value.count + more_max > least) {
                doubtful.push((value.count + more_max, key));
            }
        }
        doubtful.sort_unstable_by(|left, right| right.0.cmp(&left.0).then_with(|| left.1.cmp(right.1)));
        doubtful.into_iter().map(|(_, key)| key).collect()
    }

    /// Of these values those that an answer's list lacks, for each answer whose list was cut.
    pub(in crate::logic::merge) fn unknown<'k>(&self, keys: &[&'k str]) -> impl Iterator<Item = (usize, Vec<&'k str>)> {
        self.cuts.iter().map(|cut| {
            let lacking = keys.iter().copied().filter(|key| !cut.known.contains(*key));
            (cut.answer, lacking.collect())
        })
    }

    /// Takes in what one answer's nodes say to these values. What their lists do not have is not there, unless they were cut,
    /// too.
    pub(in crate::logic::merge) fn clarify(&mut self, answer: usize, keys: &[String], lists: &[&KindList<'_>]) {
        let Some(cut) = self.cuts.iter_mut().find(|cut| cut.answer == answer) else { return };
        let is_cut = lists.iter().any(|list| list.is_cut);
        let mut counts: HashMap<&str, (usize, u64)> = HashMap::new();
        for value in lists.iter().flat_map(|list| &list.values) {
            let own = counts.entry(value.key.as_ref()).or_default();
            *own = (own.0 + 1, own.1 + value.count);
        }
        for key in keys {
            let (listed, count) = counts.get(key.as_str()).copied().unwrap_or_default();
            let Some(value) = self.values.get_mut(key.as_str()) else { continue };
            if (!is_cut || listed == lists.len()) && cut.known.insert(Cow::Owned(key.clone())) {
                value.count += count;
            }
        }
    }
}

/// The count of the last one that is shown; 0 while there is room for more.
fn least_shown(shown: &[Keyed<'_, '_>], wanted: usize) -> u64 {
    if shown.len() < wanted { 0 } else { shown.iter().map(|(_, value)| value.count).min().unwrap_or(u64::MAX) }
}
