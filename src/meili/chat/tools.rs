//! The tools of a conversation: the one that the model searches with, and those that tell the client what goes on.

use serde_json::json;

use super::completion::{Function, Tool};
use crate::meili::error::{ApiError, Code};

/// What the model calls to search.
pub const SEARCH: &str = "_meiliSearchInIndex";
/// Tells the client that something is searched.
pub const PROGRESS: &str = "_meiliSearchProgress";
/// Tells the client what was found.
pub const SOURCES: &str = "_meiliSearchSources";
/// Tells the client what belongs to the conversation from now on.
pub const APPEND: &str = "_meiliAppendConversationMessage";

/// Values of a facet that the model is told.
pub const FACET_VALUES: usize = 10;

/// What the client wants to be told.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ToolSupport {
    /// [`PROGRESS`].
    pub progress: bool,
    /// [`SOURCES`].
    pub sources: bool,
    /// [`APPEND`].
    pub append: bool,
}

impl ToolSupport {
    /// By the names of the client's tools.
    ///
    /// # Errors
    /// It has others.
    pub fn of(names: &[&str]) -> Result<Self, ApiError> {
        for name in names {
            if *name == SEARCH {
                return Err(ApiError::new(Code::BadRequest, format!("{SEARCH} function is already defined.")));
            }
            if ![PROGRESS, SOURCES, APPEND].contains(name) {
                let message = format!("{name}: External functions are not supported yet.");
                return Err(ApiError::new(Code::UnimplementedExternalFunctionCalling, message));
            }
        }
        Ok(Self {
            progress: names.contains(&PROGRESS),
            sources: names.contains(&SOURCES),
            append: names.contains(&APPEND),
        })
    }
}

/// What a workspace tells the model.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Prompts {
    /// Who it is.
    pub system: String,
    /// What it can search.
    pub search: String,
    /// The words to search for.
    pub q: String,
    /// The filter.
    pub filter: String,
    /// Which index.
    pub index: String,
}

/// The values of a facet, most frequent first.
pub type Facet = (String, Vec<String>);

/// The tool to search with, while indexes are described to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SearchTool {
    prompts: Prompts,
    indexes: Vec<String>,
}

impl SearchTool {
    /// There is no index yet.
    pub fn new(prompts: Prompts) -> Self {
        Self { prompts, indexes: Vec::new() }
    }

    /// There is this index.
    pub fn add_index(&mut self, uid: &str, description: &str, facets: &[Facet]) {
        self.indexes.push(uid.to_owned());
        self.prompts.search += &["\n\n - ", uid, ": ", description, "\n\n"].concat();
        let listed: String = facets.iter().map(listed).collect();
        self.prompts.filter += &["\n## Facet distributions of the ", uid, " index\n", &listed, "\n"].concat();
    }

    /// As the model gets it.
    pub fn into_tool(self) -> Tool {
        let Prompts { search, q, filter, index, .. } = self.prompts;
        let parameters = json!({
            "type": "object",
            "properties": {
                "index_uid": {"type": "string", "enum": self.indexes, "description": index},
                "q": {"type": "string", "description": q},
                "filter": {"type": "string", "description": filter},
            },
            "required": ["index_uid", "q", "filter"],
            "additionalProperties": false,
        });
        let name = SEARCH.to_owned();
        let function = Function { name, description: Some(search), parameters: Some(parameters), strict: Some(true) };
        Tool { r#type: "function".to_owned(), function }
    }
}

fn listed((name, values): &Facet) -> String {
    let end = if values.is_empty() { "" } else { "." };
    format!("{name}: {}{end}\n", values.join(", "))
}

/// The most frequent values of a facet; of those that are as frequent the last ones, as one server has it.
pub fn most_frequent<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> Vec<String> {
    let mut counts: Vec<(&str, u64)> = counts.collect();
    counts.sort_by(|(a, a_count), (b, b_count)| {
        let numbers = a.parse::<f64>().ok().zip(b.parse::<f64>().ok());
        let by_value = || numbers.map_or_else(|| b.cmp(a), |(a, b)| b.total_cmp(&a));
        b_count.cmp(a_count).then_with(by_value)
    });
    counts.into_iter().take(FACET_VALUES).map(|(value, _)| value.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_told_of_indexes_and_of_what_they_can_be_filtered_by() {
        let prompts = Prompts { search: "S".into(), filter: "F: ".into(), ..Prompts::default() };
        let mut tool = SearchTool::new(prompts);
        tool.add_index("books", "", &[]);
        tool.add_index("films", "All", &[("a".into(), vec!["x".into(), "y".into()]), ("b".into(), vec![])]);
        let function = tool.into_tool().function;
        assert_eq!(function.description.as_deref(), Some("S\n\n - books: \n\n\n\n - films: All\n\n"));
        let parameters = function.parameters.expect("it has some");
        assert_eq!(parameters["properties"]["index_uid"]["enum"], json!(["books", "films"]));
        assert_eq!(
            parameters["properties"]["filter"]["description"],
            "F: \n## Facet distributions of the books index\n\n\n## Facet distributions of the films index\na: x, y.\nb: \n\n"
        );
    }

    #[test]
    fn the_most_frequent_values_come_first_and_then_the_last_ones() {
        let words = (0..15).map(|n| format!("a{n:02}")).collect::<Vec<_>>();
        let counts = words.iter().map(|word| (word.as_str(), 1)).chain([("drama", 9), ("comedy", 4)]);
        assert_eq!(most_frequent(counts).join(" "), "drama comedy a14 a13 a12 a11 a10 a09 a08 a07");
        assert_eq!(most_frequent([("9", 1), ("10", 1), ("8", 3)].into_iter()), ["8", "10", "9"]);
    }
}
