//! Dynamic search rules: which documents are pinned to which places of which searches. What clients may ask for, what comes
//! of a change, and what is shown.
//!
//! Fields are kept as one server keeps them: what was never set is not there. That matters for `active`: as soon as some rule
//! has said it, rules that have not are not active any more, until all rules are deleted.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::bad_value::{missing_field, parse_json, unexpected, unknown_field, wrong_type};
use super::error::{ApiError, Code};
use super::index::check_index_uid;

/// The name of the index in which one server keeps its rules, as its tasks show it.
pub const RULES_INDEX: &str = ".meili_dsr";

const FIELDS: [&str; 5] = ["description", "precedence", "active", "conditions", "actions"];
const LIMIT_DEFAULT: usize = 20;

/// One rule.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SearchRule {
    /// Its name.
    pub uid: String,
    /// What was set of it, checked.
    pub fields: Map<String, Value>,
}

/// All rules of a server, in the order in which it lists them and prefers one of two that are alike.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SearchRules {
    /// The places of rules; one that was deleted leaves its place to the next that is made.
    places: Vec<Option<SearchRule>>,
    /// Some rule has said whether it is active, since all were deleted the last time.
    is_activity_said: bool,
}

/// What happens to the rules.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum RulesChange {
    /// These fields of a rule are set, and reset where they are null; it is made if it is not there.
    Set {
        /// The rule.
        uid: String,
        /// Checked, and written as one server writes them.
        fields: Map<String, Value>,
    },
    /// A rule is deleted, if it is there.
    Delete {
        /// The rule.
        uid: String,
    },
    /// All are deleted.
    Clear,
}

/// A document is wanted at a place of searches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pin {
    /// In this index; none: in all of them.
    pub index: Option<String>,
    /// Its id.
    pub id: String,
    /// The place, from 0.
    pub position: u32,
}

impl SearchRule {
    /// As a client is shown it.
    pub fn shown(&self) -> Value {
        let field = |name: &str| self.fields.get(name).filter(|value| !value.is_null()).cloned();
        let mut shown = json!({"uid": self.uid});
        for name in ["description", "precedence"] {
            if let Some(value) = field(name) {
                shown[name] = value;
            }
        }
        shown["active"] = field("active").unwrap_or(Value::Bool(true));
        shown["conditions"] = field("conditions").unwrap_or_else(|| json!({}));
        shown["actions"] = field("actions").unwrap_or_else(|| json!([]));
        shown
    }

    /// What it pins, in order.
    pub fn pins(&self) -> impl Iterator<Item = Pin> {
        let actions = self.fields.get("actions").and_then(Value::as_array).into_iter().flatten();
        actions.filter_map(|action| {
            let selector = action.get("selector")?;
            Some(Pin {
                index: selector.get("indexUid").and_then(Value::as_str).map(str::to_owned),
                id: selector.get("id")?.as_str()?.to_owned(),
                position: u32::try_from(action.get("action")?.get("position")?.as_u64()?).ok()?,
            })
        })
    }

    /// The lowest comes first, those without one last.
    pub fn precedence(&self) -> u64 {
        self.fields.get("precedence").and_then(Value::as_u64).unwrap_or(u64::MAX)
    }
}

impl SearchRules {
    /// In the order of lists.
    pub fn iter(&self) -> impl Iterator<Item = &SearchRule> {
        self.places.iter().flatten()
    }

    /// One of them.
    pub fn get(&self, uid: &str) -> Option<&SearchRule> {
        self.iter().find(|rule| rule.uid == uid)
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Whether searches go by it when its conditions are met.
    pub fn is_active(&self, rule: &SearchRule) -> bool {
        match rule.fields.get("active") {
            Some(active) => *active == Value::Bool(true),
            None => !self.is_activity_said,
        }
    }

    /// In the order in which searches ask them: what the first one says of a document counts.
    pub fn by_precedence(&self) -> Vec<&SearchRule> {
        let mut rules: Vec<&SearchRule> = self.iter().collect();
        // No more exact than one server compares them.
        rules.sort_by(|left, right| (left.precedence() as f64).total_cmp(&(right.precedence() as f64)));
        rules
    }

    /// Says how many rules a deletion of all has deleted.
    pub fn apply(&mut self, change: &RulesChange) -> Option<u64> {
        match change {
            RulesChange::Set { uid, fields } => self.set(uid, fields),
            RulesChange::Delete { uid } => {
                if let Some(place) = self.place_of(uid) {
                    self.places[place] = None;
                }
            }
            RulesChange::Clear => return Some(std::mem::take(self).iter().count() as u64),
        }
        None
    }

    fn place_of(&self, uid: &str) -> Option<usize> {
        self.places.iter().position(|rule| rule.as_ref().is_some_and(|rule| rule.uid == uid))
    }

    fn set(&mut self, uid: &str, fields: &Map<String, Value>) {
        self.is_activity_said |= fields.contains_key("active");
        let place = self.place_of(uid).or_else(|| self.places.iter().position(Option::is_none));
        let place = place.unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        let rule = self.places[place].get_or_insert_with(|| SearchRule { uid: uid.to_owned(), fields: Map::new() });
        for (name, value) in fields {
            match (name.as_str(), value) {
                // Whoever resets it wants the rule as it was made.
                ("active", Value::Null) => drop(rule.fields.insert(name.clone(), Value::Bool(true))),
                (_, Value::Null) => drop(rule.fields.shift_remove(name)),
                _ => drop(rule.fields.insert(name.clone(), value.clone())),
            }
        }
    }
}

/// The body of `PATCH /dynamic-search-rules/{uid}`: fields to set.
///
/// # Errors
/// `invalid_dynamic_search_rule_...`, `bad_request`, `malformed_payload`, `missing_payload`.
pub fn parse_rule(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let value = parse_json(body)?;
    let Value::Object(given) = &value else { return Err(wrong_type(Code::BadRequest, "", "an object", &value)) };
    let mut read = Map::new();
    for (name, value) in given {
        let location = format!(".{name}");
        let (code, accepted, is_right) = match name.as_str() {
            "description" => (Code::InvalidDynamicSearchRuleDescription, "a string", value.is_string()),
            "precedence" => (Code::InvalidDynamicSearchRulePriority, "a positive integer", value.is_u64()),
            "active" => (Code::InvalidDynamicSearchRuleActive, "a boolean", value.is_boolean()),
            "conditions" => (Code::InvalidDynamicSearchRuleConditions, "an object", value.is_object()),
            "actions" => (Code::InvalidDynamicSearchRuleActions, "an array", value.is_array()),
            other => return Err(unknown_field(Code::BadRequest, "", other, &FIELDS)),
        };
        let value = match value {
            Value::Null => Value::Null,
            _ if !is_right => return Err(wrong_type(code, &location, accepted, value)),
            Value::Object(conditions) => read_conditions(conditions)?,
            Value::Array(actions) => {
                let actions = actions.iter().enumerate();
                actions
                    .map(|(place, action)| read_action(&format!("{location}[{place}]"), action))
                    .collect::<Result<_, _>>()?
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        };
        read.insert(name.clone(), value);
    }
    // In the order of the table.
    Ok(FIELDS.iter().filter_map(|name| read.remove_entry(*name)).collect())
}

type Fields = Map<String, Value>;

/// The members of an object, each of which must be one of these names.
fn object<'a>(code: Code, location: &str, value: &'a Value, names: &[&str]) -> Result<&'a Fields, ApiError> {
    let Value::Object(fields) = value else { return Err(wrong_type(code, location, "an object", value)) };
    match fields.keys().find(|name| !names.contains(&name.as_str())) {
        Some(name) => Err(unknown_field(code, location, name, names)),
        None => Ok(fields),
    }
}

fn text<'a>(code: Code, location: &str, value: &'a Value) -> Result<&'a str, ApiError> {
    value.as_str().ok_or_else(|| wrong_type(code, location, "a string", value))
}

fn read_conditions(conditions: &Fields) -> Result<Value, ApiError> {
    let code = Code::InvalidDynamicSearchRuleConditions;
    let mut read = json!({});
    let (mut times, mut is_contradictory) = ([None, None], false);
    for (name, value) in conditions {
        match (name.as_str(), value) {
            ("time" | "query", Value::Null) => {}
            ("time", _) => times = read_times(value)?,
            ("query", _) => {
                read["query"] = read_query(value)?;
                is_contradictory = read["query"]["isEmpty"] == true && read["query"]["words"].is_string();
            }
            (other, _) => return Err(unknown_field(code, ".conditions", other, &["time", "query"])),
        }
    }
    if is_contradictory {
        let reason = "either `isEmpty` or `words` can be used, not both at once";
        return Err(unexpected(Code::BadRequest, ".conditions.query", reason));
    }
    if let [Some(start), Some(end)] = times
        && start > end
    {
        let reason = format!("`end` (`{end}`) should be later than `start` (`{start}`)");
        return Err(unexpected(Code::BadRequest, ".conditions.time", &reason));
    }
    // One server shows times first.
    if conditions.get("time").is_some_and(Value::is_object) {
        let query = read.as_object_mut().and_then(|read| read.shift_remove("query"));
        read["time"] = json!({});
        for (name, time) in ["start", "end"].iter().zip(times) {
            if let Some(time) = time.and_then(|time| time.format(&Rfc3339).ok()) {
                read["time"][name] = time.into();
            }
        }
        if let Some(query) = query {
            read["query"] = query;
        }
    }
    Ok(read)
}

/// Start and end. One server takes other fields, and forgets them.
fn read_times(value: &Value) -> Result<[Option<OffsetDateTime>; 2], ApiError> {
    let code = Code::InvalidDynamicSearchRuleConditions;
    let Value::Object(fields) = value else { return Err(wrong_type(code, ".conditions.time", "an object", value)) };
    let mut times = [None, None];
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let Some(place) = ["start", "end"].iter().position(|known| known == name) else { continue };
        let location = format!(".conditions.time.{name}");
        let given = text(code, &location, value)?;
        let read = OffsetDateTime::parse(given, &Rfc3339).map_err(|_| {
            let reason = format!(
                "`{given}` is not a valid date. It should follow the RFC 3339 format to represents a date or datetime in the \
                 future or specified as a null value. e.g. 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS'.\n"
            );
            unexpected(code, &location, &reason)
        })?;
        times[place] = Some(read);
    }
    Ok(times)
}

fn read_query(value: &Value) -> Result<Value, ApiError> {
    let code = Code::InvalidDynamicSearchRuleConditions;
    let Value::Object(fields) = value else { return Err(wrong_type(code, ".conditions.query", "an object", value)) };
    let mut read = Map::new();
    for (name, value) in fields {
        let location = format!(".conditions.query.{name}");
        match (name.as_str(), value) {
            ("isEmpty" | "words", Value::Null) | ("isEmpty", Value::Bool(_)) | ("words", Value::String(_)) => {}
            ("isEmpty", _) => return Err(wrong_type(code, &location, "a boolean", value)),
            ("words", _) => return Err(wrong_type(code, &location, "a string", value)),
            (other, _) => return Err(unknown_field(code, ".conditions.query", other, &["isEmpty", "words"])),
        }
    }
    for name in ["isEmpty", "words"] {
        read.extend(fields.get(name).filter(|value| !value.is_null()).map(|value| (name.to_owned(), value.clone())));
    }
    Ok(Value::Object(read))
}

fn read_action(location: &str, value: &Value) -> Result<Value, ApiError> {
    const NAMES: [&str; 2] = ["selector", "action"];
    let code = Code::InvalidDynamicSearchRuleActions;
    let Value::Object(fields) = value else { return Err(wrong_type(code, location, "an object", value)) };
    let mut read = Map::new();
    for (name, value) in fields {
        let inside = format!("{location}.{name}");
        let value = match name.as_str() {
            "selector" => read_selector(&inside, value)?,
            "action" => read_pin(&inside, value)?,
            other => return Err(unknown_field(code, location, other, &NAMES)),
        };
        read.insert(name.clone(), value);
    }
    let mut member = |name: &str| read.remove_entry(name).ok_or_else(|| missing_field(code, location, name));
    let members = [member("selector")?, member("action")?];
    Ok(Value::Object(members.into_iter().collect()))
}

fn read_selector(location: &str, value: &Value) -> Result<Value, ApiError> {
    const NAMES: [&str; 2] = ["indexUid", "id"];
    let code = Code::InvalidDynamicSearchRuleActions;
    let mut read = json!({});
    for (name, value) in object(code, location, value, &NAMES)? {
        let location = format!("{location}.{name}");
        if name == "indexUid" && !value.is_null() {
            let uid = text(code, &location, value)?;
            check_index_uid(uid).map_err(|error| unexpected(code, &location, &error.message))?;
        } else if name == "id" {
            text(code, &location, value)?;
        }
    }
    for name in NAMES {
        if !value[name].is_null() {
            read[name] = value[name].clone();
        }
    }
    if read.get("id").is_none() {
        return Err(missing_field(code, location, "id"));
    }
    Ok(read)
}

fn read_pin(location: &str, value: &Value) -> Result<Value, ApiError> {
    let code = Code::InvalidDynamicSearchRuleActions;
    let Value::Object(fields) = value else { return Err(wrong_type(code, location, "an object", value)) };
    let kind = fields.get("type").ok_or_else(|| missing_field(code, location, "type"))?;
    if text(code, &format!("{location}.type"), kind)? != "pin" {
        return Err(unexpected(code, location, "Incorrect tag value"));
    }
    if let Some(name) = fields.keys().find(|name| !matches!(name.as_str(), "type" | "position")) {
        return Err(unknown_field(code, location, name, &["position"]));
    }
    let position = fields.get("position").ok_or_else(|| missing_field(code, location, "position"))?;
    let location = format!("{location}.position");
    let number = position.as_u64().ok_or_else(|| wrong_type(code, &location, "a positive integer", position))?;
    if number > u64::from(u32::MAX) {
        let most = u32::MAX;
        let reason = format!("value: `{number}` is too large to be deserialized, maximum value authorized is `{most}`");
        return Err(unexpected(code, &location, &reason));
    }
    Ok(json!({"type": "pin", "position": number}))
}

/// The body of `POST /dynamic-search-rules`: which rules are to be listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RulesListing {
    /// Rules to skip.
    pub offset: usize,
    /// Rules to show.
    pub limit: usize,
    /// Words of their descriptions and conditions.
    pub query: Option<String>,
    /// Whether they are active.
    pub active: Option<bool>,
}

impl RulesListing {
    /// Reads the body.
    ///
    /// # Errors
    /// `invalid_dynamic_search_rule_...`, `bad_request`, `malformed_payload`, `missing_payload`.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let value = parse_json(body)?;
        let mut listing = Self { offset: 0, limit: LIMIT_DEFAULT, query: None, active: None };
        let Value::Object(fields) = &value else { return Err(wrong_type(Code::BadRequest, "", "an object", &value)) };
        for (name, value) in fields {
            let number = |code| {
                let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
                number.ok_or_else(|| wrong_type(code, &format!(".{name}"), "a positive integer", value))
            };
            match name.as_str() {
                "offset" => listing.offset = number(Code::InvalidDynamicSearchRuleOffset)?,
                "limit" => listing.limit = number(Code::InvalidDynamicSearchRuleLimit)?,
                "filter" if value.is_null() => {}
                "filter" => listing.read_filter(value)?,
                other => return Err(unknown_field(Code::BadRequest, "", other, &["offset", "limit", "filter"])),
            }
        }
        Ok(listing)
    }

    fn read_filter(&mut self, filter: &Value) -> Result<(), ApiError> {
        let code = Code::InvalidDynamicSearchRuleFilter;
        let Value::Object(fields) = filter else { return Err(wrong_type(code, ".filter", "an object", filter)) };
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("query" | "active", Value::Null) => {}
                ("query", _) => {
                    let query = text(Code::InvalidDynamicSearchRuleFilterQuery, ".filter.query", value)?;
                    self.query = Some(query.to_owned());
                }
                ("active", Value::Bool(active)) => self.active = Some(*active),
                ("active", _) => {
                    let code = Code::InvalidDynamicSearchRuleFilterActive;
                    return Err(wrong_type(code, ".filter.active", "a boolean", value));
                }
                (other, _) => return Err(unknown_field(code, ".filter", other, &["query", "active"])),
            }
        }
        Ok(())
    }

    /// As it is asked of a node, which finds words as one server finds them.
    pub fn node_body(&self) -> Value {
        let filter = json!({"query": self.query, "active": self.active});
        json!({"offset": self.offset, "limit": self.limit, "filter": filter})
    }

    /// The page of these rules, where no words are looked for.
    pub fn page(&self, rules: &SearchRules) -> Value {
        let fits = |rule: &&SearchRule| self.active.is_none_or(|active| rules.is_active(rule) == active);
        let found: Vec<&SearchRule> = rules.iter().filter(fits).collect();
        let shown: Vec<Value> = found.iter().skip(self.offset).take(self.limit).map(|rule| rule.shown()).collect();
        self.answer(&shown, found.len() as u64)
    }

    /// The answer with this page of so many rules.
    pub fn answer(&self, shown: &[Value], total: u64) -> Value {
        json!({"results": shown, "offset": self.offset, "limit": self.limit, "total": total})
    }
}

/// There is no rule of this name.
pub fn rule_not_found(uid: &str) -> ApiError {
    ApiError::new(Code::DynamicSearchRuleNotFound, format!("Dynamic search rule `{uid}` not found."))
}

#[cfg(test)]
mod tests;
