//! Foreign keys: fields whose values are ids of documents of other indexes, which are on any nodes.
//!
//! What one server does in one place takes two questions here. Before nodes are asked with a filter, the conditions that it
//! has on documents of another index are turned into the ids of what they find ([`ForeignIndexes::rewrite`]). When the hits
//! are known, the documents that they name are fetched, those of one index in one round ([`ForeignIndexes::hydrate`]).
//!
//! As on one server neither the key of the request nor its token needs to allow the other index.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::core::{Core, PartialPolicy};
use super::denying::unknown_attributes;
use super::gather::in_order;
use super::reading::{bodies_of, explained, list, node_error, nothing_to_read};
use super::scatter::{ScatterScope, Scattered, scatter};
use super::searching::{SearchAnswer, merge_failed};
use super::upstream::NodeRequest;
use crate::logic::ids::{IndexUid, Monotonic, ShardId};
use crate::logic::merge::MergeError;
use crate::logic::merge::documents::NodePage;
use crate::logic::merge::hydration::{
    ForeignDocuments, HydrationError, Keys, NO_DOCUMENT, fetched_fields, hydrated, read_documents, wanted,
};
use crate::logic::primary_key::id_in;
use crate::logic::replica_choice::query_hash;
use crate::logic::shard_hash::shard_of;
use crate::logic::snapshot::{CoverPart, IndexView, RoutingSnapshot};
use crate::meili::documents_query::DocumentsQuery;
use crate::meili::error::{ApiError, Code};
use crate::meili::features::Feature;
use crate::meili::filter::{Filter, ForeignCondition, foreign_conditions, with_ids};
use crate::meili::hidden_distinct;
use crate::meili::search::Displayed;
use crate::meili::settings::foreign_keys;

/// Questions of one request that are under way at a time; each goes to several nodes.
const AT_ONCE: usize = 8;

/// Documents of one index that the filters of a request may find; as one server.
const FOUND_MAX: usize = 100;

/// Conditions of one request; each is a question to the nodes.
const CONDITIONS_MAX: usize = 100;

/// Documents of other indexes that the hits of an answer may name, each counted once.
const DOCUMENTS_MAX: usize = 20_000;

/// What these may add to an answer, each counted as often as it is named.
const BYTES_MAX: usize = 64 << 20;

/// The other indexes, as one request sees them.
#[derive(Clone, Copy)]
pub struct ForeignIndexes<'a> {
    /// Where it runs.
    pub core: &'a Core,
    /// The fleet.
    pub snapshot: &'a RoutingSnapshot,
    /// Of the whole request.
    pub deadline: Monotonic,
    /// Whether shards may be missing.
    pub policy: PartialPolicy,
}

/// Filters that nodes can be asked.
#[derive(Debug)]
pub struct Rewritten<T> {
    /// In the order of the question; none where nothing had to be changed.
    pub filters: T,
    /// Shards of other indexes that nobody answered for: there may be more ids.
    pub missing: Vec<ShardId>,
}

impl<'a> ForeignIndexes<'a> {
    /// The filters of searches in indexes without conditions on documents of other indexes.
    ///
    /// # Errors
    /// As one server has for such conditions; `miroir_shard_unavailable`, `miroir_overloaded`.
    pub async fn rewrite<const N: usize>(
        &self,
        asked: [(&IndexView, Option<&Value>); N],
    ) -> Result<Rewritten<[Option<Value>; N]>, ApiError> {
        let Rewritten { filters, missing } = self.rewrite_all(&asked).await?;
        let mut filters = filters.into_iter();
        Ok(Rewritten { filters: asked.map(|_| filters.next().flatten()), missing })
    }

    /// Whether the filter of a search may be used while these experimental features are on.
    ///
    /// # Errors
    /// `feature_not_enabled`.
    pub fn check_features(&self, filter: Option<&Value>) -> Result<(), ApiError> {
        let filter = filter.and_then(|filter| Filter::parse(filter).ok()).flatten();
        filter.map_or(Ok(()), |filter| filter.check_features(**self.core.bridge.features.load()))
    }

    /// The same for any number of them.
    ///
    /// # Errors
    /// As [`Self::rewrite`].
    pub async fn rewrite_all(
        &self,
        asked: &[(&IndexView, Option<&Value>)],
    ) -> Result<Rewritten<Vec<Option<Value>>>, ApiError> {
        let conditions = |filter: Option<&Value>| filter.map(foreign_conditions).unwrap_or_default();
        let conditions: Vec<Vec<ForeignCondition>> = asked.iter().map(|(_, filter)| conditions(*filter)).collect();
        match conditions.iter().map(Vec::len).sum::<usize>() {
            0 => return Ok(Rewritten { filters: Vec::new(), missing: Vec::new() }),
            1..=CONDITIONS_MAX => {}
            count => {
                let message = format!(
                    "The request has {count} conditions on documents of other indexes (`_foreign`). More than \
                     {CONDITIONS_MAX} are not supported by Miroir."
                );
                return Err(ApiError::new(Code::MiroirNotSupported, message));
            }
        }
        asked.iter().try_for_each(|(_, filter)| self.check_features(*filter))?;
        let mut questions = Vec::new();
        for ((index, _), conditions) in asked.iter().zip(&conditions) {
            for condition in conditions {
                questions.push((self.index(&index_of(index, condition)?)?, condition));
            }
        }
        let found = questions.iter().map(|(index, condition)| self.find(index, condition));
        let found = in_order(found, AT_ONCE).await.map_err(|(_, error)| error)?;
        let mut of_index: BTreeMap<&IndexUid, BTreeSet<&String>> = BTreeMap::new();
        for ((index, _), (ids, _)) in questions.iter().zip(&found) {
            let all = of_index.entry(&index.uid).or_default();
            all.extend(ids);
            if all.len() > FOUND_MAX {
                return Err(too_many(index));
            }
        }
        let mut ids = found.iter().map(|(ids, _)| ids.as_slice());
        let rewritten = |((_, filter), conditions): (&(_, Option<&Value>), &Vec<_>)| {
            filter.filter(|_| !conditions.is_empty()).map(|filter| with_ids(filter.clone(), &mut ids))
        };
        let filters = asked.iter().zip(&conditions).map(rewritten).collect();
        Ok(Rewritten { filters, missing: found.iter().flat_map(|(_, missing)| missing).copied().collect() })
    }

    /// The ids of the documents of another index that a condition finds, and what nobody answered for.
    async fn find(
        &self,
        index: &IndexView,
        condition: &ForeignCondition,
    ) -> Result<(Vec<String>, Vec<ShardId>), ApiError> {
        let filter = Value::from(condition.filter.as_str());
        hidden_distinct::check_filter(&index.settings, &filter, Code::InvalidDocumentFilter)
            .map_err(|error| in_index(index, condition, error))?;
        let primary_key = index.primary_key.as_deref();
        let query = DocumentsQuery {
            fields: Some(primary_key.into_iter().map(str::to_owned).collect()),
            limit: FOUND_MAX as u64 + 1,
            filter: Some(filter),
            ..DocumentsQuery::default()
        };
        query.check()?;
        let scope = self.scope(index);
        let hash = query_hash([index.uid.as_str().as_bytes(), condition.filter.as_bytes()]);
        let set = scope.choose(self.core, hash).ok_or_else(nothing_to_read)?;
        let target = target_of(index);
        let explain = || NodeRequest::post_read(target.clone(), query.explain_body());
        let unknown = unknown_attributes(self.core, scope, set, query.filter.as_ref(), explain).await;
        let unknown = unknown.map_err(|error| in_index(index, condition, error))?;
        let query = DocumentsQuery { unknown, ..query.clone() };
        let make = |part: &CoverPart, _: bool| {
            NodeRequest::post_read(target.clone(), query.node_body(0, query.limit, part.filter.as_deref()))
        };
        let scattered = match scatter(self.core, scope, set, make).await {
            Ok(scattered) => scattered,
            Err(refusal) => {
                let refusal = explained(self.core, scope, refusal, explain()).await;
                return Err(in_index(index, condition, refusal.for_client()));
            }
        };
        self.check_complete(&scattered)?;
        let mut ids = Vec::new();
        for body in bodies_of(&scattered, self.snapshot)? {
            let page = NodePage::read(body).map_err(merge_failed)?;
            if page.total > FOUND_MAX as u64 {
                return Err(too_many(index));
            }
            for document in page.documents {
                let id = id_in(primary_key.unwrap_or_default(), document);
                ids.push(id.map_err(|_| merge_failed(MergeError::Malformed))?.into_owned());
            }
        }
        // The same text for the same ids, by which replicas are chosen.
        ids.sort_unstable();
        Ok((ids, scattered.missing))
    }

    /// A search answer with the documents that its hits name.
    ///
    /// # Errors
    /// `index_not_found`; `miroir_not_supported` where these are too many, `miroir_shard_unavailable`,
    /// `miroir_overloaded`.
    pub async fn hydrate(&self, answer: SearchAnswer, keys: Keys<'_>) -> Result<SearchAnswer, ApiError> {
        if keys.is_empty() || !self.core.bridge.features.load().has(Feature::ForeignKeys) {
            return Ok(answer);
        }
        let malformed = |_| merge_failed(MergeError::Malformed);
        let wanted = wanted(&answer.body, keys).map_err(malformed)?;
        if wanted.values().map(BTreeSet::len).sum::<usize>() > DOCUMENTS_MAX {
            return Err(too_much(&format!("More than {DOCUMENTS_MAX}")));
        }
        let indexes = wanted.keys().map(|uid| self.index(uid)).collect::<Result<Vec<_>, _>>()?;
        let fetched = indexes.iter().zip(wanted.values()).map(|(index, ids)| self.fetch(index, ids));
        let fetched = in_order(fetched, AT_ONCE).await.map_err(|(_, error)| error)?;
        let (mut missing, mut documents) = (Vec::new(), BTreeMap::new());
        for (uid, (found, lacking)) in wanted.keys().zip(fetched) {
            missing.extend(lacking);
            documents.insert(*uid, found);
        }
        let body = hydrated(&answer.body, keys, &documents, BYTES_MAX).map_err(|error| match error {
            HydrationError::Malformed => merge_failed(MergeError::Malformed),
            HydrationError::TooLarge => too_much(&format!("More than {} MiB of", BYTES_MAX >> 20)),
        })?;
        Ok(SearchAnswer { body, ..answer }.lacking(missing))
    }

    /// Documents of another index, from whoever may be read for their shards.
    async fn fetch(
        &self,
        index: &IndexView,
        ids: &BTreeSet<String>,
    ) -> Result<(ForeignDocuments, Vec<ShardId>), ApiError> {
        let none = |id: &str| (id.to_owned(), NO_DOCUMENT.to_owned());
        // Without a primary key there are no documents.
        let Some(primary_key) = index.primary_key.as_deref() else {
            return Ok((ids.iter().map(|id| none(id)).collect(), vec![]));
        };
        let shard_count = self.snapshot.placement.len().max(1) as u16;
        let sharded: Vec<(ShardId, &str)> = ids.iter().map(|id| (shard_of(id, shard_count), id.as_str())).collect();
        let mut shards: Vec<ShardId> = sharded.iter().map(|(shard, _)| *shard).collect();
        shards.sort_unstable();
        shards.dedup();
        let scope = self.scope(index);
        let displayed = Displayed::from_settings(&index.settings);
        let fields = fetched_fields(primary_key, &displayed);
        let make = |part: &CoverPart, _: bool| {
            let own = sharded.iter().filter(|(shard, _)| part.shards.contains(shard));
            let own: Vec<Value> = own.map(|(_, id)| Value::from(*id)).collect();
            let limit = own.len() as u64;
            let query = DocumentsQuery { ids: Some(own), fields: fields.clone(), ..DocumentsQuery::default() };
            NodeRequest::post_read(target_of(index), query.node_body(0, limit, None))
        };
        let fetched = scatter(self.core, scope, &scope.cover(&shards, &[]), make).await;
        let fetched = fetched.map_err(|refusal| node_error(&refusal.response.body, index))?;
        self.check_complete(&fetched)?;
        let known = sharded.iter().filter(|(shard, _)| !fetched.missing.contains(shard));
        let mut documents: ForeignDocuments = known.map(|(_, id)| none(id)).collect();
        for body in bodies_of(&fetched, self.snapshot)? {
            read_documents(body, primary_key, &displayed, &mut documents).map_err(merge_failed)?;
        }
        Ok((documents, fetched.missing))
    }

    /// Whether what was answered about another index may be used. The hits are there: nothing at all of the other index is
    /// still a part of the answer.
    fn check_complete(&self, scattered: &Scattered) -> Result<(), ApiError> {
        if scattered.is_overloaded {
            return Err(ApiError::overloaded("too many requests wait for the nodes"));
        }
        if scattered.missing.is_empty() || self.policy == PartialPolicy::Partial {
            return Ok(());
        }
        let shards = list(&scattered.missing);
        Err(ApiError::new(Code::MiroirShardUnavailable, format!("No replica of these shards can be read: {shards}.")))
    }

    fn scope<'s>(&self, index: &'s IndexView) -> ScatterScope<'s>
    where
        'a: 's,
    {
        ScatterScope { snapshot: self.snapshot, index, deadline: self.deadline, trace: None }
    }

    fn index(&self, uid: &str) -> Result<&'a IndexView, ApiError> {
        let index = self.snapshot.indexes.get(&IndexUid::new(uid)).map(|index| &**index);
        index.ok_or_else(|| ApiError::new(Code::IndexNotFound, format!("Index `{uid}` not found.")))
    }
}

fn target_of(index: &IndexView) -> String {
    format!("/indexes/{}/documents/fetch", index.node_uid)
}

/// The other index that a condition is about.
fn index_of(index: &IndexView, condition: &ForeignCondition) -> Result<String, ApiError> {
    let refuse =
        |message: &str| Err(ApiError::new(Code::InvalidSearchFilter, format!("Index `{}`: {message}", index.uid)));
    let key = foreign_keys(&index.settings).into_iter().find(|key| key.field == condition.attribute);
    match key {
        None => refuse(&format!("Field `{}` is not a foreign key", condition.attribute)),
        Some(_) if condition.is_nested => refuse("Nested foreign filters are not supported"),
        Some(key) => Ok(key.index_uid),
    }
}

/// What is wrong with the filter inside a condition, in the words of one server.
fn in_index(index: &IndexView, condition: &ForeignCondition, error: ApiError) -> ApiError {
    if error.code == Code::InvalidDocumentFilter {
        let message = error.message.replace(&condition.filter, &condition.cited);
        return ApiError::new(error.code, format!("Index `{}`: {message}", index.uid));
    }
    error
}

fn too_many(index: &IndexView) -> ApiError {
    let message = format!(
        "Index `{}`: Foreign filter is retrieving too many documents, foreign filters can't retrieve more than {FOUND_MAX} documents per index",
        index.uid
    );
    ApiError::new(Code::InvalidSearchFilter, message)
}

fn too_much(count: &str) -> ApiError {
    let message = format!(
        "{count} documents that the hits name by foreign keys are not supported by Miroir. Ask for fewer hits, or leave the \
         fields out of `attributesToRetrieve`."
    );
    ApiError::new(Code::MiroirNotSupported, message)
}
