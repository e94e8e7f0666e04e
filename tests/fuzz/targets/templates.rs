//! What a guarded template renders does not depend on the marker, and it is a template wherever the client's is one.

#![no_main]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use liquid::model::Value;

#[path = "../properties.rs"]
#[allow(dead_code, reason = "each target shows one property")]
mod properties;

fn document(marker: &'static str) -> liquid::Object {
    let doc = liquid::object!({"_miroir": marker, "a": "x", "b": ["y", "z"], "c": {"d": 1}});
    let field = |(name, value): (&liquid::model::KString, &Value)| {
        Value::Object(liquid::object!({"name": name, "value": value, "is_searchable": true, "is_filterable": false}))
    };
    let fields: Vec<Value> = doc.iter().map(field).collect();
    liquid::object!({"doc": doc, "fields": fields})
}

thread_local! {
    /// Filters panic at some values. That is no finding here.
    static RENDERS: Cell<bool> = const { Cell::new(false) };
}

/// What a node renders of a document with this marker; none: it refuses the template.
fn rendered(template: &str, marker: &'static str) -> Option<String> {
    let parser = liquid::ParserBuilder::with_stdlib().build().expect("the standard library is complete");
    let parsed = parser.parse(template).ok()?;
    RENDERS.set(true);
    let rendered = catch_unwind(AssertUnwindSafe(|| parsed.render(&document(marker)).unwrap_or_default()));
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
    let shown = rendered(&guarded, "one");
    assert_eq!(shown, rendered(&guarded, "two"), "{template}\n{guarded}");
    assert!(shown.is_some() || rendered(template, "one").is_none(), "{template}\n{guarded}");
});
