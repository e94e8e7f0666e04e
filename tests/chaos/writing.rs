//! Writers: each has documents of its own, a lane, in an index that it shares with others.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};

use crate::ledger::{Effect, Ledger, Outcome};
use crate::stage::Stage;
use crate::support::{Client, Random, now};

/// Documents of a lane.
pub const IDS: u64 = 120;
/// Its documents are in so many groups, which a filter can find.
pub const GROUPS: u64 = 12;
/// Documents in one write.
const BATCH: usize = 4;
/// Writes of one thread that have not ended, at most.
const UNDER_WAY: usize = 4;
/// Between two looks at a task.
const LOOK: Duration = Duration::from_millis(40);

/// The documents of one writer.
pub struct Lane {
    /// Where they are.
    pub index: &'static str,
    number: u64,
    ledger: Mutex<Ledger>,
}

impl Lane {
    /// Nothing is written yet.
    pub fn new(index: &'static str, number: u64) -> Self {
        Self { index, number, ledger: Mutex::new(Ledger::new(&format!("lane{number}"))) }
    }

    /// What is written.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no thread panics while it has the lock")
    }

    /// All of its ids, ascending.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        let first = self.number * 1000;
        first..first + IDS
    }

    /// The name of one of its groups.
    pub fn group(&self, group: u64) -> u64 {
        self.number * GROUPS + group
    }

    /// The ids of one of its groups.
    pub fn ids_of(&self, group: u64) -> Vec<u64> {
        self.ids().filter(|id| id % 1000 % GROUPS == group).collect()
    }

    /// Is this document one of its own?
    pub fn has(&self, document: &Value) -> bool {
        document["id"].as_u64().is_some_and(|id| id / 1000 == self.number)
    }

    /// What all writes of a document say, and one field besides.
    fn document(&self, id: u64, field: &str, version: &str) -> Value {
        let group = self.group(id % 1000 % GROUPS);
        json!({"id": id, "group": group, "word": word(group), (field): version})
    }

    fn random_ids(&self, random: &mut Random) -> Vec<u64> {
        let mut ids: Vec<u64> = (0..BATCH).map(|_| self.number * 1000 + random.below(IDS as usize) as u64).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Any write, puts most often.
    fn random(&self, random: &mut Random) -> Writing {
        let (ids, label) = (self.random_ids(random), self.ledger().next_label());
        let documents = |field| ids.iter().map(|id| self.document(*id, field, &label)).collect::<Vec<Value>>();
        let each = |effect: &dyn Fn(&Value) -> Effect, documents: &[Value]| {
            ids.iter().copied().zip(documents.iter().map(effect)).collect::<Vec<_>>()
        };
        let put = |document: &Value| Effect::Put(document.clone());
        let update = |document: &Value| Effect::Update(document.as_object().expect("an object").clone());
        let path = format!("/indexes/{}/documents", self.index);
        match random.below(100) {
            0..45 => {
                let documents = documents("put");
                Writing::new("puts", "POST", path, json!(documents), each(&put, &documents))
            }
            45..70 => {
                let documents = documents("updated");
                Writing::new("partial updates", "PUT", path, json!(documents), each(&update, &documents))
            }
            70..84 => {
                let gone = ids.iter().map(|id| (*id, Effect::Delete)).collect();
                Writing::new("deletes by id", "POST", format!("{path}/delete-batch"), json!(ids), gone)
            }
            84..94 => {
                let group = random.below(GROUPS as usize) as u64;
                let body = json!({"filter": format!("group = {}", self.group(group))});
                let gone = self.ids_of(group).into_iter().map(|id| (id, Effect::Delete)).collect();
                Writing::new("deletes by filter", "POST", format!("{path}/delete"), body, gone)
            }
            _ => {
                let documents = documents("put");
                let changes = each(&put, &documents);
                let with_wrong: Vec<Value> = documents.into_iter().chain([json!({"put": "without an id"})]).collect();
                let writing = Writing::new("writes that must fail", "POST", path, json!(with_wrong), changes);
                Writing { expected: Outcome::Failed, ..writing }
            }
        }
    }

    /// Writes until the run is over, a few writes ahead of what has ended.
    pub fn write(&self, stage: &Stage, client: &Client, random: &mut Random) {
        let mut under_way = VecDeque::new();
        while stage.goes_on() {
            let writing = self.random(random);
            under_way.extend(send(stage, client, &self.ledger, writing));
            settle(stage, client, &self.ledger, &mut under_way, UNDER_WAY);
            stage.rest(random);
        }
    }

    /// Writes, cancels and looks what came of it, until the run is over.
    pub fn write_and_cancel(&self, stage: &Stage, client: &Client, random: &mut Random) {
        while stage.goes_on() {
            let mut under_way = VecDeque::new();
            for _ in 0..5 {
                let writing = Writing { may_be_canceled: true, kind: "writes to cancel", ..self.random(random) };
                under_way.extend(send(stage, client, &self.ledger, writing));
            }
            let uids: Vec<String> = under_way.iter().map(|(_, task)| task.to_string()).collect();
            if !uids.is_empty() {
                let target = format!("/tasks/cancel?uids={}", uids.join(","));
                let begun = stage.moment();
                let answer = client.try_ask("POST", &target, None);
                if is_accepted(stage, "a cancelation", &begun, &answer) {
                    stage.count("cancelations");
                }
            }
            settle(stage, client, &self.ledger, &mut under_way, 0);
            stage.pause(Duration::from_millis(random.below(600) as u64));
        }
    }
}

/// A word that only this group has: four letters, so that neither typos nor prefixes find another.
pub fn word(group: u64) -> String {
    let letter = |place: u32| char::from(b'a' + (group / 26_u64.pow(place) % 26) as u8);
    ['w', letter(2), letter(1), letter(0)].iter().collect()
}

/// A write that is about to be sent.
pub struct Writing {
    /// As it is counted.
    pub kind: &'static str,
    method: &'static str,
    target: String,
    body: Value,
    expected: Outcome,
    may_be_canceled: bool,
    changes: Vec<(u64, Effect)>,
}

impl Writing {
    /// One that must succeed.
    pub fn new(
        kind: &'static str,
        method: &'static str,
        target: String,
        body: Value,
        changes: Vec<(u64, Effect)>,
    ) -> Self {
        Self { kind, method, target, body, expected: Outcome::Succeeded, may_be_canceled: false, changes }
    }
}

/// Was it accepted? A refusal that nothing excuses is a finding.
fn is_accepted(
    stage: &Stage,
    what: &str,
    begun: &crate::stage::Moment,
    answer: &Result<crate::support::Answer, ureq::Error>,
) -> bool {
    let failure = match answer {
        Ok(answer) if matches!(answer.status, 200 | 202) => return true,
        Ok(answer) => format!("{}: {}", answer.status, answer.text),
        Err(error) => error.to_string(),
    };
    let is_wrong = answer.as_ref().is_ok_and(|answer| answer.status < 500 && answer.status != 422);
    if is_wrong || !stage.excuses_write(begun) {
        stage.find(&format!("{what} was refused during {}: {failure}", begun.fault));
    }
    stage.count("writes that were refused or not answered while they might");
    stage.pause(Duration::from_millis(100));
    false
}

/// Sends a write and notes it; its number and its task if it was acknowledged.
pub fn send(stage: &Stage, client: &Client, ledger: &Mutex<Ledger>, writing: Writing) -> Option<(usize, u64)> {
    let lock = || ledger.lock().expect("no thread panics while it has the lock");
    let begun = stage.moment();
    let (number, label) = {
        let mut ledger = lock();
        let number = ledger.send(writing.expected, writing.may_be_canceled, writing.changes);
        (number, ledger.label(number))
    };
    let target = if writing.target.ends_with("/stop-words") {
        writing.target
    } else {
        format!("{}?customMetadata={label}", writing.target)
    };
    let answer = client.try_ask(writing.method, &target, Some(&writing.body));
    if !is_accepted(stage, &label, &begun, &answer) {
        if answer.is_ok_and(|answer| answer.status == 422) {
            lock().refuse(number);
        }
        return None;
    }
    let answer = answer.expect("it was accepted");
    let Some(task) = answer.json["taskUid"].as_u64() else {
        stage.find(&format!("{label} was answered without a task: {}", answer.text));
        return None;
    };
    stage.count(writing.kind);
    let is_in_order = lock().acknowledge(number, task);
    stage.judge("an acknowledged write", is_in_order);
    Some((number, task))
}

/// Notes which tasks have ended, and waits until no more than so many have not.
pub fn settle(
    stage: &Stage,
    client: &Client,
    ledger: &Mutex<Ledger>,
    under_way: &mut VecDeque<(usize, u64)>,
    most: usize,
) {
    while let Some((number, task)) = under_way.front().copied() {
        match outcome(stage, client, task) {
            Some(outcome) => {
                let mut ledger = ledger.lock().expect("no thread panics while it has the lock");
                let result = ledger.end(number, task, outcome, now());
                drop(ledger);
                stage.judge("a task", result);
                under_way.pop_front();
            }
            None if under_way.len() <= most || !stage.goes_on() => return,
            None => stage.pause(LOOK),
        }
    }
}

/// How a task has ended; none: it has not, or nobody answers.
pub fn outcome(stage: &Stage, client: &Client, task: u64) -> Option<Outcome> {
    let begun = stage.moment();
    let answer = client.try_ask("GET", &format!("/tasks/{task}"), None);
    match &answer {
        Ok(answer) if answer.status == 200 => match Outcome::of(&answer.json) {
            Ok(outcome) => outcome,
            Err(error) => {
                stage.find(&error);
                None
            }
        },
        Ok(answer) if answer.status < 500 => {
            stage.find(&format!("task {task} was acknowledged, and is asked for in vain: {}", answer.text));
            None
        }
        _ => {
            stage.accepts("a look at a task", &begun, &answer);
            None
        }
    }
}
