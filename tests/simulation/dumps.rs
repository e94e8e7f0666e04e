//! Dumps: all indexes are read at one position while clients write on, and what was read is what one server has there.

use std::collections::BTreeSet;

use miroir::logic::feeder::{Publication, Reading};
use miroir::logic::ids::{EntryId, Epoch, NodeIndexUid, ShardId};

use crate::documents::Docs;
use crate::oracle::SHARDS;
use crate::random::Random;
use crate::reads::shard_of;
use crate::world::{Checked, World, violated};

/// The one that is made at the moment.
pub struct Dumps {
    random: Random,
    running: Option<Dump>,
}

struct Dump {
    entry: EntryId,
    left: Vec<NodeIndexUid>,
    reading: Option<IndexReading>,
}

/// The last of the indexes that are left, shard by shard.
struct IndexReading {
    /// Held to its end.
    epoch: Epoch,
    view: Publication,
    reading: Reading,
    left: Vec<ShardId>,
    docs: Docs,
}

impl Dumps {
    pub fn new(random: Random) -> Self {
        Self { random, running: None }
    }

    pub fn crash(&mut self) {
        self.running = None;
    }

    pub fn held(&self) -> Option<Epoch> {
        Some(self.running.as_ref()?.reading.as_ref()?.epoch)
    }
}

impl World {
    /// One step of the dumper.
    pub fn dump(&mut self) -> Checked {
        let Some(due) = self.fleet.due_dump() else {
            self.dumps.running = None;
            return Ok(());
        };
        if self.is_dying || !self.dumps.random.chance(0.4) {
            return Ok(());
        }
        let mut dump = match self.dumps.running.take() {
            Some(dump) if dump.entry == due.entry => dump,
            Some(_) | None => {
                let expected: BTreeSet<&NodeIndexUid> = self.oracle.dumps[&due.entry].keys().collect();
                if due.indexes.iter().collect::<BTreeSet<_>>() != expected {
                    return violated(format!("D1: dump {} has {:?}, not {expected:?}", due.entry, due.indexes));
                }
                Dump { entry: due.entry, left: due.indexes, reading: None }
            }
        };
        let Some(uid) = dump.left.last().cloned() else {
            self.log(|| format!("dumped {}", dump.entry));
            self.fleet.dumped(dump.entry, None);
            return Ok(());
        };
        dump.reading = match dump.reading.take() {
            None => Some(IndexReading {
                epoch: self.published.epoch,
                view: self.fleet.view(),
                reading: self.fleet.begin_reading(&uid),
                left: (0..SHARDS as u16).map(ShardId).collect(),
                docs: Docs::new(),
            }),
            Some(mut reading) => match reading.left.pop() {
                Some(shard) => self.read_shard(&mut reading, &uid, shard).then_some(reading),
                None if self.fleet.was_still(&uid, &reading.reading) => {
                    self.check_dumped(dump.entry, &uid, &reading.docs)?;
                    dump.left.pop();
                    None
                }
                None => None,
            },
        };
        self.dumps.running = Some(dump);
        Ok(())
    }

    /// False when nobody answers: the index is read from the beginning then.
    fn read_shard(&mut self, reading: &mut IndexReading, uid: &NodeIndexUid, shard: ShardId) -> bool {
        let owners = reading.view.owners[usize::from(shard.0)].iter();
        let in_sync = owners.filter(|id| !reading.view.out_of_sync.contains(&((*id).clone(), uid.clone())));
        let up = in_sync.filter_map(|id| self.place(id)).filter(|&node| self.nodes[node].answers());
        let readable: Vec<usize> = up.filter(|&node| self.nodes[node].indexes.contains_key(uid)).collect();
        if readable.is_empty() {
            return false;
        }
        let node = self.dumps.random.pick(&readable);
        let docs = &self.nodes[node].indexes[uid].docs;
        reading.docs.extend(docs.iter().filter(|(id, _)| shard_of(**id) == shard).map(|(&id, &doc)| (id, doc)));
        true
    }

    /// D1: a dump has every document as it is on one server at the position of the dump.
    fn check_dumped(&self, entry: EntryId, uid: &NodeIndexUid, docs: &Docs) -> Checked {
        let expected = &self.oracle.dumps[&entry][uid];
        if docs == expected {
            Ok(())
        } else {
            violated(format!("D1: dump {entry} of {uid}: {docs:?}, not {expected:?}"))
        }
    }
}
