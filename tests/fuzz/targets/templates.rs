//! What a guarded template renders does not depend on the marker, and it is a template wherever the client's is one.

#![no_main]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use liquid::model::Value;

#[path = "../properties.rs"]
#[allow(dead_code, reason = "each target shows one property")]
mod properties;

const MARKER: &str = "_miroir";

fn document() -> liquid::Object {
    let doc = liquid::object!({"_miroir": "one", "a": "x", "b": ["y", "z"], "c": {"d": 1}});
    let field = |(name, value): (&liquid::model::KString, &Value)| {
        Value::Object(liquid::object!({"name": name, "value": value, "is_searchable": true, "is_filterable": false}))
    };
    let fields: Vec<Value> = doc.iter().map(field).collect();
    liquid::object!({"doc": doc, "fields": fields})
}

/// In place: in another object loops would come to the fields in another order.
fn set_marker(document: &mut liquid::Object, marker: &'static str) {
    let set = |object: &mut liquid::Object, name: &str| drop(object.insert(name.to_owned().into(), Value::scalar(marker)));
    if let Some(Value::Object(doc)) = document.get_mut("doc") {
        set(doc, MARKER);
    }
    if let Some(Value::Array(fields)) = document.get_mut("fields") {
        for field in fields {
            if let Value::Object(field) = field
                && field.get("name").is_some_and(|name| *name == Value::scalar(MARKER))
            {
                set(field, "value");
            }
        }
    }
}

thread_local! {
    /// Filters panic at some values. That is no finding here.
    static RENDERS: Cell<bool> = const { Cell::new(false) };
}

/// What a node renders of a document; none: it refuses the template.
fn rendered(template: &str, document: &liquid::Object) -> Option<String> {
    let parser = liquid::ParserBuilder::with_stdlib().build().expect("the standard library is complete");
    let parsed = parser.parse(template).ok()?;
    RENDERS.set(true);
    let rendered = catch_unwind(AssertUnwindSafe(|| parsed.render(document).unwrap_or_default()));
    RENDERS.set(false);
    Some(rendered.unwrap_or_default())
}

fn hear_panics_of_reading_only() {
    let hook = take_hook();
    set_hook(Box::new(move |panic| {
        if !RENDERS.get() {
            hook(panic);
        }
    }));
}

libfuzzer_sys::fuzz_target!(init: hear_panics_of_reading_only(), |data: &[u8]| {
    let Some((template, guarded)) = properties::guarded_template(data) else { return };
    // Loops within loops take for ever.
    if template.contains("..") || template.matches("for").count() > 8 {
        return;
    }
    let mut document = document();
    let shown = rendered(&guarded, &document);
    assert!(shown.is_some() || rendered(template, &document).is_none(), "{template}\n{guarded}");
    set_marker(&mut document, "two");
    assert_eq!(shown, rendered(&guarded, &document), "{template}\n{guarded}");
});
