//! Movers: threads that read what the protocol wants to copy or compare, while it holds the nodes still.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Coordinator, State};
use crate::control_plane::chunks::Chunk;
use crate::control_plane::node_client::NodeClient;
use crate::logic::feeder::{Look, LookKind, LookOutcome, TransferId};
use crate::logic::ids::NodeId;
use crate::logic::throttle::{Throttle, Turn, hour_of};
use crate::telemetry::clock;

/// Between two looks whether the nodes stand still, and whether there is room.
const PAUSE: Duration = Duration::from_millis(10);
/// The same while nothing moves.
const IDLE: Duration = Duration::from_secs(1);
/// For room between a mover and a feeder.
const ROOM_WAIT: Duration = Duration::from_millis(200);
/// A part is closed when it is longer. Bytes.
const PART_BYTES: usize = 8 << 20;

/// What a mover has of its own: a client for each node that it has read.
#[derive(Default)]
pub(super) struct Mover {
    clients: HashMap<(NodeId, String), Arc<NodeClient>>,
}

impl Coordinator {
    pub(super) fn run_mover(&self, mover: &mut Mover) {
        while !self.is_stopping() {
            let look = {
                let mut state = self.state.lock();
                self.throttle_moves(&mut state);
                let (fleet, journal) = state.split(&*self.store);
                // An unreadable journal: the next round tries again.
                let look = fleet.next_look(clock::monotonic(), &journal).unwrap_or_default();
                self.chunks.keep(|transfer, number| fleet.needs_chunk(transfer, number));
                if look.is_none() {
                    let pause = if state.fleet.has_transfers() { PAUSE } else { IDLE };
                    state.wait(&self.movers, pause);
                }
                look
            };
            let Some(look) = look else { continue };
            let outcome = self.look(mover, &look).unwrap_or_else(LookOutcome::Failed);
            tracing::debug!(index = %look.index, kind = ?look.kind, shards = look.shards.len(), ?outcome, "looked");
            let mut state = self.state.lock();
            state.fleet.looked(look.transfer, outcome, clock::monotonic());
            self.wake(state, true);
        }
    }

    /// No copy to a node, and no glance at it, begins while its share of the time, or the bytes, are used up: under the same
    /// lock as what may begin one, or limits that were changed meanwhile would not hold for it.
    pub(super) fn throttle_moves(&self, state: &mut State) {
        let now = clock::monotonic();
        let hour = hour_of(clock::timestamp());
        let mut throttle = self.throttle.lock();
        if throttle.limits() != state.fleet.pace().throttle {
            throttle.set_limits(state.fleet.pace().throttle, now);
        }
        let limits = throttle.limits();
        state.fleet.set_off_hours(!limits.is_open(hour));
        for (node, milliseconds) in state.fleet.take_busy() {
            throttle.was_busy(&node, milliseconds, now);
        }
        for node in state.fleet.members() {
            let until = match throttle.turn(&node, now) {
                Turn::Now => now,
                Turn::At(at) => at,
            };
            state.fleet.rest(&node, until);
        }
    }

    fn look(&self, mover: &mut Mover, look: &Look) -> Result<LookOutcome, String> {
        let book = |state: &State| state.book.get(&look.index).and_then(|record| record.primary_key.clone());
        let primary_key = book(&self.state.lock());
        // Without a key there is no document yet.
        let Some(primary_key) = primary_key else {
            return Ok(match look.kind {
                LookKind::Copy { .. } => LookOutcome::Copied { chunks: 0 },
                LookKind::Compare { .. } => LookOutcome::Compared { unequal: Vec::new() },
                LookKind::Strays { .. } => LookOutcome::Strays { found: Vec::new() },
            });
        };
        match look.kind {
            LookKind::Copy { source, .. } => {
                let client = self.client(mover, source);
                let chunks = self.read(&client, source, look, &primary_key, |reader| {
                    reader.copy(|number, chunk| self.offer(look.transfer, number, chunk))
                })?;
                Ok(LookOutcome::Copied { chunks })
            }
            LookKind::Compare { nodes } => self.compare(mover, look, nodes, &primary_key),
            LookKind::Strays { node } => self.search(mover, look, node, &primary_key),
        }
    }

    pub(super) fn client(&self, mover: &mut Mover, node: usize) -> Arc<NodeClient> {
        let (id, url) = self.state.lock().fleet.address(node);
        let new = || Arc::new(NodeClient::new(url.clone(), self.node_key.as_deref()));
        mover.clients.entry((id, url.clone())).or_insert_with(new).clone()
    }

    /// Waits for room; false when nobody wants it any more.
    fn offer(&self, transfer: TransferId, number: u32, mut chunk: Chunk) -> bool {
        let length = chunk.bytes.len() as u64;
        loop {
            let mut state = self.state.lock();
            if self.is_stopping() || !state.fleet.is_wanted(transfer) {
                return false;
            }
            self.chunks.keep(|transfer, number| state.fleet.needs_chunk(transfer, number));
            drop(state);
            match self.chunks.put((transfer, number), chunk, ROOM_WAIT) {
                Ok(()) => break,
                Err(back) => chunk = back,
            }
            state = self.state.lock();
            state.wait(&self.movers, PAUSE);
        }
        self.throttle.lock().sent(length, clock::monotonic());
        let mut state = self.state.lock();
        let is_wanted = state.fleet.offer(transfer, number);
        self.wake(state, false);
        is_wanted
    }
}

/// Bytes of a part, if it can be cut: an eighth each time that this was too much for the node.
pub(super) fn part_max(body_max: u64, cuts: u32) -> usize {
    let whole = PART_BYTES.min(usize::try_from(body_max).unwrap_or(usize::MAX));
    whole.checked_shr(cuts.saturating_mul(3)).unwrap_or(0)
}

/// The throttle as it is at the start.
pub(super) fn new_throttle(limits: crate::logic::throttle::ThrottleLimits) -> parking_lot::Mutex<Throttle> {
    parking_lot::Mutex::new(Throttle::new(limits, clock::monotonic()))
}
