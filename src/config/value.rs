//! How values are written: durations, sizes, addresses, lists of cores, nodes. Every refusal says how it should look.
//!
//! A value comes from YAML (typed) or from the environment and the command line (text); each reader takes both.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::settings::{Cores, NodeSettings, Secret};
use crate::logic::ids::NodeId;
use crate::logic::throttle::HourSpan;

/// The longest name of a node, in bytes.
const NODE_ID_MAX: usize = 64;

/// The largest core number that is taken seriously.
const CORE_MAX: usize = 4095;

/// What a reader answers: the value, or what is wrong and how to write it.
pub type Parsed<T> = Result<T, String>;

/// The value as it was written, for messages. Never called for secrets.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => format!("`{value}`"),
    }
}

fn text_of(value: &Value) -> Option<&str> {
    value.as_str().map(str::trim)
}

/// Any text that is not empty.
pub fn text(value: &Value) -> Parsed<String> {
    match text_of(value) {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        Some(_) | None => Err(format!("{} is no text; write one, in quotes if it looks like a number", shown(value))),
    }
}

/// A key. Its value is never repeated in a message.
pub fn secret(value: &Value) -> Parsed<Secret> {
    let Some(text) = value.as_str() else {
        return Err("must be a text; put it in quotes if it looks like a number".to_owned());
    };
    if text.is_empty() {
        return Err("is empty; give a key or leave it out".to_owned());
    }
    if !text.bytes().all(|byte| (b'!'..=b'~').contains(&byte)) {
        return Err("has characters that no HTTP header can carry; use printable ASCII without spaces".to_owned());
    }
    Ok(Secret::new(text))
}

/// A text for the value of a header, which may have spaces within.
pub fn header(value: &Value) -> Parsed<Secret> {
    let Some(text) = value.as_str() else {
        return Err("must be a text; put it in quotes if it looks like a number".to_owned());
    };
    let is_shown = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if text.is_empty() || text.trim() != text || !is_shown {
        return Err("is not what an HTTP header can carry; use printable ASCII without spaces around it".to_owned());
    }
    Ok(Secret::new(text))
}

/// `http://` or `https://` with a host.
pub fn url(value: &Value) -> Parsed<Secret> {
    let secret = secret(value)?;
    let is_url = http::Uri::try_from(secret.expose()).is_ok_and(|uri| {
        uri.host().is_some_and(|host| !host.is_empty()) && matches!(uri.scheme_str(), Some("http" | "https"))
    });
    if is_url { Ok(secret) } else { Err("is no URL; write http://HOST/PATH or https://HOST/PATH".to_owned()) }
}

/// `IP:PORT`.
pub fn address(value: &Value) -> Parsed<SocketAddr> {
    let parsed = text_of(value).and_then(|text| text.parse().ok());
    parsed
        .ok_or_else(|| format!("{} is no address; write IP:PORT, as in `127.0.0.1:7700` or `[::1]:7700`", shown(value)))
}

/// A whole number in a range, both ends included.
pub fn integer(value: &Value, min: u64, max: u64) -> Parsed<u64> {
    let number = value.as_u64().or_else(|| text_of(value).and_then(|text| text.parse().ok()));
    match number {
        Some(number) if (min..=max).contains(&number) => Ok(number),
        Some(_) | None => Err(format!("{} is not a whole number from {min} to {max}", shown(value))),
    }
}

/// Digits (with an optional fraction) and the unit behind them.
fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

/// A number with a unit of time; never zero, at most a year.
pub fn duration(value: &Value) -> Parsed<Duration> {
    const YEAR_S: f64 = 365.0 * 24.0 * 3600.0;
    let wrong =
        || format!("{} is no duration; write a number above 0 with ms, s, m, h or d, as in `10s`", shown(value));
    let (number, unit) = text_of(value).and_then(number_and_unit).ok_or_else(wrong)?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        "d" => number * 86400.0,
        _ => return Err(wrong()),
    };
    if (0.001..=YEAR_S).contains(&seconds) { Ok(Duration::from_secs_f64(seconds)) } else { Err(wrong()) }
}

/// The same, or `off`, which is none.
pub fn duration_or_off(value: &Value) -> Parsed<Option<Duration>> {
    // YAML may take the word for `false`.
    if text_of(value) == Some("off") || *value == Value::Bool(false) {
        return Ok(None);
    }
    duration(value).map(Some).map_err(|message| format!("{message}, or `off`"))
}

/// A number of bytes, with or without a unit: KB, MB, GB, TB count by 1000, KiB, MiB, GiB, TiB by 1024.
pub fn size(value: &Value) -> Parsed<u64> {
    let wrong = || {
        format!(
            "{} is no size; write a number above 0 with B, KB, MB, GB, KiB, MiB or GiB, as in `100MB`",
            shown(value)
        )
    };
    if let Some(bytes) = value.as_u64() {
        return if bytes == 0 { Err(wrong()) } else { Ok(bytes) };
    }
    let (number, unit) = text_of(value).and_then(number_and_unit).ok_or_else(wrong)?;
    let factor = match unit {
        "" | "B" => 1.0,
        "KB" | "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        "TiB" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    let bytes = number * factor;
    if (1.0..1e18).contains(&bytes) { Ok(bytes as u64) } else { Err(wrong()) }
}

/// One of these words; its place in the list.
pub fn choice(value: &Value, words: &[&str]) -> Parsed<usize> {
    // What YAML takes these words for.
    let text = match value {
        Value::Bool(true) => Some("on"),
        Value::Bool(false) => Some("off"),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => text_of(value),
    };
    let place = text.and_then(|text| words.iter().position(|word| *word == text));
    place.ok_or_else(|| format!("{} is none of: {}", shown(value), words.join(", ")))
}

/// Two hours of the day, `22-6`.
pub fn hours(value: &Value) -> Parsed<HourSpan> {
    let span = text_of(value).and_then(|text| text.split_once('-'));
    let span = span.and_then(|(from, to)| Some((from.trim().parse().ok()?, to.trim().parse().ok()?)));
    match span {
        Some((from @ 0..=23, to @ 0..=23)) => Ok(HourSpan { from, to }),
        Some(_) | None => {
            Err(format!("{} is no time of the day; write two hours from 0 to 23, as in `22-6`", shown(value)))
        }
    }
}

/// `auto` or core numbers.
pub fn cores(value: &Value) -> Parsed<Cores> {
    let wrong = || format!("{} is neither `auto` nor a list of different core numbers such as `[0, 1]`", shown(value));
    let core = |item: &Value| integer(item, 0, CORE_MAX as u64).map(|core| core as usize).map_err(|_| wrong());
    let list: Vec<usize> = match value {
        Value::String(text) if text.trim() == "auto" => return Ok(Cores::Auto),
        Value::String(text) => text.split(',').map(|part| core(&Value::from(part.trim()))).collect::<Parsed<_>>()?,
        Value::Array(items) => items.iter().map(core).collect::<Parsed<_>>()?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return Err(wrong()),
    };
    let mut sorted = list.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if list.is_empty() || sorted.len() != list.len() { Err(wrong()) } else { Ok(Cores::List(list)) }
}

/// The fleet. All that is wrong with it is reported, one text for each problem with the place it is at (`[1].url`).
pub fn nodes(value: &Value) -> Result<Vec<NodeSettings>, Vec<(String, String)>> {
    const REMEDY: &str = "write a list of nodes, each with `id` and `url`";
    let read_text;
    let value = match value {
        // The environment and the command line carry the list as YAML or JSON.
        Value::String(text) => match serde_saphyr::from_str::<Value>(text) {
            Ok(read) => {
                read_text = read;
                &read_text
            }
            Err(error) => return Err(vec![(String::new(), format!("cannot be read as YAML ({error}); {REMEDY}"))]),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value,
    };
    let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
        return Err(vec![(String::new(), format!("is no list with at least one node; {REMEDY}"))]);
    };
    let mut problems = Vec::new();
    let mut nodes: Vec<NodeSettings> = Vec::new();
    for (place, item) in items.iter().enumerate() {
        let Some(node) = node(item, &format!("[{place}]"), &mut problems) else { continue };
        for earlier in &nodes {
            if earlier.id == node.id {
                problems
                    .push((format!("[{place}].id"), format!("`{}` names two nodes; give each its own id", node.id)));
            }
            if earlier.url == node.url {
                problems.push((
                    format!("[{place}].url"),
                    format!("{} is the url of two nodes; list each server once", node.url),
                ));
            }
        }
        nodes.push(node);
    }
    if problems.is_empty() { Ok(nodes) } else { Err(problems) }
}

fn node(item: &Value, place: &str, problems: &mut Vec<(String, String)>) -> Option<NodeSettings> {
    let Some(fields) = item.as_object() else {
        problems.push((place.to_owned(), "is no mapping; write `id: NAME` and `url: http://HOST:PORT`".to_owned()));
        return None;
    };
    for name in fields.keys() {
        if !["id", "url", "zone", "weight"].contains(&name.as_str()) {
            let message = "unknown key; a node has `id`, `url`, `zone` and `weight`".to_owned();
            problems.push((format!("{place}.{name}"), message));
        }
    }
    let mut read = |name: &str, parsed: Parsed<String>| match parsed {
        Ok(text) => Some(text),
        Err(message) => {
            problems.push((format!("{place}.{name}"), message));
            None
        }
    };
    let absent = &Value::Null;
    let id = read("id", node_id(fields.get("id").unwrap_or(absent)));
    let url = read("url", node_url(fields.get("url").unwrap_or(absent)));
    let zone = fields.get("zone").map(|zone| read("zone", text(zone)));
    let weight = fields.get("weight").map_or(Some(1.0), |value| {
        let weight = value.as_f64().filter(|weight| (0.001..=1000.0).contains(weight));
        if weight.is_none() {
            problems.push((format!("{place}.weight"), format!("{} is no number from 0.001 to 1000", shown(value))));
        }
        weight
    });
    let zone = match zone {
        None => None,
        Some(None) => return None,
        Some(Some(zone)) => Some(zone.into()),
    };
    Some(NodeSettings { id: NodeId::new(id?), url: url?, zone, weight: weight? })
}

fn node_id(value: &Value) -> Parsed<String> {
    let is_good = |text: &&str| {
        (1..=NODE_ID_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let id = text_of(value).filter(is_good).map(str::to_owned);
    id.ok_or_else(|| format!("{} is no id; write 1 to {NODE_ID_MAX} letters, digits, `-` or `_`", shown(value)))
}

fn node_url(value: &Value) -> Parsed<String> {
    let wrong = || format!("{} is no url of a node; write `http://HOST:PORT`", shown(value));
    let url = text_of(value).ok_or_else(wrong)?.trim_end_matches('/');
    if url.starts_with("https://") {
        return Err(format!(
            "{} speaks TLS, which is not supported towards nodes yet; use `http://HOST:PORT`",
            shown(value)
        ));
    }
    let parsed: http::Uri = url.parse().map_err(|_| wrong())?;
    let is_plain = parsed.scheme_str() == Some("http")
        && parsed.host().is_some_and(|host| !host.is_empty())
        && parsed.port_u16().is_some_and(|port| port > 0)
        && parsed.path() == "/"
        && parsed.query().is_none()
        && !url.contains('@');
    if is_plain { Ok(url.to_owned()) } else { Err(wrong()) }
}
