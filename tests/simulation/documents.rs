//! Tiny documents and what operations do to them: shared by the simulated nodes and the oracle.

use std::collections::BTreeMap;

pub const IDS: usize = 6;

/// A field that a node may choke on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Geo {
    Null,
    /// Rejected while the settings are strict.
    Bad,
    /// Always rejected.
    Poison,
    /// Stored, but no settings are taken while it is.
    Stubborn,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Doc {
    pub x: Option<u64>,
    pub y: Option<u64>,
    pub geo: Option<Geo>,
}

impl Doc {
    fn merge(self, over: Doc) -> Doc {
        Doc { x: over.x.or(self.x), y: over.y.or(self.y), geo: over.geo.or(self.geo) }
    }

    fn is_bad(self, is_strict: bool) -> bool {
        match self.geo {
            Some(Geo::Poison) => true,
            Some(Geo::Bad) => is_strict,
            Some(Geo::Null | Geo::Stubborn) | None => false,
        }
    }

    /// While it is stored no node takes these settings.
    pub fn is_against_settings(self, is_strict: bool) -> bool {
        match self.geo {
            Some(Geo::Stubborn) => true,
            Some(Geo::Bad | Geo::Poison) => is_strict,
            Some(Geo::Null) | None => false,
        }
    }
}

pub type Docs = BTreeMap<usize, Doc>;

/// What a document operation does; ids outside of the wanted shards are already cut away.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    Put { docs: Docs, is_merge: bool },
    Delete { ids: Vec<usize> },
}

impl Change {
    pub fn ids(&self) -> Vec<usize> {
        match self {
            Self::Put { docs, .. } => docs.keys().copied().collect(),
            Self::Delete { ids } => ids.clone(),
        }
    }

    pub fn cut(&self, wanted: impl Fn(usize) -> bool) -> Self {
        match self {
            Self::Put { docs, is_merge } => {
                let docs = docs.iter().filter(|(id, _)| wanted(**id)).map(|(&id, &doc)| (id, doc)).collect();
                Self::Put { docs, is_merge: *is_merge }
            }
            Self::Delete { ids } => Self::Delete { ids: ids.iter().copied().filter(|&id| wanted(id)).collect() },
        }
    }

    /// Returns how many documents it deleted.
    pub fn apply(&self, to: &mut Docs) -> u64 {
        match self {
            Self::Put { docs, is_merge } => {
                for (&id, &doc) in docs {
                    let old = to.get(&id).copied().filter(|_| *is_merge).unwrap_or_default();
                    to.insert(id, old.merge(doc));
                }
                0
            }
            Self::Delete { ids } => ids.iter().filter(|id| to.remove(id).is_some()).count() as u64,
        }
    }
}

/// The ids whose documents a server would reject.
pub fn has_bad(docs: &Docs, ids: impl IntoIterator<Item = usize>, is_strict: bool) -> bool {
    ids.into_iter().any(|id| docs.get(&id).is_some_and(|doc| doc.is_bad(is_strict)))
}

/// Equal field by field to one of the allowed ones, fields taken from different ones: a reader between two entries.
pub fn is_between(seen: Option<Doc>, allowed: &[Option<Doc>]) -> bool {
    let Some(seen) = seen else { return allowed.contains(&None) };
    let of = |doc: &Option<Doc>| doc.unwrap_or_default();
    allowed.iter().any(|doc| of(doc).x == seen.x)
        && allowed.iter().any(|doc| of(doc).y == seen.y)
        && allowed.iter().any(|doc| of(doc).geo == seen.geo)
}
