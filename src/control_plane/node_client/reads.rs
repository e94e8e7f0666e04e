//! Questions to a node.

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufReader;
use std::ops::Range;
use std::time::Duration;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use ureq::Body;
use ureq::http::{Method, Response};

use super::{ANSWER_BYTES_MAX, BodyParts, Broken, NodeClient, beginning};
use crate::logic::feeder::IDENTITY_INDEX;
use crate::logic::id_list::IdList;
use crate::logic::ids::{NodeIndexUid, NodeTask};
use crate::logic::primary_key::id_in;
use crate::meili::error::ErrorBody;
use crate::meili::node_version::NodeVersion;
use crate::meili::tasks::{TaskPage, TaskStatus};

/// Indexes asked for at once.
const INDEXES_PER_PAGE: usize = 1_000;
/// More documents than an index can have.
const ALL: u64 = u32::MAX as u64;
/// A list of ids, read as it comes.
const IDS_BYTES_MAX: u64 = 16 << 30;
/// Documents with their vectors.
const STORED_BYTES_MAX: u64 = 256 << 20;

/// Why a question has no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NodeError {
    /// No connection, or it broke.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// It may be there, and slow.
    #[error("no answer: {0}")]
    TimedOut(String),
    /// The node said no.
    #[error("{} ({status} {})", .error.message, .error.code)]
    Refused {
        /// HTTP status.
        status: u16,
        /// As the node sent it.
        error: ErrorBody,
    },
    /// Something answered, but not as Meilisearch does.
    #[error("this is not how a Meilisearch answers: {0}")]
    BadAnswer(String),
    /// More bytes than are read.
    #[error("an answer is longer than {0} bytes")]
    TooLong(u64),
    /// It cannot be a node.
    #[error("it is Meilisearch {0}, too old for a node: stop it, and start it with {least} or later", least = NodeVersion::LEAST)]
    TooOld(String),
}

/// Which tasks of a node.
#[derive(Clone, Debug, Default)]
pub struct NodeTaskQuery {
    /// The first one, in the direction of the list.
    pub from: Option<NodeTask>,
    /// At most so many.
    pub limit: u64,
    /// Lowest number first.
    pub reverse: bool,
    /// None: all.
    pub statuses: Vec<TaskStatus>,
    /// None: all.
    pub index: Option<NodeIndexUid>,
    /// Only these; none: all.
    pub uids: Vec<NodeTask>,
}

impl NodeTaskQuery {
    pub(super) fn path(&self) -> String {
        let mut path = format!("/tasks?limit={}&reverse={}", self.limit, self.reverse);
        if let Some(from) = self.from {
            path.extend(["&from=", &from.to_string()]);
        }
        if !self.statuses.is_empty() {
            let names: Vec<_> = self.statuses.iter().map(|status| status.name()).collect();
            path.extend(["&statuses=", &names.join(",")]);
        }
        if let Some(index) = &self.index {
            path.extend(["&indexUids=", index.as_str()]);
        }
        if !self.uids.is_empty() {
            let uids: Vec<String> = self.uids.iter().map(NodeTask::to_string).collect();
            path.extend(["&uids=", &uids.join(",")]);
        }
        path
    }
}

/// What a node holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStats {
    /// Bytes.
    pub database_size: u64,
    /// Bytes in use within it, where the node says so.
    pub used_database_size: Option<u64>,
    /// By the nodes' names.
    pub indexes: BTreeMap<String, NodeIndexStats>,
}

/// What an index of a node holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeIndexStats {
    /// Documents in it.
    pub number_of_documents: u64,
    /// Bytes of one on average, where the node says so.
    pub avg_document_size: Option<u64>,
}

/// One page of a node's indexes.
#[derive(Deserialize)]
struct IndexPage {
    results: Vec<ListedIndex>,
    total: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListedIndex {
    uid: String,
    primary_key: Option<String>,
}

/// A page of documents.
#[derive(Clone, Debug, Deserialize)]
pub struct FetchedDocuments {
    /// The documents with the fields asked for.
    pub results: Vec<Map<String, Value>>,
    /// All that match.
    pub total: u64,
}

impl NodeClient {
    /// One page of the node's tasks.
    pub fn tasks(&self, query: &NodeTaskQuery, timeout: Duration) -> Result<TaskPage, NodeError> {
        self.get(&query.path(), timeout)
    }

    /// The highest task number in the node's list; none if the list is empty. Lower than one that was seen before: the node
    /// lost data, or the task was deleted.
    pub fn newest_task(&self, timeout: Duration) -> Result<Option<NodeTask>, NodeError> {
        let page = self.tasks(&NodeTaskQuery { limit: 1, ..NodeTaskQuery::default() }, timeout)?;
        Ok(page.results.first().map(|task| NodeTask(task.uid)))
    }

    /// Whether the node says that it is well.
    pub fn health(&self, timeout: Duration) -> Result<(), NodeError> {
        let health: Value = self.get("/health", timeout)?;
        match health["status"].as_str() {
            Some("available") => Ok(()),
            Some(_) | None => Err(NodeError::BadAnswer(format!("health is {health}"))),
        }
    }

    /// The node's version, `1.50.0` for example. Needs the key.
    pub fn version(&self, timeout: Duration) -> Result<String, NodeError> {
        let version: Value = self.get("/version", timeout)?;
        let text = version["pkgVersion"].as_str();
        text.map(str::to_owned).ok_or_else(|| NodeError::BadAnswer("a version without pkgVersion".to_owned()))
    }

    /// Which experimental features the node knows, and whether they are on.
    pub fn features(&self, timeout: Duration) -> Result<Map<String, Value>, NodeError> {
        self.get("/experimental-features", timeout)
    }

    /// Switches experimental features on or off; returns what is on then. Doing it twice does no harm.
    pub fn set_features(
        &self,
        features: &Map<String, Value>,
        timeout: Duration,
    ) -> Result<Map<String, Value>, NodeError> {
        let body = BodyParts::json(&Value::Object(features.clone()));
        let parts = Some(("application/json", body));
        decode(self.exchange(Method::PATCH, "/experimental-features", parts, timeout), ANSWER_BYTES_MAX)
    }

    /// What the node holds. The index that says who it is is left out.
    pub fn stats(&self, timeout: Duration) -> Result<NodeStats, NodeError> {
        let mut stats: NodeStats = self.get("/stats", timeout)?;
        stats.indexes.remove(IDENTITY_INDEX);
        Ok(stats)
    }

    /// Every index of the node with its primary key, without opening any of them. The one that says who it is is left out.
    pub fn primary_keys(&self, timeout: Duration) -> Result<BTreeMap<NodeIndexUid, Option<String>>, NodeError> {
        let mut found = BTreeMap::new();
        loop {
            let path = format!("/indexes?limit={INDEXES_PER_PAGE}&offset={}", found.len());
            let IndexPage { results, total } = self.get(&path, timeout)?;
            let is_last = results.is_empty();
            found.extend(results.into_iter().map(|index| (NodeIndexUid::new(index.uid), index.primary_key)));
            // One that was deleted meanwhile makes the next page begin too late.
            if is_last || found.len() >= total {
                found.remove(&NodeIndexUid::new(IDENTITY_INDEX));
                return Ok(found);
            }
        }
    }

    /// The primary key of an index.
    pub fn primary_key(&self, index: &NodeIndexUid, timeout: Duration) -> Result<Option<String>, NodeError> {
        let ListedIndex { primary_key, .. } = self.get(&format!("/indexes/{index}"), timeout)?;
        Ok(primary_key)
    }

    /// All settings of an index.
    pub fn settings(&self, index: &NodeIndexUid, timeout: Duration) -> Result<Map<String, Value>, NodeError> {
        self.get(&format!("/indexes/{index}/settings"), timeout)
    }

    /// Documents that match a filter, with these fields only; of their list, those at these places, all from one read
    /// transaction of the node. The order of the list stays the same as long as the index does.
    pub fn fetch_documents(
        &self,
        index: &NodeIndexUid,
        filter: Option<&Value>,
        fields: &[&str],
        places: Range<u64>,
        timeout: Duration,
    ) -> Result<FetchedDocuments, NodeError> {
        let mut body = json!({ "fields": fields, "offset": places.start, "limit": places.end - places.start });
        if let Some(filter) = filter {
            body["filter"] = filter.clone();
        }
        decode(self.fetch(index, &body, timeout), ANSWER_BYTES_MAX)
    }

    /// Of the documents with these ids, those that match the filter, with their ids alone.
    pub fn fetch_of(
        &self,
        index: &NodeIndexUid,
        ids: &[&str],
        filter: &Value,
        primary_key: &str,
        timeout: Duration,
    ) -> Result<FetchedDocuments, NodeError> {
        let body = json!({ "ids": ids, "filter": filter, "fields": [primary_key], "limit": ids.len() });
        decode(self.fetch(index, &body, timeout), ANSWER_BYTES_MAX)
    }

    /// The ids of all documents that match, from one read transaction of the node. The answer is read as it comes, so
    /// only the ids are held.
    ///
    /// # Errors
    /// [`NodeError::BadAnswer`] too if a document has no id by this primary key, or not all came.
    pub fn fetch_ids(
        &self,
        index: &NodeIndexUid,
        filter: &Value,
        primary_key: &str,
        timeout: Duration,
    ) -> Result<IdList, NodeError> {
        let body = json!({ "filter": filter, "fields": [primary_key], "limit": ALL });
        let mut response = accepted(self.fetch(index, &body, timeout))?;
        let reader = response.body_mut().with_config().limit(IDS_BYTES_MAX).reader();
        let answer: Listed = IdsOf { primary_key }
            .deserialize(&mut serde_json::Deserializer::from_reader(BufReader::new(reader)))
            .map_err(|error| match error.classify() {
                Category::Io => NodeError::Unreachable(error.to_string()),
                Category::Syntax | Category::Data | Category::Eof => NodeError::BadAnswer(error.to_string()),
            })?;
        match answer.ids.len() as u64 {
            count if Some(count) == answer.total => Ok(answer.ids),
            count => Err(NodeError::BadAnswer(format!("{count} ids of {:?}", answer.total))),
        }
    }

    /// These documents as they are stored: every field, the marker and the vectors too (`_vectors` is there even when it
    /// is empty). In the node's order; ids that it does not have are left out.
    ///
    /// # Errors
    /// [`NodeError::TooLong`] if they are longer than 256 MiB together: ask for fewer.
    pub fn fetch_stored<'a>(
        &self,
        index: &NodeIndexUid,
        ids: impl IntoIterator<Item = &'a str>,
        timeout: Duration,
    ) -> Result<Vec<Box<RawValue>>, NodeError> {
        let ids: Vec<&str> = ids.into_iter().collect();
        // Without a limit only the first 20 would come.
        let body = json!({ "limit": ids.len(), "ids": ids, "retrieveVectors": true });
        let answer: StoredDocuments = decode(self.fetch(index, &body, timeout), STORED_BYTES_MAX)?;
        Ok(answer.results)
    }

    fn fetch(&self, index: &NodeIndexUid, body: &Value, timeout: Duration) -> Result<Response<Body>, Broken> {
        let parts = ("application/json", BodyParts::json(body));
        self.exchange(Method::POST, &format!("/indexes/{index}/documents/fetch"), Some(parts), timeout)
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str, timeout: Duration) -> Result<T, NodeError> {
        decode(self.exchange(Method::GET, path, None, timeout), ANSWER_BYTES_MAX)
    }
}

pub(super) fn decode<T: DeserializeOwned>(
    answer: Result<Response<Body>, Broken>,
    bytes_max: u64,
) -> Result<T, NodeError> {
    let body = read(&mut accepted(answer)?, bytes_max)?;
    serde_json::from_slice(&body).map_err(|error| NodeError::BadAnswer(error.to_string()))
}

/// The answer, if the node says yes.
fn accepted(answer: Result<Response<Body>, Broken>) -> Result<Response<Body>, NodeError> {
    let mut response = answer.map_err(|Broken { error, .. }| {
        let is_slow = matches!(error, ureq::Error::Timeout(_));
        if is_slow { NodeError::TimedOut(error.to_string()) } else { NodeError::Unreachable(error.to_string()) }
    })?;
    let status = response.status().as_u16();
    if (200..=299).contains(&status) {
        return Ok(response);
    }
    let body = read(&mut response, ANSWER_BYTES_MAX)?;
    match serde_json::from_slice(&body) {
        Ok(error) => Err(NodeError::Refused { status, error }),
        Err(_) => Err(NodeError::BadAnswer(format!("status {status}: {}", beginning(&body)))),
    }
}

fn read(response: &mut Response<Body>, bytes_max: u64) -> Result<Vec<u8>, NodeError> {
    let body = response.body_mut().with_config().limit(bytes_max).read_to_vec();
    body.map_err(|error| {
        let is_too_long = matches!(error, ureq::Error::BodyExceedsLimit(_));
        if is_too_long { NodeError::TooLong(bytes_max) } else { NodeError::Unreachable(error.to_string()) }
    })
}

#[derive(Deserialize)]
struct StoredDocuments {
    results: Vec<Box<RawValue>>,
}

/// What a list of ids came to.
#[derive(Default)]
struct Listed {
    ids: IdList,
    total: Option<u64>,
}

/// Reads an answer with documents, or its list of them, and keeps their ids only.
#[derive(Clone, Copy)]
struct IdsOf<'a> {
    primary_key: &'a str,
}

impl<'de> DeserializeSeed<'de> for IdsOf<'_> {
    type Value = Listed;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Listed, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for IdsOf<'_> {
    type Value = Listed;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of documents")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut answer: A) -> Result<Listed, A::Error> {
        let mut listed = Listed::default();
        while let Some(key) = answer.next_key::<String>()? {
            match key.as_str() {
                "results" => listed.ids = answer.next_value_seed(self)?.ids,
                "total" => listed.total = Some(answer.next_value()?),
                _ => drop(answer.next_value::<IgnoredAny>()?),
            }
        }
        Ok(listed)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut documents: A) -> Result<Listed, A::Error> {
        let mut ids = IdList::default();
        while let Some(document) = documents.next_element::<Box<RawValue>>()? {
            let id = id_in(self.primary_key, document.get())
                .map_err(|_| A::Error::custom(format!("no id by `{}` in {document}", self.primary_key)))?;
            ids.push(&id).map_err(A::Error::custom)?;
        }
        Ok(Listed { ids, total: None })
    }
}
