//! Webhooks: addresses that are told of finished tasks. What clients may ask for, and what is shown of them.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::bad_value::{parse_json, unknown_field, wrong_type};
use super::error::{ApiError, Code};
use super::secret::shown_secret_from;

const FIELDS: [&str; 2] = ["url", "headers"];
/// As one server allows.
const HEADERS_MAX: usize = 200;
/// The same, without the one of the configuration.
const WEBHOOKS_MAX: usize = 20;

/// Who is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Webhook {
    /// Where tasks are sent to.
    pub url: String,
    /// Sent with them.
    pub headers: BTreeMap<String, String>,
}

/// All of them. The one of the configuration, which no client may change, has the nil number.
pub type Webhooks = BTreeMap<Uuid, Webhook>;

/// What a client wants a webhook to be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WebhookSettings {
    /// None: not said. None within: `null`.
    pub url: Option<Option<String>>,
    /// The same; a header that is `null` is to go.
    pub headers: Option<Option<BTreeMap<String, Option<String>>>>,
}

impl WebhookSettings {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// `invalid_webhook_url`, `invalid_webhook_headers`, `immutable_webhook_...`, `bad_request`, `malformed_payload`.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let value = parse_json(body)?;
        let Value::Object(fields) = &value else { return Err(wrong_type(Code::BadRequest, "", "an object", &value)) };
        let mut settings = Self::default();
        for (key, value) in fields {
            let immutable =
                |code| ApiError::new(code, format!("Immutable field `{key}`: expected one of `url`, `headers`"));
            match key.as_str() {
                "url" => settings.url = Some(text(value, ".url", Code::InvalidWebhookUrl)?),
                "headers" => settings.headers = Some(read_headers(value)?),
                "uuid" => return Err(immutable(Code::ImmutableWebhookUuid)),
                "isEditable" => return Err(immutable(Code::ImmutableWebhookIsEditable)),
                other => return Err(unknown_field(Code::BadRequest, "", other, &FIELDS)),
            }
        }
        Ok(settings)
    }

    /// The new webhook that it describes, which is to get this number.
    ///
    /// # Errors
    /// `invalid_webhook_url`, `invalid_webhook_headers`, `invalid_webhooks` when there are too many.
    pub fn create(self, uuid: Uuid, all: &Webhooks) -> Result<Webhook, ApiError> {
        let headers = self.headers.flatten().unwrap_or_default();
        if headers.len() > HEADERS_MAX {
            return Err(too_many_headers(uuid));
        }
        if all.keys().filter(|uuid| !uuid.is_nil()).count() >= WEBHOOKS_MAX {
            let message = "Defining too many webhooks would crush the server. Please limit the number of webhooks to 20. You \
                           may use a third-party proxy server to dispatch events to more than 20 endpoints.";
            return Err(ApiError::new(Code::InvalidWebhooks, message));
        }
        let url = self.url.flatten().ok_or_else(|| missing_url(uuid))?;
        let headers = headers.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
        checked(uuid, Webhook { url, headers })
    }

    /// What it makes of a webhook that is there.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn change(self, uuid: Uuid, old: Webhook) -> Result<Webhook, ApiError> {
        let Webhook { url, mut headers } = old;
        let url = match self.url {
            Some(Some(url)) => url,
            Some(None) => return Err(missing_url(uuid)),
            None => url,
        };
        match self.headers {
            Some(Some(changes)) => {
                for (name, value) in changes {
                    match value {
                        Some(value) => headers.insert(name, value),
                        None => headers.remove(&name),
                    };
                }
            }
            Some(None) => headers.clear(),
            None => {}
        }
        checked(uuid, Webhook { url, headers })
    }
}

fn text(value: &Value, location: &str, code: Code) -> Result<Option<String>, ApiError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(wrong_type(code, location, "a string", value))
        }
    }
}

fn read_headers(value: &Value) -> Result<Option<BTreeMap<String, Option<String>>>, ApiError> {
    let code = Code::InvalidWebhookHeaders;
    match value {
        Value::Null => Ok(None),
        Value::Object(headers) => {
            let read =
                |(name, value): (&String, &Value)| Ok((name.clone(), text(value, &format!(".headers.{name}"), code)?));
            headers.iter().map(read).collect::<Result<_, ApiError>>().map(Some)
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(wrong_type(code, ".headers", "an object", value))
        }
    }
}

fn missing_url(uuid: Uuid) -> ApiError {
    ApiError::new(Code::InvalidWebhookUrl, format!("The URL for the webhook `{uuid}` is missing."))
}

fn too_many_headers(uuid: Uuid) -> ApiError {
    let message = format!(
        "Too many headers for the webhook `{uuid}`. Please limit the number of headers to 200. Hint: To remove an already \
         defined header set its value to `null`"
    );
    ApiError::new(Code::InvalidWebhookHeaders, message)
}

fn checked(uuid: Uuid, webhook: Webhook) -> Result<Webhook, ApiError> {
    if webhook.url.is_empty() {
        return Err(missing_url(uuid));
    }
    if webhook.headers.len() > HEADERS_MAX {
        return Err(too_many_headers(uuid));
    }
    for (name, value) in &webhook.headers {
        let refused = |message| ApiError::new(Code::InvalidWebhookHeaders, message);
        HeaderName::from_bytes(name.as_bytes())
            .map_err(|error| refused(format!("Invalid header name `{name}`: {error}")))?;
        HeaderValue::from_str(value).map_err(|error| refused(format!("Invalid header value `{name}`: {error}")))?;
    }
    match problem_of_url(&webhook.url) {
        Some(problem) => {
            let message = format!("Invalid URL `{}`: {problem}", webhook.url);
            Err(ApiError::new(Code::InvalidWebhookUrl, message))
        }
        None => Ok(webhook),
    }
}

/// What is wrong with a URL, in the words of one server where it is a common mistake.
pub fn problem_of_url(url: &str) -> Option<&'static str> {
    let Some((scheme, rest)) = url.split_once(':') else { return Some("relative URL without a base") };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme {
        return Some("relative URL without a base");
    }
    let authority = rest.trim_start_matches('/').split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        Some(_) | None => (host, ""),
    };
    if host.is_empty() && (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) {
        return Some("empty host");
    }
    if !port.is_empty() && port.parse::<u16>().is_err() {
        return Some("invalid port number");
    }
    let is_http = http::Uri::try_from(url).is_ok_and(|uri| uri.host().is_some());
    (!is_http).then_some("invalid international domain name")
}

/// The number in `/webhooks/{uuid}`.
///
/// # Errors
/// `invalid_webhook_uuid`.
pub fn parse_webhook_uuid(text: &str) -> Result<Uuid, ApiError> {
    Uuid::parse_str(text).map_err(|error| ApiError::new(Code::InvalidWebhookUuid, format!("Invalid UUID: {error}")))
}

/// `webhook_not_found`.
pub fn webhook_not_found(uuid: Uuid) -> ApiError {
    ApiError::new(Code::WebhookNotFound, format!("Webhook `{uuid}` not found."))
}

/// `immutable_webhook`, for the one of the configuration.
pub fn immutable_webhook(uuid: Uuid) -> ApiError {
    let message = format!(
        "Webhook `{uuid}` is immutable. The webhook defined from the command line cannot be modified using the API."
    );
    ApiError::new(Code::ImmutableWebhook, message)
}

/// What a client sees of one: keys that it sends are cut.
pub fn shown_webhook(uuid: Uuid, webhook: &Webhook) -> Value {
    let shown = |(name, value): (&String, &String)| {
        let is_key = name.eq_ignore_ascii_case("authorization");
        (name.clone(), Value::from(if is_key { redacted(value) } else { value.clone() }))
    };
    let headers: Map<String, Value> = webhook.headers.iter().map(shown).collect();
    json!({ "uuid": uuid.to_string(), "isEditable": !uuid.is_nil(), "url": webhook.url, "headers": headers })
}

/// The beginning of a secret, as much of it as one server shows.
fn redacted(secret: &str) -> String {
    const BEARER: &str = "Bearer ";
    let prefix = if secret.starts_with(BEARER) { BEARER.len() } else { 0 };
    shown_secret_from(secret, prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &str) -> WebhookSettings {
        WebhookSettings::parse(body.as_bytes()).expect("valid")
    }

    fn created(body: &str) -> Result<Webhook, ApiError> {
        parsed(body).create(Uuid::max(), &Webhooks::new())
    }

    #[test]
    fn headers_come_and_go_and_the_url_stays() {
        let webhook = created(r#"{"url":"http://localhost:6666/hook","headers":{"authorization":"TOKEN"}}"#).unwrap();
        let shown = shown_webhook(Uuid::max(), &webhook);
        assert_eq!(
            shown,
            json!({
                "uuid": "ffffffff-ffff-ffff-ffff-ffffffffffff", "isEditable": true,
                "url": "http://localhost:6666/hook", "headers": { "authorization": "XXX..." },
            })
        );
        let change = |body: &str, old| parsed(body).change(Uuid::max(), old);
        let webhook = change(r#"{"headers":{"a":"b","authorization":null}}"#, webhook).unwrap();
        assert_eq!(webhook.headers, [("a".to_owned(), "b".to_owned())].into());
        let webhook = change(r#"{"url":"https://else.where","headers":null}"#, webhook).unwrap();
        assert_eq!((webhook.url.as_str(), webhook.headers.len()), ("https://else.where", 0));
        assert_eq!(change("{}", webhook.clone()), Ok(webhook.clone()));
        assert_eq!(change(r#"{"url":null}"#, webhook).unwrap_err().code, Code::InvalidWebhookUrl);
    }

    #[test]
    fn keys_are_shown_as_on_one_server() {
        for (secret, shown) in [
            ("Bearer a-secret-token", "Bearer a-XXXX..."),
            ("Bearer a-secret-token-defined-in-test-cli", "Bearer a-secXXXXXX..."),
            ("TOKEN", "XXX..."),
            ("", "XXX..."),
        ] {
            assert_eq!(redacted(secret), shown);
        }
    }

    #[test]
    fn what_is_no_webhook_is_refused_in_meilisearchs_words() {
        let missing = "The URL for the webhook `ffffffff-ffff-ffff-ffff-ffffffffffff` is missing.";
        for (body, code, message) in [
            ("{}", Code::InvalidWebhookUrl, missing),
            (r#"{"url":null}"#, Code::InvalidWebhookUrl, missing),
            (
                r#"{"url":"not-a-valid-url"}"#,
                Code::InvalidWebhookUrl,
                "Invalid URL `not-a-valid-url`: relative URL without a base",
            ),
            (r#"{"url":"http://"}"#, Code::InvalidWebhookUrl, "Invalid URL `http://`: empty host"),
            (
                r#"{"url":"http://a:99999"}"#,
                Code::InvalidWebhookUrl,
                "Invalid URL `http://a:99999`: invalid port number",
            ),
            (
                r#"{"url":"http://a","headers":{"invalid header name":"v"}}"#,
                Code::InvalidWebhookHeaders,
                "Invalid header name `invalid header name`: invalid HTTP header name",
            ),
            (
                r#"{"url":"http://a","headers":{"authorization":"a\nb"}}"#,
                Code::InvalidWebhookHeaders,
                "Invalid header value `authorization`: failed to parse header value",
            ),
        ] {
            let error = created(body).expect_err(body);
            assert_eq!((error.code, error.message.as_str()), (code, message));
        }
        for (body, code, message) in [
            (r#"{"uuid":"x"}"#, Code::ImmutableWebhookUuid, "Immutable field `uuid`: expected one of `url`, `headers`"),
            (
                r#"{"url":1}"#,
                Code::InvalidWebhookUrl,
                "Invalid value type at `.url`: expected a string, but found a positive integer: `1`",
            ),
            (r#"{"lol":1}"#, Code::BadRequest, "Unknown field `lol`: expected one of `url`, `headers`"),
        ] {
            let error = WebhookSettings::parse(body.as_bytes()).expect_err(body);
            assert_eq!((error.code, error.message.as_str()), (code, message));
        }
        let message = parse_webhook_uuid("invalid-uuid").expect_err("no number").message;
        assert_eq!(message, "Invalid UUID: invalid character: found `i` at 0");
    }

    #[test]
    fn there_are_twenty_webhooks_with_two_hundred_headers_at_most() {
        let webhook = created(r#"{"url":"http://a"}"#).unwrap();
        let mut all: Webhooks = (1..=20).map(|number| (Uuid::from_u128(number), webhook.clone())).collect();
        let error = parsed(r#"{"url":"http://a"}"#).create(Uuid::max(), &all).expect_err("too many");
        assert_eq!(error.code, Code::InvalidWebhooks);
        all.remove(&Uuid::from_u128(1));
        // The one of the configuration does not count.
        all.insert(Uuid::nil(), webhook.clone());
        assert!(parsed(r#"{"url":"http://a"}"#).create(Uuid::max(), &all).is_ok());
        let headers: Map<String, Value> = (0..201).map(|number| (format!("h{number}"), "".into())).collect();
        let body = json!({ "headers": headers }).to_string();
        assert_eq!(parsed(&body).change(Uuid::max(), webhook).expect_err("too many").code, Code::InvalidWebhookHeaders);
    }
}
