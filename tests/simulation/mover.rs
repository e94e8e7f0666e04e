//! The mover: reads what moves need from the nodes, a bit at a time, and keeps the chunks of copies until the fleet does
//! not want them any more. Nothing of it survives a crash of the orchestrator.

use std::collections::BTreeMap;

use miroir::logic::feeder::{FoundStrays, Look, LookKind, LookOutcome, TransferId, UnequalShard};
use miroir::logic::ids::{Monotonic, NodeIndexUid, ShardId};

use crate::audits::Claim;
use crate::documents::Docs;
use crate::options::Storm;
use crate::random::Random;
use crate::reads::shard_of;
use crate::world::World;

/// Looks at once.
const THREADS: usize = 3;

pub struct Mover {
    /// Not the world's, so that a seed without moves stays what it is.
    pub random: Random,
    looks: Vec<Running>,
    /// What is claimed to be wrong, though it is not.
    pub claim: Option<Claim>,
    /// All replicas are compared since nothing goes wrong any more.
    pub is_audited: bool,
    /// What was offered, in order.
    chunks: BTreeMap<TransferId, Vec<Docs>>,
}

/// A look under way.
struct Running {
    look: Look,
    /// When it goes on.
    at: u64,
    state: State,
}

enum State {
    Begun,
    /// These documents are still to be fetched.
    Listed(Vec<usize>),
    /// What the first node has.
    Half(Docs),
}

impl Mover {
    pub fn new(random: Random) -> Self {
        Self { random, looks: Vec::new(), claim: None, is_audited: false, chunks: BTreeMap::new() }
    }

    /// What a crash leaves.
    pub fn crash(&mut self) {
        self.looks.clear();
        self.is_audited = false;
        self.chunks.clear();
    }

    /// The chunk of a copy.
    pub fn chunk(&self, transfer: TransferId, number: u32) -> Option<&Docs> {
        self.chunks.get(&transfer)?.get(number as usize)
    }
}

impl World {
    /// One step of the mover's threads.
    pub fn look(&mut self) {
        let fleet = &self.fleet;
        self.mover.chunks.retain(|&transfer, _| fleet.is_wanted(transfer));
        if self.mover.looks.len() < THREADS && self.mover.random.chance(0.5) {
            let look = self.fleet.next_look(Monotonic(self.now), &self.durable);
            if let Some(look) = look.expect("the simulated journal can be read") {
                self.log(|| format!("look {look:?}"));
                self.mover.looks.push(Running { look, at: self.now, state: State::Begun });
            }
        }
        for mut running in std::mem::take(&mut self.mover.looks) {
            let outcome = if running.at <= self.now { self.look_on(&mut running) } else { None };
            match outcome {
                Some(outcome) => {
                    self.log(|| format!("looked {:?} {outcome:?}", running.look.transfer));
                    self.fleet.looked(running.look.transfer, outcome, Monotonic(self.now));
                }
                None if self.fleet.is_wanted(running.look.transfer) => self.mover.looks.push(running),
                None => {}
            }
        }
    }

    fn look_on(&mut self, running: &mut Running) -> Option<LookOutcome> {
        let most = if self.mover.random.chance(0.02) { 300 } else { 6 };
        running.at = self.now + self.mover.random.between(0, most);
        let Look { transfer, index, shards, kind, .. } = running.look.clone();
        let node = match (kind, &running.state) {
            (LookKind::Copy { source, .. }, _) => source,
            (LookKind::Compare { nodes }, State::Half(_)) => nodes[1],
            (LookKind::Compare { nodes }, State::Begun | State::Listed(_)) => nodes[0],
            (LookKind::Strays { node }, _) => node,
        };
        let Some(docs) = self.documents(node, &index, &shards) else {
            return Some(LookOutcome::Failed("the node does not answer".into()));
        };
        match (kind, &mut running.state) {
            (LookKind::Copy { .. }, State::Begun | State::Half(_)) => {
                running.state = State::Listed(docs.into_keys().collect());
            }
            (LookKind::Copy { .. }, State::Listed(ids)) => {
                if ids.is_empty() {
                    let chunks = self.mover.chunks.get(&transfer).map_or(0, Vec::len) as u32;
                    return Some(LookOutcome::Copied { chunks });
                }
                let most = self.size_max.min(3) as u64;
                let count = (self.mover.random.between(1, most) as usize).min(ids.len());
                let mut chunk: Docs = ids.drain(..count).filter_map(|id| Some((id, *docs.get(&id)?))).collect();
                if self.options.storm == Storm::Slips && !self.is_quiet && self.mover.random.chance(0.2) {
                    chunk.pop_last();
                }
                let chunks = self.mover.chunks.entry(transfer).or_default();
                chunks.push(chunk);
                let number = chunks.len() as u32 - 1;
                // Nobody wants it any more: it is forgotten.
                self.fleet.offer(transfer, number);
            }
            (LookKind::Compare { .. }, State::Half(first)) => {
                let is_equal = |shard: &ShardId| {
                    let of = |docs: &Docs| -> Docs {
                        docs.iter().filter(|(id, _)| shard_of(**id) == *shard).map(|(&id, &doc)| (id, doc)).collect()
                    };
                    of(first) == of(&docs)
                };
                let unequal = shards.iter().copied().filter(|shard| !is_equal(shard)).map(UnequalShard::from).collect();
                let unequal = self.with_claim(&running.look, unequal);
                return Some(LookOutcome::Compared { unequal });
            }
            (LookKind::Compare { .. }, State::Begun | State::Listed(_)) => running.state = State::Half(docs),
            (LookKind::Strays { .. }, _) => return Some(LookOutcome::Strays { found: strays(&docs) }),
        }
        None
    }

    /// The documents of some shards as a node shows them now.
    fn documents(&self, node: usize, index: &NodeIndexUid, shards: &[ShardId]) -> Option<Docs> {
        let node = self.nodes.get(node).filter(|node| node.answers())?;
        let docs = &node.indexes.get(index)?.docs;
        Some(docs.iter().filter(|(id, _)| shards.contains(&shard_of(**id))).map(|(&id, &doc)| (id, doc)).collect())
    }
}

/// By shard.
fn strays(docs: &Docs) -> Vec<FoundStrays> {
    let mut found: BTreeMap<ShardId, u64> = BTreeMap::new();
    for id in docs.keys() {
        *found.entry(shard_of(*id)).or_default() += 1;
    }
    let of_shard = |(shard, documents)| FoundStrays { shard: Some(shard), documents, ids: Vec::new() };
    found.into_iter().map(of_shard).collect()
}
