//! Liquid templates that go to nodes: the marker is a field of their documents there, and must not be rendered.
//!
//! Loops over all fields get a guard around their body that leaves the marker out. A template that uses all fields without a
//! loop is refused, for there is nowhere to put a guard, and so is one that names the marker, or any field by a computed name.
//! What cannot be judged is refused: a guard that is put into a template which no node takes could make it one that they take.
//!
//! Templates that end a node are refused, too: a node would get them again and again. Meilisearch 1.50 panics while it reads
//! numbers that are too large and tags within comments, and runs out of stack where something is nested too deep.

use serde_json::Value;

use super::error::{ApiError, Code};
use crate::logic::marker;

mod liquid;

use liquid::{Markup, Piece, Token, pieces};

/// What one server renders of a document if nobody says anything else.
pub const DEFAULT_TEMPLATE: &str = "{% for field in fields %}{% if field.is_searchable and field.value != nil %}{{ field.name }}: {{ field.value }}\n{% endif %}{% endfor %}";

/// Blocks that may have an `else`, or end. What is within those that quote is no template.
const BLOCKS: [&str; 7] = ["if", "unless", "case", "for", "tablerow", "capture", "ifchanged"];
const QUOTES: [&str; 2] = ["raw", "comment"];

/// Blocks within blocks, and brackets in one tag or output. Nodes can bear some more.
const DEPTH_MAX: usize = 32;

/// A block that is open.
struct Block<'a> {
    name: &'a str,
    is_guarded: bool,
}

impl Block<'_> {
    /// Whether a tag of this name may be a part of it.
    fn has(&self, tag: &str) -> bool {
        match tag {
            "else" => ["if", "unless", "case", "for"].contains(&self.name),
            "when" => self.name == "case",
            "elsif" | "elseif" => ["if", "unless"].contains(&self.name),
            end => end.strip_prefix("end") == Some(self.name),
        }
    }
}

/// The template for nodes.
///
/// # Errors
/// `miroir_reserved_field`, `miroir_not_supported`.
pub fn guarded(template: &str) -> Result<String, ApiError> {
    if template.contains(marker::FIELD) {
        let message = format!("The attribute `{}` is reserved and cannot be used in a template.", marker::FIELD);
        return Err(ApiError::new(Code::MiroirReservedField, message));
    }
    let mut guard = Guard::default();
    let pieces = pieces(template);
    let mut rest = pieces.as_slice();
    while let [piece, after @ ..] = rest {
        rest = after;
        match piece {
            Piece::Text(text) => guard.out.push_str(text),
            Piece::Output(output) => {
                check_markup(output, &output.tokens)?;
                guard.out.push_str(output.text);
            }
            Piece::Tag(tag) => {
                guard.tag(tag)?;
                if tag.name().is_some_and(|name| QUOTES.contains(&name)) {
                    rest = guard.quote(tag, rest)?;
                }
            }
            // No node takes it.
            Piece::Unclosed(text) => guard.out.push_str(text),
        }
    }
    if guard.is_broken && guard.has_guards {
        return Err(unclear());
    }
    Ok(guard.out)
}

fn unclear() -> ApiError {
    let message = "Miroir does not support templates whose blocks or braces do not pair up if they loop over all fields, nor \
                   tags within `raw` or `comment`.";
    ApiError::new(Code::MiroirNotSupported, message)
}

/// A template on its way.
#[derive(Default)]
struct Guard<'a> {
    out: String,
    blocks: Vec<Block<'a>>,
    has_guards: bool,
    /// No node takes it as it is, and what is put into it could change that.
    is_broken: bool,
}

impl<'a> Guard<'a> {
    fn tag(&mut self, tag: &Markup<'a>) -> Result<(), ApiError> {
        let name = tag.name().unwrap_or_default();
        let is_end = name.strip_prefix("end").is_some_and(|block| BLOCKS.contains(&block));
        let is_part = ["else", "elsif", "elseif", "when"].contains(&name);
        if is_end || is_part {
            match self.blocks.last_mut() {
                Some(block) if block.has(name) => {
                    if std::mem::take(&mut block.is_guarded) {
                        self.out.push_str(if tag.text.starts_with("{%-") { "{%- endif %}" } else { "{% endif %}" });
                    }
                }
                Some(_) | None => self.is_broken = true,
            }
            if is_end {
                self.blocks.pop();
            }
        }
        self.out.push_str(tag.text);
        let condition = if name == "for" { guard_of(&tag.tokens) } else { None };
        let unguarded = if condition.is_some() { &tag.tokens[4..] } else { &tag.tokens };
        check_markup(tag, unguarded)?;
        if BLOCKS.contains(&name) {
            if self.blocks.len() == DEPTH_MAX {
                return Err(too_much());
            }
            self.blocks.push(Block { name, is_guarded: condition.is_some() });
        }
        if let Some(condition) = condition {
            self.has_guards = true;
            let end = if tag.text.ends_with("-%}") { "-%}" } else { "%}" };
            self.out.extend(["{% if ", &condition, " != \"", marker::FIELD, "\" ", end]);
        }
        Ok(())
    }

    /// Takes what is quoted as it is; what follows.
    fn quote<'p>(&mut self, tag: &Markup<'_>, rest: &'p [Piece<'a>]) -> Result<&'p [Piece<'a>], ApiError> {
        let is_quoted = |piece: &&Piece<'_>| match piece {
            Piece::Text(_) => true,
            Piece::Output(output) => !output.is_nested(),
            Piece::Tag(_) | Piece::Unclosed(_) => false,
        };
        let (quoted, after) = rest.split_at(rest.iter().take_while(is_quoted).count());
        let end = tag.name().map(|name| format!("end{name}"));
        match after {
            [Piece::Tag(last), after @ ..] if tag.is_bare() && last.is_bare() && last.name() == end.as_deref() => {
                self.out.extend(quoted.iter().map(Piece::text));
                self.out.push_str(last.text);
                Ok(after)
            }
            _ => Err(unclear()),
        }
    }
}

/// What is the name of a field in a loop over all of them.
fn guard_of(tokens: &[Token<'_>]) -> Option<String> {
    let [Token::Name(_), Token::Name(variable), Token::Name("in"), Token::Name(iterated), rest @ ..] = tokens else {
        return None;
    };
    if rest.first() == Some(&Token::Field) {
        return None;
    }
    match *iterated {
        "fields" => Some(format!("{variable}.name")),
        "doc" => Some(format!("{variable}[0]")),
        _ => None,
    }
}

fn too_much() -> ApiError {
    let message = format!(
        "Miroir does not support templates with blocks nested deeper than {DEPTH_MAX}, more brackets than that in one tag, or \
         numbers that need more than 64 bits: nodes cannot bear them."
    );
    ApiError::new(Code::MiroirNotSupported, message)
}

/// Checks an output or a tag, or those of its tokens that no guard covers.
fn check_markup(markup: &Markup<'_>, tokens: &[Token<'_>]) -> Result<(), ApiError> {
    if markup.depth_max() > DEPTH_MAX || markup.tokens.contains(&Token::TooLarge) {
        return Err(too_much());
    }
    check_uses(tokens)
}

/// Refuses all fields at once, and those of which only a node will know which they are.
fn check_uses(tokens: &[Token<'_>]) -> Result<(), ApiError> {
    for (place, token) in tokens.iter().enumerate() {
        let name = match token {
            Token::Name("doc") if tokens.get(place + 1) != Some(&Token::Field) => "doc",
            Token::Name("fields") => "fields",
            Token::Name(_) | Token::Field | Token::TooLarge | Token::Other => continue,
        };
        let message = format!(
            "Miroir does not support templates that use `{name}` as a whole, or by a computed name; name the fields of \
             `doc`, or loop over them with `for`."
        );
        return Err(ApiError::new(Code::MiroirNotSupported, message));
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
            ("{% comment %} for all: {{ fields }}, it's {%- endcomment %}{{ doc.a }}", ""),
            (
                "{% comment %}all{% endcomment %}{% for f in fields %}{{ f.name }}{% endfor %}",
                "{% comment %}all{% endcomment %}{% for f in fields %}{% if f.name != \"_miroir\" %}{{ f.name }}{% endif %}{% endfor %}",
            ),
            ("{{ '{{ doc }}' }}{% assign x = \"fields\" %}{{ x.doc }}{{ x[0].fields }}", ""),
            ("{{ doc['doc'].doc[x] }}", ""),
            // Nodes say what is wrong with these.
            ("{{ doc.a", ""),
            ("{% endif %}{{ doc.a }}", ""),
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
            ("{{- doc -}}", Code::MiroirNotSupported),
            ("{{ '}}{% comment %}' }}{{ doc }}{{ '{% endcomment %}' }}", Code::MiroirNotSupported),
            ("{% assign k = '_mir' | append: 'oir' %}{{ doc[k] }}", Code::MiroirNotSupported),
            ("{{ doc[doc.key] }}", Code::MiroirNotSupported),
            ("{{ fields[0].value }}", Code::MiroirNotSupported),
            ("{{ fields.first.value }}", Code::MiroirNotSupported),
            ("{% for f in fields reversed %}{{ fields.last }}{% endfor %}", Code::MiroirNotSupported),
            ("{% for i in (1..doc) %}{% endfor %}", Code::MiroirNotSupported),
            ("{% cycle nildoc %}", Code::MiroirNotSupported),
            ("{% capture x %}{%-if true-%}{{ doc | upcase }}{%-endif-%}{% endcapture %}", Code::MiroirNotSupported),
            // A part of the loop that would become a part of its guard.
            ("{% for f in fields %}{% elsif true %}{{ f.value }}{% endfor %}", Code::MiroirNotSupported),
            ("{% for f in fields %}{% endif %}{{ f.value }}{% if true %}{% endfor %}", Code::MiroirNotSupported),
            // Nodes panic, or run out of stack.
            ("{{ 9223372036854775808 }}", Code::MiroirNotSupported),
            ("{{ doc.a[-9223372036854775809] }}", Code::MiroirNotSupported),
            ("{% comment %}{% raw %}{% endcomment %}", Code::MiroirNotSupported),
            ("{% raw %}{{ doc }}", Code::MiroirNotSupported),
            // An end of the guard that only looks quoted, or only looks real.
            (
                "{% for f in fields %}{% comment %}{% endfor %}{% endcomment %}{% endif %}{{ f.value }}{% endfor %}",
                Code::MiroirNotSupported,
            ),
            (
                "{% for f in fields %}{% comment %}{{ x y ' {% endcomment %}{% endif %}{{ f.value }}{% if true %}{% comment %} ' }}{% endcomment %}{% endfor %}",
                Code::MiroirNotSupported,
            ),
            ("{{ doc._miroir }}", Code::MiroirReservedField),
            ("{{ doc[\"_miroir\"] }}", Code::MiroirReservedField),
        ] {
            assert_eq!(guarded(template).map_err(|error| error.code), Err(code), "{template}");
        }
        for deep in [
            format!("{{{{ {}1{} }}}}", "a[".repeat(33), "]".repeat(33)),
            format!("{}{}", "{% if a %}".repeat(33), "{% endif %}".repeat(33)),
        ] {
            assert_eq!(guarded(&deep).map_err(|error| error.code), Err(Code::MiroirNotSupported));
        }
        assert!(guarded(&format!("{}{}", "{% if a %}".repeat(32), "{% endif %}".repeat(32))).is_ok());
        let fragment = json!({"a": [{"text": "{{ doc }}"}]});
        assert!(guarded_value(&fragment).is_err());
        assert_eq!(guarded_value(&json!({"a": ["{{doc.b}}", 1, null]})), Ok(json!({"a": ["{{doc.b}}", 1, null]})));
    }
}
