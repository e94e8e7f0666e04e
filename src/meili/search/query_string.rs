//! A search as a query string: the same parameters as texts, lists separated by commas.

use serde_json::{Map, Value, json};

use super::super::bad_value::{bad_parameter, unknown_parameter, unknown_parameter_value};
use super::super::error::{ApiError, Code};
use super::super::query_string::QueryString;
use super::super::settings::LOCALES;
use super::parameters::{PARAMETERS, Parameter, RATIO_RANGE, STRATEGIES, Shape, THRESHOLD_RANGE};

/// Names of GET, in the order of error messages: those of POST with hybrid search and personalisation spelled flat.
fn names() -> Vec<&'static str> {
    let flat = |parameter: &'static Parameter| match parameter.name {
        "hybrid" => &["hybridEmbedder", "hybridSemanticRatio"][..],
        "personalize" => &["personalizeUserContext"],
        "media" => &[],
        _ => std::slice::from_ref(&parameter.name),
    };
    PARAMETERS.iter().flat_map(flat).copied().collect()
}

/// The query string as the parameters that a JSON body would have.
///
/// # Errors
/// As one server.
pub fn from_query(query: &str) -> Result<Map<String, Value>, ApiError> {
    let names = names();
    let mut parameters = Map::new();
    let mut hybrid = Map::new();
    let query = QueryString::parse(query, &names)?;
    for &name in &names {
        let Some(text) = query.get(name) else { continue };
        match name {
            "hybridEmbedder" => {
                hybrid.insert("embedder".to_owned(), Value::from(text));
            }
            "hybridSemanticRatio" => {
                let ratio = text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
                let ratio = ratio.ok_or_else(|| bad_parameter(Code::InvalidSearchSemanticRatio, name, RATIO_RANGE))?;
                hybrid.insert("semanticRatio".to_owned(), json!(ratio));
            }
            "personalizeUserContext" => {
                parameters.insert("personalize".to_owned(), json!({"userContext": text}));
            }
            _ => {
                let parameter = PARAMETERS.iter().find(|parameter| parameter.name == name);
                let parameter = parameter.expect("the other names are those of the table");
                parameters.insert(name.to_owned(), value_of(parameter, text)?);
            }
        }
    }
    let has_embedder = hybrid.contains_key("embedder");
    if !hybrid.is_empty() && !has_embedder {
        let message = "`hybridEmbedder` is mandatory when `hybridSemanticRatio` is present";
        return Err(ApiError::new(Code::InvalidSearchHybridQuery, message));
    }
    if parameters.contains_key("vector") && !has_embedder {
        let message = "`hybridEmbedder` is mandatory when `vector` is present";
        return Err(ApiError::new(Code::MissingSearchHybrid, message));
    }
    if has_embedder {
        parameters.insert("hybrid".to_owned(), Value::Object(hybrid));
    }
    Ok(parameters)
}

/// The value of a parameter as a JSON body would have it.
pub(in crate::meili) fn value_of(parameter: &Parameter, text: &str) -> Result<Value, ApiError> {
    let bad = |reason: &str| Err(bad_parameter(parameter.code, parameter.name, reason));
    match parameter.shape {
        Shape::Text => Ok(Value::from(text)),
        // Arrays are written as JSON; what is no JSON is an expression.
        Shape::Anything => Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))),
        Shape::PositiveInteger => match text.parse::<u64>() {
            Ok(number) => Ok(Value::from(number)),
            Err(_) => bad(&format!("could not parse `{text}` as a positive integer")),
        },
        Shape::Boolean => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => bad(&format!("could not parse `{text}` as a boolean, expected either `true` or `false`")),
        },
        Shape::Texts if parameter.name == "sort" => Ok(json!(sort_list(text))),
        Shape::Texts => Ok(json!(comma_separated(text))),
        Shape::Numbers => {
            match comma_separated(text).iter().map(|item| item.parse::<f32>()).collect::<Result<Vec<_>, _>>() {
                Ok(numbers) => Ok(json!(numbers)),
                Err(_) => bad("invalid float literal"),
            }
        }
        Shape::Strategy if STRATEGIES.contains(&text) => Ok(Value::from(text)),
        Shape::Strategy => Err(unknown_parameter_value(parameter.code, parameter.name, text, &STRATEGIES)),
        Shape::Threshold => match text.parse::<f64>() {
            Ok(threshold) if (0.0..=1.0).contains(&threshold) => Ok(json!(threshold)),
            Ok(_) | Err(_) => bad(THRESHOLD_RANGE),
        },
        Shape::Locales => {
            let locales = comma_separated(text);
            match locales.iter().find(|locale| !LOCALES.contains(locale)) {
                None => Ok(json!(locales)),
                Some(locale) => bad(&format!("Unsupported locale `{locale}`, expected one of {}", sorted_locales())),
            }
        }
        Shape::Hybrid | Shape::Personalize => Err(unknown_parameter(Code::BadRequest, parameter.name, &names())),
    }
}

fn sorted_locales() -> String {
    let mut locales = LOCALES.to_vec();
    locales.sort_by_key(|locale| (locale.len(), *locale));
    locales.join(", ")
}

/// The items of a list between commas; none in an empty text.
pub(in crate::meili) fn comma_separated(text: &str) -> Vec<&str> {
    if text.is_empty() { Vec::new() } else { text.split(',').map(str::trim).collect() }
}

/// Sort rules separated by commas; the commas inside `_geoPoint(…)` do not separate.
pub(in crate::meili) fn sort_list(text: &str) -> Vec<String> {
    let mut rules: Vec<String> = Vec::new();
    let mut is_inside_point = false;
    for piece in text.trim_matches('"').split(',').map(str::trim) {
        match rules.last_mut() {
            Some(rule) if is_inside_point => {
                rule.push(',');
                rule.push_str(piece);
            }
            Some(_) | None => {
                is_inside_point = piece.starts_with("_geoPoint(");
                rules.push(piece.to_owned());
            }
        }
        is_inside_point = is_inside_point && !piece.ends_with("):asc") && !piece.ends_with("):desc");
    }
    rules
}
