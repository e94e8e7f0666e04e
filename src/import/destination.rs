//! Miroir, as the destination of an import: its public API.

use std::time::Duration;

use crossbeam::channel::after;
use serde_json::{Map, Value, json};

use super::ImportError;
use super::api::{Api, Body, Options, escaped};
use super::server::{Server, key_body};
use super::source::{Object, Source, SourceIndex};
use super::stretch::Stretch;
use crate::meili::tasks::TaskStatus;

/// Between two looks at a task.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// Tasks of one answer.
const TASKS_LIMIT: u64 = 1_000;

/// The destination of `miroir-ctl import`.
pub const DESTINATION: Options = Options { who: "Miroir", url: "--to", key: "--to-key" };

/// Miroir.
pub struct Destination {
    server: Server,
}

/// What an import has put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Put {
    /// Which documents.
    pub stretch: Stretch,
    /// The number of the task.
    pub task: u64,
    /// How it is.
    pub status: TaskStatus,
    /// As Miroir writes it.
    pub enqueued_at: String,
}

/// What came of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MadeKey {
    /// It is there, and this is its value.
    There(String),
    /// There are no keys without a master key.
    NoMasterKey,
    /// One with this uid is there and allows something else, or has another name.
    Other,
}

impl Destination {
    /// # Errors
    /// It does not answer, it refuses the key, or it is none.
    pub fn connect(api: Api) -> Result<Self, ImportError> {
        Server::connect(api).map(|server| Self { server })
    }

    fn api(&self) -> &Api {
        self.server.api()
    }

    /// Where it is.
    pub fn name(&self) -> &str {
        self.server.name()
    }

    /// To be read as the source is.
    pub fn as_source(&self) -> &dyn Source {
        &self.server
    }

    /// None: there is none of this name.
    pub fn index(&self, uid: &str) -> Result<Option<SourceIndex>, ImportError> {
        Ok(self.server.indexes()?.into_iter().find(|index| index.uid == uid))
    }

    /// Switches experimental features on.
    pub fn switch_on(&self, features: &[String]) -> Result<(), ImportError> {
        let body: Map<String, Value> = features.iter().map(|name| (name.clone(), true.into())).collect();
        self.api().ask("PATCH", "/experimental-features", Body::Json(&body.into())).map(drop)
    }

    /// Makes a key with the same uid.
    pub fn make_key(&self, key: &Object) -> Result<MadeKey, ImportError> {
        let body = key_body(key);
        let answer = self.api().send("POST", "/keys", Body::Json(&body))?;
        let value = |key: &Value| MadeKey::There(key["key"].as_str().unwrap_or_default().to_owned());
        match answer.code().as_str() {
            "missing_master_key" => Ok(MadeKey::NoMasterKey),
            "api_key_already_exists" => {
                let uid = body["uid"].as_str().unwrap_or_default();
                let there = self.api().get(&format!("/keys/{}", escaped(uid)))?;
                let is_same = there.as_object().is_some_and(|there| key_body(there) == body);
                Ok(if is_same { value(&there) } else { MadeKey::Other })
            }
            _ => {
                self.api().well(&answer)?;
                Ok(value(&answer.json()))
            }
        }
    }

    /// Makes a webhook, unless there is one for this URL.
    pub fn add_webhook(&self, url: &str, headers: &Object) -> Result<(), ImportError> {
        if self.server.webhooks()?.iter().any(|there| there.get("url").and_then(Value::as_str) == Some(url)) {
            return Ok(());
        }
        self.api().ask("POST", "/webhooks", Body::Json(&json!({ "url": url, "headers": headers }))).map(drop)
    }

    /// Makes an index; it is no matter if it is there.
    pub fn create(&self, index: &SourceIndex) -> Result<(), ImportError> {
        if self.index(&index.uid)?.is_some() {
            return Ok(());
        }
        let body = json!({ "uid": index.uid, "primaryKey": index.primary_key });
        self.task_of(&self.api().ask("POST", "/indexes", Body::Json(&body))?, "index_already_exists")
    }

    /// Changes the settings, and waits until they are in force.
    pub fn set(&self, uid: &str, settings: &Object) -> Result<(), ImportError> {
        let path = format!("/indexes/{}/settings", escaped(uid));
        let answer = self.api().ask("PATCH", &path, Body::Json(&Value::Object(settings.clone())))?;
        self.task_of(&answer, "")
    }

    /// Waits for the task that an answer names; an error of this code is none.
    fn task_of(&self, answer: &Value, fine: &str) -> Result<(), ImportError> {
        let uid = answer["taskUid"].as_u64();
        let uid = uid.ok_or_else(|| ImportError::Failed(format!("{} names no task: {answer}", self.name())))?;
        let task = self.end_of(uid)?;
        if task["error"]["code"] == fine { Ok(()) } else { succeeded(&task) }
    }

    /// Puts documents, one in each line, and gives the number of the task.
    pub fn put(&self, index: &SourceIndex, lines: &str, metadata: &str) -> Result<u64, ImportError> {
        let mut path = format!("/indexes/{}/documents?customMetadata={}", escaped(&index.uid), escaped(metadata));
        if let Some(primary_key) = &index.primary_key {
            path.extend(["&primaryKey=", &escaped(primary_key)]);
        }
        let answer = self.api().ask("POST", &path, Body::Lines(lines))?;
        answer["taskUid"]
            .as_u64()
            .ok_or_else(|| ImportError::Failed(format!("{} names no task: {answer}", self.name())))
    }

    /// Deletes documents, and waits until they are.
    pub fn delete(&self, uid: &str, ids: &[Value]) -> Result<(), ImportError> {
        let path = format!("/indexes/{}/documents/delete-batch", escaped(uid));
        let answer = self.api().ask("POST", &path, Body::Json(&Value::Array(ids.to_vec())))?;
        self.task_of(&answer, "")
    }

    /// Waits until a task has ended well.
    pub fn wait(&self, task: u64) -> Result<(), ImportError> {
        succeeded(&self.end_of(task)?)
    }

    fn end_of(&self, uid: u64) -> Result<Value, ImportError> {
        loop {
            let task = self.api().get(&format!("/tasks/{uid}"))?;
            if matches!(task["status"].as_str(), Some("succeeded" | "failed" | "canceled")) {
                return Ok(task);
            }
            let _ = after(LOOK_PAUSE).recv();
        }
    }

    /// What imports have put into an index, as far as its tasks are kept.
    pub fn puts(&self, uid: &str) -> Result<Vec<Put>, ImportError> {
        let uid = escaped(uid);
        let path = format!("/tasks?indexUids={uid}&types=documentAdditionOrUpdate&limit={TASKS_LIMIT}");
        let mut found = Vec::new();
        let mut from = None;
        loop {
            let page = self.api().get(&from.map_or(path.clone(), |from: u64| format!("{path}&from={from}")))?;
            found.extend(page["results"].as_array().into_iter().flatten().filter_map(Put::of));
            from = page["next"].as_u64();
            if from.is_none() {
                return Ok(found);
            }
        }
    }
}

impl Put {
    /// None: the task is none of an import.
    fn of(task: &Value) -> Option<Self> {
        Some(Self {
            stretch: Stretch::parse(task["customMetadata"].as_str()?)?,
            task: task["uid"].as_u64()?,
            status: serde_json::from_value(task["status"].clone()).ok()?,
            enqueued_at: task["enqueuedAt"].as_str()?.to_owned(),
        })
    }
}

fn succeeded(task: &Value) -> Result<(), ImportError> {
    if task["status"] == "succeeded" {
        return Ok(());
    }
    let (uid, index, status) = (&task["uid"], &task["indexUid"], &task["status"]);
    let reason = task["error"]["message"].as_str().unwrap_or_default();
    Err(ImportError::Failed(format!(
        "the task {uid} of Miroir for the index {index} is {status}: {reason} Put right what it names and give the same \
         command again; what was copied stays"
    )))
}
