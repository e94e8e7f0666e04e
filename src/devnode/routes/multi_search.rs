//! `/multi-search`: several searches in one request, plain or federated.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::search::search_index;
use super::{Node, body};
use crate::devnode::engine::{
    FacetOrder, FederatedError, FederatedFacets, FederatedHits, FederatedIndex, FederatedPart, FederatedQuery,
    SearchQuery, merge_federated, remove_from_counts,
};
use crate::devnode::http::{Request, Response};
use crate::meili::error::{ApiError, Code};
use crate::meili::features::Features;
use crate::meili::multi_search::ranking_rules::{Comparability, RankedQuery, ranking_rules_of};
use crate::meili::multi_search::{
    Federation, ListedQuery, MergeFacets, MultiSearch, inside_facets, inside_query, options_without_federation,
    status_of,
};
use crate::meili::search::{Paging, vector_json};
use crate::telemetry::clock;

/// `POST /multi-search`.
pub fn answer(node: &Node, request: Request) -> Result<Response, ApiError> {
    let body = body::json(request)?;
    let request = MultiSearch::from_value(body)?;
    let answer = match &request.federation {
        Some(federation) => federated(node, &request, federation),
        None => plain(node, &request.queries),
    };
    Ok(answer.unwrap_or_else(|error| Response::json(status_of(&error, Features::default()), &error.body())))
}

fn plain(node: &Node, queries: &[ListedQuery]) -> Result<Response, ApiError> {
    let answer = |query: &ListedQuery| {
        if query.options.is_some() {
            return Err(options_without_federation());
        }
        query.check_filter()?;
        let mut result = Map::from_iter([("indexUid".to_owned(), Value::from(query.index_uid.as_str()))]);
        result.extend(search_index(node, &query.index_uid, &query.parameters)?);
        Ok(Value::Object(result))
    };
    let results = queries.iter().enumerate();
    let results = results.map(|(place, query)| answer(query).map_err(|error| inside_query(place, &error)));
    Ok(Response::json(200, &json!({ "results": results.collect::<Result<Vec<_>, _>>()? })))
}

/// Facets with the index that was first to name them and its order: indexes must agree.
type Orders = BTreeMap<String, (String, FacetOrder)>;

/// One federated search under way.
struct Work<'a> {
    node: &'a Node,
    federation: &'a Federation,
    comparability: Comparability,
    orders: Orders,
}

fn federated(node: &Node, request: &MultiSearch, federation: &Federation) -> Result<Response, ApiError> {
    let started = clock::instant();
    request.check_federated(federation)?;
    let mut by_index: BTreeMap<&str, Vec<(usize, &ListedQuery)>> = BTreeMap::new();
    for (place, query) in request.queries.iter().enumerate() {
        by_index.entry(&query.index_uid).or_default().push((place, query));
    }
    let mut work = Work { node, federation, comparability: Comparability::default(), orders: Orders::new() };
    let indexes = by_index.iter().map(|(uid, queries)| work.index(uid, queries)).collect::<Result<Vec<_>, _>>()?;
    let unused = federation.facets_by_index.iter().filter(|(uid, _)| !by_index.contains_key(uid.as_str()));
    for (uid, patterns) in unused {
        let checked = work.check_unused(uid, patterns.as_deref());
        checked.map_err(|error| inside_facets(uid, false, &error))?;
    }
    federation.check_personalization()?;
    let (offset, limit) = federation.window();
    let found = merge_federated(indexes, offset as usize, limit as usize, federation.distinct.as_deref());
    Ok(Response::json(
        200,
        &answer_body(request, federation, found, &work.orders, started.elapsed().as_millis() as u64),
    ))
}

impl Work<'_> {
    fn index(&mut self, uid: &str, queries: &[(usize, &ListedQuery)]) -> Result<FederatedIndex, ApiError> {
        let first = queries.first().map_or(0, |(place, _)| *place);
        let at_first = |error: ApiError| inside_query(first, &error);
        let index = self.node.indexes.get(uid).map_err(at_first)?;
        let index = index.read();
        let facets = self.federation.facets_by_index.get(uid).and_then(Option::as_deref);
        self.check_orders(uid, index.engine.facet_orders(facets.unwrap_or_default()))
            .map_err(|error| at_first(inside_facets(uid, true, &error)))?;
        let rules = ranking_rules_of(&index.engine.settings().to_json());
        let mut parts = Vec::new();
        for (place, query) in queries {
            let search = self.comparable(*place, query, &rules).map_err(|error| inside_query(*place, &error))?;
            parts.push(FederatedQuery { search, weight: query.weight(), position: *place });
        }
        let part = FederatedPart {
            needed_hits: usize::try_from(self.federation.needed_hits()).unwrap_or(usize::MAX),
            is_exhaustive: self.federation.is_exhaustive(),
            distinct: self.federation.distinct.as_deref(),
            facets,
        };
        index.engine.federated(&parts, &part).map_err(|error| match error {
            FederatedError::Query(place, error) => inside_query(place, &error),
            FederatedError::Facets(error) => at_first(inside_facets(uid, true, &error)),
        })
    }

    /// A query that can be compared with those before.
    fn comparable(&mut self, position: usize, query: &ListedQuery, rules: &[String]) -> Result<SearchQuery, ApiError> {
        let search = SearchQuery::from_json(&query.parameters)?;
        search.check_sort_syntax()?;
        self.comparability.add(&RankedQuery {
            position,
            index_uid: &query.index_uid,
            ranking_rules: rules,
            sort: search.sort.as_deref(),
            needs_all_words: query.parameters.get("matchingStrategy") == Some(&json!("all")),
            kind: query.kind(),
        })?;
        Ok(search)
    }

    /// Facets that are merged must have their values in one order.
    fn check_orders(&mut self, uid: &str, orders: Vec<(String, FacetOrder)>) -> Result<(), ApiError> {
        if self.federation.merge_facets.is_none() {
            return Ok(());
        }
        let name = |order: FacetOrder| match order {
            FacetOrder::Alpha => "alphabetically",
            FacetOrder::Count => "by count",
        };
        for (facet, order) in orders {
            let (first, first_order) = self.orders.entry(facet.clone()).or_insert_with(|| (uid.to_owned(), order));
            if *first_order != order {
                let message = format!(
                    "Inconsistent order for values in facet `{facet}`: index `{first}` orders {}, but index `{uid}` orders {}.\n - Hint: Remove `federation.mergeFacets` or change `faceting.sortFacetValuesBy` to be consistent in settings.",
                    name(*first_order),
                    name(order)
                );
                return Err(ApiError::new(Code::InvalidMultiSearchFacetOrder, message));
            }
        }
        Ok(())
    }

    fn check_unused(&mut self, uid: &str, patterns: Option<&[String]>) -> Result<(), ApiError> {
        let index = self.node.indexes.get(uid)?;
        let index = index.read();
        let patterns = patterns.unwrap_or_default();
        self.check_orders(uid, index.engine.facet_orders(patterns))?;
        index.engine.check_facets(patterns)
    }
}

fn answer_body(
    request: &MultiSearch,
    federation: &Federation,
    found: FederatedHits,
    orders: &Orders,
    processing_time_ms: u64,
) -> Map<String, Value> {
    let FederatedHits { hits, total, semantic_hit_count, query_vectors, facets, rejected } = found;
    let mut body = Map::new();
    body.insert("hits".to_owned(), hits.into_iter().map(Value::Object).collect());
    if request.queries.iter().any(ListedQuery::retrieves_vectors) {
        let vectors = query_vectors.into_iter().map(|(position, vector)| (position.to_string(), vector_json(&vector)));
        body.insert("queryVectors".to_owned(), Value::Object(vectors.collect()));
    }
    body.insert("processingTimeMs".to_owned(), processing_time_ms.into());
    let info = match federation.paging {
        Paging::Window { offset, limit } => json!({"limit": limit, "offset": offset, "estimatedTotalHits": total}),
        Paging::Page { page, hits_per_page } => {
            let pages = (total as u64).checked_next_multiple_of(hits_per_page).unwrap_or(0);
            let pages = pages.checked_div(hits_per_page).unwrap_or(0);
            json!({"hitsPerPage": hits_per_page, "page": page, "totalPages": pages, "totalHits": total})
        }
    };
    if let Value::Object(info) = info {
        body.extend(info);
    }
    match federation.merge_facets {
        Some(_) if facets.is_empty() => {}
        Some(merge) => {
            let (mut distribution, stats) = merged_facets(facets, merge, orders);
            for (_, document) in &rejected {
                remove_from_counts(&mut distribution, document);
            }
            body.insert("facetDistribution".to_owned(), distribution.into());
            body.insert("facetStats".to_owned(), stats.into());
        }
        None if facets.is_empty() => {}
        None => {
            let by_index = facets.into_iter().map(|(uid, (mut distribution, stats))| {
                let rejected = rejected.iter().filter(|(of, _)| *of == uid);
                rejected.for_each(|(_, document)| remove_from_counts(&mut distribution, document));
                (uid, json!({"distribution": distribution, "stats": stats}))
            });
            body.insert("facetsByIndex".to_owned(), Value::Object(by_index.collect()));
        }
    }
    if request.queries.iter().any(ListedQuery::is_semantic) {
        body.insert("semanticHitCount".to_owned(), semantic_hit_count.into());
    }
    if federation.shows_performance {
        body.insert("performanceDetails".to_owned(), json!({"search": format!("{processing_time_ms}.00ms")}));
    }
    body
}

/// Counts added up by value, minimum and maximum of all.
fn merged_facets(
    indexes: Vec<(String, FederatedFacets)>,
    merge: MergeFacets,
    orders: &Orders,
) -> (Map<String, Value>, Map<String, Value>) {
    let mut counts: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    let mut stats: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for (_, (distribution, index_stats)) in indexes {
        for (facet, values) in distribution {
            let merged = counts.entry(facet).or_default();
            for (value, count) in values.as_object().into_iter().flatten() {
                let count = count.as_u64().unwrap_or_default();
                match merged.iter_mut().find(|(known, _)| known == value) {
                    Some((_, known)) => *known += count,
                    None => merged.push((value.clone(), count)),
                }
            }
        }
        for (facet, bounds) in index_stats {
            let bound = |name: &str| bounds[name].as_f64().unwrap_or_default();
            let (least, most) = stats.entry(facet).or_insert((f64::INFINITY, f64::NEG_INFINITY));
            (*least, *most) = (least.min(bound("min")), most.max(bound("max")));
        }
    }
    let ordered = counts.into_iter().map(|(facet, mut values)| {
        match orders.get(&facet).map(|(_, order)| *order).unwrap_or_default() {
            FacetOrder::Alpha => values.sort(),
            FacetOrder::Count => values.sort_by_key(|(_, count)| std::cmp::Reverse(*count)),
        }
        values.truncate(merge.max_values_per_facet.map_or(usize::MAX, |most| most as usize));
        let values: Map<String, Value> = values.into_iter().map(|(value, count)| (value, count.into())).collect();
        (facet, Value::Object(values))
    });
    let stats = stats.into_iter().map(|(facet, (least, most))| (facet, json!({"min": least, "max": most})));
    (ordered.collect(), stats.collect())
}
