//! Lists of documents: pages over nodes one behind the other, or merged by the values that a sort looks at.

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::MergeError;
use super::rank::{SortValue, compare_distances};
use super::sort_values::{distance_to, sort_value};
use crate::logic::json::{Malformed, elements, members};
use crate::logic::marker::strip;

/// A node's answer to `documents/fetch`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodePage<'a> {
    /// The documents as they stand in the text.
    pub documents: Vec<&'a str>,
    /// All that match.
    pub total: u64,
}

impl<'a> NodePage<'a> {
    /// Takes an answer apart.
    pub fn read(body: &'a str) -> Result<Self, MergeError> {
        let mut page = Self::default();
        let mut has_results = false;
        for member in members(body) {
            let member = member?;
            match member.key.as_ref() {
                "results" => {
                    let documents = elements(member.value.text);
                    page.documents = documents.map(|part| part.map(|part| part.text)).collect::<Result<_, _>>()?;
                    has_results = true;
                }
                "total" => page.total = member.value.text.parse().map_err(|_| MergeError::Malformed)?,
                _ => {}
            }
        }
        if has_results { Ok(page) } else { Err(MergeError::Malformed) }
    }
}

/// What each of several lists, one behind the other, gives to a page of the whole: offset and limit within the list.
pub fn page_windows(totals: &[u64], offset: u64, limit: u64) -> Vec<(u64, u64)> {
    let mut to_skip = offset;
    let mut to_take = limit;
    let window = |total: &u64| {
        let skipped = to_skip.min(*total);
        let taken = to_take.min(total - skipped);
        to_skip -= skipped;
        to_take -= taken;
        (skipped, taken)
    };
    totals.iter().map(window).collect()
}

/// The page as the client asked for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DocumentPage {
    /// As asked.
    pub offset: u64,
    /// As asked.
    pub limit: u64,
    /// All that match.
    pub total: u64,
}

/// Writes the client's answer, without markers.
#[derive(Debug)]
pub struct ListWriter {
    text: String,
}

impl Default for ListWriter {
    fn default() -> Self {
        Self { text: "{\"results\":[".to_owned() }
    }
}

impl ListWriter {
    /// The next document, as a node sent it.
    pub fn push(&mut self, document: &str) -> Result<(), Malformed> {
        if !self.text.ends_with('[') {
            self.text.push(',');
        }
        self.text.push_str(&strip(document)?);
        Ok(())
    }

    /// The whole answer.
    pub fn finish(self, page: DocumentPage, is_degraded: bool) -> String {
        let mut text = self.text;
        let DocumentPage { offset, limit, total } = page;
        write!(text, "],\"offset\":{offset},\"limit\":{limit},\"total\":{total}").expect("strings take all");
        if is_degraded {
            text.push_str(",\"degraded\":true");
        }
        text.push('}');
        text
    }
}

/// What a sort rule sees of a document.
enum SortKey {
    Value { value: SortValue<'static>, is_ascending: bool },
    Distance { metres: Option<f64>, is_ascending: bool },
}

impl SortKey {
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Value { value, is_ascending }, Self::Value { value: other, .. }) => {
                value.compare(other, *is_ascending)
            }
            (Self::Distance { metres, is_ascending }, Self::Distance { metres: other, .. }) => {
                compare_distances(*metres, *other, *is_ascending)
            }
            (Self::Value { .. }, Self::Distance { .. }) | (Self::Distance { .. }, Self::Value { .. }) => {
                Ordering::Equal
            }
        }
    }
}

/// Merges lists of documents, each in the order of the sort rules already. Equal documents keep the order in which they
/// come.
pub struct SortedMerge<'a> {
    sort: &'a [String],
    keyed: Vec<(Vec<SortKey>, &'a str)>,
}

impl<'a> SortedMerge<'a> {
    /// By these rules.
    pub fn new(sort: &'a [String]) -> Self {
        Self { sort, keyed: Vec::new() }
    }

    /// The next document of a list, or the first one of the next list.
    pub fn push(&mut self, document: &'a str) -> Result<(), MergeError> {
        self.keyed.push((keys_of(self.sort, document)?, document));
        Ok(())
    }

    /// All of them in order.
    pub fn finish(mut self) -> impl Iterator<Item = &'a str> {
        // Stable, and fast on runs that are sorted already.
        self.keyed.sort_by(|(left, _), (right, _)| {
            let orders = left.iter().zip(right).map(|(left, right)| left.compare(right));
            orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        self.keyed.into_iter().map(|(_, document)| document)
    }
}

fn keys_of(sort: &[String], source: &str) -> Result<Vec<SortKey>, MergeError> {
    let document: serde_json::Value = serde_json::from_str(source).map_err(|_| MergeError::Malformed)?;
    let key = |rule: &String| {
        let (attribute, direction) = rule.rsplit_once(':').unwrap_or((rule, "asc"));
        let is_ascending = direction == "asc";
        match attribute.strip_prefix("_geoPoint(").and_then(|point| point.strip_suffix(')')) {
            Some(point) => SortKey::Distance { metres: distance_to(point, &document), is_ascending },
            None => SortKey::Value { value: sort_value(&document, attribute, is_ascending), is_ascending },
        }
    };
    Ok(sort.iter().map(key).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_over_several_lists_neither_repeat_nor_skip() {
        proptest::proptest!(|(totals in proptest::collection::vec(0u64..9, 0..6), limit in 1u64..5)| {
            let all: Vec<(usize, u64)> =
                totals.iter().enumerate().flat_map(|(list, total)| (0..*total).map(move |place| (list, place))).collect();
            let mut seen = Vec::new();
            for page in 0..20 {
                let windows = page_windows(&totals, page * limit, limit);
                for (list, (offset, taken)) in windows.into_iter().enumerate() {
                    seen.extend((offset..offset + taken).map(|place| (list, place)));
                }
            }
            seen.truncate(all.len());
            proptest::prop_assert_eq!(seen, all[..all.len().min((20 * limit) as usize)].to_vec());
        });
    }

    #[test]
    fn sorted_lists_are_merged_by_value() {
        let lists = [
            vec![r#"{"id":1,"p":1}"#, r#"{"id":2,"p":["b",7]}"#, r#"{"id":3}"#],
            vec![r#"{"id":4,"p":2}"#, r#"{"id":5,"p":"É"}"#, r#"{"id":6,"p":"f"}"#],
        ];
        let sort = ["p:asc".to_owned()];
        let mut merge = SortedMerge::new(&sort);
        lists.iter().flatten().for_each(|document| merge.push(document).expect("JSON"));
        let ids: Vec<String> = merge.finish().map(|text| text[6..7].to_owned()).collect();
        // "É" is "e" and an accent once normalised: before "f".
        assert_eq!(ids, ["1", "4", "2", "5", "6", "3"]);
    }

    #[test]
    fn the_list_is_stripped_and_says_what_it_lacks() {
        let mut list = ListWriter::default();
        for document in [r#"{"_miroir":"x","id":1}"#, r#"{"id":2,"_miroir":"x"}"#] {
            list.push(document).expect("JSON");
        }
        let page = DocumentPage { offset: 1, limit: 2, total: 9 };
        assert_eq!(
            list.finish(page, true),
            r#"{"results":[{"id":1},{"id":2}],"offset":1,"limit":2,"total":9,"degraded":true}"#
        );
    }
}
