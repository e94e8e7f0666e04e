//! Distinct types for the identifiers of Miroir, so that none can be mistaken for another.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps a text that is already known to be valid.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

text_id! {
    /// The operator's name of a node.
    NodeId
}
text_id! {
    /// The name of an index as the client knows it.
    IndexUid
}
text_id! {
    /// The name of an index on the nodes: made fresh at each creation and never used again.
    NodeIndexUid
}
number_id! {
    /// One of the `S` fixed slices of the key space, `0..S`.
    ShardId(u16)
}
number_id! {
    /// A node's place in the tables of one routing snapshot. Not stable across snapshots: never stored.
    NodeSlot(u16)
}
number_id! {
    /// The number of a journal entry, counted from 0: the client's `taskUid`.
    EntryId(u64)
}
number_id! {
    /// The number of a task on one node.
    NodeTask(u64)
}
number_id! {
    /// The number of a job that brings a replica of a shard to a node, or takes one away.
    JobId(u64)
}
number_id! {
    /// The version of a routing snapshot; grows by one with each publication.
    Epoch(u64)
}
number_id! {
    /// The place of one step in the journal (see [`crate::logic::entry::Entry::steps`]). 0 is before everything.
    Position(u64)
}

impl Position {
    /// Steps per entry that the numbering leaves room for.
    pub const STEPS_PER_ENTRY: u64 = 4;

    /// The position of a step of an entry.
    ///
    /// # Panics
    /// If `step` is not below [`Self::STEPS_PER_ENTRY`].
    pub fn of(entry: EntryId, step: u64) -> Self {
        assert!(step < Self::STEPS_PER_ENTRY, "an entry has at most {} steps", Self::STEPS_PER_ENTRY);
        Self((entry.0 + 1) * Self::STEPS_PER_ENTRY + step)
    }

    /// The entry that this position belongs to; none before the first.
    pub fn entry(self) -> Option<EntryId> {
        (self.0 / Self::STEPS_PER_ENTRY).checked_sub(1).map(EntryId)
    }

    /// The number of the step within its entry.
    pub fn step(self) -> u64 {
        self.0 % Self::STEPS_PER_ENTRY
    }

    /// The position just before this one.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.checked_sub(1).expect("nothing lies before position 0"))
    }
}

/// Microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// Milliseconds of a monotonic clock that starts anywhere: for deadlines, never stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// This instant and `milliseconds` later.
    #[must_use]
    pub fn plus_ms(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_gives_back_entry_and_step() {
        for entry in [0, 1, 77] {
            for step in 0..Position::STEPS_PER_ENTRY {
                let position = Position::of(EntryId(entry), step);
                assert_eq!((position.entry(), position.step()), (Some(EntryId(entry)), step));
            }
        }
        assert_eq!(Position::default().entry(), None);
    }
}
