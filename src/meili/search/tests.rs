//! Search parameters and their messages by table.

use super::*;

fn error_of(body: &str) -> (Code, String) {
    let result = SearchRequest::from_json(body.as_bytes()).and_then(|request| request.check("m", &Object::new()));
    let error = result.expect_err(body);
    (error.code, error.message)
}

/// Body, code, message.
#[rustfmt::skip]
const BAD_BODIES: &[(&str, Code, &str)] = &[
        (
            r#"{"q":1}"#,
            Code::InvalidSearchQ,
            "Invalid value type at `.q`: expected a string, but found a positive integer: `1`",
        ),
        (
            r#"{"limit":-1}"#,
            Code::InvalidSearchLimit,
            "Invalid value type at `.limit`: expected a positive integer, but found a negative integer: `-1`",
        ),
        (
            r#"{"limit":null}"#,
            Code::InvalidSearchLimit,
            "Invalid value type at `.limit`: expected a positive integer, but found null",
        ),
        (
            r#"{"cropMarker":null}"#,
            Code::InvalidSearchCropMarker,
            "Invalid value type at `.cropMarker`: expected a string, but found null",
        ),
        (
            r#"{"attributesToRetrieve":[1]}"#,
            Code::InvalidSearchAttributesToRetrieve,
            "Invalid value type at `.attributesToRetrieve[0]`: expected a string, but found a positive integer: `1`",
        ),
        (
            r#"{"facets":"a"}"#,
            Code::InvalidSearchFacets,
            "Invalid value type at `.facets`: expected an array, but found a string: `\"a\"`",
        ),
        (
            r#"{"matchingStrategy":"foo"}"#,
            Code::InvalidSearchMatchingStrategy,
            "Unknown value `foo` at `.matchingStrategy`: expected one of `last`, `all`, `frequency`",
        ),
        (
            r#"{"rankingScoreThreshold":2}"#,
            Code::InvalidSearchRankingScoreThreshold,
            "Invalid value at `.rankingScoreThreshold`: the value of `rankingScoreThreshold` is invalid, expected a float between `0.0` and `1.0`.",
        ),
        (r#"{"hybrid":{}}"#, Code::InvalidSearchHybridQuery, "Missing field `embedder` inside `.hybrid`"),
        (
            r#"{"hybrid":{"embedder":"a","foo":1}}"#,
            Code::InvalidSearchHybridQuery,
            "Unknown field `foo` inside `.hybrid`: expected one of `semanticRatio`, `embedder`",
        ),
        (
            r#"{"vector":[1]}"#,
            Code::MissingSearchHybrid,
            "Invalid request: missing `hybrid` parameter when `vector` or `media` are present.",
        ),
        (
            r#"{"vector":["a"]}"#,
            Code::InvalidSearchVector,
            "Invalid value type at `.vector[0]`: expected a number, but found a string: `\"a\"`",
        ),
        (
            r#"{"sort":["price"]}"#,
            Code::InvalidSearchSort,
            "Invalid syntax for the sort parameter: expected expression ending by `:asc` or `:desc`, found `price`.",
        ),
        (
            r#"{"filter":1}"#,
            Code::InvalidSearchFilter,
            "Invalid syntax for the filter parameter: `expected String, Array, found: 1`.",
        ),
        (
            r#"{"filter":"price = "}"#,
            Code::InvalidSearchFilter,
            "Was expecting a value but instead got nothing.\n9:9 price = ",
        ),
        ("[]", Code::BadRequest, "Invalid value type: expected an object, but found an array: `[]`"),
        (
            "{",
            Code::MalformedPayload,
            "The json payload provided is malformed. `EOF while parsing an object at line 1 column 1`.",
        ),
        ("", Code::MissingPayload, "A json payload is missing."),
        (
            r#"{"useNetwork":false}"#,
            Code::FeatureNotEnabled,
            "passing `useNetwork` in a search query requires enabling the `network` experimental feature. See https://github.com/orgs/meilisearch/discussions/805",
        ),
];

#[test]
fn bad_bodies_are_refused_in_meilisearchs_words() {
    for (body, code, message) in BAD_BODIES {
        assert_eq!(error_of(body), (*code, (*message).to_owned()), "{body}");
    }
    let (code, message) = error_of(r#"{"foo":1}"#);
    assert_eq!(code, Code::BadRequest);
    assert!(message.starts_with("Unknown field `foo`: expected one of `q`, `offset`, `limit`, `page`"), "{message}");
    assert!(message.ends_with("`showRankingScore`, `showRankingScoreDetails`, `showPerformanceDetails`"), "{message}");
}

#[test]
fn query_strings_say_the_same_as_bodies() {
    for (query, body) in [
        ("", "{}"),
        ("q=a+b%20c&limit=3&offset=1", r#"{"q":"a b c","limit":3,"offset":1}"#),
        ("q=a&q=b", r#"{"q":"b"}"#),
        (
            "attributesToRetrieve=a,b&showRankingScore=true",
            r#"{"attributesToRetrieve":["a","b"],"showRankingScore":true}"#,
        ),
        ("sort=_geoPoint(1,2):asc,price:desc", r#"{"sort":["_geoPoint(1,2):asc","price:desc"]}"#),
        ("filter=%5B%22a%3D1%22%5D", r#"{"filter":["a=1"]}"#),
        ("filter=a%20=%201", r#"{"filter":"a = 1"}"#),
        ("page=2&hitsPerPage=5&facets=x", r#"{"page":2,"hitsPerPage":5,"facets":["x"]}"#),
    ] {
        let from_query = SearchRequest::from_query(query).expect(query);
        assert_eq!(from_query, SearchRequest::from_json(body.as_bytes()).expect(body), "{query}");
    }
    for (query, code, message) in [
        (
            "limit=a",
            Code::InvalidSearchLimit,
            "Invalid value in parameter `limit`: could not parse `a` as a positive integer",
        ),
        (
            "showRankingScore=1",
            Code::InvalidSearchShowRankingScore,
            "Invalid value in parameter `showRankingScore`: could not parse `1` as a boolean, expected either `true` or `false`",
        ),
        (
            "matchingStrategy=x",
            Code::InvalidSearchMatchingStrategy,
            "Unknown value `x` for parameter `matchingStrategy`: expected one of `last`, `all`, `frequency`",
        ),
        ("vector=a", Code::InvalidSearchVector, "Invalid value in parameter `vector`: invalid float literal"),
        ("vector=1,2", Code::MissingSearchHybrid, "`hybridEmbedder` is mandatory when `vector` is present"),
        (
            "hybridSemanticRatio=1",
            Code::InvalidSearchHybridQuery,
            "`hybridEmbedder` is mandatory when `hybridSemanticRatio` is present",
        ),
    ] {
        let error = SearchRequest::from_query(query).expect_err(query);
        assert_eq!((error.code, error.message), (code, message.to_owned()), "{query}");
    }
    for query in ["foo=1", "media=1", "hybrid=1"] {
        let error = SearchRequest::from_query(query).expect_err(query);
        assert_eq!(error.code, Code::BadRequest);
        assert!(error.message.contains("`hybridEmbedder`, `hybridSemanticRatio`"), "{}", error.message);
    }
}

#[test]
fn the_marker_cannot_be_named() {
    for body in [
        r#"{"attributesToRetrieve":["a","_miroir"]}"#,
        r#"{"attributesToRetrieve":["\u005fmiroir"]}"#,
        r#"{"attributesToHighlight":["_miroir"]}"#,
        r#"{"attributesToCrop":["_miroir:10"]}"#,
        r#"{"attributesToSearchOn":["_miroir"]}"#,
        r#"{"facets":["_miroir"]}"#,
        r#"{"facets":["*","_m*"]}"#,
        r#"{"facets":["_miroir*"]}"#,
        r#"{"distinct":"_miroir"}"#,
        r#"{"sort":["_miroir:asc"]}"#,
        r#"{"filter":"a = 1 AND NOT _miroir EXISTS"}"#,
        r#"{"filter":[["a = 1","'_miroir' = x"]]}"#,
    ] {
        assert_eq!(error_of(body).0, Code::MiroirReservedField, "{body}");
    }
    for body in [r#"{"facets":["*"]}"#, r#"{"facets":["_*"]}"#, r#"{"facets":["_mo*"]}"#] {
        SearchRequest::from_json(body.as_bytes()).and_then(|request| request.check("m", &Object::new())).expect(body);
    }
}

#[test]
fn windows_stay_within_the_settings() {
    for (body, window) in [
        ("{}", (0, 20)),
        (r#"{"offset":5,"limit":7}"#, (5, 7)),
        (r#"{"offset":95,"limit":7}"#, (95, 5)),
        (r#"{"offset":500,"limit":7}"#, (100, 0)),
        (r#"{"page":0}"#, (0, 0)),
        (r#"{"page":3,"hitsPerPage":9}"#, (18, 9)),
        (r#"{"hitsPerPage":9,"limit":3}"#, (0, 9)),
        (r#"{"page":18446744073709551615,"hitsPerPage":9}"#, (100, 0)),
    ] {
        let request = SearchRequest::from_json(body.as_bytes()).expect(body);
        assert_eq!(request.paging.window(100), window, "{body}");
    }
}

#[test]
fn a_node_is_asked_for_the_first_hits_of_its_shards() {
    let body = |request: &str, query: NodeQuery<'_>| {
        let request = SearchRequest::from_json(request.as_bytes()).expect(request);
        String::from_utf8(request.node_body(query)).expect("JSON")
    };
    let all = Displayed::All;
    let query = NodeQuery {
        marker_filter: Some("_miroir IN [\"x\"]"),
        asked: Asked::First(12),
        displayed: &all,
        needed: &[],
        distinct: None,
        is_bare: false,
    };
    for (request, expected) in [
        (
            r#"{"q":"a","offset":2,"limit":10}"#,
            r#"{"q":"a","offset":0,"limit":12,"showRankingScoreDetails":true,"filter":"_miroir IN [\"x\"]"}"#,
        ),
        (
            r#"{"page":2,"filter":"a = 1"}"#,
            r#"{"page":1,"hitsPerPage":12,"showRankingScoreDetails":true,"filter":["a = 1","_miroir IN [\"x\"]"]}"#,
        ),
        (
            r#"{"filter":["a = 1",["b = 2","c = 3"]]}"#,
            r#"{"offset":0,"limit":12,"showRankingScoreDetails":true,"filter":["a = 1",["b = 2","c = 3"],"_miroir IN [\"x\"]"]}"#,
        ),
    ] {
        assert_eq!(body(request, query), expected);
    }
    let alone = NodeQuery {
        marker_filter: None,
        asked: Asked::Page,
        displayed: &all,
        needed: &[],
        distinct: None,
        is_bare: false,
    };
    let sent = r#"{"q":"a","offset":2,"limit":10}"#;
    assert_eq!(body(sent, alone), r#"{"q":"a","offset":2,"limit":10,"showRankingScoreDetails":true}"#);
    let bare = NodeQuery { needed: &["id"], is_bare: true, ..query };
    assert_eq!(
        body(r#"{"attributesToRetrieve":["title"],"retrieveVectors":true}"#, bare),
        r#"{"attributesToRetrieve":["id"],"offset":0,"limit":12,"showRankingScoreDetails":true,"filter":"_miroir IN [\"x\"]"}"#
    );
    let walked = NodeQuery { needed: &["brand"], distinct: Some("brand"), ..query };
    assert_eq!(
        body(r#"{"distinct":"brand","attributesToRetrieve":["id"]}"#, walked),
        r#"{"attributesToRetrieve":["id","brand"],"offset":0,"limit":12,"showRankingScoreDetails":true,"distinct":"brand","filter":"_miroir IN [\"x\"]"}"#
    );
}

#[test]
fn hidden_attributes_are_not_asked_for() {
    let displayed = Displayed::Only(vec!["id".to_owned(), "title".to_owned()]);
    let query = NodeQuery {
        marker_filter: None,
        asked: Asked::Page,
        displayed: &displayed,
        needed: &[],
        distinct: None,
        is_bare: false,
    };
    for (request, expected) in [
        ("{}", r#"{"showRankingScoreDetails":true,"attributesToRetrieve":["id","title"]}"#),
        (
            r#"{"attributesToRetrieve":["*"]}"#,
            r#"{"attributesToRetrieve":["id","title"],"showRankingScoreDetails":true}"#,
        ),
        (
            r#"{"attributesToRetrieve":["title","secret"]}"#,
            r#"{"attributesToRetrieve":["title"],"showRankingScoreDetails":true}"#,
        ),
        (
            r#"{"attributesToHighlight":["*"],"attributesToCrop":["secret","*:5","title:3"]}"#,
            r#"{"attributesToHighlight":["id","title"],"attributesToCrop":["id:5","title:5","title:3"],"showRankingScoreDetails":true,"attributesToRetrieve":["id","title"]}"#,
        ),
    ] {
        let request = SearchRequest::from_json(request.as_bytes()).expect(request);
        assert_eq!(String::from_utf8(request.node_body(query)).expect("JSON"), expected);
    }
    assert!(displayed.shows("title.en") && !displayed.shows("titles"));
}

#[test]
fn documents_are_fetched_as_the_client_would_see_them() {
    let fetch = |request: &str, displayed: &Displayed| {
        let request = SearchRequest::from_json(request.as_bytes()).expect(request);
        String::from_utf8(request.fetch_body(displayed, "id", &["a".to_owned(), "2".to_owned()])).expect("JSON")
    };
    let some = Displayed::Only(vec!["title".to_owned(), "year".to_owned()]);
    for (request, displayed, expected) in [
        ("{}", &Displayed::All, r#"{"ids":["a","2"],"limit":2}"#),
        (r#"{"attributesToRetrieve":["*"]}"#, &Displayed::All, r#"{"ids":["a","2"],"limit":2}"#),
        (
            r#"{"attributesToRetrieve":["t"],"retrieveVectors":true}"#,
            &Displayed::All,
            r#"{"ids":["a","2"],"limit":2,"fields":["t","id"],"retrieveVectors":true}"#,
        ),
        ("{}", &some, r#"{"ids":["a","2"],"limit":2,"fields":["title","year","id"]}"#),
    ] {
        assert_eq!(fetch(request, displayed), expected, "{request}");
    }
    for (request, is_plain) in [
        (r#"{"attributesToHighlight":[],"sort":["a:asc"]}"#, true),
        (r#"{"attributesToHighlight":["*"]}"#, false),
        (r#"{"attributesToCrop":["a"]}"#, false),
        (r#"{"showMatchesPosition":true}"#, false),
        (r#"{"sort":["_geoPoint(1,2):asc"]}"#, false),
    ] {
        let request = SearchRequest::from_json(request.as_bytes()).expect(request);
        assert_eq!(request.has_plain_hits(), is_plain);
    }
}
