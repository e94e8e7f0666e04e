//! The driver around the fleet: the threads of the nodes, the control thread and the resolver, one step at a time.

use std::rc::Rc;

use miroir::logic::entry::Resolution;
use miroir::logic::feeder::{Action, Alarm, IDENTITY_INDEX, Needs, Purpose, ReaderProgress, Send, SendOutcome, Upkeep};
use miroir::logic::ids::{EntryId, Epoch, Monotonic, NodeIndexUid, NodeTask, ShardId, Timestamp};

use crate::documents::{Change, Docs};
use crate::node::{Request, Work};
use crate::options::{Bug, Storm};
use crate::oracle::{SHARDS, Wish, matching};
use crate::reads::{View, shard_of};
use crate::weather::Trouble;
use crate::world::{Checked, QUARANTINE, World, violated};

impl World {
    /// One step of the thread of a node.
    pub fn drive(&mut self, node: usize) -> Checked {
        let now = Monotonic(self.now);
        if let Some(outcome) = self.in_flight[node].take() {
            self.fleet.sent(node, outcome, now);
            return Ok(());
        }
        let action = self.fleet.next(node, now, &self.durable);
        let is_harmless = matches!(action, Action::Wait(_) | Action::Store | Action::AskNewest);
        if self.nodes[node].is_replaced && !is_harmless {
            return violated(format!("a server that is not n{node} is to do {action:?}"));
        }
        match action {
            Action::Wait(_) => {}
            Action::Poll(asked) => {
                if self.nodes[node].answers() {
                    let seen = self.nodes[node].list(&asked);
                    self.fleet.polled(node, &asked, seen, now, &self.durable);
                } else {
                    self.fleet.unreachable(node, now);
                }
            }
            Action::CheckIdle(index) => {
                if self.nodes[node].answers() {
                    let is_idle = !self.nodes[node].is_pending(&index);
                    self.fleet.idle_answer(node, &index, is_idle, now);
                } else {
                    self.fleet.unreachable(node, now);
                }
            }
            Action::AskNewest => {
                let next = NodeTask(self.nodes[node].tasks.len() as u64);
                match self.nodes[node].bearer() {
                    Some(bearer) => self.fleet.newest_answer(node, bearer, next, now),
                    None => self.fleet.unreachable(node, now),
                }
            }
            Action::Identify { life } => {
                let index = NodeIndexUid::new(IDENTITY_INDEX);
                self.send_apart(node, Request { index, work: Work::Identity(life), label: None });
            }
            Action::Store => self.commit()?,
            Action::Send(send) => self.send(node, &send)?,
            Action::DeleteTasks(_) => self.fleet.sent(node, SendOutcome::Busy, now),
            Action::Maintain(Upkeep::Compact(index)) => {
                self.send_apart(node, Request { index, work: Work::Compact, label: None });
            }
            Action::Maintain(Upkeep::Snapshot) => panic!("no client wants one"),
        }
        self.take_alarms();
        Ok(())
    }

    fn take_alarms(&mut self) {
        for alarm in self.fleet.take_alarms() {
            if let Alarm::NodeLost { node } = &alarm
                && let Some(loss) = self.place(node).and_then(|node| self.losses.get_mut(&node))
            {
                let next = EntryId(self.durable.records.len() as u64);
                loss.noticed_before.get_or_insert(next);
            }
            self.log(|| format!("alarm {alarm:?}"));
            self.alarms.push(alarm);
        }
    }

    /// One request; the answer may get lost, and the request may then register now, later or never.
    fn send(&mut self, node: usize, send: &Send) -> Checked {
        let now = Monotonic(self.now);
        let request = match send.purpose {
            Purpose::Copy { transfer, number } => {
                let Some(docs) = self.mover.chunk(transfer, number).cloned() else {
                    return violated(format!("chunk {number} of {transfer:?} was not offered, or is wanted no more"));
                };
                Request::new(send, Work::Documents(Change::Put { docs, is_merge: false }))
            }
            Purpose::Do | Purpose::Revert | Purpose::Bootstrap | Purpose::Mark | Purpose::Mend => {
                if !self.durable.has(send) {
                    return violated(format!("J1: n{node} needs what was trimmed: {send:?}"));
                }
                self.durable.request(send)
            }
        };
        let is_cut = !matches!(send.purpose, Purpose::Copy { .. }) && send.shards.len() > 1;
        if request.size() > self.size_max && is_cut {
            self.fleet.too_large(node, send, now, &self.durable);
            return Ok(());
        }
        if !self.fleet.begin(node, send, request.ids(), (now, Timestamp(0)), &self.durable) {
            return Ok(());
        }
        self.check_mark(node, &request)?;
        let is_lost = self.is_dying || !self.is_quiet && self.random.chance(self.rates.lost);
        let is_lost = is_lost || !self.nodes[node].trouble.lets_answer();
        let request = self.spoilt(request);
        let trouble = self.nodes[node].trouble;
        let outcome = if !self.nodes[node].is_up || trouble == Trouble::Cut {
            SendOutcome::NotSent
        } else if matches!(trouble, Trouble::Full | Trouble::Refusing) {
            SendOutcome::Busy
        } else if request.size() > self.nodes[node].size_max {
            SendOutcome::TooLarge("payload_too_large".into())
        } else if is_lost {
            let fate = match trouble {
                Trouble::Deaf => 3,
                Trouble::Mute => 0,
                Trouble::None
                | Trouble::Cut
                | Trouble::Paused
                | Trouble::Stuck
                | Trouble::Full
                | Trouble::Refusing
                | Trouble::Echoing => self.random.below(4),
            };
            self.log(|| format!("n{node} send unclear {send:?} fate {fate}"));
            if fate == 0 {
                self.nodes[node].register(request);
            } else if fate < 3 {
                let most = if self.options.is_far { QUARANTINE * 4 } else { QUARANTINE - 5 };
                let at = self.now + self.random.between(1, most);
                self.nodes[node].late.push((at, request));
            }
            if self.options.bug == Bug::SendsAtOnce { SendOutcome::NotSent } else { SendOutcome::Unclear }
        } else if !self.is_quiet && self.random.chance(0.02) {
            SendOutcome::Busy
        } else {
            let echo = (trouble == Trouble::Echoing).then(|| request.clone());
            let task = self.nodes[node].register(request);
            echo.map(|request| self.nodes[node].register(request));
            self.log(|| format!("n{node} task {task} {send:?}"));
            SendOutcome::Registered(task)
        };
        self.in_flight[node] = Some(outcome);
        Ok(())
    }

    /// What is sent instead, by a program with a bug.
    fn spoilt(&mut self, mut request: Request) -> Request {
        if self.options.bug == Bug::DropsDeletions
            && let Work::Documents(Change::Delete { ids }) = &mut request.work
            && self.weather.random.chance(0.2)
        {
            ids.clear();
        }
        request
    }

    /// Makes all changes durable; the fleet learns of it later.
    pub fn commit(&mut self) -> Checked {
        if self.committing.is_some() {
            return Ok(());
        }
        if self.is_store_full() {
            if self.weather.unstored.is_none() {
                self.weather.unstored = Some(self.fleet.take_changes());
            }
            return Ok(());
        }
        let (changes, version) = self.weather.unstored.take().unwrap_or_else(|| self.fleet.take_changes());
        self.log(|| format!("commit {version} {changes:?}"));
        let before = self.durable.tables.clone();
        if self.options.bug == Bug::SkipsFsync {
            self.unsynced = Some(self.durable.clone());
        }
        self.durable.commit(&changes);
        self.check_switch(&before, &changes)?;
        self.committing = Some(version);
        let is_abort = changes.decisions.iter().any(|(_, _, is_commit)| !is_commit);
        if self.options.storm == Storm::Votes && is_abort && !self.is_quiet && !self.is_dying {
            self.is_doomed = self.random.chance(0.3);
        }
        for report in changes.reports {
            if !self.reported.insert(report.entry) {
                return violated(format!("J4: entry {} is reported once more", report.entry));
            }
            self.durable.records[report.entry.0 as usize].outcome = Some(report.status.clone());
            self.check_report(&report)?;
        }
        Ok(())
    }

    /// One step of the control thread.
    pub fn control(&mut self) -> Checked {
        if let Some((publication, names)) = self.publishing.take() {
            let epoch = Epoch(self.published.epoch.0 + 1);
            let view = View::new((epoch, self.now), &publication, names, &self.ids);
            self.note_losses(&view);
            self.published = Rc::new(view);
            self.fleet.published(&publication, epoch);
            return Ok(());
        }
        let progress = if self.options.bug == Bug::ReportsEarly {
            ReaderProgress { acknowledged: self.published.epoch, drained: self.published.epoch }
        } else {
            self.progress()
        };
        self.fleet.control(Monotonic(self.now), progress, &self.durable);
        if self.has_unstored() {
            self.commit()?;
        }
        self.take_alarms();
        if let Some(publication) = self.fleet.publication() {
            self.publishing = Some((publication, self.names_now()));
        }
        Ok(())
    }

    /// One step of the resolver.
    pub fn resolve(&mut self) {
        if self.is_store_full() {
            return;
        }
        let mut due = Vec::new();
        for wanted in [Needs::Before, Needs::Documents] {
            let found = self.fleet.next_to_resolve(wanted, &self.durable);
            due.extend(found.expect("the simulated journal can be read"));
        }
        for due in due {
            let resolution = match due.needs {
                Needs::Nothing => continue,
                Needs::Before => self.durable.settings_resolution(due.entry),
                Needs::Documents => match self.find(&due.index, due.entry) {
                    Some(resolution) => resolution,
                    None => continue,
                },
            };
            self.log(|| format!("resolved {} {resolution:?}", due.entry));
            let record = &mut self.durable.records[due.entry.0 as usize];
            record.resolution = Some(resolution.clone());
            let entry = record.entry.clone();
            if !self.is_dying {
                self.fleet.resolved(&entry, &resolution);
            }
        }
    }

    /// Reads one in-sync replica of each shard; none when one is away.
    fn find(&mut self, uid: &NodeIndexUid, entry: EntryId) -> Option<Resolution> {
        let mut docs = Docs::new();
        for shard in (0..SHARDS as u16).map(ShardId) {
            let is_readable = |node: &usize| {
                let is_out = self.published.out.contains(&(self.ids[*node].clone(), uid.clone()));
                // That one would not know what it lost.
                let is_deceived = self.is_deceived(&self.published, *node, uid);
                self.published.is_owner(*node, shard) && !is_out && !is_deceived && self.nodes[*node].answers()
            };
            let readable: Vec<usize> = (0..self.nodes.len()).filter(is_readable).collect();
            if readable.is_empty() {
                return None;
            }
            let node = self.random.pick(&readable);
            let index = self.nodes[node].indexes.get(uid)?;
            docs.extend(index.docs.iter().filter(|(id, _)| shard_of(**id) == shard).map(|(&id, &doc)| (id, doc)));
        }
        Some(match self.durable.record(entry).wish {
            Wish::DeleteByFilter => self.durable.ids_resolution(entry, matching(&docs)),
            Wish::Create
            | Wish::CreateAndPut(_)
            | Wish::Drop
            | Wish::Clear
            | Wish::Settings(_)
            | Wish::Documents(_)
            | Wish::Rename(_)
            | Wish::Dump
            | Wish::Cancel(_) => Resolution::Count(docs.len() as u64),
        })
    }
}
