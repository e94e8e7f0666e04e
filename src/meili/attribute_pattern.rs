//! How names of attributes match the patterns and names of settings.
//!
//! Two manners exist: wildcards (`*` at one or both ends), used by rule objects and by `facets`; and the older manner
//! of plain names, where `dog` also covers `dog.age`. Dots separate the levels of nested objects.

/// How a name relates to a pattern.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Match {
    /// The name is covered.
    Yes,
    /// The name is an object that may contain covered names.
    Parent,
    /// Neither.
    No,
}

impl Match {
    /// The stronger of two.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::Parent, _) | (_, Self::Parent) => Self::Parent,
            (Self::No, Self::No) => Self::No,
        }
    }

    /// Whether the name is covered.
    pub fn is_yes(self) -> bool {
        self == Self::Yes
    }
}

/// Whether `name` is `ancestor` or lies below it (`dog.age` below `dog`).
pub fn is_at_or_below(name: &str, ancestor: &str) -> bool {
    name.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A pattern with wildcards against a name.
pub fn wildcard(pattern: &str, name: &str) -> Match {
    let covered = if pattern == "*" {
        true
    } else if pattern.len() > 1 && pattern.starts_with('*') && pattern.ends_with('*') {
        name.contains(&pattern[1..pattern.len() - 1])
    } else if let Some(end) = pattern.strip_prefix('*') {
        name.ends_with(end)
    } else if let Some(start) = pattern.strip_suffix('*') {
        name.starts_with(start)
    } else {
        pattern == name
    };
    if covered {
        Match::Yes
    } else if is_at_or_below(pattern, name) {
        Match::Parent
    } else {
        Match::No
    }
}

/// A plain name of the settings against a name: everything below it is covered too.
pub fn plain(setting: &str, name: &str) -> Match {
    if is_at_or_below(name, setting) {
        Match::Yes
    } else if is_at_or_below(setting, name) {
        Match::Parent
    } else {
        Match::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_and_plain_names_cover_what_they_say() {
        let table = [
            ("*", "a.b", Match::Yes),
            ("doc*", "doctor", Match::Yes),
            ("*_date", "end_date", Match::Yes),
            ("*mid*", "amidst", Match::Yes),
            ("dog.age", "dog", Match::Parent),
            ("dog", "dog.age", Match::No),
            ("dog", "dogs", Match::No),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(wildcard(pattern, name), expected, "{pattern} {name}");
        }
        assert_eq!(plain("dog", "dog.age"), Match::Yes);
        assert_eq!(plain("dog.age", "dog"), Match::Parent);
        assert_eq!(plain("dog", "dogs"), Match::No);
    }
}
