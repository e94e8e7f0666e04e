//! Editing documents by a function in the language Rhai, under the limits of one server.
//!
//! The function finds the document as `doc` and what came with the request as `context`; what `doc` is afterwards takes the
//! document's place, and nothing (`()`) deletes it. The marker and vectors are never shown to it.

use rhai::{AST, Dynamic, Engine, OptimizationLevel, Scope};
use serde_json::{Map, Value};

use super::marker;

/// A text in a function may be so long.
const TEXT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What becomes of a document.
#[derive(Clone, PartialEq, Debug)]
pub enum Edited {
    /// It stays as it is.
    Same,
    /// This takes its place.
    Replaced(String),
    /// It is deleted.
    Deleted,
}

/// Why a function cannot be run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EditError {
    /// It is not written right.
    #[error("Document edition runtime error encountered while compiling the function: {0}")]
    Compilation(String),
    /// It failed on a document.
    #[error("Document edition runtime error encountered while running the function: {0}")]
    Runtime(String),
    /// What it makes of a document is none.
    #[error("Document editions must keep documents as objects")]
    NoObject,
    /// What is stored cannot be read.
    #[error("a stored document cannot be read: {0}")]
    Unreadable(String),
}

/// A function, ready to run.
pub struct Editor {
    engine: Engine,
    ast: AST,
    context: Option<Dynamic>,
}

/// Whether a function is written right; otherwise what is wrong with it.
///
/// # Errors
/// The words of the language.
pub fn check(function: &str) -> Result<(), String> {
    Engine::new().compile(function).map(drop).map_err(|error| error.to_string())
}

impl Editor {
    /// Compiles a function.
    ///
    /// # Errors
    /// [`EditError::Compilation`].
    pub fn new(function: &str, context: Option<&Map<String, Value>>) -> Result<Self, EditError> {
        let mut engine = Engine::new();
        engine.set_optimization_level(OptimizationLevel::Full);
        engine.set_max_call_levels(1000);
        engine.set_max_operations(1_000_000);
        engine.set_max_variables(1000);
        engine.set_max_functions(30);
        engine.set_max_expr_depths(100, 1000);
        engine.set_max_string_size(TEXT_BYTES_MAX);
        engine.set_max_array_size(10_000);
        engine.set_max_map_size(10_000);
        engine.on_print(|_| {});
        engine.on_debug(|_, _, _| {});
        let ast = engine.compile(function).map_err(|error| EditError::Compilation(error.to_string()))?;
        let context = context.map(|context| serde_json::from_value(Value::Object(context.clone())));
        let context = context.transpose().map_err(|error| EditError::Unreadable(error.to_string()))?;
        Ok(Self { engine, ast, context })
    }

    /// Runs it on a document as it is stored.
    ///
    /// # Errors
    /// See [`EditError`].
    pub fn edit(&self, stored: &str) -> Result<Edited, EditError> {
        let unreadable = |error: serde_json::Error| EditError::Unreadable(error.to_string());
        let mut before: Map<String, Value> = serde_json::from_str(stored).map_err(unreadable)?;
        for hidden in [marker::FIELD, "_vectors"] {
            before.shift_remove(hidden);
        }
        let fields = before.iter().map(|(name, value)| Ok((name.into(), serde_json::from_value(value.clone())?)));
        let document: rhai::Map = fields.collect::<Result<_, _>>().map_err(unreadable)?;
        let mut scope = Scope::new();
        if let Some(context) = &self.context {
            scope.push_constant_dynamic("context", context.clone());
        }
        scope.push("doc", document);
        let run = self.engine.eval_ast_with_scope::<Dynamic>(&mut scope, &self.ast);
        run.map(drop).map_err(|error| EditError::Runtime(error.to_string()))?;
        let after = scope.remove::<Dynamic>("doc").unwrap_or_default();
        if after.is_unit() {
            return Ok(Edited::Deleted);
        }
        let after = after.try_cast::<rhai::Map>().ok_or(EditError::NoObject)?;
        let fields = after.iter().map(|(name, value)| Ok((name.to_string(), serde_json::to_value(value)?)));
        let after: Result<Map<String, Value>, serde_json::Error> = fields.collect();
        let after = Value::Object(after.map_err(|error| EditError::Runtime(error.to_string()))?);
        Ok(if after == Value::Object(before) { Edited::Same } else { Edited::Replaced(after.to_string()) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn edit(function: &str, document: &Value) -> Result<Edited, EditError> {
        let context = json!({"by": 3});
        Editor::new(function, context.as_object())?.edit(&document.to_string())
    }

    #[test]
    fn a_function_changes_keeps_or_deletes_a_document() {
        let document = json!({"id": 1, "title": "a", "_miroir": "x", "_vectors": {}, "tags": ["b", null], "n": 1.5});
        let changed =
            edit("doc.title = doc.title.to_upper(); doc.id2 = doc.id * context.by; doc.remove(\"n\")", &document);
        let Ok(Edited::Replaced(text)) = changed else { panic!("{changed:?}") };
        let after: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(after, json!({"id": 1, "title": "A", "id2": 3, "tags": ["b", null]}));
        assert_eq!(edit("let x = doc.title;", &document), Ok(Edited::Same));
        assert_eq!(edit("if doc.id == 1 { doc = () }", &document), Ok(Edited::Deleted));
        assert_eq!(
            edit("doc.keys().contains(\"_miroir\"); if doc.contains(\"_miroir\") { doc = () }", &document),
            Ok(Edited::Same)
        );
    }

    #[test]
    fn what_goes_wrong_is_said_and_ends() {
        let document = json!({"id": 1});
        let on_large_stack = |function: &'static str| {
            let document = document.clone();
            let run = move || edit(function, &document);
            std::thread::Builder::new().stack_size(256 << 20).spawn(run).unwrap().join().unwrap()
        };
        assert!(matches!(edit("doc.", &document), Err(EditError::Compilation(_))));
        assert!(matches!(edit("doc = 5", &document), Err(EditError::NoObject)));
        assert!(matches!(edit("throw \"no\"", &document), Err(EditError::Runtime(_))));
        assert!(matches!(on_large_stack("loop {}"), Err(EditError::Runtime(_))));
        assert!(matches!(on_large_stack("fn f(n) { f(n + 1) } f(0)"), Err(EditError::Runtime(_))));
        assert!(matches!(on_large_stack("let s = \"aaaaaaaa\"; loop { s += s; }"), Err(EditError::Runtime(_))));
        assert!(check("doc.a = ").is_err() && check("doc.a = 1").is_ok());
    }
}
