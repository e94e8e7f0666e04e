//! What two nodes hold of some shards, compared; and what a node holds that does not belong there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Coordinator;
use super::moving::{Mover, part_max};
use crate::control_plane::identity::Identity;
use crate::control_plane::node_client::NodeClient;
use crate::control_plane::shard_reader::{Digests, ReadError, ShardReader, Strays};
use crate::logic::digest::{Difference, ShardDigest, differences};
use crate::logic::feeder::{FoundStrays, Look, LookOutcome, UnequalShard};
use crate::logic::ids::{NodeId, ShardId};

/// Ids of one shard that are told.
const EXAMPLES_MAX: usize = 10;
/// For a node to say who it is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

#[expect(clippy::redundant_closure_for_method_calls, reason = "the methods are not general enough in their lifetimes")]
impl Coordinator {
    /// The error names the node.
    pub(super) fn compare(
        &self,
        mover: &mut Mover,
        look: &Look,
        nodes: [usize; 2],
        primary_key: &str,
    ) -> Result<LookOutcome, String> {
        let clients = nodes.map(|node| self.client(mover, node));
        let read =
            |number: usize| self.read(&clients[number], nodes[number], look, primary_key, |reader| reader.digests());
        let (left, right) = at_once(|| read(0), || read(1)).map_err(|error| format!("no thread: {error}"))?;
        let (left, right) = (left?, right?);
        let mut unequal = unequal(&look.shards, &left, &right);
        // At a glance they may only be on their way.
        for (shard, found) in unequal.iter_mut().filter(|_| look.at.is_some()) {
            let one_shard = Look { shards: vec![*shard], ..look.clone() };
            let mut names: BTreeSet<String> = BTreeSet::new();
            for (client, node) in clients.iter().zip(nodes) {
                let named = |reader: &ShardReader<'_>| reader.named(&found.hashes);
                names.extend(self.read(client, node, &one_shard, primary_key, named)?);
            }
            found.shard.examples = names.into_iter().take(EXAMPLES_MAX).collect();
        }
        Ok(LookOutcome::Compared { unequal: unequal.into_values().map(|found| found.shard).collect() })
    }

    /// The error names the node.
    pub(super) fn search(
        &self,
        mover: &mut Mover,
        look: &Look,
        node: usize,
        primary_key: &str,
    ) -> Result<LookOutcome, String> {
        let client = self.client(mover, node);
        let found = self.read(&client, node, look, primary_key, |reader| reader.strays())?;
        let found = found.into_iter().map(|Strays { shard, documents, ids }| FoundStrays { shard, documents, ids });
        Ok(LookOutcome::Strays { found: found.collect() })
    }

    /// Reads from a node. The error names it.
    pub(super) fn read<T>(
        &self,
        client: &NodeClient,
        node: usize,
        look: &Look,
        primary_key: &str,
        what: impl Fn(&ShardReader<'_>) -> Result<T, ReadError>,
    ) -> Result<T, String> {
        let (shard_count, part_max) = (self.shard_count, part_max(self.body_max, look.cuts));
        let (index, shards) = (&look.index, &look.shards[..]);
        let id = self.state.lock().fleet.address(node).0;
        self.confirm(client, node, &id).map_err(|reason| format!("{id}: {reason}"))?;
        let reader = ShardReader { client, index, primary_key, shards, shard_count, part_max };
        what(&reader).map_err(|error| format!("{id}: {error}"))
    }

    /// It is the node that answers this client, as the feeder of the node sees by another one.
    fn confirm(&self, client: &NodeClient, node: usize, id: &NodeId) -> Result<(), String> {
        let identity = Identity { cluster: self.cluster_id.clone(), node: id.clone() };
        let answerer = identity.ask(client, ANSWER_TIMEOUT).map_err(|error| error.to_string())?;
        if self.state.lock().fleet.is_itself(node, answerer.bearer) {
            Ok(())
        } else {
            Err(identity.stranger(&answerer))
        }
    }
}

/// Runs both at the same time: writes wait meanwhile.
///
/// # Errors
/// No thread can be started.
fn at_once<T: Send>(one: impl FnOnce() -> T + Send, other: impl FnOnce() -> T) -> std::io::Result<(T, T)> {
    std::thread::scope(|scope| {
        let one = std::thread::Builder::new().name("comparer".to_owned()).spawn_scoped(scope, one)?;
        let other = other();
        match one.join() {
            Ok(one) => Ok((one, other)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// A shard that two nodes do not have alike.
struct Found {
    shard: UnequalShard,
    /// Of the ids of the documents that differ.
    hashes: BTreeSet<u64>,
}

fn unequal(shards: &[ShardId], left: &Digests, right: &Digests) -> BTreeMap<ShardId, Found> {
    let none = ShardDigest::default();
    let mut found = BTreeMap::new();
    for &shard in shards {
        let (of_left, of_right) = (left.shards.get(&shard), right.shards.get(&shard));
        let differing = differences(of_left.unwrap_or(&none), of_right.unwrap_or(&none));
        if differing.is_empty() {
            continue;
        }
        let is_misplaced = |digests: &Digests, is_there: fn(&Difference) -> bool| {
            let there = differing.iter().filter(|of| is_there(of) && digests.misplaced.contains(&of.id_hash));
            there.count() as u64
        };
        let misplaced = [is_misplaced(left, |of| of.first.is_some()), is_misplaced(right, |of| of.second.is_some())];
        let hashes: BTreeSet<u64> = differing.iter().map(|of| of.id_hash).collect();
        let documents = differing.len() as u64;
        found.insert(shard, Found { shard: UnequalShard { documents, misplaced, ..shard.into() }, hashes });
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use super::*;

    #[test]
    fn two_nodes_are_read_at_the_same_time() {
        let meet = |to: Sender<u8>, from: Receiver<u8>, own: u8| {
            to.send(own).unwrap();
            from.recv_timeout(Duration::from_secs(30)).expect("the other one has begun")
        };
        let ((to_second, from_first), (to_first, from_second)) = (channel(), channel());
        let met = at_once(move || meet(to_second, from_second, 1), move || meet(to_first, from_first, 2));
        assert_eq!(met.unwrap(), (2, 1));
    }
}
