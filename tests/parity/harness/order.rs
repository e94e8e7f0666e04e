//! The order of hits as the engine's score details tell it, written down once more: what Miroir shows must be sorted by it.

use std::cmp::Ordering;

use serde_json::Value;

/// The first place where a hit comes before one that is better, by the details that both show.
pub fn first_disorder(hits: &[Value]) -> Option<usize> {
    (1..hits.len()).find(|place| compare_hits(&hits[place - 1], &hits[*place]) == Ordering::Less)
}

/// `Greater` is better.
pub fn compare_hits(left: &Value, right: &Value) -> Ordering {
    compare_details(&left["_rankingScoreDetails"], &right["_rankingScoreDetails"])
}

fn compare_details(left: &Value, right: &Value) -> Ordering {
    let (Some(left), Some(right)) = (left.as_object(), right.as_object()) else { return Ordering::Equal };
    for ((name, left), (other_name, right)) in left.iter().zip(right) {
        // From here on nothing is comparable: other rules, or none for lack of time.
        if name != other_name {
            return (other_name == "skipped").cmp(&(name == "skipped"));
        }
        // Values that are not shown may differ, and then nothing behind them counts.
        if name.starts_with("<hidden") {
            return Ordering::Equal;
        }
        let order = compare_rule(name, left, right);
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn compare_rule(name: &str, left: &Value, right: &Value) -> Ordering {
    let by = |field: &str| compare_numbers(left[field].as_f64(), right[field].as_f64());
    if name.starts_with("_geoPoint(") {
        return by_direction(name, left["distance"].as_f64(), right["distance"].as_f64());
    }
    match name {
        "words" => by("matchingWords"),
        "typo" => by("typoCount").reverse(),
        "attribute" => by("attributeRankingOrderScore").then(by("queryWordDistanceScore")),
        // Of words by their number: what they are measured by may differ between nodes.
        "exactness" if left["matchType"] == right["matchType"] => by("matchingWords"),
        "vectorSort" => by("similarity"),
        _ if name.ends_with(":asc") || name.ends_with(":desc") => compare_values(name, &left["value"], &right["value"]),
        _ => by("score"),
    }
}

fn compare_numbers(left: Option<f64>, right: Option<f64>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) if (left - right).abs() > f64::EPSILON => left.total_cmp(&right),
        _ => Ordering::Equal,
    }
}

/// Numbers before texts before nothing, in both directions.
fn compare_values(rule: &str, left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(_), Value::Number(_)) => by_direction(rule, left.as_f64(), right.as_f64()),
        (Value::String(left), Value::String(right)) => directed(rule, left.as_bytes().cmp(right.as_bytes())),
        (Value::Null, Value::Null) => Ordering::Equal,
        (_, Value::Null) | (Value::Number(_), _) => Ordering::Greater,
        _ => Ordering::Less,
    }
}

fn by_direction(rule: &str, left: Option<f64>, right: Option<f64>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => directed(rule, left.total_cmp(&right)),
        (left, right) => left.is_some().cmp(&right.is_some()),
    }
}

/// The smaller of two values is the better one where a rule ascends.
fn directed(rule: &str, order: Ordering) -> Ordering {
    if rule.ends_with(":asc") { order.reverse() } else { order }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_out_of_order_is_found() {
        let words = |count: u64, price: Value| json!({"_rankingScoreDetails": {"words": {"matchingWords": count}, "price:asc": {"value": price}}});
        let hits = [words(2, json!(7)), words(2, json!("a")), words(2, Value::Null), words(1, json!(1))];
        assert_eq!(first_disorder(&hits), None);
        for (one, other) in [(0, 1), (1, 2), (2, 3)] {
            let mut wrong = hits.clone();
            wrong.swap(one, other);
            assert!(first_disorder(&wrong).is_some(), "{one}");
        }
    }
}
