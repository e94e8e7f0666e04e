//! The raw configuration: which key was given what, and where. Nothing is interpreted here, only unknown keys are found.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::Problem;
use super::environment::Environment;
use super::keys::{KEYS, Kind, find};

/// One value as given.
#[derive(Clone, PartialEq, Debug)]
pub struct Given {
    /// What was written.
    pub value: Value,
    /// Where, for messages.
    pub source: String,
}

/// Everything that was given, by key; the last source won.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Raw {
    /// By the name of the key.
    pub given: BTreeMap<&'static str, Given>,
    /// What could not be read.
    pub problems: Vec<Problem>,
}

impl Raw {
    /// Reads a YAML file. False when it cannot be read at all: then that is the only problem worth telling.
    pub fn read_file(&mut self, path: &Path) -> bool {
        match std::fs::read_to_string(path) {
            Ok(text) => self.read_yaml(&text, &path.display().to_string()),
            Err(error) => self.unreadable(
                &path.display().to_string(),
                format!("cannot be read ({error}); check the path and its permissions"),
            ),
        }
    }

    /// Reads a YAML text; as [`Self::read_file`].
    pub fn read_yaml(&mut self, text: &str, source: &str) -> bool {
        // An empty file, or one with comments only, is an empty configuration.
        match serde_saphyr::from_str::<Option<Value>>(text) {
            Ok(None | Some(Value::Null)) => true,
            Ok(Some(value @ Value::Object(_))) => {
                self.flatten("", value, source);
                true
            }
            Ok(Some(_)) => self.unreadable(source, "is no mapping; write `key: value` lines".to_owned()),
            Err(error) => self.unreadable(source, format!("is not YAML: {error}")),
        }
    }

    fn unreadable(&mut self, source: &str, message: String) -> bool {
        self.problem(source, message);
        false
    }

    /// Reads the variables. One that is not in the table is a problem: it is most likely misspelt.
    pub fn read_environment(&mut self, environment: &Environment) {
        for (name, text) in &environment.0 {
            if let Some(key) = KEYS.iter().find(|key| key.variable() == *name) {
                self.set(key.name, text.clone(), &format!("the variable {name}"));
                continue;
            }
            let known: Vec<String> = KEYS.iter().map(super::keys::Key::variable).collect();
            let hint = nearest(name, known.iter().map(String::as_str));
            self.problem(name, format!("unknown variable{hint}; docs/CONFIGURATION.md lists them all"));
        }
    }

    /// Sets one key from a text.
    ///
    /// # Panics
    /// If the key is not in the table.
    pub fn set(&mut self, key: &str, text: String, source: &str) {
        let key = find(key).expect("keys set by the program are in the table");
        self.given.insert(key.name, Given { value: Value::String(text), source: source.to_owned() });
    }

    fn flatten(&mut self, prefix: &str, value: Value, source: &str) {
        let Value::Object(fields) = value else {
            let message =
                format!("is a group of keys, not a value; write its keys below it ({})", group(prefix).join(", "));
            return self.problem(prefix, message);
        };
        for (name, value) in fields {
            let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            match find(&name) {
                // A key without a value is as good as left out.
                Some(_) if value.is_null() => {}
                Some(key) => {
                    self.given.insert(key.name, Given { value, source: source.to_owned() });
                }
                None if group(&name).is_empty() => {
                    let hint = nearest(&name, KEYS.iter().map(|key| key.name));
                    self.problem(&name, format!("unknown key{hint}; docs/CONFIGURATION.md lists them all"));
                }
                None if value.is_null() => {}
                None => self.flatten(&name, value, source),
            }
        }
    }

    fn problem(&mut self, key: &str, message: String) {
        self.problems.push(Problem { key: key.to_owned(), message });
    }
}

/// The keys of a group such as `http`.
fn group(name: &str) -> Vec<&'static str> {
    let prefix = format!("{name}.");
    KEYS.iter().map(|key| key.name).filter(|key| key.starts_with(&prefix)).collect()
}

/// ` (did you mean …?)` when one known name is close.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    /// More differences than this are another word.
    const DISTANCE_MAX: usize = 3;
    let best = known.map(|known| (distance(name, known), known)).min();
    match best {
        Some((distance, known)) if distance <= DISTANCE_MAX => format!(" (did you mean `{known}`?)"),
        Some(_) | None => String::new(),
    }
}

/// Levenshtein distance in bytes; the names are short ASCII.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

/// How a value of this kind is described to people.
pub fn describe(kind: Kind) -> String {
    match kind {
        Kind::Address => "address (IP:PORT)".to_owned(),
        Kind::Secret => "secret text".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Integer { min, max } => format!("number, {min} to {max}"),
        Kind::Duration => "duration".to_owned(),
        Kind::DurationOrOff => "duration or `off`".to_owned(),
        Kind::Size => "size".to_owned(),
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or "),
        Kind::Cores => "`auto` or list of numbers".to_owned(),
        Kind::Hours => "`HOUR-HOUR`".to_owned(),
        Kind::Nodes => "list".to_owned(),
    }
}
