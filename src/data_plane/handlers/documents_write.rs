//! Writing documents: add or replace, add or update, delete.
//!
//! A put is prepared here, against the index as of the last committed entry: format, primary key, every document's check,
//! the cut by shard. Large bodies are worked on in pieces between which other requests get their turn. When the journal
//! says that the index has changed meanwhile, the put is prepared again, a bounded number of times.

use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::arguments::{Arguments, require_json};
use super::write::{Handed, accepted, commit, custom_metadata, hand_over};
use crate::bridge::memory::Share;
use crate::bridge::{IndexHead, NewWrite};
use crate::data_plane::core::Core;
use crate::http_types::{Request, Response};
use crate::logic::document_check::DocumentError;
use crate::logic::document_id::is_valid_document_id;
use crate::logic::edit;
use crate::logic::entry::{Operation, PutMode};
use crate::logic::ids::IndexUid;
use crate::logic::payload::Payload;
use crate::logic::split::{DocumentSplitter, IdSplitter, SplitDocuments, SplitRules};
use crate::meili::bad_value::{bad_parameter, missing_field, parse_json, unknown_field, wrong_type};
use crate::meili::error::{ApiError, Code};
use crate::meili::features::{Feature, Features};
use crate::meili::filter::check_of_documents;
use crate::meili::formats::csv::CsvConverter;
use crate::meili::formats::list::ListReader;
use crate::meili::formats::{DocumentFormat, DocumentReader};
use crate::meili::index::check_primary_key;
use crate::meili::query_string::QueryString;

/// Bytes worked on before other requests get their turn: well below a millisecond.
const BYTES_PER_TURN: usize = 128 * 1024;
/// The documents of a CSV body may make so many times `feeder.max_body` as JSON: every row repeats every column name.
const CSV_GROWTH_MAX: u64 = 4;
/// Times that a put is prepared, at most.
const PREPARATIONS_MAX: usize = 8;

/// How documents are to be put: what the query string says.
struct PutQuery {
    primary_key: Option<String>,
    csv_delimiter: Option<u8>,
    custom_metadata: Option<String>,
    /// Not of the query string: the caller may make the index by this.
    may_create: bool,
    skips_missing: bool,
}

impl PutQuery {
    fn parse(query: &str, may_create: bool) -> Result<Self, ApiError> {
        let query = QueryString::parse(query, &["primaryKey", "csvDelimiter", "customMetadata", "skipCreation"])?;
        let skips_missing = match query.get("skipCreation").map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                let value = query.get("skipCreation").unwrap_or_default();
                let message = format!("skipCreation must be either `true` or `false`. Found: `{value}`");
                return Err(ApiError::new(Code::InvalidSkipCreation, message));
            }
        };
        let primary_key = query.get("primaryKey");
        primary_key.map_or(Ok(()), check_primary_key)?;
        Ok(Self {
            primary_key: primary_key.map(str::to_owned),
            csv_delimiter: query.get("csvDelimiter").map(read_delimiter).transpose()?,
            custom_metadata: query.get("customMetadata").map(str::to_owned),
            may_create,
            skips_missing,
        })
    }
}

fn read_delimiter(text: &str) -> Result<u8, ApiError> {
    let code = Code::InvalidDocumentCsvDelimiter;
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(only), None) if only.is_ascii() => Ok(only as u8),
        (Some(only), None) => {
            Err(ApiError::new(code, format!("csv delimiter must be an ascii character. Found: `{only}`")))
        }
        (None, _) => {
            let reason = "expected a string of one character, but found an empty string";
            Err(bad_parameter(code, "csvDelimiter", reason))
        }
        (Some(_), Some(_)) => {
            let reason = format!(
                "expected a string of one character, but found the following string of {} characters: `{text}`",
                text.chars().count()
            );
            Err(bad_parameter(code, "csvDelimiter", &reason))
        }
    }
}

/// A put as the journal gets it, but for the head.
#[derive(Clone)]
struct Prepared {
    received: u64,
    primary_key: Option<String>,
    rejection: Option<ApiError>,
    payload: Option<Payload>,
}

pub(super) async fn replace(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    put(core, request, arguments, PutMode::Replace).await
}

pub(super) async fn update(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    put(core, request, arguments, PutMode::Update).await
}

async fn put(core: &Core, request: &Request, arguments: &Arguments, mode: PutMode) -> Result<Response, ApiError> {
    let index = arguments.index()?;
    let query = PutQuery::parse(&request.query, arguments.grant().may_create_index(index.as_str()))?;
    let content_type = request.headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let format = DocumentFormat::of_request(content_type, query.csv_delimiter)?;
    let deadline = core.write_deadline();
    let mut head = core.bridge.heads.load().get(&index).cloned();
    let mut last: Option<(Option<String>, Prepared)> = None;
    for _ in 0..PREPARATIONS_MAX {
        let known_key = head.as_ref().and_then(|head| head.primary_key.as_deref());
        let split_key = known_key.map(str::to_owned).or_else(|| query.primary_key.clone());
        let prepared = match last.take() {
            // What was cut by the same key is cut right, whatever else has changed.
            Some((key, prepared)) if key == split_key => prepared,
            Some(_) | None => prepare(core, request, format, (&index, mode, split_key.clone())).await?,
        };
        let write = new_write(&index, &query, mode, head, prepared.clone());
        match hand_over(core, write, deadline).await? {
            Handed::Accepted(task) => return Ok(accepted(&task)),
            Handed::HeadMoved(moved) => head = moved,
        }
        last = Some((split_key, prepared));
    }
    Err(ApiError::overloaded("the index changes too often"))
}

fn new_write(
    index: &IndexUid,
    query: &PutQuery,
    mode: PutMode,
    head: Option<IndexHead>,
    prepared: Prepared,
) -> NewWrite {
    let Prepared { received, primary_key, mut rejection, mut payload } = prepared;
    let current = head.as_ref().and_then(|head| head.primary_key.as_deref());
    if let (Some(current), Some(asked)) = (current, query.primary_key.as_deref())
        && current != asked
        && received > 0
    {
        let error = DocumentError::PrimaryKeyCannotChange { current: current.to_owned() };
        rejection = Some(error.api_error(index.as_str()));
        payload = None;
    }
    // A refused entry leaves the index as it is, a key that it would have set included.
    let primary_key = if rejection.is_some() { None } else { primary_key };
    let operation = Operation::PutDocuments {
        mode,
        received,
        primary_key,
        creates_index: query.may_create,
        sets_primary_key: false,
        skips_missing: query.skips_missing,
    };
    NewWrite {
        index: Some(index.clone()),
        operation,
        assumed_head: head,
        payload,
        rejection: rejection.map(|error| error.body()),
        custom_metadata: query.custom_metadata.clone(),
    }
}

/// Reads, checks and cuts the documents of a request.
async fn prepare(
    core: &Core,
    request: &Request,
    format: DocumentFormat,
    (index, mode, primary_key): (&IndexUid, PutMode, Option<String>),
) -> Result<Prepared, ApiError> {
    let (converted, _share);
    let (body, format_read): (&[u8], _) = match format {
        DocumentFormat::Json | DocumentFormat::Ndjson => (&request.body, format),
        DocumentFormat::Csv { delimiter } => {
            (converted, _share) = convert_csv(core, &request.body, delimiter).await?;
            (&converted, DocumentFormat::Ndjson)
        }
    };
    let mut splitter = DocumentSplitter::new(SplitRules {
        shard_count: core.settings.shard_count,
        mode,
        primary_key,
        merges_duplicate_keys: format == DocumentFormat::Json,
    });
    let mut growth = Growth::new(core);
    // A CSV body may hold a header and nothing else.
    if !(body.is_empty() && format != format_read) {
        let mut reader = DocumentReader::new(body, format_read)?;
        let mut fields = Vec::new();
        let mut turn_end = BYTES_PER_TURN;
        while let Some(document) = reader.next_document(&mut fields)? {
            splitter
                .push(document, &mut fields)
                .map_err(|error| ApiError::new(Code::MiroirReservedField, error.to_string()))?;
            if reader.position() >= turn_end {
                turn_end = reader.position() + BYTES_PER_TURN;
                growth.reach(splitter.bytes())?;
                core.timers.yield_now().await;
            }
        }
    }
    growth.reach(splitter.bytes())?;
    let SplitDocuments { received, primary_key, rejection, mut assembly } = splitter.finish();
    while !assembly.step(4 * BYTES_PER_TURN) {
        core.timers.yield_now().await;
    }
    let rejection = rejection.map(|error| error.api_error(index.as_str()));
    let payload = rejection.is_none().then(|| growth.carried_by(assembly.into_payload()));
    payload.as_ref().map_or(Ok(()), |payload| check_size(core, payload))?;
    Ok(Prepared { received, primary_key, rejection, payload })
}

/// The part of one shard goes to its nodes in one request: nothing is accepted that no node would take.
fn check_size(core: &Core, payload: &Payload) -> Result<(), ApiError> {
    let limit = core.settings.node_body_max;
    if payload.largest_body() > limit { Err(ApiError::payload_too_large(limit)) } else { Ok(()) }
}

async fn convert_csv(core: &Core, body: &[u8], delimiter: u8) -> Result<(Vec<u8>, Share), ApiError> {
    let mut growth = Growth::new(core);
    let mut converter = CsvConverter::new(body, delimiter, CSV_GROWTH_MAX * core.settings.node_body_max)?;
    while !converter.step(BYTES_PER_TURN)? {
        growth.reach(converter.bytes())?;
        core.timers.yield_now().await;
    }
    growth.reach(converter.bytes())?;
    Ok((converter.into_ndjson(), growth.share))
}

/// Room for something that grows, often to several times the length of the body: for all of it, as it comes, and for all of
/// it once more, as it is joined.
struct Growth<'a> {
    core: &'a Core,
    share: Share,
    reached: usize,
}

impl<'a> Growth<'a> {
    fn new(core: &'a Core) -> Self {
        Self { core, share: core.bridge.memory.share(), reached: 0 }
    }

    /// It has so many bytes now.
    fn reach(&mut self, bytes: usize) -> Result<(), ApiError> {
        self.core.take_room(&mut self.share, 2 * bytes.saturating_sub(self.reached) as u64)?;
        self.reached = bytes.max(self.reached);
        Ok(())
    }

    /// The room is given back when the payload is gone.
    fn carried_by(self, payload: Payload) -> Payload {
        Payload { bytes: self.share.carried_by(payload.bytes), ..payload }
    }
}

pub(super) async fn clear(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let index = arguments.index()?;
    let metadata = custom_metadata(&request.query)?;
    commit(core, Some(index), Operation::ClearDocuments, metadata).await.map(|task| accepted(&task))
}

pub(super) async fn delete_one(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let index = arguments.index()?;
    let metadata = custom_metadata(&request.query)?;
    let mut ids = ProvidedIds::new(core);
    ids.push(arguments.text(1));
    ids.delete(index, metadata).await
}

pub(super) async fn delete_batch(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    require_json(request)?;
    let mut ids = ProvidedIds::new(core);
    let mut reader = ListReader::new(&request.body);
    let mut turn_end = BYTES_PER_TURN;
    while let Some(element) = reader.next_scalar()? {
        match element.as_str() {
            Some(id) => ids.push(id),
            None => ids.push(&element.to_string()),
        }
        if reader.position() >= turn_end {
            turn_end = reader.position() + BYTES_PER_TURN;
            ids.growth.reach(ids.splitter.bytes())?;
            core.timers.yield_now().await;
        }
    }
    let metadata = custom_metadata(&request.query)?;
    ids.delete(arguments.index()?, metadata).await
}

/// The ids of a deletion, cut by shard as they come.
struct ProvidedIds<'a> {
    provided: u64,
    splitter: IdSplitter,
    growth: Growth<'a>,
}

impl<'a> ProvidedIds<'a> {
    fn new(core: &'a Core) -> Self {
        Self { provided: 0, splitter: IdSplitter::new(core.settings.shard_count), growth: Growth::new(core) }
    }

    fn push(&mut self, id: &str) {
        self.provided += 1;
        // What is no id matches no document, but counts as provided.
        if is_valid_document_id(id) {
            self.splitter.push(id);
        }
    }

    async fn delete(mut self, index: IndexUid, custom_metadata: Option<String>) -> Result<Response, ApiError> {
        let core = self.growth.core;
        self.growth.reach(self.splitter.bytes())?;
        let payload = self.growth.carried_by(self.splitter.finish());
        check_size(core, &payload)?;
        let write = NewWrite {
            index: Some(index),
            operation: Operation::DeleteDocuments { provided: self.provided },
            assumed_head: None,
            payload: Some(payload),
            rejection: None,
            custom_metadata,
        };
        match hand_over(core, write, core.write_deadline()).await? {
            Handed::Accepted(task) => Ok(accepted(&task)),
            Handed::HeadMoved(_) => Err(ApiError::overloaded("the index changes too often")),
        }
    }
}

pub(super) async fn delete_by_filter(
    core: &Core,
    request: &Request,
    arguments: &Arguments,
) -> Result<Response, ApiError> {
    let metadata = custom_metadata(&request.query)?;
    require_json(request)?;
    let filter = read_filter_body(&request.body, **core.bridge.features.load())?;
    let index = arguments.index()?;
    commit(core, Some(index), Operation::DeleteByFilter { filter }, metadata).await.map(|task| accepted(&task))
}

/// `POST /indexes/{index}/documents/edit`.
pub(super) async fn edit(core: &Core, request: &Request, arguments: &Arguments) -> Result<Response, ApiError> {
    let metadata = custom_metadata(&request.query)?;
    require_json(request)?;
    let (filter, function, context) = read_edit_body(&request.body)?;
    let features = **core.bridge.features.load();
    features.require(Feature::EditDocumentsByFunction, "Using the documents edit route")?;
    let index = arguments.index()?;
    edit::check(&function).map_err(|reason| ApiError::new(Code::BadRequest, reason))?;
    if let Some(filter) = &filter {
        check_filter(filter, features, &format!("Index `{index}`: "))?;
    }
    let context = match context {
        None => None,
        Some(Value::Object(context)) => Some(context),
        Some(_) => {
            return Err(ApiError::new(Code::InvalidDocumentEditionContext, "The context must be an object"));
        }
    };
    let operation = Operation::EditDocuments { filter, function, context };
    commit(core, Some(index), operation, metadata).await.map(|task| accepted(&task))
}

type EditBody = (Option<Value>, String, Option<Value>);

fn read_edit_body(body: &[u8]) -> Result<EditBody, ApiError> {
    const FIELDS: [&str; 3] = ["filter", "context", "function"];
    let mut fields = read_object(body)?;
    if let Some(other) = fields.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(unknown_field(Code::BadRequest, "", other, &FIELDS));
    }
    let mut given = |name: &str| fields.shift_remove(name).filter(|value| !value.is_null());
    let (filter, context) = (given("filter"), given("context"));
    match fields.shift_remove("function") {
        Some(Value::String(function)) => Ok((filter, function, context)),
        Some(other) => Err(wrong_type(Code::InvalidDocumentEditionFunctionFilter, ".function", "a string", &other)),
        None => Err(missing_field(Code::MissingDocumentEditionFunction, "", "function")),
    }
}

fn read_object(body: &[u8]) -> Result<serde_json::Map<String, Value>, ApiError> {
    match parse_json(body)? {
        Value::Object(fields) => Ok(fields),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(wrong_type(Code::BadRequest, "", "an object", &other))
        }
    }
}

fn read_filter_body(body: &[u8], features: Features) -> Result<Value, ApiError> {
    let mut fields = read_object(body)?;
    if let Some(other) = fields.keys().find(|key| *key != "filter") {
        return Err(unknown_field(Code::BadRequest, "", other, &["filter"]));
    }
    let filter =
        fields.shift_remove("filter").ok_or_else(|| missing_field(Code::MissingDocumentFilter, "", "filter"))?;
    check_filter(&filter, features, "")?;
    Ok(filter)
}

/// `place` stands before what is wrong with the filter.
fn check_filter(filter: &Value, features: Features, place: &str) -> Result<(), ApiError> {
    let empty = || ApiError::new(Code::InvalidDocumentFilter, "Sending an empty filter is forbidden.");
    check_of_documents(filter, features, place)?.then_some(()).ok_or_else(empty)
}
