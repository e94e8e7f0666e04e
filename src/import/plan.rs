//! What is to be copied, and what is in the way: looked at before anything is changed.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ImportError;
use super::destination::Destination;
use super::source::{Object, Source, SourceIndex};
use super::stretch::Stretch;
use crate::logic::ids::Timestamp;
use crate::meili::features::{Features, FeaturesPatch};
use crate::meili::keys::IndexPattern;
use crate::meili::settings;
use crate::meili::tasks::TaskStatus;
use crate::telemetry::clock;

/// What an operator wants.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Indexes whose names match; none: all.
    pub indexes: Vec<IndexPattern>,
    /// Of embedders, which a running server does not show.
    pub embedder_keys: Vec<EmbedderKey>,
    /// Go without what Miroir does not take.
    pub leaves_out: bool,
    /// Indexes that are there become as the source has them: documents are replaced and deleted.
    pub updates: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// The key of one embedder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EmbedderKey {
    /// Of which index.
    pub index: String,
    /// Its name there.
    pub embedder: String,
    /// The key.
    pub key: String,
}

impl std::str::FromStr for EmbedderKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(place, key)| Some((place.split_once('/')?, key)));
        let ((index, embedder), key) = parts.ok_or("write INDEX/EMBEDDER=KEY")?;
        Ok(Self { index: index.to_owned(), embedder: embedder.to_owned(), key: key.to_owned() })
    }
}

/// One index that is to be copied.
#[derive(Clone, PartialEq, Debug)]
pub struct IndexPlan {
    /// As the source has it.
    pub index: SourceIndex,
    /// What Miroir is given.
    pub settings: Object,
    /// What earlier runs have put, with their tasks that have not failed.
    pub stretches: Vec<(Stretch, u64)>,
    /// Miroir has documents in it that no import of this source has put there.
    pub is_foreign: bool,
}

/// A webhook that is to be made.
#[derive(Clone, PartialEq, Debug)]
pub struct WebhookCopy {
    /// Told.
    pub url: String,
    /// With these.
    pub headers: Object,
}

/// All that is to be done.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// Experimental features to be switched on.
    pub features: Vec<String>,
    /// The oldest first.
    pub keys: Vec<Object>,
    /// By name.
    pub indexes: Vec<IndexPlan>,
    /// In the source's order.
    pub webhooks: Vec<WebhookCopy>,
    /// What an operator should know.
    pub notes: Vec<String>,
    /// What cannot be copied: nothing is unless it may be left out.
    obstacles: Vec<String>,
    /// What is in the way and cannot be left out.
    conflicts: Vec<String>,
    leaves_out: bool,
    title: String,
}

impl Plan {
    /// Looks at both.
    pub fn make(source: &dyn Source, destination: &Destination, wanted: &Wanted) -> Result<Self, ImportError> {
        let mut plan = Self { leaves_out: wanted.leaves_out, ..Self::default() };
        plan.obstacles = source.obstacles()?;
        let features = plan.take_features(&source.features()?);
        plan.take_keys(source.keys()?);
        plan.take_webhooks(&source.webhooks()?);
        let there = destination.as_source().indexes()?;
        for index in source.indexes()? {
            let is_wanted = |pattern: &IndexPattern| pattern.matches(&index.uid);
            if !wanted.indexes.is_empty() && !wanted.indexes.iter().any(is_wanted) {
                continue;
            }
            let settings = plan.settings_of(&index.uid, source.settings(&index.uid)?, features, wanted);
            let found = there.iter().find(|found| found.uid == index.uid);
            let stretches = found.map_or(Ok(Vec::new()), |found| earlier(source, destination, &index, found))?;
            let there = found.map_or(0, |found| found.documents);
            let is_foreign = there > 0 && stretches.is_empty();
            if is_foreign && !wanted.updates {
                plan.conflicts.push(format!(
                    "index `{}`: Miroir has one with {there} documents that this import did not put there. Delete it, leave it \
                     out with --index, or have it made as the source's with --update, which replaces and deletes documents",
                    index.uid
                ));
            }
            plan.indexes.push(IndexPlan { index, settings, stretches, is_foreign });
        }
        if plan.indexes.is_empty() && !wanted.indexes.is_empty() {
            plan.conflicts.push("no index of the source has such a name; check --index".to_owned());
        }
        let documents: u64 = plan.indexes.iter().map(|index| index.index.documents).sum();
        let (indexes, keys) = (plan.indexes.len(), plan.keys.len());
        plan.title = format!(
            "{} to {}: {indexes} indexes, {documents} documents, {keys} keys",
            source.name(),
            destination.name()
        );
        Ok(plan)
    }

    /// What it comes to, for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.title.clone()];
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        if self.leaves_out {
            lines.extend(self.obstacles.iter().map(|obstacle| format!("left out: {obstacle}")));
        }
        lines
    }

    /// Whether it can be done.
    ///
    /// # Errors
    /// All that is in the way.
    pub fn check(&self) -> Result<(), ImportError> {
        let mut found = self.conflicts.clone();
        if !self.leaves_out {
            found.extend_from_slice(&self.obstacles);
        }
        if found.is_empty() {
            return Ok(());
        }
        let way_out = if self.leaves_out || self.obstacles.is_empty() {
            ""
        } else {
            "\nWhat cannot be copied is left out with --leave-out-unsupported."
        };
        Err(ImportError::Refused(format!("nothing was copied:\n* {}{way_out}", found.join("\n* "))))
    }

    fn take_features(&mut self, on: &[String]) -> Features {
        let mut features = Features::default();
        for name in on {
            match FeaturesPatch::parse(json!({ name: true }).to_string().as_bytes()) {
                Ok(patch) => {
                    features = features.patched(patch);
                    self.features.push(name.clone());
                }
                Err(error) if error.code.name() == "bad_request" => {
                    self.notes.push(format!("the experimental feature `{name}` is not one of Meilisearch 1.50"));
                }
                Err(error) => self.obstacles.push(format!("experimental feature `{name}`: {}", error.message)),
            }
            match name.as_str() {
                "dynamicSearchRules" => self
                    .obstacles
                    .push("dynamic search rules are not copied: make them again in Miroir if it has them".to_owned()),
                "chatCompletions" => self
                    .notes
                    .push("workspaces of chats are not copied: set them again if you need their settings".to_owned()),
                _ => {}
            }
        }
        features
    }

    fn take_keys(&mut self, keys: Vec<Object>) {
        for key in keys {
            let name = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            if has_passed(&name("expiresAt"), clock::timestamp()) {
                self.notes.push(format!("the key {} (`{}`) has expired and is not copied", name("uid"), name("name")));
            } else {
                self.keys.push(key);
            }
        }
    }

    fn take_webhooks(&mut self, webhooks: &[Object]) {
        for webhook in webhooks {
            let url = webhook.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
            let headers = webhook.get("headers").and_then(Value::as_object).cloned().unwrap_or_default();
            let is_fixed = webhook.get("isEditable") == Some(&Value::Bool(false));
            if is_fixed || headers.values().any(is_shortened) {
                let remedy =
                    if is_fixed { "put it into `webhooks` of the configuration" } else { "make it by POST /webhooks" };
                self.notes.push(format!("the webhook {url} is not shown in full and not copied: {remedy}"));
            } else {
                self.webhooks.push(WebhookCopy { url, headers });
            }
        }
    }

    /// What Miroir is given of an index's settings.
    pub(super) fn settings_of(&mut self, uid: &str, settings: Object, features: Features, wanted: &Wanted) -> Object {
        let mut taken = Object::new();
        for (name, value) in settings {
            if name == "embedders" {
                let embedders = self.embedders_of(uid, value, features, wanted);
                taken.insert(name, embedders.into());
                continue;
            }
            match check(&name, &value, features) {
                Ok(()) => {
                    taken.insert(name, value);
                }
                // What a later version has and nobody has set.
                Err(_) if is_nothing(&value) => {}
                Err(why) => self.obstacles.push(format!("index `{uid}`, setting `{name}`: {why}")),
            }
        }
        taken
    }

    fn embedders_of(&mut self, uid: &str, embedders: Value, features: Features, wanted: &Wanted) -> Map<String, Value> {
        let mut taken = Map::new();
        let Value::Object(embedders) = embedders else { return taken };
        for (name, mut embedder) in embedders {
            let given = wanted.embedder_keys.iter().find(|given| given.index == uid && given.embedder == name);
            let keys = shortened_keys(&mut embedder);
            let lacks_key = !keys.is_empty() && given.is_none();
            for key in keys {
                if let Some(given) = given {
                    *key = given.key.as_str().into();
                }
            }
            let place = format!("index `{uid}`, embedder `{name}`");
            if lacks_key {
                self.obstacles.push(format!(
                    "{place}: the source does not show its key in full; give it with --embedder-key {uid}/{name}=KEY, or \
                     import a dump, which has it"
                ));
                continue;
            }
            match check("embedders", &json!({ &name: embedder }), features) {
                Ok(()) => {
                    taken.insert(name, embedder);
                }
                Err(why) => self.obstacles.push(format!("{place}: {why}")),
            }
        }
        taken
    }
}

/// What earlier runs have put into an index that Miroir has, and that has not failed.
fn earlier(
    source: &dyn Source,
    destination: &Destination,
    index: &SourceIndex,
    there: &SourceIndex,
) -> Result<Vec<(Stretch, u64)>, ImportError> {
    let kind = source.kind();
    let made = date_of(&there.created_at);
    let mut found = destination.puts(&index.uid)?;
    // Those of an index of the same name that was deleted are no part of this one.
    found.retain(|put| put.stretch.is_of(&kind, index) && date_of(&put.enqueued_at) >= made);
    // All was deleted since: by an operator who wants to begin anew.
    if there.documents == 0 && found.iter().all(|put| put.status.is_terminal()) {
        return Ok(Vec::new());
    }
    found.retain(|put| !matches!(put.status, TaskStatus::Failed | TaskStatus::Canceled));
    Ok(found.into_iter().map(|put| (put.stretch, put.task)).collect())
}

fn date_of(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// Whether Miroir takes a setting.
fn check(name: &str, value: &Value, features: Features) -> Result<(), String> {
    let patch = settings::parse_patch(json!({ name: value }).to_string().as_bytes()).map_err(|error| error.message)?;
    settings::check_features(&patch, features).map_err(|error| error.message)
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_nothing),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
    }
}

/// As a server shows a secret.
fn is_shortened(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.ends_with("XXX..."))
}

/// The keys of an embedder, and of those in it, that are not shown in full.
fn shortened_keys(embedder: &mut Value) -> Vec<&mut Value> {
    let Value::Object(fields) = embedder else { return Vec::new() };
    let mut keys = Vec::new();
    for (name, value) in fields {
        match name.as_str() {
            "apiKey" if is_shortened(value) => keys.push(value),
            "searchEmbedder" | "indexingEmbedder" => keys.extend(shortened_keys(value)),
            _ => {}
        }
    }
    keys
}

fn has_passed(date: &str, now: Timestamp) -> bool {
    date_of(date).is_some_and(|date| date.unix_timestamp_nanos() / 1_000 <= i128::from(now.0))
}
