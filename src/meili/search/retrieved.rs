//! Which attributes a node returns with its hits: those that the client gets, and those that only the merge needs.
//!
//! A client's `attributesToRetrieve` may leave out what decides the answer (the value that makes hits distinct, the
//! primary key that tells them apart). The node is asked for it all the same, and the merge takes it out again.

use serde_json::{Map, Value};

/// What the client gets of hits that hold more than that.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Retrieved {
    /// Paths that the client gets; none: nothing was added, everything is the client's.
    visible: Option<Vec<String>>,
    /// The same for `_formatted`; none: all of it.
    visible_formatted: Option<Vec<String>>,
    /// Paths that were added.
    added: Vec<String>,
}

/// How much of a member is the client's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Share {
    /// All of it.
    Whole,
    /// What the visible paths name.
    Part,
    /// Nothing.
    Nothing,
}

impl Retrieved {
    /// Adds the needed attributes to the parameters of a search, whose lists are narrowed to what is displayed already.
    pub(in crate::meili) fn add(parameters: &mut Map<String, Value>, needed: &[&str]) -> Self {
        let Some(visible) = texts(parameters, "attributesToRetrieve") else { return Self::default() };
        let is_covered = |path: &str, by: &[String]| by.iter().any(|name| name == "*" || is_within(path, name));
        let added: Vec<String> =
            needed.iter().filter(|path| !is_covered(path, &visible)).map(|path| (*path).to_owned()).collect();
        if added.is_empty() {
            return Self::default();
        }
        let all: Vec<String> = visible.iter().chain(&added).cloned().collect();
        parameters.insert("attributesToRetrieve".to_owned(), Value::from(all));
        let mut formatted = visible.clone();
        formatted.extend(texts(parameters, "attributesToHighlight").into_iter().flatten());
        let cropped = texts(parameters, "attributesToCrop").into_iter().flatten();
        formatted.extend(cropped.map(|name| name.rsplit_once(':').map_or(name.clone(), |(name, _)| name.to_owned())));
        let visible_formatted = (!formatted.iter().any(|name| name == "*")).then_some(formatted);
        Self { visible: Some(visible), visible_formatted, added }
    }

    /// The visible paths of a hit, or of its `_formatted`; none: everything.
    pub fn visible(&self, is_formatted: bool) -> Option<&[String]> {
        if is_formatted && self.visible.is_some() { self.visible_formatted.as_deref() } else { self.visible.as_deref() }
    }

    /// How much of the member with this key is the client's.
    pub fn share(&self, key: &str, is_formatted: bool) -> Share {
        let Some(visible) = self.visible(is_formatted) else { return Share::Whole };
        let is_touched = self.added.iter().any(|path| is_within(path, key) || is_within(key, path));
        if !is_touched || visible.iter().any(|path| is_within(key, path)) {
            Share::Whole
        } else if visible.iter().any(|path| is_within(path, key)) {
            Share::Part
        } else {
            Share::Nothing
        }
    }
}

/// Whether a path is the other one, or below it.
fn is_within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn texts(parameters: &Map<String, Value>, name: &str) -> Option<Vec<String>> {
    let items = parameters.get(name)?.as_array()?;
    Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn add(parameters: &Value, needed: &[&str]) -> (Value, Retrieved) {
        let mut parameters = parameters.as_object().expect("an object").clone();
        let retrieved = Retrieved::add(&mut parameters, needed);
        (parameters.into(), retrieved)
    }

    #[test]
    fn what_is_returned_anyway_is_not_added() {
        for parameters in [
            json!({}),
            json!({"attributesToRetrieve": ["*"]}),
            json!({"attributesToRetrieve": ["a"]}),
            json!({"attributesToRetrieve": ["a.b", "x"]}),
        ] {
            assert_eq!(add(&parameters, &["a.b"]), (parameters, Retrieved::default()));
        }
    }

    #[test]
    fn what_is_added_is_the_merges_alone() {
        let (parameters, retrieved) =
            add(&json!({"attributesToRetrieve": ["a.c", "t"], "attributesToCrop": ["id:5"]}), &["a.b", "id"]);
        assert_eq!(parameters["attributesToRetrieve"], json!(["a.c", "t", "a.b", "id"]));
        for (key, share, formatted) in [
            ("t", Share::Whole, Share::Whole),
            ("_rankingScore", Share::Whole, Share::Whole),
            ("a", Share::Part, Share::Part),
            ("a.b", Share::Nothing, Share::Nothing),
            ("a.c", Share::Whole, Share::Whole),
            ("id", Share::Nothing, Share::Whole),
        ] {
            assert_eq!((retrieved.share(key, false), retrieved.share(key, true)), (share, formatted), "{key}");
        }
        let (_, retrieved) = add(&json!({"attributesToRetrieve": [], "attributesToHighlight": ["*"]}), &["id"]);
        assert_eq!((retrieved.share("id", false), retrieved.share("id", true)), (Share::Nothing, Share::Whole));
    }
}
