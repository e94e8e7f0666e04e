//! What holds for any input: nothing panics, nothing hangs, and what comes out fits what went in.
//!
//! Used by the fuzz targets, and with the inputs that are kept in `corpus` by the test `fuzz`.

use std::collections::{BTreeMap, HashMap};

use miroir::data_plane::coding::{Coding, Decoding, Encoding, STEP_BYTES};
use miroir::logic::entry::PutMode;
use miroir::logic::ids::{ShardId, Timestamp};
use miroir::logic::marker;
use miroir::logic::payload::Payload;
use miroir::logic::primary_key;
use miroir::logic::shard_hash::{id_hash, shard_of};
use miroir::logic::split::{DocumentSplitter, IdSplitter, SplitRules};
use miroir::meili::bad_value::parse_json;
use miroir::meili::chat::chunk::Chunk;
use miroir::meili::chat::completion::Completion;
use miroir::meili::chat::event_stream::EventStream;
use miroir::meili::documents_query::{DocumentQuery, DocumentsQuery};
use miroir::meili::export::Export;
use miroir::meili::facet_search::FacetSearchRequest;
use miroir::meili::features::{Features, FeaturesPatch};
use miroir::meili::filter::{Filter, denied_attributes, node_form};
use miroir::meili::formats::csv::CsvConverter;
use miroir::meili::formats::list::ListReader;
use miroir::meili::formats::{DocumentFormat, DocumentReader};
use miroir::meili::index::{CreateIndex, IndexPaging, UpdateIndex};
use miroir::meili::index_fields::ListFields;
use miroir::meili::keys::{CreateKey, KeyPaging, PatchKey, TenantToken};
use miroir::meili::multi_search::MultiSearch;
use miroir::meili::search::{SearchRequest, check_filter};
use miroir::meili::similar::SimilarRequest;
use miroir::meili::swaps::parse_swaps;
use miroir::meili::task_query::{Selection, parse_listing, parse_selection};
use miroir::meili::template;
use miroir::meili::webhooks::WebhookSettings;
use miroir::meili::{search_rules, settings};
use serde_json::{Map, Value};

const SHARDS: u16 = 8;

/// The first byte says what the rest is.
fn cut(data: &[u8]) -> Option<(u8, &[u8])> {
    data.split_first().map(|(kind, body)| (*kind, body))
}

/// Every body and query string that is read. Results are what they are; they only have to come.
pub fn requests(data: &[u8]) {
    let Some((kind, body)) = cut(data) else { return };
    let text = String::from_utf8_lossy(body);
    match kind % 26 {
        0 => drop(SearchRequest::from_json(body).and_then(|search| search.check("movies", &Map::new()))),
        1 => drop(SearchRequest::from_query(&text).and_then(|search| search.check("movies", &Map::new()))),
        2 => drop(MultiSearch::from_json(body)),
        3 => drop(FacetSearchRequest::from_json(body).and_then(|search| search.check(&Map::new()))),
        4 => drop(SimilarRequest::from_json(body).and_then(|search| search.check(&Map::new()))),
        5 => drop(SimilarRequest::from_query(&text)),
        6 => drop(DocumentsQuery::from_json(body).and_then(|query| query.check())),
        7 => drop(DocumentsQuery::from_query(&text).and_then(|query| query.check())),
        8 => drop(DocumentQuery::from_query(&text)),
        9 => drop(parse_listing(&text)),
        10 => drop(parse_selection(&text, Selection::Cancel)),
        11 => patch_of_settings(body),
        12 => drop(CreateKey::parse(body, Timestamp(0))),
        13 => drop(PatchKey::parse(body)),
        14 => drop(KeyPaging::parse(&text)),
        15 => drop(WebhookSettings::parse(body)),
        16 => drop(TenantToken::read(&text, "master", Timestamp(0))),
        17 => drop(parse_swaps(body)),
        18 => drop(CreateIndex::parse(body)),
        19 => drop((UpdateIndex::parse(body), IndexPaging::parse(&text))),
        20 => drop(ListFields::parse(body)),
        21 => drop(FeaturesPatch::parse(body)),
        22 => drop(Completion::parse(body).and_then(|mut completion| {
            completion.check()?;
            completion.take_tools()
        })),
        23 => drop(Export::parse(body).map(|export| export.details(None::<std::iter::Empty<(&str, u64)>>))),
        24 => drop(search_rules::parse_rule(body)),
        _ => model_events(body),
    }
}

/// What a language model says, in two pieces: the same as in one.
fn model_events(body: &[u8]) {
    let read = |pieces: [&[u8]; 2]| {
        let (mut stream, mut events) = (EventStream::default(), Vec::new());
        for piece in pieces {
            if stream.push(piece, |event| events.push(event)).is_err() {
                return None;
            }
        }
        for event in &events {
            // Errors are what a model may say, too.
            let _ = serde_json::from_slice::<Chunk>(event);
        }
        Some(events)
    };
    assert_eq!(read([body, b""]), read(body.split_at(body.len() / 2).into()));
}

/// What is accepted can be kept, shown, and told to nodes.
fn patch_of_settings(body: &[u8]) {
    let Ok(patch) = settings::parse_patch(body) else { return };
    let _ = settings::check_features(&patch, Features::default());
    let user = settings::merge(&Map::new(), &patch);
    if settings::check_merged(&user).is_ok() {
        let _ = settings::node_settings(&user);
        let has_marker = |settings| Value::Object(settings).to_string().contains(marker::FIELD);
        let shown = settings::display(&user);
        assert!(has_marker(user) || !has_marker(shown), "clients see it only in words of their own");
    }
}

/// Filters, as texts and as JSON. What is accepted is accepted in the form for nodes, too.
pub fn filters(data: &[u8]) {
    let Some((kind, body)) = cut(data) else { return };
    let filter = match kind % 2 {
        0 => Value::String(String::from_utf8_lossy(body).into_owned()),
        _ => match parse_json(body) {
            Ok(filter) => filter,
            Err(_) => return,
        },
    };
    let Ok(parsed) = Filter::parse(&filter) else { return };
    let Some(parsed) = parsed else { return };
    let names_the_marker = parsed.attributes().any(marker::is_reserved);
    let code = miroir::meili::error::Code::InvalidSearchFilter;
    assert_eq!(check_filter(&filter, code).is_err(), names_the_marker);
    let denied = denied_attributes(&filter);
    let told = node_form(filter, &denied);
    assert!(Filter::parse(&told).is_ok(), "{told}");
}

/// Templates: the guarded one, if it is guarded.
pub fn guarded_template(data: &[u8]) -> Option<(&str, String)> {
    let text = std::str::from_utf8(data).ok()?;
    let guarded = template::guarded(text).ok()?;
    // Without what is put in it is the same.
    assert!(guarded.len() >= text.len());
    Some((text, guarded))
}

/// Compressed bodies: steps are bounded, and what is compressed here is read again.
pub fn codings(data: &[u8]) {
    let Some((kind, body)) = cut(data) else { return };
    let coding = Coding::ALL[usize::from(kind) % Coding::ALL.len()];
    if let Ok(mut decoding) = Decoding::new(coding, body) {
        let (mut steps, mut whole) = (0, 0);
        while let Ok(Some(bytes)) = decoding.step() {
            assert!(bytes <= STEP_BYTES);
            (steps, whole) = (steps + 1, whole + bytes);
            assert!(steps <= 2 + body.len() + whole, "it goes on");
            if whole > 4 * 1024 * 1024 {
                break;
            }
        }
    }
    let Some(mut encoding) = Encoding::new(coding) else { return };
    body.chunks(STEP_BYTES).for_each(|piece| encoding.push(piece));
    let encoded = encoding.finish();
    let mut decoding = Decoding::new(coding, &encoded).expect("its own answers can be read");
    while decoding.step().expect("its own answers can be read").is_some() {}
    assert_eq!(decoding.into_decoded(), body);
}

/// Documents and ids, cut by shard.
pub fn splitter(data: &[u8]) {
    let Some((kind, body)) = cut(data) else { return };
    let format = match kind % 4 {
        0 => DocumentFormat::Json,
        1 => DocumentFormat::Ndjson,
        2 => DocumentFormat::Csv { delimiter: if kind & 0x40 == 0 { b',' } else { b';' } },
        _ => return ids(body),
    };
    let rules = SplitRules {
        shard_count: SHARDS,
        mode: if kind & 0x10 == 0 { PutMode::Replace } else { PutMode::Update },
        primary_key: (kind & 0x20 != 0).then(|| "id".to_owned()),
        merges_duplicate_keys: format == DocumentFormat::Json,
    };
    let converted;
    let (body, format) = match format {
        DocumentFormat::Csv { delimiter } => {
            let Some(ndjson) = ndjson_of(body, delimiter) else { return };
            converted = ndjson;
            (converted.as_slice(), DocumentFormat::Ndjson)
        }
        DocumentFormat::Json | DocumentFormat::Ndjson => (body, format),
    };
    let Ok(mut reader) = DocumentReader::new(body, format) else { return };
    let mut splitter = DocumentSplitter::new(rules);
    let (mut fields, mut documents) = (Vec::new(), Vec::new());
    loop {
        match reader.next_document(&mut fields) {
            Ok(Some(document)) => {
                if splitter.push(document, &mut fields).is_err() {
                    return;
                }
                documents.push(document);
            }
            Ok(None) => break,
            Err(_) => return,
        }
    }
    let mut split = splitter.finish();
    assert_eq!(split.received, documents.len() as u64);
    while !split.assembly.step(16) {}
    if split.rejection.is_some() || documents.is_empty() {
        return;
    }
    let payload = split.assembly.into_payload();
    let slack = documents.len() * 64;
    assert!(payload.bytes.len() <= body.len() + slack, "{} from {}", payload.bytes.len(), body.len());
    let primary_key = split.primary_key.expect("what is accepted has a key");
    check_lines(&payload, &documents, &primary_key);
}

/// All of it, at most ten times as long, in small steps.
fn ndjson_of(body: &[u8], delimiter: u8) -> Option<Vec<u8>> {
    let limit = 10 * body.len() as u64;
    let mut converter = CsvConverter::new(body, delimiter, limit).ok()?;
    while !converter.step(16).ok()? {}
    Some(converter.into_ndjson())
}

/// Every document is on one line, in the section of its shard, behind those that came before it with its id.
fn check_lines(payload: &Payload, documents: &[&str], primary_key: &str) {
    let value = |text: &str| serde_json::from_str::<Value>(text).expect("it was read before");
    let mut expected: BTreeMap<ShardId, HashMap<String, Vec<Value>>> = BTreeMap::new();
    for document in documents {
        let mut document = value(document);
        let id = primary_key::id_in(primary_key, &document.to_string()).expect("it has an id").into_owned();
        document.sort_all_objects();
        expected.entry(shard_of(&id, SHARDS)).or_default().entry(id).or_default().push(document);
    }
    let mut found: BTreeMap<ShardId, HashMap<String, Vec<Value>>> = BTreeMap::new();
    let mut end = 0;
    for section in &payload.sections {
        assert_eq!(section.start, end, "sections follow each other");
        end += section.length;
        let bytes = &payload.bytes[section.start as usize..end as usize];
        let text = std::str::from_utf8(bytes).expect("it was text");
        assert!(text.ends_with('\n'));
        let of_shard = found.entry(section.shard).or_default();
        for line in text.lines() {
            let mut document = value(line);
            let marker = document.as_object_mut().and_then(|fields| fields.shift_remove(marker::FIELD));
            assert_eq!(marker, Some(Value::String(marker::marker(section.shard, SHARDS))));
            let id = primary_key::id_in(primary_key, &document.to_string()).expect("it has an id").into_owned();
            assert!(section.id_hashes.contains(&id_hash(&id)));
            document.sort_all_objects();
            of_shard.entry(id).or_default().push(document);
        }
        assert_eq!(section.id_hashes.len(), of_shard.len(), "each id is listed once");
    }
    assert_eq!(end, payload.bytes.len() as u64);
    assert_eq!(found, expected);
}

/// A list of ids: each once, in its shard.
fn ids(body: &[u8]) {
    let mut reader = ListReader::new(body);
    let mut splitter = IdSplitter::new(SHARDS);
    let mut expected: BTreeMap<ShardId, Vec<String>> = BTreeMap::new();
    loop {
        let id = match reader.next_scalar() {
            Ok(Some(Value::String(id))) => id,
            Ok(Some(other)) => other.to_string(),
            Ok(None) => break,
            Err(_) => return,
        };
        splitter.push(&id);
        let ids = expected.entry(shard_of(&id, SHARDS)).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let payload = splitter.finish();
    let found = payload.sections.iter().map(|section| {
        let bytes = &payload.bytes[section.start as usize..(section.start + section.length) as usize];
        let list = [b"[", bytes, b"]"].concat();
        (section.shard, serde_json::from_slice(&list).expect("a list of ids"))
    });
    assert_eq!(found.collect::<BTreeMap<ShardId, Vec<String>>>(), expected);
}
