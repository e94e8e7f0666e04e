//! What a model may search, and what it finds: each search is one as clients do it, by the same rights.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::data_plane::core::Core;
use crate::data_plane::handlers::granted;
use crate::data_plane::handlers::indexes::not_found;
use crate::data_plane::handlers::search::answer_query;
use crate::data_plane::scatter::ScatterScope;
use crate::http_types::Request;
use crate::logic::ids::IndexUid;
use crate::logic::snapshot::{IndexView, RoutingSnapshot};
use crate::meili::chat::rendering::Rendering;
use crate::meili::chat::tools::{Facet, Prompts, SearchTool, most_frequent};
use crate::meili::error::{ApiError, Code};
use crate::meili::filterable::{FilterFeatures, names_that, rules_of_settings};
use crate::meili::keys::{Action, Grant, Need};
use crate::meili::search::{Displayed, SearchRequest, check_filter};
use crate::meili::settings::{chat, node_facet_values_max};

/// Searches for one client.
#[derive(Clone, Copy)]
pub(super) struct Searcher<'a> {
    pub(super) core: &'a Core,
    pub(super) request: &'a Request,
}

/// What a call of the model came to.
pub(super) struct Found {
    /// As the client may see them.
    pub(super) sources: Option<Vec<Value>>,
    /// For the model.
    pub(super) text: String,
    /// That the client hears of.
    pub(super) error: Option<ApiError>,
}

/// What the model searches for.
#[derive(Deserialize)]
struct SearchArguments {
    index_uid: String,
    q: Option<String>,
    filter: Option<String>,
}

impl Searcher<'_> {
    /// The tool to search with, which tells of the indexes that the client may search.
    pub(super) async fn tool(&self, grant: &Grant, prompts: &Prompts) -> Result<SearchTool, ApiError> {
        let mut tool = SearchTool::new(prompts.clone());
        let snapshot = self.core.snapshot();
        let mut indexes: Vec<&IndexView> = snapshot.indexes.values().map(AsRef::as_ref).collect();
        indexes.retain(|index| grant.allows_index(index.uid.as_str()));
        indexes.sort_by(|a, b| a.uid.cmp(&b.uid));
        for index in indexes {
            let uid = index.uid.as_str();
            let facets = self.facets(&snapshot, index, grant.filter_of(uid)).await?;
            tool.add_index(uid, chat(&index.settings)["description"].as_str().unwrap_or_default(), &facets);
        }
        Ok(tool)
    }

    /// The most frequent values of each facet among the documents that the client may see.
    async fn facets(
        &self,
        snapshot: &RoutingSnapshot,
        index: &IndexView,
        rule: Option<&Value>,
    ) -> Result<Vec<Facet>, ApiError> {
        let rules = rules_of_settings(&index.settings);
        let names = names_that(&rules, FilterFeatures::is_filterable);
        if names.is_empty() {
            return Ok(Vec::new());
        }
        // As many as the nodes give: which are the most frequent ones is not what the settings ask for.
        let mut faceting = index.settings.get("faceting").cloned().unwrap_or_else(|| json!({}));
        faceting["maxValuesPerFacet"] = node_facet_values_max(&index.settings).into();
        let index = with_setting(index, "faceting", faceting);
        let parameters = Map::from_iter([("facets".to_owned(), json!(names)), ("limit".to_owned(), json!(0))]);
        let answer = self.answer(snapshot, &index, SearchRequest::from_parameters(parameters)?, rule).await?;
        let mut facets: Vec<Facet> = Vec::new();
        for (name, counts) in answer["facetDistribution"].as_object().into_iter().flatten() {
            let counts = counts.as_object().into_iter().flatten();
            let counts = counts.map(|(value, count)| (value.as_str(), count.as_u64().unwrap_or_default()));
            facets.push((name.clone(), most_frequent(counts)));
        }
        facets.sort();
        Ok(facets)
    }

    async fn answer(
        &self,
        snapshot: &RoutingSnapshot,
        index: &IndexView,
        mut search: SearchRequest,
        rule: Option<&Value>,
    ) -> Result<Value, ApiError> {
        if let Some(rule) = rule {
            search.restrict(rule);
        }
        let scope = ScatterScope { snapshot, index, deadline: self.core.read_deadline(), trace: None };
        let answer = answer_query(self.core, scope, &search, || Ok(self.core.settings.partial)).await?;
        serde_json::from_str(&answer.body)
            .map_err(|_| ApiError::new(Code::Internal, "The answer of a search cannot be read."))
    }

    /// Searches as the model wants it. Mistakes are told to the model, which may know better then.
    pub(super) async fn search(&self, arguments: &str) -> Found {
        let arguments: SearchArguments = match serde_json::from_str(arguments) {
            Ok(arguments) => arguments,
            Err(error) => return Found { sources: None, text: error.to_string(), error: None },
        };
        let filter = arguments.filter.clone().map(Value::from);
        let uid = arguments.index_uid.clone();
        match self.found(arguments).await {
            Ok((sources, text)) => Found { sources: Some(sources), text, error: None },
            Err(error) if is_mistake(&error, filter.as_ref()) => {
                let text = error.message.strip_prefix(&format!("Index `{uid}`: ")).unwrap_or(&error.message).to_owned();
                Found { sources: Some(Vec::new()), text, error: None }
            }
            Err(mut error) => {
                if error.code == Code::InvalidSearchFilter {
                    error.message = format!("Index `{uid}`: {}", error.message);
                }
                let text = format!("the search tool call failed with {}", error.message);
                Found { sources: None, text, error: Some(error) }
            }
        }
    }

    /// The documents as the client may see them, and as a text for the model.
    async fn found(&self, arguments: SearchArguments) -> Result<(Vec<Value>, String), ApiError> {
        let SearchArguments { index_uid, q, filter } = arguments;
        let snapshot = self.core.snapshot();
        let uid = IndexUid::new(index_uid.as_str());
        let index = snapshot.indexes.get(&uid).ok_or_else(|| not_found(&uid))?;
        let need = Need { actions: &[Action::Search], index: Some(&index_uid) };
        let grant = granted(self.core, self.request, need)?;
        let chat = chat(&index.settings);
        let mut parameters = chat["searchParameters"].as_object().cloned().unwrap_or_default();
        parameters.retain(|_, value| !value.is_null());
        parameters.extend(q.map(|q| ("q".to_owned(), q.into())));
        parameters.extend(filter.map(|filter| ("filter".to_owned(), filter.into())));
        let search = SearchRequest::from_parameters(parameters)?;
        // Templates see what clients do not.
        let whole = with_setting(index, "displayedAttributes", json!(["*"]));
        let mut answer = self.answer(&snapshot, &whole, search, grant.filter_of(&index_uid)).await?;
        let Value::Array(hits) = answer["hits"].take() else { return Ok((Vec::new(), String::new())) };
        let documents: Vec<Map<String, Value>> = hits.into_iter().filter_map(document).collect();
        let displayed = Displayed::from_settings(&index.settings);
        let sources = documents.iter().map(|document| shown(document, &displayed)).collect();
        let text = self.text(index, &chat, documents).await?;
        Ok((sources, text))
    }

    async fn text(
        &self,
        index: &IndexView,
        chat: &Value,
        documents: Vec<Map<String, Value>>,
    ) -> Result<String, ApiError> {
        if documents.is_empty() {
            return Ok(String::new());
        }
        let searchable = index.settings.get("searchableAttributes").and_then(Value::as_array);
        let searchable: Option<Vec<String>> =
            searchable.map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect());
        let rendering = Rendering {
            template: chat["documentTemplate"].as_str().unwrap_or_default().to_owned(),
            primary_key: index.primary_key.as_deref().unwrap_or_default().to_owned(),
            searchable: searchable.filter(|names| !names.iter().any(|name| name == "*")),
            documents,
        };
        let rendered = self.core.bridge.errands.render(rendering);
        let Some(Some(texts)) = self.core.before(self.core.read_deadline(), rendered).await else {
            return Err(ApiError::overloaded("the template of the documents takes too long"));
        };
        let texts = texts.map_err(|message| ApiError::new(Code::InvalidChatSettingDocumentTemplate, message))?;
        Ok(texts.join("\n"))
    }
}

/// The same index with a setting as it is for this search.
fn with_setting(index: &IndexView, name: &str, value: Value) -> IndexView {
    let mut settings = index.settings.as_ref().clone();
    settings.insert(name.to_owned(), value);
    IndexView { settings: Arc::new(settings), ..index.clone() }
}

/// A hit without what the search has added.
fn document(hit: Value) -> Option<Map<String, Value>> {
    let Value::Object(mut document) = hit else { return None };
    document.shift_remove("_geoDistance");
    Some(document)
}

/// What of a document the client may see, in the order of the settings.
fn shown(document: &Map<String, Value>, displayed: &Displayed) -> Value {
    let Displayed::Only(names) = displayed else { return Value::Object(document.clone()) };
    let field = |name: &String| Some((name.clone(), document.get(name)?.clone()));
    Value::Object(names.iter().filter_map(field).collect())
}

/// Of the model, in what can only be said while it is searched; what cannot even be read is an error.
fn is_mistake(error: &ApiError, filter: Option<&Value>) -> bool {
    if error.code == Code::InvalidSearchFilter {
        return filter.is_none_or(|filter| check_filter(filter, Code::InvalidSearchFilter).is_ok());
    }
    [Code::InvalidSearchSort, Code::InvalidSearchDistinct, Code::InvalidSearchAttributesToSearchOn]
        .contains(&error.code)
}
