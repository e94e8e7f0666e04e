//! Which entries no node can come to again, so that the store may forget what they carry.
//!
//! A node comes to an entry by its watermark, and again when a request that came late makes it go back. So an index needs the
//! journal from the first step on that some member has not applied, as it is stored. Where that is, is noted; what was noted
//! falls back with every watermark that falls, and counts when it has stood for as long as late requests are remembered
//! ([`super::Timing::keep_ms`]). From then on nobody goes back behind it: a request that comes later still is one that no
//! replay repairs (rule *far*). Replicas that are to be rebuilt need nothing, their peers have it all.

use std::collections::BTreeMap;

use super::Fleet;
use super::feed::{Feed, Version};
use super::step::{JournalUnavailable, JournalView};
use crate::logic::ids::{EntryId, Monotonic, NodeIndexUid, Position};

/// From where on the journal is needed. Entries without an outcome are needed wherever they are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Needed {
    /// The first entry that some node may come to, by index.
    pub from: BTreeMap<NodeIndexUid, EntryId>,
    /// The same of entries that belong to no index, or to one that is gone everywhere.
    pub from_of_others: EntryId,
}

impl Needed {
    /// From where on entries of this index are needed.
    pub fn from_of(&self, index: Option<&NodeIndexUid>) -> EntryId {
        index.and_then(|index| self.from.get(index)).copied().unwrap_or(self.from_of_others)
    }
}

/// What was needed a while ago.
#[derive(Debug)]
pub(super) struct Noted {
    since: Monotonic,
    /// The transaction that stores the watermarks which it goes by.
    stored_in: Version,
    needed: Needed,
}

impl Fleet {
    /// What the journal must keep; none until there is something new to say. What is not needed will not be asked for again,
    /// in this life or a later one, if the next one is told (see [`super::IndexStart::needed_from`]).
    pub fn take_needed(&mut self, now: Monotonic, journal: &dyn JournalView) -> Option<Needed> {
        let is_ripe =
            |noted: &mut Noted| noted.stored_in <= self.stored && now >= noted.since.plus_ms(self.timing.keep_ms);
        let ripe = self.noted.take_if(is_ripe);
        if self.noted.is_none() {
            self.noted = Some(self.note_needed(now, journal));
        }
        let needed = ripe?.needed;
        for (uid, &from) in &needed.from {
            if let Some(state) = self.indexes.get_mut(uid) {
                state.needed_from = state.needed_from.max(from);
            }
        }
        Some(needed)
    }

    fn note_needed(&mut self, now: Monotonic, journal: &dyn JournalView) -> Noted {
        // All that has happened up to now.
        let stored_in = if self.has_changes() { self.version } else { self.version - 1 };
        let end = EntryId(self.head.entry().map_or(0, |last| last.0 + 1));
        let mut needed = Needed { from: BTreeMap::new(), from_of_others: end };
        let uids: Vec<NodeIndexUid> = self.indexes.keys().cloned().collect();
        for uid in uids {
            let due = self.due_steps(&uid, journal);
            let state = self.index(&uid);
            let comes = |feed: &Feed| !feed.needs_rebuild && (self.rules.trim || feed.is_required());
            let from = match due {
                Ok(due) => {
                    let due = due.into_iter().zip(&state.feeds).filter(|(_, feed)| comes(feed));
                    let due = due.filter_map(|(due, _)| due?.entry());
                    // A deletion may have to be done again as long as the index is remembered.
                    let dropped = state.dropped.and_then(Position::entry);
                    due.chain(dropped).chain(state.unreported.first().copied()).fold(end, EntryId::min)
                }
                // An unreadable journal: as before.
                Err(JournalUnavailable) => state.needed_from,
            };
            needed.from.insert(uid, from);
        }
        Noted { since: now, stored_in, needed }
    }

    /// A watermark falls: what comes after this is needed again.
    pub(super) fn need_from(&mut self, uid: &NodeIndexUid, first: Position) {
        let from = self.noted.as_mut().and_then(|noted| noted.needed.from.get_mut(uid));
        if let (Some(from), Some(entry)) = (from, first.entry()) {
            *from = entry.min(*from);
        }
    }

    /// The store may have forgotten what belongs to this position: nobody can be brought back there.
    pub(super) fn is_trimmed(&self, uid: &NodeIndexUid, position: Position) -> bool {
        position.entry().is_some_and(|entry| entry < self.index(uid).needed_from)
    }
}
