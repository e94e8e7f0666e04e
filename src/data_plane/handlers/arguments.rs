//! What a request says in its path and headers.

use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode_str;

use crate::http_types::Request;
use crate::logic::ids::IndexUid;
use crate::meili::error::{ApiError, Code};
use crate::meili::index::check_index_uid;
use crate::meili::keys::Grant;

/// The variable parts of a path, decoded, in order, and what the caller may do.
#[derive(Clone, Debug)]
pub struct Arguments {
    parts: Vec<String>,
    /// Nothing before it is set.
    grant: Option<Grant>,
}

impl Arguments {
    /// Takes the parts of the path as they were sent.
    pub(super) fn new<'a>(parts: impl Iterator<Item = &'a str>) -> Self {
        let decoded = |part| percent_decode_str(part).decode_utf8_lossy().into_owned();
        Self { parts: parts.map(decoded).collect(), grant: None }
    }

    /// Takes what the check of the caller came to.
    pub(super) fn set_grant(&mut self, grant: Grant) {
        self.grant = Some(grant);
    }

    /// What the caller may do beyond the route, which it may call.
    ///
    /// # Panics
    /// Before the caller was checked.
    pub fn grant(&self) -> &Grant {
        self.grant.as_ref().expect("callers are checked before handlers run")
    }

    /// The first variable part as the name of an index.
    ///
    /// # Errors
    /// `invalid_index_uid`.
    pub fn index(&self) -> Result<IndexUid, ApiError> {
        check_index_uid(self.text(0)).map(IndexUid::new)
    }

    /// A variable part; empty when the route has fewer.
    pub fn text(&self, place: usize) -> &str {
        self.parts.get(place).map_or("", String::as_str)
    }
}

/// Checks that the body says it is JSON.
///
/// # Errors
/// `missing_content_type`, `invalid_content_type`.
pub fn require_json(request: &Request) -> Result<(), ApiError> {
    const ACCEPTED: &str = "Accepted values for the Content-Type header are: `application/json`";
    let Some(content_type) = request.headers.get(CONTENT_TYPE) else {
        return Err(ApiError::new(Code::MissingContentType, format!("A Content-Type header is missing. {ACCEPTED}")));
    };
    let text = content_type.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"));
    if is_json {
        return Ok(());
    }
    let message = format!("The Content-Type `{text}` is invalid. {ACCEPTED}");
    Err(ApiError::new(Code::InvalidContentType, message))
}
