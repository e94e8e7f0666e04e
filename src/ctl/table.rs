//! Tables of text: left-aligned columns, two spaces between them, no trailing spaces.

use std::fmt::Write;

use serde_json::Value;

/// A heading and, for one result, the cell.
pub type Column = (&'static str, fn(&Value) -> String);

/// One line per element of a list, under a line of headings.
pub fn render(list: &Value, columns: &[Column]) -> String {
    let results = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|(heading, _)| (*heading).to_owned()).collect()];
    lines.extend(results.iter().map(|result| columns.iter().map(|(_, cell)| cell(result)).collect()));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(text, "{}", cells.join("  ").trim_end()).expect("writing to a text cannot fail");
    }
    text
}

/// A value as a cell: texts as they are, lists joined by commas, `-` for what is not there.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}
