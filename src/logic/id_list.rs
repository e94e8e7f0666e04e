//! Canonical document ids by the million: one text and where each ends in it, 4 bytes an id beside its own.

use std::ops::Range;

/// Canonical ids in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IdList {
    text: String,
    ends: Vec<u32>,
}

/// The ids together would be longer than 4 GiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the ids are longer than 4 GiB together")]
pub struct IdsTooLong;

impl IdList {
    /// Appends an id.
    ///
    /// # Errors
    /// There is no room for it; the list is as before.
    pub fn push(&mut self, canonical_id: &str) -> Result<(), IdsTooLong> {
        let end = u32::try_from(self.text.len() + canonical_id.len()).map_err(|_| IdsTooLong)?;
        self.text.push_str(canonical_id);
        self.ends.push(end);
        Ok(())
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Those at these places. Places beyond the end are left out.
    pub fn range(&self, places: Range<usize>) -> impl Iterator<Item = &str> {
        let end = places.end.min(self.len());
        (places.start.min(end)..end).map(|place| {
            let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
            &self.text[start as usize..self.ends[place] as usize]
        })
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.range(0..self.len())
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_in_order_and_in_slices() {
        let mut list = IdList::default();
        assert!(list.is_empty());
        for id in ["7", "a-b", "", "18446744073709551615"] {
            list.push(id).unwrap();
        }
        assert_eq!(list.iter().collect::<Vec<_>>(), ["7", "a-b", "", "18446744073709551615"]);
        assert_eq!(list.range(1..3).collect::<Vec<_>>(), ["a-b", ""]);
        assert_eq!(list.range(3..9).collect::<Vec<_>>(), ["18446744073709551615"]);
        assert_eq!((list.range(9..12).count(), list.len()), (0, 4));
    }

    #[test]
    fn a_million_ids_take_little_more_than_their_texts() {
        let mut list = IdList::default();
        for id in 0..1_000_000_u32 {
            list.push(&id.to_string()).unwrap();
        }
        assert!(list.bytes() < 20 << 20, "{} bytes", list.bytes());
    }
}
