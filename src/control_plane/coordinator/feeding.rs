//! What a node's thread does with the shared state.

use std::time::Duration;

use crossbeam::channel::Receiver;

use super::attending::is_over;
use super::{Coordinator, Stopping};
use crate::control_plane::feeder::{Feeder, seen};
use crate::logic::feeder::{Action, Purpose, Send, SendOutcome};
use crate::logic::ids::{Monotonic, NodeTask};
use crate::telemetry::clock;

impl Coordinator {
    pub(super) fn run_feeder(&self, feeder: &Feeder, stop: &Receiver<()>) {
        while !self.is_stopping() && !is_over(stop) {
            let action = self.next_action(feeder.node, stop);
            let done = match action {
                Action::Wait(_) => Ok(()),
                Action::Store => self.commit(),
                Action::Poll(tasks) => {
                    self.poll(feeder, &tasks);
                    Ok(())
                }
                Action::AskNewest => {
                    self.ask_newest(feeder);
                    Ok(())
                }
                Action::Identify { life } => {
                    let outcome = feeder.identify(life);
                    self.state.lock().fleet.sent(feeder.node, outcome, clock::monotonic());
                    Ok(())
                }
                Action::CheckIdle(index) => {
                    let is_idle = feeder.is_idle(&index);
                    let mut state = self.state.lock();
                    match is_idle {
                        Some(is_idle) => state.fleet.idle_answer(feeder.node, &index, is_idle, clock::monotonic()),
                        None => state.fleet.unreachable(feeder.node, clock::monotonic()),
                    }
                    Ok(())
                }
                Action::Send(send) => {
                    self.send(feeder, &send);
                    Ok(())
                }
                Action::Maintain(upkeep) => {
                    let outcome = feeder.maintain(&upkeep);
                    tracing::debug!(node = %feeder.identity.node, ?upkeep, ?outcome, "sent upkeep");
                    self.state.lock().fleet.sent(feeder.node, outcome, clock::monotonic());
                    Ok(())
                }
                Action::DeleteTasks(tasks) => {
                    let outcome = feeder.delete_tasks(&tasks);
                    self.state.lock().fleet.sent(feeder.node, outcome, clock::monotonic());
                    Ok(())
                }
            };
            if done == Err(Stopping) {
                return;
            }
        }
    }

    /// Waits under the lock when there is nothing to do, so that nothing is missed.
    fn next_action(&self, node: usize, stop: &Receiver<()>) -> Action {
        let mut state = self.state.lock();
        let now = clock::monotonic();
        if self.is_stopping() || is_over(stop) {
            return Action::Wait(now);
        }
        let (fleet, journal) = state.split(&*self.store);
        let action = fleet.next(node, now, &journal);
        if let Action::Wait(until) = action {
            state.wait(&self.feeders, between(now, until));
        }
        action
    }

    fn poll(&self, feeder: &Feeder, asked: &[NodeTask]) {
        let answer = feeder.poll(asked);
        let mut state = self.state.lock();
        let now = clock::monotonic();
        let Some(tasks) = answer else {
            state.fleet.unreachable(feeder.node, now);
            return;
        };
        let (fleet, journal) = state.split(&*self.store);
        let book = journal.book;
        let uid = |index: &_| book.get(index).map(|record| record.uid.clone());
        let seen = tasks.into_iter().map(|task| seen(task, uid)).collect();
        let has_news = fleet.polled(feeder.node, asked, seen, now, &journal);
        // A transfer may wait for just this answer, and holds up writes meanwhile.
        if has_news || state.fleet.has_transfers() {
            state.is_due = true;
            self.control.notify_all();
        }
    }

    fn ask_newest(&self, feeder: &Feeder) {
        let answer = feeder.newest();
        let mut state = self.state.lock();
        let now = clock::monotonic();
        match answer {
            Some((bearer, next)) => state.fleet.newest_answer(feeder.node, bearer, next, now),
            None => state.fleet.unreachable(feeder.node, now),
        }
        state.is_due = true;
        self.control.notify_all();
    }

    fn is_given_up(&self, send: &Send) -> bool {
        matches!(send.purpose, Purpose::Copy { transfer, .. } if !self.state.lock().fleet.is_wanted(transfer))
    }

    fn send(&self, feeder: &Feeder, send: &Send) {
        let place = || (Some(feeder.identity.node.clone()), send.index.clone());
        let (material, ids) = match self.material(send) {
            Ok(found) => found,
            // It was given up meanwhile, and its parts with it.
            Err(_) if self.is_given_up(send) => return,
            Err(reason) => {
                tracing::error!(position = ?send.position, reason, "what a node needs cannot be read");
                self.held_up(place(), send.position, reason);
                self.state.lock().fleet.unreadable(feeder.node, &send.index, clock::monotonic());
                return;
            }
        };
        let is_step = matches!(send.purpose, Purpose::Do | Purpose::Revert);
        if is_step && send.shards.len() > 1 && material.length() > self.body_max {
            let mut state = self.state.lock();
            let (fleet, journal) = state.split(&*self.store);
            fleet.too_large(feeder.node, send, clock::monotonic(), &journal);
            return;
        }
        {
            let mut state = self.state.lock();
            let now = (clock::monotonic(), clock::timestamp());
            let (fleet, journal) = state.split(&*self.store);
            if !fleet.begin(feeder.node, send, ids, now, &journal) {
                return;
            }
        }
        let (outcome, trouble) = feeder.send(send, &material);
        let (index, label) = (&send.index, send.label());
        tracing::debug!(node = feeder.node, %index, %label, kind = ?send.kind, ?outcome, "sent");
        if let Some(reason) = trouble {
            self.held_up(place(), send.position, reason);
        }
        let outcome = self.as_seen_by_moves(send, outcome);
        self.note_copied(send, &outcome);
        let is_refused = matches!(outcome, SendOutcome::Refused(_));
        let mut state = self.state.lock();
        state.fleet.sent(feeder.node, outcome, clock::monotonic());
        if is_refused {
            state.is_due = true;
            self.control.notify_all();
        }
    }

    /// Documents that were sent to their new nodes by the last plan.
    pub fn documents_sent(&self) -> u64 {
        self.state.lock().plans.documents()
    }

    fn note_copied(&self, send: &Send, outcome: &SendOutcome) {
        if let (Purpose::Copy { transfer, number }, SendOutcome::Registered(_)) = (send.purpose, outcome)
            && let Some(chunk) = self.chunks.get(transfer, number)
        {
            self.state.lock().plans.copied(chunk.documents.into(), chunk.bytes.len() as u64);
        }
    }

    /// A chunk of a copy that is one document cannot be made smaller.
    fn as_seen_by_moves(&self, send: &Send, outcome: SendOutcome) -> SendOutcome {
        match (send.purpose, outcome) {
            (Purpose::Copy { transfer, number }, SendOutcome::TooLarge(reason))
                if self.chunks.get(transfer, number).is_some_and(|chunk| chunk.documents == 1) =>
            {
                SendOutcome::NeverFits(reason)
            }
            (_, outcome) => outcome,
        }
    }
}

fn between(now: Monotonic, until: Monotonic) -> Duration {
    // Looks again now and then whatever happens.
    Duration::from_millis(until.0.saturating_sub(now.0).clamp(1, 1_000))
}
