//! CSV to NDJSON, with Meilisearch's typed headers (`price:number`, `sold:boolean`, `name:string`).
//!
//! Empty fields are `null`; of duplicate headers the last one counts. Read in steps, so that a large body does not hold
//! up other requests. Every row repeats every name: what comes out is bounded, or one long name would fill the memory.

use serde_json::{Map, Value};

use super::DocumentFormat;
use crate::logic::document_check::FIELDS_MAX;
use crate::meili::error::{ApiError, Code};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ColumnKind {
    Text,
    Boolean,
    Number,
}

/// Turns a CSV body into NDJSON.
pub struct CsvConverter<'a> {
    reader: csv::Reader<&'a [u8]>,
    columns: Vec<(String, ColumnKind)>,
    document: Map<String, Value>,
    record: csv::StringRecord,
    line: u64,
    ndjson: Vec<u8>,
    /// Bytes of NDJSON, one row more or less.
    limit: u64,
}

impl<'a> CsvConverter<'a> {
    /// Reads the header. `limit` is how many bytes the documents may make as NDJSON.
    ///
    /// # Errors
    /// `missing_payload`, `malformed_payload`.
    pub fn new(body: &'a [u8], delimiter: u8, limit: u64) -> Result<Self, ApiError> {
        if body.is_empty() {
            return Err(DocumentFormat::Csv { delimiter }.missing_payload());
        }
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(body);
        if reader.headers().is_ok_and(|headers| headers.len() > FIELDS_MAX) {
            return Err(malformed(&format!("a table cannot have more than {FIELDS_MAX} columns")));
        }
        let columns: Vec<_> =
            reader.headers().map_err(|error| malformed(&error.to_string()))?.iter().map(column).collect();
        let document = columns.iter().map(|(name, _)| (name.clone(), Value::Null)).collect();
        let ndjson = Vec::with_capacity(body.len());
        Ok(Self { reader, columns, document, record: csv::StringRecord::new(), line: 0, ndjson, limit })
    }

    /// Converts about so many bytes more; true when there is no more.
    ///
    /// # Errors
    /// `malformed_payload`, `payload_too_large`.
    pub fn step(&mut self, bytes: usize) -> Result<bool, ApiError> {
        let stop = self.ndjson.len() + bytes;
        while self.ndjson.len() < stop {
            if !self.reader.read_record(&mut self.record).map_err(|error| malformed(&error.to_string()))? {
                return Ok(true);
            }
            self.line += 1;
            for ((name, kind), text) in self.columns.iter().zip(&self.record) {
                let value = convert(*kind, text, self.line)?;
                *self.document.get_mut(name).expect("the document was made from these names") = value;
            }
            serde_json::to_writer(&mut self.ndjson, &self.document).expect("writing to memory does not fail");
            self.ndjson.push(b'\n');
            if self.ndjson.len() as u64 > self.limit {
                return Err(ApiError::payload_too_large(self.limit));
            }
        }
        Ok(false)
    }

    /// Bytes of what was converted so far.
    pub fn bytes(&self) -> usize {
        self.ndjson.len()
    }

    /// What was converted so far.
    pub fn into_ndjson(self) -> Vec<u8> {
        self.ndjson
    }
}

fn column(header: &str) -> (String, ColumnKind) {
    match header.rsplit_once(':') {
        Some((name, "string")) => (name.to_owned(), ColumnKind::Text),
        Some((name, "boolean")) => (name.to_owned(), ColumnKind::Boolean),
        Some((name, "number")) => (name.to_owned(), ColumnKind::Number),
        // What is no type belongs to the name.
        Some(_) | None => (header.to_owned(), ColumnKind::Text),
    }
}

fn convert(kind: ColumnKind, text: &str, line: u64) -> Result<Value, ApiError> {
    let trimmed = text.trim();
    match kind {
        ColumnKind::Text if text.is_empty() => Ok(Value::Null),
        ColumnKind::Text => Ok(Value::from(text)),
        ColumnKind::Number | ColumnKind::Boolean if trimmed.is_empty() => Ok(Value::Null),
        ColumnKind::Number => {
            if let Ok(integer) = trimmed.parse::<i64>() {
                return Ok(Value::from(integer));
            }
            let float = trimmed.parse::<f64>();
            float
                .map(Value::from)
                .map_err(|error| malformed(&format!("Error parsing number {text:?} at line {line}: {error}")))
        }
        ColumnKind::Boolean => {
            let boolean = trimmed.parse::<bool>();
            boolean
                .map(Value::from)
                .map_err(|error| malformed(&format!("Error parsing boolean {text:?} at line {line}: {error}")))
        }
    }
}

fn malformed(reason: &str) -> ApiError {
    ApiError::new(Code::MalformedPayload, format!("The `csv` payload provided is malformed: `{reason}`."))
}
