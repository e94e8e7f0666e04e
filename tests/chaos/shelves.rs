//! One thread that creates, fills, swaps and deletes whole indexes, one step after the other, and looks at each what is there.
//!
//! An index holds one document, whose version tells which one it is. What had no answer is found again in the list of tasks:
//! nobody else does such things.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ledger::Outcome;
use crate::stage::Stage;
use crate::support::{Client, Random};
use crate::writing::outcome;

/// The names of the indexes.
pub const NAMES: [&str; 2] = ["left", "right"];

/// A put here shows that all writes before it are in the journal, or never will be.
const FENCE: &str = "fence";

/// Between two looks.
const LOOK: Duration = Duration::from_millis(40);

/// The indexes as they must be.
pub struct Shelves<'a> {
    stage: &'a Stage,
    client: &'a Client,
    /// The version of the document in each.
    there: BTreeMap<&'static str, Option<u64>>,
    versions: u64,
    /// The tasks so far.
    pub tasks: Vec<u64>,
}

/// One step.
struct Step {
    /// By which its task is found.
    tasks: &'static str,
    method: &'static str,
    target: String,
    body: Option<Value>,
}

/// What came of sending a step.
enum Sent {
    /// It is a task.
    Task(u64),
    /// It is none, and will not be one.
    Nothing,
    /// Something was found before that was known.
    Unknown,
}

impl<'a> Shelves<'a> {
    /// There are none yet.
    pub fn new(stage: &'a Stage, client: &'a Client) -> Self {
        Self { stage, client, there: NAMES.map(|name| (name, None)).into(), versions: 0, tasks: Vec::new() }
    }

    /// Goes on until the run is over; gives what must be there.
    pub fn work(mut self, random: &mut Random) -> (BTreeMap<&'static str, Option<u64>>, Vec<u64>) {
        while self.stage.goes_on() {
            if self.step(random).is_some() {
                for name in NAMES {
                    self.look(name);
                }
            }
            self.stage.pause(Duration::from_millis(random.below(300) as u64));
        }
        (self.there, self.tasks)
    }

    /// A step that has begun is brought to its end, also when the run is over. None: something was found before that.
    fn step(&mut self, random: &mut Random) -> Option<()> {
        let name = *random.pick(&NAMES);
        let are_all_there = self.there.values().all(Option::is_some);
        match (self.there[name], random.below(100)) {
            (None, _) => {
                self.versions += 1;
                let body = json!({"uid": name, "primaryKey": "id"});
                self.surely("creations of indexes", "indexCreation", "POST", "/indexes", Some(body))?;
                self.fill(name, self.versions)
            }
            (Some(_), 0..40) if are_all_there => {
                let body = json!([{"indexes": NAMES}]);
                self.surely("swaps of indexes", "indexSwap", "POST", "/swap-indexes", Some(body))?;
                let [one, two] = NAMES.map(|name| self.there[name]);
                self.there = [(NAMES[0], two), (NAMES[1], one)].into();
                Some(())
            }
            (Some(_), 0..70) => {
                self.surely("deletions of indexes", "indexDeletion", "DELETE", &format!("/indexes/{name}"), None)?;
                self.there.insert(name, None);
                Some(())
            }
            (Some(_), _) => {
                self.versions += 1;
                self.fill(name, self.versions)
            }
        }
    }

    fn fill(&mut self, name: &'static str, version: u64) -> Option<()> {
        let body = Some(json!([{"id": 1, "version": version}]));
        let tasks = "documentAdditionOrUpdate&indexUids=left,right";
        self.surely("puts into new indexes", tasks, "POST", &format!("/indexes/{name}/documents"), body)?;
        self.there.insert(name, Some(version));
        Some(())
    }

    /// Sends it until it is a task, and waits for its end.
    fn surely(
        &mut self,
        kind: &'static str,
        tasks: &'static str,
        method: &'static str,
        target: &str,
        body: Option<Value>,
    ) -> Option<()> {
        let step = Step { tasks, method, target: target.to_owned(), body };
        let task = loop {
            match self.send(&step) {
                Sent::Task(task) => break task,
                Sent::Nothing => {}
                Sent::Unknown => return None,
            }
        };
        self.tasks.push(task);
        self.stage.count(kind);
        loop {
            match outcome(self.stage, self.client, task) {
                Some(Outcome::Succeeded) => return Some(()),
                Some(outcome) => {
                    self.stage.find(&format!("task {task} ({} {}) is {outcome:?}", step.method, step.target));
                    return None;
                }
                None => self.wait()?,
            }
        }
    }

    fn send(&mut self, step: &Step) -> Sent {
        let begun = self.stage.moment();
        let answer = self.client.try_ask(step.method, &step.target, step.body.as_ref());
        let failure = match answer {
            Ok(answer) if answer.status == 202 && answer.json["taskUid"].is_u64() => {
                return Sent::Task(answer.json["taskUid"].as_u64().unwrap_or_default());
            }
            Ok(answer) => format!("{}: {}", answer.status, answer.text),
            Err(error) => error.to_string(),
        };
        if !self.stage.excuses_write(&begun) {
            self.stage.find(&format!("{} {} was refused during {}: {failure}", step.method, step.target, begun.fault));
        }
        let newest = self.fence().and_then(|()| self.until_answered(&format!("/tasks?limit=1&types={}", step.tasks)));
        let Some(newest) = newest else { return Sent::Unknown };
        match newest["results"][0]["uid"].as_u64() {
            Some(newest) if self.tasks.last().is_none_or(|last| newest > *last) => Sent::Task(newest),
            Some(_) | None => Sent::Nothing,
        }
    }

    /// Waits until another write is in the journal.
    fn fence(&self) -> Option<()> {
        let target = format!("/indexes/{FENCE}/documents?primaryKey=id");
        loop {
            let answer = self.client.try_ask("POST", &target, Some(&json!([{"id": 1}])));
            if answer.is_ok_and(|answer| answer.status == 202) {
                return Some(());
            }
            self.wait()?;
        }
    }

    /// Until the next look. None: something was found.
    fn wait(&self) -> Option<()> {
        std::thread::park_timeout(LOOK);
        self.stage.findings().is_empty().then_some(())
    }

    /// What Miroir says as soon as it says anything.
    fn until_answered(&self, target: &str) -> Option<Value> {
        loop {
            let begun = self.stage.moment();
            let answer = self.client.try_ask("GET", target, None);
            let is_read = self.stage.accepts(target, &begun, &answer);
            match answer {
                Ok(answer) if is_read => return Some(answer.json),
                Ok(_) | Err(_) => self.wait()?,
            }
        }
    }

    /// Is this index what it must be? Nothing changes it meanwhile.
    fn look(&self, name: &str) {
        let begun = self.stage.moment();
        let answer = self.client.try_ask("GET", &format!("/indexes/{name}/documents?limit=5"), None);
        let found = match &answer {
            Ok(answer) if answer.status == 200 && answer.header("x-miroir-degraded").is_none() => {
                answer.json["results"].clone()
            }
            Ok(answer) if answer.code() == "index_not_found" => Value::Null,
            _ => {
                self.stage.accepts(name, &begun, &answer);
                return;
            }
        };
        self.stage.count("looks at new indexes");
        let expected = expected(self.there[name]);
        if found != expected {
            self.stage.find(&format!("index {name} holds {found}, not {expected}"));
        }
    }
}

/// What a list of its documents shows; null: no such index.
pub fn expected(version: Option<u64>) -> Value {
    version.map_or(Value::Null, |version| json!([{"id": 1, "version": version}]))
}
