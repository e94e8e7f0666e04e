//! One node's list of the values of one facet: which of them are numbers and which texts, and what it may lack.

use std::borrow::Cow;

use super::facet::FacetOrder;
use crate::logic::json::Part;
use crate::logic::merge::MergeError;
use crate::meili::facet_text::{KEY_BYTES_MAX, stored_key};

/// How a list is read.
#[derive(Clone, Copy, Debug)]
pub(in crate::logic::merge) struct Listing {
    /// Its order: that of the documents which match on its node.
    pub order: FacetOrder,
    /// Least and greatest number of it; none: it has texts only.
    pub numbers: Option<(f64, f64)>,
    /// A node returns no more values.
    pub values_max: u64,
    /// Nor does one that still has older settings return fewer than this, if it has them.
    pub values_min: u64,
    /// So many are enough.
    pub wanted: u64,
}

/// One value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::logic::merge) struct Listed<'a> {
    /// The text of a number, the normalised text of a text.
    pub key: Cow<'a, str>,
    /// As the node spells it.
    pub shown: Cow<'a, str>,
    /// In how many documents.
    pub count: u64,
}

/// A list as read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::logic::merge) struct ValueList<'a> {
    pub numbers: KindList<'a>,
    pub texts: KindList<'a>,
}

/// Numbers, or texts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::logic::merge) struct KindList<'a> {
    /// In the order of the list.
    pub values: Vec<Listed<'a>>,
    /// The node may have more than these.
    pub is_cut: bool,
}

impl KindList<'_> {
    /// The most frequent values come first. Else the node still has older settings: it has not been told otherwise yet.
    pub(in crate::logic::merge) fn is_falling(&self) -> bool {
        self.values.is_sorted_by(|left, right| left.count >= right.count)
    }

    /// So often a value may be there that the list lacks.
    pub(in crate::logic::merge) fn unlisted_max(&self) -> u64 {
        match self.values.last() {
            _ if !self.is_cut => 0,
            Some(last) if self.is_falling() => last.count,
            Some(_) | None => u64::from(u32::MAX),
        }
    }
}

/// Reads a list.
pub(in crate::logic::merge) fn list_values(values: Part<'_>, listing: Listing) -> Result<ValueList<'_>, MergeError> {
    let mut list = ValueList::default();
    let mut is_among_numbers = listing.numbers.is_some();
    for member in values.members()? {
        let read = list.numbers.values.len() + list.texts.values.len();
        if read as u64 >= listing.wanted {
            // What is behind is behind whatever anybody wants to see.
            return Ok(list);
        }
        let member = member?;
        let count: u64 = member.value.text.parse().map_err(|_| MergeError::Malformed)?;
        let shown = member.key;
        is_among_numbers = is_among_numbers && may_follow(&shown, count, list.numbers.values.last(), listing);
        if is_among_numbers {
            list.numbers.values.push(Listed { key: shown.clone(), shown, count });
        } else {
            list.texts.values.push(Listed { key: normalized(&shown), shown, count });
        }
    }
    let is_as_told = listing.order != FacetOrder::ByCount || list.numbers.is_falling() && list.texts.is_falling();
    let values_max = if is_as_told { listing.values_max } else { listing.values_min };
    let numbers = list.numbers.values.len() as u64;
    list.numbers.is_cut = numbers >= values_max;
    let texts_left = values_max.saturating_sub(numbers);
    // Where the engine walks its tree of values, it does not stop among the texts once the numbers have filled the list.
    let is_bounded = texts_left > 0 || listing.order == FacetOrder::AsTexts;
    list.texts.is_cut = is_bounded && list.texts.values.len() as u64 >= texts_left;
    Ok(list)
}

/// Whether this can be the next number: one that the engine would write so, within the bounds, in order. Texts come behind
/// the numbers and may look like some.
fn may_follow(text: &str, count: u64, last: Option<&Listed<'_>>, listing: Listing) -> bool {
    let Some(number) = number_of(text) else { return false };
    let is_within = listing.numbers.is_some_and(|(min, max)| (min..=max).contains(&number));
    is_within
        && last.is_none_or(|last| match listing.order {
            FacetOrder::AsTexts => last.shown.as_ref() < text,
            FacetOrder::ByValue => last.shown.parse().is_ok_and(|last: f64| last < number),
            FacetOrder::ByCount => last.count >= count,
        })
}

/// The number that the engine writes as this text, if it does.
fn number_of(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    (number.is_finite() && number.to_string() == text).then_some(number)
}

/// The key of a text, without a copy where the text is so already.
pub(in crate::logic::merge) fn normalized<'a>(text: &Cow<'a, str>) -> Cow<'a, str> {
    let is_lower = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if is_lower && text.len() <= KEY_BYTES_MAX && text.trim().len() == text.len() {
        text.clone()
    } else {
        Cow::Owned(stored_key(text))
    }
}
