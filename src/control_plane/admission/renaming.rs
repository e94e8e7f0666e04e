//! Swaps and renames of indexes as they are committed. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{Admitted, Stamp};
use crate::bridge::NewWrite;
use crate::logic::entry::{Entry, Operation, Swap};
use crate::logic::ids::IndexUid;
use crate::meili::error::{ApiError, Code, ErrorBody};
use crate::store::{HeadChange, HeadRecord};

/// Makes an entry of a swap. All names are looked up as of this entry; if one is missing, or taken, nothing is swapped.
pub(super) fn admit_swap(
    write: NewWrite,
    swaps: Vec<Swap>,
    heads: &BTreeMap<IndexUid, HeadRecord>,
    stamp: Stamp,
) -> Admitted {
    let rejection = write.rejection.or_else(|| rejection_of(&swaps, heads));
    let changes = if rejection.is_some() { Vec::new() } else { changes_of(&swaps, heads) };
    let named = changes.iter().filter_map(|change| Some((change.head.as_ref()?.node_uid.clone(), change.uid.clone())));
    let names = named.collect();
    let entry = Entry {
        id: stamp.id,
        enqueued_at: stamp.at,
        index: None,
        target: None,
        operation: Operation::SwapIndexes { swaps, names },
        shards: Vec::new(),
        rejection,
        custom_metadata: write.custom_metadata,
    };
    Admitted { entry, payload: None, changes }
}

/// What the names are from here on.
fn changes_of(swaps: &[Swap], heads: &BTreeMap<IndexUid, HeadRecord>) -> Vec<HeadChange> {
    let change = |uid: &IndexUid, from: &IndexUid| HeadChange { uid: uid.clone(), head: heads.get(from).cloned() };
    let pair = |swap: &Swap| {
        let (left, right) = &swap.indexes;
        [change(left, right), change(right, left)]
    };
    swaps.iter().flat_map(pair).collect()
}

/// Why it cannot succeed, in the words of one server.
fn rejection_of(swaps: &[Swap], heads: &BTreeMap<IndexUid, HeadRecord>) -> Option<ErrorBody> {
    let mut missing = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for Swap { indexes: (left, right), is_rename } in swaps {
        if !heads.contains_key(left) {
            missing.insert(left);
        }
        match (heads.contains_key(right), is_rename) {
            (true, true) => drop(taken.insert((left, right))),
            (false, false) => drop(missing.insert(right)),
            (true, false) | (false, true) => {}
        }
    }
    let listed = |uids: Vec<&IndexUid>| uids.iter().map(|uid| format!("`{uid}`")).collect::<Vec<_>>().join(", ");
    let missing: Vec<&IndexUid> = missing.into_iter().collect();
    let taken: Vec<(&IndexUid, &IndexUid)> = taken.into_iter().collect();
    let (code, message) = match (&missing[..], &taken[..]) {
        ([], []) => return None,
        ([uid], _) => (Code::IndexNotFound, format!("Index `{uid}` not found.")),
        ([], [(left, right)]) => {
            let message = format!(
                "Cannot rename `{left}` to `{right}` as the index already exists. Hint: You can remove `{right}` first and \
                 then do your remove."
            );
            (Code::IndexAlreadyExists, message)
        }
        ([], _) => {
            let uids = listed(taken.iter().map(|(_, right)| *right).collect());
            let message = format!(
                "The following indexes are being renamed but cannot because their new name conflicts with an already \
                 existing index: {uids}. Renaming doesn't overwrite the other index name."
            );
            (Code::IndexAlreadyExists, message)
        }
        (_, _) => (Code::IndexNotFound, format!("Indexes {} not found.", listed(missing))),
    };
    Some(ApiError::new(code, message).body())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::ids::{EntryId, NodeIndexUid, Timestamp};

    fn heads(uids: &[&str]) -> BTreeMap<IndexUid, HeadRecord> {
        let head = |uid: &str| {
            let node_uid = NodeIndexUid::new(format!("{uid}-0"));
            HeadRecord { node_uid, primary_key: None, may_hold_documents: true }
        };
        uids.iter().map(|uid| (IndexUid::new(*uid), head(uid))).collect()
    }

    fn admitted(swaps: &[(&str, &str, bool)], heads: &BTreeMap<IndexUid, HeadRecord>) -> Admitted {
        let swap = |(left, right, is_rename): &(&str, &str, bool)| Swap {
            indexes: (IndexUid::new(*left), IndexUid::new(*right)),
            is_rename: *is_rename,
        };
        let swaps: Vec<Swap> = swaps.iter().map(swap).collect();
        let operation = Operation::SwapIndexes { swaps: swaps.clone(), names: Vec::new() };
        let write = NewWrite {
            index: None,
            operation,
            assumed_head: None,
            payload: None,
            rejection: None,
            custom_metadata: None,
        };
        admit_swap(write, swaps, heads, Stamp { id: EntryId(7), at: Timestamp(1) })
    }

    fn shown(admitted: &Admitted) -> Vec<(String, Option<String>)> {
        let name = |change: &HeadChange| change.head.as_ref().map(|head| head.node_uid.to_string());
        admitted.changes.iter().map(|change| (change.uid.to_string(), name(change))).collect()
    }

    #[test]
    fn names_change_places_and_a_renamed_index_leaves_its_name() {
        let heads = heads(&["a", "b", "c"]);
        let swapped = admitted(&[("a", "b", false), ("c", "d", true)], &heads);
        let named = |uid: &str, node_uid: Option<&str>| (uid.to_owned(), node_uid.map(str::to_owned));
        let expected = [named("a", Some("b-0")), named("b", Some("a-0")), named("c", None), named("d", Some("c-0"))];
        assert_eq!(shown(&swapped), expected);
        let names: Vec<(String, String)> =
            swapped.entry.new_names().iter().map(|(index, uid)| (index.to_string(), uid.to_string())).collect();
        let pair = |index: &str, uid: &str| (index.to_owned(), uid.to_owned());
        assert_eq!(names, [pair("b-0", "a"), pair("a-0", "b"), pair("c-0", "d")]);
        assert_eq!(swapped.entry.exchanged_names().len(), 2);
    }

    #[test]
    fn what_cannot_be_swapped_changes_nothing_and_says_why() {
        let heads = heads(&["a", "b"]);
        for (swaps, message) in [
            (&[("a", "x", false)][..], "Index `x` not found."),
            (&[("x", "y", false), ("a", "b", true)], "Indexes `x`, `y` not found."),
            (&[("x", "y", true)], "Index `x` not found."),
            (
                &[("a", "b", true)],
                "Cannot rename `a` to `b` as the index already exists. Hint: You can remove `b` first and then do your remove.",
            ),
        ] {
            let refused = admitted(swaps, &heads);
            assert_eq!(refused.entry.rejection.as_ref().map(|error| error.message.as_str()), Some(message));
            assert!(refused.changes.is_empty() && refused.entry.new_names().is_empty());
            assert!(refused.entry.exchanged_names().is_empty());
        }
        assert!(admitted(&[], &heads).entry.rejection.is_none());
    }
}
