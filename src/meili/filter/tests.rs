//! The filter grammar and its messages by table.

use serde_json::json;

use super::*;

/// Writes a tree in a short, fully bracketed form.
fn show(filter: &Filter) -> String {
    let list = |filters: &[Filter]| filters.iter().map(show).collect::<Vec<_>>().join(" ");
    let tokens = |tokens: &[Token]| tokens.iter().map(|token| token.text.clone()).collect::<Vec<_>>().join(",");
    match filter {
        Filter::Not(inner) => format!("(not {})", show(inner)),
        Filter::And(filters) => format!("(and {})", list(filters)),
        Filter::Or(filters) => format!("(or {})", list(filters)),
        Filter::Compare { attribute, comparison, value } => {
            format!("{}{}{}", attribute.text, comparison.sign(), value.text)
        }
        Filter::Between { attribute, from, to } => format!("{}:{}..{}", attribute.text, from.text, to.text),
        Filter::In { attribute, values } => format!("{} in [{}]", attribute.text, tokens(values)),
        Filter::Exists(attribute) => format!("{}?", attribute.text),
        Filter::IsNull(attribute) => format!("{} null", attribute.text),
        Filter::IsEmpty(attribute) => format!("{} empty", attribute.text),
        Filter::Contains { attribute, value, .. } => format!("{}~{}", attribute.text, value.text),
        Filter::StartsWith { attribute, value } => format!("{}^{}", attribute.text, value.text),
        Filter::GeoRadius { point, radius, resolution } => {
            format!(
                "radius({},{},{})",
                tokens(point),
                radius.text,
                resolution.as_ref().map_or("-", |token| &token.text)
            )
        }
        Filter::GeoBoundingBox { top_right, bottom_left } => {
            format!("box({};{})", tokens(top_right), tokens(bottom_left))
        }
        Filter::GeoPolygon(points) => {
            format!("polygon({})", points.iter().map(|point| tokens(point)).collect::<Vec<_>>().join(";"))
        }
        Filter::VectorExists { embedder, condition, .. } => {
            format!(
                "vectors({},{})",
                embedder.as_ref().map_or("*", |token| &token.text),
                match condition {
                    VectorCondition::Any => "any",
                    VectorCondition::Fragment(name) => &name.text,
                    VectorCondition::DocumentTemplate => "template",
                    VectorCondition::UserProvided => "user",
                    VectorCondition::Regenerate => "regenerate",
                }
            )
        }
        Filter::Foreign { attribute, filter, .. } => format!("foreign({}, {})", attribute.text, show(filter)),
    }
}

#[test]
fn every_operator_is_read() {
    for (text, expected) in [
        ("a = b", "a=b"),
        ("  a=b  ", "a=b"),
        ("a != 'b c'", "a!=b c"),
        ("a.b-c_d >= -1.5", "a.b-c_d>=-1.5"),
        ("a<1 AND a>0 OR NOT b<=2", "(or (and a<1 a>0) (not b<=2))"),
        ("a = 1 AND (b = 2 OR c = 3)", "(and a=1 (or b=2 c=3))"),
        ("NOT NOT a = 1", "a=1"),
        ("NOT(a = 1)", "(not a=1)"),
        ("a IN[]", "a in []"),
        ("a IN [b, 'c d',]", "a in [b,c d]"),
        ("a NOT IN [b]", "(not a in [b])"),
        ("a EXISTS", "a?"),
        ("a NOT   EXISTS AND b IS NULL", "(and (not a?) b null)"),
        ("a IS NOT NULL", "(not a null)"),
        ("a IS EMPTY", "a empty"),
        ("a IS  NOT EMPTY", "(not a empty)"),
        ("a 1 TO 5", "a:1..5"),
        ("a CONTAINS b", "a~b"),
        ("a NOT CONTAINS b", "(not a~b)"),
        ("a STARTS WITH \"b\"", "a^b"),
        ("a NOT STARTS WITH b", "(not a^b)"),
        ("'a \\'quoted\\' one' = \"x\\\"y\"", "a 'quoted' one=x\"y"),
        (r#"a = "x\u00e9\n""#, "a=xé\n"),
        ("_geoRadius(12, 13.5, 2e3)", "radius(12,13.5,2e3,-)"),
        ("NOT _geoRadius(12,-13,14,125)", "(not radius(12,-13,14,125))"),
        ("_geoBoundingBox([1, 2], [3, 4])", "box(1,2;3,4)"),
        ("_geoPolygon([1,2], [3,4], [5,6],)", "polygon(1,2;3,4;5,6)"),
        ("_vectors EXISTS", "vectors(*,any)"),
        ("_vectors.embedder.userProvided NOT EXISTS", "(not vectors(embedder,user))"),
        ("_vectors.'e m'.fragments.f EXISTS", "vectors(e m,f)"),
        ("_foreign(actors, name = x AND age > 3)", "foreign(actors, (and name=x age>3))"),
        ("genre = horror AND director != 'Jordan Peele'", "(and genre=horror director!=Jordan Peele)"),
        ("日付 = 今日", "日付=今日"),
    ] {
        let filter = Filter::parse_text(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(filter.as_ref().map(show).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn arrays_mean_and_of_or() {
    for (value, expected) in [
        (json!(["a=1", ["b=2", "c=3"], []]), Some("(and a=1 (or b=2 c=3))")),
        (json!([["a=1"]]), Some("a=1")),
        (json!([" ", [""]]), None),
        (json!(""), None),
    ] {
        assert_eq!(Filter::parse(&value).expect("valid").as_ref().map(show).as_deref(), expected, "{value}");
    }
    for (value, message) in [
        (json!(12), "Invalid syntax for the filter parameter: `expected String, Array, found: 12`."),
        (json!(["a", ["b", ["c"]]]), "Invalid syntax for the filter parameter: `expected String, found: [\"c\"]`."),
        (json!([1]), "Invalid syntax for the filter parameter: `expected String, [String], found: 1`."),
        (json!([[["a"]]]), "Invalid syntax for the filter parameter: `expected String, found: [\"a\"]`."),
    ] {
        assert_eq!(Filter::parse(&value).expect_err("refused").to_string(), message);
    }
}

#[test]
fn attributes_are_listed_wherever_they_stand() {
    let value = json!(["NOT a = 1", ["b EXISTS", "c.d IN [e] AND _foreign(f, g = 1)"], "_geoRadius(1,2,3)"]);
    let filter = Filter::parse(&value).expect("valid").expect("asks for something");
    assert_eq!(filter.attributes().collect::<Vec<_>>(), ["a", "b", "c.d", "f", "g", "_geo"]);
}

#[test]
fn errors_say_what_and_where() {
    const FOREIGN: &str = "Was expecting a field name and an condition inside `_foreign(..)` filter but instead found";
    const OPERATIONS: &str = "Was expecting an operation `=`, `!=`, `>=`, `>`, `<=`, `<`, `IN`, `NOT IN`, `TO`, `EXISTS`, `NOT EXISTS`, `IS NULL`, `IS NOT NULL`, `IS EMPTY`, `IS NOT EMPTY`, `CONTAINS`, `NOT CONTAINS`, `STARTS WITH`, `NOT STARTS WITH`, `_geoRadius`, `_geoBoundingBox` or `_geoPolygon`";
    for (text, message) in [
        ("channel = Ponce = 12", "Found unexpected characters at the end of the filter: `= 12`. You probably forgot an `OR` or an `AND` rule.\n17:21 channel = Ponce = 12".to_owned()),
        ("channel =    ", "Was expecting a value but instead got nothing.\n14:14 channel =    ".to_owned()),
        ("channel = 🐻", "Was expecting a value but instead got `🐻`.\n11:12 channel = 🐻".to_owned()),
        ("channel = 🐻 AND followers < 100", "Was expecting a value but instead got `🐻`.\n11:12 channel = 🐻 AND followers < 100".to_owned()),
        ("channel Ponce", format!("{OPERATIONS} at `channel Ponce`.\n1:14 channel Ponce")),
        ("channel = Ponce OR", format!("{OPERATIONS} but instead got nothing.\n19:19 channel = Ponce OR")),
        ("_foreign", format!("{FOREIGN} ``.\n9:9 _foreign")),
        ("_foreign (author, a = 1)", format!("{FOREIGN} ` (author, a = 1)`.\n9:25 _foreign (author, a = 1)")),
        ("_foreign()", format!("{FOREIGN} ``.\n10:10 _foreign()")),
        ("_foreign(IN, a = 1)", format!("{FOREIGN} `IN,`.\n10:13 _foreign(IN, a = 1)")),
        ("_foreign('author, a = 1)", format!("{FOREIGN} `\\'author, a = 1)`.\n10:25 _foreign('author, a = 1)")),
        ("x = 1 AND _foreign(author b, a = 1)", format!("{FOREIGN} `b, a = 1)`.\n27:36 _foreign(author b, a = 1)")),
        ("_foreign(author,)", format!("{FOREIGN} `)`.\n17:18 _foreign(author,)")),
        ("_foreign(author, AND)", format!("{FOREIGN} `AND`.\n18:21 _foreign(author, AND)")),
        ("_foreign(author, a = )", format!("{FOREIGN} ``.\n22:22 _foreign(author, a = )")),
        ("_foreign(author, a IN [1)", format!("{FOREIGN} `)`.\n25:26 _foreign(author, a IN [1)")),
        ("_foreign(author, a = 1 AND )", format!("{FOREIGN} `)`.\n28:29 _foreign(author, a = 1 AND )")),
        ("_foreign(author, a = 1 b)", format!("{FOREIGN} `b)`.\n24:26 _foreign(author, a = 1 b)")),
        ("é = 1 AND _foreign(author, é)", format!("{FOREIGN} `é)`.\n28:30 _foreign(author, é)")),
        ("_foreign(author, (a = 1)", format!("{FOREIGN} ``.\n25:25 _foreign(author, (a = 1)")),
        (
            "x = 1 AND _foreign(author, a = 1) AND b = ",
            "Was expecting a value but instead got nothing.\n43:43 _foreign(author, a = 1) AND b = ".to_owned(),
        ),
        ("_geoRadius", "The `_geoRadius` filter must be in the form: `_geoRadius(latitude, longitude, radius, optionalResolution)`.\n11:11 _geoRadius".to_owned()),
        ("position <= _geoPoint(12, 13, 14)", "`_geoPoint` is a reserved keyword and thus can't be used as a filter expression. Use the `_geoRadius(latitude, longitude, distance)` or `_geoBoundingBox([latitude, longitude], [latitude, longitude])` built-in rules to filter on `_geo` coordinates.\n13:34 position <= _geoPoint(12, 13, 14)".to_owned()),
        ("position <= _geoRadius(12, 13, 14)", "The `_geoRadius` filter is an operation and can't be used as a value.\n13:35 position <= _geoRadius(12, 13, 14)".to_owned()),
        ("channel = 'ponce", "Expression `\\'ponce` is missing the following closing delimiter: `'`.\n11:17 channel = 'ponce".to_owned()),
        ("channel = mv OR (followers >= 1000", "Expression `(followers >= 1000` is missing the following closing delimiter: `)`.\n17:35 channel = mv OR (followers >= 1000".to_owned()),
        ("_geoBoundingBox([1,2],[3])", "Was expecting 2 coordinates but instead found 1.\n24:25 _geoBoundingBox([1,2],[3])".to_owned()),
        ("colour NOT EXIST", format!("{OPERATIONS} at `colour NOT EXIST`.\n1:17 colour NOT EXIST")),
        ("colour IN blue]", "Expected `[` after `IN` keyword.\n11:16 colour IN blue]".to_owned()),
        ("colour IN [blue", "Expected matching `]` after the list of field names given to `IN[`\n16:16 colour IN [blue".to_owned()),
        ("colour IN [blue, green", "Expected matching `]` after the list of field names given to `IN[`\n23:23 colour IN [blue, green".to_owned()),
        ("colour IN ['blue, green", "Expression `\\'blue, green` is missing the following closing delimiter: `'`.\n12:24 colour IN ['blue, green".to_owned()),
        ("x = AND", "Was expecting a value but instead got `AND`, which is a reserved keyword. To use `AND` as a field name or a value, surround it by quotes.\n5:8 x = AND".to_owned()),
        ("NOT OR EXISTS AND EXISTS NOT EXISTS", "Was expecting a value but instead got `OR`, which is a reserved keyword. To use `OR` as a field name or a value, surround it by quotes.\n5:7 NOT OR EXISTS AND EXISTS NOT EXISTS".to_owned()),
    ] {
        match Filter::parse_text(text) {
            Ok(filter) => panic!("{text} was read as {filter:?}"),
            Err(error) => assert_eq!(error.to_string(), message, "{text}"),
        }
    }
}

#[test]
fn places_are_counted_within_their_line() {
    let filter = Filter::parse_text("a = 1 AND\n  bé = 'c d'").expect("valid").expect("asks for something");
    let Filter::And(parts) = &filter else { panic!("{filter:?}") };
    let Filter::Compare { attribute, value, .. } = &parts[1] else { panic!("{filter:?}") };
    assert!(attribute.explain("no").starts_with("no\n3:5 "), "{}", attribute.explain("no"));
    assert!(value.explain("no").starts_with("no\n9:12 "), "{}", value.explain("no"));
    let error = Filter::parse_text("a = 1 AND\n b = AND").expect_err("a keyword").to_string();
    assert!(error.contains("\n6:9 "), "{error}");
}

#[test]
fn a_vector_condition_is_one_in_every_line() {
    // The line before has a quote where the attribute stands in its own.
    for text in ["a ='x'\nAND _vectors EXISTS", "a = b\nAND _vectors.e EXISTS"] {
        let filter = Filter::parse_text(text).expect(text).expect("asks for something");
        let Filter::And(parts) = &filter else { panic!("{filter:?}") };
        assert!(matches!(parts[1], Filter::VectorExists { .. }), "{text}: {filter:?}");
    }
    let quoted = "a = b AND\n'_vectors' EXISTS";
    assert_eq!(Filter::parse_text(quoted).expect(quoted).as_ref().map(show).as_deref(), Some("(and a=b _vectors?)"));
}

#[test]
fn long_lists_and_many_lists_are_read_in_one_pass() {
    let ids: Vec<String> = (100_000..200_000).map(|id| id.to_string()).collect();
    let Ok(Some(Filter::In { values, .. })) = Filter::parse_text(&format!("id IN [{}]", ids.join(","))) else {
        panic!("no list")
    };
    assert_eq!(values.len(), 100_000);
    let lists = ids.iter().map(|id| format!("id IN [{id}]")).collect::<Vec<_>>().join(" OR ");
    let Ok(Some(Filter::Or(lists))) = Filter::parse_text(&lists) else { panic!("no lists") };
    assert_eq!(lists.len(), 100_000);
}

#[test]
fn depth_is_bounded() {
    let deep = format!("{}a = 1{}", "(".repeat(10_000), ")".repeat(10_000));
    let error = Filter::parse_text(&deep).expect_err("too deep").to_string();
    assert!(error.starts_with("The filter exceeded the maximum depth limit."), "{}", &error[..80]);
    assert!(Filter::parse_text(&"NOT ".repeat(10_000)).is_err());
}

#[test]
fn no_text_makes_the_parser_panic() {
    proptest::proptest!(|(text in r#"( |\(|\)|a|"|'|=|<|!|NOT |AND |OR |IN|\[|\]|,|_geoRadius|_vectors|_foreign\(|_foreign|\.|TO |1|\\|é|\n){0,30}"#)| {
        let _ = Filter::parse_text(&text);
    });
}
