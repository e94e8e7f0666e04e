//! What became of the last plans, for operators. Stored with the moves that it tells of.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::ids::{JobId, NodeId, Timestamp};
use super::placement::plan::steps;
use super::topology::{JobKind, JobRecord, JobStep, Tables};

/// Plans that are remembered.
pub const PLANS_MAX: usize = 20;

/// One plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlanRecord {
    /// Counts them, from 1 on.
    pub number: u64,
    /// When it was made.
    pub began_at: Timestamp,
    /// When the owners were as planned, or when it was given up. None while shards move.
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: PlanOutcome,
    /// Replicas that were to come, to go, or both.
    pub planned: u64,
    /// Those that did.
    pub moved: u64,
    /// That were sent to their new nodes meanwhile, what was sent again or repaired among them.
    pub documents: u64,
    /// Of JSON, the same.
    pub bytes: u64,
}

/// How a plan ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanOutcome {
    /// It has not.
    Running,
    /// The owners are as planned.
    Done,
    /// Another plan came before it was done.
    Replaced,
    /// Every shard was to stay where it was.
    Aborted,
}

/// The last plans, the newest last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PlanHistory {
    plans: Vec<PlanRecord>,
    /// Jobs that count as moved and are not forgotten yet.
    switched: BTreeSet<JobId>,
    is_changed: bool,
}

impl PlanHistory {
    /// As it is stored, with the jobs that are under way.
    pub fn new(plans: Vec<PlanRecord>, jobs: &[JobRecord]) -> Self {
        let switched = jobs.iter().filter(|job| has_switched(job)).map(|job| job.id).collect();
        Self { plans, switched, is_changed: false }
    }

    fn running(&mut self) -> Option<&mut PlanRecord> {
        self.plans.last_mut().filter(|plan| plan.outcome == PlanOutcome::Running)
    }

    /// So much was sent to a new node.
    pub fn copied(&mut self, documents: u64, bytes: u64) {
        if let Some(plan) = self.running() {
            plan.documents += documents;
            plan.bytes += bytes;
        }
    }

    /// That were sent by the last plan.
    pub fn documents(&self) -> u64 {
        self.plans.last().map_or(0, |plan| plan.documents)
    }

    /// These jobs are new or have changed, and those have ended.
    pub fn jobs_changed(&mut self, jobs: &[JobRecord], ended: &[JobId]) {
        for job in jobs.iter().filter(|job| has_switched(job)) {
            if self.switched.insert(job.id) {
                self.is_changed = true;
                if let Some(plan) = self.running() {
                    plan.moved += 1;
                }
            }
        }
        self.switched.retain(|job| !ended.contains(job));
        // What was copied meanwhile is stored with them.
        self.is_changed |= !(jobs.is_empty() && ended.is_empty()) && self.running().is_some();
    }

    /// The table, or the plan, is another one from now on. To be called after [`Self::jobs_changed`].
    pub fn tables_changed(&mut self, before: &Tables, after: &Tables, now: Timestamp) {
        let left = steps(&after.owners, &after.plan).len() as u64;
        let is_new = sorted(&before.plan) != sorted(&after.plan);
        if let Some(plan) = self.running().filter(|_| is_new || left == 0) {
            plan.ended_at = Some(now);
            plan.outcome = match (is_new, left) {
                (false, _) => PlanOutcome::Done,
                (true, 0) => PlanOutcome::Aborted,
                (true, _) => PlanOutcome::Replaced,
            };
            self.is_changed = true;
        }
        if is_new && left > 0 {
            let number = self.plans.last().map_or(1, |plan| plan.number + 1);
            let (ended_at, outcome) = (None, PlanOutcome::Running);
            let plan = PlanRecord {
                number,
                began_at: now,
                ended_at,
                outcome,
                planned: left,
                moved: 0,
                documents: 0,
                bytes: 0,
            };
            self.plans.push(plan);
            let surplus = self.plans.len().saturating_sub(PLANS_MAX);
            self.plans.drain(..surplus);
            self.is_changed = true;
        }
    }

    /// What is to be stored, if anything is new.
    pub fn take_changed(&mut self) -> Option<Vec<PlanRecord>> {
        std::mem::take(&mut self.is_changed).then(|| self.plans.clone())
    }
}

fn has_switched(job: &JobRecord) -> bool {
    match (job.kind, job.step) {
        (JobKind::Move, JobStep::Switched | JobStep::Clean) => true,
        (JobKind::Move, JobStep::Announce | JobStep::Copy | JobStep::Undo) | (JobKind::Repair, _) => false,
    }
}

/// In whatever order the nodes of a shard are named.
fn sorted(table: &[Vec<NodeId>]) -> Vec<Vec<NodeId>> {
    let mut table = table.to_vec();
    for nodes in &mut table {
        nodes.sort_unstable();
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logic::ids::ShardId;

    fn tables(owners: &[&str], plan: &[&str]) -> Tables {
        let table = |names: &[&str]| names.iter().map(|name| vec![NodeId::new(*name)]).collect();
        Tables { plan: table(plan), ..Tables::settled(table(owners), 1) }
    }

    fn job(id: u64, step: JobStep) -> JobRecord {
        JobRecord {
            id: JobId(id),
            kind: JobKind::Move,
            shard: ShardId(id as u16),
            target: None,
            old_owner: None,
            step,
            cleaned: BTreeSet::new(),
            hollow: BTreeSet::new(),
        }
    }

    #[test]
    fn a_plan_is_done_when_the_owners_are_as_it_wants() {
        let mut history = PlanHistory::default();
        history.copied(5, 500);
        assert_eq!(history.take_changed(), None, "there is no plan");
        history.tables_changed(&tables(&["a", "a"], &["a", "a"]), &tables(&["a", "a"], &["b", "b"]), Timestamp(1));
        history.jobs_changed(&[job(0, JobStep::Copy), job(1, JobStep::Copy)], &[]);
        history.copied(7, 700);
        history.jobs_changed(&[job(0, JobStep::Switched)], &[]);
        history.tables_changed(&tables(&["a", "a"], &["b", "b"]), &tables(&["b", "a"], &["b", "b"]), Timestamp(2));
        // It comes once more in another step, and through a restart.
        history.jobs_changed(&[job(0, JobStep::Clean)], &[]);
        let stored = history.take_changed().unwrap();
        let mut history = PlanHistory::new(stored, &[job(0, JobStep::Clean), job(1, JobStep::Copy)]);
        history.jobs_changed(&[job(0, JobStep::Clean), job(1, JobStep::Switched)], &[JobId(0)]);
        history.tables_changed(&tables(&["b", "a"], &["b", "b"]), &tables(&["b", "b"], &["b", "b"]), Timestamp(3));
        let plan = PlanRecord {
            number: 1,
            began_at: Timestamp(1),
            ended_at: Some(Timestamp(3)),
            outcome: PlanOutcome::Done,
            planned: 2,
            moved: 2,
            documents: 7,
            bytes: 700,
        };
        assert_eq!(history.take_changed(), Some(vec![plan]));
        assert_eq!(history.take_changed(), None);
    }

    #[test]
    fn a_plan_is_replaced_by_the_next_one_or_aborted_and_only_the_last_ones_are_kept() {
        let mut history = PlanHistory::default();
        let mut before = tables(&["a"], &["a"]);
        for plan in ["b", "c", "a"] {
            let after = tables(&["a"], &[plan]);
            history.tables_changed(&before, &after, Timestamp(0));
            before = after;
        }
        let outcomes: Vec<PlanOutcome> = history.plans.iter().map(|plan| plan.outcome).collect();
        assert_eq!(outcomes, [PlanOutcome::Replaced, PlanOutcome::Aborted]);
        for number in 0..30 {
            let after = tables(&["a"], &[if number % 2 == 0 { "b" } else { "c" }]);
            history.tables_changed(&before, &after, Timestamp(0));
            before = after;
        }
        let kept = history.take_changed().unwrap();
        assert_eq!((kept.len(), kept[0].number, kept[PLANS_MAX - 1].number), (PLANS_MAX, 13, 32));
    }
}
