//! What a node says when an embedder fails: the service that it asks for vectors, not the documents, is to blame.
//!
//! Such a failure says nothing about other nodes, or about the next try.

use super::error::{Code, ErrorBody};

/// Whose fault it is, as far as the node can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EmbeddingFailure {
    /// The service has answered, and refuses: a wrong key, a text that it does not take.
    Refused,
    /// The service does not answer, or has trouble of its own. The node has tried for minutes.
    Unavailable,
}

/// What a node says when documents lack vectors that nobody but the user makes.
const NO_VECTORS: &str = ": no vectors provided for document `";

/// How a node names trouble that is not of the user's making.
const RUNTIME: &str = ": runtime error: ";

/// None if no embedder is to blame.
pub fn embedding_failure(error: &ErrorBody) -> Option<EmbeddingFailure> {
    let is_of_service =
        Code::from_name(&error.code) == Some(Code::VectorEmbeddingError) && !error.message.contains(NO_VECTORS);
    let is_runtime = error.message.contains(RUNTIME);
    is_of_service.then_some(if is_runtime { EmbeddingFailure::Unavailable } else { EmbeddingFailure::Refused })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meili::error::ApiError;

    #[test]
    fn the_service_is_told_from_the_documents() {
        let failure = |message: &str| embedding_failure(&ApiError::new(Code::VectorEmbeddingError, message).body());
        let unauthorized = "While embedding documents for embedder `default`: user error: could not authenticate";
        assert_eq!(failure(unauthorized), Some(EmbeddingFailure::Refused));
        let unexpected = "While embedding documents for embedder `default`: error: received unexpected HTTP 404";
        assert_eq!(failure(unexpected), Some(EmbeddingFailure::Refused));
        let silent =
            "While embedding documents for embedder `default`: runtime error: could not reach embedding server";
        assert_eq!(failure(silent), Some(EmbeddingFailure::Unavailable));
        let lacking = "While embedding documents for embedder `default`: no vectors provided for document `1`";
        assert_eq!(failure(lacking), None);
        assert_eq!(embedding_failure(&ApiError::new(Code::InvalidDocumentGeoField, silent).body()), None);
    }
}
