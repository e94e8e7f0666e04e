//! `/dynamic-search-rules`: which documents are pinned to which places of searches. Kept for the whole fleet; changes are tasks
//! of the journal. Only the words of a listing are looked for by a node, which has all rules.

use std::sync::Arc;

use serde_json::Value;

use super::arguments::{Arguments, require_json};
use super::write::{accepted, commit, custom_metadata};
use crate::data_plane::core::Core;
use crate::data_plane::forwarding::{all_nodes, ask_one};
use crate::data_plane::upstream::NodeRequest;
use crate::http_types::{Request, Response};
use crate::logic::entry::Operation;
use crate::logic::ids::{IndexUid, NodeSlot};
use crate::logic::snapshot::RoutingSnapshot;
use crate::meili::error::{ApiError, Code};
use crate::meili::features::Feature;
use crate::meili::index::check_index_uid;
use crate::meili::search_rules::{
    RULES_INDEX, RulesChange, RulesListing, SearchRule, SearchRules, parse_rule, rule_not_found,
};

/// What changes need.
const CHANGING: &str = "Using the `/dynamic-search-rules` routes";
/// Nobody has the rules for so long at most, as a rule, in milliseconds.
const WAIT_MAX_MS: u64 = 1_000;
/// Between two looks, in milliseconds.
const LOOK_EVERY_MS: u64 = 10;

fn require(core: &Core, doing: &str) -> Result<(), ApiError> {
    core.bridge.features.load().require(Feature::DynamicSearchRules, doing)
}

/// The name of a rule, or the answer of one server to what is none: not an error as others are.
fn rule_uid(arguments: &Arguments) -> Result<&str, Response> {
    check_index_uid(arguments.text(0)).map_err(|error| Response::text(404, error.message))
}

async fn change(core: &Core, change: RulesChange, metadata: Option<String>) -> Result<Response, ApiError> {
    let index = Some(IndexUid::new(RULES_INDEX));
    commit(core, index, Operation::ChangeRules(change), metadata).await.map(|task| accepted(&task))
}

pub(super) async fn get(core: &Core, _request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let uid = match rule_uid(arguments) {
        Ok(uid) => uid,
        Err(response) => return Ok(response),
    };
    require(core, "Calling the `GET /dynamic-search-rules/{:ruleUid}` route")?;
    let view = core.bridge.rules.load();
    let rule = view.rules.get(uid).ok_or_else(|| rule_not_found(uid))?;
    Ok(Response::json(200, &rule.shown()))
}

pub(super) async fn update(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let uid = match rule_uid(arguments) {
        Ok(uid) => uid.to_owned(),
        Err(response) => return Ok(response),
    };
    let metadata = custom_metadata(&request.query)?;
    require_json(request)?;
    let fields = parse_rule(&request.body)?;
    require(core, CHANGING)?;
    change(core, RulesChange::Set { uid, fields }, metadata).await
}

pub(super) async fn delete(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let metadata = custom_metadata(&request.query)?;
    let uid = match rule_uid(arguments) {
        Ok(uid) => uid.to_owned(),
        Err(response) => return Ok(response),
    };
    require(core, CHANGING)?;
    change(core, RulesChange::Delete { uid }, metadata).await
}

pub(super) async fn clear(core: &Core, request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    let metadata = custom_metadata(&request.query)?;
    require(core, CHANGING)?;
    change(core, RulesChange::Clear, metadata).await
}

pub(super) async fn list(core: &Core, request: &Request, _arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let listing = RulesListing::parse(&request.body)?;
    require(core, "Calling the `POST /dynamic-search-rules` route")?;
    let rules = core.bridge.rules.load().rules.clone();
    if rules.is_empty() || listing.query.is_none() {
        return Ok(Response::json(200, &listing.page(&rules)));
    }
    found_by_node(core, &listing, &rules).await
}

/// Nodes find words as one server does, and find the rules in the order in which they are here.
async fn found_by_node(core: &Core, listing: &RulesListing, rules: &SearchRules) -> Result<Response, ApiError> {
    let (snapshot, nodes) = told_nodes(core).await;
    let request = NodeRequest::post_read("/dynamic-search-rules", listing.node_body().to_string());
    let response = ask_one(core, &snapshot, &nodes, request).await?;
    let unreadable = || ApiError::new(Code::Internal, "A node sent an answer that cannot be read.");
    let found: Value = serde_json::from_slice(&response.body).map_err(|_| unreadable())?;
    let (Some(results), Some(total)) = (found["results"].as_array(), found["total"].as_u64()) else {
        return Err(unreadable());
    };
    let uids = results.iter().filter_map(|rule| rule["uid"].as_str());
    let shown: Vec<Value> = uids.filter_map(|uid| rules.get(uid)).map(SearchRule::shown).collect();
    Ok(Response::json(200, &listing.answer(&shown, total)))
}

/// Nodes that have the rules. After a change, and after a start, none has them for a moment, which is waited for.
async fn told_nodes(core: &Core) -> (Arc<RoutingSnapshot>, Vec<NodeSlot>) {
    let until = core.now().plus_ms(WAIT_MAX_MS);
    loop {
        let snapshot = core.snapshot();
        let view = core.bridge.rules.load_full();
        let mut nodes = all_nodes(&snapshot);
        nodes.retain(|slot| view.told.contains(&snapshot.nodes[usize::from(slot.0)].id));
        if !nodes.is_empty() || core.now() >= until {
            return (snapshot, nodes);
        }
        core.timers.sleep_until(core.now().plus_ms(LOOK_EVERY_MS)).await;
    }
}
