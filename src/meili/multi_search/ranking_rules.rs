//! Whether the results of two queries of a federated search can be compared.
//!
//! The ranking rules that a query really uses are brought into one form: rules that say nothing for it are left out
//! (those about words in a placeholder search, `sort` without one, repetitions), and neighbouring rules about relevancy
//! count as one. Then two queries fit when the kinds of their rules are the same, as far as the shorter list goes.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::meili::error::{ApiError, Code};

/// What a query searches for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueryKind {
    /// Nothing: everything matches.
    Placeholder,
    /// Words, with or without vectors.
    Words,
    /// Vectors alone.
    Vector,
}

/// One query, as far as it decides about its order.
#[derive(Clone, Copy, Debug)]
pub struct RankedQuery<'a> {
    /// Its place in the request.
    pub position: usize,
    /// Its index.
    pub index_uid: &'a str,
    /// The ranking rules of the index, as in its settings.
    pub ranking_rules: &'a [String],
    /// `sort`, checked before.
    pub sort: Option<&'a [String]>,
    /// Whether `matchingStrategy` is `all`.
    pub needs_all_words: bool,
    /// What it searches for.
    pub kind: QueryKind,
}

/// The queries of one request, index by index in the order of their names, each index's in the order of the request.
#[derive(Debug, Default)]
pub struct Comparability {
    /// The query with the longest list of rules so far.
    longest: Option<Canonical>,
}

impl Comparability {
    /// Takes the next query.
    ///
    /// # Errors
    /// `invalid_multi_search_query_ranking_rules`: it cannot be compared with one before.
    pub fn add(&mut self, query: &RankedQuery<'_>) -> Result<(), ApiError> {
        let current = Canonical::new(query);
        if let Some(previous) = &self.longest {
            let pairs = previous.groups().into_iter().zip(current.groups());
            if let Some((theirs, ours)) = pairs.into_iter().find(|(theirs, ours)| theirs.kind != ours.kind) {
                return Err(conflict(previous, theirs, &current, ours));
            }
            if previous.groups().len() > current.groups().len() {
                return Ok(());
            }
        }
        self.longest = Some(current);
        Ok(())
    }
}

/// The ranking rules of an index from its settings, of which only what was set is there.
pub fn ranking_rules_of(settings: &Map<String, Value>) -> Vec<String> {
    const DEFAULT: [&str; 7] = ["words", "typo", "proximity", "attributeRank", "sort", "wordPosition", "exactness"];
    match settings.get("rankingRules").and_then(Value::as_array) {
        Some(rules) => rules.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        None => DEFAULT.map(str::to_owned).to_vec(),
    }
}

/// What a rule orders by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Relevancy,
    Ascending,
    Descending,
    NearestFirst,
    FarthestFirst,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Relevancy => "relevancy",
            Self::Ascending => "ascending sort",
            Self::Descending => "descending sort",
            Self::NearestFirst => "ascending geo sort",
            Self::FarthestFirst => "descending geo sort",
        }
    }

    fn family(self) -> &'static str {
        match self {
            Self::Relevancy => "relevancy rule",
            Self::Ascending | Self::Descending => "sort rule",
            Self::NearestFirst | Self::FarthestFirst => "geosort rule",
        }
    }

    /// Why two kinds that are not the same cannot be compared.
    fn conflict(self, other: Self) -> String {
        let mut families = [self.family(), other.family()];
        families
            .sort_by_key(|family| ["relevancy rule", "sort rule", "geosort rule"].iter().position(|of| of == family));
        let [first, second] = families;
        if first == second {
            format!("cannot compare two {first}s in opposite directions")
        } else {
            format!("cannot compare a {first} with a {second}")
        }
    }
}

/// One criterion of `sort`.
#[derive(Clone, PartialEq, Debug)]
struct SortItem {
    /// None for a geo point.
    field: Option<String>,
    is_ascending: bool,
}

impl SortItem {
    fn of(text: &str) -> Self {
        let (name, is_ascending) = match text.strip_suffix(":asc") {
            Some(name) => (name, true),
            None => (text.strip_suffix(":desc").unwrap_or(text), false),
        };
        let field = (!name.starts_with("_geoPoint(")).then(|| name.to_owned());
        Self { field, is_ascending }
    }

    fn kind(&self) -> Kind {
        match (&self.field, self.is_ascending) {
            (Some(_), true) => Kind::Ascending,
            (Some(_), false) => Kind::Descending,
            (None, true) => Kind::NearestFirst,
            (None, false) => Kind::FarthestFirst,
        }
    }

    fn name(&self) -> String {
        let direction = if self.is_ascending { "asc" } else { "desc" };
        format!("{}:{direction}", self.field.as_deref().unwrap_or("_geo(..)"))
    }
}

/// The field of a rule like `price:asc`.
fn ordered_field(rule: &str) -> Option<&str> {
    rule.strip_suffix(":asc").or_else(|| rule.strip_suffix(":desc"))
}

/// A rule in the settings, or a criterion of `sort`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    Rule(usize),
    Sort { rule: usize, item: usize },
}

impl Source {
    fn position(self) -> String {
        match self {
            Self::Rule(rule) => format!("#{rule} in ranking rules"),
            Self::Sort { rule, item } => {
                format!("#{item} in `query.sort` (as `sort` is #{rule} in ranking rules)")
            }
        }
    }
}

/// Neighbouring rules of one kind of relevancy, or one rule of another kind.
#[derive(Clone, Copy, Debug)]
struct Group {
    kind: Kind,
    first: Source,
    /// The last rule of several.
    last: Option<usize>,
}

/// A query's rules in one form, and what was done to bring them into it.
#[derive(Clone, Debug)]
struct Canonical {
    position: usize,
    index_uid: String,
    rules: Vec<String>,
    sort: Vec<SortItem>,
    notes: String,
}

/// Brings rules into one form.
struct Reading<'a> {
    query: &'a RankedQuery<'a>,
    source_sort: Vec<SortItem>,
    rules: Vec<String>,
    sort: Vec<SortItem>,
    /// Where each rule that may stand once was met first; `words` without a place was put in.
    seen: HashMap<&'a str, Option<usize>>,
    sorted: HashMap<String, Source>,
    notes: Vec<String>,
}

impl Canonical {
    fn new(query: &RankedQuery<'_>) -> Self {
        let source_sort = query.sort.unwrap_or_default().iter().map(|text| SortItem::of(text)).collect();
        let mut reading = Reading {
            query,
            source_sort,
            rules: Vec::new(),
            sort: Vec::new(),
            seen: HashMap::new(),
            sorted: HashMap::new(),
            notes: Vec::new(),
        };
        for (place, rule) in query.ranking_rules.iter().enumerate() {
            if !reading.take(place, rule) {
                break;
            }
        }
        let mut notes = String::new();
        for (number, note) in (1..).zip(&reading.notes) {
            // One server indents one of its notes less than the others.
            let indent = if note.starts_with("Removed rule `sort`") { "   " } else { "    " };
            writeln!(notes, "{indent}{number}. {note}").expect("strings take all");
        }
        let Reading { rules, sort, .. } = reading;
        Self { position: query.position, index_uid: query.index_uid.to_owned(), rules, sort, notes }
    }

    fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for (place, rule) in self.rules.iter().enumerate() {
            if rule == "sort" {
                let item = |(item, sort): (usize, &SortItem)| Group {
                    kind: sort.kind(),
                    first: Source::Sort { rule: place, item },
                    last: None,
                };
                groups.extend(self.sort.iter().enumerate().map(item));
                continue;
            }
            let kind = match ordered_field(rule) {
                None => Kind::Relevancy,
                Some("_geo") if rule.ends_with(":asc") => Kind::NearestFirst,
                Some("_geo") => Kind::FarthestFirst,
                Some(_) if rule.ends_with(":asc") => Kind::Ascending,
                Some(_) => Kind::Descending,
            };
            match groups.last_mut() {
                Some(group) if kind == Kind::Relevancy && group.kind == kind => group.last = Some(place),
                Some(_) | None => groups.push(Group { kind, first: Source::Rule(place), last: None }),
            }
        }
        groups
    }

    /// A group in words, with where it comes from.
    fn describe(&self, group: &Group) -> String {
        let (position, uid) = (self.position, &self.index_uid);
        let (place, names) = match (group.first, group.last) {
            (Source::Sort { rule, item }, _) => {
                let place = format!("`queries[{position}].sort[{item}]`, `{uid}.rankingRules[{rule}]`");
                let field = self.sort[item].field.as_ref();
                (place, field.map_or_else(|| "default".to_owned(), |field| format!("on field `{field}`")))
            }
            (Source::Rule(rule), None) => {
                (format!("`queries[{position}]`, `{uid}.rankingRules[{rule}]`"), self.rules[rule].clone())
            }
            (Source::Rule(rule), Some(last)) => {
                let place = format!("`queries[{position}]`, `{uid}.rankingRules[{rule}..={last}]`");
                (place, self.rules[rule..=last].join(", "))
            }
        };
        format!("{place}: {} rule(s) {names}", group.kind.name())
    }
}

fn conflict(previous: &Canonical, theirs: Group, current: &Canonical, ours: Group) -> ApiError {
    let (first, second) = (previous.position, current.position);
    let mut message = format!(
        "The results of queries #{first} and #{second} are incompatible: \n  1. {}\n  2. {}\n  - {}\n",
        previous.describe(&theirs),
        current.describe(&ours),
        theirs.kind.conflict(ours.kind),
    );
    for query in [previous, current].into_iter().filter(|query| !query.notes.is_empty()) {
        let (position, notes) = (query.position, &query.notes);
        write!(
            message,
            "  - note: The ranking rules of query #{position} were modified during canonicalization:\n{notes}"
        )
        .expect("strings take all");
    }
    ApiError::new(Code::InvalidMultiSearchQueryRankingRules, message)
}

impl<'a> Reading<'a> {
    /// Takes the next rule of the settings; false when the rest does not count.
    fn take(&mut self, place: usize, rule: &'a str) -> bool {
        if rule == "sort" {
            self.take_sort(place);
        } else if let Some(field) = ordered_field(rule) {
            let source = Source::Rule(place);
            if let Some(earlier) = self.sorted.get(field) {
                self.note_duplicate(*earlier, source);
            } else {
                self.sorted.insert(field.to_owned(), source);
                self.rules.push(rule.to_owned());
            }
        } else {
            match self.query.kind {
                QueryKind::Placeholder => self.notes.push(format!(
                    "Removed relevancy rule `{rule}` at position #{place} in ranking rules because the query is a placeholder search (`q`: \"\")"
                )),
                QueryKind::Words => self.take_words(place, rule),
                QueryKind::Vector => return self.take_vector(place, rule),
            }
        }
        true
    }

    fn take_words(&mut self, place: usize, rule: &'a str) {
        if rule == "words" {
            if self.query.needs_all_words {
                self.notes.push(format!(
                    "Removed rule `words` at position #{place} in ranking rules because `query.matchingWords` is set to `all`"
                ));
                return;
            }
            match self.seen.get("words") {
                Some(Some(earlier)) => {
                    self.note_duplicate(Source::Rule(*earlier), Source::Rule(place));
                    return;
                }
                // One server says that it removes the rule, and keeps it.
                Some(None) => self.notes.push(format!(
                    "Removed rule `words` at position #{place} in ranking rules because it was previously prepended"
                )),
                None => {}
            }
        } else {
            if !self.query.needs_all_words && !self.seen.contains_key("words") {
                self.notes.push(format!(
                    "Prepended rule `words` before first relevancy rule `{rule}` at position #{place} in ranking rules"
                ));
                self.rules.push("words".to_owned());
                self.seen.insert("words", None);
            }
            if let Some(Some(earlier)) = self.seen.get(rule) {
                self.note_duplicate(Source::Rule(*earlier), Source::Rule(place));
                return;
            }
        }
        self.seen.insert(rule, Some(place));
        self.rules.push(rule.to_owned());
    }

    /// The first rule about words stands for the vectors; those that follow say nothing, and after a sort rule end all.
    fn take_vector(&mut self, place: usize, rule: &'a str) -> bool {
        let Some(vector) = self.seen.get("vector").copied().flatten() else {
            self.seen.insert("vector", Some(place));
            self.rules.push(rule.to_owned());
            return true;
        };
        if self.sorted.is_empty() {
            self.notes.push(format!(
                "Removed relevancy rule `{rule}` at position #{place} in ranking rules because the query is a vector search and `vector` was already inserted at position #{vector} in ranking rules"
            ));
            return true;
        }
        self.notes.push(format!(
            "Truncated relevancy rule `{rule}` at position #{place} in ranking rules and later rules because the query is a vector search and `vector` was inserted at position #{vector} in ranking rules"
        ));
        false
    }

    fn take_sort(&mut self, place: usize) {
        if let Some(Some(earlier)) = self.seen.get("sort") {
            self.note_duplicate(Source::Rule(*earlier), Source::Rule(place));
            return;
        }
        if self.query.sort.is_none() {
            self.notes.push(format!(
                "Removed rule `sort` at position #{place} in ranking rules because `query.sort` is empty"
            ));
            return;
        }
        self.seen.insert("sort", Some(place));
        self.rules.push("sort".to_owned());
        let mut point = None;
        for (item, sort) in self.source_sort.clone().into_iter().enumerate() {
            let source = Source::Sort { rule: place, item };
            let earlier = match &sort.field {
                Some(field) => self.sorted.get(field).copied(),
                None => point,
            };
            if let Some(earlier) = earlier {
                self.note_duplicate(earlier, source);
                continue;
            }
            match &sort.field {
                Some(field) => drop(self.sorted.insert(field.clone(), source)),
                None => point = Some(source),
            }
            self.sort.push(sort);
        }
    }

    fn note_duplicate(&mut self, earlier: Source, removed: Source) {
        let name = match earlier {
            Source::Rule(rule) => self.query.ranking_rules[rule].clone(),
            Source::Sort { item, .. } => self.source_sort[item].name(),
        };
        let (removed, earlier) = (removed.position(), earlier.position());
        self.notes.push(format!(
            "Removed duplicate rule `{name}` at position {removed} as it already appears at position {earlier}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: [&str; 7] = ["words", "typo", "proximity", "attributeRank", "sort", "wordPosition", "exactness"];

    /// Queries of indexes `a` (which comes first) and `b`: what is searched, and the `sort`.
    fn compare(rules: &[&str], queries: &[(&str, usize, QueryKind, &[&str])]) -> Result<(), ApiError> {
        let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
        let mut comparability = Comparability::default();
        for (index_uid, position, kind, sort) in queries {
            let sort: Vec<String> = sort.iter().map(|text| (*text).to_owned()).collect();
            comparability.add(&RankedQuery {
                position: *position,
                index_uid,
                ranking_rules: &rules,
                sort: (!sort.is_empty()).then_some(&sort),
                needs_all_words: false,
                kind: *kind,
            })?;
        }
        Ok(())
    }

    #[test]
    fn a_shorter_list_fits_every_list_that_begins_like_it() {
        let queries: &[(&str, usize, QueryKind, &[&str])] = &[
            ("a", 0, QueryKind::Words, &["size:asc"]),
            ("b", 1, QueryKind::Words, &[]),
            ("b", 2, QueryKind::Placeholder, &[]),
        ];
        assert_eq!(compare(&RULES, queries), Ok(()));
    }

    /// As Meilisearch 1.50 answered them.
    #[test]
    fn conflicts_are_told_in_the_words_of_one_server() {
        let queries: &[(&str, usize, QueryKind, &[&str])] =
            &[("a", 0, QueryKind::Words, &["size:asc"]), ("b", 1, QueryKind::Words, &["size:desc"])];
        let error = compare(&RULES, queries).unwrap_err();
        assert_eq!(error.code, Code::InvalidMultiSearchQueryRankingRules);
        assert_eq!(
            error.message,
            "The results of queries #0 and #1 are incompatible: \n  1. `queries[0].sort[0]`, `a.rankingRules[4]`: ascending sort rule(s) on field `size`\n  2. `queries[1].sort[0]`, `b.rankingRules[4]`: descending sort rule(s) on field `size`\n  - cannot compare two sort rules in opposite directions\n"
        );
        let queries: &[(&str, usize, QueryKind, &[&str])] =
            &[("a", 1, QueryKind::Placeholder, &["size:desc"]), ("b", 0, QueryKind::Words, &["size:asc", "size:desc"])];
        let message = compare(&RULES, queries).unwrap_err().message;
        let removed = |rule: &str, number: usize, place: usize| {
            format!(
                "    {number}. Removed relevancy rule `{rule}` at position #{place} in ranking rules because the query is a placeholder search (`q`: \"\")\n"
            )
        };
        let expected = format!(
            "The results of queries #1 and #0 are incompatible: \n  1. `queries[1].sort[0]`, `a.rankingRules[0]`: descending sort rule(s) on field `size`\n  2. `queries[0]`, `b.rankingRules[0..=3]`: relevancy rule(s) words, typo, proximity, attributeRank\n  - cannot compare a relevancy rule with a sort rule\n  - note: The ranking rules of query #1 were modified during canonicalization:\n{}{}{}{}{}{}  - note: The ranking rules of query #0 were modified during canonicalization:\n    1. Removed duplicate rule `size:asc` at position #1 in `query.sort` (as `sort` is #4 in ranking rules) as it already appears at position #0 in `query.sort` (as `sort` is #4 in ranking rules)\n",
            removed("words", 1, 0),
            removed("typo", 2, 1),
            removed("proximity", 3, 2),
            removed("attributeRank", 4, 3),
            removed("wordPosition", 5, 5),
            removed("exactness", 6, 6),
        );
        assert_eq!(message, expected);
    }

    #[test]
    fn words_go_before_all_other_rules_about_words() {
        let rules = ["typo", "words", "price:desc", "sort", "price:asc"];
        let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
        let query = RankedQuery {
            position: 3,
            index_uid: "a",
            ranking_rules: &rules,
            sort: None,
            needs_all_words: false,
            kind: QueryKind::Words,
        };
        let canonical = Canonical::new(&query);
        assert_eq!(canonical.rules, ["words", "typo", "words", "price:desc"]);
        assert_eq!(
            canonical.notes,
            "    1. Prepended rule `words` before first relevancy rule `typo` at position #0 in ranking rules\n    2. Removed rule `words` at position #1 in ranking rules because it was previously prepended\n   3. Removed rule `sort` at position #3 in ranking rules because `query.sort` is empty\n    4. Removed duplicate rule `price:desc` at position #4 in ranking rules as it already appears at position #2 in ranking rules\n"
        );
    }
}
