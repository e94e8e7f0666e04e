//! A running Meilisearch, as the source of an import; Miroir itself is read in the same way, to compare.

use std::borrow::Cow;
use std::cell::Cell;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::ImportError;
use super::api::{Answer, Api, Body, Options, escaped};
use super::source::{EachPage, Object, Page, Source, SourceIndex};

/// Bytes of a page of documents, about.
const PAGE_BYTES: u64 = 8 << 20;
/// Documents of the first page, and of any.
const PAGE_DOCUMENTS: (u64, u64) = (100, 10_000);
/// Indexes, and keys, of one answer.
const LIST_LIMIT: usize = 1_000;
/// From then on documents come with their vectors without an experimental feature.
const VECTORS_SINCE: (u64, u64) = (1, 13);

/// The source of `miroir-ctl import`.
pub const SOURCE: Options = Options { who: "the source", url: "--from", key: "--key" };

/// A running server.
pub struct Server {
    api: Api,
    /// Major and minor.
    version: (u64, u64),
    /// Bytes of a document, as the last page had them.
    document_bytes: Cell<u64>,
}

/// What documents are read from.
#[derive(Deserialize)]
struct Documents<'a> {
    #[serde(borrow)]
    results: Vec<&'a RawValue>,
}

impl Server {
    /// # Errors
    /// It does not answer, it refuses the key, or it is none.
    pub fn connect(api: Api) -> Result<Self, ImportError> {
        let answer = api.get("/version")?;
        let name = answer["pkgVersion"].as_str().unwrap_or_default();
        let version = minor_of(name).filter(|(major, _)| *major == 1);
        let Some(version) = version else {
            let message = format!("{} is not a Meilisearch 1.x: its version is `{name}`", api.base());
            return Err(ImportError::Refused(message));
        };
        Ok(Self { api, version, document_bytes: Cell::new(PAGE_BYTES / PAGE_DOCUMENTS.0) })
    }

    /// Its API.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// All of a list that comes in pages.
    fn list(&self, path: &str) -> Result<Vec<Object>, ImportError> {
        let mut all = Vec::new();
        loop {
            let page = self.api.get(&format!("{path}?limit={LIST_LIMIT}&offset={}", all.len()))?;
            let results: Vec<Object> = objects(&page["results"]);
            let is_last = results.len() < LIST_LIMIT;
            all.extend(results);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Null where older versions do not have it.
    fn get_if_known(&self, path: &str) -> Result<Value, ImportError> {
        let answer = self.api.send("GET", path, Body::None)?;
        if is_unknown(&answer) {
            return Ok(Value::Null);
        }
        self.api.well(&answer)?;
        Ok(answer.json())
    }

    /// Vectors are only shown to those who ask, and older versions only let those ask who have switched them on.
    fn vectors(&self, uid: &str) -> Result<&'static str, ImportError> {
        let asks = self.version >= VECTORS_SINCE
            || self.settings(uid)?.get("embedders").and_then(Value::as_object).is_some_and(|found| !found.is_empty());
        Ok(if asks { "&retrieveVectors=true" } else { "" })
    }
}

/// The server does not have the route.
fn is_unknown(answer: &Answer) -> bool {
    matches!(answer.status, 404 | 501)
}

/// `1.50` of `1.50.0-rc.1`.
fn minor_of(version: &str) -> Option<(u64, u64)> {
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn objects(list: &Value) -> Vec<Object> {
    list.as_array().into_iter().flatten().filter_map(|item| item.as_object().cloned()).collect()
}

/// A server that is asked for vectors writes this behind documents that have none.
fn without_no_vectors(document: &str) -> Cow<'_, str> {
    let rest = document.strip_suffix(r#","_vectors":{}}"#);
    rest.map_or(Cow::Borrowed(document), |rest| Cow::Owned(format!("{rest}}}")))
}

impl Source for Server {
    fn name(&self) -> &str {
        self.api.base()
    }

    fn kind(&self) -> String {
        "server".to_owned()
    }

    fn features(&self) -> Result<Vec<String>, ImportError> {
        let answer = self.get_if_known("/experimental-features")?;
        let on = |(name, value): (&String, &Value)| (*value == Value::Bool(true)).then(|| name.clone());
        Ok(answer.as_object().into_iter().flatten().filter_map(on).collect())
    }

    fn keys(&self) -> Result<Vec<Object>, ImportError> {
        let answer = self.api.send("GET", "/keys?limit=1", Body::None)?;
        // A server without a master key has no keys.
        if answer.code() == "missing_master_key" || is_unknown(&answer) {
            return Ok(Vec::new());
        }
        self.api.well(&answer)?;
        let mut keys = self.list("/keys")?;
        keys.reverse();
        Ok(keys)
    }

    fn webhooks(&self) -> Result<Vec<Object>, ImportError> {
        Ok(objects(&self.get_if_known("/webhooks")?["results"]))
    }

    fn indexes(&self) -> Result<Vec<SourceIndex>, ImportError> {
        let stats = self.api.get("/stats")?;
        let text = |index: &Object, name: &str| index.get(name).and_then(Value::as_str).map(str::to_owned);
        let mut indexes = Vec::new();
        for index in self.list("/indexes")? {
            let uid = text(&index, "uid").unwrap_or_default();
            let documents = stats["indexes"][&uid]["numberOfDocuments"].as_u64().unwrap_or_default();
            indexes.push(SourceIndex {
                primary_key: text(&index, "primaryKey"),
                created_at: text(&index, "createdAt").unwrap_or_default(),
                updated_at: text(&index, "updatedAt").unwrap_or_default(),
                documents,
                uid,
            });
        }
        indexes.sort_unstable_by(|a, b| a.uid.cmp(&b.uid));
        Ok(indexes)
    }

    fn settings(&self, uid: &str) -> Result<Object, ImportError> {
        let settings = self.api.get(&format!("/indexes/{}/settings", escaped(uid)))?;
        Ok(settings.as_object().cloned().unwrap_or_default())
    }

    fn documents(&self, index: &SourceIndex, mut from: u64, each: &mut EachPage<'_>) -> Result<(), ImportError> {
        let vectors = self.vectors(&index.uid)?;
        let path = format!("/indexes/{}/documents", escaped(&index.uid));
        let mut limit = PAGE_DOCUMENTS.0;
        loop {
            // Documents may become larger on the way: not too many more at once.
            limit = (PAGE_BYTES / self.document_bytes.get()).clamp(1, (limit * 4).min(PAGE_DOCUMENTS.1));
            let answer = self.api.send("GET", &format!("{path}?offset={from}&limit={limit}{vectors}"), Body::None)?;
            self.api.well(&answer)?;
            let page: Documents<'_> = serde_json::from_str(&answer.text).map_err(|error| {
                ImportError::Failed(format!("{} gives documents that cannot be read: {error}", self.name()))
            })?;
            if page.results.is_empty() {
                return Ok(());
            }
            self.document_bytes.set((answer.text.len() / page.results.len()).max(1) as u64);
            let documents = page.results.iter().map(|document| without_no_vectors(document.get())).collect();
            let page = Page { documents, from };
            from = page.next();
            each(page)?;
        }
    }
}

/// The body that makes a key as another one is.
pub(super) fn key_body(key: &Object) -> Value {
    let mut body = json!({});
    for name in ["uid", "name", "description", "actions", "indexes", "expiresAt"] {
        body[name] = key.get(name).cloned().unwrap_or_default();
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(minor_of("1.50.0"), Some((1, 50)));
        assert_eq!(minor_of("1.3.0-rc.2"), Some((1, 3)));
        assert_eq!(minor_of("new"), None);
    }

    #[test]
    fn only_a_field_of_the_document_itself_is_taken_for_no_vectors() {
        for (document, without) in [
            (r#"{"id":1,"_vectors":{}}"#, r#"{"id":1}"#),
            (r#"{"id":1,"a":{"b":1,"_vectors":{}}}"#, r#"{"id":1,"a":{"b":1,"_vectors":{}}}"#),
            (r#"{"id":1,"_vectors":{"e":{}}}"#, r#"{"id":1,"_vectors":{"e":{}}}"#),
        ] {
            assert_eq!(without_no_vectors(document), without);
        }
    }
}
