//! Tasks that nobody was told about, and going back to send again.

use std::collections::BTreeSet;

use super::feed::{Feed, Sync};
use super::identity::concerns_identity;
use super::index::Lookup;
use super::moves::Bootstrap;
use super::node::{Label, SeenKind, SeenTask};
use super::step::{JournalUnavailable, JournalView};
use super::{Alarm, Fleet};
use crate::logic::entry::StepKind;
use crate::logic::ids::{NodeIndexUid, Position, ShardId};
use crate::logic::topology::BootstrapStage;

/// What a stranger calls for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Remedy {
    /// Send from here on again.
    Rewind(Position),
    /// Send the index-wide step that is due, or under way, again after this.
    BarrierAgain,
    /// Too old to be rewound to.
    Far,
    /// A job sent it, for these shards.
    Job(Vec<ShardId>),
    /// The index is made from this stage on.
    Bootstrap(BootstrapStage),
}

/// What a request that no answer named may have done to documents on its node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Touched {
    /// Of these shards.
    pub shards: BTreeSet<ShardId>,
    /// Its step; position 0 for what jobs send.
    pub since: Position,
    /// Not only deletions.
    pub brings_documents: bool,
}

impl Fleet {
    /// What a task that no answer named may have done to documents.
    pub(super) fn touched_by(
        &self,
        node: usize,
        task: &SeenTask,
        journal: &dyn JournalView,
    ) -> Result<Option<Touched>, JournalUnavailable> {
        if !self.rules.stray {
            return Ok(None);
        }
        let brings_documents = match task.kind {
            SeenKind::Put => true,
            SeenKind::Deletion => false,
            SeenKind::Create
            | SeenKind::Settings
            | SeenKind::PrimaryKey
            | SeenKind::Drop
            | SeenKind::Housekeeping
            | SeenKind::Upkeep
            | SeenKind::Foreign => return Ok(None),
        };
        let Some(uid) = task.index.as_ref().filter(|uid| self.indexes.contains_key(*uid)) else { return Ok(None) };
        let (state, feed) = (self.index(uid), self.feed(node, uid));
        if feed.bootstrap.is_some() || state.dropped.is_some_and(|dropped| feed.barrier_reached() >= dropped) {
            return Ok(None); // The index is deleted after it.
        }
        let (shards, since) = match &task.label {
            Some(Label::Copy { shards, .. } | Label::Mark { shards }) => (Some(&shards[..]), Position(0)),
            Some(Label::Step { position, shard: Some(shard) }) => (Some(std::slice::from_ref(shard)), *position),
            Some(Label::Step { position, shard: None }) => (None, *position),
            None => return Ok(None),
        };
        let lookup = Lookup { index: uid, topology: &self.topology, journal };
        let step = if shards.is_none() { state.step_at(since, &lookup)? } else { None };
        let of_step = step.as_ref().and_then(|step| step.shards.as_deref());
        let shards = match shards.or(of_step) {
            Some(shards) => shards.iter().copied().collect(),
            None => (0..self.topology.owners().len() as u16).map(ShardId).collect(),
        };
        Ok(Some(Touched { shards, since, brings_documents }))
    }

    /// What must be done about a task that no answer named: a request that arrived after its connection had died.
    /// Changes nothing.
    pub(super) fn remedy_of(
        &mut self,
        node: usize,
        task: &SeenTask,
        journal: &dyn JournalView,
    ) -> Result<Option<Remedy>, JournalUnavailable> {
        let Some(uid) = task.index.as_ref().filter(|uid| self.indexes.contains_key(*uid)) else {
            if !concerns_identity(task) && !matches!(task.kind, SeenKind::Housekeeping | SeenKind::Upkeep) {
                self.alarm_foreign(node, task);
            }
            return Ok(None);
        };
        let uid = uid.clone();
        let state = self.index(&uid);
        let feed = &state.feeds[node];
        if let Some(dropped) = state.dropped.filter(|&dropped| feed.barrier_reached() >= dropped) {
            // It may have brought the index back: delete it again.
            let may_create = match task.kind {
                SeenKind::Put | SeenKind::Create | SeenKind::Settings => true,
                SeenKind::Deletion
                | SeenKind::PrimaryKey
                | SeenKind::Drop
                | SeenKind::Housekeeping
                | SeenKind::Upkeep
                | SeenKind::Foreign => false,
            };
            let is_passed = feed.applied >= dropped;
            let remedy = if is_passed { Remedy::Rewind(dropped) } else { Remedy::BarrierAgain };
            return Ok(may_create.then_some(remedy));
        }
        if let Some(bootstrap) = feed.bootstrap {
            return Ok(bootstrap.after_stranger(task.kind, !feed.sent.is_empty()).map(Remedy::Bootstrap));
        }
        let first = match task.kind {
            SeenKind::Put | SeenKind::Deletion => match &task.label {
                Some(Label::Step { position, .. }) => Some(*position),
                Some(Label::Copy { shards, .. } | Label::Mark { shards }) => {
                    return Ok(Some(Remedy::Job(shards.clone())));
                }
                None => None,
            },
            SeenKind::Settings => return self.remedy_of_vote(node, &uid, StepKind::Settings, journal),
            SeenKind::PrimaryKey => return self.remedy_of_vote(node, &uid, StepKind::PrimaryKey, journal),
            // Of a bootstrap: all that the node has got since is gone.
            SeenKind::Drop if state.dropped.is_none() => return Ok(Some(Remedy::Far)),
            // The index exists, or the deletion is due: it changes nothing.
            SeenKind::Create | SeenKind::Drop | SeenKind::Housekeeping | SeenKind::Upkeep => return Ok(None),
            SeenKind::Foreign => None,
        };
        let Some(first) = first else {
            self.alarm_foreign(node, task);
            return Ok(None);
        };
        let feed = self.feed(node, &uid);
        if first > feed.pos.max(feed.applied) {
            return Ok(None); // Will be sent anyway.
        }
        let reached = feed.barrier_reached();
        let lookup = Lookup { index: &uid, topology: &self.topology, journal };
        let is_far = self.rules.far && self.index(&uid).has_barrier(first, reached, &lookup)?;
        Ok(Some(if is_far { Remedy::Far } else { Remedy::Rewind(first) }))
    }

    /// Settings and primary keys carry no label. Where one is due, or to be put right, it is sent again after the stranger, whosever that is;
    /// the last one that was passed can be gone back to; anything older cannot be told from them.
    fn remedy_of_vote(
        &mut self,
        node: usize,
        uid: &NodeIndexUid,
        kind: StepKind,
        journal: &dyn JournalView,
    ) -> Result<Option<Remedy>, JournalUnavailable> {
        let is_due = self.step_after_pos(node, uid, journal)?.is_some_and(|step| step.kind == kind);
        if is_due || self.feed(node, uid).mend.is_some() {
            return Ok(Some(Remedy::BarrierAgain));
        }
        Ok(Some(match self.feed(node, uid).last_barrier {
            Some((position, passed)) if passed == kind => Remedy::Rewind(position),
            Some(_) | None => Remedy::Far,
        }))
    }

    fn alarm_foreign(&mut self, node: usize, task: &SeenTask) {
        self.pending.alarms.push(Alarm::Foreign { node: self.nodes[node].id.clone(), task: task.task });
    }

    pub(super) fn apply(&mut self, node: usize, uid: &NodeIndexUid, remedy: Remedy) {
        let is_trimmed = matches!(remedy, Remedy::Rewind(first) if self.is_trimmed(uid, first));
        let remedy = if is_trimmed { Remedy::Far } else { remedy };
        match remedy {
            Remedy::Rewind(first) => {
                let feed = self.feed(node, uid);
                if first <= feed.pos.max(feed.applied) {
                    self.rewind(node, uid, first);
                }
            }
            Remedy::BarrierAgain => {
                let feed = self.feed_mut(node, uid);
                if feed.sent.iter().all(|sent| sent.kind.is_barrier()) {
                    feed.sent.clear();
                    feed.vote = None;
                    feed.is_idle = false;
                }
            }
            Remedy::Bootstrap(stage) => {
                let feed = self.feed_mut(node, uid);
                // What is under way came before the stranger; whatever it does, the stage says what is due after both.
                feed.sent.clear();
                feed.is_idle = false;
                feed.bootstrap = feed.bootstrap.map(|bootstrap| Bootstrap { stage, ..bootstrap });
                self.pending.bootstraps.insert((node, uid.clone()));
            }
            // Its copy begins anew, or it is deleted, see `touched`.
            Remedy::Job(shards) if !self.is_kept(node, uid, &shards) => {}
            Remedy::Job(_) | Remedy::Far => {
                self.pending.alarms.push(Alarm::FarStranger { node: self.nodes[node].id.clone(), index: uid.clone() });
                self.give_up_if_covered(node, uid);
            }
        }
    }

    /// Everything from `first` on is sent again, one at a time, up to where the feed was.
    pub(super) fn rewind(&mut self, node: usize, uid: &NodeIndexUid, first: Position) {
        let feed = self.feed(node, uid);
        // Whatever is under way before it is forgotten too: then its end would not be known.
        let first = feed.sent.front().map_or(first, |sent| sent.position.min(first));
        let goal = feed.goal.max(feed.pos).max(feed.applied);
        let is_back = first <= feed.applied;
        let applied = if is_back { first.before() } else { feed.applied };
        let fresh = Feed {
            pos: first.before(),
            careful: goal.max(first),
            goal,
            // One that was about to be read begins anew.
            sync: if feed.sync == Sync::Joining { Sync::Out } else { feed.sync },
            came_back_in: feed.came_back_in,
            needs_rebuild: feed.needs_rebuild,
            changed_in: feed.changed_in,
            must_store: feed.must_store,
            begun: feed.begun,
            last_barrier: feed.last_barrier.filter(|&(position, _)| position < first),
            lag: feed.lag,
            bootstrap: feed.bootstrap,
            is_apart: feed.is_apart,
            moves_wait: feed.moves_wait,
            mend: feed.mend,
            settings_sent: feed.settings_sent,
            taken: feed.taken_from(first),
            ..Feed::new(applied)
        };
        *self.feed_mut(node, uid) = fresh;
        self.abort_on(node, uid);
        self.nodes[node].active.insert(uid.clone());
        self.attention.insert(uid.clone());
        if is_back {
            self.need_from(uid, first);
            self.changed(node, uid);
            self.feed_mut(node, uid).must_store = true;
        }
        if self.has_cover(node, uid) {
            self.leave(node, uid);
        }
    }

    /// Out of sync for good, if its peers can do without it; otherwise it goes on, and the operator is told.
    pub(super) fn give_up_if_covered(&mut self, node: usize, uid: &NodeIndexUid) {
        let is_spared = match self.feed(node, uid).sync {
            Sync::In | Sync::Returning(_) => self.has_cover(node, uid),
            // It had cover when it left.
            Sync::Leaving(_) | Sync::Out | Sync::Joining => true,
        };
        if is_spared {
            self.give_up(node, uid);
        }
    }

    /// Out of sync until it is rebuilt.
    pub(super) fn give_up(&mut self, node: usize, uid: &NodeIndexUid) {
        if self.has_cover(node, uid) {
            self.leave(node, uid);
        } else if self.feed(node, uid).sync == Sync::Joining {
            self.feed_mut(node, uid).sync = Sync::Out;
        }
        if !self.feed(node, uid).needs_rebuild {
            self.feed_mut(node, uid).needs_rebuild = true;
            self.pending.needs_rebuild.push((node, uid.clone()));
        }
        self.attention.insert(uid.clone());
    }
}
