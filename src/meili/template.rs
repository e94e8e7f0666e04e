//! Liquid templates that go to nodes: the marker is a field of their documents there, and must not be rendered.
//!
//! Loops over all fields get a guard around their body that leaves the marker out. A template that uses all fields without a
//! loop is refused, for there is nowhere to put a guard, and so is one that names the marker.

use serde_json::Value;

use super::error::{ApiError, Code};
use crate::logic::marker;

/// What one server renders of a document if nobody says anything else.
pub const DEFAULT_TEMPLATE: &str = "{% for field in fields %}{% if field.is_searchable and field.value != nil %}{{ field.name }}: {{ field.value }}\n{% endif %}{% endfor %}";

/// A piece of a template.
#[derive(Clone, Copy, Debug)]
enum Piece<'a> {
    Text(&'a str),
    /// `{{ … }}`, with its braces.
    Output(&'a str),
    /// `{% … %}`, with its braces.
    Tag(&'a str),
}

impl<'a> Piece<'a> {
    /// What is between the braces of a tag or an output, without dashes.
    fn inside(text: &'a str) -> &'a str {
        let inside = text.get(2..text.len() - 2).unwrap_or_default();
        let inside = inside.strip_prefix('-').unwrap_or(inside);
        inside.strip_suffix('-').unwrap_or(inside).trim()
    }
}

/// Cuts a template. What is not closed is text: nodes say what is wrong with it.
fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while !rest.is_empty() {
        let Some(start) = rest.find("{{").into_iter().chain(rest.find("{%")).min() else { break };
        let is_tag = rest[start..].starts_with("{%");
        let Some(length) = rest[start..].find(if is_tag { "%}" } else { "}}" }) else { break };
        let (text, after) = rest.split_at(start);
        let (braces, after) = after.split_at(length + 2);
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        pieces.push(if is_tag { Piece::Tag(braces) } else { Piece::Output(braces) });
        rest = after;
        // What is raw, or a comment, is no template.
        let end = match is_tag.then(|| Piece::inside(braces)) {
            Some("raw") => "endraw",
            Some("comment") => "endcomment",
            Some(_) | None => continue,
        };
        let length = rest.find(end).map_or(rest.len(), |at| rest[..at].rfind("{%").unwrap_or(at));
        let (text, after) = rest.split_at(length);
        pieces.push(Piece::Text(text));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

/// Blocks that may have an `else`, or end.
const BLOCKS: [&str; 7] = ["if", "unless", "case", "for", "tablerow", "capture", "ifchanged"];

/// The template for nodes.
///
/// # Errors
/// `miroir_reserved_field`, `miroir_not_supported`.
pub fn guarded(template: &str) -> Result<String, ApiError> {
    if template.contains(marker::FIELD) {
        let message = format!("The attribute `{}` is reserved and cannot be used in a template.", marker::FIELD);
        return Err(ApiError::new(Code::MiroirReservedField, message));
    }
    let mut out = String::with_capacity(template.len());
    // Of each open block whether a guard is open in it.
    let mut blocks: Vec<bool> = Vec::new();
    for piece in pieces(template) {
        let tag = match piece {
            Piece::Text(text) => {
                out.push_str(text);
                continue;
            }
            Piece::Output(output) => {
                check_parts(Piece::inside(output))?;
                out.push_str(output);
                continue;
            }
            Piece::Tag(tag) => tag,
        };
        let inside = Piece::inside(tag);
        let name = inside.split(|c: char| c.is_whitespace()).next().unwrap_or_default();
        let is_end = name.strip_prefix("end").is_some_and(|name| BLOCKS.contains(&name));
        if is_end || name == "else" {
            if blocks.last() == Some(&true) {
                out.push_str(if tag.starts_with("{%-") { "{%- endif %}" } else { "{% endif %}" });
                blocks.pop();
                blocks.push(false);
            }
            if is_end {
                blocks.pop();
            }
            out.push_str(tag);
            continue;
        }
        out.push_str(tag);
        let condition = if name == "for" { guard_of(inside) } else { None };
        if condition.is_none() {
            check_parts(inside)?;
        }
        if BLOCKS.contains(&name) {
            blocks.push(condition.is_some());
        }
        if let Some(condition) = condition {
            let end = if tag.ends_with("-%}") { "-%}" } else { "%}" };
            out.extend(["{% if ", &condition, " != \"", marker::FIELD, "\" ", end]);
        }
    }
    Ok(out)
}

/// What is the name of a field in a loop over all of them.
fn guard_of(inside: &str) -> Option<String> {
    let mut words = inside.split_whitespace().skip(1);
    let (variable, _in, iterated) = (words.next()?, words.next()?, words.next()?);
    match iterated {
        "fields" => Some(format!("{variable}.name")),
        "doc" => Some(format!("{variable}[0]")),
        _ => None,
    }
}

/// Refuses all fields at once.
fn check_parts(expression: &str) -> Result<(), ApiError> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let mut quote = None;
    let mut before = ' ';
    for (at, letter) in expression.char_indices() {
        match quote {
            Some(open) if open == letter => quote = None,
            Some(_) => {}
            None if letter == '"' || letter == '\'' => quote = Some(letter),
            None if !is_word(before) && before != '.' => {
                for name in ["doc", "fields"] {
                    let Some(after) = expression[at..].strip_prefix(name) else { continue };
                    let next = after.trim_start().chars().next();
                    let is_other_word = after.starts_with(is_word);
                    if !is_other_word && !matches!(next, Some('.' | '[')) {
                        let message = format!(
                            "Miroir does not support templates that use `{name}` as a whole; name its fields, or loop over \
                             them with `for`."
                        );
                        return Err(ApiError::new(Code::MiroirNotSupported, message));
                    }
                }
            }
            None => {}
        }
        before = letter;
    }
    Ok(())
}

/// The same for every text in a value: fragments.
///
/// # Errors
/// As [`guarded`].
pub fn guarded_value(value: &Value) -> Result<Value, ApiError> {
    Ok(match value {
        Value::String(text) => Value::String(guarded(text)?),
        Value::Array(list) => Value::Array(list.iter().map(guarded_value).collect::<Result<_, _>>()?),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| Ok((name.clone(), guarded_value(value)?)));
            Value::Object(fields.collect::<Result<_, ApiError>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn loops_over_all_fields_leave_the_marker_out() {
        for (template, expected) in [
            ("a {{doc.title}} {{ doc['x'] | upcase }}", "a {{doc.title}} {{ doc['x'] | upcase }}"),
            (
                "{% for field in fields %}{{ field.name }}{% endfor %}",
                "{% for field in fields %}{% if field.name != \"_miroir\" %}{{ field.name }}{% endif %}{% endfor %}",
            ),
            (
                "{%- for p in doc limit:2 -%} {{p[1]}} {%- else -%} none {%- endfor -%}",
                "{%- for p in doc limit:2 -%}{% if p[0] != \"_miroir\" -%} {{p[1]}} {%- endif %}{%- else -%} none {%- endfor -%}",
            ),
            (
                "{% for t in doc.tags %}{% if t %}{{t}}{% else %}-{% endif %}{% endfor %}",
                "{% for t in doc.tags %}{% if t %}{{t}}{% else %}-{% endif %}{% endfor %}",
            ),
            (
                "{% for f in fields %}{% if f.value %}a{% else %}b{% endif %}{% endfor %}",
                "{% for f in fields %}{% if f.name != \"_miroir\" %}{% if f.value %}a{% else %}b{% endif %}{% endif %}{% endfor %}",
            ),
            ("{% raw %}{{ doc }}{% endraw %}{% comment %}{{ fields }}{% endcomment %}{{ 'doc' }} {{ docs }}", ""),
            ("{{ doc.a", ""),
            ("{% if doc.doc == nil %}x{% endif %}", ""),
        ] {
            let expected = if expected.is_empty() { template } else { expected };
            assert_eq!(guarded(template).as_deref(), Ok(expected));
        }
        assert!(guarded(DEFAULT_TEMPLATE).is_ok_and(|guarded| guarded.contains("_miroir")));
    }

    #[test]
    fn what_cannot_be_guarded_is_refused() {
        for (template, code) in [
            ("{{ doc }}", Code::MiroirNotSupported),
            ("{{ fields | size }}", Code::MiroirNotSupported),
            ("{% assign d = doc %}", Code::MiroirNotSupported),
            ("{% tablerow f in fields %}{% endtablerow %}", Code::MiroirNotSupported),
            ("{{ doc._miroir }}", Code::MiroirReservedField),
            ("{{ doc[\"_miroir\"] }}", Code::MiroirReservedField),
        ] {
            assert_eq!(guarded(template).map_err(|error| error.code), Err(code), "{template}");
        }
        let fragment = json!({"a": [{"text": "{{ doc }}"}]});
        assert!(guarded_value(&fragment).is_err());
        assert_eq!(guarded_value(&json!({"a": ["{{doc.b}}", 1, null]})), Ok(json!({"a": ["{{doc.b}}", 1, null]})));
    }
}
