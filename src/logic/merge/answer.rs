//! A node's answer to a search, taken apart without walking its hits.
//!
//! The hits come first in the answer and are most of it, and a page over several nodes wants only the first hits of each.
//! So what stands behind the hits is read from the end of the text backwards, and the hits are read one by one, by whom
//! wants them. Outside of its strings JSON has no backslash: a quote is escaped exactly if an odd number of backslashes
//! stands before it, whichever way the text is read.

use super::MergeError;

/// Slices of one node's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeAnswer<'a> {
    /// The hits: an array that nobody has looked into.
    pub hits: &'a str,
    /// `totalHits` or `estimatedTotalHits`.
    pub total: u64,
    /// An object of objects, if facets were asked for.
    pub facet_distribution: Option<&'a str>,
    /// An object of objects, if facets were asked for.
    pub facet_stats: Option<&'a str>,
    /// An object of such pairs by index, if it is federated and they were asked for.
    pub facets_by_index: Option<&'a str>,
    /// A string with its quotes.
    pub request_uid: Option<&'a str>,
    /// It says that it lacks something.
    pub is_degraded: bool,
    /// An array, if the search was by a vector and it was asked for.
    pub query_vector: Option<&'a str>,
    /// `semanticHitCount`, unless the search was by words.
    pub semantic_hit_count: Option<u64>,
}

impl<'a> NodeAnswer<'a> {
    /// Takes an answer apart.
    pub fn read(body: &'a str) -> Result<Self, MergeError> {
        let mut total = None;
        let mut answer = Self {
            hits: "",
            total: 0,
            facet_distribution: None,
            facet_stats: None,
            facets_by_index: None,
            request_uid: None,
            is_degraded: false,
            query_vector: None,
            semantic_hit_count: None,
        };
        let mut unread = Backwards { text: body };
        unread.byte(b'}')?;
        while let Some((key, value)) = unread.member()? {
            match key {
                "\"totalHits\"" | "\"estimatedTotalHits\"" => {
                    total = Some(value.parse().map_err(|_| MergeError::Malformed)?);
                }
                "\"facetDistribution\"" => answer.facet_distribution = Some(value),
                "\"facetStats\"" => answer.facet_stats = Some(value),
                "\"facetsByIndex\"" => answer.facets_by_index = Some(value),
                "\"requestUid\"" => answer.request_uid = Some(value),
                "\"degraded\"" => answer.is_degraded = value == "true",
                "\"queryVector\"" => answer.query_vector = Some(value),
                "\"semanticHitCount\"" => {
                    answer.semantic_hit_count = Some(value.parse().map_err(|_| MergeError::Malformed)?);
                }
                _ => {}
            }
        }
        let start = ["{", "\"hits\"", ":"]
            .into_iter()
            .try_fold(unread.text, |text, token| text.trim_start().strip_prefix(token).ok_or(MergeError::Malformed))?;
        answer.hits = start.trim_start();
        answer.total = total.ok_or(MergeError::Malformed)?;
        Ok(answer)
    }
}

/// A text that is read from its end.
struct Backwards<'a> {
    /// What is not read yet.
    text: &'a str,
}

impl<'a> Backwards<'a> {
    /// The next member, key in quotes; none when an array is in the way: the hits.
    fn member(&mut self) -> Result<Option<(&'a str, &'a str)>, MergeError> {
        self.text = self.text.trim_end();
        // Hits are objects, a vector is not.
        let list = self.text.strip_suffix(']').map(str::trim_end);
        if list.is_some_and(|list| list.ends_with(['}', '['])) {
            return Ok(None);
        }
        let value = self.value()?;
        self.byte(b':')?;
        let key = self.string()?;
        self.byte(b',')?;
        Ok(Some((key, value)))
    }

    fn byte(&mut self, byte: u8) -> Result<(), MergeError> {
        let rest = self.text.trim_end().strip_suffix(char::from(byte));
        self.text = rest.ok_or(MergeError::Malformed)?;
        Ok(())
    }

    fn value(&mut self) -> Result<&'a str, MergeError> {
        match self.text.as_bytes().last() {
            Some(b'"') => self.string(),
            Some(b'}' | b']') => self.container(),
            Some(_) | None => {
                let start = self.text.rfind(|character: char| !is_of_scalar(character)).map_or(0, |place| place + 1);
                self.take_from(start)
            }
        }
    }

    fn string(&mut self) -> Result<&'a str, MergeError> {
        self.text = self.text.trim_end();
        let start = string_start(self.text.as_bytes())?;
        self.take_from(start)
    }

    /// An object or array, whatever is in it.
    fn container(&mut self) -> Result<&'a str, MergeError> {
        let bytes = self.text.as_bytes();
        let (mut place, mut depth) = (bytes.len(), 0);
        while place > 0 {
            match bytes[place - 1] {
                b'"' => {
                    place = string_start(&bytes[..place])?;
                    continue;
                }
                b'}' | b']' => depth += 1,
                b'{' | b'[' => depth -= 1,
                _ => {}
            }
            place -= 1;
            if depth == 0 {
                return self.take_from(place);
            }
        }
        Err(MergeError::Malformed)
    }

    fn take_from(&mut self, start: usize) -> Result<&'a str, MergeError> {
        let (rest, taken) = self.text.split_at_checked(start).ok_or(MergeError::Malformed)?;
        self.text = rest;
        Ok(taken)
    }
}

/// Where the string begins that ends with the last of these bytes.
fn string_start(bytes: &[u8]) -> Result<usize, MergeError> {
    let Some((b'"', mut before)) = bytes.split_last() else { return Err(MergeError::Malformed) };
    while let Some(quote) = memchr::memrchr(b'"', before) {
        let backslashes = before[..quote].iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 0 {
            return Ok(quote);
        }
        before = &before[..quote];
    }
    Err(MergeError::Malformed)
}

/// Whether numbers and literals are made of it.
fn is_of_scalar(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '+' | '-' | '.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![".*", r#"[\\"\]}{,: a]{0,9}"#];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let members = proptest::collection::btree_map(r#"[\\"\]}a]{0,3}"#, inner.clone(), 0..4);
            let members = members.prop_map(|members| Value::Object(members.into_iter().collect()));
            prop_oneof![proptest::collection::vec(inner, 0..4).prop_map(Value::from), members]
        })
    }

    proptest! {
        #[test]
        fn an_answer_is_read_the_same_from_either_end(
            hits in proptest::collection::vec(any_json(), 0..4),
            total: u64,
            query in any_json(),
            facets in any_json(),
            is_pretty: bool,
        ) {
            // Besides the hits, which are objects, there is no array of objects at the top of an answer.
            let hits: Vec<Value> = hits.into_iter().map(|hit| json!({"a": hit})).collect();
            prop_assume!(!query.is_array() && !facets.is_array());
            let answer = json!({"hits": hits, "query": query, "totalHits": total, "facetDistribution": facets, "z": 1});
            let body = if is_pretty { serde_json::to_string_pretty(&answer) } else { serde_json::to_string(&answer) };
            let body = body.expect("values can be written");
            let read = NodeAnswer::read(&body).expect(&body);
            let same = |text: &str, value: &Value| serde_json::from_str::<Value>(text).is_ok_and(|read| read == *value);
            prop_assert!(same(read.hits, &answer["hits"]), "{}", body);
            prop_assert!(read.facet_distribution.is_some_and(|text| same(text, &facets)), "{}", body);
            prop_assert_eq!(read.total, total);
        }

        #[test]
        fn nothing_panics_on_what_is_no_answer(text in ".*", cut in 0usize..200) {
            let _ = NodeAnswer::read(&text);
            let whole = json!({"hits": [{"a": text}], "query": text, "facetDistribution": {"é": {"\"": 1}}, "totalHits": 1});
            let whole = whole.to_string();
            if let Some(part) = whole.get(..cut.min(whole.len())) {
                prop_assert_eq!(NodeAnswer::read(part).is_ok(), part.len() == whole.len());
            }
        }
    }
}
