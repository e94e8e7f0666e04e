//! Documents as texts for a model, by the template of an index.
//!
//! A template is a program of whoever may change settings: it may never end, and take all memory there is (by ranges, or
//! texts that double). So it is rendered in a process of its own, which is small and does not live long. What of it would
//! end a node is refused by [`guarded`].

use std::io::{self, Write};

use liquid::model::{ArrayView, DisplayCow, KStringCow, ObjectRender, ObjectSource, ScalarCow, State, Value as Liquid};
use liquid::{ObjectView, ParserBuilder, ValueView};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::meili::template::guarded;

/// Bytes of the texts of all documents of a search.
const TEXTS_MAX: usize = 8 * 1024 * 1024;

/// Documents that are to be rendered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rendering {
    /// The template.
    pub template: String,
    /// By which documents are named in errors.
    pub primary_key: String,
    /// Attributes that are searched; none: all.
    pub searchable: Option<Vec<String>>,
    /// With all their fields.
    pub documents: Vec<Map<String, Value>>,
}

impl Rendering {
    /// One text for each document.
    ///
    /// # Errors
    /// Why not, for the model.
    pub fn texts(self) -> Result<Vec<String>, String> {
        guarded(&self.template).map_err(|error| error.message)?;
        let parser = ParserBuilder::with_stdlib().build().map_err(|error| error.to_string())?;
        let template =
            parser.parse(&self.template).map_err(|error| format!("user error: cannot parse template: {error}"))?;
        let mut room = TEXTS_MAX;
        let mut texts = Vec::new();
        for document in self.documents {
            let id =
                document.get(&self.primary_key).map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
            let mut text = Bounded { text: Vec::new(), room };
            template.render_to(&mut text, &context(document, self.searchable.as_deref())).map_err(|error| {
                let id = id.unwrap_or_default();
                format!("user error: missing field in document `{id}`: {error}")
            })?;
            room = text.room;
            texts.push(String::from_utf8_lossy(&text.text).into_owned());
        }
        Ok(texts)
    }
}

/// A text that does not grow beyond its bound.
struct Bounded {
    text: Vec<u8>,
    room: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.room = self.room.checked_sub(bytes.len()).ok_or_else(|| io::Error::other("the text is too long"))?;
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What templates see: `doc`, and its fields as a list.
fn context(document: Map<String, Value>, searchable: Option<&[String]>) -> Fields {
    let is_searchable = |name: &String| searchable.is_none_or(|names| names.contains(name));
    let field = |(name, value): (&String, &Value)| {
        Seen::Fields(Fields(vec![
            ("name".to_owned(), Seen::Plain(Liquid::scalar(name.clone()))),
            ("value".to_owned(), seen(value.clone())),
            ("is_searchable".to_owned(), Seen::Plain(Liquid::scalar(is_searchable(name)))),
        ]))
    };
    let fields = document.iter().map(field).collect();
    Fields(vec![("doc".to_owned(), seen(Value::Object(document))), ("fields".to_owned(), Seen::List(fields))])
}

/// A value of a document. Objects keep the order of their fields, which liquid's own do not (and so not in loops).
#[derive(Clone, Debug)]
enum Seen {
    Plain(Liquid),
    List(Vec<Seen>),
    Fields(Fields),
}

#[derive(Clone, Debug)]
struct Fields(Vec<(String, Seen)>);

fn seen(value: Value) -> Seen {
    match value {
        Value::Null => Seen::Plain(Liquid::Nil),
        Value::Bool(value) => Seen::Plain(Liquid::scalar(value)),
        Value::Number(number) => Seen::Plain(match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Liquid::scalar(whole),
            (None, Some(real)) if !number.is_u64() => Liquid::scalar(real),
            (None, _) => Liquid::scalar(number.to_string()),
        }),
        Value::String(text) => Seen::Plain(Liquid::scalar(text)),
        Value::Array(items) => Seen::List(items.into_iter().map(seen).collect()),
        Value::Object(fields) => {
            Seen::Fields(Fields(fields.into_iter().map(|(name, value)| (name, seen(value))).collect()))
        }
    }
}

impl Seen {
    fn inner(&self) -> &dyn ValueView {
        match self {
            Self::Plain(value) => value,
            Self::List(items) => items,
            Self::Fields(fields) => fields,
        }
    }
}

impl ValueView for Seen {
    fn as_debug(&self) -> &dyn std::fmt::Debug {
        self
    }

    fn render(&self) -> DisplayCow<'_> {
        self.inner().render()
    }

    fn source(&self) -> DisplayCow<'_> {
        self.inner().source()
    }

    fn type_name(&self) -> &'static str {
        self.inner().type_name()
    }

    fn query_state(&self, state: State) -> bool {
        self.inner().query_state(state)
    }

    fn to_kstr(&self) -> KStringCow<'_> {
        self.inner().to_kstr()
    }

    fn to_value(&self) -> Liquid {
        self.inner().to_value()
    }

    fn as_scalar(&self) -> Option<ScalarCow<'_>> {
        self.inner().as_scalar()
    }

    fn as_array(&self) -> Option<&dyn ArrayView> {
        self.inner().as_array()
    }

    fn as_object(&self) -> Option<&dyn ObjectView> {
        self.inner().as_object()
    }

    fn is_nil(&self) -> bool {
        self.inner().is_nil()
    }
}

impl ValueView for Fields {
    fn as_debug(&self) -> &dyn std::fmt::Debug {
        self
    }

    fn render(&self) -> DisplayCow<'_> {
        DisplayCow::Owned(Box::new(ObjectRender::new(self)))
    }

    fn source(&self) -> DisplayCow<'_> {
        DisplayCow::Owned(Box::new(ObjectSource::new(self)))
    }

    fn type_name(&self) -> &'static str {
        "object"
    }

    fn query_state(&self, state: State) -> bool {
        match state {
            State::Truthy => true,
            State::DefaultValue | State::Empty | State::Blank => self.0.is_empty(),
        }
    }

    fn to_kstr(&self) -> KStringCow<'_> {
        KStringCow::from_string(ObjectRender::new(self).to_string())
    }

    fn to_value(&self) -> Liquid {
        Liquid::Object(self.0.iter().map(|(name, value)| (name.clone().into(), value.to_value())).collect())
    }

    fn as_object(&self) -> Option<&dyn ObjectView> {
        Some(self)
    }
}

impl ObjectView for Fields {
    fn as_value(&self) -> &dyn ValueView {
        self
    }

    fn size(&self) -> i64 {
        self.0.len() as i64
    }

    fn keys<'k>(&'k self) -> Box<dyn Iterator<Item = KStringCow<'k>> + 'k> {
        Box::new(self.0.iter().map(|(name, _)| KStringCow::from_ref(name)))
    }

    fn values<'k>(&'k self) -> Box<dyn Iterator<Item = &'k dyn ValueView> + 'k> {
        Box::new(self.0.iter().map(|(_, value)| value as &dyn ValueView))
    }

    fn iter<'k>(&'k self) -> Box<dyn Iterator<Item = (KStringCow<'k>, &'k dyn ValueView)> + 'k> {
        Box::new(self.keys().zip(self.values()))
    }

    fn contains_key(&self, index: &str) -> bool {
        self.get(index).is_some()
    }

    fn get<'s>(&'s self, index: &str) -> Option<&'s dyn ValueView> {
        self.0.iter().find(|(name, _)| name == index).map(|(_, value)| value as &dyn ValueView)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rendered(template: &str, document: &Value) -> Result<Vec<String>, String> {
        let documents = vec![document.as_object().expect("an object").clone()];
        let searchable = Some(vec!["t".to_owned(), "k".to_owned()]);
        let (template, primary_key) = (template.to_owned(), "id".to_owned());
        Rendering { template, primary_key, searchable, documents }.texts()
    }

    #[test]
    fn documents_become_texts() {
        let document =
            json!({"id": 7, "t": "T", "n": {"b": [1, 2.5], "a": null}, "big": u64::MAX, "k": {"x": [1, 2.5]}});
        let table = [
            ("{{ doc.k }}", "x12.5"),
            ("{{ doc.t }} {{doc.n.b[1]}} {{doc.n.a}}{{doc.big}}", "T 2.5 18446744073709551615"),
            (crate::meili::template::DEFAULT_TEMPLATE, "t: T\nk: x12.5\n"),
            ("{% if doc.n.a %}a{% elsif doc.t == 'T' %}b{% endif %}", "b"),
        ];
        for (template, text) in table {
            assert_eq!(rendered(template, &document), Ok(vec![text.to_owned()]), "{template}");
        }
        let error = rendered("{{ doc.gone }}", &document).unwrap_err();
        assert!(error.starts_with("user error: missing field in document `7`: liquid: Unknown index"), "{error}");
        assert!(rendered("{{ doc.t ", &document).unwrap_err().contains("cannot parse template"));
    }

    #[test]
    fn texts_are_bounded() {
        let template = |times: usize| format!("{{% for i in (1..{times}) %}}xxxxxxxxxxxxxxxxxxxxxxxx{{% endfor %}}");
        assert!(rendered(&template(300_000), &json!({"id": 1})).is_ok());
        assert!(rendered(&template(400_000), &json!({"id": 1})).is_err());
    }
}
