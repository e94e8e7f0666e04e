//! What was written, and what the answers and tasks said of it: the runner's own record, which knows nothing of Miroir.
//!
//! One thread writes to a ledger, so its writes are in order. A write without an answer happened or did not; tasks carry its
//! label, by which that is known at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Map, Value};

/// A document, or nothing.
pub type State = Option<Value>;

/// What a write does to one document.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect {
    /// It is this.
    Put(Value),
    /// These fields are set; it is made if it is not there.
    Update(Map<String, Value>),
    /// It is gone.
    Delete,
}

impl Effect {
    fn apply(&self, before: &State) -> State {
        match self {
            Self::Put(document) => Some(document.clone()),
            Self::Update(fields) => {
                let mut after = before.clone().unwrap_or_else(|| Map::new().into());
                let members = after.as_object_mut().expect("documents are objects");
                members.extend(fields.clone());
                Some(after)
            }
            Self::Delete => None,
        }
    }
}

/// How a task ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// What it wrote must be seen from then on.
    Succeeded,
    /// Nothing of it may be seen.
    Failed,
    /// Neither.
    Canceled,
}

impl Outcome {
    /// The status of a task; none: it has not ended.
    pub fn of(task: &Value) -> Result<Option<Self>, String> {
        match task["status"].as_str() {
            Some("enqueued" | "processing") => Ok(None),
            Some("succeeded") => Ok(Some(Self::Succeeded)),
            Some("failed") => Ok(Some(Self::Failed)),
            Some("canceled") => Ok(Some(Self::Canceled)),
            _ => Err(format!("no status of a task: {task}")),
        }
    }
}

/// What is known of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is on its way, or its answer was lost.
    Unknown,
    /// The answer said that it does not happen.
    Refused,
    /// It must happen, and end.
    Acknowledged(u64),
    /// When it was first seen.
    Ended(u64, Outcome, Instant),
}

/// One write.
#[derive(Clone, Copy, Debug)]
struct Write {
    /// How it must end, unless it is canceled.
    expected: Outcome,
    may_be_canceled: bool,
    fate: Fate,
}

/// All writes of one thread.
#[derive(Debug)]
pub struct Ledger {
    name: String,
    writes: Vec<Write>,
    /// Of each document, in order.
    changes: BTreeMap<u64, Vec<(usize, Effect)>>,
}

impl Ledger {
    /// Nothing is written yet.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), writes: Vec::new(), changes: BTreeMap::new() }
    }

    /// By which a task is known to be this write.
    pub fn label(&self, write: usize) -> String {
        format!("{}-{write}", self.name)
    }

    fn number(&self, label: &str) -> Option<usize> {
        let (name, number) = label.rsplit_once('-')?;
        let number = number.parse().ok()?;
        (name == self.name && number < self.writes.len()).then_some(number)
    }

    /// Notes a write that is about to be sent, and gives its number.
    pub fn send(&mut self, expected: Outcome, may_be_canceled: bool, changes: Vec<(u64, Effect)>) -> usize {
        let number = self.writes.len();
        self.writes.push(Write { expected, may_be_canceled, fate: Fate::Unknown });
        for (id, effect) in changes {
            self.changes.entry(id).or_default().push((number, effect));
        }
        number
    }

    /// The label of the write that is sent next.
    pub fn next_label(&self) -> String {
        self.label(self.writes.len())
    }

    /// It was answered with a task.
    pub fn acknowledge(&mut self, write: usize, task: u64) -> Result<(), String> {
        let earlier = self.writes[..write].iter().rev().find_map(Write::task);
        self.writes[write].fate = Fate::Acknowledged(task);
        match earlier {
            Some(earlier) if earlier >= task => {
                Err(format!("{} is task {task}, but the write before it {earlier}", self.label(write)))
            }
            _ => Ok(()),
        }
    }

    /// It was answered with an error that says that it does not happen.
    pub fn refuse(&mut self, write: usize) {
        self.writes[write].fate = Fate::Refused;
    }

    /// Its task has ended.
    pub fn end(&mut self, write: usize, task: u64, outcome: Outcome, at: Instant) -> Result<(), String> {
        let label = self.label(write);
        let write = &mut self.writes[write];
        let is_expected = outcome == write.expected || outcome == Outcome::Canceled && write.may_be_canceled;
        write.fate = Fate::Ended(task, outcome, at);
        if is_expected {
            Ok(())
        } else {
            Err(format!("task {task} ({label}) is {outcome:?}, not {:?}", write.expected))
        }
    }

    /// How many were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.writes.iter().filter(|write| write.task().is_some()).count()
    }

    /// The states that a document may have in an answer whose request began then.
    pub fn allowed(&self, id: u64, begun: Instant) -> Vec<State> {
        let changes = self.changes.get(&id).map(Vec::as_slice).unwrap_or_default();
        // What is before the last one that has set all of it tells nothing any more.
        let is_settled = |(write, effect): &(usize, Effect)| {
            let is_seen = matches!(self.writes[*write].fate, Fate::Ended(_, Outcome::Succeeded, at) if at <= begun);
            is_seen && !matches!(effect, Effect::Update(_))
        };
        let first = changes.iter().rposition(is_settled).unwrap_or(0);
        let (mut current, mut allowed) = (vec![None], vec![None]);
        for (write, effect) in &changes[first..] {
            let write = &self.writes[*write];
            let after: Vec<State> = current.iter().map(|state| effect.apply(state)).collect();
            match write.fate {
                Fate::Refused | Fate::Ended(_, Outcome::Failed | Outcome::Canceled, _) => {}
                _ if write.expected == Outcome::Failed => {}
                Fate::Ended(_, Outcome::Succeeded, at) => {
                    current = Vec::new();
                    join(&mut current, after);
                    if at <= begun {
                        allowed.clone_from(&current);
                    } else {
                        join(&mut allowed, current.clone());
                    }
                }
                Fate::Unknown | Fate::Acknowledged(_) => {
                    join(&mut current, after);
                    join(&mut allowed, current.clone());
                }
            }
        }
        allowed
    }

    /// Is this what these documents may be, each at most once? In an answer that says that it is a part, some may be missing.
    pub fn check(&self, ids: &[u64], shown: &[Value], begun: Instant, is_complete: bool) -> Result<(), String> {
        let mut found = BTreeMap::new();
        for document in shown {
            let id = document["id"].as_u64().ok_or_else(|| format!("nobody wrote {document}"))?;
            if found.insert(id, document).is_some() {
                return Err(format!("document {id} is there twice"));
            }
        }
        let asked: BTreeSet<u64> = ids.iter().copied().collect();
        if let Some(id) = found.keys().find(|id| !asked.contains(id)) {
            return Err(format!("document {id} was not asked for"));
        }
        for id in asked {
            let state = found.get(&id).copied();
            if state.is_none() && !is_complete {
                continue;
            }
            let allowed = self.allowed(id, begun);
            if !allowed.iter().any(|allowed| allowed.as_ref() == state) {
                return Err(format!("document {id} is {state:?}, allowed are {allowed:?}; {}", self.story(id)));
            }
        }
        Ok(())
    }

    /// The last writes to a document, for the report of a failure.
    pub fn story(&self, id: u64) -> String {
        const LAST: usize = 12;
        let changes = self.changes.get(&id).map(Vec::as_slice).unwrap_or_default();
        let last = &changes[changes.len().saturating_sub(LAST)..];
        let told =
            last.iter().map(|(write, effect)| format!("{}: {effect:?}: {:?}", self.label(*write), self.writes[*write]));
        format!("its last writes:\n  {}", told.collect::<Vec<_>>().join("\n  "))
    }

    /// Compares with the list of all tasks when nothing is under way any more: what was acknowledged is there with the outcome
    /// that was seen, nothing twice, and what had no answer is cleared up. Gives how many tasks are of this ledger.
    pub fn settle(&mut self, tasks: &BTreeMap<String, Vec<Value>>, at: Instant) -> Result<usize, String> {
        let mut count = 0;
        for label in tasks.keys() {
            let is_strange = label.rsplit_once('-').is_some_and(|(name, _)| name == self.name);
            if is_strange && self.number(label).is_none() {
                return Err(format!("nobody has sent {label}"));
            }
        }
        for write in 0..self.writes.len() {
            let label = self.label(write);
            let found = tasks.get(&label).map(Vec::as_slice).unwrap_or_default();
            let fate = self.writes[write].fate;
            let task = match (found, fate) {
                ([], Fate::Unknown) => {
                    self.writes[write].fate = Fate::Refused;
                    continue;
                }
                ([], Fate::Refused) => continue,
                ([_], Fate::Refused) => return Err(format!("{label} was refused, and there is a task of it")),
                ([task], Fate::Unknown | Fate::Acknowledged(_) | Fate::Ended(..)) => task,
                ([], Fate::Acknowledged(_) | Fate::Ended(..)) => {
                    return Err(format!("the task of {label} is lost: {fate:?}"));
                }
                ([_, ..], _) => return Err(format!("{label} has several tasks: {found:?}")),
            };
            let uid = task["uid"].as_u64().ok_or_else(|| format!("no number: {task}"))?;
            let outcome = Outcome::of(task)?.ok_or_else(|| format!("{label} has not ended: {task}"))?;
            match fate {
                Fate::Acknowledged(known) | Fate::Ended(known, ..) if known != uid => {
                    return Err(format!("{label} was task {known}, and is {uid}"));
                }
                Fate::Ended(_, seen, _) if seen != outcome => {
                    return Err(format!("{label} was {seen:?}, and is {outcome:?}"));
                }
                Fate::Ended(..) => {}
                Fate::Unknown | Fate::Refused | Fate::Acknowledged(_) => self.end(write, uid, outcome, at)?,
            }
            count += 1;
        }
        Ok(count)
    }
}

impl Write {
    fn task(&self) -> Option<u64> {
        match self.fate {
            Fate::Unknown | Fate::Refused => None,
            Fate::Acknowledged(task) | Fate::Ended(task, ..) => Some(task),
        }
    }
}

fn join(states: &mut Vec<State>, more: Vec<State>) {
    for state in more {
        if !states.contains(&state) {
            states.push(state);
        }
    }
}
