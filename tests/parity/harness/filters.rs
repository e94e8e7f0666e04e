//! Random filters over the attributes of a corpus: every operator, nested, as text and as arrays.

use serde_json::{Value, json};

use super::corpus::{Attribute, Corpus};
use crate::support::Random;

/// A filter in any of its forms.
pub fn filter(random: &mut Random, corpus: &Corpus) -> Value {
    match random.below(12) {
        0 => json!([condition(random, corpus), condition(random, corpus)]),
        1 => json!([[condition(random, corpus), condition(random, corpus)], condition(random, corpus)]),
        2 => json!([expression(random, corpus, 1), [condition(random, corpus)]]),
        _ => json!(expression(random, corpus, 2)),
    }
}

fn expression(random: &mut Random, corpus: &Corpus, depth: usize) -> String {
    if depth == 0 || random.percent(70) {
        return condition(random, corpus);
    }
    let left = expression(random, corpus, depth - 1);
    match random.below(5) {
        0 => format!("NOT ({left})"),
        1 | 2 => format!("({left}) AND ({})", expression(random, corpus, depth - 1)),
        3 => format!("{left} OR {}", expression(random, corpus, depth - 1)),
        _ => format!("({left} OR {}) AND NOT ({})", condition(random, corpus), condition(random, corpus)),
    }
}

fn condition(random: &mut Random, corpus: &Corpus) -> String {
    if corpus.has_places && random.percent(18) {
        return geographic(random);
    }
    let attribute = attribute(random, corpus);
    let name = quoted_name(&attribute.path);
    let (value, other) = (value(random, attribute), value(random, attribute));
    let (low, high) = (number(random, attribute), number(random, attribute));
    match random.below(24) {
        0..=4 => format!("{name} = {value}"),
        5 => format!("{name} != {value}"),
        6 | 7 => format!("{name} IN [{value}, {other}]"),
        8 => format!("{name} NOT IN [{value}, {other}]"),
        9 => format!("{name} > {low}"),
        10 => format!("{name} >= {low}"),
        11 => format!("{name} < {low}"),
        12 => format!("{name} <= {low}"),
        13 | 14 => format!("{name} {} TO {}", low.min(high), low.max(high)),
        15 => format!("{name} EXISTS"),
        16 => format!("{name} NOT EXISTS"),
        17 => format!("{name} IS NULL"),
        18 => format!("{name} IS NOT NULL"),
        19 => format!("{name} IS EMPTY"),
        20 => format!("{name} IS NOT EMPTY"),
        21 => format!("{name} STARTS WITH {}", beginning(random, attribute)),
        22 => format!("{name} NOT STARTS WITH {}", beginning(random, attribute)),
        _ => format!("NOT {name} = {value}"),
    }
}

/// Mostly one that can be filtered by, where the settings name them.
fn attribute<'a>(random: &mut Random, corpus: &'a Corpus) -> &'a Attribute {
    let filterable = corpus.setting_texts("filterableAttributes").unwrap_or_default();
    let named: Vec<&Attribute> =
        corpus.attributes.iter().filter(|attribute| filterable.contains(&attribute.path.as_str())).collect();
    if named.is_empty() || random.percent(4) {
        random.pick(&corpus.attributes)
    } else {
        random.pick::<&Attribute>(&named)
    }
}

fn quoted_name(path: &str) -> String {
    if path.is_ascii() && !path.contains('-') { path.to_owned() } else { format!("\"{path}\"") }
}

/// The first so many letters of a text are enough.
const VALUE_LETTERS_MAX: usize = 60;

/// One of the attribute's values, or another one, as a filter writes it.
fn value(random: &mut Random, attribute: &Attribute) -> String {
    if attribute.values.is_empty() || random.percent(5) {
        return random.pick(&["7", "'nothing at all'", "true", "''", "-1.5"]).to_string();
    }
    match random.pick(&attribute.values) {
        Value::String(text) => quoted(&text.chars().take(VALUE_LETTERS_MAX).collect::<String>()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other.to_string()
        }
    }
}

fn quoted(text: &str) -> String {
    if text.contains('\'') { format!("\"{}\"", text.replace('"', "\\\"")) } else { format!("'{text}'") }
}

fn beginning(random: &mut Random, attribute: &Attribute) -> String {
    let text = match attribute.values.get(random.below(attribute.values.len().max(1))) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "x".to_owned(),
    };
    quoted(&text.chars().take(1 + random.below(4)).collect::<String>())
}

fn number(random: &mut Random, attribute: &Attribute) -> f64 {
    let numbers: Vec<f64> = attribute.values.iter().filter_map(Value::as_f64).collect();
    if numbers.is_empty() { random.between(-10, 100) as f64 } else { *random.pick(&numbers) }
}

/// Latitude and longitude.
pub fn place(random: &mut Random) -> (f64, f64) {
    let near = |random: &mut Random| random.between(-20, 20) as f64 / 10.0;
    match random.below(4) {
        0 => (random.between(-700, 700) as f64 / 10.0, random.between(-1_700, 1_700) as f64 / 10.0),
        1 => (48.85 + near(random), 2.35 + near(random)),
        2 => (35.68, 139.69),
        _ => (near(random), 179.0),
    }
}

fn geographic(random: &mut Random) -> String {
    let (lat, lng) = place(random);
    let (height, width) = (random.between(1, 60) as f64, random.between(1, 120) as f64);
    let (top, right) = ((lat + height).min(89.5), lng + width);
    let right = if right > 180.0 { right - 360.0 } else { right };
    match random.below(7) {
        0..=2 => format!("_geoRadius({lat}, {lng}, {})", random.pick(&[1, 50_000, 300_000, 2_000_000, 9_000_000])),
        3 | 4 => format!("_geoBoundingBox([{top}, {right}], [{lat}, {lng}])"),
        5 => format!("NOT _geoRadius({lat}, {lng}, {})", random.between(1, 8_000_000)),
        _ => format!("_geoPolygon([{lat}, {lng}], [{top}, {lng}], [{top}, {right}])"),
    }
}
