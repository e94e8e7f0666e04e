//! JSON, NDJSON and CSV bodies, good and bad.

use super::*;

fn read(body: &str, format: DocumentFormat) -> Result<Vec<String>, ApiError> {
    let mut reader = DocumentReader::new(body.as_bytes(), format)?;
    let mut documents = Vec::new();
    let mut fields = Vec::new();
    while let Some(document) = reader.next_document(&mut fields)? {
        let parsed: serde_json::Map<String, serde_json::Value> = serde_json::from_str(document).expect("valid JSON");
        for field in &fields {
            let value: serde_json::Value = serde_json::from_str(field.value).expect("valid JSON");
            assert!(parsed.contains_key(field.key.as_ref()), "{document}: {value}");
        }
        documents.push(document.to_owned());
    }
    Ok(documents)
}

#[test]
fn documents_are_slices_of_the_body() {
    let json = DocumentFormat::Json;
    let ndjson = DocumentFormat::Ndjson;
    let pretty = " [ {\n \"id\" : 1 , \"a\" : [ {} ] } ,\n{ \"\\u0069d\" : \"}\" } ] ";
    assert_eq!(
        read(pretty, json),
        Ok(vec!["{\n \"id\" : 1 , \"a\" : [ {} ] }".into(), "{ \"\\u0069d\" : \"}\" }".into()])
    );
    assert_eq!(read("{\"id\":1} ", json), Ok(vec!["{\"id\":1}".into()]));
    assert_eq!(read("[]", json), Ok(vec![]));
    assert_eq!(read("[{}] rest", json), Ok(vec!["{}".into()]));
    assert_eq!(read("\n\n", ndjson), Ok(vec![]));
    assert_eq!(
        read("{\"a\":1}{\"b\":2}\r\n\r\n{}", ndjson),
        Ok(vec!["{\"a\":1}".into(), "{\"b\":2}".into(), "{}".into()])
    );
}

#[test]
fn what_is_malformed_is_said_in_meilisearchs_words() {
    let json = DocumentFormat::Json;
    let ndjson = DocumentFormat::Ndjson;
    for (format, body, reason) in [
        (json, "5", NEITHER),
        (json, "null", NEITHER),
        (json, "[{\"id\":1},2]", NEITHER),
        (json, "   ", "EOF while parsing a value at line 1 column 3"),
        (json, "[{\"id\":1},", "EOF while parsing a value at line 1 column 10"),
        (json, "[{\"id\":1}", "EOF while parsing a list at line 1 column 9"),
        (json, "[{\"id\":1},]", "trailing comma at line 1 column 11"),
        (json, "{\"id\":1}{\"id\":2}", "trailing characters at line 1 column 9"),
        (json, "{\"id\":1", "EOF while parsing an object at line 1 column 7"),
        (
            json,
            "[{\"id\":1,\"a\":\"\u{1}\"}]",
            "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 14",
        ),
        (json, "\u{feff}[]", "expected value at line 1 column 1"),
        (ndjson, "{\"id\":1}\n{\"id\"\n", "EOF while parsing an object at line 3 column 0"),
        (ndjson, "[1]", NEITHER),
    ] {
        let error = read(body, format).expect_err(body);
        assert_eq!(error.code, Code::MalformedPayload);
        let expected = format!(
            "The `{}` payload provided is malformed. `Couldn't serialize document value: {reason}`.",
            format.name()
        );
        assert_eq!(error.message, expected, "{body}");
    }
    assert!(DocumentReader::new(b"[{\"a\":\"\xff\"}]", json).is_err());
    let missing = DocumentReader::new(b"", ndjson).expect_err("nothing");
    assert_eq!((missing.code, missing.message.as_str()), (Code::MissingPayload, "A ndjson payload is missing."));
}

#[test]
fn accepts_exactly_what_serde_json_accepts() {
    proptest::proptest!(|(body in r#"\[(\{("(a|\\u00|\\ud800|\\x)":(1|01|-|"\\"|"\\u00e9"|\[\]|\{\}|1e5|tru|true),?)*\},?)*\]"#)| {
        let expected = serde_json::from_str::<Vec<serde_json::Map<String, serde_json::Value>>>(&body);
        // `\ud800` in a value is valid for a node as long as it is not decoded, and does not occur here.
        proptest::prop_assert_eq!(read_any(&body).is_ok(), expected.is_ok(), "{}", body);
    });
}

fn read_any(body: &str) -> Result<(), ApiError> {
    let mut reader = DocumentReader::new(body.as_bytes(), DocumentFormat::Json)?;
    let mut fields = Vec::new();
    while reader.next_document(&mut fields)?.is_some() {}
    Ok(())
}

fn convert_csv(body: &str) -> Result<String, ApiError> {
    let mut converter = csv::CsvConverter::new(body.as_bytes(), b',', 1_000_000)?;
    while !converter.step(8)? {}
    Ok(String::from_utf8(converter.into_ndjson()).expect("JSON is UTF-8"))
}

#[test]
fn csv_headers_carry_types() {
    let body = "id,price:number,sold:boolean,s,a:b,s:number\n1,1.5,true,x,y,9\n2, 7 ,,\"q\"\"\",,\n3,1e3,false,,,NaN\n";
    let expected = concat!(
        "{\"id\":\"1\",\"price\":1.5,\"sold\":true,\"s\":9,\"a:b\":\"y\"}\n",
        "{\"id\":\"2\",\"price\":7,\"sold\":null,\"s\":null,\"a:b\":null}\n",
        "{\"id\":\"3\",\"price\":1000.0,\"sold\":false,\"s\":null,\"a:b\":null}\n",
    );
    assert_eq!(convert_csv(body).as_deref(), Ok(expected));
}

#[test]
fn bad_csv_is_said_in_meilisearchs_words() {
    for (body, reason) in [
        ("id:number\nx\n", "Error parsing number \"x\" at line 1: invalid float literal"),
        ("id,b:boolean\n1,a\n", "Error parsing boolean \"a\" at line 1: provided string was not `true` or `false`"),
        (
            "id,name\n1\n",
            "CSV error: record 1 (line: 2, byte: 8): found record with 1 fields, but the previous record has 2 fields",
        ),
    ] {
        let error = convert_csv(body).expect_err(body);
        assert_eq!(error.code, Code::MalformedPayload);
        assert_eq!(error.message, format!("The `csv` payload provided is malformed: `{reason}`."));
    }
}

#[test]
fn a_long_csv_header_does_not_multiply_without_bound() {
    let csv = |rows: usize| format!("{},id\n{}", "x".repeat(100_000), "1,1\n".repeat(rows));
    assert!(convert_csv(&csv(9)).is_ok());
    assert_eq!(convert_csv(&csv(100_000)).map_err(|error| error.code), Err(Code::PayloadTooLarge));
}

#[test]
fn the_content_type_decides() {
    let of = DocumentFormat::of_request;
    assert_eq!(of(Some("application/json; charset=utf-8"), None), Ok(DocumentFormat::Json));
    assert_eq!(of(Some("text/csv"), Some(b';')), Ok(DocumentFormat::Csv { delimiter: b';' }));
    assert_eq!(of(None, None).map_err(|error| error.code), Err(Code::MissingContentType));
    assert_eq!(of(Some("text/plain"), None).map_err(|error| error.code), Err(Code::InvalidContentType));
    assert_eq!(of(Some("application/json"), Some(b';')).map_err(|error| error.code), Err(Code::InvalidContentType));
}
