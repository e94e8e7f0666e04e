//! Filters that select documents of one index for something that is done to them later.

use serde_json::Value;

use super::{Filter, FilterError};
use crate::logic::marker;
use crate::meili::error::{ApiError, Code};
use crate::meili::features::Features;

/// Whether it asks for anything. `place` stands before what is wrong with it.
///
/// # Errors
/// `invalid_document_filter`, `feature_not_enabled`, `miroir_reserved_field`. What depends on settings is not known here.
pub fn check_of_documents(filter: &Value, features: Features, place: &str) -> Result<bool, ApiError> {
    let refuse = |message: String| ApiError::new(Code::InvalidDocumentFilter, format!("{place}{message}"));
    let parsed = Filter::parse(filter).map_err(|error| match error {
        FilterError::WrongType { expected, found } => {
            let expected = expected.join(", ");
            refuse(format!("Invalid syntax for the filter parameter: `expected {expected}, found: {found}`."))
        }
        FilterError::Syntax { .. } => refuse(error.to_string()),
    })?;
    let Some(parsed) = parsed else { return Ok(false) };
    parsed.check_features(features).map_err(|error| ApiError::new(error.code, format!("{place}{}", error.message)))?;
    parsed.check_no_foreign()?;
    if parsed.attributes().any(marker::is_reserved) {
        let message = "The attribute `_miroir` is reserved and cannot be used in a filter.";
        return Err(ApiError::new(Code::MiroirReservedField, message));
    }
    Ok(true)
}
