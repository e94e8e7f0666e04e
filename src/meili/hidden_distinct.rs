//! The attribute of `distinctAttribute` where clients cannot filter by it: nodes can, since that is how they tell hits apart,
//! so what one server refuses is refused here.

use serde_json::{Value, json};

use super::error::{ApiError, Code};
use super::filter::Filter;
use super::filterable::{FilterFeatures, FilterableRule, deciding_rule, names_that, rules_of_settings};
use super::search::Displayed;
use super::search_message::without_hidden;
use super::settings::Object;

/// The attribute, if there is one and clients cannot filter by it.
pub fn attribute(user: &Object) -> Option<&str> {
    let attribute = user.get("distinctAttribute").and_then(Value::as_str)?;
    let deciding = deciding_rule(&rules_of_settings(user), attribute);
    (!deciding.is_some_and(|(_, features)| features.is_filterable())).then_some(attribute)
}

/// The rule that lets nodes tell hits apart by it. It goes before the user's rules.
pub fn node_rule(user: &Object) -> Option<Value> {
    let attribute = attribute(user)?;
    let deciding = deciding_rule(&rules_of_settings(user), attribute);
    Some(json!({
        "attributePatterns": [attribute],
        "features": {
            "facetSearch": deciding.is_some_and(|(_, features)| features.facet_search),
            "filter": {"equality": true, "comparison": true},
        },
    }))
}

/// Whether nodes can compare the values of an attribute that makes hits distinct.
pub fn can_compare(user: &Object, distinct: &str) -> bool {
    attribute(user) == Some(distinct)
        || deciding_rule(&rules_of_settings(user), distinct).is_some_and(|(_, features)| features.comparison)
}

/// Checks what a search of the index tells hits apart and filters by.
///
/// # Errors
/// `invalid_search_distinct`, `invalid_search_filter`, in the words of one server.
pub fn check(index: &str, user: &Object, distinct: Option<&str>, filter: Option<&Value>) -> Result<(), ApiError> {
    let Some(attribute) = attribute(user) else { return Ok(()) };
    if distinct == Some(attribute) {
        let rules = rules_of_settings(user);
        let reason = match deciding_rule(&rules, attribute) {
            Some((place, _)) => format!(
                "Note: this attribute matches rule #{place} in filterableAttributes, but this rule does not enable \
                 filtering.\nHint: enable filtering in rule #{place} by adding appropriate filter features.\nHint: \
                 prepend another rule matching {attribute} with filter features before rule #{place}"
            ),
            None => available(&rules, "attributes", ", "),
        };
        let message = format!(
            "Attribute `{attribute}` is not filterable and thus, cannot be used as distinct attribute. {reason}"
        );
        let message = without_hidden(&message, &Displayed::from_settings(user));
        return Err(ApiError::new(Code::InvalidSearchDistinct, format!("Index `{index}`: {message}")));
    }
    let checked = filter.map_or(Ok(()), |filter| check_filter(user, filter, Code::InvalidSearchFilter));
    checked.map_err(|error| ApiError::new(error.code, format!("Index `{index}`: {}", error.message)))
}

/// Checks what anything else filters by.
///
/// # Errors
/// `code`, in the words of one server.
pub fn check_filter(user: &Object, filter: &Value, code: Code) -> Result<(), ApiError> {
    let Some(attribute) = attribute(user) else { return Ok(()) };
    let parsed = Filter::parse(filter).map_err(|error| ApiError::new(code, error.to_string()))?;
    if !parsed.is_some_and(|parsed| parsed.attributes().any(|name| name == attribute)) {
        return Ok(());
    }
    let available = available(&rules_of_settings(user), "attribute", "`, `");
    Err(ApiError::new(code, format!("Attribute `{attribute}` is not filterable. {available}")))
}

fn available(rules: &[FilterableRule], kind: &str, separator: &str) -> String {
    let names: Vec<&str> = names_that(rules, FilterFeatures::is_filterable).into_iter().collect();
    match names.len() {
        0 => "This index does not have configured filterable attributes.".to_owned(),
        _ => format!("Available filterable {kind} patterns are: `{}`.", names.join(separator)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(filterable: &Value) -> Object {
        let settings = json!({"distinctAttribute": "a", "filterableAttributes": filterable});
        settings.as_object().expect("an object").clone()
    }

    #[test]
    fn it_is_hidden_where_no_rule_lets_clients_filter_by_it() {
        assert_eq!(attribute(&with(&json!(["a"]))), None);
        assert_eq!(attribute(&with(&json!(["b"]))), Some("a"));
        assert_eq!(attribute(&Object::new()), None);
        let searched = json!({"attributePatterns": ["*"], "features": {"facetSearch": true, "filter": {"equality": false, "comparison": false}}});
        let rule = node_rule(&with(&json!([searched]))).expect("it is hidden");
        assert_eq!(rule["features"], json!({"facetSearch": true, "filter": {"equality": true, "comparison": true}}));
        assert!(can_compare(&with(&json!([])), "a") && can_compare(&with(&json!(["a", "b"])), "b"));
        let equality = json!({"attributePatterns": ["b"], "features": {"filter": {"equality": true}}});
        assert!(!can_compare(&with(&json!([equality])), "b"));
    }

    #[test]
    fn clients_cannot_use_what_only_nodes_can() {
        let user = with(&json!(["c", "b"]));
        let message = |distinct: Option<&str>, filter: &Value| {
            check("m", &user, distinct, Some(filter)).err().map(|error| error.message)
        };
        assert_eq!(message(Some("b"), &json!("b = 1")), None);
        assert_eq!(
            message(Some("a"), &Value::Null).as_deref(),
            Some(
                "Index `m`: Attribute `a` is not filterable and thus, cannot be used as distinct attribute. Available \
                 filterable attributes patterns are: `b, c`."
            )
        );
        let all = json!([{"attributePatterns": ["*"], "features": {"facetSearch": true, "filter": {"equality": false, "comparison": false}}}]);
        let error = check("m", &with(&all), Some("a"), None).expect_err("it cannot be used");
        assert!(error.message.contains("Note: this attribute matches rule #0"), "{error:?}");
        assert_eq!(
            message(None, &json!([["b = 1", "a = 1"]])).as_deref(),
            Some("Index `m`: Attribute `a` is not filterable. Available filterable attribute patterns are: `b`, `c`.")
        );
    }
}
