//! The sample data set of `miroir dev --sample`: a few films, sent as any client would send them.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::Failure;

/// The documents, part of the program so that it needs no files beside it.
const FILMS: &str = include_str!("../../../examples/sample/films.json");

/// What can be filtered and sorted.
const SETTINGS: &str =
    r#"{"filterableAttributes": ["genres", "year", "rating"], "sortableAttributes": ["year", "rating"]}"#;

/// For one request.
const LIMIT: Duration = Duration::from_secs(30);

/// Sends the films into the index `films`. They are searchable a moment later.
pub fn load(listen: SocketAddr, key: &str) -> Result<(), Failure> {
    let config = ureq::Agent::config_builder().timeout_global(Some(LIMIT)).build();
    let agent = config.new_agent();
    let index = format!("http://{listen}/indexes/films");
    let authorization = format!("Bearer {key}");
    let failed = |error: ureq::Error| Failure::Operation(format!("the sample documents were refused: {error}"));
    let settings = agent.patch(format!("{index}/settings")).header("authorization", &authorization);
    settings.content_type("application/json").send(SETTINGS).map_err(failed)?;
    let documents = agent.post(format!("{index}/documents?primaryKey=id")).header("authorization", &authorization);
    documents.content_type("application/json").send(FILMS).map_err(failed)?;
    Ok(())
}
