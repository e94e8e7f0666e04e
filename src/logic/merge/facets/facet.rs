//! One facet: which of its values are shown, in which order, and what is not known of them.
//!
//! What is shown follows the engine to the letter, also where it is odd: numbers are put into the answer first, then texts,
//! until there are as many as the user allows; a text that reads like a number in the answer takes its place; and where the
//! engine walks its tree of values (by count, or over many documents) it looks whether the answer is full only after it
//! put something in. So numbers that fill it let all texts in, and with a limit of 0 everything comes.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::FACET_NUMBERS_AS_TEXTS;
use super::kind::{Keyed, Kind};
use super::list::ValueList;

/// Values of one facet that are asked for once more at most: a filter that names them is sent to a node.
pub(in crate::logic::merge) const DOUBTS_MAX: usize = 2_000;

/// In which order values come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::logic::merge) enum FacetOrder {
    /// Numbers as texts: the engine looks at one document after the other.
    AsTexts,
    /// Numbers by value: the engine walks its tree of values.
    ByValue,
    /// The most frequent first: the same.
    ByCount,
}

impl FacetOrder {
    /// The engine's choice for so many matching documents.
    pub(super) fn of(is_by_count: bool, matching_documents: u64) -> Self {
        if is_by_count {
            Self::ByCount
        } else if matching_documents > FACET_NUMBERS_AS_TEXTS {
            Self::ByValue
        } else {
            Self::AsTexts
        }
    }
}

/// See the module.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Facet<'a> {
    order: FacetOrder,
    values_max: usize,
    numbers: Kind<'a>,
    texts: Kind<'a>,
    lists: usize,
    /// A list in another order than that of the whole may lack some of the first numbers.
    lacks_numbers: bool,
}

impl<'a> Facet<'a> {
    pub(super) fn new(order: FacetOrder, values_max: u64) -> Self {
        let values_max = usize::try_from(values_max).unwrap_or(usize::MAX);
        let (numbers, texts) = (Kind::default(), Kind::default());
        Self { order, values_max, numbers, texts, lists: 0, lacks_numbers: false }
    }

    pub(super) fn order(&self) -> FacetOrder {
        self.order
    }

    /// So many values are to be read of a list. `has_numbers`: some list has.
    pub(super) fn wanted(&self, has_numbers: bool) -> u64 {
        match self.order {
            FacetOrder::AsTexts => self.values_max as u64,
            // Texts alone are in one order everywhere. With numbers a part may have another order than the whole, and all
            // texts may be shown.
            FacetOrder::ByValue if !has_numbers && self.values_max > 0 => self.values_max as u64,
            FacetOrder::ByValue | FacetOrder::ByCount => u64::MAX,
        }
    }

    /// Adds the list of one answer.
    pub(super) fn add(&mut self, answer: usize, list: ValueList<'a>, order: FacetOrder) {
        self.lists += 1;
        self.lacks_numbers |= list.numbers.is_cut && order != self.order;
        self.numbers.add(answer, list.numbers);
        self.texts.add(answer, list.texts);
    }

    /// Numbers and texts that are shown where there are so many.
    fn wanted_of_each(&self) -> (usize, usize) {
        let numbers = self.numbers.len();
        let is_stopped = self.order == FacetOrder::AsTexts;
        let wanted_numbers = if self.values_max == 0 && !is_stopped { usize::MAX } else { self.values_max };
        let wanted_texts = match self.values_max.checked_sub(numbers) {
            Some(left) if left > 0 || is_stopped => left,
            None if is_stopped => 0,
            Some(_) | None => usize::MAX,
        };
        (wanted_numbers, wanted_texts)
    }

    fn first_numbers(&self, wanted: usize) -> Vec<Keyed<'_, 'a>> {
        let number = |value: &Keyed<'_, 'a>| value.0.parse::<f64>().unwrap_or(f64::MAX);
        let by_value = |left: &Keyed<'_, 'a>, right: &Keyed<'_, 'a>| number(left).total_cmp(&number(right));
        match self.order {
            FacetOrder::AsTexts => self.numbers.first(wanted, |left, right| left.0.cmp(right.0)),
            FacetOrder::ByValue => self.numbers.first(wanted, by_value),
            FacetOrder::ByCount => self.numbers.first(wanted, |left, right| self.by_count(left, right, by_value)),
        }
    }

    fn first_texts(&self, wanted: usize) -> Vec<Keyed<'_, 'a>> {
        let by_key = |left: &Keyed<'_, 'a>, right: &Keyed<'_, 'a>| left.0.cmp(right.0);
        match self.order {
            FacetOrder::AsTexts | FacetOrder::ByValue => self.texts.first(wanted, by_key),
            FacetOrder::ByCount => self.texts.first(wanted, |left, right| self.by_count(left, right, by_key)),
        }
    }

    /// Equal counts: as the only node has them, or the greatest value first.
    fn by_count(
        &self,
        left: &Keyed<'_, 'a>,
        right: &Keyed<'_, 'a>,
        by_value: impl Fn(&Keyed<'_, 'a>, &Keyed<'_, 'a>) -> Ordering,
    ) -> Ordering {
        right.1.count.cmp(&left.1.count).then_with(|| match self.lists {
            1 => left.1.place.cmp(&right.1.place),
            _ => by_value(right, left),
        })
    }

    /// What is shown: values with their counts.
    pub(super) fn shown(&self) -> Vec<(&str, u64)> {
        let (wanted_numbers, wanted_texts) = self.wanted_of_each();
        let numbers = self.first_numbers(wanted_numbers);
        let mut shown: Vec<(&str, u64)> =
            numbers.iter().map(|(_, value)| (value.shown.as_ref(), value.count)).collect();
        if numbers.is_empty() {
            let texts = self.first_texts(wanted_texts);
            shown.extend(texts.iter().map(|(_, value)| (value.shown.as_ref(), value.count)));
            return shown;
        }
        let places: HashMap<&str, usize> =
            shown.iter().enumerate().map(|(place, (shown, _))| (*shown, place)).collect();
        // Some of them may take the places of numbers.
        let texts = self.first_texts(wanted_texts.saturating_add(places.len()));
        let is_stopped = self.order == FacetOrder::AsTexts;
        for (place, (_, value)) in texts.iter().enumerate() {
            // Document by document, the engine counts the texts; in the tree it counts the answer.
            if is_stopped && place == wanted_texts {
                break;
            }
            match places.get(value.shown.as_ref()) {
                Some(place) => shown[*place].1 = value.count,
                None => shown.push((value.shown.as_ref(), value.count)),
            }
            if !is_stopped && shown.len() == self.values_max {
                break;
            }
        }
        shown
    }

    fn is_cut(&self) -> bool {
        self.numbers.is_cut() || self.texts.is_cut()
    }

    /// Of which answers these values have to be known more exactly; texts in their normalised form.
    pub(super) fn doubts(&self) -> Vec<(usize, Vec<String>)> {
        if self.order != FacetOrder::ByCount || !self.is_cut() {
            return Vec::new();
        }
        let (wanted_numbers, wanted_texts) = self.wanted_of_each();
        let mut numbers = self.numbers.doubtful(&self.first_numbers(wanted_numbers), wanted_numbers);
        numbers.truncate(DOUBTS_MAX);
        let mut texts = self.texts.doubtful(&self.first_texts(wanted_texts), wanted_texts);
        texts.truncate(DOUBTS_MAX - numbers.len());
        let mut doubts: Vec<(usize, Vec<String>)> = Vec::new();
        for (answer, keys) in self.numbers.unknown(&numbers).chain(self.texts.unknown(&texts)) {
            let keys = keys.into_iter().map(str::to_owned);
            match doubts.iter_mut().find(|(own, _)| *own == answer) {
                Some((_, own)) => own.extend(keys),
                None => doubts.push((answer, keys.collect())),
            }
        }
        doubts.retain(|(_, keys)| !keys.is_empty());
        doubts
    }

    /// Takes in what the nodes of one answer said to such values.
    pub(super) fn clarify(&mut self, answer: usize, keys: &[String], lists: &[ValueList<'_>]) {
        let numbers: Vec<_> = lists.iter().map(|list| &list.numbers).collect();
        self.numbers.clarify(answer, keys, &numbers);
        let texts: Vec<_> = lists.iter().map(|list| &list.texts).collect();
        self.texts.clarify(answer, keys, &texts);
    }

    /// Whether this is what one server would show.
    pub(super) fn is_exact(&self) -> bool {
        if !self.is_cut() {
            return true;
        }
        let (wanted_numbers, wanted_texts) = self.wanted_of_each();
        match self.order {
            FacetOrder::ByCount => {
                self.numbers.is_certain(&self.first_numbers(wanted_numbers), wanted_numbers)
                    && self.texts.is_certain(&self.first_texts(wanted_texts), wanted_texts)
            }
            // What is behind the end of a list is behind what is shown, unless all is to be shown.
            FacetOrder::AsTexts | FacetOrder::ByValue => {
                let lacks_texts = wanted_texts == usize::MAX && self.texts.is_cut();
                let lacks_numbers = wanted_numbers == usize::MAX && self.numbers.is_cut();
                !self.lacks_numbers && !lacks_texts && !lacks_numbers
            }
        }
    }
}
