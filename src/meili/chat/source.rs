//! Where a workspace's model is, and how it is spoken to.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::completion::{Content, Message};
use super::tools::Prompts;
use crate::meili::error::{ApiError, Code};

const OPEN_AI: &str = "https://api.openai.com/v1";
const MISTRAL: &str = "https://api.mistral.ai/v1";
/// In the value of a query parameter.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b' ');
/// Models that know the role `system` and not `developer`.
const OLD_MODELS: [&str; 6] = ["gpt-3.5", "gpt-4", "gpt-4.1", "gpt-4.5", "gpt-4o", "chatgpt-4o"];

/// Whose protocol is spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// OpenAI's.
    OpenAi,
    /// OpenAI's at Azure.
    AzureOpenAi,
    /// Mistral's.
    Mistral,
    /// That of vLLM.
    VLlm,
}

impl Protocol {
    /// What the model is told first.
    pub fn first_message(self, model: &str, prompt: &str) -> Message {
        let content = Content::Text(prompt.to_owned());
        let is_old = || {
            OLD_MODELS
                .iter()
                .any(|old| model.strip_prefix(old).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')))
        };
        match self {
            Self::OpenAi | Self::AzureOpenAi if !is_old() => Message::Developer { content, name: None },
            Self::OpenAi | Self::AzureOpenAi | Self::Mistral | Self::VLlm => Message::System { content, name: None },
        }
    }

    /// Whether the model is asked what its answer costs.
    pub fn tells_usage(self) -> bool {
        matches!(self, Self::OpenAi | Self::AzureOpenAi)
    }
}

/// The settings of a workspace, as conversations need them.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// Whose protocol is spoken.
    pub protocol: Protocol,
    /// Where.
    pub url: String,
    /// By whom. Secret.
    pub headers: Vec<(&'static str, String)>,
    /// What the model is told.
    pub prompts: Prompts,
}

impl Source {
    /// From what a client has set, and from what that comes to with its defaults.
    ///
    /// # Errors
    /// `internal`: they are not settings.
    pub fn read(set: &Value, complete: &Value) -> Result<Self, ApiError> {
        let text = |name: &str| set.get(name).and_then(Value::as_str).map(str::to_owned);
        let key = text("apiKey").unwrap_or_default();
        let protocol = match complete["source"].as_str() {
            Some("openAi") => Protocol::OpenAi,
            Some("azureOpenAi") => Protocol::AzureOpenAi,
            Some("mistral") => Protocol::Mistral,
            Some("vLlm") => Protocol::VLlm,
            Some(_) | None => {
                return Err(ApiError::new(Code::Internal, "The settings of this chat cannot be read."));
            }
        };
        let base = |default: &str| text("baseUrl").unwrap_or_else(|| default.to_owned());
        let (url, headers) = match protocol {
            Protocol::AzureOpenAi => {
                let (base, deployment) = (base(""), text("deploymentId").unwrap_or_default());
                let version = text("apiVersion").unwrap_or_default();
                let version = utf8_percent_encode(&version, PLAIN).to_string().replace(' ', "+");
                let base = base.trim_end_matches('/');
                let path = "chat/completions";
                let url = format!("{base}/openai/deployments/{deployment}/{path}?api-version={version}");
                (url, vec![("api-key", key)])
            }
            Protocol::OpenAi | Protocol::Mistral | Protocol::VLlm => {
                let base = base(if protocol == Protocol::Mistral { MISTRAL } else { OPEN_AI });
                let mut headers = vec![("authorization", format!("Bearer {key}"))];
                headers.push(("openai-beta", "assistants=v2".to_owned()));
                headers.extend(text("orgId").map(|id| ("openai-organization", id)));
                headers.extend(text("projectId").map(|id| ("openai-project", id)));
                (format!("{}/chat/completions", base.trim_end_matches('/')), headers)
            }
        };
        Ok(Self { protocol, url, headers, prompts: prompts(&complete["prompts"]) })
    }
}

fn prompts(shown: &Value) -> Prompts {
    let text = |name: &str| shown[name].as_str().unwrap_or_default().to_owned();
    Prompts {
        system: text("system"),
        search: text("searchDescription"),
        q: text("searchQParam"),
        filter: text("searchFilterParam"),
        index: text("searchIndexUidParam"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(set: &Value) -> Source {
        Source::read(set, set).expect("settings")
    }

    #[test]
    fn each_source_has_its_place_and_its_headers() {
        let table = [
            (json!({"source": "openAi"}), "https://api.openai.com/v1/chat/completions"),
            (json!({"source": "mistral"}), "https://api.mistral.ai/v1/chat/completions"),
            (json!({"source": "vLlm", "baseUrl": "http://x/v1/"}), "http://x/v1/chat/completions"),
            (
                json!({"source": "azureOpenAi", "baseUrl": "http://x", "deploymentId": "d", "apiVersion": "v 1&"}),
                "http://x/openai/deployments/d/chat/completions?api-version=v+1%26",
            ),
        ];
        for (set, url) in table {
            assert_eq!(source(&set).url, url);
        }
        let headers = source(&json!({"source": "openAi", "apiKey": "k", "orgId": "o"})).headers;
        assert_eq!(headers[0], ("authorization", "Bearer k".to_owned()));
        assert_eq!(headers[2], ("openai-organization", "o".to_owned()));
        assert_eq!(source(&json!({"source": "azureOpenAi", "apiKey": "k"})).headers, [("api-key", "k".to_owned())]);
    }

    #[test]
    fn older_models_have_no_developer() {
        let is_developer =
            |protocol: Protocol, model: &str| matches!(protocol.first_message(model, "p"), Message::Developer { .. });
        assert!(is_developer(Protocol::OpenAi, "gpt-5") && is_developer(Protocol::AzureOpenAi, "gpt-4x"));
        assert!(!is_developer(Protocol::OpenAi, "gpt-4o-mini") && !is_developer(Protocol::OpenAi, "gpt-4"));
        assert!(!is_developer(Protocol::Mistral, "gpt-5") && !is_developer(Protocol::VLlm, "gpt-5"));
    }
}
