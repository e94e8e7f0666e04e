//! What a guarded template renders never shows the marker, and it is a template wherever the client's is one.

#![no_main]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use liquid::model::Value;

#[path = "../properties.rs"]
#[allow(dead_code, reason = "each target shows one property")]
mod properties;

/// What the marker's value looks like here.
const SECRET: &str = "S3CR3T";

fn document() -> liquid::Object {
    let doc = liquid::object!({"_miroir": SECRET, "a": "x", "b": ["y", "z"], "c": {"d": 1}});
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

/// What a node renders; none: it refuses the template.
fn rendered(template: &str) -> Option<String> {
    let parser = liquid::ParserBuilder::with_stdlib().build().expect("the standard library is complete");
    let parsed = parser.parse(template).ok()?;
    RENDERS.set(true);
    let rendered = catch_unwind(AssertUnwindSafe(|| parsed.render(&document()).unwrap_or_default()));
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
    match rendered(&guarded) {
        Some(shown) => {
            assert!(!shown.contains(SECRET) && !shown.contains("_miroir"), "{template}\n{guarded}\n{shown}");
        }
        None => assert!(rendered(template).is_none(), "{template}\n{guarded}"),
    }
});
